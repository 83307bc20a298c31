"""One call of `KMeans.train`, from its first checkpoint to its last."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from macqueen import checkpoint, loop, summaries
from macqueen.config import RunConfig
from macqueen.engine import Engine
from macqueen.errors import ArgumentError
from macqueen.estimator.watch import Watch, items_of, values_of
from macqueen.hooks import Answer, Every, History, Hook, Last, LogLoss
from macqueen.model import Model
from macqueen.state import State, StepStats

if TYPE_CHECKING:
    from macqueen.tf_estimator.adapter import SaveListeners

_LOG = logging.getLogger("macqueen")


class Training:
    """What surrounds the loop: checkpoints with their listeners, event files, history and hooks.

    Parameters
    ----------
    model
        Where states are kept.
    config
        How often.
    history
        What remembers the steps.
    hooks, saving_listeners
        The arguments of `KMeans.train`.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        A hook or listener is none, or there are listeners and nothing is saved.
    """

    def __init__(
        self, model: Model, config: RunConfig, history: History, hooks: object, saving_listeners: object
    ) -> None:
        self._model = model
        self._history = history
        self._watch = Watch(hooks)
        self._config = config
        self._listeners: SaveListeners | None = None
        self._writer: summaries.EventWriter | None = None
        listeners = items_of(saving_listeners, "saving_listeners")
        if len(self._watch.savers) > 1:
            raise ArgumentError(
                f"hooks must hold one CheckpointSaverHook at most, got {len(self._watch.savers)}: a model is saved at "
                "one rate; put the listeners of all into one"
            )
        for saver in self._watch.savers:
            self._config = saver.replaced(config)
            listeners = [*saver.listeners, *listeners]
        if (listeners or self._watch.savers) and not model.saves:
            raise ArgumentError(
                "saving_listeners and CheckpointSaverHook need checkpoints, but save_checkpoints_steps and "
                "save_checkpoints_secs are both None or 0; set one of them in RunConfig"
            )
        if listeners:
            from macqueen.tf_estimator.adapter import SaveListeners  # noqa: PLC0415 -- only old programs need it

            self._listeners = SaveListeners(listeners)

    def begin(self) -> None:
        """See that the directory can be written, and announce the call; nothing has been computed yet."""
        if self._model.saves or self._config.save_summary_steps:
            self._model.make_directory()
        if self._model.saves:
            self._model.check_writable()
        elif self._config.save_summary_steps:
            checkpoint.check_writable(self._model.directory)
        if self._listeners is not None:
            self._listeners.begin()
        self._watch.begin()

    def run(self, data: Any, state: State, engine: Engine, stop: loop.Stop) -> None:
        """Run the loop, saving before it, as configured, after it, and on Ctrl-C."""
        first_step, last = state.step, Last(state)
        if self._config.save_summary_steps:
            self._writer = summaries.event_writer(self._model.directory)
        self._save(state)
        try:
            now = time.time()
            self._history.start(state, stop.last_step, now)
            self._watch.start(state, stop.last_step, now)
            hooks: list[Hook] = [last, *self._own_hooks(state, now), *self._watch.hooks]
            state, reason = loop.train(self._watch.rows(data), state, engine, hooks, stop, time.time)
        except KeyboardInterrupt:
            self._save_unsaved(last.state)
            raise
        finally:
            self._watch.finish()
            if self._writer is not None:
                self._writer.flush()
        self._save_unsaved(state)
        if self._listeners is not None:
            self._listeners.end(values_of(state), state.step)
        self._watch.end(state)
        made, reason = state.step - first_step, self._watch.reason or reason
        _LOG.info("stopped at step %d after %d steps: %s; last loss: %s", state.step, made, reason, state.loss)

    def _own_hooks(self, state: State, now: float) -> list[Hook]:
        """Return what `RunConfig` asks for; checkpoints come first, as what follows may raise."""
        config = self._config

        def save(state: State, stats: StepStats, now: float) -> Answer:
            return self._save(state) and "a listener of checkpoints asked to stop"

        hooks: list[Hook] = [self._history]
        if self._model.saves:
            hooks.insert(0, Every(save, config.save_checkpoints_steps, config.save_checkpoints_secs, now))
        if config.log_step_count_steps:
            hooks.append(Every(LogLoss(state.step, now), config.log_step_count_steps, None, now))
        if self._writer is not None:
            assert config.save_summary_steps
            self._writer.session_start(state.step + 1, now)
            steps, rate_steps = config.save_summary_steps, config.log_step_count_steps
            hooks.append(summaries.TrainSummaries(self._writer, state.step, now, steps, rate_steps))
        return hooks

    def _save_unsaved(self, state: State) -> None:
        """Save what the directory does not hold."""
        if not self._model.holds(state):
            self._save(state)

    def _save(self, state: State) -> bool:
        """Save a state between the words of the listeners; tell whether one of them asked to stop."""
        if self._listeners is not None:
            self._listeners.before_save(values_of(state), state.step)
        path = self._model.save(state)
        if self._writer is not None and path is not None:
            self._writer.checkpoint_saved(state.step, time.time(), path)
        return self._listeners is not None and self._listeners.after_save(values_of(state), state.step)
