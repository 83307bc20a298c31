"""What watching costs: event files and hooks that do nothing, over 10 000 mini-batch steps.

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

ROWS, DIMS, CLUSTERS, BATCH, STEPS, REPEATS = 100_000, 16, 50, 1024, 10_000, 5


def nothing(state, stats, now):
    """Do nothing after a step."""


CASES = {
    "plain": (0, []),
    "event files": (100, []),
    "native hook": (0, [nothing]),
    "session hook": (0, [SessionRunHook()]),
}


def one_run(rows: np.ndarray, summary_steps: int, hooks: list) -> tuple[float, int]:
    """Return seconds and bytes of event files of one run."""
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(folder, save_summary_steps=summary_steps, log_step_count_steps=100, tf_random_seed=0)
        model = KMeans(CLUSTERS, config=config, batch_size=BATCH)
        begin = time.perf_counter()
        model.train(rows, steps=STEPS, hooks=hooks)
        seconds = time.perf_counter() - begin
        return seconds, sum(path.stat().st_size for path in Path(folder).glob("events*"))


def main() -> None:
    """Measure and print."""
    rows = np.random.default_rng(0).normal(size=(ROWS, DIMS)).astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    size = dict.fromkeys(CASES, 0)
    for _ in range(REPEATS):
        for name, (summary_steps, hooks) in CASES.items():
            taken, size[name] = one_run(rows, summary_steps, hooks)
            seconds[name].append(taken)
    plain = statistics.median(seconds["plain"])
    print(f"{STEPS} steps of {BATCH} rows, {DIMS} dims, {CLUSTERS} clusters; median of {REPEATS}")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        more = statistics.median(one - base for one, base in zip(taken, seconds["plain"], strict=True))
        print(
            f"{name:14} {median:7.3f} s  ratio {median / plain:5.3f}  "
            f"{more / STEPS * 1e6:+7.2f} us a step  {size[name]:8d} bytes of events"
        )


if __name__ == "__main__":
    main()
