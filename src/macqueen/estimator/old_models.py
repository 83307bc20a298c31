"""Models that the old class trained: `KMeans.from_tensorflow`. TensorFlow is imported when there is one to read."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Self

from macqueen import checkpoint
from macqueen.config import KMeansParams, RunConfig
from macqueen.engine import Kernels
from macqueen.errors import ArgumentError
from macqueen.model import Model

if TYPE_CHECKING:
    from macqueen.tf_estimator.old_checkpoints import OldCheckpoints

_LOG = logging.getLogger("macqueen")


def old_checkpoints(params: KMeansParams, kernels: Kernels) -> OldCheckpoints:
    """Return what reads and makes checkpoints in TensorFlow's format."""
    from macqueen.tf_estimator.old_checkpoints import OldCheckpoints  # noqa: PLC0415 -- only old models need it

    return OldCheckpoints(params, kernels)


class OldModels:
    """The part of `KMeans` that goes on from models of the old class."""

    _model: Model

    @classmethod
    def from_tensorflow(
        cls,
        path: str | os.PathLike[str],
        model_dir: str | os.PathLike[str] | None = None,
        *,
        distance_metric: str = "squared_euclidean",
        use_mini_batch: bool | None = None,
        mini_batch_steps_per_iteration: int | None = None,
        config: RunConfig | None = None,
        **arguments: Any,
    ) -> Self:
        """Make a model that goes on from one that TensorFlow's estimator trained. Needs the extra ``tensorflow``.

        Parameters
        ----------
        path
            The old model directory, one checkpoint of it (``<model_dir>/model.ckpt-<step>``), or a SavedModel.
        model_dir
            Where to go on. None: in the old model directory, in files beside the old ones, which all stay; for one
            checkpoint or a SavedModel, in a temporary directory. A directory that was gone on in before is continued.
        distance_metric
            That of the old model, which no checkpoint says.
        use_mini_batch
            None: as the variables of the old model say.
        mini_batch_steps_per_iteration
            That of the old model, which no checkpoint says where it is more than 1.
        config, **arguments
            Further arguments of `KMeans`: `feature_columns`, `seed`, `relative_tolerance`, ...

        Returns
        -------
        KMeans
            The model, with the centers, counts and step of the old one.

        Raises
        ------
        ArgumentError
            `mini_batch_steps_per_iteration` is missing, or `model_dir` holds another old model.
        SettingsMismatchError
            The old model cannot have been trained with these settings.
        NotTrainedError
            There is no checkpoint, or it holds no centers yet.
        CheckpointError
            The checkpoint is damaged, or that of another estimator.
        MissingExtraError
            TensorFlow is not installed.
        """
        from macqueen.tf_estimator import old_checkpoints as old  # noqa: PLC0415 -- only old models need it

        source, source_dir = old.located(path)
        facts = old.facts(source)
        if use_mini_batch is None:
            use_mini_batch = facts.mode == "mini_batch"
        if mini_batch_steps_per_iteration is None:
            if use_mini_batch and facts.steps_per_iteration is None:
                raise ArgumentError(
                    f"mini_batch_steps_per_iteration must be given: {source.prefix} is of a model with several, at "
                    f"least {facts.least_steps}, and does not say how many"
                )
            mini_batch_steps_per_iteration = facts.steps_per_iteration or 1
        if model_dir is None and (config is None or config.model_dir is None):
            model_dir = source_dir
        made = cls(  # type: ignore[call-arg]  # the arguments of KMeans
            facts.k,
            model_dir,
            distance_metric=distance_metric,
            use_mini_batch=use_mini_batch,
            mini_batch_steps_per_iteration=mini_batch_steps_per_iteration,
            config=config,
            **arguments,
        )
        made._go_on_from(source)
        return made

    def _go_on_from(self, source: checkpoint.Newest) -> None:
        """Take a model into memory, unless the model directory has it or goes on from it."""
        model = self._model
        there = checkpoint.newest(model.directory)
        if there is None:
            model.take(*source)
        elif os.path.realpath(there.prefix) != os.path.realpath(source.prefix):
            if there.foreign:
                raise ArgumentError(
                    f"model_dir {model.directory} holds another old model, {there.prefix}; give another model_dir, or "
                    f"go on from that one: KMeans.from_tensorflow({there.prefix!r})"
                )
            _LOG.info("%s was gone on in before: the model is %s", model.directory, there.prefix)
        model.load()
