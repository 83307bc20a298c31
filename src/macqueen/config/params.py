"""What is asked for: frozen, checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.config.checks import BOOLS, integer, one_of, real, shown
from macqueen.errors import ArgumentError, ArgumentTypeError

INITIALIZATIONS = ("random", "kmeans_plus_plus", "kmeans_parallel")
DISTANCE_METRICS = ("squared_euclidean", "cosine")
EMPTY_CLUSTERS = ("relocate", "keep", "error", "origin")
MOST_FLOAT64 = 1e150  # squares and their sums stay finite
MOST_FLOAT32 = np.finfo(np.float32).max


@dataclass(frozen=True, eq=False)
class KMeansParams:
    """The arguments of `KMeans` that say which model is meant.

    Parameters
    ----------
    num_clusters : int
        Clusters, at least 1. Not looked at when `initial_clusters` is an array: k is then its number of rows.
    initial_clusters : {'random', 'kmeans_plus_plus', 'kmeans_parallel'}, array (k, d) or callable
        Where the first centers come from. An array is copied: float32 stays float32, float16 and integers of
        8 or 16 bits become float32, any other number float64.
    distance_metric : {'squared_euclidean', 'cosine'}
        What "near" means.
    seed : int, optional
        Behind every random choice; stored modulo 2**64.
    use_mini_batch : bool
        One step per batch instead of one step per pass.
    mini_batch_steps_per_iteration : int
        Mini-batch steps between two syncs of the centers, at least 1.
    kmeans_plus_plus_num_retries : int
        Further candidates drawn for each center; negative: a heuristic decides.
    relative_tolerance : float, optional
        Stop when the loss changes by less than this fraction; negative: never.
    feature_columns : tuple of feature columns, optional
        What makes rows of named columns (`macqueen.feature_columns`), checked there.
    batch_size : int
        Rows of a mini-batch of a data set, at least 1.
    empty_clusters : {'relocate', 'keep', 'error', 'origin'}
        What happens to a cluster that loses its last row in full-batch mode.

    Raises
    ------
    ArgumentError
        An argument breaks its rule.
    ArgumentTypeError
        An argument has the wrong type.
    """

    num_clusters: int
    initial_clusters: str | Callable[..., Any] | NDArray[Any] = "random"  # array (k, d), read-only
    distance_metric: str = "squared_euclidean"
    seed: int | None = None  # uint64
    use_mini_batch: bool = True
    mini_batch_steps_per_iteration: int = 1
    kmeans_plus_plus_num_retries: int = 2
    relative_tolerance: float | None = None
    feature_columns: tuple[Any, ...] | None = None
    batch_size: int = 1024
    empty_clusters: str = "relocate"

    def __post_init__(self) -> None:
        values = vars(self)  # frozen from here on
        values["initial_clusters"] = initial = _initialization(self.initial_clusters)
        given = isinstance(initial, np.ndarray)
        values["num_clusters"] = len(initial) if given else integer("num_clusters", self.num_clusters, least=1)
        one_of("distance_metric", self.distance_metric, DISTANCE_METRICS, "Unsupported distance metric")
        if self.seed is not None:
            values["seed"] = integer("seed", self.seed) % 2**64
        if not isinstance(self.use_mini_batch, BOOLS):
            raise ArgumentTypeError(f"use_mini_batch must be True or False, got {self.use_mini_batch!r}")
        values["use_mini_batch"] = bool(self.use_mini_batch)
        for name in ("mini_batch_steps_per_iteration", "batch_size"):
            values[name] = integer(name, values[name], least=1)
        name = "kmeans_plus_plus_num_retries"
        values[name] = integer(name, values[name])
        if self.relative_tolerance is not None:
            values["relative_tolerance"] = real("relative_tolerance", self.relative_tolerance)
        one_of("empty_clusters", self.empty_clusters, EMPTY_CLUSTERS, "Unsupported policy")

    def __reduce__(self) -> tuple[Any, ...]:
        return KMeansParams, tuple(getattr(self, item.name) for item in dataclasses.fields(self))

    @property
    def settings(self) -> dict[str, Any]:
        """What a model directory remembers and refuses to mix: metric, mode, steps per iteration."""
        return {
            "metric": self.distance_metric,
            "mode": "mini_batch" if self.use_mini_batch else "full_batch",
            "steps_per_iteration": self.mini_batch_steps_per_iteration if self.use_mini_batch else 1,
        }

    def changed(self) -> dict[str, Any]:
        """Return the arguments beside `num_clusters` that differ from their defaults."""
        items = {item.name: (getattr(self, item.name), item.default) for item in dataclasses.fields(self)[1:]}
        return {
            name: value for name, (value, default) in items.items() if isinstance(value, np.ndarray) or value != default
        }


def _initialization(value: Any) -> Any:
    """Return what the first centers come from: a known name, a callable, or a private array (k, d)."""
    if isinstance(value, str):
        if value not in INITIALIZATIONS:
            raise ArgumentError(f"Unsupported initialization algorithm {value!r}: {_choices()}")
        return str(value)
    if callable(value):
        return value
    if isinstance(value, list | tuple) or hasattr(value, "__array__"):
        return _centers(value)
    raise ArgumentTypeError(f"Unsupported initialization algorithm {shown(value)}: {_choices()}")


def _choices() -> str:
    return f"initial_clusters must be {', '.join(map(repr, INITIALIZATIONS))}, an array (k, d) or a callable"


def _centers(value: Any) -> NDArray[Any]:  # (k, d) float32 or float64, C-contiguous, read-only
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ArgumentError(f"initial_clusters must be an array (k, d): {error}") from None
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"initial_clusters must hold real numbers, got an array of {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise ArgumentError(
            f"initial_clusters must be an array (k, d) with at least one row and one column, got shape {array.shape}"
        )
    narrow = array.dtype == np.float32 or array.dtype.itemsize <= 2
    if narrow or array.dtype.itemsize <= 8:
        array = np.array(array, dtype=np.float32 if narrow else np.float64, order="C", subok=False)
    else:
        with np.errstate(over="ignore"):  # what overflows is named below
            array = np.array(array, dtype=np.float64, order="C", subok=False)
    most = MOST_FLOAT32 if narrow else MOST_FLOAT64
    row = _core.first_bad_row("", _core.Threads(1), array)
    if row >= 0:
        column = int(np.argmin(np.abs(array[row]) <= most))  # NaN is not, either
        raise ArgumentError(
            f"initial_clusters must be finite{'' if narrow else f' and within ±{MOST_FLOAT64:g}'}, "
            f"got {array[row, column]} in row {row}, column {column}"
        )
    array.flags.writeable = False
    return array
