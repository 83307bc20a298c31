"""What a batch can be: the one door from whatever holds rows to a table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from macqueen.errors import DataError
from macqueen.inputs.encoded import EncodedTable, Encoder, MappingColumns
from macqueen.inputs.frames import Frame, FrameTable, is_frame, is_lazy
from macqueen.inputs.tables import Kind, Table, array_table, names_of, plain_table, refuse_unreadable


def as_table(data: object, what: str, encoder: Encoder | None = None) -> Table:
    """Make a table of an array, named columns, a list of numbers or rows, or (features, labels).

    An encoder makes rows of named columns; what has no names does without.
    """
    if type(data) is np.ndarray:
        return array_table(data, what)
    if isinstance(data, tuple) and len(data) == 2:
        return as_table(data[0], what, encoder)
    refuse_unreadable(data, what)
    if is_lazy(data):
        raise DataError(f"{what} must be a frame in memory, got a {type(data).__name__}. Call .collect() first.")
    if is_frame(data):
        frame = Frame(data, what)
        return FrameTable(frame, what) if encoder is None else EncodedTable(frame, encoder, what)
    if encoder is not None and isinstance(data, Mapping):
        return EncodedTable(MappingColumns(data, encoder.keys, what), encoder, what)
    return plain_table(data, what)


def next_table(data: object, number: int, first: Kind, encoder: Encoder | None = None) -> Table:
    """Make a table of batch `number`, which must have the columns of the first one and fit its dtype."""
    what = f"batch {number} of the input"
    table = as_table(data, what, encoder)
    dtype, dims, given, names = table.kind
    if names != first.names:
        table = _same_columns(table, what, first.names)
    if dims != first.dims:
        raise DataError(
            f"{what} must have as many columns as batch 0, {first.dims}, got {dims}. Give all batches the same columns."
        )
    if dtype.itemsize > first.dtype.itemsize:
        raise DataError(
            f"{what} must fit {first.dtype}, the dtype that batch 0 ({names_of(first.given)}) "
            f"fixed, got {names_of(given)}, which needs {dtype}. Convert it with .astype(np.float32), or give "
            f"{dtype} from batch 0 on."
        )
    return table


def _same_columns(table: Table, what: str, names: tuple[str, ...]) -> Table:
    """Return a table of a frame with the columns in the order of batch 0."""
    found = table.kind.names
    if set(found) != set(names):
        missing = ", ".join(repr(name) for name in names if name not in found) or "none"
        new = ", ".join(repr(name) for name in found if name not in names) or "none"
        raise DataError(
            f"{what} must have the columns of batch 0; missing: {missing}; new: {new}. "
            "Give all batches the same columns."
        )
    assert isinstance(table, FrameTable)
    return table.reordered(names)
