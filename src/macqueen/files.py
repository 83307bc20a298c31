"""Files that a crash cannot tear: written under a temporary name that says who writes, synced, then renamed."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import IO

STALE_SECONDS = 3600.0  # what has a temporary name and was untouched for so long was left by a crash


def temporary(path: str) -> str:
    """Return a name beside `path`, hidden and new, under which this process makes what will be there."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")


def commit(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that its name only ever stands for the old bytes or all of the new ones, also after a crash."""
    new = temporary(path)
    try:
        with open(new, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
    sync(os.path.dirname(path) or ".")


def sync(path: str) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders
            raise
    finally:
        os.close(handle)


def missing_folders(path: str) -> list[str]:
    """Return the folders that have to be made for a folder to be there, the innermost first."""
    found = []
    path = os.path.abspath(path)
    while not os.path.exists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def remove_folders(folders: list[str]) -> None:
    """Remove those that are empty."""
    for folder in folders:
        with suppress(OSError):
            os.rmdir(folder)


def remove_stale(folder: str, names: str, now: float) -> None:
    """Delete what processes that died left under temporary names.

    Parameters
    ----------
    folder
        Where.
    names
        A regular expression for the names that they were to get. What has another is never touched.
    now
        Seconds since the epoch. A process that lives may be one of another machine's, hence an age: `STALE_SECONDS`.
    """
    pattern = re.compile(rf"\.(?:{names})\.tmp-([0-9]+)-[0-9a-f]{{8}}")
    for name in os.listdir(folder):
        match = pattern.fullmatch(name)
        path = os.path.join(folder, name)
        if not match or _is_alive(int(match[1])) or now - _last_change(path) <= STALE_SECONDS:
            continue
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                os.unlink(path)


def modified(path: str) -> float:
    """Return when a file was written to last, 0 if it is not there."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _last_change(path: str) -> float:
    """Return when a file, or anything in a folder, was written to last."""
    inside = (os.path.join(at, name) for at, folders, names in os.walk(path) for name in (*folders, *names))
    return max(map(modified, (path, *inside)))


def _is_alive(pid: int) -> bool:
    """Whether another process has this id; what this process left for so long belongs to an earlier namesake."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
