"""How rows can be sketched (cpp/sketch.hpp): in float32 or int8, with leading axes apart or without."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.engine.kernels import Centers, Kernels
from macqueen.state import FloatArray

GROUP = 16  # centers that are looked at together
AXES_ROWS = 512  # of the sample, at most, that axes are found by
INT8_DIMS = 8  # with fewer, a tail takes no less than the coordinates
HEADS = (8, 4)  # leading axes kept in float32 beside an int8 tail: as many as a quarter of the columns allows


@dataclass(frozen=True, eq=False)
class Form:
    """One way to sketch rows."""

    name: str
    origin: NDArray[np.float64]  # (d,)
    axes: NDArray[np.float64]  # (a, d), orthonormal rows; a may be 0
    heads: int  # coordinates in float32: all columns, none, or the axes
    share: int = 1  # groups that share a stored bound

    @property
    def tails(self) -> int:
        """Coordinates in int8."""
        return len(self.origin) - (0 if len(self.axes) else self.heads)

    @property
    def record(self) -> int:
        """Bytes of a row's sketch."""
        return 24 + 4 * self.heads + (self.tails + 3) // 4 * 4

    def sharing(self, share: int) -> Form:
        """Return the same with so many groups that share a stored bound."""
        return replace(self, name=f"{self.name}, a bound for {share} groups", share=share)

    def least_cycles(self, clusters: int, width: int) -> float:
        """Return `cycles` of a first step that leaves nothing but what it has to look at."""
        return self.cycles(clusters, width, 1 if len(self.axes) else -(-clusters // GROUP), 0, 0)

    def cycles(self, clusters: int, width: int, opened: float, candidates: float, hard: float) -> float:
        """Estimate a row's share of a first step, in processor cycles.

        Parameters
        ----------
        clusters, width
            Clusters, and float32 values in a vector register.
        opened, candidates, hard
            Groups looked at in full, centers left for exact decisions, and rows compared with all centers in float32,
            per row.
        """
        dims = len(self.origin)
        heads = GROUP / width * (12 + self.heads)
        screens = heads * -(-clusters // GROUP) if len(self.axes) else 0
        looks = opened * (heads + 4 * self.tails / width)
        return screens + looks + candidates * (40 + dims / 2) + hard * clusters * dims / width + 3 * dims + 100


def forms_for(sample: FloatArray, isa: str, int8: bool) -> list[Form]:
    """Return the forms worth a trial on rows like `sample` (m, d), the simplest first.

    Parameters
    ----------
    sample
        Some rows.
    int8
        Whether the processor multiplies 8-bit integers fast.
    """
    rows = sample.astype(np.float64)
    dims = rows.shape[1]
    origin = rows.mean(axis=0)
    none = np.empty((0, dims))
    forms = [Form("float32", origin, none, dims)]
    if int8 and dims >= INT8_DIMS:
        forms.append(Form("int8", origin, none, 0))
    count = next((count for count in HEADS if int8 and 4 * count <= dims), 0)
    if count:
        centered = rows[:: 1 + len(rows) // AXES_ROWS] - origin
        axes = _core.principal_axes(isa, centered / (np.abs(centered).max() or 1.0), count)
        forms.append(Form(f"int8 and {count} axes", origin, axes, count))
    return forms


class Looks(NamedTuple):
    """What labelling rows through sketches took, each a row: cycles, and what was left."""

    form: Form
    cycles: float
    candidates: float  # centers decided among exactly
    hard: float  # rows compared with all centers in float32


def label(
    rows: FloatArray,
    form: Form,
    centers: Centers,
    places: NDArray[np.int32],
    kernels: Kernels,
    labels: NDArray[np.int32],
) -> Looks:
    """Label rows (n, d) through sketches of them, into `labels` (n,); `places` (k,): the order of the centers."""
    native = sketched(rows, form, kernels)
    done = native.label(kernels.threads, centers, places, labels)
    opened, candidates, hard = (each / len(rows) for each in (done.opened, done.candidates, done.hard))
    return Looks(form, form.cycles(centers.k, kernels.width, opened, candidates, hard), candidates, hard)


def trials(
    forms: Iterable[Form], rows: FloatArray, centers: Centers, places: NDArray[np.int32], kernels: Kernels
) -> list[Looks]:
    """Label rows (n, d) in each form, but those that could not be the best if they left nothing."""
    found: list[Looks] = []
    labels = np.empty(len(rows), np.int32)
    for form in sorted(forms, key=lambda form: form.least_cycles(centers.k, kernels.width)):
        least = min((looks.cycles for looks in found), default=math.inf)
        if form.least_cycles(centers.k, kernels.width) <= least:
            found.append(label(rows, form, centers, places, kernels, labels))
    return found


def can_sketch(sample: FloatArray) -> bool:
    """Tell whether values are finite, and squares of their differences, too, and do not vanish."""
    most = float(np.abs(sample).max())
    return bool(np.isfinite(most)) and (most == 0 or sample.dtype == np.float32 or 1e-100 < most < 1e100)


def sketched(rows: FloatArray, form: Form, kernels: Kernels) -> Any:
    """Return the native object for rows; ValueError: one of them is unfit."""
    make = _core.Bounded32 if rows.dtype == np.float32 else _core.Bounded64
    return make(kernels.isa, kernels.threads, rows, form.origin, form.axes, form.heads, form.share)


def plain_cycles(clusters: int, dims: int, width: int) -> float:
    """Estimate a row's share of a plain step, in processor cycles; width: float32 values in a vector register."""
    return compare_cycles(clusters, dims, width) + 1.5 * dims + 100


def compare_cycles(clusters: int, dims: int, width: int) -> float:
    """Estimate what comparing a row with all centers takes of these."""
    return clusters * (dims + 5) / width
