"""Hooks and listeners of the old API are called in its order, by train, evaluate and predict."""

from __future__ import annotations

import numpy as np
import pytest

import macqueen.tf_estimator as estimator
from macqueen import KMeans, RunConfig, inputs, load_variable
from macqueen.errors import ArgumentError, ArgumentTypeError
from tests.models import small_integers

ROWS = small_integers()


class Hook(estimator.SessionRunHook):
    """Writes down every call."""

    def __init__(self, calls, name="h", fetches=None, **actions):
        self.calls = calls
        self.name = name
        self.fetches = fetches
        self.actions = actions  # what to do in a method, beside writing it down
        self.results = []

    def _called(self, method, *args):
        self.calls.append(f"{self.name}.{method}")
        return self.actions.get(method, lambda *_: None)(*args)

    def begin(self):
        self._called("begin")

    def after_create_session(self, session, coord):
        self._called("after_create_session", session)

    def before_run(self, run_context):
        self._called("before_run", run_context)
        return None if self.fetches is None else estimator.SessionRunArgs(self.fetches)

    def after_run(self, run_context, run_values):
        self.results.append(run_values.results)
        self._called("after_run", run_context)

    def end(self, session):
        self._called("end", session)


class Listener(estimator.CheckpointSaverListener):
    """Writes down every call, with its step."""

    def __init__(self, calls, stop_at=None):
        self.calls = calls
        self.stop_at = stop_at

    def begin(self):
        self.calls.append("l.begin")

    def before_save(self, session, global_step_value):
        self.calls.append(f"l.before_save({global_step_value})")

    def after_save(self, session, global_step_value):
        self.calls.append(f"l.after_save({global_step_value})")
        return global_step_value == self.stop_at

    def end(self, session, global_step_value):
        self.calls.append(f"l.end({global_step_value})")


def run(step=""):
    return [f"h.before_run{step}", f"h.after_run{step}"]


def saved(step):
    return [f"l.before_save({step})", f"l.after_save({step})"]


START = ["l.begin", "h.begin", *saved(0), "h.after_create_session"]


def stream(count=3):
    return lambda: iter([ROWS[:50]] * count)


def model_in(folder, **config):
    return KMeans(3, initial_clusters=ROWS[:3], config=RunConfig(folder, save_summary_steps=0, **config))


def test_two_steps(tmp_path):
    calls = []
    model_in(tmp_path).train(stream(), hooks=[Hook(calls)], steps=2, saving_listeners=[Listener(calls)])
    assert calls == [*START, *run(), *run(), *saved(2), "l.end(2)", "h.end"]


def test_the_input_ends(tmp_path):
    """The last run shows before_run without after_run, then saves and ends."""
    calls = []
    model = model_in(tmp_path).train(stream(2), hooks=[Hook(calls)], saving_listeners=[Listener(calls)])
    assert calls == [*START, *run(), *run(), "h.before_run", *saved(2), "l.end(2)", "h.end"]
    assert model.get_variable_value("global_step") == 2


def test_checkpoints_are_saved_before_the_hooks_of_the_step(tmp_path):
    calls = []
    model = model_in(tmp_path, save_checkpoints_steps=1)
    model.train(stream(), hooks=[Hook(calls)], steps=2, saving_listeners=[Listener(calls)])
    steps = [["h.before_run", *saved(step), "h.after_run"] for step in (1, 2)]
    assert calls == [*START, *steps[0], *steps[1], "l.end(2)", "h.end"]


def test_several_hooks_in_list_order(tmp_path):
    calls = []
    model_in(tmp_path).train(stream(), hooks=[Hook(calls, "b"), Hook(calls, "a")], steps=1)
    methods = ("begin", "after_create_session", "before_run", "after_run", "end")
    assert calls == [f"{name}.{method}" for method in methods for name in "ba"]


def test_a_later_call_saves_its_first_step_again(tmp_path):
    calls = []
    model = model_in(tmp_path).train(stream(), steps=2)
    model.train(stream(), hooks=[Hook(calls)], steps=1, saving_listeners=[Listener(calls)])
    start = ["l.begin", "h.begin", *saved(2), "h.after_create_session"]
    assert calls == [*start, *run(), *saved(3), "l.end(3)", "h.end"]


@pytest.mark.parametrize("method", ["before_run", "after_run"])
def test_request_stop_ends_training_after_the_step(tmp_path, method):
    calls = []
    hook = Hook(calls, **{method: lambda context: context.request_stop()})
    model = model_in(tmp_path).train(stream(), hooks=[hook], saving_listeners=[Listener(calls)])
    assert calls == [*START, *run(), *saved(1), "l.end(1)", "h.end"]
    assert model.get_variable_value("global_step") == 1


def raise_(error):
    def action(*args):
        raise error

    return action


@pytest.mark.parametrize(("method", "steps"), [("before_run", 0), ("after_run", 1)])
def test_stop_iteration_ends_training(tmp_path, method, steps):
    calls = []
    model = model_in(tmp_path).train(stream(), hooks=[Hook(calls, **{method: raise_(StopIteration)})])
    assert calls[2:] == [*run()[: 1 + steps], "h.end"]
    assert model.get_variable_value("global_step") == steps


def test_a_listener_ends_training_after_the_step(tmp_path):
    calls = []
    model = model_in(tmp_path, save_checkpoints_steps=1)
    model.train(stream(), hooks=[Hook(calls)], saving_listeners=[Listener(calls, stop_at=2)])
    steps = [["h.before_run", *saved(step), "h.after_run"] for step in (1, 2)]
    assert calls == [*START, *steps[0], *steps[1], "l.end(2)", "h.end"]


@pytest.mark.parametrize("method", ["begin", "after_create_session", "before_run", "after_run"])
def test_an_error_is_passed_on_without_an_end(tmp_path, method):
    calls = []
    model = model_in(tmp_path).train(stream(), steps=2)
    with pytest.raises(ZeroDivisionError):
        model.train(stream(), hooks=[Hook(calls, **{method: raise_(ZeroDivisionError)})])
    assert calls[-1] == f"h.{method}"
    assert load_variable(tmp_path, "global_step") == 2


def test_skipped_training_calls_nobody(tmp_path):
    calls = []
    model = model_in(tmp_path).train(stream(), steps=2)
    model.train(stream(), hooks=[Hook(calls)], max_steps=2, saving_listeners=[Listener(calls)])
    assert calls == []


def test_evaluate(tmp_path):
    calls = []
    model = model_in(tmp_path).train(stream(), steps=2)
    hook = Hook(calls, fetches=["loss", "global_step"])
    found = model.evaluate(stream(2), hooks=[hook])
    assert calls == ["h.begin", "h.after_create_session", *run(), *run(), "h.before_run", "h.end"]
    assert [step for _, step in hook.results] == [2, 2]
    assert found["loss"] == hook.results[-1][0]


def test_evaluate_of_so_many_steps(tmp_path):
    calls = []
    model_in(tmp_path).train(stream(), steps=2).evaluate(stream(), hooks=[Hook(calls)], steps=2)
    assert calls == ["h.begin", "h.after_create_session", *run(), *run(), "h.end"]


def test_predict(tmp_path):
    calls = []
    model = model_in(tmp_path).train(stream(), steps=2)
    hook = Hook(calls, fetches="cluster_index")
    found = model.predict(stream(2), hooks=[hook])
    assert calls == []  # nothing happens before the first row is asked for
    labels = [row["cluster_index"] for row in found]
    assert calls == ["h.begin", "h.after_create_session", *run(), *run(), "h.before_run", "h.end"]
    assert np.concatenate(hook.results).tolist() == labels


def test_hooks_fetch_what_a_step_found_out(tmp_path):
    seen = []
    hook = Hook([], fetches={"loss": "loss:0", "state": ("global_step", "clusters"), "counts": ["cluster_counts"]})
    watch = lambda state, stats, now: seen.append((state, stats))  # noqa: E731
    model_in(tmp_path).train(stream(), hooks=[watch, hook], steps=2)
    for (state, stats), found in zip(seen, hook.results, strict=True):
        assert found["loss"] == stats.cost
        assert found["state"][0] == state.step
        assert found["state"][1].tobytes() == state.centers.tobytes()
        assert np.array_equal(found["counts"][0], state.counts)


def test_sessions_give_values_by_name(tmp_path):
    seen = []
    look = lambda session: seen.append(session.run("global_step"))  # noqa: E731
    hook = Hook([], after_create_session=look, end=look)
    model_in(tmp_path).train(stream(), hooks=[hook], steps=3)
    assert seen == [0, 3]


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ArgumentError, match=r"'accuracy'.*loss"):
        model_in(tmp_path).train(stream(), hooks=[Hook([], fetches="accuracy")], steps=1)


def test_listeners_where_nothing_is_saved_are_refused(tmp_path):
    model = model_in(tmp_path, save_checkpoints_steps=None)
    with pytest.raises(ArgumentError, match=r"saving_listeners .* need checkpoints"):
        model.train(lambda: pytest.fail("the input was read"), saving_listeners=[Listener([])])


@pytest.mark.parametrize("listener", [object(), Listener, Hook([]), lambda: None])
def test_a_listener_of_the_wrong_kind_is_refused(tmp_path, listener):
    with pytest.raises(ArgumentTypeError, match=r"saving_listeners\[0\]"):
        model_in(tmp_path).train(lambda: pytest.fail("the input was read"), saving_listeners=[listener])


def test_a_saver_of_the_user_replaces_the_one_of_the_configuration(tmp_path):
    calls = []
    saver = estimator.CheckpointSaverHook(str(tmp_path), save_steps=2, listeners=[Listener(calls)])
    model = model_in(tmp_path, save_checkpoints_steps=1, keep_checkpoint_max=None)
    model.train(stream(5), hooks=[saver], steps=5)
    assert calls == ["l.begin", *saved(0), *saved(2), *saved(4), *saved(5), "l.end(5)"]
    assert sorted(path.name for path in tmp_path.glob("model*")) == [
        f"model.ckpt-{n}.safetensors" for n in (0, 2, 4, 5)
    ]


def test_a_second_saver_is_refused(tmp_path):
    savers = [estimator.CheckpointSaverHook(str(tmp_path), save_steps=steps) for steps in (2, 3)]
    with pytest.raises(ArgumentError, match="one CheckpointSaverHook at most, got 2"):
        model_in(tmp_path).train(lambda: pytest.fail("the input was read"), hooks=savers)


def test_a_saver_of_another_directory_is_refused(tmp_path):
    saver = estimator.CheckpointSaverHook(str(tmp_path / "other"), save_steps=2)
    with pytest.raises(ArgumentError, match="checkpoint_dir"):
        model_in(tmp_path / "model").train(lambda: pytest.fail("the input was read"), hooks=[saver])


def test_a_program_of_the_old_kind(tmp_path):
    """A hook that stops when the loss no longer falls, as people wrote it."""

    class StopWhenSettled(estimator.SessionRunHook):
        def begin(self):
            self.before = None

        def before_run(self, run_context):
            return estimator.SessionRunArgs({"loss": "loss"})

        def after_run(self, run_context, run_values):
            loss = run_values.results["loss"]
            if self.before is not None and loss >= self.before:
                run_context.request_stop()
            self.before = loss

    config = estimator.RunConfig(model_dir=str(tmp_path), tf_random_seed=1)
    model = estimator.experimental.KMeans(num_clusters=4, use_mini_batch=False, config=config)
    model.train(lambda: inputs.limit_epochs(ROWS, num_epochs=None), hooks=[StopWhenSettled()], steps=1000)
    assert 2 < model.get_variable_value("global_step") < 1000
