"""What growth.py measured, as a page and a picture: slopes, and what many machines would take by them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

Result = dict[str, Any]

VARIED = ("rows", "clusters", "dims", "threads")
TIMES = ("first", "later")
BASE_ROWS, PAPER_CLUSTERS, PAPER_DIMS = 50_000, 1000, 128
COLOURS = {"patches, plain": "#8a8d91", "patches": "#1f6f8b", "text": "#c8553d", "tabular": "#588157"}
WORKERS, PAPER_ROWS = (16, 64, 256, 1024), (10**9, 10**11)
BITS_A_SECOND, LATENCY = 10e9, 50e-6  # of the network between workers, assumed


def name_of(result: Result) -> str:
    """Return what a line of the picture is called."""
    return result["data"] + (", plain" if result["path"] else "")


def base_of(results: list[Result], name: str) -> Result:
    """Return the point that all lines of a data set and path pass through."""
    most = max(result["threads"] for result in results)
    wanted = {"rows": BASE_ROWS, "clusters": 512, "dims": 64, "threads": most}
    return next(r for r in results if name_of(r) == name and all(r[key] == wanted[key] for key in VARIED))


def line(results: list[Result], name: str, varied: str) -> list[Result]:
    """Return the points that differ from the base in one place only, in order."""
    base = base_of(results, name)
    others = [key for key in VARIED if key != varied]
    same = [r for r in results if name_of(r) == name and all(r[key] == base[key] for key in others)]
    return sorted(same, key=lambda r: r[varied])


def slope(points: list[Result], varied: str, which: str) -> float:
    """Return p of the power law time ~ value^p, by least squares of the logarithms."""
    if len(points) < 2:
        return math.nan
    logs = np.log([[point[varied], point[which]] for point in points])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def table(columns: list[str], rows: list[list[str]], left: int = 1) -> str:
    """Return a table in Markdown, all but the first columns to the right."""
    rule = ["---" if i < left else "--:" for i in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)) + "\n"


def slopes(results: list[Result]) -> str:
    """Return the table of slopes: the first step, then later ones."""
    rows = []
    for name in COLOURS:
        base = base_of(results, name)
        times = f"{1e3 * base['first']:.0f} / {1e3 * base['later']:.0f}"
        powers = [
            " / ".join(f"{slope(line(results, name, varied), varied, which):.2f}" for which in TIMES)
            for varied in VARIED
        ]
        rows.append([name, times, *powers])
    return table(["data, path", "ms a step", *VARIED], rows)


def picture(results: list[Result], path: Path) -> None:
    """Draw a panel for each quantity that was varied."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    figure = Figure(figsize=(9, 7), layout="constrained")
    plain_numbers = FuncFormatter(lambda value, _: f"{value:,.0f}")
    for axes, varied in zip(figure.subplots(2, 2).flat, VARIED, strict=True):
        for name, colour in COLOURS.items():
            points = line(results, name, varied)
            values = [point[varied] for point in points]
            for which, style in zip(TIMES, (":", "-"), strict=True):
                power = slope(points, varied, which)
                label = f"{name}: {power:.2f}" if which == "later" else None
                times = [1e3 * point[which] for point in points]
                axes.plot(values, times, style, color=colour, marker="o", markersize=3.5, linewidth=1.4, label=label)
        axes.set(xscale="log", yscale="log", xlabel=varied)
        axes.set_xticks(values)
        axes.xaxis.set_major_formatter(plain_numbers)
        axes.yaxis.set_major_formatter(plain_numbers)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks([5, 10, 20, 50, 100, 200, 500])
        axes.grid(color="#e4e4e4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, title="slope of later steps", title_fontsize=8)
    figure.supylabel("ms a step; dotted: the first step", fontsize=10)
    figure.savefig(path, dpi=100)


def exact_bytes(digits: int) -> int:
    """Return the bytes of exact sums, counts and squares of one worker and step, 8 a digit."""
    return 8 * (PAPER_CLUSTERS * PAPER_DIMS * digits + PAPER_CLUSTERS + PAPER_DIMS * 2 * digits)


def network_seconds(volume: float, workers: int) -> float:
    """Return the time of an all-reduce: everybody sends and receives 2 (p - 1) / p of the volume."""
    return 2 * (workers - 1) / workers * volume * 8 / BITS_A_SECOND + 2 * math.log2(workers) * LATENCY


def paper_points(results: list[Result]) -> list[Result]:
    """Return what was measured at the width and the number of clusters of the projection."""
    return [r for r in results if (r["clusters"], r["dims"]) == (PAPER_CLUSTERS, PAPER_DIMS)]


def seconds(value: float) -> str:
    """Return a time with two digits that count."""
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def projection(content: Result) -> str:
    """Return the table of rows and workers."""
    measured = {name_of(result): result for result in paper_points(content["results"])}
    plain, bounds = measured["patches, plain"], measured["patches"]
    index = content["index"]["patches"]["bytes"]
    volume = exact_bytes(bounds["digits"] + 1)
    rows = []
    for count in PAPER_ROWS:
        for workers in WORKERS:
            each = count / workers
            times = [each / r["rows"] * r[time] for r, time in ((plain, "later"), (bounds, "first"), (bounds, "later"))]
            network = f"{1e3 * network_seconds(volume, workers):.1f} ms"
            memory = [f"{each * bytes_each / 1e9:,.1f} GB" for bytes_each in (4 * PAPER_DIMS, index)]
            label = "1e" + str(round(math.log10(count)))
            rows.append([label, f"{workers:,}", *map(seconds, times), network, *memory])
    columns = "rows, workers, plain step, first with bounds, later with bounds, network, rows each, bounds each"
    return table(columns.split(", "), rows, 2)


TEXT = """# How a step grows

Measured by `make bench-growth` on {processor}, {threads} threads: each of rows, clusters, dimensions and threads is
varied alone around {base_rows:,} rows, 512 clusters, 64 dimensions and {threads} threads. *patches*: 8 x 8 pixels of
photos on their leading principal axes; *text*: leading columns of sentence embeddings; *tabular*: 64 groups with heavy
tails and noise, drawn anew for each width. *plain* is forced to compare every row with every center; the others take
the path that is chosen for them. A first step includes making the rows ready; later ones are the median of the next
five. The quickest of {rounds} interleaved rounds counts.
{busy}

![Time of a step against rows, clusters, dimensions and threads](growth.png)

The power p of time ~ value^p, first step / later steps, beside the times at the base:

{slopes}
Below 1: the work grows less than in proportion. A step that keeps bounds looks at few of the centers, and reads few
columns of most rows; a row and a step have costs of their own. -1 under threads: twice as fast with twice as many.

## On paper: many machines

What steps over 1e9 and 1e11 rows of {dims} float32 columns with {clusters} clusters would take, by the times of
{paper_rows:,} such rows (patches) on this machine. **Nothing of this was run.** Assumed:

* a worker is a machine like this one, with {threads} threads, and its time is in proportion to its rows; more cores
  divide it as the slope of threads says;
* the rows lie evenly in the memory of the workers, and none is slower than the others;
* a later step is one of steps 2 to 6: bounds do better later in a run, and worse on rows without structure;
* after a step all workers add up their totals: each sends and receives 2 (p - 1) / p of their size over {gigabits:.0f}
  Gbit/s, with {latency:.0f} us for each of 2 log2 p messages. Exact integers need no order for it.

Network, per worker and step, however many rows: k (d + 1) = {numbers:,} numbers, {plain_megabytes:.1f} MB as float64.
The exact totals take {digits} digits of 8 bytes each (one more than measured, enough for 2^40 times the rows):
{megabytes:.1f} MB. Of a digit 40 bits count; packed, the totals would take {packed_megabytes:.1f} MB.

{projection}"""


def busy(content: Result) -> str:
    """Say what else the machine did."""
    load = content["load"]
    if load < 0.5:
        return "Little else ran on the machine when it began."
    return (
        f"**The machine was busy with other work (load {load:.1f} at the beginning):**\n"
        "times are too long, and what is said of threads means nothing."
    )


def write(content: Result, page: Path) -> None:
    """Write the page, and the picture beside it."""
    results = content["results"]
    paper = next(result for result in paper_points(results) if name_of(result) == "patches")
    numbers, exact = PAPER_CLUSTERS * (PAPER_DIMS + 1), exact_bytes(paper["digits"] + 1)
    text = TEXT.format(
        **{name: content[name] for name in ("processor", "threads", "rounds")},
        busy=busy(content),
        base_rows=BASE_ROWS,
        dims=PAPER_DIMS,
        clusters=PAPER_CLUSTERS,
        paper_rows=paper["rows"],
        gigabits=BITS_A_SECOND / 1e9,
        latency=1e6 * LATENCY,
        numbers=numbers,
        plain_megabytes=8 * numbers / 1e6,
        digits=paper["digits"] + 1,
        megabytes=exact / 1e6,
        packed_megabytes=exact * 5 / 8e6,
        slopes=slopes(results),
        projection=projection(content),
    )
    page.write_text(text, encoding="utf-8")
    picture(results, page.with_suffix(".png"))
