"""Our feature columns as TensorFlow operations: the same rows as `InputLayer.rows`. `tf` is handed in.

Hashes are not TensorFlow's, so columns that hash text are refused by name. A column of TensorFlow's own says itself
what it is in a graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError, ArgumentTypeError, DataError
from macqueen.feature_columns import InputLayer
from macqueen.feature_columns.categorical import (
    CategoricalColumn,
    CrossedColumn,
    IdentityColumn,
    VocabularyColumn,
    WeightedColumn,
)
from macqueen.feature_columns.dense import (
    BucketizedColumn,
    EmbeddingColumn,
    ForeignColumn,
    IndicatorColumn,
    NumericColumn,
)
from macqueen.feature_columns.features import NOTHING
from macqueen.feature_columns.hashing import hash_text

Tensor = Any
Held = list[tuple[Any, NDArray[Any]]]  # variables, and what they hold


def rows_of(tf: Any, layer: InputLayer, features: Mapping[str, Tensor]) -> tuple[Tensor, Held]:
    """Return rows (n, dims) in the dtype of the layer, and the variables that were made for weights.

    Raises
    ------
    ArgumentError
        A column cannot be said in TensorFlow operations.
    DataError
        A feature is not there, or of the wrong kind.
    """
    made = _Columns(tf, layer, features)
    dtype = tf.as_dtype(layer.dtype)
    rows = tf.concat([tf.cast(made.dense(column), dtype) for column in layer.columns], axis=1)
    return rows, [(variable, layer.weights[name]) for name, variable in made.variables.items()]


class _Columns:
    """Columns over the features of one graph; every method answers for one kind of column, in float64 or int64."""

    def __init__(self, tf: Any, layer: InputLayer, features: Mapping[str, Tensor]) -> None:
        self.tf = tf
        self._features = features
        self._weights = layer.weights
        self.variables: dict[str, Any] = {}  # of embeddings, by the name of the weights, which several may share
        self._shared: dict[Any, Any] = {}

    # --- dense ------------------------------------------------------------------------------------------

    def dense(self, column: Any) -> Tensor:
        """Return the values (n, dims) of a dense column."""
        if isinstance(column, NumericColumn):
            return self._numeric(column)
        if isinstance(column, BucketizedColumn):
            ids = self._bucketized(column)
            return self._counted(ids, self._ones(ids), column.num_buckets)
        if isinstance(column, IndicatorColumn):
            ids, weights = self._categories(column.categorical_column)
            return self._counted(ids, weights, column.dims)
        if isinstance(column, EmbeddingColumn):
            return self._embedding(column)
        if isinstance(column, ForeignColumn):
            return self._foreign(column)
        raise ArgumentError(
            f"column {column.name!r} of type {type(column).__name__} cannot be exported; leave it out, or export rows "
            "without feature columns"
        )

    def _foreign(self, column: ForeignColumn) -> Tensor:
        """Return what a column says of itself, and note the variable of its weights."""
        found, variable = column.tensor(self._features, self._shared)
        if variable is not None:
            self.variables[str(column.weights_name)] = variable
        return found

    def _numeric(self, column: NumericColumn) -> Tensor:
        tf = self.tf
        values = self._numbers(column.key, column.size)
        if column.default_value is not None:
            values = tf.where(tf.math.is_nan(values), tf.constant(column.default_value, tf.float64), values)
        if column.normalizer_fn is None:
            return values
        try:
            made = tf.cast(column.normalizer_fn(tf.reshape(values, [-1, *column.shape])), tf.float64)
            made = tf.ensure_shape(made, [None, *column.shape])
        except Exception as error:  # whatever a user's function raises
            raise ArgumentError(
                f"normalizer_fn of column {column.key!r} must work with tensors to be exported, but raised "
                f"{type(error).__name__}: {error}. Use operators or functions of TensorFlow in it, or "
                "fit_numeric(...)[key].column()"
            ) from error
        return tf.reshape(made, [-1, column.size])

    def _embedding(self, column: EmbeddingColumn) -> Tensor:
        tf = self.tf
        ids, shares = self._categories(column.categorical_column)
        name = column.weights_name
        if name not in self.variables:
            weights = self._weights[name]
            dtype = tf.as_dtype(weights.dtype)
            self.variables[name] = tf.compat.v1.get_variable(name, weights.shape, dtype, use_resource=True)
        table = tf.cast(self.variables[name].read_value(), tf.float64)
        if column.max_norm is not None:
            norms = tf.sqrt(tf.reduce_sum(table * table, axis=1, keepdims=True))
            table *= tf.where(norms > column.max_norm, tf.math.divide_no_nan(self._f64(column.max_norm), norms), 1.0)
        total = tf.reduce_sum(tf.gather(table, tf.maximum(ids, 0)) * shares[..., tf.newaxis], axis=1)
        if column.combiner == "sum":
            return total
        squares = column.combiner == "sqrtn"
        norm = tf.reduce_sum(shares * shares if squares else shares, axis=1, keepdims=True)
        norm = tf.sqrt(norm) if squares else norm
        return total / tf.where(tf.equal(norm, 0), tf.ones_like(norm), norm)

    def _counted(self, ids: Tensor, weights: Tensor, buckets: int) -> Tensor:
        """Return the sum of the weights of each bucket, (n, buckets); `NOTHING` is none of them."""
        tf = self.tf
        return tf.reduce_sum(tf.one_hot(ids, buckets, dtype=tf.float64) * weights[..., tf.newaxis], axis=1)

    # --- categorical ------------------------------------------------------------------------------------

    def _categories(self, column: CategoricalColumn) -> tuple[Tensor, Tensor]:
        """Return the buckets (n, m) of a categorical column, and their weights (n, m)."""
        tf = self.tf
        if isinstance(column, WeightedColumn):
            ids = self._ids(column.categorical_column)
            given = self._numbers(column.weight_feature_key, ids.shape[1])
            return ids, tf.where(tf.equal(ids, NOTHING), tf.zeros_like(given), given)
        ids = self._ids(column)
        return ids, self._ones(ids)

    def _ids(self, column: CategoricalColumn) -> Tensor:
        if isinstance(column, BucketizedColumn):
            return self._bucketized(column)
        if isinstance(column, VocabularyColumn):
            return self._vocabulary(column)
        if isinstance(column, IdentityColumn):
            return self._identity(column)
        if isinstance(column, CrossedColumn) and not any(isinstance(item, str) for item in column.inputs):
            return self._crossed(column)
        raise _refused(column.name)

    def _bucketized(self, column: BucketizedColumn) -> Tensor:
        tf = self.tf
        values = self._numeric(column.source_column)
        values = self._asserted(values, ~tf.math.is_nan(values), f"column {column.name!r}: a value is missing")
        above = values[..., tf.newaxis] >= tf.constant(column.boundaries, tf.float64)
        first = np.arange(column.source_column.size, dtype=np.int64) * (len(column.boundaries) + 1)
        return tf.reduce_sum(tf.cast(above, tf.int64), axis=2) + first

    def _vocabulary(self, column: VocabularyColumn) -> Tensor:
        tf = self.tf
        if column.num_oov_buckets:
            raise _refused(column.name)
        keys = list(column.vocabulary)
        buckets = list(range(len(keys)))
        other = NOTHING if column.default_value is None else column.default_value
        nothing = "" if column.text else NOTHING
        if nothing not in keys:
            keys.append(nothing)
            buckets.append(NOTHING)
        kind = tf.string if column.text else tf.int64
        content = tf.lookup.KeyValueTensorInitializer(keys, buckets, kind, tf.int64)
        return tf.lookup.StaticHashTable(content, other).lookup(self._words(column.key, column.text))

    def _identity(self, column: IdentityColumn) -> Tensor:
        tf = self.tf
        ids = self._words(column.key, text=False)
        fits = tf.equal(ids, NOTHING) | ((ids >= 0) & (ids < column.num_buckets))
        if column.default_value is not None:
            return tf.where(fits, ids, tf.constant(column.default_value, tf.int64))
        rule = f"column {column.key!r}: categories must be below {column.num_buckets} and not negative"
        return self._asserted(ids, fits, rule)

    def _crossed(self, column: CrossedColumn) -> Tensor:
        """Return the buckets by the hashes of `macqueen.feature_columns.hashing`, in 64-bit words as there."""
        tf = self.tf
        parts = [self._ids(item) for item in column.inputs if isinstance(item, CategoricalColumn)]
        seed = hash_text("" if column.hash_key is None else str(column.hash_key))
        if any(part.shape[1] is None for part in parts):
            raise ArgumentError(
                f"column {column.name!r} can be exported where each feature has a fixed number of categories a row; "
                "parse it with tf.io.FixedLenFeature"
            )
        found = []
        for choice in itertools.product(*(range(part.shape[1]) for part in parts)):
            chosen = [part[:, at] for part, at in zip(parts, choice, strict=True)]
            state = tf.fill(tf.shape(chosen[0]), self._u64(seed))
            for ids in chosen:
                state = self._mixed(state, tf.cast(ids, tf.uint64))
            there = tf.reduce_all(tf.not_equal(tf.stack(chosen), NOTHING), axis=0)
            bucket = tf.cast(state % self._u64(column.hash_bucket_size), tf.int64)
            found.append(tf.where(there, bucket, tf.constant(NOTHING, tf.int64)))
        return tf.stack(found, axis=1)

    def _mixed(self, state: Tensor, value: Tensor) -> Tensor:
        bits = self.tf.bitwise
        z = state * self._u64(3) + value + self._u64(0x9E3779B97F4A7C15)
        z = bits.bitwise_xor(z, bits.right_shift(z, self._u64(30))) * self._u64(0xBF58476D1CE4E5B9)
        z = bits.bitwise_xor(z, bits.right_shift(z, self._u64(27))) * self._u64(0x94D049BB133111EB)
        return bits.bitwise_xor(z, bits.right_shift(z, self._u64(31)))

    # --- features ---------------------------------------------------------------------------------------

    def _numbers(self, key: str, size: int) -> Tensor:
        """Return a feature of numbers as (n, size) float64."""
        tf = self.tf
        tensor = self._feature(key)
        if not isinstance(tensor, tf.Tensor) or not (
            tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool
        ):
            raise ArgumentTypeError(
                f"feature {key!r} must be a dense tensor of numbers, got {_kind(tensor)}; parse it with "
                "tf.io.FixedLenFeature"
            )
        return self._two_ranks(key, tf.cast(tensor, tf.float64), size)

    def _words(self, key: str, text: bool) -> Tensor:
        """Return a feature of categories as (n, m) text or int64."""
        tf = self.tf
        tensor = self._feature(key)
        if isinstance(tensor, tf.SparseTensor):
            tensor = tf.sparse.to_dense(tensor, "" if tensor.dtype == tf.string else NOTHING)
        fits = isinstance(tensor, tf.Tensor) and (tensor.dtype == tf.string if text else tensor.dtype.is_integer)
        if not fits:
            wanted = "text" if text else "integers"
            raise ArgumentTypeError(
                f"feature {key!r} must be a dense or sparse tensor of {wanted}, got {_kind(tensor)}; convert it"
            )
        return self._two_ranks(key, tensor if text else tf.cast(tensor, tf.int64), None)

    def _feature(self, key: str) -> Tensor:
        if key not in self._features:
            known = ", ".join(map(str, self._features)) or "none"
            raise DataError(f"Feature {key} is not in features dictionary. The receiver has: {known}")
        return self._features[key]

    def _two_ranks(self, key: str, tensor: Tensor, size: int | None) -> Tensor:
        tf = self.tf
        rank = tensor.shape.rank
        if rank == 1:
            tensor = tensor[:, tf.newaxis]
        elif rank is not None and rank > 2:
            tensor = tf.reshape(tensor, [tf.shape(tensor)[0], int(np.prod(tensor.shape[1:]))])
        if size is not None and rank is not None and tensor.shape[1] not in {None, size}:
            raise DataError(f"feature {key!r} must have {size} values a row, got shape {tensor.shape}; reshape it")
        return tf.ensure_shape(tensor, [None, size])

    def _asserted(self, values: Tensor, fit: Tensor, rule: str) -> Tensor:
        """Return values, of which a request is refused unless all fit, as the model refuses a batch."""
        tf = self.tf
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(fit), [rule, values])]):
            return tf.identity(values)

    def _ones(self, ids: Tensor) -> Tensor:
        return self.tf.cast(self.tf.not_equal(ids, NOTHING), self.tf.float64)

    def _f64(self, value: float) -> Tensor:
        return self.tf.constant(value, self.tf.float64)

    def _u64(self, value: int) -> Tensor:
        return self.tf.constant(np.uint64(value))


def _kind(tensor: Any) -> str:
    dtype = getattr(tensor, "dtype", None)
    return f"{type(tensor).__name__} of {getattr(dtype, 'name', dtype)}"


def _refused(name: str) -> ArgumentError:
    return ArgumentError(
        f"column {name!r} hashes text, which TensorFlow does otherwise, and cannot be exported; use a vocabulary "
        "(macqueen.feature_columns.fit_vocabulary finds it) without num_oov_buckets"
    )
