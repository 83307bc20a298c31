"""Named columns made into rows by an encoder (feature columns), block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import DataError, EmptyInputError
from macqueen.inputs.frames import Frame, Rows
from macqueen.inputs.tables import Kind, Table


class Encoder(Protocol):
    """Makes rows of named arrays; each row depends on its own features alone."""

    keys: tuple[str, ...]  # the columns it reads
    dims: int
    dtype: np.dtype[Any]  # float32 or float64

    def rows(self, features: Mapping[str, NDArray[Any]], what: str, first: int = 0) -> NDArray[Any]:
        """Return rows (m, dims), C-contiguous; `what` names their source and `first` the first row in it."""


class MappingColumns:
    """Named arrays, of which rows are taken."""

    def __init__(self, data: Mapping[str, Any], keys: Sequence[str], what: str) -> None:
        self._arrays = {key: _array(data[key]) for key in keys if key in data}
        for key, array in self._arrays.items():
            if array.ndim == 0:
                raise DataError(f"{what}, column {key!r}, must have one entry a row, got a single value: {data[key]!r}")
        self.names = tuple(map(str, data))
        lengths = {key: len(array) for key, array in self._arrays.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{length} for {key!r}" for key, length in lengths.items())
            raise DataError(
                f"{what} must have columns of one length, got {found} rows. Give all columns the same rows."
            )
        self.rows = next(iter(lengths.values()), 0)

    def take(self, at: Rows, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return columns of some rows."""
        return {name: self._arrays[name][at] for name in names}


class EncodedTable(Table):
    """The rows that an encoder makes of columns; only what is asked for is ever encoded."""

    def __init__(self, columns: Frame | MappingColumns, encoder: Encoder, what: str) -> None:
        self._columns = columns
        self._encoder = encoder
        self._what = what
        for key in encoder.keys:
            if key not in columns.names:
                raise DataError(f"Feature {key} is not in features dictionary. {what} has: {', '.join(columns.names)}")
        if columns.rows == 0:
            raise EmptyInputError(f"{what} must have at least one row, got 0 rows. Leave out what is empty.")
        super().__init__(columns.rows, Kind(encoder.dtype, encoder.dims, (encoder.dtype,)), what)

    def pieces(self, at: Rows) -> list[NDArray[Any]]:
        """Return some rows, as one piece."""
        features = self._columns.take(at, self._encoder.keys)
        if isinstance(at, slice):
            return [self._encoder.rows(features, self._what, at.start)]
        try:
            return [self._encoder.rows(features, self._what)]
        except DataError:
            for row in at.tolist():  # one of them is wrong: name its place in the input
                self._encoder.rows(self._columns.take(slice(row, row + 1), self._encoder.keys), self._what, row)
            raise


def _array(values: Any) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else np.asarray(values)
