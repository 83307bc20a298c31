"""Reading an input with a trained model: labels, distances and cost. No step is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from macqueen.engine import Engine, Prepared
from macqueen.errors import ArgumentError, ArgumentTypeError, EmptyInputError
from macqueen.state import BatchStats, FloatArray, State
from macqueen.workers.local import block_rows, naming

Item = TypeVar("Item")


class Watcher(Protocol):
    """Who looks on, batch by batch."""

    def batches(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the batches that are to be read."""

    def after(self, state: State, stats: BatchStats, found: Mapping[str, Any]) -> str | None:
        """Hear what a batch has shown; return a reason to read no further, or None."""


KEYS = ("all_distances", "cluster_index")


def known_keys(keys: str | Sequence[str] | None) -> list[str]:
    """Return the keys to predict, in order; unknown ones are refused."""
    if keys is None:
        return list(KEYS)
    wanted = [keys] if isinstance(keys, str) else list(keys)
    for key in wanted:
        if not isinstance(key, str):
            raise ArgumentTypeError(f"predict_keys must be names; got {key!r}")
        if key not in KEYS:
            raise ArgumentError(f"predict_keys: unknown key {key!r}; known are {', '.join(KEYS)}")
    return [key for key in KEYS if key in wanted] or list(KEYS)


def evaluate(source: Any, state: State, engine: Engine, steps: int | None, watch: Watcher) -> dict[str, Any]:
    """Return the metrics of `KMeans.evaluate`."""
    prepared = _prepare(source, state, engine)
    whole = engine.begin(prepared)
    costs: list[float] = []
    rows = 0
    for batch in watch.batches(_batches(source, prepared)):
        step = engine.begin(prepared)
        for piece, name in batch:
            step.add(piece, name)
        costs.append(step.finish().cost)
        whole.totals.merge(step.totals)
        rows += step.rows
        loss = math.fsum(costs) / len(costs)
        stats = BatchStats(step.rows, step.totals.counts(), costs[-1])
        if watch.after(state, stats, {"score": loss, "loss": loss}) or len(costs) == steps:
            break
    if rows == 0:
        raise EmptyInputError("evaluate: the input has no rows; pass at least one")
    total = whole.finish().cost
    return {
        "loss": np.float64(loss),
        "score": np.float64(loss),
        "average_loss": np.float64(total / rows),
        "sum_of_squared_distances": np.float64(total),
        "num_examples": rows,
        "global_step": np.int64(state.step),
    }


def predictions(
    source: Any, state: State, engine: Engine, keys: Sequence[str], watch: Watcher
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield a dict a batch: ``all_distances`` (n, k), ``cluster_index`` (n,) int64."""
    prepared = _prepare(source, state, engine)
    batches = source.batches() if source.is_stream else source.in_order(source.batch_size)
    for number, batch in enumerate(watch.batches(batches)):
        name = naming(f"batch {number}, ", 0)
        found: dict[str, NDArray[Any]] = {}
        counts = None
        if "all_distances" in keys:
            found["all_distances"] = prepared.distances(batch, name)
        if "cluster_index" in keys:
            found["cluster_index"] = prepared.labels(batch, name).astype(np.int64)
            counts = np.bincount(found["cluster_index"], minlength=len(state.centers))
        stop = watch.after(state, BatchStats(len(batch), counts, None), found)
        yield found
        if stop:
            return


def labels(source: Any, state: State, engine: Engine) -> NDArray[np.int64]:
    """Return the labels (n,) int64 of all rows."""
    prepared = _prepare(source, state, engine)
    found = [prepared.labels(piece, name) for piece, name in _all_pieces(source, prepared)]
    return np.concatenate(found, dtype=np.int64) if found else np.empty(0, dtype=np.int64)


def nearest(source: Any, state: State, engine: Engine, count: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return indices (n, count) int64 and distances (n, count) of the nearest centers of all rows."""
    prepared = _prepare(source, state, engine)
    found = [prepared.nearest(piece, name, count) for piece, name in _all_pieces(source, prepared)]
    if not found:
        return np.empty((0, count), dtype=np.int64), np.empty((0, count), dtype=prepared.dtype)
    indices, distances = zip(*found, strict=True)
    return np.concatenate(indices, dtype=np.int64), np.concatenate(distances)


def check_count(count: object, clusters: int) -> int:
    """Return how many nearest centers are asked for, an integer from 1 to the number of clusters."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise ArgumentTypeError(f"m must be an integer, got {count!r} of type {type(count).__name__}; pass one")
    if not 1 <= count <= clusters:
        raise ArgumentError(f"m must be from 1 to the number of clusters, {clusters}; got {count}. Ask for as many")
    return int(count)


def _prepare(source: Any, state: State, engine: Engine) -> Prepared:
    """Ready the centers in the wider dtype of model and rows: neither loses a bit."""
    return engine.prepare(state.centers, np.promote_types(source.dtype, state.centers.dtype))


def _size(prepared: Prepared) -> int:
    return block_rows(prepared.shape[1], prepared.shape[0], prepared.dtype.itemsize)


def _blocks(source: Any, prepared: Prepared) -> Iterator[NDArray[Any]]:
    return source.blocks(_size(prepared))  # type: ignore[no-any-return]


def _batches(source: Any, prepared: Prepared) -> Iterator[Iterator[tuple[NDArray[Any], Callable[[int], str]]]]:
    """Yield the batches of an input, each in pieces; a data set is one batch."""
    if source.is_stream:
        for number, batch in enumerate(source.batches()):
            yield _pieces(batch, prepared, f"batch {number}, ")
    else:
        yield _named(_blocks(source, prepared))


def _all_pieces(source: Any, prepared: Prepared) -> Iterator[tuple[NDArray[Any], Callable[[int], str]]]:
    """Yield all rows in what one kernel call takes, named by their number from the first row on."""
    first = 0
    for block in source.batches() if source.is_stream else _blocks(source, prepared):
        yield from _pieces(block, prepared, "", first)
        first += len(block)


def _named(blocks: Iterator[NDArray[Any]]) -> Iterator[tuple[NDArray[Any], Callable[[int], str]]]:
    first = 0
    for block in blocks:
        yield block, naming("", first)
        first += len(block)


def _pieces(
    batch: NDArray[Any], prepared: Prepared, prefix: str, first: int = 0
) -> Iterator[tuple[NDArray[Any], Callable[[int], str]]]:
    """Cut a batch into what one kernel call takes, each piece with the name of its rows."""
    size = _size(prepared)
    for begin in range(0, len(batch), size):
        yield batch[begin : begin + size], naming(prefix, first + begin)
