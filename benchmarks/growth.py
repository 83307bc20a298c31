"""How the time of a step grows with rows, clusters, dimensions and threads, each varied alone; minutes.

Writes results/growth.json, and from it docs/growth.md and docs/growth.png. The fits of all points take turns, so that a
busy moment of the machine meets all of them; `--report` writes the page again without measuring.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from cases import Rows, tabular
from machine import processor
from photos import patches, reduced
from rich.console import Console
from sentences import embeddings

from macqueen import KMeans, RunConfig, plan

HERE = Path(__file__).resolve().parent
RESULT, PAGE = HERE / "results" / "growth.json", HERE.parent / "docs" / "growth.md"
STEPS, ROUNDS = 6, 3


@dataclass(frozen=True)
class Point:
    """One size of one data set, on the path that is chosen for it or on plain passes."""

    data: str
    path: str  # "" or "plain"
    rows: int
    clusters: int
    dims: int
    threads: int

    def varied(self, name: str, values: Iterable[int]) -> list[Point]:
        """Return this point with other values in one place."""
        return [replace(self, **{name: value}) for value in values]


THREADS = len(os.sched_getaffinity(0))
VARIED = {
    "rows": (12_500, 25_000, 50_000, 100_000, 200_000),
    "clusters": (64, 128, 256, 512, 1024, 2048),
    "dims": (16, 32, 64, 128, 192),
    "threads": tuple(sorted({1, *(2**i for i in range(1, 10) if 2**i <= THREADS), THREADS})),
}
SERIES = (("patches", "plain"), ("patches", ""), ("text", ""), ("tabular", ""))
BASES = [Point(data, path, 50_000, 512, 64, THREADS) for data, path in SERIES]
PAPER = [Point(data, path, 100_000, 1000, 128, THREADS) for data, path in SERIES]  # what the projection starts from
MOST_ROWS = {"patches": 200_000, "text": 100_000, "tabular": 200_000}


def sources() -> dict[str, Callable[[int], Rows]]:
    """Return what makes the rows of each data set with so many columns."""
    photos = reduced(patches(8, 3, MOST_ROWS["patches"]), max(VARIED["dims"]))  # the leading principal axes
    text = embeddings(MOST_ROWS["text"])
    return {
        "patches": lambda dims: photos[:, :dims],
        "text": lambda dims: text[:, :dims],
        "tabular": lambda dims: next(tabular(1, MOST_ROWS["tabular"], dims)),
    }


def points() -> list[Point]:
    """Return all points, those of one data set and width side by side."""
    found = {point for base in BASES for name, values in VARIED.items() for point in base.varied(name, values)}
    fitting = [point for point in found | set(PAPER) if point.rows <= MOST_ROWS[point.data]]
    return sorted(fitting, key=lambda point: (point.data, point.dims, str(point)))


def fit(point: Point, rows: Rows) -> dict[str, Any]:
    """Return the seconds of the first step, made ready included, and of later ones; and how wide exact sums are."""
    if point.path:
        os.environ["MACQUEEN_FORCE_PATH"] = point.path
    else:
        os.environ.pop("MACQUEEN_FORCE_PATH", None)
    rows = np.ascontiguousarray(rows[: point.rows])
    init = rows[np.random.default_rng(20).permutation(len(rows))[: point.clusters]]
    ends: list[float] = []
    digits: list[int] = []

    def watch(state: Any, stats: Any, now: float) -> None:
        ends.append(time.perf_counter())
        if len(ends) == STEPS:
            digits.append(stats.totals.sums_digits()[1].shape[1])

    config = RunConfig(save_checkpoints_steps=None, save_summary_steps=0, num_threads=point.threads)
    model = KMeans(point.clusters, initial_clusters=init, use_mini_batch=False, config=config, empty_clusters="keep")
    begin = time.perf_counter()
    model.train(rows, steps=STEPS, hooks=[watch])
    later = float(statistics.median(np.diff(ends)))
    return {"first": ends[0] - begin, "later": later, "digits": digits[0]}


def measure(console: Console) -> dict[str, Any]:
    """Fit all points in turns; of each the quickest round counts."""
    found: dict[Point, list[dict[str, Any]]] = {}
    load = os.getloadavg()[0]  # of others: nothing of ours runs yet
    with console.status("loading") as status:
        loaded = sources()
        for turn in range(ROUNDS):
            held: tuple[str, int, Rows] | None = None
            for point in points():
                status.update(f"round {turn + 1} of {ROUNDS}: {point}")
                if held is None or held[:2] != (point.data, point.dims):
                    held = (point.data, point.dims, loaded[point.data](point.dims))
                found.setdefault(point, []).append(fit(point, held[2]))
        results = []
        for point, fits in found.items():
            quickest = {name: min(one[name] for one in fits) for name in ("first", "later", "digits")}
            results.append(asdict(point) | quickest)
        index = {}
        for point in PAPER:
            os.environ.pop("MACQUEEN_FORCE_PATH", None)
            chosen = plan(np.ascontiguousarray(loaded[point.data](point.dims)[: point.rows]), point.clusters)
            index[point.data] = {"path": chosen.path, "bytes": chosen.memory / point.rows}
    machine = {"processor": processor(), "threads": THREADS, "load": load, "rounds": ROUNDS}
    return {**machine, "results": results, "index": index}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how the time of a step grows.")
    parser.add_argument("--report", action="store_true", help="write the page from the last measurement")
    console = Console() if sys.stdout.isatty() else Console(width=140)
    logging.getLogger("macqueen").setLevel(logging.ERROR)
    if not parser.parse_args().report:
        begin = time.perf_counter()
        content = measure(console)
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        console.print(f"measured in {time.perf_counter() - begin:.0f} s")
    from growth_page import write

    write(json.loads(RESULT.read_text(encoding="utf-8")), PAGE)
    console.print(f"wrote {PAGE} and {PAGE.with_suffix('.png')}")


if __name__ == "__main__":
    main()
