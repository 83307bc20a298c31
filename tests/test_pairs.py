"""Few clusters: bounds of pairs and packed rows give the bits of a plain pass: labels, sums, counts, squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import RunConfig, _core, plan
from macqueen.engine.indexes import Packed, Pairs
from macqueen.engine.kernels import Kernels
from macqueen.errors import DataError
from tests.models import in_memory
from tests.test_bounds import KINDS, THREADS, digits, step


def pairs_of(rows):
    return (_core.Pairs32 if rows.dtype == np.float32 else _core.Pairs64)(rows)


def packed_of(rows):
    return (_core.Packed32 if rows.dtype == np.float32 else _core.Packed64)(rows, len(rows))


def packed_anew_of(rows):
    return (_core.Packed32 if rows.dtype == np.float32 else _core.Packed64)(rows, len(rows) // 3)


def plain(isa, rows, centers):
    """What a plain pass adds up."""
    totals = _core.Totals(*centers.shape)
    prepare = _core.Centers32 if rows.dtype == np.float32 else _core.Centers64
    prepare(isa, centers).accumulate(THREADS[1], rows, True, False, _core.Workspace(), totals)
    return totals


def means(totals, centers):
    sums, counts = totals.rounded(THREADS[1])[0], totals.counts()
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers).astype(centers.dtype)


@settings(max_examples=300, deadline=None)
@given(
    make=st.sampled_from([pairs_of, packed_of, packed_anew_of]),
    kind=st.sampled_from(sorted(KINDS)),
    dtype=st.sampled_from([np.float32, np.float64]),
    n=st.sampled_from([1, 5, 63, 64, 65, 1000, 3000]),
    d=st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 130]),
    k=st.sampled_from([1, 2, 3, 7, 16, 17, 40, 130, 300]),
    start=st.sampled_from([1, 1, 1.5, 100]),
    seed=st.integers(0, 2**32),
    isa=st.sampled_from(_core.available_isas()),
    count=st.sampled_from(sorted(THREADS)),
)
def test_every_step_adds_up_what_a_plain_pass_does(make, kind, dtype, n, d, k, start, seed, isa, count):
    random = np.random.default_rng(seed)
    rows = np.ascontiguousarray(KINDS[kind](random, n, d), dtype)
    index = make(rows)
    with np.errstate(over="ignore"):
        centers = np.ascontiguousarray(np.clip(rows[random.integers(n, size=k)] * start, -3e38, 3e38), dtype)
    prepare = _core.Centers32 if dtype == np.float32 else _core.Centers64
    for _ in range(6):
        found = _core.Totals(k, d)
        step(index, THREADS[count], prepare(isa, centers), found)
        assert digits(found) == digits(plain(isa, rows, centers))
        centers = means(found, centers)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("move", [1e-6, 1e-2, 1.0, 30.0])
def test_bounds_hold_while_centers_wander(isa, move):
    """Small moves add up until bounds are brought down; large ones bring them down at once."""
    random = np.random.default_rng(1)
    rows = random.normal(size=(600, 20)).astype(np.float32)
    centers = rows[:30] + np.float32(0.1)
    pairs, looked_at = pairs_of(rows), []
    for _ in range(80):
        found = _core.Totals(30, 20)
        looked_at.append(step(pairs, THREADS[1], _core.Centers32(isa, centers), found).opened)
        assert digits(found) == digits(plain(isa, rows, centers))
        centers = (centers + move * random.normal(size=(30, 1)) * random.integers(2, size=(30, 20))).astype(np.float32)
    assert looked_at[0] == 600 * 30  # the first step computes all pairs
    if move < 1e-3:
        assert max(looked_at[1:]) < 600 * 30 / 4


@pytest.mark.parametrize("dims", [16, 40])  # vectors over the rows, and over the dimensions
@pytest.mark.parametrize("large", ["centers", "rows"])
def test_values_too_large_for_bounds_go_the_plain_way_and_back(dims, large):
    random = np.random.default_rng(2)
    rows = random.normal(size=(700, dims)).astype(np.float32)
    if large == "rows":
        rows[70] *= np.float32(1e25)
    pairs, hard = pairs_of(rows), []
    for number in range(6):
        centers = rows[random.integers(64, size=12)]
        if large == "centers" and number in {0, 3}:
            centers = centers * np.float32(1e25)
        found = _core.Totals(12, dims)
        hard.append(step(pairs, THREADS[1], _core.Centers32("", centers), found).hard)
        assert digits(found) == digits(plain("", rows, centers))
    assert hard == ([700, 700, 0, 700, 700, 0] if large == "centers" else [64] * 6)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("offset", [0, 1000])
def test_rows_of_small_integers_are_hardly_read(isa, offset):
    """Their copy in bytes is exact, wherever they lie: only centers are rounded."""
    random = np.random.default_rng(6)
    middles = random.integers(60, 196, size=(8, 100))
    rows = middles[random.integers(8, size=3000)] + random.integers(-60, 60, size=(3000, 100)) + offset
    rows = rows.astype(np.float32)
    pairs, centers = pairs_of(rows), rows[:8]
    for _ in range(4):
        found = _core.Totals(8, 100)
        done = step(pairs, THREADS[1], _core.Centers32(isa, centers), found)
        assert digits(found) == digits(plain(isa, rows, centers))
        assert done.opened > 0
        assert done.read < 3000 / 20
        centers = means(found, centers)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("d", [33, 64, 99])
def test_products_of_bytes_at_the_ends_of_their_grids_are_exact(isa, d):
    rows = np.random.default_rng(8).choice(np.float32([0, 255]), size=(600, d))
    rows[:20] = rows[:20, :1]  # all low or all high
    pairs, centers = pairs_of(rows), rows[:10]
    for _ in range(3):
        found = _core.Totals(10, d)
        step(pairs, THREADS[1], _core.Centers32(isa, centers), found)
        assert digits(found) == digits(plain(isa, rows, centers))
        centers = means(found, centers)


@pytest.mark.parametrize("isa", _core.available_isas())
def test_rows_that_their_copy_leaves_undecided_keep_the_bounds_of_their_own_distances(isa):
    rows = np.random.default_rng(7).normal(size=(2000, 64)).astype(np.float32)
    pairs, centers, read = pairs_of(rows), rows[:8], []
    for _ in range(2):
        found = _core.Totals(8, 64)
        read.append(step(pairs, THREADS[1], _core.Centers32(isa, centers), found).read)
        assert digits(found) == digits(plain(isa, rows, centers))
    assert read[0] > 2000 / 10
    assert read[1] < read[0] / 2


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("away", 2.0 ** np.arange(16, 32))
def test_centers_that_are_all_far_from_their_rows(isa, away):
    random = np.random.default_rng(0)
    rows = random.normal(size=(70, 3000)).astype(np.float32) * np.float32(2.0**-30)
    centers = (away * (1 + random.random((3, 3000))) * [[1.5], [1.2], [1]]).astype(np.float32)
    found = _core.Totals(*centers.shape)
    step(pairs_of(rows), THREADS[1], _core.Centers32(isa, centers), found)
    assert found.counts().tolist() == plain(isa, rows, centers).counts().tolist()


@pytest.mark.parametrize("isa", _core.available_isas())
def test_packed_rows_decide_nearly_all_rows_and_leave_outliers_open(isa):
    random = np.random.default_rng(4)
    rows = (
        10 * random.normal(size=(9, 16))[random.integers(9, size=3000)] + random.normal(size=(3000, 16)) + 1e4
    ).astype(np.float32)
    rows[::500] *= 1000  # too long for the grid that most rows fit
    packed, centers = packed_of(rows), rows[1:10]
    for _ in range(4):
        found = _core.Totals(9, 16)
        done = step(packed, THREADS[1], _core.Centers32(isa, centers), found)
        assert digits(found) == digits(plain(isa, rows, centers))
        assert 6 <= done.hard < 150
        centers = means(found, centers)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_leave_their_block_and_come_back(isa, dtype):
    """Sorted rows that moved stay in their block, whose gaps hold for them: what they do later is found there."""
    random = np.random.default_rng(6)
    middles = 1.2 * random.normal(size=(32, 20))
    rows = (middles[random.integers(32, size=20_000)] + random.normal(size=(20_000, 20))).astype(dtype)
    packed, moved = packed_of(rows), []
    centers = np.ascontiguousarray(middles, dtype)
    away = centers.copy()
    away[::2] += dtype(0.06)
    both, far = centers.copy(), np.ascontiguousarray(centers[::-1])
    both[3] = both[7]
    prepare = _core.Centers32 if dtype == np.float32 else _core.Centers64
    for under in [centers] * 4 + [away, centers, centers, away, away, both, centers, far, centers, centers]:
        found = _core.Totals(32, 20)
        done = step(packed, THREADS[3], prepare(isa, under), found)
        assert digits(found) == digits(plain(isa, rows, under))
        moved.append((done.moved, done.opened < 0.9 * under.shape[0] * len(rows)))
    # Sorted in the third step; from the fifth on some blocks still need few centers while rows leave and come back.
    assert all(few for _, few in moved[4:8])
    assert moved[4][0] > 5
    assert moved[5][0] == moved[4][0]


@pytest.mark.parametrize("path", ["pairs", "packed"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_has_the_bits_of_plain_passes(dtype, path, monkeypatch):
    kind = Pairs if path == "pairs" else Packed
    rows = np.random.default_rng(0).normal(size=(8000, 40)).astype(dtype)
    steps, add_to = [], kind.add_to
    monkeypatch.setattr(kind, "add_to", lambda *args: steps.append(1) or add_to(*args))
    models = []
    for forced in (path, "plain"):
        monkeypatch.setenv("MACQUEEN_FORCE_PATH", forced)
        models.append(in_memory(20, use_mini_batch=False, seed=3).train(rows, steps=8))
    assert len(steps) == 8
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()
    assert models[0].history()["cost"].tolist() == models[1].history()["cost"].tolist()


@pytest.mark.parametrize("path", ["pairs", "packed"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dims", [12, 40])
def test_a_row_that_cannot_be_clustered_is_named(bad, dims, path, monkeypatch):
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
    rows = np.random.default_rng(0).normal(size=(5000, dims)).astype(np.float32)
    rows[4321, 7] = bad
    assert plan(rows, 5).path == path
    centers = rows[:5]
    with pytest.raises(DataError, match="row 4321, column 7"):
        in_memory(5, centers, use_mini_batch=False).train(rows, steps=1)


def test_rows_that_the_grid_does_not_tell_apart_go_the_plain_way(monkeypatch):
    """Two clouds far apart: a grid that holds both leaves nearly all rows open, and one step shows it."""
    random = np.random.default_rng(5)
    rows = (random.normal(size=(4000, 8)) + 1e6 * random.choice([-1, 1], size=(4000, 1))).astype(np.float32)
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "packed")
    steps, add_to = [], Packed.add_to
    monkeypatch.setattr(Packed, "add_to", lambda *args: steps.append(1) or add_to(*args))
    in_memory(20, rows[:20], use_mini_batch=False).train(rows, steps=4)
    assert len(steps) == 1


def test_bounds_of_pairs_that_do_not_pay_are_left_after_a_step(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(4000, 40), scale=1e20).astype(np.float32)
    results = []
    for path in ("pairs", "plain"):
        monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
        steps, add_to = [], Pairs.add_to
        monkeypatch.setattr(Pairs, "add_to", lambda *args, to=add_to, seen=steps: seen.append(1) or to(*args))
        results.append(in_memory(20, rows[:20], use_mini_batch=False).train(rows, steps=4).cluster_centers().tobytes())
        assert len(steps) == (path == "pairs")
    assert results[0] == results[1]


def test_the_plan_takes_packed_rows_for_few_clusters_and_pairs_for_wide_rows():
    random = np.random.default_rng(0)
    rows = random.normal(size=(4000, 16)).astype(np.float32)
    for clusters in (10, 64, 96, 400):
        assert plan(rows, clusters).path == "packed"
        assert plan(rows, clusters).memory < 4000 * (16 + clusters // 8 + clusters // 16 + 48) + clusters * 16 * 50
    assert plan(rows, 450).path == "bounds"
    assert plan(rows, 10, config=RunConfig(memory_limit=1000)).path == "plain"
    wide = random.normal(size=(20_000, 200)).astype(np.float32)
    groups = wide + 10 * random.normal(size=(10, 200))[np.arange(20_000) % 10].astype(np.float32)
    assert plan(groups, 10).path == "pairs"  # a copy of the rows would be more than other bounds take
    assert plan(groups[:2000], 10).path == "packed"  # but not of few rows
    assert plan(groups[:2000], 500).path == "packed"  # too few for bounds
    parts = [np.ascontiguousarray(groups[:, :100])]  # bounds would cost more,
    if Kernels(1).width <= 8:
        parts.append(wide)  # or rule nothing out
    for rows in parts:
        part, dims = plan(rows, 10), rows.shape[1]
        assert (part.path, part.form[-8:]) == ("packed", "% copied")
        assert 20_000 * dims < part.memory <= 20_000 * (dims + 3 * 10 / 16 + 48) + 64 * 10 * dims
        less = plan(rows, 10, config=RunConfig(memory_limit=20_000 * 4 + 10 * dims * 50))
        assert (less.path, less.form) == ("packed", "0% copied")


def test_rows_that_have_come_to_rest_are_not_copied_anew(caplog, monkeypatch):
    """Groups that overlap a little: at last few rows move, and bounds of pairs take over."""
    random = np.random.default_rng(0)
    middles = 0.4 * random.normal(size=(20, 64))
    rows = (middles[np.arange(40_000) % 20] + random.normal(size=(40_000, 64))).astype(np.float32)
    with caplog.at_level("INFO", "macqueen"):
        chosen = in_memory(20, rows[:20], use_mini_batch=False).train(rows, steps=12)
    plans = [message.split(" (")[0].split(":")[1] for message in caplog.messages if message.startswith("plan: ")]
    assert plans == [" packed", " packed turned out not to pay any longer", " pairs"]
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "plain")
    plain = in_memory(20, rows[:20], use_mini_batch=False).train(rows, steps=12)
    assert chosen.cluster_centers().tobytes() == plain.cluster_centers().tobytes()
    assert chosen.history()["cost"].tolist() == plain.history()["cost"].tolist()
