"""The files of a model directory: their names, the list of checkpoints, and which of them stay."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from macqueen.files import missing_folders, modified, remove_folders

SUFFIX = ".safetensors"
INDEX = "checkpoint"  # the text file that lists the checkpoints, in TensorFlow's textual form
BACKUP = "checkpoint.tensorflow"  # that of TensorFlow, kept where we went on from its model
WRITTEN = r"checkpoint(?:\.tensorflow)?|model\.ckpt-[0-9]+\.(?:safetensors|index|data-00000-of-00001)"  # as a pattern

_STEM = re.compile(r"model\.ckpt-(0|[1-9][0-9]{0,18})")
_LINE = re.compile(r'(\w+):\s*"?([^"]*?)"?\s*')
_REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "Free space there, or give another model_dir",
    (errno.EACCES, errno.EPERM, errno.EROFS): "Make it writable, or give another model_dir",
    (errno.EEXIST, errno.ENOTDIR): "A model_dir is a folder, and so is all above it: give another one",
}


class Entry(NamedTuple):
    """A checkpoint in the list."""

    step: int
    timestamp: float  # seconds since the epoch


@dataclass(frozen=True)
class Index:
    """What the text file `checkpoint` says."""

    entries: list[Entry]  # oldest first
    newest: int | None  # step of the one it points to
    last_preserved: float | None  # timestamp


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


def stem_of(step: int) -> str:
    """Return the name of the checkpoint of a step, without the suffix."""
    return f"model.ckpt-{step}"


def file_of(model_dir: str, step: int) -> str:
    """Return the path of the checkpoint of a step."""
    return os.path.join(model_dir, stem_of(step) + SUFFIX)


def is_stem(name: str) -> bool:
    """Whether a name is that of a checkpoint, without the suffix."""
    return _STEM.fullmatch(name) is not None


def steps_on_disk(model_dir: str) -> list[int]:
    """Return the steps of all files that are named like a checkpoint; of no folder: none."""
    try:
        names = os.listdir(model_dir)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = (_STEM.fullmatch(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX))
    return [int(match[1]) for match in found if match]


def read_index(model_dir: str, file_name: str = INDEX) -> Index:
    """Read a list. What is not understood is passed over, a missing list is empty."""
    try:
        with open(os.path.join(model_dir, file_name), encoding="utf-8", errors="replace") as file:
            lines = [match.groups() for match in map(_LINE.fullmatch, file) if match]
    except (FileNotFoundError, NotADirectoryError):
        return Index([], None, None)
    names = [value for key, value in lines if key == "all_model_checkpoint_paths"]
    times = [_number(value) for key, value in lines if key == "all_model_checkpoint_timestamps"]
    if len(times) != len(names):
        times = [None] * len(names)
    entries: dict[int, Entry] = {}
    for name, time in zip(names, times, strict=True):
        match = _STEM.fullmatch(name)
        if match:
            step = int(match[1])
            entries.pop(step, None)
            entries[step] = Entry(step, modified(file_of(model_dir, step)) if time is None else time)
    pointed = [_STEM.fullmatch(value) for key, value in lines if key == "model_checkpoint_path"]
    preserved = [_number(value) for key, value in lines if key == "last_preserved_timestamp"]
    newest = pointed[-1] if pointed else None
    return Index(list(entries.values()), int(newest[1]) if newest else None, preserved[-1] if preserved else None)


def unlisted(model_dir: str, index: Index) -> list[Entry]:
    """Return the checkpoints that a crash left on disk after the last one that is listed."""
    last = max((entry.step for entry in index.entries), default=None)
    if last is None:
        return []
    steps = sorted(step for step in steps_on_disk(model_dir) if step > last)
    return [Entry(step, modified(file_of(model_dir, step))) for step in steps]


def index_text(entries: Sequence[Entry], last_preserved: float) -> bytes:
    """Return the list as text, in the form of TensorFlow's CheckpointState; the last entry is the newest."""
    lines = [f'model_checkpoint_path: "model.ckpt-{entries[-1].step}"']
    lines += [f'all_model_checkpoint_paths: "model.ckpt-{entry.step}"' for entry in entries]
    lines += [f"all_model_checkpoint_timestamps: {float(entry.timestamp)!r}" for entry in entries]
    lines += [f"last_preserved_timestamp: {float(last_preserved)!r}"]
    return "\n".join([*lines, ""]).encode("ascii")


def probe(model_dir: str) -> None:
    """Raise OSError unless files can be written into a folder, which is left as it was, or as missing as it was."""
    if os.path.isdir(model_dir):
        with tempfile.TemporaryFile(dir=model_dir, buffering=0):
            return
    missing = missing_folders(model_dir)
    try:
        os.makedirs(model_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=model_dir):
            pass
    finally:
        remove_folders(missing)


def remedy(error: OSError) -> str:
    """Return what to do about a file that could not be written."""
    known = (text for codes, text in _REMEDIES.items() if error.errno in codes)
    return next(known, "Give a model_dir that can be written")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
