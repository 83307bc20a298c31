"""Mixed columns with gaps, from a CSV file through four libraries and feature columns into a model."""

from __future__ import annotations

import re

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.csv
import pytest

import macqueen
from macqueen import KMeans, RunConfig
from macqueen import feature_columns as fc
from macqueen.errors import ArgumentError, DataError, SettingsMismatchError
from macqueen.inputs import limit_epochs

CITIES = ["Rome", "Oslo", "Lima", "Perth"]
ROWS = 400


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """Write a file with gaps in every column but one."""
    random = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("csv") / "visits.csv"
    lines = ["id,city,age,visits,member"]
    for row in range(ROWS):
        city = "" if row % 37 == 5 else CITIES[random.integers(4)]
        age = "" if row % 41 == 7 else f"{random.normal(40, 12):.3f}"
        visits = "" if row % 43 == 9 else str(random.integers(50))
        lines.append(f"{row},{city},{age},{visits},{['true', 'false'][random.integers(2)]}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


READERS = {
    "pandas": pd.read_csv,
    "polars": pl.read_csv,
    "pyarrow": lambda path: pyarrow.csv.read_csv(
        path, convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    ),
    "duckdb": duckdb.read_csv,
}


def columns(frame):
    """Return columns that scale the numbers by what they are like, and state what gaps become."""
    numbers = fc.fit_numeric(frame, ["age", "visits"])
    city = fc.fit_vocabulary(frame, "city").column(default_value=-1)
    return [
        numbers["age"].column(default_value=numbers["age"].mean),
        numbers["visits"].bucketized(default_value=0),
        fc.indicator_column(city),
        fc.embedding_column(fc.categorical_column_with_vocabulary_list("city", CITIES, default_value=0), 2),
        fc.numeric_column("member"),
    ]


@pytest.fixture(scope="module")
def expected(csv):
    return columns(pd.read_csv(csv))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_statistics_are_those_of_pandas(csv, expected, library):
    assert columns(READERS[library](csv)) == expected


@pytest.mark.parametrize("library", READERS)
@pytest.mark.parametrize("mini_batch", [False, True])
def test_models_have_the_bits_of_that_of_pandas(csv, expected, library, mini_batch):
    """A relation comes in batches of its own, so that only a full-batch step is the same."""
    if library == "duckdb" and mini_batch:
        pytest.skip("its batches are the steps")

    def trained(frame):
        config = RunConfig("never-written", save_checkpoints_steps=None, save_summary_steps=0)
        arguments = {"seed": 3, "use_mini_batch": mini_batch, "batch_size": 64, "feature_columns": expected}
        return KMeans(4, config=config, **arguments).train(frame, steps=6)

    models = [trained(READERS[name](csv)) for name in ("pandas", library)]
    bits = [model.cluster_centers().tobytes() for model in models]
    assert bits[0] == bits[1]
    frame = READERS[library](csv)
    assert models[0].labels(READERS["pandas"](csv)).tolist() == models[1].labels(frame).tolist()
    assert len(set(models[1].labels(frame))) == 4


@pytest.mark.parametrize("library", READERS)
@pytest.mark.parametrize(
    ("column", "message"),
    [
        (fc.numeric_column("age"), r"column 'age', row 7: the value is missing; give the column a default_value"),
        (
            fc.indicator_column(fc.categorical_column_with_vocabulary_list("city", CITIES)),
            r"column 'city', row 5: the category is missing; give the column a default_value",
        ),
    ],
)
def test_gaps_without_a_default_are_named(csv, library, column, message):
    if library == "duckdb":  # its rows come in no certain order
        message = "batch 0 of the input, " + re.sub(r"row \d+", r"row \\d+", message)
    with pytest.raises(DataError, match=message):
        KMeans(2, seed=0, feature_columns=column, use_mini_batch=False).train(READERS[library](csv))


def test_a_gap_in_a_shuffled_batch_is_named_by_its_place(csv):
    with pytest.raises(DataError, match=r"the input, column 'age', row (7|48|89|130|171|212|253|294|335|376):"):
        KMeans(2, feature_columns=fc.numeric_column("age"), batch_size=16).train(pd.read_csv(csv))


def test_a_column_that_is_not_in_the_frame_is_named(csv):
    with pytest.raises(DataError, match=r"Feature hat is not in features dictionary.*city"):
        KMeans(2, feature_columns=fc.numeric_column("hat")).train(pd.read_csv(csv))


def test_a_column_that_is_not_there_is_named_beside_others(csv, expected):
    with pytest.raises(DataError, match=r"Feature zip is not in features dictionary. the input has: id, city, age"):
        KMeans(2, feature_columns=[*expected, fc.numeric_column("zip")]).train(pd.read_csv(csv))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"x": 3.0}, "column 'x', must have one entry a row, got a single value: 3.0"),
        ({"x": [1.0, 2.0], "y": [1.0]}, "columns of one length, got 2 for 'x', 1 for 'y' rows"),
        ({"x": [], "y": []}, "at least one row, got 0"),
    ],
)
def test_columns_that_make_no_rows_are_refused(features, message):
    columns = [fc.numeric_column(key) for key in features]
    with pytest.raises(DataError, match=message):
        KMeans(2, feature_columns=columns).train(features)


def test_named_columns_as_a_stream(csv, expected):
    """What `limit_epochs` makes has not been looked at before the model does."""
    frame = pd.read_csv(csv)
    model = KMeans(2, seed=1, use_mini_batch=False, feature_columns=expected)
    whole = model.train(limit_epochs(frame, 3)).labels(frame)
    named = {name: frame[name].to_numpy() for name in frame}
    assert model.labels(limit_epochs(named)).tolist() == whole.tolist()


# --- with the model ---------------------------------------------------------------------------------------


@pytest.fixture
def model(csv, expected, tmp_path):
    """Return a model on disk that has an embedding."""
    return KMeans(3, tmp_path, seed=1, use_mini_batch=False, feature_columns=expected).train(pd.read_csv(csv), steps=2)


EMBEDDING = "input_layer/city_embedding/embedding_weights"


def test_weights_are_kept_in_the_checkpoint(model):
    weights = model.get_variable_value(EMBEDDING)
    assert weights.shape == (4, 2)
    assert EMBEDDING in model.get_variable_names()
    drawn = fc.InputLayer(macqueen.load_feature_columns(model.model_dir), seed=1).weights
    assert weights.tobytes() == drawn[EMBEDDING].tobytes()


def test_weights_go_on_with_the_model(model, csv, expected):
    """Another seed does not draw them anew."""
    again = KMeans(3, model.model_dir, seed=2, use_mini_batch=False, feature_columns=expected)
    assert again.labels(pd.read_csv(csv)).tolist() == model.labels(pd.read_csv(csv)).tolist()
    again.train(pd.read_csv(csv), steps=1)
    assert again.get_variable_value(EMBEDDING).tobytes() == model.get_variable_value(EMBEDDING).tobytes()


def test_columns_are_kept_with_the_model(model, csv, expected):
    """A program that has the directory alone can predict."""
    found = macqueen.load_feature_columns(model.model_dir)
    assert found == tuple(sorted(expected, key=lambda column: column.name))
    again = KMeans(3, model.model_dir, use_mini_batch=False, feature_columns=found)
    assert again.labels(pd.read_csv(csv)).tolist() == model.labels(pd.read_csv(csv)).tolist()


@pytest.mark.parametrize("other", [None, [fc.numeric_column("age")]])
def test_other_columns_are_refused(model, csv, other):
    again = KMeans(3, model.model_dir, use_mini_batch=False, feature_columns=other)
    with pytest.raises(SettingsMismatchError, match=r"other feature_columns: only in the model: .*age"):
        again.train(pd.read_csv(csv))


def test_a_model_without_columns_refuses_them(tmp_path):
    KMeans(2, tmp_path).train(np.eye(4), steps=1)
    with pytest.raises(SettingsMismatchError, match=r"only in the model: nothing else; only asked for: x"):
        KMeans(2, tmp_path, feature_columns=fc.numeric_column("x")).train({"x": np.arange(4.0)})
    assert macqueen.load_feature_columns(tmp_path) == ()


def test_columns_with_a_function_cannot_be_made_again(tmp_path):
    column = fc.numeric_column("x", normalizer_fn=np.sqrt)
    KMeans(2, tmp_path, feature_columns=column).train({"x": np.arange(4.0)}, steps=1)
    with pytest.raises(ArgumentError, match="functions are not kept"):
        macqueen.load_feature_columns(tmp_path)


def test_plain_rows_do_without_columns(expected):
    """As with the old class: columns are for what has names."""
    model = KMeans(2, initial_clusters=np.eye(2), feature_columns=expected)
    assert model.labels(np.eye(2)).tolist() == [0, 1]
