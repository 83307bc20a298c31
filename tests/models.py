"""Small models and tables of rows, as the tests of training want them."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from macqueen import KMeans, RunConfig, load_variable

NOT_SAVED = RunConfig("never-written", save_checkpoints_steps=None, save_summary_steps=0, num_threads=1)
quick = settings(max_examples=150, deadline=None)
values = st.floats(-100, 100, width=32)
few_values = st.integers(-3, 3).map(float)


def in_memory(k, init="random", **arguments):
    """Return a model of which nothing is saved."""
    return KMeans(k, initial_clusters=init, config=NOT_SAVED, **{"seed": 0, **arguments})


def tables(elements=values, least=1, dtype=np.float32):
    shape = st.tuples(st.integers(least, 12), st.integers(1, 4))
    return shape.flatmap(lambda shape: arrays(dtype, shape, elements=elements))


def rows_of(*rows, dtype=np.float32):
    return np.array(rows, dtype=dtype)


def step_of(model):
    return int(model.evaluate(np.zeros((1, model.cluster_centers().shape[1]), np.float32))["global_step"])


def centers_at(model, step):
    return load_variable(os.path.join(model.model_dir, f"model.ckpt-{step}"), "clusters")


def saved_each_step(folder):
    return RunConfig(folder, save_checkpoints_steps=1, keep_checkpoint_max=None)


def small_integers():
    return np.random.default_rng(4).integers(-100, 100, size=(200, 3)).astype(np.float32)
