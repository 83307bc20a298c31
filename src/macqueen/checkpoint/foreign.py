"""Checkpoints in TensorFlow's format beside ours: which files they are, and which of them are not ours to touch.

What is in them is read and made elsewhere (`macqueen.tf_estimator.old_checkpoints`).
"""

from __future__ import annotations

import os
from pathlib import Path

from macqueen.checkpoint.folder import BACKUP, INDEX, SUFFIX, commit, read_index, stem_of

PARTS = (".data-00000-of-00001", ".index")  # as written: the last one makes them a checkpoint


def is_foreign(prefix: str) -> bool:
    """Whether a prefix names a checkpoint that is there in TensorFlow's format alone."""
    return os.path.exists(prefix + PARTS[-1]) and not os.path.exists(prefix + SUFFIX)


def listed(model_dir: str, name: str) -> str | None:
    """Return the prefix that a list points to, if there is a checkpoint of TensorFlow's format."""
    newest = read_index(model_dir, name).newest
    prefix = None if newest is None else os.path.join(model_dir, stem_of(newest))
    return prefix if prefix is not None and os.path.exists(prefix + PARTS[-1]) else None


def keep_list(model_dir: str) -> int:
    """Copy a list that TensorFlow wrote, before ours takes its name; return the last step that is not ours.

    The files of that step and of those before it are never written to or deleted, listed or not.
    """
    prefix = listed(model_dir, INDEX)
    if prefix is not None and is_foreign(prefix) and prefix != listed(model_dir, BACKUP):
        text = Path(model_dir, INDEX).read_bytes()
        commit(os.path.join(model_dir, BACKUP), lambda file: file.write(text))
    return max((entry.step for entry in read_index(model_dir, BACKUP).entries), default=-1)
