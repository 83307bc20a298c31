"""k-means||: few passes over the rows, each of which draws many candidates; k-means++ among these."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.engine.kernels import Kernels
from macqueen.engine.plus_plus import Nearest, PlainNearest, PlusPlus, ScreenedNearest, grid_top, grow
from macqueen.state import FloatArray

PURPOSE = 3  # of random numbers; those of round r have PURPOSE + 256 r
ROUNDS, OVERSAMPLING = 5, 2  # as in the paper's experiments
PART_WORK = 1e10  # multiplications in one native call: Ctrl-C is noticed between calls


class WeightedNearest:
    """Rows in memory, each of which stands for `counts` (m,) rows: a pass for each candidate."""

    def __init__(self, rows: FloatArray, counts: NDArray[np.float64], kernels: Kernels) -> None:
        self.rows = rows
        self.counts = counts
        self.kernels = kernels
        self.squared = np.full(len(rows), np.inf)
        self._weights = counts  # (m,); before the first center, counts alone

    def total(self) -> int:
        """Return the sum of all weights, on the grid of the largest."""
        return _core.total_weight(self.kernels.threads, self._weights, grid_top(self._weights))

    def pick(self, target: int) -> int:
        """Return the first row whose cumulated weight passes `target`."""
        return _core.pick_by_weight(self._weights, grid_top(self._weights), target)

    def choose(self, candidates: list[int]) -> int:
        """Make the candidate a center that lowers the sum most, the first among equals; return its place."""
        lowered = [self._lowered(self.rows[candidate]) for candidate in candidates]
        weights = [squared * self.counts for squared in lowered]
        top = max(grid_top(some) for some in weights)
        sums = [_core.total_weight(self.kernels.threads, some, top) for some in weights]
        best = sums.index(min(sums))
        self.squared, self._weights = lowered[best], weights[best]
        return best

    def _lowered(self, center: FloatArray) -> NDArray[np.float64]:
        squared = self.squared.copy()
        _core.lower_to(self.kernels.isa, self.kernels.threads, self.rows, center, squared)
        return squared


class Parallel:
    """k-means|| (Bahmani et al., 2012).

    After a first random row come five rounds: each draws every row by itself, with 2 k times its share of the sum of
    squared distances as probability, and looks at all rows once. The centers are chosen among these candidates by
    k-means++, where a candidate counts for the rows that it is nearest to: the counts are exact, and a draw depends on
    seed, round and row alone. If there are too few candidates, k-means++ goes on among the rows.
    """

    def __init__(self, plus_plus: PlusPlus) -> None:
        self.plus_plus = plus_plus
        self.rows = plus_plus.rows
        self.kernels = plus_plus.kernels
        self.count = plus_plus.count
        self.draws = plus_plus.draws
        self.squared = np.full(self.rows.rows, np.inf)  # (n,) to the nearest candidate
        self.labels = np.zeros(self.rows.rows, dtype=np.int32)  # (n,) of the nearest candidate, ties to the first
        self.candidates: list[int] = []
        self._values: list[FloatArray] = []  # of the candidates, as the kernels take them

    def choose(self) -> list[int]:
        """Return the rows that become centers."""
        self._add([self.draws.below(self.rows.rows)])
        for number in range(1, ROUNDS + 1):
            self._add(self._sampled(number))
        chosen = self.candidates if len(self.candidates) <= self.count else self._among_candidates()
        nearest = PlainNearest(self.rows, self.plus_plus.metric, self.kernels, self.squared)
        return self.plus_plus.fill_up(list(chosen), nearest)

    def _sampled(self, number: int) -> list[int]:
        top = grid_top(self.squared)
        total = _core.total_weight(self.kernels.threads, self.squared, top)
        if total == 0:
            return []
        factor = OVERSAMPLING * self.count / total
        purpose = PURPOSE + (number << 8)
        return _core.sampled_by_weight(self.kernels.threads, self.squared, top, factor, self.draws.seed, purpose)

    def _add(self, rows: list[int]) -> None:
        """Make rows candidates; all others look which is nearest."""
        if not rows:
            return
        taken = self.rows.take(np.asarray(rows, dtype=np.int64))
        fresh = self.plus_plus.metric.rows(taken, self.kernels, lambda i: f"row {rows[i]}")
        before = len(self.candidates)
        self._values.append(np.ascontiguousarray(fresh))
        self.candidates += rows
        values = np.concatenate(self._values)
        native, isa, threads = self.kernels.prepare(fresh), self.kernels.isa, self.kernels.threads
        for first, part in self._parts(len(rows)):
            labels, squared = np.empty(len(part), dtype=np.int32), np.empty(len(part))
            native.assign(threads, part, False, labels, squared)
            places = slice(first, first + len(part))
            _core.merge_nearest(
                isa, threads, part, values, before, labels, squared, self.labels[places], self.squared[places]
            )

    def _parts(self, candidates: int) -> Iterator[tuple[int, FloatArray]]:
        size = max(1, int(PART_WORK / (candidates * self.rows.dims)))
        first = 0
        for block in self.rows.blocks():
            for begin in range(0, len(block), size):
                part = block[begin : begin + size]
                yield first, part
                first += len(part)

    def _among_candidates(self) -> list[int]:
        """Choose centers among more candidates than these; fewer where no candidate has another value."""
        counts = np.bincount(self.labels, minlength=len(self.candidates)).astype(np.float64)
        values = np.concatenate(self._values)
        tries, places = self.plus_plus.candidates, list[int]()
        nearest = WeightedNearest(values, counts, self.kernels)
        grow(nearest, places, 1, tries, self.draws)
        among: Nearest = nearest
        if self.plus_plus.screens(len(values), self.rows.dims):
            among = ScreenedNearest(values, nearest.squared, self.kernels, counts)
        grow(among, places, self.count, tries, self.draws)
        return [self.candidates[place] for place in places]
