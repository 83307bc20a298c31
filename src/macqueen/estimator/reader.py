"""One call that reads an input with a trained model: evaluate, predict, labels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macqueen import reading
from macqueen.engine import Engine
from macqueen.estimator.watch import Watch
from macqueen.model import Model
from macqueen.state import FloatArray

if TYPE_CHECKING:
    from macqueen.tf_estimator.modes import EstimatorSpec


class Reader:
    """The state to read with, and who looks on.

    Parameters
    ----------
    model
        Where states are kept.
    engine
        The algorithm.
    open_source
        Opens an input, for a mode and with a seed, as a stream or data set.
    hooks
        The argument of that name.
    checkpoint_path
        Checkpoint to read with; None takes the latest.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        open_source: Callable[[Any, str, int], AbstractContextManager[Any]],
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
    ) -> None:
        self._watch = Watch(hooks)
        self._model = model
        self._engine = engine
        self._open_source = open_source
        self.state, self.checkpoint_path = model.read(engine, checkpoint_path)

    def evaluate(self, input_fn: Any, steps: int | None) -> dict[str, Any]:
        """Return the metrics of `KMeans.evaluate`."""
        with self._open(input_fn, "eval") as source, self._watched():
            return reading.evaluate(source, self.state, self._engine, steps, self._watch)

    def predictions(self, input_fn: Any, keys: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield a dict a batch: ``all_distances`` (n, k), ``cluster_index`` (n,) int64."""
        with self._open(input_fn, "infer") as source, self._watched():
            yield from reading.predictions(source, self.state, self._engine, keys, self._watch)

    def spec(self, features: Any, mode: str) -> EstimatorSpec:
        """Return what `KMeans.model_fn` does: predictions and metrics of one batch; nothing is changed or written."""
        from macqueen.tf_estimator.modes import EstimatorSpec, check_mode  # noqa: PLC0415 -- only old programs need it

        check_mode(mode)
        with self._open(lambda: iter([features]), mode) as batch:
            found = next(reading.predictions(batch, self.state, self._engine, reading.KEYS, self._watch))
        with self._open(lambda: iter([features]), mode) as batch:
            metrics = reading.evaluate(batch, self.state, self._engine, 1, self._watch)
        score = metrics["score"]
        return EstimatorSpec(
            mode=mode,
            predictions=found,
            loss=score,
            eval_metric_ops={"score": (score, score)},
            export_outputs={**found, "serving_default": found["cluster_index"]},
        )

    def labels(self, input_fn: Any) -> NDArray[np.int64]:
        """Return the labels (n,) int64 of all rows."""
        with self._open(input_fn, "infer") as source:
            return reading.labels(source, self.state, self._engine)

    def nearest(self, input_fn: Any, m: Any) -> tuple[NDArray[np.int64], FloatArray]:
        """Return what `KMeans.nearest` does."""
        count = reading.check_count(m, len(self.state.centers))
        with self._open(input_fn, "infer") as source:
            return reading.nearest(source, self.state, self._engine, count)

    @contextmanager
    def _open(self, input_fn: Any, mode: str) -> Iterator[Any]:
        with self._open_source(input_fn, mode, self.state.seed) as source:
            self._model.check_width(self.state, source.dims)
            yield source

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Announce the call, and its end unless there is an error."""
        self._watch.begin()
        try:
            self._watch.start(self.state, None, time.time())
            yield
        finally:
            self._watch.finish()
        self._watch.end(self.state)
