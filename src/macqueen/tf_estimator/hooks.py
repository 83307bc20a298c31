"""The usual hooks under their old names."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from macqueen import summaries
from macqueen.config import RunConfig
from macqueen.errors import ArgumentError, NanLossError
from macqueen.tf_estimator.session import (
    CheckpointSaverListener,
    Session,
    SessionRunArgs,
    SessionRunContext,
    SessionRunHook,
    SessionRunValues,
)

_LOG = logging.getLogger("macqueen")
GLOBAL_STEP = SessionRunArgs("global_step")


class SecondOrStepTimer:
    """Tells when it is time again: every so many seconds or every so many steps.

    Parameters
    ----------
    every_secs, every_steps
        Exactly one of them, above 0.
    clock
        Tells the time in seconds.
    """

    def __init__(
        self,
        every_secs: float | None = None,
        every_steps: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        exactly_one(every_secs=every_secs, every_steps=every_steps)
        self._every_secs = every_secs
        self._every_steps = every_steps
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget when it was triggered last."""
        self._last_step: int | None = None
        self._last_time = 0.0

    def should_trigger_for_step(self, step: int) -> bool:
        """Tell whether to trigger at this step: the first time always, and at most once a step."""
        if self._last_step is None:
            return True
        if step == self._last_step:
            return False
        if self._every_steps is not None:
            return step >= self._last_step + self._every_steps
        assert self._every_secs is not None
        return self._clock() >= self._last_time + self._every_secs

    def update_last_triggered_step(self, step: int) -> tuple[float | None, int | None]:
        """Trigger at this step; return seconds and steps since the last time, (None, None) at the first."""
        now = self._clock()
        first = self._last_step is None
        elapsed = (None, None) if first else (now - self._last_time, step - (self._last_step or 0))
        self._last_step, self._last_time = step, now
        return elapsed

    def last_triggered_step(self) -> int | None:
        """Return the step of the last time, or None."""
        return self._last_step


class StopAtStepHook(SessionRunHook):
    """Stops after so many steps of a call, or at a step of the model.

    Parameters
    ----------
    num_steps, last_step
        Exactly one of them.
    """

    def __init__(self, num_steps: int | None = None, last_step: int | None = None) -> None:
        exactly_one(num_steps=num_steps, last_step=last_step)
        self._num_steps = num_steps
        self._last_step = last_step

    def after_create_session(self, session: Session, coord: Any) -> None:
        """Count from the step of the model."""
        if self._num_steps is not None:
            self._last_step = int(session.run("global_step")) + self._num_steps

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs:
        """Ask for the step."""
        return GLOBAL_STEP

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Stop at the last one."""
        assert self._last_step is not None
        if run_values.results >= self._last_step:
            run_context.request_stop()


class LoggingTensorHook(SessionRunHook):
    """Logs values by name every so many steps or seconds, or at the end.

    Parameters
    ----------
    tensors
        Names, or a dict of label to name.
    every_n_iter, every_n_secs
        How often; at most one of them.
    at_end
        Log at the end of the call as well.
    formatter
        Makes the line of a dict of label to value.
    """

    def __init__(
        self,
        tensors: Sequence[str] | Mapping[str, str],
        every_n_iter: int | None = None,
        every_n_secs: float | None = None,
        at_end: bool = False,
        formatter: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        if not at_end or every_n_iter is not None or every_n_secs is not None:
            exactly_one(every_n_iter=every_n_iter, every_n_secs=every_n_secs)
        self._names = dict(tensors) if isinstance(tensors, Mapping) else {name: name for name in tensors}
        self._at_end = at_end
        self._formatter = formatter or (lambda values: ", ".join(f"{key} = {value}" for key, value in values.items()))
        self._timer = None
        if every_n_iter is not None or every_n_secs is not None:
            self._timer = SecondOrStepTimer(every_n_secs, every_n_iter)
        self._run = 0

    def begin(self) -> None:
        """Begin to count."""
        self._run = 0
        if self._timer is not None:
            self._timer.reset()

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs | None:
        """Ask for the values when it is time."""
        due = self._timer is not None and self._timer.should_trigger_for_step(self._run)
        return SessionRunArgs(self._names) if due else None

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Log them."""
        if run_values.results is not None and self._timer is not None:
            self._timer.update_last_triggered_step(self._run)
            _LOG.info("%s", self._formatter(run_values.results))
        self._run += 1

    def end(self, session: Session) -> None:
        """Log once more."""
        if self._at_end:
            _LOG.info("%s", self._formatter(session.run(self._names)))


class NanTensorHook(SessionRunHook):
    """Ends training when a value is NaN.

    Parameters
    ----------
    loss_tensor
        Its name.
    fail_on_nan_loss
        Raise `NanLossDuringTrainingError`; otherwise stop.
    """

    def __init__(self, loss_tensor: str, fail_on_nan_loss: bool = True) -> None:
        self._args = SessionRunArgs(loss_tensor)
        self._fail = fail_on_nan_loss

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs:
        """Ask for the value."""
        return self._args

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Look at it."""
        if not math.isnan(run_values.results):
            return
        if self._fail:
            raise NanLossError("NaN loss during training; look for rows that are no numbers")
        _LOG.warning("Model diverged with loss = NaN.")
        run_context.request_stop()


class StepCounterHook(SessionRunHook):
    """Logs steps per second, and writes them into an event file where there is an `output_dir`.

    Parameters
    ----------
    every_n_steps, every_n_secs
        How often; exactly one of them.
    output_dir
        Directory of the event file.
    """

    def __init__(
        self, every_n_steps: int | None = 100, every_n_secs: float | None = None, output_dir: str | None = None
    ) -> None:
        exactly_one(every_n_steps=every_n_steps, every_n_secs=every_n_secs)
        self._timer = SecondOrStepTimer(every_n_secs, every_n_steps)
        self._output_dir = output_dir

    def begin(self) -> None:
        """Begin to count."""
        self._timer.reset()

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs:
        """Ask for the step."""
        return GLOBAL_STEP

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Report, when it is time."""
        step = int(run_values.results)
        if not self._timer.should_trigger_for_step(step):
            return
        secs, steps = self._timer.update_last_triggered_step(step)
        if secs is None or steps is None:
            return
        rate = steps / max(secs, 1e-9)
        _LOG.info("global_step/sec: %g", rate)
        if self._output_dir is not None:
            summaries.event_writer(self._output_dir).scalars(step, time.time(), {"global_step/sec": rate})

    def end(self, session: Session) -> None:
        """Have everything in the file."""
        if self._output_dir is not None:
            summaries.event_writer(self._output_dir).flush()


class FinalOpsHook(SessionRunHook):
    """Keeps values of the end of a call, in `final_ops_values`.

    Parameters
    ----------
    final_ops
        Names, nested as `SessionRunArgs.fetches`.
    """

    def __init__(self, final_ops: Any) -> None:
        self._final_ops = final_ops
        self.final_ops_values: Any = None

    def end(self, session: Session) -> None:
        """Take them."""
        self.final_ops_values = session.run(self._final_ops)


class CheckpointSaverHook(SessionRunHook):
    """Says how often to save, in place of the `RunConfig`, and who listens. `KMeans.train` does the saving.

    Parameters
    ----------
    checkpoint_dir
        Must be the directory of the model.
    save_secs, save_steps
        How often; exactly one of them.
    listeners
        Further `CheckpointSaverListener` objects.
    """

    def __init__(
        self,
        checkpoint_dir: str,
        save_secs: float | None = None,
        save_steps: int | None = None,
        *,
        listeners: Sequence[CheckpointSaverListener] | None = None,
    ) -> None:
        exactly_one(save_secs=save_secs, save_steps=save_steps)
        self.checkpoint_dir = checkpoint_dir
        self.save_secs = save_secs
        self.save_steps = save_steps
        self.listeners = list(listeners or [])

    def replaced(self, config: RunConfig) -> RunConfig:
        """Return a configuration that saves as often as this hook says."""
        if os.path.realpath(self.checkpoint_dir) != os.path.realpath(config.model_dir or ""):
            raise ArgumentError(
                f"checkpoint_dir must be the model_dir, {config.model_dir!r}, got {self.checkpoint_dir!r}; a model is "
                "kept in one directory"
            )
        return config.replace(save_checkpoints_steps=self.save_steps, save_checkpoints_secs=self.save_secs)


def exactly_one(**arguments: float | None) -> None:
    """Refuse two arguments of which none or both are given, or one that is not above 0."""
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        shown = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise ArgumentError(f"exactly one of {' and '.join(arguments)} must be given, got {shown}; give one")
    for name, value in given.items():
        if not np.isreal(value) or value <= 0:
            raise ArgumentError(f"{name} must be above 0, got {value!r}; give a positive number")
