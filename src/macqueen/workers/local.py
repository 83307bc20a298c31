"""One process: the rows of a stream, of a data set in passes, or of a data set in mini-batches.

Each kind owns what belongs to its rows and does one thing: `accumulate` the next step under a state's centers.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.errors import DataError, EmptyInputError
from macqueen.state import FloatArray, State, StepStats, same_bits

_LOG = logging.getLogger("macqueen")

BLOCK_BYTES = 1 << 26  # of rows handed to the kernels at once
BLOCK_WORK = 1e10  # multiplications in one kernel call: Ctrl-C is noticed between calls
MOST_HELD_BYTES = 1 << 28  # of batches held for training after initialisation looked at them


def block_rows(dims: int, clusters: int, itemsize: int) -> int:
    """Return how many rows one kernel call takes at most."""
    return max(1, min(BLOCK_BYTES // (dims * itemsize), int(BLOCK_WORK / (dims * clusters))))


def naming(prefix: str, first: int) -> Callable[[int], str]:
    """Return what names row i of a block that begins at row `first`, for errors."""
    return lambda row: f"{prefix}row {first + row}"


class Batch:
    """One batch in memory, as seeding wants to see rows."""

    def __init__(self, array: FloatArray, ready: Callable[[FloatArray], FloatArray]) -> None:
        self.array = array
        self.rows, self.dims = array.shape
        self._ready = ready  # makes of it what the kernels take

    def take(self, indices: NDArray[np.int64]) -> FloatArray:
        """Return rows by index."""
        return self.array[indices]

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the batch."""
        yield self._ready(self.array)

    def whole(self) -> FloatArray:
        """Return the batch as the kernels take it."""
        return self._ready(self.array)


class Local:
    """Rows of this process."""

    def open(self, engine: Any, source: Any, *, seed: int, dtype: Any, endless: bool) -> Any:
        """Return what trains on `source`: an object with `first_centers` and `accumulate`.

        Parameters
        ----------
        engine
            The algorithm (`macqueen.engine.Engine`).
        source
            A `Stream` or `DataSet` of `macqueen.inputs`.
        seed
            Of every random choice.
        dtype
            In which rows are computed with.
        endless
            Mini-batches of a data set begin again when a pass ends; otherwise the pass is the end.
        """
        if source.is_stream:
            return StreamRows(engine, source, seed, dtype)
        if engine.params.use_mini_batch:
            return MiniBatchRows(engine, source, seed, dtype, endless)
        return PassRows(engine, source, seed, dtype)


class _Rows:
    """What the three kinds share."""

    def __init__(self, engine: Any, source: Any, seed: int, dtype: Any) -> None:
        self.engine = engine
        self.source = source
        self.seed = seed
        self.dtype = np.dtype(dtype)
        self._in_memory = bool(getattr(source, "in_memory", False))

    def _wide(self, rows: FloatArray, name: Callable[[int], str]) -> FloatArray:
        """Rows in the dtype of the model, checked, as the metric wants them (seeding looks before any step)."""
        from_source = np.ascontiguousarray(rows, dtype=self.dtype)
        self.engine.check(from_source, name)
        return self.engine.metric.rows(from_source, self.engine.kernels, name)  # type: ignore[no-any-return]

    def _looked_at(self, rows: FloatArray, prefix: str) -> Batch:
        """Make a checked batch for initialisation to look at."""
        whole = np.ascontiguousarray(rows, dtype=self.dtype)
        self.engine.check(whole, naming(prefix, 0))
        return Batch(whole, lambda rows: self.engine.metric.rows(rows, self.engine.kernels, naming(prefix, 0)))

    def _step(self, state: State, batch: FloatArray, number: str, position: dict[str, Any] | None) -> StepStats:
        """Make one batch a step."""
        prepared = self.engine.prepare(state.centers, self.dtype)
        step = self.engine.begin(prepared)
        size = block_rows(batch.shape[1], len(state.centers), self.dtype.itemsize)
        for first in range(0, len(batch), size):
            step.add(batch[first : first + size], naming(f"{number}, ", first))
        stats: StepStats = step.finish(position)
        if self.engine.wants_relocation(stats):
            stats = self.engine.relocate(stats, prepared, [batch], batch.__getitem__, naming(f"{number}, ", 0))
        return stats


class StreamRows(_Rows):
    """A stream: each batch is a step; what initialisation looked at is trained on as well."""

    def __init__(self, engine: Any, source: Any, seed: int, dtype: Any) -> None:
        super().__init__(engine, source, seed, dtype)
        self._batches = source.batches()
        self._held: deque[FloatArray] = deque()
        self._held_bytes = 0
        self._number = 0

    def first_centers(self) -> FloatArray:
        """Choose the centers from the first batches."""
        return self.engine.seed_from_batches(self._look, self.seed)  # type: ignore[no-any-return]

    def _look(self) -> Batch | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if self._held_bytes > MOST_HELD_BYTES:
            raise DataError(
                f"initialisation looked at more than {MOST_HELD_BYTES >> 20} MiB of batches, which are held to be "
                "trained on as well; give the centers as an array, or return more of them per batch"
            )
        number = len(self._held) - 1
        return self._looked_at(batch, f"batch {number}, ")

    def accumulate(self, state: State) -> StepStats | None:
        """Make the next batch a step; None when the stream has ended."""
        batch = self._held.popleft() if self._held else next(self._batches, None)
        if batch is None:
            return None
        stats = self._step(state, batch, f"batch {self._number}", None)
        self._number += 1
        return stats


class DataSetRows(_Rows):
    """What passes and mini-batches over a data set share: seeding over all rows."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.source.rows)

    @property
    def dims(self) -> int:
        """How many columns."""
        return int(self.source.dims)

    def _array(self) -> FloatArray | None:
        """Return all rows in one array of the model's dtype, or None where they are not in memory in such a one.

        Those in another memory order are copied, where the memory limit leaves room.
        """
        fits = self._in_memory and self.source.dtype == self.dtype
        limit = self.engine.memory_limit
        return self.source.array if fits and (limit is None or self.source.copy_bytes <= limit) else None

    def whole(self) -> FloatArray | None:
        """Return all rows in one array, as the kernels take them, or None where they are not in memory."""
        array = self._array()
        if array is None or not self.engine.metric.normalized:
            return array
        whole = np.empty((self.rows, self.dims), dtype=self.dtype)
        first = 0
        for block in self.blocks():
            whole[first : first + len(block)] = block
            first += len(block)
        return whole

    def take(self, indices: NDArray[np.int64]) -> FloatArray:
        """Return rows by index."""
        return np.ascontiguousarray(self.source.take(indices), dtype=self.dtype)

    def blocks(self) -> Iterator[FloatArray]:
        """Yield all rows in order, as the kernels take them."""
        first = 0
        for block in self._raw_blocks(1):
            yield self._wide(block, naming("", first))
            first += len(block)

    def _raw_blocks(self, clusters: int) -> Iterator[FloatArray]:
        size = block_rows(self.source.dims, clusters, self.dtype.itemsize)
        return self.source.blocks(size)  # type: ignore[no-any-return]

    def first_centers(self) -> FloatArray:
        """Choose the centers among all rows, or by the caller's function among successive batches."""
        if not callable(self.engine.params.initial_clusters):
            return self.engine.seed_from_rows(self, self.seed)  # type: ignore[no-any-return]
        batches = self._batches_to_look_at()

        def look() -> Batch | None:
            batch = next(batches, None)
            with self._rows_named():
                return None if batch is None else self._looked_at(batch, "")

        return self.engine.seed_from_batches(look, self.seed)  # type: ignore[no-any-return]

    def _batches_to_look_at(self) -> Iterator[FloatArray]:
        return self.source.blocks(self.rows)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _rows_named(self) -> Iterator[None]:
        """Let an error name a row by its place in the data set, not in a block or a shuffled batch of it."""
        try:
            yield
        except DataError:
            for _ in self.blocks():  # raises at the first such row
                pass
            raise


FEW_CLUSTERS = 64  # below them a plain step costs less than bounds, which are then made for the second step


class PassRows(DataSetRows):
    """A data set in full-batch mode: one pass, in blocks, is a step."""

    def __init__(self, engine: Any, source: Any, seed: int, dtype: Any) -> None:
        super().__init__(engine, source, seed, dtype)
        self._rows_array: FloatArray | None = None
        self._squares: _core.Totals | None = None  # the squared norms need one pass only
        self._rows = 0
        self._steps = 0
        self._plan: Any = None
        self._given_up: set[str] = set()  # paths that pay no longer
        self._index: Any = None
        self._last: tuple[FloatArray, StepStats] | None = None  # the centers of the step before, and what came of it

    def _array(self) -> FloatArray | None:
        if self._rows_array is None:  # kept: it may be a copy
            self._rows_array = super()._array()
        return self._rows_array

    def plan(self, prepared: Any) -> Any:
        """Choose how passes are made."""
        rows = self._array()
        copied = 0 if rows is None else self.source.copy_bytes
        plan = self.engine.plan(rows, prepared, self._given_up, copied)
        if plan.path == "plain":
            self._rows_array = None  # blocks of the source do
        return plan

    def _indexed(self, prepared: Any) -> Any:
        """Return the index to make this step with, or None for a plain pass."""
        if self._plan is None:
            self._plan = self.plan(prepared)
            _LOG.info("plan: %s", self._plan)
        later = self._plan.path == "bounds" and prepared.shape[0] < FEW_CLUSTERS and self._steps == 0
        if self._index is None and not later:
            self._index = self._plan.index(self._array(), self.engine.kernels, naming("", 0))
        self._steps += 1
        return self._index

    def accumulate(self, state: State) -> StepStats:
        """Make one pass a step; rows in memory under the same centers need no second look."""
        if self._last is not None and same_bits(self._last[0], state.centers):
            return self._last[1]
        self._last = None
        prepared = self.engine.prepare(state.centers, self.dtype)
        if self._indexed(prepared) is not None:
            step = self.engine.begin(prepared)
            if not step.add_index(self._index):
                _LOG.info("plan: %s turned out not to pay any longer", self._plan.path)
                self._given_up.add(self._plan.path)
                self._plan = self._index = None
        else:
            step = self.engine.begin(prepared, self._squares)
            for block in self._raw_blocks(len(state.centers)):
                step.add(block, naming("", step.rows))
        if self._squares is not None and step.rows != self._rows:
            raise DataError(
                f"the input gave {step.rows} rows in this pass and {self._rows} in the one before; a data set must "
                "give the same rows each time it is read. The model is that of its last checkpoint."
            )
        if self._squares is None:
            self._squares, self._rows = step.totals.only_squares(), step.rows
        stats: StepStats = step.finish()
        if self.engine.wants_relocation(stats):
            blocks = self._raw_blocks(len(state.centers))
            stats = self.engine.relocate(stats, prepared, blocks, self.take, naming("", 0))
        if self._in_memory:
            self._last = state.centers, stats
        return stats


class MiniBatchRows(DataSetRows):
    """A data set in mini-batch mode: its batches, in an order shuffled by the seed anew each pass, are the steps."""

    def __init__(self, engine: Any, source: Any, seed: int, dtype: Any, endless: bool) -> None:
        super().__init__(engine, source, seed, dtype)
        self._endless = endless
        self._count = int(source.batch_count(source.batch_size))
        if self._count == 0:
            raise EmptyInputError("the input has no batches; pass at least one row")
        self._next: Iterator[FloatArray] | None = None
        self._pass = 0
        self._batch = 0

    def _batches_to_look_at(self) -> Iterator[FloatArray]:
        return self._batches_from(0, 0)

    def _batches_from(self, number: int, batch: int) -> Iterator[FloatArray]:
        return self.source.batches(  # type: ignore[no-any-return]
            self.source.batch_size, seed=self.seed, pass_number=number, start=batch
        )

    def _seek(self, position: dict[str, Any] | None) -> None:
        """Go on where `position` says; over other batches than those it counts, at the next pass."""
        if position is None:
            self._pass = self._batch = 0
        elif position["batches"] != self._count or position["batch"] >= self._count:
            self._pass, self._batch = position["pass"] + 1, 0
        else:
            self._pass, self._batch = position["pass"], position["batch"]
        self._next = self._batches_from(self._pass, self._batch)

    def accumulate(self, state: State) -> StepStats | None:
        """Make the next batch a step; None when the pass has ended and one pass was asked for."""
        if self._next is None:
            self._seek(state.position)
        elif self._batch == self._count:
            if not self._endless:
                return None
            self._seek(state.position)
        assert self._next is not None
        batch = next(self._next)
        self._batch += 1
        position = {"pass": self._pass, "batch": self._batch, "batches": self._count}
        with self._rows_named():
            return self._step(state, batch, f"batch {self._batch - 1} of pass {self._pass}", position)
