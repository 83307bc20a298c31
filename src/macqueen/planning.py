"""`macqueen.plan`: how training would go through the rows, without doing it."""

from __future__ import annotations

from typing import Any

import numpy as np

from macqueen.config import KMeansParams, RunConfig
from macqueen.engine import Engine, Kernels, Plan
from macqueen.inputs.source import as_source
from macqueen.threads import resolve_threads


def plan(
    data: Any, num_clusters: int, distance_metric: str = "squared_euclidean", config: RunConfig | None = None
) -> Plan:
    """Say how full-batch training would go through a data set, and what it would take.

    The same is chosen, and logged at level INFO, at the beginning of `KMeans.train`. `str(plan)` says it in a line.

    Parameters
    ----------
    data : array or any other data set that `KMeans.train` takes
        The rows (n, d), n at least `num_clusters`.
    num_clusters : int
        Clusters, at least 1. Rows at even distances stand for the centers.
    distance_metric : {'squared_euclidean', 'cosine'}
        What "near" means.
    config : RunConfig, optional
        Its `num_threads` and `memory_limit` count.

    Returns
    -------
    Plan
        ``path``, ``form``, ``reason``, ``seconds`` (predicted, of the first step) and ``memory`` (bytes beside the
        rows, predicted).

    Raises
    ------
    ArgumentError, ArgumentTypeError, DataError
        As `KMeans` and its `train` do.

    Examples
    --------
    >>> import numpy as np
    >>> plan(np.zeros((100, 2)), 3).path
    'plain'
    """
    params = KMeansParams(num_clusters, distance_metric=distance_metric, use_mini_batch=False)
    config = config or RunConfig()
    source: Any = as_source(data, mode="train", config=config, params={}, batch_size=params.batch_size, encoder=None)
    if source.is_stream:
        return Plan("plain", "a stream is read once, batch by batch", 0.0, 0)
    engine = Engine(params, Kernels(resolve_threads(config.num_threads)), config.memory_limit)
    if source.rows < num_clusters:
        engine.seed_from_rows(source, 0)  # says what is wrong
    centers = source.take(np.linspace(0, source.rows - 1, num_clusters).astype(np.int64))
    prepared = engine.prepare(np.ascontiguousarray(centers, dtype=source.dtype))
    return engine.plan(source.array if getattr(source, "in_memory", False) else None, prepared)
