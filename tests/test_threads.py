"""One pool of threads: used from many Python threads, in forked children, and without holding the GIL."""

from __future__ import annotations

import multiprocessing
import threading
import time
import warnings
from functools import partial

import numpy as np
import pytest

from macqueen import _core
from tests import core, strategies
from tests.core import ISAS, digits

PATIENCE = 60  # seconds until something that should have ended has hung
LARGE = 6000  # rows worth several threads


def totals_of(seed, threads, isa=ISAS[-1], workspace=None):
    """Return the digits of one pass, a number of whose blocks run beside each other."""
    rows, centers = strategies.case("clustered", seed, LARGE, 17, 9, np.float32)
    return digits(core.accumulate(isa, rows, centers, threads, workspace=workspace).totals)


def run_all(tasks):
    """Run functions in threads of their own, all at once; return results and the spans of time they took."""
    barrier, results, spans = threading.Barrier(len(tasks)), [None] * len(tasks), [None] * len(tasks)

    def run(i, task):
        barrier.wait(PATIENCE)
        begin = time.monotonic()
        results[i] = task()
        spans[i] = begin, time.monotonic()

    running = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(tasks)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a call hangs"
    return results, spans


def test_threads_start_when_needed_and_end_with_their_object():
    """A pool has no threads before its first large call, and none after its end."""
    before = core.os_threads()
    threads = _core.Threads(3)
    assert threads.count == 3
    assert core.started(before, 0)
    totals_of(1, threads)
    assert core.started(before, 2)
    del threads
    assert core.started(before, 0)


def test_small_calls_wake_nobody():
    """A few rows are no work for several threads."""
    before, threads = core.os_threads(), _core.Threads(3)
    rows, centers = strategies.case("normal", 1, 3, 2, 2, np.float32)
    core.accumulate(ISAS[0], rows, centers, threads)
    assert core.started(before, 0)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_one_pool_for_several_python_threads(count):
    """Calls of several Python threads on one pool do not disturb each other."""
    expected = [totals_of(seed, _core.Threads(1)) for seed in range(4)]
    assert len({str(e) for e in expected}) == 4
    before, threads = core.os_threads(), _core.Threads(count)

    def task(seed):
        workspace = _core.Workspace()
        return [totals_of(seed, threads, ISAS[i % len(ISAS)], workspace) for i in range(15)]

    results, spans = run_all([lambda seed=seed: task(seed) for seed in range(4)])
    assert results == [[e] * 15 for e in expected]
    assert max(begin for begin, _ in spans) < min(end for _, end in spans), "all at the same time"
    assert core.started(before, count - 1)


def test_shared_centers():
    """One set of prepared centers serves several Python threads at once."""
    rows, centers = strategies.case("clustered", 2, LARGE, 17, 9, np.float32)
    native, threads = core.prepare(ISAS[-1], centers), _core.Threads(3)

    def labels():
        found = np.empty(LARGE, dtype=np.int32)
        assert native.assign(threads, rows, False, found, None) == -1
        return found.tobytes()

    expected = labels()
    results, _ = run_all([lambda: [labels() for _ in range(20)]] * 4)
    assert results == [[expected] * 20] * 4


# --- fork -------------------------------------------------------------------------------------------------------


def in_child(function, *args):
    """Return function(*args) as a forked child computes it."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=lambda: send.send(function(*args)), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks is the point
        child.start()
    send.close()
    try:
        assert receive.poll(PATIENCE), "the child hangs"
        result = receive.recv()
        child.join(PATIENCE)
        assert child.exitcode == 0
        return result
    finally:
        child.kill()
        child.join(PATIENCE)


def child_totals(seed, threads):
    """Return totals and how many threads the child started for them; end the pool there too."""
    before = core.os_threads()
    result = totals_of(seed, threads), len(core.os_threads() - before)
    del threads
    return result


def test_fork_before_first_use():
    """A child may be the first to use a pool, and the parent afterwards."""
    threads, expected = _core.Threads(3), totals_of(3, _core.Threads(1))
    assert in_child(child_totals, 3, threads) == (expected, 2)
    assert totals_of(3, threads) == expected


def test_fork_after_use():
    """A child starts threads of its own; the parent's go on."""
    threads, expected = _core.Threads(3), totals_of(3, _core.Threads(1))
    before = core.os_threads()
    assert totals_of(3, threads) == expected
    assert core.started(before, 2)
    for _ in range(3):
        assert in_child(child_totals, 3, threads) == (expected, 2)
    assert totals_of(3, threads) == expected
    assert core.started(before, 2)


def grandchild_totals(seed, threads):
    """Return what a child of this child computes, after this one has used the pool itself."""
    own = totals_of(seed, threads)
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=lambda: send.send(child_totals(seed, threads)))
    child.start()
    assert receive.poll(PATIENCE)
    result = receive.recv()
    child.join(PATIENCE)
    return own, result


def allow_grandchildren(seed, threads):
    """Let this child have children, which daemons may not."""
    multiprocessing.current_process()._config["daemon"] = False
    return grandchild_totals(seed, threads)


def test_fork_of_a_fork():
    """The child of a child starts its own as well."""
    threads, expected = _core.Threads(3), totals_of(3, _core.Threads(1))
    totals_of(3, threads)
    assert in_child(allow_grandchildren, 3, threads) == (expected, (expected, 2))


def test_fork_while_a_kernel_runs():
    """A fork in the middle of another thread's kernel hangs neither the child nor the parent."""
    threads, expected = _core.Threads(3), totals_of(3, _core.Threads(1))
    rows, centers = strategies.case("clustered", 4, 60_000, 65, 33, np.float32)
    stop, calls = threading.Event(), []

    def busy():
        while not stop.is_set():
            calls.append(core.accumulate(ISAS[0], rows, centers, threads).bad)

    worker = threading.Thread(target=busy, daemon=True)
    worker.start()
    try:
        for _ in range(8):
            time.sleep(0.01)
            assert in_child(child_totals, 3, threads) == (expected, 2)
    finally:
        stop.set()
        worker.join(PATIENCE)
    assert not worker.is_alive()
    assert set(calls) == {-1}
    assert totals_of(3, threads) == expected


# --- the GIL ----------------------------------------------------------------------------------------------------


def long_calls(threads):
    """Return f(n) -> call of a kernel on rows (n, 64), its arguments made beforehand."""
    rng = np.random.default_rng(5)
    base, centers = rng.standard_normal((4096, 64)), rng.standard_normal((64, 64))
    native = core.prepare("scalar", centers)

    def rows(n):
        return np.ascontiguousarray(np.resize(base, (n, 64)))

    def nearest(n):
        return np.full(n, np.inf)

    return {
        "accumulate": lambda n: partial(core.accumulate, "scalar", rows(n), centers, threads),
        "assign": lambda n: partial(native.assign, threads, rows(n), False, np.empty(n, np.int32), None),
        "distances": lambda n: partial(native.distances, threads, rows(n), 1.0, False, np.empty((n, 64))),
        "normalize": lambda n: partial(_core.normalize, "scalar", threads, rows(n), np.empty((n, 64))),
        "first_bad_row": lambda n: partial(_core.first_bad_row, "scalar", threads, rows(n)),
        "lower_to": lambda n: partial(_core.lower_to, "scalar", threads, rows(n), base[0], nearest(n)),
        "weight_lowered_to": lambda n: partial(
            _core.weight_lowered_to, "scalar", threads, rows(n), base[0], nearest(n), 20
        ),
        "total_weight": lambda n: partial(_core.total_weight, threads, rows(n).ravel() ** 2, 20),
    }


@pytest.mark.parametrize("name", long_calls(None))
def test_gil_is_released(name):
    """Another Python thread makes progress while a kernel runs."""
    make, ticks, stop = long_calls(_core.Threads(1))[name], [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.0002)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        n, during = 4096, 0
        while during < 5 and n <= 1 << 18:  # longer, until the other thread had time to be seen
            call, n = make(n), n * 2
            begin = time.monotonic()
            call()
            end = time.monotonic()
            during = sum(begin + 0.001 < t < end - 0.001 for t in ticks)
    finally:
        stop.set()
        ticker.join(PATIENCE)
    assert during >= 5


@pytest.mark.parametrize("count", [0, -1])
def test_a_pool_has_at_least_one_thread(count):
    with pytest.raises(ValueError, match="count must be at least 1"):
        _core.Threads(count)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_centers_that_no_kernel_takes_are_refused(value):
    with pytest.raises(ValueError, match="centers must be finite and within 1e150"):
        _core.Centers64("scalar", np.full((3, 100), value))
