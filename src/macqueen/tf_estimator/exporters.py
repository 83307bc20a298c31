"""Exporters of the old API: which of the evaluated checkpoints become SavedModels."""

from __future__ import annotations

import glob
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from macqueen import extras
from macqueen.config.checks import integer, shown
from macqueen.errors import ArgumentError
from macqueen.exports.folder import exports_in

Metrics = Mapping[str, Any]


class Exporter(ABC):
    """Base of exporters: says after an evaluation whether the model is exported."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The folder below ``<model_dir>/export``."""

    @abstractmethod
    def export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str | None,
        eval_result: Metrics | None,
        is_the_final_export: bool,
    ) -> Any:
        """Export a checkpoint into a new folder of `export_path` and return its path, or do nothing and return None."""


class _SavedModels(Exporter):
    """Exports by `KMeans.export_saved_model`, and keeps the newest: what the exporters have in common."""

    def __init__(
        self,
        name: str,
        serving_input_receiver_fn: Callable[[], Any] | None,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        exports_to_keep: int | None = 5,
    ) -> None:
        self._name = name
        self._arguments = {"assets_extra": assets_extra, "as_text": as_text}
        self._receiver = serving_input_receiver_fn
        keep = exports_to_keep
        self._keep = None if keep is None else integer("exports_to_keep", keep, least=1)

    @property
    def name(self) -> str:
        """The folder below ``<model_dir>/export``."""
        return self._name

    def export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str | None,
        eval_result: Metrics | None,
        is_the_final_export: bool,
    ) -> Any:
        """Export, if this checkpoint is wanted."""
        if not self._wanted(estimator.model_dir, eval_result or {}, is_the_final_export):
            return None
        path = estimator.export_saved_model(
            export_path, self._receiver, checkpoint_path=checkpoint_path, **self._arguments
        )
        if self._keep is not None:
            for old in exports_in(export_path)[: -self._keep]:
                shutil.rmtree(os.path.join(export_path, old))
        return path

    def _wanted(self, model_dir: str, metrics: Metrics, final: bool) -> bool:
        return True


class FinalExporter(_SavedModels):
    """Exports the model once, at the end of training.

    Parameters
    ----------
    name
        The folder below ``<model_dir>/export``.
    serving_input_receiver_fn, assets_extra, as_text
        As for `KMeans.export_saved_model`.
    """

    def __init__(
        self,
        name: str,
        serving_input_receiver_fn: Callable[[], Any] | None,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
    ) -> None:
        super().__init__(name, serving_input_receiver_fn, assets_extra, as_text, exports_to_keep=None)

    def _wanted(self, model_dir: str, metrics: Metrics, final: bool) -> bool:
        return final


class LatestExporter(_SavedModels):
    """Exports the model after each evaluation, and keeps the newest exports.

    Parameters
    ----------
    name
        The folder below ``<model_dir>/export``.
    serving_input_receiver_fn, assets_extra, as_text
        As for `KMeans.export_saved_model`.
    exports_to_keep
        Older exports are deleted; None keeps all.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        `exports_to_keep` is not above 0.
    """


def _loss_smaller(best_eval_result: Metrics, current_eval_result: Metrics) -> bool:
    return bool(best_eval_result["loss"] > current_eval_result["loss"])


class BestExporter(_SavedModels):
    """Exports the model when its metrics are better than those of all evaluations before.

    Parameters
    ----------
    name
        The folder below ``<model_dir>/export``.
    serving_input_receiver_fn, assets_extra, as_text
        As for `KMeans.export_saved_model`.
    event_file_pattern
        Event files of earlier evaluations, relative to the model directory, so that a program that is started
        again knows the best of them; None looks at this process alone.
    compare_fn
        ``f(best_eval_result, current_eval_result)`` tells whether the second is better; by default a smaller loss is.
    exports_to_keep
        Older exports are deleted; None keeps all.
    """

    def __init__(
        self,
        name: str = "best_exporter",
        serving_input_receiver_fn: Callable[[], Any] | None = None,
        event_file_pattern: str | None = "eval/*.tfevents.*",
        compare_fn: Callable[..., bool] = _loss_smaller,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        exports_to_keep: int | None = 5,
    ) -> None:
        super().__init__(name, serving_input_receiver_fn, assets_extra, as_text, exports_to_keep)
        if not callable(compare_fn):
            raise ArgumentError(
                f"compare_fn must be a function f(best_eval_result, current_eval_result), got {shown(compare_fn)}; "
                "leave it out to compare losses"
            )
        self._pattern = event_file_pattern
        self._better = compare_fn
        self._model_dir: str | None = None
        self._best: Metrics | None = None

    def _wanted(self, model_dir: str, metrics: Metrics, final: bool) -> bool:
        if self._model_dir != model_dir and self._pattern is not None:
            self._model_dir = model_dir
            self._best = self._best_before(os.path.join(glob.escape(model_dir), self._pattern), metrics["global_step"])
        if self._best is not None and not self._better(best_eval_result=self._best, current_eval_result=metrics):
            return False
        self._best = metrics
        return True

    def _best_before(self, pattern: str, step: int) -> Metrics | None:
        """Return the best metrics in event files but for those of a step, which was just evaluated."""
        tf = extras.needed("tensorflow", "tensorflow", "BestExporter")
        best: Metrics | None = None
        for path in sorted(glob.glob(pattern)):
            for event in tf.compat.v1.train.summary_iterator(path):
                values = event.summary.value
                found = {value.tag: value.simple_value for value in values if value.HasField("simple_value")}
                if not found or event.step == step:
                    continue
                if best is None or self._better(best_eval_result=best, current_eval_result=found):
                    best = found
        return best
