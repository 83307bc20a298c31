"""What exactness costs: a fit beside one whose sums are plain float64 and whose labels nothing checks.

The second is the same package built with -DMACQUEEN_UNCHECKED=ON (cpp/unchecked.hpp): rows are added to float64 sums,
which are merged as such; a row's label is the best of the float32 screen, or of float32 distances where a sketch or a
box left several centers. Everything else is the same code: reading, bounds, the plan, the update.

Both have a process of their own, fits alternate, and the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES
from contender import Contender

GOALS = dict.fromkeys(("W2", "W3", "W4"), 0.25) | dict.fromkeys(("W5", "W6a", "W6", "W7", "W8"), 0.05)
BUILDS = ("exact", "unchecked")


def show(case: str, steps: int, told: dict[str, list[dict[str, Any]]], verdicts: dict[str, dict[str, Any]]) -> None:
    """Print one line: milliseconds a step, the cost of exactness, and that the two really differ."""
    seconds = {build: [answer["seconds"] for answer in answers] for build, answers in told.items()}
    middle = {build: statistics.median(taken) / steps * 1e3 for build, taken in seconds.items()}
    least = min(seconds["exact"]) / min(seconds["unchecked"]) - 1
    share = middle["exact"] / middle["unchecked"] - 1
    costs = {build: verdict["cost"] for build, verdict in verdicts.items()}
    wrong = {build: verdict["mismatches"] for build, verdict in verdicts.items()}
    print(
        f"{case:4}{steps:3} steps  exact {middle['exact']:9.3f} ms a step  unchecked {middle['unchecked']:9.3f}  "
        f"exactness {share:+7.1%} (of the shortest {least:+7.1%}, goal {GOALS[case]:.0%})  "
        f"wrong labels {wrong['exact']}, {wrong['unchecked']}  cost {costs['unchecked'] / costs['exact'] - 1:+.1e}",
        flush=True,
    )


def measure(case: str, arguments: argparse.Namespace) -> None:
    """Measure one workload."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        rows, init = CASES[case].data(arguments.quick)
        np.save(Path(folder, "rows.npy"), rows)
        np.save(Path(folder, "init.npy"), init)
        contenders = {
            "exact": Contender("macqueen", folder, arguments.threads),
            "unchecked": Contender("macqueen", folder, arguments.threads, PYTHONPATH=str(arguments.unchecked.resolve())),
        }
        for contender in contenders.values():
            ends.callback(contender.end)
            contender.answer()
        for steps in arguments.steps:
            told: dict[str, list[dict[str, Any]]] = {build: [] for build in BUILDS}
            for turn in range(arguments.repeats + 1):
                for build in BUILDS if turn % 2 else reversed(BUILDS):
                    time.sleep(arguments.pause)
                    answer = contenders[build].ask(f"fit {steps if turn else 1}")  # the first one loads and starts
                    if turn:
                        told[build].append(answer)
            show(case, steps, told, {build: contenders[build].ask(f"judge {arguments.sample}") for build in BUILDS})


def main() -> None:
    """Measure all workloads with a goal."""
    parser = argparse.ArgumentParser(description="Measure what exact sums and exact decisions cost a step.")
    parser.add_argument("unchecked", type=Path, help="folder that holds the other build of the package")
    parser.add_argument("--quick", action="store_true", help="fewer rows: a first look")
    parser.add_argument("--cases", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--steps", nargs="+", type=int, default=[10, 25])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds before each fit")
    parser.add_argument("--sample", type=int, default=5_000, help="rows whose labels are checked")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if not list(arguments.unchecked.glob("macqueen/_core*.so")):
        parser.error(f"{arguments.unchecked} holds no package; make bench-exactness builds it")
    for case in arguments.cases:
        measure(case, arguments)


if __name__ == "__main__":
    main()
