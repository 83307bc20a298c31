"""Tensors as arguments, and functions that choose centers with TensorFlow."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import macqueen
from macqueen.errors import ArgumentError, ArgumentTypeError
from macqueen.tf_estimator import experimental
from tests.models import NOT_SAVED
from tests.tensors import ROWS, dataset, tf, tf1

both_classes = pytest.mark.parametrize("kind", [experimental.KMeans, macqueen.KMeans], ids=["old", "macqueen"])
CENTERS = ROWS[:3]


def in_graph(make):
    """The same made in a graph that stays the default one: (graph, value)."""
    with tf.Graph().as_default():
        return make()


@both_classes
@pytest.mark.parametrize(
    "make", [lambda: tf.constant(3), lambda: tf.Variable(3), lambda: in_graph(lambda: tf.constant(1) + 2)]
)
def test_num_clusters_is_an_integer_tensor(kind, make):
    assert kind(make(), config=NOT_SAVED).train(ROWS).cluster_centers().shape == (3, 3)


def given():
    return {
        "eager": lambda: tf.constant(CENTERS),
        "variable": lambda: tf.Variable(CENTERS),
        "constant of a graph": lambda: in_graph(lambda: tf.constant(CENTERS)),
        "computed in a graph": lambda: in_graph(lambda: tf.constant(CENTERS - 1) + 1),
        "variable of a graph": lambda: in_graph(lambda: tf1.get_variable("centers", initializer=CENTERS)),
    }


@both_classes
@pytest.mark.parametrize("name", given())
def test_initial_clusters_is_a_tensor(kind, name):
    model = kind(17, initial_clusters=given()[name](), config=NOT_SAVED)
    assert np.array_equal(model.cluster_centers(), CENTERS)
    same = kind(17, initial_clusters=CENTERS, config=NOT_SAVED).train(dataset)
    assert model.train(dataset).cluster_centers().tobytes() == same.cluster_centers().tobytes()


def test_bad_tensors_are_refused():
    with pytest.raises(ArgumentTypeError, match=r"num_clusters must be an integer, got .*3\.5"):
        macqueen.KMeans(tf.constant(3.5))
    with pytest.raises(ArgumentTypeError, match="num_clusters must be an integer"):
        macqueen.KMeans(tf.constant([3, 4]))
    with pytest.raises(ArgumentTypeError, match="initial_clusters must hold real numbers"):
        macqueen.KMeans(3, initial_clusters=tf.constant([["a"]]))
    with pytest.raises(ArgumentError, match=r"num_clusters must have a value before training.*feed a value.*array"):
        in_graph(lambda: macqueen.KMeans(tf1.placeholder(tf.int32)))


def first_rows(inputs, k):
    return tf.reverse(tf.convert_to_tensor(inputs), axis=[0])[:k]


@both_classes
def test_a_function_may_choose_with_tensorflow(kind):
    def choose(inputs, k):
        assert isinstance(inputs, np.ndarray)
        return first_rows(inputs, k)

    model = kind(3, initial_clusters=choose, config=NOT_SAVED)
    assert np.array_equal(model.train(dataset, steps=1).history()["step"], [1])
    expected = kind(3, initial_clusters=lambda inputs, k: inputs[::-1][:k], config=NOT_SAVED).train(dataset, steps=1)
    assert model.cluster_centers().tobytes() == expected.cluster_centers().tobytes()
    with tf.Graph().as_default() as graph:
        again = kind(3, initial_clusters=choose, config=NOT_SAVED).train(dataset, steps=1)
        assert graph.get_operations() == []
    assert again.cluster_centers().tobytes() == expected.cluster_centers().tobytes()


def test_a_model_with_tensors_pickles():
    model = macqueen.KMeans(tf.constant(3), initial_clusters=first_rows, config=NOT_SAVED).train(dataset)
    again = pickle.loads(pickle.dumps(model))
    assert again.train(dataset).cluster_centers().tobytes() == model.train(dataset).cluster_centers().tobytes()
