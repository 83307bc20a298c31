"""Columns side by side: named arrays in, rows out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.feature_columns.categorical import CategoricalColumn
from macqueen.feature_columns.dense import DenseColumn, NumericColumn
from macqueen.feature_columns.features import Features


def checked(columns: object) -> tuple[DenseColumn, ...] | None:
    """Return feature columns sorted by name; None for none of them.

    Parameters
    ----------
    columns
        A column or an iterable of them, which is read once.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        Something is no dense column, or two have one name.
    """
    if columns is None:
        return None
    if isinstance(columns, DenseColumn | CategoricalColumn):
        columns = [columns]
    if isinstance(columns, str | Mapping) or not isinstance(columns, Iterable):
        raise ArgumentTypeError(
            f"feature_columns must be a column or an iterable of columns, got {columns!r} of type "
            f"{type(columns).__name__}; make columns with macqueen.feature_columns"
        )
    found = list(columns)
    for column in found:
        if isinstance(column, DenseColumn):
            continue
        remedy = "make it with macqueen.feature_columns"
        if isinstance(column, CategoricalColumn):
            remedy = f"wrap {column.name!r} in indicator_column or embedding_column"
        raise ArgumentError(f"Items of feature_columns must be a dense column, got {column!r}; {remedy}")
    found.sort(key=lambda column: column.name)
    for one, other in itertools.pairwise(found):
        if one.name == other.name:
            raise ArgumentError(f"feature_columns must have names of their own, got {one.name!r} twice; leave one out")
    return tuple(found) or None


class InputLayer:
    """Makes rows of named arrays: the values of the columns side by side, sorted by the columns' names.

    Parameters
    ----------
    columns
        Dense columns.
    seed
        Of weights that are drawn.
    weights
        Weights by variable name, as `weights` of an earlier layer; others are drawn or initialized.

    Attributes
    ----------
    columns : tuple of DenseColumn
        Sorted by name.
    keys : tuple of str
        The features it reads, sorted.
    dims : int
        Values a row.
    dtype : numpy.dtype
        float64 if a numeric column is, else float32.
    names : tuple of str
        What the values are called, (dims,).
    weights : dict
        Weights by variable name, (buckets, dimension) float32.
    """

    def __init__(
        self, columns: Iterable[DenseColumn] | DenseColumn, seed: int = 0, weights: Mapping[str, Any] | None = None
    ) -> None:
        found = checked(columns)
        if found is None:
            raise ArgumentError("feature_columns must have at least one column, got none")
        self.columns = found
        self.keys = tuple(sorted({key for column in found for key in column.keys}))
        self.names = tuple(label for column in found for label in column.labels())
        self.dims = len(self.names)
        wide = any(isinstance(column, NumericColumn) and column.dtype == "float64" for column in found)
        self.dtype = np.dtype(np.float64 if wide else np.float32)
        self.weights: dict[str, NDArray[Any]] = {}
        for column in found:
            if column.weights_name is not None:
                self._take_weights(column, column.weights_name, seed, weights or {})

    def _take_weights(self, column: Any, name: str, seed: int, given: Mapping[str, Any]) -> None:
        found = given.get(name, self.weights.get(name))
        found = column.first_weights(seed) if found is None else found
        if found.shape != column.shape:
            raise ArgumentError(f"{name} must have shape {column.shape} for column {column.name!r}, got {found.shape}")
        self.weights[name] = found

    def rows(self, features: Mapping[str, Any], what: str = "features", first: int = 0) -> NDArray[Any]:
        """Return rows (n, dims), C-contiguous; each depends on its own features alone.

        Parameters
        ----------
        features
            Arrays (n,) or (n, m) by name.
        what
            Names their source, for errors.
        first
            Number of the first row, for errors.

        Raises
        ------
        DataError
            A feature is not there, is of the wrong kind, or a value is missing.
        """
        read = Features(features, what, first)
        parts = [column.rows(read, self.weights) for column in self.columns]
        made = np.empty((len(parts[0]), self.dims), self.dtype)
        begin = 0
        with np.errstate(over="ignore"):  # infinite values are refused where rows are checked
            for part in parts:
                made[:, begin : begin + part.shape[1]] = part
                begin += part.shape[1]
        return made
