"""What a path takes beside the rows is bounded, told beforehand, and limited by `memory_limit`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import KMeans, RunConfig, plan
from macqueen.config import KMeansParams
from macqueen.engine import Engine
from macqueen.engine.kernels import Kernels

MIB = 2**20
INT8 = Kernels(1).int8
WIDE_LANES = Kernels(1).width > 8  # there wide rows without groups are not worth copying
NORMAL = np.random.default_rng(0).normal(size=4_000_000)
VALUES = {dtype: NORMAL.astype(dtype) for dtype in (np.float32, np.float64)}
# One data set for each path: rows, columns, clusters. Those of "pairs" come in groups.
SHAPES = {
    "sorted": (800_000, 1, 20),
    "boxes": (600_000, 3, 64),
    "packed": (600_000, 16, 32),
    "packed in part": (50_000, 768, 10),
    "pairs": (50_000, 768, 10),
    "bounds": (200_000, 64, 320),
}


READ = {"read packed": (6_000_000, 4, 20), "read sketches": (400_000, 64, 512)}  # ways to label rows


def path_of(name):
    """Return the path of a data set."""
    return "pairs" if name == "packed in part" and WIDE_LANES else name.split()[0]


def grouped(name, rows):
    """Put rows of a path that wants groups far apart into some, in place."""
    if name == "pairs":
        rows += 40 * (np.arange(len(rows)) % SHAPES[name][2])[:, None]
    return rows


def most(path, rows, dims, clusters, itemsize=4):
    """Bytes that no path takes more of, but for centers and what does not grow: docs/performance.md."""
    copy = dims if path != "bounds" or (INT8 and dims >= 8) else 4 * dims  # float32 sketches
    return rows * (copy + 3 * clusters / 16 + 48) * itemsize / 4


def resident(field):
    """Memory of this process in bytes: VmRSS now, VmHWM at its highest."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def fit(path):
    """Train on the rows of a path, and say what the plan was and what it took."""
    count, dims, clusters = SHAPES[path]
    rows = grouped(path, np.random.default_rng(0).normal(size=(count, dims), scale=3).round(2).astype(np.float32))
    model = KMeans(clusters, use_mini_batch=False, seed=0, config=RunConfig(save_checkpoints_steps=None))
    model.train(rows[: clusters * 20], steps=1)  # loads what is loaded once
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = resident("VmRSS")
    model.train(rows, steps=12)
    took = resident("VmHWM") - before
    sys.stdout.write(json.dumps({"path": plan(rows, clusters).path, "took": took}))


def read(way):
    """Label rows whose leading columns hold most squares, and say what it took, and whether all were compared."""
    count, dims, clusters = READ[way]
    rows = np.random.default_rng(0).standard_normal((count, dims), np.float32)
    rows[:, 4:] *= np.float32(0.01)
    prepared = Engine(KMeansParams(clusters), Kernels(2)).prepare(rows[:clusters])
    prepared.labels(rows[:clusters], str)  # loads what is loaded once
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = resident("VmRSS")
    found = prepared.labels(rows, str)
    took = resident("VmHWM") - before
    assert (found[:clusters] == np.arange(clusters)).all()
    known = prepared._known_labels(rows, str)
    sys.stdout.write(json.dumps({"read": known is not None, "took": took}))


@pytest.mark.parametrize("path", SHAPES)
def test_peak_memory_beside_the_rows(path):
    """As the system measures it, with 24 MiB for all that does not grow with the rows."""
    done = subprocess.run([sys.executable, __file__, path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["path"] == path_of(path)
    assert told["took"] <= most(path, *SHAPES[path]) + 24 * MIB


@pytest.mark.parametrize("way", READ)
def test_peak_memory_of_labels(way):
    """They take 4 bytes a row; what they are found with does not grow with the rows."""
    done = subprocess.run([sys.executable, __file__, way], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["read"] == (way == "read packed" or INT8)
    assert told["took"] <= 4 * READ[way][0] + 24 * MIB


@given(st.integers(1, 130), st.integers(2, 700), st.sampled_from(sorted(VALUES, key=str)))
@settings(max_examples=60, deadline=None)
def test_no_plan_takes_more_than_is_promised(dims, clusters, dtype):
    """Few columns hold most squares, so that sketches would best have axes; a small packed copy may take more."""
    values = VALUES[dtype]
    count = len(values) // dims
    rows = values[: count * dims].reshape(count, dims) * np.where(np.arange(dims) < 16, 1, 0.1).astype(dtype)
    chosen = plan(rows, clusters, config=RunConfig(num_threads=2))
    promised = most(chosen.path, count, dims, clusters, rows.itemsize) + 64 * clusters * dims
    assert chosen.memory <= (max(promised, 4 * MIB) if chosen.path == "packed" else promised)


@pytest.mark.parametrize("path", SHAPES)
def test_any_memory_limit_gives_the_same_bits(path):
    _, dims, clusters = SHAPES[path]
    rows = grouped(path, np.random.default_rng(1).normal(size=(3000, dims)).astype(np.float32))
    needed = plan(rows, clusters).memory
    plans, results = [], set()
    for limit in (needed, needed - 1, needed // 2, 1000):
        config = RunConfig(memory_limit=limit, save_checkpoints_steps=None)
        plans.append(plan(rows, clusters, config=config))
        assert plans[-1].memory <= limit or plans[-1].path == "plain"
        model = KMeans(clusters, use_mini_batch=False, seed=0, config=config).train(rows, steps=6)
        results.add(model.cluster_centers().tobytes() + model.labels(rows).tobytes())
    assert [plans[0].path, plans[-1].path] == [path_of(path), "plain"]
    assert path != "packed in part" or WIDE_LANES or plans[0].form.endswith("% copied")
    assert path != "bounds" or plans[1].form.endswith("groups")
    assert len(results) == 1


def test_what_sorting_takes_counts_under_a_limit():
    """Rows that could not be sorted within it are copied in part, which are never sorted."""
    rows = np.random.default_rng(1).normal(size=(20_000, 16)).astype(np.float32)
    needed, sorting = plan(rows, 64).memory, 2 * 20_000 * (2 * 16 + 26)
    forms = {}
    for limit in (needed + sorting, needed + sorting - 1, needed):
        chosen = plan(rows, 64, config=RunConfig(memory_limit=limit, num_threads=2))
        assert chosen.path == "packed"
        forms[limit] = chosen.form
    assert [form[-8:] for form in forms.values()] == ["", "% copied", "% copied"]


def test_below_what_bounds_take_groups_share_them():
    rows = np.random.default_rng(1).normal(size=(30_000, 64)).astype(np.float32)
    plans = [plan(rows, 1000)]
    while plans[-1].path == "bounds":
        plans.append(plan(rows, 1000, config=RunConfig(memory_limit=plans[-1].memory - 1)))
    shared = [each.form.partition("a bound for ")[2] for each in plans]
    assert shared[:4] == ["", "2 groups", "4 groups", "8 groups"]


if __name__ == "__main__":
    (read if sys.argv[1] in READ else fit)(sys.argv[1])
