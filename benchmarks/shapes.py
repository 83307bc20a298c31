"""Measure fits of many shapes and kinds of rows that are none of the workloads: nobody should have to be slower.

Rows are drawn, 10 steps are timed as in run.py. `python benchmarks/shapes.py [--page PAGE.md]` prints a table and
stores it, with all times, in benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import report
from cases import Rows
from contender import HERE
from machine import described
from numpy.random import Generator
from numpy.typing import NDArray
from peers import PEERS, version
from rich.console import Console
from run import Measurement, show

Draw = Callable[[Generator, int, int, int], NDArray[Any]]


def groups(random: Generator, n: int, d: int, count: int, apart: float) -> NDArray[Any]:
    """Rows around so many middles."""
    middles = apart * random.normal(size=(count, d))
    return middles[random.integers(0, count, n)] + random.normal(size=(n, d))


def embeddings(random: Generator, n: int, d: int, k: int) -> NDArray[Any]:
    """Overlapping groups on turned axes, the i-th of which holds a share 1 / i of the squares."""
    stretch = np.arange(1, d + 1) ** -0.5
    middles = random.normal(size=(4 * k, d)) * stretch
    rows = middles[random.integers(0, 4 * k, n)] + 0.7 * random.normal(size=(n, d)) * stretch
    return rows @ np.linalg.qr(random.normal(size=(d, d)))[0]


def categories(random: Generator, n: int, d: int, k: int) -> NDArray[Any]:
    """Eight columns of categories, a column of 0 and 1 for each: many rows are as near to several others."""
    each = d // 8
    rows = np.zeros((n, d))
    for first in range(0, 8 * each, each):
        rows[np.arange(n), first + random.integers(0, each, n)] = 1
    return rows


KINDS: dict[str, Draw] = {
    "normal": lambda random, n, d, k: random.normal(size=(n, d)),
    "uniform": lambda random, n, d, k: random.random((n, d)),
    "groups": lambda random, n, d, k: groups(random, n, d, max(2, k), 3),
    "tight groups": lambda random, n, d, k: groups(random, n, d, max(2, k // 2), 33),
    "embeddings": embeddings,
    "counts": lambda random, n, d, k: random.poisson(np.exp(random.normal(size=d)), size=(n, d)),
    "categories": categories,
    "mostly zeros": lambda random, n, d, k: random.integers(0, 256, (n, d)) * (random.random((n, d)) < 0.1),
    "heavy tails": lambda random, n, d, k: random.standard_t(2, size=(n, d)),
    "scales": lambda random, n, d, k: random.normal(size=(n, d)) * np.exp(3 * random.normal(size=d)),
    "walk": lambda random, n, d, k: np.cumsum(random.normal(size=(n, d)), axis=0),
    "far away": lambda random, n, d, k: random.normal(size=(n, d)) + 1000,
}
SHAPES = [  # kind, n, d, k
    ("normal", 1_000, 4, 3),
    ("normal", 1_000, 64, 200),
    ("normal", 5_000, 8, 200),
    ("normal", 10_000, 32, 50),
    ("normal", 50_000, 16, 200),
    ("normal", 50_000, 32, 10),
    ("normal", 50_000, 64, 64),
    ("normal", 50_000, 100, 100),
    ("normal", 20_000, 256, 50),
    ("normal", 20_000, 384, 100),
    ("normal", 10_000, 1536, 50),
    ("normal", 200_000, 10, 500),
    ("uniform", 100_000, 4, 50),
    ("uniform", 100_000, 7, 400),
    ("uniform", 30_000, 12, 1000),
    ("groups", 100_000, 2, 10),
    ("groups", 50_000, 16, 16),
    ("groups", 50_000, 100, 30),
    ("groups", 50_000, 200, 500),
    ("tight groups", 100_000, 32, 100),
    ("tight groups", 30_000, 300, 30),
    ("tight groups", 50_000, 100, 1000),
    ("embeddings", 50_000, 64, 50),
    ("embeddings", 50_000, 128, 200),
    ("embeddings", 20_000, 768, 300),
    ("embeddings", 100_000, 32, 1000),
    ("counts", 50_000, 30, 50),
    ("counts", 30_000, 200, 100),
    ("categories", 50_000, 64, 30),
    ("categories", 50_000, 200, 100),
    ("mostly zeros", 20_000, 784, 10),
    ("mostly zeros", 20_000, 784, 100),
    ("heavy tails", 50_000, 20, 100),
    ("scales", 50_000, 40, 60),
    ("walk", 100_000, 20, 200),
    ("far away", 50_000, 50, 100),
]


def drawn(kind: str, n: int, d: int, k: int) -> tuple[Rows, Rows]:
    """Rows (n, d), and k distinct ones of them to start from."""
    random = np.random.default_rng([n, d, k])
    rows = np.ascontiguousarray(KINDS[kind](random, n, d, k), dtype=np.float32)
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows, rows[random.choice(first, k, replace=False)]


def table(results: list[report.Result]) -> report.Table:
    """Make a line for each shape."""
    rows = []
    for standing in report.standings(results):
        ours = standing.ours
        n, d, k = ours["shape"]
        best = [f"{best[0]:.2f} {best[1]}" if best else "-" for best in (standing.exact, standing.approximate)]
        shape = [ours["case"].split(":")[0], f"{n:,} x {d}", f"{k:,}", ours["path"], f"{1e3 * standing.seconds:,.1f}"]
        least = min(r["cost"] for r in results if r["case"] == ours["case"] and r["contender"] in report.EXACT)
        rows.append([*shape, *best, f"{ours['cost'] / least - 1:.1e}", f"{ours['mismatches']}, {ours['strays']}"])
    columns = "rows, shape, clusters, path, ms, best exact peer, best approximate peer, cost above the least, wrong"
    return report.Table(columns.split(", "), rows)


def means(results: list[report.Result]) -> str:
    """Say how it stands on the whole."""
    ratios = [standing.exact[0] for standing in report.standings(results) if standing.exact]
    slower = sum(ratio < 1 for ratio in ratios)
    mean = statistics.geometric_mean(ratios)
    return f"best exact peer / macqueen = {mean:.2f}, geometric mean of {len(ratios)} shapes, {slower} below 1"


def page(content: dict[str, Any]) -> str:
    """Return a page of Markdown."""
    results, found = content["results"], content["machine"]
    how = f"10 steps, {found['threads']} threads, `{found['macqueen']['isa']}`"
    peers = ", ".join(dict.fromkeys(result["contender"] for result in results if result["contender"] != "macqueen"))
    notes = "".join(f"- {note}\n" for note in content["left_out"])
    return (
        f"# Other shapes on an {found['processor']}\n\n{how}; medians of {len(results[0]['seconds'])} rounds.\n\n"
        f"{means(results)}. Beside macqueen: {peers}.\n\n{table(results).markdown()}\n"
        "The cost above the least: of all exact libraries, of which clostera draws its own starts. "
        f"{report.WRONG}.\n{notes}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure macqueen beside other libraries on many shapes.")
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=["macqueen", *sorted(report.EXACT - {"macqueen"}), "superkmeans"]
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--page", type=Path, help="where to write the table as Markdown")
    arguments = parser.parse_args()
    arguments.steps, arguments.pause, arguments.minutes = [10], 0.1, 5.0
    peers = [peer for peer in arguments.peers if version(peer)]
    console = Console() if sys.stdout.isatty() else Console(width=180)
    path = HERE / "results" / f"shapes-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(exist_ok=True)
    content: dict[str, Any] = {"machine": described(arguments.threads), "results": [], "left_out": []}
    with console.status("") as status:
        for kind, n, d, k in SHAPES:
            if kind in arguments.kinds:
                measurement = Measurement(f"{kind}: {n} {d} {k}", arguments, status)
                content["results"] += measurement.run(peers, *drawn(kind, n, d, k))
                content["left_out"] += measurement.left_out
                path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    show(table(content["results"]), console)
    console.print(means(content["results"]), highlight=False)
    if arguments.page:
        arguments.page.write_text(page(content), encoding="utf-8")
    console.print(f"stored in {path}", highlight=False)


if __name__ == "__main__":
    main()
