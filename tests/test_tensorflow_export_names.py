"""`tf_estimator.export`: receivers and receiver functions of tf.estimator, with real tensors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from macqueen.errors import ArgumentError
from macqueen.tf_estimator import export

v1 = tf.compat.v1


@pytest.fixture(autouse=True)
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


def placeholder(name="x", dtype=tf.float32):
    return v1.placeholder(dtype, [None, 2], name)


def test_one_tensor_gets_the_old_names():
    x, y = placeholder(), placeholder("y", tf.string)
    receiver = export.ServingInputReceiver(x, y)
    assert receiver.features == {"feature": x}
    assert receiver.receiver_tensors == {"input": y}
    assert receiver.receiver_tensors_alternatives is None


def test_named_tensors_stay_as_they_are():
    x, y = placeholder(), placeholder("y", tf.string)
    receiver = export.ServingInputReceiver({"a": x, 3: x}, {"in": y}, {"other": y, "more": {"x": x}})
    assert receiver == ({"a": x, 3: x}, {"in": y}, {"other": {"input": y}, "more": {"x": x}})


def test_a_tensor_receiver_keeps_the_tensor():
    x = placeholder()
    receiver = export.TensorServingInputReceiver(features=x, receiver_tensors=x)
    assert receiver.features is x
    assert receiver.receiver_tensors == {"input": x}


def test_sparse_and_ragged_features_pass():
    sparse = v1.sparse_placeholder(tf.float32)
    ragged = v1.ragged.placeholder(tf.float32, 1)
    receiver = export.ServingInputReceiver({"s": sparse, "r": ragged}, placeholder())
    assert receiver.features == {"s": sparse, "r": ragged}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: export.ServingInputReceiver(None, x), "features must be defined"),
        (lambda x: export.ServingInputReceiver(x, None), "receiver_tensors must be defined"),
        (lambda x: export.ServingInputReceiver({"a": np.eye(2)}, x), r"features\['a'\] must be a Tensor"),
        (lambda x: export.ServingInputReceiver(x, {1: x}), "receiver_tensors: names must be strings, got 1"),
        (lambda x: export.ServingInputReceiver({2.5: x}, x), "features: names must be strings or integers, got 2.5"),
        (lambda x: export.ServingInputReceiver(x, x, [x]), "receiver_tensors_alternatives must be a dict"),
        (lambda x: export.ServingInputReceiver(x, x, {"a": 1}), r"receiver_tensors_alternatives\['a'\].* must be a T"),
        (lambda x: export.TensorServingInputReceiver({"a": x}, x), "features must be one tensor.*ServingInputReceiver"),
        (lambda x: export.TensorServingInputReceiver(None, x), "features must be defined"),
        (lambda x: export.SupervisedInputReceiver(x, None, x), "labels must be defined"),
        (export.build_raw_serving_input_receiver_fn, "features must be a dict"),
        (lambda x: export.PredictOutput({}), "at least one tensor"),
    ],
)
def test_what_is_no_tensor_is_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(placeholder())


def test_a_raw_receiver_feeds_what_has_the_dtype_and_shape(graph):
    with tf.Graph().as_default():
        given = {"a": v1.placeholder(tf.float64, [7, 2], "scope/a")}
    receiver = export.build_raw_serving_input_receiver_fn(given)()
    made = receiver.features["a"]
    assert receiver.receiver_tensors == receiver.features
    assert (made.graph, made.dtype, made.shape.as_list(), made.name) == (graph, tf.float64, [None, 2], "scope/a:0")


def test_a_raw_receiver_of_eager_tensors():
    with tf.init_scope():
        given = {"a": tf.zeros([7, 2])}
    receiver = export.build_raw_serving_input_receiver_fn(given, default_batch_size=5)()
    assert receiver.features["a"].shape.as_list() == [5, 2]


def test_a_parsing_receiver_reads_examples():
    receiver = export.build_parsing_serving_input_receiver_fn({"x": tf.io.FixedLenFeature([2], tf.float32)})()
    assert list(receiver.receiver_tensors) == ["examples"]
    assert receiver.receiver_tensors["examples"].name == "input_example_tensor:0"
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[1, 2]))
    example = tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
    with v1.Session() as session:
        found = session.run(receiver.features["x"], {receiver.receiver_tensors["examples"]: [example] * 3})
    assert found.tolist() == [[1, 2]] * 3


def test_outputs_make_signatures():
    x = placeholder()
    signature = export.PredictOutput(x).as_signature_def({"input": x})
    assert signature.method_name == "tensorflow/serving/predict"
    assert list(signature.outputs) == ["output"]
    output = export.EvalOutput(loss=x, predictions={"index": x}, metrics={"score": (x, x)})
    signature = output.as_signature_def({"input": x})
    assert signature.method_name == "tensorflow/supervised/eval"
    assert sorted(signature.outputs) == ["loss", "metrics/score/update_op", "metrics/score/value", "predictions/index"]
