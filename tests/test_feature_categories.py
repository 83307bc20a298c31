"""Categorical columns: which bucket a category belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import feature_columns as fc
from macqueen.errors import ArgumentError, ArgumentTypeError, DataError
from macqueen.feature_columns.features import Features
from macqueen.feature_columns.hashing import hash_text
from tests.models import quick


def ids(column, **features):
    found = column.ids(Features(features, "the input", 0))
    return found.ravel().tolist() if found.shape[1] == 1 else found.tolist()


def text(*values):
    return np.array(values, object)


def vocabulary(*values, **options):
    return fc.categorical_column_with_vocabulary_list("w", list(values), **options)


# --- vocabularies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["U", "S", object])
def test_text_of_any_kind(kind):
    assert ids(vocabulary("Rome", "Oslo"), w=np.array(["Oslo", "Rome"], kind)) == [1, 0]


def test_text_beyond_ascii():
    assert ids(vocabulary("Zürich", "東京"), w=np.array(["東京".encode(), "Zürich".encode()])) == [1, 0]


def test_a_miss_belongs_to_no_bucket():
    assert ids(vocabulary("a", "b"), w=text("x", "b")) == [-1, 1]


def test_a_miss_takes_the_default():
    assert ids(vocabulary("a", "b", default_value=1), w=text("x", "a")) == [1, 0]


def test_misses_are_hashed_into_further_buckets():
    column = vocabulary("a", "b", num_oov_buckets=3)
    assert column.num_buckets == 5
    others = [2 + hash_text(word) % 3 for word in "xy"]
    assert ids(column, w=text("x", "y", "b", "x")) == [*others, 1, others[0]]


def test_integers():
    assert ids(vocabulary(10, 20), w=np.array([20, 10, 30])) == [1, 0, -1]


def test_whole_floats_are_integers():
    """As pandas makes them of integers with gaps."""
    assert ids(vocabulary(10, 20, default_value=0), w=np.array([20.0, np.nan])) == [1, 0]


@pytest.mark.parametrize(("values", "column"), [(text("", "a"), vocabulary("a")), (np.array([-1, 5]), vocabulary(5))])
def test_nothing_is_no_category(values, column):
    assert ids(column, w=values) == [-1, 0]


def test_a_vocabulary_may_name_the_empty_text():
    assert ids(vocabulary("a", ""), w=text("", "a")) == [1, 0]


@pytest.mark.parametrize("gone", [None, float("nan")])
def test_a_missing_category_takes_the_default(gone):
    assert ids(vocabulary("a", "b", default_value=1), w=text("a", gone)) == [0, 1]
    assert ids(vocabulary("a", "b", default_value=-1), w=text("a", gone)) == [0, -1]


def test_a_missing_category_without_a_default_is_refused_by_place():
    with pytest.raises(DataError, match=r"column 'w', row 1: the category is missing; .*default_value.*''"):
        ids(vocabulary("a"), w=text("a", None))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (vocabulary("a"), np.array([1, 2]), r"row 0: the categories must be text, got .*1.*dtype of integers"),
        (vocabulary("a"), text("a", 3), r"row 1: the categories must be text, got 3"),
        (vocabulary(1), text("a"), r"the categories must be integers, got 'a'"),
        (vocabulary(1), np.array([1.0, 1.5]), r"row 1: the categories must be integers, got .*1\.5"),
    ],
)
def test_categories_of_another_kind_are_refused(column, values, message):
    with pytest.raises(DataError, match=message):
        ids(column, w=values)


BAD_VOCABULARIES = {
    "empty": ([], {}, "must not be empty"),
    "one twice": (["a", "b", "a"], {}, "got 'a' twice"),
    "mixed": (["a", 1], {}, "text only or integers only"),
    "of another dtype": (["a"], {"dtype": np.int64}, "must fit the vocabulary"),
    "default and others": (["a"], {"default_value": 0, "num_oov_buckets": 1}, "not both"),
    "default too large": (["a"], {"default_value": 1}, "must be a bucket below 1, got 1"),
    "others below 0": (["a"], {"num_oov_buckets": -1}, "at least 0"),
}


@pytest.mark.parametrize(("values", "options", "message"), BAD_VOCABULARIES.values(), ids=BAD_VOCABULARIES)
def test_bad_vocabularies_are_refused(values, options, message):
    with pytest.raises(ArgumentError, match=message):
        vocabulary(*values, **options)


def test_a_vocabulary_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("Rome\nOslo\nLima\n")
    column = fc.categorical_column_with_vocabulary_file("w", path, vocabulary_size=2)
    path.unlink()  # it was read when the column was made
    assert ids(column, w=text("Oslo", "Lima")) == [1, -1]


def test_a_vocabulary_file_of_integers(tmp_path):
    (tmp_path / "words.txt").write_text("7\n9")
    column = fc.categorical_column_with_vocabulary_file("w", tmp_path / "words.txt", dtype=np.int64, num_oov_buckets=1)
    assert ids(column, w=np.array([9, 8])) == [1, 2]


def test_a_vocabulary_file_that_is_not_there_or_too_short(tmp_path):
    with pytest.raises(ArgumentError, match="vocabulary_file of column 'w' cannot be read"):
        fc.categorical_column_with_vocabulary_file("w", tmp_path / "gone.txt")
    (tmp_path / "words.txt").write_text("a\n")
    with pytest.raises(ArgumentError, match="vocabulary_size of column 'w' is 2, but the file has 1 lines"):
        fc.categorical_column_with_vocabulary_file("w", tmp_path / "words.txt", 2)


# --- identity ---------------------------------------------------------------------------------------------


def test_identity():
    assert ids(fc.categorical_column_with_identity("w", 3), w=np.array([0, 2, -1])) == [0, 2, -1]


@pytest.mark.parametrize("value", [3, -2])
def test_identity_out_of_range(value):
    values = np.array([0, value])
    assert ids(fc.categorical_column_with_identity("w", 3, default_value=1), w=values) == [0, 1]
    with pytest.raises(DataError, match=rf"row 1: the category must be below num_buckets=3 .*got {value}"):
        ids(fc.categorical_column_with_identity("w", 3), w=values)


# --- hashes -----------------------------------------------------------------------------------------------


def test_hashes_are_pinned():
    """They are part of every model: a change would move categories to other buckets."""
    assert [hash_text(word) for word in ("", "a", "Zürich", "-7")] == [
        13020603013274838756,
        3405396810240292928,
        636548684707296368,
        1742748123310498148,
    ]


def test_text_and_integers_hash_alike():
    words = fc.categorical_column_with_hash_bucket("w", 1000)
    numbers = fc.categorical_column_with_hash_bucket("w", 1000, dtype=np.int64)
    assert ids(words, w=text("12", "-7")) == ids(numbers, w=np.array([12, -7])) == [
        hash_text("12") % 1000, hash_text("-7") % 1000
    ]  # fmt: skip


@quick
@given(st.lists(st.text(), min_size=1), st.integers(1, 50))
def test_buckets_are_in_range(values, buckets):
    found = np.array(ids(fc.categorical_column_with_hash_bucket("w", buckets), w=text(*values)))
    assert ((found >= 0) & (found < buckets) | (np.array(values, object) == "")).all()


# --- crossed ----------------------------------------------------------------------------------------------


def cross(*keys, buckets=10**6, **options):
    return fc.crossed_column(keys, buckets, **options)


def test_crosses_are_pinned():
    found = ids(cross("a", vocabulary("x", "y")), a=text("p", "q"), w=text("y", "x"))
    assert found == [39541, 191175]


def test_a_cross_depends_on_every_input_and_on_the_key():
    found = [
        ids(cross("a", "b"), a=text("p"), b=text("q")),
        ids(cross("a", "b"), a=text("p"), b=text("r")),
        ids(cross("a", "b"), a=text("r"), b=text("q")),
        ids(cross("a", "b"), a=text("q"), b=text("p")),
        ids(cross("a", "b", hash_key=1), a=text("p"), b=text("q")),
    ]
    assert len({tuple(found_ids) for found_ids in found}) == len(found)


def test_a_cross_of_several_categories_has_every_combination():
    found = ids(cross("a", "b"), a=np.array([["p", "q"]], object), b=np.array([["r", "s"]], object))
    alone = [ids(cross("a", "b"), a=text(a), b=text(b))[0] for a in "pq" for b in "rs"]
    assert found == [alone]


def test_a_cross_with_nothing_is_nothing():
    assert ids(cross("a", "b"), a=text("p", ""), b=text("", "q")) == [-1, -1]


def test_a_cross_of_buckets():
    column = cross(fc.bucketized_column(fc.numeric_column("x"), [0]), "a", buckets=5)
    found = ids(column, x=np.array([-1.0, -2.0, 1.0]), a=text("p", "p", "p"))
    assert found[0] == found[1]
    assert column.keys == ("a", "x")


@pytest.mark.parametrize("keys", [["a"], "ab", ["a", 3], ["a", fc.categorical_column_with_hash_bucket("w", 3)]])
def test_what_cannot_be_crossed_is_refused(keys):
    with pytest.raises(ArgumentError, match="keys"):
        fc.crossed_column(keys, 10)


# --- arguments --------------------------------------------------------------------------------------------

BAD = {
    "key": (lambda: fc.numeric_column(3), ArgumentTypeError, "key must be the name of a feature, got 3"),
    "shape": (lambda: fc.numeric_column("x", shape=0), ArgumentError, "shape must be at least 1, got 0"),
    "dtype": (lambda: fc.numeric_column("x", dtype=str), ArgumentError, "dtype of column 'x'"),
    "default": (lambda: fc.numeric_column("x", 3, (1, 2)), ArgumentError, "default_value of column 'x'"),
    "normalizer": (lambda: fc.numeric_column("x", normalizer_fn=3), ArgumentTypeError, "must be callable, got 3"),
    "buckets": (lambda: fc.categorical_column_with_identity("x", 0), ArgumentError, "num_buckets must be at least 1"),
    "hash buckets": (lambda: fc.categorical_column_with_hash_bucket("x", 1.5), ArgumentTypeError, "hash_bucket_size"),
    "dimension": (lambda: fc.embedding_column(vocabulary("a"), 0), ArgumentError, "dimension must be at least 1"),
    "combiner": (lambda: fc.embedding_column(vocabulary("a"), 2, "max"), ArgumentError, "combiner .*got 'max'"),
    "max_norm": (lambda: fc.embedding_column(vocabulary("a"), 2, max_norm=0), ArgumentError, "max_norm"),
    "indicator": (lambda: fc.indicator_column(fc.numeric_column("x")), ArgumentError, "categorical_column must be"),
    "source": (lambda: fc.bucketized_column(vocabulary("a"), [1]), ArgumentError, "source_column must be made by num"),
    "shared": (lambda: fc.shared_embeddings([vocabulary("a"), vocabulary("a", "b")], 2), ArgumentError, "same number"),
}


@pytest.mark.parametrize(("make", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
