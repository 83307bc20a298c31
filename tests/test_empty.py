"""Emptied clusters: relocate, keep, error, origin."""

from __future__ import annotations

import numpy as np
import pytest

from macqueen import KMeans
from tests.models import in_memory, rows_of, step_of

# --- emptied clusters -------------------------------------------------------------------------------------

FAR_CENTERS = rows_of([0], [1000], [2000])


def one_step(rows, centers, policy="relocate"):
    model = in_memory(len(centers), centers, use_mini_batch=False, empty_clusters=policy)
    return model.train(rows, steps=1).cluster_centers()[:, 0].tolist()


def test_relocate_gives_the_farthest_rows_to_the_emptied_clusters_in_order():
    assert one_step(rows_of([0], [1], [9], [3]), FAR_CENTERS) == [0.5, 9, 3]


def test_a_step_says_how_many_clusters_were_emptied_and_how_many_got_a_row():
    seen = []
    for rows in (rows_of([0], [1], [9], [3]), rows_of([0], [0], [0], [3])):
        model = in_memory(3, FAR_CENTERS, use_mini_batch=False)
        model.train(rows, steps=1, hooks=[lambda state, stats, now: seen.append((stats.emptied, stats.relocated))])
    assert seen == [(2, 2), (2, 1)]


def test_centers_cannot_be_written_to_after_a_relocation():
    seen = []

    def hook(state, stats, now):
        seen.append((stats.relocated, stats.means.flags.writeable, state.centers.flags.writeable))

    rows, far = np.array([[0.0], [1.0], [9.0]], np.float32), np.array([[0.0], [1000.0]], np.float32)
    in_memory(2, far, use_mini_batch=False).train(rows, steps=2, hooks=[hook])
    assert seen == [(1, False, False), (0, False, False)]


def test_relocate_prefers_the_lowest_row_among_equally_far_ones():
    assert one_step(rows_of([0], [-4], [4], [4]), rows_of([0], [1000])) == [np.float32(8 / 3), -4]


def test_relocate_never_takes_the_last_row_of_a_cluster():
    """Row 0 is the farthest, but alone in its cluster."""
    assert one_step(rows_of([10], [100], [101]), rows_of([0], [100], [1000])) == [10, 100, 101]


def test_relocate_keeps_a_center_where_no_row_is_off_its_center():
    assert one_step(rows_of([0], [0], [0]), FAR_CENTERS) == [0, 1000, 2000]


def test_relocate_leaves_zero_rows_alone_under_cosine():
    centers = rows_of([1, 0], [-1, 0])
    model = in_memory(2, centers, use_mini_batch=False, distance_metric="cosine")
    model.train(rows_of([0, 0], [1, 0], [3, 4]), steps=1)
    np.testing.assert_allclose(model.cluster_centers(), [[1, 0], [0.6, 0.8]], rtol=1e-6)


def test_keep_leaves_an_emptied_center_where_it_is():
    assert one_step(rows_of([0], [1], [9], [2]), FAR_CENTERS, "keep") == [3, 1000, 2000]


def test_origin_moves_an_emptied_center_to_the_origin():
    assert one_step(rows_of([4], [1], [9], [2]), FAR_CENTERS, "origin") == [4, 0, 0]


def test_error_names_the_emptied_clusters():
    with pytest.raises(ValueError, match=r"empty_clusters='error'.*step 1.*cluster 1, 2.*relocate"):
        one_step(rows_of([0], [1]), FAR_CENTERS, "error")


def test_error_raises_nothing_where_no_cluster_is_emptied():
    assert one_step(rows_of([1], [5]), rows_of([0], [4]), "error") == [1, 5]


def test_error_leaves_the_model_as_it_says(tmp_path):
    """The model is that of its last checkpoint, here step 0: no error saves."""
    batches = [rows_of([0], [10]), rows_of([0], [1])]
    model = KMeans(2, tmp_path, rows_of([1], [9]), use_mini_batch=False, empty_clusters="error")
    with pytest.raises(ValueError, match="The model is that of its last checkpoint"):
        model.train(iter(batches))
    assert (step_of(model), model.cluster_centers().tolist()) == (0, [[1], [9]])


def test_mini_batches_never_move_an_emptied_center():
    model = in_memory(3, FAR_CENTERS, empty_clusters="relocate").train(iter([rows_of([0], [1], [9])]))
    assert model.cluster_centers()[1:, 0].tolist() == [1000, 2000]
