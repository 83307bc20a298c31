"""TensorFlow's objects as NumPy sees them: values of arguments, and what no row can be made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from macqueen.errors import ArgumentError, DataError
from macqueen.extras import needed


def tensorflow() -> Any:
    """Return the module; nobody comes here without an object of it, or without having asked for a graph."""
    return needed("tensorflow", "tensorflow", "a graph input")


def is_symbolic(value: object) -> bool:
    """Tell whether `value` is a tensor or variable of a graph, which has a value only in a session."""
    tf = tensorflow()
    if isinstance(value, tf.Variable):
        value = value.handle if hasattr(value, "handle") else value.value()
    return isinstance(value, tf.Tensor) and bool(tf.is_symbolic_tensor(value))


def pair_free(data: Any) -> Any:
    """Return the features of ``(features, labels)``; a list is such a pair where it holds tensors of a graph."""
    if isinstance(data, tuple | list) and len(data) == 2:
        first = data[0].values() if isinstance(data[0], Mapping) else [data[0]]
        if isinstance(data, tuple) or any(is_symbolic(item) for item in first):
            return data[0]
    return data


def refuse(features: Any, named_columns: bool) -> None:
    """Raise for tensors, or specifications of tensors, that no row can be made of.

    Parameters
    ----------
    features
        A tensor, a dict of them, or their specifications.
    named_columns
        Whether feature columns read a dict; text is theirs to encode.

    Raises
    ------
    DataError
        One of them is sparse, ragged, or text that nobody encodes.
    """
    tf = tensorflow()
    named = isinstance(features, Mapping)
    for name, value in features.items() if named else [("", features)]:
        what = f"the input, feature {name!r}," if named else "the input"
        if isinstance(value, tf.SparseTensor | tf.SparseTensorSpec):
            raise DataError(f"{what} must be dense, got a SparseTensor. Return tf.sparse.to_dense(x).")
        if isinstance(value, tf.RaggedTensor | tf.RaggedTensorSpec):
            raise DataError(f"{what} must have rows of one length, got a RaggedTensor. Return x.to_tensor().")
        text = isinstance(value, tf.Tensor | tf.TensorSpec) and value.dtype == tf.string
        if text and not (named and named_columns):
            raise DataError(
                f"{what} must hold numbers, got a tensor of strings. Convert it with tf.strings.to_number, or return "
                "a dict and encode it with feature_columns."
            )


def value_of(name: str, value: Any) -> Any:
    """Return the value of an argument that is a tensor or variable, eager or of a graph; all else as it is.

    Raises
    ------
    ArgumentError
        The value cannot be had: it depends on a placeholder, or on what only its own session knows.
    """
    tf = tensorflow()
    if not isinstance(value, tf.Tensor | tf.Variable):
        return value
    if not is_symbolic(value):
        return _scalar(np.asarray(value))
    static = tf.get_static_value(value) if isinstance(value, tf.Tensor) else None
    if static is None:
        try:
            static = _run(value)
        except tf.errors.OpError as error:
            raise ArgumentError(
                f"{name} must have a value before training, got {value!r}, which has none: {said(error)}. Give an "
                "array or an eager tensor."
            ) from error
    return _scalar(np.asarray(static))


def initializers(graph: Any) -> list[Any]:
    """Return what makes a graph ready, to be run one after the other; each costs a session some milliseconds."""
    tf1 = tensorflow().compat.v1
    keys = tf1.GraphKeys
    with graph.as_default():
        known = [
            (keys.GLOBAL_VARIABLES, tf1.global_variables_initializer),
            (keys.LOCAL_VARIABLES, tf1.local_variables_initializer),
            (keys.TABLE_INITIALIZERS, tf1.tables_initializer),
        ]
        groups = [make() for key, make in known if graph.get_collection(key)]
    iterators = [operation for operation in graph.get_operations() if operation.type == "MakeIterator"]
    return [*groups, *([iterators] if iterators else [])]


def said(error: Any) -> str:
    """Return what an error of TensorFlow says, without the stack of its graph."""
    text = str(error.message).rpartition("\nNode: ")[2].partition("Original stack trace")[0]
    text = re.sub(r"\s*\[?\[?\{\{[^}]*\}\}\]?\]?|\s*\[\[\w+\]\]|\s*\[Op:\w+\] name: ", "", text)  # places in the graph
    lines = [line for line in text.partition("Traceback")[0].splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:500]}"


@dataclass(frozen=True)
class Chooser:
    """A function ``f(inputs, k)`` that may use TensorFlow: eagerly, or in a graph of its own where eager is off."""

    function: Callable[[Any, int], Any]

    def __call__(self, inputs: Any, k: int) -> Any:
        """Return the centers chosen, as an array or as `function` gave them."""
        tf = tensorflow()
        if tf.executing_eagerly():
            return self.function(inputs, k)
        with tf.Graph().as_default():
            chosen = self.function(inputs, k)
            return _run(chosen) if is_symbolic(chosen) else chosen


def _run(tensor: Any) -> Any:
    """Return the value of a tensor of a graph."""
    with tensorflow().compat.v1.Session(graph=tensor.graph) as session:
        for group in initializers(tensor.graph):
            session.run(group)
        return session.run(tensor)


def _scalar(array: Any) -> Any:
    """Return an array, and what has no rank as a number."""
    return array[()] if array.ndim == 0 else array
