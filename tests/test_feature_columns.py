"""Dense columns, their order and their errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import feature_columns as fc
from macqueen.errors import ArgumentError, ArgumentTypeError, DataError
from tests.models import quick


def rows(column, seed=0, **features):
    """Return the rows that one column, or several, make of lists."""
    return fc.InputLayer(column, seed).rows({key: np.array(value) for key, value in features.items()})


def words(*values, **options):
    return fc.categorical_column_with_vocabulary_list("w", list(values), **options)


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint16", "bool"])
def test_numbers_of_any_kind_become_float32(dtype):
    found = rows(fc.numeric_column("x"), x=np.array([0, 1, 1], dtype))
    assert found.dtype == np.float32
    assert found.tolist() == [[0], [1], [1]]


def test_a_column_of_float64_makes_rows_of_float64():
    assert rows(fc.numeric_column("x", dtype=np.float64), x=[0.1])[0, 0] == 0.1


def test_numbers_with_a_shape():
    assert rows(fc.numeric_column("x", shape=3), x=[[1, 2, 3], [4, 5, 6]]).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert rows(fc.numeric_column("x", shape=(2, 2)), x=[[[1, 2], [3, 4]]]).tolist() == [[1, 2, 3, 4]]


def test_another_shape_is_refused():
    with pytest.raises(DataError, match=r"column 'x', must have 3 values a row, got 2"):
        rows(fc.numeric_column("x", shape=3), x=[[1, 2]])


def test_normalizer_fn_is_called_with_the_values():
    column = fc.numeric_column("x", shape=(2,), normalizer_fn=lambda values: values * 10 + values.shape[1])
    assert rows(column, x=[[1, 2]]).tolist() == [[12, 22]]


def test_a_normalizer_that_changes_the_shape_is_refused():
    with pytest.raises(ArgumentError, match="normalizer_fn of column 'x' must keep the shape"):
        rows(fc.numeric_column("x", normalizer_fn=lambda values: values[:0]), x=[1])


MISSING = {
    "NaN": np.array([1.0, np.nan]),
    "masked": np.ma.MaskedArray([1, 7], [False, True]),
    "None": np.array([1, None], object),
}


@pytest.mark.parametrize("values", MISSING.values(), ids=MISSING)
def test_a_missing_number_takes_the_default(values):
    layer = fc.InputLayer(fc.numeric_column("x", default_value=-3))
    assert layer.rows({"x": values}).tolist() == [[1], [-3]]


@pytest.mark.parametrize("values", MISSING.values(), ids=MISSING)
def test_a_missing_number_without_a_default_is_refused_by_place(values):
    with pytest.raises(DataError, match=r"batch 2, column 'x', row 11: the value is missing; .*default_value"):
        fc.InputLayer(fc.numeric_column("x")).rows({"x": values}, "batch 2", first=10)


def test_each_value_of_a_row_has_its_default():
    column = fc.numeric_column("x", shape=2, default_value=(7, 8))
    assert rows(column, x=[[np.nan, 1], [2, np.nan]]).tolist() == [[7, 1], [2, 8]]


def test_text_is_no_number():
    with pytest.raises(DataError, match=r"column 'x', must hold numbers: .*indicator_column\(.*'x'"):
        rows(fc.numeric_column("x"), x=["a"])


# --- buckets ----------------------------------------------------------------------------------------------


def test_a_boundary_belongs_to_the_bucket_above():
    column = fc.bucketized_column(fc.numeric_column("x"), [0, 10])
    assert np.argmax(rows(column, x=[-1, 0, 9.9, 10, 99]), axis=1).tolist() == [0, 1, 1, 2, 2]


def test_each_value_has_buckets_of_its_own():
    column = fc.bucketized_column(fc.numeric_column("x", shape=2), [0])
    assert rows(column, x=[[-1, 1]]).tolist() == [[1, 0, 0, 1]]


@pytest.mark.parametrize("boundaries", [[], [2, 1], [1, 1], [np.nan, 1]])
def test_boundaries_must_rise(boundaries):
    with pytest.raises(ArgumentError, match="boundaries must be a sorted list"):
        fc.bucketized_column(fc.numeric_column("x"), boundaries)


# --- indicators -------------------------------------------------------------------------------------------


def test_an_indicator_counts():
    column = fc.indicator_column(words("a", "b", "c"))
    assert rows(column, w=[["a", "c"], ["b", "b"], ["", ""]]).tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]


def test_weights_of_categories_are_added_up():
    column = fc.indicator_column(fc.weighted_categorical_column(words("a", "b"), "weight"))
    found = rows(column, w=[["a", "b"], ["a", "a"]], weight=[[2, 0.5], [1, 3]])
    assert found.tolist() == [[2, 0.5], [4, 0]]


# --- embeddings -------------------------------------------------------------------------------------------

VECTORS = [[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]]


@pytest.mark.parametrize(
    ("combiner", "expected"), [("sum", [4, 6]), ("mean", [4 / 2, 6 / 2]), ("sqrtn", [4 / 2**0.5, 6 / 2**0.5])]
)
def test_embeddings_combine_vectors(combiner, expected):
    column = fc.embedding_column(words("a", "b", "c"), 2, combiner, initializer=VECTORS)
    found = rows(column, w=[["b", "c"], ["", ""]])
    assert found.tolist() == [np.array(expected, np.float32).tolist(), [0, 0]]


def test_embeddings_with_weights():
    column = fc.embedding_column(fc.weighted_categorical_column(words("a", "b"), "v"), 2, initializer=VECTORS[:2])
    assert rows(column, w=[["a", "b"]], v=[[3.0, 1.0]]).tolist() == [[0.75, 0.5]]


def test_max_norm_shortens_vectors():
    column = fc.embedding_column(words("a", "b", "c"), 2, initializer=VECTORS, max_norm=1)
    assert rows(column, w=["a", "b", "c"]).tolist() == [[1, 0], [0, 1], [np.float32(0.5**0.5)] * 2]


def test_drawn_weights_depend_on_seed_and_name_alone():
    one = fc.embedding_column(words("a", "b", "c"), 4)
    name = "input_layer/w_embedding/embedding_weights"
    drawn = fc.InputLayer(one, seed=3).weights[name]
    beside = fc.InputLayer([one, fc.numeric_column("x")], seed=3).weights[name]
    assert drawn.tobytes() == beside.tobytes()
    assert drawn.tobytes() != fc.InputLayer(one, seed=4).weights[name].tobytes()


def test_drawn_weights_are_pinned():
    weights = fc.InputLayer(fc.embedding_column(words("a"), 2), seed=1).weights
    assert weights["input_layer/w_embedding/embedding_weights"].tolist() == [[-0.6029601693153381, 1.4720028638839722]]


def test_drawn_weights_are_nearly_normal():
    column = fc.embedding_column(fc.categorical_column_with_identity("w", 20_000), 4)
    weights = fc.InputLayer(column).weights[column.weights_name] * 2
    assert abs(weights.mean()) < 0.02
    assert abs(weights.std() - 1) < 0.02


def test_weights_that_are_given_are_taken():
    column = fc.embedding_column(words("a", "b"), 2)
    given_weights = {column.weights_name: np.array([[1, 2], [3, 4]], np.float32)}
    layer = fc.InputLayer(column, seed=9, weights=given_weights)
    assert layer.rows({"w": np.array(["b"])}).tolist() == [[3, 4]]


def test_weights_of_another_shape_are_refused():
    column = fc.embedding_column(words("a", "b"), 2)
    with pytest.raises(ArgumentError, match=r"must have shape \(2, 2\) for column 'w_embedding', got \(3, 2\)"):
        fc.InputLayer(column, weights={column.weights_name: np.zeros((3, 2))})
    with pytest.raises(ArgumentError, match=r"initializer of column 'w_embedding' must give .* shape \(2, 2\)"):
        fc.InputLayer(fc.embedding_column(words("a", "b"), 2, initializer=np.zeros((1, 2))))


def test_an_initializer_may_be_a_function_of_the_shape():
    column = fc.embedding_column(words("a", "b"), 2, initializer=lambda shape: np.full(shape, 5))
    assert rows(column, w=["a"]).tolist() == [[5, 5]]


def test_shared_embeddings_have_one_matrix():
    home, away = (fc.categorical_column_with_vocabulary_list(key, ["a", "b"]) for key in ("home", "away"))
    columns = fc.shared_embeddings([home, away], 3)
    layer = fc.InputLayer(columns)
    assert list(layer.weights) == ["input_layer/away_home_shared_embedding/embedding_weights"]
    found = layer.rows({"home": np.array(["b"]), "away": np.array(["b"])})
    assert found[0, :3].tolist() == found[0, 3:].tolist() != [0, 0, 0]


# --- side by side -----------------------------------------------------------------------------------------


def test_columns_stand_in_the_order_of_their_names():
    columns = [fc.numeric_column("z"), fc.indicator_column(words("q", "r")), fc.numeric_column("a", shape=2)]
    layer = fc.InputLayer(columns)
    assert layer.names == ("a[0]", "a[1]", "w_indicator=q", "w_indicator=r", "z")
    assert (layer.keys, layer.dims, layer.dtype) == (("a", "w", "z"), 5, np.float32)
    found = layer.rows({"z": np.array([9]), "a": np.array([[1, 2]]), "w": np.array(["r"]), "more": np.array([0])})
    assert found.tolist() == [[1, 2, 0, 1, 9]]


NAMES = {
    "age": fc.numeric_column("age"),
    "age_bucketized": fc.bucketized_column(fc.numeric_column("age"), [1]),
    "w_indicator": fc.indicator_column(words("a")),
    "w_embedding": fc.embedding_column(words("a"), 2),
    "w_shared_embedding": fc.shared_embeddings([words("a")], 2)[0],
    "w_weighted_by_v_indicator": fc.indicator_column(fc.weighted_categorical_column(words("a"), "v")),
    "age_bucketized_X_w_indicator": fc.indicator_column(
        fc.crossed_column([words("a"), fc.bucketized_column(fc.numeric_column("age"), [1])], 9)
    ),
}


@pytest.mark.parametrize(("name", "column"), NAMES.items())
def test_names_are_those_of_tensorflow(name, column):
    assert column.name == name


def test_one_column_needs_no_list():
    assert fc.checked(fc.numeric_column("x")) == (fc.numeric_column("x"),)


def test_a_generator_is_read_once():
    assert len(fc.checked(fc.numeric_column(key) for key in "ab")) == 2


def test_no_columns_are_none():
    assert fc.checked(None) is None
    assert fc.checked([]) is None


BAD = {
    "a raw categorical column": ([words("a")], ArgumentError, r"dense column.*wrap 'w' in indicator_column or embed"),
    "no column": ([3], ArgumentError, r"Items of feature_columns must be a dense column, got 3"),
    "no columns": (3, ArgumentTypeError, r"an iterable of columns, got 3 of type int"),
    "text": ("age", ArgumentTypeError, r"an iterable of columns, got 'age'"),
    "one name twice": ([fc.numeric_column("x"), fc.numeric_column("x", 2)], ArgumentError, r"got 'x' twice"),
}


@pytest.mark.parametrize(("columns", "error", "message"), BAD.values(), ids=BAD)
def test_what_are_no_columns_is_refused(columns, error, message):
    with pytest.raises(error, match=message):
        fc.checked(columns)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"Feature q is not in features dictionary. the input has: a, b"):
        fc.InputLayer(fc.numeric_column("q")).rows({"a": np.zeros(1), "b": np.zeros(1)}, "the input")


# --- each row by itself -----------------------------------------------------------------------------------

MIXED = [
    fc.numeric_column("x", default_value=0.5),
    fc.bucketized_column(fc.numeric_column("x", default_value=0.5), [-1, 0, 1]),
    fc.indicator_column(words("a", "b", default_value=1)),
    fc.embedding_column(words("a", "b", num_oov_buckets=3), 5),
    fc.indicator_column(fc.categorical_column_with_hash_bucket("v", 7)),
    fc.indicator_column(fc.crossed_column(["w", words("b")], 11)),
]
mixed_rows = st.lists(
    st.tuples(st.floats(-2, 2) | st.just(np.nan), st.sampled_from(["a", "b", "c", ""])), min_size=1, max_size=20
)


@quick
@given(data=mixed_rows, cut=st.integers(0, 20))
def test_a_row_depends_on_its_own_features_alone(data, cut):
    layer = fc.InputLayer(MIXED)
    x, w = np.array([x for x, _ in data]), np.array([w for _, w in data], object)

    def encoded(part):
        return layer.rows({"x": x[part], "w": w[part], "v": w[part]})

    parts = [encoded(slice(0, cut)), encoded(slice(cut, None))]
    whole = encoded(slice(None))
    assert np.concatenate(parts).tobytes() == whole.tobytes()
