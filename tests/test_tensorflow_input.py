"""How an input function of TensorFlow's runs, what it may return, and how its errors arrive."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import numpy as np
import pytest

import macqueen
from macqueen.errors import ArgumentTypeError, DataError, EmptyInputError, InputReadError, MissingExtraError
from macqueen.tf_estimator import experimental, graph_input
from macqueen.tf_estimator.constants import constant_batches
from tests.models import NOT_SAVED
from tests.tensors import BATCH, ROWS, batches, dataset, reading_threads, tf, tf1

CLASSES = [experimental.KMeans, macqueen.KMeans]
both_classes = pytest.mark.parametrize("kind", CLASSES, ids=["old", "macqueen"])


def model_of(kind, **arguments):
    return kind(4, seed=1, config=NOT_SAVED, **arguments)


def trained(kind, input_fn, steps=None, **arguments):
    return model_of(kind, **arguments).train(input_fn, steps=steps)


def step_of(model):
    return len(model.history()["step"])


def expected():
    return trained(macqueen.KMeans, batches)


def limited():
    return tf1.train.limit_epochs(tf.convert_to_tensor(ROWS), num_epochs=2)


def queued(num_epochs=1):
    rows = tf1.train.slice_input_producer([ROWS], num_epochs=num_epochs, shuffle=False)
    return tf1.train.batch(rows, batch_size=BATCH)


def one_shot():
    return tf1.data.make_one_shot_iterator(dataset()).get_next()


def initializable():
    return tf1.data.make_initializable_iterator(dataset()).get_next()


def called_back():
    read = batches()
    rows = tf1.py_func(lambda: next(read), [], tf.float32)
    rows.set_shape([None, 3])
    return rows


# --- eagerly or in a graph ------------------------------------------------------------------------------


def modes_seen(kind, returned, wrap=lambda function: function):
    seen = []

    def input_fn():
        seen.append(tf.executing_eagerly())
        return returned()

    trained(kind, wrap(input_fn), steps=2)
    return seen


def test_the_old_class_calls_once_and_in_a_graph():
    assert modes_seen(experimental.KMeans, dataset) == [False]
    assert modes_seen(experimental.KMeans, lambda: ROWS) == [False]


def test_macqueen_calls_once_and_eagerly():
    assert modes_seen(macqueen.KMeans, dataset) == [True]
    assert modes_seen(macqueen.KMeans, lambda: ROWS) == [True]


def test_macqueen_calls_again_in_a_graph_what_needs_one():
    assert modes_seen(macqueen.KMeans, queued) == [True, False]
    assert modes_seen(macqueen.KMeans, initializable) == [True, False]


def test_an_input_that_is_wrapped_is_called_in_a_graph():
    assert modes_seen(macqueen.KMeans, dataset, graph_input) == [False]
    with pytest.raises(ArgumentTypeError, match="must be a function, got ndarray"):
        graph_input(ROWS)


def test_without_tensorflow_the_two_classes_are_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it were not installed
    found = [trained(kind, batches).cluster_centers().tobytes() for kind in CLASSES]
    assert found[0] == found[1]
    with pytest.raises(MissingExtraError, match=r"pip install 'macqueen\[tensorflow\]'"):
        graph_input(batches)


def test_another_error_of_the_function_is_its_own():
    def input_fn():
        raise ValueError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        trained(macqueen.KMeans, input_fn)


@both_classes
def test_a_function_may_ask_for_mode_config_and_params(kind):
    seen = []

    def input_fn(mode, config, params):
        seen.append((mode, config.tf_random_seed, params))
        return dataset()

    model = kind(4, config=NOT_SAVED.replace(tf_random_seed=3)).train(input_fn)
    model.evaluate(input_fn)
    model.labels(input_fn)
    assert seen == [("train", 3, {}), ("eval", 3, {}), ("infer", 3, {})]


# --- what it may return ---------------------------------------------------------------------------------

STREAMS = {
    "dataset": dataset,
    "dataset of pairs": lambda: dataset().map(lambda rows: (rows, rows[:, 0])),
    "dataset of dicts": lambda: dataset().map(lambda rows: {"b": rows[:, 1:], "a": rows[:, 0]}),
    "queue": queued,
    "initializable iterator": initializable,
}
GRAPH_STREAMS = {
    "one-shot iterator": one_shot,
    "iterator of pairs": lambda: (one_shot(), None),
    "list of features and None": lambda: [one_shot(), None],
    "dict of tensors": lambda: dict(zip("ab", tf.split(one_shot(), [1, 2], axis=1), strict=True)),
    "py_func": called_back,
}


@both_classes
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_gives_the_bits_of_its_batches(kind, name):
    model = trained(kind, STREAMS[name])
    assert step_of(model) == 6
    assert model.cluster_centers().tobytes() == expected().cluster_centers().tobytes()
    assert reading_threads() == []


@pytest.mark.parametrize("name", GRAPH_STREAMS)
def test_a_stream_of_a_graph_gives_the_bits_of_its_batches(name):
    model = trained(experimental.KMeans, GRAPH_STREAMS[name])
    assert step_of(model) == 6
    assert model.cluster_centers().tobytes() == expected().cluster_centers().tobytes()


@both_classes
def test_a_dataset_made_outside_is_iterated_eagerly(kind):
    made = dataset()
    for given in (made, lambda: made):
        assert trained(kind, given).cluster_centers().tobytes() == expected().cluster_centers().tobytes()


@both_classes
def test_in_a_graph_of_the_caller_as_well(kind):
    outside = dataset()
    with tf.Graph().as_default() as graph:
        inside = dataset()
        found = [trained(kind, given) for given in (outside, inside, dataset)]
        assert graph is tf1.get_default_graph()
    assert {model.cluster_centers().tobytes() for model in found} == {expected().cluster_centers().tobytes()}


@both_classes
def test_tensors_of_a_graph_that_the_function_made_are_read_in_it(kind):
    def input_fn():
        with tf.Graph().as_default():
            return queued()

    assert trained(kind, input_fn).cluster_centers().tobytes() == expected().cluster_centers().tobytes()
    assert reading_threads() == []


def test_a_dataset_declared_to_be_readable_again_is_a_data_set():
    model = trained(macqueen.KMeans, macqueen.inputs.Dataset(dataset()), use_mini_batch=False)
    same = trained(macqueen.KMeans, ROWS, use_mini_batch=False)
    assert model.cluster_centers().tobytes() == same.cluster_centers().tobytes()
    assert step_of(model) == step_of(same)


def test_limit_epochs_ends_a_stream_of_the_old_class():
    model = trained(experimental.KMeans, limited, use_mini_batch=False)
    assert step_of(model) == 2
    assert model.score(limited) == model.score(ROWS)


def limited_dict():
    return {"b": tf1.train.limit_epochs(ROWS[:, 1:], 3), "a": tf1.train.limit_epochs(tf.constant(ROWS[:, :1]), 2)}


def limited_by_another():
    with tf.control_dependencies([limited()]):
        return tf.identity(tf.constant(ROWS))


def limited_by_a_variable_of_the_user():
    passed = tf1.get_local_variable("passed", [], tf.int64, tf1.constant_initializer(7), use_resource=False)
    with tf.control_dependencies([passed.count_up_to(9)]):
        return tf.identity(tf.constant(ROWS))


def limited_without_resources():
    tf1.disable_resource_variables()
    try:
        return limited()
    finally:
        tf1.enable_resource_variables()


LIMITED = {limited: True, limited_dict: True, limited_without_resources: True}
LIMITED |= {limited_by_another: False, limited_by_a_variable_of_the_user: False}


@pytest.mark.parametrize("returned", LIMITED)
def test_limit_epochs_of_a_constant_needs_no_session(returned, caplog):
    with tf.Graph().as_default():
        tensors = returned()
        found = {constant_batches(one) is not None for one in tf.nest.flatten(tensors)}
    assert found == {LIMITED[returned]}
    model = model_of(experimental.KMeans, initial_clusters=ROWS[:4], use_mini_batch=False).train(returned)
    assert step_of(model) == 2
    same = trained(macqueen.KMeans, ROWS, steps=2, initial_clusters=ROWS[:4], use_mini_batch=False)
    assert model.cluster_centers().tobytes() == same.cluster_centers().tobytes()
    assert len(list(model.predict_cluster_index(returned))) == 2 * len(ROWS)
    assert "predict yields forever" not in caplog.text


def test_a_graph_without_queues_starts_none(caplog):
    tf.get_logger().addHandler(caplog.handler)
    try:
        trained(experimental.KMeans, one_shot)
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert "queue" not in caplog.text


@pytest.mark.parametrize("where", ["inside", "outside", "dict"])
def test_a_constant_is_an_endless_stream_of_the_old_class(where, caplog):
    outside = tf.constant(ROWS)
    returned = {"inside": lambda: tf.constant(ROWS), "outside": lambda: outside, "dict": lambda: {"a": outside}}[where]
    model = trained(experimental.KMeans, returned, steps=9, use_mini_batch=False)
    assert step_of(model) == 9
    assert model.evaluate(returned, steps=3)["num_examples"] == 3 * len(ROWS)
    with caplog.at_level(logging.WARNING, logger="macqueen"):
        labels = model.predict_cluster_index(returned)
        assert len([next(labels) for _ in range(len(ROWS) + 1)]) == len(ROWS) + 1
    assert "predict yields forever" in caplog.text


def test_an_eager_tensor_is_a_data_set_of_macqueen():
    model = trained(macqueen.KMeans, lambda: (tf.constant(ROWS), None), use_mini_batch=False)
    same = trained(macqueen.KMeans, ROWS, use_mini_batch=False)
    assert step_of(model) == step_of(same) > 2
    assert model.cluster_centers().tobytes() == same.cluster_centers().tobytes()


@both_classes
def test_an_eager_tensor_passed_as_it_is_is_a_data_set(kind):
    tensor = tf.constant(ROWS)
    found = [trained(kind, tensor, use_mini_batch=False)]
    with tf.Graph().as_default():
        found.append(trained(kind, tensor, use_mini_batch=False))
    assert {step_of(model) for model in found} == {step_of(trained(kind, ROWS, use_mini_batch=False))}


def test_what_is_not_tensorflows_is_as_ever():
    arrays = trained(experimental.KMeans, lambda: ROWS, use_mini_batch=False)
    assert (
        arrays.cluster_centers().tobytes()
        == trained(macqueen.KMeans, ROWS, use_mini_batch=False).cluster_centers().tobytes()
    )
    streams = trained(experimental.KMeans, batches)
    assert streams.cluster_centers().tobytes() == expected().cluster_centers().tobytes()


def test_a_batch_of_tensorflow_is_read_where_it_lies():
    """No copy: the array that arrives is the tensor's own memory, which nobody may write."""
    from macqueen.tf_estimator.graph_input import readable

    tensor = tf.constant(ROWS)
    made = tf.data.Dataset.from_tensors(tensor)
    arguments = {"called": True, "graph_seed": None, "mode": "train", "named_columns": False}
    with readable(lambda: tensor, in_graph=True, **arguments) as items:
        assert np.shares_memory(next(items), np.asarray(tensor))
    with readable(lambda: made, in_graph=False, **arguments) as items:
        assert not next(items).flags.owndata


def test_the_graph_has_the_seed_of_the_configuration():
    def shuffled():
        return dataset().unbatch().shuffle(len(ROWS)).batch(BATCH)

    config = NOT_SAVED.replace(tf_random_seed=5)
    one, two = (experimental.KMeans(4, config=config).train(shuffled, steps=1) for _ in range(2))
    assert one.cluster_centers().tobytes() == two.cluster_centers().tobytes()


# --- the end --------------------------------------------------------------------------------------------


@both_classes
@pytest.mark.parametrize("returned", [lambda: queued(None), lambda: dataset().repeat()], ids=["queue", "dataset"])
def test_an_early_stop_leaves_no_thread(kind, returned):
    model = trained(kind, returned, steps=3)
    model.score(returned)
    predictions = model.predict(returned)
    next(predictions)
    assert reading_threads() != []
    predictions.close()
    assert reading_threads() == []


def test_the_input_runs_ahead_of_the_step_by_a_bounded_number_of_batches():
    made, ahead, two_more = [], [], threading.Event()

    def count(rows):
        made.append(1)
        if len(made) >= 3:
            two_more.set()
        return rows

    def input_fn():  # tf.data would have buffers of its own
        return tf.ensure_shape(tf1.py_func(lambda: count(ROWS[:BATCH]), [], tf.float32), [BATCH, 3])

    def hook(state, stats, now):
        assert two_more.wait(30)
        ahead.append(len(made) - state.step)

    model_of(macqueen.KMeans, initial_clusters=ROWS[:4]).train(graph_input(input_fn), steps=30, hooks=[hook])
    assert len(ahead) == 30
    assert max(ahead) <= 4


def test_an_error_of_a_hook_ends_the_reading():
    def hook(state, stats, now):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model_of(experimental.KMeans).train(lambda: queued(None), hooks=[hook])
    assert reading_threads() == []


# --- bad input ------------------------------------------------------------------------------------------


def failing_after(good):
    made = []

    def read():
        made.append(1)
        if len(made) > good:
            raise KeyError("row 17 of the file")
        return ROWS[:BATCH]

    return read


def failing_dataset(good):
    read = failing_after(good)
    return tf.data.Dataset.range(9).map(lambda number: tf.numpy_function(read, [], tf.float32))


def failing_graph(good):
    rows = tf1.py_func(failing_after(good), [], tf.float32)
    return tf.ensure_shape(rows, [BATCH, 3])


def failing_queue(good):
    return tf1.train.batch([failing_graph(good)], BATCH, enqueue_many=True)


FAILING = {
    "dataset": (failing_dataset, CLASSES),
    "graph": (failing_graph, CLASSES[:1]),
    "queue": (failing_queue, CLASSES),
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, (_, kinds) in FAILING.items() for kind in kinds])
def test_a_pipeline_that_fails_says_so_and_costs_no_checkpoint(name, kind, tmp_path):
    config = macqueen.RunConfig(tmp_path, save_checkpoints_steps=2, save_summary_steps=0)
    model = kind(4, seed=1, config=config)
    with pytest.raises(InputReadError, match=r"pipeline failed: .*row 17 of the file.*last checkpoint") as caught:
        model.train(lambda: FAILING[name][0](5))
    assert isinstance(caught.value.__cause__, tf.errors.OpError)
    assert model.get_variable_value("global_step") == 4
    assert reading_threads() == []


@both_classes
def test_an_error_of_a_pipeline_names_no_places_in_a_graph(kind):
    def input_fn():
        numbers = tf.data.Dataset.range(9)
        return numbers.map(lambda at: tf.debugging.check_numerics(ROWS[:BATCH] / tf.cast(at, tf.float32), "row 17"))

    with pytest.raises(InputReadError, match=r"row 17 : Tensor had (Inf|NaN)[^{\[]*values\. The model is") as caught:
        trained(kind, input_fn)
    assert "{{" not in str(caught.value)


def test_a_tuple_of_three_tensors_of_a_graph_is_refused():
    with pytest.raises(ArgumentTypeError, match=r"\(features, labels\) as a len 2 tuple, got 3 tensors"):
        trained(experimental.KMeans, lambda: (tf.constant(ROWS),) * 3)


REFUSED = {
    "strings": (lambda: tf.constant([["a"]]), "got a tensor of strings. Convert it with tf.strings.to_number"),
    "dataset of strings": (lambda: tf.data.Dataset.from_tensors([["a"]]), "tensor of strings"),
    "dict of strings": (lambda: {"name": tf.constant([["a"]])}, "feature 'name', must hold numbers"),
    "sparse": (lambda: tf.sparse.from_dense(ROWS), r"SparseTensor. Return tf.sparse.to_dense\(x\)"),
    "sparse dataset": (lambda: tf.data.Dataset.from_tensors(tf.sparse.from_dense(ROWS)), "SparseTensor"),
    "ragged": (lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]), r"RaggedTensor. Return x.to_tensor\(\)"),
    "changing width": (
        lambda: tf.data.Dataset.from_generator(lambda: iter([ROWS, ROWS[:, :2]]), tf.float32),
        "batch 1 of the input must have as many columns as batch 0, 3, got 2",
    ),
    "complex": (lambda: tf.data.Dataset.from_tensors(ROWS + 1j), "real numbers, got dtype complex"),
}


@both_classes
@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_before_a_step(kind, name):
    returned, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        trained(kind, returned, initial_clusters="kmeans_plus_plus" if name != "changing width" else "random")
    assert reading_threads() == []


@both_classes
def test_an_empty_dataset_is_refused(kind):
    for given in (lambda: dataset().take(0), lambda: dataset().map(lambda rows: rows[:0])):
        with pytest.raises(EmptyInputError):
            trained(kind, given)


def test_nan_is_named_by_row_and_column():
    rows = ROWS.copy()
    rows[50, 2] = np.nan
    with pytest.raises(DataError, match="batch 1, row 10, column 2"):
        trained(experimental.KMeans, lambda: tf.data.Dataset.from_tensor_slices(rows).batch(BATCH))


FIRST_TO_IMPORT = """
import sys
import numpy as np
import macqueen

calls = []

def input_fn():
    calls.append(1)
    import tensorflow as tf
    if len(sys.argv) > 1:
        raise KeyError("mine")
    return tf.data.Dataset.from_tensor_slices(np.arange(12, dtype=np.float32).reshape(6, 2)).batch(3)

assert "tensorflow" not in sys.modules
try:
    model = macqueen.KMeans(2, seed=1).train(input_fn)
    assert model.get_variable_value("global_step") == 2
except KeyError as error:
    assert len(sys.argv) > 1 and error.args == ("mine",)
assert len(calls) == 1, calls
"""


@pytest.mark.parametrize("arguments", [[], ["fails"]])
def test_a_function_that_is_the_first_to_import_tensorflow_is_called_once(arguments):
    done = subprocess.run(
        [sys.executable, "-c", FIRST_TO_IMPORT, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
