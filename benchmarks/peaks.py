"""What the machine can do, to hold the times against: float32 and int8 operations, and reading from memory.

The figures are what common code reaches (NumPy's matrix product), not what the data sheet says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from contender import environment, pin

REPEATS = 10


def shortest(call: Callable[[], Any]) -> float:
    """Seconds of the fastest of some calls: a peak is what a quiet moment shows."""
    taken = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def float32_operations(size: int = 2048) -> float:
    """Operations a second of a matrix product."""
    left, right = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    out = np.empty_like(left)
    return 2 * size**3 / shortest(lambda: np.matmul(left, right, out=out))


def int8_operations(threads: int) -> float | None:
    """Operations a second of 8-bit products, where macqueen's kernels come with a probe of their own."""
    from macqueen import _core

    probe = getattr(_core, "int8_operations", None)
    return probe(threads) if probe else None


def bytes_read(threads: int, size: int = 1 << 30) -> float:
    """Bytes a second; the maximum, because a sum is bound by its additions."""
    parts = np.array_split(np.ones(size // 4, np.float32), threads)
    with ThreadPoolExecutor(threads) as pool:
        return size / shortest(lambda: list(pool.map(np.max, parts)))


def peaks(threads: int) -> dict[str, float | None]:
    """Measure in a process of its own, as the contenders run."""
    done = subprocess.run(
        [sys.executable, __file__, str(threads)],
        env=environment(threads),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the machine can do.")
    parser.add_argument("threads", type=int)
    threads = parser.parse_args().threads
    pin(threads)
    found = {
        "float32_operations": float32_operations(),
        "int8_operations": int8_operations(threads),
        "bytes_read": bytes_read(threads),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
