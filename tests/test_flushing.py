"""A caller that flushes denormals, as libraries built with -ffast-math leave its thread: nothing depends on it."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import KMeans, _core
from macqueen.engine.forced import PATHS
from tests import core, oracle, strategies
from tests.core import ISAS, THREADS
from tests.models import NOT_SAVED
from tests.test_exact import BLOCK, HARD, METRICS, check_step, each_dtype, each_metric, property_based

_MODE = r"""
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
unsigned long long flushing_mode(void) { return 0x9fc0; }  /* flush to zero, denormals are zero */
unsigned long long get_mode(void) { return _mm_getcsr() & ~0x3fu; }  /* without the sticky exception flags */
void set_mode(unsigned long long mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
unsigned long long flushing_mode(void) { return 1ull << 24; }
unsigned long long get_mode(void) { unsigned long long v; __asm__ volatile("mrs %0, fpcr" : "=r"(v)); return v; }
void set_mode(unsigned long long mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode)); }
#endif
/* The bits of denormal * 1: comparing the value itself would be flushed as well. */
unsigned long long denormal_times_one(void) {
  volatile double one = 1, denormal = 4e-320;
  const double product = denormal * one;
  unsigned long long bits;
  memcpy(&bits, &product, sizeof bits);
  return bits;
}
"""


class Flushing:
    """Switches this thread to flush-to-zero and denormals-are-zero, as a library built with -ffast-math does."""

    def __init__(self, library):
        self.c = ctypes.CDLL(str(library))
        for name in ("flushing_mode", "get_mode", "denormal_times_one"):
            getattr(self.c, name).restype = ctypes.c_ulonglong
        self.c.set_mode.argtypes = [ctypes.c_ulonglong]
        self.entered = 0

    @contextlib.contextmanager
    def __call__(self):
        before, mode = self.c.get_mode(), self.c.flushing_mode()
        assert before != mode
        assert self.c.denormal_times_one() != 0
        self.c.set_mode(mode)
        try:
            flushed = self.c.denormal_times_one()
            yield
            after, still_flushed = self.c.get_mode(), self.c.denormal_times_one()
        finally:
            self.c.set_mode(before)
        assert flushed == still_flushed == 0
        assert after == mode, "the caller's mode must be restored"
        self.entered += 1


@pytest.fixture(scope="module")
def flushing(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("g++") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("mode")
    (folder / "mode.c").write_text(_MODE)
    command = [compiler, "-x", "c", "-O1", "-shared", "-fPIC", "-o", "mode.so", "mode.c"]
    subprocess.run(command, cwd=folder, check=True)
    return Flushing(folder / "mode.so")


@pytest.mark.parametrize("kind", HARD)
@each_dtype
@each_metric
def test_step_of_a_flushing_caller(flushing, kind, dtype, metric):
    """Labels, sums and cost do not depend on the caller's mode, and the mode survives."""
    before = flushing.entered
    check_step(*strategies.case(kind, 11, BLOCK + 22, 17, 9, dtype), metric, within=flushing)
    assert flushing.entered > before


@each_dtype
def test_reports_of_a_flushing_caller(flushing, dtype):
    """Distances and updates do not depend on the caller's mode either."""
    rows, centers = strategies.case("wide_exponents", 12, 50, 17, 9, dtype)
    rows[:25], centers[::2] = (part[:m] for part, m in zip(denormal_case(dtype), (25, 9), strict=True))
    step = core.accumulate(ISAS[0], rows, centers)
    sums, counts = step.sums(), step.totals.counts()
    assert (np.abs(sums[sums != 0]) < 1e-290).any() or dtype == np.float32
    before = np.ones(17, dtype=np.int64)
    for isa in ISAS:
        expected = core.distances(isa, rows, centers), *core.assign(isa, rows, centers)
        with flushing():
            found = core.distances(isa, rows, centers), *core.assign(isa, rows, centers)
        assert [a.tobytes() for a in found] == [a.tobytes() for a in expected], isa
    moved = centers.copy()
    with flushing():
        mean = _core.finish(THREADS, step.centers, step.totals, centers)[0]
        _core.move_running_means(sums, counts, before, moved)
    assert mean.tobytes() == oracle.full_batch(centers, sums, counts).tobytes()
    assert moved.tobytes() == oracle.mini_batch(centers, sums, counts, before).tobytes()


def denormal_case(dtype):
    """Return rows and centers of denormals only."""
    return strategies.case("denormals", 13, 25, 9, 9, dtype)


@property_based
@given(case=strategies.cases(kinds=HARD), metric=st.sampled_from(METRICS))
def test_flushing_property(flushing, case, metric):
    """Nor for any other rows."""
    check_step(*case, metric, within=flushing)


@pytest.mark.parametrize("path", PATHS)
def test_training_of_a_flushing_caller(flushing, path, monkeypatch):
    """Denormal rows, and centers that only denormals tell apart, on every path."""
    monkeypatch.setenv("MACQUEEN_FORCE_PATH", path)
    random, dims = np.random.default_rng(14), 1 if path == "sorted" else 3
    centers = np.repeat([[4e-320], [-4e-320], [1.0], [3.0]], dims, axis=1)
    rows = centers[random.integers(0, 4, 1500)] * random.integers(1, 4, (1500, dims))

    def trained():
        model = KMeans(4, initial_clusters=centers, use_mini_batch=False, config=NOT_SAVED).train(rows, steps=3)
        return model.cluster_centers().tobytes() + model.labels(rows).tobytes(), model.history()["cost"].tolist()

    expected = trained()
    with flushing():
        found = trained()
    assert found == expected
