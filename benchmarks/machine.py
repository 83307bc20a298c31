"""What has to be known to read times: the machine, and the versions of what was timed."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

from peers import PEERS, version


def processor() -> str:
    """Return what the machine calls its processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def described(threads: int) -> dict[str, Any]:
    """Return it for a file of results."""
    from macqueen import runtime_info

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "macqueen": runtime_info(),
        "versions": {peer: version(peer) for peer in PEERS},
    }
