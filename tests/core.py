"""The native kernels as the tests call them: arrays in, arrays out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from macqueen import _core

ISAS = _core.available_isas()
THREADS = _core.Threads(2)


def prepare(isa, centers):
    """Return centers (k, d) made ready on an instruction set."""
    return (_core.Centers32 if centers.dtype == np.float32 else _core.Centers64)(isa, centers)


@dataclass
class Step:
    """One pass of rows under centers."""

    centers: object
    totals: _core.Totals
    labels: np.ndarray
    bad: int
    before: np.ndarray  # the centers as an array

    def sums(self):
        """Return the sums (k, d), rounded."""
        return self.totals.rounded(THREADS)[0]

    def cost(self, earlier=None):
        """Return the sum of squared distances; `earlier`: totals of the same rows, whose squares are taken."""
        return _core.finish(THREADS, self.centers, self.totals, self.before, earlier)[3]


def accumulate(isa, rows, centers, threads=THREADS, skip_zero_rows=False, totals=None, workspace=None):
    """Label rows and add them to totals (new ones unless given)."""
    native = prepare(isa, centers)
    totals = totals or _core.Totals(*centers.shape)
    labels = np.full(len(rows), -7, dtype=np.int32)
    workspace = workspace or _core.Workspace()
    bad = native.accumulate(threads, rows, True, skip_zero_rows, workspace, totals, labels)
    return Step(native, totals, labels, bad, centers)


def assign(isa, rows, centers, threads=THREADS):
    """Return labels (n,) and squared distances (n,) to the own center."""
    labels, own = np.full(len(rows), -7, dtype=np.int32), np.empty(len(rows))
    assert prepare(isa, centers).assign(threads, rows, False, labels, own) == -1
    return labels, own


def distances(isa, rows, centers, factor=1.0, zero_rows_are_one=False, threads=THREADS):
    """Return factor * squared distances (n, k)."""
    out = np.empty((len(rows), len(centers)), dtype=rows.dtype)
    assert prepare(isa, centers).distances(threads, rows, factor, zero_rows_are_one, out) == -1
    return out


def normalize(isa, rows, threads=THREADS):
    """Return rows over their Euclidean length."""
    out = np.empty_like(rows)
    assert _core.normalize(isa, threads, rows, out) == -1
    return out


def digits(totals):
    """Return everything that totals hold, in the form that equal totals share."""
    parts = [totals.sums_digits(), totals.squares_digits()]
    return [(first, digit.shape, digit.tobytes()) for first, digit in parts], totals.counts().tolist()


def os_threads():
    """Return the ids of the threads of this process."""
    return set(os.listdir("/proc/self/task"))


def started(before, count):
    """Tell whether `count` threads were started since `before`; those that just ended may take a moment to go."""
    for _ in range(1000):
        if len(os_threads() - before) == count:
            return True
        time.sleep(0.002)
    return False
