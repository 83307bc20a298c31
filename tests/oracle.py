"""K-means in exact arithmetic: what every kernel must agree with, bit for bit. Slow, plain, and easy to check."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def on_grid(*arrays):
    """Return arrays as Python integers, and the exponent of the power of two that is their common unit."""
    wide = [np.asarray(array, dtype=np.float64) for array in arrays]
    lowest = min((math.frexp(v)[1] - 53 for array in wide for v in array.ravel().tolist() if v), default=0)
    unit = Fraction(2) ** max(lowest, -1074)
    to_integer = np.frompyfunc(lambda v: int(Fraction(v) / unit), 1, 1)
    return [to_integer(array) for array in wide], max(lowest, -1074)


def squared_distances(rows, centers):
    """Return sum_j (x_j - c_j)^2 for every row and center as integers (n, k), and the exponent of their unit."""
    (rows, centers), exponent = on_grid(rows, centers)
    return [[((row - center) ** 2).sum() for center in centers] for row in rows], 2 * exponent


def labels(rows, centers):
    """Return the index of the nearest center of each row, ties to the lowest index."""
    distances, _ = squared_distances(rows, centers)
    return np.array([row.index(min(row)) for row in distances], dtype=np.int32)


def rounded(integer, exponent=0):
    """Return integer * 2^exponent as the nearest float64, ties to even."""
    value = integer * Fraction(2) ** exponent
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf


def cost(rows, centers, own):
    """Return the sum of squared distances of rows to their own centers, rounded once."""
    (rows, centers), exponent = on_grid(rows, centers)
    keep = np.asarray(own) >= 0
    return rounded(int(((rows[keep] - centers[np.asarray(own)[keep]]) ** 2).sum()), 2 * exponent)


def sums(rows, own, k):
    """Return the sums (k, d) of the rows of each cluster, each rounded once; a label of -1 is left out."""
    rows = np.asarray(rows, dtype=np.float64)
    groups = [rows[np.asarray(own) == c].T.tolist() for c in range(k)]
    return np.array([[math.fsum(column) for column in group] for group in groups])


def sum_lanes(v):
    """Add eight lanes in the order that is pinned for everything reported."""
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))


def _normalized_row(row):
    wide = row.astype(np.float64)
    if not wide.any():
        return np.zeros_like(row)
    scale = 1.0
    if row.dtype == np.float64:  # the power of two that brings the largest value into [1, 2)
        scale = 2.0 ** min(1000, 1 - math.frexp(float(np.abs(row).max()))[1])
    wide = wide * scale
    lanes = np.zeros(8)
    for begin in range(0, len(wide), 8):
        part = wide[begin : begin + 8]
        lanes[: len(part)] += part * part
    return (wide / math.sqrt(sum_lanes(lanes.tolist()))).astype(row.dtype)


def normalized(rows):
    """Return rows over their Euclidean length: float64 in eight lanes, then rounded to the rows' own type."""
    return np.array([_normalized_row(row) for row in rows], dtype=rows.dtype).reshape(rows.shape)


def full_batch(centers, own_sums, counts):
    """Return fl(S / n) for every cluster with rows; others keep their center."""
    counts = np.asarray(counts)[:, None]
    means = own_sums / np.maximum(counts, 1)
    return np.where(counts > 0, means, centers.astype(np.float64)).astype(centers.dtype)


def mini_batch(centers, own_sums, counts, before):
    """Return fl(c + (S - m c) / (n + m)) for every cluster with rows, multiply and add rounded separately."""
    wide = centers.astype(np.float64)
    m = np.asarray(counts)[:, None].astype(np.float64)
    total = (np.asarray(before) + np.asarray(counts))[:, None].astype(np.float64)
    moved = wide + (own_sums - m * wide) / np.maximum(total, 1)
    return np.where(m > 0, moved, wide).astype(centers.dtype)
