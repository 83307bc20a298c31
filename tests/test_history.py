"""KMeans.history: what the steps found out, as arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen.hooks import History
from macqueen.state import State, StepStats
from tests.models import in_memory, quick, small_integers


def record(history, step, counts):
    state = State(centers=np.zeros((len(counts), 1)), step=step, seed=0, loss=float(step))
    found = StepStats(3, np.array(counts), float(step), totals=None, means=None, position=None)
    history(state, found, now=float(step))


def test_history_is_what_the_hooks_saw():
    seen = []
    model = in_memory(3, batch_size=64)
    model.train(small_integers(), steps=5, hooks=[lambda state, stats, now: seen.append((state, stats))])
    found = model.history()
    assert found["step"].tolist() == [1, 2, 3, 4, 5]
    assert found["loss"].tolist() == [state.loss for state, _ in seen]
    assert found["cost"].tolist() == [stats.cost for _, stats in seen]
    assert found["rows"].tolist() == [stats.rows for _, stats in seen]
    assert np.array_equal(found["counts"], [stats.counts for _, stats in seen])
    assert (np.diff(found["seconds"]) >= 0).all()


def test_history_goes_on_with_the_next_call():
    model = in_memory(3, use_mini_batch=False).train(small_integers(), steps=2).train(small_integers(), steps=2)
    assert model.history()["step"].tolist() == [1, 2, 3, 4]
    assert (np.diff(model.history()["seconds"]) >= 0).all()


def test_history_before_training_is_empty():
    found = in_memory(3).history()
    assert {name: (array.shape, array.dtype.kind) for name, array in found.items()} == {
        "step": ((0,), "i"),
        "loss": ((0,), "f"),
        "cost": ((0,), "f"),
        "rows": ((0,), "i"),
        "seconds": ((0,), "f"),
        "counts": ((0, 3), "i"),
    }


def test_the_loss_is_unknown_until_an_iteration_is_whole():
    model = in_memory(3, mini_batch_steps_per_iteration=3, batch_size=50).train(small_integers(), steps=4)
    found = model.history()
    assert np.isnan(found["loss"]).tolist() == [True, True, False, False]
    assert found["loss"][2] == pytest.approx(found["cost"][:3].sum())


@quick
@given(steps=st.integers(1, 300), most=st.integers(16, 40))
def test_a_long_history_is_thinned_evenly_and_ends_with_the_latest_step(steps, most):
    history = History(most_records=most)
    for step in range(1, steps + 1):
        record(history, step, [step, 0])
    found = history.arrays(2)["step"]
    assert len(found) <= most + 1
    assert found[-1] == steps
    stride = int(found[0])
    assert math.log2(stride).is_integer()
    assert found[: steps // stride].tolist() == list(range(stride, steps + 1, stride))


def test_many_clusters_leave_fewer_records():
    history = History(most_bytes=100_000)
    for step in range(1, 200):
        record(history, step, [0] * 400)
    assert len(history.arrays(400)["step"]) <= 100_000 // (8 * 400)


def test_very_many_clusters_leave_two_records():
    """One of those kept, and the latest."""
    history = History(most_bytes=1000)
    for step in range(1, 40):
        record(history, step, [0] * 400)
    assert history.arrays(400)["step"].tolist() == [32, 39]
