"""What exactness costs: a fit beside one whose sums are plain float64 and whose labels nothing checks.

The second is the same package built with -DMACQUEEN_UNCHECKED=ON (cpp/unchecked.hpp): rows are added to float64 sums,
which are merged as such; a row's label is the best of the float32 screen, or of float32 distances where a sketch or a
box left several centers. Everything else is the same code: reading, bounds, the plan, the update.

Both have a process of their own, and fits alternate, one first in one turn and second in the next. The ratios are
medians over the turns, since other work on the machine changes its pace within seconds: of the time that passed, and of
the processors' time of all threads, which that disturbs less. Quartiles say how far they can be trusted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES
from contender import Contender

GOALS = dict.fromkeys(("W2", "W3", "W4"), 0.25) | dict.fromkeys(("W5", "W6a", "W6", "W7", "W8", "W10"), 0.05)
BUILDS = ("exact", "unchecked")


def show(case: str, steps: int, told: dict[str, list[dict[str, Any]]], verdicts: dict[str, dict[str, Any]]) -> None:
    """Print one line: milliseconds a step, the cost of exactness, and that the two really differ."""

    def middle(build: str, what: str) -> float:
        return statistics.median(answer[what] for answer in told[build]) / steps * 1e3

    def shares(what: str) -> list[float]:
        ratios = [one[what] / other[what] - 1 for one, other in zip(*(told[build] for build in BUILDS), strict=True)]
        return statistics.quantiles(ratios, method="inclusive") if len(ratios) > 1 else ratios * 3

    (_, share, _), (low, cpu_share, high) = shares("seconds"), shares("cpu_seconds")
    costs = {build: verdict["cost"] for build, verdict in verdicts.items()}
    wrong = {build: verdict["mismatches"] for build, verdict in verdicts.items()}
    exact, unchecked = (middle(build, "seconds") for build in BUILDS)
    print(
        f"{case:4}{steps:3} steps  ms a step: exact {exact:9.3f}, unchecked {unchecked:9.3f}  "
        f"exactness {share:+6.1%}, of processor time {cpu_share:+6.1%} ({low:+.1%} to {high:+.1%}), "
        f"goal {GOALS[case]:.0%}  "
        f"wrong labels {wrong['exact']}, {wrong['unchecked']}  cost {costs['unchecked'] / costs['exact'] - 1:+.1e}",
        flush=True,
    )


def adds_exactly(variables: dict[str, str]) -> bool:
    """Tell whether the package that a process with these variables finds adds without rounding."""
    program = (
        "import macqueen, numpy; rows = numpy.array([[1e16], [1.0], [-1e16]]);"
        "model = macqueen.KMeans(1, initial_clusters=rows[1:2], use_mini_batch=False).train(rows, steps=1);"
        "print(model.cluster_centers()[0, 0] == 1 / 3)"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, check=True).stdout == b"True\n"


def measure(case: str, arguments: argparse.Namespace) -> None:
    """Measure one workload."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        rows, init = CASES[case].data(arguments.quick)
        np.save(Path(folder, "rows.npy"), rows)
        np.save(Path(folder, "init.npy"), init)
        contenders = {
            "exact": Contender("macqueen", folder, arguments.threads),
            "unchecked": Contender(
                "macqueen", folder, arguments.threads, PYTHONPATH=str(arguments.unchecked.resolve())
            ),
        }
        for contender in contenders.values():
            ends.callback(contender.end)
            contender.answer()
        for steps in arguments.steps:
            told: dict[str, list[dict[str, Any]]] = {build: [] for build in BUILDS}
            for turn in range(arguments.repeats + 1):
                for build in BUILDS if turn % 2 else reversed(BUILDS):
                    time.sleep(arguments.pause)
                    answer = contenders[build].ask(f"fit {steps if turn else 1} 0")  # the first one loads and starts
                    if turn:
                        told[build].append(answer)
            show(case, steps, told, {build: contenders[build].ask("judge") for build in BUILDS})


def main() -> None:
    """Measure all workloads with a goal."""
    parser = argparse.ArgumentParser(description="Measure what exact sums and exact decisions cost a step.")
    parser.add_argument("unchecked", type=Path, help="folder that holds the other build of the package")
    parser.add_argument("--quick", action="store_true", help="fewer rows: a first look")
    parser.add_argument("--cases", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--steps", nargs="+", type=int, default=[10, 25])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds before each fit")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if not list(arguments.unchecked.glob("macqueen/_core*.so")):
        parser.error(f"{arguments.unchecked} holds no package; make bench-exactness builds it")
    if not adds_exactly({}) or adds_exactly({"PYTHONPATH": str(arguments.unchecked.resolve())}):
        parser.error("the two builds do not differ as they should; make clean, then make bench-exactness")
    for case in arguments.cases:
        measure(case, arguments)


if __name__ == "__main__":
    main()
