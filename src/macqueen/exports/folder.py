"""A folder `<base>/<unix seconds>` that is there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable

from macqueen import files
from macqueen.errors import ArgumentError, ArgumentTypeError, ExportError

TIME = "[0-9]{10}"  # the name of an export, as a pattern


def checked_path(path: object, argument: str) -> str:
    """Return a path of the local file system."""
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError(f"{argument} must be a path, got {path!r} of type {type(path).__name__}; name a folder")
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "://" in text:
        raise ArgumentError(
            f"{argument} must be a path of the local file system, got {text!r}; export to a local one and copy it"
        )
    return text


def new_folder(base: str, fill: Callable[[str], None], now: float) -> str:
    """Make a folder named by the time, the first second from `now` on that is free.

    Parameters
    ----------
    base
        Where; made if it is not there.
    fill
        Writes into the folder whose path it is given: one of a temporary name, renamed when all is on disk.
    now
        Seconds since the epoch.

    Returns
    -------
    str
        Its path.

    Raises
    ------
    ExportError
        Something cannot be written. Then, as with any other error, nothing is left behind.
    """
    missing = files.missing_folders(base)
    temporary = files.temporary(os.path.join(base, str(int(now))))
    try:
        os.makedirs(base, exist_ok=True)
        files.remove_stale(base, TIME, now)
        os.mkdir(temporary)
        fill(temporary)
        for folder, _, names in os.walk(temporary, topdown=False):
            for path in (*(os.path.join(folder, name) for name in names), folder):
                files.sync(path)
        target = _renamed(temporary, base, int(now))
        files.sync(base)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        files.remove_folders(missing)
        if isinstance(error, OSError) and not isinstance(error, ExportError):
            raise ExportError(
                f"cannot write into {base}: {error.strerror or error}. Free space there, make it a folder that can be "
                "written, or give another one"
            ) from error
        raise
    return target


def exports_in(base: str) -> list[str]:
    """Return the names of the exports in a folder, the oldest first."""
    return sorted(name for name in os.listdir(base) if re.fullmatch(TIME, name))


def _renamed(temporary: str, base: str, seconds: int) -> str:
    """Rename to the first free second after all that are there, so that the newest export is always the last by name.

    A full folder cannot be renamed onto: two exports never share one.
    """
    seconds = max([seconds, *(int(name) + 1 for name in exports_in(base)[-1:])])
    while True:
        target = os.path.join(base, str(seconds))
        if not os.path.lexists(target):
            try:
                os.rename(temporary, target)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                    raise
            else:
                return target
        seconds += 1
