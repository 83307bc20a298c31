"""Rows in boxes give the bits of a plain pass: labels, sums, counts, squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import _core
from macqueen.engine.indexes import Boxes
from tests.models import in_memory

THREADS = {count: _core.Threads(count) for count in (1, 2, 3)}
KINDS = {
    "normal": lambda random, n, d: random.normal(size=(n, d)),
    "few distinct": lambda random, n, d: random.integers(0, 2, size=(n, d)) / 3,
    "ties": lambda random, n, d: random.integers(-3, 4, size=(n, d)),
    "repeats": lambda random, n, d: random.normal(size=(n // 9 + 1, d))[random.integers(n // 9 + 1, size=n)],
    "tiny repeats": lambda random, n, d: random.integers(-3, 4, size=(n, d)) * 1e-44,
    "huge repeats": lambda random, n, d: random.integers(-3, 4, size=(n, d)) * random.choice([1e32, 1e38], size=(n, 1)),
    "signed zeros": lambda random, n, d: random.choice([0.0, -0.0], size=(n, d)),
    "far away": lambda random, n, d: random.normal(size=(n, d)) + 1e6,
    "one column constant": lambda random, n, d: random.normal(size=(n, d)) * (np.arange(d) > 0),
    "tiny": lambda random, n, d: random.normal(size=(n, d)) * 1e-42,
    "huge": lambda random, n, d: random.normal(size=(n, d)) * 1e37,
    "scales": lambda random, n, d: random.normal(size=(n, d)) * 10.0 ** (-9 * np.arange(d)),
    "one outlier": lambda random, n, d: random.normal(size=(n, d)) * np.where(np.arange(n) == n // 2, 1e30, 1)[:, None],
}


def digits(totals):
    parts = [totals.sums_digits(), totals.squares_digits()]
    return [(first, array.tobytes()) for first, array in parts], totals.counts().tolist()


MOVES = {
    "mean": lambda random, centers, means, rows: means,
    "none": lambda random, centers, means, rows: centers,
    "tiny": lambda random, centers, means, rows: centers + random.normal(size=centers.shape) * 1e-5 * np.abs(centers),
    "last bit": lambda random, centers, means, rows: np.nextafter(centers, random.choice([-np.inf, np.inf])),
    "one": lambda random, centers, means, rows: np.where(
        np.arange(len(centers))[:, None] == random.integers(len(centers)), means, centers
    ),
    "elsewhere": lambda random, centers, means, rows: rows[random.integers(len(rows), size=len(centers))],
    "twins": lambda random, centers, means, rows: centers[random.integers(len(centers), size=len(centers))],
    "back and forth": lambda random, centers, means, rows: centers[::-1],
}


def native(rows):
    kind = "32" if rows.dtype == np.float32 else "64"
    return getattr(_core, f"Boxes{kind}"), getattr(_core, f"Centers{kind}")


def steps_of(boxes, make, rows, centers, moves, isa, count, random):
    """Check steps over boxes against plain passes, bit by bit, while centers move as `moves` says."""
    k, d = centers.shape
    for move in moves:
        ready, found, plain = make(isa, centers), _core.Totals(k, d), _core.Totals(k, d)
        boxes.accumulate(THREADS[count], ready, found)
        ready.accumulate(THREADS[1], rows, True, False, _core.Workspace(), plain)
        assert digits(found) == digits(plain)
        sums, counts = found.rounded(THREADS[1])[0], found.counts()
        means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
        centers = np.ascontiguousarray(MOVES[move](random, centers, means, rows), rows.dtype)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    dtype=st.sampled_from([np.float32, np.float64]),
    n=st.sampled_from([1, 63, 64, 65, 500, 1024, 1025, 3000]),
    d=st.integers(1, 8),
    k=st.sampled_from([1, 2, 7, 8, 9, 40, 130]),
    seed=st.integers(0, 2**32),
    isa=st.sampled_from(_core.available_isas()),
    count=st.sampled_from(sorted(THREADS)),
)
def test_every_step_adds_up_what_a_plain_pass_does(kind, dtype, n, d, k, seed, isa, count):
    random = np.random.default_rng(seed)
    rows = np.ascontiguousarray(KINDS[kind](random, n, d), dtype)
    make_boxes, make = native(rows)
    boxes = make_boxes(isa, THREADS[count], rows)
    steps_of(boxes, make, rows, rows[random.integers(n, size=k)], ["mean"] * 6, isa, count, random)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    dtype=st.sampled_from([np.float32, np.float64]),
    moves=st.lists(st.sampled_from(sorted(MOVES)), min_size=2, max_size=12),
    n=st.sampled_from([65, 700, 4200]),
    d=st.integers(1, 6),
    k=st.sampled_from([2, 5, 40, 300]),
    seed=st.integers(0, 2**32),
    isa=st.sampled_from(_core.available_isas()),
    count=st.sampled_from(sorted(THREADS)),
)
def test_bounds_outlive_whatever_the_centers_do(kind, dtype, moves, n, d, k, seed, isa, count):
    random = np.random.default_rng(seed)
    rows = np.ascontiguousarray(KINDS[kind](random, n, d), dtype)
    make_boxes, make = native(rows)
    boxes = make_boxes(isa, THREADS[count], rows)
    steps_of(boxes, make, rows, rows[random.integers(n, size=k)], moves, isa, count, random)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows_go_through_larger_boxes(dtype):
    random = np.random.default_rng(5)
    rows = random.normal(size=(70_001, 3)).astype(dtype)
    make_boxes, make = native(rows)
    isa = _core.find_isa("")
    boxes = make_boxes(isa, THREADS[3], rows)
    steps_of(boxes, make, rows, rows[:500], ["mean"] * 6 + ["tiny", "none", "elsewhere", "mean"], isa, 3, random)


@pytest.mark.parametrize("isa", _core.available_isas())
def test_later_steps_look_at_fewer_rows(isa):
    random = np.random.default_rng(6)
    rows = random.normal(size=(20_000, 2)).astype(np.float32)
    boxes, centers = _core.Boxes32(isa, THREADS[2], rows), rows[:60]
    looked_at = []
    for _ in range(3):
        totals = _core.Totals(60, 2)
        looked_at.append(boxes.accumulate(THREADS[2], _core.Centers32(isa, centers), totals))
        centers = (centers + np.float32(1e-6)).astype(np.float32)
    assert 1 <= looked_at[0] < 20
    assert looked_at[2] < looked_at[0] / 10


@pytest.mark.parametrize("dims", range(1, 9))
def test_the_order_of_rows_does_not_matter(dims):
    random = np.random.default_rng(dims)
    rows = random.normal(size=(5000, dims)).astype(np.float32)
    centers, isa = rows[:50].copy(), _core.find_isa("")
    found = []
    for order in (np.arange(5000), random.permutation(5000)):
        totals = _core.Totals(50, dims)
        _core.Boxes32(isa, THREADS[2], rows[order]).accumulate(THREADS[2], _core.Centers32(isa, centers), totals)
        found.append(digits(totals))
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dims", range(1, 9))
@pytest.mark.parametrize("kind", ["recent", "anywhere", "signed zeros"])
def test_rows_that_repeat_among_many_are_found_before_they_are_sorted(kind, dims, dtype):
    random = np.random.default_rng(dims)
    distinct = random.normal(size=(90_000, dims))
    if kind == "signed zeros":
        distinct = random.choice([-1.0, -0.0, 0.0, 1.0], size=distinct.shape)
    start = np.arange(60_000) if kind == "recent" else 0
    rows = distinct[start + random.integers(30_000, size=60_000) // 20].astype(dtype)
    make_boxes, make = native(rows)
    isa = _core.find_isa("")
    for count in (1, 3):
        boxes = make_boxes(isa, THREADS[count], rows)
        steps_of(boxes, make, rows, rows[:40], ["mean", "elsewhere", "mean"], isa, count, random)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_repeat_more_often_than_a_weight_can_say(dtype):
    rows = np.repeat(np.array([[0.1, 3e-5], [0.7, -1e9]], dtype), [150_000, 65_536], axis=0)
    boxes = (_core.Boxes32 if dtype == np.float32 else _core.Boxes64)("", THREADS[1], rows)
    for centers in (rows[[0, -1]], rows[[-1, 0]], rows[[0, 0]]):
        ready = (_core.Centers32 if dtype == np.float32 else _core.Centers64)("", centers)
        found, plain = _core.Totals(2, 2), _core.Totals(2, 2)
        boxes.accumulate(THREADS[1], ready, found)
        ready.accumulate(THREADS[1], rows, True, False, _core.Workspace(), plain)
        assert digits(found) == digits(plain)


def trained(rows, **arguments):
    return in_memory(40, use_mini_batch=False, **arguments).train(rows, steps=8)


@pytest.fixture
def looked_at(monkeypatch):
    """Count the steps that were made over boxes."""
    steps = []
    add_to = Boxes.add_to
    monkeypatch.setattr(Boxes, "add_to", lambda *args: steps.append(1) or add_to(*args))
    return steps


def test_training_over_boxes_has_the_bits_of_plain_passes(looked_at, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    over_boxes = trained(rows)
    assert len(looked_at) == 8
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", "plain")
    plain = trained(rows)
    assert len(looked_at) == 8
    assert over_boxes.cluster_centers().tobytes() == plain.cluster_centers().tobytes()
    assert over_boxes.history()["cost"].tolist() == plain.history()["cost"].tolist()


def test_a_wrong_guess_falls_back_to_plain_passes(looked_at, monkeypatch):
    monkeypatch.setattr(Boxes, "WORTH", 0.0)
    rows = np.random.default_rng(1).normal(size=(20_000, 2)).astype(np.float32)
    trained(rows)
    assert len(looked_at) == 1


@pytest.mark.parametrize(("dims", "clusters"), [(7, 40), (2, 3)])
def test_where_they_cannot_pay_there_are_none(looked_at, dims, clusters):
    rows = np.random.default_rng(2).normal(size=(20_000, dims)).astype(np.float32)
    in_memory(clusters, use_mini_batch=False).train(rows, steps=2)
    assert looked_at == []
