"""Checkpoints: save, find, restore, compare. docs/checkpoint-format.md is the format."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, TypeAlias

from numpy.typing import NDArray

from macqueen.checkpoint.encoding import STATE_TENSORS, Content, RefusedError, Tensors, decoded, encoded
from macqueen.checkpoint.folder import (
    INDEX,
    SUFFIX,
    Entry,
    Retention,
    commit,
    file_of,
    index_text,
    is_stem,
    probe,
    read_index,
    remedy,
    remove_stale,
    retire,
    steps_on_disk,
    unlisted,
)
from macqueen.errors import ArgumentError, ArgumentTypeError, CheckpointError, NotTrainedError, SettingsMismatchError
from macqueen.state import State

__all__ = [
    "Entry",
    "Retention",
    "Tensors",
    "check_settings",
    "check_writable",
    "constants",
    "latest",
    "latest_checkpoint",
    "list_variables",
    "load_variable",
    "restore",
    "retire",
    "save",
    "settings",
    "variables",
]

CACHED_FILES, CACHED_BYTES = 3, 1 << 28  # restored checkpoints held in memory; the last one whatever its size

_LOG = logging.getLogger("macqueen")
_Identity: TypeAlias = tuple[str, int, int, int]  # path, inode, mtime_ns, size


def save(
    model_dir: str,
    state: State,
    settings: dict[str, Any],
    retention: Retention,
    now: float,
    constants: Tensors | None = None,
) -> str:
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
    constants : dict of arrays, optional
        Further tensors of the model that no step changes; float32, float64 or int64.

    Returns
    -------
    str
        The prefix, ``<model_dir>/model.ckpt-<step>``.

    Raises
    ------
    CheckpointError
        The folder or a file in it cannot be written.
    """
    written = path = file_of(model_dir, state.step)
    header, tensors = encoded(state, settings, constants or {})

    def write(file: IO[bytes]) -> None:
        file.write(header)
        for tensor in tensors:
            file.write(tensor.reshape(-1).data)

    try:
        os.makedirs(model_dir, exist_ok=True)
        remove_stale(model_dir, now)
        commit(path, write)
        path = os.path.join(model_dir, INDEX)
        index = read_index(model_dir)
        entries = [entry for entry in (*index.entries, *unlisted(model_dir, index)) if entry.step != state.step]
        entries = [entry for entry in entries if os.path.exists(file_of(model_dir, entry.step))]
        preserved = now if index.last_preserved is None else index.last_preserved
        keep, drop, preserved = retire([*entries, Entry(state.step, now)], retention, preserved)
        # Files first: one that a crash leaves listed is passed over, one that it left unlisted would stay for ever.
        for entry in drop:
            path = file_of(model_dir, entry.step)
            Path(path).unlink(missing_ok=True)
        path = os.path.join(model_dir, INDEX)
        text = index_text(keep, preserved)
        commit(path, lambda file: file.write(text))
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}. {remedy(error)}") from error
    return written.removesuffix(SUFFIX)


def check_writable(model_dir: str) -> None:
    """Raise CheckpointError unless files can be written into a folder; nothing is left there."""
    try:
        probe(model_dir)
    except OSError as error:
        raise CheckpointError(f"cannot write {model_dir}: {error.strerror or error}. {remedy(error)}") from error


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
    candidates = _candidates(folder)
    while True:
        for path in candidates:
            reason = _CACHE.fault(path)
            if reason is None:
                return path.removesuffix(SUFFIX)
            if reason and os.path.exists(path):
                _LOG.warning("skipped a checkpoint: %s", reason)
        # A process that saves may have retired all of them since they were listed: then there are newer ones.
        before, candidates = candidates, _candidates(folder) if candidates else []
        if candidates == before:
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
    content = _CACHE.content(_file_named(path))
    position = copy.deepcopy(content.state.position)
    return dataclasses.replace(content.state, position=position), copy.deepcopy(content.settings)


def variables(path: str | os.PathLike[str]) -> Tensors:
    """Read the tensors of a checkpoint by name, read-only; arguments and errors are those of `restore`."""
    return dict(_CACHE.content(_file_named(path)).tensors)


def settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the settings of the newest checkpoint of a directory, or of one checkpoint; errors as `load_variable`."""
    return copy.deepcopy(_CACHE.content(_file_named(_found(path))).settings)


def constants(path: str | os.PathLike[str]) -> Tensors:
    """Read the tensors that no step changes; arguments and errors are those of `restore`."""
    return {name: tensor for name, tensor in variables(path).items() if name not in STATE_TENSORS}


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
    ArgumentError, ArgumentTypeError
        There is no tensor of that name, or the name is no text.
    NotTrainedError
        The directory holds no checkpoint.
    CheckpointError
        The file is no sound checkpoint.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"name must be a str, got {name!r} of type {type(name).__name__}; name one variable")
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


def _candidates(model_dir: str) -> list[str]:
    """Return the files that may be the newest checkpoint, the likeliest first.

    A crash may fall between writing a checkpoint and listing it, so files of higher steps than any listed come
    first; then the one that the list points to, then the others, newest first.
    """
    try:
        index = read_index(model_dir)
        listed = [entry.step for entry in reversed(index.entries)]
        unlisted = [step for step in steps_on_disk(model_dir) if step > max(listed, default=-1)]
    except OSError as error:
        raise CheckpointError(f"cannot read {model_dir}: {error.strerror}. Make it readable") from error
    listed.sort(key=lambda step: step != index.newest)  # stable
    return [file_of(model_dir, step) for step in (*sorted(unlisted, reverse=True), *listed)]


def _file_named(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    return text if text.endswith(SUFFIX) else text + SUFFIX


def _found(path: str | os.PathLike[str]) -> str:
    """Return the checkpoint that a path means: itself, or the newest of a model directory."""
    text = os.fspath(path)
    if not os.path.isdir(text) and (os.path.exists(_file_named(text)) or is_stem(os.path.basename(text))):
        return text
    found = latest(text)
    if found is None:
        raise NotTrainedError(f"there is no checkpoint in {text}; train a model there, or give another model_dir")
    return found


def _identity(path: str) -> _Identity | None:
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


class _Cache:
    """What was read of which file, so that an unchanged file is read and judged once. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents: OrderedDict[_Identity, Content] = OrderedDict()  # the last used last
        self._faults: OrderedDict[tuple[str, _Identity | None], str | None] = OrderedDict()

    def content(self, path: str) -> Content:
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


_CACHE = _Cache()
