"""Rows in boxes give the bits of a plain pass: labels, sums, counts, squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import _core
from macqueen.engine.indexes import Boxes
from tests.models import in_memory

THREADS = {count: _core.Threads(count) for count in (1, 3)}
KINDS = {
    "normal": lambda random, n, d: random.normal(size=(n, d)),
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


@settings(max_examples=150, deadline=None)
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
    boxes = (_core.Boxes32 if dtype == np.float32 else _core.Boxes64)(isa, THREADS[count], rows)
    make = _core.Centers32 if dtype == np.float32 else _core.Centers64
    centers = np.ascontiguousarray(rows[random.integers(n, size=k)])
    for _ in range(4):
        ready, found, plain = make(isa, centers), _core.Totals(k, d), _core.Totals(k, d)
        boxes.accumulate(THREADS[count], ready, found)
        ready.accumulate(THREADS[1], rows, True, False, _core.Workspace(), plain)
        assert digits(found) == digits(plain)
        sums, counts = found.rounded(THREADS[1])[0], found.counts()
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers).astype(dtype)


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
