"""fit_numeric and fit_vocabulary; columns as JSON and back."""

from __future__ import annotations

import json
import math
import statistics
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import feature_columns as fc
from macqueen.errors import ArgumentError, DataError, EmptyInputError
from macqueen.feature_columns import statistics as module
from tests.models import quick

numbers = st.floats(-1e100, 1e100) | st.integers(-5, 5).map(float) | st.floats(-1e-100, 1e-100)


def of(values, **options):
    return fc.fit_numeric({"x": np.array(values)}, **options)["x"]


@quick
@given(st.lists(numbers, min_size=1, max_size=60))
def test_mean_and_scale_are_those_of_exact_arithmetic(values):
    found = of(values)
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    assert found.mean == float(mean)
    assert found.scale == (math.sqrt(variance) or 1.0)
    assert (found.minimum, found.maximum, found.count) == (min(values), max(values), len(values))


@quick
@given(st.lists(numbers | st.just(math.nan), min_size=1, max_size=40), st.lists(st.integers(0, 40), max_size=3))
def test_statistics_do_not_depend_on_the_batches(values, cuts):
    array = np.array([1.5, *values])
    parts = [part for part in np.split(array, sorted(min(cut, len(array)) for cut in cuts)) if len(part)]
    assert fc.fit_numeric({"x": part} for part in parts)["x"] == of(array)


def test_more_values_than_are_summed_at_once():
    values = np.random.default_rng(0).normal(size=module.BLOCK + 5)
    assert of(values).mean == statistics.mean(values.tolist())  # of fractions


def test_quantiles_are_values_in_order():
    assert of(np.arange(1, 101)[::-1], quantiles=4).quantiles == (25.0, 50.0, 75.0)
    assert of([7], quantiles=3).quantiles == (7.0, 7.0)


def test_quantiles_of_a_sample_do_not_depend_on_the_batches(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 500)
    values = np.random.default_rng(1).permutation(10_000)
    whole = of(values)
    parts = fc.fit_numeric({"x": part} for part in np.split(values, [10, 3000, 3001]))["x"]
    assert whole == parts
    assert np.abs(np.array(whole.quantiles) - np.arange(1000, 10_000, 1000)).max() < 1000


def test_missing_numbers_are_counted_and_left_out():
    found = of([1, np.nan, 3, np.nan])
    assert (found.count, found.missing, found.mean) == (2, 2, 2.0)


def test_equal_values_have_scale_1():
    assert of([4, 4, 4]).scale == 1.0


def test_columns_of_text_are_left_alone_unless_asked_for():
    data = {"x": np.array([1.0]), "w": np.array(["a"])}
    assert list(fc.fit_numeric(data)) == ["x"]
    with pytest.raises(DataError, match="column 'w', must hold numbers"):
        fc.fit_numeric(data, ["w"])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames(frame):
    data = {"x": [1.0, 2.0, 6.0], "w": ["b", "a", "b"]}
    assert fc.fit_numeric(frame(data))["x"].mean == 3.0
    assert fc.fit_vocabulary(frame(data), "w").vocabulary == ("b", "a")


def test_infinite_values_are_refused_by_place():
    with pytest.raises(DataError, match="column 'x', row 3: infinite"):
        fc.fit_numeric([{"x": np.array([1.0, 2.0])}, {"x": np.array([1.0, np.inf])}])


@pytest.mark.parametrize("data", [[], {"w": np.array(["a"])}, {"x": np.array([np.nan])}])
def test_nothing_to_measure_is_refused(data):
    with pytest.raises(EmptyInputError):
        fc.fit_numeric(data)


def test_a_vocabulary_is_sorted_by_frequency():
    found = fc.fit_vocabulary({"w": np.array(["a", "c", "b", "c", "b", "", None, "d"], object)}, "w")
    assert (found.vocabulary, found.counts) == (("b", "c", "a", "d"), (2, 2, 1, 1))
    assert (found.count, found.missing) == (6, 2)


def test_a_vocabulary_may_be_cut():
    found = fc.fit_vocabulary({"w": np.array([3, 1, 3, 2, 2, 3])}, "w", max_size=2)
    assert found.vocabulary == (3, 2)


def test_text_and_integers_make_no_vocabulary():
    with pytest.raises(DataError, match="column 'w' must hold text only or integers only"):
        fc.fit_vocabulary([{"w": np.array([1])}, {"w": np.array(["a"])}], "w")


def test_a_column_of_statistics_has_mean_0_and_deviation_1():
    values = np.random.default_rng(2).normal(50, 7, size=1000)
    layer = fc.InputLayer(of(values).column(default_value=50.0))
    found = layer.rows({"x": np.append(values, np.nan)})[:, 0].astype(np.float64)
    assert abs(found[:-1].mean()) < 1e-6
    assert abs(found[:-1].std() - 1) < 1e-6
    assert found[-1] == np.float32((50.0 - of(values).mean) / of(values).scale)


def test_buckets_of_statistics_are_equally_full():
    values = np.random.default_rng(3).permutation(1000).astype(float)
    found = fc.InputLayer(of(values, quantiles=5).bucketized()).rows({"x": values})
    assert np.abs(found.sum(axis=0) - 200).max() <= 1


# --- as JSON ----------------------------------------------------------------------------------------------


WORDS = fc.categorical_column_with_vocabulary_list("w", ["a", "b"], num_oov_buckets=2)
NUMBER = fc.numeric_column("x", shape=2, default_value=(1, 2), normalizer_fn=fc.Standardize(3.5, 1 / 3))
COLUMNS = [
    NUMBER,
    fc.bucketized_column(fc.numeric_column("x"), [0.1, 0.2]),
    fc.indicator_column(WORDS),
    fc.indicator_column(fc.categorical_column_with_identity("i", 4, 2)),
    fc.indicator_column(fc.categorical_column_with_hash_bucket("h", 5)),
    fc.indicator_column(fc.crossed_column(["a", WORDS, fc.bucketized_column(NUMBER, [1.0])], 9, 7)),
    fc.indicator_column(fc.weighted_categorical_column(WORDS, "v")),
    fc.embedding_column(WORDS, 3, "sqrtn", max_norm=2.0),
    *fc.shared_embeddings([WORDS], 2),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_columns_survive_json(column):
    description = json.loads(json.dumps(fc.describe([column])))
    assert fc.from_description(description) == (column,)
    assert description[0]["name"] == column.name


def test_a_function_is_described_but_not_kept():
    description = fc.describe([fc.numeric_column("x", normalizer_fn=math.sqrt)])
    assert description[0]["normalizer_fn"] == {"kind": "function", "function": "math:sqrt"}
    with pytest.raises(ArgumentError, match=r"math:sqrt.*functions are not kept"):
        fc.from_description(description)


def test_weights_are_no_part_of_a_description():
    column = fc.embedding_column(WORDS, 2, initializer=np.zeros((4, 2)))
    assert fc.describe([column]) == fc.describe([fc.embedding_column(WORDS, 2)])
