"""A run that is stopped and goes on in a new object ends with the very bits of a run that was not."""

from __future__ import annotations

import tempfile

import numpy as np

import macqueen

rows = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)


def new_model(model_dir=None):
    """Return a model with the same settings; it finds what `model_dir` already holds."""
    return macqueen.KMeans(32, model_dir=model_dir, seed=42, use_mini_batch=False)


undisturbed = new_model().train(rows, steps=20)

with tempfile.TemporaryDirectory() as model_dir:
    new_model(model_dir).train(rows, steps=10)  # this object is gone afterwards, as after a crash
    print("left behind:", macqueen.latest_checkpoint(model_dir).rpartition("/")[2])

    resumed = new_model(model_dir).train(rows, steps=10)
    for name, shape in macqueen.list_variables(model_dir):
        print(f"  {name}: {shape}")
    same = np.array_equal(resumed.cluster_centers(), undisturbed.cluster_centers())

print("same bits:", same)
assert same
