"""Bounds that outlive a step give the bits of a plain pass: labels, sums, counts, squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from macqueen import KMeans, RunConfig, _core, plan
from macqueen.engine.indexes import Bounds
from macqueen.errors import ArgumentError, DataError
from tests.models import in_memory

THREADS = {count: _core.Threads(count) for count in (1, 3)}
KINDS = {
    "normal": lambda random, n, d: random.normal(size=(n, d)),
    "ties": lambda random, n, d: random.integers(-3, 4, size=(n, d)),
    "duplicates": lambda random, n, d: random.normal(size=(5, d))[random.integers(5, size=n)],
    "groups": lambda random, n, d: (
        random.normal(size=(n, d)) + 5 * random.normal(size=(20, d))[random.integers(20, size=n)]
    ),
    "far away": lambda random, n, d: random.normal(size=(n, d)) + 1e6,
    "two clouds": lambda random, n, d: random.normal(size=(n, d)) + 1e6 * random.choice([-1, 1], size=(n, 1)),
    "one column constant": lambda random, n, d: random.normal(size=(n, d)) * (np.arange(d) > 0),
    "one direction": lambda random, n, d: random.normal(size=(n, d)) + 100 * random.normal(size=(n, 1)),
    "tiny": lambda random, n, d: random.normal(size=(n, d)) * 1e-42,
    "huge": lambda random, n, d: random.normal(size=(n, d)) * 1e37,
    "scales": lambda random, n, d: random.normal(size=(n, d)) * 10.0 ** (-9 * (np.arange(d) % 5)),
    "one outlier": lambda random, n, d: random.normal(size=(n, d)) * np.where(np.arange(n) == n // 2, 1e30, 1)[:, None],
}


def digits(totals):
    parts = [totals.sums_digits(), totals.squares_digits()]
    return [(first, array.tobytes()) for first, array in parts], totals.counts().tolist()


def step(bounded, threads, ready, totals):
    half = bounded.blocks // 2
    if half > 0:
        assert bounded.step(threads, ready, totals, 0, half)[2] is None
    return bounded.step(threads, ready, totals, half, bounded.blocks)[1]


def form_of(kind, random, rows, isa):
    """Origin, axes and heads of a sketch; int8 needs the instructions for it."""
    d = rows.shape[1]
    origin = rows.mean(axis=0, dtype=np.float64) if random.integers(2) else np.zeros(d)
    if kind == "float32" or not _core.vectors_of(isa)[1]:
        return origin, np.zeros((0, d)), d
    if kind == "int8":
        return origin, np.zeros((0, d)), 0
    count = int(random.integers(1, d + 1))
    axes = np.linalg.qr(random.normal(size=(d, count)))[0].T
    return origin, np.ascontiguousarray(axes), count


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    form=st.sampled_from(["float32", "int8", "axes"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    n=st.sampled_from([1, 5, 255, 256, 257, 1000, 3000]),
    d=st.sampled_from([1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 64, 65, 130]),
    k=st.sampled_from([1, 2, 7, 15, 16, 17, 40, 130, 300]),
    start=st.sampled_from([1, 1, 1.5, 100]),
    share=st.sampled_from([1, 1, 2, 3, 8]),
    seed=st.integers(0, 2**32),
    isa=st.sampled_from(_core.available_isas()),
    count=st.sampled_from(sorted(THREADS)),
)
@example("groups", "float32", np.float32, 3000, 4, 130, 1, 1, 4064, "scalar", 1)  # a row left a group none had opened
def test_every_step_adds_up_what_a_plain_pass_does(kind, form, dtype, n, d, k, start, share, seed, isa, count):
    random = np.random.default_rng(seed)
    rows = np.ascontiguousarray(KINDS[kind](random, n, d), dtype)
    make = _core.Bounded32 if dtype == np.float32 else _core.Bounded64
    bounded = make(isa, THREADS[count], rows, *form_of(form, random, rows, isa), share)
    prepare = _core.Centers32 if dtype == np.float32 else _core.Centers64
    with np.errstate(over="ignore"):
        centers = np.ascontiguousarray(np.clip(rows[random.integers(n, size=k)] * start, -3e38, 3e38), dtype)
    for _ in range(5):
        ready, found, plain = prepare(isa, centers), _core.Totals(k, d), _core.Totals(k, d)
        step(bounded, THREADS[count], ready, found)
        ready.accumulate(THREADS[1], rows, True, False, _core.Workspace(), plain)
        assert digits(found) == digits(plain)
        sums, counts = found.rounded(THREADS[1])[0], found.counts()
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers).astype(dtype)


@pytest.mark.parametrize("share", [1, 2])
@pytest.mark.parametrize("form", ["float32", "int8"])
def test_many_steps_forget_their_paths(form, share):
    random = np.random.default_rng(1)
    rows = random.normal(size=(600, 6)).astype(np.float32)
    isa = _core.find_isa("")
    bounded = _core.Bounded32(isa, THREADS[1], rows, *form_of(form, random, rows, isa), share)
    for _ in range(60):  # centers that jump about: their paths soon exceed what the stored bounds have room for
        centers = rows[random.integers(600, size=40)]
        ready, found, plain = _core.Centers32("", centers), _core.Totals(40, 6), _core.Totals(40, 6)
        step(bounded, THREADS[1], ready, found)
        ready.accumulate(THREADS[1], rows, True, False, _core.Workspace(), plain)
        assert digits(found) == digits(plain)


@pytest.mark.parametrize("share", [1, 5])
def test_groups_that_share_a_bound_are_opened_together(share):
    isa, random = _core.find_isa(""), np.random.default_rng(1)
    rows = random.normal(size=(3000, 40)).astype(np.float32)
    bounded = _core.Bounded32(isa, THREADS[1], rows, *form_of("int8", random, rows, isa), share)
    centers, opened = rows[:80].copy(), []  # 5 groups
    for _ in range(30):
        found = _core.Totals(80, 40)
        opened.append(step(bounded, THREADS[1], _core.Centers32(isa, centers), found).opened)
        centers = (found.rounded(THREADS[1])[0] / found.counts()[:, None]).astype(np.float32)
    assert any(each % 5 for each in opened[1:]) == (share == 1)


def test_distances_follow_own_centers_without_reading_rows():
    isa = _core.find_isa("")
    if not _core.vectors_of(isa)[1]:
        pytest.skip("sketches without integers are as long as rows")
    random = np.random.default_rng(1)
    rows = random.normal(size=(3000, 40)).astype(np.float32)
    bounded = _core.Bounded32(isa, THREADS[1], rows, np.zeros(40), np.zeros((0, 40)), 0)
    centers, read = rows[:80].copy(), []
    for _ in range(20):
        found = _core.Totals(80, 40)
        read.append(step(bounded, THREADS[1], _core.Centers32(isa, centers), found).read)
        centers = (found.rounded(THREADS[1])[0] / found.counts()[:, None]).astype(np.float32)
    assert sum(read[1:]) < 19 * 3000 / 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clusters", [9, 70])
def test_training_has_the_bits_of_plain_passes(dtype, clusters, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(8000, 40)).astype(dtype)
    steps, add_to = [], Bounds.add_to
    monkeypatch.setattr(Bounds, "add_to", lambda *args: steps.append(1) or add_to(*args))
    models = []
    for path in ("bounds", "plain"):
        monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
        models.append(in_memory(clusters, use_mini_batch=False, seed=3).train(rows, steps=8))
    assert len(steps) == (8 if clusters == 70 else 7)  # of few clusters the first step is plain
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()
    assert models[0].history()["cost"].tolist() == models[1].history()["cost"].tolist()
    assert (models[0].history()["counts"] == models[1].history()["counts"]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_must_be_refused_are_named(dtype, monkeypatch):
    """The object looks at all rows itself, in blocks and on several threads."""
    rows = np.random.default_rng(0).normal(size=(3000, 12)).astype(dtype)
    rows[[1234, 2900], 5] = np.inf if dtype == np.float32 else 1.1e150
    make = _core.Bounded32 if dtype == np.float32 else _core.Bounded64
    with pytest.raises(ValueError, match="rows must be finite and within 1e150"):
        make(_core.find_isa(""), THREADS[1], rows, np.zeros(12), np.zeros((0, 12)), 12)
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "bounds")
    with pytest.raises(DataError, match="row 1234, column 5 is"):
        in_memory(80, rows[:80], use_mini_batch=False).train(rows, steps=1)


def test_rows_that_sketches_cannot_tell_apart_go_back_to_plain_passes(monkeypatch, caplog):
    random = np.random.default_rng(0)
    rows = (random.normal(size=(3000, 12)) + 1e7 * random.choice([-1, 1], size=(3000, 1))).astype(np.float64)
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "bounds")
    with caplog.at_level("INFO", "macqueen"):
        bounded = in_memory(80, use_mini_batch=False, seed=3).train(rows, steps=4)
    assert "turned out not to pay" in caplog.text
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "plain")
    plain = in_memory(80, use_mini_batch=False, seed=3).train(rows, steps=4)
    assert bounded.cluster_centers().tobytes() == plain.cluster_centers().tobytes()


def test_a_path_that_does_not_pay_is_left_for_the_next(caplog, monkeypatch):
    """Tight groups far from each other: 16 bits tell few of their rows apart, sketches nearly all."""
    random = np.random.default_rng(0)
    middles = 30 * random.normal(size=(75, 48))
    rows = (middles[random.integers(75, size=6000)] + random.normal(size=(6000, 48))).astype(np.float32)
    with caplog.at_level("INFO", "macqueen"):
        chosen = in_memory(150, rows[:150], use_mini_batch=False).train(rows, steps=4)
    plans = [message for message in caplog.messages if message.startswith("plan: ")]
    assert [message.split(" ")[1] for message in plans] == ["packed:", "packed", "bounds"]
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "plain")
    plain = in_memory(150, rows[:150], use_mini_batch=False).train(rows, steps=4)
    assert chosen.cluster_centers().tobytes() == plain.cluster_centers().tobytes()
    assert chosen.history()["cost"].tolist() == plain.history()["cost"].tolist()


def test_sketches_that_tell_little_are_left_for_bounds_of_pairs(caplog, monkeypatch):
    """Values without any structure in many columns: all centers are about as near, the more so the nearer their end."""
    random = np.random.default_rng(0)
    rows = random.random((20_000, 784), dtype=np.float32) * (random.random((20_000, 784), dtype=np.float32) < 0.1)
    with caplog.at_level("INFO", "macqueen"):
        chosen = in_memory(100, rows[:100], use_mini_batch=False).train(rows, steps=7)
    assert "plan: pairs: 100 clusters" in caplog.text
    assert plan(random.normal(size=(3000, 1500)).astype(np.float32), 100).path == "pairs"  # without trying
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "plain")
    plain = in_memory(100, rows[:100], use_mini_batch=False).train(rows, steps=7)
    assert chosen.cluster_centers().tobytes() == plain.cluster_centers().tobytes()


def test_the_plan_follows_from_the_data():
    random = np.random.default_rng(0)
    rows = random.normal(size=(40_000, 48)).astype(np.float32)
    assert plan(rows[:, :2].copy(), 100).path == "boxes"
    assert plan(rows, 500).path == "bounds"
    assert plan(rows, 100).path == "packed"
    assert plan(rows, 250).path == "bounds"
    assert plan(rows[:200], 100).path == "plain"
    assert plan(rows, 500, "cosine").path == "plain"
    assert plan(iter([rows]), 500).path == "plain"
    small = plan(rows, 500, config=RunConfig(memory_limit=1000))
    assert small.path == "plain"
    assert "memory_limit" in small.reason
    assert plan(rows, 500).memory < 40_000 * (48 + 500 // 8 + 500 // 16 + 48 + 4 * 48) + 500 * 48 * 50
    assert plan(rows, 500).seconds > 0
    assert "bounds" in str(plan(rows, 500))


def test_a_wrong_path_is_an_error(monkeypatch):
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "fast")
    with pytest.raises(
        ArgumentError,
        match="MACQUEEN_FORCE_PATH must be one of plain, boxes, bounds, packed, pairs, sorted, got 'fast'",
    ):
        plan(np.zeros((10, 2)), 2)


def test_the_plan_is_logged(caplog):
    rows = np.random.default_rng(0).normal(size=(3000, 20))
    with caplog.at_level("INFO", "macqueen"):
        KMeans(10, use_mini_batch=False, seed=0).train(rows, steps=1)
    assert "plan: packed: 10 clusters" in caplog.text


@pytest.mark.parametrize(("shape", "count"), [((60, 37), 16), ((20, 33), 5), ((3, 9), 8)])
def test_principal_axes_are_one(shape, count):
    """Axes are orthonormal, have the same bits everywhere, and hold what the leading singular vectors hold, about."""
    rows = np.random.default_rng(0).normal(size=shape) * 0.5 ** np.arange(shape[1])
    found = [_core.principal_axes(isa, rows, count) for isa in _core.available_isas()]
    assert len(found) > 1
    assert len(found) > 1
    assert len({axes.tobytes() for axes in found}) == 1
    np.testing.assert_allclose(found[0] @ found[0].T, np.eye(count), atol=1e-14)
    most = np.square(np.linalg.svd(rows, compute_uv=False)[:count]).sum()
    assert np.square(rows @ found[0].T).sum() >= 0.99 * most


@pytest.mark.parametrize("isa", _core.available_isas())
def test_a_row_whose_own_center_is_thrown_far_away_finds_another(isa):
    random = np.random.default_rng(4)
    rows = random.normal(size=(300, 17)).astype(np.float32)
    centers = np.ascontiguousarray(rows[:2] * np.array([[1], [1e20]], np.float32))
    bounded = _core.Bounded32(isa, THREADS[1], rows, np.zeros(17), np.zeros((0, 17)), 17)
    for _ in range(4):
        ready, found, plain = _core.Centers32(isa, centers), _core.Totals(2, 17), _core.Totals(2, 17)
        step(bounded, THREADS[1], ready, found)
        ready.accumulate(THREADS[1], rows, True, False, _core.Workspace(), plain)
        assert found.counts().tolist() == plain.counts().tolist() == [300 * (1 - near(centers)), 300 * near(centers)]
        assert digits(found) == digits(plain)
        centers = centers[::-1].copy()  # the near one and the far one change places


def near(centers):
    """Return which of two centers is near."""
    return int(np.abs(centers).max(axis=1).argmin())
