"""Rows and centers that are hard on k-means, made from a kind, a seed and a shape; Hypothesis strategies over them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

DTYPES = (np.float32, np.float64)
EDGES = (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65)  # sizes around register tiles and panels
KINDS = {}


def kind(function):
    """Register f(rng, n, k, d, dtype) -> (rows, centers), both to be rounded to dtype."""
    KINDS[function.__name__] = function
    return function


def case(name, seed, n, k, d, dtype):
    """Return rows (n, d) and centers (k, d) of a kind."""
    rows, centers = KINDS[name](np.random.default_rng(seed), n, k, d, np.dtype(dtype))
    return np.ascontiguousarray(rows, dtype=dtype), np.ascontiguousarray(centers, dtype=dtype)


@kind
def normal(rng, n, k, d, dtype):
    return rng.standard_normal((n, d)), rng.standard_normal((k, d))


@kind
def clustered(rng, n, k, d, dtype):
    centers = 100 * rng.standard_normal((k, d))
    return centers[rng.integers(k, size=n)] + 1e-3 * rng.standard_normal((n, d)), centers


@kind
def repeated_rows(rng, n, k, d, dtype):
    few = rng.standard_normal((3, d))
    return few[rng.integers(3, size=n)], np.concatenate([few, rng.standard_normal((k, d))])[:k]


@kind
def ties(rng, n, k, d, dtype):
    """Rows of one repeated value are equally far from every permutation of a center."""
    center = rng.standard_normal(d).astype(dtype)
    rows = np.repeat(rng.standard_normal((n, 1)), d, axis=1)
    return rows, np.array([rng.permutation(center) for _ in range(k)])


@kind
def integer_grid(rng, n, k, d, dtype):
    return rng.integers(-2, 3, (n, d)), rng.integers(-2, 3, (k, d))


@kind
def repeated_centers(rng, n, k, d, dtype):
    few = rng.standard_normal((2, d))
    return rng.standard_normal((n, d)), few[rng.integers(2, size=k)]


@kind
def offset_1e4(rng, n, k, d, dtype):
    return 1e4 + rng.standard_normal((n, d)), 1e4 + rng.standard_normal((k, d))


@kind
def offset_1e6(rng, n, k, d, dtype):
    return 1e6 + rng.standard_normal((n, d)), 1e6 + rng.standard_normal((k, d))


@kind
def far_clouds(rng, n, k, d, dtype):
    """Two clouds at -1e6 and 1e6: no origin is near both."""
    rows = rng.choice([-1e6, 1e6], (n, 1)) + rng.standard_normal((n, d))
    return rows, rng.choice([-1e6, 1e6], (k, 1)) + rng.standard_normal((k, d))


@kind
def outlier(rng, n, k, d, dtype):
    rows = 1e-10 * rng.standard_normal((n, d))
    rows[rng.integers(n)] = 1e30
    return rows, 1e-10 * rng.standard_normal((k, d))


@kind
def outlying_center(rng, n, k, d, dtype):
    rows, centers = outlier(rng, n, k, d, dtype)
    centers[rng.integers(k)] = -1e30
    return rows, centers


@kind
def denormals(rng, n, k, d, dtype):
    smallest = float(np.finfo(dtype).smallest_subnormal)
    return smallest * rng.integers(-9, 10, (n, d)), smallest * rng.integers(-9, 10, (k, d))


@kind
def wide_exponents(rng, n, k, d, dtype):
    reach = 38 if dtype == np.float32 else 149
    sizes = [10.0 ** rng.uniform(-reach, reach, (m, d)) for m in (n, k)]
    return [size * rng.choice([-1, 1], size.shape) for size in sizes]


@kind
def extremes(rng, n, k, d, dtype):
    """The largest values that are allowed."""
    most = 3.4e38 if dtype == np.float32 else 1e150
    return most * rng.choice([-1, 0, 1], (n, d)), most * rng.choice([-1, -1, -1, 0.5, 1], (k, d))


@kind
def huge(rng, n, k, d, dtype):
    return 1e30 * rng.standard_normal((n, d)), 1e30 * rng.standard_normal((k, d))


@kind
def constant_column(rng, n, k, d, dtype):
    """One column says nothing."""
    says = np.arange(d) != rng.integers(d)
    return np.where(says, rng.standard_normal((n, d)), 3.0), np.where(says, rng.standard_normal((k, d)), 3.0)


@kind
def bytes_of_images(rng, n, k, d, dtype):
    """Integers from 0 to 255 that lie close together: true ties."""
    return [np.clip(128 + rng.integers(-3, 4, (m, d)), 0, 255).astype(np.uint8) for m in (n, k)]


@kind
def near_ties(rng, n, k, d, dtype):
    """Centers reflected through a row, one coordinate of every other one off by the smallest step."""
    row = rng.integers(-512, 512, d) / 256
    step = rng.integers(-512, 512, d) / 256
    centers = np.array([row + rng.choice([-1, 1], d) * step for _ in range(k)], dtype=dtype)
    for center in centers[rng.integers(2) :: 2]:
        j = rng.integers(d)
        center[j] = np.nextafter(center[j], dtype.type(rng.choice([-9, 9])))
    rows = np.tile(row, (n, 1)).astype(dtype)
    for i in range(n // 2, n):
        j = rng.integers(d)
        rows[i, j] = np.nextafter(rows[i, j], dtype.type(9))
    return rows, centers


@kind
def one_hot(rng, n, k, d, dtype):
    """Sparse rows, many of them zero, and centers on the same axes."""
    return [(rng.random((m, d)) < 1.5 / (d + 1)) * rng.choice([1, 2], (m, d)) for m in (n, k)]


def rows_for(k, d, most=24_000, cap=200):
    """Return how many rows exact arithmetic can afford."""
    return max(3, min(cap, most // (k * d)))


@st.composite
def cases(draw, kinds=tuple(KINDS), dtypes=DTYPES):
    """Draw rows and centers of any kind."""
    d = draw(st.one_of(st.integers(1, 130), st.sampled_from(EDGES)))
    k = draw(st.sampled_from((*EDGES, 1030) if d <= 8 else EDGES))
    n = draw(st.integers(1, rows_for(k, d, most=12_000, cap=140)))
    return case(draw(st.sampled_from(kinds)), draw(st.integers(0, 2**32 - 1)), n, k, d, draw(st.sampled_from(dtypes)))


@st.composite
def small_cases(draw, dtypes=DTYPES):
    """Draw a few rows and centers value by value: what fails here shrinks to something readable."""
    dtype = draw(st.sampled_from(dtypes))
    width = 32 if dtype == np.float32 else 64
    most = float(np.float32(3e38)) if width == 32 else 1e150
    value = st.one_of(st.integers(-3, 3).map(float), st.floats(-most, most, width=width))
    n, k, d = (draw(st.integers(1, most)) for most in (5, 4, 3))
    flat = draw(st.lists(value, min_size=(n + k) * d, max_size=(n + k) * d))
    both = np.array(flat, dtype=dtype).reshape(n + k, d)
    return both[:n].copy(), both[n:].copy()
