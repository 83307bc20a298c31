"""The classes that hooks and listeners of the old API are made of, without TensorFlow.

Names and signatures are those of ``tf.estimator``; where the old classes held tensors of a graph, these take names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from macqueen.errors import ArgumentError, ArgumentTypeError

Values = Mapping[str, Any]  # what can be fetched, by name


class SessionRunArgs(NamedTuple):
    """What a hook wants to know of the next run.

    Parameters
    ----------
    fetches
        A name, or a list, tuple or dict of them, nested as you like: ``"loss"``, ``"global_step"``, ``"clusters"``.
    feed_dict
        There is no graph to feed: must be None or empty.
    options
        Passed back in `SessionRunValues`.
    """

    fetches: Any
    feed_dict: Any = None
    options: Any = None


class SessionRunValues(NamedTuple):
    """What a run has shown: `results` have the structure of the fetches."""

    results: Any
    options: Any = None
    run_metadata: Any = None


class Session:
    """Stands for the session that hooks were given: names in, values out."""

    def __init__(self) -> None:
        self._values: Callable[[], Values] = dict
        self._stop = False

    def run(self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None) -> Any:
        """Return the values of the model as it is now; `options` and `run_metadata` are not looked at.

        Raises
        ------
        ArgumentError
            A name is unknown (the known ones are listed), or there is something to feed.
        """
        return fetched(fetches, self._values(), feed_dict)

    def should_stop(self) -> bool:
        """Tell whether a hook has asked to stop."""
        return self._stop

    def request_stop(self) -> None:
        """Ask to stop."""
        self._stop = True

    def show(self, values: Callable[[], Values]) -> None:
        """Have `run` answer from these values."""
        self._values = values


class SessionRunContext:
    """What a hook is told of a run.

    Parameters
    ----------
    original_args
        `SessionRunArgs` of the run without hooks.
    session
        The `Session`.
    """

    def __init__(self, original_args: SessionRunArgs, session: Session) -> None:
        self._original_args = original_args
        self._session = session
        self._stop = False

    @property
    def original_args(self) -> SessionRunArgs:
        """What would be run without hooks."""
        return self._original_args

    @property
    def session(self) -> Session:
        """The session."""
        return self._session

    @property
    def stop_requested(self) -> bool:
        """Whether a hook has asked to stop after this run."""
        return self._stop

    def request_stop(self) -> None:
        """Ask to stop after this run."""
        self._stop = True


class SessionRunHook:
    """Base of hooks of the old API: override what you need."""

    def begin(self) -> None:
        """Is called once, before anything else."""

    def after_create_session(self, session: Session, coord: Any) -> None:
        """Is called when the model is there, before the first run; `coord` can ``request_stop()``."""

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs | None:
        """Is called before each run; returns what to fetch, or None."""
        return None

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Is called after each run, with what was fetched."""

    def end(self, session: Session) -> None:
        """Is called after the last run, unless there was an error."""


class CheckpointSaverListener:
    """Base of listeners to checkpoints: override what you need."""

    def begin(self) -> None:
        """Is called once, before anything else."""

    def before_save(self, session: Session, global_step_value: int) -> None:
        """Is called before each save."""

    def after_save(self, session: Session, global_step_value: int) -> bool | None:
        """Is called after each save; a true answer ends training after the step."""
        return None

    def end(self, session: Session, global_step_value: int) -> None:
        """Is called after the last save, unless there was an error."""


def fetched(fetches: Any, values: Values, feed_dict: Any = None) -> Any:
    """Return the values of names, in the structure they are given in."""
    if feed_dict:
        raise ArgumentError(f"feed_dict must be None, got {feed_dict!r}: there is no graph to feed; give rows as input")
    if isinstance(fetches, str):
        return _value(fetches, values)
    if isinstance(fetches, Mapping):
        return {key: fetched(item, values) for key, item in fetches.items()}
    if isinstance(fetches, tuple) and hasattr(fetches, "_fields"):
        return type(fetches)(*(fetched(item, values) for item in fetches))
    if isinstance(fetches, list | tuple):
        return type(fetches)(fetched(item, values) for item in fetches)
    name = getattr(fetches, "name", None)
    if isinstance(name, str):
        return _value(name, values)
    raise ArgumentTypeError(
        f"fetches must be names, or lists, tuples or dicts of names, got {fetches!r} of type "
        f"{type(fetches).__name__}; known names: {', '.join(sorted(values))}"
    )


def _value(name: str, values: Values) -> Any:
    plain = name.removesuffix(":0")
    if plain.startswith("global_step/"):  # how TensorFlow's own hooks read it
        plain = "global_step"
    found = values.get(plain)
    if found is None:
        raise ArgumentError(
            f"there is nothing to fetch under the name {name!r}: no graph computes it; known names: "
            f"{', '.join(sorted(values))}"
        )
    return np.float64(found) if isinstance(found, float) else found
