"""The class that lived in ``tf.estimator.experimental``."""

from macqueen.estimator import KMeans

__all__ = ["KMeans"]
