"""`ModeKeys` and `EstimatorSpec` of the old API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from macqueen.errors import ArgumentError


class ModeKeys:
    """What a model is asked for; an `input_fn` may take it as ``mode``."""

    TRAIN: ClassVar[str] = "train"
    EVAL: ClassVar[str] = "eval"
    PREDICT: ClassVar[str] = "infer"


MODES = (ModeKeys.TRAIN, ModeKeys.EVAL, ModeKeys.PREDICT)


@dataclass(frozen=True)
class EstimatorSpec:
    """What a `model_fn` returns.

    Parameters
    ----------
    mode
        One of `ModeKeys`.
    predictions
        Results of each row, by name. Required to predict.
    loss
        Of the batch. Required to train and to evaluate.
    train_op
        What makes a step when it is called; None where nothing does.
    eval_metric_ops
        Metrics by name, each a pair (value, update).
    export_outputs
        What a serving system may ask for, by name.
    training_chief_hooks, training_hooks, evaluation_hooks, prediction_hooks
        Hooks.
    scaffold
        Kept as it is.

    Raises
    ------
    ArgumentError
        The mode is unknown, or lacks what it requires.
    """

    mode: str
    predictions: Any = None
    loss: float | None = None
    train_op: Any = None
    eval_metric_ops: Mapping[str, Any] | None = None
    export_outputs: Mapping[str, Any] | None = None
    training_chief_hooks: tuple[Any, ...] = ()
    training_hooks: tuple[Any, ...] = ()
    scaffold: Any = None
    evaluation_hooks: tuple[Any, ...] = ()
    prediction_hooks: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        check_mode(self.mode)
        if self.mode == ModeKeys.PREDICT and self.predictions is None:
            raise ArgumentError("Missing predictions: mode 'infer' requires them; give a dict of arrays")
        if self.mode != ModeKeys.PREDICT and self.loss is None:
            raise ArgumentError(f"Missing loss: mode {self.mode!r} requires it; give that of the batch")


def check_mode(mode: object) -> None:
    """Refuse what is none of `ModeKeys`."""
    if mode not in MODES:
        raise ArgumentError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}; take it from ModeKeys")
