"""TensorFlow's inputs: what a function returns, eagerly or in a graph, becomes an iterator of NumPy batches."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import numpy as np

from macqueen.errors import ArgumentTypeError, InputReadError, MacqueenError
from macqueen.estimator.opening import GraphInput
from macqueen.tf_estimator.ahead import PATIENCE, Ahead
from macqueen.tf_estimator.constants import constant_batches
from macqueen.tf_estimator.tensors import initializers, is_symbolic, pair_free, refuse, said, tensorflow

_LOG = logging.getLogger("macqueen")

SMALL_GRAPH = 100  # nodes below which optimizing a graph costs a call more than it can gain: some milliseconds


def graph_input(input_fn: Callable[..., Any]) -> GraphInput:
    """Have an input function called in a graph, as the old class calls every one; the override of `macqueen.KMeans`.

    Parameters
    ----------
    input_fn
        The function; it may ask for `mode`, `config` and `params` by name.

    Returns
    -------
    GraphInput
        To be passed in its place.

    Raises
    ------
    ArgumentTypeError
        It is no function.
    MissingExtraError
        TensorFlow is not installed.
    """
    if not callable(input_fn):
        raise ArgumentTypeError(f"input_fn must be a function, got {type(input_fn).__name__}. Pass a lambda.")
    tensorflow()
    return GraphInput(input_fn)


@contextmanager
def readable(
    make: Callable[[], Any], *, called: bool, in_graph: bool, graph_seed: int | None, mode: str, named_columns: bool
) -> Iterator[Any]:
    """Yield an input as `as_source` takes it; what reads it ahead ends with the block.

    Parameters
    ----------
    make
        Returns the input.
    called
        Whether it calls a function of the user's, rather than handing on what was passed.
    in_graph
        Call it in a graph from the start. Otherwise that is done where TensorFlow does not execute eagerly, and,
        for a second time, where the function fails because it does.
    graph_seed
        Seed of the graph's random operations; None leaves them to chance.
    mode
        What the rows are for: 'train', 'eval' or 'infer'.
    named_columns
        Whether feature columns read dicts.
    """
    tf = tensorflow()
    in_graph = called and (in_graph or not tf.executing_eagerly())
    if not in_graph:
        try:
            data = make()
        except (RuntimeError, ValueError) as error:
            if isinstance(error, MacqueenError) or "eager" not in str(error):
                raise
            _LOG.info("input_fn is called again, in a graph, as TensorFlow says: %s", error)
            in_graph = True
    if in_graph:
        with tf.Graph().as_default():
            tf.compat.v1.set_random_seed(graph_seed)
            data = make()
    features = pair_free(data)
    items = _items(features, in_graph, mode, named_columns)
    if items is None:
        yield data
    else:
        with closing(items) if isinstance(items, Ahead) else nullcontext():
            yield items


def _items(features: Any, in_graph: bool, mode: str, named_columns: bool) -> Iterator[Any] | None:
    """Return the batches of what is TensorFlow's; None where NumPy's ways are enough."""
    tf = tensorflow()
    if isinstance(features, tf.data.Dataset):
        refuse(pair_free(features.element_spec), named_columns)
        variant = tf.data.experimental.to_variant(features)
        if not is_symbolic(variant):
            return Ahead(lambda: _named(features.as_numpy_iterator()))
        with variant.graph.as_default():
            features = pair_free(tf.compat.v1.data.make_initializable_iterator(features).get_next())
    refuse(features, named_columns)
    if isinstance(features, tuple | list) and any(map(is_symbolic, features)):
        raise ArgumentTypeError(
            f"input_fn should return (features, labels) as a len 2 tuple, got {len(features)} tensors. Return one "
            "tensor, or a dict of them."
        )
    tensors = features if isinstance(features, Mapping) else {"": features}
    fetches = {name: value for name, value in tensors.items() if is_symbolic(value)}
    constants = {name: value for name, value in tensors.items() if name not in fetches}
    known = {name: constant_batches(value) for name, value in fetches.items()}
    if None in known.values():
        reader = _GraphReader(fetches, constants, isinstance(features, Mapping))
        return Ahead(lambda: _named(reader.batches()), reader.cancel)
    if not fetches and not (in_graph and any(tf.is_tensor(value) for value in tensors.values())):
        return None
    limits = [batches.times for batches in known.values() if batches is not None and batches.times is not None]
    if mode == "infer" and not limits:
        _LOG.warning(
            "Input graph does not use tf.data.Dataset or contain a QueueRunner. That means predict yields forever. "
            "This is probably a mistake."
        )
    found = {name: np.asarray(value) for name, value in constants.items()}
    found |= {name: tf.get_static_value(batches.tensor) for name, batches in known.items() if batches is not None}
    batch = {name: found[name] for name in tensors} if isinstance(features, Mapping) else found[""]
    return itertools.repeat(batch, min(limits)) if limits else itertools.repeat(batch)


def _named(items: Iterator[Any]) -> Iterator[Any]:
    """Yield items; say of TensorFlow's errors that they come from the input."""
    try:
        yield from items
    except tensorflow().errors.OpError as error:
        raise InputReadError(
            f"the input pipeline failed: {said(error)}. The model is that of its last "
            "checkpoint; mend what the pipeline reads or calls, and train again"
        ) from error


class _GraphReader:
    """A session that runs a graph batch by batch, with the graph's queues filled by threads of their own.

    Parameters
    ----------
    fetches
        Tensors of one graph, by name.
    constants
        What stands beside them in each batch.
    named
        Whether a batch is a dict; else it is the one tensor.
    """

    def __init__(self, fetches: Mapping[Any, Any], constants: Mapping[Any, Any], named: bool) -> None:
        tf = tensorflow()
        self._fetches = dict(fetches)
        self._constants = constants
        self._named = named
        self._graph = next(iter(fetches.values())).graph
        config = tf.compat.v1.ConfigProto()
        config.graph_options.rewrite_options.min_graph_nodes = SMALL_GRAPH
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        self._coordinator = tf.compat.v1.train.Coordinator()
        self._threads: list[Any] = []

    def batches(self) -> Iterator[Any]:
        """Yield what each run of the graph gives, until it is out of range."""
        tf = tensorflow()
        try:
            for group in initializers(self._graph):
                self._session.run(group)
            if self._graph.get_collection(tf.compat.v1.GraphKeys.QUEUE_RUNNERS):  # else TensorFlow logs a warning
                with self._graph.as_default():
                    self._threads = tf.compat.v1.train.start_queue_runners(self._session, self._coordinator)
            names = list(self._fetches)
            run = self._session.make_callable(list(self._fetches.values()))
            while True:
                batch = {**self._constants, **dict(zip(names, run(), strict=True))}
                yield batch if self._named else batch[""]
        except (tf.errors.OutOfRangeError, tf.errors.CancelledError):
            # A queue ends like this as well when what fills it has failed: joining raises that error.
            self._coordinator.request_stop()
            self._coordinator.join(self._threads, stop_grace_period_secs=PATIENCE, ignore_live_threads=True)
        finally:
            self._finish()

    def cancel(self) -> None:
        """Make a run that is under way, and the threads of the queues, come back."""
        self._coordinator.request_stop()
        self._session.close()

    def _finish(self) -> None:
        """End the threads of the queues, whatever they have to say."""
        self.cancel()
        for thread in self._threads:
            thread.join(PATIENCE)
