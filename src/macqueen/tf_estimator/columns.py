"""TensorFlow's own feature columns, each as one of ours: its values are those of ``input_layer``."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import ArgumentError
from macqueen.extras import needed
from macqueen.feature_columns.dense import DenseColumn, ForeignColumn, Weights
from macqueen.feature_columns.features import Features
from macqueen.tf_estimator.tensors import initializers, said, tensorflow

_LEFT_OUT = {"initializer", "ckpt_to_load_from", "tensor_name_in_ckpt"}  # the weights themselves are kept


def wrapped(columns: Any) -> Any:
    """Return the argument `feature_columns` with each column of TensorFlow's wrapped; all else as it is.

    Raises
    ------
    ArgumentError
        ``tf.compat.v1.feature_column.input_layer`` does not take one of them.
    """
    if columns is None:
        return None
    base = _classes()._FeatureColumn
    if isinstance(columns, base):
        columns = [columns]
    if isinstance(columns, str | Mapping | DenseColumn) or not isinstance(columns, Iterable):
        return columns
    found = list(columns)
    theirs = [column for column in found if isinstance(column, base)]
    if not theirs:
        return found
    layer = _Layer(theirs)
    return [TensorFlowColumn(column, layer) if isinstance(column, base) else column for column in found]


class TensorFlowColumn(ForeignColumn):
    """A column of TensorFlow's.

    Parameters
    ----------
    column
        The column.
    layer
        What makes its values, and those of its companions.
    """

    def __init__(self, column: Any, layer: _Layer) -> None:
        self.column = column
        self._layer = layer

    def __repr__(self) -> str:
        return repr(self.column)

    @property
    def name(self) -> str:
        """TensorFlow's name of the column."""
        return str(self.column.name)

    @property
    def keys(self) -> tuple[str, ...]:
        """The features it reads."""
        return tuple(sorted(self.column._parse_example_spec))

    def labels(self) -> list[str]:
        """Return what the values are called."""
        dims = int(self._layer.graph.values[self.column].shape[1])
        return [self.name] if dims == 1 else [f"{self.name}[{at}]" for at in range(dims)]

    @property
    def weights_name(self) -> str | None:
        """The variable of the checkpoint that holds its weights."""
        variable = self._layer.graph.variables.get(self.column)
        return None if variable is None else str(variable.op.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights: (buckets, dimension)."""
        return tuple(self._layer.graph.variables[self.column].shape.as_list())

    def first_weights(self, seed: int) -> NDArray[np.float32]:
        """Return the weights of a new model, as the column's initializer draws or loads them."""
        return self._layer.first_weights(seed, self.column)

    def describe(self) -> dict[str, Any]:
        """Return JSON values that say which column it is."""
        return {"name": self.name, **_described(self.column)}

    def rows(self, features: Features, weights: Weights) -> NDArray[Any]:
        """Return the values (n, dims), float32."""
        if self._layer not in features.shared:  # one run for all columns of the layer
            features.shared[self._layer] = self._layer.run(features, weights)
        found: NDArray[Any] = features.shared[self._layer][self.column]
        return found

    def tensor(self, features: Mapping[str, Any], shared: dict[Any, Any]) -> tuple[Any, Any]:
        """Return the values (n, dims) as a tensor of the graph of `features`, and the variable of its weights or None.

        One call of ``input_layer`` makes all columns of the layer, as in the old class: the call names the variables.
        """
        if self._layer not in shared:
            shared[self._layer] = self._layer.tensors(features)
        values, variables = shared[self._layer]
        return values[self.column], variables.get(self.column)


class _Layer:
    """``input_layer`` of some columns: one graph, and a session that holds its weights."""

    def __init__(self, columns: Sequence[Any]) -> None:
        self._columns = columns
        self._begin()

    def _begin(self) -> None:
        self.graph = _Graph(self._columns, None)
        self._lock = threading.Lock()
        self._session: Any = None
        self._held: list[Any] = []  # the weights in the session

    def __getstate__(self) -> dict[str, Any]:
        return {"columns": self._columns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._columns = state["columns"]
        self._begin()

    def tensors(self, features: Mapping[str, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Return values (n, dims) and variables of the columns, in the graph that `features` belong to."""
        return _input_layer(dict(features), self._columns)

    def first_weights(self, seed: int, column: Any) -> NDArray[np.float32]:
        """Return the weights that a new graph begins with."""
        graph = _Graph(self._columns, seed)
        with tensorflow().compat.v1.Session(graph=graph.graph) as session:
            for group in initializers(graph.graph):
                session.run(group)
            return np.array(session.run(graph.variables[column]), np.float32)

    def run(self, features: Features, weights: Weights) -> dict[Any, NDArray[Any]]:
        """Return the values (n, dims) of each column."""
        graph = self.graph
        feeds = {placeholder: _fed(features, key, placeholder) for key, placeholder in graph.features.items()}
        session = self._session_of([weights[variable.op.name] for variable in graph.loads])
        try:
            found: dict[Any, NDArray[Any]] = session.run(graph.values, feeds)
        except tensorflow().errors.OpError as error:
            features.refuse_all(sorted(graph.features), f"TensorFlow's columns say: {said(error)}")
        return found

    def _session_of(self, weights: list[Any]) -> Any:
        """Return a session that holds `weights`: that of the run before, as long as they are the same."""
        with self._lock:
            same = self._session is not None and all(
                one is other for one, other in zip(weights, self._held, strict=True)
            )
            if not same:
                session = tensorflow().compat.v1.Session(graph=self.graph.graph)
                for (place, load), given in zip(self.graph.loads.values(), weights, strict=True):
                    session.run(load, {place: given})
                session.run(self.graph.tables)
                self._session, self._held = session, weights  # a thread that uses the one before keeps it alive
            return self._session


class _Graph:
    """The graph of ``input_layer``, with places for features and weights.

    Attributes
    ----------
    features
        Placeholders by name.
    values
        (n, dims) by column.
    variables
        The weights by column, where it has any.
    loads
        A placeholder and what assigns it, by variable.
    tables
        What makes vocabularies ready.
    """

    def __init__(self, columns: Sequence[Any], seed: int | None) -> None:
        tf1 = tensorflow().compat.v1
        for column in columns:
            if not isinstance(column, _classes()._DenseColumn):
                raise ArgumentError(
                    f"Items of feature_columns must be a dense column, got {column!r}; wrap {column.name!r} in "
                    "indicator_column or embedding_column"
                )
        with tensorflow().Graph().as_default() as self.graph:
            tf1.set_random_seed(None if seed is None else seed % 2**31)
            try:
                self.features = _placeholders(columns)
                self.values, self.variables = _input_layer(self.features, columns)
            except ArgumentError:
                raise
            except (TypeError, ValueError, NotImplementedError) as error:
                raise ArgumentError(f"feature_columns: input_layer does not take them: {error}") from error
            self.loads = {}
            for variable in tf1.global_variables():
                place = tf1.placeholder(variable.dtype.base_dtype, variable.shape)
                self.loads[variable] = place, variable.assign(place).op
            self.tables = tf1.tables_initializer()


def _input_layer(features: dict[str, Any], columns: Sequence[Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return what TensorFlow makes of features: the values (n, dims) by column, and the variables, where it has any."""
    values: dict[Any, Any] = {}
    variables: dict[Any, list[Any]] = {}
    tensorflow().compat.v1.feature_column.input_layer(
        features, columns, cols_to_vars=variables, cols_to_output_tensors=values
    )
    for column, found in variables.items():
        if len(found) > 1:
            raise ArgumentError(
                f"feature_columns: column {column.name!r} has {len(found)} variables, of which one can be kept; make "
                "several columns"
            )
    return values, {column: found[0] for column, found in variables.items() if found}


def _placeholders(columns: Sequence[Any]) -> dict[str, Any]:
    """Return a place for each feature; one that several columns read is of the narrower kind: integers, one shape."""
    kinds: dict[str, tuple[Any, list[Any]]] = {}
    for column in columns:
        for key, spec in column._parse_example_spec.items():
            shape = [None, *getattr(spec, "shape", [None])]  # numbers have a shape, categories any count
            dtype, before = kinds.get(key, (spec.dtype, [None, None]))
            dtype = spec.dtype if spec.dtype.is_integer else dtype
            kinds[key] = dtype, before if shape == [None, None] else shape
    placeholder = tensorflow().compat.v1.placeholder
    return {key: placeholder(dtype, shape) for key, (dtype, shape) in kinds.items()}


def _fed(features: Features, key: str, placeholder: Any) -> Any:
    """Return a feature in the shape and kind that a placeholder wants."""
    values = features.complete(key)
    wanted = placeholder.dtype
    kinds, name = ("OSU", "text") if wanted.is_compatible_with(tensorflow().string) else ("biuf", "numbers")
    if wanted.is_integer:
        kinds, name = "biu", "integers"
    if values.dtype.kind not in kinds:
        remedy = "convert the feature, or give the column another dtype"
        features.refuse(key, 0, f"TensorFlow's column reads {name}, got {values.dtype}; {remedy}")
    shape = [len(values), *(-1 if size is None else size for size in placeholder.shape.as_list()[1:])]
    try:
        return values.reshape(shape)
    except ValueError:
        features.refuse(key, 0, f"the column has shape {shape[1:]}, got {list(values.shape[1:])}; give it that shape")


def _classes() -> Any:
    return needed("tensorflow.python.feature_column.feature_column", "tensorflow", "a column of TensorFlow's")


def _described(value: Any) -> Any:
    """Return JSON values for a column, or for what it is made of."""
    if isinstance(value, _classes()._FeatureColumn):
        fields = value._asdict() if hasattr(value, "_asdict") else {"name": value.name}
        kept = {key: _described(item) for key, item in fields.items() if key not in _LEFT_OUT}
        if "vocabulary_file" in kept:
            kept["vocabulary_file"] = PurePath(str(kept["vocabulary_file"])).name  # the folder may be another
        return {"kind": f"tensorflow.{type(value).__name__}", **kept}
    if isinstance(value, tuple | list):
        return [_described(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tensorflow().DType):
        return value.name
    kind = value if hasattr(value, "__qualname__") else type(value)
    return {"kind": "function", "function": f"{kind.__module__}:{kind.__qualname__}"}
