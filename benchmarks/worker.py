"""One contender on one workload in its own process; it fits once for each line that it is sent.

Lines on standard input: `fit STEPS AGAIN`, `judge`, `store STEPS`, `end`. One line of JSON answers each.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import logging
import os
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from contender import pin
from numpy.typing import NDArray
from peers import PEERS, Labels, Rows, Task


def resident(field: str) -> float:
    """Memory of this process in MiB: VmRSS now, VmHWM at its highest since `forget_peak`."""
    line = re.search(rf"^{field}:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(line[1]) / 1024 if line else float("nan")


def forget_peak() -> None:
    """Let VmHWM start again, so that loading the rows and judging do not hide what a fit takes, nor lend it memory."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def likely_nearest(rows: Rows, centers: Rows) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.bool_]]]:
    """Yield blocks of rows: which, the index of the nearest center, and (m, k) centers that may be as near.

    In float64 by the expanded form about the mean of the centers: fast, and it loses digits.
    """
    middle = centers.mean(axis=0, dtype=np.float64)
    wide = centers - middle
    norms = np.einsum("kd,kd->k", wide, wide)
    block = max(1, 4_000_000 // len(centers))
    for begin in range(0, len(rows), block):
        where = slice(begin, min(begin + block, len(rows)))
        shifted = rows[where] - middle
        scores = norms - 2 * shifted @ wide.T
        error = 1e-12 * (np.einsum("nd,nd->n", shifted, shifted) + norms.max())
        yield where, scores.argmin(axis=1), scores <= (scores.min(axis=1) + error)[:, None]


def nearest(rows: Rows, centers: Rows) -> tuple[NDArray[np.int64], float]:
    """Index of the nearest center by brute force, and the sum of squared distances; the same for every contender.

    In float64; near-equals in difference form, the lowest of equals.
    """
    labels, cost = np.empty(len(rows), np.int64), 0.0
    for where, likely, close in likely_nearest(rows, centers):
        for i in np.flatnonzero(close.sum(axis=1) > 1):
            candidates = np.flatnonzero(close[i])
            gap = rows[where][i].astype(np.float64) - centers[candidates].astype(np.float64)
            likely[i] = candidates[np.einsum("kd,kd->k", gap, gap).argmin()]
        labels[where] = likely
        gap = rows[where] - centers[likely].astype(np.float64)
        cost += float(np.einsum("nd,nd->", gap, gap))
    return labels, cost


def pools() -> list[str]:
    """Return the thread pools that the libraries of this process have loaded."""
    from threadpoolctl import threadpool_info

    return sorted(f"{pool['internal_api']} {pool['version']}: {pool['num_threads']}" for pool in threadpool_info())


class Worker:
    """Holds the rows and remembers the centers of the last fit."""

    def __init__(self, peer: str, folder: Path, threads: int) -> None:
        self.peer, self.folder, self.threads, self.fits = peer, folder, threads, 0
        self.rows, self.init = np.load(folder / "rows.npy"), np.load(folder / "init.npy")
        self.fitted: tuple[Rows, Labels] | None = None
        self.steps = 0  # of that fit
        self.notes: set[str] = set()

    def fit(self, steps: int, again: int) -> dict[str, Any]:
        """Time a fit, or the median of so many more that follow it at once, with warm caches."""
        self.fitted = None
        forget_peak()
        before_mib = resident("VmRSS")
        first = seconds, cpu_seconds = self.time_fit(steps)
        if again:
            fits = zip(*(self.time_fit(steps) for _ in range(again)), strict=True)
            seconds, cpu_seconds = map(statistics.median, fits)
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "first_seconds": first[0],
            "peak_mib": resident("VmHWM"),
            "before_mib": before_mib,
        }

    def time_fit(self, steps: int) -> tuple[float, float]:
        """Fit once; only the fit is inside the clocks, that of the wall and that of the processors."""
        self.fits += 1
        self.fitted, self.steps = None, steps
        fit = PEERS[self.peer].prepare(Task(self.rows, self.init, steps, self.threads, seed=self.fits))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            begin, worked = time.perf_counter(), time.process_time()
            self.fitted = fit()
            seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - worked
        self.notes |= {str(warning.message) for warning in caught if "stopped after" in str(warning.message)}
        return seconds, cpu_seconds

    def store(self, steps: int) -> dict[str, Any]:
        """Fit once and write the centers to a file of this process."""
        self.time_fit(steps)
        assert self.fitted is not None
        path = self.folder / f"centers-{os.getpid()}.npy"
        np.save(path, np.ascontiguousarray(self.fitted[0], dtype=np.float32))
        return {"path": str(path)}

    def judge(self) -> dict[str, Any]:
        """Cost of the last centers, and labels of all rows that differ from brute force."""
        assert self.fitted is not None
        centers, labels = self.fitted
        expected, cost = nearest(self.rows, centers)
        verdict = {
            "cost": cost,
            "mismatches": int((labels(self.rows) != expected).sum()),
            "shape": [*self.rows.shape, len(self.init)],
            "notes": sorted(self.notes),
            "pools": pools(),
        }
        return verdict | ({"strays": self.strays(), **self.plan()} if self.peer == "macqueen" else {})

    def strays(self) -> int:
        """Count the centers of macqueen's last fit of which a bit is not what a plain pass makes of those before."""
        from macqueen import KMeans, RunConfig

        assert self.fitted is not None
        found, before = self.fitted[0], self.init
        if self.steps > 1:
            self.time_fit(self.steps - 1)
            before = self.fitted[0]
        os.environ["MACQUEEN_FORCE_PATH"] = "plain"
        config = RunConfig(save_checkpoints_steps=None, save_summary_steps=0, num_threads=self.threads)
        model = KMeans(len(found), initial_clusters=before, use_mini_batch=False, config=config)
        plain = model.train(self.rows, steps=1).cluster_centers()
        del os.environ["MACQUEEN_FORCE_PATH"]
        return int((plain.view(np.uint32) != found.view(np.uint32)).any(axis=1).sum())

    def plan(self) -> dict[str, Any]:
        """Return what macqueen plans to do, and the time of the one step that it predicts the time of."""
        from macqueen import RunConfig, plan

        chosen = plan(self.rows, len(self.init), config=RunConfig(num_threads=self.threads))
        first = statistics.median(self.time_fit(1)[0] for _ in range(3))
        return {
            "path": f"{chosen.path} ({chosen.form})" if chosen.form else chosen.path,
            "planned_mib": chosen.memory / 2**20,
            "planned_seconds": chosen.seconds,
            "step_seconds": first,
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("folder", type=Path, help="holds rows.npy and init.npy")
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    pin(arguments.threads)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    logging.getLogger("macqueen").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # models without a directory of their own go here
        worker = Worker(arguments.peer, arguments.folder, arguments.threads)
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            order, *numbers = line.split()
            if order == "end":
                break
            answer = getattr(worker, order)(*map(int, numbers))
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
