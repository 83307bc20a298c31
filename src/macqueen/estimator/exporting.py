"""What KMeans has to leave for serving systems: SavedModel and ONNX."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from macqueen import checkpoint, reading
from macqueen.errors import ArgumentError
from macqueen.exports import Snapshot, onnx, saved_model
from macqueen.runtime import __version__

if TYPE_CHECKING:
    from macqueen.config import KMeansParams
    from macqueen.estimator.reader import Reader
    from macqueen.model import Model

Path = str | os.PathLike[str]


class Exporting:
    """The exporting methods of `KMeans`."""

    _params: KMeansParams
    _model: Model
    _reader: Callable[..., Reader]

    def export_saved_model(
        self,
        export_dir_base: Path,
        serving_input_receiver_fn: Callable[[], Any] | None = None,
        assets_extra: Mapping[str, Path] | None = None,
        as_text: bool = False,
        checkpoint_path: Path | None = None,
        experimental_mode: str = "infer",
    ) -> str:
        """Write the model as a TensorFlow SavedModel, which serves without macqueen; needs the extra `tensorflow`.

        Signatures ``serving_default`` and ``cluster_index`` give the labels (n,) int64, ``all_distances`` the
        distances (n, k), ``cluster_centers`` the centers (k, d); each as ``output``.

        Parameters
        ----------
        export_dir_base
            A folder, in which one is made that is named by the time in seconds.
        serving_input_receiver_fn
            Called in the graph that is written; returns a `macqueen.tf_estimator.export.ServingInputReceiver` or
            `TensorServingInputReceiver`. None: rows (n, d) of the model's dtype are fed as ``input``.
        assets_extra
            Files to copy, by their path below ``assets.extra``.
        as_text
            Write ``saved_model.pbtxt``.
        checkpoint_path
            Checkpoint to export; None takes the latest.
        experimental_mode
            "infer", or "train" or "eval" for a graph with loss and metric (and a step, for "train").

        Returns
        -------
        str
            Path of the new folder. It is there as a whole or not at all.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            An argument breaks its rule; a column hashes text, or has a function that takes no tensors.
        NotTrainedError
            There are no centers yet.
        ExportError
            The files cannot be written.
        """
        functions = {experimental_mode: serving_input_receiver_fn}
        return self._export(export_dir_base, functions, assets_extra, as_text, checkpoint_path)

    def export_savedmodel(
        self,
        export_dir_base: Path,
        serving_input_receiver_fn: Callable[[], Any] | None = None,
        assets_extra: Mapping[str, Path] | None = None,
        as_text: bool = False,
        checkpoint_path: Path | None = None,
        strip_default_attrs: bool = False,
    ) -> str:
        """Do what `export_saved_model` does, under its old name.

        Parameters
        ----------
        export_dir_base, serving_input_receiver_fn, assets_extra, as_text, checkpoint_path
            As for `export_saved_model`.
        strip_default_attrs
            Leave out attributes of default value, as `export_saved_model` does.
        """
        functions = {"infer": serving_input_receiver_fn}
        return self._export(
            export_dir_base, functions, assets_extra, as_text, checkpoint_path, strip_default_attrs=strip_default_attrs
        )

    def experimental_export_all_saved_models(
        self,
        export_dir_base: Path,
        input_receiver_fn_map: Mapping[str, Callable[[], Any]],
        assets_extra: Mapping[str, Path] | None = None,
        as_text: bool = False,
        checkpoint_path: Path | None = None,
    ) -> str:
        """Write graphs of several modes into one SavedModel, with one set of variables.

        Parameters
        ----------
        export_dir_base, assets_extra, as_text, checkpoint_path
            As for `export_saved_model`.
        input_receiver_fn_map
            Receiver functions by mode: "train", "eval", "infer", as in `macqueen.tf_estimator.ModeKeys`.

        Returns
        -------
        str
            Path of the new folder.

        Raises
        ------
        ArgumentError
            There is no mode, or one has no function; otherwise as for `export_saved_model`.
        """
        functions = dict(input_receiver_fn_map or {})
        if not functions or None in functions.values():
            raise ArgumentError(
                "No valid modes for exporting found: input_receiver_fn_map must have a receiver function for each "
                f"mode, got {input_receiver_fn_map!r}; give one for 'train', 'eval' or 'infer'"
            )
        return self._export(export_dir_base, functions, assets_extra, as_text, checkpoint_path)

    def export_onnx(self, path: Path, *, checkpoint_path: Path | None = None) -> str:
        """Write the model as an ONNX graph and check it with onnxruntime; needs the extra `onnx`.

        Its input is ``input``, rows (n, d) of the model's dtype; where there are feature columns, which must be
        numeric, their features (n, size) float64 by name. Outputs are ``cluster_index`` (n,) int64 and
        ``all_distances`` (n, k).

        Parameters
        ----------
        path
            The file; replaced as a whole if it is there.
        checkpoint_path
            Checkpoint to export; None takes the latest.

        Returns
        -------
        str
            The path.

        Raises
        ------
        ArgumentError
            A feature column is not numeric, or has a function of the user.
        NotTrainedError
            There are no centers yet.
        ExportError
            The file cannot be written, or does not say on sample rows what the model says; it is then not there.
        """
        reader = self._reader(checkpoint_path=checkpoint_path)

        def predict(rows: Any) -> Mapping[str, Any]:
            return next(reader.predictions(lambda: iter([rows]), reading.KEYS))

        return onnx.export(self._snapshot(reader), path, predict)

    def _export(
        self,
        base: Path,
        functions: Mapping[str, Callable[[], Any] | None],
        assets: Mapping[str, Path] | None,
        as_text: bool,
        checkpoint_path: Path | None,
        strip_default_attrs: bool = True,
    ) -> str:
        snapshot = self._snapshot(self._reader(checkpoint_path=checkpoint_path))
        return saved_model.export(snapshot, base, functions, assets, as_text, strip_default_attrs)

    def _snapshot(self, reader: Reader) -> Snapshot:
        settings = self._params.settings
        return Snapshot(
            state=reader.state,
            metric=settings["metric"],
            variables=checkpoint.old_variables(reader.state, settings, {}),
            steps_per_iteration=settings["steps_per_iteration"],
            layer=self._model.encoder(reader.state.seed),
            version=__version__,
        )
