"""How rows can be sketched (cpp/sketch.hpp): in float32 or int8, whole or along the principal axes of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.state import FloatArray

GROUP = 16  # centers that share a bound
HEADS = 8  # leading axes kept in float32 beside an int8 tail
MOST_AXES = 64


@dataclass(frozen=True, eq=False)
class Form:
    """One way to sketch rows."""

    name: str
    origin: NDArray[np.float64]  # (d,)
    axes: NDArray[np.float64]  # (a, d), orthonormal rows; a may be 0
    heads: int  # coordinates in float32
    rest: bool  # after the axes, what they leave of a row, in its own d coordinates

    @property
    def tails(self) -> int:
        """Coordinates in int8."""
        dims = len(self.origin)
        if len(self.axes) == 0 or self.rest:
            return dims - (0 if self.rest else self.heads)
        return len(self.axes) - self.heads

    @property
    def record(self) -> int:
        """Bytes of a row's sketch."""
        residual = len(self.axes) > 0 and not self.rest
        return 24 + 4 * (self.heads + residual) + (self.tails + 3) // 4 * 4

    def cycles(self, dims: int, clusters: int, width: int, candidates: float) -> float:
        """Estimate a row's share of a first step, in processor cycles, with `candidates` left for exact decisions."""
        group = GROUP / width * (10 + self.heads) + self.tails / 4
        return group * (clusters + GROUP - 1) // GROUP + candidates * (40 + dims / 2) + 200


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
    forms = [Form("float32", origin, none, dims, False)]
    if int8 and dims > GROUP:
        forms = [Form("int8", origin, none, 0, False)]
    if dims < 4 * HEADS:
        return [Form("float32", origin, none, dims, False), *forms][: 1 + (dims > GROUP and int8)]
    centered = rows - origin
    axes = _core.principal_axes(isa, centered / (np.abs(centered).max() or 1.0), min(MOST_AXES, dims // 4))
    for count in {len(axes) // 2, len(axes)}:
        if count > HEADS:
            forms.append(Form(f"{count} axes", origin, axes[:count], HEADS if int8 else count, False))
    if int8:
        forms.append(Form(f"int8 and {HEADS} axes", origin, axes[:HEADS], HEADS, True))
    return forms


def trial(form: Form, native: Any, threads: Any, sample: FloatArray, centers: Any, totals: Any, isa: str) -> float:
    """Return how many centers of a row the form leaves for exact decisions, on average over `sample`."""
    found = native(isa, threads, sample, form.origin, form.axes, form.heads, form.rest).accumulate(
        threads, centers, totals
    )
    return float(found["candidates"]) / len(sample)
