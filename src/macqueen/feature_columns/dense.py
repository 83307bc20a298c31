"""Dense columns: each row becomes a fixed number of values."""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError
from macqueen.feature_columns.categorical import CategoricalColumn, Ids
from macqueen.feature_columns.features import NOTHING, Features

Weights = Mapping[str, NDArray[Any]]


class DenseColumn(ABC):
    """A column that a row can be made of."""

    @property
    @abstractmethod
    def name(self) -> str:
        """TensorFlow's name of the column."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""

    @property
    def dims(self) -> int:
        """Values a row."""
        return len(self.labels())

    @property
    def weights_name(self) -> str | None:
        """The variable of the checkpoint that holds its weights; one that has any has `first_weights`, too."""
        return None

    @abstractmethod
    def labels(self) -> list[str]:
        """Return what the values are called, (dims,)."""

    @abstractmethod
    def rows(self, features: Features, weights: Weights) -> NDArray[Any]:
        """Return the values (n, dims)."""


class ForeignColumn(DenseColumn):
    """A column of another library, which knows by itself how it is described and exported."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return JSON values that say which column it is; of a `kind` that is none of ours."""

    @abstractmethod
    def tensor(self, features: Mapping[str, Any], shared: dict[Any, Any]) -> tuple[Any, Any]:
        """Return the values (n, dims) as a tensor of the graph of `features`, and the variable of its weights or None.

        `shared` is empty at first: several columns of that graph keep there what they are made of, by who made it.
        """


@dataclass(frozen=True)
class NumericColumn(DenseColumn):
    """Numbers as they are, or as `normalizer_fn` makes them."""

    key: str
    shape: tuple[int, ...] = (1,)
    default_value: tuple[float, ...] | None = None  # (size,) or one for all
    dtype: str = "float32"
    normalizer_fn: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        return (self.key,)

    @property
    def size(self) -> int:
        """Values a row."""
        return int(np.prod(self.shape))

    def labels(self) -> list[str]:
        """Return what the values are called."""
        return [self.name] if self.size == 1 else [f"{self.name}[{at}]" for at in range(self.size)]

    def rows(self, features: Features, weights: Weights) -> NDArray[Any]:
        """Return the values (n, dims)."""
        values = self.raw(features)
        if self.normalizer_fn is None:
            return values
        made = np.asarray(self.normalizer_fn(values.reshape(len(values), *self.shape)))
        if made.size != values.size:
            raise ArgumentError(
                f"normalizer_fn of column {self.key!r} must keep the shape {(len(values), *self.shape)}, "
                f"got {made.shape}"
            )
        return made.reshape(values.shape)

    def raw(self, features: Features) -> NDArray[np.float64]:
        """Return the numbers before they are normalized."""
        default = None if self.default_value is None else np.array(self.default_value)
        return features.numbers(self.key, self.size, default)


@dataclass(frozen=True)
class BucketizedColumn(DenseColumn, CategoricalColumn):
    """Which of the intervals between `boundaries` a number falls into: [b(i-1), b(i))."""

    source_column: NumericColumn
    boundaries: tuple[float, ...]

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        return f"{self.source_column.name}_bucketized"

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        return self.source_column.keys

    @property
    def num_buckets(self) -> int:
        """Number of buckets."""
        return (len(self.boundaries) + 1) * self.source_column.size

    def ids(self, features: Features) -> Ids:
        """Return the buckets of each row; each value of the source has buckets of its own."""
        values = self.source_column.rows(features, {})
        found = np.searchsorted(np.array(self.boundaries), values, side="right")
        return found + np.arange(self.source_column.size) * (len(self.boundaries) + 1)

    def bucket_names(self) -> list[str]:
        """Return what the buckets are called."""
        ends = ["-inf", *map(str, self.boundaries), "inf"]
        intervals = [f"[{low}, {high})" for low, high in itertools.pairwise(ends)]
        return [f"{name}={interval}" for name in self.source_column.labels() for interval in intervals]

    def labels(self) -> list[str]:
        """Return what the values are called."""
        return self.bucket_names()

    def rows(self, features: Features, weights: Weights) -> NDArray[Any]:
        """Return the values (n, dims), one of them 1 for each value of the source."""
        ids = self.ids(features)
        return _counted(ids, np.ones(ids.shape), self.num_buckets)


@dataclass(frozen=True)
class IndicatorColumn(DenseColumn):
    """How often each category is there."""

    categorical_column: CategoricalColumn

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        return f"{self.categorical_column.name}_indicator"

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        return self.categorical_column.keys

    @property
    def dims(self) -> int:
        """Values a row."""
        return self.categorical_column.num_buckets

    def labels(self) -> list[str]:
        """Return what the values are called."""
        return [f"{self.name}={bucket}" for bucket in self.categorical_column.bucket_names()]

    def rows(self, features: Features, weights: Weights) -> NDArray[Any]:
        """Return the values (n, dims)."""
        ids = self.categorical_column.ids(features)
        return _counted(ids, self.categorical_column.weights(features, ids), self.dims)


@dataclass(frozen=True)
class EmbeddingColumn(DenseColumn):
    """The combined vectors of the categories. Weights are given or drawn, kept with the model, and never trained."""

    categorical_column: CategoricalColumn
    dimension: int
    combiner: str = "mean"
    initializer: Any = field(default=None, compare=False)  # an array or a callable f(shape); None: drawn by the seed
    max_norm: float | None = None
    shared_name: str | None = None  # of the weights, where several columns have the same

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        kind = "embedding" if self.shared_name is None else "shared_embedding"
        return f"{self.categorical_column.name}_{kind}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        return self.categorical_column.keys

    @property
    def weights_name(self) -> str:
        """The variable of the checkpoint that holds the weights."""
        return f"input_layer/{self.shared_name or self.name}/embedding_weights"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weights: (buckets, dimension)."""
        return self.categorical_column.num_buckets, self.dimension

    def labels(self) -> list[str]:
        """Return what the values are called."""
        return [f"{self.name}[{at}]" for at in range(self.dimension)]

    def first_weights(self, seed: int) -> NDArray[np.float32]:
        """Return the weights of a new model, (buckets, dimension)."""
        if self.initializer is None:
            return _drawn(seed, self.weights_name, self.shape)
        made = self.initializer(self.shape) if callable(self.initializer) else self.initializer
        weights = np.array(made, np.float32)
        if weights.shape != self.shape or not np.isfinite(weights).all():
            raise ArgumentError(
                f"initializer of column {self.name!r} must give finite weights of shape {self.shape}, got shape "
                f"{weights.shape}"
            )
        return weights

    def rows(self, features: Features, weights: Weights) -> NDArray[Any]:
        """Return the values (n, dims): float64 sums over the categories of a row in their order."""
        ids = self.categorical_column.ids(features)
        shares = self.categorical_column.weights(features, ids)
        table = np.asarray(weights[self.weights_name], np.float64)
        if self.max_norm is not None:
            table = _clipped(table, self.max_norm)
        total = np.zeros((len(ids), self.dimension))
        norm = np.zeros(len(ids))
        for at in range(ids.shape[1]):
            share = shares[:, at]
            total += table[np.maximum(ids[:, at], 0)] * share[:, np.newaxis]
            norm += share * share if self.combiner == "sqrtn" else share
        if self.combiner == "sum":
            return total
        norm = np.sqrt(norm) if self.combiner == "sqrtn" else norm
        found: NDArray[np.float64] = total / np.where(norm == 0, 1, norm)[:, np.newaxis]
        return found


def _counted(ids: Ids, weights: NDArray[np.float64], buckets: int) -> NDArray[np.float64]:
    """Return the sum of the weights of each bucket, (n, buckets)."""
    found = np.zeros((len(ids), buckets))
    for at in range(ids.shape[1]):
        there = np.flatnonzero(ids[:, at] != NOTHING)
        found[there, ids[there, at]] += weights[there, at]
    return found


def _clipped(table: NDArray[np.float64], max_norm: float) -> NDArray[np.float64]:
    squares = np.zeros(len(table))
    for at in range(table.shape[1]):  # in order: the same bits everywhere
        squares += table[:, at] * table[:, at]
    norms = np.sqrt(squares)
    scale = np.where(norms > max_norm, max_norm / np.where(norms == 0, 1, norms), 1.0)
    found: NDArray[np.float64] = table * scale[:, np.newaxis]
    return found


def _drawn(seed: int, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return weights that seed and name decide: nearly normal, of standard deviation 1 / sqrt(dimension).

    Each is the sum of 12 uniform numbers less 6. Sums of integers, one division: the same bits on every machine.
    """
    key = int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=16).digest(), "little")
    words = np.random.Philox(key=key).random_raw(shape[0] * shape[1] * 6)
    halves = words.view(np.uint32).reshape(*shape, 12).astype(np.float64)  # sums of 12 are exact
    normal = halves.sum(axis=2) / 2.0**32 - 6.0
    return np.array(normal / np.sqrt(float(shape[1])), np.float32)
