"""Small inputs, and what reads them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from macqueen.inputs.source import as_source

X = np.arange(24.0).reshape(8, 3)
X32 = X.astype(np.float32)
BATCHES = [X[:3], X[3:4], X[4:]]


def source(data: Any, **options: Any) -> Any:
    return as_source(data, mode="train", **options)


def rows_of(data: Any, most_rows: int = 3) -> np.ndarray:
    return np.concatenate(list(source(data).blocks(most_rows)))


def read(stream: Any) -> list[np.ndarray]:
    return list(stream.batches())


class Fresh:
    """Can be iterated over again and again; counts how often it was."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.passes = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        return iter(self.items)


class Array:
    """Not an array, but says it can be one."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


def whole_pass(found: Any, size: int, *, seed: int = 5, pass_number: int = 0, start: int = 0) -> list[np.ndarray]:
    return list(found.batches(size, seed=seed, pass_number=pass_number, start=start))


def as_pairs(batches: list[np.ndarray]) -> list[Any]:
    return [(batch, np.zeros(len(batch))) for batch in batches]


def as_dicts(batches: list[np.ndarray]) -> list[Any]:
    return [{"b": batch[:, 1:], "a": batch[:, 0]} for batch in batches]
