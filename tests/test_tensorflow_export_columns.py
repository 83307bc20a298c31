"""SavedModels of models with feature columns: the graph makes the rows that ours make."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from macqueen import KMeans
from macqueen import feature_columns as fc
from macqueen.errors import ArgumentError
from macqueen.tf_estimator import export
from tests.test_tensorflow_export import raw, served

AGES = np.array([20.0, 31.5, np.nan, 64.0, 47.25, 20.0])
CITIES = np.array([["Rome", "Oslo"], ["Oslo", ""], ["Lima", "Rome"], ["Paris", ""], ["", ""], ["Oslo", "Oslo"]])
RANKS = np.array([0, 3, 2, -1, 9, 1])
WEIGHTS = np.array([[1.0, 2.0], [0.5, 9.0], [3.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.25, 0.5]])
TABLE = {"age": AGES, "city": CITIES, "rank": RANKS, "share": WEIGHTS}


def city(**options):
    return fc.categorical_column_with_vocabulary_list("city", ["Oslo", "Rome", "Lima"], **options)


def ages(**options):
    return fc.numeric_column("age", default_value=30.0, **options)


def rank():
    return fc.categorical_column_with_identity("rank", 4, default_value=0)


VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4) / 7

COLUMNS = {
    "numeric": [fc.numeric_column("share", shape=2)],
    "standardized": [fc.fit_numeric(TABLE, ["age"])["age"].column(default_value=30.0)],
    "float64": [ages(dtype=np.float64), fc.numeric_column("share", shape=2)],
    "normalizer_fn": [ages(normalizer_fn=lambda x: (x - 3) * x)],
    "bucketized": [fc.bucketized_column(ages(), [20.0, 31.5, 60.0])],
    "buckets of two": [fc.bucketized_column(fc.numeric_column("share", shape=2), [0.5, 1.0])],
    "indicator": [fc.indicator_column(city())],
    "default": [fc.indicator_column(city(default_value=2))],
    "identity": [fc.indicator_column(rank())],
    "integer vocabulary": [fc.indicator_column(fc.categorical_column_with_vocabulary_list("rank", [3, 9, 0]))],
    "weighted": [fc.indicator_column(fc.weighted_categorical_column(city(), "share"))],
    "embedding": [fc.embedding_column(city(), 4, initializer=VECTORS)],
    "embedding sqrtn": [fc.embedding_column(fc.weighted_categorical_column(city(), "share"), 4, "sqrtn")],
    "embedding sum": [fc.embedding_column(city(), 4, "sum", initializer=VECTORS, max_norm=1.0)],
    "shared": fc.shared_embeddings([city(), fc.categorical_column_with_vocabulary_list("rank", [1, 2, 3])], 2),
    "crossed": [fc.indicator_column(fc.crossed_column([city(), rank(), fc.bucketized_column(ages(), [30.0])], 5))],
    "crossed with a key": [fc.indicator_column(fc.crossed_column([rank(), city()], 7, hash_key=9))],
    "several": [fc.indicator_column(city()), ages(), fc.embedding_column(rank(), 2, initializer=np.eye(4)[:, :2])],
}


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_feature_columns_make_the_rows_that_ours_make(columns, tmp_path):
    """Distances to one center, the first row, and the others say what the rows are."""
    layer = fc.InputLayer(columns, seed=3)
    centers = np.unique(layer.rows(TABLE), axis=0)
    model = KMeans(len(centers), tmp_path / "m", seed=3, use_mini_batch=False, feature_columns=columns)
    model.train(TABLE, steps=1)
    keys = {key: TABLE[key] for key in layer.keys}
    folder = model.export_saved_model(tmp_path / "e", raw(**keys))
    found = served(folder, "all_distances", **keys)
    assert np.allclose(found, list(model.transform(TABLE)), rtol=1e-6, atol=1e-12)
    assert np.array_equal(served(folder, "serving_default", **keys), model.labels(TABLE))


def test_categories_of_sparse_examples(tmp_path):
    columns = [fc.indicator_column(city())]
    model = KMeans(3, tmp_path / "m", seed=3, use_mini_batch=False, feature_columns=columns).train(TABLE, steps=1)
    spec = {"city": tf.io.VarLenFeature(tf.string)}
    folder = model.export_saved_model(tmp_path / "e", export.build_parsing_serving_input_receiver_fn(spec))
    lists = [tf.train.BytesList(value=[name.encode() for name in names if name]) for names in CITIES.tolist()]
    examples = [
        tf.train.Example(features=tf.train.Features(feature={"city": tf.train.Feature(bytes_list=names)}))
        for names in lists
    ]
    labels = served(folder, "serving_default", examples=[example.SerializeToString() for example in examples])
    assert np.array_equal(labels, model.labels(TABLE))


UNFIT = {
    "missing": ([fc.bucketized_column(fc.numeric_column("x"), [1.0])], [2.0, np.nan], "a value is missing"),
    "no category": (
        [fc.indicator_column(fc.categorical_column_with_identity("x", 4))],
        [1, 4],
        "must be below 4 and not negative",
    ),
}


@pytest.mark.parametrize(("columns", "values", "message"), UNFIT.values(), ids=UNFIT)
def test_what_columns_refuse_is_refused_when_served(columns, values, message, tmp_path):
    table = {"x": np.array([0, 1, 2, 3], type(values[0]))}
    model = KMeans(2, tmp_path / "m", seed=3, use_mini_batch=False, feature_columns=columns).train(table, steps=1)
    folder = model.export_saved_model(tmp_path / "e", raw(**table))
    assert np.array_equal(served(folder, "serving_default", x=table["x"]), model.labels(table))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served(folder, "serving_default", x=np.array(values))


HASHED = {
    "hash bucket": (fc.categorical_column_with_hash_bucket("city", 5), "city"),
    "words that are not in the list": (city(num_oov_buckets=2), "city"),
    "cross of a name": (fc.crossed_column(["city", rank()], 5), "city_X_rank"),
}


@pytest.mark.parametrize(("column", "name"), HASHED.values(), ids=HASHED)
def test_columns_that_hash_text_are_refused_by_name(column, name, tmp_path):
    columns = [fc.indicator_column(column)]
    model = KMeans(2, tmp_path / "m", seed=3, use_mini_batch=False, feature_columns=columns).train(TABLE, steps=1)
    with pytest.raises(ArgumentError, match=f"column '{name}' hashes text.*use a vocabulary"):
        model.export_saved_model(tmp_path / "e", raw(city=CITIES, rank=RANKS))
    assert not (tmp_path / "e").exists()


def test_a_function_that_takes_no_tensors_is_refused(tmp_path):
    columns = [ages(normalizer_fn=np.log1p)]
    model = KMeans(2, tmp_path / "m", seed=3, use_mini_batch=False, feature_columns=columns).train(TABLE, steps=1)
    with pytest.raises(ArgumentError, match=r"normalizer_fn of column 'age' must work with tensors"):
        model.export_saved_model(tmp_path / "e", raw(age=AGES))
