"""Columns as JSON values and back, so that they can be kept with a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from macqueen.errors import ArgumentError
from macqueen.feature_columns.categorical import (
    CategoricalColumn,
    CrossedColumn,
    HashColumn,
    IdentityColumn,
    VocabularyColumn,
    WeightedColumn,
)
from macqueen.feature_columns.dense import (
    BucketizedColumn,
    DenseColumn,
    EmbeddingColumn,
    ForeignColumn,
    IndicatorColumn,
    NumericColumn,
)
from macqueen.feature_columns.statistics import Standardize

KINDS: dict[str, type[Any]] = {
    "bucketized": BucketizedColumn,
    "crossed": CrossedColumn,
    "embedding": EmbeddingColumn,
    "hash_bucket": HashColumn,
    "identity": IdentityColumn,
    "indicator": IndicatorColumn,
    "numeric": NumericColumn,
    "standardize": Standardize,
    "vocabulary": VocabularyColumn,
    "weighted": WeightedColumn,
}
_NAMES = {kind: name for name, kind in KINDS.items()}
_LEFT_OUT = ("initializer",)  # the weights themselves are kept


def describe(columns: Iterable[DenseColumn | CategoricalColumn]) -> list[dict[str, Any]]:
    """Return JSON values that say all there is to say of columns; of functions, only where they are defined."""
    return [_described(column) for column in columns]


def from_description(description: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    """Make the columns that `describe` described.

    Raises
    ------
    ArgumentError
        One of them has a function, which no description holds, or is a column of TensorFlow's.
    """
    return tuple(_made(item) for item in description)


def _described(value: Any) -> Any:
    if type(value) in _NAMES:
        fields = [item for item in dataclasses.fields(value) if item.init and item.name not in _LEFT_OUT]
        found = {item.name: _described(getattr(value, item.name)) for item in fields}
        named = {} if isinstance(value, Standardize) else {"name": value.name}
        return {"kind": _NAMES[type(value)], **named, **found}
    if isinstance(value, ForeignColumn):
        return value.describe()
    if isinstance(value, tuple):
        return [_described(item) for item in value]
    if callable(value):
        kind = value if hasattr(value, "__qualname__") else type(value)
        return {"kind": "function", "function": f"{kind.__module__}:{kind.__qualname__}"}
    return value


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_made(item) for item in value)
    if not isinstance(value, dict):
        return value
    if value["kind"] == "function":
        raise ArgumentError(
            f"the columns cannot be made again: one of them calls {value['function']}, and functions are not kept. "
            "Make the columns as they were made for the model"
        )
    if value["kind"] not in KINDS:
        raise ArgumentError(
            f"the columns cannot be made again: {value.get('name')!r} is one of another library ({value['kind']}). "
            "Make the columns as they were made for the model"
        )
    fields = {key: _made(item) for key, item in value.items() if key not in {"kind", "name"}}
    return KINDS[value["kind"]](**fields)
