"""What is asked for (`KMeansParams`) and where and how often it is kept (`RunConfig`): frozen, checked once."""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError, ArgumentTypeError

INITIALIZATIONS = ("random", "kmeans_plus_plus")
DISTANCE_METRICS = ("squared_euclidean", "cosine")
EMPTY_CLUSTERS = ("relocate", "keep", "error", "origin")
MOST_FLOAT64 = 1e150  # squares and their sums stay finite


@dataclass(frozen=True, eq=False)
class KMeansParams:
    """The arguments of `KMeans` that say which model is meant.

    Parameters
    ----------
    num_clusters : int
        Clusters, at least 1. Not looked at when `initial_clusters` is an array: k is then its number of rows.
    initial_clusters : {'random', 'kmeans_plus_plus'}, array (k, d) or callable
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
    feature_columns : None
        Not part of this version.
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
    feature_columns: None = None
    batch_size: int = 1024
    empty_clusters: str = "relocate"

    def __post_init__(self) -> None:
        initial = _initialization(self.initial_clusters)
        self._set("initial_clusters", initial)
        if isinstance(initial, np.ndarray):
            self._set("num_clusters", initial.shape[0])
        else:
            self._set("num_clusters", _integer("num_clusters", self.num_clusters, least=1))
        _one_of("distance_metric", self.distance_metric, DISTANCE_METRICS, "Unsupported distance metric")
        if self.seed is not None:
            self._set("seed", _integer("seed", self.seed) % 2**64)
        if not isinstance(self.use_mini_batch, bool | np.bool_):
            raise ArgumentTypeError(f"use_mini_batch must be True or False, got {self.use_mini_batch!r}")
        self._set("use_mini_batch", bool(self.use_mini_batch))
        for name in ("mini_batch_steps_per_iteration", "batch_size"):
            self._set(name, _integer(name, getattr(self, name), least=1))
        name = "kmeans_plus_plus_num_retries"
        self._set(name, _integer(name, self.kmeans_plus_plus_num_retries))
        if self.relative_tolerance is not None:
            self._set("relative_tolerance", _real("relative_tolerance", self.relative_tolerance))
        if self.feature_columns is not None:
            raise ArgumentError(
                "feature_columns are not part of this version; pass rows, or a dict of arrays, and leave "
                f"feature_columns=None (got {type(self.feature_columns).__name__})"
            )
        _one_of("empty_clusters", self.empty_clusters, EMPTY_CLUSTERS, "Unsupported policy")

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

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


class _Unset:
    """The default of an argument whose None means something."""

    def __repr__(self) -> str:
        return "unset"


_UNSET: Any = _Unset()


@dataclass(frozen=True)
class RunConfig:
    """Where a model is kept, how often, and with how many threads it is made.

    Parameters
    ----------
    model_dir : str or os.PathLike, optional
        The folder of the checkpoints.
    tf_random_seed : int, optional
        The seed of models that are given none.
    save_checkpoints_steps : int, optional
        Steps between two checkpoints; 0 or None: not by steps. Excludes `save_checkpoints_secs`.
    save_checkpoints_secs : float, optional
        Seconds between two checkpoints; 0 or None: not by time. 600 if neither of the two is given.
    keep_checkpoint_max : int, optional
        Recent checkpoints to keep; 0 or None: all.
    keep_checkpoint_every_n_hours : float, optional
        Of the older ones, one in so many hours is kept for good; None: none of them.
    log_step_count_steps : int, optional
        Steps between two lines of the log; None: no lines.
    num_threads : int, optional
        Threads; None: the environment variable MACQUEEN_NUM_THREADS, else the cores this process may use.

    Raises
    ------
    ArgumentError
        An argument breaks its rule.
    ArgumentTypeError
        An argument has the wrong type.
    """

    model_dir: str | None = None
    tf_random_seed: int | None = None
    _: dataclasses.KW_ONLY
    save_checkpoints_steps: int | None = field(default=_UNSET)
    save_checkpoints_secs: float | None = field(default=_UNSET)
    keep_checkpoint_max: int | None = 5
    keep_checkpoint_every_n_hours: float | None = 10000
    log_step_count_steps: int | None = 100
    num_threads: int | None = None

    def __post_init__(self) -> None:
        if self.model_dir is not None:
            object.__setattr__(self, "model_dir", _folder(self.model_dir))
        self._settle_saving()
        checks: dict[str, Callable[[str, Any], float]] = {
            "tf_random_seed": _tf_seed,
            "save_checkpoints_steps": lambda name, value: _integer(name, value, least=0),
            "save_checkpoints_secs": lambda name, value: _number(name, value, zero=True),
            "keep_checkpoint_max": lambda name, value: _integer(name, value, least=0),
            "keep_checkpoint_every_n_hours": lambda name, value: _number(name, value, zero=False),
            "log_step_count_steps": lambda name, value: _integer(name, value, least=1),
            "num_threads": lambda name, value: _integer(name, value, least=1),
        }
        for name, check in checks.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))

    def _settle_saving(self) -> None:
        """Let giving one of the two set the other to None; giving neither means every 600 seconds."""
        steps, secs = self.save_checkpoints_steps, self.save_checkpoints_secs
        if steps is _UNSET:
            secs = 600 if secs is _UNSET else secs
            steps = None
        elif secs is _UNSET:
            secs = None
        if steps is not None and secs is not None:
            raise ArgumentError(
                "only one of save_checkpoints_steps and save_checkpoints_secs can be given, "
                f"got {steps!r} and {secs!r}; leave one out"
            )
        object.__setattr__(self, "save_checkpoints_steps", steps)
        object.__setattr__(self, "save_checkpoints_secs", secs)

    def replace(self, **changes: Any) -> RunConfig:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes
            Fields of the constructor. Steps between checkpoints clear the seconds between them, and the
            other way round.

        Returns
        -------
        RunConfig
            The changed copy; this one stays as it is.

        Raises
        ------
        ArgumentError
            There is no such field, or a value breaks its rule.
        ArgumentTypeError
            A value has the wrong type.
        """
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise ArgumentError(f"Replacing {', '.join(unknown)} is not supported; known: {', '.join(values)}")
        pair = ("save_checkpoints_steps", "save_checkpoints_secs")
        for one, other in (pair, pair[::-1]):
            if changes.get(one) is not None and other not in changes:
                values[other] = None
        return RunConfig(**(values | changes))


def _integer(name: str, value: Any, least: int | None = None) -> int:
    """Return `value` as an int; a bool is none."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(f"{name} must be an integer, got {_shown(value)}") from None
    if least is not None and number < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {number}")
    return number


def _real(name: str, value: Any) -> float:
    """Return `value` as a finite float."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(f"{name} must be a number or None, got {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ArgumentError(f"{name} must be a finite number or None, got {_shown(value)}")
    return number


def _number(name: str, value: Any, zero: bool) -> float:
    """Return a finite number above 0, or 0 where that is allowed; integers stay integers."""
    number = _real(name, value)
    if number < 0 or (number == 0 and not zero):
        raise ArgumentError(f"{name} must be {'at least' if zero else 'above'} 0 or None, got {_shown(value)}")
    return int(value) if isinstance(value, numbers.Integral) else number


def _tf_seed(name: str, value: Any) -> int:
    """Return a seed as an int. As in the old system a bool is one, and anything else is a ValueError."""
    try:
        return operator.index(int(value) if isinstance(value, bool | np.bool_) else value)
    except TypeError:
        raise ArgumentError(f"{name} must be an integer or None, got {_shown(value)}") from None


def _folder(value: Any) -> str:
    """Return the path of a model directory as a string."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise ArgumentTypeError(f"model_dir must be a str, an os.PathLike or None, got {_shown(value)}")
    if not path:
        raise ArgumentError("model_dir must not be empty; name a folder, or pass None")
    return path


def _one_of(name: str, value: Any, known: tuple[str, ...], complaint: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"{complaint} {_shown(value)}: {name} must be one of {', '.join(map(repr, known))}")


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
    raise ArgumentTypeError(f"Unsupported initialization algorithm {_shown(value)}: {_choices()}")


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
    with np.errstate(over="ignore"):  # what overflows is named below
        array = np.array(array, dtype=np.float32 if narrow else np.float64, order="C", subok=False)
    bad = ~(np.abs(array) <= (np.inf if narrow else MOST_FLOAT64)) | np.isinf(array)
    if bad.any():
        row, column = (int(at) for at in np.argwhere(bad)[0])
        raise ArgumentError(
            f"initial_clusters must be finite{'' if narrow else f' and within ±{MOST_FLOAT64:g}'}, "
            f"got {array[row, column]} in row {row}, column {column}"
        )
    array.flags.writeable = False
    return array


def _shown(value: object) -> str:
    """Return a value and its type, short enough for one line."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
