"""Labels, sums, cost, distances and normalised rows against exact arithmetic, on every instruction set."""

from __future__ import annotations

import contextlib
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macqueen import _core
from tests import core, oracle, strategies
from tests.core import ISAS, THREADS

METRICS = ("squared_euclidean", "cosine")
SHAPES = (
    (1, 1),
    (2, 2),
    (15, 3),
    (16, 7),
    (17, 8),
    (31, 9),
    (32, 16),
    (33, 31),
    (63, 33),
    (64, 64),
    (65, 65),
    (5, 130),
)
FEW_PRODUCTS = 1 << 14  # of `assign` in cpp/step.cpp: rows x clusters x dims
FEW_SHAPES = ((2, 1), (17, 8), (33, 65), (3, 130))
BLOCK = 128  # rows one kernel call takes
HARD = ("denormals", "wide_exponents", "near_ties", "offset_1e6", "outlier", "one_hot")

each_kind = pytest.mark.parametrize("kind", strategies.KINDS)
each_dtype = pytest.mark.parametrize("dtype", strategies.DTYPES)
each_metric = pytest.mark.parametrize("metric", METRICS)
property_based = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def prepared(rows, centers, metric):
    """Return rows and centers as the metric compares them."""
    if metric == "cosine":
        return oracle.normalized(rows), oracle.normalized(centers)
    return rows, centers


def check_step(rows, centers, metric, within=contextlib.nullcontext):
    """Compare one step on every instruction set with exact arithmetic; kernels run `within` a context."""
    cosine = metric == "cosine"
    given_rows, given_centers = rows, centers
    rows, centers = prepared(rows, centers, metric)
    own = oracle.labels(rows, centers)
    if cosine:
        own[~rows.any(axis=1)] = -1  # rows of zeros belong to no sum
    sums, cost = oracle.sums(rows, own, len(centers)), oracle.cost(rows, centers, own)
    for isa in ISAS:
        if cosine:
            with within():
                normal = core.normalize(isa, given_rows), core.normalize(isa, given_centers)
            assert normal[0].tobytes() == rows.tobytes(), isa
            assert normal[1].tobytes() == centers.tobytes(), isa
        with within():
            step = core.accumulate(isa, rows, centers, skip_zero_rows=cosine)
            found_sums, found_cost = step.sums(), step.cost()
            labels, _ = core.assign(isa, rows, centers)
        assert step.bad == -1, isa
        assert step.labels.tolist() == np.maximum(own, 0).tolist(), isa
        assert labels.tolist() == oracle_labels(own, rows, centers).tolist(), isa
        assert step.totals.counts().tolist() == [int((own == c).sum()) for c in range(len(centers))], isa
        assert step.totals.zero_rows == int((own == -1).sum()), isa
        np.testing.assert_array_equal(found_sums, sums, err_msg=isa)
        assert found_cost == cost, isa


def oracle_labels(own, rows, centers):
    """Return labels with those of zero rows, which `assign` treats as any other unless told."""
    labels = own.copy()
    if (own == -1).any():
        labels[own == -1] = oracle.labels(rows[own == -1][:1], centers)[0]
    return labels


def check_distances(rows, centers):
    """Compare distances with exact ones: relative error at most (d + 8) 2^-52, the same bits everywhere."""
    exact, exponent = oracle.squared_distances(rows, centers)
    unit = Fraction(2) ** exponent
    d = rows.shape[1]
    wide_rows, wide_centers = rows.astype(np.float64), centers.astype(np.float64)
    first = core.distances(ISAS[0], wide_rows, wide_centers)
    assert (first >= 0).all()
    for found, true in zip(first.ravel().tolist(), itertools.chain(*exact), strict=True):
        doubt = Fraction(d + 8, 2**52) * true * unit + Fraction(d, 2**1074)
        assert abs(Fraction(found) - true * unit) <= doubt
    with np.errstate(over="ignore"):
        narrow = first.astype(rows.dtype)
    for isa in ISAS:
        assert core.distances(isa, wide_rows, wide_centers).tobytes() == first.tobytes(), isa
        assert core.distances(isa, rows, centers).tobytes() == narrow.tobytes(), isa
        labels, own = core.assign(isa, rows, centers)
        assert own.tobytes() == first[np.arange(len(rows)), labels].tobytes(), isa


# --- labels, sums, cost -----------------------------------------------------------------------------------------


@each_kind
@each_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_step(kind, dtype, shape):
    """Labels have no difference, sums and cost no wrong bit."""
    k, d = shape
    check_step(*strategies.case(kind, k * d, strategies.rows_for(k, d), k, d, dtype), METRICS[0])


@each_kind
@each_dtype
@pytest.mark.parametrize("shape", FEW_SHAPES, ids=str)
def test_step_cosine(kind, dtype, shape):
    """The same for rows and centers of length 1."""
    k, d = shape
    check_step(*strategies.case(kind, k * d, strategies.rows_for(k, d), k, d, dtype), "cosine")


@each_kind
@each_dtype
def test_many_centers(kind, dtype):
    """More than a thousand centers are told apart."""
    check_step(*strategies.case(kind, 1, 12, 1030, 2, dtype), METRICS[0])


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@each_dtype
def test_block_edges(n, dtype):
    """Rows around the end of a block are labelled like all others."""
    check_step(*strategies.case("clustered", n, n, 5, 3, dtype), METRICS[0])


def test_ties_go_to_the_lowest_index():
    """A row in the middle belongs to the first center, whatever their order."""
    rows = np.zeros((1, 2), dtype=np.float32)
    centers = np.array([[3, 4], [5, 0], [-4, 3], [0, 5]], dtype=np.float32)
    assert not np.array_equal(centers, centers[::-1])
    for isa in ISAS:
        for order in (centers, centers[::-1].copy()):
            assert core.assign(isa, rows, order)[0].tolist() == [0], isa


@settings(max_examples=200, deadline=None)
@given(
    bits=st.sampled_from([1, 8, 16, 17, 18, 19, 20, 22]),
    d=st.sampled_from([1, 2, 7, 64, 65, 200]),
    exponent=st.sampled_from([-60, -1, 0, 37]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32),
)
def test_near_ties_of_whole_numbers(bits, d, exponent, dtype, seed):
    """Rows as far from several centers, or farther by one unit of one column, on grids of few and of many bits."""
    random = np.random.default_rng(seed)
    row = random.integers(-(2**bits), 2**bits, size=d, endpoint=True)
    way = random.integers(-(2**bits), 2**bits, size=d, endpoint=True)
    ways = [random.permuted(way) * random.choice([-1, 1], size=d) for _ in range(6)]
    for other in ways[::2]:
        other[random.integers(d)] += random.choice([-1, 1])
    rows, centers = (np.ldexp(np.stack(values), exponent).astype(dtype) for values in ([row, row + 1], ways + row))
    for isa in ISAS:
        assert core.assign(isa, rows, centers)[0].tolist() == oracle.labels(rows, centers).tolist(), isa


@pytest.mark.parametrize("lone", range(10))
def test_centers_farther_apart_than_float32_reaches(lone):
    """The difference of two float32 values may overflow; the labels do not."""
    centers = np.full((10, 1), -3e38, dtype=np.float32)
    centers[lone] = 3e38
    with np.errstate(over="ignore"):
        assert np.isinf(centers[lone] - centers[lone - 1]).all()
    rows = np.array([[3e38], [-3e38], [0], [1e30], [-1]], dtype=np.float32)
    check_step(rows, centers, METRICS[0])


@pytest.mark.parametrize("spread", [1e-5, 2e-6, 1e-6, 5e-7, 1e-8, 1e-14])
def test_cost_of_tight_clusters(spread):
    """The cost is correctly rounded where nearly all of |x|^2 cancels, at every scale."""
    rng = np.random.default_rng(int(1 / spread))
    for exponent in range(40):
        for _ in range(10):
            rows = (1 + spread * rng.standard_normal((7, 1))) * 2.0**exponent * rng.uniform(1, 1.4)
            centers = rows.mean(axis=0, keepdims=True)
            step = core.accumulate(ISAS[0], rows, centers)
            assert step.cost() == oracle.cost(rows, centers, step.labels), (exponent, rows.tolist())


@property_based
@given(strategies.cases(), st.sampled_from(METRICS))
def test_step_property(case, metric):
    """Any kind of rows in any shape."""
    check_step(*case, metric)


@property_based
@given(strategies.small_cases(), st.sampled_from(METRICS))
def test_small_step_property(case, metric):
    """Any values at all."""
    check_step(*case, metric)


@each_kind
@each_dtype
def test_few_rows(kind, dtype):
    """Few rows are labelled without a screen: their labels and distances are those that they have among many."""
    rows, centers = strategies.case(kind, 8, 900, 9, 12, dtype)
    assert len(rows) * centers.size > FEW_PRODUCTS >= 60 * centers.size
    for isa in core.ISAS:
        labels, own = core.assign(isa, rows, centers)
        parts = [core.assign(isa, np.ascontiguousarray(rows[i : i + 60]), centers) for i in range(0, 900, 60)]
        assert np.concatenate([part[0] for part in parts]).tolist() == labels.tolist()
        assert np.concatenate([part[1] for part in parts]).tobytes() == own.tobytes()


# --- what is reported -------------------------------------------------------------------------------------------


@each_kind
@each_dtype
@pytest.mark.parametrize("shape", FEW_SHAPES, ids=str)
def test_distances(kind, dtype, shape):
    """Distances are right to the last few bits, never negative, and the same bits on every instruction set."""
    k, d = shape
    check_distances(*strategies.case(kind, 3, strategies.rows_for(k, d, 6000, cap=140), k, d, dtype))


@property_based
@given(strategies.cases())
def test_distances_property(case):
    """The same for any kind of rows in any shape."""
    rows, centers = case
    check_distances(rows[:5], centers[:65])


@each_dtype
def test_distances_of_zero_rows(dtype):
    """Under cosine a row of zeros has distance 1 to every center; others have half the squared distance."""
    rows, centers = np.eye(3, dtype=dtype)[[0, 1, 2, 0]], np.eye(3, dtype=dtype)
    rows[2] = 0
    for isa in ISAS:
        found = core.distances(isa, rows, centers, factor=0.5, zero_rows_are_one=True)
        assert found.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], isa


@each_kind
@each_dtype
@pytest.mark.parametrize("d", [1, 7, 8, 9, 130])
def test_normalize(kind, dtype, d):
    """Normalised rows are the pinned expression to the bit, also in place."""
    rows, _ = strategies.case(kind, d, BLOCK + 3, 2, d, dtype)
    expected = oracle.normalized(rows)
    for isa in ISAS:
        assert core.normalize(isa, rows).tobytes() == expected.tobytes(), isa
        in_place = rows.copy()
        assert _core.normalize(isa, THREADS, in_place, in_place) == -1
        assert in_place.tobytes() == expected.tobytes(), isa


@pytest.mark.parametrize("kind", ["normal", "clustered", "ties", "far_clouds", "denormals", "wide_exponents"])
@each_dtype
def test_updates(kind, dtype):
    """Full-batch and mini-batch centers are one pinned expression; clusters without rows stay."""
    rows, centers = strategies.case(kind, 5, 150, 17, 9, dtype)
    step = core.accumulate(ISAS[-1], rows, centers)
    sums, counts = step.sums(), step.totals.counts()
    before = 1 + np.arange(17, dtype=np.int64) * 1000003
    mean, moved = _core.finish(THREADS, step.centers, step.totals, centers)[0], centers.copy()
    _core.move_running_means(sums, counts, before, moved)
    assert mean.tobytes() != centers.tobytes()
    assert moved.tobytes() != mean.tobytes()
    assert mean.tobytes() == oracle.full_batch(centers, sums, counts).tobytes()
    assert moved.tobytes() == oracle.mini_batch(centers, sums, counts, before).tobytes()


# --- rows that cannot be clustered ------------------------------------------------------------------------------


def report_of_each_kernel(isa, threads, rows):
    """Return what every kernel that reads rows says about them."""
    centers = np.zeros((3, rows.shape[1]), dtype=rows.dtype)
    native, n = core.prepare(isa, centers), len(rows)
    return {
        "accumulate": core.accumulate(isa, rows, centers, threads).bad,
        "assign": native.assign(threads, rows, False, np.empty(n, np.int32), None),
        "distances": native.distances(threads, rows, 1.0, False, np.empty((n, 3), rows.dtype)),
        "normalize": _core.normalize(isa, threads, rows, np.empty_like(rows)),
        "first_bad_row": _core.first_bad_row(isa, threads, rows),
    }


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf, 1e151, -1.0000000000000002e150])
@pytest.mark.parametrize("where", [0, 1, BLOCK - 1, BLOCK, 20 * BLOCK + 3])
@each_dtype
def test_bad_rows(value, where, dtype):
    """Every kernel names the first row with a NaN, an infinity or a float64 beyond 1e150."""
    rows = np.random.default_rng(0).standard_normal((20 * BLOCK + 5, 33)).astype(dtype)
    with np.errstate(over="ignore"):  # float32 makes an infinity of 1e151
        rows[where, 32] = rows[where + 1, 0] = rows[-1, 5] = value
    for isa in ISAS:
        for threads in (_core.Threads(1), _core.Threads(3)):
            assert set(report_of_each_kernel(isa, threads, rows).values()) == {where}, isa


@pytest.mark.parametrize(("dtype", "value"), [(np.float32, np.finfo(np.float32).max), (np.float64, 1e150)])
def test_largest_rows(dtype, value):
    """The largest values that are allowed are no error, and are still exact."""
    rows = np.array([[value, -value], [value, value], [-value, -value], [0, 0]], dtype=dtype)
    for isa in ISAS:
        assert set(report_of_each_kernel(isa, THREADS, rows).values()) == {-1}, isa
    check_step(rows, rows[[0, 2]].copy(), METRICS[0])
