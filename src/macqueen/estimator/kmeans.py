"""KMeans, the class of the document: wires the rooms together, computes nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from macqueen import checkpoint, loop, reading, summaries
from macqueen import feature_columns as columns
from macqueen.config import KMeansParams, RunConfig, settle_config
from macqueen.config.checks import above_zero
from macqueen.engine import Engine, Kept, Kernels
from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.estimator.arguments import plain
from macqueen.estimator.exporting import Exporting
from macqueen.estimator.old_models import OldModels, old_checkpoints
from macqueen.estimator.opening import opened
from macqueen.estimator.reader import Reader
from macqueen.estimator.training import Training
from macqueen.hooks import History
from macqueen.model import Model
from macqueen.state import FloatArray
from macqueen.threads import resolve_threads
from macqueen.workers import Local

if TYPE_CHECKING:
    from macqueen.tf_estimator.modes import EstimatorSpec

_LOG = logging.getLogger("macqueen")


class KMeans(Exporting, OldModels):
    """K-means clustering with exact labels, exact sums and a model directory.

    The class of ``tf.compat.v1.estimator.experimental.KMeans``, without TensorFlow. The same data, parameters and
    seed give the same bits, whatever the threads, the instruction set, the blocks and the interruptions.

    Parameters
    ----------
    num_clusters
        How many clusters, k >= 1. Not looked at where `initial_clusters` is an array.
    model_dir
        Directory of the model: training continues from it and saves to it. None stands for a temporary one.
    initial_clusters
        `RANDOM_INIT`: distinct random rows; `KMEANS_PLUS_PLUS_INIT`; `KMEANS_PARALLEL_INIT`: k-means||, which reads
        the rows six times whatever k is; an array (k, d); or a callable ``f(inputs, k)`` that picks 0 to k rows from
        a batch (n, d), called until k are found.
    distance_metric
        `SQUARED_EUCLIDEAN_DISTANCE` or `COSINE_DISTANCE`.
    seed
        Integer behind every random choice; None takes ``config.tf_random_seed``, else draws and records one.
    use_mini_batch
        False: every step uses the whole input. True: every step uses one batch.
    mini_batch_steps_per_iteration
        Mini-batch steps after which the centers are updated.
    kmeans_plus_plus_num_retries
        Further candidates per center of k-means++ and k-means||; negative stands for 2 + floor(log(k)).
    relative_tolerance
        Stop when the loss of an iteration changes by less, relative to 1 + the loss before.
    config
        A `RunConfig`: where and how often to save, seeds, threads.
    feature_columns
        A column or columns of `macqueen.feature_columns`, which make rows of dicts and frames.
    batch_size
        Rows of a mini-batch that is cut from a data set.
    empty_clusters
        What a full-batch step does with a cluster that has no rows left: "relocate" it to the row farthest from
        its center, "keep" the center, raise an "error", or move it to the "origin" as the old estimator did.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        An argument breaks its rule (also `ValueError`, `TypeError`).
    """

    SQUARED_EUCLIDEAN_DISTANCE: ClassVar[str] = "squared_euclidean"
    COSINE_DISTANCE: ClassVar[str] = "cosine"
    RANDOM_INIT: ClassVar[str] = "random"
    KMEANS_PLUS_PLUS_INIT: ClassVar[str] = "kmeans_plus_plus"
    KMEANS_PARALLEL_INIT: ClassVar[str] = "kmeans_parallel"
    SCORE: ClassVar[str] = "score"
    CLUSTER_INDEX: ClassVar[str] = "cluster_index"
    ALL_DISTANCES: ClassVar[str] = "all_distances"
    CLUSTER_CENTERS_VAR_NAME: ClassVar[str] = "clusters"

    def __init__(
        self,
        num_clusters: int,
        model_dir: str | os.PathLike[str] | None = None,
        initial_clusters: Any = RANDOM_INIT,
        distance_metric: str = SQUARED_EUCLIDEAN_DISTANCE,
        seed: int | None = None,
        use_mini_batch: bool = True,
        mini_batch_steps_per_iteration: int = 1,
        kmeans_plus_plus_num_retries: int = 2,
        relative_tolerance: float | None = None,
        config: RunConfig | None = None,
        feature_columns: Any = None,
        *,
        batch_size: int = 1024,
        empty_clusters: str = "relocate",
    ) -> None:
        num_clusters, initial_clusters, feature_columns = plain(num_clusters, initial_clusters, feature_columns)
        self._params = KMeansParams(
            num_clusters=num_clusters,
            initial_clusters=initial_clusters,
            distance_metric=distance_metric,
            seed=seed,
            use_mini_batch=use_mini_batch,
            mini_batch_steps_per_iteration=mini_batch_steps_per_iteration,
            kmeans_plus_plus_num_retries=kmeans_plus_plus_num_retries,
            relative_tolerance=relative_tolerance,
            feature_columns=columns.checked(feature_columns),
            batch_size=batch_size,
            empty_clusters=empty_clusters,
        )
        self._config = settle_config(config, model_dir)
        self._begin()

    def _begin(self) -> None:
        self._kernels = Kernels(resolve_threads(self._config.num_threads))
        self._model = Model(self._params, self._config, partial(old_checkpoints, self._params, self._kernels))
        self._history = History()
        self._kept = Kept()

    def __repr__(self) -> str:
        changed = [f"{name}={value!r}" for name, value in self._params.changed().items()]
        return f"KMeans({', '.join([str(self._params.num_clusters), f'model_dir={self.model_dir!r}', *changed])})"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as arguments and model directory."""
        kept = {"memory": self._model.memory, "constants": self._model.constants}
        return {"params": self._params, "config": self.config, **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._params, self._config = state["params"], state["config"]
        self._begin()
        self._model.memory, self._model.constants = state["memory"], state["constants"]

    @property
    def model_dir(self) -> str:
        """The model's directory."""
        return self._model.directory

    @property
    def config(self) -> RunConfig:
        """A copy of the `RunConfig` in force."""
        return self._config.replace(model_dir=self.model_dir)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters passed on to an `input_fn` that asks for them: none, as with the old class."""
        return {}

    @property
    def model_fn(self) -> Callable[..., EstimatorSpec]:
        """A function that evaluates the model on one batch of features; calling it never changes the model."""

        def model_fn(features: Any, labels: Any, mode: str, config: RunConfig | None) -> EstimatorSpec:
            return self._reader().spec(features, mode)

        return model_fn

    def train(
        self,
        input_fn: Any,
        hooks: Sequence[Any] | None = None,
        steps: int | None = None,
        max_steps: int | None = None,
        saving_listeners: Sequence[Any] | None = None,
    ) -> Self:
        """Train on `input_fn`: rows, something that yields batches, or a callable that returns either.

        A stream (an iterator) is read once, each batch a step, until it ends. A data set (an array, a list of
        batches) is one step a pass in full-batch mode; with neither `steps` nor `max_steps` that goes on until
        the centers no longer move or the loss has not fallen for three steps, and mini-batch mode makes one pass.

        Parameters
        ----------
        input_fn
            The input.
        hooks
            Callables ``f(state, stats, now)`` (`macqueen.hooks`), called after each step, or objects with the
            methods of `macqueen.tf_estimator.SessionRunHook`.
        steps
            Steps to make in this call; calls add up.
        max_steps
            Step of the model to stop at; a model that is there is left alone.
        saving_listeners
            Objects with the methods of `macqueen.tf_estimator.CheckpointSaverListener`.

        Returns
        -------
        KMeans
            This object.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            Both `steps` and `max_steps`, or one below 1; something in `hooks` or `saving_listeners` is none.
        SettingsMismatchError
            The directory holds a model of other settings.
        DataError
            The input cannot be clustered; the model is that of its last checkpoint.
        """
        training = Training(self._model, self._config, self._history, hooks, saving_listeners)
        if steps is not None and max_steps is not None:
            raise ArgumentError(f"Can not provide both steps and max_steps; got {steps} and {max_steps}, give one")
        steps, max_steps = above_zero("steps", steps), above_zero("max_steps", max_steps)
        self._config.refuse_cluster()
        state = self._model.load()
        if max_steps is not None and state is not None and state.step >= max_steps:
            _LOG.info("Skipping training since max_steps has already saved.")
            return self
        seed = self._model.new_seed() if state is None else state.seed
        with self._source(input_fn, "train", seed) as source:
            if state is not None:
                self._model.check_width(state, source.dims)
            dtype = self._model.training_dtype(state, source.dtype)
            engine = Engine(self._params, self._kernels, self._config.memory_limit)
            limited = steps is not None or max_steps is not None
            data = Local().open(engine, source, seed=seed, dtype=dtype, endless=limited)
            training.begin()
            if state is None:
                given = engine.given_centers(dtype)
                state = engine.first_state(data.first_centers() if given is None else given, seed)
                self._model.check_width(state, source.dims)
            last_step = state.step + steps if steps is not None else max_steps
            settle = not limited and not source.is_stream and not self._params.use_mini_batch
            stop = loop.Stop(last_step, self._params.relative_tolerance, when_settled=settle)
            training.run(data, state, engine, stop)
        return self

    def history(self) -> dict[str, NDArray[Any]]:
        """Return what the steps of this object found out, a row a step, the oldest first.

        A very long history is thinned evenly. Event files hold that of earlier processes.

        Returns
        -------
        dict
            ``step``, ``rows`` (m,) int64; ``loss`` (of the last whole iteration), ``cost`` (of this step) and
            ``seconds`` (spent in `train` so far) (m,) float64; ``counts`` (m, k) int64, rows of each cluster.
        """
        return self._history.arrays(self._params.num_clusters)

    def evaluate(
        self,
        input_fn: Any,
        steps: int | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Measure how well the centers fit an input; write it into an event file in `eval_dir`.

        Parameters
        ----------
        input_fn
            As for `train`. A data set is one batch, whatever its size.
        steps
            Batches of a stream to read; None reads all.
        hooks
            As for `train`, called after each batch, with `macqueen.state.BatchStats`.
        checkpoint_path
            Checkpoint to evaluate; None takes the latest.
        name
            Of this evaluation, for `eval_dir`.

        Returns
        -------
        dict
            ``loss`` and ``score``: mean over batches of each batch's cost; ``average_loss`` (per row);
            ``sum_of_squared_distances`` (cosine: of cosine distances), the exact total; ``num_examples``;
            ``global_step``.
        """
        directory = self.eval_dir(name)
        reader = self._reader(hooks, checkpoint_path)
        metrics = reader.evaluate(input_fn, above_zero("steps", steps))
        _LOG.info("evaluated %s: %s", reader.checkpoint_path, metrics)
        if self._config.save_summary_steps:
            self._model.make_directory()
            summaries.write_evaluation(directory, metrics, reader.checkpoint_path, time.time())
        return metrics

    def score(self, input_fn: Any) -> float:
        """Return the sum of squared distances to the nearest centers, of a stream's first batch or of all rows."""
        return self.evaluate(input_fn, steps=1)[KMeans.SCORE]  # type: ignore[no-any-return]

    def predict(
        self,
        input_fn: Any,
        predict_keys: str | Sequence[str] | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
        yield_single_examples: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Yield ``all_distances`` (k,) and ``cluster_index`` () of each row, as they are asked for.

        Parameters
        ----------
        input_fn
            As for `train`; a data set is read in batches of `batch_size`, in row order.
        predict_keys
            Names of what to compute and yield; None means both. Labels alone never cost n x k memory.
        hooks
            As for `evaluate`.
        checkpoint_path
            Checkpoint to predict with; None takes the latest.
        yield_single_examples
            False yields one dict a batch: (n, k) and (n,).
        """
        keys = reading.known_keys(predict_keys)
        for batch in self._reader(hooks, checkpoint_path).predictions(input_fn, keys):
            if not yield_single_examples:
                yield batch
                continue
            for values in zip(*batch.values(), strict=True):
                yield dict(zip(batch, values, strict=True))

    def predict_cluster_index(self, input_fn: Any) -> Iterator[np.int64]:
        """Yield the index of the nearest center of each row, ties to the lowest index."""
        for batch in self._reader().predictions(input_fn, [KMeans.CLUSTER_INDEX]):
            yield from batch[KMeans.CLUSTER_INDEX]

    def transform(self, input_fn: Any, *, squared: bool = True) -> Iterator[FloatArray]:
        """Yield the distances (k,) of each row to all centers: squared Euclidean (or their root), or cosine."""
        root = not squared and self._params.distance_metric == KMeans.SQUARED_EUCLIDEAN_DISTANCE
        for batch in self._reader().predictions(input_fn, [KMeans.ALL_DISTANCES]):
            distances = batch[KMeans.ALL_DISTANCES]
            yield from np.sqrt(distances) if root else distances

    def labels(self, input_fn: Any) -> NDArray[np.int64]:
        """Return the index of the nearest center of each row, (n,) int64."""
        return self._reader().labels(input_fn)

    def nearest(self, input_fn: Any, m: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return indices (n, m) int64 of the `m` nearest centers of each row, and their distances (n, m).

        Their order is that of the exact distances, equals by the lowest index: the first column is `labels`. The
        distances are the numbers that `transform` yields.
        """
        return self._reader().nearest(input_fn, m)

    def cluster_centers(self) -> FloatArray:
        """Return the cluster centers (k, d) of the latest checkpoint."""
        return self._reader().state.centers.copy()

    def write_projector(self, names: Sequence[str] | None = None) -> str:
        """Write the centers, with k names if given, for TensorBoard's projector; return the path of its settings."""
        return summaries.write_projector(self.model_dir, self.cluster_centers(), names)

    def get_variable_names(self) -> list[str]:
        """Return the names of the variables in the latest checkpoint."""
        return sorted(self._model.variables())

    def get_variable_value(self, name: str | Sequence[str]) -> Any:
        """Return the value of a variable of the latest checkpoint; a list of names gives a list of values."""
        variables = self._model.variables()
        if isinstance(name, list | tuple):
            return [checkpoint.named(one, variables, self.model_dir) for one in name]
        return checkpoint.named(name, variables, self.model_dir)  # type: ignore[arg-type]  # it refuses what is no str

    def latest_checkpoint(self) -> str | None:
        """Return the full prefix of the latest checkpoint, or None."""
        found = checkpoint.newest(self.model_dir)
        return None if found is None else found.prefix

    def eval_dir(self, name: str | None = None) -> str:
        """Return the directory where the metrics of the evaluation `name` belong."""
        if name is not None and not isinstance(name, str):
            raise ArgumentTypeError(f"name must be a str or None; got {name!r}")
        return os.path.join(self.model_dir, f"eval_{name}" if name else "eval")

    # --- the model --------------------------------------------------------------------------------------

    def _source(self, input_fn: Any, mode: str, seed: int) -> AbstractContextManager[Any]:
        encoder, size = self._model.encoder(seed), self._params.batch_size
        return opened(input_fn, mode, lambda: self.config, self.params, size, encoder)

    def _reader(
        self, hooks: Sequence[Any] | None = None, checkpoint_path: str | os.PathLike[str] | None = None
    ) -> Reader:
        engine = Engine(self._params, self._kernels, kept=self._kept)
        return Reader(self._model, engine, self._source, hooks, checkpoint_path)
