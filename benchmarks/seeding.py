"""W12: k-means++ alone, macqueen against scikit-learn: seconds, and the sum of squared distances that it leaves.

Both draw the same number of candidates for each center, scikit-learn's own 2 + log(k). Each seeding has a process of
its own, and the two libraries alternate. Seeds mean nothing across libraries: compare medians.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, Rows
from contender import HERE, environment, pin
from machine import described
from rich.console import Console
from rich.table import Table

WORKLOADS = ("W5", "W6")


def macqueen(rows: Rows, clusters: int, candidates: int, seed: int) -> tuple[float, float]:
    """Return seconds and sum: the clock stops when the centers are there; the first step says their cost."""
    from macqueen import KMeans, RunConfig
    from macqueen.tf_estimator import SessionRunHook

    class Clock(SessionRunHook):
        """Notes when training begins, which is after the centers were chosen."""

        def after_create_session(self, session: Any, coord: Any) -> None:
            self.seconds = time.perf_counter() - begin

    clock = Clock()
    model = KMeans(
        clusters,
        initial_clusters=KMeans.KMEANS_PLUS_PLUS_INIT,
        kmeans_plus_plus_num_retries=candidates - 1,
        use_mini_batch=False,
        config=RunConfig(save_checkpoints_steps=None, tf_random_seed=seed),
    )
    begin = time.perf_counter()
    model.train(rows, steps=1, hooks=[clock])
    return clock.seconds, float(model.history()["cost"][0])


def sklearn(rows: Rows, clusters: int, candidates: int, seed: int) -> tuple[float, float]:
    """Return seconds and sum, the latter by the same code as for the other."""
    from sklearn.cluster import kmeans_plusplus

    from macqueen import KMeans, RunConfig

    begin = time.perf_counter()
    centers, _ = kmeans_plusplus(rows, clusters, random_state=seed, n_local_trials=candidates)
    seconds = time.perf_counter() - begin
    config = RunConfig(save_checkpoints_steps=None)
    model = KMeans(clusters, initial_clusters=centers, use_mini_batch=False, config=config).train(rows, steps=1)
    return seconds, float(model.history()["cost"][0])


SEEDERS: dict[str, Callable[[Rows, int, int, int], tuple[float, float]]] = {
    "macqueen": macqueen,
    "scikit-learn": sklearn,
}


def one(arguments: argparse.Namespace) -> None:
    """Seed once, in the process that was started for it."""
    pin(arguments.threads)
    logging.getLogger("macqueen").setLevel(logging.ERROR)
    rows = np.load(arguments.file)
    candidates = 2 + int(math.log(arguments.clusters))
    print(json.dumps(SEEDERS[arguments.one](rows, arguments.clusters, candidates, arguments.seed)))


def started(seeder: str, file: Path, seed: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seed once in another process."""
    order = ["--one", seeder, "--file", str(file), "--seed", str(seed), "--clusters", str(arguments.clusters)]
    done = subprocess.run(
        [sys.executable, __file__, *order, "--threads", str(arguments.threads)],
        env=environment(arguments.threads),
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, potential = json.loads(done.stdout)
    return seconds, potential


def measure(case: str, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Return seconds and sums of each library on one workload."""
    found: dict[str, Any] = {seeder: {"seconds": [], "sums": []} for seeder in SEEDERS}
    with tempfile.TemporaryDirectory() as folder, console.status(case) as status:
        rows, _ = CASES[case].data(arguments.quick)
        file = Path(folder) / "rows.npy"
        np.save(file, rows)
        for seed in range(arguments.seeds):
            for seeder in SEEDERS:
                status.update(f"{case}: seed {seed}, {seeder}")
                seconds, potential = started(seeder, file, seed, arguments)
                found[seeder]["seconds"].append(seconds)
                found[seeder]["sums"].append(potential)
    return {"case": case, "shape": [*rows.shape, arguments.clusters], **found}


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Print a line for each library and workload."""
    table = Table()
    for name in ("workload", "library", "median s", "fastest s", "x macqueen", "median sum", "lowest", "highest"):
        table.add_column(name, justify="left" if name in {"workload", "library"} else "right", no_wrap=True)
    for result in results:
        n, d, k = result["shape"]
        for seeder in SEEDERS:
            seconds, sums = result[seeder]["seconds"], result[seeder]["sums"]
            pairs = zip(seconds, result["macqueen"]["seconds"], strict=True)
            table.add_row(
                f"{result['case']} {n:,} x {d}, k {k}",
                seeder,
                f"{statistics.median(seconds):,.2f}",
                f"{min(seconds):,.2f}",
                f"{statistics.median(theirs / ours for theirs, ours in pairs):.2f}",
                *(f"{value:.6g}" for value in (statistics.median(sums), min(sums), max(sums))),
            )
    console.print(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure k-means++ alone (W12).")
    parser.add_argument("--quick", action="store_true", help="fewer rows and 2 seeds")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(WORKLOADS))
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    for name, kind in (("--one", str), ("--file", Path), ("--seed", int)):  # for the processes that this one starts
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.seeds = arguments.seeds or (2 if arguments.quick else 5)
    return arguments


def main() -> None:
    arguments = parse()
    if arguments.one:
        one(arguments)
        return
    console = Console() if sys.stdout.isatty() else Console(width=140)
    results = [measure(case, arguments, console) for case in arguments.cases]
    show(results, console)
    (HERE / "results").mkdir(exist_ok=True)
    stored = HERE / "results" / f"seeding-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {"quick": arguments.quick, "machine": described(arguments.threads), "results": results}
    stored.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
