"""A model as one ONNX graph: rows in, cluster_index and all_distances out."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen import extras, files
from macqueen.errors import ArgumentError, ExportError
from macqueen.exports.folder import checked_path
from macqueen.exports.snapshot import Snapshot
from macqueen.feature_columns import InputLayer, Standardize
from macqueen.feature_columns.dense import NumericColumn
from macqueen.state import FloatArray

OPSET = 17  # known to onnxruntime since 1.13
ROWS = "input"
OUTPUTS = ("cluster_index", "all_distances")
SAMPLES = 256  # rows of each kind that a graph is checked with, fewer where a row takes long:
SAMPLED = 1 << 26  # differences of each kind
MOST_BYTES = 1 << 31  # of a file, by the rules of protobuf


class _Nodes:
    """Operations of a graph under way; each returns the name of its output, which begins with `prefix`."""

    def __init__(self, onnx: Any, prefix: str) -> None:
        self.onnx = onnx
        self._prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add an operation."""
        name = name or f"{self._prefix}/{op}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any) -> str:
        """Add a constant."""
        name = f"{self._prefix}/constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """Add a constant (m,) int64."""
        return self.constant(values, np.int64)

    def cast(self, value: str, dtype: Any, name: str | None = None) -> str:
        """Convert to a dtype of NumPy."""
        return self("Cast", value, name=name, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def export(snapshot: Snapshot, path: object, predict: Callable[[Any], Mapping[str, Any]]) -> str:
    """Write a model as an ONNX file.

    Parameters
    ----------
    snapshot
        The model.
    path
        The file; replaced as a whole if it is there.
    predict
        Gives labels (n,) and distances (n, k) of rows, or of features by name, as the model itself has them.

    Returns
    -------
    str
        The path.

    Raises
    ------
    ArgumentError
        `path` is none; otherwise as for `graph_bytes`.
    ExportError
        The file cannot be written, or does not say on sample rows what the model says; it is then not there.
    """
    file = checked_path(path, "path")
    content = graph_bytes(snapshot)
    inputs = sample(snapshot)
    found = predict(inputs[ROWS] if snapshot.layer is None else inputs)
    check(content, snapshot, inputs, found["cluster_index"], found["all_distances"])
    try:
        files.remove_stale(os.path.dirname(file) or ".", re.escape(os.path.basename(file)), time.time())
        files.commit(file, lambda opened: opened.write(content))
    except OSError as error:
        raise ExportError(
            f"cannot write {file}: {error.strerror or error}. Free space there, or name a file in a folder that "
            "is there and can be written"
        ) from error
    return file


def graph_bytes(snapshot: Snapshot) -> bytes:
    """Return the ONNX file of a model.

    Raises
    ------
    ArgumentError
        A feature column is not numeric, or has a function of the user; the model is too large for the format.
    """
    onnx = extras.needed("onnx", "onnx", "an ONNX file")
    helper = onnx.helper
    layer = snapshot.layer
    k, dims = snapshot.centers.shape
    dtype = snapshot.centers.dtype
    if snapshot.centers.nbytes >= MOST_BYTES:
        raise ArgumentError(
            f"a model of {k} centers of {dims} columns exceeds the 2 GiB of an ONNX file; train a smaller one"
        )
    add = _Nodes(onnx, "kmeans")

    def value_info(name: str, kind: Any, shape: Sequence[int | str]) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)

    if layer is None:
        inputs = [value_info(ROWS, dtype, ["rows", dims])]
        rows = ROWS
    else:
        columns = _numeric_columns(layer)
        inputs = [value_info(column.key, np.float64, ["rows", column.size]) for column in columns]
        rows = add("Concat", *(_numbers(add, column) for column in columns), axis=1)
        dtype = np.promote_types(dtype, layer.dtype)
        rows = add.cast(rows, layer.dtype)
    distances, labels = _distances_and_labels(add, rows, snapshot, dtype)
    add.cast(distances, dtype, name=OUTPUTS[1])
    add("Identity", labels, name=OUTPUTS[0])
    outputs = [value_info(OUTPUTS[0], np.int64, ["rows"]), value_info(OUTPUTS[1], dtype, ["rows", k])]
    graph = helper.make_graph(add.nodes, "kmeans", inputs, outputs, add.constants)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # that of opset 17
        producer_name="macqueen",
        producer_version=snapshot.version,
    )
    properties = {"macqueen_version": snapshot.version, "metric": snapshot.metric, "step": str(snapshot.state.step)}
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _numeric_columns(layer: InputLayer) -> list[NumericColumn]:
    """Return the feature columns, all of which must be numeric."""
    found = [column for column in layer.columns if isinstance(column, NumericColumn)]
    for column in layer.columns:
        what = f"column {column.name!r} "
        if not isinstance(column, NumericColumn):
            raise ArgumentError(
                f"{what}is not numeric and cannot be exported to ONNX; use export_saved_model, or train on the rows "
                "that macqueen.feature_columns.InputLayer makes"
            )
        if not isinstance(column.normalizer_fn, Standardize | None):
            raise ArgumentError(
                f"{what}has the function {column.normalizer_fn!r}, which cannot be exported to ONNX; use "
                "fit_numeric(...)[key].column(), or export_saved_model"
            )
    return found


def _numbers(add: _Nodes, column: NumericColumn) -> str:
    """Return the values (n, size) float64 of a column."""
    found = column.key
    if column.default_value is not None:
        found = add("Where", add("IsNaN", found), add.constant(column.default_value, np.float64), found)
    if isinstance(column.normalizer_fn, Standardize):
        found = add("Sub", found, add.constant(column.normalizer_fn.mean, np.float64))
        found = add("Div", found, add.constant(column.normalizer_fn.scale, np.float64))
    return found


def _distances_and_labels(add: _Nodes, rows: str, snapshot: Snapshot, dtype: Any) -> tuple[str, str]:
    """Return distances (n, k) float64 and labels (n,): ties to the lowest index, -1 where the row is not finite."""
    centers = add.constant(snapshot.centers, snapshot.centers.dtype)
    if snapshot.metric == "cosine":
        found = _squared(add, _normalized(add, rows, dtype), _normalized(add, centers, dtype), snapshot)
        one, two = (add.constant(value, np.float64) for value in (1, 2))
        largest = add("ReduceMax", add("Abs", add.cast(rows, np.float64)), axes=[1], keepdims=1)
        is_zero = add("Equal", largest, add.constant(0, np.float64))
        found = add("Where", is_zero, one, add("Div", found, two))
    else:
        found = _squared(add, add.cast(rows, np.float64), add.cast(centers, np.float64), snapshot)
    total = add("ReduceSum", found, add.integers(1), keepdims=0)
    is_bad = add("Or", add("IsNaN", total), add("IsInf", total))
    return found, add("Where", is_bad, add.integers(-1), add("ArgMin", found, axis=1, keepdims=0))


def _normalized(add: _Nodes, rows: str, dtype: Any) -> str:
    """Return rows divided by their length, rounded to `dtype`, as float64; zero stays zero."""
    wide = add.cast(rows, np.float64)
    wide = _divided(add, wide, add("ReduceMax", add("Abs", wide), axes=[1], keepdims=1))  # squares cannot overflow
    wide = _divided(add, wide, add("Sqrt", add("ReduceSumSquare", wide, axes=[1], keepdims=1)))
    return add.cast(add.cast(wide, dtype), np.float64)


def _divided(add: _Nodes, rows: str, by: str) -> str:
    """Return rows divided by (n, 1), and as they are where that is 0."""
    is_zero = add("Equal", by, add.constant(0, np.float64))
    return add("Div", rows, add("Where", is_zero, add.constant(1, np.float64), by))


def _squared(add: _Nodes, rows: str, centers: str, snapshot: Snapshot) -> str:
    """Return squared distances (n, k) in difference form, a block of rows at a time: see `graph.squared`."""
    helper, onnx = add.onnx.helper, add.onnx
    k, dims = snapshot.centers.shape
    one = add.integers(1)
    n = add("Shape", rows, start=0, end=1)
    size = add("Max", add("Min", n, add.integers(snapshot.block)), one)
    blocks = add("Max", add("Div", add("Add", n, add("Sub", size, one)), size), one)
    padded = add("Mul", blocks, size)
    shape = add("Concat", add("Sub", padded, n), add.integers(dims), axis=0)
    zero = helper.make_tensor("zero", onnx.TensorProto.DOUBLE, [1], [0.0])
    filled = add("Concat", rows, add("ConstantOfShape", shape, value=zero), axis=0)
    stacked = add("Reshape", filled, add("Concat", blocks, size, add.integers(dims), axis=0))
    body = _Nodes(onnx, "block")
    apart = body("Unsqueeze", "block/rows", body.integers(1))
    body("ReduceSumSquare", body("Sub", apart, centers), name="block/distances", axes=[2], keepdims=0)
    double = onnx.TensorProto.DOUBLE
    block_graph = helper.make_graph(
        body.nodes,
        "block",
        [helper.make_tensor_value_info("block/rows", double, ["size", dims])],
        [helper.make_tensor_value_info("block/distances", double, ["size", k])],
        body.constants,
    )
    found = add("Scan", stacked, body=block_graph, num_scan_inputs=1)
    found = add("Reshape", found, add.integers(-1, k))
    return add("Slice", found, add.integers(0), n, add.integers(0))


def sample(snapshot: Snapshot) -> dict[str, NDArray[Any]]:
    """Return inputs of the graph: rows near centers, at random, far from the origin, and zero; missing values, too."""
    centers = snapshot.centers.astype(np.float64)
    count = max(1, min(SAMPLES, SAMPLED // centers.size))
    random = np.random.default_rng(0)
    low, high = centers.min(axis=0), centers.max(axis=0)
    extent = float((high - low).max()) or 1.0
    chosen = centers[random.integers(len(centers), size=count)]
    noise = random.normal(size=chosen.shape)
    kinds = [
        chosen + extent * 1e-3 * noise,
        low + (high - low) * random.random(chosen.shape),
        chosen + extent * 1e3 * noise,
        np.zeros((1, centers.shape[1])),
    ]
    most = 1e149 if snapshot.centers.dtype == np.float64 else 1e38  # larger ones are refused
    rows = np.clip(np.concatenate(kinds), -most, most)
    if snapshot.layer is None:
        return {ROWS: rows.astype(snapshot.centers.dtype)}
    found, begin = {}, 0
    for column in _numeric_columns(snapshot.layer):
        values = rows[:, begin : begin + column.size]
        begin += column.size
        if isinstance(column.normalizer_fn, Standardize):
            values = values * column.normalizer_fn.scale + column.normalizer_fn.mean
        if column.default_value is not None:
            values = np.where(random.random(values.shape) < 0.1, np.nan, values)
        found[column.key] = values
    return found


def check(
    content: bytes,
    snapshot: Snapshot,
    inputs: Mapping[str, NDArray[Any]],
    labels: NDArray[np.int64],
    distances: FloatArray,
) -> None:
    """Refuse a graph that does not give, on some inputs, the labels (n,) and distances (n, k) of the model itself.

    Distances may differ by 1e-5 of themselves and 1e-6 |x|², labels only where two distances are as good as equal.
    """
    runtime = extras.needed("onnxruntime", "onnx", "checking an ONNX file")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found_labels, found = session.run(list(OUTPUTS), dict(inputs))
    rows = inputs[ROWS] if snapshot.layer is None else snapshot.layer.rows(inputs)
    with np.errstate(over="ignore", invalid="ignore"):  # distances of float32 may be infinite, in both
        squares = (rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
        apart = np.abs(found.astype(np.float64) - distances) > 1e-5 * distances + 1e-6 * squares
        all_rows = np.arange(len(labels))
        ours, theirs = distances[all_rows, labels], distances[all_rows, found_labels]
        wrong = (labels != found_labels) & (np.abs(theirs - ours) > 1e-6 * ours)
    if apart.any() or wrong.any():
        raise ExportError(
            f"the ONNX graph does not say what the model says: {int(apart.sum())} distances and {int(wrong.sum())} "
            f"labels of {len(labels)} rows differ in onnxruntime {runtime.__version__}. Nothing was written; try "
            "another version of onnxruntime"
        )
