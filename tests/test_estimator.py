"""The estimator: its invariants on small data, and each rule of training against exact arithmetic."""

from __future__ import annotations

import itertools
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from macqueen import KMeans, RunConfig, checkpoint, inputs, load_variable

NOT_SAVED = RunConfig("never-written", save_checkpoints_steps=None, num_threads=1)
quick = settings(max_examples=150, deadline=None)
values = st.floats(-100, 100, width=32)
few_values = st.integers(-3, 3).map(float)


def in_memory(k, init="random", **arguments):
    """Return a model of which nothing is saved."""
    return KMeans(k, initial_clusters=init, config=NOT_SAVED, **{"seed": 0, **arguments})


def tables(elements=values, least=1, dtype=np.float32):
    shape = st.tuples(st.integers(least, 12), st.integers(1, 4))
    return shape.flatmap(lambda shape: arrays(dtype, shape, elements=elements))


def rows_of(*rows, dtype=np.float32):
    return np.array(rows, dtype=dtype)


def step_of(model):
    return int(model.evaluate(np.zeros((1, model.cluster_centers().shape[1]), np.float32))["global_step"])


def centers_at(model, step):
    return load_variable(os.path.join(model.model_dir, f"model.ckpt-{step}"), "clusters")


def saved_each_step(folder):
    return RunConfig(folder, save_checkpoints_steps=1, keep_checkpoint_max=None)


# --- the oracle: k-means in exact arithmetic --------------------------------------------------------------


def squared(row, center):
    return sum((Fraction(float(x)) - Fraction(float(c))) ** 2 for x, c in zip(row, center, strict=True))


def nearest(rows, centers):
    """Labels, ties to the lowest index, and exact squared distances."""
    pairs = [min((squared(row, c), j) for j, c in enumerate(centers)) for row in rows]
    return [j for _, j in pairs], [distance for distance, _ in pairs]


def sums_of(rows, labels, k):
    members = [[row for row, label in zip(rows, labels, strict=True) if label == j] for j in range(k)]
    sums = [[math.fsum(float(row[i]) for row in some) for i in range(rows.shape[1])] for some in members]
    return np.array(sums, dtype=np.float64), [len(some) for some in members]


def full_step(rows, centers, policy="keep"):
    labels, distances = nearest(rows, centers)
    labels = relocated(labels, distances, len(centers)) if policy == "relocate" else labels
    sums, counts = sums_of(rows, labels, len(centers))
    moved = centers.copy()
    for j, count in enumerate(counts):
        if count:
            moved[j] = sums[j] / count
        elif policy == "origin":
            moved[j] = 0
    return moved


def relocated(labels, distances, k):
    """Labels after the farthest rows were moved into the emptied clusters."""
    labels, counts = list(labels), [labels.count(j) for j in range(k)]
    far = sorted(range(len(labels)), key=lambda i: (-distances[i], i))
    for empty in [j for j in range(k) if counts[j] == 0]:
        row = next((i for i in far if counts[labels[i]] > 1 and distances[i] > 0), None)
        if row is None:
            break
        far = far[far.index(row) + 1 :]
        counts[labels[row]] -= 1
        labels[row] = empty
        counts[empty] = 1
    return labels


def mini_step(rows, centers, moving, counts):
    sums, found = sums_of(rows, nearest(rows, centers)[0], len(centers))
    moved, totals = moving.copy(), list(counts)
    for j, m in enumerate(found):
        if m:
            x = moving[j].astype(np.float64)
            moved[j] = x + (sums[j] - m * x) / (counts[j] + m)
            totals[j] += m
    return moved, totals


# --- against the oracle -----------------------------------------------------------------------------------


@quick
@given(tables(), st.integers(1, 5), st.data())
def test_labels_are_those_of_exact_arithmetic(rows, k, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=values))
    assert in_memory(k, centers).labels(rows).tolist() == nearest(rows, centers)[0]


@quick
@given(tables(few_values), st.integers(1, 5), st.data())
def test_ties_go_to_the_lowest_index(rows, k, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=few_values))
    assert in_memory(k, centers).labels(rows).tolist() == nearest(rows, centers)[0]


@quick
@given(tables(), st.integers(1, 5), st.data())
def test_the_score_is_the_exact_sum_rounded_once(rows, k, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=values))
    assert in_memory(k, centers).score(rows) == float(sum(nearest(rows, centers)[1]))


@quick
@given(tables(dtype=np.float64, elements=st.floats(-1e3, 1e3)), st.integers(1, 4), st.integers(1, 4), st.data())
def test_full_batch_steps_are_those_of_exact_arithmetic(rows, k, steps, data):
    centers = data.draw(arrays(np.float64, (k, rows.shape[1]), elements=st.floats(-1e3, 1e3)))
    model = in_memory(k, centers, use_mini_batch=False, empty_clusters="keep").train(rows, steps=steps)
    for _ in range(steps):
        centers = full_step(rows, centers)
    assert model.cluster_centers().tolist() == centers.tolist()


@quick
@given(tables(), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 5), st.data())
def test_mini_batch_steps_are_those_of_exact_arithmetic(rows, k, every, steps, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=values))
    batches = [data.draw(arrays(np.float32, (n, rows.shape[1]), elements=values)) for n in range(1, steps + 1)]
    model = in_memory(k, centers, mini_batch_steps_per_iteration=every).train(iter(batches))
    moving, counts = centers, [int(every == 1)] * k
    for step, batch in enumerate(batches, start=1):
        moving, counts = mini_step(batch, centers, moving, counts)
        if step % every == 0:
            centers, counts = moving, counts if every == 1 else [0] * k
    assert model.cluster_centers().tolist() == centers.tolist()


@quick
@given(tables(few_values, dtype=np.float64), st.integers(1, 6), st.data())
def test_relocation_is_that_of_exact_arithmetic(rows, k, data):
    centers = data.draw(arrays(np.float64, (k, rows.shape[1]), elements=st.integers(-5, 5).map(float)))
    model = in_memory(k, centers, use_mini_batch=False).train(rows, steps=1)
    assert model.cluster_centers().tolist() == full_step(rows, centers, "relocate").tolist()


@pytest.mark.parametrize("policy", ["keep", "relocate"])
@quick
@given(tables(), st.integers(1, 12), st.sampled_from(["random", "kmeans_plus_plus"]), st.integers(0, 2**64 - 1))
def test_the_cost_never_rises_between_full_batch_steps(policy, rows, k, init, seed):
    model = in_memory(min(k, len(rows)), init, use_mini_batch=False, empty_clusters=policy, seed=seed)
    scores = [model.train(rows, steps=1).score(rows) for _ in range(4)]
    assert all(later <= earlier * (1 + 1e-6) + 1e-9 for earlier, later in itertools.pairwise(scores))


@quick
@given(tables(), st.integers(1, 12), st.sampled_from(["random", "kmeans_plus_plus"]))
def test_labels_belong_to_the_centers_returned(rows, k, init):
    model = in_memory(min(k, len(rows)), init, use_mini_batch=False).train(rows)
    assert model.labels(rows).tolist() == nearest(rows, model.cluster_centers())[0]


# --- what training is given -------------------------------------------------------------------------------


@quick
@given(tables(), st.booleans(), st.sampled_from(["squared_euclidean", "cosine"]))
def test_inputs_are_not_written(rows, mini, metric):
    before, centers = rows.copy(), rows[:1].copy()
    rows.flags.writeable = True
    model = in_memory(1, centers, use_mini_batch=mini, distance_metric=metric).train(rows, steps=3)
    list(model.predict(rows))
    assert rows.tobytes() == before.tobytes()
    assert centers.tobytes() == before[:1].tobytes()


def small_integers():
    return np.random.default_rng(4).integers(-100, 100, size=(200, 3)).astype(np.float32)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "reversed": lambda rows: rows[::-1].copy()[::-1],
    "columns of a wider array": lambda rows: np.hstack([rows, rows])[:, :3],
    "float16": lambda rows: rows.astype(np.float16),
    "int8": lambda rows: rows.astype(np.int8),
    "int16": lambda rows: rows.astype(np.int16),
    "big endian": lambda rows: rows.astype(">f4"),
    "read-only": lambda rows: np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape),
}
WIDE_LAYOUTS = {
    "list of lists": lambda rows: rows.tolist(),
    "list of tuples": lambda rows: [tuple(row) for row in rows.tolist()],
    "int64": lambda rows: rows.astype(np.int64),
    "uint32": lambda rows: (rows + 100).astype(np.uint32),
    "fortran float64": lambda rows: np.asfortranarray(rows.astype(np.float64)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mini", [False, True])
def test_any_layout_gives_the_bits_of_float32_rows(layout, mini):
    rows = small_integers()
    other = LAYOUTS[layout](rows)
    assert other.dtype != rows.dtype or not other.flags.c_contiguous or other is not rows
    models = [in_memory(4, use_mini_batch=mini, batch_size=70).train(x, steps=5) for x in (rows, other)]
    assert models[1].cluster_centers().dtype == np.float32
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()


@pytest.mark.parametrize("layout", WIDE_LAYOUTS)
def test_any_layout_gives_the_bits_of_float64_rows(layout):
    rows = small_integers()
    other = WIDE_LAYOUTS[layout](rows)
    plain = np.array(other, dtype=np.float64, order="C")
    models = [in_memory(4, use_mini_batch=False).train(x, steps=5) for x in (plain, other)]
    assert models[1].cluster_centers().dtype == np.float64
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()


def test_a_float32_model_reads_float64_rows_without_rounding_them():
    """In float32 the row is the tie 1.0, which would go to center 0."""
    row = np.array([[1 + 1e-12]])
    model = in_memory(2, rows_of([0], [2]))
    assert (model.labels(row.astype(np.float32)).tolist(), model.labels(row).tolist()) == ([0], [1])


def test_distances_of_float64_rows_are_float64():
    (found,) = in_memory(1, rows_of([0])).predict(np.array([[1 + 1e-12]]))
    assert found["all_distances"].dtype == np.float64
    assert found["all_distances"][0] > 1


# --- how many clusters ------------------------------------------------------------------------------------


def test_one_cluster_is_the_mean():
    rows = rows_of([1, 2], [3, 4], [8, 0])
    assert in_memory(1, use_mini_batch=False).train(rows).cluster_centers().tolist() == [[4, 2]]


@pytest.mark.parametrize("init", ["random", "kmeans_plus_plus"])
def test_as_many_clusters_as_rows_cost_nothing(init):
    rows = small_integers()[:20]
    model = in_memory(20, init, use_mini_batch=False).train(rows)
    assert len(set(model.labels(rows).tolist())) == 20
    assert model.score(rows) == 0


@pytest.mark.parametrize("init", ["random", "kmeans_plus_plus"])
@pytest.mark.parametrize("metric", ["squared_euclidean", "cosine"])
def test_equal_rows_train(init, metric):
    rows = np.full((10, 2), 4, np.float32)
    model = in_memory(3, init, use_mini_batch=False, distance_metric=metric).train(rows)
    assert model.labels(rows).tolist() == [0] * 10
    assert np.isfinite(model.cluster_centers()).all()


def test_too_few_distinct_rows_are_filled_up_with_the_lowest_unused(caplog, tmp_path):
    rows = rows_of([1, 1], [1, 1], [5, 5], [1, 1])
    with caplog.at_level(logging.WARNING, "macqueen"):
        model = KMeans(4, tmp_path, "kmeans_plus_plus", seed=0).train(rows, steps=1)
    assert sorted(centers_at(model, 0).tolist()) == [[1, 1], [1, 1], [1, 1], [5, 5]]
    assert [record.message.count("distinct") for record in caplog.records] == [1]


def test_enough_distinct_rows_warn_of_nothing(caplog, tmp_path):
    with caplog.at_level(logging.WARNING, "macqueen"):
        KMeans(4, tmp_path, "kmeans_plus_plus", seed=0).train(small_integers(), steps=1)
    assert caplog.records == []


# --- emptied clusters -------------------------------------------------------------------------------------

FAR_CENTERS = rows_of([0], [1000], [2000])


def one_step(rows, centers, policy="relocate"):
    model = in_memory(len(centers), centers, use_mini_batch=False, empty_clusters=policy)
    return model.train(rows, steps=1).cluster_centers()[:, 0].tolist()


def test_relocate_gives_the_farthest_rows_to_the_emptied_clusters_in_order():
    assert one_step(rows_of([0], [1], [9], [3]), FAR_CENTERS) == [0.5, 9, 3]


def test_relocate_prefers_the_lowest_row_among_equally_far_ones():
    assert one_step(rows_of([0], [-4], [4], [4]), rows_of([0], [1000])) == [np.float32(8 / 3), -4]


def test_relocate_never_takes_the_last_row_of_a_cluster():
    """Row 0 is the farthest, but alone in its cluster."""
    assert one_step(rows_of([10], [100], [101]), rows_of([0], [100], [1000])) == [10, 100, 101]


def test_relocate_keeps_a_center_where_no_row_is_off_its_center():
    assert one_step(rows_of([0], [0], [0]), FAR_CENTERS) == [0, 1000, 2000]


def test_relocate_leaves_zero_rows_alone_under_cosine():
    centers = rows_of([1, 0], [-1, 0])
    model = in_memory(2, centers, use_mini_batch=False, distance_metric="cosine")
    model.train(rows_of([0, 0], [1, 0], [3, 4]), steps=1)
    np.testing.assert_allclose(model.cluster_centers(), [[1, 0], [0.6, 0.8]], rtol=1e-6)


def test_keep_leaves_an_emptied_center_where_it_is():
    assert one_step(rows_of([0], [1], [9], [2]), FAR_CENTERS, "keep") == [3, 1000, 2000]


def test_origin_moves_an_emptied_center_to_the_origin():
    assert one_step(rows_of([4], [1], [9], [2]), FAR_CENTERS, "origin") == [4, 0, 0]


def test_error_names_the_emptied_clusters():
    with pytest.raises(ValueError, match=r"empty_clusters='error'.*step 1.*cluster 1, 2.*relocate"):
        one_step(rows_of([0], [1]), FAR_CENTERS, "error")


def test_error_raises_nothing_where_no_cluster_is_emptied():
    assert one_step(rows_of([1], [5]), rows_of([0], [4]), "error") == [1, 5]


def test_error_leaves_the_model_as_it_says(tmp_path):
    """The model is that of its last checkpoint, here step 0: no error saves."""
    batches = [rows_of([0], [10]), rows_of([0], [1])]
    model = KMeans(2, tmp_path, rows_of([1], [9]), use_mini_batch=False, empty_clusters="error")
    with pytest.raises(ValueError, match="The model is that of its last checkpoint"):
        model.train(iter(batches))
    assert (step_of(model), model.cluster_centers().tolist()) == (0, [[1], [9]])


def test_mini_batches_never_move_an_emptied_center():
    model = in_memory(3, FAR_CENTERS, empty_clusters="relocate").train(iter([rows_of([0], [1], [9])]))
    assert model.cluster_centers()[1:, 0].tolist() == [1000, 2000]


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


# --- where centers start ----------------------------------------------------------------------------------


def first_centers(folder, rows, k, **arguments):
    arguments = {"seed": 0, **arguments}
    return centers_at(KMeans(k, folder, **arguments).train(rows, steps=1), 0)


def test_random_centers_are_distinct_rows(tmp_path):
    rows = np.arange(8, dtype=np.float32)[:, np.newaxis]
    chosen = [first_centers(tmp_path / str(seed), rows, 6, seed=seed)[:, 0].tolist() for seed in range(20)]
    assert all(len(set(some)) == 6 and set(some) <= set(range(8)) for some in chosen)
    assert len({tuple(some) for some in chosen}) > 10
    assert {index for some in chosen for index in some} == set(range(8))


def test_random_centers_of_equal_rows_are_equal_rows(tmp_path):
    """It is the rows that are distinct, not their values."""
    assert first_centers(tmp_path, np.ones((3, 1), np.float32), 3).tolist() == [[1], [1], [1]]


def test_a_small_batch_is_chosen_whole(tmp_path):
    batches = [rows_of([5], [3]), rows_of([8]), rows_of([1], [2], [4])]
    found = first_centers(tmp_path, iter(batches), 4)[:, 0].tolist()
    assert found[:3] == [5, 3, 8]
    assert found[3] in {1, 2, 4}


@pytest.mark.parametrize("kind", ["stream", "data set"])
@pytest.mark.parametrize("metric", ["squared_euclidean", "cosine"])
def test_plus_plus_chooses_distinct_rows_far_apart(tmp_path, kind, metric):
    """Tight clouds in four directions: one center in each."""
    corners = rows_of([100, 0], [0, 100], [-100, 0], [0, -100])
    noise = np.random.default_rng(0).normal(size=(40, 2), scale=0.01).astype(np.float32)
    rows = np.repeat(corners, 10, axis=0) + noise
    for seed in range(5):
        given = iter([rows]) if kind == "stream" else rows
        arguments = {"initial_clusters": "kmeans_plus_plus", "distance_metric": metric, "seed": seed}
        found = first_centers(tmp_path / str(seed), given, 4, **arguments)
        found = found / np.abs(found).max(axis=1, keepdims=True)
        assert {tuple(np.round(center).tolist()) for center in found} == {(1, 0), (0, 1), (-1, 0), (0, -1)}


def test_plus_plus_looks_at_the_first_batch_alone_of_a_stream(tmp_path):
    batches = [rows_of([0], [1], [2]), rows_of([1000], [2000])]
    found = first_centers(tmp_path, iter(batches), 3, initial_clusters="kmeans_plus_plus")
    assert sorted(found[:, 0].tolist()) == [0, 1, 2]


def test_plus_plus_looks_at_all_batches_of_a_data_set(tmp_path):
    batches = [rows_of([0], [0], [0]), rows_of([1000], [2000])]
    found = first_centers(tmp_path, batches, 3, initial_clusters="kmeans_plus_plus")
    assert sorted(found[:, 0].tolist()) == [0, 1000, 2000]


@pytest.mark.parametrize("retries", [-1, 0, 1, 5])
def test_plus_plus_with_any_number_of_retries_chooses_rows(tmp_path, retries):
    rows = np.arange(30, dtype=np.float32)[:, np.newaxis] ** 2
    found = first_centers(tmp_path, rows, 6, initial_clusters="kmeans_plus_plus", kmeans_plus_plus_num_retries=retries)
    assert len(set(found[:, 0].tolist()) & set(rows[:, 0].tolist())) == 6


def test_a_function_is_given_the_batch_and_what_is_missing(tmp_path):
    """It may pick 0 to k rows of each batch, and is asked again until all are found."""
    calls = []

    def choose(batch, k):
        calls.append((type(batch), batch.shape, k))
        return batch[: len(calls) - 1]

    batches = [rows_of([i], [i + 0.5]) for i in range(4)]
    found = first_centers(tmp_path, iter(batches), 3, initial_clusters=choose)
    assert calls == [(np.ndarray, (2, 1), 3), (np.ndarray, (2, 1), 3), (np.ndarray, (2, 1), 2)]
    assert found[:, 0].tolist() == [1, 2, 2.5]


def test_a_function_sees_all_rows_of_a_data_set_in_full_batch_mode(tmp_path):
    seen = []

    def choose(batch, k):
        seen.append(batch.shape)
        return batch[-k:]

    rows = small_integers()
    found = first_centers(tmp_path, rows, 3, initial_clusters=choose, use_mini_batch=False)
    assert seen == [(200, 3)]
    assert found.tobytes() == rows[-3:].tobytes()


def test_a_function_may_return_a_list(tmp_path):
    found = first_centers(tmp_path, rows_of([1], [2]), 2, initial_clusters=lambda batch, k: [[7], [8]])
    assert found.tolist() == [[7], [8]]


def choose_one(batch, k):
    return batch[: min(k, 1)]


@pytest.mark.parametrize(("init", "size"), [("random", 1), ("random", 7), ("kmeans_plus_plus", 7), (choose_one, 7)])
@pytest.mark.parametrize("mini", [False, True])
def test_what_initialisation_looked_at_is_trained_on_as_well(init, size, mini):
    """A stream of 9 batches makes 9 steps, whatever was looked at."""
    batches = [small_integers()[i * size : (i + 1) * size] for i in range(9)]
    assert step_of(in_memory(4, init, use_mini_batch=mini).train(iter(batches))) == 9


def test_batches_looked_at_are_trained_on_in_order():
    """The same steps as from the same centers given."""
    batches = [rows_of([i], [i * i + 5]) for i in range(6)]
    looked = in_memory(4).train(iter(batches))
    centers = np.concatenate(batches[:2])
    assert looked.cluster_centers().tobytes() == in_memory(4, centers).train(iter(batches)).cluster_centers().tobytes()


def test_given_centers_serve_before_training():
    model = in_memory(99, rows_of([0], [5]))
    assert model.labels(rows_of([1], [4], [9])).tolist() == [0, 1, 1]
    assert model.cluster_centers().tolist() == [[0], [5]]


def test_without_a_seed_one_is_drawn(tmp_path):
    seeds = set()
    for i in range(4):
        model = KMeans(2, tmp_path / str(i)).train(small_integers(), steps=1)
        seeds.add(checkpoint.restore(model.latest_checkpoint())[0].seed)
    assert len(seeds) == 4


@pytest.mark.parametrize(("seed", "config_seed", "expected"), [(5, 6, 5), (None, 6, 6), (-1, None, 2**64 - 1)])
def test_the_seed_in_force_is_recorded(tmp_path, seed, config_seed, expected):
    config = RunConfig(tmp_path, config_seed)
    model = KMeans(2, seed=seed, config=config).train(small_integers(), steps=1)
    assert checkpoint.restore(model.latest_checkpoint())[0].seed == expected


# --- mini-batches -----------------------------------------------------------------------------------------


def test_a_given_center_counts_as_one_row(tmp_path):
    """Three rows of sum (4, 5) move (0, 0) to (4, 5) / (1 + 3)."""
    model = KMeans(1, tmp_path, rows_of([0, 0])).train(iter([rows_of([1, 1], [1, 2], [2, 2])]))
    assert model.cluster_centers().tolist() == [[1, 1.25]]
    assert model.get_variable_value("cluster_counts").tolist() == [4]


def test_counts_go_on_in_the_next_batch(tmp_path):
    """After 4 rows a row weighs 1/5."""
    model = KMeans(1, tmp_path, rows_of([0])).train(iter([rows_of([4], [4], [4]), rows_of([13])]))
    assert model.cluster_centers().tolist() == [[5]]
    assert model.get_variable_value("cluster_counts").tolist() == [5]


def test_clusters_without_rows_keep_center_and_count(tmp_path):
    model = KMeans(2, tmp_path, rows_of([0], [100])).train(iter([rows_of([1])]))
    assert model.get_variable_value("clusters").tolist() == [[0.5], [100]]
    assert model.get_variable_value("cluster_counts").tolist() == [2, 1]


def test_three_steps_per_iteration_are_synced_when_the_third_ends(tmp_path):
    batches = [rows_of([1]), rows_of([2]), rows_of([6]), rows_of([8])]
    model = KMeans(1, initial_clusters=rows_of([0]), mini_batch_steps_per_iteration=3, config=saved_each_step(tmp_path))
    model.train(iter(batches))
    assert [centers_at(model, step).tolist() for step in range(5)] == [[[0]], [[0]], [[0]], [[3]], [[3]]]


def test_an_iteration_begins_with_counts_of_zero(tmp_path):
    batches = [rows_of([1]), rows_of([2]), rows_of([6]), rows_of([8])]
    model = KMeans(1, tmp_path, rows_of([0]), mini_batch_steps_per_iteration=3).train(iter(batches))
    assert model.get_variable_value("clusters_updated").tolist() == [[8]]
    assert model.get_variable_value("cluster_counts").tolist() == [1]


def test_rows_are_assigned_to_the_centers_of_the_last_sync(tmp_path):
    """The moving center 0 comes past 6, which still belongs to center 0 as it was."""
    batches = [rows_of([5]), rows_of([6]), rows_of([6])]
    model = KMeans(2, tmp_path, rows_of([0], [13]), mini_batch_steps_per_iteration=3).train(iter(batches))
    assert model.get_variable_value("clusters").tolist() == [[np.float32(17 / 3)], [13]]


# --- cosine -----------------------------------------------------------------------------------------------


def test_a_zero_row_has_distance_1_to_every_center_and_label_0():
    (found,) = in_memory(2, rows_of([3, 4], [-1, 0]), distance_metric="cosine").predict(rows_of([0, 0]))
    assert (found["all_distances"].tolist(), found["cluster_index"]) == ([1, 1], 0)


def test_a_zero_row_costs_1():
    model = in_memory(1, rows_of([1, 0]), distance_metric="cosine")
    assert model.score(rows_of([0, 0], [5, 0], [0, 0])) == 2


def test_a_zero_row_is_not_counted(tmp_path):
    model = KMeans(1, tmp_path, rows_of([1, 0]), "cosine").train(iter([rows_of([0, 0], [0, 2], [0, 0])]))
    assert model.get_variable_value("cluster_counts").tolist() == [2]
    assert model.cluster_centers().tolist() == [[0.5, 0.5]]


def test_a_zero_row_does_not_move_a_center_of_a_full_batch():
    model = in_memory(1, rows_of([1, 0]), use_mini_batch=False, distance_metric="cosine")
    assert model.train(rows_of([0, 0], [0, 2]), steps=1).cluster_centers().tolist() == [[0, 1]]


def test_cosine_does_not_look_at_lengths():
    """Rows times powers of two, which lose nothing, give the same bits."""
    rows = small_integers()
    rows = rows[rows.any(axis=1)]
    scaled = rows * np.exp2(np.arange(len(rows)) % 9 - 4).astype(np.float32)[:, np.newaxis]
    assert scaled.tobytes() != rows.tobytes()
    models = [in_memory(4, use_mini_batch=False, distance_metric="cosine").train(x, steps=3) for x in (rows, scaled)]
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()


def test_cosine_distances_are_1_minus_the_cosine():
    rows = small_integers()[:30].astype(np.float64)
    centers = small_integers()[30:34].astype(np.float64)
    found = np.array(list(in_memory(4, centers, distance_metric="cosine").transform(rows)))
    lengths = np.linalg.norm(rows, axis=1)[:, np.newaxis] * np.linalg.norm(centers, axis=1)
    np.testing.assert_allclose(found, 1 - rows @ centers.T / lengths, atol=1e-14)


# --- where a model is kept --------------------------------------------------------------------------------


def test_nothing_is_written_where_nothing_is_to_be_saved(tmp_path):
    config = RunConfig(tmp_path / "model", save_checkpoints_steps=None)
    model = KMeans(2, config=config).train(small_integers(), steps=2)
    assert step_of(model) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_call_saves_its_beginning_and_its_end(tmp_path):
    KMeans(2, tmp_path).train(small_integers(), steps=5)
    assert sorted(path.name for path in tmp_path.glob("model*")) == [f"model.ckpt-{n}.safetensors" for n in (0, 5)]


def test_checkpoints_are_saved_as_often_as_asked_and_pruned(tmp_path):
    config = RunConfig(tmp_path, save_checkpoints_steps=2, keep_checkpoint_max=3)
    KMeans(2, config=config).train(small_integers(), steps=9)
    assert sorted(path.name for path in tmp_path.glob("model*")) == [f"model.ckpt-{n}.safetensors" for n in (6, 8, 9)]


def test_a_new_object_reads_the_model_of_the_directory(tmp_path):
    trained = KMeans(3, tmp_path, seed=1).train(small_integers(), steps=3)
    assert KMeans(3, tmp_path).cluster_centers().tobytes() == trained.cluster_centers().tobytes()


@pytest.mark.parametrize("saved", [True, False])
def test_a_model_survives_pickling(tmp_path, saved):
    config = RunConfig(tmp_path, save_checkpoints_steps=1 if saved else None)
    model = KMeans(3, seed=1, use_mini_batch=False, config=config).train(small_integers(), steps=2)
    copy = pickle.loads(pickle.dumps(model))
    assert copy is not model
    assert (copy.model_dir, step_of(copy)) == (model.model_dir, 2)
    assert copy.cluster_centers().tobytes() == model.cluster_centers().tobytes()
    ends = [one.train(small_integers(), max_steps=4).cluster_centers().tobytes() for one in (model, copy)]
    assert ends[0] == ends[1]


def test_predictions_of_other_threads_during_training_are_those_of_some_step(tmp_path):
    """Each prediction has the labels of one of the steps, never of a mixture."""
    rows = np.random.default_rng(3).normal(size=(3000, 4)).astype(np.float32)
    model = KMeans(8, seed=1, use_mini_batch=False, config=saved_each_step(tmp_path)).train(rows, steps=1)
    found, failures, stop = set(), [], threading.Event()

    def predict():
        try:
            while not stop.is_set():
                found.add(model.labels(rows).tobytes())
        except Exception as error:  # noqa: BLE001  # any would be a failure of the test
            failures.append(error)

    readers = [threading.Thread(target=predict) for _ in range(3)]
    for reader in readers:
        reader.start()
    model.train(rows, steps=40)
    stop.set()
    for reader in readers:
        reader.join()
    allowed = {in_memory(8, centers_at(model, step)).labels(rows).tobytes() for step in range(42)}
    assert failures == []
    assert len(found) > 1
    assert found <= allowed


# --- other processes --------------------------------------------------------------------------------------

FORKED = """
import multiprocessing, sys
import numpy as np
from macqueen import KMeans, RunConfig
if __name__ == "__main__":
    rows = np.random.default_rng(0).normal(size=(20000, 8)).astype(np.float32)
    config = RunConfig("never-written", save_checkpoints_steps=None, num_threads=3)
    model = KMeans(10, seed=1, use_mini_batch=False, config=config).train(rows, steps=2)
    here = model.labels(rows).tolist()
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        there = pool.apply_async(model.labels, (rows,)).get(60).tolist()
    assert len(set(here)) == 10
    assert here == there
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_model_works_in_another_process(tmp_path, method):
    (tmp_path / "program.py").write_text(FORKED)
    command = [sys.executable, str(tmp_path / "program.py"), method]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


INTERRUPTED = """
import sys, time
import numpy as np
from macqueen import KMeans
mode, folder, n, d, k = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
rows = np.random.default_rng(0).random((n, d), dtype=np.float32)
model = KMeans(k, folder, rows[:k], use_mini_batch=mode == "mini")
try:
    model.train(rows, steps=10**6)
except KeyboardInterrupt:
    sys.stdout.write(str(time.time()))
"""


def interrupted(folder, mode, rows, dims, clusters, wait):
    """Train in a process that gets SIGINT `wait` seconds after its first checkpoint; return the seconds it took."""
    command = [sys.executable, "-c", INTERRUPTED, mode, str(folder), str(rows), str(dims), str(clusters)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while run.poll() is None and not (Path(folder) / "checkpoint").exists():
        time.sleep(0.01)
    time.sleep(wait)
    sent = time.time()
    run.send_signal(signal.SIGINT)
    told, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert told, "KeyboardInterrupt was not raised"
    return float(told) - sent


@pytest.mark.parametrize("mode", ["full", "mini"])
def test_ctrl_c_saves_the_steps_made_and_is_raised(tmp_path, mode):
    took = interrupted(tmp_path, mode, 50_000, 16, 50, wait=1)
    assert took < 1.5
    assert step_of(KMeans(50, tmp_path, use_mini_batch=mode == "mini")) > 0


def test_ctrl_c_is_noticed_within_a_long_pass(tmp_path):
    """One pass takes seconds, of which no more than about one is waited for."""
    assert interrupted(tmp_path, "full", 400_000, 64, 6000, wait=0.5) < 1.5
    assert step_of(KMeans(6000, tmp_path, use_mini_batch=False)) <= 1


def test_limit_epochs_gives_an_array_as_a_stream():
    rows = small_integers()
    assert step_of(in_memory(2, use_mini_batch=False).train(inputs.limit_epochs(rows, num_epochs=3))) == 3


@quick
@given(tables(least=2))
def test_a_list_of_batches_gives_the_bits_of_the_whole(rows):
    assume(len(rows) > 1)
    models = [in_memory(2, use_mini_batch=False).train(x, steps=3) for x in (rows, [rows[:1], rows[1:]])]
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()
