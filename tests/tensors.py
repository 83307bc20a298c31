"""TensorFlow, imported by the first test that uses it: tests without it run in a process that has not loaded it."""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

import numpy as np


class _Lazy:
    """A module that is imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        found: Any = importlib.import_module("tensorflow")
        for part in self._name.split(".")[1:]:
            found = getattr(found, part)
        return getattr(found, name)


tf: Any = _Lazy("tensorflow")
tf1: Any = _Lazy("tensorflow.compat.v1")

ROWS = np.random.default_rng(0).integers(-100, 100, size=(240, 3)).astype(np.float32)
BATCH = 40


def batches(size=BATCH):
    """The rows as a stream of NumPy batches."""
    return iter([ROWS[at : at + size] for at in range(0, len(ROWS), size)])


def dataset(size=BATCH):
    """The rows as a dataset of batches, made where it is called."""
    return tf.data.Dataset.from_tensor_slices(ROWS).batch(size)


def reading_threads():
    """Threads that read an input or fill its queues."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(("macqueen-input", "QueueRunner"))]
