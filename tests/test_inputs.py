"""Rows in memory: arrays, lists, columns, and their mini-batches; one fact per test."""

import subprocess
import sys
import tracemalloc
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import inputs
from macqueen.errors import ArgumentError, ArgumentTypeError, DataError, EmptyInputError
from tests.sources import BATCHES, X32, Array, Fresh, X, rows_of, source, whole_pass


def test_all_is_sorted_and_exists() -> None:
    assert inputs.__all__ == sorted(inputs.__all__)
    assert all(hasattr(inputs, name) for name in inputs.__all__)


def test_import_brings_in_no_other_library() -> None:
    code = "import macqueen.inputs, sys; print([m for m in ('pandas', 'scipy', 'tensorflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Arrays


@pytest.mark.parametrize("x", [X, X32], ids=["float64", "float32"])
def test_contiguous_floats_are_viewed(x: np.ndarray) -> None:
    assert all(np.shares_memory(block, x) for block in source(x).blocks(3))


def test_column_slice_of_one_column_is_right() -> None:
    np.testing.assert_array_equal(rows_of(X[:, 1]), X[:, 1:2])


def test_blocks_have_at_most_the_rows_asked_for() -> None:
    assert [len(block) for block in source(X).blocks(3)] == [3, 3, 2]


@pytest.mark.parametrize(
    "x",
    [
        np.asfortranarray(X),
        np.repeat(X, 2, axis=1)[:, ::2],
        np.ascontiguousarray(X[::-1])[::-1],
        X.astype(">f8"),
        X.astype(">f4"),
        X.astype("<f4"),
        X.astype(np.float16),
        X.astype(np.int8),
        X.astype(np.uint64),
        X.astype(np.longdouble),
        X.view(np.matrix),
        np.ma.masked_array(X, mask=False),
        Array(X),
        memoryview(X),
    ],
    ids=lambda x: type(x).__name__,
)
def test_every_layout_and_dtype_gives_the_same_rows(x: Any) -> None:
    blocks = list(source(x).blocks(3))
    np.testing.assert_array_equal(np.concatenate(blocks), X)
    for block in blocks:
        assert block.flags.c_contiguous
        assert block.flags.aligned
        assert block.dtype == source(x).dtype
        assert block.dtype.isnative


def test_unaligned_rows_are_aligned() -> None:
    table = np.zeros(8, dtype=np.dtype([("skip", "i1"), ("x", "f8", 3)]))
    table["x"] = X
    assert not table["x"].flags.aligned
    assert all(block.flags.aligned for block in source(table["x"]).blocks(4))


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        ("float64", "float64"),
        ("longdouble", "float64"),
        ("int32", "float64"),
        ("uint32", "float64"),
        ("int64", "float64"),
        ("uint64", "float64"),
        ("float32", "float32"),
        ("float16", "float32"),
        ("bool", "float32"),
        ("int8", "float32"),
        ("uint8", "float32"),
        ("int16", "float32"),
        ("uint16", "float32"),
        (">f4", "float32"),
        (">f8", "float64"),
    ],
)
def test_compute_dtype(given: str, computed: str) -> None:
    assert source(np.ones((2, 2), given)).dtype == np.dtype(computed)


@pytest.mark.parametrize("kind", ["fortran", "strided", "big-endian", "float16", "int8", "dict"])
@pytest.mark.parametrize("way", ["blocks", "take", "batches", "in_order"])
def test_conversion_never_copies_the_whole(kind: str, way: str) -> None:
    x = np.ones((40_000, 20))
    converted: Any = {
        "fortran": lambda: np.asfortranarray(x),
        "strided": lambda: np.repeat(x, 2, axis=1)[:, ::2],
        "big-endian": lambda: x.astype(">f8"),
        "float16": lambda: x.astype(np.float16),
        "int8": lambda: x.astype(np.int8),
        "dict": lambda: {"a": x[:, :3], "b": x[:, 3:]},
    }[kind]()
    tracemalloc.start()
    found = source(converted)
    if way == "take":
        for _ in range(3):
            found.take(np.arange(0, 40_000, 400))
    elif way == "batches":
        for number, _ in enumerate(found.batches(100, seed=1, pass_number=0, start=0)):
            if number == 20:
                break
    else:
        for _ in getattr(found, way)(100):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.size  # an eighth of the rows as float64, the whole as int8


def test_memory_map_is_viewed(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert all(np.shares_memory(block, x) for block in source(x).blocks(3))


def test_inputs_are_not_written() -> None:
    x = X.copy()
    x.flags.writeable = False
    assert sum(len(batch) for batch in source(x).batches(3, seed=0, pass_number=0, start=0)) == len(x)


def test_rows_and_dims() -> None:
    found = source(X)
    assert (found.rows, found.dims, found.is_stream) == (8, 3, False)


def test_take_keeps_the_order_asked() -> None:
    wanted = np.array([7, 0, 0, 3])
    np.testing.assert_array_equal(source(np.asfortranarray(X)).take(wanted), X[wanted])


def test_take_of_nothing_has_columns() -> None:
    assert source(X).take(np.array([], np.int64)).shape == (0, 3)


@pytest.mark.parametrize("data", [X, BATCHES, Fresh(BATCHES)], ids=["array", "list", "iterable"])
@pytest.mark.parametrize("wrong", [-1, 8])
def test_take_refuses_rows_that_do_not_exist(data: Any, wrong: int) -> None:
    with pytest.raises(ArgumentError, match=rf"0\.\.7, got {wrong}"):
        source(data).take(np.array([0, wrong]))


@pytest.mark.parametrize("x", [np.float64(1.0), np.ones((2, 2, 2)), np.array(3)])
def test_rank_is_one_or_two(x: Any) -> None:
    with pytest.raises(DataError, match=r"rank .*, got rank (0|3)"):
        source(x)


def test_no_columns_are_refused() -> None:
    with pytest.raises(DataError, match=r"at least one column, got shape \(4, 0\)"):
        source(np.ones((4, 0)))


def test_no_rows_are_refused() -> None:
    with pytest.raises(EmptyInputError, match="got 0 rows"):
        source(np.ones((0, 4)))


@pytest.mark.parametrize(
    "x",
    [
        np.ones((2, 2), complex),
        np.array([[None, 1]]),
        np.array([["a", "b"]]),
        np.zeros(2, "datetime64[s]"),
        np.zeros(2, "timedelta64[s]"),
        np.zeros(2, [("a", float)]),
        ["a", "b"],
        [["a"], ["b"]],
    ],
    ids=lambda x: type(x).__name__,
)
def test_other_dtypes_are_refused_with_the_remedy(x: Any) -> None:
    with pytest.raises(DataError, match=r"real numbers, got dtype .*astype"):
        source(x)


def test_masked_values_are_refused() -> None:
    with pytest.raises(DataError, match=r"masked values, got 2.*filled"):
        source(np.ma.masked_less(X, 2))


def test_sparse_is_refused() -> None:
    with pytest.raises(DataError, match=r"sparse SimpleNamespace.*toarray"):
        source(SimpleNamespace(tocsr=None, nnz=3))


@pytest.mark.parametrize("x", ["rows.csv", b"rows", bytearray(b"rows"), None, {1.0, 2.0}, 3, 2.5, object()])
def test_what_is_no_rows_is_refused(x: Any) -> None:
    with pytest.raises((ArgumentTypeError, DataError), match=r"must .*, got .*\. [A-Z]"):
        source(x)


def test_array_protocol_that_fails_is_refused() -> None:
    class OnDevice:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            raise TypeError("copy it to the host first")

    with pytest.raises(ArgumentTypeError, match="copy it to the host first"):
        source(OnDevice())


def test_nan_is_left_to_the_engine() -> None:
    assert np.isnan(rows_of(np.array([[np.nan, 1.0]]))[0, 0])


# Lists of numbers and rows


@pytest.mark.parametrize("data", [[1, 2, 3], [1.0, 2.0, 3.0], (1, 2, 3), range(1, 4), deque([1, 2, 3])])
def test_numbers_are_rows_of_one_float64_column(data: Any) -> None:
    found = source(data)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found.take(np.arange(3)), [[1], [2], [3]])


def test_numpy_numbers_keep_their_dtype() -> None:
    assert source([np.float32(1), np.float32(2)]).dtype == np.float32


def test_integers_beyond_64_bits_are_numbers() -> None:
    np.testing.assert_array_equal(rows_of([1, 10**30]), [[1.0], [1e30]])


def test_integers_beyond_float64_are_refused() -> None:
    with pytest.raises(DataError, match="too large"):
        source([1, 10**400])


@pytest.mark.parametrize(
    "data",
    [
        X.tolist(),
        tuple(X.tolist()),
        [tuple(row) for row in X.tolist()],
        list(X),
        tuple(X),
        [X[0], *X[1:].tolist()],
    ],
)
def test_list_of_rows_is_rows(data: Any) -> None:
    found = source(data)
    assert (found.rows, found.dims) == (8, 3)
    np.testing.assert_array_equal(found.take(np.arange(8)), X)


def test_two_rows_in_a_list_are_not_a_pair() -> None:
    assert source([[1.0, 2.0], [3.0, 4.0]]).rows == 2


def test_rows_of_two_numbers_in_tuples_are_not_pairs() -> None:
    np.testing.assert_array_equal(rows_of([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]), [[1, 2], [3, 4], [5, 6]])


def test_rows_keep_float32() -> None:
    assert source(list(X32)).dtype == np.float32


@pytest.mark.parametrize("row", [[1.0], np.ones(3), ()])
def test_first_row_of_another_length_is_named(row: Any) -> None:
    with pytest.raises(DataError, match=rf"row 0 has 2 values, row 1 has {len(row)}"):
        source([[1.0, 2.0], row, [1.0]])


@pytest.mark.parametrize("row", [1.0, X, "ab", None, {"a": 1, "b": 2}], ids=str)
def test_element_that_is_no_row_is_named(row: Any) -> None:
    with pytest.raises(DataError, match="at row 2"):
        source([[1.0, 2.0], [3.0, 4.0], row])


def test_row_among_numbers_is_refused() -> None:
    with pytest.raises(DataError, match="list of numbers or of rows"):
        source([1.0, [2.0, 3.0]])


@pytest.mark.parametrize("data", [[], (), deque()])
def test_empty_list_is_refused(data: Any) -> None:
    with pytest.raises(EmptyInputError, match="got an empty"):
        source(data)


def test_rows_without_values_are_refused() -> None:
    with pytest.raises(DataError, match="at least one column"):
        source([[], []])


# Pairs and dicts


@pytest.mark.parametrize("labels", [None, np.ones(8), "anything", [1, 2]])
def test_labels_of_a_pair_are_ignored(labels: Any) -> None:
    np.testing.assert_array_equal(rows_of((X, labels)), X)


def test_features_of_a_pair_may_be_a_dict() -> None:
    assert source(({"a": X, "b": X}, None)).dims == 6


def test_columns_are_joined_by_sorted_key() -> None:
    data = {"b": X[:, 0], "c": X[:, 1:2], "a": X[:, 2:]}
    np.testing.assert_array_equal(rows_of(data), X[:, [2, 0, 1]])


def test_columns_may_be_lists() -> None:
    np.testing.assert_array_equal(rows_of({"x": [1, 2], "y": [[3], [4]]}), [[1, 3], [2, 4]])


def test_integer_keys_are_sorted_as_integers() -> None:
    assert rows_of({10: [10.0], 9: [9.0]}).tolist() == [[9.0, 10.0]]


def test_widest_column_decides_the_dtype() -> None:
    assert source({"a": X32, "b": X}).dtype == np.float64
    assert source({"a": X32, "b": X.astype(np.int8)}).dtype == np.float32


def test_take_from_columns() -> None:
    np.testing.assert_array_equal(source({"a": X[:, :2], "b": X[:, 2]}).take(np.array([5, 1])), X[[5, 1]])


def test_one_column_block_is_viewed() -> None:
    assert all(np.shares_memory(block, X) for block in source({"x": X}).blocks(3))


@pytest.mark.parametrize("data", [{"a": [1.0], 1: [1.0]}, {1: [1.0], 2.0: [1.0]}, {object(): [1.0], object(): [1.0]}])
def test_keys_are_of_one_type(data: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="keys of one type"):
        source(data)


def test_columns_of_different_lengths_are_named() -> None:
    with pytest.raises(DataError, match="'a' has 8 rows, 'b' has 2"):
        source({"b": X[:2], "a": X})


def test_empty_dict_is_refused() -> None:
    with pytest.raises(DataError, match="empty dict"):
        source({})


@pytest.mark.parametrize("column", [np.ones((2, 2, 2)), 3.0, ["a", "b"], None])
def test_column_that_is_no_column_is_named(column: Any) -> None:
    with pytest.raises((DataError, ArgumentTypeError), match="column 'bad'"):
        source({"a": [1.0, 2.0], "bad": column})


# Mini-batches of rows


@given(rows=st.integers(1, 50), size=st.integers(1, 60), seed=st.integers(0, 2**64 - 1), number=st.integers(0, 2**33))
def test_a_pass_has_every_row_once(rows: int, size: int, seed: int, number: int) -> None:
    found = source(np.arange(float(rows)))
    batches = whole_pass(found, size, seed=seed, pass_number=number)
    assert np.sort(np.concatenate(batches)[:, 0]).tolist() == list(range(rows))
    assert len(batches) == found.batch_count(size)
    assert all(len(batch) == size for batch in batches[:-1])


@pytest.mark.parametrize(
    "data", [np.arange(100.0), [np.array([[float(i)]]) for i in range(100)]], ids=["rows", "batches"]
)
def test_order_depends_on_seed_and_pass_alone(data: Any) -> None:
    def order(seed: int, pass_number: int) -> list[float]:
        return np.concatenate(whole_pass(source(data), 10, seed=seed, pass_number=pass_number))[:, 0].tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, number)) for seed in (1, 2) for number in (0, 1)}) == 4
    assert order(1, 0) != sorted(order(1, 0))


@pytest.mark.parametrize("data", [np.arange(10.0), [np.array([[float(i)]]) for i in range(10)], Fresh([X] * 3)])
@pytest.mark.parametrize("start", [0, 1, 2, 99])
def test_start_skips_batches_of_the_same_pass(data: Any, start: int) -> None:
    every, rest = whole_pass(source(data), 4), whole_pass(source(data), 4, start=start)
    assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in every[start:]]


def test_rows_inside_a_batch_are_ascending() -> None:
    assert all((np.diff(batch[:, 0]) > 0).all() for batch in whole_pass(source(np.arange(50.0)), 7))


def test_in_order_cuts_rows_in_order() -> None:
    found = list(source(X).in_order(5))
    assert [len(batch) for batch in found] == [5, 3]
    np.testing.assert_array_equal(np.concatenate(found), X)
