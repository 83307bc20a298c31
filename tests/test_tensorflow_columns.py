"""TensorFlow's own feature columns: the rows are those of its input_layer, the weights are kept."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import macqueen
from macqueen import feature_columns
from macqueen.errors import ArgumentError, ArgumentTypeError, DataError, SettingsMismatchError
from macqueen.tf_estimator import experimental, export
from macqueen.tf_estimator.columns import wrapped
from tests.models import NOT_SAVED
from tests.tensors import tf, tf1

both_classes = pytest.mark.parametrize("kind", [experimental.KMeans, macqueen.KMeans], ids=["old", "macqueen"])
random = np.random.default_rng(0)
N = 60
WEIGHTS = "input_layer/word_embedding/embedding_weights"
FEATURES = {
    "number": random.normal(size=N).astype(np.float32),
    "table": random.normal(size=(N, 2, 2)),
    "integer": random.integers(0, 4, N),
    "share": random.uniform(0.5, 1, N).astype(np.float32),
    "word": random.choice(["red", "green", "grey"], N).astype(object),
    "words": random.choice(["red", "green", ""], (N, 3)).astype(object),
    "other": random.choice(["red", "green", "grey"], N).astype(object),
    "unused": np.array(["x"] * N),
}


def half(values):
    return values / 2


def dense_columns(folder):
    """Every dense column that input_layer takes, over every categorical one."""
    fc = tf.feature_column
    (folder / "words").write_text("red\ngreen\n")
    number = fc.numeric_column("number")
    buckets = fc.bucketized_column(number, [-0.5, 0.5])
    word = fc.categorical_column_with_vocabulary_list("word", ["red", "green"])
    words = fc.categorical_column_with_vocabulary_file("words", str(folder / "words"), num_oov_buckets=1)
    integer = fc.categorical_column_with_identity("integer", 4)
    hashed = fc.categorical_column_with_hash_bucket("other", 7)
    with tf.Graph().as_default():  # TensorFlow makes them nowhere else
        shared = tf1.feature_column.shared_embedding_columns([word, vocabulary_of_other()], 2)
    return [
        fc.numeric_column("number", normalizer_fn=half),
        fc.numeric_column("table", shape=(2, 2)),
        buckets,
        fc.indicator_column(word),
        fc.indicator_column(words),
        fc.indicator_column(integer),
        fc.indicator_column(hashed),
        fc.indicator_column(fc.weighted_categorical_column(integer, "share")),
        fc.indicator_column(fc.crossed_column([buckets, "word"], 11)),
        fc.embedding_column(word, 3),
        fc.embedding_column(integer, 2, combiner="sqrtn", max_norm=0.5),
        *shared,
    ]


def vocabulary_of_other():
    return tf.feature_column.categorical_column_with_vocabulary_list("other", ["red", "green"])


def word_embedding(dimension=3):
    word = tf.feature_column.categorical_column_with_vocabulary_list("word", ["red", "green", "grey"])
    return [tf.feature_column.embedding_column(word, dimension), tf.feature_column.numeric_column("number")]


def batches():
    return tf.data.Dataset.from_tensor_slices(FEATURES).batch(20)


def test_rows_are_those_of_the_input_layer(tmp_path):
    columns = dense_columns(tmp_path)
    layer = feature_columns.InputLayer(wrapped(columns), seed=3)
    with tf.Graph().as_default():
        features = {name: tf.constant(values) for name, values in FEATURES.items()}
        made = tf1.feature_column.input_layer(features, columns)
        with tf1.Session() as session:
            session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
            variables = {variable.op.name: variable for variable in tf1.global_variables()}
            for name, variable in variables.items():
                variable.load(layer.weights[name], session)
            expected = session.run(made)
    assert set(layer.weights) == set(variables)
    assert {WEIGHTS, "input_layer/other_word_shared_embedding/embedding_weights"} < set(variables)
    assert expected.shape == (N, layer.dims) == (N, len(layer.names))
    assert np.array_equal(layer.rows(FEATURES), expected)


@both_classes
def test_every_kind_of_input_gives_the_same_rows(kind, tmp_path):
    pandas = pytest.importorskip("pandas")
    columns = word_embedding()

    def iterated():
        return tf1.data.make_initializable_iterator(batches()).get_next()

    def pieces():
        return iter([{name: values[at : at + 20] for name, values in FEATURES.items()} for at in range(0, N, 20)])

    frame = pandas.DataFrame({name: FEATURES[name] for name in ("word", "number")})
    found = [
        kind(3, seed=1, config=NOT_SAVED, feature_columns=columns).train(given).cluster_centers().tobytes()
        for given in (batches, iterated, pieces)
    ]
    assert len(set(found)) == 1
    whole = [FEATURES, {name: tf.constant(values) for name, values in FEATURES.items()}, frame]
    model = kind(3, seed=1, config=NOT_SAVED, feature_columns=columns).train(batches)
    assert len({model.labels(given).tobytes() for given in whole}) == 1


@both_classes
def test_weights_are_kept_with_the_model(kind, tmp_path):
    columns = [*word_embedding(), macqueen.feature_columns.numeric_column("share")]  # ours stand beside theirs
    model = kind(3, tmp_path, seed=1, feature_columns=columns).train(batches)
    weights = model.get_variable_value(WEIGHTS)
    assert weights.shape == (3, 3)
    assert WEIGHTS in model.get_variable_names()
    again = kind(3, tmp_path, seed=2, feature_columns=columns)
    assert np.array_equal(again.labels(FEATURES), model.labels(FEATURES))
    assert np.array_equal(again.train(batches).get_variable_value(WEIGHTS), weights)
    assert np.array_equal(pickle.loads(pickle.dumps(again)).labels(FEATURES), again.labels(FEATURES))


def test_an_exported_model_makes_the_same_rows(tmp_path):
    columns = dense_columns(tmp_path)
    model = macqueen.KMeans(5, tmp_path / "m", seed=1, use_mini_batch=False, feature_columns=columns)
    model.train(FEATURES, steps=2)
    fed = {name: values for name, values in FEATURES.items() if name != "unused"}
    receiver = export.build_raw_serving_input_receiver_fn({name: tf.constant(values) for name, values in fed.items()})
    folder = model.export_saved_model(tmp_path / "e", receiver)
    loaded = tf.saved_model.load(folder)
    given = {name: tf.constant(values) for name, values in fed.items()}
    assert np.array_equal(loaded.signatures["serving_default"](**given)["output"], model.labels(FEATURES))
    found = loaded.signatures["all_distances"](**given)["output"].numpy()
    assert np.allclose(found, list(model.transform(FEATURES)), rtol=1e-5, atol=1e-6)
    variables = {name for name, _ in tf.train.list_variables(f"{folder}/variables/variables")}
    weights = {name for name in model.get_variable_names() if "embedding" in name}
    assert len(weights) == 3
    assert {name for name in variables if "input_layer" in name} == weights  # one call of input_layer, as of old


def test_an_exported_model_is_gone_on_from_with_its_columns(tmp_path):
    words = [tf.feature_column.categorical_column_with_vocabulary_list(key, ["red"]) for key in ("word", "other")]
    columns = [tf.feature_column.embedding_column(word, 2) for word in words]
    model = macqueen.KMeans(3, tmp_path / "m", seed=1, feature_columns=columns).train(batches)
    fed = {name: tf.constant(FEATURES[name]) for name in ("word", "other")}
    folder = model.export_saved_model(tmp_path / "e", export.build_raw_serving_input_receiver_fn(fed))
    again = macqueen.KMeans.from_tensorflow(folder, tmp_path / "again", seed=2, feature_columns=columns)
    assert np.array_equal(again.labels(FEATURES), model.labels(FEATURES))
    for name in (WEIGHTS, WEIGHTS.replace("word", "other")):
        assert np.array_equal(again.train(batches).get_variable_value(name), model.get_variable_value(name))


def test_weights_are_drawn_by_the_seed():
    def weights(seed):
        return feature_columns.InputLayer(wrapped(word_embedding()), seed).weights[WEIGHTS]

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_weights_are_those_of_the_initializer(tmp_path):
    word = tf.feature_column.categorical_column_with_vocabulary_list("word", ["red", "green"])
    column = tf.feature_column.embedding_column(word, 2, initializer=tf1.constant_initializer(5.0))
    model = macqueen.KMeans(2, tmp_path, feature_columns=[column]).train({"word": ["red", "green"]}, steps=1)
    assert model.get_variable_value(WEIGHTS).tolist() == [[5, 5], [5, 5]]


@pytest.mark.parametrize("change", ["left out", "other dimension", "other normalizer"])
def test_other_columns_are_refused_on_resume(change, tmp_path):
    number = tf.feature_column.numeric_column("share", normalizer_fn=half)
    macqueen.KMeans(3, tmp_path, seed=1, feature_columns=[*word_embedding(), number]).train(batches)
    others = {
        "left out": word_embedding(),
        "other dimension": [*word_embedding(2), number],
        "other normalizer": [*word_embedding(), tf.feature_column.numeric_column("share")],
    }
    with pytest.raises(SettingsMismatchError, match="model of other feature_columns: only in the model: "):
        macqueen.KMeans(3, tmp_path, feature_columns=others[change]).train(batches)
    with pytest.raises(ArgumentError, match="'number' is one of another library"):
        macqueen.load_feature_columns(tmp_path)


@both_classes
def test_bad_columns_are_refused_at_once(kind):
    fc = tf.feature_column
    word = fc.categorical_column_with_vocabulary_list("word", ["red"])
    with pytest.raises(ArgumentError, match=r"must be a dense column, got Vocab.*wrap 'word' in indicator_column"):
        kind(3, feature_columns=[word])
    with pytest.raises(ArgumentError, match="must be a dense column"):
        kind(3, feature_columns=word)
    sequence = fc.indicator_column(fc.sequence_categorical_column_with_identity("integer", 4))
    with pytest.raises(ArgumentError, match="input_layer does not take them"):
        kind(3, feature_columns=sequence)
    with pytest.raises(ArgumentTypeError, match="feature_columns must be a column or an iterable"):
        kind(3, feature_columns="number")


BAD = {
    "key": ({"word": ["red"]}, "Feature number is not in features dictionary"),
    "text": ({"number": ["1"], "word": ["red"]}, r"'number', row 0: TensorFlow's column reads numbers, got <U1"),
    "numbers": ({"number": [1.0], "word": [1]}, "'word', row 0: TensorFlow's column reads text, got int64"),
    "gap": ({"number": [1.0, 2], "word": np.array(["red", None])}, "'word', row 1: the value is missing"),
    "shape": ({"number": np.ones((1, 2)), "word": ["red"]}, r"'number', row 0: the column has shape \[1\], got \[2\]"),
}


@both_classes
@pytest.mark.parametrize("name", BAD)
def test_features_that_do_not_fit_are_named(kind, name):
    features, message = BAD[name]
    with pytest.raises(DataError, match=message):
        kind(1, feature_columns=word_embedding(), config=NOT_SAVED).train(features)


def test_what_tensorflow_finds_wrong_names_the_features():
    integer = tf.feature_column.indicator_column(tf.feature_column.categorical_column_with_identity("integer", 4))
    number = tf.feature_column.numeric_column("number", normalizer_fn=lambda x: tf.debugging.check_numerics(x, "bad"))
    model = macqueen.KMeans(2, feature_columns=[integer, number], config=NOT_SAVED)
    model.train({"integer": [0, 1, 2], "number": [1.0, 2.0, 3.0]})
    with pytest.raises(DataError, match="'integer', row 0: TensorFlow's column reads integers, got float64"):
        model.labels({"integer": [0.5], "number": [1.0]})
    with pytest.raises(DataError, match=r"'integer', 'number', from row 0 on: TensorFlow's columns say: .*bad"):
        model.labels({"integer": [1], "number": [np.nan]})


def test_sparse_features_are_refused_with_the_remedy():
    def input_fn():
        return {"number": tf.ones([1]), "word": tf.sparse.from_dense([["red"]])}

    with pytest.raises(DataError, match="feature 'word', must be dense, got a SparseTensor"):
        experimental.KMeans(1, feature_columns=word_embedding(), config=NOT_SAVED).train(input_fn, steps=1)
