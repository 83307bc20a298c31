"""Rows that are read once: labelled in other ways than comparing all plainly, where that takes less time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen import _core
from macqueen.engine import forms
from macqueen.engine.forced import forced_path
from macqueen.engine.forms import Form
from macqueen.engine.kernels import Centers, Kernels
from macqueen.engine.seeding import checked
from macqueen.state import FloatArray

PACKED_ROWS, PACKED_WORK = 256, 6000  # in 16-bit integers side by side: so many rows, and at most so much work,
CELL_DIMS, CELL_CLUSTERS = 6, 32  # but where centers lie in cells of space (cpp/center_cells.hpp)
MOST_OPEN = 0.3  # of the rows, that these integers leave
MUCH_WORK = 4e9  # multiplications of comparing all: settling whether to sketch takes less, 7 to 40 ms, once
SAMPLE_ROWS = 256
WORTH = 0.55  # of the cycles of comparing all in float32: about what 16-bit integers take,
LEAST_WORTH = 0.65  # and where rows that were sketched turn out to take more they are not any longer
ROWS_FOR_CENTERS = 4  # centers are sketched for each batch, too: no more of them than so many to a row
PART_BYTES, BLOCK = 1 << 23, 256  # that are taken at a time, for rows in whole blocks
PACKED_BYTES = 32  # of a row: parts of some 250,000


class Labelling:
    """How the rows of a reading, or of the passes of one training, are labelled: learnt from those that were.

    Few clusters: all rows are compared with all centers in 16-bit integers, 16 rows side by side. Many: once many rows
    have been seen, they are sketched, with leading axes where these rule most centers out. The labels are the same.
    Several threads may ask; they need not agree.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._packs = self._sketches = True  # it may pay
        self._work = 0.0  # asked for so far
        self._form: Form | None = None
        self._places: tuple[Centers, NDArray[np.int32]] | None = None  # of the centers that were asked for last

    def labels(self, rows: FloatArray, centers: Centers, name: Callable[[int], str]) -> NDArray[np.int32] | None:
        """Return the labels (n,) of rows (n, d), or None: they are left to others. An unfit row is an error."""
        forced = forced_path()
        if self._can_pack(rows, centers, forced):
            return checked(lambda: self._packed(rows, centers), rows, self._kernels, name)
        if self._can_sketch(rows, centers, forced):
            return checked(lambda: self._sketched(rows, centers, forced), rows, self._kernels, name)
        return None

    # --- few clusters -----------------------------------------------------------------------------------

    def _can_pack(self, rows: FloatArray, centers: Centers, forced: str) -> bool:
        if forced or not self._packs:
            return forced == "packed" and len(rows) > 0
        if len(rows) < PACKED_ROWS or centers.k == 1 or (centers.d <= CELL_DIMS and centers.k >= CELL_CLUSTERS):
            return False
        return packed_work(centers.k, centers.d) <= PACKED_WORK

    def _packed(self, rows: FloatArray, centers: Centers) -> NDArray[np.int32]:
        make: Any = _core.Packed32 if rows.dtype == np.float32 else _core.Packed64
        labels, hard = np.empty(len(rows), np.int32), 0.0
        for part in _parts(len(rows), PACKED_BYTES):
            hard += make(rows[part], 0).label(self._kernels.threads, centers, labels[part]).hard
        self._packs = hard <= MOST_OPEN * len(rows)
        return labels

    # --- many clusters ----------------------------------------------------------------------------------

    def _can_sketch(self, rows: FloatArray, centers: Centers, forced: str) -> bool:
        if not self._sketches or ROWS_FOR_CENTERS * len(rows) < centers.k or forced not in ("", "bounds"):
            return False
        return self._form is not None or self._settle(rows, centers, forced)

    def _settle(self, rows: FloatArray, centers: Centers, forced: str) -> bool:
        """Choose a form for rows like these, if enough have been seen and it pays."""
        self._work += float(len(rows)) * centers.d * centers.k
        if not forced and self._work < MUCH_WORK:
            return False
        sample = np.ascontiguousarray(rows[:: 1 + len(rows) // forms.AXES_ROWS])
        self._sketches = self._kernels.int8 and centers.d >= forms.INT8_DIMS and forms.can_sketch(sample)
        if self._sketches:
            some = np.ascontiguousarray(sample[:: 1 + len(sample) // SAMPLE_ROWS])
            tails = [form for form in forms.forms_for(sample, self._kernels.isa, True) if form.tails]
            tried = forms.trials(tails, some, centers, self._places_of(centers), self._kernels)
            best = min(tried, key=lambda looks: looks.cycles)
            self._form = best.form
            self._sketches = self._pays(best.cycles, WORTH, centers) or bool(forced)
        return self._sketches

    def _sketched(self, rows: FloatArray, centers: Centers, forced: str) -> NDArray[np.int32]:
        assert self._form is not None
        labels, cycles, places = np.empty(len(rows), np.int32), 0.0, self._places_of(centers)
        for part in _parts(len(rows), self._form.record):
            looks = forms.label(rows[part], self._form, centers, places, self._kernels, labels[part])
            cycles += looks.cycles * len(labels[part])
        self._sketches = self._pays(cycles / len(rows), LEAST_WORTH, centers) or bool(forced)
        return labels

    def _pays(self, cycles: float, worth: float, centers: Centers) -> bool:
        """Tell whether a row takes few cycles beside comparing it with all centers."""
        return cycles <= worth * forms.plain_cycles(centers.k, centers.d, self._kernels.width)

    def _places_of(self, centers: Centers) -> NDArray[np.int32]:
        """Return the order (k,) of centers that puts those near each other into one group."""
        kept = self._places
        if kept is None or kept[0] is not centers:
            kept = self._places = centers, centers.places(self._kernels.threads)
        return kept[1]


def packed_work(clusters: int, dims: int) -> int:
    """Return what comparing a row with all centers in 16-bit integers takes, in pairs of columns."""
    return clusters * ((dims + 1) // 2 + 4)


def _parts(rows: int, each: int) -> Iterator[slice]:
    """Cut rows that take so many bytes each."""
    step = max(1, PART_BYTES // each // BLOCK) * BLOCK
    for first in range(0, rows, step):
        yield slice(first, first + step)
