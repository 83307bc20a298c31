"""``tf.estimator.export`` by name: what a serving system sends in, and what it gets back.

The classes hold real tensors of a TensorFlow graph; `KMeans.export_saved_model` calls a receiver function inside the
graph it writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from macqueen import extras
from macqueen.config.checks import shown
from macqueen.errors import ArgumentError

__all__ = [
    "EvalOutput",
    "ExportOutput",
    "PredictOutput",
    "ServingInputReceiver",
    "SupervisedInputReceiver",
    "TensorServingInputReceiver",
    "UnsupervisedInputReceiver",
    "build_parsing_serving_input_receiver_fn",
    "build_raw_serving_input_receiver_fn",
]

# What a tensor without a name is called.
FEATURE = "feature"
RECEIVER = "input"
LABEL = "label"


class _Receiver(NamedTuple):
    features: Any
    receiver_tensors: Any
    receiver_tensors_alternatives: Any


class _Supervised(NamedTuple):
    features: Any
    labels: Any
    receiver_tensors: Any


class ServingInputReceiver(_Receiver):
    """What a serving request holds, and the features made of it.

    Parameters
    ----------
    features
        A tensor, SparseTensor or RaggedTensor, or a dict of them by name (a string or integer); a single one is
        kept as ``{"feature": tensor}``.
    receiver_tensors
        The tensors that are fed: one, kept as ``{"input": tensor}``, or a dict by name.
    receiver_tensors_alternatives
        Further ways to feed the same features: a dict of name to what `receiver_tensors` takes.

    Raises
    ------
    ArgumentError
        Something is missing or is no tensor, or a name is no string.
    """

    __slots__ = ()

    def __new__(
        cls, features: Any, receiver_tensors: Any, receiver_tensors_alternatives: Mapping[str, Any] | None = None
    ) -> Self:
        """Check, and wrap what has no name."""
        features = named_tensors(features, "features", FEATURE, integers=True)
        receiver_tensors = named_tensors(receiver_tensors, "receiver_tensors", RECEIVER)
        alternatives = None
        if receiver_tensors_alternatives is not None:
            if not isinstance(receiver_tensors_alternatives, Mapping):
                raise ArgumentError(
                    "receiver_tensors_alternatives must be a dict of name to receiver tensors, got "
                    f"{receiver_tensors_alternatives!r}; give each alternative a name"
                )
            alternatives = {
                name: named_tensors(tensors, f"receiver_tensors_alternatives[{name!r}]", RECEIVER)
                for name, tensors in receiver_tensors_alternatives.items()
            }
        return super().__new__(cls, features, receiver_tensors, alternatives)


class TensorServingInputReceiver(_Receiver):
    """As `ServingInputReceiver`, with features that are one tensor and stay one: a model without named features.

    Parameters
    ----------
    features
        A tensor, SparseTensor or RaggedTensor.
    receiver_tensors, receiver_tensors_alternatives
        As for `ServingInputReceiver`.

    Raises
    ------
    ArgumentError
        `features` is no tensor; otherwise as for `ServingInputReceiver`.
    """

    __slots__ = ()

    def __new__(
        cls, features: Any, receiver_tensors: Any, receiver_tensors_alternatives: Mapping[str, Any] | None = None
    ) -> Self:
        """Check, and wrap receiver tensors without a name."""
        if isinstance(features, Mapping):
            raise ArgumentError(
                f"features must be one tensor, got a dict of {', '.join(map(repr, features))}; use ServingInputReceiver"
            )
        checked = ServingInputReceiver(features, receiver_tensors, receiver_tensors_alternatives)
        return super().__new__(cls, features, *checked[1:])


class UnsupervisedInputReceiver(ServingInputReceiver):
    """What a training or evaluation request of a model without labels holds, and the features made of it.

    Parameters
    ----------
    features, receiver_tensors
        As for `ServingInputReceiver`.
    """

    __slots__ = ()

    def __new__(cls, features: Any, receiver_tensors: Any) -> Self:
        """Check, and wrap what has no name."""
        return super().__new__(cls, features, receiver_tensors)


class SupervisedInputReceiver(_Supervised):
    """As `UnsupervisedInputReceiver`, with labels; a k-means model takes none and says so when it is exported.

    Parameters
    ----------
    features, labels
        A tensor, SparseTensor or RaggedTensor, or a dict of them; kept as they are.
    receiver_tensors
        As for `ServingInputReceiver`.
    """

    __slots__ = ()

    def __new__(cls, features: Any, labels: Any, receiver_tensors: Any) -> Self:
        """Check, and wrap receiver tensors without a name."""
        named_tensors(features, "features", FEATURE, integers=True)
        named_tensors(labels, "labels", LABEL, integers=True)
        return super().__new__(cls, features, labels, named_tensors(receiver_tensors, "receiver_tensors", RECEIVER))


def build_raw_serving_input_receiver_fn(
    features: Mapping[str, Any], default_batch_size: int | None = None
) -> Callable[[], ServingInputReceiver]:
    """Return a receiver function that feeds features as they are.

    Parameters
    ----------
    features
        Tensors by name, eager or of any graph: only their dtypes and shapes are looked at.
    default_batch_size
        Rows of a request; None leaves that open.

    Raises
    ------
    ArgumentError
        `features` is no dict, or holds something that is no dense tensor.
    """
    if not isinstance(features, Mapping):
        raise ArgumentError(f"features must be a dict of name to tensor, got {features!r}; give the tensor a name")
    tensors = named_tensors(features, "features", FEATURE)
    for name, tensor in tensors.items():
        if not isinstance(tensor, _tensorflow().Tensor):
            raise ArgumentError(
                f"features[{name!r}] must be a dense tensor, got a {type(tensor).__name__}, which cannot be fed as it "
                "is; use build_parsing_serving_input_receiver_fn"
            )

    def serving_input_receiver_fn() -> ServingInputReceiver:
        placeholders = {name: _placeholder(tensor, default_batch_size) for name, tensor in tensors.items()}
        return ServingInputReceiver(placeholders, placeholders)

    return serving_input_receiver_fn


def build_parsing_serving_input_receiver_fn(
    feature_spec: Mapping[str, Any], default_batch_size: int | None = None
) -> Callable[[], ServingInputReceiver]:
    """Return a receiver function that is fed serialized ``tf.train.Example`` under the name ``examples``.

    Parameters
    ----------
    feature_spec
        What `tf.io.parse_example` takes: ``{name: tf.io.FixedLenFeature(...)}``.
    default_batch_size
        Examples of a request; None leaves that open.
    """

    def serving_input_receiver_fn() -> ServingInputReceiver:
        tf = _tensorflow()
        shape = [default_batch_size]
        serialized = tf.compat.v1.placeholder(tf.string, shape, name="input_example_tensor")
        features = tf.io.parse_example(serialized, dict(feature_spec))
        return ServingInputReceiver(features, {"examples": serialized})

    return serving_input_receiver_fn


class ExportOutput(ABC):
    """Base of what one signature of a SavedModel returns."""

    @abstractmethod
    def as_signature_def(self, receiver_tensors: Mapping[str, Any]) -> Any:
        """Return the `SignatureDef` of these outputs, fed by receiver tensors."""


class PredictOutput(ExportOutput):
    """Tensors to return from a request to predict.

    Parameters
    ----------
    outputs
        A tensor, kept as ``{"output": tensor}``, or a dict of them by name.

    Raises
    ------
    ArgumentError
        There is none, one is no tensor, or a name is no string.
    """

    def __init__(self, outputs: Any) -> None:
        self._outputs = named_tensors(outputs, "outputs", "output")
        if not self._outputs:
            raise ArgumentError("outputs must hold at least one tensor, got an empty dict; name what to return")

    @property
    def outputs(self) -> dict[str, Any]:
        """The tensors by name."""
        return self._outputs

    def as_signature_def(self, receiver_tensors: Mapping[str, Any]) -> Any:
        """Return a signature of the method ``tensorflow/serving/predict``."""
        return _tensorflow().compat.v1.saved_model.predict_signature_def(dict(receiver_tensors), self._outputs)


class EvalOutput(ExportOutput):
    """What an eval graph returns, under the names of the old signatures.

    Parameters
    ----------
    loss, predictions
        A tensor, or a dict of them by name.
    metrics
        Pairs (value, update) by name.
    """

    def __init__(self, loss: Any = None, predictions: Any = None, metrics: Mapping[str, Any] | None = None) -> None:
        self.loss = {} if loss is None else _prefixed(loss, "loss")
        self.predictions = {} if predictions is None else _prefixed(predictions, "predictions")
        self.metrics: dict[str, Any] = {}
        for name, (value, update) in (metrics or {}).items():
            self.metrics[f"metrics/{name}/value"] = value
            self.metrics[f"metrics/{name}/update_op"] = update

    def as_signature_def(self, receiver_tensors: Mapping[str, Any]) -> Any:
        """Return a signature of the method ``tensorflow/supervised/eval``."""
        saved_model = _tensorflow().compat.v1.saved_model
        outputs = {**self.loss, **self.metrics, **self.predictions}
        tensors = [
            {name: saved_model.build_tensor_info(tensor) for name, tensor in named.items()}
            for named in (receiver_tensors, outputs)
        ]
        return saved_model.build_signature_def(*tensors, "tensorflow/supervised/eval")


def named_tensors(tensors: Any, argument: str, default: str, integers: bool = False) -> dict[Any, Any]:
    """Return tensors by name; one without a name gets the default.

    Raises
    ------
    ArgumentError
        There is none, something is no tensor, or a name is no string (or integer, where those are allowed).
    """
    if tensors is None:
        raise ArgumentError(f"{argument} must be defined, got None; give a tensor, or a dict of name to tensor")
    named = dict(tensors) if isinstance(tensors, Mapping) else {default: tensors}
    tf = _tensorflow()
    for name, tensor in named.items():
        if not isinstance(name, (str, int) if integers else str):
            kinds = "strings or integers" if integers else "strings"
            raise ArgumentError(f"{argument}: names must be {kinds}, got {name!r}; rename it")
        if not isinstance(tensor, tf.Tensor | tf.SparseTensor | tf.RaggedTensor):
            raise ArgumentError(
                f"{argument}[{name!r}] must be a Tensor, SparseTensor or RaggedTensor, got {shown(tensor)}; "
                "make one, such as tf.compat.v1.placeholder(tf.float32, [None, d])"
            )
    return named


def _placeholder(tensor: Any, rows: int | None) -> Any:
    """Return a placeholder of the dtype and shape of a tensor, for any number of rows; named alike in graphs."""
    tf = _tensorflow()
    shape = tf.TensorShape([rows]).concatenate(tensor.shape[1:])
    name = None if hasattr(tensor, "numpy") else tensor.op.name  # an eager tensor has no name
    return tf.compat.v1.placeholder(tensor.dtype, shape, name)


def _prefixed(tensors: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(tensors, Mapping):
        return {prefix: tensors}
    return {name if name == prefix else f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _tensorflow() -> Any:
    return extras.needed("tensorflow", "tensorflow", "a model for serving")
