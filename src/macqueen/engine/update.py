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
    empty = stats.counts == 0
    if empty_clusters == "error" and empty.any():
        clusters = ", ".join(map(str, np.flatnonzero(empty)[:10]))
        raise EmptyClusterError(
            f"empty_clusters='error' and step {state.step + 1} left no rows to cluster {clusters}; train with fewer "
            f"clusters or with empty_clusters='relocate'. The model is that of its last checkpoint."
        )
    centers = _means(state.centers, stats.sums, stats.counts)
    if empty_clusters == "origin":
        centers[empty] = 0
    return dataclasses.replace(
        _with_loss(state, stats.cost),
        centers=metric.centers(centers, kernels),
        step=state.step + 1,
        position=stats.position,
    )


def mini_batch(state: State, stats: StepStats, metric: Metric, kernels: Kernels, steps_per_iteration: int) -> State:
    """Centers move by x += (s - m x) / (n + m) for m new rows of sum s after n rows (Sculley, 2010).

    With more than one step per iteration the moves collect in `pending`, and become the centers when the
    iteration ends; its counts start at 0 each time.
    """
    assert state.counts is not None
    moving = state.centers if state.pending is None else state.pending
    moved = _running_means(moving, stats.sums, stats.counts, state.counts)
    counts = state.counts + stats.counts
    state = dataclasses.replace(state, step=state.step + 1, position=stats.position)
    if state.pending is None:
        return dataclasses.replace(_with_loss(state, stats.cost), centers=moved, counts=counts)
    if state.steps_since_sync + 1 < steps_per_iteration:
        return dataclasses.replace(
            state,
            pending=moved,
            counts=counts,
            steps_since_sync=state.steps_since_sync + 1,
            pending_loss=state.pending_loss + stats.cost,
        )
    return dataclasses.replace(
        _with_loss(state, state.pending_loss + stats.cost),
        centers=metric.centers(moved, kernels),
        pending=moved,
        counts=np.zeros_like(counts),
        steps_since_sync=0,
        pending_loss=0.0,
    )


def _with_loss(state: State, loss: float) -> State:
    fell = state.loss is None or loss < state.loss
    return dataclasses.replace(state, loss=loss, stalled=0 if fell else state.stalled + 1)


def _means(centers: FloatArray, sums: NDArray[np.float64], counts: NDArray[np.int64]) -> FloatArray:
    result = centers.copy()
    _core.set_means(sums, counts, result)
    return result


def _running_means(
    centers: FloatArray, sums: NDArray[np.float64], counts: NDArray[np.int64], before: NDArray[np.int64]
) -> FloatArray:
    result = centers.copy()
    _core.move_running_means(sums, counts, before, result)
    return result
