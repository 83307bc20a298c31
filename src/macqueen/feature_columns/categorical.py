"""Categorical columns: each row has any number of categories, each of which is a bucket."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.feature_columns.features import NOTHING, Features
from macqueen.feature_columns.hashing import hash_all, hash_text, mixed

Ids = NDArray[np.int64]  # (n, m) buckets, NOTHING where there is none


class CategoricalColumn(ABC):
    """A column of categories; dense only inside an indicator or an embedding."""

    @property
    @abstractmethod
    def name(self) -> str:
        """TensorFlow's name of the column."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""

    @property
    @abstractmethod
    def num_buckets(self) -> int:
        """Number of buckets."""

    @abstractmethod
    def ids(self, features: Features) -> Ids:
        """Return the buckets of each row."""

    def weights(self, features: Features, ids: Ids) -> NDArray[np.float64]:
        """Return the weight of each bucket in `ids`, 0 where there is none."""
        there: NDArray[np.bool_] = ids != NOTHING
        return there.astype(np.float64)

    def bucket_names(self) -> list[str]:
        """Return what the buckets are called."""
        return [str(bucket) for bucket in range(self.num_buckets)]


class KeyedColumn(CategoricalColumn):
    """A column that reads one feature, whose name it has."""

    key: str
    text: bool | None  # text or integers; None: either

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        return (self.key,)

    def ids(self, features: Features) -> Ids:
        """Return the buckets of each row."""
        values, missing = features.categories(self.key, self.text)
        gone = missing.ravel()
        empty = NOTHING if self.text is False else ""
        if gone.any():
            if self.missing_bucket is None:
                row = int(np.argwhere(missing)[0, 0])
                remedy = f"give the column a default_value, or fill it: {empty!r} stands for no category"
                features.refuse(self.key, row, f"the category is missing; {remedy}")
            values = [empty if is_gone else value for value, is_gone in zip(values, gone.tolist(), strict=True)]
        found = self.buckets(values, features, missing.shape[1])
        if self.missing_bucket is not None:
            found[gone] = self.missing_bucket
        return found.reshape(missing.shape)

    @property
    def missing_bucket(self) -> int | None:
        """Where missing categories go; None: nowhere."""
        return None

    @abstractmethod
    def buckets(self, values: list[Any], features: Features, width: int) -> Ids:
        """Return the buckets of categories (n * width,)."""


@dataclass(frozen=True)
class VocabularyColumn(KeyedColumn):
    """Categories of a list; what is not in it goes to `default_value` or is hashed into further buckets."""

    key: str
    vocabulary: tuple[Any, ...]
    text: bool
    default_value: int | None = None  # None: NOTHING, and missing categories are an error
    num_oov_buckets: int = 0
    _table: dict[Any, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", {value: bucket for bucket, value in enumerate(self.vocabulary)})

    @property
    def num_buckets(self) -> int:
        """Number of buckets."""
        return len(self.vocabulary) + self.num_oov_buckets

    @property
    def missing_bucket(self) -> int | None:
        """Where missing categories go."""
        return self.default_value

    def buckets(self, values: list[Any], features: Features, width: int) -> Ids:
        """Return the buckets of categories."""
        unknown = -2
        found = np.fromiter((self._table.get(value, unknown) for value in values), np.int64, len(values))
        found[np.array([value in ("", NOTHING) for value in values], bool) & (found == unknown)] = NOTHING
        missed = found == unknown
        if missed.any():
            if self.num_oov_buckets:
                hashes = hash_all(list(itertools.compress(values, missed.tolist())))
                found[missed] = (hashes % np.uint64(self.num_oov_buckets)).astype(np.int64) + len(self.vocabulary)
            else:
                found[missed] = NOTHING if self.default_value is None else self.default_value
        return found

    def bucket_names(self) -> list[str]:
        """Return what the buckets are called."""
        return [*map(str, self.vocabulary), *(f"other {bucket}" for bucket in range(self.num_oov_buckets))]


@dataclass(frozen=True)
class IdentityColumn(KeyedColumn):
    """Integers that are their own bucket."""

    key: str
    buckets_count: int
    default_value: int | None = None

    text = False

    @property
    def num_buckets(self) -> int:
        """Number of buckets."""
        return self.buckets_count

    @property
    def missing_bucket(self) -> int | None:
        """Where missing categories go."""
        return self.default_value

    def buckets(self, values: list[Any], features: Features, width: int) -> Ids:
        """Return the buckets of categories."""
        found = np.array(values, np.int64)
        outside = ((found < 0) & (found != NOTHING)) | (found >= self.buckets_count)
        if outside.any():
            if self.default_value is None:
                at = int(np.argmax(outside))
                rule = f"must be below num_buckets={self.buckets_count} and not negative, got {found[at]}"
                features.refuse(self.key, at // width, f"the category {rule}; give the column a default_value")
            found[outside] = self.default_value
        return found


@dataclass(frozen=True)
class HashColumn(KeyedColumn):
    """Categories hashed into buckets (`macqueen.feature_columns.hashing`)."""

    key: str
    hash_bucket_size: int
    text: bool | None  # None: either

    @property
    def num_buckets(self) -> int:
        """Number of buckets."""
        return self.hash_bucket_size

    def buckets(self, values: list[Any], features: Features, width: int) -> Ids:
        """Return the buckets of categories."""
        found = (hash_all(values) % np.uint64(self.hash_bucket_size)).astype(np.int64)
        found[np.array([value in ("", NOTHING) for value in values], bool)] = NOTHING
        return found


@dataclass(frozen=True)
class CrossedColumn(CategoricalColumn):
    """Combinations of categories, hashed: one of each row's for every choice of one category of each input."""

    inputs: tuple[str | CategoricalColumn, ...]
    hash_bucket_size: int
    hash_key: int | None = None

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        return "_X_".join(sorted(item if isinstance(item, str) else item.name for item in self.inputs))

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        found = [(item,) if isinstance(item, str) else item.keys for item in self.inputs]
        return tuple(sorted(set(itertools.chain.from_iterable(found))))

    @property
    def num_buckets(self) -> int:
        """Number of buckets."""
        return self.hash_bucket_size

    @cached_property
    def _columns(self) -> tuple[CategoricalColumn, ...]:
        # A name stands for its text, hashed to 63 bits and crossed as that.
        return tuple(HashColumn(item, 2**63 - 1, None) if isinstance(item, str) else item for item in self.inputs)

    def ids(self, features: Features) -> Ids:
        """Return the buckets of each row."""
        parts = [column.ids(features) for column in self._columns]
        seed = hash_text("" if self.hash_key is None else str(self.hash_key))
        found = []
        for choice in itertools.product(*(range(part.shape[1]) for part in parts)):
            state = np.full(len(parts[0]), seed, np.uint64)
            there = np.ones(len(parts[0]), bool)
            for part, at in zip(parts, choice, strict=True):
                state = mixed(state, part[:, at].astype(np.uint64))
                there &= part[:, at] != NOTHING
            bucket = (state % np.uint64(self.hash_bucket_size)).astype(np.int64)
            found.append(np.where(there, bucket, NOTHING))
        return np.stack(found, axis=1) if found else np.empty((len(parts[0]), 0), np.int64)


@dataclass(frozen=True)
class WeightedColumn(CategoricalColumn):
    """Categories with weights of their own."""

    categorical_column: CategoricalColumn
    weight_feature_key: str

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        return f"{self.categorical_column.name}_weighted_by_{self.weight_feature_key}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        return tuple(sorted({*self.categorical_column.keys, self.weight_feature_key}))

    @property
    def num_buckets(self) -> int:
        """Number of buckets."""
        return self.categorical_column.num_buckets

    def ids(self, features: Features) -> Ids:
        """Return the buckets of each row."""
        return self.categorical_column.ids(features)

    def weights(self, features: Features, ids: Ids) -> NDArray[np.float64]:
        """Return the weight of each bucket in `ids`."""
        given = features.numbers(self.weight_feature_key, ids.shape[1], None)
        return np.where(ids != NOTHING, given, 0.0)

    def bucket_names(self) -> list[str]:
        """Return what the buckets are called."""
        return self.categorical_column.bucket_names()
