"""Whatever the path, the form of sketches and the instruction set: the labels and sums of exact arithmetic."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import _core, runtime_info
from macqueen.engine import forced, forms, indexes, plan
from macqueen.engine.indexes import Bounds, Boxes, Packed, Pairs, Sorted
from macqueen.engine.kernels import Kernels
from macqueen.engine.metric import METRICS
from macqueen.engine.prepared import Pass, Prepared
from tests import core, oracle, strategies
from tests.models import in_memory

STEPS = 3
KERNELS = {isa: [Kernels(threads, isa) for threads in (1, 3)] for isa in core.ISAS}
EUCLIDEAN = METRICS["squared_euclidean"]
MOST_DIMS, MOST_CLUSTERS = 130, 1030


def around(step, most):
    """Return the multiples of a step, one less and one more."""
    return {edge for middle in range(step, most + 1, step) for edge in (middle - 1, middle, middle + 1)}


DIMS_EDGES = sorted({1, 2}.union(*(around(step, MOST_DIMS) for step in (4, 8, 16, 32, 64, 80))) - {131})
CLUSTER_EDGES = sorted(
    {1, 2}.union(around(4, 40), around(32, 256), around(64, 512), around(80, 1024), around(1024, 1024))
)


def name(row):
    return f"row {row}"


def sketchable(rows, centers, kernels):
    """Tell whether the planner would keep bounds of these rows when it is asked to."""
    prepared = Prepared(centers, EUCLIDEAN, kernels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(forced.VARIABLE, "bounds")
        return plan.Planner(rows, prepared, kernels, None).choose().path == "bounds"


def all_forms(rows, kernels):
    """Return every form of a sketch that the instruction set can have, axes in any number."""
    found = forms.forms_for(rows, kernels.isa, kernels.int8)
    dims = rows.shape[1]
    if kernels.int8:
        count = 1 + dims // 3
        axes = np.linalg.qr(np.random.default_rng(dims).standard_normal((dims, count)))[0].T
        none = np.empty((0, dims))
        found.append(forms.Form("int8", found[0].origin, none, 0))
        found.append(forms.Form("int8 and axes", np.zeros(dims), np.ascontiguousarray(axes), count))
    return found


def few_clusters(kind, rows):
    """Return an index of a kind for few clusters."""
    return Packed(rows, name, len(rows)) if kind is Packed else Pairs(rows, name)


def all_paths(rows, centers, kernels):
    """Return an index of each path and form, by name; they outlive the steps."""
    found = {"pairs": Pairs(rows, name)}
    for share in (0, 0.5, 1):
        found[f"packed, {share:.0%} copied"] = Packed(rows, name, int(share * len(rows)))
    if rows.shape[1] == 1:
        found["sorted"] = Sorted(rows, kernels, name)
    if rows.shape[1] <= plan.MOST_BOX_DIMS:
        found["boxes"] = Boxes(rows, kernels, name)
    if sketchable(rows, centers, kernels):
        for number, form in enumerate(all_forms(rows, kernels)):
            found[f"bounds, {form.name}, {number}"] = Bounds(rows, form, kernels, name)
    return found


def compare(rows, centers):
    """Make steps of k-means on all paths: the first has the labels of exact arithmetic, all have the same sums."""
    indexes_of = {
        (isa, kernels.count): all_paths(rows, centers, kernels) for isa in core.ISAS for kernels in KERNELS[isa]
    }
    for step in range(STEPS):
        expected = core.accumulate("scalar", rows, centers)
        if step == 0:
            labels = oracle.labels(rows, centers)
            assert expected.labels.tolist() == labels.tolist()
            assert expected.sums().tolist() == oracle.sums(rows, labels, len(centers)).tolist()
        for isa in core.ISAS:
            plain = core.accumulate(isa, rows, centers)
            assert plain.labels.tolist() == expected.labels.tolist()
            for kernels in KERNELS[isa]:
                prepared = Prepared(centers, EUCLIDEAN, kernels)
                for path, index in indexes_of[isa, kernels.count].items():
                    totals = _core.Totals(*centers.shape)
                    index.add_to(totals, prepared)
                    assert core.digits(totals) == core.digits(expected.totals), (path, isa, kernels.count, step)
        centers = oracle.full_batch(centers, expected.sums(), expected.totals.counts())


def case_number(number, k, d):
    """Return a case of its own kind and dtype for each number, of few rows."""
    kinds = list(strategies.KINDS)
    dtype = strategies.DTYPES[number // len(kinds) % 2]
    return strategies.case(kinds[number % len(kinds)], number, 3 + number % 5, k, d, dtype)


def test_the_paths_differ():
    rows, centers = strategies.case("normal", 0, 9, 5, 8, np.float32)
    paths = all_paths(rows, centers, KERNELS[core.ISAS[-1]][0])
    assert {path.split(",")[0] for path in paths} == {"boxes", "bounds", "packed", "pairs"}
    assert len({type(index) for index in paths.values()}) == 4
    assert core.ISAS[0] == "scalar"
    if "avx512vnni" in core.ISAS:
        assert len(all_forms(rows, KERNELS["avx512vnni"][0])) == 4
    assert not sketchable(*strategies.case("denormals", 0, 9, 5, 8, np.float64), KERNELS["scalar"][0])


@pytest.mark.parametrize("part", range(4))
def test_dims_around_the_ends_of_vectors_and_chunks(part):
    for number, d in enumerate(DIMS_EDGES):
        if number % 4 == part:
            compare(*case_number(number, 1 + 7 * number % 36, d))


@pytest.mark.parametrize("part", range(4))
def test_clusters_around_the_ends_of_vectors_and_groups(part):
    for number, k in enumerate(CLUSTER_EDGES):
        if number % 4 == part:
            compare(*case_number(number, k, 1 + number % 9))


@pytest.mark.parametrize("kind", strategies.KINDS)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_kinds_of_rows(kind, dtype):
    compare(*strategies.case(kind, 1, 60, 40, 7, dtype))
    compare(*strategies.case(kind, 2, 20, 19, 41, dtype))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape(data):
    d = data.draw(st.integers(1, MOST_DIMS))
    k = data.draw(st.integers(1, min(MOST_CLUSTERS, 8000 // d)))
    kind, dtype = data.draw(st.sampled_from(list(strategies.KINDS))), data.draw(st.sampled_from(strategies.DTYPES))
    n = data.draw(st.integers(1, 12))
    compare(*strategies.case(kind, data.draw(st.integers(0, 2**32 - 1)), n, k, d, dtype))


@settings(max_examples=100, deadline=None)
@given(strategies.small_cases())
def test_any_values(case):
    compare(*case)


@pytest.mark.parametrize("scale", [1e-90, 1e-165])
@pytest.mark.parametrize("sampled", [0, 1e-99])
def test_what_a_sample_does_not_show(scale, sampled):
    """Squares of what the planner has not looked at vanish: bounds must not be kept, or be right."""
    rows = np.random.default_rng(0).normal(size=(4097, 4)) * scale
    rows[::4] = sampled
    centers = rows[1:160:4].copy()
    kernels = KERNELS["scalar"][0]
    assert sketchable(rows, centers, kernels) == (scale == 1e-90 or sampled > 0)
    paths = all_paths(rows, centers, kernels)
    for _ in range(STEPS):
        expected = core.accumulate("scalar", rows, centers)
        for index in paths.values():
            totals = _core.Totals(*centers.shape)
            index.add_to(totals, Prepared(centers, EUCLIDEAN, kernels))
            assert core.digits(totals) == core.digits(expected.totals)
        centers = oracle.full_batch(centers, expected.sums(), expected.totals.counts())


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_a_step_in_parts_is_a_step_in_one_call(dtype, monkeypatch):
    """The sums, counts and cost that the call returns are those of `finish`, wherever the step was cut."""
    rows, centers = strategies.case("normal", 7, 700, 20, 6, dtype)
    kernels = KERNELS[core.ISAS[-1]][1]
    whole, cut = all_paths(rows, centers, kernels), all_paths(rows, centers, kernels)
    for path in (path for path in whole if path.startswith(("pairs", "packed", "bounds"))):
        assert whole[path]._native.blocks > 1
        for under in (centers, np.ascontiguousarray(rows[100:120])):
            prepared, found = Prepared(under, EUCLIDEAN, kernels), []
            for index, work in ((whole[path], 1e10), (cut[path], 1.0)):
                monkeypatch.setattr(indexes, "PART_WORK", work)
                totals = _core.Totals(*under.shape)
                _, finished = index.add_to(totals, prepared)
                again = prepared.finish(totals)
                for of_step, of_finish in zip(finished, again, strict=True):
                    assert np.asarray(of_step).tobytes() == np.asarray(of_finish).tobytes()
                found.append((core.digits(totals), *(np.asarray(part).tobytes() for part in finished)))
            assert found[0] == found[1]


@pytest.mark.parametrize("kind", [Packed, Pairs])
def test_after_half_a_step_there_is_no_other(kind):
    rows, centers = strategies.case("normal", 7, 700, 20, 6, np.float32)
    kernels = KERNELS[core.ISAS[-1]][0]
    native, prepared = few_clusters(kind, rows)._native, Prepared(centers, EUCLIDEAN, kernels)
    assert native.step(kernels.threads, prepared.native, _core.Totals(20, 6), 0, 1)[2] is None
    with pytest.raises(RuntimeError, match="was not finished"):
        native.step(kernels.threads, prepared.native, _core.Totals(20, 6), 0, native.blocks)


@pytest.mark.parametrize("kind", [Packed, Pairs])
def test_a_step_refuses_what_does_not_fit(kind):
    rows, centers = strategies.case("normal", 7, 700, 20, 6, np.float32)
    kernels = KERNELS[core.ISAS[-1]][0]
    native, prepared = few_clusters(kind, rows)._native, Prepared(centers, EUCLIDEAN, kernels)
    with pytest.raises(ValueError, match="must fit"):  # a step begins with block 0
        native.step(kernels.threads, prepared.native, _core.Totals(20, 6), 1, native.blocks)
    with pytest.raises(ValueError, match="must fit"):
        native.step(kernels.threads, prepared.native, _core.Totals(20, 6), 0, native.blocks + 1)
    with pytest.raises(ValueError, match="must fit"):
        native.step(kernels.threads, prepared.native, _core.Totals(21, 6), 0, native.blocks)
    assert native.step(kernels.threads, prepared.native, _core.Totals(20, 6), 0, native.blocks)[0] == -1


# --- training, each instruction set in a process of its own -----------------------------------------------

TRAINED = ["normal", "far_clouds", "offset_1e6", "huge", "denormals", "bytes_of_images", "one_hot", "wide_exponents"]


def trained(path, kind, dtype):
    """Train over a path; return a digest of all that came of it, and how many steps were made over an index."""
    rows, centers = strategies.case(kind, 5, 700, 40, 6, dtype)
    steps, add_index = [], Pass.add_index
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(forced.VARIABLE, path)
        patch.setattr(Boxes, "WORTH", float("inf"))
        patch.setattr(Bounds, "WORTH", float("inf"))
        patch.setattr(Bounds, "LEFT", float("inf"))
        patch.setattr(Packed, "WORTH", float("inf"))
        patch.setattr(Pass, "add_index", lambda *arguments: steps.append(1) or add_index(*arguments))
        model = in_memory(40, centers, use_mini_batch=False).train(rows, steps=5)
    history = model.history()
    answer = [model.cluster_centers(), model.labels(rows), history["cost"], history["counts"]]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in answer)).hexdigest(), len(steps)


def answers():
    """Return what training gives, by path, kind and dtype."""
    found = {}
    for path in forced.PATHS:
        for kind in TRAINED:
            for dtype in strategies.DTYPES:
                found[f"{path} {kind} {np.dtype(dtype)}"] = trained(path, kind, dtype)
    return found


def answers_of(isa):
    """Return the answers of a process on an instruction set."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_paths"],
        capture_output=True,
        check=False,
        env={**os.environ, "MACQUEEN_FORCE_ISA": isa},
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told.pop("isa") == isa
    return told


def assert_paths_were_taken(steps):
    for case, made in steps.items():
        path, kind, dtype = case.split()
        if path in {"plain", "sorted"} or (
            path == "bounds" and dtype == "float64" and kind in {"denormals", "wide_exponents"}
        ):
            assert made == 0, case  # squares would vanish or be infinite; only one dimension is sorted
        elif path == "pairs" and kind in {"huge", "wide_exponents"}:
            assert made == 1, case  # too large for bounds, which the first step shows
        else:
            assert made == (4 if path == "bounds" else 5), case  # over bounds of few clusters the first step is plain


def test_training_has_one_answer():
    by_isa = {isa: answers_of(isa) for isa in core.ISAS}
    expected = by_isa["scalar"]
    assert len({digest for digest, _ in expected.values()}) == len(expected) // len(forced.PATHS)
    for isa, told in by_isa.items():
        assert_paths_were_taken({case: made for case, (_, made) in told.items()})
        for case, (digest, _) in told.items():
            assert digest == expected[" ".join(["plain", *case.split()[1:]])][0], (isa, case)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answers() | {"isa": runtime_info()["isa"]}))
