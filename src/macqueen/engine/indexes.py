"""Data sets in memory made ready for many steps: what a step need not look at again, it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import numpy as np

from macqueen import _core
from macqueen.engine import seeding
from macqueen.engine.forms import GROUP, Form, sketched
from macqueen.engine.kernels import Kernels, check_rows
from macqueen.engine.labelling import packed_work
from macqueen.engine.prepared import Finished, Prepared
from macqueen.state import FloatArray

RowName = Callable[[int], str]

PART_WORK = 1e10  # multiplications in one native call


# What adding all rows has shown: whether the index is worth using again; and the sums, where the same call rounds them.
Added: TypeAlias = tuple[bool, Finished | None]


def held(clusters: int, dims: int, threads: int, once: int) -> int:
    """Return the bytes of what is held for each column of each center: `once`, and a sum in each thread."""
    return clusters * dims * (once + 8 * threads)


def listed(clusters: int, threads: int) -> int:
    """Return the bytes of what `Bounds` hold for each center, and each thread for a block of rows."""
    return 250 * clusters + threads * (90 * clusters + (1 << 16))


class Boxes:
    """Rows of few dimensions in boxes: a step compares them with the centers near their box, not with all."""

    WORTH: ClassVar[float] = 0.6  # a step that compared a row with more than this part of the centers was not

    def __init__(self, rows: FloatArray, kernels: Kernels, name: RowName) -> None:
        make = _core.Boxes32 if rows.dtype == np.float32 else _core.Boxes64
        self._native: Any = seeding.checked(lambda: make(kernels.isa, kernels.threads, rows), rows, kernels, name)
        self.rows = len(rows)

    def add_to(self, totals: _core.Totals, prepared: Prepared) -> Added:
        """Label all rows and add them to `totals`."""
        looked_at = self._native.accumulate(prepared.kernels.threads, prepared.native, totals)
        return looked_at <= self.WORTH * prepared.shape[0], None

    @staticmethod
    def memory(rows: int, dims: int, clusters: int, itemsize: int, threads: int) -> int:
        """Return the bytes that boxes take beside the rows."""
        boxes = rows // 64 + 1
        folded = dims * itemsize + 4  # where rows repeat
        each = 64 * (max(dims * itemsize, 8) + max(2 * itemsize, 8) + 8 + folded) + 256 + 3 * dims * itemsize
        return boxes * each + held(clusters, dims, threads, 48)


class Sorted:
    """Rows of one dimension in order: the rows of a center are a range, whose sum is known without reading it."""

    def __init__(self, rows: FloatArray, kernels: Kernels, name: RowName) -> None:
        make = _core.Sorted32 if rows.dtype == np.float32 else _core.Sorted64
        self._native: Any = seeding.checked(lambda: make(kernels.isa, kernels.threads, rows), rows, kernels, name)
        self.rows = len(rows)

    def add_to(self, totals: _core.Totals, prepared: Prepared) -> Added:
        """Add all rows to `totals`; it is always worth it."""
        self._native.accumulate(prepared.kernels.threads, prepared.native, totals)
        return True, None

    @staticmethod
    def memory(rows: int, clusters: int, itemsize: int) -> int:
        """Return the bytes that sorted rows take beside the rows, at most (while they are sorted)."""
        return 2 * rows * itemsize + 1000 * clusters


class Bounds:
    """Rows with a sketch each, and lower bounds of their distances to groups of centers that outlive a step."""

    WORTH: ClassVar[float] = 0.25  # a step that compared more of the rows than this with all centers was not,
    LEFT: ClassVar[float] = 0.1  # nor a later one that had to decide among more than this part of the centers a row

    def __init__(self, rows: FloatArray, form: Form, kernels: Kernels, name: RowName) -> None:
        self._native = seeding.checked(lambda: sketched(rows, form, kernels), rows, kernels, name)
        self.rows = len(rows)

    def add_to(self, totals: _core.Totals, prepared: Prepared) -> Added:
        """Label all rows and add them to `totals`."""
        _, done, finished = step(self._native, prepared, totals, self.rows)
        begins = done.moved == self.rows
        few = begins or done.candidates <= self.rows * max(8, self.LEFT * prepared.shape[0])
        return few and done.hard <= self.WORTH * self.rows, finished

    @staticmethod
    def memory(rows: int, dims: int, clusters: int, form: Form, threads: int) -> int:
        """Return the bytes that bounds take beside the rows."""
        spans = -(-clusters // (GROUP * form.share))
        each = rows * (form.record + 20 + 2 * spans)
        return each + held(clusters, dims, threads, 24) + listed(clusters, threads)


class _FewClusters:
    """Rows whose steps look at all centers, in one way or another."""

    NATIVE: ClassVar[tuple[Any, Any]]  # of float32 rows and of float64 rows
    WORTH: ClassVar[float] = 0.3  # a step that had to compare more of the rows than this plainly was not; in the
    BEGINS: ClassVar[float] = 0.9  # first one, rows of categories are as near to several centers, which are rows

    def __init__(self, rows: FloatArray, name: RowName, *options: int) -> None:
        self._native = self.NATIVE[rows.itemsize == 8](rows, *options)
        self._rows = rows
        self._name = name
        self.rows = len(rows)

    def add_to(self, totals: _core.Totals, prepared: Prepared) -> Added:
        """Label all rows and add them to `totals`."""
        refused, done, finished = step(self._native, prepared, totals, self.rows)
        check_rows(refused, self._rows, self._name)
        return self._worth(done), finished

    def _worth(self, done: Any) -> bool:
        most = max(self.WORTH, self.BEGINS) if done.moved == self.rows else self.WORTH
        return done.hard <= most * self.rows  # type: ignore[no-any-return]


class Pairs(_FewClusters):
    """Rows with a bound of the distance to each of few centers that outlives a step."""

    NATIVE = _core.Pairs32, _core.Pairs64

    @staticmethod
    def memory(rows: int, dims: int, clusters: int, threads: int) -> int:
        """Return the bytes that bounds of pairs take beside the rows, and a copy of these in 8-bit integers."""
        copy = dims + 8 if clusters <= 32 < dims <= 1 << 15 else 0  # as `fits` in cpp/byte_rows.cpp
        return rows * (clusters + 12 + copy) + held(clusters, dims, threads, 26)


class Packed(_FewClusters):
    """Rows in 16-bit integers, compared with all centers or, where they lie sorted by these, with those nearby."""

    NATIVE = _core.Packed32, _core.Packed64
    CALM: ClassVar[float] = 0.005  # of the rows that move, at most: bounds rule more out than it takes to read all rows

    def __init__(self, rows: FloatArray, name: RowName, copied: int) -> None:
        """Keep a copy of the first `copied` rows; that of others is made anew in each step."""
        super().__init__(rows, name, copied)
        self._whole = copied >= len(rows)

    def _worth(self, done: Any) -> bool:
        return super()._worth(done) and (self._whole or not 0 < done.moved <= self.CALM * self.rows)

    @staticmethod
    def memory(rows: int, dims: int, clusters: int, copied: int, itemsize: int, threads: int) -> int:
        """Return the bytes that a copy of rows takes beside them, with what is kept once they are sorted."""
        if copied < rows:
            return rows * 4 + copied * Packed.copy(dims) + held(clusters, dims, threads, 24)
        lying = (rows + 63) // 64 * 64
        if Packed.can_sort(rows, dims, clusters, itemsize):
            padded = (clusters + 15) // 16 * 16
            kept = held(clusters, dims, threads, 40) + clusters * padded * 12
            return lying * (16 * (Packed.copy(dims) + 7) + padded) // 16 + kept
        return lying * (Packed.copy(dims) + 4) + held(clusters, dims, threads, 24)

    @staticmethod
    def can_sort(rows: int, dims: int, clusters: int, itemsize: int) -> bool:
        """Tell whether rows may be sorted by their centers; as `can_group` in cpp/packed_grouping.cpp."""
        kept = 16 * (Packed.copy(dims) + 7) + (clusters + 15) // 16 * 16  # bytes of 16 rows
        worth = packed_work(clusters, dims) >= 416 and clusters <= 512 and rows >= 128 * clusters
        return worth and kept <= (16 * (dims + 48) + 3 * clusters) * itemsize // 4

    @staticmethod
    def sorting(rows: int, dims: int) -> int:
        """Return the bytes that a thread takes while it sorts some of the rows."""
        return min(rows, 1 << 15) * (Packed.copy(dims) + 18)

    @staticmethod
    def copy(dims: int) -> int:
        """Return the bytes of the copy of a row."""
        return (dims + 1) // 2 * 4 + 8


Index: TypeAlias = Boxes | Bounds | Packed | Pairs | Sorted


def step(native: Any, prepared: Prepared, totals: _core.Totals, rows: int) -> Any:
    """Make one step over so many rows in parts, between which Ctrl-C is noticed, and return what its last part does.

    That is the row it refused (-1: none), what the step did, and what `_core.finish` would return.
    """
    threads, centers = prepared.kernels.threads, prepared.native
    clusters, dims = prepared.shape
    blocks = native.blocks
    part = max(1, int(blocks * PART_WORK / (rows * clusters * dims)))
    for begin in range(0, blocks, part):
        found = native.step(threads, centers, totals, begin, min(begin + part, blocks))
        if found[0] >= 0:
            break
    return found
