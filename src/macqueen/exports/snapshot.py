"""What a model is at one step, as an export needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    variables
        What training goes on from, by the names that the old class gave them.
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
    variables: Mapping[str, NDArray[Any]]
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
