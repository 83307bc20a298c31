"""Rows cut from the colour photos that ship inside scikit-image and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Left out: the retina, a third of which is black (equal rows flatter whoever prunes), and the twin of the motorcycle.
PHOTOS = {
    "skimage.data": (
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
        "rocket.jpg",
    ),
    "sklearn.datasets": ("images/china.jpg", "images/flower.jpg"),
}


def photos() -> list[NDArray[np.uint8]]:
    """All photos, (height, width, 3) each."""
    from importlib import import_module

    from PIL import Image

    folders = {package: Path(next(iter(import_module(package).__path__))) for package in PHOTOS}
    paths = [folders[package] / name for package, names in PHOTOS.items() for name in names]
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def patches(size: int, stride: int, count: int) -> NDArray[np.uint8]:
    """`count` squares of size x size pixels, drawn from all that begin on the stride, in random order."""
    dims = size * size * 3
    windows = [np.lib.stride_tricks.sliding_window_view(photo, (size, size, 3)) for photo in photos()]
    rows = np.concatenate([window[::stride, ::stride].reshape(-1, dims) for window in windows])
    if len(rows) < count:
        raise ValueError(f"the photos hold {len(rows)} patches, {count} are needed; make the stride smaller")
    return rows[np.random.default_rng(7).permutation(len(rows))[:count]]


def reduced(rows: NDArray[np.uint8], dims: int) -> NDArray[np.float32]:
    """Project rows onto their first principal axes, found on the first 20 000 (rows come in random order)."""
    sample = rows[:20_000].astype(np.float64)
    middle = sample.mean(axis=0)
    axes = np.linalg.eigh(np.cov(sample, rowvar=False))[1][:, : -dims - 1 : -1]
    return (rows.astype(np.float32) - middle.astype(np.float32)) @ axes.astype(np.float32)
