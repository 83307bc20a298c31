"""K-means with one answer: exact, resumable, the same bits on any machine."""

from __future__ import annotations

from macqueen import feature_columns, hooks, inputs
from macqueen.checkpoint import latest_checkpoint, list_variables, load_variable
from macqueen.config import RunConfig
from macqueen.estimator import KMeans
from macqueen.model import load_feature_columns
from macqueen.planning import plan
from macqueen.runtime import __version__, runtime_info

__all__ = [
    "KMeans",
    "RunConfig",
    "__version__",
    "feature_columns",
    "hooks",
    "inputs",
    "latest_checkpoint",
    "list_variables",
    "load_feature_columns",
    "load_variable",
    "plan",
    "runtime_info",
]
