"""Rows that are read once: however they are labelled, the labels and sums are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import KMeans, RunConfig, _core
from macqueen.engine import forced, forms, labelling, prepared
from macqueen.engine.kernels import Kernels
from macqueen.engine.labelling import Labelling
from macqueen.engine.metric import METRICS
from macqueen.engine.prepared import Pass, Prepared
from macqueen.errors import DataError
from tests import core, strategies
from tests.models import in_memory

KERNELS = {isa: [Kernels(threads, isa) for threads in (1, 3)] for isa in core.ISAS}
INT8 = [isa for isa in core.ISAS if KERNELS[isa][0].int8]
EUCLIDEAN = METRICS["squared_euclidean"]
needs_int8 = pytest.mark.skipif(not INT8, reason="no instruction set here multiplies 8-bit integers fast")


def name(row):
    return f"row {row}"


def leading(n, d, dtype=np.float32):
    """Return rows whose first four columns hold nearly all of the squares."""
    rows = np.random.default_rng(0).standard_normal((n, d))
    return np.ascontiguousarray(rows * np.where(np.arange(d) < 4, 10, 0.1), dtype=dtype)


def read(prepared, rows):
    """Return all that reading rows finds out, as bytes."""
    labels, own = prepared.labels(rows, name), np.empty(len(rows))
    again = prepared.labels(rows, name, own)
    step = Pass(prepared, _core.Workspace())
    step.add(rows, name)
    stats = step.finish()
    found = (labels, again, own, stats.means, stats.counts, np.float64(stats.cost))
    return [part.tobytes() for part in found], core.digits(stats.totals)


@pytest.mark.parametrize("path", ["packed", "bounds"])
@pytest.mark.parametrize("isa", core.ISAS)
@pytest.mark.parametrize("metric", METRICS)
@given(st.sampled_from(sorted(strategies.KINDS)), st.integers(0, 99), st.data())
@settings(max_examples=40, deadline=None)
def test_the_labels_of_comparing_all(path, isa, metric, kind, seed, data):
    least_dims = 1 if path == "packed" else 32
    shape = [data.draw(st.integers(*ends)) for ends in ((1, 700), (1, 70), (least_dims, 130))]
    rows, centers = strategies.case(kind, seed, *shape, data.draw(st.sampled_from(strategies.DTYPES)))
    rows[:: data.draw(st.integers(2, 50))] = 0
    metric, kernels = METRICS[metric], data.draw(st.sampled_from(KERNELS[isa]))
    try:
        expected = read(Prepared(centers, metric, kernels), rows)
    except DataError:  # float64 beyond what is accepted
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(forced.VARIABLE, path)
        patch.setattr(labelling, "PART_BYTES", 1)  # a block at a time
        patch.setattr(prepared, "ADD_WORK", 0)
        assert read(Prepared(centers, metric, kernels, labelling=Labelling(kernels)), rows) == expected


@needs_int8
@pytest.mark.parametrize("scale", [1e-90, 1e-170, 1e-300])
def test_what_a_sample_does_not_show(scale, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(4096, 32)) * scale
    rows[::8] = 0  # all that is looked at to choose the axes
    centers, kernels = rows[1:160:4].copy(), KERNELS[INT8[-1]][1]
    expected = read(Prepared(centers, EUCLIDEAN, kernels), rows)
    monkeypatch.setenv(forced.VARIABLE, "bounds")
    assert read(Prepared(centers, EUCLIDEAN, kernels, labelling=Labelling(kernels)), rows) == expected


@needs_int8
def test_sketches_are_used_once_much_was_read_and_where_rows_are_wide(monkeypatch):
    monkeypatch.delenv(forced.VARIABLE, raising=False)
    kernels = KERNELS[INT8[-1]][1]
    rows, normal = leading(20_000, 64), np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    for kind, pays in ((rows, True), (normal, True), (normal[:, :10].copy(), False)):
        monkeypatch.setattr(labelling, "MUCH_WORK", 1.5 * kind.size * 1000)
        centers, reading = kernels.prepare(kind[:1000]), Labelling(kernels)
        assert reading.labels(kind, centers, name) is None  # little has been read so far
        assert (reading.labels(kind, centers, name) is not None) == pays
        assert (reading.labels(kind[:512], centers, name) is not None) == pays
        assert reading.labels(kind[:100], centers, name) is None  # sketching 1000 centers would take longer


@needs_int8
def test_a_far_center_does_not_spoil_what_sketches_tell_of_its_group():
    kernels = KERNELS[INT8[0]][0]
    random = np.random.default_rng(0)
    rows, centers = random.standard_normal((2048, 64)), random.standard_normal((256, 64))
    centers[::16] *= 10
    form = next(form for form in forms.forms_for(rows, kernels.isa, True) if form.name == "int8")
    sketches, labels = forms.sketched(rows, form, kernels), np.empty(2048, np.int32)
    done = sketches.label(kernels.threads, kernels.prepare(centers), np.arange(256, dtype=np.int32), labels)
    assert done.hard == 0
    assert done.candidates < 8 * len(rows)


@needs_int8
def test_sketches_are_given_up_where_rows_become_others(monkeypatch):
    monkeypatch.delenv(forced.VARIABLE, raising=False)
    monkeypatch.setattr(labelling, "MUCH_WORK", 0)
    kernels = KERNELS[INT8[-1]][1]
    rows = leading(4096, 64)
    others = np.ascontiguousarray(np.roll(rows, 32, axis=1))  # the axes hold nothing of these
    centers = Prepared(np.concatenate([rows[:500], others[:500]]), EUCLIDEAN, kernels)
    reading = Labelling(kernels)
    assert reading.labels(rows, centers.native, name) is not None
    found = reading.labels(others, centers.native, name)
    assert found is not None
    assert found.tobytes() == centers.labels(others, name).tobytes()
    assert reading.labels(rows, centers.native, name) is None


def test_few_clusters_are_packed_until_integers_tell_too_little(monkeypatch):
    monkeypatch.delenv(forced.VARIABLE, raising=False)
    kernels = KERNELS[core.ISAS[-1]][1]
    rows = leading(2000, 40)
    few, many = kernels.prepare(rows[:20]), kernels.prepare(rows[:500])
    reading = Labelling(kernels)
    assert reading.labels(rows, few, name) is not None
    assert reading.labels(rows, many, name) is None
    assert reading.labels(rows[:255], few, name) is None
    same = np.ascontiguousarray(np.repeat(rows[:20], 100, axis=0))
    found = reading.labels(same, kernels.prepare(np.repeat(rows[:10], 2, axis=0)), name)  # each row has two nearest
    assert found is not None
    assert set(found[:1000]) == set(range(0, 20, 2))
    assert reading.labels(rows, few, name) is None


@pytest.mark.parametrize("path", ["packed", "bounds"])
@pytest.mark.parametrize("row", [0, 300, 4095])
def test_a_row_that_is_unfit_is_named_as_ever(path, row, monkeypatch):
    monkeypatch.setenv(forced.VARIABLE, path)
    monkeypatch.setattr(labelling, "PART_BYTES", 1)
    rows = leading(4096, 64)
    model = in_memory(100, rows[:100].copy(), use_mini_batch=False).train(rows, steps=1)
    rows[row, 7] = np.nan
    for ask in (model.labels, model.evaluate, lambda rows: list(model.predict_cluster_index(rows))):
        with pytest.raises(DataError, match=rf"row ({row}|{row % 1024}), column 7 is nan"):
            ask(rows)


def test_a_model_reads_the_same_by_every_way(monkeypatch):
    """Arrays, batches and streams; training by passes over files and streams, too."""
    rows = leading(6000, 48)

    def batches():
        yield from np.array_split(rows, 7)

    def found(path):
        monkeypatch.setenv(forced.VARIABLE, path)
        model = in_memory(200, rows[:200].copy(), use_mini_batch=False).train(batches, steps=3)
        index = np.array(list(model.predict_cluster_index(batches)))
        read = (model.cluster_centers(), model.labels(rows), model.labels(batches), index)
        return [part.tobytes() for part in read], model.evaluate(rows), model.evaluate(batches), model.score(rows)

    assert found("plain") == found("bounds") == found("packed")


def test_a_memory_limit_rules_other_ways_out(monkeypatch):
    asked = []
    monkeypatch.setattr(Labelling, "labels", lambda *_: asked.append(1))
    monkeypatch.setattr(prepared, "ADD_WORK", 0)
    rows = leading(3000, 40)
    for limit in (None, 10_000_000):
        config = RunConfig(save_checkpoints_steps=None, memory_limit=limit)
        before = len(asked)
        KMeans(50, initial_clusters=rows[:50], use_mini_batch=False, config=config).train(iter([rows]), steps=1)
        assert (len(asked) > before) == (limit is None)


def test_places_are_an_order_of_the_centers():
    rows = leading(600, 40)
    kernels = KERNELS[core.ISAS[-1]][1]
    centers = kernels.prepare(rows[:100])
    places = centers.places(kernels.threads)
    assert sorted(places) == list(range(100))
    form = _core.Bounded32(kernels.isa, kernels.threads, rows, np.zeros(40), np.empty((0, 40)), 40)
    for wrong in (places[:-1], np.zeros(100, np.int32), places + 1, places - 1):
        with pytest.raises(ValueError, match="places"):
            form.label(kernels.threads, centers, wrong, np.empty(600, np.int32))
    with pytest.raises(ValueError, match="known labels"):
        centers.assign(kernels.threads, rows, False, np.full(600, 100, np.int32), None, True)
