"""k-means++: each center a row drawn by its squared distance to the nearest center so far."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.engine.kernels import Kernels
from macqueen.engine.metric import Metric
from macqueen.engine.rows import Rows
from macqueen.state import FloatArray

_LOG = logging.getLogger("macqueen")
PURPOSE = 2  # of random numbers

NEAR_WORK = 1 << 24  # rows x dims x centers from which on looking at all rows at once pays
PART_WORK = 1e10  # multiplications in one native call: Ctrl-C is noticed between calls
BLOCK = 256  # rows of a block of `_core.Near32`
MOST_DIMS = 1 << 15


class Nearest(Protocol):
    """How far rows are from the centers so far: squared distances are weights, integers on one grid."""

    def total(self) -> int:
        """Return the sum of all weights, on the grid of the largest; before the first center, all weigh the same."""

    def pick(self, target: int) -> int:
        """Return the first row whose cumulated weight passes `target`, after `total`."""

    def choose(self, candidates: list[int]) -> int:
        """Make the candidate a center that lowers the sum most, the first among equals; return its place."""


class PlainNearest:
    """Rows in blocks, wherever they come from: a pass for each candidate.

    `squared` (n,) are the squared distances to centers that are there already.
    """

    def __init__(
        self, rows: Rows, metric: Metric, kernels: Kernels, squared: NDArray[np.float64] | None = None
    ) -> None:
        self.rows = rows
        self.metric = metric
        self.kernels = kernels
        self.squared = np.full(rows.rows, np.inf) if squared is None else squared
        self._any = squared is not None
        self._top = 0

    def total(self) -> int:
        """Return the sum of all weights, on the grid of the largest."""
        if not self._any:
            return self.rows.rows
        self._top = grid_top(self.squared)
        return _core.total_weight(self.kernels.threads, self.squared, self._top)

    def pick(self, target: int) -> int:
        """Return the first row whose cumulated weight passes `target`, after `total`."""
        return _core.pick_by_weight(self.squared, self._top, target) if self._any else target

    def choose(self, candidates: list[int]) -> int:
        """Make the candidate a center that lowers the sum most, the first among equals; return its place."""
        taken = self.rows.take(np.asarray(candidates, dtype=np.int64))
        rows = self.metric.rows(taken, self.kernels, lambda i: f"row {candidates[i]}")
        best = self._best(rows) if len(rows) > 1 else 0
        self._lower(rows[best])
        self._any = True
        return best

    def _best(self, candidates: FloatArray) -> int:
        if not self._any:  # one grid for all candidates, without a second vector (n,)
            tops = []
            for candidate in candidates:
                self._lower(candidate)
                tops.append(grid_top(self.squared))
                self.squared.fill(np.inf)
            self._top = max(tops)
        weights = [0] * len(candidates)
        for block, squared in self._blocks():
            for i, candidate in enumerate(candidates):
                weights[i] += _core.weight_lowered_to(
                    self.kernels.isa, self.kernels.threads, block, candidate, squared, self._top
                )
        return weights.index(min(weights))

    def _lower(self, center: FloatArray) -> None:
        for block, squared in self._blocks():
            _core.lower_to(self.kernels.isa, self.kernels.threads, block, center, squared)

    def _blocks(self) -> Iterator[tuple[FloatArray, NDArray[np.float64]]]:
        first = 0
        for block in self.rows.blocks():
            yield block, self.squared[first : first + len(block)]
            first += len(block)


class ScreenedNearest:
    """Rows as one array in memory: all candidates of a step at once, and few distances that change nothing.

    `squared` (n,) are those to the centers so far, and are written to; a row may stand for several, `counts` (n,).
    """

    def __init__(
        self,
        rows: FloatArray,
        squared: NDArray[np.float64],
        kernels: Kernels,
        counts: NDArray[np.float64] | None = None,
    ) -> None:
        make = _core.Near32 if rows.dtype == np.float32 else _core.Near64
        sample = rows[:: max(1, len(rows) // 1024)].astype(np.float64)
        self._threads = kernels.threads
        self._native: Any = make(kernels.isa, kernels.threads, rows, sample.mean(axis=0), squared, counts)
        self._dims = rows.shape[1]
        for begin, end in self._parts(1):
            self._native.prepare(self._threads, begin, end)

    def total(self) -> int:
        """Return the sum of all weights, on the grid of the largest."""
        return int(self._native.total(self._threads))

    def pick(self, target: int) -> int:
        """Return the first row whose cumulated weight passes `target`, after `total`."""
        return int(self._native.pick(target))

    def choose(self, candidates: list[int]) -> int:
        """Make the candidate a center that lowers the sum most, the first among equals; return its place."""
        self._native.begin_step(np.asarray(candidates, dtype=np.int64))
        for begin, end in self._parts(len(candidates)):
            self._native.look(self._threads, begin, end)
        best = int(self._native.best())
        for begin, end in self._parts(1):
            self._native.lower(self._threads, best, begin, end)
        return best

    def _parts(self, candidates: int) -> Iterator[tuple[int, int]]:
        blocks = max(1, int(PART_WORK / (BLOCK * candidates * self._dims)))
        for begin in range(0, self._native.blocks, blocks):
            yield begin, min(begin + blocks, self._native.blocks)

    @staticmethod
    def memory(rows: int, dims: int, candidates: int) -> int:
        """Return the bytes that are taken beside the rows and their distances."""
        return rows * ((dims + 3) // 4 * 4 + 20 + 2 * -(-candidates // 16))


class Draws:
    """Random integers, one after another."""

    def __init__(self, seed: int, purpose: int) -> None:
        self.seed = seed
        self.purpose = purpose
        self.drawn = 0

    def below(self, limit: int) -> int:
        """Draw an integer in [0, limit): the upper half of a 128-bit product, biased by less than 2^-60."""
        bits = 0
        for _ in range(2):
            bits = bits << 64 | _core.random_bits(self.seed, self.purpose, self.drawn)
            self.drawn += 1
        return bits * limit >> 128


def grow(nearest: Nearest, chosen: list[int], count: int, candidates: int, draws: Draws) -> None:
    """Add rows to `chosen`, each the best of so many candidates, until there are `count` or no weight is left."""
    while len(chosen) < count and (total := nearest.total()) > 0:
        drawn = [nearest.pick(draws.below(total)) for _ in range(candidates)]
        chosen.append(drawn[nearest.choose(drawn)])


class PlusPlus:
    """k-means++ with retries (Arthur & Vassilvitskii, 2007; greedy as in their section 5).

    Each new center is drawn with a probability proportional to a row's squared distance to the nearest center so
    far; of 1 + retries candidates the one that lowers the sum most is taken, the first among equals. Squared
    distances are integers on one grid, so that their sums have no order.

    A negative `retries` stands for 2 + floor(log(count)). `plain`: distances are never left out.
    """

    def __init__(
        self,
        rows: Rows,
        metric: Metric,
        kernels: Kernels,
        draws: Draws,
        count: int,
        retries: int,
        memory_limit: int | None = None,
        plain: bool = False,
    ) -> None:
        self.rows = rows
        self.metric = metric
        self.kernels = kernels
        self.draws = draws
        self.count = count
        self.candidates = 1 + (2 + int(math.log(count)) if retries < 0 else retries)
        self.memory_limit = math.inf if memory_limit is None else memory_limit
        self.plain = plain

    def choose(self) -> list[int]:
        """Return the rows that become centers."""
        chosen: list[int] = []
        nearest = PlainNearest(self.rows, self.metric, self.kernels)
        grow(nearest, chosen, 1, self.candidates, self.draws)
        return self.fill_up(chosen, nearest)

    def fill_up(self, chosen: list[int], nearest: PlainNearest) -> list[int]:
        """Add rows to `chosen`, the centers that `nearest` knows, until there are enough."""
        if len(chosen) < self.count:
            grow(self._screened(nearest), chosen, self.count, self.candidates, self.draws)
        if len(chosen) < self.count:
            _LOG.warning(
                "k-means++: the rows have only %d distinct values; the lowest unused rows fill up the centers",
                len(chosen),
            )
            used = set(chosen)
            unused = (i for i in range(self.rows.rows) if i not in used)
            chosen += itertools.islice(unused, self.count - len(chosen))
        return chosen

    def screens(self, rows: int, dims: int, copied: int = 0) -> bool:
        """Tell whether distances to so many rows may be left out; `copied`: bytes that the rows take themselves."""
        memory = ScreenedNearest.memory(rows, dims, self.candidates) + copied
        return not self.plain and dims <= MOST_DIMS and memory <= self.memory_limit

    def _screened(self, nearest: PlainNearest) -> Nearest:
        """Return what goes on after the first center."""
        rows, dims = self.rows.rows, self.rows.dims
        copied = rows * dims * 8 if self.metric.normalized else 0
        if rows * dims * self.count * self.candidates < NEAR_WORK or not self.screens(rows, dims, copied):
            return nearest
        array = self.rows.whole()
        return nearest if array is None else ScreenedNearest(array, nearest.squared, self.kernels)


def grid_top(weights: NDArray[np.float64]) -> int:
    """Return the exponent that all weights stay below."""
    return int(math.frexp(float(weights.max()))[1])
