"""Checkpoints of the old class: read, and made. TensorFlow is imported where one of the two is done."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from macqueen import checkpoint, extras, feature_columns
from macqueen.config import KMeansParams
from macqueen.engine import Kernels
from macqueen.engine.metric import METRICS
from macqueen.errors import CheckpointError, NotTrainedError, SettingsMismatchError
from macqueen.state import State

_LOG = logging.getLogger("macqueen")

EMBEDDINGS = "input_layer/"  # begins the names of the weights of embedding columns
ANOTHER = "Give the prefix of another checkpoint to KMeans.from_tensorflow, or another model_dir"
UNIT = 1e-3  # how far from 1 the length of a normalised float32 center may be, with room to spare


@dataclass(frozen=True)
class Facts:
    """What the variables of an old model say of its settings."""

    k: int
    mode: str  # 'full_batch' or 'mini_batch'
    least_steps: int  # mini-batch steps per iteration are at least so many
    steps_per_iteration: int | None  # None: more than 1, they do not say how many


def located(path: str | os.PathLike[str]) -> tuple[checkpoint.Newest, str | None]:
    """Find the checkpoint of a model directory, of a SavedModel, or under its own name.

    Returns
    -------
    checkpoint : Newest
        Ours, where one went on from the old model.
    model_dir : str or None
        The model directory, None for a SavedModel or one checkpoint.

    Raises
    ------
    NotTrainedError
        There is none.
    """
    text = os.fspath(path)
    if os.path.isdir(text):
        if any(os.path.exists(os.path.join(text, name)) for name in ("saved_model.pb", "saved_model.pbtxt")):
            return checkpoint.Newest(os.path.join(text, "variables", "variables"), True), None
        found = checkpoint.newest(text)
        if found is not None:
            return found, text
    elif os.path.exists(text.removesuffix(".index") + ".index"):
        prefix = text.removesuffix(".index")
        return checkpoint.Newest(prefix, checkpoint.is_foreign(prefix)), None
    raise NotTrainedError(
        f"there is no checkpoint of TensorFlow at {text}; give a model directory of the old class, the prefix of one "
        "checkpoint of it (.../model.ckpt-10), or the folder of a SavedModel, in which saved_model.pb is"
    )


def facts(source: checkpoint.Newest) -> Facts:
    """Return what a checkpoint of the old class says of its settings, or one of ours.

    Raises
    ------
    NotTrainedError
        It has no centers yet.
    CheckpointError
        It is damaged, or no k-means of the old class.
    MissingExtraError
        TensorFlow is not installed.
    """
    if not source.foreign:
        found = checkpoint.settings(source.prefix)
        return Facts(found["k"], found["mode"], found["steps_per_iteration"], found["steps_per_iteration"])
    variables = variables_of(source.prefix)
    if not variables:
        raise NotTrainedError(
            f"{source.prefix} holds no centers: training ended before they were chosen. Make a new model with KMeans"
        )
    return _facts(variables)


def _facts(variables: checkpoint.Tensors) -> Facts:
    k = len(variables["clusters"])
    if checkpoint.COUNTS not in variables:
        return Facts(k, "full_batch", 1, 1)
    if "clusters_updated" not in variables:
        return Facts(k, "mini_batch", 1, 1)
    return Facts(k, "mini_batch", max(2, int(variables["update_in_steps"])), None)


class OldCheckpoints:
    """Checkpoints in the format of the old class, as `macqueen.model.Model` asks for them.

    Parameters
    ----------
    params
        What is asked for; an old model that cannot have been trained so is refused.
    kernels
        What normalises centers.
    """

    def __init__(self, params: KMeansParams, kernels: Kernels) -> None:
        self._params = params
        self._kernels = kernels

    def check(self) -> None:
        """Raise MissingExtraError where TensorFlow is not installed."""
        _tensorflow("checkpoint_format='tensorflow'")

    def read(self, prefix: str, seed: int) -> tuple[State, checkpoint.Tensors] | None:
        """Return the state after a sync that was due, and the weights of embedding columns; None without centers.

        Parameters
        ----------
        prefix
            Of the checkpoint.
        seed
            Behind every random choice from here on.

        Raises
        ------
        SettingsMismatchError
            The model cannot have been trained as asked for.
        CheckpointError
            The checkpoint is damaged, or no k-means of the old class.
        MissingExtraError
            TensorFlow is not installed.
        """
        variables = variables_of(prefix)
        if not variables:
            return None
        self._check(variables, prefix)
        constants = {name: value for name, value in variables.items() if name.startswith(EMBEDDINGS)}
        _check_columns(self._params.feature_columns, constants, prefix)
        return self._state(variables, seed), constants

    def _check(self, variables: checkpoint.Tensors, prefix: str) -> None:
        """Refuse a model that cannot have been trained as asked for."""
        found, wanted = _facts(variables), self._params.settings
        metric: str = wanted["metric"]
        steps: Any = found.steps_per_iteration
        lengths = np.linalg.norm(variables["clusters"].astype(np.float64), axis=1)
        if steps is None:
            enough = wanted["steps_per_iteration"] >= found.least_steps
            steps = wanted["steps_per_iteration"] if enough else f"at least {found.least_steps}"
        if metric == "cosine" and lengths.max() > 1 + UNIT:  # means of normalised rows are never longer than 1
            metric = "squared_euclidean"
        said = {"metric": metric, "mode": found.mode, "steps_per_iteration": steps, "k": found.k}
        checkpoint.check_settings(said, {**wanted, "k": self._params.num_clusters}, prefix)
        if metric != "cosine" and variables["clusters"].shape[1] > 1 and np.all(np.abs(lengths - 1) < UNIT):
            _LOG.warning(
                "all centers of %s have length 1: was distance_metric 'cosine'? No checkpoint of the old class says so",
                prefix,
            )

    def _state(self, variables: checkpoint.Tensors, seed: int) -> State:
        centers, step = variables["clusters"], int(variables["global_step"])
        counts, pending = variables.get(checkpoint.COUNTS), variables.get("clusters_updated")
        if pending is None:
            return State(centers=centers, step=step, seed=seed, counts=counts)
        assert counts is not None
        left = int(variables["update_in_steps"])
        if left > 0:
            made = self._params.mini_batch_steps_per_iteration - left
            return State(centers, step, seed, counts=counts, pending=pending, steps_since_sync=made)
        # The old class syncs when the next iteration begins, we when one ends: this one has ended.
        synced = METRICS[self._params.distance_metric].centers(pending, self._kernels)
        return State(synced, step, seed, counts=np.zeros_like(counts), pending=pending)

    def encoded(self, state: State, constants: checkpoint.Tensors) -> dict[str, bytes]:
        """Return the files of a checkpoint by suffix, with the names and dtypes of the old class.

        Raises
        ------
        CheckpointError
            They cannot be made.
        """
        variables = checkpoint.old_variables(state, self._params.settings, constants)
        for name in {"clusters", "clusters_updated"} & set(variables):
            variables[name] = variables[name].astype(np.float32)
        return _bundle(variables)


def variables_of(prefix: str) -> checkpoint.Tensors:
    """Read the variables of a k-means of the old class, read-only; none where it had not chosen centers yet."""
    tf = _tensorflow(f"the checkpoint of TensorFlow {prefix}")
    try:
        reader = tf.train.load_checkpoint(prefix)
        names = sorted(reader.get_variable_to_shape_map())
        known = ("clusters", "clusters_updated", checkpoint.COUNTS, "global_step", "initialized", "update_in_steps")
        wanted = [name for name in names if name in known or name.startswith(EMBEDDINGS)]
        found = {name: np.asarray(reader.get_tensor(name)) for name in wanted}
    except (tf.errors.OpError, LookupError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{prefix} is damaged, cut short, or a part of it is missing: {error}. {ANOTHER}"
        ) from error
    fault = _fault(found)
    if fault:
        raise CheckpointError(
            f"{prefix} holds no sound model of tf.compat.v1.estimator.experimental.KMeans: {fault}; it has "
            f"{', '.join(names[:12]) or 'no variables'}. {ANOTHER}"
        )
    for value in found.values():
        value.flags.writeable = False
    return found if found["initialized"] else {}


def _fault(variables: checkpoint.Tensors) -> str | None:
    """Return what is wrong with the variables of a model, None where nothing is."""
    for name in ("clusters", "global_step", "initialized"):
        if name not in variables:
            return f"there is no variable {name!r}"
    centers, counts = variables["clusters"], variables.get(checkpoint.COUNTS)
    if not variables["initialized"]:
        return None
    if centers.dtype != np.float32 or centers.ndim != 2 or 0 in centers.shape:
        return f"clusters are {centers.dtype} of shape {centers.shape}, not float32 (k, d)"
    if counts is not None and (counts.dtype != np.int64 or counts.shape != centers.shape[:1] or counts.min() < 0):
        return f"Variable is {counts.dtype} of shape {counts.shape}, not the counts of {len(centers)} centers"
    pending = variables.get("clusters_updated")
    if pending is not None and (counts is None or "update_in_steps" not in variables or pending.shape != centers.shape):
        return "clusters_updated, Variable and update_in_steps do not belong together"
    for name in ("clusters", "clusters_updated"):
        bad = ~np.isfinite(variables.get(name, centers))
        if bad.any():
            return f"row {int(np.argwhere(bad)[0, 0])} of {name} is not finite: it was trained on NaN or infinity"
    return None


def _check_columns(columns: tuple[Any, ...] | None, weights: checkpoint.Tensors, prefix: str) -> None:
    """Refuse columns that are not those of the old model, as far as its variables and ours can tell."""
    if columns is None:
        return
    if _hashes(feature_columns.describe(columns)):
        raise SettingsMismatchError(
            f"feature_columns have buckets that are hashed, and TensorFlow's hash, with which {prefix} was trained, is "
            "another: its centers would mean other categories. Train a new model in another model_dir"
        )
    names = set(feature_columns.InputLayer(columns, 0, weights).weights)
    if names != set(weights):
        raise SettingsMismatchError(
            f"feature_columns have the weights {', '.join(sorted(names)) or 'none'}, but {prefix} has "
            f"{', '.join(sorted(weights)) or 'none'}; ask for the columns of the old model"
        )


def _hashes(description: Any) -> bool:
    """Tell whether a description of columns has one whose buckets are those of a hash."""
    if isinstance(description, dict):
        if description.get("kind") in ("crossed", "hash_bucket") or description.get("num_oov_buckets"):
            return True
        description = list(description.values())
    return isinstance(description, list) and any(map(_hashes, description))


def _bundle(variables: checkpoint.Tensors) -> dict[str, bytes]:
    """Return the files of a checkpoint by suffix, made by TensorFlow in a folder of their own."""
    tf = _tensorflow("checkpoint_format='tensorflow'")
    names = sorted(variables)
    try:
        with tempfile.TemporaryDirectory() as folder, tf.Graph().as_default(), tf.compat.v1.Session() as session:
            prefix = os.path.join(folder, "model")
            feeds = {tf.compat.v1.placeholder(variables[name].dtype): variables[name] for name in names}
            session.run(
                tf.raw_ops.SaveV2(
                    prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=list(feeds)
                ),
                feeds,
            )
            return {suffix: Path(prefix + suffix).read_bytes() for suffix in checkpoint.PARTS}
    except (tf.errors.OpError, OSError) as error:
        raise CheckpointError(
            f"TensorFlow cannot make a checkpoint in {tempfile.gettempdir()}: {error}. Free space there, or train "
            "without checkpoint_format='tensorflow'"
        ) from error


def _tensorflow(purpose: str) -> Any:
    return extras.needed("tensorflow", "tensorflow", purpose)
