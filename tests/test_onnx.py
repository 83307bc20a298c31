"""ONNX files: one small graph, checked on save, read by onnxruntime alone."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

import macqueen
from macqueen import KMeans
from macqueen import feature_columns as fc
from macqueen.errors import ArgumentError, ExportError, NotTrainedError
from macqueen.exports.onnx import check
from tests.models import saved_each_step
from tests.served import check_served_alone


@pytest.fixture
def rows():
    return np.random.default_rng(3).normal(size=(300, 4)).astype(np.float32)


@pytest.fixture
def model(rows, tmp_path):
    return KMeans(5, tmp_path / "m", seed=1, use_mini_batch=False).train(rows, steps=3)


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path, **inputs):
    """Labels and distances."""
    return session(path).run(["cluster_index", "all_distances"], inputs)


def test_names_shapes_and_properties(model, tmp_path):
    path = model.export_onnx(tmp_path / "model.onnx")
    assert path == str(tmp_path / "model.onnx")
    found = session(path)
    assert [(one.name, one.shape, one.type) for one in found.get_inputs()] == [("input", ["rows", 4], "tensor(float)")]
    outputs = [("cluster_index", ["rows"], "tensor(int64)"), ("all_distances", ["rows", 5], "tensor(float)")]
    assert sorted((one.name, one.shape, one.type) for one in found.get_outputs()) == sorted(outputs)
    properties = {"macqueen_version": macqueen.__version__, "metric": "squared_euclidean", "step": "3"}
    assert found.get_modelmeta().custom_metadata_map == properties
    file = onnx.load(path)
    assert [(one.domain, one.version) for one in file.opset_import] == [("", 17)]
    assert len(file.graph.node) < 30
    onnx.checker.check_model(file, full_check=True)


def test_no_rows_one_row_and_equal_distances(tmp_path):
    centers = np.array([[0, 0], [2, 0], [2, 0], [0, 2]], np.float32)
    path = KMeans(4, tmp_path / "m", initial_clusters=centers).export_onnx(tmp_path / "model.onnx")
    labels, distances = run(path, input=np.empty((0, 2), np.float32))
    assert labels.shape == (0,)
    assert distances.shape == (0, 4)
    assert run(path, input=np.array([[2, 0]], np.float32))[0].tolist() == [1]
    assert run(path, input=np.array([[2, 0], [1, 1], [1, 0]], np.float32))[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("metric", ["squared_euclidean", "cosine"])
def test_rows_that_the_model_refuses_have_the_label_minus_1(tmp_path, metric):
    model = KMeans(3, tmp_path / "m", initial_clusters=np.eye(3, dtype=np.float32), distance_metric=metric)
    rows = np.array([[1, 0, np.nan], [np.inf, 0, 1], [0, 1, 0]], np.float32)
    assert run(model.export_onnx(tmp_path / "model.onnx"), input=rows)[0].tolist() == [-1, -1, 1]


def test_a_named_checkpoint(rows, tmp_path):
    model = KMeans(5, seed=1, use_mini_batch=False, config=saved_each_step(tmp_path / "m")).train(rows, steps=2)
    first = model.export_onnx(tmp_path / "first.onnx", checkpoint_path=tmp_path / "m" / "model.ckpt-0")
    last = model.export_onnx(tmp_path / "last.onnx")
    assert session(first).get_modelmeta().custom_metadata_map["step"] == "0"
    assert not np.array_equal(run(first, input=rows)[0], model.labels(rows))
    assert np.array_equal(run(last, input=rows)[0], model.labels(rows))


def test_numeric_columns_are_fed_raw(tmp_path):
    random = np.random.default_rng(1)
    table = {
        "age": np.where(random.random(500) < 0.1, np.nan, random.uniform(10, 90, 500)),
        "seen": 1.7e9 + random.uniform(0, 1e6, 500),
        "place": random.normal(size=(500, 2)),
    }
    numbers = fc.fit_numeric(table, ["age", "seen"])
    columns = [
        numbers["age"].column(default_value=numbers["age"].mean),
        numbers["seen"].column(),
        fc.numeric_column("place", shape=2),
    ]
    model = KMeans(6, tmp_path / "m", seed=1, use_mini_batch=False, feature_columns=columns).train(table, steps=4)
    path = model.export_onnx(tmp_path / "model.onnx")
    shapes = {one.name: (one.shape, one.type) for one in session(path).get_inputs()}
    assert shapes == {
        "age": (["rows", 1], "tensor(double)"),
        "place": (["rows", 2], "tensor(double)"),
        "seen": (["rows", 1], "tensor(double)"),
    }
    labels, distances = run(path, age=table["age"][:, None], seen=table["seen"][:, None], place=table["place"])
    assert np.array_equal(labels, model.labels(table))
    assert np.allclose(distances, list(model.transform(table)), rtol=1e-6)


CATEGORIES = fc.categorical_column_with_vocabulary_list("city", ["Rome", "Oslo"])
REFUSED = {
    "indicator": ([fc.indicator_column(CATEGORIES)], "column 'city_indicator' is not numeric"),
    "function": ([fc.numeric_column("age", normalizer_fn=np.log1p)], "column 'age' has the function <ufunc 'log1p'>"),
}


@pytest.mark.parametrize(("columns", "message"), REFUSED.values(), ids=REFUSED)
def test_columns_that_are_not_numeric_are_refused_by_name(columns, message, tmp_path):
    table = {"city": np.array(["Rome", "Oslo", "Rome"]), "age": np.array([1.0, 2.0, 3.0])}
    model = KMeans(2, tmp_path / "m", seed=1, use_mini_batch=False, feature_columns=columns).train(table, steps=1)
    with pytest.raises(ArgumentError, match=message):
        model.export_onnx(tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_graph_that_says_something_else_is_refused(model, rows, tmp_path):
    """The check can fail: by labels, and by distances."""
    path = model.export_onnx(tmp_path / "model.onnx")
    with open(path, "rb") as file:
        content = file.read()
    labels, distances = model.labels(rows), np.array(list(model.transform(rows)))
    snapshot = model._snapshot(model._reader())
    check(content, snapshot, {"input": rows}, labels, distances)
    with pytest.raises(ExportError, match="0 distances and 300 labels of 300 rows differ"):
        check(content, snapshot, {"input": rows}, distances.argmax(axis=1), distances)
    with pytest.raises(ExportError, match="300 distances and 0 labels"):
        check(content, snapshot, {"input": rows}, labels, distances + np.eye(5, dtype=np.float32)[0])


def test_no_trained_model_and_bad_paths(model, tmp_path):
    with pytest.raises(NotTrainedError, match="Could not find trained model"):
        KMeans(3, tmp_path / "n").export_onnx(tmp_path / "model.onnx")
    with pytest.raises(TypeError, match="path must be a path, got 3"):
        model.export_onnx(3)
    with pytest.raises(ExportError, match=r"cannot write .*No such file.*in a folder that is there"):
        model.export_onnx(tmp_path / "none" / "model.onnx")
    assert os.listdir(tmp_path) == ["m"]


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path):
    """The limit on file sizes makes the kernel refuse the write, as a full disk does."""
    code = """
import resource, sys, numpy as np, macqueen
from macqueen.errors import ExportError
centers = np.random.default_rng(0).normal(size=(500, 40))
model = macqueen.KMeans(500, sys.argv[1] + "/m", initial_clusters=centers)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    model.export_onnx(sys.argv[1] + "/model.onnx")
except ExportError as error:
    print(error)
"""
    (tmp_path / "model.onnx").write_bytes(b"the one before")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "File too large. Free space there" in done.stdout
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"the one before"


SERVE = """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    before = peak()
    labels, distances = session.run(["cluster_index", "all_distances"], {"input": rows})
    grown = peak() - before
"""


def test_a_process_without_macqueen_gives_the_same_labels_and_distances(tmp_path):
    check_served_alone(tmp_path, KMeans.export_onnx, "import onnxruntime", SERVE)
