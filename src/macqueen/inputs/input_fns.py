"""Makers of input functions, as TensorFlow had them."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen._core import permuted
from macqueen.errors import ArgumentError, ArgumentTypeError, EmptyInputError
from macqueen.extras import needed
from macqueen.inputs.frames import Frame
from macqueen.inputs.streams import check_count
from macqueen.inputs.tables import as_columns, refuse_unreadable

SHUFFLE_STREAM = 0x4E500000  # purpose of the draws that order epoch 0


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
    size, epochs = _checked(batch_size, num_epochs, shuffle, queue_capacity, num_threads)
    columns = _arrays(x, "x")
    labels = {} if y is None else _arrays(y, "y")
    rows = _common_length(columns, labels)

    return _streaming(columns, rows, size, epochs, shuffle, named=isinstance(x, Mapping))


def pandas_input_fn(
    x: Any,
    y: Any = None,
    batch_size: int = 128,
    num_epochs: int | None = 1,
    shuffle: bool | None = None,
    queue_capacity: int = 1000,
    num_threads: int = 1,
    target_column: str = "target",
) -> Callable[..., Iterator[Any]]:
    """Make an `input_fn` that streams batches of a pandas frame, as TensorFlow's function of this name.

    Parameters
    ----------
    x : pandas.DataFrame
        The rows; each batch is a dict of its columns, hence sorted by name unless feature columns say otherwise.
    y : pandas.Series, pandas.DataFrame or None
        Labels: their index must be that of `x`, and they are ignored.
    batch_size, num_epochs, shuffle, queue_capacity, num_threads
        As for `numpy_input_fn`.
    target_column : str
        Name of the labels; no column of `x` may have it where there are labels.

    Returns
    -------
    callable
        Takes an optional `config`; returns a generator of dicts of arrays.

    Raises
    ------
    ArgumentTypeError
        `x` is no frame of pandas.
    ArgumentError
        `shuffle` is not a bool, the labels do not fit, two columns have one name, or a number is less than 1.
    """
    size, epochs = _checked(batch_size, num_epochs, shuffle, queue_capacity, num_threads)
    pandas = needed("pandas", "frames", "pandas_input_fn")
    if not isinstance(x, pandas.DataFrame):
        raise ArgumentTypeError(f"x must be a pandas DataFrame, got {type(x).__name__}. Use numpy_input_fn for arrays.")
    if y is not None:
        if not isinstance(y, pandas.DataFrame | pandas.Series):
            raise ArgumentTypeError(f"y must be a pandas Series or DataFrame, got {type(y).__name__}.")
        taken = [target_column] if isinstance(y, pandas.Series) else list(y.columns)
        both = sorted(set(map(str, taken)) & set(map(str, x.columns)))
        if both:
            raise ArgumentError(f"x already has the columns {', '.join(both)} of y. Rename them, or set target_column.")
        if not x.index.equals(y.index):
            raise ArgumentError("x and y must have the same index. Use y.reindex(x.index), or reset both.")
    if not len(x):
        raise EmptyInputError("x must have at least one row, got 0 rows. Add rows.")
    frame = Frame(x, "x")
    columns = {name: frame.take(slice(0, frame.rows), [name])[name] for name in frame.names}
    return _streaming(columns, frame.rows, size, epochs, bool(shuffle), named=True)


def _checked(
    batch_size: int, num_epochs: int | None, shuffle: object, queue_capacity: int, num_threads: int
) -> tuple[int, int | None]:
    """Check what both functions take; return rows per batch and epochs."""
    if not isinstance(shuffle, bool):
        raise ArgumentError(
            "shuffle must be provided and explicitly set as boolean (it is recommended to set it as True for "
            f"training), got {shuffle!r}. Pass shuffle=True or shuffle=False."
        )
    check_count(queue_capacity, "queue_capacity")
    check_count(num_threads, "num_threads")
    size = check_count(batch_size, "batch_size")
    return size, None if num_epochs is None else check_count(num_epochs, "num_epochs")


def _streaming(
    columns: dict[Any, NDArray[Any]], rows: int, size: int, epochs: int | None, shuffle: bool | None, *, named: bool
) -> Callable[..., Iterator[Any]]:
    """Return an `input_fn` that cuts columns into batches: dicts, or arrays where the one column has no name."""

    def input_fn(config: object = None) -> Iterator[Any]:
        seed = int(getattr(config, "tf_random_seed", None) or 0) % 2**64 if shuffle else None
        for indices in _cut(rows, size, epochs, seed):
            batch = {key: array[indices] for key, array in columns.items()}
            yield batch if named else batch["x"]

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
