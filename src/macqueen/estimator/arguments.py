"""Arguments that may be objects of TensorFlow, as the rooms know them."""

from __future__ import annotations

from typing import Any

from macqueen import extras


def plain(num_clusters: Any, initial_clusters: Any, feature_columns: Any) -> tuple[Any, Any, Any]:
    """Return arguments of `KMeans` in which nothing is TensorFlow's.

    Tensors become their values, a function that chooses centers may use TensorFlow, and its columns are wrapped.
    """
    if not extras.loaded("tensorflow"):
        return num_clusters, initial_clusters, feature_columns
    from macqueen.tf_estimator.columns import wrapped  # noqa: PLC0415 -- only such programs need it
    from macqueen.tf_estimator.tensors import Chooser, value_of  # noqa: PLC0415

    initial = value_of("initial_clusters", initial_clusters)
    if callable(initial):
        initial = Chooser(initial)
    return value_of("num_clusters", num_clusters), initial, wrapped(feature_columns)
