"""Many rows of few dimensions are labelled through cells; the labels are those of rows that meet all centers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen import _core
from macqueen.errors import DataError
from tests.models import in_memory
from tests.oracle import labels
from tests.test_boxes import KINDS, THREADS, native

ROWS, CLUSTERS, FEW = 4200, 256, 700  # all at once they are worth cells, FEW are not


def labels_of(centers, rows, block, threads):
    found = np.full(len(rows), -7, np.int32)
    for begin in range(0, len(rows), block):
        assert centers.assign(threads, rows[begin : begin + block], False, found[begin : begin + block], None) < 0
    return found


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    dtype=st.sampled_from([np.float32, np.float64]),
    d=st.integers(1, 6),
    seed=st.integers(0, 2**32),
    isa=st.sampled_from(_core.available_isas()),
    count=st.sampled_from(sorted(THREADS)),
)
def test_labels_are_those_of_all_centers(kind, dtype, d, seed, isa, count):
    random = np.random.default_rng(seed)
    rows = np.ascontiguousarray(KINDS[kind](random, ROWS, d), dtype)
    centers = native(rows)[1](isa, rows[random.integers(ROWS, size=CLUSTERS)])
    through_cells = labels_of(centers, rows, ROWS, THREADS[count])
    assert through_cells.tolist() == labels_of(centers, rows, FEW, THREADS[1]).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_borders_of_cells_and_ties_are_exact(dtype):
    random = np.random.default_rng(3)
    rows = (random.integers(0, 65, size=(ROWS, 2)) / 64).astype(dtype)  # many lie on borders, and between centers
    values = (random.integers(0, 17, size=(CLUSTERS, 2)) / 16).astype(dtype)
    found = labels_of(native(rows)[1]("", values), rows, ROWS, THREADS[2])
    some = random.integers(ROWS, size=60)
    assert found[some].tolist() == labels(rows[some], values).tolist()


@pytest.mark.parametrize("bad", [0, 1, ROWS - 1])
def test_bad_rows_are_named_before_any_label_is_given(bad):
    rows = np.random.default_rng(4).normal(size=(ROWS, 3)).astype(np.float32)
    model = in_memory(CLUSTERS, rows[:CLUSTERS], use_mini_batch=False).train(rows, steps=1)
    rows[bad, 1] = np.nan
    with pytest.raises(DataError, match=f"row {bad}, column 1 is nan"):
        model.labels(rows)
