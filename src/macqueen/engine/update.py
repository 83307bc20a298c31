"""How centers move: the mean of a full batch, or the running mean of mini-batches."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.engine.kernels import Kernels
from macqueen.engine.metric import Metric
from macqueen.errors import EmptyClusterError
from macqueen.state import FloatArray, State, StepStats


def full_batch(state: State, stats: StepStats, metric: Metric, kernels: Kernels, empty_clusters: str) -> State:
    """Every center becomes the mean of its rows; `empty_clusters` says what becomes of those without rows."""
    centers = stats.means
    if stats.emptied > stats.relocated:
        centers = centers.copy()
        _treat_empty(centers, np.flatnonzero(stats.counts == 0), state.step + 1, empty_clusters)
    return State(
        centers=metric.centers(centers, kernels),
        step=state.step + 1,
        seed=state.seed,
        loss=stats.cost,
        stalled=_stalled(state, stats.cost),
        position=stats.position,
    )


def _treat_empty(centers: FloatArray, empty: NDArray[np.int64], step: int, empty_clusters: str) -> None:
    """Do what `empty_clusters` says with the centers (in/out) that are left without rows."""
    if empty_clusters == "error":
        raise EmptyClusterError(
            f"empty_clusters='error' and step {step} left no rows to cluster {', '.join(map(str, empty[:10]))}; train "
            f"with fewer clusters or with empty_clusters='relocate'. The model is that of its last checkpoint."
        )
    if empty_clusters == "origin":
        centers[empty] = 0


def mini_batch(state: State, stats: StepStats, metric: Metric, kernels: Kernels, steps_per_iteration: int) -> State:
    """Centers move by x += (s - m x) / (n + m) for m new rows of sum s after n rows (Sculley, 2010).

    With more than one step per iteration the moves collect in `pending`, and become the centers when the
    iteration ends; its counts start at 0 each time.
    """
    assert state.counts is not None
    step, loss = state.step + 1, state.pending_loss + stats.cost
    moving = state.centers if state.pending is None else state.pending
    sums, _ = stats.totals.rounded(kernels.threads, kernels.isa)
    moved = _running_means(moving, sums, stats.counts, state.counts)
    counts = state.counts + stats.counts
    if state.pending is not None and state.steps_since_sync + 1 < steps_per_iteration:
        return dataclasses.replace(
            state,
            step=step,
            counts=counts,
            pending=moved,
            steps_since_sync=state.steps_since_sync + 1,
            pending_loss=loss,
            position=stats.position,
        )
    synced = state.pending is not None
    return State(
        centers=metric.centers(moved, kernels) if synced else moved,
        step=step,
        seed=state.seed,
        counts=np.zeros_like(counts) if synced else counts,
        pending=moved if synced else None,
        loss=loss,
        stalled=_stalled(state, loss),
        position=stats.position,
    )


def _stalled(state: State, loss: float) -> int:
    return 0 if state.loss is None or loss < state.loss else state.stalled + 1


def _running_means(
    centers: FloatArray, sums: NDArray[np.float64], counts: NDArray[np.int64], before: NDArray[np.int64]
) -> FloatArray:
    result = centers.copy()
    _core.move_running_means(sums, counts, before, result)
    return result
