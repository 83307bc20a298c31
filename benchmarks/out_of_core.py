"""W11: rows from a file on disk, which need not fit into memory; speed against the disk, and the memory it takes.

Writes W4's generator into a .npy file, block by block, reads it once as fast as it can be read, and trains on it
through a memory map. The file is dropped from the page cache before each of the two; later passes find in memory what
the machine could keep of it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import threading
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from cases import Rows, tabular
from contender import HERE, pin
from machine import described
from peers import Task
from worker import forget_peak, resident

BLOCK, DIMS = 1_000_000, 16
IN_MEMORY = 10_000_000  # rows that computing alone is timed with: what a step costs beside them does not count then
READ = 8 << 20  # bytes of one read: larger ones are no faster


def write(path: Path, rows: int) -> None:
    """Write the rows, unless they are there."""
    if path.exists() and np.load(path, mmap_mode="r").shape == (rows, DIMS):
        return
    description = {"descr": "<f4", "fortran_order": False, "shape": (rows, DIMS)}
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, description)
        for i, block in enumerate(tabular(-(-rows // BLOCK))):
            file.write(block[: rows - i * BLOCK].data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def forget_file(path: Path) -> None:
    """Ask the system to drop the file from its page cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_seconds(path: Path) -> float:
    """Seconds to read the file from its beginning to its end."""
    buffer = bytearray(READ)
    begin = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - begin


class Memory:
    """Watches the memory of this process that no file backs: what the system cannot take back under pressure."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, resident("RssAnon"))

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def step_seconds(task: Task) -> list[float]:
    """Train and return the seconds of each step; what comes before the first is in the first."""
    from macqueen import KMeans, RunConfig

    config = RunConfig(save_checkpoints_steps=None, num_threads=task.threads)
    model = KMeans(task.clusters, initial_clusters=task.init, use_mini_batch=False, config=config)
    moments = [time.perf_counter()]
    model.train(task.rows, steps=task.steps, hooks=[lambda state, stats, now: moments.append(time.perf_counter())])
    return [after - before for before, after in pairwise(moments)]


def measure(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Read, train from the file, and train on its first rows in memory."""
    rows = np.load(path, mmap_mode="r")
    init: Rows = np.unique(rows[: 8 * arguments.clusters + 100], axis=0)
    init = np.random.default_rng(20).permutation(init)[: arguments.clusters].copy()
    forget_file(path)
    disk = read_seconds(path)
    cached = read_seconds(path)
    forget_file(path)
    forget_peak()
    before = resident("RssAnon")
    with Memory() as memory:
        steps = step_seconds(Task(rows, init, arguments.steps, arguments.threads, seed=0))
    peak, own = resident("VmHWM"), memory.peak - before
    some = np.array(rows[:IN_MEMORY])
    # As a list of batches, rows in memory go through the same passes as those of a file.
    computed = step_seconds(Task([some], init, arguments.steps, arguments.threads, seed=0))
    return {
        "rows": len(rows),
        "clusters": len(init),
        "threads": arguments.threads,
        "megabytes": path.stat().st_size / 1e6,
        "disk_seconds": disk,
        "cached_seconds": cached,
        "step_seconds": steps,
        "memory_rows": len(some),
        "memory_step_seconds": computed,
        "peak_mib": peak,
        "own_peak_mib": own,
    }


def lines(result: dict[str, Any]) -> list[str]:
    """Say it in words."""
    rows, megabytes = result["rows"], result["megabytes"]
    disk, cached = megabytes / result["disk_seconds"], megabytes / result["cached_seconds"]
    found = [
        f"{rows:,} rows x {DIMS}, {megabytes:,.0f} MB, k {result['clusters']}, {result['threads']} threads",
        f"reading the file alone: {disk:,.0f} MB/s; once more, with what the page cache kept: {cached:,.0f} MB/s",
    ]
    computed = result["memory_rows"] / min(result["memory_step_seconds"])
    for i, seconds in enumerate(result["step_seconds"]):
        speed, limit = rows / seconds, min(computed, (cached if i else disk) / megabytes * rows)
        found.append(
            f"step {i + 1}: {speed:,.0f} rows/s, {megabytes / seconds:,.0f} MB/s; {speed / limit:.0%} of the smaller "
            f"of reading alone and computing alone ({computed:,.0f} rows/s in memory)"
        )
    found.append(
        f"peak memory while training: {result['own_peak_mib']:,.0f} MiB of its own, {result['peak_mib']:,.0f} MiB with "
        "pages of the file, which the system takes back when it needs them"
    )
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train on a file larger than memory (W11).")
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="on the disk to measure; the file stays there for the next time")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    pin(arguments.threads)
    logging.getLogger("macqueen").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = (arguments.folder or Path(folder)) / f"W11-{arguments.rows}.npy"
        write(path, arguments.rows)
        result = measure(path, arguments)
    print("\n".join(lines(result)))
    (HERE / "results").mkdir(exist_ok=True)
    stored = HERE / "results" / f"out-of-core-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {"machine": described(arguments.threads), **result}
    stored.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
