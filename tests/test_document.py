"""What the document of the old class promises, in NumPy form."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import macqueen
from macqueen import KMeans, RunConfig, inputs

EMPTY = inspect.Parameter.empty
METHODS = {
    "train": {"input_fn": EMPTY, "hooks": None, "steps": None, "max_steps": None, "saving_listeners": None},
    "evaluate": {"input_fn": EMPTY, "steps": None, "hooks": None, "checkpoint_path": None, "name": None},
    "predict": {
        "input_fn": EMPTY,
        "predict_keys": None,
        "hooks": None,
        "checkpoint_path": None,
        "yield_single_examples": True,
    },
    "predict_cluster_index": {"input_fn": EMPTY},
    "score": {"input_fn": EMPTY},
    "transform": {"input_fn": EMPTY, "squared": True},
    "labels": {"input_fn": EMPTY},
    "cluster_centers": {},
    "get_variable_names": {},
    "get_variable_value": {"name": EMPTY},
    "latest_checkpoint": {},
    "eval_dir": {"name": None},
}
CONSTANTS = {
    "SQUARED_EUCLIDEAN_DISTANCE": "squared_euclidean",
    "COSINE_DISTANCE": "cosine",
    "RANDOM_INIT": "random",
    "KMEANS_PLUS_PLUS_INIT": "kmeans_plus_plus",
    "SCORE": "score",
    "CLUSTER_INDEX": "cluster_index",
    "ALL_DISTANCES": "all_distances",
    "CLUSTER_CENTERS_VAR_NAME": "clusters",
}
POINTS = np.random.default_rng(5).uniform(0, 1000, (100, 2)).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    """Return a small trained model."""
    return KMeans(5, tmp_path, seed=1, use_mini_batch=False).train(POINTS, steps=3)


def in_batches():
    return iter([POINTS[:30], POINTS[30:70], POINTS[70:]])


# --- the example ------------------------------------------------------------------------------------------


def run_example(model_dir):
    """The example of the document; returns steps and scores of each iteration, and where points belong."""

    def input_fn():
        return inputs.limit_epochs(POINTS, num_epochs=1)

    kmeans = KMeans(num_clusters=5, model_dir=model_dir, use_mini_batch=False)
    steps, scores, deltas, previous_centers = [], [], [], None
    for _ in range(10):
        kmeans.train(input_fn)
        cluster_centers = kmeans.cluster_centers()
        if previous_centers is not None:
            deltas.append(cluster_centers - previous_centers)
        previous_centers = cluster_centers
        scores.append(kmeans.score(input_fn))
        steps.append(int(kmeans.get_variable_value("global_step")))
    cluster_indices = list(kmeans.predict_cluster_index(input_fn))
    return steps, scores, deltas, [(cluster_indices[i], cluster_centers[cluster_indices[i]]) for i in range(100)]


def test_each_call_of_the_example_makes_one_step(tmp_path):
    assert run_example(tmp_path)[0] == list(range(1, 11))


def test_the_score_of_the_example_never_rises(tmp_path):
    scores = run_example(tmp_path)[1]
    assert scores[0] > scores[-1]
    assert all(later <= earlier for earlier, later in itertools.pairwise(scores))


def test_the_centers_of_the_example_move(tmp_path):
    assert np.any(run_example(tmp_path)[2][0] != 0)


def test_the_example_maps_points_to_their_nearest_centers(tmp_path):
    where = run_example(tmp_path)[3]
    assert len({int(index) for index, _ in where}) == 5
    centers = {int(index): center.astype(np.float64) for index, center in where}
    for point, (index, _) in zip(POINTS.astype(np.float64), where, strict=True):
        assert min(centers, key=lambda c: ((point - centers[c]) ** 2).sum()) == index


def test_cluster_centers_is_load_variable(model):
    loaded = macqueen.load_variable(model.model_dir, KMeans.CLUSTER_CENTERS_VAR_NAME)
    assert model.cluster_centers().tobytes() == loaded.tobytes()


# --- signatures -------------------------------------------------------------------------------------------


def test_the_arguments_of_the_constructor_in_order_with_their_defaults():
    parameters = list(inspect.signature(KMeans).parameters.values())
    positional = [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [
        ("num_clusters", EMPTY),
        ("model_dir", None),
        ("initial_clusters", "random"),
        ("distance_metric", "squared_euclidean"),
        ("seed", None),
        ("use_mini_batch", True),
        ("mini_batch_steps_per_iteration", 1),
        ("kmeans_plus_plus_num_retries", 2),
        ("relative_tolerance", None),
        ("config", None),
        ("feature_columns", None),
    ]


def test_our_own_arguments_are_keyword_only():
    parameters = inspect.signature(KMeans).parameters.values()
    ours = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert ours == {"batch_size": 1024, "empty_clusters": "relocate"}


@pytest.mark.parametrize(("name", "value"), CONSTANTS.items())
def test_class_constant(name, value):
    assert getattr(KMeans, name) == value


@pytest.mark.parametrize("method", METHODS)
def test_parameters_of_the_method(method):
    parameters = dict(inspect.signature(getattr(KMeans, method)).parameters)
    parameters.pop("self")
    assert [(p.name, p.default) for p in parameters.values()] == list(METHODS[method].items())


def test_squared_is_keyword_only():
    assert inspect.signature(KMeans.transform).parameters["squared"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", ["config", "model_dir", "params"])
def test_is_a_property_that_cannot_be_set(model, name):
    with pytest.raises(AttributeError):
        setattr(model, name, None)


def test_public_names_are_sorted_and_there():
    assert macqueen.__all__ == sorted(macqueen.__all__)
    assert all(hasattr(macqueen, name) for name in macqueen.__all__)


# --- return types -----------------------------------------------------------------------------------------


def test_train_returns_the_object(model):
    assert model.train(POINTS, steps=1) is model


def test_evaluate_returns_a_dict_of_numbers(model):
    found = model.evaluate(POINTS)
    assert set(found) == {
        "loss", "score", "average_loss", "sum_of_squared_distances", "num_examples", "global_step",
    }  # fmt: skip
    assert all(isinstance(value, int | float | np.number) for value in found.values())


def test_evaluate_averages_over_batches_and_rows(model):
    found = model.evaluate(in_batches)
    whole = model.evaluate(POINTS)
    assert found["loss"] == found["score"] != whole["loss"] == whole["score"]
    assert found["sum_of_squared_distances"] == whole["sum_of_squared_distances"] == whole["loss"]
    assert found["loss"] == pytest.approx(whole["loss"] / 3, rel=1e-12)
    assert found["average_loss"] == whole["average_loss"] == whole["loss"] / 100
    assert (found["num_examples"], found["global_step"]) == (100, 3)


def test_evaluate_reads_as_many_batches_as_asked(model):
    assert model.evaluate(in_batches, steps=2)["num_examples"] == 70


def test_evaluate_of_a_named_checkpoint(model):
    old = model.latest_checkpoint()
    before = model.evaluate(POINTS)
    model.train(POINTS, steps=1)
    assert model.evaluate(POINTS)["global_step"] == 4
    assert model.evaluate(POINTS, checkpoint_path=old) == before


def test_score_is_a_float(model):
    assert isinstance(model.score(POINTS), float)


def test_score_reads_one_batch_of_a_stream(model):
    assert model.score(in_batches) == model.score(POINTS[:30]) != model.score(POINTS)


def test_predict_yields_a_dict_of_arrays(model):
    one = next(model.predict(POINTS))
    assert (one["all_distances"].shape, one["all_distances"].dtype) == ((5,), np.float32)
    assert isinstance(one["cluster_index"], np.int64)


def test_predict_cluster_index_yields_integers(model):
    found = model.predict_cluster_index(POINTS)
    assert isinstance(found, Iterator)
    assert isinstance(next(found), np.int64)


def test_transform_yields_squared_distances(model):
    found = np.array(list(model.transform(POINTS)))
    expected = ((POINTS[:, None].astype(np.float64) - model.cluster_centers()) ** 2).sum(axis=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_transform_yields_the_roots_on_request(model):
    squares = np.array(list(model.transform(POINTS)))
    roots = np.array(list(model.transform(POINTS, squared=False)))
    assert squares.tobytes() != roots.tobytes()
    assert np.sqrt(squares).tobytes() == roots.tobytes()


def test_transform_of_cosine_is_the_same_squared_or_not(tmp_path):
    model = KMeans(3, tmp_path, distance_metric=KMeans.COSINE_DISTANCE, seed=1).train(POINTS, steps=2)
    first = np.array(list(model.transform(POINTS)))
    assert np.any(first > 0)
    assert first.tobytes() == np.array(list(model.transform(POINTS, squared=False))).tobytes()


def test_labels_is_one_array(model):
    found = model.labels(POINTS)
    assert (found.shape, found.dtype) == ((100,), np.int64)


def test_labels_are_the_predicted_indices(model):
    assert len(set(model.labels(POINTS).tolist())) > 1
    assert model.labels(POINTS).tolist() == list(model.predict_cluster_index(POINTS))


def test_labels_of_a_stream_are_those_of_the_rows(model):
    assert model.labels(in_batches).tolist() == model.labels(POINTS).tolist()


def test_cluster_centers_is_an_array_of_its_own(model):
    model.cluster_centers()[:] = 0
    assert (model.cluster_centers().shape, model.cluster_centers().dtype) == ((5, 2), np.float32)
    assert np.all(model.cluster_centers() != 0)


def test_get_variable_names_is_a_sorted_list(model):
    names = model.get_variable_names()
    assert isinstance(names, list)
    assert names == sorted(names)
    assert {"clusters", "global_step"} <= set(names)


def test_list_variables_tells_names_and_shapes(model):
    assert ("clusters", [5, 2]) in [(name, list(shape)) for name, shape in macqueen.list_variables(model.model_dir)]


def test_get_variable_value_of_a_list_is_a_list(model):
    centers, step = model.get_variable_value(["clusters", "global_step"])
    assert centers.tobytes() == model.get_variable_value("clusters").tobytes()
    assert step == 3


def test_latest_checkpoint_is_the_full_prefix(model, tmp_path):
    assert model.latest_checkpoint() == str(tmp_path / "model.ckpt-3")
    assert macqueen.latest_checkpoint(tmp_path) == model.latest_checkpoint()


def test_latest_checkpoint_of_nothing_is_none(tmp_path):
    assert KMeans(2, tmp_path).latest_checkpoint() is None


@pytest.mark.parametrize(("name", "folder"), [(None, "eval"), ("", "eval"), ("test", "eval_test")])
def test_eval_dir(model, tmp_path, name, folder):
    assert model.eval_dir(name) == str(tmp_path / folder)


def test_config_is_a_run_config_with_the_directory(model, tmp_path):
    assert isinstance(model.config, RunConfig)
    assert model.config.model_dir == model.model_dir == str(tmp_path)


def test_params_is_empty(model):
    assert model.params == {}


def test_a_model_without_a_directory_gets_a_new_one():
    first, second = KMeans(2), KMeans(2)
    assert first.model_dir != second.model_dir


# --- predict ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_cluster_index", "transform"])
def test_is_lazy(model, method):
    """The input function is not called before the first result is asked for."""

    def input_fn():
        raise RuntimeError("called")

    found = getattr(model, method)(input_fn)
    with pytest.raises(RuntimeError, match="called"):
        next(found)


def test_predict_reads_a_stream_batch_by_batch(model):
    read = []

    def batches():
        for first in range(0, 100, 10):
            read.append(first)
            yield POINTS[first : first + 10]

    found = model.predict(batches)
    for _ in range(10):
        next(found)
    assert len(read) <= 2  # one batch is read ahead
    assert len(list(found)) == 90


def test_predict_yields_one_dict_an_example(model):
    assert len(list(model.predict(in_batches))) == 100


def test_predict_yields_one_dict_a_batch_on_request(model):
    found = list(model.predict(in_batches, yield_single_examples=False))
    assert [one["all_distances"].shape for one in found] == [(30, 5), (40, 5), (30, 5)]
    assert [one["cluster_index"].shape for one in found] == [(30,), (40,), (30,)]


def test_batches_and_examples_hold_the_same(model):
    batches = list(model.predict(in_batches, yield_single_examples=False))
    singles = list(model.predict(in_batches))
    assert len(batches) != len(singles)
    for key in ("all_distances", "cluster_index"):
        whole = np.concatenate([one[key] for one in batches])
        assert whole.tobytes() == np.array([one[key] for one in singles]).tobytes()


@pytest.mark.parametrize("keys", [None, [], ["all_distances", "cluster_index"], ("cluster_index", "all_distances")])
def test_predict_yields_everything(model, keys):
    assert set(next(model.predict(POINTS, predict_keys=keys))) == {"all_distances", "cluster_index"}


@pytest.mark.parametrize("keys", ["cluster_index", ["cluster_index"], ["all_distances"], "all_distances"])
def test_predict_keys_select(model, keys):
    assert list(next(model.predict(POINTS, predict_keys=keys))) == ([keys] if isinstance(keys, str) else keys)


def test_predict_refuses_unknown_keys_and_lists_the_known(model):
    with pytest.raises(ValueError, match=r"predict_keys.*'scores'.*all_distances.*cluster_index"):
        next(model.predict(POINTS, predict_keys=["cluster_index", "scores"]))


def test_two_interleaved_predictions_do_not_disturb_each_other(model):
    other = POINTS[::-1]
    expected = list(model.predict_cluster_index(POINTS)), list(model.predict_cluster_index(other))
    assert expected[0] != expected[1]
    pairs = list(zip(model.predict_cluster_index(POINTS), model.predict_cluster_index(other), strict=True))
    assert ([a for a, _ in pairs], [b for _, b in pairs]) == expected


def test_a_prediction_goes_on_with_its_model_while_training(model):
    expected = [tuple(one["all_distances"]) for one in model.predict(in_batches)]
    running = model.predict(in_batches)
    found = [tuple(next(running)["all_distances"])]
    model.train(POINTS + 5, steps=1)
    assert next(model.predict(in_batches))["all_distances"].tolist() != list(expected[0])
    assert found + [tuple(one["all_distances"]) for one in running] == expected


# --- input functions --------------------------------------------------------------------------------------


class Recorder:
    """Makes input functions of several signatures and remembers what they were called with."""

    def __init__(self):
        self.calls = []

    def with_arguments(self, names):
        def none():
            return self.note()

        def mode_only(mode):
            return self.note(mode=mode)

        def config_and_params(config, params):
            return self.note(config=config, params=params)

        def everything(params, config, mode):
            return self.note(mode=mode, config=config, params=params)

        def defaults(rows=POINTS, mode=None):
            return self.note(rows, mode=mode)

        return {"": none, "mode": mode_only, "config params": config_and_params, "mode config params": everything,
                "mode=": defaults}[names]  # fmt: skip

    def note(self, rows=POINTS, **given):
        self.calls.append(given)
        return rows


SIGNATURES = ["", "mode", "config params", "mode config params", "mode="]


@pytest.mark.parametrize("names", SIGNATURES)
def test_input_fn_gets_what_it_asks_for(model, names):
    recorder = Recorder()
    model.train(recorder.with_arguments(names), steps=1)
    offered = {"mode": "train", "params": {}}
    (given,) = recorder.calls
    assert set(given) == set(names.replace("=", "").split())
    assert all(given[name] == offered[name] for name in given if name != "config")
    assert given.get("config", model.config).model_dir == model.model_dir


@pytest.mark.parametrize(
    ("mode", "call"),
    [
        ("train", lambda model, f: model.train(f, steps=2)),
        ("eval", lambda model, f: model.evaluate(f)),
        ("eval", lambda model, f: model.score(f)),
        ("infer", lambda model, f: list(model.predict(f))),
        ("infer", lambda model, f: list(model.predict_cluster_index(f))),
        ("infer", lambda model, f: list(model.transform(f))),
        ("infer", lambda model, f: model.labels(f)),
    ],
)
def test_input_fn_is_called_once_with_the_mode(model, mode, call):
    recorder = Recorder()
    call(model, recorder.with_arguments("mode"))
    assert recorder.calls == [{"mode": mode}]


def test_input_fn_that_needs_more_is_refused(model):
    with pytest.raises(TypeError, match=r"input_fn.*mode, config, params.*'path'"):
        model.train(lambda path: POINTS)


def test_features_and_labels_train_on_the_features(tmp_path):
    plain = KMeans(5, tmp_path / "a", seed=1, use_mini_batch=False).train(POINTS, steps=3)
    pair = KMeans(5, tmp_path / "b", seed=1, use_mini_batch=False).train((POINTS, np.arange(100)), steps=3)
    assert plain.model_dir != pair.model_dir
    assert plain.cluster_centers().tobytes() == pair.cluster_centers().tobytes()


def test_a_dict_of_columns_is_joined_by_sorted_keys(tmp_path):
    columns = {"y": POINTS[:, 1], "x": POINTS[:, :1]}
    plain = KMeans(5, tmp_path / "a", seed=1, use_mini_batch=False).train(POINTS, steps=3)
    joined = KMeans(5, tmp_path / "b", seed=1, use_mini_batch=False).train(columns, steps=3)
    assert plain.cluster_centers().tobytes() == joined.cluster_centers().tobytes()


def test_numpy_input_fn_gives_a_stream_of_batches(tmp_path):
    input_fn = inputs.numpy_input_fn(POINTS, batch_size=30, num_epochs=2, shuffle=False)
    model = KMeans(5, tmp_path, seed=1).train(input_fn)
    assert model.get_variable_value("global_step") == 7


def test_a_data_set_with_a_batch_size_of_its_own(tmp_path):
    model = KMeans(5, tmp_path, seed=1).train(inputs.Dataset(POINTS, batch_size=30))
    assert model.get_variable_value("global_step") == 4


def test_a_function_is_read_anew_in_every_pass_of_a_data_set(tmp_path):
    plain = KMeans(5, tmp_path / "a", seed=1, use_mini_batch=False).train(POINTS, steps=3)
    passes = KMeans(5, tmp_path / "b", seed=1, use_mini_batch=False).train(inputs.Dataset(in_batches), steps=3)
    assert passes.get_variable_value("global_step") == 3
    assert plain.cluster_centers().tobytes() == passes.cluster_centers().tobytes()
