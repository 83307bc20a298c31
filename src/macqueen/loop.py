"""The only file that knows of steps, passes and stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from macqueen.hooks import Hook, notify
from macqueen.state import State, StepStats, same_bits


class Rows(Protocol):
    """Rows being trained on (`macqueen.workers`)."""

    def accumulate(self, state: State) -> StepStats | None:
        """Add up the next batch or pass; None when the input has ended."""


class Updater(Protocol):
    """The algorithm (`macqueen.engine`)."""

    def update(self, state: State, stats: StepStats) -> State:
        """Make the state after a step."""


def train(
    data: Rows,
    state: State,
    engine: Updater,
    hooks: Sequence[Hook],
    stop: Callable[[State], str | None],
    clock: Callable[[], float],
) -> tuple[State, str]:
    """Move the centers step by step until `stop` or a hook gives a reason or the input ends."""
    while (reason := stop(state)) is None:
        stats = data.accumulate(state)
        if stats is None:
            return state, "the input ended"
        state = engine.update(state, stats)
        if asked := notify(hooks, state, stats, clock()):
            return state, asked
        del stats  # the next step goes on with its sums (k, d), and would copy them for another owner
    return state, reason


class Stop:
    """Reasons to stop, asked before each step.

    Parameters
    ----------
    last_step
        The step to stop after, or None.
    relative_tolerance
        Stop when the loss of an iteration changed by less than this: |L - P| / (1 + |P|), strictly.
    when_settled
        Stop when an iteration left every bit of the centers unchanged, or when the exact loss has not fallen
        for three.
    """

    PATIENCE = 3

    def __init__(self, last_step: int | None, relative_tolerance: float | None, when_settled: bool) -> None:
        self.last_step = last_step
        self.relative_tolerance = relative_tolerance
        self.when_settled = when_settled
        self._iteration: State | None = None  # the state after the last whole iteration

    def __call__(self, state: State) -> str | None:
        """Return why to stop now, or None."""
        before = self._iteration
        if state.steps_since_sync == 0 or before is None:
            self._iteration = state
        if self.last_step is not None and state.step >= self.last_step:
            return f"step {self.last_step} was reached"
        if before is None or before is state or state.steps_since_sync != 0:
            return None
        if self.relative_tolerance is not None and before.loss is not None and state.loss is not None:
            change = abs(state.loss - before.loss) / (1 + abs(before.loss))
            if change < self.relative_tolerance:
                return f"the loss changed by {change:.3g}, less than the relative tolerance"
        if self.when_settled and same_bits(before.centers, state.centers):
            return "the centers no longer move"
        if self.when_settled and state.stalled >= self.PATIENCE:
            return f"the loss has not fallen for {self.PATIENCE} steps"
        return None
