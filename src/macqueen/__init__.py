"""K-means with one answer: exact, resumable, the same bits on any machine."""

from __future__ import annotations

from macqueen import inputs
from macqueen.checkpoint import latest_checkpoint, list_variables, load_variable
from macqueen.config import RunConfig
from macqueen.estimator import KMeans
from macqueen.runtime import __version__, runtime_info

__all__ = [
    "KMeans",
    "RunConfig",
    "__version__",
    "inputs",
    "latest_checkpoint",
    "list_variables",
    "load_variable",
    "runtime_info",
]
