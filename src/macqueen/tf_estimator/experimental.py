"""The class that lived in ``tf.estimator.experimental``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from macqueen import estimator
from macqueen.estimator.opening import GraphInput
from macqueen.inputs.source import is_function

__all__ = ["KMeans"]


class KMeans(estimator.KMeans):
    """`macqueen.KMeans` for old programs: each call runs its `input_fn` once, in a graph of its own.

    A tensor that such a function returns is a batch of a stream, as it was: a constant one is the same batch without
    end. All else is as in `macqueen.KMeans`; without TensorFlow the two are the same.
    """

    def _source(self, input_fn: Any, mode: str, seed: int) -> AbstractContextManager[Any]:
        return super()._source(GraphInput(input_fn) if is_function(input_fn) else input_fn, mode, seed)
