"""Batches that can be read again as a data set: a list of them, or whatever can be iterated afresh."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentTypeError, EmptyInputError, InputReadError
from macqueen.inputs.arrays import check_indices, shuffled
from macqueen.inputs.encoded import Encoder
from macqueen.inputs.kinds import as_table, next_table
from macqueen.inputs.streams import is_iterator, refuse_ended
from macqueen.inputs.tables import Table, is_array, list_kind


class BatchSet(ABC):
    """A data set whose batches are given and are taken as they are, whatever `batch_size` says."""

    is_stream = False

    def __init__(self, batch_size: int, encoder: Encoder | None) -> None:
        self._encoder = encoder
        with closing(self._items()) as items:
            for item in items:
                self._kind = as_table(item, "batch 0 of the input", encoder).kind
                break
            else:
                raise EmptyInputError("the input must give at least one batch, got none. Check what it reads.")
        self._sizes: NDArray[np.int64] | None = None  # (batches,) rows of each, known after one whole pass
        self.dtype = self._kind.dtype
        self.dims = self._kind.dims
        self.batch_size = batch_size

    @abstractmethod
    def _items(self) -> Generator[Any, None, None]:
        """Yield the batches of one pass, as they were given; a generator."""

    @abstractmethod
    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows at `indices` (m,), in that order, as (m, d)."""

    @abstractmethod
    def batches(self, batch_size: int, *, seed: int, pass_number: int, start: int) -> Iterator[NDArray[Any]]:
        """Yield the batches from number `start` on of a pass."""

    @property
    def rows(self) -> int:
        """Number of rows of all batches; counted by one pass, once."""
        return int(self._row_counts().sum())

    def batch_count(self, batch_size: int) -> int:
        """Return the number of batches; `batch_size` has no part in it."""
        return len(self._row_counts())

    def blocks(self, most_rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, in (m, d) pieces of at most `most_rows` rows."""
        for table in self._tables():
            for begin in range(0, table.rows, most_rows):
                yield table.block(begin, min(begin + most_rows, table.rows), self.dtype)

    def in_order(self, batch_size: int) -> Iterator[NDArray[Any]]:
        """Yield the batches in the order given, each as (m, d)."""
        for table in self._tables():
            yield self._whole(table)

    def _whole(self, table: Table) -> NDArray[Any]:
        return table.block(0, table.rows, self.dtype)

    def _table(self, item: object, number: int) -> Table:
        return next_table(item, number, self._kind, self._encoder)

    def _tables(self) -> Iterator[Table]:
        """Yield the batches of one pass; a pass read to its end must be as long as the one before."""
        sizes = []
        with closing(self._items()) as items:
            for number, item in enumerate(items):
                table = self._table(item, number)
                sizes.append(table.rows)
                yield table
        counted = np.array(sizes, np.int64)
        if self._sizes is not None and not np.array_equal(self._sizes, counted):
            raise InputReadError(
                "a data set must give the same batches in every pass, got "
                f"{self._sizes.sum()} rows in {len(self._sizes)} batches, then {counted.sum()} rows in "
                f"{len(counted)} batches. Pass a function that opens the input anew."
            )
        self._sizes = counted

    def _row_counts(self) -> NDArray[np.int64]:
        if self._sizes is None:
            for _ in self._tables():
                pass
        assert self._sizes is not None
        return self._sizes

    def _places(self, indices: NDArray[np.int64]) -> dict[int, tuple[NDArray[np.intp], NDArray[np.int64]]]:
        """Return, by batch number, the places in `indices` that it fills and its own rows that fill them."""
        check_indices(indices, self.rows)
        ends = np.cumsum(self._row_counts())
        numbers = np.searchsorted(ends, indices, side="right")
        order = np.argsort(numbers, kind="stable")
        found, begins = np.unique(numbers[order], return_index=True)
        pieces = np.split(order, begins[1:])
        starts = ends - self._row_counts()
        return {int(n): (at, indices[at] - starts[n]) for n, at in zip(found, pieces, strict=False)}


class BatchList(BatchSet):
    """A sequence of batches: any of them can be had at any time, so their order can be shuffled."""

    def __init__(self, items: Sequence[Any], batch_size: int, encoder: Encoder | None = None) -> None:
        self._list = items
        super().__init__(batch_size, encoder)

    def _items(self) -> Generator[Any, None, None]:
        yield from self._list

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows at `indices` (m,), in that order, as (m, d)."""
        taken = np.empty((len(indices), self.dims), self.dtype)
        for number, (places, rows) in self._places(indices).items():
            taken[places] = self._table(self._list[number], number).gather(rows, self.dtype)
        return taken

    def batches(self, batch_size: int, *, seed: int, pass_number: int, start: int) -> Iterator[NDArray[Any]]:
        """Yield the batches from number `start` on, in an order that seed and pass decide."""
        count = len(self._list)
        if start < count:
            for number in shuffled(seed, pass_number, count, start, count).tolist():
                yield self._whole(self._table(self._list[number], number))


class BatchPasses(BatchSet):
    """Batches that can only be read from the first to the last, and that once per pass."""

    def __init__(self, make: Callable[[], object], batch_size: int, encoder: Encoder | None = None) -> None:
        self._make = make
        self._last: object = None  # the iterator of the pass before; the same one again would go on, not begin
        super().__init__(batch_size, encoder)

    def _items(self) -> Generator[Any, None, None]:
        made = self._make()
        if is_iterator(made):
            refuse_ended(made)
            if made is self._last:
                raise InputReadError(
                    "a data set must be read anew in every pass, got the same "
                    f"{type(made).__name__} twice, which can be read once. Make it inside the function."
                )
            self._last = made
        _check_pass(made)
        iterator = iter(made)  # type: ignore[call-overload]  # _check_pass has seen that it can be iterated
        try:
            yield from iterator
        finally:
            getattr(iterator, "close", lambda: None)()  # a pass may stop early: files are not left open

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows at `indices` (m,), in that order, as (m, d); reads up to the last of them."""
        taken = np.empty((len(indices), self.dims), self.dtype)
        places = self._places(indices)
        last = max(places, default=-1)
        with closing(self._items()) as items:
            for number, item in enumerate(items):
                if number in places:
                    at, rows = places[number]
                    taken[at] = self._table(item, number).gather(rows, self.dtype)
                if number >= last:
                    break
        return taken

    def batches(self, batch_size: int, *, seed: int, pass_number: int, start: int) -> Iterator[NDArray[Any]]:
        """Yield the batches from number `start` on in the order given: there is no other way to read them."""
        for number, table in enumerate(self._tables()):
            if number >= start:
                yield self._whole(table)


def _check_pass(made: object) -> None:
    """Raise unless iterating over `made` gives batches."""
    rows = is_array(made) or isinstance(made, Mapping | str | bytes)
    if isinstance(made, Sequence) and not rows and len(made) > 0:
        rows = list_kind(made) != "batches"
    if rows or not hasattr(made, "__iter__"):
        raise ArgumentTypeError(
            "the function given to Dataset must return an iterator over batches, got "
            f"{type(made).__name__}. Pass rows in memory as they are: Dataset(rows)."
        )
