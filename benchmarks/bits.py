"""Whose results depend on the number of threads, or change from run to run: centers of equal fits, bit by bit.

Every contender fits the same rows from the same start (or with the same seed) in processes of their own: on one
thread, on all, and on all once more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
from cases import CASES, Rows
from contender import Contender, EndedError
from peers import PEERS, version

FEW = ["W1", "W4", "W6a", "W9"]  # one of each kind, which do not take long


def fitted(peer: str, folder: str, threads: int, steps: int) -> Rows:
    """Centers of the first fit of a new process."""
    with contextlib.ExitStack() as ends:
        contender = Contender(peer, folder, threads)
        ends.callback(contender.end)
        contender.answer()
        return np.load(contender.ask(f"store {steps}")["path"])


def differing(one: Rows, other: Rows) -> int:
    """How many centers have other bits."""
    return int((one.view(np.uint32) != other.view(np.uint32)).any(axis=1).sum())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Compare the bits of centers over threads and over runs.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=FEW)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    print(f"| {arguments.steps} steps | centers that differ: 1 and {arguments.threads} threads | two runs |")
    print("|---|--:|--:|")
    for case in arguments.cases:
        rows, init = CASES[case].data()
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder, "rows.npy"), rows)
            np.save(Path(folder, "init.npy"), init)
            for peer in arguments.peers:
                if not version(peer) or rows.shape[1] < PEERS[peer].fewest_dims:
                    continue
                try:
                    one, all_, again = (
                        fitted(peer, folder, threads, arguments.steps)
                        for threads in (1, arguments.threads, arguments.threads)
                    )
                except EndedError as error:
                    print(f"| {case} {peer} | {error} | |", flush=True)
                    continue
                count = len(init)
                over_threads, over_runs = differing(one, all_), differing(all_, again)
                print(f"| {case} {peer} | {over_threads} of {count} | {over_runs} of {count} |", flush=True)


if __name__ == "__main__":
    main()
