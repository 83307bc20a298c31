"""Where centers start: random rows, k-means++, the caller's own choice, or given centers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.engine.kernels import Kernels, check_rows
from macqueen.engine.metric import Metric
from macqueen.errors import DataError, InputEndedError
from macqueen.state import FloatArray

_LOG = logging.getLogger("macqueen")
_RANDOM, _PLUS_PLUS = 1, 2  # purposes of random numbers


class Rows(Protocol):
    """What seeding may look at: all rows of a data set, or one batch of a stream."""

    rows: int

    def take(self, indices: NDArray[np.int64]) -> FloatArray:
        """Return rows by index."""

    def blocks(self) -> Iterator[FloatArray]:
        """Yield all rows in order, as the kernels take them."""


class Batch(Rows, Protocol):
    """Rows in one array, as the caller's own function wants them."""

    array: FloatArray


def random_rows(rows: Rows, count: int, seed: int, kernels: Kernels, draw: int = 0) -> FloatArray:
    """Return `count` distinct rows, each choice as likely; number `draw` of these."""
    indices = _core.permuted(seed, _RANDOM + (draw << 8), rows.rows, 0, count)
    chosen = rows.take(indices)
    check_finite(chosen, kernels, lambda i: f"row {indices[i]}")
    return chosen


def chosen_by(function: Callable[[Any, int], Any], batch: FloatArray, count: int) -> FloatArray:
    """Return the 0 to `count` centers that the caller's function f(inputs, k) picks from a batch."""
    chosen = np.asarray(function(batch, count))
    if chosen.size == 0:
        return batch[:0]
    if chosen.ndim != 2 or chosen.shape[1] != batch.shape[1] or chosen.dtype.kind not in "biuf":
        raise DataError(
            f"initial_clusters: f(inputs, k) must return an array of up to k rows of {batch.shape[1]} numbers; "
            f"got shape {chosen.shape}, dtype {chosen.dtype}"
        )
    if len(chosen) > count:
        raise DataError(f"initial_clusters: f(inputs, k) returned {len(chosen)} rows for k = {count}; return at most k")
    return np.ascontiguousarray(chosen, dtype=batch.dtype)


def too_few_rows(clusters: int, found: int, what: str) -> DataError:
    """Say that there are fewer rows than clusters."""
    return DataError(
        f"num_clusters={clusters} needs at least as many rows, but {what} has {found}; "
        "ask for fewer clusters or pass more rows"
    )


def ended_early(clusters: int, found: int) -> InputEndedError:
    """Say that the input ended during initialisation."""
    return InputEndedError(
        f"the input ended after {found} of {clusters} initial centers were found; pass more rows, ask for fewer "
        "clusters, or give the centers as an array"
    )


class PlusPlus:
    """k-means++ with retries (Arthur & Vassilvitskii, 2007; greedy as in their section 5).

    Each new center is drawn with a probability proportional to a row's squared distance to the nearest center so
    far; of 1 + retries candidates the one that lowers the sum most is taken, the first among equals. Squared
    distances are integers on one grid, so that their sums have no order.
    """

    def __init__(self, rows: Rows, metric: Metric, kernels: Kernels, seed: int) -> None:
        self.rows = rows
        self.metric = metric
        self.kernels = kernels
        self.seed = seed
        self.drawn = 0
        self.nearest = np.full(rows.rows, np.inf)  # (n,) squared distance to the nearest center so far
        self.chosen: list[int] = []
        self.warned = False

    def choose(self, count: int, retries: int) -> FloatArray:
        """Return `count` centers; a negative `retries` stands for 2 + floor(log(count))."""
        if retries < 0:
            retries = 2 + int(math.log(count))
        for _ in range(count):
            candidates = self._candidates(1 + retries)
            rows = self._prepared(candidates)
            best = self._best(rows) if len(candidates) > 1 else 0
            self._lower(self.nearest, rows[best])
            self.chosen.append(candidates[best])
        return self.rows.take(np.asarray(self.chosen, dtype=np.int64))

    def _candidates(self, count: int) -> list[int]:
        if not self.chosen:
            return [self._random(self.rows.rows) for _ in range(count)]
        top = _grid_top(self.nearest)
        total = _core.total_weight(self.kernels.threads, self.nearest, top)
        if total == 0:
            return [self._lowest_unused()]
        return [_core.pick_by_weight(self.nearest, top, self._random(total)) for _ in range(count)]

    def _random(self, below: int) -> int:
        """Draw an integer in [0, below): the upper half of a 128-bit product, biased by less than 2^-60."""
        bits = 0
        for _ in range(2):
            bits = bits << 64 | _core.random_bits(self.seed, _PLUS_PLUS, self.drawn)
            self.drawn += 1
        return bits * below >> 128

    def _lowest_unused(self) -> int:
        if not self.warned:
            self.warned = True
            _LOG.warning(
                "k-means++: the rows have only %d distinct values; the lowest unused rows fill up the centers",
                len(self.chosen),
            )
        used = set(self.chosen)
        return next(i for i in range(self.rows.rows) if i not in used)

    def _prepared(self, indices: list[int]) -> FloatArray:
        rows = self.rows.take(np.asarray(indices, dtype=np.int64))
        return self.metric.rows(rows, self.kernels, lambda i: f"row {indices[i]}")

    def _best(self, candidates: FloatArray) -> int:
        if self.chosen:
            top = _grid_top(self.nearest)
        else:  # one grid for all candidates, without a second vector (n,)
            tops = []
            for candidate in candidates:
                self._lower(self.nearest, candidate)
                tops.append(_grid_top(self.nearest))
                self.nearest.fill(np.inf)
            top = max(tops)
        weights = [0] * len(candidates)
        first = 0
        for block in self.rows.blocks():
            nearest = self.nearest[first : first + len(block)]
            for i, candidate in enumerate(candidates):
                weights[i] += _core.weight_lowered_to(
                    self.kernels.isa, self.kernels.threads, block, candidate, nearest, top
                )
            first += len(block)
        return weights.index(min(weights))

    def _lower(self, nearest: NDArray[np.float64], center: FloatArray) -> None:
        first = 0
        for block in self.rows.blocks():
            _core.lower_to(self.kernels.isa, self.kernels.threads, block, center, nearest[first : first + len(block)])
            first += len(block)


def _grid_top(weights: NDArray[np.float64]) -> int:
    """Return the exponent that all weights stay below."""
    return int(math.frexp(float(weights.max()))[1])


def check_finite(rows: FloatArray, kernels: Kernels, name: Callable[[int], str]) -> None:
    """Raise for the first row with a NaN, an infinity or a magnitude beyond the limit."""
    check_rows(_core.first_bad_row(kernels.isa, kernels.threads, rows), rows, name)
