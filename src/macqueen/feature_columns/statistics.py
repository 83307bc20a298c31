"""What the columns of an input are like, to scale and encode them sensibly: one pass, bounded memory.

Means and scales come from exact sums: however the rows are cut into batches, the same bits come out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError, DataError, EmptyInputError
from macqueen.feature_columns.categorical import VocabularyColumn
from macqueen.feature_columns.columns import (
    bucketized_column,
    categorical_column_with_vocabulary_list,
    numeric_column,
)
from macqueen.feature_columns.dense import BucketizedColumn, NumericColumn
from macqueen.feature_columns.features import Features
from macqueen.feature_columns.hashing import mixed

SAMPLE = 1 << 20  # values that quantiles are taken of, at most
BLOCK = 1 << 16  # values summed at once: sums of products of 18-bit parts stay exact in float64


@dataclass(frozen=True)
class Standardize:
    """The function (x - mean) / scale."""

    mean: float
    scale: float

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values so scaled."""
        return (values - self.mean) / self.scale


@dataclass(frozen=True)
class NumericStatistics:
    """What a column of numbers is like.

    Attributes
    ----------
    key : str
        The feature.
    count, missing : int
        Values that are there, and that are not.
    mean, scale : float
        Mean and standard deviation (of the population; 1 where all values are equal), correctly rounded but for the
        square root.
    minimum, maximum : float
    quantiles : tuple of float
        Values at 1/q, 2/q, ..., (q-1)/q of the values in order; of a sample of 2**20, decided by the row numbers,
        where there are more.
    """

    key: str
    count: int
    missing: int
    mean: float
    scale: float
    minimum: float
    maximum: float
    quantiles: tuple[float, ...]

    def column(self, default_value: float | None = None) -> NumericColumn:
        """Return a numeric column of mean 0 and standard deviation 1; `default_value` is in the units of the data."""
        return numeric_column(self.key, default_value=default_value, normalizer_fn=Standardize(self.mean, self.scale))

    def bucketized(self, default_value: float | None = None) -> BucketizedColumn:
        """Return a bucketized column whose boundaries are the quantiles."""
        return bucketized_column(numeric_column(self.key, default_value=default_value), sorted(set(self.quantiles)))


@dataclass(frozen=True)
class CategoryStatistics:
    """What a column of categories is like.

    Attributes
    ----------
    key : str
        The feature.
    count, missing : int
        Categories that are there, and that are not.
    vocabulary : tuple
        The categories, the most frequent first, ties in their own order.
    counts : tuple of int
        How often each is there.
    """

    key: str
    count: int
    missing: int
    vocabulary: tuple[Any, ...]
    counts: tuple[int, ...]

    def column(self, default_value: int | None = None, num_oov_buckets: int = 0) -> VocabularyColumn:
        """Return a vocabulary column."""
        return categorical_column_with_vocabulary_list(
            self.key, self.vocabulary, default_value=default_value, num_oov_buckets=num_oov_buckets
        )


def fit_numeric(data: Any, keys: Sequence[str] | None = None, quantiles: int = 10) -> dict[str, NumericStatistics]:
    """Measure the columns of numbers of an input.

    Parameters
    ----------
    data
        A dict of arrays (n,), a frame, or an iterable of them: batches.
    keys
        Which columns; None takes all that hold numbers in the first batch.
    quantiles
        Into how many parts of equal size the quantiles cut, at least 2.

    Returns
    -------
    dict
        `NumericStatistics` by key.

    Raises
    ------
    DataError
        A column is not there, holds no numbers, or holds an infinite one; `EmptyInputError` if nothing is there.
    """
    if quantiles < 2:
        raise ArgumentError(f"quantiles must be at least 2, got {quantiles}")
    sums: dict[str, _Sums] = {}
    for what, first, batch in _batches(data):
        wanted = keys if keys is not None else [key for key, value in batch.items() if value.dtype.kind in "biuf"]
        if not sums:
            sums = {key: _Sums(key) for key in wanted}
        features = Features(batch, what, first)
        for key, column in sums.items():
            column.add(features.numbers(key, 1, np.array([np.nan]))[:, 0], first)
    if not sums:
        raise EmptyInputError("data must have columns of numbers and at least one batch, got none")
    return {key: column.statistics(quantiles) for key, column in sums.items()}


def fit_vocabulary(data: Any, key: str, max_size: int | None = None) -> CategoryStatistics:
    """Count the categories of a column; text, or integers.

    Parameters
    ----------
    data
        As for `fit_numeric`.
    key
        The column.
    max_size
        Keep the most frequent ones only.
    """
    counts: Counter[Any] = Counter()
    missing = 0
    for what, first, batch in _batches(data):
        values, gone = Features(batch, what, first).categories(key, None)
        missing += int(gone.sum())
        counts.update(value for value, is_gone in zip(values, gone.ravel().tolist(), strict=True) if not is_gone)
    missing += counts.pop("", 0)
    if not counts:
        raise EmptyInputError(f"column {key!r} must have at least one category, got none")
    if len({isinstance(value, str) for value in counts}) > 1:
        raise DataError(f"column {key!r} must hold text only or integers only, got both; convert it")
    best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:max_size]
    words, numbers = zip(*best, strict=True)
    return CategoryStatistics(key, counts.total(), missing, words, numbers)


def _batches(data: Any) -> Iterator[tuple[str, int, dict[str, NDArray[Any]]]]:
    """Yield name, number of the first row, and columns of each batch."""
    if isinstance(data, Mapping) or hasattr(data, "columns"):
        yield "data", 0, _columns(data)
        return
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise ArgumentError(f"data must be a dict of arrays, a frame, or batches of them, got {type(data).__name__}")
    first = 0
    for number, batch in enumerate(data):
        columns = _columns(batch)
        yield f"batch {number} of data", first, columns
        first += max((len(column) for column in columns.values()), default=0)


def _columns(batch: Any) -> dict[str, NDArray[Any]]:
    names = getattr(batch, "column_names", None) or list(getattr(batch, "columns", batch))
    if not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"columns must have names, got {names}")
    return {name: _array(batch[name]) for name in names}


def _array(column: Any) -> NDArray[Any]:
    return column if isinstance(column, np.ndarray) else np.asarray(column)


class _Sums:
    """Exact sums of a column, and a sample of it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.count = self.missing = 0
        self.sum = self.squares = Fraction(0)
        self.minimum, self.maximum = math.inf, -math.inf
        self._sample = np.empty(0)
        self._priorities = np.empty(0, np.uint64)

    def add(self, values: NDArray[np.float64], first: int) -> None:
        """Add values (n,) of the rows from `first` on; NaN is missing."""
        if np.isinf(values).any():
            row = first + int(np.argmax(np.isinf(values)))
            raise DataError(f"column {self.key!r}, row {row}: infinite values have no mean; mend or drop the row")
        there = ~np.isnan(values)
        found = values[there]
        self.missing += len(values) - len(found)
        self.count += len(found)
        if not len(found):
            return
        self.minimum, self.maximum = min(self.minimum, found.min()), max(self.maximum, found.max())
        for begin in range(0, len(found), BLOCK):
            total, squares = _exact_sums(found[begin : begin + BLOCK])
            self.sum += total
            self.squares += squares
        rows = (np.flatnonzero(there) + first).astype(np.uint64)
        priorities = np.concatenate([self._priorities, mixed(rows, np.zeros_like(rows))])
        sample = np.concatenate([self._sample, found])
        if len(sample) > SAMPLE:
            kept = np.argpartition(priorities, SAMPLE)[:SAMPLE]
            sample, priorities = sample[kept], priorities[kept]
        self._sample, self._priorities = sample, priorities

    def statistics(self, quantiles: int) -> NumericStatistics:
        """Return what was found."""
        if not self.count:
            raise EmptyInputError(f"column {self.key!r} must have at least one value, got {self.missing} missing ones")
        mean = self.sum / self.count
        variance = self.squares / self.count - mean * mean
        ordered = np.sort(self._sample)
        places = [-(-len(ordered) * part // quantiles) - 1 for part in range(1, quantiles)]
        return NumericStatistics(
            self.key,
            self.count,
            self.missing,
            float(mean),
            math.sqrt(variance) or 1.0,
            float(self.minimum),
            float(self.maximum),
            tuple(float(ordered[max(place, 0)]) for place in places),
        )


def _exact_sums(values: NDArray[np.float64]) -> tuple[Fraction, Fraction]:
    """Return the exact sums of at most `BLOCK` values and of their squares.

    A value is m 2**e with an integer m of 53 bits, in three parts of 18 bits. The parts, and the products of two of
    them, are added up by exponent: below 2**36 * 2**16, hence exactly.
    """
    mantissas, exponents = np.frexp(values)
    whole = (mantissas * 2.0**53).astype(np.int64)
    parts = [np.sign(whole) * ((np.abs(whole) >> shift) & 0x3FFFF) for shift in (0, 18, 36)]
    lowest = int(exponents.min())
    places = exponents - lowest
    total = squares = Fraction(0)
    for i, one in enumerate(parts):
        total += _weighted(np.bincount(places, one.astype(np.float64)), 1, 18 * i)
        for j, other in enumerate(parts):
            squares += _weighted(np.bincount(places, (one * other).astype(np.float64)), 2, 18 * (i + j))
    unit = Fraction(2) ** (lowest - 53)
    return total * unit, squares * unit * unit


def _weighted(sums: NDArray[Any], power: int, shift: int) -> int:
    """Return the sum over exponents of sums * 2**(power * exponent + shift)."""
    return sum(int(found) << (power * place + shift) for place, found in enumerate(sums.tolist()) if found)
