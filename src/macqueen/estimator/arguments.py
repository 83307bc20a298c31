"""Arguments that may be objects of TensorFlow, as the rooms know them."""

from __future__ import annotations

import sys
from typing import Any


def tensorflow_loaded() -> bool:
    """Tell whether something can be TensorFlow's at all; None stands in for a module that must not be imported."""
    return sys.modules.get("tensorflow") is not None


def plain(num_clusters: Any, initial_clusters: Any, feature_columns: Any) -> tuple[Any, Any, Any]:
    """Return arguments of `KMeans` in which nothing is TensorFlow's.

    Tensors become their values, a function that chooses centers may use TensorFlow, and its columns are wrapped.
    """
    if not tensorflow_loaded():
        return num_clusters, initial_clusters, feature_columns
    from macqueen.tf_estimator.columns import wrapped  # noqa: PLC0415 -- only such programs need it
    from macqueen.tf_estimator.tensors import Chooser, value_of  # noqa: PLC0415

    initial = value_of("initial_clusters", initial_clusters)
    if callable(initial):
        initial = Chooser(initial)
    return value_of("num_clusters", num_clusters), initial, wrapped(feature_columns)
