"""Rows that arrive in batches and are never held together: each batch moves the centers a little."""

from __future__ import annotations

import numpy as np

import macqueen

SOURCES = np.array([[0.0, 0.0], [6.0, 1.0], [2.0, 7.0]])


def readings(batches: int, seed: int):
    """Yield batches of noisy readings (256, 2) around three sources."""
    random = np.random.default_rng(seed)
    for _ in range(batches):
        yield SOURCES[random.integers(3, size=256)] + random.normal(scale=0.5, size=(256, 2))


model = macqueen.KMeans(3, initial_clusters="kmeans_plus_plus", seed=7)

# A callable gives a new generator to each call; a stream ends training when it ends.
model.train(lambda: readings(batches=40, seed=1))
print("steps made:", model.evaluate(lambda: readings(batches=10, seed=2))["global_step"])

# Predictions are lazy: one dict a row, taken from the stream as they are asked for.
for row, prediction in zip(range(3), model.predict(lambda: readings(batches=1, seed=3)), strict=False):
    print("row", row, "belongs to cluster", prediction["cluster_index"])

centers = model.cluster_centers()
order = np.argsort(centers @ [1.0, 10.0])
print("centers:", *centers[order].round(2).tolist())
assert np.abs(centers[order] - SOURCES).max() < 0.2
