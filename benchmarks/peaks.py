"""What the machine can do, to hold the times against: float32 and int8 operations, and reading from memory.

The figures are what code reaches, not what the data sheet says: NumPy's matrix product, and, as common libraries have
no 8-bit products, our own first step.
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


def int8_operations(threads: int, rows: int = 4096, clusters: int = 512, dims: int = 2048) -> float | None:
    """Operations a second of 8-bit products: a first step of our own over wide rows that nothing else keeps busy."""
    from macqueen.config import KMeansParams
    from macqueen.engine import Engine, Kernels
    from macqueen.engine.forms import Form, sketched

    kernels = Kernels(threads)
    if not kernels.int8:
        return None
    random = np.random.default_rng(0)
    centers = random.normal(size=(clusters, dims)).astype(np.float32)
    data = np.tile(centers, (rows // clusters, 1)) + random.normal(scale=0.01, size=(rows, dims)).astype(np.float32)
    prepared = Engine(KMeansParams(clusters), kernels, None).prepare(centers)
    form = Form("int8", data.mean(axis=0, dtype=np.float64), np.empty((0, dims)), 0)
    ready = [sketched(data, form, kernels) for _ in range(REPEATS)]  # each has one first step
    places, labels = prepared.native.places(kernels.threads), np.empty(rows, np.int32)
    seconds = shortest(lambda: ready.pop().label(kernels.threads, prepared.native, places, labels))
    return 2.0 * rows * clusters * dims / seconds


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
