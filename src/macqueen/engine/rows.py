"""What seeding may look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from macqueen.state import FloatArray


class Rows(Protocol):
    """All rows of a data set, or one batch of a stream."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def dims(self) -> int:
        """How many columns."""

    def take(self, indices: NDArray[np.int64]) -> FloatArray:
        """Return rows by index."""

    def blocks(self) -> Iterator[FloatArray]:
        """Yield all rows in order, as the kernels take them."""

    def whole(self) -> FloatArray | None:
        """Return all rows in one array, as the kernels take them, or None where they are not in memory."""


class Batch(Rows, Protocol):
    """Rows in one array, as the caller's own function wants them."""

    array: FloatArray
