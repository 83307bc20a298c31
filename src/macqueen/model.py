"""Where a model lives between calls: its directory, or memory where nothing is saved."""

from __future__ import annotations

import logging
import os
import tempfile
import time

import numpy as np
from numpy.typing import DTypeLike

from macqueen import checkpoint
from macqueen.config import KMeansParams, RunConfig
from macqueen.engine import Engine
from macqueen.errors import ArgumentError, NotTrainedError, SettingsMismatchError
from macqueen.state import State

_LOG = logging.getLogger("macqueen")


class Model:
    """The state of a `KMeans` between calls.

    The latest checkpoint of the directory is the model. Memory stands in for it where there is none, or where
    the configuration saves nothing.
    """

    def __init__(self, params: KMeansParams, config: RunConfig) -> None:
        assert config.model_dir is not None
        self.directory = config.model_dir
        self.memory: State | None = None
        self._params = params
        self._retention = checkpoint.Retention(config.keep_checkpoint_max, config.keep_checkpoint_every_n_hours)
        self._saves = bool(config.save_checkpoints_steps or config.save_checkpoints_secs)
        self._saved_step: int | None = None

    def save(self, state: State) -> None:
        """Keep a state; on disk, unless nothing is to be saved or that step is there."""
        self.memory = state
        if self._saves and self._saved_step != state.step:
            checkpoint.save(self.directory, state, self._params.settings, self._retention, time.time())
            self._saved_step = state.step

    def load(self) -> State | None:
        """Return the state to continue from, None before the first training."""
        if self.memory is not None and not self._saves:
            return self.memory
        path = checkpoint.latest(self.directory)
        if path is None:
            self._saved_step = None
            return self.memory
        state = self._restore(path)
        self._saved_step = state.step
        return state

    def read(self, engine: Engine, checkpoint_path: str | None) -> State:
        """Return the state to read centers from: given centers serve before the first training."""
        state = self.load() if checkpoint_path is None else self._restore(checkpoint_path)
        if state is not None:
            return state
        given = engine.given_centers(None)
        if given is not None:
            return engine.first_state(given, 0)
        raise NotTrainedError(
            f"Could not find trained model in model_dir: {self.directory}. Call train first, name the directory of "
            "a trained model, or give initial_clusters as an array"
        )

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

    def _restore(self, path: str) -> State:
        state, settings = checkpoint.restore(path)
        wanted = {**self._params.settings, "k": self._params.num_clusters}
        checkpoint.check_settings(settings, wanted, self.directory)
        return state


def settle_config(config: RunConfig | None, model_dir: str | os.PathLike[str] | None) -> RunConfig:
    """Return the configuration with its model directory: the one given twice, once, or a temporary one."""
    if config is None:
        config = RunConfig()
    if not isinstance(config, RunConfig):
        raise ArgumentError(f"config must be an instance of `RunConfig`, got {config!r}; build one")
    path = None if model_dir is None or model_dir == "" else RunConfig().replace(model_dir=model_dir).model_dir
    if path and config.model_dir and path != config.model_dir:
        raise ArgumentError(
            f"model_dir is {path!r}, but config.model_dir is {config.model_dir!r}; give one, or both the same"
        )
    path = path or config.model_dir
    if not path:
        path = tempfile.mkdtemp()
        _LOG.warning("Using temporary folder as model directory: %s", path)
    return config.replace(model_dir=path)
