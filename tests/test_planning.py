"""`macqueen.plan`: it says what training will do, and leaves what it is given alone."""

from __future__ import annotations

import numpy as np
import pytest

from macqueen import KMeans, RunConfig, plan
from macqueen.errors import ArgumentError, DataError

ROWS = np.random.default_rng(5).normal(size=(6000, 40)).astype(np.float32)
CLUSTERS = 300


def test_no_batch_of_an_iterator_is_taken():
    batches = iter([ROWS[:100], ROWS[100:200]])
    assert plan(batches, 3).path == "plain"
    assert [len(batch) for batch in batches] == [100, 100]


def test_an_unfit_row_is_named():
    rows = ROWS.copy()
    rows[-1, 7] = np.nan
    with pytest.raises(DataError, match=r"\brow 5999, column 7 is nan"):
        plan(rows, 3)


@pytest.mark.parametrize("config", [{"num_threads": 2}, "", 0])
def test_a_configuration_of_another_kind_is_refused(config):
    with pytest.raises(ArgumentError, match="config must be an instance of `RunConfig`"):
        plan(ROWS, 3, config=config)


# --- rows in another memory order -------------------------------------------------------------------------

ORDERS = {"columns first": np.asfortranarray(ROWS), "some columns": np.column_stack([ROWS, ROWS])[:, : ROWS.shape[1]]}


@pytest.mark.parametrize("order", ORDERS)
def test_a_copy_of_rows_in_another_order_counts(order):
    rows = ORDERS[order]
    chosen, other = plan(ROWS, CLUSTERS), plan(rows, CLUSTERS)
    assert (other.path, other.memory) == (chosen.path, chosen.memory + ROWS.nbytes)
    assert plan(rows, CLUSTERS, config=RunConfig(memory_limit=other.memory)).path == chosen.path == "bounds"
    limited = plan(rows, CLUSTERS, config=RunConfig(memory_limit=ROWS.nbytes - 1))
    assert (limited.path, limited.reason) == ("plain", "the rows are not one array of the model's dtype in memory")


@pytest.mark.parametrize("limit", [None, 1000])
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_rows_in_memory_changes_no_bit(order, limit):
    config = RunConfig(memory_limit=limit, save_checkpoints_steps=None, save_summary_steps=0)
    models = [
        KMeans(CLUSTERS, initial_clusters="kmeans_plus_plus", seed=1, use_mini_batch=False, config=config)
        for _ in range(2)
    ]
    ours, theirs = (
        model.train(rows, steps=3).cluster_centers() for model, rows in zip(models, (ROWS, ORDERS[order]), strict=True)
    )
    assert ours.tobytes() == theirs.tobytes()


# --- a path that is forced --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["sorted", "boxes"])
def test_a_forced_path_that_does_not_fit_says_so(path, monkeypatch):
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
    chosen = plan(ROWS, CLUSTERS)
    assert (chosen.path, chosen.reason) == (
        "plain",
        f"{path}, which MACQUEEN_FORCE_PATH asks for, takes fewer dimensions",
    )
