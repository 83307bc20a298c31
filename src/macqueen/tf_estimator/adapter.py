"""Runs hooks and listeners of the old API around the steps of one call, in the order in which it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from macqueen.errors import ArgumentTypeError
from macqueen.tf_estimator.hook_graph import end_of_input, graph_of_names
from macqueen.tf_estimator.session import (
    Session,
    SessionRunArgs,
    SessionRunContext,
    SessionRunValues,
    Values,
    fetched,
)

LISTENER_METHODS = ("begin", "before_save", "after_save", "end")
NOTHING = SessionRunArgs(None)


class HookSession:
    """The hooks of one call of train, evaluate or predict, in list order."""

    def __init__(self, hooks: Sequence[Any]) -> None:
        self._hooks = hooks
        self._end_of_input = end_of_input()
        self._session = Session()
        self._context = SessionRunContext(NOTHING, self._session)
        self._asked: list[Any] = []  # what each hook wants of the run under way
        self._last: Values = {}  # what the last run has shown

    def begin(self) -> None:
        """Call `begin` of all."""
        with graph_of_names():
            for hook in self._hooks:
                hook.begin()

    def created(self, values: Values) -> None:
        """Call `after_create_session` of all."""
        self._session.show(lambda: values)
        for hook in self._hooks:
            hook.after_create_session(self._session, self._session)

    def before(self) -> str | None:
        """Call `before_run` of all; return a reason to end the call at once, or None."""
        if self._session.should_stop():
            return "a hook asked to stop"
        self._context = SessionRunContext(NOTHING, self._session)
        self._asked = []
        for hook in self._hooks:
            try:
                asked = hook.before_run(self._context)
            except self._end_of_input as error:
                return _stopped(hook, error)
            if asked is not None and not hasattr(asked, "fetches"):
                raise ArgumentTypeError(
                    f"before_run must return SessionRunArgs or None, but that of {type(hook).__name__} returned "
                    f"{asked!r}; wrap names in SessionRunArgs"
                )
            self._asked.append(asked)
        return None

    def after(self, values: Values) -> str | None:
        """Call `after_run` of all; return a reason to stop, or None."""
        self._last = values
        self._session.show(lambda: values)
        for hook, asked in zip(self._hooks, self._asked, strict=True):
            found = options = None
            if asked is not None:
                options = asked.options
                if asked.fetches is not None:
                    found = fetched(asked.fetches, values, asked.feed_dict)
            try:
                hook.after_run(self._context, SessionRunValues(found, options, None))
            except self._end_of_input as error:
                return _stopped(hook, error)
        return "a hook asked to stop" if self._context.stop_requested or self._session.should_stop() else None

    def end(self, values: Values) -> None:
        """Call `end` of all; losses are those of the last run, as hooks that log at the end ask for them."""
        self._session.show(lambda: {**self._last, **values})
        for hook in self._hooks:
            hook.end(self._session)


class SaveListeners:
    """The listeners to the checkpoints of one call of train, in list order.

    Raises
    ------
    ArgumentTypeError
        One of them is none.
    """

    def __init__(self, listeners: Sequence[Any]) -> None:
        for number, listener in enumerate(listeners):
            name = f"saving_listeners[{number}]"
            if isinstance(listener, type):
                raise ArgumentTypeError(
                    f"{name} must be a listener, got the class {listener.__name__}; pass an instance of it"
                )
            missing = [method for method in LISTENER_METHODS if not callable(getattr(listener, method, None))]
            if missing:
                raise ArgumentTypeError(
                    f"{name} must have the methods of CheckpointSaverListener, got {listener!r} of type "
                    f"{type(listener).__name__}, which lacks {', '.join(missing)}"
                )
        self._listeners = listeners
        self._session = Session()

    def begin(self) -> None:
        """Call `begin` of all."""
        with graph_of_names():
            for listener in self._listeners:
                listener.begin()

    def before_save(self, values: Values, step: int) -> None:
        """Call `before_save` of all."""
        self._session.show(lambda: values)
        for listener in self._listeners:
            listener.before_save(self._session, step)

    def after_save(self, values: Values, step: int) -> bool:
        """Call `after_save` of all; tell whether one asks to stop."""
        self._session.show(lambda: values)
        answers = [listener.after_save(self._session, step) for listener in self._listeners]
        return any(answers)

    def end(self, values: Values, step: int) -> None:
        """Call `end` of all."""
        self._session.show(lambda: values)
        for listener in self._listeners:
            listener.end(self._session, step)


def _stopped(hook: object, error: Exception) -> str:
    return f"{type(hook).__name__} raised {type(error).__name__}"
