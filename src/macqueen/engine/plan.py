"""Which way a data set goes through its passes: chosen from what is measured in a sample, never from a name."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from macqueen import _core
from macqueen.engine import forms
from macqueen.engine.forced import VARIABLE, forced_path
from macqueen.engine.forms import GROUP, INT8_DIMS, Form
from macqueen.engine.indexes import Bounds, Boxes, Index, Packed, Pairs, Sorted, held, listed
from macqueen.engine.kernels import Kernels
from macqueen.engine.labelling import PACKED_ROWS, packed_work
from macqueen.engine.prepared import Prepared
from macqueen.state import FloatArray

CYCLES_PER_SECOND = 2.5e9  # for predictions only
BOX_DIMS, MOST_BOX_DIMS, BOX_ROWS, MOST_BOX_ROWS, BOX_CLUSTERS = 6, 8, 2048, 1 << 25, 16  # where boxes can pay
SORTED_ROWS = 1024  # from so many on sorting takes less time than a plain step
BOUND_ROWS, BOUND_WORK = 2048, 1 << 24  # where bounds can pay; work: rows x dims x clusters
BOUND_CYCLES = 350  # of comparing a row with all centers: keeping its bounds takes most of it
PAIR_ROWS, PAIR_CLUSTERS = 256, 48  # where bounds of pairs can pay: from so many rows on, up to so many clusters;
MOST_PAIR_CLUSTERS = 256  # up to so many, where sketches tell too little
PACKED_WORK = 5000  # up to which comparing all in 16-bit integers can pay where bounds can
PACKED_SMALL = 1 << 22  # bytes of a copy that are not worth counting
PART_DIMS, PART_WORK = 100, 2500  # where a copy of some rows, made anew of others, can pay: columns, and work;
WIDE_CLUSTERS, WIDE_WORK = 100, 40_000  # or that much, of rows without groups,
WIDE_LANES = 8  # where registers are no wider: products of 8-bit integers are not much quicker there than of 16 bits
SPREAD = 0.62  # of the mean distance from a row to the centers; the nearest of rows without groups is farther
OPEN, SPREAD_ROWS = 0.25, 128  # rows of a sample that 16-bit integers may leave undecided, and its rows
NEARLY = 1.1  # times the cycles of the best sketch, and the smallest is taken
SKETCH_CYCLES = 1.25  # of a first step, those of a plain one: later steps take less
SAMPLE_ROWS, SAMPLE_VALUES = 1024, 1 << 18


@dataclass(frozen=True, eq=False)
class Plan:
    """How the passes over a data set will be made. Whatever the path, the results have the same bits.

    Attributes
    ----------
    path : {'plain', 'boxes', 'bounds', 'packed', 'pairs', 'sorted'}
        ``plain``: every row is compared with every center. ``boxes``: rows of few dimensions lie sorted in boxes, and
        a row is compared with the centers near its box. ``bounds``: bounds of distances are kept from step to step,
        and a row is compared with the groups of 16 centers that can have come nearer. ``pairs``: the same with a bound
        for each center, of few clusters, and a copy of wide rows in 8-bit integers. ``packed``: rows are compared with
        few centers in a copy of them in 16-bit integers, which lies sorted by them once that pays, or is made anew in
        each step for some of them; what changed is added up. ``sorted``: rows of one dimension are sorted once, and no
        row is compared after that but those next to the borders between centers.
    reason : str
        Why.
    seconds : float
        Predicted time of the first step; later ones take less, but on the plain path.
    memory : int
        Bytes beside the rows, predicted.
    form : str
        How rows are sketched on the path ``bounds``: ``float32``, ``int8``, ``int8 and 8 axes``, ..., and how many
        groups of 16 centers share a bound, where memory is short; on ``packed`` of how many rows a copy is kept;
        "" on others.
    sketch : Form or None
        The same, for the native kernels.
    copied : int
        Rows of which a copy is kept, on ``packed``.
    """

    path: str
    reason: str
    seconds: float
    memory: int
    form: str = ""
    sketch: Form | None = None
    copied: int = 0

    def index(self, rows: FloatArray, kernels: Kernels, name: Callable[[int], str]) -> Index | None:
        """Make rows (n, d) ready for the path; None on the plain one."""
        if self.path == "sorted":
            return Sorted(rows, kernels, name)
        if self.path == "boxes":
            return Boxes(rows, kernels, name)
        if self.path == "packed":
            return Packed(rows, name, self.copied)
        if self.path == "pairs":
            return Pairs(rows, name)
        if self.sketch is not None:
            return Bounds(rows, self.sketch, kernels, name)
        return None

    def __str__(self) -> str:
        """Say it in a line."""
        path = f"{self.path} ({self.form})" if self.form else self.path
        return f"{path}: {self.reason}; about {self.seconds:.2g} s a step at first, {self.memory / 2**20:.0f} MiB"


class Planner:
    """Plans the passes over rows (n, d) under the centers `prepared`.

    Parameters
    ----------
    rows
        The data set as one array, or None where it is none (files, generators, converted columns).
    prepared
        The centers of the first step.
    kernels
        The instruction set and threads in force.
    memory_limit
        Bytes that may be taken beside the rows; None: no limit.
    given_up
        Paths that pay no longer for these rows.
    """

    def __init__(
        self,
        rows: FloatArray | None,
        prepared: Prepared,
        kernels: Kernels,
        memory_limit: int | None,
        given_up: Collection[str] = (),
    ) -> None:
        self.rows = rows
        self.given_up = given_up
        self.count = 0 if rows is None else len(rows)
        self.prepared = prepared
        self.kernels = kernels
        self.clusters: int = prepared.shape[0]
        self.dims: int = prepared.shape[1]
        self.memory_limit = math.inf if memory_limit is None else memory_limit
        self.work = float(self.count) * self.dims * self.clusters
        self.lanes: int = kernels.width
        self.int8: bool = kernels.int8

    def choose(self) -> Plan:
        """Return the plan."""
        forced = forced_path()
        if self.rows is None:
            return self._plain("the rows are not one array of the model's dtype in memory")
        if self.prepared.metric.normalized:
            return self._plain("rows are normalized block by block")
        if forced:
            return self._forced(forced)
        if self._sorting_can_pay():
            return self._sorted("1 dimension")
        if self._boxes_can_pay():
            return self._boxes(f"{self.dims} dimensions")
        if self._packed_can_pay():
            return self._packed(f"{self.clusters} clusters", self.count)
        if self._part_can_pay():
            return self._packed(f"{self.clusters} clusters", self._copied())
        if self._pairs_can_pay(PAIR_CLUSTERS):
            return self._pairs(f"{self.clusters} clusters")
        plan = self._plain(f"{' and '.join(sorted(self.given_up))} turned out not to pay any longer")
        if "bounds" not in self.given_up:
            plan = self._bounds("") if self._bounds_can_pay() else self._plain("too little work for bounds to pay")
        if plan.path == "plain" and self._pairs_can_pay(MOST_PAIR_CLUSTERS):
            return self._pairs(f"{self.clusters} clusters; {plan.reason}")
        return plan

    def _forced(self, path: str) -> Plan:
        reason = f"{VARIABLE} asks for it"
        if path in self.given_up:
            return self._plain(f"{path}, which {VARIABLE} asks for, turned out not to pay any longer")
        if path == "sorted" and self.dims == 1:
            return self._sorted(reason)
        if path == "boxes" and self.dims <= MOST_BOX_DIMS:
            return self._boxes(reason)
        if path == "packed":
            return self._packed(reason, self.count)
        if path == "pairs":
            return self._pairs(reason)
        if path == "bounds":
            return self._bounds(reason)
        return self._plain(reason if path == "plain" else f"{path}, which {VARIABLE} asks for, takes fewer dimensions")

    def _promised_each(self, copy: int) -> float:
        return (copy + 3 * self.clusters / 16 + 48) * self.prepared.dtype.itemsize / 4

    def _promised(self, copy: int) -> float:
        """Return the bytes that no path takes more of, with `copy` for a float32 row."""
        return self.count * self._promised_each(copy) + held(self.clusters, self.dims, self.kernels.count, 48)

    def _seconds(self, cycles: float) -> float:
        return self.count * cycles / CYCLES_PER_SECOND / self.kernels.count

    def _compare_cycles(self) -> float:
        return forms.compare_cycles(self.clusters, self.dims, self.lanes)

    def _plain_cycles(self) -> float:
        return forms.plain_cycles(self.clusters, self.dims, self.lanes)

    def _plain(self, reason: str) -> Plan:
        memory = self.kernels.count * self.clusters * self.dims * 8
        return Plan("plain", reason, self._seconds(self._plain_cycles()), memory)

    def _sorting_can_pay(self) -> bool:
        return self.dims == 1 and self.count >= SORTED_ROWS and self._sorted("").memory <= self.memory_limit

    def _sorted(self, reason: str) -> Plan:
        itemsize = self.prepared.dtype.itemsize
        sorting, borders = 25 * itemsize, 500 * self.clusters / self.count
        return Plan(
            "sorted", reason, self._seconds(sorting + borders), Sorted.memory(self.count, self.clusters, itemsize)
        )

    def _boxes_can_pay(self) -> bool:
        few = self.dims <= BOX_DIMS and self.clusters >= BOX_CLUSTERS and BOX_ROWS <= self.count <= MOST_BOX_ROWS
        few = few and "boxes" not in self.given_up
        return few and self._boxes("").memory <= min(self.memory_limit, self._promised(self.dims))

    def _boxes(self, reason: str) -> Plan:
        memory = Boxes.memory(self.count, self.dims, self.clusters, self.prepared.dtype.itemsize, self.kernels.count)
        near = min(self.clusters, 16 * 2**self.dims) * self.dims / self.lanes * 4
        return Plan("boxes", reason, self._seconds(near + 100), memory)

    @property
    def _packed_work(self) -> float:
        enough = self.clusters > 1 and self.count >= PACKED_ROWS and "packed" not in self.given_up
        return packed_work(self.clusters, self.dims) if enough else math.inf

    def _packed_can_pay(self) -> bool:
        memory = self._packed("", self.count).memory
        # A copy of the rows may not take more than the path `bounds` would: wide rows go another way.
        small = memory <= PACKED_SMALL + held(self.clusters, self.dims, self.kernels.count, 48)
        slim = small or 2 * self.dims + 14 <= self._promised_each(self.dims)
        most = PACKED_WORK if self._bounds_can_pay() else math.inf
        if Packed.can_sort(self.count, self.dims, self.clusters, self.prepared.dtype.itemsize):
            memory += self.kernels.count * Packed.sorting(self.count, self.dims)
        return slim and self._packed_work < most and memory <= self.memory_limit

    def _part_can_pay(self) -> bool:
        few = self.dims <= PART_DIMS and self._packed_work < PART_WORK
        return self._copied() >= 0 and (few or self._wide_can_pay())

    def _copied(self) -> int:
        """Return of how many rows a copy may be kept; below 0: too little memory even without."""
        most = min(self.memory_limit, self._promised(self.dims))
        free = most - self._packed("", 0).memory
        return min(self.count - 1, math.floor(free / Packed.copy(self.dims)))

    def _wide_can_pay(self) -> bool:
        """Tell whether wide rows have no groups, and 16-bit integers decide them."""
        few = self.clusters <= WIDE_CLUSTERS and self._packed_work < WIDE_WORK and self.lanes <= WIDE_LANES
        if not few or not self._sketchable(sample := self._sample()):
            return False
        sample = np.ascontiguousarray(sample[:: -(-len(sample) // SPREAD_ROWS)])
        distances = self.prepared.distances(sample, str).astype(np.float64)
        if distances.min(axis=1).mean() < SPREAD * distances.mean():
            return False
        make: Any = _core.Packed32 if sample.itemsize == 4 else _core.Packed64
        labels = np.empty(len(sample), np.int32)
        hard: float = make(sample, 0).label(self.kernels.threads, self.prepared.native, labels).hard
        return hard <= OPEN * len(sample)

    def _packed(self, reason: str, copied: int) -> Plan:
        compare = 2 * self.clusters * (self.dims / 2 + 4) / self.lanes
        memory = Packed.memory(
            self.count, self.dims, self.clusters, copied, self.prepared.dtype.itemsize, self.kernels.count
        )
        form = "" if copied >= self.count else f"{copied / self.count:.0%} copied"
        seconds = self._seconds(compare + 2 * self.dims + 60)
        return Plan("packed", reason, seconds, memory, form, copied=copied)

    def _pairs_can_pay(self, most: int) -> bool:
        few = 1 < self.clusters <= most and self.count >= PAIR_ROWS and "pairs" not in self.given_up
        # A byte a pair may not be more than the path `bounds` would take.
        slim = 13 * self.clusters <= 16 * (self.dims + 36)
        return few and slim and self._pairs("").memory <= self.memory_limit

    def _pairs(self, reason: str) -> Plan:
        cycles = 2 * self.clusters * self.dims / self.lanes + 2 * self.dims + 100
        return Plan(
            "pairs",
            reason,
            self._seconds(cycles),
            Pairs.memory(self.count, self.dims, self.clusters, self.kernels.count),
        )

    def _bounds_can_pay(self) -> bool:
        return self.count >= BOUND_ROWS and self.work >= BOUND_WORK and self._compare_cycles() >= BOUND_CYCLES

    def _bounds(self, reason: str) -> Plan:
        sample = self._sample()
        if not self._sketchable(sample):
            return self._plain("values are too large or too small for sketches")
        trials = self._trials(sample)
        if not trials:
            return self._plain(f"bounds would take more than the memory_limit of {self.memory_limit:,.0f} bytes")
        least = min(trial.cycles for trial in trials)
        # Later steps open fewer groups, for which axes pay less.
        best = min((trial for trial in trials if trial.cycles <= NEARLY * least), key=lambda trial: trial.form.record)
        if not reason and (best.hard > Bounds.WORTH or least > SKETCH_CYCLES * self._plain_cycles()):
            return self._plain("sketches would leave too many centers")
        why = reason or f"a sketch leaves {best.candidates:.2g} of {self.clusters} centers a row"
        memory = Bounds.memory(self.count, self.dims, self.clusters, best.form, self.kernels.count)
        return Plan("bounds", why, self._seconds(best.cycles), memory, best.form.name, best.form)

    def _trials(self, sample: FloatArray) -> list[forms.Looks]:
        """Make the first step of `bounds` over a sample, in the forms that there is memory for."""
        copy = self.dims if self.int8 and self.dims >= INT8_DIMS else 4 * self.dims
        fine = forms.forms_for(sample, self.kernels.isa, self.int8)
        fitting = [form for each in fine if (form := self._fitting(each, copy)) is not None]
        any_places = np.arange(self.clusters, dtype=np.int32)  # any groups tell which form is best
        return forms.trials(fitting, sample, self.prepared.native, any_places, self.kernels)

    def _fitting(self, fine: Form, copy: int) -> Form | None:
        """Return the form with as few groups to a bound as the limit allows, if any."""

        def memory(form: Form) -> int:
            return Bounds.memory(self.count, self.dims, self.clusters, form, self.kernels.count)

        promised = self._promised(copy) + listed(self.clusters, self.kernels.count)
        form, groups, share = fine, -(-self.clusters // GROUP), 1
        while memory(form) > self.memory_limit and share < groups:
            share *= 2
            form = fine.sharing(share)
        return form if memory(form) <= self.memory_limit and memory(fine) <= promised else None

    def _sketchable(self, sample: FloatArray) -> bool:
        assert self.rows is not None
        if sample.any():
            return forms.can_sketch(sample)
        return forms.can_sketch(np.array([self.rows.max(), self.rows.min()]))  # a sample of zeros does not tell

    def _sample(self) -> FloatArray:
        assert self.rows is not None
        count = max(64, min(SAMPLE_ROWS, SAMPLE_VALUES // self.dims))
        return np.ascontiguousarray(self.rows[:: max(1, len(self.rows) // count)][:count])
