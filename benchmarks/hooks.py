"""What watching costs: event files and hooks that do nothing, over 10 000 mini-batch steps, large and small.

Runs alternate, so that a busy moment of the machine meets all of them; medians, and ratios to the plain run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from macqueen import KMeans, RunConfig
from macqueen.tf_estimator import SessionRunHook

STEPS, REPEATS = 10_000, 5
SIZES = {"large": (100_000, 16, 50, 1024), "small": (1000, 2, 3, 16)}  # rows, dims, clusters, batch


def nothing(state, stats, now):
    """Do nothing after a step."""


CASES = {
    "plain": (0, []),
    "event files": (100, []),
    "native hook": (0, [nothing]),
    "session hook": (0, [SessionRunHook()]),
}


def one_run(rows: np.ndarray, clusters: int, batch: int, summary_steps: int, hooks: list) -> tuple[float, int]:
    """Return seconds and bytes of event files of one run."""
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(folder, save_summary_steps=summary_steps, log_step_count_steps=100, tf_random_seed=0)
        model = KMeans(clusters, config=config, batch_size=batch)
        begin = time.perf_counter()
        model.train(rows, steps=STEPS, hooks=hooks)
        seconds = time.perf_counter() - begin
        return seconds, sum(path.stat().st_size for path in Path(folder).glob("events*"))


def measure(name: str) -> None:
    """Measure one size and print."""
    count, dims, clusters, batch = SIZES[name]
    rows = np.random.default_rng(0).normal(size=(count, dims)).astype(np.float32)
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    size = dict.fromkeys(CASES, 0)
    for _ in range(REPEATS):
        for case, (summary_steps, hooks) in CASES.items():
            taken, size[case] = one_run(rows, clusters, batch, summary_steps, hooks)
            seconds[case].append(taken)
    plain = statistics.median(seconds["plain"])
    print(f"{name}: {STEPS} steps of {batch} rows, {dims} dims, {clusters} clusters; median of {REPEATS}")
    for case, taken in seconds.items():
        median = statistics.median(taken)
        more = statistics.median(one - base for one, base in zip(taken, seconds["plain"], strict=True))
        print(
            f"  {case:14} {median:7.3f} s  ratio {median / plain:5.3f}  "
            f"{more / STEPS * 1e6:+7.2f} us a step  {size[case]:8d} bytes of events"
        )


def main() -> None:
    """Measure all sizes."""
    for name in SIZES:
        measure(name)


if __name__ == "__main__":
    main()
