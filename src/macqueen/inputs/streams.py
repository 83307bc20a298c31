"""Streams: what is read once, batch by batch."""

import inspect
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError, ArgumentTypeError, EmptyInputError, InputReadError
from macqueen.inputs.encoded import Encoder
from macqueen.inputs.frames import is_frame
from macqueen.inputs.kinds import as_table, next_table
from macqueen.inputs.tables import Kind, Table


class Stream:
    """Batches that can be read once, from the first to the last.

    One batch is read ahead to learn `dtype` and `dims`, and given out again first.
    """

    is_stream = True
    dtype: np.dtype[Any]
    dims: int

    def __init__(self, items: Iterator[Any]) -> None:
        refuse_ended(items)
        self._items = items
        self._number = 0  # of the next batch to be given out
        self._ended = False
        self._kind: Kind | None = None  # until it is opened
        self._peeked: list[Table] = []
        self._encoder: Encoder | None = None

    def open(self, encoder: Encoder | None = None) -> Self:
        """Look at the first batch, unless that was done before."""
        if self._ended:
            raise InputReadError(
                f"a stream can be read once; this one was already read to its end, batch {self._number - 1}. "
                "Pass a function that makes it, or rows in memory."
            )
        if self._kind is None:
            try:
                first = next(self._items)
            except StopIteration:
                raise EmptyInputError(
                    "the input must give at least one batch, got none. If it was read before, pass a function "
                    "that makes it, or a list."
                ) from None
            self._encoder = encoder
            table = as_table(first, "batch 0 of the input", encoder)
            self._peeked = [table]
            self._kind = table.kind
            self.dtype, self.dims = table.kind.dtype, table.kind.dims
        return self

    def batches(self) -> Iterator[NDArray[Any]]:
        """Yield the batches (m, d) not given out yet; a second call goes on where the first stopped."""
        if self._kind is None:
            self.open()
        kind = self._kind
        assert kind is not None
        while True:
            if self._peeked:
                table = self._peeked.pop()
            else:
                try:
                    item = next(self._items)
                except StopIteration:
                    self._ended = True
                    return
                table = next_table(item, self._number, kind, self._encoder)
            self._number += 1
            yield table.block(0, table.rows, self.dtype)


def is_iterator(data: object) -> bool:
    """Tell whether `data` is read by reading it."""
    return hasattr(type(data), "__next__")


def refuse_ended(items: object) -> None:
    """Raise if `items` is a generator of which nothing can come any more."""
    if inspect.isgenerator(items) and inspect.getgeneratorstate(items) == inspect.GEN_CLOSED:
        raise InputReadError(
            f"the input must have batches to give, got generator {items.__name__!r}: this generator was "
            "already read to its end; pass a function that makes it, or a list"
        )


def check_count(value: object, name: str) -> int:
    """Return `value` if it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentTypeError(
            f"{name} must be an integer, got {value!r} of type {type(value).__name__}. Pass a plain int."
        )
    if value < 1:
        raise ArgumentError(f"{name} must be at least 1, got {value}. Pass a larger number.")
    return int(value)


def limit_epochs(data: object, num_epochs: int | None = 1) -> Stream:
    """Make a stream that gives all of `data` as one batch, `num_epochs` times.

    Parameters
    ----------
    data : array, dict of arrays, list of numbers or of rows
        The rows, of shape (n, d) or (n,).
    num_epochs : int or None
        How often; None is without end.

    Returns
    -------
    Stream
        To be passed as, or returned by, an `input_fn`.

    Raises
    ------
    ArgumentError
        `num_epochs` is less than 1.
    DataError
        `data` is not rows in memory.

    Examples
    --------
    >>> import numpy as np
    >>> stream = limit_epochs(np.eye(3), num_epochs=2)
    >>> [batch.shape for batch in stream.batches()]
    [(3, 3), (3, 3)]
    """
    epochs = None if num_epochs is None else check_count(num_epochs, "num_epochs")
    if not isinstance(data, Mapping) and not is_frame(data):  # named columns may need an encoder first
        as_table(data, "data")  # its messages name the argument; the stream's would name a batch
    return Stream(iter([data] * epochs) if epochs is not None else (data for _ in count()))
