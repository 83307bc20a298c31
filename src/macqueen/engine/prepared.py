"""Centers made ready, and what can be asked of them: labels, distances, sums, cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from macqueen import _core
from macqueen.engine.kernels import Kernels, check_rows
from macqueen.engine.labelling import Labelling
from macqueen.engine.metric import Metric
from macqueen.errors import DataError
from macqueen.state import FloatArray, StepStats

RowName = Callable[[int], str]
ADD_WORK = 4e6  # multiplications: fewer are labelled and added in less time by one call
# The end of a pass: means (k, d), the centers where there are no rows, counts (k,), how many are 0, the squared cost.
Finished: TypeAlias = tuple[FloatArray, NDArray[np.int64], int, float]


class Prepared:
    """Centers (k, d) under a metric, ready for any number of blocks of rows (n, d).

    Rows are computed with in `dtype`, by default that of the centers; float32 widens to float64 without loss.
    """

    def __init__(
        self,
        centers: FloatArray,
        metric: Metric,
        kernels: Kernels,
        dtype: DTypeLike | None = None,
        labelling: Labelling | None = None,
    ) -> None:
        """`labelling`: of rows that are read once; None: they are compared with all centers plainly."""
        self.dtype = centers.dtype if dtype is None else np.dtype(dtype)
        self.metric = metric
        self.kernels = kernels
        self.shape = centers.shape
        self.centers = np.ascontiguousarray(centers, dtype=self.dtype)
        self.native = kernels.prepare(metric.centers(self.centers, kernels))
        self._labelling = labelling

    def rows(self, rows: FloatArray, name: RowName) -> FloatArray:
        """Return rows (n, d) as the kernels take them; a wrong width is an error."""
        if rows.shape[1] != self.shape[1]:
            raise DataError(
                f"{name(0)} has {rows.shape[1]} columns, but the centers have {self.shape[1]}; "
                "pass rows of the width the model was trained on"
            )
        wide = np.ascontiguousarray(rows, dtype=self.dtype)
        return self.metric.rows(wide, self.kernels, name)

    def labels(
        self, rows: FloatArray, name: RowName, distances: NDArray[np.float64] | None = None
    ) -> NDArray[np.int32]:
        """Return the index of the nearest center of each row; fill `distances` (n,) with the squared distances."""
        ready = self.rows(rows, name)
        known = self._known_labels(ready, name)
        if known is not None and distances is None and not self.metric.normalized:
            return known
        labels = np.empty(len(ready), dtype=np.int32) if known is None else known
        bad = self.native.assign(
            self.kernels.threads, ready, self.metric.normalized, labels, distances, known is not None
        )
        check_rows(bad, ready, name)
        return labels

    def _known_labels(self, ready: FloatArray, name: RowName) -> NDArray[np.int32] | None:
        return None if self._labelling is None else self._labelling.labels(ready, self.native, name)

    def distances(self, rows: FloatArray, name: RowName) -> FloatArray:
        """Return the distances (n, k) of this metric from rows to all centers, never negative."""
        ready = self.rows(rows, name)
        out = np.empty((len(ready), self.shape[0]), dtype=self.dtype)
        bad = self.native.distances(self.kernels.threads, ready, self.metric.factor, self.metric.normalized, out)
        check_rows(bad, ready, name)
        return out

    def nearest(self, rows: FloatArray, name: RowName, count: int) -> tuple[NDArray[np.int32], FloatArray]:
        """Return indices and distances (n, count) of the nearest centers, in the order of the exact distances."""
        ready = self.rows(rows, name)
        indices = np.empty((len(ready), count), dtype=np.int32)
        out = np.empty((len(ready), count), dtype=self.dtype)
        metric = self.metric
        bad = _core.nearest(self.native, self.kernels.threads, ready, metric.factor, metric.normalized, indices, out)
        check_rows(bad, ready, name)
        return indices, out

    def add(
        self, rows: FloatArray, name: RowName, totals: _core.Totals, workspace: _core.Workspace, squares: bool
    ) -> None:
        """Label rows and add them to `totals`; an unfit row is an error, and `totals` then worthless."""
        ready = self.rows(rows, name)
        known = self._known_labels(ready, name) if ready.size * self.shape[0] >= ADD_WORK else None
        metric = self.metric
        bad = self.native.accumulate(
            self.kernels.threads, ready, squares, metric.normalized, workspace, totals, known, known is not None
        )
        check_rows(bad, ready, name)

    def finish(self, totals: _core.Totals, squares: _core.Totals | None = None) -> Finished:
        """Return what a pass under these centers comes to."""
        return _core.finish(self.kernels.threads, self.native, totals, self.centers, squares)


class Kept:
    """The centers that were read with last, made ready: a call after another need not do so again.

    Safe between threads: centers are never written to, and what is kept is replaced as a whole.
    """

    def __init__(self) -> None:
        self._last: tuple[FloatArray, Prepared] | None = None

    def prepared(
        self, centers: FloatArray, metric: Metric, kernels: Kernels, dtype: DTypeLike, labelling: Labelling | None
    ) -> Prepared:
        """Return centers (k, d) made ready to compute in `dtype`; those kept have a `labelling` that has seen more."""
        last = self._last
        if last is not None and last[0] is centers and last[1].dtype == dtype:
            return last[1]
        prepared = Prepared(centers, metric, kernels, dtype, labelling)
        self._last = centers, prepared
        return prepared


class Pass:
    """One batch or one pass over a data set under fixed centers: blocks in, totals out."""

    def __init__(self, prepared: Prepared, workspace: _core.Workspace, squares: _core.Totals | None = None) -> None:
        """`squares`: the totals of an earlier pass over the same rows, whose squared norms are used again."""
        self.prepared = prepared
        self.totals = _core.Totals(*prepared.shape)
        self.rows = 0
        self._workspace = workspace
        self._squares = squares
        self._finished: Finished | None = None

    def add(self, block: FloatArray, name: RowName) -> None:
        """Add a block of rows."""
        self.prepared.add(block, name, self.totals, self._workspace, self._squares is None)
        self.rows += len(block)

    def add_index(self, index: Any) -> bool:
        """Add all rows of an index (`macqueen.engine.indexes`); tell whether it is worth using again."""
        self.rows += index.rows
        worth, self._finished = index.add_to(self.totals, self.prepared)
        return worth  # type: ignore[no-any-return]

    def finish(self, position: dict[str, Any] | None = None) -> StepStats:
        """Return what was added up; `position` goes with it. The cost is exact, rounded once (cosine: once more)."""
        totals = self.totals
        means, counts, emptied, squared = self._finished or self.prepared.finish(totals, self._squares)
        means.flags.writeable = False  # they become the model's centers
        cost = self.prepared.metric.cost(squared, totals.zero_rows)
        return StepStats(self.rows, counts, cost, totals, means, position, emptied)
