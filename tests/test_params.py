"""KMeansParams: what is accepted, what is refused and how, what is stored."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen.config import KMeansParams
from macqueen.errors import ArgumentError, ArgumentTypeError


def make(**arguments):
    return KMeansParams(**{"num_clusters": 3, **arguments})


def test_defaults_are_those_of_the_document():
    params = KMeansParams(3)
    assert (params.num_clusters, params.initial_clusters, params.distance_metric) == (3, "random", "squared_euclidean")
    assert (params.seed, params.use_mini_batch, params.mini_batch_steps_per_iteration) == (None, True, 1)
    assert (params.kmeans_plus_plus_num_retries, params.relative_tolerance) == (2, None)
    assert (params.feature_columns, params.batch_size, params.empty_clusters) == (None, 1024, "relocate")


def test_params_are_frozen():
    with pytest.raises(AttributeError):
        make().num_clusters = 4


@pytest.mark.parametrize("value", [1, np.int64(1), np.uint8(1), np.array(1)])
def test_num_clusters_is_any_integer(value):
    params = make(num_clusters=value)
    assert params.num_clusters == 1
    assert type(params.num_clusters) is int


@pytest.mark.parametrize("value", [True, 2.0, "3", None, np.bool_(True), np.array([3])])
def test_num_clusters_of_another_type_is_a_type_error(value):
    with pytest.raises(ArgumentTypeError, match="num_clusters must be an integer"):
        make(num_clusters=value)


@pytest.mark.parametrize("value", [0, -1])
def test_num_clusters_below_one_is_refused_with_the_value(value):
    with pytest.raises(ArgumentError, match=f"num_clusters.*at least 1, got {value}"):
        make(num_clusters=value)


@pytest.mark.parametrize("value", [None, -7, "x", 2.5])
def test_num_clusters_is_not_looked_at_beside_an_array(value):
    assert make(num_clusters=value, initial_clusters=[[0.0], [1.0]]).num_clusters == 2


@pytest.mark.parametrize(
    ("given_dtype", "stored"),
    [
        ("float32", "float32"),
        ("float16", "float32"),
        ("int8", "float32"),
        ("uint16", "float32"),
        ("float64", "float64"),
        ("int32", "float64"),
        ("int64", "float64"),
        ("longdouble", "float64"),
    ],
)
def test_initial_array_dtype(given_dtype, stored):
    assert make(initial_clusters=np.ones((2, 3), given_dtype)).initial_clusters.dtype == stored


def test_initial_array_is_a_private_read_only_c_contiguous_copy():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert not array.flags.c_contiguous
    stored = make(initial_clusters=array).initial_clusters
    array[:] = -1
    np.testing.assert_array_equal(stored, [[0, 1, 2], [3, 4, 5]])
    assert stored.flags.c_contiguous
    assert not stored.flags.writeable


def test_initial_clusters_may_be_anything_with_array():
    class Table:
        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 2), np.float32)

    assert make(initial_clusters=Table()).num_clusters == 2


def test_initial_clusters_may_be_callable():
    assert make(initial_clusters=len).initial_clusters is len


def test_unknown_initialization_lists_the_known():
    with pytest.raises(
        ArgumentError, match=r"Unsupported initialization algorithm 'kmc2'.*'random', 'kmeans_plus_plus'"
    ):
        make(initial_clusters="kmc2")


@pytest.mark.parametrize("value", [None, b"random", 3])
def test_initialization_of_another_type_lists_the_known(value):
    with pytest.raises(ArgumentTypeError, match="'kmeans_plus_plus', 'kmeans_parallel', an array"):
        make(initial_clusters=value)


@pytest.mark.parametrize(
    "value",
    [[1.0, 2.0], [], [[]], np.zeros((0, 2)), np.zeros((2, 0)), np.zeros((1, 1, 1)), np.float64(1), [[1], [1, 2]]],
)
def test_initial_array_of_another_shape_is_refused(value):
    with pytest.raises(ArgumentError, match=r"initial_clusters must be an array \(k, d\)"):
        make(initial_clusters=value)


@pytest.mark.parametrize("value", [[["a"]], [[1j]], [[None]], np.zeros((1, 1), "M8[s]")])
def test_initial_array_of_no_numbers_is_a_type_error(value):
    with pytest.raises(ArgumentTypeError, match="must hold real numbers"):
        make(initial_clusters=value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_initial_array_not_finite_is_named_by_row_and_column(bad):
    array = np.zeros((4, 3))
    array[2, 1] = bad
    with pytest.raises(ArgumentError, match="row 2, column 1"):
        make(initial_clusters=array)


def test_unknown_metric_lists_the_known():
    for value in ("manhattan", None, 3):
        with pytest.raises(ArgumentError, match=r"Unsupported distance metric.*'squared_euclidean', 'cosine'"):
            make(distance_metric=value)


@given(st.integers())
def test_seed_is_stored_modulo_two_to_the_64(seed):
    assert make(seed=seed).seed == seed % 2**64


@pytest.mark.parametrize("seed", [True, 1.0, "1", np.bool_(False)])
def test_seed_of_another_type_is_a_type_error(seed):
    with pytest.raises(ArgumentTypeError, match="seed must be an integer"):
        make(seed=seed)


@pytest.mark.parametrize("name", ["mini_batch_steps_per_iteration", "batch_size"])
def test_counts_must_be_integers_of_at_least_one(name):
    assert getattr(make(**{name: np.int32(4)}), name) == 4
    with pytest.raises(ArgumentError, match=f"{name} must be an integer of at least 1, got 0"):
        make(**{name: 0})
    with pytest.raises(ArgumentTypeError, match=name):
        make(**{name: 2.7})


def test_use_mini_batch_is_a_bool():
    assert make(use_mini_batch=np.bool_(False)).use_mini_batch is False
    with pytest.raises(ArgumentTypeError, match="use_mini_batch must be True or False, got 'False'"):
        make(use_mini_batch="False")


def test_retries_may_be_negative_but_not_fractional():
    assert make(kmeans_plus_plus_num_retries=-1).kmeans_plus_plus_num_retries == -1
    with pytest.raises(ArgumentTypeError, match="kmeans_plus_plus_num_retries"):
        make(kmeans_plus_plus_num_retries=1.5)


@pytest.mark.parametrize("value", [0, -1.5, 1e-4, np.float32(0.5)])
def test_relative_tolerance_is_any_finite_number(value):
    assert make(relative_tolerance=value).relative_tolerance == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_relative_tolerance_must_be_finite(value):
    with pytest.raises(ArgumentError, match="relative_tolerance must be a finite number"):
        make(relative_tolerance=value)


@pytest.mark.parametrize("value", ["0.1", True, 1j])
def test_relative_tolerance_of_another_type_is_a_type_error(value):
    with pytest.raises(ArgumentTypeError, match="relative_tolerance"):
        make(relative_tolerance=value)


def test_unknown_policy_for_empty_clusters_lists_the_known():
    with pytest.raises(ArgumentError, match="'relocate', 'keep', 'error', 'origin'"):
        make(empty_clusters="drop")


def test_settings_of_mini_batch():
    params = make(distance_metric="cosine", mini_batch_steps_per_iteration=4)
    assert params.settings == {"metric": "cosine", "mode": "mini_batch", "steps_per_iteration": 4}


def test_settings_of_full_batch_have_one_step_per_iteration():
    params = make(use_mini_batch=False, mini_batch_steps_per_iteration=4)
    assert params.settings == {"metric": "squared_euclidean", "mode": "full_batch", "steps_per_iteration": 1}


def test_params_pickle_with_a_read_only_array():
    params = make(initial_clusters=[[1.0, 2.0]], seed=-1)
    again = pickle.loads(pickle.dumps(params))
    assert again.seed == 2**64 - 1
    np.testing.assert_array_equal(again.initial_clusters, params.initial_clusters)
    assert not again.initial_clusters.flags.writeable


def test_long_values_are_cut_in_messages():
    with pytest.raises(ArgumentError) as caught:
        make(distance_metric="x" * 10_000)
    assert len(str(caught.value)) < 200
