"""One path for all, for tests and comparisons."""

from __future__ import annotations

import os

from macqueen.errors import ArgumentError

PATHS = ("plain", "boxes", "bounds", "packed", "pairs", "sorted")
VARIABLE = "MACQUEEN_FORCE_PATH"


def forced_path() -> str:
    """Return what MACQUEEN_FORCE_PATH names, "" when it is not set."""
    path = os.environ.get(VARIABLE, "").strip()
    if path and path not in PATHS:
        raise ArgumentError(f"{VARIABLE} must be one of {', '.join(PATHS)}, got {path!r}; correct or unset it")
    return path
