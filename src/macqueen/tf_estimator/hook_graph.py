"""What hooks written for TensorFlow meet when TensorFlow is loaded: a graph that holds names, and its own hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from macqueen import extras
from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.tf_estimator.hooks import CheckpointSaverHook

# What can be fetched, in any mode, beside global_step.
NAMES = (
    "loss",
    "average_loss",
    "clusters",
    "cluster_counts",
    "clusters_updated",
    "score",
    "all_distances",
    "cluster_index",
)

# Hooks of TensorFlow that run operations of a graph, and what to do instead.
REFUSED = {
    "SummarySaverHook": "set save_summary_steps in RunConfig, or write summaries in a hook f(state, stats, now)",
    "ProfilerHook": "see KMeans.history() for the seconds of each step, or run a profiler such as perf or py-spy",
    "FeedFnHook": "give the rows as input",
    "GlobalStepWaiterHook": "leave it out: one process trains, so that there is no other worker to wait for",
}


@contextmanager
def graph_of_names() -> Iterator[None]:
    """Make a graph the default one while `begin` is called; without TensorFlow nothing is done.

    `begin` is where hooks of the old class look for their tensors: `tf.compat.v1.train.get_global_step` and
    ``graph.get_tensor_by_name("loss:0")`` answer. Nothing is computed in this graph: what is fetched later is looked
    up by the name of the tensor.
    """
    tf = extras.loaded("tensorflow")
    if tf is None:
        yield
        return
    with tf.Graph().as_default():
        tf.compat.v1.train.create_global_step()
        for name in NAMES:
            tf.compat.v1.placeholder(tf.float32, name=name)
        try:
            yield
        except KeyError as error:  # what TensorFlow raises for a name that its graph does not have
            error.add_note(f"names that a hook can fetch: global_step, {', '.join(NAMES)}")
            raise


def end_of_input() -> tuple[type[Exception], ...]:
    """Return the errors by which a hook ends a call as if the input had ended."""
    tf = extras.loaded("tensorflow")
    return (StopIteration,) if tf is None else (StopIteration, tf.errors.OutOfRangeError)


def adopted(hook: Any, what: str) -> Any:
    """Return a hook as it can be called here: nearly all as they are; `what` names it in an error.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        It is one of TensorFlow's that needs a graph; the error says what to use instead.
    """
    tf = extras.loaded("tensorflow")
    if tf is None or not isinstance(hook, tf.compat.v1.train.SessionRunHook):
        return hook
    train = tf.compat.v1.train
    for name, remedy in REFUSED.items():
        if isinstance(hook, getattr(train, name)):
            raise ArgumentTypeError(f"{what}: {name} of TensorFlow needs the graph of a model; {remedy}")
    return _saver(hook, train, what) if isinstance(hook, train.CheckpointSaverHook) else hook


def _saver(hook: Any, train: Any, what: str) -> CheckpointSaverHook:
    """Return ours for TensorFlow's `CheckpointSaverHook`, which would write variables of a graph."""
    if type(hook) is not train.CheckpointSaverHook:
        raise ArgumentTypeError(
            f"{what}: a subclass of CheckpointSaverHook cannot be used, got {type(hook).__name__}; give a "
            "CheckpointSaverListener in saving_listeners"
        )
    # TensorFlow has no public way to ask for these.
    base = hook._save_path.rpartition("/")[2]
    if hook._saver is not None or hook._scaffold is not None or base != "model.ckpt":
        raise ArgumentError(
            f"{what}: CheckpointSaverHook cannot have a saver, scaffold or checkpoint_basename, got {hook._saver!r}, "
            f"{hook._scaffold!r}, {base!r}; leave them out and set keep_checkpoint_max in RunConfig"
        )
    timer = hook._timer
    return CheckpointSaverHook(
        hook._checkpoint_dir, timer._every_secs, timer._every_steps, listeners=list(hook._listeners)
    )
