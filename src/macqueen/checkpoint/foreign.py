"""Checkpoints in TensorFlow's format beside ours: what they hold, which files they are, which are not ours to touch.

They are read and made elsewhere (`macqueen.tf_estimator.old_checkpoints`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from macqueen.checkpoint.encoding import Tensors, tensors_of
from macqueen.checkpoint.folder import BACKUP, INDEX, SUFFIX, read_index, stem_of
from macqueen.files import commit
from macqueen.state import State

PARTS = (".data-00000-of-00001", ".index")  # as written: the last one makes them a checkpoint
COUNTS = "Variable"  # what the old class called cluster_counts


def old_variables(state: State, settings: dict[str, Any], constants: Tensors) -> Tensors:
    """Return the variables of a state, and those beside it, under the names that the old class gave them."""
    found = tensors_of(state, settings, constants)
    if state.counts is not None:
        found[COUNTS] = found.pop("cluster_counts")
    return {**found, "initialized": np.array(True)}


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
