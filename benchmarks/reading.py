"""W13: reading with a trained model: labels, score, transform and the nearest 10, against scikit-learn and faiss.

All read the same rows with the same centers, those of two steps of macqueen. Contenders alternate, each in a process of
its own. Beside each time stand the labels (of `nearest` the indices in their places) that differ from macqueen's, which
are exact.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
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

WORKLOADS = ("W2", "W4", "W5", "W6", "W7", "W9")
NEAREST = 10
TRANSFORM_VALUES = 100_000_000  # distances that `transform` is asked for at most: of the first rows
FEW = {"1 row": 1, "100 rows": 100}  # labels of few rows: what a call costs
Job = Callable[[], Any]


def some(rows: Rows, centers: Rows) -> Rows:
    """Rows for `transform`."""
    return rows[: TRANSFORM_VALUES // len(centers)]


def macqueen(rows: Rows, centers: Rows, threads: int) -> dict[str, Job]:
    from macqueen import KMeans, RunConfig

    config = RunConfig(save_checkpoints_steps=None, save_summary_steps=0, num_threads=threads)
    model = KMeans(len(centers), initial_clusters=centers, config=config)
    part = some(rows, centers)

    def transform() -> Rows:
        found, first = np.empty((len(part), len(centers)), np.float32), 0
        for batch in model.predict(part, KMeans.ALL_DISTANCES, yield_single_examples=False):
            block = batch[KMeans.ALL_DISTANCES]
            found[first : first + len(block)] = block
            first += len(block)
        return found

    return {
        "labels": lambda: model.labels(rows),
        "score": lambda: model.score(rows),
        "transform": transform,
        "nearest": lambda: model.nearest(rows, NEAREST)[0],
        **{name: lambda few=rows[:count]: model.labels(few) for name, count in FEW.items()},
    }


def sklearn(rows: Rows, centers: Rows, threads: int) -> dict[str, Job]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    warnings.simplefilter("ignore")
    model = KMeans(len(centers), init=centers, n_init=1, max_iter=1).fit(rows[: 2 * len(centers)])
    model.cluster_centers_ = centers
    return {
        "labels": lambda: model.predict(rows),
        "score": lambda: model.score(rows),
        "transform": lambda: model.transform(some(rows, centers)),
        **{name: lambda few=rows[:count]: model.predict(few) for name, count in FEW.items()},
    }


def faiss(rows: Rows, centers: Rows, threads: int) -> dict[str, Job]:
    import faiss as library

    library.omp_set_num_threads(threads)
    index = library.IndexFlatL2(rows.shape[1])
    index.add(centers)
    return {
        "labels": lambda: index.search(rows, 1)[1][:, 0],
        "nearest": lambda: index.search(rows, NEAREST)[1],
        **{name: lambda few=rows[:count]: index.search(few, 1)[1][:, 0] for name, count in FEW.items()},
    }


READERS: dict[str, Callable[[Rows, Rows, int], dict[str, Job]]] = {
    "macqueen": macqueen,
    "scikit-learn": sklearn,
    "faiss": faiss,
}


def one(arguments: argparse.Namespace) -> None:
    """Do each job a few times, in the process that was started for it; keep what `labels` and `nearest` found."""
    pin(arguments.threads)
    logging.getLogger("macqueen").setLevel(logging.ERROR)
    rows, centers = np.load(arguments.folder / "rows.npy"), np.load(arguments.folder / "centers.npy")
    seconds = {}
    for name, job in READERS[arguments.one](rows, centers, arguments.threads).items():
        job() if name in FEW else None  # the first call of a process loads and starts things
        repeats = 50 if name in FEW else 2
        times = []
        for _ in range(repeats):
            begin = time.perf_counter()
            found = job()
            times.append(time.perf_counter() - begin)
        seconds[name] = min(times)
        if name not in FEW:
            seconds[f"{name}, first call"] = times[0]  # what is found out once, such as whether to sketch, included
        if name in {"labels", "nearest"}:
            np.save(arguments.folder / f"{name} {arguments.one}.npy", found)
    print(json.dumps(seconds))


def started(reader: str, folder: Path, threads: int) -> dict[str, float]:
    """Let another process do each job."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", reader, "--folder", str(folder), "--threads", str(threads)],
        env=environment(threads),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def trained(rows: Rows, init: Rows) -> Rows:
    """Centers after two steps."""
    from macqueen import KMeans, RunConfig

    config = RunConfig(save_checkpoints_steps=None)
    model = KMeans(len(init), initial_clusters=init, use_mini_batch=False, config=config).train(rows, steps=2)
    return model.cluster_centers()


def differing(folder: Path, job: str, reader: str) -> int | None:
    """Count what differs from macqueen; None where there is nothing to compare."""
    ours, theirs = (folder / f"{job} {name}.npy" for name in ("macqueen", reader))
    return int((np.load(ours) != np.load(theirs)).sum()) if theirs.exists() else None


def measure(case: str, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Return the seconds of every job and reader on one workload, round by round."""
    found: dict[str, list[dict[str, float]]] = {reader: [] for reader in READERS}
    with tempfile.TemporaryDirectory() as name, console.status(case) as status:
        folder = Path(name)
        rows, init = CASES[case].data(arguments.quick)
        np.save(folder / "rows.npy", rows)
        np.save(folder / "centers.npy", trained(rows, init))
        for turn in range(arguments.rounds):
            for reader in READERS:
                status.update(f"{case}: round {turn}, {reader}")
                found[reader].append(started(reader, folder, arguments.threads))
        wrong = {
            f"{job} {reader}": differing(folder, job, reader) for job in ("labels", "nearest") for reader in READERS
        }
    return {"case": case, "shape": [*rows.shape, len(init)], "rounds": found, "differing": wrong}


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Print a line for each workload and job."""
    table = Table()
    for name in ("workload", "job", *(f"{reader} ms" for reader in READERS), "x sklearn", "x faiss", "differing"):
        table.add_column(name, justify="left" if name in {"workload", "job"} else "right", no_wrap=True)
    for result in results:
        n, d, k = result["shape"]
        for job in result["rounds"]["macqueen"][0]:
            times = {reader: [one[job] for one in turns if job in one] for reader, turns in result["rounds"].items()}
            ratios = [
                f"{statistics.median(a / b for a, b in zip(times[reader], times['macqueen'], strict=True)):.2f}"
                if times[reader]
                else ""
                for reader in ("scikit-learn", "faiss")
            ]
            wrong = [result["differing"].get(f"{job} {reader}") for reader in ("scikit-learn", "faiss")]
            table.add_row(
                f"{result['case']} {n:,} x {d}, k {k}",
                job,
                *(f"{statistics.median(found) * 1e3:,.3f}" if found else "" for found in times.values()),
                *ratios,
                " / ".join("" if count is None else f"{count:,}" for count in wrong) if any(wrong) else "",
            )
    console.print(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure reading with a trained model (W13).")
    parser.add_argument("--quick", action="store_true", help="fewer rows and 2 rounds")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    for name, kind in (("--one", str), ("--folder", Path)):  # for the processes that this one starts
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
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
    stored = HERE / "results" / f"reading-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {"quick": arguments.quick, "machine": described(arguments.threads), "results": results}
    stored.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
