"""When training stops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from macqueen import KMeans
from tests.models import centers_at, in_memory, rows_of, saved_each_step, small_integers, step_of

# --- when training stops ----------------------------------------------------------------------------------


def test_full_batch_stops_when_the_centers_no_longer_move():
    rows = small_integers()
    model = in_memory(5, use_mini_batch=False).train(rows)
    steps, settled = step_of(model), model.cluster_centers().tobytes()
    before = in_memory(5, use_mini_batch=False).train(rows, steps=steps - 2)
    assert before.cluster_centers().tobytes() != settled
    assert before.train(rows, steps=1).cluster_centers().tobytes() == settled
    assert model.train(rows, steps=5).cluster_centers().tobytes() == settled


def test_steps_are_made_even_where_nothing_moves():
    model = in_memory(1, use_mini_batch=False).train(small_integers(), steps=7)
    assert step_of(model) == 7


def test_calls_with_steps_add_up():
    model = in_memory(3).train(small_integers(), steps=4).train(small_integers(), steps=3)
    assert step_of(model) == 7


def test_max_steps_is_a_step_of_the_model():
    model = in_memory(3).train(small_integers(), max_steps=4).train(small_integers(), max_steps=6)
    assert step_of(model) == 6


def test_max_steps_that_are_made_leave_input_and_model_alone():
    model = in_memory(3).train(small_integers(), steps=4)
    before = model.cluster_centers().tobytes()
    model.train(lambda: pytest.fail("the input was read"), max_steps=4)
    assert (step_of(model), model.cluster_centers().tobytes()) == (4, before)


def test_mini_batches_make_one_pass():
    assert step_of(in_memory(3, batch_size=64).train(small_integers())) == 4


def test_mini_batches_begin_again_where_more_steps_are_asked_for():
    assert step_of(in_memory(3, batch_size=64).train(small_integers(), steps=11)) == 11


def test_each_pass_has_an_order_of_its_own(tmp_path):
    """The running sum of batches that double tells their order."""
    batches = [np.full((1, 1), 2.0**i, np.float64) for i in range(12)]
    model = KMeans(1, initial_clusters=np.zeros((1, 1)), seed=0, config=saved_each_step(tmp_path))
    model.train(batches, steps=24)
    sums = np.array([centers_at(model, step)[0, 0] * (step + 1) for step in range(25)])
    looked = np.log2(np.diff(sums)).round().astype(int).tolist()
    assert sorted(looked[:12]) == sorted(looked[12:]) == list(range(12))
    assert looked[:12] != looked[12:]
    assert list(range(12)) not in (looked[:12], looked[12:])


def test_a_stream_ends_training_before_the_steps_asked_for():
    assert step_of(in_memory(3).train(iter([small_integers()] * 3), steps=10)) == 3


def test_a_stream_is_read_no_further_than_the_steps_asked_for():
    stream = iter([small_integers() + i for i in range(5)])
    in_memory(3, rows_of([0, 0, 0], [1, 1, 1], [2, 2, 2])).train(stream, steps=2)
    assert next(stream).tobytes() == (small_integers() + 2).tobytes()


def losses_of(rows, centers, count):
    """The losses of the first full-batch steps."""
    model, losses = in_memory(len(centers), centers, use_mini_batch=False), []
    for _ in range(count):
        losses.append(model.score(rows))
        model.train(rows, steps=1)
    return losses


def first_small_change(losses, tolerance):
    """The step whose loss changed by less than the tolerance."""
    changes = [abs(b - a) / (1 + abs(a)) for a, b in itertools.pairwise(losses)]
    return next(step for step, change in enumerate(changes, start=2) if change < tolerance)


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 0.001])
def test_relative_tolerance_stops(tolerance):
    rows = small_integers()
    expected = first_small_change(losses_of(rows, rows[:5], 30), tolerance)
    model = in_memory(5, rows[:5], use_mini_batch=False, relative_tolerance=tolerance).train(rows, steps=30)
    assert step_of(model) == expected < 30


def test_relative_tolerance_remembers_the_loss_across_calls():
    """The call before the last step ends one step early; the next one makes that step and no other."""
    rows = small_integers()
    expected = first_small_change(losses_of(rows, rows[:5], 30), 0.01)
    model = in_memory(5, rows[:5], use_mini_batch=False, relative_tolerance=0.01)
    model.train(rows, steps=expected - 1)
    assert step_of(model) == expected - 1
    assert step_of(model.train(rows, steps=10)) == expected


def test_relative_tolerance_remembers_the_loss_in_the_directory(tmp_path):
    rows = small_integers()
    expected = first_small_change(losses_of(rows, rows[:5], 30), 0.01)
    arguments = (5, tmp_path, rows[:5])
    KMeans(*arguments, use_mini_batch=False, relative_tolerance=0.01).train(rows, steps=expected - 1)
    model = KMeans(*arguments, use_mini_batch=False, relative_tolerance=0.01).train(rows, steps=10)
    assert step_of(model) == expected


def test_a_loss_of_zero_stops():
    rows = rows_of([1], [5])
    model = in_memory(2, rows, use_mini_batch=False, relative_tolerance=1e-9).train(rows, steps=10)
    assert (model.score(rows), step_of(model)) == (0, 2)


@pytest.mark.parametrize("tolerance", [0.0, -1.0])
def test_a_tolerance_of_zero_or_less_never_stops(tolerance):
    model = in_memory(2, use_mini_batch=False, relative_tolerance=tolerance).train(small_integers(), steps=40)
    assert step_of(model) == 40


def test_losses_are_compared_by_iteration():
    """Batches whose losses repeat every 3 steps: whole iterations are alike from the second on."""
    batches = itertools.cycle([rows_of([0], [2]), rows_of([0], [20]), rows_of([0], [200])])
    arguments = {"mini_batch_steps_per_iteration": 3, "relative_tolerance": 1e-3}
    model = in_memory(1, rows_of([37]), **arguments).train(batches, steps=50)
    assert step_of(model) in {6, 9}
