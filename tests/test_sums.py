"""Sums are integers: equal for equal rows, whatever the order, the split, the threads or the instruction set."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from macqueen import _core
from tests import core, oracle, strategies
from tests.core import ISAS, THREADS, digits

DIGIT = 40  # bits of a digit
LARGE = 5000  # rows: many blocks, worth several threads at k = 17, d = 9

each_kind = pytest.mark.parametrize("kind", strategies.KINDS)
each_dtype = pytest.mark.parametrize("dtype", strategies.DTYPES)
each_isa = pytest.mark.parametrize("isa", ISAS)


def exact_values(parts):
    """Return what digits (cells, width) stand for, as fractions."""
    first, array = parts
    return [
        sum(Fraction(digit) * Fraction(2) ** (DIGIT * (first + i)) for i, digit in enumerate(cell))
        for cell in array.tolist()
    ]


def check_canonical(parts):
    """All digits but the last are in [0, 2^40), the last is the sign, and no outer column is superfluous."""
    first, array = parts
    if array.size == 0:
        assert (first, array.shape[1]) == (0, 0)
        return
    assert ((array[:, :-1] >= 0) & (array[:, :-1] < 2**DIGIT)).all()
    assert np.isin(array[:, -1], [0, -1]).all()
    assert array[:, 0].any()
    if array.shape[1] > 1:
        sign = np.where(array[:, -1] < 0, 2**DIGIT - 1, 0)
        assert (array[:, -2] != sign).any()


def split_totals(isa, rows, centers, bounds, threads):
    """Return totals of rows added in the parts between `bounds`."""
    totals, workspace = _core.Totals(*centers.shape), _core.Workspace()
    for begin, end in itertools.pairwise(bounds):
        part = np.ascontiguousarray(rows[begin:end])
        assert core.accumulate(isa, part, centers, threads, totals=totals, workspace=workspace).bad == -1
    return totals


def test_sums_that_pass_their_highest_digit_have_one_form():
    """300,000 rows of 4e6 add up to more than 2^40 of the units that the grid of one of them has room for."""
    isa, rows, centers = ISAS[0], np.full((300_000, 1), 4e6, np.float32), np.zeros((1, 1), np.float32)
    thread = _core.Threads(1)
    whole, *parts = (split_totals(isa, rows[:n], centers, (0, n), thread) for n in (300_000, 150_000, 150_000))
    parts[0].merge(parts[1])
    first, array = whole.sums_digits()
    check_canonical((first, array))
    assert exact_values((first, array)) == [1_200_000_000_000]
    assert (parts[0].sums_digits()[0], parts[0].sums_digits()[1].tolist()) == (first, array.tolist())


# --- additive, and without order --------------------------------------------------------------------------------


@each_kind
@each_dtype
def test_merge_is_addition(kind, dtype):
    """accumulate(a + b) = accumulate(a) + accumulate(b), whichever is added to the other."""
    rows, centers = strategies.case(kind, 1, 400, 5, 9, dtype)
    whole = digits(core.accumulate(ISAS[0], rows, centers).totals)
    for first, last in ((rows[:150], rows[150:]), (rows[150:], rows[:150])):
        totals = core.accumulate(ISAS[0], first, centers).totals
        other = core.accumulate(ISAS[0], last, centers).totals
        before, added = digits(totals), digits(other)
        assert before[1] != whole[1]
        totals.merge(other)
        assert digits(totals) == whole
        assert digits(other) == added, "the other one is unwritten"


def test_merge_with_oneself_and_nothing():
    """Adding totals to themselves doubles them; empty totals add nothing."""
    rows, centers = strategies.case("normal", 2, 200, 5, 9, np.float64)
    once, twice = (core.accumulate(ISAS[0], part, centers).totals for part in (rows, np.concatenate([rows, rows])))
    assert digits(once) != digits(twice)
    once.merge(once)
    once.merge(_core.Totals(5, 9))
    assert digits(once) == digits(twice)


def test_merge_counts_zero_rows():
    """Rows that cosine leaves out are counted in both."""
    rows, centers = np.zeros((3, 2)), np.ones((1, 2))
    totals = core.accumulate(ISAS[0], rows, centers, skip_zero_rows=True).totals
    assert (totals.zero_rows, totals.counts().tolist()) == (3, [0])
    totals.merge(core.accumulate(ISAS[0], rows[:2].copy(), centers, skip_zero_rows=True).totals)
    assert totals.zero_rows == 5


def test_merge_of_another_shape_is_refused():
    """Totals of other clusters or columns have no common cells."""
    for shape in ((4, 3), (2, 4), (3, 2)):
        with pytest.raises(ValueError, match=r"k|d|shape|clusters|columns"):
            _core.Totals(2, 3).merge(_core.Totals(*shape))


@each_kind
@each_dtype
def test_order_of_rows(kind, dtype):
    """Shuffled rows give the same totals."""
    rows, centers = strategies.case(kind, 3, 400, 5, 9, dtype)
    shuffled = rows[np.random.default_rng(0).permutation(len(rows))]
    assert not np.array_equal(rows, shuffled)
    assert digits(core.accumulate(ISAS[0], rows, centers).totals) == digits(
        core.accumulate(ISAS[0], shuffled, centers).totals
    )


@each_isa
@pytest.mark.parametrize("kind", ["normal", "outlier", "wide_exponents", "offset_1e6", "one_hot"])
@each_dtype
def test_threads_and_splits(isa, kind, dtype):
    """1, 2 or 3 threads, one call or many, and every instruction set give the same digits."""
    rows, centers = strategies.case(kind, 4, LARGE, 17, 9, dtype)
    alone = digits(split_totals(ISAS[0], rows, centers, [0, LARGE], _core.Threads(1)))
    for count in (1, 2, 3):
        before, threads = core.os_threads(), _core.Threads(count)
        for bounds in ([0, LARGE], [0, 1, 129, LARGE], [0, 1000, 1000, 4500, LARGE], [*range(0, LARGE, 777), LARGE]):
            assert digits(split_totals(isa, rows, centers, bounds, threads)) == alone, (count, bounds)
        assert core.started(before, count - 1), "the threads that were asked for"
        del threads


@settings(max_examples=60, deadline=None)
@given(strategies.small_cases())
def test_any_split(case):
    """Every split of any rows gives the digits of the whole."""
    rows, centers = case
    whole = digits(core.accumulate(ISAS[0], rows, centers).totals)
    for at in range(len(rows) + 1):
        assert digits(split_totals(ISAS[-1], rows, centers, [0, at, len(rows)], THREADS)) == whole


@each_dtype
def test_workspace_of_another_shape(dtype):
    """Buffers may be used for other centers, instruction sets and thread counts in between."""
    workspace = _core.Workspace()
    for seed, (k, d) in enumerate([(17, 9), (2, 30), (40, 3), (17, 9), (9, 17), (1, 1)]):
        rows, centers = strategies.case("normal", seed, 700, k, d, dtype)
        fresh = digits(core.accumulate(ISAS[0], rows, centers).totals)
        used = core.accumulate(ISAS[seed % len(ISAS)], rows, centers, _core.Threads(seed % 3 + 1), workspace=workspace)
        assert digits(used.totals) == fresh


def test_rows_after_a_refused_row():
    """A refused row leaves nothing in the buffers."""
    rows, centers = strategies.case("normal", 5, 700, 5, 9, np.float64)
    fresh = digits(core.accumulate(ISAS[0], rows, centers).totals)
    workspace, bad = _core.Workspace(), rows.copy()
    bad[650, 3] = np.nan
    assert core.accumulate(ISAS[0], bad, centers, workspace=workspace).bad == 650
    assert digits(core.accumulate(ISAS[0], rows, centers, workspace=workspace).totals) == fresh


# --- exact, in one form -----------------------------------------------------------------------------------------


@each_kind
@each_dtype
@pytest.mark.parametrize("d", [7, 19])  # less than a vector of squares; two and a part
def test_digits_are_the_exact_sums(kind, dtype, d):
    """Digits are the real sums and squares, in the one form that equal sums share."""
    rows, centers = strategies.case(kind, 6, 150, 3, d, dtype)
    step = core.accumulate(ISAS[-1], rows, centers)
    exact = [[Fraction(v) for v in row] for row in rows.astype(np.float64).tolist()]
    sums = [
        sum((row[j] for row, c in zip(exact, step.labels, strict=True) if c == i), Fraction(0))
        for i in range(3)
        for j in range(d)
    ]
    squares = [sum(row[j] ** 2 for row in exact) for j in range(d)]
    assert exact_values(step.totals.sums_digits()) == sums
    assert exact_values(step.totals.squares_digits()) == squares
    check_canonical(step.totals.sums_digits())
    check_canonical(step.totals.squares_digits())
    high, low = step.totals.rounded(THREADS)
    for total, near, rest in zip(sums, high.ravel().tolist(), low.ravel().tolist(), strict=True):
        assert near == oracle.rounded(total)
        assert abs(total - Fraction(near) - Fraction(rest)) <= abs(total) / 2**105 + Fraction(1, 2**1074)


@pytest.mark.parametrize("exponent", [-1074, -1000, -961, -920, -120, -80, -41, -40, -1, 0, 1, 39, 40, 80, 400, 440])
def test_sums_are_rounded_to_the_nearest(exponent):
    """Sums of few digits and of many, at the ends of float64's range and far from them."""
    rng = np.random.default_rng(21)
    rows = np.ldexp(rng.integers(-(2**53), 2**53, (120, 5)).astype(np.float64), exponent)
    rows[::3] *= 2.0**-35
    rows[:, 4] = 0
    rows[0, 4] = -(2.0**exponent)
    totals = core.accumulate(ISAS[0], rows, np.zeros((1, 5))).totals
    high, low = totals.rounded(THREADS)
    for j, (near, rest) in enumerate(zip(high[0].tolist(), low[0].tolist(), strict=True)):
        total = sum((Fraction(x) for x in rows[:, j].tolist()), Fraction(0))
        assert near == oracle.rounded(total)
        assert abs(total - Fraction(near) - Fraction(rest)) <= abs(total) / 2**105 + Fraction(1, 2**1074)


def test_the_end_of_a_pass():
    """Means, counts and cost leave together; counts say how many clusters no row was nearest to."""
    rows, centers = np.array([[0.0], [1], [5]]), np.array([[0.0], [100], [4], [-100]])
    step = core.accumulate(ISAS[0], rows, centers)
    means, counts, emptied, cost = _core.finish(THREADS, step.centers, step.totals, centers)
    assert (means.tolist(), counts.tolist(), emptied, cost) == ([[0.5], [100], [5], [-100]], [2, 0, 1, 0], 2, 2.0)


@pytest.mark.parametrize("kind", ["normal", "wide_exponents"])
@each_dtype
def test_the_end_of_a_pass_is_one(kind, dtype):
    """Rounded sums, means and cost have the same bits on every instruction set and any number of threads."""
    rows, centers = strategies.case(kind, 3, 900, 500, 70, dtype)
    found, names = set(), []
    for isa, threads in itertools.product(ISAS, (_core.Threads(1), THREADS)):
        step = core.accumulate(isa, rows, centers, threads)
        means, counts, _, cost = _core.finish(threads, step.centers, step.totals, centers)
        high, _ = step.totals.rounded(threads, isa)
        found.add((means.tobytes(), cost, high.tobytes()))
        names.append((isa, threads.count))
        assert means.tobytes() == oracle.full_batch(centers, high, counts).tobytes()
    assert len(set(names)) > 1
    assert len(found) == 1


def test_sums_that_are_shared_change_alone():
    """Totals merged into empty ones share their sums; a row that moves in one of them moves in no other."""
    rows = np.arange(12.0).reshape(4, 3)
    totals = [core.accumulate(ISAS[0], rows, rows[:2].copy()).totals, _core.Totals(2, 3), _core.Totals(2, 3)]
    before = digits(totals[0])
    for other in totals[1:]:
        other.merge(totals[0])
    totals[0].move_row(rows[3], 1, 0)
    totals[1].merge(totals[2])
    assert digits(totals[0]) != before
    assert digits(totals[1]) != before
    assert digits(totals[2]) == before


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_the_end_of_another_pass_is_refused(shape):
    centers = core.prepare(ISAS[0], np.zeros((2, 2)))
    with pytest.raises(ValueError, match="of the same pass"):
        _core.finish(THREADS, centers, _core.Totals(*shape), np.zeros(shape))


@pytest.mark.parametrize("value", [-1.0, 1.0, -(2.0**40), 2.0**40, -(2.0**-40), 2.0**79, -(2.0**80) + 2.0**30, 0.0])
def test_one_form(value):
    """However a sum came about, its digits are the same."""
    centers = np.zeros((1, 1))
    ways = ([value], [value, 2.0**60, -(2.0**60)], [1e100, value, -1e100], [3.0, value, -1.0, -2.0])
    found = []
    for way in ways:
        totals = split_totals(ISAS[0], np.array(way)[:, None], centers, range(len(way) + 1), THREADS)
        check_canonical(totals.sums_digits())
        assert exact_values(totals.sums_digits()) in ([Fraction(value)], [0])
        found.append(digits(totals)[0][0])
    assert len({len(way) for way in ways}) > 1
    assert len(set(found)) == 1


@each_kind
def test_rows_moved_there_and_back(kind):
    """What is moved out of a cluster and back leaves no trace."""
    rows, centers = strategies.case(kind, 7, 60, 2, 5, np.float64)
    step = core.accumulate(ISAS[0], rows, centers)
    before = digits(step.totals)
    moved = [(row, int(label)) for row, label in zip(rows, step.labels, strict=True) if row.any()]
    for row, label in moved:
        step.totals.move_row(row, label, 1 - label)
    if moved:
        assert digits(step.totals) != before
    for row, label in moved[::-1]:
        step.totals.move_row(row, 1 - label, label)
    assert digits(step.totals) == before


@each_kind
@each_dtype
def test_rows_that_cancel(kind, dtype):
    """Rows and their opposites add up to the empty form."""
    rows, _ = strategies.case(kind, 8, 200, 1, 9, dtype)
    both = np.concatenate([rows, -rows])
    totals = core.accumulate(ISAS[0], both, np.zeros((1, 9), dtype=dtype)).totals
    first, array = totals.sums_digits()
    assert (first, array.shape) == (0, (9, 0))
    assert not totals.rounded(THREADS)[0].any()


@each_isa
@each_dtype
def test_inputs_are_unwritten(isa, dtype):
    """Rows and centers may be read-only and stay as they are."""
    rows, centers = strategies.case("near_ties", 9, 300, 5, 9, dtype)
    copies = rows.copy(), centers.copy()
    rows.flags.writeable = centers.flags.writeable = False
    core.accumulate(isa, rows, centers)
    core.assign(isa, rows, centers)
    core.distances(isa, rows, centers)
    core.normalize(isa, rows)
    assert (rows.tobytes(), centers.tobytes()) == tuple(copy.tobytes() for copy in copies)


# --- sizes and ranges -------------------------------------------------------------------------------------------


@each_isa
@each_dtype
@pytest.mark.parametrize("clusters", [1, 1 << 17])
def test_more_rows_than_a_grid_takes(isa, dtype, clusters):
    """Twice as many rows of the largest value below a power of two would pass an int64: the grid is emptied before."""
    most = max(1 << 14, clusters // 2)  # rows of 62 - log2(most) bits
    n = 2 * most + 1000
    value = float(np.nextafter(dtype(1), dtype(0)))
    assert n * 2**62 // most * value > 2**63 - 1
    rows, centers = np.full((n, 1), value, dtype=dtype), np.arange(clusters, dtype=dtype)[:, None]
    centers[1:] += 1
    step = core.accumulate(isa, rows, centers, _core.Threads(1))
    first, sums = step.totals.sums_digits()
    assert exact_values((first, sums[:1])) == [n * Fraction(value)]
    assert not sums[1:].any()
    assert exact_values(step.totals.squares_digits()) == [n * Fraction(value) ** 2]
    assert step.totals.counts().tolist() == [n, *[0] * (clusters - 1)]


def test_many_merges():
    """More additions than a digit can take without carrying."""
    totals, one = _core.Totals(1, 1), _core.Totals(1, 1)
    one = core.accumulate(ISAS[0], np.array([[float(2**53 - 1)]]), np.zeros((1, 1))).totals
    for _ in range(70):  # doubles each time: 2^70 rows
        totals.merge(one)
        one.merge(one)
    assert exact_values(totals.sums_digits()) == [(2**70 - 1) * (2**53 - 1)]


@each_isa
@each_dtype
def test_outlier(isa, dtype):
    """One row of 1e30 among 100 000 rows of 1e-10 loses nothing of them."""
    rng = np.random.default_rng(10)
    rows = (1e-10 * rng.standard_normal((100_000, 3))).astype(dtype)
    rows[54_321] = 1e30
    assert (rows[0] + rows[54_321] == rows[54_321]).all(), "floating point loses them"
    step = core.accumulate(isa, rows, np.zeros((1, 3), dtype=dtype), _core.Threads(3))
    labels = np.zeros(len(rows), dtype=int)
    np.testing.assert_array_equal(step.sums(), oracle.sums(rows, labels, 1))
    for threads in (1, 2):
        assert digits(
            core.accumulate(isa, rows, np.zeros((1, 3), dtype=dtype), _core.Threads(threads)).totals
        ) == digits(step.totals)


@each_isa
def test_range_of_float64(isa):
    """Values of 1e-300 to 1e150 in one column, and their squares, are summed exactly."""
    rng = np.random.default_rng(11)
    rows = 10.0 ** rng.uniform(-300, 150, (1500, 2)) * rng.choice([-1, 1], (1500, 2))
    totals = core.accumulate(isa, rows, np.zeros((1, 2))).totals
    columns = [[Fraction(v) for v in column] for column in rows.T.tolist()]
    assert exact_values(totals.sums_digits()) == [sum(column) for column in columns]
    assert exact_values(totals.squares_digits()) == [sum(v * v for v in column) for column in columns]


@pytest.mark.parametrize(("center", "spread", "share"), [(1e4, 1e-3, 1e-14), (2.0**49, 1.0, 1e-29), (1.0, 1e-7, 1e-14)])
@pytest.mark.parametrize("d", [1, 8, 33])
def test_cost_far_from_the_origin(center, spread, share, d):
    """The cost of tight clusters is correctly rounded though nearly all of |x|^2 cancels."""
    rng = np.random.default_rng(12)
    for _ in range(20):
        at = center * rng.uniform(1, 2, (3, d))
        rows = at[rng.integers(3, size=60)] + spread * rng.standard_normal((60, d))
        at += 0.1 * spread * rng.standard_normal((3, d))
        step = core.accumulate(ISAS[0], rows, at)
        expected = oracle.cost(rows, at, step.labels)
        assert 0 < expected < 20 * share * math.fsum((rows**2).ravel())
        assert step.cost() == expected


@each_dtype
def test_cost_of_rows_at_their_centers(dtype):
    """Rows that are centers cost exactly nothing."""
    centers = (1e6 + np.random.default_rng(13).standard_normal((17, 9))).astype(dtype)
    for isa in ISAS:
        assert core.accumulate(isa, np.repeat(centers, 20, axis=0), centers).cost() == 0.0, isa


@each_dtype
def test_squares_of_an_earlier_pass(dtype):
    """The squares of the first pass serve all later passes over the same rows."""
    rows, centers = strategies.case("clustered", 14, 300, 5, 9, dtype)
    first = core.accumulate(ISAS[0], rows, centers)
    later = (centers + 1).astype(dtype)
    expected = core.accumulate(ISAS[0], rows, later)
    assert first.cost() != expected.cost()
    native, totals = core.prepare(ISAS[0], later), _core.Totals(5, 9)
    assert native.accumulate(THREADS, rows, False, False, _core.Workspace(), totals) == -1
    assert core.Step(native, totals, None, -1, later).cost(first.totals) == expected.cost()
