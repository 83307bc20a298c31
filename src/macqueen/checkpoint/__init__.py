"""Checkpoints: save, find, restore, compare. docs/checkpoint-format.md is the format."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
from collections.abc import Mapping
from operator import methodcaller
from pathlib import Path
from typing import IO, Any, NamedTuple

from numpy.typing import NDArray

from macqueen.checkpoint.cache import CACHE, identity_of
from macqueen.checkpoint.encoding import STATE_TENSORS, Tensors, encoded, tensors_of
from macqueen.checkpoint.folder import (
    BACKUP,
    INDEX,
    SUFFIX,
    WRITTEN,
    Entry,
    Retention,
    file_of,
    index_text,
    is_stem,
    probe,
    read_index,
    remedy,
    retire,
    stem_of,
    steps_on_disk,
    unlisted,
)
from macqueen.checkpoint.foreign import COUNTS, PARTS, is_foreign, keep_list, listed, old_variables
from macqueen.errors import ArgumentError, ArgumentTypeError, CheckpointError, NotTrainedError, SettingsMismatchError
from macqueen.files import commit, remove_stale
from macqueen.state import State

__all__ = [
    "COUNTS",
    "PARTS",
    "Entry",
    "Newest",
    "Retention",
    "Tensors",
    "check_settings",
    "check_writable",
    "constants",
    "found_in",
    "identity_of",
    "is_foreign",
    "latest",
    "latest_checkpoint",
    "list_variables",
    "load_variable",
    "named",
    "newest",
    "old_variables",
    "restore",
    "retire",
    "save",
    "settings",
    "tensors_of",
    "variables",
]

_LOG = logging.getLogger("macqueen")


def save(
    model_dir: str,
    state: State,
    settings: dict[str, Any],
    retention: Retention,
    now: float,
    constants: Tensors | None = None,
    parts: Mapping[str, bytes] | None = None,
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
    parts : dict of bytes, optional
        The same checkpoint in TensorFlow's format, by suffix (`PARTS`). Files of a model that TensorFlow wrote stay.

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
        remove_stale(model_dir, WRITTEN, now)
        last_foreign = keep_list(model_dir)
        index = read_index(model_dir)
        if not index.entries and not steps_on_disk(model_dir):
            # Listed before it is there: a crash could leave the first one unlisted, which nothing would ever retire.
            path = os.path.join(model_dir, INDEX)
            commit(path, methodcaller("write", index_text([Entry(state.step, now)], now)))
        path = written
        commit(path, write)
        if parts and state.step > last_foreign:
            for suffix in PARTS:
                path = written.removesuffix(SUFFIX) + suffix
                commit(path, methodcaller("write", parts[suffix]))
        path = os.path.join(model_dir, INDEX)
        entries = [entry for entry in (*index.entries, *unlisted(model_dir, index)) if entry.step != state.step]
        entries = [entry for entry in entries if os.path.exists(file_of(model_dir, entry.step))]
        preserved = now if index.last_preserved is None else index.last_preserved
        keep, drop, preserved = retire([*entries, Entry(state.step, now)], retention, preserved)
        if any(entry.step == index.newest for entry in drop):
            # The list must not point to one that is gone: TensorFlow would find none, and we its own of that step.
            commit(path, methodcaller("write", index_text([*drop, *keep], preserved)))
        # Files first: one that a crash leaves listed is passed over, one that it left unlisted would stay for ever.
        for entry in drop:
            parts_of_it = reversed(PARTS) if entry.step > last_foreign else ()
            for suffix in (*parts_of_it, SUFFIX):
                path = os.path.join(model_dir, stem_of(entry.step) + suffix)
                Path(path).unlink(missing_ok=True)
        path = os.path.join(model_dir, INDEX)
        commit(path, methodcaller("write", index_text(keep, preserved)))
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
            reason = CACHE.fault(path)
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


class Newest(NamedTuple):
    """The checkpoint that a model goes on from."""

    prefix: str
    foreign: bool  # in TensorFlow's format


def newest(model_dir: str | os.PathLike[str]) -> Newest | None:
    """Find the checkpoint that a model goes on from: TensorFlow's, where it wrote last or ours are not sound.

    Raises
    ------
    CheckpointError
        As `latest`; or there are checkpoints of TensorFlow, and none that a list names: to begin anew is to lose one.
    """
    folder = os.fspath(model_dir)
    if not os.path.lexists(folder):  # most new models: nothing to look for
        return None
    ours = latest(folder)
    theirs = listed(folder, INDEX)
    if theirs is not None and is_foreign(theirs):
        return Newest(theirs, True)
    if ours is not None:
        return Newest(ours, False)
    theirs = theirs or listed(folder, BACKUP)
    if theirs is not None:
        return Newest(theirs, True)
    lost = sorted(path.name for path in Path(folder).glob("model.ckpt-*" + PARTS[-1]))
    if lost:
        raise CheckpointError(
            f"{folder} has checkpoints of TensorFlow ({', '.join(lost)}), but its list {INDEX!r} names none of them. "
            "Give the prefix of one to KMeans.from_tensorflow, mend the list, or give another model_dir"
        )
    return None


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
    content = CACHE.content(_file_named(path))
    position = copy.deepcopy(content.state.position)
    return dataclasses.replace(content.state, position=position), copy.deepcopy(content.settings)


def variables(path: str | os.PathLike[str]) -> Tensors:
    """Read the tensors of a checkpoint by name, read-only; arguments and errors are those of `restore`."""
    return dict(CACHE.content(_file_named(path)).tensors)


def settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the settings of the newest checkpoint of a directory, or of one checkpoint; errors as `load_variable`."""
    return copy.deepcopy(CACHE.content(_file_named(found_in(path))).settings)


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
    return sorted((name, list(tensor.shape)) for name, tensor in variables(found_in(path)).items())


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
    prefix = found_in(path)
    return named(name, variables(prefix), prefix)


def named(name: str, tensors: Tensors, where: str) -> NDArray[Any]:
    """Return one of the tensors that are kept somewhere; arguments and errors are those of `load_variable`."""
    if not isinstance(name, str):
        raise ArgumentTypeError(f"name must be a str, got {name!r} of type {type(name).__name__}; name one variable")
    key = name.removesuffix(":0")
    if key not in tensors:
        raise ArgumentError(f"no variable {name!r} in {where}; known: {', '.join(sorted(tensors))}")
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


def found_in(path: str | os.PathLike[str]) -> str:
    """Return the checkpoint that a path means: itself, or the newest of a model directory."""
    text = os.fspath(path)
    if not os.path.isdir(text) and (os.path.exists(_file_named(text)) or is_stem(os.path.basename(text))):
        return text
    found = latest(text)
    if found is None:
        what_to_do = "train a model there, or give another model_dir"
        if newest(text) is not None:
            what_to_do = f"TensorFlow wrote the one that is there: read it with macqueen.KMeans(model_dir={text!r})"
        raise NotTrainedError(f"there is no checkpoint in {text}; {what_to_do}")
    return found
