"""`train_and_evaluate`: one call that trains, evaluates checkpoints on the way, and exports models."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from macqueen.config.checks import above_zero, number, shown
from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.estimator import KMeans
from macqueen.estimator.watch import Watch
from macqueen.tf_estimator.adapter import SaveListeners
from macqueen.tf_estimator.exporters import Exporter
from macqueen.tf_estimator.session import CheckpointSaverListener, Session


class _TrainSpec(NamedTuple):
    input_fn: Any
    max_steps: int | None
    hooks: tuple[Any, ...]
    saving_listeners: tuple[Any, ...]


class _EvalSpec(NamedTuple):
    input_fn: Any
    steps: int | None
    name: str | None
    hooks: tuple[Any, ...]
    exporters: tuple[Exporter, ...]
    start_delay_secs: float
    throttle_secs: float


class TrainSpec(_TrainSpec):
    """What `train_and_evaluate` trains on.

    Parameters
    ----------
    input_fn, max_steps, hooks, saving_listeners
        As for `KMeans.train`.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        One of them is none.
    """

    __slots__ = ()

    def __new__(
        cls,
        input_fn: Any,
        max_steps: int | None = None,
        hooks: Iterable[Any] | None = None,
        saving_listeners: Iterable[Any] | None = None,
    ) -> Self:
        """Check."""
        listeners = tuple(saving_listeners or ())
        SaveListeners(listeners)
        return super().__new__(cls, input_fn, above_zero("max_steps", max_steps), _hooks(hooks), listeners)


class EvalSpec(_EvalSpec):
    """What `train_and_evaluate` evaluates and exports.

    Parameters
    ----------
    input_fn, steps, name, hooks
        As for `KMeans.evaluate`.
    exporters
        An `Exporter`, or several with different names: asked after each evaluation.
    start_delay_secs
        Checked and not used: the first checkpoint of a call that made a step is evaluated.
    throttle_secs
        Least seconds between the beginnings of two evaluations; the last checkpoint is always evaluated.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        One of them is none.
    """

    __slots__ = ()

    def __new__(
        cls,
        input_fn: Any,
        steps: int | None = 100,
        name: str | None = None,
        hooks: Iterable[Any] | None = None,
        exporters: Exporter | Iterable[Exporter] | None = None,
        start_delay_secs: float = 120,
        throttle_secs: float = 600,
    ) -> Self:
        """Check."""
        if name is not None and not isinstance(name, str):
            raise ArgumentTypeError(f"name must be a str or None, got {shown(name)}; name the folder to make")
        start_delay_secs = number("start_delay_secs", start_delay_secs, zero=True)
        throttle_secs = number("throttle_secs", throttle_secs, zero=True)
        steps = above_zero("steps", steps)
        found = _exporters(exporters)
        return super().__new__(cls, input_fn, steps, name, _hooks(hooks), found, start_delay_secs, throttle_secs)


def train_and_evaluate(
    estimator: KMeans, train_spec: TrainSpec, eval_spec: EvalSpec
) -> tuple[dict[str, Any] | None, list[Any]]:
    """Train, evaluate checkpoints as they are written, and export models, all in this process.

    Checkpoints are written as `RunConfig` says. A model that has made `max_steps` already is left alone.

    Returns
    -------
    tuple
        The metrics of the last evaluation, or None without any, and what the exporters returned after it.

    Raises
    ------
    ArgumentTypeError
        An argument is of another type.
    ArgumentError
        `RunConfig` asks for no checkpoints.
    """
    given = {
        "estimator": (estimator, KMeans),
        "train_spec": (train_spec, TrainSpec),
        "eval_spec": (eval_spec, EvalSpec),
    }
    for name, (value, kind) in given.items():
        if not isinstance(value, kind):
            raise ArgumentTypeError(f"{name} must be a {kind.__name__}, got {shown(value)}; make one")
    evaluations = _Evaluations(estimator, eval_spec, train_spec.max_steps)
    listeners = [*train_spec.saving_listeners, evaluations]
    estimator.train(train_spec.input_fn, train_spec.hooks, max_steps=train_spec.max_steps, saving_listeners=listeners)
    return evaluations.metrics, evaluations.exported


class _Evaluations(CheckpointSaverListener):
    """Evaluates checkpoints when they have been written."""

    def __init__(self, estimator: KMeans, spec: EvalSpec, max_steps: int | None) -> None:
        self.metrics: dict[str, Any] | None = None
        self.exported: list[Any] = []
        self._estimator = estimator
        self._spec = spec
        self._max_steps = max_steps
        self._first = True
        self._next = 0.0  # when the next evaluation may begin
        self._evaluated: int | None = None
        self._checkpoint: str | None = None

    def after_save(self, session: Session, global_step_value: int) -> None:
        """Evaluate when it is time; the checkpoint that a call begins with is none of its own."""
        if self._first:
            self._first = False
        elif time.time() >= self._next:
            last = self._max_steps is not None and global_step_value >= self._max_steps
            self._evaluate(global_step_value, last)

    def end(self, session: Session, global_step_value: int) -> None:
        """Evaluate the last checkpoint, and tell exporters that it is the last."""
        if self._evaluated != global_step_value:
            self._evaluate(global_step_value, last=True)
        else:
            self._export(last=True)

    def _evaluate(self, step: int, last: bool) -> None:
        self._next = time.time() + self._spec.throttle_secs
        self._evaluated = step
        self.exported = [None] * len(self._spec.exporters)
        spec = self._spec
        self._checkpoint = self._estimator.latest_checkpoint()
        self.metrics = self._estimator.evaluate(spec.input_fn, spec.steps, spec.hooks, self._checkpoint, spec.name)
        self._export(last)

    def _export(self, last: bool) -> None:
        """Ask the exporters that have not exported this checkpoint."""
        for place, exporter in enumerate(self._spec.exporters):
            if self.exported[place] is None:
                folder = os.path.join(self._estimator.model_dir, "export", exporter.name)
                self.exported[place] = exporter.export(self._estimator, folder, self._checkpoint, self.metrics, last)


def _hooks(hooks: Iterable[Any] | None) -> tuple[Any, ...]:
    found = tuple(hooks or ())
    Watch(found)
    return found


def _exporters(exporters: Any) -> tuple[Exporter, ...]:
    found = (exporters,) if isinstance(exporters, Exporter) else tuple(exporters or ())
    for exporter in found:
        if not isinstance(exporter, Exporter):
            raise ArgumentTypeError(
                f"exporters must be an Exporter or several, got {shown(exporter)}; take LatestExporter, or subclass it"
            )
        if not isinstance(exporter.name, str) or not exporter.name:
            raise ArgumentError(
                f"exporters: a name must be a str that is not empty, got {exporter.name!r}; name the folder to make"
            )
    names = [exporter.name for exporter in found]
    if len(set(names)) < len(names):
        raise ArgumentError(f"exporters must have different names, got {names}; rename one")
    return found
