"""A contender in its own process, seen from the run that gives the orders."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "MACQUEEN_NUM_THREADS")


def environment(threads: int) -> dict[str, str]:
    """Environment of a process whose libraries, whatever they thread with, shall use so many threads."""
    return {**os.environ, **dict.fromkeys(POOLS, str(threads))}


def pin(threads: int) -> None:
    """Keep this process on so many processors: the one limit that every library respects."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class EndedError(RuntimeError):
    """A contender's process is gone."""


class Contender:
    """A process that waits for orders (worker.py)."""

    def __init__(self, peer: str, folder: str, threads: int, **variables: str) -> None:
        """Start it with these environment variables beside the usual."""
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), peer, folder, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads) | variables,
        )

    def answer(self) -> dict[str, Any]:
        """Wait for one line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise EndedError(f"{self.peer} ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, order: str) -> dict[str, Any]:
        """Send one line and wait for the answer."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer tells as much
            self.process.stdin.write(order + "\n")
            self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        """Let the process go."""
        with contextlib.suppress(OSError, ValueError):
            self.process.communicate("end\n", timeout=30)
