"""threads.py: what was asked for, else what the machine and its containers grant."""

import os

import pytest

from macqueen import threads
from macqueen.errors import ArgumentError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 cores, without a limit."""
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(threads, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "MEMBERSHIP", tmp_path / "membership")

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write


def test_threads_asked_for_come_first(machine, monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "3")
    assert threads.resolve_threads(20) == 20


def test_threads_of_the_environment_come_next(machine, monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "30")
    assert threads.resolve_threads(None) == 30


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "٣"])
def test_bad_environment_is_refused_by_name(machine, monkeypatch, value):
    monkeypatch.setenv(threads.VARIABLE, value)
    with pytest.raises(ArgumentError, match="MACQUEEN_NUM_THREADS"):
        threads.resolve_threads(None)


def test_threads_without_a_limit_are_the_cores(machine):
    assert threads.resolve_threads(None) == 8


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("250000 100000", 3), ("max 100000", 8), ("1000 100000", 1), ("9900000 100000", 8), ("?", 8)],
)
def test_limit_of_a_container_is_rounded_up_and_capped(machine, limit, expected):
    machine("membership", "0::/\n")
    machine("cgroup/cpu.max", limit + "\n")
    assert threads.resolve_threads(None) == expected


def test_smallest_of_the_nested_limits_counts(machine):
    machine("membership", "0::/a/b\n")
    machine("cgroup/cpu.max", "600000 100000\n")
    machine("cgroup/a/cpu.max", "200000 100000\n")
    machine("cgroup/a/b/cpu.max", "400000 100000\n")
    assert threads.resolve_threads(None) == 2


@pytest.mark.parametrize(("quota", "expected"), [("150000", 2), ("-1", 8)])
def test_limit_of_the_first_version_of_control_groups(machine, quota, expected):
    machine("membership", "4:cpu,cpuacct:/job\n3:cpuset:/\n")
    machine("cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", quota)
    machine("cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000")
    assert threads.resolve_threads(None) == expected


def test_threads_of_this_machine_are_at_least_one(monkeypatch):
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    assert 1 <= threads.resolve_threads(None) <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("count", [4097, 10**8])
def test_more_threads_than_any_machine_has_are_refused(machine, monkeypatch, count):
    with pytest.raises(ArgumentError, match=rf"num_threads must be at most 4096, got {count}"):
        threads.resolve_threads(count)
    monkeypatch.setenv(threads.VARIABLE, str(count))
    with pytest.raises(ArgumentError, match=rf"MACQUEEN_NUM_THREADS must be at most 4096, got {count}"):
        threads.resolve_threads(None)
