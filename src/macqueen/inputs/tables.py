"""A table: rows already in memory, checked at the edge, converted block by block and never as a whole."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentTypeError, DataError, EmptyInputError

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


class Kind(NamedTuple):
    """What the first batch fixes for all others."""

    dtype: np.dtype[Any]  # float32 or float64
    dims: int
    given: tuple[np.dtype[Any], ...]  # the dtypes as they came, for messages
    names: tuple[str, ...] = ()  # of the columns of a frame


class Table(ABC):
    """Rows in memory, of which any part can be had.

    Attributes
    ----------
    rows : int
        Number of rows, at least 1.
    kind : Kind
        The dtype to compute in and the number of columns.
    in_memory : bool
        Whether the rows are one array in memory, of the dtype to compute in.
    copy_bytes : int
        What a block of all rows takes beside it: 0 where it is a view.
    """

    in_memory = False
    copy_bytes = 0

    def __init__(self, rows: int, kind: Kind, what: str) -> None:
        self.rows = rows
        self.kind = kind
        if rows == 0:
            raise EmptyInputError(f"{what} must have at least one row, got 0 rows. Leave out what is empty.")
        if kind.dims == 0:
            raise DataError(f"{what} must have at least one column, got shape ({rows}, 0). Give rows with values.")

    @abstractmethod
    def pieces(self, at: "slice | NDArray[np.int64]") -> list[NDArray[Any]]:
        """Return some rows in pieces (m, d_i) that stand side by side."""

    def block(self, begin: int, end: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return rows begin..end-1 as (end - begin, d): a view where nothing has to be converted."""
        return self._join(self.pieces(slice(begin, end)), dtype)

    def gather(self, indices: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return a copy of the rows at `indices` (m,) as (m, d)."""
        return self._join(self.pieces(indices), dtype)

    def _join(self, pieces: list[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
        if len(pieces) == 1:
            piece = pieces[0]
            as_it_is = piece.dtype == dtype and piece.flags.c_contiguous and piece.flags.aligned
            return piece if as_it_is and type(piece) is np.ndarray else np.require(piece, dtype, ["C", "A"])
        joined = np.empty((pieces[0].shape[0], self.kind.dims), dtype)
        begin = 0
        for piece in pieces:
            end = begin + piece.shape[1]
            joined[:, begin:end] = piece
            begin = end
        return joined


class ArrayTable(Table):
    """Arrays side by side."""

    def __init__(self, columns: Sequence[NDArray[Any]], what: str) -> None:
        self._columns = columns  # each (n, d_i), any real dtype and memory order, never written
        dtype: np.dtype[Any] = FLOAT32
        dims = 0
        for column in columns:
            if compute_dtype(column.dtype, what) is FLOAT64:
                dtype = FLOAT64
            dims += column.shape[1]
        first = columns[0]
        super().__init__(first.shape[0], Kind(dtype, dims, tuple([column.dtype for column in columns])), what)
        self.in_memory = len(columns) == 1 and first.dtype == self.kind.dtype and not _is_mapped(first)
        if self.in_memory and not (first.flags.c_contiguous and first.flags.aligned):
            self.copy_bytes = first.size * first.itemsize

    def pieces(self, at: "slice | NDArray[np.int64]") -> list[NDArray[Any]]:
        """Return some rows of each array."""
        # Not np.take: it first copies the whole of an array that is not C-contiguous.
        return [column[at] for column in self._columns]


def _is_mapped(array: Any) -> bool:
    """Tell whether an array, or what it is a view of, lies in a file."""
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = getattr(array, "base", None)
    return False


def names_of(dtypes: Iterable[np.dtype[Any]]) -> str:
    """Return the names of some dtypes, for a message."""
    return ", ".join(sorted({dtype.name for dtype in dtypes}))


def compute_dtype(dtype: np.dtype[Any], what: str) -> np.dtype[Any]:
    """Return the dtype that rows of `dtype` are computed in: float32 where that loses nothing."""
    if dtype.kind not in "biuf":
        raise DataError(
            f"{what} must hold real numbers, got dtype {dtype}. "
            "Convert it to a real dtype first, for example with .astype(np.float64)."
        )
    small = dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4)
    return FLOAT32 if small else FLOAT64


def array_table(array: NDArray[Any], what: str) -> Table:
    """Make a table of what is known to be a plain array: other kinds are asked more than a small step takes."""
    return ArrayTable([_two_ranks(array, what)], what)


def plain_table(data: object, what: str) -> Table:
    """Make a table of an array, a dict of arrays, or a list of numbers or rows."""
    if isinstance(data, Mapping):
        return _from_mapping(data, what)
    return ArrayTable([as_columns(data, what)], what)


def refuse_unreadable(data: object, what: str) -> None:
    """Raise for the things that look like rows and are not, each with its remedy."""
    if data is None:
        raise ArgumentTypeError(
            f"{what} must be rows, got None. Pass an array; if a function made it, check that it returns it."
        )
    if isinstance(data, str | bytes | bytearray):
        raise ArgumentTypeError(
            f"{what} must be rows, got {type(data).__name__} {bytes_or_text(data)}. "
            "Read the file first, for example with np.load or np.loadtxt."
        )
    if isinstance(data, set | frozenset):
        raise ArgumentTypeError(
            f"{what} must be rows in an order, got a {type(data).__name__}. Pass sorted(...) or a list."
        )
    if hasattr(data, "tocsr") and hasattr(data, "nnz"):
        raise DataError(
            f"{what} must be dense, got the sparse {type(data).__name__}. Pass x.toarray(), or batches of it."
        )


def bytes_or_text(data: str | bytes | bytearray) -> str:
    """Return the beginning of `data` for a message."""
    return repr(data[:40]) + ("..." if len(data) > 40 else "")


def is_array(data: object) -> bool:
    """Tell whether NumPy can read `data` by a protocol of its own."""
    if isinstance(data, type):
        return False
    return isinstance(data, memoryview) or hasattr(data, "__array__") or hasattr(data, "__array_interface__")


def as_columns(data: object, what: str) -> NDArray[Any]:
    """Return an array, a number list or a list of rows as a 2-D array; arrays are viewed, not copied."""
    if np.ma.isMaskedArray(data) and np.ma.is_masked(data):
        raise DataError(
            f"{what} must not have masked values, got {int(np.ma.getmaskarray(data).sum())} of them. "
            "Drop these rows or fill them with x.filled(...)."
        )
    if not is_array(data):
        if not isinstance(data, Sequence):
            raise ArgumentTypeError(
                f"{what} must be an array, a list of rows or a dict of arrays, got {type(data).__name__}. "
                "Convert it with np.asarray."
            )
        return _from_list(data, what)
    try:
        array = np.asarray(data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(
            f"{what} must be readable as a NumPy array, got {type(data).__name__}, which says: {error}. "
            "Convert it to a NumPy array first."
        ) from error
    return _two_ranks(array, what)


def list_kind(values: Sequence[Any]) -> Literal["numbers", "rows", "batches"]:
    """Tell what a list that is not empty holds, from its first element."""
    kinds: tuple[Literal["numbers", "rows"], ...] = ("numbers", "rows")
    rank = _rank(values[0])
    return kinds[rank] if rank < 2 else "batches"


def _rank(value: object) -> int:
    if isinstance(value, Number | np.generic | str | bytes):
        return 0
    rank = getattr(value, "ndim", None)
    if isinstance(rank, int):
        return rank
    if is_array(value):
        return np.asarray(value).ndim
    if isinstance(value, Sequence):
        return 1 if len(value) == 0 else min(2, 1 + _rank(value[0]))
    return 2


def _two_ranks(array: NDArray[Any], what: str) -> NDArray[Any]:
    if array.ndim == 1:
        return array[:, np.newaxis]
    if array.ndim != 2:
        raise DataError(
            f"{what} must have rank 2 (rows, columns) or rank 1 (rows of one column), got rank {array.ndim}, "
            f"shape {array.shape}. Use reshape(rows, -1)."
        )
    return array


def _from_list(values: Sequence[Any], what: str) -> NDArray[Any]:
    if len(values) == 0:
        raise EmptyInputError(f"{what} must have at least one row, got an empty {type(values).__name__}. Add rows.")
    kind = list_kind(values)
    if kind == "batches":
        raise DataError(
            f"{what} must be a list of numbers or of rows, got a {type(values).__name__} of "
            f"{type(values[0]).__name__} of rank 2 or more. "
            "Pass (features, labels) as a tuple, and batches one by one."
        )
    if kind == "rows":
        _check_rows(values, what)
    try:
        array = np.asarray(values)
        if array.dtype == object and all(isinstance(value, int | float) for value in array.flat):
            array = array.astype(np.float64)  # Python integers beyond 64 bits
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{what} must be a list of numbers or of rows of numbers, got a list of which NumPy "
            f"says: {error}. Give all rows the same number of plain numbers."
        ) from error
    return _two_ranks(array, what)


def _check_rows(values: Sequence[Any], what: str) -> None:
    for number, row in enumerate(values):
        if getattr(row, "ndim", 1) != 1 or not hasattr(row, "__len__") or isinstance(row, str | bytes | Mapping):
            raise DataError(
                f"{what} must be a list of rows, as its first element is one, got {type(row).__name__} of "
                f"rank {getattr(row, 'ndim', 0)} at row {number}. Make each element one row."
            )
        if len(row) != len(values[0]):
            raise DataError(
                f"{what} must have rows of one length: row 0 has {len(values[0])} values, row {number} has "
                f"{len(row)}. Give all rows the same columns."
            )


def _from_mapping(data: Mapping[Any, Any], what: str) -> Table:
    if not data:
        raise DataError(f"{what} must have at least one column, got an empty dict. Add columns.")
    kinds = {str if isinstance(key, str) else type(key) for key in data}
    try:
        keys = sorted(data)
    except TypeError:
        keys = []
    if len(kinds) > 1 or not keys:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ArgumentTypeError(
            f"{what} must have keys of one type that can be sorted, got keys of {names}. Name columns by strings."
        )
    columns = []
    for key in keys:
        refuse_unreadable(data[key], f"{what}, column {key!r},")
        columns.append(as_columns(data[key], f"{what}, column {key!r},"))
        if len(columns[-1]) != len(columns[0]):
            raise DataError(
                f"{what} must have columns of one length: {keys[0]!r} has {len(columns[0])} rows, {key!r} "
                f"has {len(columns[-1])}. Give all columns the same rows."
            )
        compute_dtype(columns[-1].dtype, f"{what}, column {key!r},")
    return ArrayTable(columns, what)
