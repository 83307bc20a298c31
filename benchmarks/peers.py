"""The contenders. Each is a function from a task to a callable that fits once.

A fit returns the centers and a function from rows to labels, the library's own prediction with the fitted model.

Rules, the same for all: float32 rows in C order, exactly `steps` updates, no tolerance, no sampling, no hierarchy, the
same number of threads, the same starting centers. A library that takes no starting centers draws random rows by a seed
of its own, another one in each fit. Whatever a library does for a fit, making its object included, is in its time.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Labels = Callable[[Rows], NDArray[np.integer]]
Fit = Callable[[], tuple[Rows, Labels]]
ALL = 10**9  # rows of a cluster that a library may look at


@dataclass(frozen=True)
class Task:
    """What to fit."""

    rows: Rows  # (n, d)
    init: Rows  # (k, d)
    steps: int
    threads: int
    seed: int  # for those that take no `init`

    @property
    def dims(self) -> int:
        """Columns."""
        return self.rows.shape[1]

    @property
    def clusters(self) -> int:
        """Centers."""
        return len(self.init)


def macqueen(task: Task) -> Fit:
    from macqueen import KMeans, RunConfig

    def fit() -> tuple[Rows, Labels]:
        # No other library writes files while it fits.
        config = RunConfig(save_checkpoints_steps=None, save_summary_steps=0, num_threads=task.threads)
        model = KMeans(task.clusters, initial_clusters=task.init, use_mini_batch=False, config=config)
        model.train(task.rows, steps=task.steps)
        return model.cluster_centers(), model.labels

    return fit


def sklearn_lloyd(task: Task) -> Fit:
    from sklearn.cluster import KMeans

    return _sklearn_fit(KMeans, task)


def sklearnex(task: Task) -> Fit:
    from sklearnex.cluster import KMeans

    return _sklearn_fit(KMeans, task)


def _sklearn_fit(kind: type, task: Task) -> Fit:
    from threadpoolctl import threadpool_limits

    threadpool_limits(task.threads)

    def fit() -> tuple[Rows, Labels]:
        model = kind(task.clusters, init=task.init, n_init=1, max_iter=task.steps, tol=0.0, algorithm="lloyd")
        model.fit(task.rows)
        if model.n_iter_ < task.steps:
            warnings.warn(f"stopped after {model.n_iter_} of {task.steps} steps", stacklevel=2)
        return model.cluster_centers_, model.predict

    return fit


def faiss(task: Task) -> Fit:
    import faiss as library

    library.omp_set_num_threads(task.threads)

    def fit() -> tuple[Rows, Labels]:
        model = library.Kmeans(
            task.dims, task.clusters, niter=task.steps, max_points_per_centroid=ALL, min_points_per_centroid=1
        )
        model.train(task.rows, init_centroids=task.init)
        return model.centroids, lambda some: model.index.search(some, 1)[1][:, 0]

    return fit


def faiss_super(task: Task) -> Fit:
    import faiss as library

    library.omp_set_num_threads(task.threads)

    def fit() -> tuple[Rows, Labels]:
        parameters = library.SuperKMeansParameters()
        parameters.niter, parameters.seed = task.steps, task.seed
        parameters.max_points_per_centroid, parameters.min_points_per_centroid = ALL, 1
        model = library.SuperKMeans(task.dims, task.clusters, parameters)
        model.train(task.rows)
        centers = library.vector_to_array(model.centroids).reshape(task.clusters, task.dims)
        return centers, lambda some: library.knn(some, centers, 1)[1][:, 0]

    return fit


def superkmeans(task: Task, quantizer: str = "f32") -> Fit:
    from superkmeans import SuperKMeans

    def fit() -> tuple[Rows, Labels]:
        model = SuperKMeans(
            task.clusters,
            task.dims,
            iters=task.steps,
            seed=task.seed,
            n_threads=task.threads,
            quantizer=quantizer,
            hierarchical=False,
            sampling_fraction=1.0,
            max_points_per_cluster=ALL,
            early_termination=False,
        )
        centers = model.train(task.rows)
        return centers, lambda some: model.assign(some, centers)

    return fit


def superkmeans_sq8(task: Task) -> Fit:
    return superkmeans(task, "sq8")


def clostera(task: Task, assign: str = "") -> Fit:
    os.environ["CLOSTERA_DENSE_ASSIGN"] = assign  # "": it chooses
    from clostera import DenseKMeans

    def fit() -> tuple[Rows, Labels]:
        model = DenseKMeans(k=task.clusters, iterations=task.steps, seed=task.seed, init="random")
        model.fit(task.rows)
        return model.cluster_centers_, model.predict

    return fit


def clostera_row(task: Task) -> Fit:
    return clostera(task, "row")


@dataclass(frozen=True)
class Peer:
    """A contender."""

    prepare: Callable[[Task], Fit]
    package: str  # that it comes from
    exact: bool = True  # looks for the nearest center, up to rounding; approximate ones are reported apart
    fewest_dims: int = 1  # it refuses fewer


# Left out: kmeans1d and ckmeans (the optimum of one dimension, another problem, and no workload has one dimension),
# fastkmeans (needs PyTorch), geokmeans 0.1.2 (one thread, float64, some 50 times slower on W6a) and scikit-learn's
# elkan, which was not faster than its lloyd on any of W1, W4, W6a and W9.
PEERS = {
    "macqueen": Peer(macqueen, "macqueen"),
    "scikit-learn": Peer(sklearn_lloyd, "scikit-learn"),
    "scikit-learn-intelex": Peer(sklearnex, "scikit-learn-intelex"),
    "faiss": Peer(faiss, "faiss-cpu"),
    "clostera": Peer(clostera, "clostera"),
    "clostera row": Peer(clostera_row, "clostera"),
    "faiss.SuperKMeans": Peer(faiss_super, "faiss-cpu", exact=False, fewest_dims=32),
    "superkmeans": Peer(superkmeans, "superkmeans", exact=False),
    "superkmeans sq8": Peer(superkmeans_sq8, "superkmeans", exact=False),
}


def version(peer: str) -> str:
    """Version of the installed package behind a contender; "" when it is not installed."""
    try:
        return metadata.version(PEERS[peer].package)
    except metadata.PackageNotFoundError:
        return ""
