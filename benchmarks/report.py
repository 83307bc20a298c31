"""Say what a run found: every contender, macqueen against the best of them, and a picture.

`python benchmarks/report.py [RESULT.json ...] [--page PAGE.md]` writes PAGE.md and PAGE.png, by default beside the
result, by default of the latest. Several results of one machine, of other workloads each, make one page.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contender import HERE
from peers import PEERS

Result = dict[str, Any]
EXACT, APPROXIMATE = [{name for name, peer in PEERS.items() if peer.exact == exact} for exact in (True, False)]
PART = (
    "share of 2nkd operations, at the pace of NumPy's matrix product and of our own 8-bit products, or of one reading "
    "of the rows a step"
)
WRONG = (
    "Wrong: labels of all rows that differ from brute force in float64, and centers that differ in a bit from what a "
    "plain pass makes of those of the step before"
)
FAIRNESS = """The wrong labels of each library, below, are those of its `predict`, whatever its fit does: an approximate
fit shows in the cost. scikit-learn and scikit-learn-intelex label all rows once more after the last step, which is in
their times: one pass beside ten. macqueen writes no files here, as no other does; by default it does. clostera,
faiss.SuperKMeans and superkmeans draw their own starts: their times can be compared, their costs cannot. A peer that
took half as long again as the best of its kind in the first round was left out of the others.
"""


@dataclass(frozen=True)
class Table:
    """Names of columns and rows of cells, for the terminal and for Markdown."""

    columns: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Return the table in Markdown, all but the first two columns to the right."""
        rule = ["---" if i < 2 else "--:" for i in range(len(self.columns))]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.columns, rule, *self.rows)) + "\n"


@dataclass(frozen=True)
class Standing:
    """Where macqueen stands on one workload with one number of steps."""

    ours: Result
    exact: tuple[float, str] | None  # the best peer's time over ours, and its name
    approximate: tuple[float, str] | None

    @property
    def seconds(self) -> float:
        """Of a fit."""
        return statistics.median(self.ours["seconds"])


def ratio(result: Result, ours: Result) -> float:
    """Return the time over macqueen's: the median over rounds, each of which is a moment of the machine.

    A slow peer has been in the first ones only.
    """
    return statistics.median(s / o for s, o in zip(result["seconds"], ours["seconds"], strict=False))


def standings(results: list[Result]) -> list[Standing]:
    """Compare macqueen with the best of its peers, workload by workload."""
    found = []
    for ours in results:
        if ours["contender"] != "macqueen":
            continue
        same = [r for r in results if (r["case"], r["steps"]) == (ours["case"], ours["steps"]) and r is not ours]
        best = [
            min(((ratio(r, ours), r["contender"]) for r in same if r["contender"] in kind), default=None)
            for kind in (EXACT, APPROXIMATE)
        ]
        found.append(Standing(ours, *best))
    return found


def details(results: list[Result]) -> Table:
    """Make a line for each result; memory is peak RSS above the loaded rows.

    The first fit of a turn comes after a pause. A late step is one beyond those of the shortest fit.
    """
    fits = {(r["case"], r["contender"], r["steps"]): 1e3 * statistics.median(r["seconds"]) for r in results}
    fewest = min(r["steps"] for r in results)
    ours = {(r["case"], r["steps"]): r for r in results if r["contender"] == "macqueen"}
    rows = []
    for result in results:
        n, d, k = result["shape"]
        case, contender, steps = result["case"], result["contender"], result["steps"]
        milliseconds, short = fits[case, contender, steps], fits.get((case, contender, fewest))
        late = "" if short is None or steps == fewest else f"{(milliseconds - short) / (steps - fewest):,.3f}"
        approximate = " ~" if contender in APPROXIMATE else ""
        rows.append(
            [
                f"{case} {n:,} x {d}, k {k}",
                contender + approximate + (" *" if result["notes"] else ""),
                str(steps),
                str(len(result["seconds"])),
                f"{1e3 * statistics.median(result['first_seconds']):,.2f}",
                f"{milliseconds:,.2f}",
                f"{milliseconds / steps:,.3f}",
                late,
                f"{ratio(result, ours[case, steps]):.2f}",
                f"{result['cost']:.8g}",
                f"{result['mismatches']:,}",
                f"{result['peak_mib'] - result['before_mib']:,.0f}",
            ]
        )
    times = "ms the first fit, ms a fit, ms a step, ms a late step, x macqueen"
    columns = f"workload, contender, steps, rounds, {times}, cost, wrong labels, MiB added"
    return Table(columns.split(", "), rows)


def notes(content: Result) -> list[str]:
    """Return what a reader of the details has to know."""
    found = {f"\\* {r['case']}, {r['contender']}: {text}" for r in content["results"] for text in r["notes"]}
    marks = ["~ approximate: does not always find the nearest center"]
    return marks + sorted(found) + content["left_out"]


def promised(n: int, d: int, k: int) -> float:
    """Return the bytes that macqueen takes at most beside float32 rows, but for what does not grow with them."""
    return n * (d + 3 * k / 16 + 48) + 64 * k * d


def summary(content: Result) -> Table:
    """Make a line for each workload: the best peers over macqueen, and macqueen over the machine's peaks."""
    peaks = content["machine"]["peaks"]
    rows = []
    for standing in standings(content["results"]):
        n, d, k = standing.ours["shape"]
        steps = standing.ours["steps"]
        work = [(2 * n * k * d, "float32_operations"), (2 * n * k * d, "int8_operations"), (4 * n * d, "bytes_read")]
        rates = [(amount * steps / standing.seconds, peaks[peak]) for amount, peak in work]
        rows.append(
            [
                standing.ours["case"],
                f"{steps} steps",
                f"{len(standing.ours['seconds'])}",
                f"{1e3 * standing.seconds / steps:,.3f}",
                *(f"{best[0]:.2f} {best[1]}" if best else "-" for best in (standing.exact, standing.approximate)),
                *(f"{rate / peak:.0%}" if peak else "-" for rate, peak in rates),
                f"{standing.ours['mismatches']}, {standing.ours['strays']}",
                f"{standing.ours['peak_mib'] - standing.ours['before_mib']:,.0f} of {promised(n, d, k) / 2**20:,.0f}",
            ]
        )
    columns = (
        "workload, steps, rounds, ms a step, best exact peer, best approximate peer, float32, int8, reading, wrong, MiB"
    )
    return Table(columns.split(", "), rows)


def plans(results: list[Result]) -> Table:
    """Make a line for each workload: what macqueen planned, beside what came of it."""
    rows = []
    for ours in {result["case"]: result for result in results if "path" in result}.values():
        added = ours["peak_mib"] - ours["before_mib"]
        seconds = f"{1e3 * ours['planned_seconds']:,.2f}", f"{1e3 * ours['step_seconds']:,.2f}"
        rows.append([ours["case"], ours["path"], *seconds, f"{ours['planned_mib']:,.1f}", f"{added:,.1f}"])
    return Table(["workload", "path", "ms of the first step: planned", "taken", "MiB: planned", "taken"], rows)


def means(results: list[Result]) -> list[str]:
    """Return the geometric means over workloads, and the workloads where macqueen is not the fastest."""
    lines = []
    found = standings(results)
    for steps in sorted({standing.ours["steps"] for standing in found}):
        for kind in ("exact", "approximate"):
            some = [s for s in found if s.ours["steps"] == steps and getattr(s, kind) is not None]
            if not some:
                continue
            ratios = {s.ours["case"]: getattr(s, kind)[0] for s in some}
            mean = statistics.geometric_mean(ratios.values())
            slower = [f"{case} {value:.2f}" for case, value in ratios.items() if value < 1]
            lines.append(
                f"{steps} steps: best {kind} peer / macqueen = {mean:.2f}, geometric mean of {len(ratios)} workloads"
                + (f"; below 1: {', '.join(slower)}" if slower else "")
            )
    return lines


def picture(results: list[Result], path: Path) -> None:
    """Draw a bar for each workload: how many times as long the best peers take."""
    from matplotlib.figure import Figure

    found = standings(results)
    steps = sorted({standing.ours["steps"] for standing in found})
    figure = Figure(figsize=(9, 3.2 * len(steps)), layout="constrained")
    for axes, count in zip(figure.subplots(len(steps), squeeze=False)[:, 0], steps, strict=True):
        some = [standing for standing in found if standing.ours["steps"] == count]
        for shift, kind, colour in ((-0.2, "exact", "#1f6f8b"), (0.2, "approximate", "#c9a66b")):
            bars = {i + shift: best[0] for i, standing in enumerate(some) if (best := getattr(standing, kind))}
            drawn = axes.bar(list(bars), list(bars.values()), 0.38, color=colour, label=f"best {kind} peer")
            axes.bar_label(drawn, fmt="%.1f", fontsize=8)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xticks(range(len(some)), [standing.ours["case"] for standing in some])
        axes.set(ylabel="time / macqueen's", title=f"{count} steps")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def joined(paths: list[Path]) -> Result:
    """Return the results of several runs as one."""
    content, *others = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for other in others:
        if any(other["machine"][name] != content["machine"][name] for name in ("processor", "threads", "versions")):
            raise SystemExit("the results are of different machines, threads or versions; make a page of each")
        if {(r["case"], r["steps"]) for r in other["results"]} & {(r["case"], r["steps"]) for r in content["results"]}:
            raise SystemExit("a workload is in two of the results; leave one out")
        content["results"] += other["results"]
        content["left_out"] += [note for note in other["left_out"] if note not in content["left_out"]]
    content["results"].sort(key=lambda result: (len(result["case"].rstrip("a")), result["case"]))
    return content


def write(content: Result, page: Path) -> None:
    """Write a page and its picture."""
    machine = content["machine"]
    rounds = {len(result["seconds"]) for result in content["results"]}
    span = " to ".join(map(str, sorted({min(rounds), max(rounds)})))
    lines = [
        "# Benchmark\n",
        f"{machine['processor']}, {machine['threads']} threads; {'quick run, ' if content['quick'] else ''}"
        f"medians of {span} rounds.\n",
        *(f"- {line}" for line in means(content["results"])),
        f"\n{summary(content).markdown()}",
        f"The columns float32, int8 and reading: {PART}; pruning can exceed 100 %. {WRONG}. MiB: peak memory added to "
        "the rows, of n (d + 3 k / 16 + 48) + 64 k d bytes, and what does not grow.\n",
        FAIRNESS,
        f"![ratios]({page.stem}.png)\n",
        "What was planned; a fit of one step makes a plan, a model and its first state, too:\n",
        plans(content["results"]).markdown(),
        details(content["results"]).markdown(),
        *(f"- {note}" for note in notes(content)),
        "\n" + ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version),
    ]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    picture(content["results"], page.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a page and a picture of results.")
    parser.add_argument("results", type=Path, nargs="*", help="default: the latest run")
    parser.add_argument("--page", type=Path, help="default: beside the first result")
    arguments = parser.parse_args()
    paths = arguments.results or sorted((HERE / "results").glob("run-*.json"))[-1:]
    if not paths:
        raise SystemExit("no results yet; make bench makes some")
    page = arguments.page or paths[0].with_suffix(".md")
    write(joined(paths), page)
    print(f"wrote {page} and {page.with_suffix('.png')}")


if __name__ == "__main__":
    main()
