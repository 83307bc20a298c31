"""Rows that are read once: labelled through sketches with leading axes where these leave few of the centers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen.engine import forms
from macqueen.engine.forced import forced_path
from macqueen.engine.forms import Form
from macqueen.engine.kernels import Centers, Kernels
from macqueen.state import FloatArray

AXES = 8  # as many as are best or nearly so where any are
MUCH_WORK = 4e9  # multiplications of comparing all: settling whether to sketch takes a twentieth of that time
SAMPLE_ROWS = 256
WORTH, LEAST_WORTH = 0.35, 0.6  # part of the cycles of comparing all in float32: 16-bit integers take about half
ROWS_FOR_CENTERS = 4  # centers are sketched for each batch, too: no more of them than so many to a row
PART_BYTES, BLOCK = 1 << 23, 256  # of sketches that are made at a time, in whole blocks


class Sketching:
    """How the rows of a reading, or of the passes of one training, are labelled: settled once many have been seen.

    Labels are the same either way. Of use to one thread at a time, or to several that need not agree.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._work = 0.0  # asked for so far
        self._open = True  # sketches may pay
        self._form: Form | None = None
        self._places: tuple[Centers, NDArray[np.int32]] | None = None  # of the centers that were asked for last

    def labels(self, rows: FloatArray, centers: Centers) -> NDArray[np.int32] | None:
        """Return the labels (n,) of rows (n, d), or None: they are left to others, and unfit rows, too."""
        if not self._open or ROWS_FOR_CENTERS * len(rows) < centers.k:
            return None
        if self._form is None and not self._settle(rows, centers):
            return None
        assert self._form is not None
        each = max(1, PART_BYTES // self._form.record // BLOCK) * BLOCK
        labels, cycles = np.empty(len(rows), np.int32), 0.0
        for first in range(0, len(rows), each):
            part = slice(first, first + each)
            try:
                cycles += self._label(rows[part], self._form, centers, labels[part])
            except ValueError:
                return None
        self._open = self._pays(cycles / len(rows), LEAST_WORTH, centers)
        return labels

    def _settle(self, rows: FloatArray, centers: Centers) -> bool:
        """Choose a form for rows like these, if enough have been seen and it pays."""
        self._work += float(len(rows)) * centers.d * centers.k
        forced = forced_path()
        if forced != "bounds" and (forced or self._work < MUCH_WORK):
            return False
        sample = np.ascontiguousarray(rows[:: 1 + len(rows) // forms.AXES_ROWS])
        self._open = self._kernels.int8 and centers.d >= 4 * AXES and forms.can_sketch(sample)
        if self._open:
            form = forms.with_axes(sample, self._kernels.isa, (AXES,))[0]
            some = np.ascontiguousarray(sample[:: 1 + len(sample) // SAMPLE_ROWS])
            cycles = self._label(some, form, centers, np.empty(len(some), np.int32))
            self._open = self._pays(cycles / len(some), WORTH, centers)
            self._form = form
        return self._open

    def _pays(self, cycles: float, worth: float, centers: Centers) -> bool:
        """Tell whether a row takes few cycles beside comparing it with all centers."""
        plain = forms.plain_cycles(centers.k, centers.d, self._kernels.width)
        return cycles <= worth * plain or forced_path() == "bounds"

    def _label(self, rows: FloatArray, form: Form, centers: Centers, labels: NDArray[np.int32]) -> float:
        """Label rows, and return the cycles that this is to have taken; ValueError: a row is unfit."""
        threads = self._kernels.threads
        places = self._places
        if places is None or places[0] is not centers:
            places = self._places = centers, centers.places(threads)
        native: Any = forms.sketched(rows, form, self._kernels)
        done = native.label(threads, centers, places[1], labels)
        looks = [each / len(rows) for each in (done.opened, done.candidates, done.hard)]
        return len(rows) * form.cycles(centers.k, self._kernels.width, *looks)
