"""Where centers start: random rows and the caller's own choice; `plus_plus` and `parallel` are the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from macqueen import _core
from macqueen.engine.kernels import Kernels, check_rows
from macqueen.engine.rows import Rows
from macqueen.errors import DataError, InputEndedError
from macqueen.state import FloatArray

Made = TypeVar("Made")
_RANDOM = 1  # purpose of random numbers; k-means++ has 2, k-means|| 3


def random_rows(rows: Rows, count: int, seed: int, kernels: Kernels, draw: int = 0) -> FloatArray:
    """Return `count` distinct rows, each choice as likely; number `draw` of these."""
    indices = _core.permuted(seed, _RANDOM + (draw << 8), rows.rows, 0, count)
    chosen = rows.take(indices)
    check_finite(chosen, kernels, lambda i: f"row {indices[i]}")
    return chosen


def chosen_by(function: Callable[[Any, int], Any], batch: FloatArray, count: int) -> FloatArray:
    """Return the 0 to `count` centers that the caller's function f(inputs, k) picks from a batch."""
    chosen = np.asarray(function(batch, count))
    if chosen.size == 0:
        return batch[:0]
    if chosen.ndim != 2 or chosen.shape[1] != batch.shape[1] or chosen.dtype.kind not in "biuf":
        raise DataError(
            f"initial_clusters: f(inputs, k) must return an array of up to k rows of {batch.shape[1]} numbers; "
            f"got shape {chosen.shape}, dtype {chosen.dtype}"
        )
    if len(chosen) > count:
        raise DataError(f"initial_clusters: f(inputs, k) returned {len(chosen)} rows for k = {count}; return at most k")
    return np.ascontiguousarray(chosen, dtype=batch.dtype)


def too_few_rows(clusters: int, found: int, what: str) -> DataError:
    """Say that there are fewer rows than clusters."""
    return DataError(
        f"num_clusters={clusters} needs at least as many rows, but {what} has {found}; "
        "ask for fewer clusters or pass more rows"
    )


def ended_early(clusters: int, found: int) -> InputEndedError:
    """Say that the input ended during initialisation."""
    return InputEndedError(
        f"the input ended after {found} of {clusters} initial centers were found; pass more rows, ask for fewer "
        "clusters, or give the centers as an array"
    )


def check_finite(rows: FloatArray, kernels: Kernels, name: Callable[[int], str]) -> None:
    """Raise for the first row with a NaN, an infinity or a magnitude beyond the limit."""
    check_rows(_core.first_bad_row(kernels.isa, kernels.threads, rows), rows, name)


def checked(make: Callable[[], Made], rows: FloatArray, kernels: Kernels, name: Callable[[int], str]) -> Made:
    """Make what looks at all rows itself, with a ValueError for unfit ones; or name the first that it refuses."""
    try:
        return make()
    except ValueError:
        check_finite(rows, kernels, name)
        raise
