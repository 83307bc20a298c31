"""Hooks and listeners made of TensorFlow's own classes: run as they are, or refused with the name of what to use."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import macqueen.tf_estimator as estimator
from macqueen import KMeans, RunConfig
from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.tf_estimator.adapter import HookSession
from tests.models import in_memory, small_integers, step_of

train = tf.compat.v1.train
ROWS = small_integers()


class Hook(train.SessionRunHook):
    """Writes down what it is told, and fetches by name."""

    def __init__(self, fetches, stop_after=None):
        self.fetches = fetches
        self.stop_after = stop_after
        self.calls = []
        self.results = []

    def begin(self):
        self.calls.append("begin")

    def after_create_session(self, session, coord):
        self.calls.append("created")
        self.centers = session.run("clusters")
        assert not coord.should_stop()

    def before_run(self, run_context):
        assert run_context.original_args.fetches is None
        return train.SessionRunArgs(self.fetches)

    def after_run(self, run_context, run_values):
        self.results.append(run_values.results)
        if len(self.results) == self.stop_after:
            run_context.request_stop()

    def end(self, session):
        self.calls.append("end")
        self.last = session.run("global_step")


def stream(count=4):
    return lambda: iter([ROWS[:50]] * count)


# --- subclasses of SessionRunHook -------------------------------------------------------------------------


def test_train_tells_what_is_fetched_by_name():
    hook = Hook({"loss": "loss", "step": "global_step:0"}, stop_after=3)
    model = in_memory(3).train(ROWS, steps=9, hooks=[hook])
    assert [result["step"] for result in hook.results] == [1, 2, 3]
    assert all(result["loss"] > 0 for result in hook.results)
    assert hook.calls == ["begin", "created", "end"]
    assert hook.centers.shape == (3, 3)
    assert hook.last == step_of(model) == 3


def test_evaluate_tells_what_is_fetched_by_name():
    model = in_memory(3).train(ROWS, steps=2)
    hook = Hook(["score", "global_step"], stop_after=2)
    metrics = model.evaluate(stream(), hooks=[hook])
    assert metrics["num_examples"] == 100
    assert hook.results == [[metrics["score"], 2]] * 2
    assert hook.calls == ["begin", "created", "end"]


def test_predict_tells_what_is_fetched_by_name():
    model = in_memory(3).train(ROWS, steps=2)
    hook = Hook("cluster_index", stop_after=2)
    found = [row["cluster_index"] for row in model.predict(stream(), hooks=[hook])]
    assert found == np.concatenate(hook.results).tolist() == model.labels(ROWS[:50]).tolist() * 2
    assert hook.calls == ["begin", "created", "end"]


def test_a_hook_that_overrides_nothing():
    assert step_of(in_memory(3).train(ROWS, steps=2, hooks=[train.SessionRunHook()])) == 2


def test_begin_finds_the_global_step():
    """As nearly every hook of an old program does it."""

    class Watcher(train.SessionRunHook):
        def begin(self):
            self.step = train.get_global_step()
            self.loss = tf.compat.v1.get_default_graph().get_tensor_by_name("loss:0")

        def before_run(self, run_context):
            return train.SessionRunArgs([self.step, self.loss])

        def after_run(self, run_context, run_values):
            self.results = run_values.results

    for hook in (Watcher(), type("Mirror", (Watcher, estimator.SessionRunHook), {})()):
        model = in_memory(3).train(ROWS, steps=3, hooks=[hook])
        assert hook.results[0] == 3
        assert hook.results[1] > 0
    assert tf.executing_eagerly()
    assert train.get_global_step() is None
    assert step_of(model) == 3


@pytest.mark.parametrize("where", ["before_run", "after_run"])
@pytest.mark.parametrize("error", [StopIteration(), tf.errors.OutOfRangeError(None, None, "the end")])
def test_the_end_of_input_may_come_from_a_hook(where, error, tmp_path):
    """Training ends after the steps made, with `end` and a last checkpoint, as in the old loop."""

    def raise_error(self, *_):
        self.count = getattr(self, "count", 0) + 1
        if self.count == 2:
            raise error

    hook = type("Ends", (Hook,), {where: raise_error})("loss")
    model = KMeans(3, tmp_path, seed=1).train(ROWS, steps=9, hooks=[hook])
    assert hook.calls == ["begin", "created", "end"]
    assert model.get_variable_value("global_step") == (1 if where == "before_run" else 2)


def test_other_errors_of_tensorflow_are_passed_on():
    hook = Hook("loss")
    hook.after_run = lambda *_: tf.compat.v1.placeholder(tf.float32)
    with pytest.raises(RuntimeError, match="eager"):
        in_memory(3).train(ROWS, steps=2, hooks=[hook])
    assert hook.calls == ["begin", "created"]


@pytest.mark.parametrize(
    ("fetches", "message"),
    [
        ("variance", "nothing to fetch under the name 'variance'.*known names: average_loss, cluster_counts"),
        (lambda: train.get_global_step() + 1, "nothing to fetch under the name 'add:0': no graph computes it"),
        (lambda: tf.constant(1.0), "nothing to fetch under the name 'Const:0'"),
    ],
)
def test_a_fetch_that_is_not_there_names_what_is(fetches, message):
    hook = Hook(fetches)
    if callable(fetches):
        hook.begin = lambda: setattr(hook, "fetches", fetches())
    with pytest.raises(ArgumentError, match=message):
        in_memory(3).train(ROWS, steps=2, hooks=[hook])


def test_an_eager_tensor_cannot_be_fetched():
    with pytest.raises(ArgumentTypeError, match="fetches must be names"):
        in_memory(3).train(ROWS, steps=2, hooks=[Hook(tf.constant(1.0))])


def test_a_listener_hears_of_checkpoints(tmp_path):
    class Listener(train.CheckpointSaverListener):
        calls = ()

        def begin(self):
            assert train.get_global_step().name == "global_step:0"

        def before_save(self, session, global_step_value):
            self.calls += (("before", global_step_value, int(session.run("global_step"))),)

        def after_save(self, session, global_step_value):
            self.calls += (("after", global_step_value),)
            return global_step_value == 2

        def end(self, session, global_step_value):
            self.calls += (("end", global_step_value),)

    listeners = [train.CheckpointSaverListener(), Listener()]
    config = RunConfig(tmp_path, save_checkpoints_steps=1)
    KMeans(3, seed=1, config=config).train(ROWS, steps=9, saving_listeners=listeners)
    saves = [call for step in range(3) for call in (("before", step, step), ("after", step))]
    assert listeners[1].calls == (*saves, ("end", 2))


# --- TensorFlow's own hooks -------------------------------------------------------------------------------


def test_stop_at_step():
    model = in_memory(3).train(ROWS, steps=2)
    assert step_of(model.train(ROWS, steps=99, hooks=[train.StopAtStepHook(num_steps=3)])) == 5
    assert step_of(model.train(ROWS, steps=99, hooks=[train.StopAtStepHook(last_step=7)])) == 7


def lines(caplog, hook):
    logging.getLogger("tensorflow").propagate = True
    with caplog.at_level(logging.INFO, "tensorflow"):
        in_memory(3).train(ROWS, steps=5, hooks=[hook])
    return [record.getMessage() for record in caplog.records if record.name == "tensorflow"]


def test_log_tensors(caplog):
    found = lines(caplog, train.LoggingTensorHook({"at": "global_step", "loss": "loss"}, every_n_iter=2, at_end=False))
    assert [line.partition(",")[0] for line in found] == ["at = 1", "at = 3", "at = 5"]
    assert all("loss = " in line for line in found)


def test_log_tensors_at_the_end(caplog):
    assert lines(caplog, train.LoggingTensorHook(["global_step"], at_end=True)) == ["global_step = 5"]


def test_log_tensors_of_an_unknown_name():
    with pytest.raises(KeyError, match="variance") as caught:
        in_memory(3).train(ROWS, steps=2, hooks=[train.LoggingTensorHook(["variance"], every_n_iter=1)])
    assert caught.value.__notes__[0].startswith("names that a hook can fetch: global_step, loss")


def test_count_steps_a_second(caplog, tmp_path):
    found = lines(caplog, train.StepCounterHook(every_n_steps=2, output_dir=str(tmp_path)))
    assert len([line for line in found if line.startswith("global_step/sec: ")]) == 2
    tf.compat.v1.summary.FileWriterCache.clear()  # TensorFlow writes from a thread
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("global_step/sec")] == [3, 5]


def test_nan_loss():
    assert step_of(in_memory(3).train(ROWS, steps=2, hooks=[train.NanTensorHook("loss")])) == 2
    session = HookSession([train.NanTensorHook("loss")])
    session.before()
    with pytest.raises(train.NanLossDuringTrainingError):
        session.after({"loss": np.nan})


@pytest.mark.parametrize("kind", [train.FinalOpsHook, estimator.FinalOpsHook])
def test_the_last_loss_is_there_at_the_end(kind):
    final, losses = kind(["loss", "global_step"]), []
    log = train.LoggingTensorHook(["loss"], at_end=True)
    model = in_memory(3).train(stream(), hooks=[final, log, lambda state, stats, now: losses.append(stats.cost)])
    assert list(final.final_ops_values) == [losses[-1], step_of(model)]


def test_final_ops():
    hook = train.FinalOpsHook({"step": "global_step"})
    in_memory(3).train(ROWS, steps=4, hooks=[hook])
    assert hook.final_ops_values == {"step": 4}


def test_a_saver_replaces_the_configuration(tmp_path):
    steps = []

    class Listener(train.CheckpointSaverListener):
        def after_save(self, session, global_step_value):
            steps.append(global_step_value)

    saver = train.CheckpointSaverHook(str(tmp_path), save_steps=2, listeners=[Listener()])
    KMeans(3, tmp_path, seed=1).train(ROWS, steps=5, hooks=[saver])
    assert steps == [0, 2, 4, 5]


def profiler(folder):
    with tf.Graph().as_default():
        return train.ProfilerHook(save_steps=1, output_dir=folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: train.SummarySaverHook(1, output_dir=folder, summary_op="x"),
            r"hooks\[1\]: SummarySaverHook.*save_summary_steps",
        ),
        (profiler, "ProfilerHook.*history"),
        (lambda folder: train.FeedFnHook(dict), "FeedFnHook.*as input"),
        (lambda folder: train.GlobalStepWaiterHook(9), "GlobalStepWaiterHook.*one process trains"),
        (
            lambda folder: train.CheckpointSaverHook("x", save_steps=1, checkpoint_basename="m"),
            "checkpoint_basename.*'m'",
        ),
        (lambda folder: train.CheckpointSaverHook("x", save_steps=1, scaffold=train.Scaffold()), "scaffold"),
        (lambda folder: type("Mine", (train.CheckpointSaverHook,), {})("x", save_steps=1), "saving_listeners"),
        (lambda folder: train.CheckpointSaverHook("elsewhere", save_steps=1), "checkpoint_dir must be the model_dir"),
    ],
)
def test_what_needs_a_graph_is_refused_before_anything_happens(make, message, tmp_path):
    with pytest.raises((ArgumentError, ArgumentTypeError), match=message):
        KMeans(3, tmp_path / "model").train(ROWS, hooks=[Hook("loss"), make(str(tmp_path))])
    assert not (tmp_path / "model").exists()
