"""The functions that make columns, under TensorFlow's names."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.feature_columns.categorical import (
    CategoricalColumn,
    CrossedColumn,
    HashColumn,
    IdentityColumn,
    VocabularyColumn,
    WeightedColumn,
)
from macqueen.feature_columns.dense import BucketizedColumn, EmbeddingColumn, IndicatorColumn, NumericColumn
from macqueen.feature_columns.features import as_tuple

COMBINERS = ("mean", "sqrtn", "sum")


def numeric_column(
    key: str,
    shape: int | Sequence[int] = (1,),
    default_value: float | Sequence[float] | None = None,
    dtype: Any = np.float32,
    normalizer_fn: Callable[[Any], Any] | None = None,
) -> NumericColumn:
    """Make a column of numbers.

    Parameters
    ----------
    key
        The feature, whose name the column has.
    shape
        Of the values of a row.
    default_value
        Takes the place of missing values: one number, or one for each value of a row. Without it a missing value
        is an error.
    dtype
        float64 makes rows of float64; every other kind of number, float32.
    normalizer_fn
        Called with the values (n, *shape) in float64; returns as many.
    """
    sizes = tuple(_count("shape", size) for size in as_tuple(shape))
    kind = np.dtype(dtype)
    if kind.kind not in "iuf":
        raise ArgumentError(f"dtype of column {key!r} must be that of numbers, got {kind}; encode categories instead")
    default: tuple[float, ...] | None = None
    if default_value is not None:
        default = tuple(float(value) for value in as_tuple(default_value))
        if len(default) not in {1, int(np.prod(sizes))}:
            raise ArgumentError(f"default_value of column {key!r} must be one number or {sizes}, got {default_value!r}")
    if normalizer_fn is not None and not callable(normalizer_fn):
        raise ArgumentTypeError(f"normalizer_fn of column {key!r} must be callable, got {normalizer_fn!r}")
    return NumericColumn(_key(key), sizes, default, "float64" if kind == np.float64 else "float32", normalizer_fn)


def bucketized_column(source_column: NumericColumn, boundaries: Sequence[float]) -> BucketizedColumn:
    """Make a column that says between which boundaries a number lies; a boundary belongs to the interval above.

    Parameters
    ----------
    source_column
        Made by `numeric_column`.
    boundaries
        Rising.
    """
    if not isinstance(source_column, NumericColumn):
        raise ArgumentError(f"source_column must be made by numeric_column, got {source_column!r}")
    limits = tuple(float(limit) for limit in boundaries)
    if not limits or any(not low < high for low, high in itertools.pairwise(limits)):
        raise ArgumentError(f"boundaries must be a sorted list of different numbers, got {boundaries!r}")
    return BucketizedColumn(source_column, limits)


def categorical_column_with_vocabulary_list(
    key: str,
    vocabulary_list: Sequence[Any],
    dtype: Any = None,
    default_value: int | None = None,
    num_oov_buckets: int = 0,
) -> VocabularyColumn:
    """Make a column of the categories in a list.

    A category that is not in it belongs to no bucket, hence to a row of zeros, unless `default_value` or
    `num_oov_buckets` says otherwise. ``""`` (integers: -1) stands for no category. A missing value is an error unless
    `default_value` is given.

    Parameters
    ----------
    key
        The feature, whose name the column has.
    vocabulary_list
        Text or integers, each once.
    dtype
        Of the feature; None takes that of the list.
    default_value
        Bucket of other and of missing categories; -1: none.
    num_oov_buckets
        Further buckets, into which other categories are hashed; excludes `default_value`.
    """
    words = tuple(word.item() if isinstance(word, np.generic) else word for word in vocabulary_list)
    if not words:
        raise ArgumentError(f"vocabulary_list of column {key!r} must not be empty; name the categories")
    if len(set(words)) != len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise ArgumentError(f"vocabulary_list of column {key!r} must name each category once, got {twice!r} twice")
    text = isinstance(words[0], str)
    if any(isinstance(word, str) != text for word in words) or (not text and any(word != int(word) for word in words)):
        raise ArgumentError(f"vocabulary_list of column {key!r} must hold text only or integers only, got {words[:3]}")
    if dtype is not None and _is_text(dtype) != text:
        raise ArgumentError(
            f"dtype {dtype!r} of column {key!r} must fit the vocabulary, which begins with {words[0]!r}"
        )
    others = _count("num_oov_buckets", num_oov_buckets, least=0)
    if others and default_value not in {None, -1}:
        raise ArgumentError(f"column {key!r}: give num_oov_buckets or default_value, not both")
    _check_default(key, default_value, len(words), none=True)
    return VocabularyColumn(_key(key), words, text, default_value, others)


def categorical_column_with_vocabulary_file(
    key: str,
    vocabulary_file: str | os.PathLike[str],
    vocabulary_size: int | None = None,
    num_oov_buckets: int = 0,
    default_value: int | None = None,
    dtype: Any = str,
) -> VocabularyColumn:
    """Make a column of the categories in a file, one a line; the file is read once, here.

    Parameters
    ----------
    key
        The feature, whose name the column has.
    vocabulary_file
        A text file in UTF-8.
    vocabulary_size
        How many of its lines to take; None takes all.
    num_oov_buckets, default_value, dtype
        As for `categorical_column_with_vocabulary_list`.
    """
    try:
        with open(vocabulary_file, encoding="utf-8") as file:
            lines = [line.rstrip("\r\n") for line in file]
    except OSError as error:
        raise ArgumentError(f"vocabulary_file of column {key!r} cannot be read: {error}; name a text file") from error
    size = len(lines) if vocabulary_size is None else _count("vocabulary_size", vocabulary_size)
    if size > len(lines):
        raise ArgumentError(f"vocabulary_size of column {key!r} is {size}, but the file has {len(lines)} lines")
    words: list[Any] = lines[:size] if _is_text(dtype) else [int(line) for line in lines[:size]]
    return categorical_column_with_vocabulary_list(key, words, dtype, default_value, num_oov_buckets)


def categorical_column_with_identity(key: str, num_buckets: int, default_value: int | None = None) -> IdentityColumn:
    """Make a column of integers in 0..num_buckets-1; others are an error, or take `default_value`."""
    buckets = _count("num_buckets", num_buckets)
    _check_default(key, default_value, buckets, none=False)
    return IdentityColumn(_key(key), buckets, default_value)


def categorical_column_with_hash_bucket(key: str, hash_bucket_size: int, dtype: Any = str) -> HashColumn:
    """Make a column of text or integers, hashed into buckets (`macqueen.feature_columns.hashing` states how)."""
    return HashColumn(_key(key), _count("hash_bucket_size", hash_bucket_size), _is_text(dtype))


def crossed_column(
    keys: Iterable[str | CategoricalColumn], hash_bucket_size: int, hash_key: int | None = None
) -> CrossedColumn:
    """Make a column of combinations of categories, hashed into buckets.

    Parameters
    ----------
    keys
        At least two: names of features, or categorical columns (not hashed ones), or bucketized columns.
    hash_bucket_size
        Number of buckets.
    hash_key
        Changes the hashes.
    """
    inputs = tuple(keys)
    if isinstance(keys, str) or len(inputs) < 2:
        raise ArgumentError(f"keys must be at least two names or categorical columns, got {keys!r}")
    for item in inputs:
        if not isinstance(item, str | CategoricalColumn) or isinstance(item, HashColumn | WeightedColumn):
            raise ArgumentError(
                f"keys of a crossed column must be names or categorical columns, got {item!r}; cross a hashed column "
                "by the name of its feature"
            )
    return CrossedColumn(inputs, _count("hash_bucket_size", hash_bucket_size), hash_key)


def weighted_categorical_column(
    categorical_column: CategoricalColumn, weight_feature_key: str, dtype: Any = np.float32
) -> WeightedColumn:
    """Make a column whose categories have the weights of another feature, of the same shape."""
    if np.dtype(dtype).kind not in "iuf":
        raise ArgumentError(f"dtype must be that of numbers, got {dtype!r}")
    return WeightedColumn(_categorical(categorical_column), _key(weight_feature_key))


def indicator_column(categorical_column: CategoricalColumn) -> IndicatorColumn:
    """Make a dense column of a categorical one: how often each category is there."""
    return IndicatorColumn(_categorical(categorical_column))


def embedding_column(
    categorical_column: CategoricalColumn,
    dimension: int,
    combiner: str = "mean",
    initializer: Any = None,
    max_norm: float | None = None,
    trainable: bool = True,
) -> EmbeddingColumn:
    """Make a dense column of a categorical one: the combined vectors of its categories.

    Parameters
    ----------
    categorical_column
        The categories.
    dimension
        Of the vectors.
    combiner
        "mean", "sqrtn" or "sum" over the categories of a row.
    initializer
        The vectors (buckets, dimension), or a callable that makes them of this shape; None draws them by the seed.
    max_norm
        Vectors that are longer are shortened to this.
    trainable
        Accepted; clusters never train vectors.
    """
    if combiner not in COMBINERS:
        raise ArgumentError(f"combiner must be one of {', '.join(map(repr, COMBINERS))}, got {combiner!r}")
    if max_norm is not None and not max_norm > 0:
        raise ArgumentError(f"max_norm must be above 0 or None, got {max_norm!r}")
    if initializer is not None and not callable(initializer):
        initializer = np.array(initializer, np.float32)
    column = _categorical(categorical_column)
    return EmbeddingColumn(column, _count("dimension", dimension), combiner, initializer, max_norm)


def shared_embeddings(
    categorical_columns: Sequence[CategoricalColumn],
    dimension: int,
    combiner: str = "mean",
    initializer: Any = None,
    shared_embedding_collection_name: str | None = None,
    max_norm: float | None = None,
    trainable: bool = True,
) -> list[EmbeddingColumn]:
    """Make dense columns of categorical ones with the same number of buckets, which share their vectors.

    Arguments are those of `embedding_column`; `shared_embedding_collection_name` names the vectors.
    """
    columns = list(categorical_columns)
    sizes = {_categorical(column).num_buckets for column in columns}
    if len(sizes) != 1:
        raise ArgumentError(f"categorical_columns must have the same number of buckets, got {sorted(sizes)}")
    name = shared_embedding_collection_name or "_".join(sorted(column.name for column in columns)) + "_shared_embedding"
    alone = [embedding_column(column, dimension, combiner, initializer, max_norm, trainable) for column in columns]
    return [
        EmbeddingColumn(one.categorical_column, one.dimension, one.combiner, one.initializer, one.max_norm, name)
        for one in alone
    ]


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ArgumentTypeError(f"key must be the name of a feature, got {key!r} of type {type(key).__name__}")
    return key


def _count(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentTypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    if value < least:
        raise ArgumentError(f"{name} must be at least {least}, got {value}")
    return int(value)


def _is_text(dtype: Any) -> bool:
    name = getattr(dtype, "name", dtype)
    if dtype is str or name in {"string", "str"}:
        return True
    if np.dtype(name).kind not in "iu":
        raise ArgumentError(f"dtype of categories must be str or integers, got {dtype!r}")
    return False


def _check_default(key: str, value: int | None, buckets: int, *, none: bool) -> None:
    """Refuse a default that is no bucket; -1 stands for none, where that is allowed."""
    if value is not None and not (-1 if none else 0) <= value < buckets:
        raise ArgumentError(f"default_value of column {key!r} must be a bucket below {buckets}, got {value!r}")


def _categorical(column: object) -> CategoricalColumn:
    if not isinstance(column, CategoricalColumn):
        raise ArgumentError(
            f"categorical_column must be a categorical column, got {column!r}; make it with a "
            "categorical_column_with_... function"
        )
    return column
