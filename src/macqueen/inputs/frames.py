"""Frames: named columns of pandas, polars or pyarrow, read block by block through narwhals; Arrow streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import DataError
from macqueen.extras import needed
from macqueen.inputs.tables import FLOAT32, FLOAT64, Kind, Table, compute_dtype

Rows: TypeAlias = "slice | NDArray[np.int64]"  # which rows of a table

FRAMES = ("pandas", "polars", "pyarrow", "modin", "cudf")


def is_frame(data: object) -> bool:
    """Tell whether `data` is a frame in memory, without importing anything."""
    kind = type(data)
    packages = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return bool(packages.intersection(FRAMES)) and (
        (hasattr(kind, "columns") and hasattr(kind, "shape")) or hasattr(kind, "column_names")
    )


def is_lazy(data: object) -> bool:
    """Tell whether `data` is a frame that has not been computed yet."""
    return type(data).__name__ == "LazyFrame" and hasattr(type(data), "collect")


def is_arrow_stream(data: object) -> bool:
    """Tell whether `data` can be read as Arrow batches again and again, as a relation of DuckDB."""
    return hasattr(type(data), "__arrow_c_stream__") and not hasattr(type(data), "__array__")


def arrow_batches(data: object) -> Iterator[Any]:
    """Return the batches of an Arrow stream, from the first on."""
    reader = needed("pyarrow", "arrow", "reading Arrow streams").RecordBatchReader.from_stream(data)
    return (batch for batch in reader if batch.num_rows)


class Frame:
    """Named columns of a frame, which may be read in parts.

    Attributes
    ----------
    rows : int
        Number of rows.
    names : tuple of str
        The columns, in the frame's order.
    """

    def __init__(self, data: Any, what: str) -> None:
        narwhals = needed("narwhals", "frames", "reading frames")
        names = list(map(str, getattr(data, "column_names", None) or data.columns))
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{what} has two columns of the name {twice!r}; rename or drop one")
        if type(data).__name__ == "RecordBatch":
            data = needed("pyarrow", "arrow", "reading Arrow batches").Table.from_batches([data])
        elif list(data.columns if hasattr(data, "columns") and hasattr(data, "rename") else names) != names:
            data = data.rename(columns=str)  # pandas, whose names may be numbers
        self._frame = narwhals.from_native(data, eager_only=True)
        self._narwhals = narwhals
        self.what = what
        self.names = tuple(names)
        self.rows = len(self._frame)
        self._dtypes = dict(self._frame.schema)

    def is_number(self, name: str) -> bool:
        """Tell whether a column holds numbers or booleans."""
        dtype = self._dtypes[name]
        return bool(dtype.is_numeric() or dtype == self._narwhals.Boolean)

    def is_time(self, name: str) -> bool:
        """Tell whether a column holds dates, times or durations."""
        return bool(self._dtypes[name].is_temporal())

    def dtype_name(self, name: str) -> str:
        """Return what the frame calls the dtype of a column."""
        return str(self._dtypes[name])

    def number_dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a column of numbers in NumPy's terms; decimals are float64."""
        if self._dtypes[name].is_decimal():
            return FLOAT64
        text = str(self._dtypes[name]).lower()
        return np.dtype({"boolean": "bool", "int128": "float64", "uint128": "float64"}.get(text, text))

    def take(self, at: Rows, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return columns of some rows: masked where numbers are null, objects with None where text is."""
        part = self._frame[at]
        return {name: self._array(name, part[name]) for name in names}

    def _array(self, name: str, series: Any) -> NDArray[Any]:
        gone = series.is_null()
        if self.is_number(name):
            has_gaps = bool(gone.any())
            if has_gaps:
                series = series.fill_null(value=False if self._dtypes[name] == self._narwhals.Boolean else 0)
            if self._dtypes[name].is_decimal():
                series = series.cast(self._narwhals.Float64)
            values = np.asarray(series.to_numpy())
            return np.ma.MaskedArray(values, gone.to_numpy()) if has_gaps else values
        if self.is_time(name):
            raise DataError(f"{self.what}, column {name!r}, holds {self.dtype_name(name)}; convert it to a number")
        if self._dtypes[name] in (self._narwhals.Categorical, self._narwhals.Enum):
            series = series.cast(self._narwhals.String)
        values = np.empty(len(series), object)
        values[:] = series.to_list()
        values[gone.to_numpy()] = None
        return values


class FrameTable(Table):
    """The rows of a frame all of whose columns are numbers."""

    def __init__(self, frame: Frame, what: str) -> None:
        _check_numbers(frame, what)
        self._frame = frame
        self._what = what
        given = {frame.number_dtype(name) for name in frame.names}
        wide = any(compute_dtype(dtype, what) == FLOAT64 for dtype in given)
        kind = Kind(FLOAT64 if wide else FLOAT32, len(frame.names), tuple(given), frame.names)
        super().__init__(frame.rows, kind, what)

    def reordered(self, names: Sequence[str]) -> FrameTable:
        """Return the table with its columns in another order."""
        self._frame.names = tuple(names)
        return FrameTable(self._frame, self._what)

    def pieces(self, at: Rows) -> list[NDArray[Any]]:
        """Return some rows, column by column."""
        columns = self._frame.take(at, self._frame.names)
        for name, column in columns.items():
            if isinstance(column, np.ma.MaskedArray):
                row = int(np.argmax(np.ma.getmaskarray(column)))
                place = at.start + row if isinstance(at, slice) else int(at[row])
                raise DataError(
                    f"{self._what}, column {name!r}, row {place}: the value is missing; fill or drop the row, or give "
                    "feature_columns with a default_value"
                )
        return [column[:, np.newaxis] for column in columns.values()]


def _check_numbers(frame: Frame, what: str) -> None:
    """Name all columns that are no numbers, and what to do about each."""
    wrong = []
    for name in frame.names:
        if frame.is_time(name):
            wrong.append(f"column {name!r} ({frame.dtype_name(name)}): convert it to a number, or drop it")
        elif not frame.is_number(name):
            column = f"indicator_column(categorical_column_with_vocabulary_list({name!r}, [...]))"
            wrong.append(
                f"column {name!r} ({frame.dtype_name(name)}): encode it with feature_columns=[{column}], or drop it"
            )
    if wrong:
        raise DataError(f"{what} must have columns of numbers. " + "; ".join(wrong))
