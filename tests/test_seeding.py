"""Where centers start."""

from __future__ import annotations

import numpy as np
import pytest

from macqueen import KMeans, RunConfig, checkpoint
from tests.models import centers_at, in_memory, rows_of, small_integers, step_of

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


def test_complex_centers_of_a_function_are_refused(tmp_path):
    model = KMeans(2, tmp_path, lambda inputs, k: inputs[:k] * 1j)
    with pytest.raises(ValueError, match=r"initial_clusters: f\(inputs, k\) must return .* dtype complex"):
        model.train(small_integers())


def test_a_function_sees_the_callers_own_array(tmp_path):
    """No copy of a whole data set is made for it."""
    rows, seen = small_integers(), []

    def choose(batch, k):
        seen.append(np.shares_memory(batch, rows))
        return batch[:k]

    KMeans(3, tmp_path, choose, use_mini_batch=False).train(rows, steps=1)
    assert seen == [True]
