"""Programs as they were written for the old class, in its modes, metrics and contexts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import macqueen
from macqueen.errors import DataError, InputEndedError
from macqueen.tf_estimator import experimental
from tests.models import NOT_SAVED
from tests.tensors import ROWS, dataset, reading_threads, tf, tf1

ROOT = Path(__file__).resolve().parents[1]
DIRECTIONS = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
BLOBS = (DIRECTIONS + np.random.default_rng(1).normal(0, 0.05, (60, 3))).astype(np.float32) * 100
TRUE_CENTERS = np.eye(3, dtype=np.float32) * 100

MODES = {
    "full batch": {"use_mini_batch": False},
    "mini-batch": {"use_mini_batch": True},
    "several steps": {"use_mini_batch": True, "mini_batch_steps_per_iteration": 3},
}
METRICS = ["squared_euclidean", "cosine"]
CONTEXTS = {"graph": experimental.KMeans, "eager": macqueen.KMeans}

in_all_modes = pytest.mark.parametrize("mode", MODES)
in_both_metrics = pytest.mark.parametrize("metric", METRICS)
in_both_contexts = pytest.mark.parametrize("context", CONTEXTS)


def fed(rows, batch_size=None, num_epochs=None, shuffle=False, seed=2):
    """An input function as the tests of the old class had it: rows in batches, endless unless told otherwise."""

    def input_fn():
        made = tf.data.Dataset.from_tensor_slices(rows)
        if shuffle:
            made = made.shuffle(len(rows), seed=seed)
        return made.repeat(num_epochs).batch(batch_size or len(rows))

    return input_fn


def kmeans(context, mode, metric, clusters=3, config=NOT_SAVED, **arguments):
    return CONTEXTS[context](clusters, distance_metric=metric, config=config, seed=7, **{**MODES[mode], **arguments})


def gap(centers):
    """The distance of each true center to the nearest center found, the largest."""
    return np.sqrt(((TRUE_CENTERS[:, None] - centers[None]) ** 2).sum(2)).min(1).max()


# --- the document's example -----------------------------------------------------------------------------

EXAMPLE = """
import numpy as np
import tensorflow as tf
import macqueen.tf_estimator as estimator

num_points = 100
dimensions = 2
points = np.random.uniform(0, 1000, [num_points, dimensions])

def input_fn():
  return tf.compat.v1.train.limit_epochs(
      tf.convert_to_tensor(points, dtype=tf.float32), num_epochs=1)

num_clusters = 5
kmeans = estimator.experimental.KMeans(
    num_clusters=num_clusters, use_mini_batch=False)

# train
num_iterations = 10
previous_centers = None
for _ in range(num_iterations):
  kmeans.train(input_fn)
  cluster_centers = kmeans.cluster_centers()
  if previous_centers is not None:
    print('delta:', cluster_centers - previous_centers)
  previous_centers = cluster_centers
  print('score:', kmeans.score(input_fn))
print('cluster centers:', cluster_centers)

# map the input points to their clusters
cluster_indices = list(kmeans.predict_cluster_index(input_fn))
for i, point in enumerate(points):
  cluster_index = cluster_indices[i]
  center = cluster_centers[cluster_index]
  print('point:', point, 'is in cluster', cluster_index, 'centered at', center)
"""


def test_the_example_of_the_document_converges(capsys):
    names = {"__name__": "__main__"}
    exec(compile(EXAMPLE, "example", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    scores = [float(line.removeprefix("score:")) for line in lines if line.startswith("score:")]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert sum("is in cluster" in line for line in lines) == 100
    model, input_fn = names["kmeans"], names["input_fn"]
    assert model.get_variable_value("global_step") == 10
    for _ in range(60):
        before = model.cluster_centers()
        model.train(input_fn)
        if np.array_equal(before, model.cluster_centers()):
            break
    assert np.array_equal(before, model.cluster_centers())
    points = names["points"].astype(np.float32)
    distances = ((points[:, None].astype(np.float64) - before[None]) ** 2).sum(2)
    assert list(model.predict_cluster_index(input_fn)) == distances.argmin(1).tolist()


# --- initialisation -------------------------------------------------------------------------------------


@in_both_contexts
@in_all_modes
@in_both_metrics
def test_random_init_over_many_small_batches(context, mode, metric):
    """Five centers come from the first batches of one row; these are trained on as well."""
    model = kmeans(context, mode, metric, clusters=5).train(fed(ROWS, batch_size=1, num_epochs=1), steps=9)
    assert model.cluster_centers().shape == (5, 3)
    assert model.history()["step"].tolist() == list(range(1, 10))


@in_both_contexts
@in_all_modes
def test_plus_plus_with_a_batch_just_right(context, mode):
    rows = ROWS[:5]
    model = kmeans(context, mode, METRICS[0], clusters=5, initial_clusters="kmeans_plus_plus")
    model.train(fed(rows), steps=1)
    assert sorted(model.cluster_centers().tolist()) == sorted(rows.tolist())


@in_both_contexts
@in_all_modes
def test_plus_plus_with_a_batch_too_small(context, mode):
    model = kmeans(context, mode, METRICS[0], clusters=6, initial_clusters="kmeans_plus_plus")
    with pytest.raises(DataError, match="num_clusters=6 needs at least as many rows, but the first batch has 5"):
        model.train(fed(ROWS[:5]), steps=1)
    assert reading_threads() == []


@in_both_contexts
def test_an_input_that_ends_during_initialisation(context):
    with pytest.raises(InputEndedError, match="after 4 of 5 initial centers"):
        kmeans(context, "mini-batch", METRICS[0], clusters=5).train(fed(ROWS[:4], batch_size=1, num_epochs=1))


# --- training -------------------------------------------------------------------------------------------


@in_both_contexts
@in_all_modes
@in_both_metrics
def test_fit_lowers_the_score(context, mode, metric):
    size = None if mode == "full batch" else 20
    input_fn = fed(BLOBS, size, shuffle=size is not None)
    model = kmeans(context, mode, metric).train(input_fn, steps=1)
    first = model.evaluate(fed(BLOBS, num_epochs=1))["score"]
    model.train(input_fn, steps=30)
    assert model.evaluate(fed(BLOBS, num_epochs=1))["score"] <= first


@in_both_contexts
@in_all_modes
def test_fit_finds_the_clusters(context, mode):
    size = None if mode == "full batch" else 30
    model = kmeans(context, mode, METRICS[0], initial_clusters="kmeans_plus_plus", kmeans_plus_plus_num_retries=5)
    model.train(fed(BLOBS, size, shuffle=size is not None), steps=40)
    assert gap(model.cluster_centers()) < 6


@in_both_contexts
@in_both_metrics
def test_relative_tolerance_ends_an_endless_input(context, metric):
    model = kmeans(context, "full batch", metric, relative_tolerance=1e-4).train(fed(BLOBS))
    assert 1 < len(model.history()["step"]) < 60
    assert reading_threads() == []


@in_both_contexts
def test_steps_of_several_calls_add_up(context, tmp_path):
    config = macqueen.RunConfig(tmp_path, save_summary_steps=0)
    model = kmeans(context, "mini-batch", METRICS[0], config=config)
    for _ in range(3):
        model.train(fed(BLOBS, 20), steps=4)
    assert model.get_variable_value("global_step") == 12
    model.train(fed(BLOBS, 20), max_steps=14)
    assert model.get_variable_value("global_step") == 14


@in_all_modes
@in_both_metrics
def test_graph_eager_and_numpy_have_the_same_bits(mode, metric):
    def numpy_batches():
        return iter([ROWS[at : at + 48] for at in range(0, 240, 48)])

    found = [kmeans(context, mode, metric).train(fed(ROWS, 48, num_epochs=1)) for context in CONTEXTS]
    found.append(kmeans("eager", mode, metric).train(numpy_batches))
    assert len({model.cluster_centers().tobytes() for model in found}) == 1
    assert [len(model.history()["step"]) for model in found] == [5, 5, 5]


# --- reading --------------------------------------------------------------------------------------------


@in_both_contexts
@in_all_modes
@in_both_metrics
def test_reading_agrees_with_numpy(context, mode, metric):
    model = kmeans(context, mode, metric).train(fed(BLOBS, 20), steps=9)
    once = fed(ROWS, 50, num_epochs=1)
    labels = list(model.predict_cluster_index(once))
    assert labels == model.labels(ROWS).tolist()
    assert np.array_equal(list(model.transform(once)), list(model.transform(ROWS)))
    distances = [row["all_distances"] for row in model.predict(once)]
    assert np.array_equal(np.argmin(distances, axis=1), labels)
    assert model.score(fed(ROWS)) == model.score(ROWS)
    in_batches = model.evaluate(once)
    assert in_batches["num_examples"] == len(ROWS)
    assert in_batches["sum_of_squared_distances"] == model.evaluate(ROWS)["sum_of_squared_distances"]
    assert model.evaluate(once, steps=2)["num_examples"] == 100


# --- dicts ----------------------------------------------------------------------------------------------


def named(rows):
    return {"x": rows[:, 0], "y": rows[:, 1], "z": rows[:, 2]}


@in_both_contexts
@in_all_modes
def test_dict_features_with_and_without_columns(context, mode):
    columns = [tf.feature_column.numeric_column(name) for name in ("z", "x", "y")]
    input_fn = fed(named(ROWS), 40, num_epochs=1)
    found = [
        kmeans(context, mode, METRICS[0]).train(fed(ROWS, 40, num_epochs=1)),
        kmeans(context, mode, METRICS[0]).train(input_fn),
        kmeans(context, mode, METRICS[0], feature_columns=columns).train(input_fn),
    ]
    assert len({model.cluster_centers().tobytes() for model in found}) == 1


# --- queues ---------------------------------------------------------------------------------------------


def shuffled_queue(num_epochs=None):
    def input_fn():
        rows = tf1.train.slice_input_producer([BLOBS], num_epochs=num_epochs)
        return tf1.train.shuffle_batch(rows, 20, capacity=60, min_after_dequeue=20, num_threads=2)

    return input_fn


@in_both_contexts
@in_all_modes
def test_queues_do_not_deadlock(context, mode):
    model = kmeans(context, mode, METRICS[0])
    model.train(shuffled_queue(), steps=20)
    model.train(shuffled_queue(num_epochs=4))
    assert len(model.history()["step"]) == 20 + 12
    assert model.evaluate(shuffled_queue(num_epochs=1))["num_examples"] == 60
    assert len(list(model.predict_cluster_index(shuffled_queue(num_epochs=1)))) == 60
    assert reading_threads() == []


# --- over much data, and without eager execution: a process of its own --------------------------------------

PIPELINE_MB, BATCH_ROWS, DIMS = 256, 1 << 14, 16


def pipeline(megabytes=PIPELINE_MB):
    """Float32 rows that nobody holds as a whole."""
    made = tf.data.Dataset.range(megabytes * 1_000_000 // (BATCH_ROWS * DIMS * 4))
    return made.map(lambda number: tf.random.stateless_uniform([BATCH_ROWS, DIMS], [1, number]))


def growth(kind):
    """MiB that a training over the long pipeline adds to the peak of one over a short one, and its steps."""
    model = kind(8, seed=1, config=NOT_SAVED).train(lambda: pipeline(32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.train(pipeline)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"MiB": grown, "steps": len(model.history()["step"])}


def program():
    """What the process of its own does, first eagerly, then without eager execution."""
    told = {"loaded": "tensorflow" in sys.modules}
    first = experimental.KMeans(3, seed=1, config=NOT_SAVED).train(shuffled_queue(num_epochs=1))
    told["first"] = len(first.history()["step"])
    told["eager"] = [tf.executing_eagerly(), growth(macqueen.KMeans)]
    eager = experimental.KMeans(3, seed=1, config=NOT_SAVED).train(dataset)

    tf1.disable_v2_behavior()
    told["graph"] = [tf.executing_eagerly(), growth(experimental.KMeans)]
    models = [eager, *(kind(3, seed=1, config=NOT_SAVED).train(dataset) for kind in CONTEXTS.values())]
    told["bits"] = len({model.cluster_centers().tobytes() for model in models})
    told["left"] = len(tf1.get_default_graph().get_operations())
    chosen = experimental.KMeans(tf.constant(3), initial_clusters=lambda rows, k: tf.constant(rows)[:k])
    told["chosen"] = chosen.train(dataset).cluster_centers().shape
    sys.stdout.write(json.dumps(told))


@pytest.fixture(scope="module")
def told():
    """What a process says that has not loaded TensorFlow and disables its second version."""
    command = [sys.executable, "-c", "from tests.test_tensorflow_programs import program; program()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_function_may_be_the_first_to_import_tensorflow(told):
    assert (told["loaded"], told["first"]) == (False, 3)


def test_memory_stays_flat_over_a_long_pipeline(told):
    for eagerly, context in ((True, "eager"), (False, "graph")):
        executing, found = told[context]
        assert executing == eagerly
        assert found["steps"] * BATCH_ROWS * DIMS * 4 > PIPELINE_MB * 1e6
        assert found["MiB"] < 60


def test_without_eager_execution_all_is_the_same(told):
    assert told["bits"] == 1
    assert told["left"] == 0  # nothing was made in the program's own graph
    assert told["chosen"] == [3, 3]
