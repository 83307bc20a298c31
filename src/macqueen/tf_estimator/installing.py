"""Puts the mirror where TensorFlow had `tf.estimator`, so that an old program runs with one line added."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from macqueen import extras
from macqueen.errors import ArgumentError

# TensorFlow loads its compatible faces twice: as the attribute tf.compat.v1 and when imported by name.
PARENTS = ("tensorflow", "tensorflow.compat.v1", "tensorflow.compat.v2")
ATTRIBUTES = ("tensorflow._api.v2.compat.v1", "tensorflow._api.v2.compat.v2")
MODULES = ("experimental", "export", "inputs")


def install() -> None:
    """Make `tf.estimator` and `tf.compat.v1.estimator` this module, for attribute access and for imports.

    A second call changes nothing. The line belongs before the first import from `tensorflow.estimator`.

    Raises
    ------
    MissingExtraError
        TensorFlow is not installed.
    ArgumentError
        TensorFlow has a `tf.estimator` of its own: it is older than 2.16.
    """
    tf = extras.needed("tensorflow", "tensorflow", "install()")
    mirror = importlib.import_module("macqueen.tf_estimator")
    parents: dict[str, Any] = {name: importlib.import_module(name) for name in PARENTS}
    parents |= {name: sys.modules[name] for name in ATTRIBUTES if name in sys.modules}
    for name, parent in parents.items():
        if getattr(parent, "estimator", mirror) is not mirror:
            raise ArgumentError(
                f"install() must not replace a {name}.estimator that is there, and TensorFlow {tf.__version__} has "
                "one; use TensorFlow 2.16 or newer, or import macqueen.tf_estimator as estimator"
            )
    for name, parent in parents.items():
        parent.estimator = mirror
        sys.modules[f"{name}.estimator"] = mirror
        for module in MODULES:
            sys.modules[f"{name}.estimator.{module}"] = getattr(mirror, module)
