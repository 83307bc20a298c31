"""Rows in memory as a data set: any part can be read at any time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen._core import permuted
from macqueen.errors import ArgumentError
from macqueen.inputs.tables import Table

SHUFFLE = 0x5348  # purpose of the draws that order the batches of pass 0


def shuffled(seed: int, pass_number: int, count: int, begin: int, end: int) -> NDArray[np.int64]:
    """Return places begin..end-1 of the order of `count` things in pass `pass_number`, as (end - begin,)."""
    order: NDArray[np.int64] = permuted(seed, (SHUFFLE + pass_number) % 2**32, count, begin, end)
    return order


def check_indices(indices: NDArray[np.int64], rows: int) -> None:
    """Raise unless all `indices` (m,) are rows."""
    if len(indices) and not (indices.min() >= 0 and indices.max() < rows):
        wrong = indices[(indices < 0) | (indices >= rows)][0]
        raise ArgumentError(f"indices must be in 0..{rows - 1}, got {wrong}. Ask for rows that exist.")


class RowSet:
    """A data set of rows in memory; its mini-batches are drawn from all rows."""

    is_stream = False

    def __init__(self, table: Table, batch_size: int) -> None:
        self._table = table
        self.dtype = table.kind.dtype
        self.dims = table.kind.dims
        self.rows = table.rows
        self.in_memory = table.in_memory  # all rows can be had at once without reading them from a file
        self.copy_bytes = table.copy_bytes
        self.batch_size = batch_size

    @property
    def array(self) -> NDArray[Any]:
        """All rows (n, d): a view, or a copy of `copy_bytes`, where they are in memory."""
        return self._table.block(0, self.rows, self.dtype)

    def blocks(self, most_rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, in (m, d) pieces of at most `most_rows` rows."""
        for begin in range(0, self.rows, most_rows):
            yield self._table.block(begin, min(begin + most_rows, self.rows), self.dtype)

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows at `indices` (m,), in that order, as (m, d)."""
        check_indices(indices, self.rows)
        return self._table.gather(indices, self.dtype)

    def batches(self, batch_size: int, *, seed: int, pass_number: int, start: int) -> Iterator[NDArray[Any]]:
        """Yield the mini-batches from number `start` on of a pass, a function of seed and pass alone."""
        for begin in range(start * batch_size, self.rows, batch_size):
            order = shuffled(seed, pass_number, self.rows, begin, min(begin + batch_size, self.rows))
            # Sorted, so that a memory map is read forwards; a batch has no order of its own.
            yield self._table.gather(np.sort(order), self.dtype)

    def batch_count(self, batch_size: int) -> int:
        """Return the number of mini-batches in a pass."""
        return -(-self.rows // batch_size)

    def in_order(self, batch_size: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `batch_size` at a time."""
        return self.blocks(batch_size)
