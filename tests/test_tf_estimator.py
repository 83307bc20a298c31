"""`import macqueen.tf_estimator as estimator` is the one changed line of an old program."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import macqueen
import macqueen.tf_estimator as estimator
from macqueen import KMeans, load_variable
from macqueen.errors import ArgumentError
from tests.models import in_memory, small_integers

ROWS = small_integers()

TENSORFLOW = [
    "BestExporter",
    "CheckpointSaverHook",
    "CheckpointSaverListener",
    "EstimatorSpec",
    "EvalSpec",
    "Exporter",
    "FinalExporter",
    "FinalOpsHook",
    "LatestExporter",
    "LoggingTensorHook",
    "ModeKeys",
    "NanLossDuringTrainingError",
    "NanTensorHook",
    "RunConfig",
    "SecondOrStepTimer",
    "SessionRunArgs",
    "SessionRunContext",
    "SessionRunHook",
    "SessionRunValues",
    "StepCounterHook",
    "StopAtStepHook",
    "TrainSpec",
    "experimental",
    "export",
    "graph_input",
    "inputs",
    "install",
    "train_and_evaluate",
]


def test_names_are_those_of_tensorflow():
    assert estimator.__all__ == TENSORFLOW
    assert all(hasattr(estimator, name) for name in estimator.__all__)
    assert issubclass(estimator.experimental.KMeans, KMeans)
    assert {"numpy_input_fn", "pandas_input_fn"} <= set(estimator.inputs.__all__)
    assert not hasattr(estimator, "Estimator")


def test_importing_the_library_leaves_it_out():
    code = "import macqueen, sys; assert not [name for name in sys.modules if 'tf_estimator' in name]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_whole_program(tmp_path):
    """As it was written for the old class."""
    points = np.random.default_rng(0).uniform(0, 1000, [100, 2]).astype(np.float32)
    input_fn = estimator.inputs.numpy_input_fn(points, batch_size=100, num_epochs=1, shuffle=False)
    config = estimator.RunConfig(model_dir=str(tmp_path), tf_random_seed=1, save_summary_steps=5)
    kmeans = estimator.experimental.KMeans(num_clusters=5, use_mini_batch=False, config=config)
    scores = []
    for _ in range(10):
        kmeans.train(input_fn)
        scores.append(kmeans.score(input_fn))
    assert scores == sorted(scores, reverse=True)
    cluster_indices = list(kmeans.predict_cluster_index(input_fn))
    nearest = np.argmin(((points[:, None] - kmeans.cluster_centers()) ** 2).sum(axis=2), axis=1)
    assert cluster_indices == nearest.tolist()
    assert np.array_equal(load_variable(kmeans.model_dir, kmeans.CLUSTER_CENTERS_VAR_NAME), kmeans.cluster_centers())


# --- model_fn ---------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    """Return a trained model on disk."""
    return KMeans(3, tmp_path, seed=1).train(ROWS, steps=3)


MODES = [estimator.ModeKeys.TRAIN, estimator.ModeKeys.EVAL, estimator.ModeKeys.PREDICT]


@pytest.mark.parametrize("mode", MODES)
def test_model_fn_evaluates_a_batch(model, mode):
    spec = model.model_fn(ROWS[:50], None, mode, model.config)
    assert isinstance(spec, estimator.EstimatorSpec)
    assert spec.mode == mode
    assert spec.loss == spec.eval_metric_ops["score"][0] == model.score(ROWS[:50])
    assert spec.predictions["cluster_index"].tolist() == model.labels(ROWS[:50]).tolist()
    assert np.array_equal(spec.predictions["all_distances"], list(model.transform(ROWS[:50])))
    assert set(spec.export_outputs) == {"all_distances", "cluster_index", "serving_default"}
    assert spec.export_outputs["serving_default"] is spec.predictions["cluster_index"]


def test_model_fn_changes_nothing(model, tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    model.model_fn(features=ROWS, labels=None, mode="train", config=None)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert model.get_variable_value("global_step") == 3


def test_model_fn_takes_named_columns(model):
    features = {"a": ROWS[:, 0], "b": ROWS[:, 1:]}
    assert model.model_fn(features, None, "eval", None).loss == model.score(ROWS)


def test_model_fn_refuses_other_modes(model):
    with pytest.raises(ArgumentError, match="mode must be one of 'train', 'eval', 'infer', got 'test'"):
        model.model_fn(ROWS, None, "test", None)


# --- EstimatorSpec, ModeKeys ------------------------------------------------------------------------------


def test_mode_keys():
    assert MODES == ["train", "eval", "infer"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "infer"}, "Missing predictions"),
        ({"mode": "train"}, "Missing loss"),
        ({"mode": "eval", "predictions": {}}, "Missing loss"),
        ({"mode": "other"}, "mode must be one of"),
    ],
)
def test_a_spec_has_what_its_mode_requires(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        estimator.EstimatorSpec(**arguments)


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_input_functions_are_told_the_mode(mode):
    seen = []

    def input_fn(mode, params, config):
        seen.append((mode, params, config))
        return ROWS

    model = in_memory(3).train(ROWS, steps=1)
    {"train": model.train, "eval": model.evaluate, "infer": lambda rows: next(model.predict(rows))}[mode](input_fn)
    assert seen == [(mode, {}, model.config)]


def test_all_public_names_are_documented():
    for module in (estimator, macqueen, macqueen.feature_columns, macqueen.hooks):
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and thing.__module__.startswith("macqueen"):
                assert thing.__doc__, name
