"""Streams: what is read once, batch by batch, and the two makers of streams from rows in memory."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen._core import permuted
from macqueen.errors import ArgumentError, ArgumentTypeError, EmptyInputError, InputReadError
from macqueen.inputs.tables import as_columns, as_table, check_batch, refuse_unreadable

SHUFFLE_STREAM = 0x4E500000  # purpose of the draws that order epoch 0 of numpy_input_fn


class Stream:
    """Batches that can be read once, from the first to the last.

    One batch is read ahead to learn `dtype` and `dims`, and given out again first.
    """

    is_stream = True

    def __init__(self, items: Iterator[Any]) -> None:
        refuse_ended(items)
        self._items = items
        self._number = 0  # of the next batch to be given out
        self._ended = False
        try:
            first = next(items)
        except StopIteration:
            raise EmptyInputError(
                "the input must give at least one batch, got none. If it was read before, pass a function "
                "that makes it, or a list."
            ) from None
        table = as_table(first, "batch 0 of the input")
        self._peeked: list[Any] = [table]
        self._kind = table.kind
        self.dtype = table.kind.dtype
        self.dims = table.kind.dims

    def batches(self) -> Iterator[NDArray[Any]]:
        """Yield the batches (m, d) not given out yet; a second call goes on where the first stopped."""
        while True:
            if self._peeked:
                table = self._peeked.pop()
            else:
                try:
                    item = next(self._items)
                except StopIteration:
                    self._ended = True
                    return
                table = as_table(item, f"batch {self._number} of the input")
                check_batch(table, self._number, self._kind)
            self._number += 1
            yield table.block(0, table.rows, self.dtype)

    def refuse_ended(self) -> None:
        """Raise if there is nothing left to read."""
        if self._ended:
            raise InputReadError(
                f"a stream can be read once; this one was already read to its end, batch {self._number - 1}. "
                "Pass a function that makes it, or rows in memory."
            )


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
    as_table(data, "data")  # its messages name the argument; the stream's would name a batch
    return Stream(iter([data] * epochs) if epochs is not None else (data for _ in count()))


def numpy_input_fn(
    x: object,
    y: object = None,
    batch_size: int = 128,
    num_epochs: int | None = 1,
    shuffle: bool | None = None,
    queue_capacity: int = 1000,
    num_threads: int = 1,
) -> Callable[..., Iterator[Any]]:
    """Make an `input_fn` that streams batches of rows in memory, as TensorFlow's function of this name.

    Epochs follow one another without a break: a batch may hold the end of one and the beginning of the next,
    and only the very last batch may be smaller.

    Parameters
    ----------
    x : array or dict of arrays
        The rows; all arrays have the same first dimension.
    y : array, dict of arrays or None
        Labels: their length is checked, and they are ignored.
    batch_size : int
        Rows per batch.
    num_epochs : int or None
        How often all rows are given; None is without end.
    shuffle : bool
        Whether each epoch has an order of its own, decided by `config.tf_random_seed`. Has no default.
    queue_capacity, num_threads : int
        Accepted for the sake of old programs; there is no queue.

    Returns
    -------
    callable
        Takes an optional `config`; returns a generator of arrays, or of dicts if `x` is a dict.

    Raises
    ------
    ArgumentError
        `shuffle` is not a bool, lengths differ, a dict is empty, or a number is less than 1.
    ArgumentTypeError
        `x` is neither an array, a list nor a dict.

    Examples
    --------
    >>> import numpy as np
    >>> input_fn = numpy_input_fn(np.arange(5.0), batch_size=2, shuffle=False)
    >>> [batch.tolist() for batch in input_fn()]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """
    if not isinstance(shuffle, bool):
        raise ArgumentError(
            "shuffle must be provided and explicitly set as boolean (it is recommended to set it as True for "
            f"training), got {shuffle!r}. Pass shuffle=True or shuffle=False."
        )
    size = check_count(batch_size, "batch_size")
    epochs = None if num_epochs is None else check_count(num_epochs, "num_epochs")
    check_count(queue_capacity, "queue_capacity")
    check_count(num_threads, "num_threads")
    columns = _arrays(x, "x")
    labels = {} if y is None else _arrays(y, "y")
    rows = _common_length(columns, labels)

    def input_fn(config: object = None) -> Iterator[Any]:
        seed = int(getattr(config, "tf_random_seed", None) or 0) % 2**64 if shuffle else None
        for indices in _cut(rows, size, epochs, seed):
            batch = {key: array[indices] for key, array in columns.items()}
            yield batch if isinstance(x, Mapping) else batch["x"]

    return input_fn


def _arrays(data: object, name: str) -> dict[Any, NDArray[Any]]:
    """Return the arrays of the argument `name` by key; the key of a single array is the argument's name."""
    if not isinstance(data, Mapping):
        refuse_unreadable(data, name)
        return {name: data if isinstance(data, np.ndarray) else as_columns(data, name)}
    if not data:
        raise ArgumentError(f"{name} cannot be an empty dict, got {{}}. Add columns.")
    for key, value in data.items():
        refuse_unreadable(value, f"{name}[{key!r}]")
    return {key: np.asanyarray(value) for key, value in data.items()}


def _common_length(columns: dict[Any, NDArray[Any]], labels: dict[Any, NDArray[Any]]) -> int:
    lengths = {
        f"{name}[{key!r}]" if key != name else name: len(array) if array.ndim else 0
        for name, arrays in (("x", columns), ("y", labels))
        for key, array in arrays.items()
    }
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} for {name}" for name, length in lengths.items())
        raise ArgumentError(
            f"the arrays of x and y must have the same first dimension, got {found}. Give one label per row."
        )
    rows: int = next(iter(lengths.values()))
    if rows == 0:
        raise EmptyInputError("x must have at least one row, got 0 rows. Add rows.")
    return rows


def _cut(rows: int, size: int, epochs: int | None, seed: int | None) -> Iterator[NDArray[np.int64] | slice]:
    """Yield which rows make each batch; a slice, hence a view, where they follow one another."""
    end = None if epochs is None else rows * epochs
    for begin in count(0, size):
        if end is not None and begin >= end:
            return
        stop = begin + size if end is None else min(begin + size, end)
        pieces = []
        while begin < stop:
            epoch, first = divmod(begin, rows)
            last = min(rows, first + stop - begin)
            if seed is None:
                pieces.append(np.arange(first, last, dtype=np.int64))
            else:
                pieces.append(permuted(seed, (SHUFFLE_STREAM + epoch) % 2**32, rows, first, last))
            begin += last - first  # noqa: PLW2901  # walks through the batch, epoch by epoch
        if seed is None and len(pieces) == 1:
            yield slice(int(pieces[0][0]), int(pieces[0][-1]) + 1)
        else:
            yield np.concatenate(pieces)
