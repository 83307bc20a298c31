"""What a model is at one step, as an export needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import SettingsMismatchError
from macqueen.feature_columns import InputLayer
from macqueen.state import FloatArray, State

BLOCK = 1 << 18  # differences (rows, k, d) that an exported graph holds at once: 2 MiB; one row's where k d is more


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model at one step.

    Parameters
    ----------
    state
        Centers, step, and what training goes on from.
    metric
        "squared_euclidean" or "cosine".
    mode
        "full_batch" or "mini_batch".
    steps_per_iteration
        Mini-batch steps between two syncs of the centers.
    layer
        What makes rows of named features; None where there are no feature columns.
    version
        Of macqueen.

    Raises
    ------
    SettingsMismatchError
        The layer makes rows of another width than the centers.
    """

    state: State
    metric: str
    mode: str
    steps_per_iteration: int
    layer: InputLayer | None
    version: str

    def __post_init__(self) -> None:
        if self.layer is not None:
            self.check_width(self.layer.dims)

    @property
    def centers(self) -> FloatArray:
        """The centers (k, d)."""
        return self.state.centers

    @property
    def block(self) -> int:
        """Rows that an exported graph compares with all centers at once."""
        return max(1, BLOCK // max(1, self.centers.size))

    def check_width(self, dims: int) -> None:
        """Refuse rows of another width than the centers."""
        if dims != self.centers.shape[1]:
            raise SettingsMismatchError(
                f"the features make rows of {dims} columns, but the centers have {self.centers.shape[1]}; give "
                "features of that width"
            )

    def variables(self) -> Mapping[str, NDArray[Any]]:
        """Return what training goes on from, by the names that the old class gave its variables."""
        state = self.state
        found = {"clusters": state.centers, "global_step": np.int64(state.step), "initialized": np.bool_(True)}
        if self.mode == "mini_batch":
            found["Variable"] = np.zeros(len(state.centers), np.int64) if state.counts is None else state.counts
        if self.mode == "mini_batch" and self.steps_per_iteration > 1:
            found["clusters_updated"] = state.centers if state.pending is None else state.pending
            found["update_in_steps"] = np.int64(self.steps_per_iteration - state.steps_since_sync)
        return {name: np.asarray(value) for name, value in found.items()}
