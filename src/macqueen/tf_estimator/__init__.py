"""``tf.estimator`` by name, without TensorFlow: ``import macqueen.tf_estimator as estimator``.

What needs a graph, or belongs to other models, is not there.
"""

from macqueen import inputs
from macqueen.config import RunConfig
from macqueen.errors import NanLossError as NanLossDuringTrainingError
from macqueen.tf_estimator import experimental
from macqueen.tf_estimator.hooks import (
    CheckpointSaverHook,
    FinalOpsHook,
    LoggingTensorHook,
    NanTensorHook,
    SecondOrStepTimer,
    StepCounterHook,
    StopAtStepHook,
)
from macqueen.tf_estimator.modes import EstimatorSpec, ModeKeys
from macqueen.tf_estimator.session import (
    CheckpointSaverListener,
    SessionRunArgs,
    SessionRunContext,
    SessionRunHook,
    SessionRunValues,
)

__all__ = [
    "CheckpointSaverHook",
    "CheckpointSaverListener",
    "EstimatorSpec",
    "FinalOpsHook",
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
    "experimental",
    "inputs",
]
