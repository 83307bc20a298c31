"""Sorted rows of one dimension give the bits of a plain pass: labels, sums, counts, squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import RunConfig, _core, plan
from macqueen.engine.indexes import Sorted
from macqueen.errors import DataError
from tests.core import digits
from tests.models import in_memory

THREADS = {count: _core.Threads(count) for count in (1, 3)}
KINDS = {
    "normal": lambda random, n: random.normal(size=n),
    "ties": lambda random, n: random.integers(-6, 7, size=n),
    "halves": lambda random, n: random.integers(-20, 21, size=n) / 2,
    "duplicates": lambda random, n: random.normal(size=5)[random.integers(5, size=n)],
    "far away": lambda random, n: random.normal(size=n) + 1e6,
    "zeros": lambda random, n: random.choice([0.0, -0.0], size=n),
    "some zeros": lambda random, n: random.normal(size=n) * random.choice([0.0, -0.0, 1.0], size=n),
    "all the same": lambda random, n: np.full(n, random.normal()),
    "negative": lambda random, n: -np.exp(random.normal(size=n)),
    "tiny": lambda random, n: random.normal(size=n) * 1e-42,
    "huge": lambda random, n: random.normal(size=n) * 5e37,
    "all magnitudes": lambda random, n: random.normal(size=n) * 10.0 ** random.uniform(-44, 37, size=n),
    "one outlier": lambda random, n: random.normal(size=n) * np.where(np.arange(n) == n // 2, 1e30, 1),
}
WIDE = {  # float64 only
    "denormal": lambda random, n: random.integers(-9, 10, size=n) * 5e-324,
    "whole range": lambda random, n: random.normal(size=n) * 10.0 ** random.uniform(-323, 149, size=n),
}


def both(isa, threads, sorted_rows, rows, centers):
    """What sorted rows and a plain pass add up to under centers (k, 1)."""
    make = _core.Centers32 if rows.dtype == np.float32 else _core.Centers64
    ready, found, plain = make(isa, centers), _core.Totals(len(centers), 1), _core.Totals(len(centers), 1)
    sorted_rows.accumulate(threads, ready, found)
    ready.accumulate(THREADS[1], rows, True, False, _core.Workspace(), plain)
    return found, plain


def ready(isa, threads, rows):
    return (_core.Sorted32 if rows.dtype == np.float32 else _core.Sorted64)(isa, threads, rows)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS) + sorted(WIDE)),
    dtype=st.sampled_from([np.float32, np.float64]),
    n=st.sampled_from([1, 2, 127, 128, 129, 500, 1024, 5000]),
    k=st.sampled_from([1, 2, 3, 9, 64, 65, 200]),
    seed=st.integers(0, 2**32),
    isa=st.sampled_from(_core.available_isas()),
    count=st.sampled_from(sorted(THREADS)),
)
def test_every_step_adds_up_what_a_plain_pass_does(kind, dtype, n, k, seed, isa, count):
    random = np.random.default_rng(seed)
    dtype = np.float64 if kind in WIDE else dtype
    rows = np.ascontiguousarray((KINDS | WIDE)[kind](random, n)[:, None], dtype)
    sorted_rows = ready(isa, THREADS[count], rows)
    centers = np.ascontiguousarray(rows[random.integers(n, size=k)])
    for _ in range(4):
        found, plain = both(isa, THREADS[count], sorted_rows, rows, centers)
        assert digits(found) == digits(plain)
        sums, counts = found.rounded(THREADS[1])[0], found.counts()
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("centers", [[-1, 1], [1, -1], [1, 1, -1, -1], [3, -3, 1, -1], [-0.0, 0.0, 2]])
def test_ties_go_to_the_lowest_index(dtype, centers):
    rows = np.array([-1, 0, 0, 1, 1], dtype)[:, None]
    found, plain = both("", THREADS[1], ready("", THREADS[1], rows), rows, np.array(centers, dtype)[:, None])
    assert digits(found) == digits(plain)


def test_a_middle_that_no_float64_holds_is_not_rounded():
    """1 + 2^-60 lies between float64 values: whether a row at 1/2 is below the middle hangs on the last bits."""
    rows = np.full((3, 1), 0.5)
    assert 1 + 2.0**-60 == 1
    for tiny, counts in ((2.0**-60, [3, 0]), (0.0, [3, 0]), (-(2.0**-60), [0, 3])):
        for order in (slice(None), slice(None, None, -1)):
            centers = np.array([tiny, 1.0])[order][:, None]
            expected = counts[order] if tiny else [3, 0]
            found, plain = both("", THREADS[1], ready("", THREADS[1], rows), rows, np.ascontiguousarray(centers))
            assert found.counts().tolist() == expected
            assert digits(found) == digits(plain)


@pytest.fixture
def steps(monkeypatch):
    """Count the steps that were made over sorted rows."""
    made = []
    add_to = Sorted.add_to
    monkeypatch.setattr(Sorted, "add_to", lambda *args: made.append(1) or add_to(*args))
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_has_the_bits_of_plain_passes(dtype, steps, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(20_000, 1)).astype(dtype)
    models = []
    for path in ("", "plain"):
        monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
        models.append(in_memory(40, use_mini_batch=False, seed=3).train(rows, steps=8))
        assert len(steps) == 8
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()
    assert models[0].history()["cost"].tolist() == models[1].history()["cost"].tolist()
    assert (models[0].history()["counts"] == models[1].history()["counts"]).all()


def test_emptied_clusters_are_filled_as_in_plain_passes(steps, monkeypatch):
    rows = np.random.default_rng(1).normal(size=(5_000, 1))
    far = np.concatenate([rows[:10], np.full((3, 1), 1e9)])
    models, moved = [], []
    for path in ("", "plain"):
        monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
        model = in_memory(13, far, use_mini_batch=False)
        models.append(model.train(rows, steps=4, hooks=[lambda state, stats, now: moved.append(stats.relocated)]))
        assert len(steps) == 4
    assert moved[0] == moved[4] == 3
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()


def test_a_bad_row_is_named():
    rows = np.random.default_rng(2).normal(size=(5_000, 1))
    rows[1234] = np.nan
    with pytest.raises(DataError, match="row 1234, column 0 is nan"):
        in_memory(4, rows[:4], use_mini_batch=False).train(rows, steps=1)


def test_the_plan_follows_from_the_data():
    rows = np.random.default_rng(3).normal(size=(20_000, 1)).astype(np.float32)
    assert plan(rows, 5).path == "sorted"
    assert plan(rows, 5).memory < 20_000 * 9
    assert plan(rows[:500], 5).path != "sorted"
    assert plan(np.hstack([rows, rows]), 5).path != "sorted"
    assert plan(rows, 5, "cosine").path == "plain"
    assert plan(iter([rows]), 5).path == "plain"
    assert plan(rows, 5, config=RunConfig(memory_limit=1000)).path == "plain"


def test_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"rows \(n, 1\)"):
        _core.Sorted32("", THREADS[1], np.zeros((10, 2), np.float32))
