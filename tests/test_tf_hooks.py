"""The usual hooks under their old names."""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import macqueen.tf_estimator as estimator
from macqueen.errors import ArgumentError, NanLossError
from macqueen.tf_estimator.adapter import HookSession
from macqueen.tf_estimator.session import fetched
from tests.models import in_memory, small_integers, step_of

ROWS = small_integers()


# --- a timer ----------------------------------------------------------------------------------------------


def test_a_timer_of_steps():
    timer = estimator.SecondOrStepTimer(every_steps=3)
    found = []
    for step in range(1, 9):
        if timer.should_trigger_for_step(step):
            timer.update_last_triggered_step(step)
            found.append(step)
    assert found == [1, 4, 7]
    assert timer.last_triggered_step() == 7


def test_a_timer_of_seconds():
    now = [100.0]
    timer = estimator.SecondOrStepTimer(every_secs=10, clock=lambda: now[0])
    assert timer.should_trigger_for_step(1)
    assert timer.update_last_triggered_step(1) == (None, None)
    now[0] = 109.0
    assert not timer.should_trigger_for_step(5)
    now[0] = 110.0
    assert timer.should_trigger_for_step(5)
    assert not timer.should_trigger_for_step(1)  # at most once a step
    assert timer.update_last_triggered_step(5) == (10.0, 4)
    timer.reset()
    assert timer.should_trigger_for_step(5)


@pytest.mark.parametrize(
    "make",
    [
        estimator.SecondOrStepTimer,
        lambda: estimator.SecondOrStepTimer(every_secs=1, every_steps=1),
        lambda: estimator.SecondOrStepTimer(every_steps=0),
        estimator.StopAtStepHook,
        lambda: estimator.StopAtStepHook(1, 2),
        lambda: estimator.LoggingTensorHook(["loss"]),
        lambda: estimator.LoggingTensorHook(["loss"], 1, 2.0),
        lambda: estimator.StepCounterHook(every_n_steps=None),
        lambda: estimator.CheckpointSaverHook("folder"),
        lambda: estimator.CheckpointSaverHook("folder", save_secs=1, save_steps=1),
    ],
)
def test_how_often_must_be_said_once(make):
    with pytest.raises(ArgumentError, match=r"exactly one of|must be above 0"):
        make()


# --- the hooks --------------------------------------------------------------------------------------------


def test_stop_after_so_many_steps():
    model = in_memory(3).train(ROWS, steps=2)
    assert step_of(model.train(ROWS, steps=99, hooks=[estimator.StopAtStepHook(num_steps=3)])) == 5


def test_stop_at_a_step():
    model = in_memory(3).train(ROWS, steps=2)
    assert step_of(model.train(ROWS, steps=99, hooks=[estimator.StopAtStepHook(last_step=4)])) == 4


def lines(caplog, *hooks, **arguments):
    with caplog.at_level(logging.INFO, "macqueen"):
        in_memory(3).train(ROWS, steps=5, hooks=list(hooks), **arguments)
    return [record.getMessage() for record in caplog.records]


def test_log_values_by_name(caplog):
    found = lines(caplog, estimator.LoggingTensorHook({"step": "global_step"}, every_n_iter=2))
    assert [line for line in found if line.startswith("step = ")] == ["step = 1", "step = 3", "step = 5"]


def test_log_values_at_the_end(caplog):
    hook = estimator.LoggingTensorHook(["global_step"], at_end=True, formatter=lambda values: f"the end: {values}")
    assert [line for line in lines(caplog, hook) if "the end" in line] == [
        f"the end: {{'global_step': {np.int64(5)!r}}}"
    ]


def test_count_steps_a_second(caplog, tmp_path):
    found = lines(caplog, estimator.StepCounterHook(every_n_steps=2, output_dir=str(tmp_path)))
    assert len([line for line in found if line.startswith("global_step/sec: ")]) == 2
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("global_step/sec")] == [3, 5]


def nan_run(hook):
    session = HookSession([hook])
    session.begin()
    session.before()
    return session.after({"loss": math.nan})


def test_nan_ends_training():
    with pytest.raises(NanLossError, match="NaN loss during training"):
        nan_run(estimator.NanTensorHook("loss"))
    assert nan_run(estimator.NanTensorHook("loss", fail_on_nan_loss=False)) == "a hook asked to stop"
    assert estimator.NanLossDuringTrainingError is NanLossError
    assert step_of(in_memory(3).train(ROWS, steps=2, hooks=[estimator.NanTensorHook("loss")])) == 2


def test_final_values():
    hook = estimator.FinalOpsHook({"step": "global_step"})
    in_memory(3).train(ROWS, steps=4, hooks=[hook])
    assert hook.final_ops_values == {"step": 4}


# --- fetches ----------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """Any structure of names."""

    one: object
    other: object


class Named:
    """Has a name, as a tensor of a graph."""

    name = "clusters:0"


def test_fetches_keep_their_structure():
    values = {"loss": 1.5, "global_step": np.int64(3), "clusters": np.eye(2)}
    assert fetched("loss:0", values) == 1.5
    assert fetched(["loss", ("global_step",)], values) == [1.5, (3,)]
    assert fetched({"a": {"b": "loss"}}, values) == {"a": {"b": 1.5}}
    assert fetched(Pair("loss", "global_step"), values) == Pair(1.5, 3)
    assert fetched(Named(), values) is values["clusters"]
