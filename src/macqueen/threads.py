"""How many threads to use: what was asked for, else what this process may use."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

from macqueen.errors import ArgumentError

VARIABLE = "MACQUEEN_NUM_THREADS"
MOST_THREADS = 4096
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def resolve_threads(num_threads: int | None) -> int:
    """Return the number of threads.

    Parameters
    ----------
    num_threads : int or None
        What `RunConfig` says; at least 1. None: the environment variable MACQUEEN_NUM_THREADS, else the
        cores this process may use, of which a container may be granted a part.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ArgumentError
        MACQUEEN_NUM_THREADS is not an integer of at least 1.
    """
    if num_threads is not None:
        return _possible("num_threads", num_threads)
    asked = os.environ.get(VARIABLE, "").strip()
    if asked:
        if not (asked.isascii() and asked.isdigit() and int(asked) >= 1):
            raise ArgumentError(f"{VARIABLE} must be an integer of at least 1, got {asked!r}; correct or unset it")
        return _possible(VARIABLE, int(asked))
    cores = len(os.sched_getaffinity(0))
    return min([cores, *(max(1, math.ceil(limit)) for limit in _cpu_limits(CGROUPS, MEMBERSHIP))])


def _possible(name: str, count: int) -> int:
    if count > MOST_THREADS:
        raise ArgumentError(f"{name} must be at most {MOST_THREADS}, got {count}; ask for about one thread a core")
    return count


@functools.cache  # reading them takes as long as training on a few rows
def _cpu_limits(cgroups: Path, membership: Path) -> tuple[float, ...]:
    """Return the CPU limits, in cores, of the control groups around this process, its own and all above."""
    return tuple(_limits_of(cgroups, membership))


def _limits_of(cgroups: Path, membership: Path) -> Iterator[float]:
    for line in _read(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [cgroups / controllers, cgroups / "cpu"] if controllers else [cgroups, cgroups / "unified"]
        for root in roots:
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if not folder.is_relative_to(root):
                    break
                yield from _limit_v1(folder) if controllers else _limit_v2(folder)


def _limit_v2(folder: Path) -> Iterator[float]:
    words = _read(folder / "cpu.max").split()
    if len(words) == 2 and words[0] != "max":
        yield from _ratio(*words)


def _limit_v1(folder: Path) -> Iterator[float]:
    yield from _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> Iterator[float]:
    try:
        share, whole = int(quota), int(period)
    except ValueError:  # no such file: no limit
        return
    if share > 0 and whole > 0:
        yield share / whole


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
