"""Named arrays as they come, read as numbers or as categories, with errors that name column and row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import DataError

NOTHING = -1  # the bucket of what belongs to none


class Features:
    """The columns of some rows.

    Parameters
    ----------
    arrays
        (n,) or (n, ...) by name: numbers, text, masked arrays, or objects among which None is missing.
    what
        Names their source, for errors.
    first
        Number of the first row.
    """

    def __init__(self, arrays: Mapping[str, Any], what: str, first: int) -> None:
        self._arrays = arrays
        self._what = what
        self._first = first
        self.shared: dict[Any, Any] = {}  # what several columns are made of, by who made it

    def refuse(self, key: str, row: int, problem: str) -> NoReturn:
        """Raise for one row of a column."""
        raise DataError(f"{self._what}, column {key!r}, row {self._first + row}: {problem}")

    def refuse_all(self, keys: Sequence[str], problem: str) -> NoReturn:
        """Raise for a problem of several columns whose row is not known."""
        raise DataError(f"{self._what}, {', '.join(map(repr, keys))}, from row {self._first} on: {problem}")

    def complete(self, key: str) -> NDArray[Any]:
        """Return a column as it was given, (n, ...); a missing value is an error."""
        given = self._two_ranks(key)
        missing = np.ma.getmaskarray(given)
        values = np.ma.getdata(given)
        if values.dtype == object:
            missing = missing | _is_none(values)
        if missing.any():
            row = int(np.argwhere(missing)[0, 0])
            self.refuse(key, row, "the value is missing, and this column has none for it; fill or drop the row")
        return np.ma.getdata(np.asanyarray(self._arrays[key]))

    def numbers(self, key: str, size: int, default: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return a column of numbers (n, size); missing ones are `default` (size,), or an error."""
        array = self._two_ranks(key)
        if array.shape[1] != size:
            raise DataError(
                f"{self._what}, column {key!r}, must have {size} values a row, got {array.shape[1]}; "
                "give the column that shape"
            )
        missing = np.ma.getmaskarray(array)
        values = np.ma.getdata(array)
        if values.dtype == object:
            missing = missing | _is_none(values)
            values = np.where(missing, 0, values)
        try:
            if values.dtype.kind not in "biufO":
                raise TypeError(f"its dtype is {values.dtype}")
            wide: NDArray[np.float64] = np.array(values, np.float64)  # a copy: missing values are filled in
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{self._what}, column {key!r}, must hold numbers: {error}. Encode text, for example with "
                f"indicator_column(categorical_column_with_vocabulary_list({key!r}, [...]))"
            ) from error
        missing = missing | np.isnan(wide)
        if missing.any():
            if default is None:
                row = int(np.argwhere(missing)[0, 0])
                self.refuse(key, row, "the value is missing; give the column a default_value, or fill or drop the row")
            wide[missing] = np.broadcast_to(default, wide.shape)[missing]
        return wide

    def categories(self, key: str, text: bool | None) -> tuple[list[Any], NDArray[np.bool_]]:
        """Return a column of categories as a flat list in row order, and where they are missing, (n, m).

        `text` says whether they must be text or integers; None takes either.
        """
        array = self._two_ranks(key)
        missing = np.ma.getmaskarray(array)
        values = np.ma.getdata(array)
        kind = values.dtype.kind
        text = kind in "USO" if text is None else text
        if kind == "O":
            missing = missing | _is_none(values)
            flat = values.ravel().tolist()
            fit = (str, bytes) if text else (int, np.integer)
            unfit = (
                at
                for at, (value, gone) in enumerate(zip(flat, missing.ravel().tolist(), strict=True))
                if not gone and not isinstance(value, fit)
            )
            at = next(unfit, None)
            if at is not None:
                self._unfit(key, at // values.shape[1], flat[at], text)
        elif kind == "f" and not text:
            missing = missing | np.isnan(values)
            whole = np.where(missing, 0, values)
            broken = np.argwhere(whole != np.floor(whole))
            if len(broken):
                self._unfit(key, int(broken[0, 0]), whole[tuple(broken[0])], text)
            flat = whole.astype(np.int64).ravel().tolist()
        elif kind in ("US" if text else "biu"):
            flat = values.ravel().tolist()
        else:
            self._unfit(key, 0, values.ravel()[0] if values.size else values.dtype, text)
        if kind in "OS" and text:
            flat = [value.decode() if isinstance(value, bytes) else value for value in flat]
        return flat, missing

    def _unfit(self, key: str, row: int, value: object, text: bool) -> NoReturn:
        wanted = "text" if text else "integers"
        remedy = "convert it, or give the column a dtype of integers" if text else "convert it, or use dtype=str"
        self.refuse(key, row, f"the categories must be {wanted}, got {value!r} ({type(value).__name__}); {remedy}")

    def _two_ranks(self, key: str) -> Any:
        try:
            array = self._arrays[key]
        except KeyError:
            known = ", ".join(map(str, self._arrays)) or "none"
            raise DataError(f"Feature {key} is not in features dictionary. {self._what} has: {known}") from None
        array = array if isinstance(array, np.ndarray) else np.asarray(array)
        if array.ndim == 0:
            raise DataError(f"{self._what}, column {key!r}, must have one entry a row, got a single value")
        return array.reshape(len(array), int(np.prod(array.shape[1:])))


def _is_none(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell where objects are None or NaN."""
    gone = [value is None or value != value for value in values.ravel().tolist()]  # noqa: PLR0124 -- NaN
    return np.array(gone, bool).reshape(values.shape)


def as_tuple(values: Sequence[Any] | float | str) -> tuple[Any, ...]:
    """Return a single value or a sequence as a tuple."""
    return tuple(values) if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str) else (values,)
