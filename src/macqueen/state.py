"""What a model is between two steps, and what one step found out: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from macqueen import _core

FloatArray: TypeAlias = NDArray[Any]  # of float32 or float64


def same_bits(one: FloatArray, other: FloatArray) -> bool:
    """Tell whether centers (k, d) of one shape and dtype are the same to the last bit."""
    few = 16  # centers that nearly always tell the difference; copies of few take a tenth of what NumPy does
    if one[:few].tobytes() != other[:few].tobytes():
        return False
    bits = f"u{one.itemsize}"
    return len(one) <= few or np.array_equal(one.view(bits), other.view(bits))


@dataclass(frozen=True, eq=False)
class State:
    """Everything that continues when training is resumed. A step makes a new one; arrays are not written to."""

    centers: FloatArray  # (k, d) float32 or float64: rows are assigned to these
    step: int  # steps made
    seed: int  # uint64 behind every random choice
    counts: NDArray[np.int64] | None = None  # (k,) rows behind each center; mini-batch only
    pending: FloatArray | None = None  # (k, d) centers of the next sync; steps per iteration > 1 only
    steps_since_sync: int = 0
    loss: float | None = None  # of the last whole iteration, before its update
    pending_loss: float = 0.0  # of the iteration under way, so far
    stalled: int = 0  # iterations in a row whose loss did not fall
    position: dict[str, Any] | None = None  # where a data set's mini-batches go on; JSON values only


@dataclass(frozen=True, eq=False)
class BatchStats:
    """What reading one batch or pass found out."""

    rows: int  # rows read
    counts: NDArray[np.int64] | None  # (k,) rows by nearest center; None where no labels were asked for
    cost: float | None  # sum of squared distances (cosine: of cosine distances); None where not asked for


@dataclass(frozen=True, eq=False)
class StepStats(BatchStats):
    """What one batch or pass added up to, under the labels that `State.centers` gave its rows."""

    counts: NDArray[np.int64]  # (k,)
    cost: float  # before the update
    totals: _core.Totals  # exact sums (k, d) and counts of the rows of each cluster
    means: FloatArray  # (k, d) the sums, correctly rounded, over the counts; the centers where there are no rows
    position: dict[str, Any] | None  # of the input after this step
    emptied: int = 0  # clusters that no row was nearest to
    relocated: int = 0  # those of them that were given a far row

    @property
    def sums(self) -> NDArray[np.float64]:
        """The sums (k, d), correctly rounded; computed each time they are asked for."""
        return self.totals.rounded(_core.Threads(1))[0]
