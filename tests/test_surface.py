"""docs/surface.md: each name of the old class's documentation has a row, and each row a test."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import macqueen
import macqueen.tf_estimator
from macqueen import KMeans, RunConfig
from tests.models import small_integers

ROOT = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| `(.+?)` \| (\w[\w ]*) \| (.*) \| `(\w+\.py)::(\w+)` \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "surface.md").read_text(encoding="utf-8"))

# What the page documents, in its order: arguments of the constructor and of the methods that have several.
CONSTRUCTOR = [
    "num_clusters",
    "model_dir",
    "initial_clusters",
    "distance_metric",
    "seed",
    "use_mini_batch",
    "mini_batch_steps_per_iteration",
    "kmeans_plus_plus_num_retries",
    "relative_tolerance",
    "config",
    "feature_columns",
]
PROPERTIES = ["config", "model_dir", "model_fn", "params"]
METHODS = {
    "cluster_centers": [],
    "eval_dir": ["name"],
    "evaluate": ["input_fn", "steps", "hooks", "checkpoint_path", "name"],
    "experimental_export_all_saved_models": None,
    "export_saved_model": None,
    "export_savedmodel": None,
    "get_variable_names": [],
    "get_variable_value": ["name"],
    "latest_checkpoint": [],
    "predict": ["input_fn", "predict_keys", "hooks", "checkpoint_path", "yield_single_examples"],
    "predict_cluster_index": ["input_fn"],
    "score": ["input_fn"],
    "train": ["input_fn", "hooks", "steps", "max_steps", "saving_listeners"],
    "transform": ["input_fn"],
}
CONSTANTS = [
    "ALL_DISTANCES",
    "CLUSTER_CENTERS_VAR_NAME",
    "CLUSTER_INDEX",
    "COSINE_DISTANCE",
    "KMEANS_PLUS_PLUS_INIT",
    "RANDOM_INIT",
    "SCORE",
    "SQUARED_EUCLIDEAN_DISTANCE",
]


def documented():
    """The names that must have a row."""
    names = [f"constructor: {name}" for name in CONSTRUCTOR] + [f"property {name}" for name in PROPERTIES]
    for method, arguments in METHODS.items():
        if arguments is None:
            names.append(f"{method}(...)")
        elif len(arguments) > 1:
            names += [f"{method}: {argument}" for argument in arguments]
        else:
            names.append(f"{method}({', '.join(arguments)})")
    return names + CONSTANTS


def test_every_name_has_one_row():
    names = [row[0] for row in ROWS]
    assert len(names) == len(set(names))
    assert set(documented()) <= set(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_how_and_names_a_test(row):
    _, status, how, file, function = row
    assert status in {"works", "differs", "not yet"}
    assert status == "works" or how
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_row_that_works_is_there():
    for name, status, *_ in ROWS:
        method, _, argument = name.partition(": ")
        if status != "not yet" and method in METHODS and argument in (METHODS[method] or []):
            assert argument in inspect.signature(getattr(KMeans, method)).parameters
    for name in PROPERTIES:
        assert isinstance(inspect.getattr_static(KMeans, name), property)
    for name in CONSTANTS:
        assert isinstance(getattr(KMeans, name), str)


def test_what_is_not_there_yet():
    assert not hasattr(macqueen, "convert_to_tensor")


def test_there_is_no_base_class():
    *own, last = KMeans.__mro__
    assert last is object
    assert all(part.__module__.startswith("macqueen.estimator.") for part in own)  # of this class alone
    assert not {base.__name__ for base in own[1:]} & set(macqueen.__all__)  # what it is put together from
    assert "Estimator" not in dir(macqueen)


def test_predict_with_a_named_checkpoint(tmp_path):
    rows = small_integers()
    config = RunConfig(tmp_path, save_checkpoints_steps=1, keep_checkpoint_max=None)
    model = KMeans(3, seed=1, batch_size=20, config=config).train(rows, steps=5)
    first = [row["cluster_index"] for row in model.predict(rows, checkpoint_path=str(tmp_path / "model.ckpt-0"))]
    last = [row["cluster_index"] for row in model.predict(rows)]
    assert first != last
    centers = macqueen.load_variable(tmp_path / "model.ckpt-0", "clusters")
    given = KMeans(3, initial_clusters=centers, config=RunConfig("x", save_summary_steps=0))
    assert np.array_equal(given.labels(rows), first)
