"""``tf.estimator`` by name, without TensorFlow: ``import macqueen.tf_estimator as estimator``.

What needs a graph, or belongs to other models, is not there. ``install()`` puts this module at ``tf.estimator``, and
``python -m macqueen.tf_estimator FILE.py`` changes a program to use it.
"""

from macqueen import inputs
from macqueen.config import RunConfig
from macqueen.errors import NanLossError as NanLossDuringTrainingError
from macqueen.tf_estimator import experimental, export
from macqueen.tf_estimator.exporters import BestExporter, Exporter, FinalExporter, LatestExporter
from macqueen.tf_estimator.graph_input import graph_input
from macqueen.tf_estimator.hook_graph import REFUSED
from macqueen.tf_estimator.hooks import (
    CheckpointSaverHook,
    FinalOpsHook,
    LoggingTensorHook,
    NanTensorHook,
    SecondOrStepTimer,
    StepCounterHook,
    StopAtStepHook,
)
from macqueen.tf_estimator.installing import install
from macqueen.tf_estimator.modes import EstimatorSpec, ModeKeys
from macqueen.tf_estimator.session import (
    CheckpointSaverListener,
    SessionRunArgs,
    SessionRunContext,
    SessionRunHook,
    SessionRunValues,
)
from macqueen.tf_estimator.training import EvalSpec, TrainSpec, train_and_evaluate

__all__ = [
    "BestExporter",
    "CheckpointSaverHook",
    "CheckpointSaverListener",
    "EstimatorSpec",
    "EvalSpec",
    "Exporter",
    "FinalExporter",
    "FinalOpsHook",
    "LatestExporter",
    "LoggingTensorHook",
    "ModeKeys",
    "NanLossDuringTrainingError",
    "NanTensorHook",
    "RunConfig",
    "SecondOrStepTimer",
    "SessionRunArgs",
    "SessionRunContext",
    "SessionRunHook",
    "SessionRunValues",
    "StepCounterHook",
    "StopAtStepHook",
    "TrainSpec",
    "experimental",
    "export",
    "graph_input",
    "inputs",
    "install",
    "train_and_evaluate",
]


def __getattr__(name: str) -> object:
    remedy = REFUSED.get(name, "it belongs to other models or needs a graph; docs/migrating.md lists what is different")
    raise AttributeError(f"macqueen.tf_estimator has no {name!r}: {remedy}")
