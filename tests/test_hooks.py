"""Native hooks: f(state, stats, now) after each step or batch."""

from __future__ import annotations

import io
import itertools
import logging
import math

import numpy as np
import pytest
from rich.console import Console

from macqueen import KMeans, RunConfig, hooks, load_variable
from macqueen.errors import ArgumentError, ArgumentTypeError, NanLossError
from macqueen.hooks import Every, NanGuard, Progress, StopAtStep, notify
from macqueen.state import BatchStats, State, StepStats
from tests.models import in_memory, small_integers, step_of

STATE = State(centers=np.zeros((2, 1)), step=5, seed=0)


def stats(cost=1.0):
    return BatchStats(rows=3, counts=np.array([1, 2]), cost=cost)


# --- when and with what they are called -------------------------------------------------------------------


def test_train_calls_a_hook_after_each_step():
    seen = []
    model = in_memory(3, batch_size=50)
    model.train(small_integers(), steps=4, hooks=[lambda state, stats, now: seen.append((state, stats, now))])
    assert [state.step for state, _, _ in seen] == [1, 2, 3, 4]
    assert all(isinstance(found, StepStats) and found.rows == found.counts.sum() == 50 for _, found, _ in seen)
    times = [now for _, _, now in seen]
    assert times == sorted(times)
    assert seen[-1][0].centers.tobytes() == model.cluster_centers().tobytes()


def test_evaluate_calls_a_hook_after_each_batch():
    rows = small_integers()
    model = in_memory(3).train(rows, steps=2)
    seen = []
    metrics = model.evaluate(iter([rows[:50], rows[50:]]), hooks=[lambda state, found, now: seen.append(found)])
    assert [found.rows for found in seen] == [50, 150]
    assert sum(found.cost for found in seen) == pytest.approx(float(metrics["sum_of_squared_distances"]))
    assert np.array_equal(sum(found.counts for found in seen), np.bincount(model.labels(rows), minlength=3))


def test_evaluate_of_a_data_set_is_one_batch():
    seen = []
    in_memory(3).train(small_integers(), steps=2).evaluate(small_integers(), hooks=[lambda *args: seen.append(args)])
    assert len(seen) == 1


def test_predict_calls_a_hook_after_each_batch():
    seen = []
    model = in_memory(3, batch_size=150).train(small_integers(), steps=2)
    list(model.predict(small_integers(), hooks=[lambda state, found, now: seen.append((state.step, found.rows))]))
    assert seen == [(2, 150), (2, 50)]


def test_predict_without_labels_has_no_counts():
    seen = []
    model = in_memory(3).train(small_integers(), steps=2)
    list(model.predict(small_integers(), "all_distances", hooks=[lambda state, found, now: seen.append(found)]))
    assert [(found.counts, found.cost) for found in seen] == [(None, None)]


def test_start_and_finish_surround_the_steps():
    calls = []

    class Hook:
        def start(self, state, last_step, now):
            calls.append(("start", state.step, last_step))

        def __call__(self, state, stats, now):
            calls.append(("step", state.step))

        def finish(self):
            calls.append(("finish",))

    model = in_memory(3).train(small_integers(), steps=1).train(small_integers(), steps=2, hooks=[Hook()])
    assert calls == [("start", 1, 3), ("step", 2), ("step", 3), ("finish",)]
    calls.clear()
    model.evaluate(small_integers(), hooks=[Hook()])
    assert calls == [("start", 3, None), ("step", 3), ("finish",)]


# --- stopping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [True, "enough", np.True_])
def test_a_hook_stops_training_after_its_step(answer):
    model = in_memory(3).train(small_integers(), steps=9, hooks=[lambda state, *_: answer if state.step == 4 else None])
    assert step_of(model) == 4


def test_the_reason_of_a_hook_is_logged(caplog):
    with caplog.at_level(logging.INFO, "macqueen"):
        in_memory(3).train(small_integers(), steps=9, hooks=[lambda *_: "the cost is low enough"])
    assert "after 1 steps: the cost is low enough" in caplog.text


@pytest.mark.parametrize("answer", [None, False, "", np.False_])
def test_a_hook_that_does_not_ask_does_not_stop(answer):
    assert step_of(in_memory(3).train(small_integers(), steps=3, hooks=[lambda *_: answer])) == 3


def test_stop_iteration_of_a_hook_stops_training():
    def hook(state, stats, now):
        if state.step == 2:
            raise StopIteration

    assert step_of(in_memory(3).train(small_integers(), steps=9, hooks=[hook])) == 2


def test_the_other_hooks_are_called_when_one_asks_to_stop():
    seen = []
    first = lambda *_: "first"  # noqa: E731
    assert notify([first, lambda *_: seen.append(1), lambda *_: "second"], STATE, stats(), 0.0) == "first"
    assert seen == [1]


def test_a_hook_ends_evaluate_and_predict():
    rows = small_integers()
    model = in_memory(3, batch_size=50).train(rows, steps=2)
    stop = [lambda *_: True]
    assert model.evaluate((rows[i : i + 10] for i in itertools.count(step=10)), hooks=stop)["num_examples"] == 10
    assert len(list(model.predict(rows, hooks=stop))) == 50


def test_an_error_of_a_hook_is_passed_on_and_the_model_is_that_of_the_last_checkpoint(tmp_path):
    def hook(state, stats, now):
        if state.step == 5:
            raise ZeroDivisionError("mine")

    config = RunConfig(tmp_path, save_checkpoints_steps=2)
    with pytest.raises(ZeroDivisionError, match="mine"):
        KMeans(3, config=config).train(small_integers(), steps=9, hooks=[hook])
    assert load_variable(tmp_path, "global_step") == 4


def test_finish_is_called_after_an_error():
    finished = []

    class Hook:
        def __call__(self, state, stats, now):
            raise ZeroDivisionError

        def finish(self):
            finished.append(1)

    model = in_memory(3).train(small_integers(), steps=1)
    for call in (model.train, model.evaluate, lambda rows, hooks: list(model.predict(rows, hooks=hooks))):
        with pytest.raises(ZeroDivisionError):
            call(small_integers(), hooks=[Hook()])
    assert finished == [1, 1, 1]


# --- what is no hook --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([3], r"hooks\[0\] must be a callable f\(state, stats, now\), or an object with the methods of SessionRunHook"),
        ([len, object()], r"hooks\[0\] must take \(state, stats, now\)"),
        ([lambda *_: None, object()], r"hooks\[1\] must be a callable"),
        ([Progress], r"hooks\[0\] must be a hook, got the class Progress; pass an instance"),
        ([lambda state: None], r"hooks\[0\] must take \(state, stats, now\)"),
        (Progress(), r"hooks must be a list or None, got .*Progress.*; pass \[hook\]"),
    ],
)
def test_what_is_no_hook_is_refused_before_anything_happens(tmp_path, given, message):
    model = KMeans(3, tmp_path / "model")
    for call in (model.train, model.evaluate, lambda rows, hooks: next(model.predict(rows, hooks=hooks))):
        with pytest.raises(ArgumentTypeError, match=message):
            call(lambda: pytest.fail("the input was read"), hooks=given)
    assert not (tmp_path / "model").exists()


def test_an_answer_that_is_none_is_refused():
    with pytest.raises(ArgumentTypeError, match=r"must return None or False to go on.*returned 7 of type int"):
        in_memory(3).train(small_integers(), steps=2, hooks=[lambda *_: 7])


# --- the usual ones ---------------------------------------------------------------------------------------


def test_stop_at_step():
    model = in_memory(3).train(small_integers(), hooks=[StopAtStep(3)], steps=100)
    assert step_of(model) == 3


@pytest.mark.parametrize("step", [0, -2])
def test_stop_at_a_step_below_one_is_refused(step):
    with pytest.raises(ArgumentError, match=f"last_step must be an integer of at least 1, got {step}"):
        StopAtStep(step)


@pytest.mark.parametrize("cost", [math.nan, math.inf])
def test_nan_guard_raises(cost):
    with pytest.raises(NanLossError, match="the loss of step 5 is"):
        NanGuard()(STATE, stats(cost), 0.0)


def test_nan_guard_lets_numbers_pass():
    assert NanGuard()(STATE, stats(0.0), 0.0) is None
    assert NanGuard()(STATE, stats(None), 0.0) is None


def test_every_so_many_seconds():
    called = []
    every = Every(lambda state, found, now: called.append(now), None, 10, now=100.0)
    for now in (101.0, 109.9, 110.0, 119.0, 125.0):
        every(STATE, stats(), now)
    assert called == [110.0, 125.0]


def test_every_passes_the_answer_on():
    assert Every(lambda *_: "stop", 5, None, now=0.0)(STATE, stats(), 0.0) == "stop"


def test_every_hands_on_the_beginning_and_the_end_of_a_call():
    shown = terminal()
    model = in_memory(3, use_mini_batch=False)
    model.train(small_integers(), steps=4, hooks=[Every(Progress(shown), 2, None, now=0.0)])
    assert "step 4" in shown.file.getvalue()


def test_every_refuses_what_is_no_hook():
    with pytest.raises(ArgumentTypeError, match="action must be a callable"):
        Every("progress", 5, None, now=0.0)


def terminal(is_terminal=True):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=100, _environ={})


def test_progress_shows_step_rows_and_cost():
    console = terminal()
    costs = []
    shown = [Progress(console), lambda state, found, now: costs.append(found.cost)]
    in_memory(3, batch_size=100).train(small_integers(), steps=3, hooks=shown)
    text = console.file.getvalue()
    assert "step 3" in text
    assert "300 rows" in text
    assert f"cost {costs[-1]:.6g}" in text


def test_progress_is_silent_where_nobody_looks():
    console = terminal(is_terminal=False)
    in_memory(3).train(small_integers(), steps=3, hooks=[Progress(console)])
    assert console.file.getvalue() == ""


def test_public_names_are_there():
    assert list(hooks.__all__) == sorted(hooks.__all__)
    assert all(hasattr(hooks, name) for name in hooks.__all__)
