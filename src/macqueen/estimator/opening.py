"""An input is opened for one call, and closed when the call ends, however it ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from macqueen import extras
from macqueen.config import RunConfig
from macqueen.feature_columns import InputLayer
from macqueen.inputs.source import as_source, call, is_function


@dataclass(frozen=True)
class GraphInput:
    """An input function to be called in a graph of TensorFlow; made by `macqueen.tf_estimator.graph_input`."""

    input_fn: Callable[..., Any]


def opened(
    input_fn: Any,
    mode: str,
    config: Callable[[], RunConfig],
    params: dict[str, Any],
    batch_size: int,
    encoder: InputLayer | None,
) -> AbstractContextManager[Any]:
    """Return what holds the source of an input: what `as_source` makes of it, TensorFlow's objects included.

    Parameters
    ----------
    input_fn
        The input, or a function that returns it, which is called here.
    mode, params, batch_size, encoder
        As for `as_source`.
    config
        Makes a copy of the configuration, which only functions are given.
    """
    plain = not isinstance(input_fn, GraphInput) and not extras.loaded("tensorflow") and not is_function(input_fn)
    read = partial(as_source, mode=mode, batch_size=batch_size, encoder=encoder)
    return nullcontext(read(input_fn)) if plain else _called(input_fn, read, mode, config, params, encoder is not None)


@contextmanager
def _called(
    input_fn: Any,
    read: Callable[[Any], Any],
    mode: str,
    config: Callable[[], RunConfig],
    params: dict[str, Any],
    named_columns: bool,
) -> Iterator[Any]:
    """Yield the source of a function, or of what may be TensorFlow's; `read` makes it."""
    in_graph = isinstance(input_fn, GraphInput)
    given = input_fn.input_fn if in_graph else input_fn
    function = is_function(given)
    settings = config() if function else None

    def make() -> Any:
        return call(given, mode=mode, config=settings, params=params) if function else given

    first = None if extras.loaded("tensorflow") else _outcome(make)
    if first is not None and not extras.loaded("tensorflow"):
        yield read(first())
        return
    if first is not None and not in_graph:  # it was the first to import TensorFlow; not called again without need
        make = _then(first, make)
    from macqueen.tf_estimator.graph_input import readable  # noqa: PLC0415 -- only such programs need it

    reading = readable(
        make,
        called=function,
        in_graph=in_graph,
        graph_seed=None if settings is None else settings.tf_random_seed,
        mode=mode,
        named_columns=named_columns,
    )
    with reading as data:
        yield read(data)


def _outcome(make: Callable[[], Any]) -> Callable[[], Any]:
    """Call a function, and return one that returns or raises what it did."""
    try:
        data = make()
    except Exception as raised:  # noqa: BLE001 -- what is returned raises it
        error = raised

        def again() -> Any:
            raise error

        return again
    return lambda: data


def _then(first: Callable[[], Any], others: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that calls `first` the first time and `others` after that."""
    calls = itertools.chain([first], itertools.repeat(others))

    def call_next() -> Any:
        return next(calls)()

    return call_next
