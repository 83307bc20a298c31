"""One contender on one workload in its own process; it fits once for each line that it is sent.

Lines on standard input: `fit STEPS`, `judge STEPS SAMPLE`, `end`. One line of JSON answers each.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, Rows
from peers import PEERS, Labels


def resident(field: str) -> float:
    """Memory of this process in MiB: VmRSS now, VmHWM at its highest since `forget_peak`."""
    line = re.search(rf"^{field}:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(line[1]) / 1024 if line else float("nan")


def forget_peak() -> None:
    """Let VmHWM start again, so that loading the rows does not hide what a fit takes."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def nearest(rows: Rows, centers: Rows) -> np.ndarray[Any, Any]:
    """Index of the nearest center by brute force in float64, in difference form; the lowest of equals."""
    labels = np.empty(len(rows), np.int64)
    wide = centers.astype(np.float64)
    block = max(1, 4_000_000 // wide.size)
    for begin in range(0, len(rows), block):
        gap = rows[begin : begin + block, None, :].astype(np.float64) - wide
        labels[begin : begin + block] = np.einsum("nkd,nkd->nk", gap, gap).argmin(axis=1)
    return labels


def likely_nearest(rows: Rows, centers: Rows) -> np.ndarray[Any, Any]:
    """Do the same in expanded form about the mean: fast; a wrong choice among near-equals changes no digit shown."""
    middle = centers.mean(axis=0, dtype=np.float64)
    wide = centers - middle
    norms = np.einsum("kd,kd->k", wide, wide)
    labels = np.empty(len(rows), np.int64)
    block = max(1, 4_000_000 // len(centers))
    for begin in range(0, len(rows), block):
        labels[begin : begin + block] = (norms - 2 * (rows[begin : begin + block] - middle) @ wide.T).argmin(axis=1)
    return labels


def cost(rows: Rows, centers: Rows) -> float:
    """Sum of squared distances to the nearest center, in float64, the same code for every contender."""
    labels = likely_nearest(rows, centers)
    total = 0.0
    for begin in range(0, len(rows), 1 << 16):
        gap = rows[begin : begin + (1 << 16)] - centers[labels[begin : begin + (1 << 16)]].astype(np.float64)
        total += float(np.einsum("nd,nd->", gap, gap))
    return total


class Worker:
    """Holds the rows and remembers the centers of the last fit."""

    def __init__(self, peer: str, case: str, threads: int) -> None:
        self.peer, self.threads = peer, threads
        self.rows, self.init = CASES[case].data()
        forget_peak()
        self.before_mib = resident("VmRSS")
        self.fitted: dict[int, tuple[Rows, Labels]] = {}
        self.notes: set[str] = set()

    def fit(self, steps: int) -> dict[str, Any]:
        """Fit once; only the fit is inside the clock."""
        fit = PEERS[self.peer](self.rows, self.init, steps, self.threads)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            begin = time.perf_counter()
            self.fitted[steps] = fit()
            seconds = time.perf_counter() - begin
        self.notes |= {str(warning.message) for warning in caught if "stopped after" in str(warning.message)}
        return {"seconds": seconds, "peak_mib": resident("VmHWM"), "before_mib": self.before_mib}

    def judge(self, steps: int, sample: int) -> dict[str, Any]:
        """Cost of the last centers, and labels that differ from brute force on sampled rows."""
        centers, labels = self.fitted[steps]
        count = min(sample, len(self.rows))
        chosen = np.sort(np.random.default_rng(5).choice(len(self.rows), count, replace=False))
        rows = self.rows[chosen]
        wrong = int((labels(rows) != nearest(rows, centers)).sum())
        return {
            "cost": cost(self.rows, centers),
            "mismatches": wrong,
            "sampled": count,
            "shape": [*self.rows.shape, len(self.init)],
            "notes": sorted(self.notes),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("case")
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    logging.getLogger("macqueen").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # models without a directory of their own go here
        worker = Worker(arguments.peer, arguments.case, arguments.threads)
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            order, *numbers = line.split()
            if order == "end":
                break
            answer = getattr(worker, order)(*map(int, numbers))
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
