"""The native kernels as the engine uses them: chosen once per process, errors that name row and column."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.config import MOST_FLOAT64
from macqueen.errors import ArgumentError, DataError
from macqueen.state import FloatArray

Centers: TypeAlias = _core.Centers32 | _core.Centers64


@functools.cache
def threads(count: int) -> _core.Threads:
    """Return the process's pool of `count` threads; its threads start when first needed."""
    return _core.Threads(count)


@functools.cache
def chosen_isa() -> str:
    """Return the instruction set in force: the best, or what MACQUEEN_FORCE_ISA names."""
    wanted = os.environ.get("MACQUEEN_FORCE_ISA", "").strip()
    try:
        return _core.find_isa(wanted)
    except ValueError as error:
        raise ArgumentError(f"MACQUEEN_FORCE_ISA: {error}; name one of these or unset it") from None


_vectors_of = functools.cache(_core.vectors_of)


class Kernels:
    """Kernels of one instruction set on one pool of threads."""

    def __init__(self, thread_count: int, isa: str | None = None) -> None:
        self.threads = threads(thread_count)
        self.count = thread_count
        self.isa = chosen_isa() if isa is None else isa
        self.width, self.int8 = _vectors_of(self.isa)  # float32 values in a register; products of 8-bit integers

    def prepare(self, centers: FloatArray) -> Centers:
        """Ready centers (k, d) for a step."""
        make = _core.Centers32 if centers.dtype.itemsize == 4 else _core.Centers64
        return make(self.isa, centers if centers.flags.c_contiguous else np.ascontiguousarray(centers))

    def normalize(self, rows: FloatArray, name: Callable[[int], str]) -> FloatArray:
        """Divide rows (n, d) by their Euclidean length; zero rows stay zero."""
        out = np.empty_like(rows, order="C")
        check_rows(_core.normalize(self.isa, self.threads, rows, out), rows, name)
        return out


def check_rows(bad: int, rows: NDArray[Any], name: Callable[[int], str]) -> None:
    """Raise for row `bad` of `rows`, as a kernel reported it (-1: none); `name` says which row that is."""
    if bad < 0:
        return
    row = rows[bad]
    unfit = ~np.isfinite(row)
    if rows.dtype == np.float64:
        unfit |= np.abs(row) > MOST_FLOAT64
    column = int(np.argmax(unfit))
    value = row[column]
    rule = "values must be finite" if not np.isfinite(value) else f"float64 values must be within ±{MOST_FLOAT64:g}"
    raise DataError(
        f"{name(bad)}, column {column} is {value}: {rule}; remove or replace such rows. "
        "The model is that of its last checkpoint."
    )
