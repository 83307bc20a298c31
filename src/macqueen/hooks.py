"""What happens beside training, after each step: f(state, stats, now), with the time passed in."""

from __future__ import annotations

import logging
from collections.abc import Callable

from macqueen.state import State, StepStats

_LOG = logging.getLogger("macqueen")


class Every:
    """Calls `action` every so many steps, or every so many seconds; never where both are None.

    The steps are counted from 0, whatever the call; the seconds from `now` on.
    """

    def __init__(
        self, action: Callable[[State, StepStats, float], None], steps: int | None, secs: float | None, now: float
    ) -> None:
        self._action = action
        self._steps = steps
        self._secs = secs
        self._last = now

    def __call__(self, state: State, stats: StepStats, now: float) -> None:
        """Call the action if it is time."""
        due = self._steps and state.step % self._steps == 0
        if self._secs and now - self._last >= self._secs:
            due = True
        if due:
            self._last = now
            self._action(state, stats, now)


class LogLoss:
    """Logs loss and steps per second at level INFO."""

    def __init__(self, step: int, now: float) -> None:
        self._step = step
        self._now = now

    def __call__(self, state: State, stats: StepStats, now: float) -> None:
        """Log this step."""
        rate = (state.step - self._step) / max(now - self._now, 1e-9)
        text = "step %d: loss %.6g, %d rows, %d emptied clusters relocated, %.3g steps/s"
        _LOG.info(text, state.step, stats.cost, stats.rows, stats.relocated, rate)
        self._step, self._now = state.step, now


class Last:
    """Remembers the state after the last whole step, for when training is interrupted."""

    def __init__(self, state: State) -> None:
        self.state = state

    def __call__(self, state: State, stats: StepStats, now: float) -> None:
        """Remember it."""
        self.state = state
