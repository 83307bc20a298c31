"""k-means||: candidates of few passes, and k-means++ among them."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from macqueen import KMeans, RunConfig, _core
from macqueen.engine import Kernels, parallel, plus_plus
from macqueen.engine.metric import METRICS
from macqueen.engine.parallel import Parallel
from macqueen.engine.plus_plus import Draws, PlusPlus
from macqueen.workers import local
from macqueen.workers.local import Batch
from tests import core
from tests.core import ISAS
from tests.models import in_memory, rows_of, small_integers


def made(rows, count, retries=2, seed=0, metric="squared_euclidean", threads=1, isa=None, **limits):
    kernels, metric = Kernels(threads, isa), METRICS[metric]
    batch = Batch(rows, lambda array: metric.rows(array, kernels, str))
    return Parallel(PlusPlus(batch, metric, kernels, Draws(seed, parallel.PURPOSE), count, retries, **limits))


def clouds(n=3000, noise=1.0, groups=30):
    """Row i is near middle i % groups."""
    random = np.random.default_rng(3)
    middles = 40 * random.normal(size=(groups, 4))
    return (noise * random.normal(size=(n, 4)) + middles[np.arange(n) % groups]).astype(np.float32)


def first_centers(rows, k, threads=1, **arguments):
    config = RunConfig(save_checkpoints_steps=None, num_threads=threads)
    arguments = {"use_mini_batch": False, "seed": 1, **arguments}
    model = KMeans(k, None, KMeans.KMEANS_PARALLEL_INIT, config=config, **arguments)
    found = []
    model.train(rows, steps=1, hooks=[lambda state, stats, now: found.append(model.cluster_centers())])
    return found[0]


def test_chosen_rows_are_distinct_and_one_in_each_cloud():
    for seed in range(5):
        chosen = made(clouds(noise=1e-3), 30, seed=seed).choose()
        assert sorted(row % 30 for row in chosen) == list(range(30))


def test_candidates_come_from_all_rounds():
    """Each round draws some 2 k rows; none of them was a candidate before."""
    found = made(clouds(), 20)
    sizes = []
    add = found._add
    found._add = lambda rows: sizes.append(len(rows)) or add(rows)
    found.choose()
    assert sizes[0] == 1
    assert len(sizes) == 1 + parallel.ROUNDS
    assert all(15 <= size <= 70 for size in sizes[2:])
    assert len(set(found.candidates)) == len(found.candidates) == sum(sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_labels_and_counts_of_candidates_are_exact(dtype, metric):
    """As one pass over all rows under all candidates would find them, ties and duplicates included."""
    rows = np.random.default_rng(5).integers(-2, 3, size=(800, 3)).astype(dtype)
    found = made(rows, 12, metric=metric)
    found.choose()
    prepared = METRICS[metric].rows(rows, Kernels(1), str)
    labels, squared = core.assign(ISAS[0], prepared, np.ascontiguousarray(prepared[found.candidates]))
    assert len(found.candidates) > 12
    assert found.labels.tolist() == labels.tolist()
    assert found.squared.tobytes() == squared.tobytes()


def test_rounds_that_float64_cannot_tell_apart_are_compared_exactly():
    """Distances equal in float64; the later candidate is nearer by less than one digit of them."""
    row, old = np.zeros((1, 2)), np.array([[1.0, 2.0**-30]])
    for new, wins in (([1.0, 2.0**-31], True), ([1.0, 2.0**-30], False), ([1.0, 2.0**-29], False)):
        candidates, fresh = np.concatenate([old, [new]]), (np.zeros(1, np.int32), np.ones(1))
        for isa in ISAS:
            labels, squared = np.zeros(1, np.int32), np.ones(1)
            _core.merge_nearest(isa, core.THREADS, row, candidates, 1, *fresh, labels, squared)
            assert labels.tolist() == [int(wins)], isa


@pytest.mark.parametrize("metric", METRICS)
def test_threads_instruction_sets_and_parts_change_nothing(metric, monkeypatch):
    rows = clouds(2000)
    expected = made(rows, 40, metric=metric).choose()
    assert all(
        made(rows, 40, metric=metric, threads=threads, isa=isa).choose() == expected
        for threads in (2, 3)
        for isa in ISAS
    )
    monkeypatch.setattr(parallel, "PART_WORK", 1000)
    assert len(list(made(rows, 40)._parts(10))) == 80
    assert made(rows, 40, metric=metric).choose() == expected


def test_blocks_and_batches_of_a_data_set_change_nothing(tmp_path, monkeypatch):
    rows = clouds(2000)
    np.save(tmp_path / "rows.npy", rows)
    expected = first_centers(rows, 25).tobytes()
    assert first_centers(rows, 25, seed=2).tobytes() != expected
    assert first_centers(np.load(tmp_path / "rows.npy", mmap_mode="r"), 25, threads=3).tobytes() == expected
    assert first_centers([rows[:700], rows[700:701], rows[701:]], 25).tobytes() == expected
    monkeypatch.setattr(local, "BLOCK_BYTES", 1600)
    assert first_centers(rows, 25, threads=2).tobytes() == expected


def test_a_row_is_drawn_in_proportion_to_its_weight():
    """Each by itself: 4000 draws of each of 4 weights, at five standard deviations."""
    weights = np.tile([0.0, 1.0, 2.0, 5.0], 4000)
    found = np.array(_core.sampled_by_weight(core.THREADS, weights, 3, 0.1 / 2.0**59, 7, 259))
    counts = np.bincount(found % 4, minlength=4)
    for count, chance in zip(counts, (0, 0.1, 0.2, 0.5), strict=True):
        assert abs(count - 4000 * chance) <= 5 * np.sqrt(4000 * chance * (1 - chance))
    assert (np.diff(found) > 0).all()


def test_what_is_drawn_depends_on_the_index_alone():
    weights = np.random.default_rng(0).uniform(size=200_000)
    one, many = (_core.sampled_by_weight(_core.Threads(t), weights, 0, 2.0**-64, 1, 2) for t in (1, 3))
    fewer = _core.sampled_by_weight(core.THREADS, weights[:70_000], 0, 2.0**-64, 1, 2)
    assert one == many
    assert fewer == [i for i in one if i < 70_000]
    assert 20_000 < len(one) < 30_000


def test_too_few_candidates_are_filled_up_as_by_plus_plus(monkeypatch):
    rows = small_integers()
    monkeypatch.setattr(parallel, "ROUNDS", 1)
    monkeypatch.setattr(parallel, "OVERSAMPLING", 0.1)
    found = made(rows, 150)
    chosen = found.choose()
    assert len(found.candidates) < 60
    assert chosen[: len(found.candidates)] == found.candidates
    assert len(set(chosen)) == 150
    assert all(made(rows, 150, threads=3, isa=isa).choose() == chosen for isa in ISAS)


@pytest.mark.parametrize("values", [1, 2, 5])
def test_fewer_distinct_rows_than_clusters(values, caplog):
    """All values are there, then the lowest unused rows, with one warning."""
    rows = np.repeat(np.arange(values, dtype=np.float32), 20)[:, np.newaxis]
    with caplog.at_level(logging.WARNING, "macqueen"):
        chosen = made(rows, 9).choose()
    assert len(set(chosen)) == 9
    assert set(rows[chosen, 0]) == set(range(values))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_as_many_clusters_as_rows():
    rows = small_integers()[:40]
    assert sorted(made(rows, 40).choose()) == list(range(40))
    assert made(rows[:1], 1).choose() == [0]


def test_rows_of_many_dimensions_do_without_a_screen(monkeypatch):
    expected = made(clouds(), 20).choose()
    monkeypatch.setattr(plus_plus, "MOST_DIMS", 1)
    assert made(clouds(), 20).choose() == expected


@pytest.mark.parametrize("limits", [{"plain": True}, {"memory_limit": 1000}])
def test_no_distance_is_left_out_where_none_may_be(limits, monkeypatch):
    """On the plain path, and where the screen would take more than the memory limit."""
    expected = made(clouds(), 20).choose()
    monkeypatch.setattr(parallel, "ScreenedNearest", lambda *_: pytest.fail("a screen was made"))
    assert made(clouds(), 20, **limits).choose() == expected


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mini", [False, True])
def test_a_model_starts_from_rows(metric, mini):
    rows = clouds()
    centers = first_centers(rows, 30, use_mini_batch=mini, distance_metric=metric)
    assert centers.shape == (30, 4)
    assert np.isfinite(centers).all()


def test_a_stream_chooses_from_its_first_batch():
    rows = rows_of([0], [1], [2])
    model = in_memory(3, "kmeans_parallel").train(iter([rows, rows_of([1000], [2000])]), steps=1)
    assert sorted(model.cluster_centers()[:, 0].tolist()) == [0, 1, 2]
    with pytest.raises(ValueError, match="num_clusters=3 needs at least as many rows, but the first batch has 2"):
        in_memory(3, "kmeans_parallel").train(iter([rows[:2], rows]))


def test_the_cost_is_about_that_of_plus_plus():
    """Medians of nine seeds, on rows without clusters."""
    rows = np.random.default_rng(9).normal(size=(3000, 8)).astype(np.float32)

    def median(init):
        return np.median([in_memory(60, init, seed=seed, use_mini_batch=False).train(rows, steps=1).score(rows)
                          for seed in range(9)])  # fmt: skip

    assert median("kmeans_parallel") < 1.03 * median("kmeans_plus_plus")
