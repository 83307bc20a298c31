"""Who looks on during one call of train, evaluate or predict: native hooks, and those of the old API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from macqueen.errors import ArgumentTypeError
from macqueen.hooks import check, notify
from macqueen.state import BatchStats, State, StepStats

if TYPE_CHECKING:
    from macqueen.tf_estimator.adapter import HookSession

Item = TypeVar("Item")
SESSION_METHODS = ("begin", "after_create_session", "before_run", "after_run", "end")


def items_of(argument: object, name: str) -> list[Any]:
    """Return a list argument as a list; None is an empty one."""
    if argument is None:
        return []
    if isinstance(argument, str) or not isinstance(argument, Sequence):
        raise ArgumentTypeError(
            f"{name} must be a list or None, got {argument!r} of type {type(argument).__name__}; pass [{name[:-1]}]"
        )
    return list(argument)


def is_session_hook(hook: object) -> bool:
    """Tell whether a hook is one of the old API: an object with the methods of SessionRunHook."""
    return not isinstance(hook, type) and all(hasattr(hook, method) for method in SESSION_METHODS)


def values_of(state: State, stats: BatchStats | None = None) -> dict[str, Any]:
    """Return what hooks of the old API can fetch by name."""
    values: dict[str, Any] = {"global_step": np.int64(state.step), "clusters": state.centers}
    if state.counts is not None:
        values["cluster_counts"] = state.counts
    if state.pending is not None:
        values["clusters_updated"] = state.pending
    if stats is not None and stats.cost is not None:
        values["loss"] = stats.cost
        values["average_loss"] = stats.cost / stats.rows
    return values


class Watch:
    """The hooks of one call; nobody, where there are none.

    Parameters
    ----------
    hooks
        The argument of that name.

    Raises
    ------
    ArgumentTypeError
        Something in it is no hook.
    """

    def __init__(self, hooks: object = None) -> None:
        self._native: list[Callable[..., Any]] = []
        session = []
        for number, hook in enumerate(items_of(hooks, "hooks")):
            if is_session_hook(hook):
                from macqueen.tf_estimator.hook_graph import adopted  # noqa: PLC0415 -- only old programs need it

                session.append(adopted(hook, f"hooks[{number}]"))
            else:
                check(hook, f"hooks[{number}]")
                self._native.append(hook)
        self._session: HookSession | None = None
        self.savers: list[Any] = []
        if session:
            self.savers = [hook for hook in session if hasattr(hook, "checkpoint_dir") and hasattr(hook, "replaced")]
            from macqueen.tf_estimator.adapter import HookSession  # noqa: PLC0415 -- only old programs need it

            self._session = HookSession(session)
        self.reason: str | None = None  # why hooks of the old API ended the call before a step

    def begin(self) -> None:
        """Announce the call, before anything is computed."""
        if self._session is not None:
            self._session.begin()

    def start(self, state: State, last_step: int | None, now: float) -> None:
        """Announce the first step."""
        for hook in self._native:
            if hasattr(hook, "start"):
                hook.start(state, last_step, now)
        if self._session is not None:
            self._session.created(values_of(state))

    def end(self, state: State) -> None:
        """Announce that the call ends without an error."""
        if self._session is not None:
            self._session.end(values_of(state))

    def finish(self) -> None:
        """Let go of what hooks hold, however the call ends."""
        for hook in self._native:
            if hasattr(hook, "finish"):
                hook.finish()

    # --- training ---------------------------------------------------------------------------------------

    @property
    def hooks(self) -> list[Callable[..., Any]]:
        """What is called after each step of training."""
        session = self._session
        if session is None:
            return self._native

        def after_run(state: State, stats: StepStats, now: float) -> str | None:
            return session.after(values_of(state, stats))

        return [*self._native, after_run]

    def rows(self, data: Any) -> Any:
        """Return the rows being trained on, such that hooks of the old API hear of each step before it is made."""
        return data if self._session is None else _Announced(data, self)

    def before(self) -> bool:
        """Announce a step or batch; tell whether to make it."""
        if self._session is not None:
            self.reason = self._session.before()
        return self.reason is None

    # --- reading ----------------------------------------------------------------------------------------

    def batches(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield items, each announced before it is read."""
        while self.before():
            for item in items:
                yield item
                break
            else:
                return

    def after(self, state: State, stats: BatchStats, found: Mapping[str, Any]) -> str | None:
        """Tell hooks what a batch has shown; return a reason to read no further, or None."""
        reason = notify(self._native, state, stats, time.time()) if self._native else None
        if self._session is not None:
            reason = self._session.after({**values_of(state, stats), **found}) or reason
        return reason


class _Announced:
    """Rows whose steps are announced before they are made."""

    def __init__(self, data: Any, watch: Watch) -> None:
        self._data = data
        self._watch = watch

    def accumulate(self, state: State) -> StepStats | None:
        """Make the next batch or pass a step, unless a hook ends training before it."""
        return self._data.accumulate(state) if self._watch.before() else None
