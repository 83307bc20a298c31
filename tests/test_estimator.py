"""Training against k-means in exact arithmetic, whatever the layout of the rows."""

from __future__ import annotations

import itertools
import logging
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from macqueen import KMeans
from tests.models import centers_at, few_values, in_memory, quick, rows_of, small_integers, tables, values

# --- the oracle: k-means in exact arithmetic --------------------------------------------------------------


def squared(row, center):
    return sum((Fraction(float(x)) - Fraction(float(c))) ** 2 for x, c in zip(row, center, strict=True))


def nearest(rows, centers):
    """Labels, ties to the lowest index, and exact squared distances."""
    pairs = [min((squared(row, c), j) for j, c in enumerate(centers)) for row in rows]
    return [j for _, j in pairs], [distance for distance, _ in pairs]


def sums_of(rows, labels, k):
    members = [[row for row, label in zip(rows, labels, strict=True) if label == j] for j in range(k)]
    sums = [[math.fsum(float(row[i]) for row in some) for i in range(rows.shape[1])] for some in members]
    return np.array(sums, dtype=np.float64), [len(some) for some in members]


def full_step(rows, centers, policy="keep"):
    labels, distances = nearest(rows, centers)
    labels = relocated(labels, distances, len(centers)) if policy == "relocate" else labels
    sums, counts = sums_of(rows, labels, len(centers))
    moved = centers.copy()
    for j, count in enumerate(counts):
        if count:
            moved[j] = sums[j] / count
        elif policy == "origin":
            moved[j] = 0
    return moved


def relocated(labels, distances, k):
    """Labels after the farthest rows were moved into the emptied clusters."""
    labels, counts = list(labels), [labels.count(j) for j in range(k)]
    far = sorted(range(len(labels)), key=lambda i: (-distances[i], i))
    for empty in [j for j in range(k) if counts[j] == 0]:
        row = next((i for i in far if counts[labels[i]] > 1 and distances[i] > 0), None)
        if row is None:
            break
        far = far[far.index(row) + 1 :]
        counts[labels[row]] -= 1
        labels[row] = empty
        counts[empty] = 1
    return labels


def mini_step(rows, centers, moving, counts):
    sums, found = sums_of(rows, nearest(rows, centers)[0], len(centers))
    moved, totals = moving.copy(), list(counts)
    for j, m in enumerate(found):
        if m:
            x = moving[j].astype(np.float64)
            moved[j] = x + (sums[j] - m * x) / (counts[j] + m)
            totals[j] += m
    return moved, totals


# --- against the oracle -----------------------------------------------------------------------------------


@quick
@given(tables(), st.integers(1, 5), st.data())
def test_labels_are_those_of_exact_arithmetic(rows, k, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=values))
    assert in_memory(k, centers).labels(rows).tolist() == nearest(rows, centers)[0]


@quick
@given(tables(few_values), st.integers(1, 5), st.data())
def test_ties_go_to_the_lowest_index(rows, k, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=few_values))
    assert in_memory(k, centers).labels(rows).tolist() == nearest(rows, centers)[0]


@quick
@given(tables(), st.integers(1, 5), st.data())
def test_the_score_is_the_exact_sum_rounded_once(rows, k, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=values))
    assert in_memory(k, centers).score(rows) == float(sum(nearest(rows, centers)[1]))


@quick
@given(tables(dtype=np.float64, elements=st.floats(-1e3, 1e3)), st.integers(1, 4), st.integers(1, 4), st.data())
def test_full_batch_steps_are_those_of_exact_arithmetic(rows, k, steps, data):
    centers = data.draw(arrays(np.float64, (k, rows.shape[1]), elements=st.floats(-1e3, 1e3)))
    model = in_memory(k, centers, use_mini_batch=False, empty_clusters="keep").train(rows, steps=steps)
    for _ in range(steps):
        centers = full_step(rows, centers)
    assert model.cluster_centers().tolist() == centers.tolist()


@quick
@given(tables(), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 5), st.data())
def test_mini_batch_steps_are_those_of_exact_arithmetic(rows, k, every, steps, data):
    centers = data.draw(arrays(np.float32, (k, rows.shape[1]), elements=values))
    batches = [data.draw(arrays(np.float32, (n, rows.shape[1]), elements=values)) for n in range(1, steps + 1)]
    model = in_memory(k, centers, mini_batch_steps_per_iteration=every).train(iter(batches))
    moving, counts = centers, [int(every == 1)] * k
    for step, batch in enumerate(batches, start=1):
        moving, counts = mini_step(batch, centers, moving, counts)
        if step % every == 0:
            centers, counts = moving, counts if every == 1 else [0] * k
    assert model.cluster_centers().tolist() == centers.tolist()


@quick
@given(tables(few_values, dtype=np.float64), st.integers(1, 6), st.data())
def test_relocation_is_that_of_exact_arithmetic(rows, k, data):
    centers = data.draw(arrays(np.float64, (k, rows.shape[1]), elements=st.integers(-5, 5).map(float)))
    model = in_memory(k, centers, use_mini_batch=False).train(rows, steps=1)
    assert model.cluster_centers().tolist() == full_step(rows, centers, "relocate").tolist()


@pytest.mark.parametrize("policy", ["keep", "relocate"])
@quick
@given(tables(), st.integers(1, 12), st.sampled_from(["random", "kmeans_plus_plus"]), st.integers(0, 2**64 - 1))
def test_the_cost_never_rises_between_full_batch_steps(policy, rows, k, init, seed):
    model = in_memory(min(k, len(rows)), init, use_mini_batch=False, empty_clusters=policy, seed=seed)
    scores = [model.train(rows, steps=1).score(rows) for _ in range(4)]
    assert all(later <= earlier * (1 + 1e-6) + 1e-9 for earlier, later in itertools.pairwise(scores))


@quick
@given(tables(), st.integers(1, 12), st.sampled_from(["random", "kmeans_plus_plus"]))
def test_labels_belong_to_the_centers_returned(rows, k, init):
    model = in_memory(min(k, len(rows)), init, use_mini_batch=False).train(rows)
    assert model.labels(rows).tolist() == nearest(rows, model.cluster_centers())[0]


# --- what training is given -------------------------------------------------------------------------------


@quick
@given(tables(), st.booleans(), st.sampled_from(["squared_euclidean", "cosine"]))
def test_inputs_are_not_written(rows, mini, metric):
    before, centers = rows.copy(), rows[:1].copy()
    rows.flags.writeable = True
    model = in_memory(1, centers, use_mini_batch=mini, distance_metric=metric).train(rows, steps=3)
    list(model.predict(rows))
    assert rows.tobytes() == before.tobytes()
    assert centers.tobytes() == before[:1].tobytes()


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "reversed": lambda rows: rows[::-1].copy()[::-1],
    "columns of a wider array": lambda rows: np.hstack([rows, rows])[:, :3],
    "float16": lambda rows: rows.astype(np.float16),
    "int8": lambda rows: rows.astype(np.int8),
    "int16": lambda rows: rows.astype(np.int16),
    "big endian": lambda rows: rows.astype(">f4"),
    "read-only": lambda rows: np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape),
}
WIDE_LAYOUTS = {
    "list of lists": lambda rows: rows.tolist(),
    "list of tuples": lambda rows: [tuple(row) for row in rows.tolist()],
    "int64": lambda rows: rows.astype(np.int64),
    "uint32": lambda rows: (rows + 100).astype(np.uint32),
    "fortran float64": lambda rows: np.asfortranarray(rows.astype(np.float64)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mini", [False, True])
def test_any_layout_gives_the_bits_of_float32_rows(layout, mini):
    rows = small_integers()
    other = LAYOUTS[layout](rows)
    assert other.dtype != rows.dtype or not other.flags.c_contiguous or other is not rows
    models = [in_memory(4, use_mini_batch=mini, batch_size=70).train(x, steps=5) for x in (rows, other)]
    assert models[1].cluster_centers().dtype == np.float32
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()


@pytest.mark.parametrize("layout", WIDE_LAYOUTS)
def test_any_layout_gives_the_bits_of_float64_rows(layout):
    rows = small_integers()
    other = WIDE_LAYOUTS[layout](rows)
    plain = np.array(other, dtype=np.float64, order="C")
    models = [in_memory(4, use_mini_batch=False).train(x, steps=5) for x in (plain, other)]
    assert models[1].cluster_centers().dtype == np.float64
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()


def test_a_float32_model_reads_float64_rows_without_rounding_them():
    """In float32 the row is the tie 1.0, which would go to center 0."""
    row = np.array([[1 + 1e-12]])
    model = in_memory(2, rows_of([0], [2]))
    assert (model.labels(row.astype(np.float32)).tolist(), model.labels(row).tolist()) == ([0], [1])


def test_distances_of_float64_rows_are_float64():
    (found,) = in_memory(1, rows_of([0])).predict(np.array([[1 + 1e-12]]))
    assert found["all_distances"].dtype == np.float64
    assert found["all_distances"][0] > 1


# --- how many clusters ------------------------------------------------------------------------------------


def test_one_cluster_is_the_mean():
    rows = rows_of([1, 2], [3, 4], [8, 0])
    assert in_memory(1, use_mini_batch=False).train(rows).cluster_centers().tolist() == [[4, 2]]


@pytest.mark.parametrize("init", ["random", "kmeans_plus_plus"])
def test_as_many_clusters_as_rows_cost_nothing(init):
    rows = small_integers()[:20]
    model = in_memory(20, init, use_mini_batch=False).train(rows)
    assert len(set(model.labels(rows).tolist())) == 20
    assert model.score(rows) == 0


@pytest.mark.parametrize("init", ["random", "kmeans_plus_plus"])
@pytest.mark.parametrize("metric", ["squared_euclidean", "cosine"])
def test_equal_rows_train(init, metric):
    rows = np.full((10, 2), 4, np.float32)
    model = in_memory(3, init, use_mini_batch=False, distance_metric=metric).train(rows)
    assert model.labels(rows).tolist() == [0] * 10
    assert np.isfinite(model.cluster_centers()).all()


def test_too_few_distinct_rows_are_filled_up_with_the_lowest_unused(caplog, tmp_path):
    rows = rows_of([1, 1], [1, 1], [5, 5], [1, 1])
    with caplog.at_level(logging.WARNING, "macqueen"):
        model = KMeans(4, tmp_path, "kmeans_plus_plus", seed=0).train(rows, steps=1)
    assert sorted(centers_at(model, 0).tolist()) == [[1, 1], [1, 1], [1, 1], [5, 5]]
    assert [record.message.count("distinct") for record in caplog.records] == [1]


def test_enough_distinct_rows_warn_of_nothing(caplog, tmp_path):
    with caplog.at_level(logging.WARNING, "macqueen"):
        KMeans(4, tmp_path, "kmeans_plus_plus", seed=0).train(small_integers(), steps=1)
    assert caplog.records == []
