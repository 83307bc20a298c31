"""Emptied clusters of a full batch are given the rows that lie farthest from their centers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Far = tuple[float, int, int]  # squared distance, row index, label


def farthest(parts: Iterable[tuple[int, NDArray[np.int32], NDArray[np.float64]]], count: int) -> list[Far]:
    """Return the `count` rows farthest from their centers, farthest first, ties by the lowest row index.

    Parameters
    ----------
    parts
        (index of the first row, labels (m,), squared distances (m,)) of consecutive blocks.
    count
        How many rows are wanted at most.
    """
    best: list[Far] = []
    for first, labels, distances in parts:
        order = np.lexsort((np.arange(len(distances)), -distances))[:count]
        best += [(float(distances[i]), first + int(i), int(labels[i])) for i in order]
        best = sorted(best, key=lambda far: (-far[0], far[1]))[:count]
    return best


def relocations(counts: NDArray[np.int64], far: Iterable[Far]) -> Iterator[tuple[int, int, int]]:
    """Yield (row, its cluster, emptied cluster): the emptied clusters in order, each given the next far row.

    A cluster never loses its last row, and a row at its center's place is no remedy: then the center stays.
    """
    counts = counts.copy()
    emptied = iter(np.flatnonzero(counts == 0).tolist())
    target = next(emptied, None)
    for distance, row, label in far:
        if target is None or distance == 0:
            return
        if counts[label] <= 1:
            continue
        counts[label] -= 1
        yield row, label, target
        target = next(emptied, None)
