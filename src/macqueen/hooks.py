"""What happens beside training: one kind of hook, and the usual ones.

A hook is a callable ``f(state, stats, now)``, called after each step with the state after the step, what the step
found out, and the time in seconds. It returns None (or False) to go on, and a reason (or True) to stop; raising
`StopIteration` stops as well. Any other error ends training and is passed on; the model is then that of its last
checkpoint. A hook may also have ``start(state, last_step, now)``, called before the first step, and ``finish()``,
called when the call ends, however it ends.

`evaluate` and `predict` call hooks after each batch, with `BatchStats`.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from macqueen.config.checks import integer
from macqueen.errors import ArgumentTypeError, NanLossError
from macqueen.state import BatchStats, State, StepStats

__all__ = ["Answer", "Every", "History", "Hook", "LogLoss", "NanGuard", "Progress", "StopAtStep", "check", "notify"]

Answer: TypeAlias = bool | str | None  # None, False: go on; True or a reason: stop
Hook: TypeAlias = Callable[[State, StepStats, float], Answer]

_LOG = logging.getLogger("macqueen")


def check(hook: object, what: str) -> None:
    """Refuse what cannot be called as ``f(state, stats, now)``; `what` names it in the error."""
    if isinstance(hook, type):
        raise ArgumentTypeError(f"{what} must be a hook, got the class {hook.__name__}; pass an instance of it")
    if not callable(hook):
        raise ArgumentTypeError(
            f"{what} must be a callable f(state, stats, now), or an object with the methods of SessionRunHook; "
            f"got {hook!r} of type {type(hook).__name__}, which has no __call__"
        )
    try:
        inspect.signature(hook).bind(None, None, None)
    except TypeError as error:
        raise ArgumentTypeError(f"{what} must take (state, stats, now), got {hook!r}: {error}") from None
    except ValueError:  # some built-ins do not tell
        pass


def notify(hooks: Iterable[Callable[..., Answer]], state: State, stats: BatchStats, now: float) -> str | None:
    """Call all hooks; return the first reason to stop, or None."""
    reason = None
    for hook in hooks:
        try:
            answer = hook(state, stats, now)
        except StopIteration:
            answer = f"{_name(hook)} raised StopIteration"
        if answer is None or answer is False:
            continue
        if not isinstance(answer, bool | np.bool_ | str):
            raise ArgumentTypeError(
                f"a hook must return None or False to go on, True or a reason to stop; {_name(hook)} returned "
                f"{answer!r} of type {type(answer).__name__}"
            )
        if answer and reason is None:
            reason = answer if isinstance(answer, str) else f"{_name(hook)} asked to stop"
    return reason


def _name(hook: object) -> str:
    return getattr(hook, "__qualname__", None) or type(hook).__name__


class Every:
    """Calls `action` every so many steps, or every so many seconds; never where both are None.

    The steps are counted from 0, whatever the call; the seconds from `now` on. What `action` has of `start` and
    `finish` is called as if it were a hook by itself.
    """

    def __init__(self, action: Hook, steps: int | None, secs: float | None, now: float) -> None:
        check(action, "action")
        self._action = action
        self._steps = steps
        self._secs = secs
        self._last = now

    def __call__(self, state: State, stats: StepStats, now: float) -> Answer:
        """Call the action if it is time."""
        due = self._steps and state.step % self._steps == 0
        if self._secs and now - self._last >= self._secs:
            due = True
        if not due:
            return None
        self._last = now
        return self._action(state, stats, now)

    def start(self, state: State, last_step: int | None, now: float) -> None:
        """Hand on the beginning of the call."""
        if hasattr(self._action, "start"):
            self._action.start(state, last_step, now)

    def finish(self) -> None:
        """Hand on its end."""
        if hasattr(self._action, "finish"):
            self._action.finish()


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


class StopAtStep:
    """Stops after a step of the model.

    Parameters
    ----------
    last_step
        The step, at least 1. A model that is there already makes one more.
    """

    def __init__(self, last_step: int) -> None:
        self.last_step = integer("last_step", last_step, least=1)

    def __call__(self, state: State, stats: BatchStats, now: float) -> Answer:
        """Ask to stop from that step on."""
        return f"step {self.last_step} was reached" if state.step >= self.last_step else None


class NanGuard:
    """Raises `NanLossError` when the cost of a step is no finite number, so that training does not go on with it."""

    def __call__(self, state: State, stats: BatchStats, now: float) -> None:
        """Look at the cost."""
        if stats.cost is not None and not math.isfinite(stats.cost):
            raise NanLossError(f"the loss of step {state.step} is {stats.cost}; look for huge values among the rows")


class Progress:
    """Shows steps, rows, cost and the time left on the terminal; nothing where nobody is looking.

    Parameters
    ----------
    console
        A `rich.console.Console`; None takes the standard error stream.
    """

    def __init__(self, console: Any = None) -> None:
        self._console = console
        self._bar: Any = None
        self._rows = 0

    def start(self, state: State, last_step: int | None, now: float) -> None:
        """Open the display, if the console is a terminal."""
        from rich import console, progress  # noqa: PLC0415 -- `import macqueen` stays fast

        shown_on = self._console or console.Console(stderr=True)
        if not shown_on.is_terminal:
            return
        self._rows = 0
        fields = ("step {task.completed:,}", "{task.fields[rows]:,} rows", "cost {task.fields[cost]}")
        self._bar = progress.Progress(
            *(progress.TextColumn(field) for field in fields),
            progress.BarColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=shown_on,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=last_step, completed=state.step, rows=0, cost="-")

    def __call__(self, state: State, stats: BatchStats, now: float) -> None:
        """Show this step."""
        if self._bar is not None:
            self._rows += stats.rows
            cost = "-" if stats.cost is None else f"{stats.cost:.6g}"
            self._bar.update(self._task, completed=state.step, rows=self._rows, cost=cost)

    def finish(self) -> None:
        """Close the display."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class History:
    """Remembers what the steps found out, thinned so that it takes no more than `most_bytes`, or two records.

    When it is full, every second record goes, and from then on every second step is recorded; the latest step is
    always there.
    """

    def __init__(self, most_bytes: int = 1 << 26, most_records: int = 1 << 14) -> None:
        self._most_bytes = most_bytes
        self._most_records = most_records
        self._records: list[tuple[int, float, float, int, float, NDArray[np.int64]]] = []
        self._latest: tuple[int, float, float, int, float, NDArray[np.int64]] | None = None
        self._stride = 1
        self._began = 0.0  # of this call
        self._before = 0.0  # seconds of the calls before

    def start(self, state: State, last_step: int | None, now: float) -> None:
        """Begin a call; the time between two calls does not count."""
        self._before = self._latest[4] if self._latest else 0.0
        self._began = now

    def __call__(self, state: State, stats: StepStats, now: float) -> None:
        """Remember this step."""
        loss = math.nan if state.loss is None else state.loss
        seconds = self._before + now - self._began
        self._latest = (state.step, loss, stats.cost, stats.rows, seconds, stats.counts)
        if state.step % self._stride == 0:
            self._records.append(self._latest)
            most = min(self._most_records, self._most_bytes // (8 * (len(stats.counts) + 32)))
            if len(self._records) > max(1, most):
                self._stride *= 2
                self._records = [record for record in self._records if record[0] % self._stride == 0]

    def arrays(self, clusters: int) -> dict[str, NDArray[Any]]:
        """Return the records by column, as `KMeans.history`."""
        records = list(self._records)
        if self._latest is not None and (not records or records[-1] is not self._latest):
            records.append(self._latest)
        columns: Sequence[Sequence[Any]] = list(zip(*records, strict=True)) or [()] * 6
        kinds = {"step": np.int64, "loss": np.float64, "cost": np.float64, "rows": np.int64, "seconds": np.float64}
        found: dict[str, NDArray[Any]] = {
            name: np.array(values, dtype) for (name, dtype), values in zip(kinds.items(), columns, strict=False)
        }
        found["counts"] = np.array(columns[5], np.int64).reshape(len(records), -1 if records else clusters)
        return found
