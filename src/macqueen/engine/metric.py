"""What "nearest" means: how rows and centers are prepared, and what a squared distance counts for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from macqueen.engine.kernels import Kernels
from macqueen.state import FloatArray


def _center_name(row: int) -> str:
    return f"center {row}"


@dataclass(frozen=True)
class Metric:
    """A metric as seen by the kernels, which know squared Euclidean distances only.

    The cosine distance of u and v is |u' - v'|² / 2 for the normalised rows u', v': 1 - cos(u, v). A row of
    zeros has distance 1 to every center and belongs to no sum.
    """

    normalized: bool  # rows and centers are divided by their length first
    factor: float  # of the squared Euclidean distance

    def rows(self, rows: FloatArray, kernels: Kernels, name: Callable[[int], str]) -> FloatArray:
        """Return rows (n, d) as the kernels take them."""
        return kernels.normalize(rows, name) if self.normalized else rows

    def centers(self, centers: FloatArray, kernels: Kernels) -> FloatArray:
        """Return centers (k, d) as the kernels take them."""
        return kernels.normalize(centers, _center_name) if self.normalized else centers

    def cost(self, squared: float, zero_rows: int) -> float:
        """Turn a sum of squared Euclidean distances into the cost."""
        return self.factor * squared + zero_rows


METRICS = {
    "squared_euclidean": Metric(normalized=False, factor=1.0),
    "cosine": Metric(normalized=True, factor=0.5),
}
