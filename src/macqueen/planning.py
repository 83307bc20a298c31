"""`macqueen.plan`: how training would go through the rows, without doing it."""

from __future__ import annotations

from typing import Any

import numpy as np

from macqueen.config import KMeansParams, RunConfig, settle_config
from macqueen.engine import Engine, Kernels, Plan
from macqueen.inputs.source import as_source
from macqueen.inputs.streams import is_iterator
from macqueen.threads import resolve_threads
from macqueen.workers import Local


def plan(
    data: Any, num_clusters: int, distance_metric: str = "squared_euclidean", config: RunConfig | None = None
) -> Plan:
    """Say how full-batch training would go through a data set, and what it would take.

    `KMeans.train` chooses in the same way, with its first centers, and logs it at level INFO. `str(plan)` says it in a
    line.

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
    config = settle_config(config, None)
    if is_iterator(data):
        return _stream()  # not a batch of it is taken
    source: Any = as_source(data, mode="train", config=config, params={}, batch_size=params.batch_size, encoder=None)
    if source.is_stream:
        return _stream()
    engine = Engine(params, Kernels(resolve_threads(config.num_threads)), config.memory_limit)
    if source.rows < num_clusters:
        engine.seed_from_rows(source, 0)  # says what is wrong
    places = np.linspace(0, source.rows - 1, num_clusters).astype(np.int64)
    centers = np.ascontiguousarray(source.take(places), dtype=source.dtype)
    engine.check(centers, lambda center: f"row {places[center]}")
    rows = Local().open(engine, source, seed=0, dtype=source.dtype, endless=True)
    return rows.plan(engine.prepare(centers))  # type: ignore[no-any-return]


def _stream() -> Plan:
    return Plan("plain", "a stream is read once, batch by batch", 0.0, 0)
