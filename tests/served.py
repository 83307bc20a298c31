"""Models of which exports are tested, and how far an export may be from them."""

from __future__ import annotations

import numpy as np

from macqueen import KMeans

# metric, dtype, distance of the rows from the origin
CASES = {
    "near": ("squared_euclidean", np.float32, 0.0),
    "far": ("squared_euclidean", np.float32, 1e4),
    "far-float64": ("squared_euclidean", np.float64, 1e8),
    "cosine": ("cosine", np.float32, 0.0),
    "cosine-float64": ("cosine", np.float64, 3.0),
}
CLUSTERS, DIMS, ROWS = 100, 60, 10_000


def case(folder, metric, dtype, offset):
    """Return a trained model, and rows that are no near-ties: some of them near the centers, some not, one zero."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(2 * ROWS, DIMS)) * random.choice([0.1, 1.0, 30.0], size=(2 * ROWS, 1)) + offset
    rows = rows.astype(dtype)
    model = KMeans(CLUSTERS, folder, seed=5, distance_metric=metric, use_mini_batch=False).train(rows, steps=2)
    nearest = np.concatenate([model.nearest(part, 2)[1] for part in np.array_split(rows, 4)]).astype(np.float64)
    clear = rows[nearest[:, 1] - nearest[:, 0] > 1e-5 * nearest[:, 1]][: ROWS - 1]
    return model, np.concatenate([clear, np.zeros((1, DIMS), dtype)])


def differences(model, rows, labels, distances):
    """Return how many labels differ, and how many distances by more than 1e-5 of them and 1e-6 |x|²."""
    ours = np.array(list(model.transform(rows)), np.float64)
    squares = (rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
    apart = np.abs(distances - ours) > 1e-5 * ours + 1e-6 * squares
    return int((labels != model.labels(rows)).sum()), int(apart.sum())
