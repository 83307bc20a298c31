"""Training on a memory-mapped array takes little memory beside the file."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from macqueen import KMeans

ROWS, DIMS = 3_000_000, 33  # 396 MB of float32
MODES = ["full random", "full kmeans_plus_plus", "full kmeans_parallel", "mini random", "stream random"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return a file of rows, written in pieces so that this process stays small too."""
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(ROWS, DIMS))
    rng = np.random.default_rng(1)
    for begin in range(0, ROWS, 100_000):
        rows[begin : begin + 100_000] = rng.random((100_000, DIMS), dtype=np.float32)
    rows.flush()
    yield path
    path.unlink()


def anonymous():
    """Bytes of this process that are no pages of a file."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def peak_of(action):
    """Run an action and return the most anonymous memory seen meanwhile, beyond that before."""
    done, peak, before = threading.Event(), [0], anonymous()

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    action()
    done.set()
    watcher.join()
    return max(peak[0], anonymous()) - before


def train(path, folder, mode):
    """Train on the file and say what it took."""
    rows = np.load(path, mmap_mode="r")
    kind, init = mode.split()
    model = KMeans(8, folder, init, seed=1, use_mini_batch=kind != "full", kmeans_plus_plus_num_retries=0)
    if kind == "stream":
        batches = (rows[begin : begin + 50_000] for begin in range(0, ROWS, 50_000))
        took = peak_of(lambda: model.train(batches))
    else:
        took = peak_of(lambda: model.train(rows, steps=2 if kind == "full" else 200))
    copying = peak_of(lambda: np.array(rows[: ROWS // 2]).sum())
    step = int(model.get_variable_value("global_step"))
    sys.stdout.write(json.dumps({"took": took, "copying": copying, "step": step}))


@pytest.fixture(scope="module", params=MODES)
def told(request, path, tmp_path_factory):
    """Return what a fresh process says of a training."""
    arguments = [str(path), str(tmp_path_factory.mktemp("model")), request.param]
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return {"mode": request.param, "size": ROWS * DIMS * 4, **json.loads(done.stdout)}


def test_training_on_a_memory_map_adds_little_memory(told):
    """Less than 20 % of the size of the array plus 100 MB."""
    assert told["size"] > 390e6
    assert told["took"] < 0.2 * told["size"] + 100e6


def test_the_measurement_sees_a_copy(told):
    """Half of the array copied is noticed by the same means."""
    assert told["copying"] > 0.45 * told["size"]


def test_the_training_measured_did_something(told):
    assert told["step"] == {"full": 2, "mini": 200, "stream": 60}[told["mode"].split()[0]]


if __name__ == "__main__":
    train(*sys.argv[1:])
