"""The face of the document: `KMeans`, and what one call of it does."""

from macqueen.estimator.kmeans import KMeans

__all__ = ["KMeans"]
