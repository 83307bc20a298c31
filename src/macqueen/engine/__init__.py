"""CENTERS ARE MADE: seeding, one step, the update. The engine knows rows and centers, not where they live."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from macqueen import _core
from macqueen.config import KMeansParams
from macqueen.engine import empty, parallel, plus_plus, seeding, update
from macqueen.engine.forced import forced_path
from macqueen.engine.kernels import Kernels
from macqueen.engine.labelling import Labelling
from macqueen.engine.metric import METRICS
from macqueen.engine.plan import Plan, Planner
from macqueen.engine.plus_plus import PlusPlus
from macqueen.engine.prepared import Kept, Pass, Prepared
from macqueen.engine.rows import Batch, Rows
from macqueen.state import FloatArray, State, StepStats

__all__ = ["Engine", "Kept", "Kernels", "Pass", "Plan", "Prepared"]


class Engine:
    """The algorithm that `params` ask for, on `kernels`, with at most `memory_limit` bytes beside the rows."""

    def __init__(
        self, params: KMeansParams, kernels: Kernels, memory_limit: int | None = None, kept: Kept | None = None
    ) -> None:
        """`kept`: centers that calls before have made ready, for those that only read."""
        self.params = params
        self.kernels = kernels
        self.memory_limit = memory_limit
        self.metric = METRICS[params.distance_metric]
        self._workspace = _core.Workspace(memory_limit is not None)
        self._kept = kept
        self._labelling = Labelling(kernels) if memory_limit is None else None

    # --- one step ---------------------------------------------------------------------------------------

    def prepare(self, centers: FloatArray, dtype: DTypeLike | None = None) -> Prepared:
        """Ready centers (k, d) for labels, distances and passes."""
        if self._kept is not None:
            wanted = np.dtype(dtype or centers.dtype)
            return self._kept.prepared(centers, self.metric, self.kernels, wanted, self._labelling)
        return Prepared(centers, self.metric, self.kernels, dtype, self._labelling)

    def check(self, rows: FloatArray, name: Callable[[int], str]) -> None:
        """Raise for the first row that cannot be clustered."""
        seeding.check_finite(rows, self.kernels, name)

    def begin(self, prepared: Prepared, squares: _core.Totals | None = None) -> Pass:
        """Begin a batch or pass; `squares` as in `Pass`. One at a time: the buffers are the engine's."""
        return Pass(prepared, self._workspace, squares)

    def plan(
        self, rows: FloatArray | None, prepared: Prepared, given_up: Collection[str] = (), copied: int = 0
    ) -> Plan:
        """Choose how passes are made over rows (n, d) in memory, None where they are no such array.

        `given_up`: paths that pay no longer. `copied`: bytes that `rows` take beside those of the caller.
        """
        limit = None if self.memory_limit is None else self.memory_limit - copied
        plan = Planner(rows, prepared, self.kernels, limit, given_up).choose()
        return dataclasses.replace(plan, memory=plan.memory + copied) if copied else plan

    def update(self, state: State, stats: StepStats) -> State:
        """Make the state after a step."""
        params = self.params
        if params.use_mini_batch:
            steps = params.mini_batch_steps_per_iteration
            return update.mini_batch(state, stats, self.metric, self.kernels, steps)
        return update.full_batch(state, stats, self.metric, self.kernels, params.empty_clusters)

    # --- emptied clusters -------------------------------------------------------------------------------

    def wants_relocation(self, stats: StepStats) -> bool:
        """Tell whether this step needs another look at its rows, for emptied clusters."""
        params = self.params
        return stats.emptied > 0 and not params.use_mini_batch and params.empty_clusters == "relocate"

    def relocate(
        self,
        stats: StepStats,
        prepared: Prepared,
        blocks: Iterable[FloatArray],
        take: Callable[[NDArray[np.int64]], FloatArray],
        name: Callable[[int], str],
    ) -> StepStats:
        """Move the farthest rows into the emptied clusters, out of their own sums and counts."""

        def parts() -> Iterable[tuple[int, NDArray[np.int32], NDArray[np.float64]]]:
            first = 0
            for block in blocks:
                distances = np.empty(len(block))
                labels = prepared.labels(block, name, distances)
                if self.metric.normalized:
                    distances[~block.any(axis=1)] = 0  # rows of zeros belong to no sum
                yield first, labels, distances
                first += len(block)

        far = empty.farthest(parts(), stats.emptied + len(stats.counts))
        moves = list(empty.relocations(stats.counts, far))
        if not moves:
            return stats
        rows = prepared.rows(take(np.array([row for row, _, _ in moves], dtype=np.int64)), name)
        for row, (_, source, target) in zip(rows, moves, strict=True):
            stats.totals.move_row(row.astype(np.float64), source, target)
        means, counts, _, _ = prepared.finish(stats.totals)
        means.flags.writeable = False  # as in `Pass.finish`
        return dataclasses.replace(stats, means=means, counts=counts, relocated=len(moves))

    # --- the first centers ------------------------------------------------------------------------------

    def first_state(self, centers: FloatArray, seed: int) -> State:
        """Make the state before the first step."""
        self.check(centers, lambda center: f"initial center {center}")
        centers = self.metric.centers(centers, self.kernels)
        if not self.params.use_mini_batch:
            return State(centers=centers, step=0, seed=seed)
        if self.params.mini_batch_steps_per_iteration == 1:
            return State(centers=centers, step=0, seed=seed, counts=np.ones(len(centers), dtype=np.int64))
        return State(centers=centers, step=0, seed=seed, counts=np.zeros(len(centers), dtype=np.int64), pending=centers)

    def seed_from_rows(self, rows: Rows, seed: int) -> FloatArray:
        """Choose all centers among the rows of a data set."""
        count = self.params.num_clusters
        if rows.rows < count:
            raise seeding.too_few_rows(count, rows.rows, "the input")
        return self._choose(rows, count, seed)

    def seed_from_batches(self, look: Callable[[], Batch | None], seed: int) -> FloatArray:
        """Choose centers among successive batches, as many as it takes (only "random" and callables: more than one)."""
        count = self.params.num_clusters
        found: list[FloatArray] = []
        missing = count
        draw = 0
        while missing > 0:
            batch = look()
            if batch is None:
                raise seeding.ended_early(count, count - missing)
            found.append(self._choose_some(batch, missing, seed, draw))
            missing -= len(found[-1])
            draw += 1
        return np.concatenate(found)

    def _choose_some(self, batch: Batch, missing: int, seed: int, draw: int) -> FloatArray:
        init = self.params.initial_clusters
        if callable(init):
            return seeding.chosen_by(init, batch.array, missing)
        if init in ("kmeans_plus_plus", "kmeans_parallel"):
            if batch.rows < missing:
                raise seeding.too_few_rows(missing, batch.rows, "the first batch")
            return self._choose(batch, missing, seed)
        if batch.rows <= missing:
            return batch.take(np.arange(batch.rows))
        return seeding.random_rows(batch, missing, seed, self.kernels, draw)

    def _choose(self, rows: Rows, count: int, seed: int) -> FloatArray:
        method = self.params.initial_clusters
        if method == "kmeans_plus_plus":
            return rows.take(np.array(self._plus_plus(rows, count, seed, plus_plus.PURPOSE).choose(), dtype=np.int64))
        if method == "kmeans_parallel":
            among = self._plus_plus(rows, count, seed, parallel.PURPOSE)
            return rows.take(np.array(parallel.Parallel(among).choose(), dtype=np.int64))
        return seeding.random_rows(rows, count, seed, self.kernels)

    def _plus_plus(self, rows: Rows, count: int, seed: int, purpose: int) -> PlusPlus:
        retries, plain = self.params.kmeans_plus_plus_num_retries, forced_path() == "plain"
        draws = plus_plus.Draws(seed, purpose)
        return PlusPlus(rows, self.metric, self.kernels, draws, count, retries, self.memory_limit, plain)

    def given_centers(self, dtype: DTypeLike | None) -> FloatArray | None:
        """Return the centers that were given as an array, rounded to `dtype`."""
        init: Any = self.params.initial_clusters
        return None if isinstance(init, str) or callable(init) else np.array(init, dtype=dtype)
