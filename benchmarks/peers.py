"""The contenders. Each is a function (rows, init, steps, threads) -> a callable that fits once.

A fit returns the centers and a function from rows to labels, the library's own prediction with the fitted model.

Rules, the same for all: float32 rows in C order, the same starting centers, exactly `steps` updates, no tolerance,
no sampling, the same number of threads. Whatever a library does for a fit, making its object included, is in its time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Labels = Callable[[Rows], NDArray[np.int64]]
Fit = Callable[[], tuple[Rows, Labels]]


def macqueen(rows: Rows, init: Rows, steps: int, threads: int) -> Fit:
    from macqueen import KMeans, RunConfig

    def fit() -> tuple[Rows, Labels]:
        config = RunConfig(save_checkpoints_steps=None, num_threads=threads)
        model = KMeans(len(init), initial_clusters=init, use_mini_batch=False, config=config)
        model.train(rows, steps=steps)
        return model.cluster_centers(), model.labels

    return fit


def sklearn_lloyd(rows: Rows, init: Rows, steps: int, threads: int) -> Fit:
    from sklearn.cluster import KMeans

    return _sklearn_fit(KMeans, rows, init, steps, threads)


def sklearnex(rows: Rows, init: Rows, steps: int, threads: int) -> Fit:
    from sklearnex.cluster import KMeans

    return _sklearn_fit(KMeans, rows, init, steps, threads)


def _sklearn_fit(kind: type, rows: Rows, init: Rows, steps: int, threads: int) -> Fit:
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    warnings.filterwarnings("ignore", message="Number of distinct clusters")

    def fit() -> tuple[Rows, Labels]:
        model = kind(len(init), init=init, n_init=1, max_iter=steps, tol=0.0, algorithm="lloyd")
        model.fit(rows)
        if model.n_iter_ < steps:
            warnings.warn(f"stopped after {model.n_iter_} of {steps} steps", stacklevel=2)
        return model.cluster_centers_, model.predict

    return fit


def faiss(rows: Rows, init: Rows, steps: int, threads: int) -> Fit:
    import faiss as library

    library.omp_set_num_threads(threads)

    def fit() -> tuple[Rows, Labels]:
        model = library.Kmeans(
            rows.shape[1], len(init), niter=steps, max_points_per_centroid=10**9, min_points_per_centroid=1
        )
        model.train(rows, init_centroids=init)
        return model.centroids, lambda some: model.index.search(some, 1)[1][:, 0]

    return fit


PEERS = {"macqueen": macqueen, "scikit-learn": sklearn_lloyd, "scikit-learn-intelex": sklearnex, "faiss": faiss}
PACKAGES = {"faiss": "faiss-cpu"}


def version(peer: str) -> str:
    """Version of the installed package behind a contender; "" when it is not installed."""
    try:
        return metadata.version(PACKAGES.get(peer, peer))
    except metadata.PackageNotFoundError:
        return ""
