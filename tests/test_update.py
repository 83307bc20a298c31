"""Mini-batches and cosine."""

from __future__ import annotations

import numpy as np
import pytest

from macqueen import KMeans
from tests.models import centers_at, in_memory, rows_of, saved_each_step, small_integers

# --- full batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["plain", "boxes", "bounds", "packed", "pairs"])
def test_what_a_hook_keeps_of_a_step_stays(monkeypatch, path):
    """Sums that go on from step to step are not those of a step that is over."""
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
    rows = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    kept, sums = [], []

    def keep(state, stats, now):
        kept.append(stats)
        sums.append(stats.sums.tobytes())

    in_memory(7, use_mini_batch=False).train(rows, steps=5, hooks=[keep])
    assert len(set(sums)) == 5
    assert [stats.sums.tobytes() for stats in kept] == sums
    for stats in kept:
        assert (stats.sums / stats.counts[:, None]).astype(np.float32).tobytes() == stats.means.tobytes()


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
