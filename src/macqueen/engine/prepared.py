"""Centers made ready, and what can be asked of them: labels, distances, sums, cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from macqueen import _core
from macqueen.engine import seeding
from macqueen.engine.kernels import Kernels, check_rows
from macqueen.engine.metric import Metric
from macqueen.errors import DataError
from macqueen.state import FloatArray

RowName = Callable[[int], str]


class Prepared:
    """Centers (k, d) under a metric, ready for any number of blocks of rows (n, d).

    Rows are computed with in `dtype`, by default that of the centers; float32 widens to float64 without loss.
    """

    def __init__(self, centers: FloatArray, metric: Metric, kernels: Kernels, dtype: DTypeLike | None = None) -> None:
        self.dtype = np.dtype(dtype or centers.dtype)
        self.metric = metric
        self.kernels = kernels
        self.shape = centers.shape
        self.native = kernels.prepare(metric.centers(centers.astype(self.dtype, copy=False), kernels))

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
        labels = np.empty(len(ready), dtype=np.int32)
        bad = self.native.assign(self.kernels.threads, ready, self.metric.normalized, labels, distances)
        check_rows(bad, ready, name)
        return labels

    def distances(self, rows: FloatArray, name: RowName) -> FloatArray:
        """Return the distances (n, k) of this metric from rows to all centers, never negative."""
        ready = self.rows(rows, name)
        out = np.empty((len(ready), self.shape[0]), dtype=self.dtype)
        bad = self.native.distances(self.kernels.threads, ready, self.metric.factor, self.metric.normalized, out)
        check_rows(bad, ready, name)
        return out

    def cost(self, totals: _core.Totals, sums: NDArray[np.float64], rest: NDArray[np.float64]) -> float:
        """Return the sum of the distances behind `totals`: exact, rounded once (cosine: once more)."""
        return self.metric.cost(self.native.cost(totals, sums, rest), totals.zero_rows)

    def add(
        self, rows: FloatArray, name: RowName, totals: _core.Totals, workspace: _core.Workspace, squares: bool
    ) -> None:
        """Label rows and add them to `totals`; an unfit row is an error, and `totals` then worthless."""
        ready = self.rows(rows, name)
        bad = self.native.accumulate(self.kernels.threads, ready, squares, self.metric.normalized, workspace, totals)
        check_rows(bad, ready, name)


class Boxes:
    """Rows of few dimensions in boxes: a step compares them with the centers near their box, not with all."""

    MOST_DIMS, FEWEST_ROWS, MOST_ROWS, FEWEST_CLUSTERS = 6, 8192, 1 << 25, 16  # where they can pay
    WORTH = 0.6  # a step that compared a row with more than this part of the centers did not

    def __init__(self, rows: FloatArray, kernels: Kernels, name: RowName) -> None:
        make = _core.Boxes32 if rows.dtype == np.float32 else _core.Boxes64
        seeding.check_finite(rows, kernels, name)
        self._native: Any = make(kernels.isa, kernels.threads, rows)
        self.rows = len(rows)

    @staticmethod
    def can_pay(rows: int, dims: int, clusters: int, metric: Metric) -> bool:
        """Tell whether to try."""
        few = dims <= Boxes.MOST_DIMS and clusters >= Boxes.FEWEST_CLUSTERS
        return few and Boxes.FEWEST_ROWS <= rows <= Boxes.MOST_ROWS and not metric.normalized

    def add_to(self, totals: _core.Totals, prepared: Prepared) -> bool:
        """Label all rows and add them to `totals`; tell whether it was worth it."""
        looked_at = self._native.accumulate(prepared.kernels.threads, prepared.native, totals)
        return bool(looked_at <= self.WORTH * prepared.shape[0])


class Pass:
    """One batch or one pass over a data set under fixed centers: blocks in, totals out."""

    def __init__(self, prepared: Prepared, workspace: _core.Workspace, squares: _core.Totals | None = None) -> None:
        """`squares`: the totals of an earlier pass over the same rows, whose squared norms are used again."""
        self.prepared = prepared
        self.totals = _core.Totals(*prepared.shape)
        self.rows = 0
        self._workspace = workspace
        self._squares = squares

    def add(self, block: FloatArray, name: RowName) -> None:
        """Add a block of rows."""
        self.prepared.add(block, name, self.totals, self._workspace, self._squares is None)
        self.rows += len(block)

    def add_boxes(self, boxes: Boxes) -> bool:
        """Add all rows of boxes; tell whether they are worth using again."""
        self.rows += boxes.rows
        return boxes.add_to(self.totals, self.prepared)

    def finish(self) -> tuple[NDArray[np.float64], float]:
        """Return the rounded sums (k, d) and the cost."""
        if self._squares is not None:
            self.totals.take_squares_of(self._squares)
        sums, rest = self.totals.rounded(self.prepared.kernels.threads)
        return sums, self.prepared.cost(self.totals, sums, rest)
