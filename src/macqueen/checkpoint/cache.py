"""Files that were read, and what was found in them: an unchanged file is read and judged once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TypeAlias

from macqueen.checkpoint.encoding import Content, RefusedError, decoded
from macqueen.errors import CheckpointError

CACHED_FILES, CACHED_BYTES = 3, 1 << 28  # restored checkpoints held in memory; the last one whatever its size

_Identity: TypeAlias = tuple[str, int, int, int]  # path, inode, mtime_ns, size


def identity_of(path: str) -> _Identity | None:
    """Return what tells a file from another, or from itself before it was written to; None if there is no file."""
    try:
        seen = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}. Make it readable") from error
    return path, seen.st_ino, seen.st_mtime_ns, seen.st_size


def _read(path: str) -> Content:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except PermissionError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}. Make it readable") from error
    except OSError as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error.strerror}") from error
    return decoded(data, path)


class Cache:
    """What was read of which file, so that an unchanged file is read and judged once. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents: OrderedDict[_Identity, Content] = OrderedDict()  # the last used last
        self._faults: OrderedDict[tuple[str, _Identity | None], str | None] = OrderedDict()

    def content(self, path: str) -> Content:
        """Return the checked content of a file, or raise CheckpointError."""
        identity = identity_of(path)
        if identity is None:
            raise CheckpointError(f"{path} is not a checkpoint: there is no such file")
        with self._lock:
            if identity in self._contents:
                self._contents.move_to_end(identity)
                return self._contents[identity]
        content = _read(path)
        with self._lock:
            self._contents[identity] = content
            while len(self._contents) > CACHED_FILES or (len(self._contents) > 1 and self._bytes() > CACHED_BYTES):
                self._contents.popitem(last=False)
        return content

    def fault(self, path: str) -> str | None:
        """Return None for a sound checkpoint, the reason at the first sight of another, '' from then on."""
        key = (path, identity_of(path))
        with self._lock:
            if key in self._faults:
                return None if self._faults[key] is None else ""
        reason: str | None = None
        try:
            self.content(path)
        except RefusedError:
            raise
        except CheckpointError as error:
            reason = str(error)
        with self._lock:
            self._faults[key] = reason
            while len(self._faults) > 1000:
                self._faults.popitem(last=False)
        return reason

    def _bytes(self) -> int:
        return sum(identity[3] for identity in self._contents)


CACHE = Cache()
