"""The door: whatever a user passes as `input_fn` becomes a data set or a stream, and nobody asks again."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError, ArgumentTypeError, EmptyInputError, InputReadError
from macqueen.inputs.arrays import RowSet
from macqueen.inputs.batches import BatchList, BatchPasses, BatchSet
from macqueen.inputs.encoded import Encoder
from macqueen.inputs.frames import arrow_batches, is_arrow_stream, is_frame, is_lazy
from macqueen.inputs.kinds import as_table
from macqueen.inputs.streams import Stream, check_count, is_iterator
from macqueen.inputs.tables import array_table, is_array, list_kind, refuse_unreadable

__all__ = ["DataSet", "Dataset", "Stream", "as_source", "call", "is_function"]

MODES = ("train", "eval", "infer")
OFFERED = ("mode", "config", "params")  # what an input function may ask for by name


class DataSet(Protocol):
    """Rows that can be read again; arrays given out are C-contiguous (m, d) of `dtype`."""

    is_stream: bool  # False
    dtype: np.dtype[Any]  # float32 or float64
    dims: int
    batch_size: int  # asked for by the user, else by the caller

    @property
    def rows(self) -> int:
        """Number of rows; may cost one pass, once."""

    def blocks(self, most_rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, in pieces of at most `most_rows` rows."""

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows at `indices` (m,), in that order."""

    def batches(self, batch_size: int, *, seed: int, pass_number: int, start: int) -> Iterator[NDArray[Any]]:
        """Yield the mini-batches from number `start` on of a pass."""

    def batch_count(self, batch_size: int) -> int:
        """Return the number of mini-batches in a pass."""

    def in_order(self, batch_size: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, batch by batch."""


class Dataset:
    """Declares that an input can be read again, and in which mini-batches.

    Parameters
    ----------
    data : array, dict of arrays, list, iterable, or callable
        Rows in memory, batches that can be iterated over again and again, or a function without arguments
        that makes a fresh iterator over batches for each pass.
    batch_size : int, optional
        Rows per mini-batch, in place of the estimator's; only for rows in memory, as batches are taken
        as they are.

    Raises
    ------
    InputReadError
        `data` is an iterator, which can be read once.
    ArgumentError, ArgumentTypeError
        `batch_size` is not an integer of at least 1, or `data` is a function with arguments.

    Examples
    --------
    >>> import numpy as np
    >>> Dataset(np.zeros((5, 2)), batch_size=2).batch_size
    2
    """

    def __init__(self, data: object, batch_size: int | None = None) -> None:
        if is_iterator(data) or isinstance(data, Stream):
            raise InputReadError(
                f"data must be readable again, got {type(data).__name__}, which can be read once. "
                "Pass a function that makes it, or a list."
            )
        self.data = data
        self.batch_size = None if batch_size is None else check_count(batch_size, "batch_size")
        if is_function(data):
            _arguments(data, "data", {})

    def __repr__(self) -> str:
        return f"Dataset({self.data!r}, batch_size={self.batch_size})"


def as_source(
    data: object,
    *,
    mode: str,
    config: object = None,
    params: object = None,
    batch_size: int = 1024,
    encoder: Encoder | None = None,
) -> DataSet | Stream:
    """Make a source of what a user passes as `input_fn`: the thing itself, or a callable that returns it.

    Parameters
    ----------
    data : object
        The input. A callable is called once, here, with those of `mode`, `config` and `params` that it names.
    mode : {'train', 'eval', 'infer'}
        What the rows are for.
    config, params : object
        Handed to the callable.
    batch_size : int
        Rows per mini-batch where the input does not say.
    encoder : Encoder, optional
        Makes rows of named columns.

    Returns
    -------
    DataSet or Stream
        `is_stream` tells which.

    Raises
    ------
    ArgumentTypeError
        The input is no kind of rows, or asks for unknown arguments.
    DataError
        The rows cannot be clustered: rank, dtype, unequal lengths; EmptyInputError if there are none.
    InputReadError
        The input can be read once, and was.
    """
    if mode not in MODES:
        raise ArgumentError(f"mode must be one of {', '.join(MODES)}, got {mode!r}. Pass one of these.")
    size = check_count(batch_size, "batch_size")
    if is_function(data):
        data = call(data, mode=mode, config=config, params=params)
    return _pick(data, size, encoder)


def is_function(data: object) -> TypeGuard[Callable[..., Any]]:
    """Tell whether `data` is to be called, and not an input itself."""
    return not _is_thing(data) and callable(data)


def call(input_fn: Callable[..., Any], *, mode: str, config: object, params: object) -> Any:
    """Return what an input function returns; arguments and errors are those of `as_source`."""
    arguments = _arguments(input_fn, "input_fn", {"mode": mode, "config": config, "params": params})
    try:
        data = input_fn(**arguments)
    except StopIteration as error:
        raise EmptyInputError("input_fn must return rows, got StopIteration: the input has ended") from error
    if is_function(data):
        raise ArgumentTypeError(
            f"input_fn must return rows or batches, got {type(data).__name__}, which is callable again. "
            "Return the data, not a function; Dataset(function) declares an input that is made per pass."
        )
    return data


def _pick(data: object, size: int, encoder: Encoder | None) -> DataSet | Stream:
    """Return the source for the kind of thing `data` is; the order of the questions is the rule."""
    if type(data) is np.ndarray:
        return RowSet(array_table(data, "the input"), size)
    if isinstance(data, Dataset):
        return _declared(data, size, encoder)
    if isinstance(data, Stream):
        return data.open(encoder)
    if isinstance(data, RowSet | BatchSet):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return _pick(data[0], size, encoder)
    refuse_unreadable(data, "the input")
    if isinstance(data, Mapping) or is_frame(data) or is_lazy(data) or is_array(data):
        return RowSet(as_table(data, "the input", encoder), size)
    if isinstance(data, Sequence):
        if len(data) == 0:
            raise EmptyInputError(
                f"the input must have at least one row, got an empty {type(data).__name__}. Add rows."
            )
        if list_kind(data) == "batches":
            return BatchList(data, size, encoder)
        return RowSet(as_table(list(data), "the input"), size)
    if is_iterator(data):
        return Stream(data).open(encoder)  # type: ignore[arg-type]  # has __next__
    if is_arrow_stream(data):
        return BatchPasses(lambda: arrow_batches(data), size, encoder)
    if isinstance(data, Iterable):
        return BatchPasses(lambda: iter(data), size, encoder)
    raise ArgumentTypeError(
        "the input must be an array, a dict of arrays, a list, something to iterate over, or a function that "
        f"returns one of these, got {type(data).__name__}. Convert it with np.asarray."
    )


def _declared(declared: Dataset, size: int, encoder: Encoder | None) -> DataSet:
    """Return the data set that a `Dataset` declares."""
    data = declared.data
    source: DataSet | Stream
    if is_function(data):
        source = BatchPasses(data, size, encoder)
    else:
        source = _pick(data, declared.batch_size or size, encoder)
    if isinstance(source, Stream):
        raise InputReadError(
            f"data must be readable again, got {type(data).__name__}, which can be read once. "
            "Pass a function that makes it, or a list."
        )
    if declared.batch_size is not None and isinstance(source, BatchSet):
        raise ArgumentError(
            f"batch_size must be left out where batches are given, which are taken as they are, got "
            f"{declared.batch_size} for {type(data).__name__}. Give batches of that size, or rows in memory."
        )
    return source


def _is_thing(data: object) -> bool:
    """Tell whether `data` is an input itself, even if it can be called."""
    kind = type(data)
    return kind is np.ndarray or (
        isinstance(data, Dataset | Stream | RowSet | BatchSet)
        or is_array(data)
        or is_frame(data)
        or is_arrow_stream(data)
        or (hasattr(kind, "__iter__") and not isinstance(data, type))
        or is_iterator(data)
    )


def _arguments(function: Callable[..., Any], name: str, offered: dict[str, object]) -> dict[str, object]:
    """Return those of `offered` that `function` names; raise if it needs another argument."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-ins do not tell
        return {}
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound |= set(function.keywords)
        function = function.func
    passed = {}
    for parameter in parameters:
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if by_name and parameter.name in offered and parameter.name not in bound:
            passed[parameter.name] = offered[parameter.name]
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            known = f"only {', '.join(OFFERED)}" if offered else "no arguments"
            raise ArgumentTypeError(
                f"{name} may require {known}, got a function that requires {parameter.name!r}. "
                "Bind it with functools.partial or a lambda."
            )
    return passed
