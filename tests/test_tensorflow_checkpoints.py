"""`RunConfig(checkpoint_format="tensorflow")`: checkpoints that TensorFlow and the old class read, beside ours."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from macqueen import KMeans, RunConfig, feature_columns
from macqueen.errors import ArgumentError
from tests.crashes import crash_at
from tests.models import small_integers

ROWS = small_integers()
MODES = {
    "full batch": ({"use_mini_batch": False}, {}),
    "mini-batch": ({}, {"Variable": (np.int64, "cluster_counts")}),
    "three steps per iteration": (
        {"mini_batch_steps_per_iteration": 3},
        {
            "Variable": (np.int64, "cluster_counts"),
            "clusters_updated": (np.float32, "clusters_updated"),
            "update_in_steps": (np.int64, "update_in_steps"),
        },
    ),
}


def both(folder, **arguments):
    """A configuration that writes both formats."""
    return RunConfig(folder, checkpoint_format="tensorflow", **arguments)


def checkpoints(folder):
    return sorted(path.name for path in folder.iterdir() if "ckpt" in path.name)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("steps", [2, 3, 4])
def test_names_dtypes_and_values_are_those_of_the_old_class(tmp_path, mode, steps):
    arguments, more = MODES[mode]
    model = KMeans(4, seed=1, config=both(tmp_path), **arguments).train(ROWS, steps=steps)
    expected = {
        "clusters": (np.float32, "clusters"),
        "global_step": (np.int64, "global_step"),
        "initialized": (np.bool_, None),
        **more,
    }
    assert [name for name, _ in tf.train.list_variables(tmp_path)] == sorted(expected)
    for name, (dtype, ours) in expected.items():
        found = tf.train.load_variable(str(tmp_path), name)
        assert np.asarray(found).dtype == dtype
        np.testing.assert_array_equal(found, True if ours is None else model.get_variable_value(ours))


def test_tensorflow_and_we_find_the_same_latest_checkpoint(tmp_path):
    model = KMeans(4, config=both(tmp_path)).train(ROWS, steps=5)
    assert model.latest_checkpoint() == tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-5")
    assert tf.train.get_checkpoint_state(tmp_path).all_model_checkpoint_paths[0] == str(tmp_path / "model.ckpt-0")


def test_counts_begin_as_in_the_old_class(tmp_path):
    for steps, first in ((1, 1), (3, 0)):
        folder = tmp_path / str(steps)
        KMeans(4, config=both(folder), mini_batch_steps_per_iteration=steps).train(ROWS, steps=2)
        found = tf.train.load_variable(str(folder / "model.ckpt-0"), "Variable")
        np.testing.assert_array_equal(found, np.full(4, first))
    assert tf.train.load_variable(str(folder / "model.ckpt-0"), "update_in_steps") == 3


def test_float64_centers_are_rounded_there(tmp_path):
    model = KMeans(4, config=both(tmp_path)).train(ROWS.astype(np.float64) / 3, steps=5)
    assert model.cluster_centers().dtype == np.float64
    expected = model.cluster_centers().astype(np.float32)
    assert tf.train.load_variable(str(tmp_path), "clusters").tobytes() == expected.tobytes()


def test_weights_of_embeddings_are_there(tmp_path):
    words = feature_columns.categorical_column_with_vocabulary_list("word", ["a", "b", "c"])
    columns = [feature_columns.embedding_column(words, 2)]
    model = KMeans(2, config=both(tmp_path), feature_columns=columns, seed=1)
    model.train({"word": np.array(["a", "b", "c"])}, steps=1)
    name = "input_layer/word_embedding/embedding_weights"
    assert tf.train.load_variable(str(tmp_path), name).tobytes() == model.get_variable_value(name).tobytes()


def test_both_formats_are_retired_together(tmp_path):
    KMeans(4, config=both(tmp_path, save_checkpoints_steps=1, keep_checkpoint_max=2)).train(ROWS, steps=6)
    suffixes = ("data-00000-of-00001", "index", "safetensors")
    assert checkpoints(tmp_path) == [f"model.ckpt-{step}.{suffix}" for step in (5, 6) for suffix in suffixes]
    KMeans(4, config=RunConfig(tmp_path, save_checkpoints_steps=1, keep_checkpoint_max=2)).train(ROWS, steps=2)
    assert checkpoints(tmp_path) == ["model.ckpt-7.safetensors", "model.ckpt-8.safetensors"]


def test_a_crash_at_any_file_leaves_a_checkpoint_that_tensorflow_reads(tmp_path, monkeypatch):
    for number in range(1, 11):
        folder = tmp_path / str(number)
        config = both(folder, save_checkpoints_steps=1, keep_checkpoint_max=1)
        KMeans(4, seed=1, config=config).train(ROWS, steps=1)
        with crash_at(monkeypatch, number, ["replace"]) as seen:
            KMeans(4, config=config).train(ROWS, steps=3)
        assert len(seen) == number
        steps = tf.train.load_variable(str(folder), "global_step")
        assert steps == 1 + number // 5
        model = KMeans(4, config=config).train(ROWS, max_steps=4)
        assert tf.train.load_variable(str(folder), "clusters").tobytes() == model.cluster_centers().tobytes()
        assert len(checkpoints(folder)) == 3


def test_within_a_graph_of_the_caller_nothing_is_added_to_it(tmp_path):
    with tf.Graph().as_default() as graph:
        KMeans(4, config=both(tmp_path)).train(ROWS, steps=1)
        assert graph.get_operations() == []
    assert tf.train.load_variable(str(tmp_path), "global_step") == 1


@pytest.mark.parametrize("steps", range(1, 5))
def test_what_is_written_is_what_is_read(tmp_path, steps):
    """Our own files gone, the model goes on from those of TensorFlow."""
    arguments = {"mini_batch_steps_per_iteration": 3, "distance_metric": "cosine"}
    model = KMeans(4, seed=1, config=both(tmp_path), **arguments).train(ROWS, steps=steps)
    expected = {name: model.get_variable_value(name).tobytes() for name in model.get_variable_names()}
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    again = KMeans.from_tensorflow(tmp_path, **arguments)
    assert {name: again.get_variable_value(name).tobytes() for name in again.get_variable_names()} == expected


def test_other_formats_are_refused():
    with pytest.raises(ArgumentError, match="checkpoint_format must be one of 'safetensors', 'tensorflow'"):
        RunConfig(checkpoint_format="pickle")
    assert RunConfig().checkpoint_format == "safetensors"
