"""Measure macqueen beside other libraries: one interleaved run, ratios, and the cost beside every time.

For each workload every contender gets a process that loads the rows and then waits. Rounds go A-B-C-A-B-C, one fit at a
time with a pause before it, so that a slow moment of the machine meets all of them; the first round is not counted.
Timings are printed and stored in benchmarks/results/, never asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cases import CASES
from peers import PEERS, version
from rich.console import Console
from rich.status import Status
from rich.table import Table

HERE = Path(__file__).resolve().parent
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MACQUEEN_NUM_THREADS")


class Contender:
    """A process that waits for orders."""

    def __init__(self, peer: str, case: str, threads: int) -> None:
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), peer, case, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **dict.fromkeys(POOLS, str(threads))},
        )

    def answer(self) -> dict[str, Any]:
        """Wait for one line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.peer} ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, order: str) -> dict[str, Any]:
        """Send one line and wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        """Let the process go."""
        with contextlib.suppress(OSError, ValueError):
            self.process.communicate("end\n", timeout=30)


def measure(case: str, peers: list[str], arguments: argparse.Namespace, status: Status) -> list[dict[str, Any]]:
    """Return one result for each contender and number of steps."""
    contenders = []
    try:
        for peer in peers:
            contenders.append(Contender(peer, case, arguments.threads))
            contenders[-1].answer()
        results = []
        for steps in arguments.steps:
            answers: dict[str, list[dict[str, Any]]] = {peer: [] for peer in peers}
            for turn in range(arguments.repeats + 1):
                for contender in contenders:
                    status.update(f"{case}: {steps} steps, round {turn}, {contender.peer}")
                    time.sleep(arguments.pause)
                    answer = contender.ask(f"fit {steps}")
                    if turn:
                        answers[contender.peer].append(answer)
            for contender in contenders:
                verdict = contender.ask(f"judge {steps} {arguments.sample}")
                seconds = [answer["seconds"] for answer in answers[contender.peer]]
                last = answers[contender.peer][-1]
                results.append(
                    {
                        "case": case,
                        "contender": contender.peer,
                        "steps": steps,
                        "seconds": seconds,
                        "peak_mib": last["peak_mib"],
                        "before_mib": last["before_mib"],
                        **verdict,
                    }
                )
        return results
    finally:
        for contender in contenders:
            contender.end()


def print_table(results: list[dict[str, Any]], console: Console) -> None:
    """Print one line a result; ratios are medians over rounds, memory is peak RSS above the loaded rows."""
    ours = {(r["case"], r["steps"]): r["seconds"] for r in results if r["contender"] == "macqueen"}
    table = Table()
    table.add_column("workload")
    table.add_column("contender")
    for name in ("steps", "ms a fit", "ms a step", "x macqueen", "cost", "wrong labels", "MiB added"):
        table.add_column(name, justify="right", no_wrap=True)
    before = None
    for result in results:
        case = (result["case"], result["steps"])
        n, d, k = result["shape"]
        milliseconds = 1e3 * statistics.median(result["seconds"])
        ratio = statistics.median(s / o for s, o in zip(result["seconds"], ours[case], strict=True))
        if case != before and before is not None:
            table.add_section()
        table.add_row(
            f"{result['case']} {n:,} x {d}, k {k}" if case != before else "",
            result["contender"] + (" *" if result["notes"] else ""),
            str(result["steps"]),
            f"{milliseconds:,.2f}",
            f"{milliseconds / result['steps']:,.3f}",
            f"{ratio:.2f}",
            f"{result['cost']:.8g}",
            f"{result['mismatches']} / {result['sampled']:,}",
            f"{result['peak_mib'] - result['before_mib']:,.0f}",
        )
        before = case
    console.print(table)
    for note in sorted({f"* {r['case']}, {r['contender']}: {text}" for r in results for text in r["notes"]}):
        console.print(note)


def machine(threads: int) -> dict[str, Any]:
    """Return what has to be known to read the times."""
    from macqueen import runtime_info

    model = "unknown"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "macqueen": runtime_info(),
        "versions": {peer: version(peer) for peer in PEERS},
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure macqueen beside other libraries.")
    parser.add_argument("--quick", action="store_true", help="2 repeats, 10 steps, shorter pauses")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--steps", nargs="+", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--pause", type=float, help="seconds before each fit")
    parser.add_argument("--sample", type=int, default=20_000, help="rows whose labels are checked")
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
    console = Console() if sys.stdout.isatty() else Console(width=150)
    peers = []
    for peer in arguments.peers:
        if version(peer):
            peers.append(peer)
        else:
            console.print(f"{peer} is not installed and is left out; make bench installs it")
    results: list[dict[str, Any]] = []
    with console.status("loading") as status:
        for case in arguments.cases:
            results += measure(case, peers, arguments, status)
    print_table(results, console)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {"machine": machine(arguments.threads), "pause": arguments.pause, "results": results}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.print(f"stored in {path}")


if __name__ == "__main__":
    main()
