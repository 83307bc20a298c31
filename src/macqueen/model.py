"""Where a model lives between calls: its directory, or memory where nothing is saved."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from macqueen import checkpoint, feature_columns
from macqueen.config import KMeansParams, RunConfig
from macqueen.engine import Engine
from macqueen.errors import ArgumentTypeError, NotTrainedError, SettingsMismatchError
from macqueen.state import State

_LOG = logging.getLogger("macqueen")

TEMPORARY = "macqueen-"  # begins the name of a model directory that nobody asked for; it is made when it is needed
_NAMING = threading.Lock()  # a directory has one name, whoever asks


class Foreign(Protocol):
    """Checkpoints in TensorFlow's format (`macqueen.tf_estimator.old_checkpoints`)."""

    def check(self) -> None:
        """Raise MissingExtraError where TensorFlow is not installed."""

    def read(self, prefix: str, seed: int) -> tuple[State, checkpoint.Tensors] | None:
        """Return a state and the tensors that no step changes; None where no centers were chosen yet."""

    def encoded(self, state: State, constants: checkpoint.Tensors) -> dict[str, bytes]:
        """Return the files of a checkpoint by suffix."""


class Model:
    """The state of a `KMeans` between calls.

    The latest checkpoint of the directory is the model, also one that TensorFlow wrote. Memory stands in for it where
    there is none, or where the configuration saves nothing.

    Parameters
    ----------
    params, config
        What is asked for.
    foreign
        Makes what reads and makes checkpoints in TensorFlow's format, when there is one.
    """

    def __init__(self, params: KMeansParams, config: RunConfig, foreign: Callable[[], Foreign]) -> None:
        self._directory = config.model_dir  # None: a temporary one, which nobody has asked for yet
        self.memory: State | None = None
        self._params = params
        self._retention = checkpoint.Retention(config.keep_checkpoint_max, config.keep_checkpoint_every_n_hours)
        self.saves = bool(config.save_checkpoints_steps or config.save_checkpoints_secs)
        self._saved_step: int | None = None
        self.foreign = foreign
        self._adopted: tuple[Any, tuple[State, checkpoint.Tensors] | None] | None = None  # file, what it holds
        self._also_foreign = config.checkpoint_format == "tensorflow"
        self._own_seed = params.seed if params.seed is not None else config.tf_random_seed
        self._given: State | None = None  # of the centers that were given, once they were read
        self.constants: checkpoint.Tensors = {}  # weights of feature columns: they never change
        columns = params.feature_columns
        self._columns = {} if columns is None else {"feature_columns": feature_columns.describe(columns)}

    @property
    def directory(self) -> str:
        """The model's directory; a temporary one gets its name when it is first asked for."""
        if self._directory is not None:
            return self._directory
        with _NAMING:
            unnamed = self._directory is None
            if unnamed:
                name = TEMPORARY + secrets.token_hex(12)  # which nobody can have made
                self._directory = os.path.join(tempfile.gettempdir(), name)
        assert self._directory is not None
        if unnamed:
            _LOG.warning("Using temporary folder as model directory: %s", self._directory)
        return self._directory

    def make_directory(self) -> None:
        """Make a temporary directory, for this user alone; those that users name are made by what writes to them."""
        if os.path.basename(self.directory).startswith(TEMPORARY):
            os.makedirs(self.directory, mode=0o700, exist_ok=True)

    def new_seed(self) -> int:
        """Return the seed of a new model: the one asked for, or one that is drawn."""
        return int.from_bytes(os.urandom(8)) if self._own_seed is None else int(self._own_seed) % 2**64

    def check_writable(self) -> None:
        """Raise CheckpointError or MissingExtraError where a checkpoint could not be written."""
        checkpoint.check_writable(self.directory)
        if self._also_foreign:
            self.foreign().check()

    def holds(self, state: State) -> bool:
        """Tell whether there is nothing to save: not that state, or not on disk at all."""
        self.memory = state
        return not self.saves or self._saved_step == state.step

    def save(self, state: State) -> str | None:
        """Keep a state; return its checkpoint, written unless that step is there, or None if nothing is saved."""
        self.memory = state
        if not self.saves:
            return None
        if self._saved_step == state.step:
            return self._prefix(state.step)
        settings = {**self._params.settings, **self._columns}
        parts = self.foreign().encoded(state, self.constants) if self._also_foreign else None
        path = checkpoint.save(self.directory, state, settings, self._retention, time.time(), self.constants, parts)
        self._saved_step = state.step
        return path

    def load(self) -> State | None:
        """Return the state to continue from, None before the first training."""
        return self._latest()[0]

    def take(self, path: str, foreign: bool) -> None:
        """Keep the state of a checkpoint of another directory in memory, to go on from."""
        self.memory = self._restore(path, foreign)

    def read(self, engine: Engine, checkpoint_path: str | os.PathLike[str] | None) -> tuple[State, str | None]:
        """Return the state to read centers from, and its checkpoint: given centers serve before the first training."""
        if checkpoint_path is None:
            state, path = self._latest()
        else:
            path = _checked_path(checkpoint_path)
            state = self._restore(path, checkpoint.is_foreign(path))
        if state is not None:
            return state, path
        if self._given is None:
            given = engine.given_centers(None)
            self._given = None if given is None else engine.first_state(given, 0)
        if self._given is not None:
            return self._given, None
        raise self._not_trained()

    def variables(self) -> checkpoint.Tensors:
        """Return the variables of the latest checkpoint; of one of TensorFlow, as they will be saved."""
        found = checkpoint.newest(self.directory)
        if found is None or not found.foreign:
            return checkpoint.variables(checkpoint.found_in(self.directory))
        state = self._restore(*found)
        if state is None:
            raise self._not_trained()
        return checkpoint.tensors_of(state, self._params.settings, self.constants)

    def encoder(self, seed: int) -> feature_columns.InputLayer | None:
        """Return what makes rows of feature columns, None where there are none; drawn weights are kept."""
        if self._params.feature_columns is None:
            return None
        layer = feature_columns.InputLayer(self._params.feature_columns, seed, self.constants)
        self.constants = layer.weights
        return layer

    def check_width(self, state: State, dims: int) -> None:
        """Refuse rows of another width than the centers."""
        if state.centers.shape[1] != dims:
            given = state.step == 0 and isinstance(self._params.initial_clusters, np.ndarray)
            centers = "initial_clusters has" if given else "the centers have"
            raise SettingsMismatchError(
                f"the input has rows of {dims} columns, but {centers} {state.centers.shape[1]} "
                f"(model_dir {self.directory}); pass rows of that width, or train in another directory"
            )

    def training_dtype(self, state: State | None, found: DTypeLike) -> DTypeLike:
        """Return the dtype rows are computed with: the model's, which must hold the rows without loss."""
        if state is None:
            return found
        if np.promote_types(found, state.centers.dtype) != state.centers.dtype:
            raise SettingsMismatchError(
                f"the model in {self.directory} is {state.centers.dtype}, but the input is {np.dtype(found)}: convert "
                f"the rows to {state.centers.dtype}, or train in another directory"
            )
        return state.centers.dtype

    def _not_trained(self) -> NotTrainedError:
        return NotTrainedError(
            f"Could not find trained model in model_dir: {self.directory}. Call train first, name the directory of "
            "a trained model, or give initial_clusters as an array"
        )

    def _prefix(self, step: int) -> str:
        return os.path.join(self.directory, f"model.ckpt-{step}")

    def _latest(self) -> tuple[State | None, str | None]:
        """Return the state to continue from, if there is one, and its checkpoint, unless it is in memory alone."""
        if self.memory is not None and not self.saves:
            return self.memory, None
        # Nobody can have put anything into a directory without a name; to look for it takes longer than a step.
        found = None if self._directory is None else checkpoint.newest(self._directory)
        state = None if found is None else self._restore(*found)
        if found is None or state is None:
            self._saved_step = None
            self.constants = {} if self.memory is None else self.constants
            return self.memory, None
        self._saved_step = None if found.foreign else state.step
        return state, found.prefix

    def _restore(self, path: str, foreign: bool) -> State | None:
        """Return what a checkpoint holds; None for one that TensorFlow wrote before it had chosen centers."""
        if foreign:
            return self._adopt(path)
        state, settings = checkpoint.restore(path)
        wanted = {**self._params.settings, "k": self._params.num_clusters}
        checkpoint.check_settings(settings, wanted, self.directory)
        self._check_columns(settings.get("feature_columns", []))
        self.constants = checkpoint.constants(path)
        return state

    def _adopt(self, prefix: str) -> State | None:
        """Return what a checkpoint of TensorFlow holds, read once: a seed that is drawn for it stays the same."""
        file = checkpoint.identity_of(prefix + checkpoint.PARTS[-1])
        adopted = self._adopted
        if adopted is None or adopted[0] != file:
            self._adopted = adopted = file, self.foreign().read(prefix, self.new_seed())
            _LOG.info("the model is that of TensorFlow's checkpoint %s", prefix)
        if adopted[1] is None:
            return None
        state, self.constants = adopted[1]
        return state

    def _check_columns(self, found: list[dict[str, Any]]) -> None:
        """Refuse to go on with other feature columns."""
        wanted = self._columns.get("feature_columns", [])
        if found == wanted:
            return
        only = [
            ", ".join(str(column["name"]) for column in these if column not in those) or "nothing else"
            for these, those in ((found, wanted), (wanted, found))
        ]
        raise SettingsMismatchError(
            f"{self.directory} holds a model of other feature_columns: only in the model: {only[0]}; only asked for: "
            f"{only[1]}. Ask for the columns of the model, which macqueen.load_feature_columns gives, or give another "
            "model_dir"
        )


def _checked_path(path: object) -> str:
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError(
            f"checkpoint_path must be a path or None, got {path!r} of type {type(path).__name__}; give the prefix "
            "of a checkpoint, as latest_checkpoint returns it"
        )
    return os.fspath(path)


def load_feature_columns(path: str | os.PathLike[str]) -> tuple[Any, ...]:
    """Make the feature columns that a model was trained with again, statistics and vocabularies included.

    Parameters
    ----------
    path
        A model directory, of which the newest checkpoint is read, or one checkpoint.

    Returns
    -------
    tuple
        Feature columns, for `KMeans`; empty if the model has none.

    Raises
    ------
    ArgumentError
        One of them has a function of the user, which no checkpoint holds.
    NotTrainedError
        The directory holds no checkpoint.
    CheckpointError
        The file is no sound checkpoint.
    """
    return feature_columns.from_description(checkpoint.settings(path).get("feature_columns", []))
