"""What bad input gets: an exception that names argument, rule, value and remedy, and a model that stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from macqueen import KMeans, RunConfig, errors, inputs, load_variable

ROWS = np.random.default_rng(6).normal(size=(30, 2)).astype(np.float32)


def with_value(value, dtype=np.float32):
    rows = ROWS.astype(dtype)
    rows[3, 1] = value
    return rows


def ended():
    """Return a generator that was read before."""
    generator = (ROWS for _ in range(2))
    list(generator)
    return generator


def all_read():
    """Return a stream that was read before."""
    stream = inputs.limit_epochs(ROWS)
    list(stream.batches())
    return stream


def files(folder):
    """Everything on disk but event files, which tell of every call: names and bytes."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if not path.name.startswith("events")}


@pytest.fixture(params=["full batch", "mini batch"])
def model(request, tmp_path):
    """Return a trained model on disk."""
    return KMeans(4, tmp_path, seed=1, use_mini_batch=request.param == "mini batch").train(ROWS, steps=3)


# name: (what is given as input, class, the built-in that it also is, message)
DATA = {
    "NaN": (with_value(np.nan), "DataError", ValueError, r"row 3, column 1 is nan: values must be finite; remove"),
    "infinity": (with_value(np.inf), "DataError", ValueError, r"row 3, column 1 is inf: values must be finite; remove"),
    "minus infinity": (with_value(-np.inf), "DataError", ValueError, r"row 3, column 1 is -inf: .*finite; remove"),
    "NaN in a stream": (
        lambda: iter([ROWS, with_value(np.nan)]), "DataError", ValueError,
        r"(batch 1, row 3|row 33), column 1 is nan: values must be finite; remove",
    ),
    "NaN in a dict": (
        {"a": ROWS[:, 0], "b": with_value(np.nan)[:, 1]}, "DataError", ValueError, r"row 3, column 1 is nan",
    ),
    "too wide": (np.ones((5, 3), np.float32), "SettingsMismatchError", ValueError, r"3 columns.*2.*pass rows of that"),
    "too narrow": (ROWS[:, 0], "SettingsMismatchError", ValueError, r"1 columns.*2.*pass rows of that width"),
    "another width in a later batch": (
        lambda: iter([ROWS, np.ones((5, 3), np.float32)]), "DataError", ValueError,
        r"batch 1 .*as many columns.*2, got 3.*same columns",
    ),
    "another width in a later batch of a data set": (
        [ROWS, np.ones((5, 3), np.float32)], "DataError", ValueError, r"batch 1 .*columns.*2, got 3.*same columns",
    ),
    "no batches": (lambda: iter([]), "EmptyInputError", ValueError, r"at least one batch, got none.*pass"),
    "an empty list": ([], "EmptyInputError", ValueError, r"at least one row, got an empty list.*Add"),
    "no rows": (ROWS[:0], "EmptyInputError", ValueError, r"at least one row, got 0 rows"),
    "an empty batch": (
        lambda: iter([ROWS, ROWS[:0]]), "EmptyInputError", ValueError, r"batch 1 .*at least one row, got 0.*Leave out",
    ),
    "an empty batch in a data set": (
        [ROWS, ROWS[:0]], "EmptyInputError", ValueError, r"batch 1 .*at least one row, got 0.*Leave out",
    ),
    "no columns": (np.ones((3, 0)), "DataError", ValueError, r"at least one column, got shape \(3, 0\)"),
    "ragged rows": ([[1.0, 2.0], [3.0]], "DataError", ValueError, r"one length.*0 has 2.*row 1 has 1.*same columns"),
    "columns of two lengths": (
        {"a": ROWS[:, 0], "b": ROWS[:5, 1]}, "DataError", ValueError, r"one length.*'a' has 30.*'b' has 5.*same rows",
    ),
    "strings": (np.array([["a", "b"]]), "DataError", ValueError, r"real numbers, got dtype <U1.*Convert"),
    "a list of strings": ([["a", "b"]], "DataError", ValueError, r"real numbers, got dtype <U1.*Convert"),
    "a name of a file": ("rows.npy", "ArgumentTypeError", TypeError, r"rows, got str 'rows.npy'.*np.load"),
    "objects": (np.array([[1, None]]), "DataError", ValueError, r"real numbers, got dtype object.*Convert"),
    "complex numbers": (ROWS.astype(complex), "DataError", ValueError, r"real numbers, got dtype complex128.*Convert"),
    "dates": (np.zeros((3, 2), "M8[s]"), "DataError", ValueError, r"real numbers, got dtype datetime64.*Convert"),
    "rank 3": (np.ones((3, 2, 2)), "DataError", ValueError, r"rank 2.*got rank 3, shape \(3, 2, 2\).*reshape"),
    "masked values": (
        np.ma.masked_greater(ROWS, 0), "DataError", ValueError, r"masked values, got \d+ of them.*filled",
    ),
    "None": (None, "ArgumentTypeError", TypeError, r"rows, got None.*Pass an array"),
    "a function that returns nothing": (lambda: None, "ArgumentTypeError", TypeError, r"rows, got None.*returns it"),
    "a number": (5, "ArgumentTypeError", TypeError, r"must be an array.*got int.*Convert"),
    "a set": ({1.0, 2.0}, "ArgumentTypeError", TypeError, r"in an order, got a set.*sorted"),
    "a generator read before": (ended(), "InputReadError", ValueError, r"generator.*already read.*pass a function"),
    "a stream read before": (all_read(), "InputReadError", ValueError, r"read once.*already read.*Pass a function"),
    "a function with arguments": (
        lambda path: ROWS, "ArgumentTypeError", TypeError, r"input_fn.*only mode, config, params.*'path'.*Bind",
    ),
}  # fmt: skip
bad_data = pytest.mark.parametrize(("given", "name", "builtin", "message"), DATA.values(), ids=DATA)
CALLS = {
    "train": lambda model, given: model.train(given, steps=3),
    "evaluate": lambda model, given: model.evaluate(given),
    "predict": lambda model, given: list(model.predict(given)),
    "labels": lambda model, given: model.labels(given),
}


@bad_data
@pytest.mark.parametrize("call", CALLS)
def test_bad_data_is_refused(model, call, given, name, builtin, message):
    """The error is ours and the built-in, and says what, where and what to do."""
    with pytest.raises(getattr(errors, name), match=f"(?s){message}") as raised:
        CALLS[call](model, given)
    assert isinstance(raised.value, errors.MacqueenError)
    assert isinstance(raised.value, builtin)


@bad_data
def test_bad_data_leaves_the_model_as_it_was(model, given, name, builtin, message):
    before, centers = files(model.model_dir), model.cluster_centers().tobytes()
    with pytest.raises(getattr(errors, name)):
        model.train(given, steps=3)
    assert files(model.model_dir) == before
    assert model.cluster_centers().tobytes() == centers


@bad_data
def test_a_model_goes_on_after_bad_data_as_if_nothing_had_been(model, tmp_path, given, name, builtin, message):
    arguments = {"seed": 1, "use_mini_batch": model._params.use_mini_batch}
    undisturbed = KMeans(4, tmp_path / "undisturbed", **arguments).train(ROWS, steps=3)
    start = undisturbed.cluster_centers().tobytes()
    with pytest.raises(getattr(errors, name)):
        model.train(given, steps=3)
    ends = [one.train(ROWS + 1, steps=2).cluster_centers().tobytes() for one in (model, undisturbed)]
    assert start != ends[0] == ends[1]


# --- the first training -----------------------------------------------------------------------------------

UNFIT = {"NaN": with_value(np.nan), "infinity": with_value(np.inf), "beyond": with_value(1e200, np.float64)}


@pytest.mark.parametrize("metric", ["squared_euclidean", "cosine"])
@pytest.mark.parametrize("init", ["random", "kmeans_plus_plus"])
@pytest.mark.parametrize("mini", [True, False])
@pytest.mark.parametrize("unfit", UNFIT)
@pytest.mark.parametrize("kind", ["data set", "stream"])
def test_unfit_values_are_named_in_a_first_training(tmp_path, kind, unfit, mini, init, metric):
    """Also where every row, the unfit one too, is an initial center."""
    model = KMeans(30, tmp_path, init, metric, seed=1, use_mini_batch=mini)
    rows = UNFIT[unfit]
    with pytest.raises(errors.DataError, match=r"row \d+, column 1 is .*: .*values must be .*; remove or replace"):
        model.train(rows if kind == "data set" else iter([rows]), steps=3)


@pytest.mark.parametrize("unfit", UNFIT)
@pytest.mark.parametrize("init", ["random", "kmeans_plus_plus"])
@pytest.mark.parametrize("mini", [True, False])
@pytest.mark.parametrize("kind", ["data set", "stream"])
def test_a_first_training_on_unfit_values_leaves_no_unfit_model(tmp_path, kind, mini, init, unfit):
    """Corrected rows train in the same directory, where every row was an initial center."""
    model = KMeans(30, tmp_path, init, seed=1, use_mini_batch=mini)
    rows = UNFIT[unfit]
    with pytest.raises(errors.DataError):
        model.train(rows if kind == "data set" else iter([rows]), steps=3)
    model.train(ROWS.astype(rows.dtype), steps=3)
    assert np.isfinite(model.cluster_centers()).all()
    assert np.abs(model.cluster_centers()).max() < 100


def test_the_row_of_a_later_block_is_counted_from_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr("macqueen.workers.local.BLOCK_BYTES", 64)
    rows = ROWS.copy()
    rows[29, 0] = np.nan
    with pytest.raises(errors.DataError, match=r"\brow 29, column 0 is nan"):
        KMeans(2, tmp_path, ROWS[:2], use_mini_batch=False).train(rows, steps=1)


def test_the_row_of_a_mini_batch_is_named_by_its_place_in_the_data_set(tmp_path):
    """Batches of an array are shuffled: the place in one is of no use to whoever looks for the row."""
    rows = ROWS.copy()
    rows[23, 1] = np.nan
    with pytest.raises(errors.DataError, match=r"\brow 23, column 1 is nan"):
        KMeans(2, tmp_path, ROWS[:2], batch_size=7).train(rows)


def test_the_row_that_a_chooser_of_centers_is_shown_is_named_by_its_place_in_the_data_set(tmp_path):
    rows = ROWS.copy()
    rows[23, 1] = np.nan
    with pytest.raises(errors.DataError, match=r"^row 23, column 1 is nan"):
        KMeans(2, tmp_path, lambda batch, k: batch[:0], batch_size=7).train(rows)


def test_values_beyond_the_limit_are_named(tmp_path):
    rows = ROWS.astype(np.float64)
    rows[7, 0] = -1e151
    with pytest.raises(errors.DataError, match=r"row 7, column 0 is -1e\+151: .*within ±1e\+150; remove or replace"):
        KMeans(2, tmp_path, ROWS[:2].astype(np.float64)).train(rows)


@pytest.mark.parametrize("init", ["random", "kmeans_plus_plus"])
@pytest.mark.parametrize("mini", [True, False])
def test_more_clusters_than_rows_are_refused_with_both_counts(tmp_path, init, mini):
    with pytest.raises(errors.DataError, match=r"num_clusters=31 needs .*30; ask for fewer clusters or pass more rows"):
        KMeans(31, tmp_path, init, use_mini_batch=mini).train(ROWS, steps=1)
    assert files(tmp_path) == {}


def test_plus_plus_on_a_small_first_batch_is_refused_with_both_counts(tmp_path):
    with pytest.raises(errors.DataError, match=r"num_clusters=5 needs .*the first batch has 3; ask for fewer"):
        KMeans(5, tmp_path, "kmeans_plus_plus").train(iter([ROWS[:3], ROWS[3:]]))
    assert files(tmp_path) == {}


def test_an_input_that_ends_during_initialisation_says_how_many_were_found(tmp_path):
    with pytest.raises(errors.InputEndedError, match=r"ended after 7 of 9 initial centers.*; pass more rows, ask for"):
        KMeans(9, tmp_path).train(iter([ROWS[:3], ROWS[3:7]]))
    assert files(tmp_path) == {}


def test_a_function_that_never_picks_enough_ends_the_input(tmp_path):
    model = KMeans(3, tmp_path, lambda batch, k: batch[:1])
    with pytest.raises(errors.InputEndedError, match="ended after 2 of 3 initial centers"):
        model.train(iter([ROWS[:3], ROWS[3:7]]))


def test_a_function_that_picks_too_many_is_refused(tmp_path):
    with pytest.raises(errors.DataError, match=r"initial_clusters: f\(inputs, k\) returned 30 rows for k = 3; return"):
        KMeans(3, tmp_path, lambda batch, k: batch).train(iter([ROWS]))
    assert files(tmp_path) == {}


def test_a_function_that_picks_no_rows_of_the_batch_is_refused(tmp_path):
    with pytest.raises(errors.DataError, match=r"initial_clusters: .*rows of 2 numbers; got shape \(3, 5\)"):
        KMeans(3, tmp_path, lambda batch, k: np.ones((3, 5))).train(iter([ROWS]))


@pytest.mark.parametrize("kind", ["data set", "stream"])
def test_a_function_that_returns_unfit_centers_is_refused(tmp_path, kind):
    model = KMeans(1, tmp_path, lambda batch, k: [[np.nan, 0]])
    with pytest.raises(errors.MacqueenError, match=r"nan.*finite"):
        model.train(ROWS if kind == "data set" else iter([ROWS]), steps=1)
    assert files(tmp_path) == {}


def test_an_error_of_the_function_is_passed_on(tmp_path):
    def choose(batch, k):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        KMeans(3, tmp_path, choose).train(ROWS)
    assert files(tmp_path) == {}


def test_given_centers_of_another_width_are_refused(tmp_path):
    with pytest.raises(errors.SettingsMismatchError, match=r"rows of 2 columns, but initial_clusters has 3.*pass rows"):
        KMeans(1, tmp_path, np.ones((4, 3), np.float32)).train(ROWS)
    assert files(tmp_path) == {}


def test_too_many_batches_looked_at_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("macqueen.workers.local.MOST_HELD_BYTES", 1 << 20)
    batch = np.zeros((1000, 100), np.float32)
    model = KMeans(1, tmp_path, lambda batch, k: batch[:0])
    with pytest.raises(errors.DataError, match=r"initialisation looked at more than 1 MiB .*; give the centers as an"):
        model.train(batch for _ in range(10))


# --- arguments --------------------------------------------------------------------------------------------

ARGUMENTS = {
    "k of 0": ({"num_clusters": 0}, ValueError, r"num_clusters must be .*at least 1, got 0"),
    "k below 0": ({"num_clusters": -3}, ValueError, r"num_clusters must be .*at least 1, got -3"),
    "k a float": ({"num_clusters": 2.0}, TypeError, r"num_clusters must be an integer, got 2\.0"),
    "k a bool": ({"num_clusters": True}, TypeError, r"num_clusters must be an integer, got True"),
    "k None": ({"num_clusters": None}, TypeError, r"num_clusters must be an integer, got None"),
    "metric": ({"distance_metric": "l1"}, ValueError, r"'l1'.*distance_metric.*'squared_euclidean', 'cosine'"),
    "metric None": ({"distance_metric": None}, ValueError, r"None.*distance_metric.*'squared_euclidean', 'cosine'"),
    "init": (
        {"initial_clusters": "kmc2"}, ValueError,
        r"'kmc2'.*initial_clusters.*'random', 'kmeans_plus_plus'.*array",
    ),
    "init None": ({"initial_clusters": None}, TypeError, r"None.*initial_clusters.*'random', 'kmeans_plus_plus'"),
    "policy": (
        {"empty_clusters": "drop"}, ValueError,
        r"'drop'.*empty_clusters.*'relocate', 'keep', 'error', 'origin'",
    ),
    "centers with NaN": (
        {"initial_clusters": [[0.0, np.nan]]}, ValueError,
        r"initial_clusters must be finite.*nan in row 0, column 1",
    ),
    "centers beyond": (
        {"initial_clusters": [[0.0, 1e160]]}, ValueError,
        r"initial_clusters .*within ±1e\+150.*1e\+160 in row 0, column 1",
    ),
    "centers of rank 1": (
        {"initial_clusters": [1.0, 2.0]}, ValueError,
        r"initial_clusters must be an array \(k, d\).*got shape \(2,\)",
    ),
    "no centers": (
        {"initial_clusters": np.ones((0, 2))}, ValueError,
        r"initial_clusters .*at least one row.*got shape \(0, 2\)",
    ),
    "ragged centers": (
        {"initial_clusters": [[1.0], [1.0, 2.0]]}, ValueError,
        r"initial_clusters must be an array \(k, d\)",
    ),
    "centers of strings": (
        {"initial_clusters": [["a"]]}, TypeError,
        r"initial_clusters must hold real numbers, got .*<U1",
    ),
    "seed": ({"seed": 1.5}, TypeError, r"seed must be an integer, got 1\.5"),
    "mode": ({"use_mini_batch": "no"}, TypeError, r"use_mini_batch must be True or False, got 'no'"),
    "steps per iteration": (
        {"mini_batch_steps_per_iteration": 0}, ValueError,
        r"mini_batch_steps_per_iteration .*at least 1, got 0",
    ),
    "retries": (
        {"kmeans_plus_plus_num_retries": 1.5}, TypeError,
        r"kmeans_plus_plus_num_retries must be an integer, got 1\.5",
    ),
    "tolerance": ({"relative_tolerance": "x"}, TypeError, r"relative_tolerance must be a number or None, got 'x'"),
    "tolerance NaN": (
        {"relative_tolerance": np.nan}, ValueError,
        r"relative_tolerance must be a finite number.*got nan",
    ),
    "batch size": ({"batch_size": 0}, ValueError, r"batch_size .*at least 1, got 0"),
    "config": ({"config": {}}, ValueError, r"config must be an instance of `RunConfig`, got \{\}"),
    "feature columns": (
        {"feature_columns": [1]}, ValueError,
        r"Items of feature_columns must be a dense column, got 1; make it with",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "builtin", "message"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_bad_arguments_are_refused(tmp_path, arguments, builtin, message):
    with pytest.raises(errors.MacqueenError, match=message) as raised:
        KMeans(**{"num_clusters": 3, "model_dir": tmp_path, **arguments})
    assert isinstance(raised.value, builtin)


def test_the_number_of_clusters_is_not_looked_at_where_centers_are_given(tmp_path):
    assert KMeans(None, tmp_path, ROWS[:3]).cluster_centers().shape == (3, 2)


def test_two_model_directories_are_refused(tmp_path):
    with pytest.raises(errors.ArgumentError, match=r"model_dir is 'a', but config.model_dir is 'b'; give one"):
        KMeans(3, "a", config=RunConfig("b"))


STEPS = {
    "both": ({"steps": 2, "max_steps": 5}, ValueError, r"both steps and max_steps; got 2 and 5, give one"),
    "steps of 0": ({"steps": 0}, ValueError, r"steps > 0, given: 0"),
    "steps below 0": ({"steps": -1}, ValueError, r"steps > 0, given: -1"),
    "max_steps of 0": ({"max_steps": 0}, ValueError, r"max_steps > 0, given: 0"),
    "max_steps below 0": ({"max_steps": -4}, ValueError, r"max_steps > 0, given: -4"),
    "steps a float": ({"steps": 1.5}, TypeError, r"steps must be an integer, got 1\.5"),
    "max_steps a string": ({"max_steps": "9"}, TypeError, r"max_steps must be an integer, got '9'"),
    "steps a bool": ({"steps": True}, TypeError, r"steps must be an integer, got True"),
    "hooks": ({"hooks": [3]}, TypeError, r"hooks\[0\] must be a callable"),
    "saving listeners": ({"saving_listeners": [1]}, TypeError, r"saving_listeners\[0\] must have the methods"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "builtin", "message"), STEPS.values(), ids=STEPS)
def test_bad_arguments_of_train_are_refused(model, arguments, builtin, message):
    before = files(model.model_dir)
    with pytest.raises(errors.MacqueenError, match=message) as raised:
        model.train(ROWS, **arguments)
    assert isinstance(raised.value, builtin)
    assert files(model.model_dir) == before


@pytest.mark.parametrize("steps", [0, -2])
def test_bad_steps_of_evaluate_are_refused(model, steps):
    with pytest.raises(errors.ArgumentError, match=f"steps > 0, given: {steps}"):
        model.evaluate(ROWS, steps=steps)


def test_a_name_of_an_evaluation_that_is_no_text_is_refused(model):
    with pytest.raises(errors.ArgumentTypeError, match="name must be a str or None; got 3"):
        model.evaluate(ROWS, name=3)


def test_a_generator_as_a_data_set_is_refused():
    with pytest.raises(errors.InputReadError, match=r"data must be readable again, got generator.*Pass a function"):
        inputs.Dataset(ROWS for _ in range(2))


def test_a_function_that_returns_the_same_generator_for_every_pass_is_refused(tmp_path):
    generator = (ROWS for _ in range(2))
    with pytest.raises(errors.InputReadError, match=r"Make it inside the function|pass a function"):
        KMeans(2, tmp_path, use_mini_batch=False).train(inputs.Dataset(lambda: generator), steps=3)


# --- the directory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_directory_that_cannot_be_made_is_named(tmp_path, below):
    """A file is in its place. The first checkpoint is written before the first step, so no work is lost."""
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" / below
    with pytest.raises(errors.CheckpointError, match=rf"cannot write {folder}.*\. \w+") as raised:
        KMeans(3, folder).train(ROWS)
    assert isinstance(raised.value, OSError)
    assert isinstance(raised.value, ValueError)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_that_refuses_files_is_named():
    """Where even the superuser may not write."""
    with pytest.raises(errors.CheckpointError, match=r"cannot write /proc/self/fdinfo/.*\. \w+"):
        KMeans(3, "/proc/self/fdinfo/model").train(ROWS)


OTHERS = {
    "k": ({"num_clusters": 7}, r"k +4 +7"),
    "metric": ({"distance_metric": "cosine"}, r"metric +squared_euclidean +cosine"),
    "mode": ({"use_mini_batch": False}, r"mode +mini_batch +full_batch"),
    "steps per iteration": ({"mini_batch_steps_per_iteration": 3}, r"steps_per_iteration +1 +3"),
    "given centers": ({"initial_clusters": ROWS[:9]}, r"k +4 +9"),
}
READS = {
    "train": lambda model: model.train(ROWS),
    "evaluate": lambda model: model.evaluate(ROWS),
    "predict": lambda model: next(model.predict(ROWS)),
    "score": lambda model: model.score(ROWS),
    "labels": lambda model: model.labels(ROWS),
}


@pytest.mark.parametrize(("arguments", "difference"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("read", READS)
def test_a_model_of_other_settings_is_refused_with_the_difference(tmp_path, read, arguments, difference):
    KMeans(4, tmp_path, seed=1).train(ROWS, steps=2)
    before = files(tmp_path)
    other = KMeans(**{"num_clusters": 4, "model_dir": tmp_path, **arguments})
    message = rf"(?s){tmp_path} holds a model of other settings.*{difference}.*another model_dir"
    with pytest.raises(errors.SettingsMismatchError, match=message) as raised:
        READS[read](other)
    assert isinstance(raised.value, ValueError)
    assert files(tmp_path) == before


def test_only_the_settings_that_differ_are_shown(tmp_path):
    KMeans(4, tmp_path).train(ROWS, steps=2)
    with pytest.raises(errors.SettingsMismatchError) as raised:
        KMeans(7, tmp_path).train(ROWS)
    assert "squared_euclidean" not in str(raised.value)


def test_float64_rows_do_not_train_a_float32_model(model):
    before = files(model.model_dir)
    with pytest.raises(errors.SettingsMismatchError, match=r"is float32, but the input is float64: convert the rows"):
        model.train(ROWS.astype(np.float64))
    assert files(model.model_dir) == before


@pytest.mark.parametrize(
    "read",
    [
        lambda model: model.cluster_centers(),
        lambda model: model.score(ROWS),
        lambda model: model.labels(ROWS),
        lambda model: next(model.predict(ROWS)),
        lambda model: model.get_variable_names(),
        lambda model: model.get_variable_value("clusters"),
    ],
    ids=["cluster_centers", "score", "labels", "predict", "get_variable_names", "get_variable_value"],
)
def test_a_model_that_is_not_trained_names_its_directory(tmp_path, read):
    with pytest.raises(errors.NotTrainedError, match=rf"{tmp_path}.*(?i:train)") as raised:
        read(KMeans(3, tmp_path))
    assert isinstance(raised.value, ValueError)


def test_an_unknown_variable_is_refused_and_the_known_are_listed(model):
    with pytest.raises(errors.ArgumentError, match=r"'cluster'.*known: .*clusters.*global_step"):
        model.get_variable_value("cluster")


def test_an_unknown_variable_of_a_directory_is_refused(model):
    with pytest.raises(errors.ArgumentError, match=r"'centers'.*known: .*clusters"):
        load_variable(model.model_dir, "centers")


@pytest.mark.parametrize("read", ["evaluate", "predict"])
def test_a_checkpoint_that_is_not_there_is_named(model, tmp_path, read):
    path = str(tmp_path / "model.ckpt-99")
    with pytest.raises(errors.CheckpointError, match=f"{path}.*no such file") as raised:
        list(getattr(model, read)(ROWS, checkpoint_path=path))
    assert isinstance(raised.value, OSError)


# --- the environment --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_bad_number_of_threads_in_the_environment_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setenv("MACQUEEN_NUM_THREADS", value)
    message = rf"MACQUEEN_NUM_THREADS must be .*at least 1, got '{value}'; correct"
    with pytest.raises(errors.ArgumentError, match=message):
        KMeans(3, tmp_path)


def test_an_unknown_instruction_set_in_the_environment_is_refused():
    """It is chosen once per process."""
    code = "import macqueen; macqueen.KMeans(3, 'never-written')"
    environment = {**os.environ, "MACQUEEN_FORCE_ISA": "sse9"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "ArgumentError: MACQUEEN_FORCE_ISA" in last
    assert "sse9" in last
    assert "scalar" in last
