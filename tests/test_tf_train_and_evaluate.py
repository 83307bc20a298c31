"""`train_and_evaluate` with its specs and exporters."""

from __future__ import annotations

import os

import numpy as np
import pytest

import macqueen.tf_estimator as estimator
from macqueen import KMeans, RunConfig, load_variable
from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.tf_estimator.exporters import _loss_smaller
from tests.models import small_integers

ROWS = small_integers()


class Asked(estimator.Exporter):
    """Writes down what it is asked, and returns the step if it is wanted."""

    def __init__(self, name="asked", final_only=False):
        self._name = name
        self.final_only = final_only
        self.calls = []

    @property
    def name(self):
        return self._name

    def export(self, estimator, export_path, checkpoint_path, eval_result, is_the_final_export):
        assert export_path == os.path.join(estimator.model_dir, "export", self._name)
        assert load_variable(checkpoint_path, "global_step") == eval_result["global_step"]
        self.calls.append((int(eval_result["global_step"]), is_the_final_export))
        return None if self.final_only and not is_the_final_export else int(eval_result["global_step"])


def model_in(folder, every=2, **arguments):
    return KMeans(3, config=RunConfig(folder, save_checkpoints_steps=every), seed=1, batch_size=20, **arguments)


def run(model, exporters=(), max_steps=6, throttle_secs=0, rows=ROWS, **arguments):
    train_spec = estimator.TrainSpec(rows, max_steps=max_steps, **arguments)
    eval_spec = estimator.EvalSpec(ROWS, exporters=exporters, throttle_secs=throttle_secs)
    return estimator.train_and_evaluate(model, train_spec, eval_spec)


def test_checkpoints_are_evaluated_as_they_are_written(tmp_path):
    exporter = Asked()
    model = model_in(tmp_path)
    metrics, exported = run(model, exporter)
    assert exporter.calls == [(2, False), (4, False), (6, True)]
    assert metrics == model.evaluate(ROWS)
    assert exported == [6]


def test_the_last_checkpoint_is_evaluated_whatever_the_throttle(tmp_path):
    exporter = Asked()
    run(model_in(tmp_path), exporter, throttle_secs=600)
    assert exporter.calls == [(2, False), (6, True)]


def test_the_end_of_the_input_is_the_end_as_well(tmp_path):
    """Exporters that declined the last checkpoint are asked again, when it has turned out to be the last."""
    every, final = Asked("every"), Asked("final", final_only=True)
    metrics, exported = run(model_in(tmp_path), [every, final], max_steps=None, rows=lambda: iter([ROWS] * 4))
    assert every.calls == [(2, False), (4, False)]
    assert final.calls == [(2, False), (4, False), (4, True)]
    assert exported == [4, 4]
    assert metrics["global_step"] == 4


def test_a_model_that_is_there_is_left_alone(tmp_path):
    run(model_in(tmp_path))
    exporter = Asked()
    assert run(model_in(tmp_path), exporter) == (None, [])
    assert exporter.calls == []


def test_hooks_and_listeners_of_the_specs_are_called(tmp_path):
    class Count(estimator.SessionRunHook):
        steps = 0

        def after_run(self, run_context, run_values):
            self.steps += 1

    class Saves(estimator.CheckpointSaverListener):
        steps = ()

        def after_save(self, session, global_step_value):
            self.steps += (global_step_value,)

    hook, seen, saves = Count(), Count(), Saves()
    train_spec = estimator.TrainSpec(ROWS, max_steps=4, hooks=[hook], saving_listeners=iter([saves]))
    eval_spec = estimator.EvalSpec(lambda: iter([ROWS] * 5), steps=3, name="few", hooks=(seen,), throttle_secs=0)
    metrics, _ = estimator.train_and_evaluate(model_in(tmp_path), train_spec, eval_spec)
    assert (hook.steps, seen.steps, saves.steps) == (4, 6, (0, 2, 4))
    assert metrics["num_examples"] == 3 * len(ROWS)
    assert (tmp_path / "eval_few").is_dir()


def test_training_is_not_changed_by_it(tmp_path):
    run(model_in(tmp_path / "one"), Asked())
    model_in(tmp_path / "other").train(ROWS, max_steps=6)
    centers = [load_variable(tmp_path / name, "clusters") for name in ("one", "other")]
    assert np.array_equal(*centers)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: estimator.TrainSpec(ROWS, max_steps=0), ArgumentError, "max_steps > 0"),
        (lambda: estimator.TrainSpec(ROWS, hooks=[3]), ArgumentTypeError, r"hooks\[0\]"),
        (lambda: estimator.TrainSpec(ROWS, saving_listeners=[3]), ArgumentTypeError, r"saving_listeners\[0\]"),
        (lambda: estimator.EvalSpec(ROWS, steps=0), ArgumentError, "steps > 0"),
        (lambda: estimator.EvalSpec(ROWS, name=3), ArgumentTypeError, "name must be a str or None, got 3"),
        (lambda: estimator.EvalSpec(ROWS, throttle_secs=-1), ArgumentError, "throttle_secs must be at least 0"),
        (lambda: estimator.EvalSpec(ROWS, exporters=[3]), ArgumentTypeError, "exporters must be an Exporter"),
        (lambda: estimator.EvalSpec(ROWS, exporters=Asked("")), ArgumentError, "not empty, got ''"),
        (lambda: estimator.EvalSpec(ROWS, exporters=[Asked(), Asked()]), ArgumentError, "different names"),
        (lambda: estimator.LatestExporter("x", None, exports_to_keep=0), ArgumentError, "exports_to_keep.*at least 1"),
        (lambda: estimator.BestExporter(compare_fn=None), ArgumentError, "compare_fn must be a function"),
        (lambda: estimator.train_and_evaluate(KMeans(3), 1, 2), ArgumentTypeError, "train_spec must be a TrainSpec"),
        (lambda: run(KMeans(3, config=RunConfig("x", save_checkpoints_steps=0))), ArgumentError, "need checkpoints"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_better_of_two_has_the_smaller_loss():
    assert _loss_smaller({"loss": 2.0}, {"loss": 1.0})
    assert not _loss_smaller({"loss": 1.0}, {"loss": 1.0})


def test_exporters_choose_the_checkpoints(tmp_path):
    """A full batch gets better with every step: each is the best, and the newest two are kept."""
    exporters = [
        estimator.FinalExporter("final", None),
        estimator.LatestExporter("latest", None, exports_to_keep=2),
        estimator.BestExporter(exports_to_keep=1),
    ]
    model = model_in(tmp_path, every=1, use_mini_batch=False)
    _, exported = run(model, exporters, max_steps=4)
    found = {name: sorted(os.listdir(tmp_path / "export" / name)) for name in ("final", "latest", "best_exporter")}
    assert {name: len(times) for name, times in found.items()} == {"final": 1, "latest": 2, "best_exporter": 1}
    assert [os.path.basename(path) for path in exported] == [times[-1] for times in found.values()]


def test_the_best_is_remembered_by_event_files(tmp_path):
    """A new process exports only what is better than the best before it."""
    model = model_in(tmp_path, every=1, use_mini_batch=False)
    run(model, estimator.BestExporter("best", compare_fn=lambda best_eval_result, current_eval_result: False))
    assert len(os.listdir(tmp_path / "export" / "best")) == 1  # the first is the best
    again = estimator.BestExporter("best", compare_fn=_loss_smaller)
    model = model_in(tmp_path, every=1, use_mini_batch=False)
    _, exported = run(model, again, max_steps=7)
    assert exported[0] is not None
    worse = estimator.BestExporter("worse", compare_fn=lambda best_eval_result, current_eval_result: False)
    _, exported = run(model, worse, max_steps=8)
    assert exported == [None]
