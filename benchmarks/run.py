"""Measure macqueen beside other libraries: one interleaved run, ratios, and the cost beside every time.

For each workload every contender gets a process that loads the rows and then waits. Rounds go A-B-C-A-B-C, one fit at a
time with a pause before it, so that a slow moment of the machine meets all of them. A fit of one step comes first and
is not counted: it loads libraries and starts threads. After the first round peers that took half as long again as the
fastest of their kind are left out. Once a workload has taken some minutes no other round of it begins. Where a fit of
macqueen takes some milliseconds, 20 follow each other in the turn of every contender, and the median counts; the first
one, with cold caches, is reported apart. Timings are printed and stored in benchmarks/results/, with a report
(report.py), never asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import report
from cases import CASES, Rows
from contender import HERE, Contender, EndedError
from machine import described
from peaks import peaks
from peers import PEERS, version
from rich.console import Console
from rich.status import Status
from rich.table import Table

SHORT_SECONDS, SHORT_FITS = 0.01, 20  # a shorter fit is mostly how cold the caches are: so many in a row are taken
MUCH_SLOWER = 1.5  # than the fastest peer of its kind: one round tells enough, and leaves time for the others


class Measurement:
    """One workload: its contenders, what they answered, and those that gave up."""

    def __init__(self, case: str, arguments: argparse.Namespace, status: Status) -> None:
        self.case, self.arguments, self.status = case, arguments, status
        self.contenders: list[Contender] = []
        self.left_out: list[str] = []

    def run(self, peers: list[str], rows: Rows, init: Rows) -> list[dict[str, Any]]:
        """Return one result for each contender and number of steps."""
        results = []
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
            np.save(Path(folder, "rows.npy"), rows)
            np.save(Path(folder, "init.npy"), init)
            for peer in peers:
                if rows.shape[1] < PEERS[peer].fewest_dims:
                    self.left_out.append(f"{self.case}: {peer} takes no rows of {rows.shape[1]} dimensions")
                    continue
                self.contenders.append(Contender(peer, folder, self.arguments.threads))
                ends.callback(self.contenders[-1].end)
            for contender in list(self.contenders):
                self.ask(contender)  # all load at once, and only then is time taken
            for steps in self.arguments.steps:
                results += self.fits(steps)
        return results

    def ask(self, contender: Contender, order: str = "") -> dict[str, Any] | None:
        """Send an order, or wait for the first answer; a contender that breaks down is left out from there on."""
        try:
            return contender.ask(order) if order else contender.answer()
        except EndedError as error:
            if contender.peer == "macqueen":
                raise
            self.contenders.remove(contender)
            self.left_out.append(f"{self.case}: {error} and is left out")
            return None

    def near_the_best(self, answers: dict[str, list[dict[str, Any]]]) -> list[Contender]:
        """Return who goes on after a round: macqueen, and peers not much slower than the fastest of their kind."""
        first = {peer: found[0]["seconds"] for peer, found in answers.items() if found and peer != "macqueen"}
        best = {kind: min((s for p, s in first.items() if PEERS[p].exact == kind), default=0) for kind in (True, False)}
        slow = {peer for peer, seconds in first.items() if seconds > MUCH_SLOWER * best[PEERS[peer].exact]}
        return [contender for contender in self.contenders if contender.peer not in slow]

    def fits(self, steps: int) -> list[dict[str, Any]]:
        """Return one result for each contender."""
        answers: dict[str, list[dict[str, Any]]] = {contender.peer: [] for contender in self.contenders}
        last = time.monotonic() + 60 * self.arguments.minutes
        ours = next(contender for contender in self.contenders if contender.peer == "macqueen")
        again = SHORT_FITS if ours.ask(f"fit {steps} 0")["seconds"] < SHORT_SECONDS else 0
        racing = self.contenders
        for turn in range(self.arguments.repeats + 1):
            if turn > 1 and time.monotonic() > last:
                break
            if turn == 2 and not again:
                racing = self.near_the_best(answers)
            for contender in [one for one in racing if one in self.contenders]:
                self.status.update(f"{self.case}: {steps} steps, round {turn}, {contender.peer}")
                time.sleep(self.arguments.pause)
                answer = self.ask(contender, f"fit {steps} {again}" if turn else "fit 1 0")
                if turn and answer:
                    answers[contender.peer].append(answer)
        results = []
        for contender in list(self.contenders):
            if verdict := self.ask(contender, "judge"):
                fits = answers[contender.peer]
                result = {"case": self.case, "contender": contender.peer, "steps": steps}
                result |= {name: [answer[name] for answer in fits] for name in ("seconds", "first_seconds")}
                result |= {name: fits[-1][name] for name in ("peak_mib", "before_mib")}
                results.append(result | verdict)
        return results


def show(table: report.Table, console: Console) -> None:
    """Print a table, with a line between workloads."""
    shown = Table()
    for i, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if i < 2 else "right", no_wrap=i != 1)
    before = ""
    for first, *others in table.rows:
        if before and first != before:
            shown.add_section()
        shown.add_row("" if first == before else first, *others)
        before = first
    console.print(shown)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure macqueen beside other libraries.")
    parser.add_argument("--quick", action="store_true", help="fewer rows, 10 steps, 2 repeats: a first look")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--steps", nargs="+", type=int)
    parser.add_argument("--repeats", type=int, help="rounds")
    parser.add_argument("--minutes", type=float, default=5, help="no round but the first begins later than this")
    parser.add_argument("--pause", type=float, help="seconds before each fit")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    steps, repeats, pause = ([10], 2, 0.1) if arguments.quick else ([10, 25], 5, 0.5)
    arguments.steps = arguments.steps or steps
    arguments.repeats = repeats if arguments.repeats is None else arguments.repeats
    arguments.pause = pause if arguments.pause is None else arguments.pause
    if "macqueen" not in arguments.peers:
        arguments.peers = ["macqueen", *arguments.peers]
    return arguments


def main() -> None:
    arguments = parse()
    console = Console() if sys.stdout.isatty() else Console(width=180)
    peers = [peer for peer in arguments.peers if version(peer)]
    left_out = [f"{peer} is not installed; make bench installs it" for peer in arguments.peers if peer not in peers]
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"run-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {"quick": arguments.quick, "pause": arguments.pause, "results": [], "left_out": left_out}
    with console.status("measuring the machine") as status:
        content["machine"] = described(arguments.threads) | {"peaks": peaks(arguments.threads)}
        for case in arguments.cases:
            status.update(f"{case}: loading")
            measurement = Measurement(case, arguments, status)
            content["results"] += measurement.run(peers, *CASES[case].data(arguments.quick))
            left_out += measurement.left_out
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")  # a long run may be stopped
    report.write(content, path.with_suffix(".md"))
    show(report.details(content["results"]), console)
    for note in report.notes(content):
        console.print(note.removeprefix("\\"), style="dim", highlight=False)
    show(report.summary(content), console)
    for line in report.means(content["results"]):
        console.print(line, highlight=False)
    console.print(f"stored in {path}, .md and .png", highlight=False)


if __name__ == "__main__":
    main()
