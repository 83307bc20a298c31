"""The nearest centers of a row, in the order of exact distances; reading with one object, again and again."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macqueen import KMeans, RunConfig, _core
from macqueen.engine import Kernels
from macqueen.errors import ArgumentError, ArgumentTypeError
from tests import core, oracle, strategies
from tests.core import ISAS, THREADS

BLOCK = 128  # rows one kernel call takes
each_kind = pytest.mark.parametrize("kind", strategies.KINDS)
each_dtype = pytest.mark.parametrize("dtype", strategies.DTYPES)
property_based = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def nearest(isa, rows, centers, count, factor=1.0, cosine=False, threads=THREADS):
    """Return indices and distances (n, count) of the nearest centers."""
    indices = np.full((len(rows), count), -7, dtype=np.int32)
    found = np.empty((len(rows), count), dtype=rows.dtype)
    native = core.prepare(isa, centers)
    assert _core.nearest(native, threads, rows, factor, cosine, indices, found) == -1
    return indices, found


def exact_order(rows, centers):
    """Return the indices (n, k) of the centers of each row by exact distance, ties to the lowest index."""
    distances, _ = oracle.squared_distances(rows, centers)
    return np.array([sorted(range(len(row)), key=lambda c, row=row: (row[c], c)) for row in distances])


def check(rows, centers, counts, cosine=False):
    """Compare with exact arithmetic and with all distances, on every instruction set."""
    factor = 0.5 if cosine else 1.0
    if cosine:
        rows, centers = oracle.normalized(rows), oracle.normalized(centers)
    expected = exact_order(rows, centers)
    if cosine:
        expected[~rows.any(axis=1)] = np.arange(len(centers))
    for isa in ISAS:
        every = core.distances(isa, rows, centers, factor, cosine)
        for count in counts:
            indices, found = nearest(isa, rows, centers, count, factor, cosine)
            assert indices.tolist() == expected[:, :count].tolist(), (isa, count)
            assert found.tobytes() == np.take_along_axis(every, indices, axis=1).tobytes(), (isa, count)


@each_kind
@each_dtype
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (17, 8), (33, 3), (65, 65), (130, 7), (70, 130)], ids=str)
def test_order_is_exact(kind, dtype, shape):
    """The order is that of real distances, and the numbers are those of all distances; screened and not."""
    k, d = shape
    rows, centers = strategies.case(kind, k + d, strategies.rows_for(k, d, most=12_000, cap=140), k, d, dtype)
    check(rows, centers, sorted({1, min(2, k), min(10, k), min(17, k), k}))


@each_kind
@each_dtype
def test_order_is_exact_cosine(kind, dtype):
    """The same for rows and centers of length 1; a row of zeros is as far from every center."""
    rows, centers = strategies.case(kind, 5, 12, 40, 9, dtype)
    rows[3] = 0
    check(rows, centers, (1, 5, 40), cosine=True)


@each_kind
@each_dtype
def test_many_centers(kind, dtype):
    """More centers than are screened at a time."""
    rows, centers = strategies.case(kind, 2, 70, 1100, 2, dtype)
    check(rows[:12], centers, (1, 10, 40))
    wide = np.repeat(rows[:1], 70, axis=0)  # enough rows for the 16-bit screen
    indices, _ = nearest(ISAS[-1], wide, centers, 10)
    assert indices.tolist() == [exact_order(rows[:1], centers)[0, :10].tolist()] * 70


@given(strategies.cases(), st.integers(1, 24))
@property_based
def test_any_case(case, count):
    """The order is exact for rows and centers of any kind."""
    rows, centers = case
    check(rows, centers, [min(count, len(centers))])


@each_dtype
def test_one_answer(dtype):
    """Threads, instruction sets and blocks change no bit."""
    rows, centers = strategies.case("normal", 3, 40 * BLOCK + 5, 300, 20, dtype)
    first = nearest(ISAS[0], rows, centers, 10, threads=_core.Threads(1))
    assert len(np.unique(first[0][:, 0])) > 100
    for isa in ISAS:
        for threads in (1, 3):
            indices, found = nearest(isa, rows, centers, 10, threads=_core.Threads(threads))
            assert indices.tobytes() == first[0].tobytes(), (isa, threads)
            assert found.tobytes() == first[1].tobytes(), (isa, threads)
        alone = [nearest(isa, rows[i : i + 1], centers, 10) for i in range(0, len(rows), 500)]
        assert np.concatenate([indices for indices, _ in alone]).tobytes() == first[0][::500].tobytes()


@each_kind
@each_dtype
@pytest.mark.parametrize("shape", [(8, 1), (33, 3), (70, 17), (65, 64), (40, 131)], ids=str)
def test_labels_of_the_short_screen(kind, dtype, shape):
    """Rows enough for the 16-bit screen have the labels of exact arithmetic, the same as rows that are too few."""
    k, d = shape
    rows, centers = strategies.case(kind, k * d, 70, k, d, dtype)
    some = np.ascontiguousarray(rows[:: max(1, len(rows) * k * d // 24_000)])
    expected = oracle.labels(some, centers)
    for isa in ISAS:
        labels, _ = core.assign(isa, np.concatenate([some] * (70 // len(some) + 1)), centers)
        assert len(labels) >= 64  # and 20 are fewer
        assert labels[: len(some)].tolist() == expected.tolist(), isa
        few, _ = core.assign(isa, some[:20], centers)
        assert few.tolist() == expected[:20].tolist(), isa


def trained(metric, centers, **arguments):
    return KMeans(
        len(centers),
        initial_clusters=centers,
        distance_metric=metric,
        config=RunConfig(save_checkpoints_steps=None),
        **arguments,
    )


@pytest.mark.parametrize("metric", [KMeans.SQUARED_EUCLIDEAN_DISTANCE, KMeans.COSINE_DISTANCE])
@each_dtype
def test_method(metric, dtype):
    """The first column is the labels, the distances are those of transform, whatever the input is."""
    rows, centers = strategies.case("ties", 1, 300, 30, 6, dtype)
    model = trained(metric, centers)
    indices, distances = model.nearest(rows, 4)
    assert indices.dtype == np.int64
    assert distances.dtype == dtype
    assert indices[:, 0].tobytes() == model.labels(rows).tobytes()
    every = np.array(list(model.transform(rows)))
    assert distances.tobytes() == np.take_along_axis(every, indices, axis=1).tobytes()
    batches = [rows[:100], rows[100:101], rows[101:]]
    for source in (iter(batches), batches, lambda: iter(batches), np.asfortranarray(rows)):
        again = model.nearest(source, 4)
        assert again[0].tobytes() == indices.tobytes()
        assert again[1].tobytes() == distances.tobytes()


def test_wrong_count():
    """m is an integer from 1 to the number of clusters; the error says so before rows are read."""
    model = trained("squared_euclidean", np.eye(3))

    def unread():
        raise AssertionError

    for wrong in (0, -1, 4):
        with pytest.raises(ArgumentError, match=rf"m must be from 1 to the number of clusters, 3; got {wrong}"):
            model.nearest(unread, wrong)
    for wrong in (1.0, "2", True, None):
        with pytest.raises(ArgumentTypeError, match="m must be an integer"):
            model.nearest(unread, wrong)
    assert model.nearest(np.eye(3), np.int32(3))[0].shape == (3, 3)


def test_bad_row_is_named():
    """A row that cannot be compared is named by its number."""
    rows = np.zeros((200, 3))
    rows[150, 1] = np.nan
    with pytest.raises(ValueError, match="row 150, column 1 is nan"):
        trained("squared_euclidean", np.eye(3)).nearest(rows, 2)


# --- centers that are kept ready ---------------------------------------------------------------------------------


def test_centers_are_made_ready_once(monkeypatch):
    """Calls that read with the same centers in the same dtype share what was made of them; a step ends that."""
    rows = np.random.default_rng(0).normal(size=(50, 3))
    model = KMeans(4, seed=1, use_mini_batch=False, config=RunConfig(save_checkpoints_steps=None)).train(rows, steps=1)
    made = []
    prepare = Kernels.prepare
    monkeypatch.setattr(Kernels, "prepare", lambda self, centers: made.append(1) or prepare(self, centers))
    first = model.labels(rows)
    model.score(rows)
    list(model.transform(rows))
    model.nearest(rows, 2)
    assert len(made) == 1
    model.labels(rows.astype(np.float32))  # widened to the model's dtype
    assert len(made) == 1
    model.train(rows, steps=5)
    before = len(made)
    assert model.labels(rows).tobytes() != first.tobytes()
    assert len(made) == before + 1


def test_threads_share_a_model():
    """Calls from several threads, of two dtypes, get their own answers."""
    rows = np.random.default_rng(0).normal(size=(2000, 5))
    narrow = rows.astype(np.float32)
    model = trained("squared_euclidean", narrow[:40])
    expected = [model.nearest(array, 3) for array in (rows, narrow)]
    assert expected[0][1].tobytes() != expected[1][1].tobytes()
    wrong = []

    def read(kind):
        for _ in range(20):
            found = model.nearest((rows, narrow)[kind], 3)
            if any(a.tobytes() != b.tobytes() for a, b in zip(found, expected[kind], strict=True)):
                wrong.append(kind)

    threads = [threading.Thread(target=read, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
