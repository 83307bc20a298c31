"""A model as TensorFlow's SavedModel, with the tags, signatures and files of the old class.

The one file beside `macqueen.tf_estimator` that imports TensorFlow.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from macqueen import extras
from macqueen.errors import ArgumentError, ArgumentTypeError, ExportError
from macqueen.exports.columns import Held
from macqueen.exports.folder import checked_path, new_folder
from macqueen.exports.graph import Distances, rows_of, train_op
from macqueen.exports.snapshot import Snapshot

TAGS = {"train": "train", "eval": "eval", "infer": "serve"}  # in the order in which one is chosen to save variables
METHODS = {"train": "tensorflow/supervised/training", "eval": "tensorflow/supervised/eval"}
TRAIN_OP = "saved_model_train_op"  # the collection


@dataclass(frozen=True, eq=False)
class _Graph:
    """One mode, built and not yet written."""

    tag: str
    graph: Any
    signatures: dict[str, Any]  # SignatureDef by name
    values: Held


def export(
    snapshot: Snapshot,
    export_dir_base: object,
    receiver_fns: Mapping[str, Callable[[], Any] | None],
    assets_extra: Mapping[str, Any] | None,
    as_text: bool,
    strip_default_attrs: bool,
) -> str:
    """Write a SavedModel with a graph for each mode.

    Parameters
    ----------
    snapshot
        The model.
    export_dir_base
        Where a folder named by the time is made.
    receiver_fns
        By mode, "train", "eval" or "infer"; None takes rows (n, d) as they are, under the name "input".
    assets_extra
        Files to copy, by their path below ``assets.extra``.
    as_text
        Write ``saved_model.pbtxt`` rather than ``saved_model.pb``.
    strip_default_attrs
        Leave out attributes that have their default value, which older TensorFlows may not know.

    Returns
    -------
    str
        The folder.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        An argument breaks its rule, or a receiver function does not return what a receiver has.
    ExportError
        The files cannot be written. As with any other error, nothing is left behind.
    """
    base = checked_path(export_dir_base, "export_dir_base")
    assets = _checked_assets(assets_extra)
    _check_modes(receiver_fns)
    tf = extras.needed("tensorflow", "tensorflow", "a SavedModel")
    graphs = [_built(tf, snapshot, mode, receiver_fns[mode]) for mode in TAGS if mode in receiver_fns]

    def fill(folder: str) -> None:
        try:
            _write(tf, folder, graphs, bool(as_text), bool(strip_default_attrs))
        except tf.errors.OpError as error:
            reasons = [line.rpartition("; ")[2] for line in error.message.splitlines() if folder in line]
            if not reasons:  # it is about no file, but about what the receiver function made
                raise
            raise ExportError(
                f"cannot write into {base}: {reasons[0]}. Free space there, or give another export_dir_base"
            ) from error
        for name, path in assets.items():
            target = os.path.join(folder, "assets.extra", name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)

    return new_folder(base, fill, time.time())


def _checked_assets(assets: object) -> dict[str, str]:
    """Return the files to copy by their path below assets.extra."""
    if assets is None:
        return {}
    if not isinstance(assets, Mapping):
        raise ArgumentTypeError(f"assets_extra must be a dict of target to source or None, got {assets!r}; pass a dict")
    found = {}
    for name, path in assets.items():
        target = os.path.normpath(name) if isinstance(name, str) and name else ".."
        if os.path.isabs(target) or target.split(os.sep)[0] in {"..", "."}:
            raise ArgumentError(
                f"assets_extra must have keys that are paths below assets.extra, got {name!r}; name a file"
            )
        if not isinstance(path, str | os.PathLike) or not os.path.isfile(path):
            raise ArgumentError(f"assets_extra[{name!r}] must be a file, got {path!r}, which is none; name one")
        found[target] = os.fspath(path)
    return found


def _check_modes(receiver_fns: Mapping[str, Any]) -> None:
    for mode, function in receiver_fns.items():
        if mode not in TAGS:
            raise ArgumentError(f"the mode must be one of {', '.join(map(repr, TAGS))}, got {mode!r}; use ModeKeys")
        if function is not None and not callable(function):
            raise ArgumentTypeError(
                f"the receiver function of mode {mode!r} must be callable, got {function!r}; pass a function that "
                "returns a ServingInputReceiver"
            )


def _built(tf: Any, snapshot: Snapshot, mode: str, receiver_fn: Callable[[], Any] | None) -> _Graph:
    """Build the graph of a mode."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        features, inputs, alternatives = _received(tf, graph, snapshot, mode, receiver_fn)
        values = snapshot.variables
        variables = {
            name: v1.get_variable(name, value.shape, tf.as_dtype(value.dtype), use_resource=True)
            for name, value in values.items()
        }
        v1.add_to_collection(v1.GraphKeys.GLOBAL_STEP, variables["global_step"])
        rows, weights = rows_of(tf, features, snapshot)
        found = Distances(tf, rows, variables["clusters"].read_value(), snapshot)
        if mode == "infer":
            signatures = _serving(tf, found, variables["clusters"], inputs, alternatives)
        else:
            signatures = {mode: _supervised(tf, mode, found, inputs)}
        if mode == "train":
            v1.add_to_collection(TRAIN_OP, train_op(tf, found, variables, snapshot))
    return _Graph(TAGS[mode], graph, signatures, [(variables[name], values[name]) for name in values] + weights)


def _received(
    tf: Any, graph: Any, snapshot: Snapshot, mode: str, receiver_fn: Callable[[], Any] | None
) -> tuple[Any, dict[str, Any], dict[str, dict[str, Any]]]:
    """Return features, the tensors to feed, and further sets of tensors to feed, all by name."""
    if receiver_fn is None:
        dtype, dims = tf.as_dtype(snapshot.centers.dtype), snapshot.centers.shape[1]
        rows = tf.compat.v1.placeholder(dtype, [None, dims], "input")
        return rows, {"input": rows}, {}
    receiver = receiver_fn()
    features = getattr(receiver, "features", None)
    if features is None or not hasattr(receiver, "receiver_tensors"):
        raise ArgumentError(
            f"the receiver function of mode {mode!r} must return a ServingInputReceiver or TensorServingInputReceiver, "
            f"got {receiver!r}; take one from macqueen.tf_estimator.export"
        )
    if getattr(receiver, "labels", None) is not None:
        raise ArgumentError(f"the receiver of mode {mode!r} must have no labels: k-means takes none; leave them out")
    inputs = _named(tf, graph, receiver.receiver_tensors, "receiver_tensors")
    others = getattr(receiver, "receiver_tensors_alternatives", None) or {}
    alternatives = {name: _named(tf, graph, tensors, f"alternative {name!r}") for name, tensors in others.items()}
    return features, inputs, alternatives


def _named(tf: Any, graph: Any, tensors: Any, what: str) -> dict[str, Any]:
    """Return the tensors to feed by name; they must have been made in the graph that is written."""
    named = dict(tensors) if isinstance(tensors, Mapping) else {"input": tensors}
    if not named or any(tensor is None for tensor in named.values()):
        raise ArgumentError(f"{what} of the receiver must hold at least one tensor, got {tensors!r}; give what is fed")
    for name, tensor in named.items():
        parts = tf.nest.flatten(tensor, expand_composites=True)
        if any(getattr(part, "graph", None) is not graph for part in parts):
            raise ArgumentError(
                f"{what}[{name!r}] must be a tensor that the receiver function makes itself, got {tensor!r}; make it "
                "there, for example with tf.compat.v1.placeholder"
            )
    return named


def _serving(
    tf: Any, found: Distances, clusters: Any, inputs: dict[str, Any], alternatives: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the signatures to serve: labels by default, labels, distances, and the centers, which need no input."""
    saved = tf.compat.v1.saved_model
    outputs = {"all_distances": found.all, "cluster_index": found.labels, "serving_default": found.labels}
    signatures = {
        prefix + name: saved.predict_signature_def(fed, {"output": output})
        for prefix, fed in {"": inputs, **{f"{name}:": fed for name, fed in alternatives.items()}}.items()
        for name, output in outputs.items()
    }
    centers = {"output": saved.build_tensor_info(tf.identity(clusters.read_value()))}
    return {**signatures, "cluster_centers": saved.build_signature_def({}, centers, "tensorflow/serving/predict")}


def _supervised(tf: Any, mode: str, found: Distances, inputs: dict[str, Any]) -> Any:
    """Return the signature of a train or eval graph: the loss of the batch; as metric, its mean over batches."""
    saved = tf.compat.v1.saved_model
    loss = tf.reduce_sum(found.nearest)
    value, update = tf.compat.v1.metrics.mean(loss, name="score")
    outputs = {
        "loss": loss,
        "metrics/score/value": value,
        "metrics/score/update_op": update,
        "predictions/all_distances": found.all,
        "predictions/cluster_index": found.labels,
    }
    infos = [{name: saved.build_tensor_info(tensor) for name, tensor in by.items()} for by in (inputs, outputs)]
    return saved.build_signature_def(*infos, METHODS[mode])


def _write(tf: Any, folder: str, graphs: list[_Graph], as_text: bool, strip_default_attrs: bool) -> None:
    """Write graphs, and the variables of the first of them, which all have."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(folder)
    for number, made in enumerate(graphs):
        with made.graph.as_default(), v1.Session(config=v1.ConfigProto(device_count={"GPU": 0})) as session:
            options = {
                "signature_def_map": made.signatures,
                "assets_collection": v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
                "main_op": tf.group(v1.local_variables_initializer(), v1.tables_initializer()),
                "strip_default_attrs": strip_default_attrs,
            }
            if number:
                builder.add_meta_graph([made.tag], **options)
                continue
            session.run(v1.global_variables_initializer())  # also those that a receiver function made
            for variable, value in made.values:  # fed: a graph with them as constants could exceed 2 GiB
                session.run(variable.initializer, {variable.initializer.inputs[1]: value})
            builder.add_meta_graph_and_variables(session, [made.tag], **options)
    builder.save(as_text)
