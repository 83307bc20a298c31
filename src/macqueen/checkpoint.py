"""Checkpoints: save, list, restore, retire. docs/checkpoint-format.md is the format."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import (
    ArgumentError,
    CheckpointError,
    NotTrainedError,
    SettingsMismatchError,
)
from macqueen.state import State

FORMAT = "macqueen"
FORMAT_VERSION = 1
SUFFIX = ".safetensors"
INDEX = "checkpoint"  # the text file that lists the checkpoints
STALE_SECONDS = 3600.0  # a temporary file untouched for so long was left by a crash
CACHED_FILES, CACHED_BYTES = 3, 1 << 28  # restored checkpoints kept in memory; the latest one always is

_LOG = logging.getLogger("macqueen")
_STEM = re.compile(r"model\.ckpt-(\d{1,19})")
_TEMPORARY = re.compile(r"\.(?:checkpoint|model\.ckpt-\d+\.safetensors)\.tmp-(\d+)-[0-9a-f]{8}")
_DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}  # ours, and safetensors' names
_REQUIRED = {"format", "format_version", "macqueen_version", "state", "settings", "checksum"}

Tensors: TypeAlias = dict[str, NDArray[Any]]
_Identity: TypeAlias = tuple[str, int, int, int]  # path, inode, mtime_ns, size


class _RefusedError(CheckpointError):
    """A file that is no damaged checkpoint, yet cannot be used: skipping it would lose work."""


class Entry(NamedTuple):
    """A checkpoint in the list."""

    step: int
    timestamp: float  # seconds since the epoch


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay.

    Parameters
    ----------
    keep_max : int or None
        Recent checkpoints to keep; 0 or None: all.
    keep_every_n_hours : float or None
        Of the older ones, one in so many hours stays for good; None: none of them.
    """

    keep_max: int | None = 5
    keep_every_n_hours: float | None = 10000.0


@dataclass(frozen=True, eq=False)
class _Content:
    """A checkpoint that was read and found sound."""

    state: State
    settings: dict[str, Any]
    tensors: Tensors  # read-only


def retire(
    entries: Sequence[Entry], retention: Retention, last_preserved: float
) -> tuple[list[Entry], list[Entry], float]:
    """Choose what to keep and what to delete, by the rule of TensorFlow's Saver; touches no file.

    Parameters
    ----------
    entries : sequence of Entry
        The listed checkpoints, oldest first.
    retention : Retention
        The rule.
    last_preserved : float
        Timestamp of the checkpoint that was last preserved for good.

    Returns
    -------
    keep : list of Entry
        Stay listed.
    drop : list of Entry
        To be deleted. What is in neither list stays on disk, unlisted.
    last_preserved : float
        The new timestamp.
    """
    surplus = max(0, len(entries) - retention.keep_max) if retention.keep_max else 0
    hours = retention.keep_every_n_hours
    drop = []
    for entry in entries[:surplus]:
        if hours is not None and entry.timestamp > last_preserved + hours * 3600:
            last_preserved = entry.timestamp
        else:
            drop.append(entry)
    return list(entries[surplus:]), drop, last_preserved


def save(model_dir: str, state: State, settings: dict[str, Any], retention: Retention, now: float) -> str:
    """Write a checkpoint, list it, and retire old ones. At every moment a crash leaves the previous ones whole.

    Parameters
    ----------
    model_dir : str
        The folder; made if there is none.
    state : State
        What to write.
    settings : dict
        JSON values; 'steps_per_iteration' among them if the state has pending centers.
    retention : Retention
        Which checkpoints stay.
    now : float
        Seconds since the epoch.

    Returns
    -------
    str
        The prefix, ``<model_dir>/model.ckpt-<step>``.

    Raises
    ------
    CheckpointError
        The folder or a file in it cannot be written.
    """
    prefix = os.path.join(model_dir, f"model.ckpt-{state.step}")
    path = prefix + SUFFIX
    header, tensors = _encoded(state, settings)

    def write_tensors(file: IO[bytes]) -> None:
        file.write(header)
        for tensor in tensors:
            file.write(memoryview(tensor.reshape(-1)).cast("B"))

    try:
        os.makedirs(model_dir, exist_ok=True)
        _remove_stale(model_dir, now)
        _commit(path, write_tensors)
        path = os.path.join(model_dir, INDEX)
        entries, last_preserved, _ = _listed(model_dir)
        there = [e for e in entries if e.step != state.step and os.path.exists(_file(model_dir, e.step))]
        entries = [*there, Entry(state.step, now)]
        keep, drop, last_preserved = retire(entries, retention, now if last_preserved is None else last_preserved)
        _commit(path, lambda file: file.write(_index_text(keep, last_preserved)))
        for entry in drop:
            path = _file(model_dir, entry.step)
            Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}. {_remedy(error)}") from error
    return prefix


def latest(model_dir: str | os.PathLike[str]) -> str | None:
    """Find the newest sound checkpoint. Cheap to call again while the files stay the same.

    Parameters
    ----------
    model_dir : str or os.PathLike
        The folder.

    Returns
    -------
    str or None
        The prefix, ``<model_dir>/model.ckpt-<step>``. Damaged files are skipped with a warning in the log.

    Raises
    ------
    CheckpointError
        A file of a newer format version, or one that may not be read, is in the way.
    """
    folder = os.fspath(model_dir)
    entries, _, newest = _listed(folder)
    listed = [entry.step for entry in reversed(entries)]
    if newest in listed:
        listed.sort(key=lambda step: step != newest)  # stable: the others stay newest first
    unlisted = sorted((step for step in _on_disk(folder) if step > max(listed, default=-1)), reverse=True)
    for step in (*unlisted, *listed):
        path = _file(folder, step)
        reason = _CACHE.fault(path)
        if reason is None:
            return path.removesuffix(SUFFIX)
        if reason:
            _LOG.warning("skipped the checkpoint %s: %s", path, reason)
    return None


def latest_checkpoint(model_dir: str | os.PathLike[str]) -> str | None:
    """Find the newest sound checkpoint, under the name it has in ``tf.train``; see `latest`."""
    return latest(model_dir)


def restore(path: str | os.PathLike[str]) -> tuple[State, dict[str, Any]]:
    """Read a checkpoint.

    Parameters
    ----------
    path : str or os.PathLike
        The prefix or the file name.

    Returns
    -------
    state : State
        What was saved, bit for bit; its arrays are read-only.
    settings : dict
        What was saved, and 'k', 'd', 'dtype'.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, foreign, or of a newer format version.
    """
    content = _CACHE.content(_file_of(path))
    return content.state, dict(content.settings)


def variables(path: str | os.PathLike[str]) -> Tensors:
    """Read the tensors of a checkpoint by name, read-only; arguments and errors are those of `restore`."""
    return dict(_CACHE.content(_file_of(path)).tensors)


def list_variables(path: str | os.PathLike[str]) -> list[tuple[str, list[int]]]:
    """List names and shapes of the tensors of a checkpoint, by name.

    Parameters
    ----------
    path : str or os.PathLike
        A model directory, of which the newest checkpoint is read, or one checkpoint.

    Returns
    -------
    list of (str, list of int)
        Name and shape.

    Raises
    ------
    NotTrainedError
        The directory holds no checkpoint.
    CheckpointError
        The file is no sound checkpoint.
    """
    return sorted((name, list(tensor.shape)) for name, tensor in variables(_found(path)).items())


def load_variable(path: str | os.PathLike[str], name: str) -> NDArray[Any]:
    """Read one tensor of a checkpoint.

    Parameters
    ----------
    path : str or os.PathLike
        A model directory, of which the newest checkpoint is read, or one checkpoint.
    name : str
        Name of the tensor; a ``:0`` at the end is allowed.

    Returns
    -------
    ndarray
        The tensor, read-only.

    Raises
    ------
    ArgumentError
        There is no tensor of that name.
    NotTrainedError
        The directory holds no checkpoint.
    CheckpointError
        The file is no sound checkpoint.
    """
    prefix = _found(path)
    tensors = variables(prefix)
    key = name.removesuffix(":0")
    if key not in tensors:
        raise ArgumentError(f"no variable {name!r} in {prefix}; known: {', '.join(sorted(tensors))}")
    return tensors[key]


def check_settings(found: dict[str, Any], wanted: dict[str, Any], model_dir: str) -> None:
    """Refuse to go on with a model of other settings.

    Parameters
    ----------
    found : dict
        Settings of the checkpoint.
    wanted : dict
        Settings asked for; only these are compared.
    model_dir : str
        Named in the error.

    Raises
    ------
    SettingsMismatchError
        Some differ; the message shows which, as they are and as asked for.
    """
    rows = [(key, found.get(key, "unknown"), value) for key, value in wanted.items()]
    rows = [row for row in rows if row[1] != row[2]]
    if rows:
        table = [("setting", "in directory", "asked for"), *rows]
        widths = [max(len(str(row[at])) for row in table) for at in range(2)]
        lines = [f"  {row[0]!s:{widths[0]}}  {row[1]!s:{widths[1]}}  {row[2]}" for row in table]
        raise SettingsMismatchError(
            f"{model_dir} holds a model of other settings:\n"
            + "\n".join(lines)
            + "\nAsk for the settings in the directory, or give another model_dir."
        )


class _Cache:
    """What was read of which file, so that an unchanged file is read and judged once. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents: OrderedDict[_Identity, _Content] = OrderedDict()  # the last used last
        self._faults: OrderedDict[tuple[str, _Identity | None], str | None] = OrderedDict()

    def content(self, path: str) -> _Content:
        """Return the checked content of a file, or raise CheckpointError."""
        identity = _identity(path)
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
        key = (path, _identity(path))
        with self._lock:
            if key in self._faults:
                return None if self._faults[key] is None else ""
        reason: str | None = None
        try:
            self.content(path)
        except _RefusedError:
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


_CACHE = _Cache()
