"""The model as TensorFlow operations. `tf` is handed in: nothing here imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.exports import columns
from macqueen.exports.columns import Held
from macqueen.exports.snapshot import Snapshot

Tensor = Any


def rows_of(tf: Any, features: Any, snapshot: Snapshot) -> tuple[Tensor, Held]:
    """Return rows (n, d) float32 or float64 of features, a tensor or tensors by name, and the variables made for it.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        The features are none that rows can be made of.
    SettingsMismatchError
        Their width is not that of the centers.
    """
    layer = snapshot.layer
    weights: Held = []
    if not isinstance(features, Mapping):
        rows = matrix(tf, features, "features")
    elif layer is None:
        rows = _side_by_side(tf, features)
    else:
        rows, weights = columns.rows_of(tf, layer, features)
    dims = snapshot.centers.shape[1]
    if rows.shape[1] is not None:
        snapshot.check_width(rows.shape[1])
    return tf.ensure_shape(rows, [None, dims]), weights


def matrix(tf: Any, tensor: Tensor, what: str) -> Tensor:
    """Return a tensor of numbers as (n, m) float32, or float64 where float32 could lose something."""
    if not isinstance(tensor, tf.Tensor):
        raise ArgumentTypeError(
            f"{what} must be a dense tensor, got {type(tensor).__name__}; make it one, as tf.sparse.to_dense does"
        )
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise ArgumentTypeError(
            f"{what} must hold real numbers, got {tensor.dtype.name}; parse or encode them in the receiver function"
        )
    narrow = tensor.dtype == tf.float32 or tensor.dtype.size <= 2
    tensor = tf.cast(tensor, tf.float32 if narrow else tf.float64)
    if tensor.shape.rank == 1:
        return tensor[:, tf.newaxis]
    if tensor.shape.rank not in {None, 2}:
        raise ArgumentError(f"{what} must have rank 2 (rows, columns) or 1, got shape {tensor.shape}; reshape it")
    return tf.ensure_shape(tensor, [None, None])


def _side_by_side(tf: Any, features: Mapping[Any, Tensor]) -> Tensor:
    """Return the columns in the order of their keys."""
    if not features:
        raise ArgumentError("features must have at least one column, got an empty dict; give the receiver features")
    try:
        keys = sorted(features)
    except TypeError:
        raise ArgumentTypeError(
            f"features must have keys of one type that can be sorted, got {list(features)}; name columns by strings"
        ) from None
    found = [matrix(tf, features[key], f"features[{key!r}]") for key in keys]
    wide = any(column.dtype == tf.float64 for column in found)
    return tf.concat([tf.cast(column, tf.float64 if wide else tf.float32) for column in found], axis=1)


class Distances:
    """Rows against all centers.

    Parameters
    ----------
    tf
        The module.
    rows, centers
        (n, d) and (k, d), float32 or float64.
    snapshot
        Metric and size of blocks.

    Attributes
    ----------
    rows, centers : tensor
        (n, d), (k, d) float64, as they are compared: of length 1 under the cosine metric, or zero.
    counted : tensor
        (n,) float64: 1, but 0 for a row that belongs to no sum (zeros under the cosine metric).
    all, nearest : tensor
        (n, k) and (n,), in the wider dtype of rows and centers.
    labels : tensor
        (n,) int64, ties to the lowest index; -1 for a row with NaN or infinite values, which the model refuses.
    """

    def __init__(self, tf: Any, rows: Tensor, centers: Tensor, snapshot: Snapshot) -> None:
        dtype = tf.float64 if tf.float64 in (rows.dtype, centers.dtype) else tf.float32
        cosine = snapshot.metric == "cosine"
        ready = normalized if cosine else _wide
        self.rows, self.centers = ready(tf, rows, dtype), ready(tf, centers, dtype)
        found = squared(tf, self.rows, self.centers, snapshot)
        is_zero = tf.reduce_all(tf.equal(self.rows, 0), axis=1)
        if cosine:
            found = tf.where(is_zero[:, tf.newaxis], tf.ones_like(found), found / 2)
        self.counted = 1 - tf.cast(is_zero, tf.float64) if cosine else tf.ones_like(self.rows[:, 0])
        least = tf.reduce_min(found, axis=1)
        k = len(snapshot.centers)
        # tf.argmin does not promise the first of equals.
        first = tf.reduce_min(tf.where(found <= least[:, tf.newaxis], tf.range(k, dtype=tf.int64), k), axis=1)
        self.labels = tf.where(tf.math.is_finite(tf.reduce_sum(found, axis=1)), first, tf.constant(-1, tf.int64))
        self.all, self.nearest = tf.cast(found, dtype), tf.cast(least, dtype)


def _wide(tf: Any, rows: Tensor, dtype: Any) -> Tensor:
    return tf.cast(rows, tf.float64)


def normalized(tf: Any, rows: Tensor, dtype: Any) -> Tensor:
    """Return rows divided by their length, rounded to `dtype`, as float64; zero stays zero."""
    wide = tf.cast(rows, tf.float64)
    wide = tf.math.divide_no_nan(wide, tf.reduce_max(tf.abs(wide), axis=1, keepdims=True))  # squares cannot overflow
    length = tf.sqrt(tf.reduce_sum(wide * wide, axis=1, keepdims=True))
    return tf.cast(tf.cast(tf.math.divide_no_nan(wide, length), dtype), tf.float64)


def squared(tf: Any, rows: Tensor, centers: Tensor, snapshot: Snapshot) -> Tensor:
    """Return squared distances (n, k) of rows (n, d) to centers (k, d), all float64.

    In difference form: the relative error is some d 2**-53, however far from the origin the rows lie. A block of rows
    at a time, so that memory does not grow with n k d.
    """
    k, d = snapshot.centers.shape
    n = tf.shape(rows)[0]
    size = tf.maximum(tf.minimum(snapshot.block, n), 1)
    blocks = tf.maximum((n + size - 1) // size, 1)
    padded = tf.pad(rows, [[0, blocks * size - n], [0, 0]])

    def one_block(block: Tensor) -> Tensor:
        differences = tf.math.squared_difference(block[:, tf.newaxis, :], centers[tf.newaxis])
        return tf.reduce_sum(differences, axis=2)

    found = tf.map_fn(one_block, tf.reshape(padded, [blocks, size, d]))
    return tf.reshape(found, [-1, k])[:n]


def train_op(tf: Any, found: Distances, variables: Mapping[str, Any], snapshot: Snapshot) -> Any:
    """Return an operation that makes one step, by the rule of the model; a cluster without rows keeps its center."""
    k = len(snapshot.centers)
    mini_batch, several = "Variable" in variables, "clusters_updated" in variables
    sums = tf.math.unsorted_segment_sum(found.rows * found.counted[:, tf.newaxis], found.labels, k)
    added = tf.math.unsorted_segment_sum(found.counted, found.labels, k)[:, tf.newaxis]
    clusters, moving = variables["clusters"], variables["clusters_updated" if several else "clusters"]
    old = tf.cast(moving.read_value(), tf.float64)
    if not mini_batch:
        moved = tf.where(added > 0, tf.math.divide_no_nan(sums, added), old)
    else:
        before = variables["Variable"].read_value()
        total = tf.cast(before, tf.float64)[:, tf.newaxis] + added
        moved = old + tf.math.divide_no_nan(sums - added * old, total)
        counts = before + tf.cast(added[:, 0], tf.int64)
    moved = ready = tf.cast(moved, clusters.dtype)
    if snapshot.metric == "cosine" and (several or not mini_batch):
        ready = tf.cast(normalized(tf, moved, clusters.dtype), clusters.dtype)
    if several:
        left = variables["update_in_steps"].read_value() - 1
        is_end = tf.equal(left, 0)
        ready = tf.where(is_end, ready, clusters.read_value())
        counts = tf.where(is_end, tf.zeros_like(counts), counts)
        left = tf.where(is_end, tf.constant(snapshot.steps_per_iteration, tf.int64), left)
    updates = [clusters.assign(ready), variables["global_step"].assign_add(1)]
    if mini_batch:
        updates.append(variables["Variable"].assign(counts))
    if several:
        updates += [moving.assign(moved), variables["update_in_steps"].assign(left)]
    return tf.group(*updates)
