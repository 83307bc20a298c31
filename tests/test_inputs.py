"""Every kind of input and every refusal: one fact per test."""

import functools
import subprocess
import sys
import tracemalloc
from collections import deque
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import inputs
from macqueen.errors import ArgumentError, ArgumentTypeError, DataError, EmptyInputError, InputReadError
from macqueen.inputs import Dataset, limit_epochs, numpy_input_fn
from macqueen.inputs.source import Stream, as_source

X = np.arange(24.0).reshape(8, 3)
X32 = X.astype(np.float32)
BATCHES = [X[:3], X[3:4], X[4:]]


def source(data: Any, **options: Any) -> Any:
    return as_source(data, mode="train", **options)


def rows_of(data: Any, most_rows: int = 3) -> np.ndarray:
    return np.concatenate(list(source(data).blocks(most_rows)))


def read(stream: Any) -> list[np.ndarray]:
    return list(stream.batches())


class Fresh:
    """Can be iterated over again and again; counts how often it was."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.passes = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        return iter(self.items)


class Array:
    """Not an array, but says it can be one."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


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


def whole_pass(found: Any, size: int, *, seed: int = 5, pass_number: int = 0, start: int = 0) -> list[np.ndarray]:
    return list(found.batches(size, seed=seed, pass_number=pass_number, start=start))


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


# Data sets of batches


def as_pairs(batches: list[np.ndarray]) -> list[Any]:
    return [(batch, np.zeros(len(batch))) for batch in batches]


def as_dicts(batches: list[np.ndarray]) -> list[Any]:
    return [{"b": batch[:, 1:], "a": batch[:, 0]} for batch in batches]


KINDS = {
    "list": lambda: list(BATCHES),
    "tuple": lambda: tuple(BATCHES),
    "nested lists": lambda: [batch.tolist() for batch in BATCHES],
    "pairs": lambda: as_pairs(BATCHES),
    "dicts": lambda: as_dicts(BATCHES),
    "iterable": lambda: Fresh(BATCHES),
    "iterable of pairs": lambda: Fresh(as_pairs(BATCHES)),
    "dict values": lambda: dict(enumerate(BATCHES)).values(),
    "function": lambda: Dataset(lambda: iter(BATCHES)),
    "generator function": lambda: Dataset(lambda: (batch for batch in BATCHES)),
    "function of a list": lambda: Dataset(lambda: BATCHES),
}


@pytest.fixture(params=KINDS)
def batched(request: pytest.FixtureRequest) -> Any:
    return source(KINDS[request.param]())


def test_batches_are_counted(batched: Any) -> None:
    assert (batched.rows, batched.dims, batched.dtype, batched.batch_count(1)) == (8, 3, np.float64, 3)


def test_batches_in_order_are_as_given(batched: Any) -> None:
    for _ in range(2):
        assert [batch.tolist() for batch in batched.in_order(2)] == [batch.tolist() for batch in BATCHES]


def test_batches_are_cut_into_blocks(batched: Any) -> None:
    blocks = list(batched.blocks(2))
    assert [len(block) for block in blocks] == [2, 1, 1, 2, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), X)


@pytest.mark.parametrize("wanted", [[7, 0, 3, 0, 4], [1], []])
def test_rows_are_taken_from_batches(batched: Any, wanted: list[int]) -> None:
    np.testing.assert_array_equal(batched.take(np.array(wanted, np.int64)), X[wanted])


def test_a_pass_has_every_batch_once(batched: Any) -> None:
    found = sorted(batch.tolist() for batch in whole_pass(batched, 2))
    assert found == [batch.tolist() for batch in BATCHES]


def test_batches_are_viewed() -> None:
    assert all(np.shares_memory(batch, X) for batch in source(BATCHES).in_order(1))


def test_without_random_access_the_order_is_kept() -> None:
    batches = [np.full((1, 1), float(number)) for number in range(50)]
    assert [batch[0, 0] for batch in whole_pass(source(Fresh(batches)), 1)] == list(range(50))


def test_rows_are_counted_by_one_pass_and_remembered() -> None:
    data = Fresh(BATCHES)
    found = source(data)
    assert [found.rows, found.rows, found.batch_count(1)] == [8, 8, 3]
    assert data.passes == 2  # one opened for the first batch, one to count


def test_a_pass_counts_the_rows() -> None:
    data = Fresh(BATCHES)
    found = source(data)
    list(found.blocks(10))
    assert found.rows == 8
    assert data.passes == 2


def test_lists_load_only_the_batches_taken_from() -> None:
    class Lazy(Sequence[Any]):
        asked: list[int]

        def __len__(self) -> int:
            return 3

        def __getitem__(self, number: Any) -> Any:
            if number >= 3:
                raise IndexError(number)
            self.asked.append(number)
            return BATCHES[number]

    data = Lazy()
    data.asked = []
    found = source(data)
    assert found.rows == 8
    data.asked.clear()
    found.take(np.array([0, 7]))
    assert data.asked == [0, 2]


def test_a_pass_stopped_early_closes_its_generator() -> None:
    closed = []

    def batches() -> Iterator[np.ndarray]:
        try:
            yield from BATCHES
        finally:
            closed.append(True)

    source(Dataset(batches))
    assert closed == [True]


def test_all_batches_have_the_dtype_of_the_first() -> None:
    found = source([X32, X.astype(np.float16), X.astype(np.int8)])
    assert {batch.dtype for batch in found.in_order(1)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("make", [list, Fresh, iter], ids=["list", "iterable", "stream"])
def test_wider_batch_names_both_dtypes(make: Any) -> None:
    found = source(make([X32, X.astype(np.int64)]))
    with pytest.raises(DataError, match=r"batch 1 .*float32.*int64, which needs float64"):
        list(found.batches() if found.is_stream else found.in_order(1))


@pytest.mark.parametrize("make", [list, Fresh, iter], ids=["list", "iterable", "stream"])
def test_narrower_batch_is_widened(make: Any) -> None:
    found = source(make([X, X32]))
    given = list(found.batches() if found.is_stream else found.in_order(1))
    assert {batch.dtype for batch in given} == {np.dtype(np.float64)}


@pytest.mark.parametrize("make", [list, Fresh, iter], ids=["list", "iterable", "stream"])
def test_width_that_changes_names_the_batch(make: Any) -> None:
    found = source(make([X, X, X[:, :2]]))
    with pytest.raises(DataError, match=r"batch 2 .* batch 0, 3, got 2"):
        list(found.batches() if found.is_stream else found.in_order(1))


@pytest.mark.parametrize("make", [list, Fresh, iter], ids=["list", "iterable", "stream"])
def test_batch_without_rows_is_named(make: Any) -> None:
    found = source(make([X, X[:0]]))
    with pytest.raises(EmptyInputError, match=r"batch 1 .* got 0 rows"):
        list(found.batches() if found.is_stream else found.in_order(1))


@pytest.mark.parametrize(
    "item", [np.ones((2, 2, 2)), None, "text", [X, X], iter([X]), object()], ids=lambda item: type(item).__name__
)
def test_batch_that_is_no_batch_is_named(item: Any) -> None:
    found = source(iter([X, item]))
    with pytest.raises((DataError, ArgumentTypeError), match="batch 1 of the input must"):
        read(found)


def test_list_of_arrays_of_rank_three_is_refused() -> None:
    with pytest.raises(DataError, match=r"batch 0 .*rank 3"):
        source([np.ones((2, 2, 2))])


def test_iterable_without_batches_is_refused() -> None:
    with pytest.raises(EmptyInputError, match="at least one batch, got none"):
        source(Fresh([]))


def test_another_number_of_rows_in_a_later_pass_is_refused() -> None:
    sizes = iter([1, 3, 2])
    found = source(Dataset(lambda: iter([X] * next(sizes))))
    list(found.in_order(1))
    with pytest.raises(InputReadError, match="24 rows in 3 batches, then 16 rows in 2 batches"):
        list(found.in_order(1))


# Dataset


def test_dataset_decides_the_batch_size() -> None:
    assert source(Dataset(X, batch_size=3), batch_size=7).batch_size == 3


def test_batch_size_is_the_callers_otherwise() -> None:
    assert source(Dataset(X), batch_size=7).batch_size == 7
    assert source(X, batch_size=7).batch_size == 7
    assert source(X).batch_size == 1024


@pytest.mark.parametrize("data", [BATCHES, Fresh(BATCHES), lambda: iter(BATCHES)], ids=["list", "iterable", "function"])
def test_batch_size_of_given_batches_is_refused(data: Any) -> None:
    with pytest.raises(ArgumentError, match="batch_size must be left out"):
        source(Dataset(data, batch_size=3))


@pytest.mark.parametrize("value", [0, -1])
def test_batch_size_is_at_least_one(value: int) -> None:
    with pytest.raises(ArgumentError, match=f"batch_size must be at least 1, got {value}"):
        Dataset(X, batch_size=value)
    with pytest.raises(ArgumentError, match=f"batch_size must be at least 1, got {value}"):
        source(X, batch_size=value)


@pytest.mark.parametrize("value", [True, 2.0, "2"])
def test_batch_size_is_an_integer(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="batch_size must be an integer"):
        Dataset(X, batch_size=value)


@pytest.mark.parametrize("data", [iter(BATCHES), (batch for batch in BATCHES), limit_epochs(X)])
def test_dataset_of_what_is_read_once_is_refused(data: Any) -> None:
    with pytest.raises(InputReadError, match="readable again"):
        Dataset(data)


@pytest.mark.parametrize("once", [map(np.asarray, BATCHES), (batch for batch in BATCHES)], ids=["map", "generator"])
def test_function_that_returns_one_iterator_twice_is_refused(once: Any) -> None:
    found = source(Dataset(lambda: once))
    with pytest.raises(InputReadError, match=r"(?i)pass a function|make it inside the function"):
        list(found.in_order(1))


@pytest.mark.parametrize("made", [X, X.tolist(), {"a": X}, 3, None], ids=["array", "rows", "dict", "int", "None"])
def test_function_of_a_dataset_returns_batches(made: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="iterator over batches, got"):
        source(Dataset(lambda: made))


def test_function_of_a_dataset_takes_no_arguments() -> None:
    with pytest.raises(ArgumentTypeError, match=r"data may require no arguments, got .*'mode'"):
        Dataset(lambda mode: iter(BATCHES))


def test_repr_of_a_dataset_can_be_typed_back() -> None:
    assert repr(Dataset([1.0, 2.0], batch_size=1)) == "Dataset([1.0, 2.0], batch_size=1)"


# Streams


@pytest.mark.parametrize("make", [iter, lambda b: (x for x in b), lambda b: map(np.asarray, b)])
def test_what_is_read_once_is_a_stream(make: Any) -> None:
    found = source(make(BATCHES))
    assert isinstance(found, Stream)
    assert found.is_stream
    assert (found.dims, found.dtype) == (3, np.float64)
    assert [batch.tolist() for batch in read(found)] == [batch.tolist() for batch in BATCHES]


@pytest.mark.parametrize("wrap", [as_pairs, as_dicts])
def test_streams_of_pairs_and_dicts(wrap: Any) -> None:
    assert [batch.tolist() for batch in read(source(iter(wrap(BATCHES))))] == [b.tolist() for b in BATCHES]


def test_stream_reads_one_batch_ahead_and_no_more() -> None:
    given = iter([X] * 4)
    batches = source(given).batches()
    next(batches)
    assert len(list(given)) == 3


def test_batches_of_a_stream_go_on() -> None:
    found = source(iter(BATCHES))
    next(found.batches())
    assert [len(batch) for batch in read(found)] == [1, 4]
    assert read(found) == []


def test_stream_batches_are_contiguous() -> None:
    found = read(source(iter([np.asfortranarray(X), X.astype(">f8")])))
    assert all(batch.flags.c_contiguous and batch.dtype.isnative for batch in found)


def test_stream_of_rank_one_has_one_column() -> None:
    assert read(source(iter([np.ones(4)])))[0].shape == (4, 1)


@pytest.mark.parametrize("data", [iter([]), (x for x in ())])
def test_stream_without_batches_is_refused(data: Any) -> None:
    with pytest.raises(EmptyInputError, match="at least one batch, got none"):
        source(data)


def test_generator_read_twice_is_refused() -> None:
    batches = (batch for batch in BATCHES)
    read(source(batches))
    with pytest.raises(InputReadError, match="already read to its end; pass a function that makes it, or a list"):
        source(batches)


def test_generator_read_in_part_goes_on() -> None:
    batches = (batch for batch in BATCHES)
    next(source(batches).batches())
    assert [len(batch) for batch in read(source(batches))] == [1, 4]


def test_stream_passed_on_is_itself() -> None:
    found = limit_epochs(X)
    assert source(found) is found


def test_stream_read_to_its_end_is_refused() -> None:
    found = limit_epochs(X)
    read(found)
    with pytest.raises(InputReadError, match="already read to its end"):
        source(found)


def test_errors_of_the_users_iterator_come_through() -> None:
    def batches() -> Iterator[np.ndarray]:
        yield X
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        read(source(batches()))


# Input functions


def test_function_is_called_once() -> None:
    calls = []
    np.testing.assert_array_equal(rows_of(lambda: calls.append(1) or X), X)
    assert len(calls) == 1


def test_function_gets_what_it_names() -> None:
    seen: dict[str, Any] = {}

    def input_fn(params: Any, *, mode: str, other: int = 3, **rest: Any) -> np.ndarray:
        seen.update(params=params, mode=mode, rest=rest)
        return X

    as_source(input_fn, mode="eval", config="c", params={"p": 1})
    assert seen == {"params": {"p": 1}, "mode": "eval", "rest": {}}


def test_function_with_config() -> None:
    assert as_source(lambda config: config, mode="infer", config=X).rows == 8


def test_bound_arguments_stay_bound() -> None:
    def input_fn(mode: str, size: int) -> np.ndarray:
        assert mode == "mine"
        return X[:size]

    assert source(functools.partial(input_fn, mode="mine", size=2)).rows == 2


def test_function_that_needs_more_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"only mode, config, params, got .*'path'"):
        source(lambda path, mode: X)


def test_methods_and_callable_objects_are_functions() -> None:
    class Reader:
        def __call__(self, mode: str) -> np.ndarray:
            return X if mode == "train" else X[:1]

    assert source(Reader()).rows == 8
    assert source(X.copy).rows == 8


def test_function_that_returns_a_function_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="callable again"):
        source(lambda: lambda: X)


def test_function_that_returns_none_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"got None.*check that it returns it"):
        source(lambda: None)


def test_rows_that_can_be_called_are_rows() -> None:
    class Both(Array):
        def __call__(self) -> None:
            raise AssertionError

    assert source(Both(X)).rows == 8
    assert source(lambda: Both(X)).rows == 8


def test_class_is_made_even_if_its_objects_are_iterable() -> None:
    class Mine:
        def __iter__(self) -> Iterator[np.ndarray]:
            return iter(BATCHES)

    assert source(Mine).rows == 8


def test_function_may_return_any_kind() -> None:
    assert source(lambda: iter(BATCHES)).is_stream
    assert source(lambda: Dataset(X, batch_size=2)).batch_size == 2
    assert source(lambda: (X, None)).rows == 8


def test_mode_is_one_of_three() -> None:
    with pytest.raises(ArgumentError, match="train, eval, infer, got 'predict'"):
        as_source(X, mode="predict")


def test_source_of_a_source_is_itself() -> None:
    found = source(X)
    assert source(found) is found


# limit_epochs


@pytest.mark.parametrize("data", [X, X.tolist(), {"a": X[:, :1], "b": X[:, 1:]}, (X, None)])
def test_limit_epochs_gives_everything_as_one_batch(data: Any) -> None:
    found = read(limit_epochs(data, num_epochs=3))
    assert len(found) == 3
    assert all(np.array_equal(batch, X) for batch in found)


def test_limit_epochs_gives_one_epoch_by_default() -> None:
    assert len(read(limit_epochs(X))) == 1


def test_limit_epochs_none_is_endless() -> None:
    batches = limit_epochs(X, None).batches()
    assert all(np.array_equal(next(batches), X) for _ in range(100))


def test_limit_epochs_views() -> None:
    assert np.shares_memory(read(limit_epochs(X))[0], X)


@pytest.mark.parametrize("value", [0, -2])
def test_limit_epochs_is_at_least_one(value: int) -> None:
    with pytest.raises(ArgumentError, match=f"num_epochs must be at least 1, got {value}"):
        limit_epochs(X, value)


def test_limit_epochs_names_its_argument() -> None:
    with pytest.raises(DataError, match="data must be a list of numbers or of rows"):
        limit_epochs(BATCHES)


# numpy_input_fn


def test_numpy_input_fn_in_order() -> None:
    found = read(source(numpy_input_fn(X, batch_size=3, shuffle=False)))
    assert [len(batch) for batch in found] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(found), X)


def test_numpy_input_fn_gives_dicts_with_their_dtypes() -> None:
    batch = next(numpy_input_fn({"a": X32, "b": X[:, 0]}, shuffle=False)())
    assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
        "a": ((8, 3), np.float32),
        "b": ((8,), np.float64),
    }


def test_numpy_input_fn_batches_cross_epochs() -> None:
    found = list(numpy_input_fn(np.arange(5), batch_size=4, num_epochs=2, shuffle=False)())
    assert [batch.tolist() for batch in found] == [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4]]


def test_numpy_input_fn_batch_of_many_epochs() -> None:
    found = list(numpy_input_fn(np.arange(2), batch_size=5, num_epochs=3, shuffle=False)())
    assert [batch.tolist() for batch in found] == [[0, 1, 0, 1, 0], [1]]


def test_numpy_input_fn_without_end() -> None:
    batches = numpy_input_fn(np.arange(5), batch_size=4, num_epochs=None, shuffle=False)()
    assert np.concatenate([next(batches) for _ in range(50)]).tolist() == list(range(5)) * 40


@given(rows=st.integers(1, 20), size=st.integers(1, 50), epochs=st.integers(1, 4), seed=st.integers(0, 2**64 - 1))
def test_numpy_input_fn_shuffles_each_epoch(rows: int, size: int, epochs: int, seed: int) -> None:
    input_fn = numpy_input_fn(np.arange(rows), batch_size=size, num_epochs=epochs, shuffle=True)
    found = np.concatenate(list(input_fn(SimpleNamespace(tf_random_seed=seed))))
    assert np.sort(found.reshape(epochs, rows), axis=1).tolist() == [list(range(rows))] * epochs


def test_numpy_input_fn_order_is_of_seed_and_epoch() -> None:
    input_fn = numpy_input_fn(np.arange(50), num_epochs=2, batch_size=50, shuffle=True)

    def orders(seed: int | None) -> list[list[int]]:
        return [batch.tolist() for batch in input_fn(SimpleNamespace(tf_random_seed=seed))]

    assert orders(1) == orders(1)
    assert orders(None) == orders(0) == [batch.tolist() for batch in input_fn()]
    assert len({tuple(order) for seed in (0, 1) for order in orders(seed)}) == 4


def test_numpy_input_fn_is_given_the_config() -> None:
    input_fn = numpy_input_fn(np.arange(50), shuffle=True)
    one, two = (read(source(input_fn, config=SimpleNamespace(tf_random_seed=seed)))[0] for seed in (1, 2))
    assert one.tolist() != two.tolist()


@pytest.mark.parametrize("shuffle", [None, 1, "yes"])
def test_numpy_input_fn_needs_shuffle(shuffle: Any) -> None:
    with pytest.raises(ArgumentError, match="shuffle must be provided and explicitly set as boolean"):
        numpy_input_fn(X, shuffle=shuffle)


@pytest.mark.parametrize("y", [np.ones(8), {"a": np.ones(8)}, ["label"] * 8, None])
def test_numpy_input_fn_ignores_labels(y: Any) -> None:
    np.testing.assert_array_equal(read(source(numpy_input_fn(X, y, shuffle=False)))[0], X)


@pytest.mark.parametrize("y", [np.ones(7), {"a": np.ones(8), "b": np.ones(7)}])
def test_numpy_input_fn_checks_the_length_of_labels(y: Any) -> None:
    with pytest.raises(ArgumentError, match="same first dimension"):
        numpy_input_fn(X, y, shuffle=False)


def test_numpy_input_fn_checks_labels_of_the_same_name() -> None:
    with pytest.raises(ArgumentError, match="same first dimension"):
        numpy_input_fn({"a": X}, {"a": X[:2]}, shuffle=False)


def test_numpy_input_fn_checks_the_length_of_columns() -> None:
    with pytest.raises(ArgumentError, match=r"8 for x\['a'\], 2 for x\['b'\]"):
        numpy_input_fn({"a": X, "b": X[:2]}, shuffle=False)


@pytest.mark.parametrize(("x", "y"), [({}, None), (X, {})])
def test_numpy_input_fn_refuses_empty_dicts(x: Any, y: Any) -> None:
    with pytest.raises(ArgumentError, match="cannot be an empty dict"):
        numpy_input_fn(x, y, shuffle=False)


@pytest.mark.parametrize("x", [None, "rows", iter([X]), 3])
def test_numpy_input_fn_refuses_what_is_no_array(x: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="x must be"):
        numpy_input_fn(x, shuffle=False)


def test_numpy_input_fn_refuses_no_rows() -> None:
    with pytest.raises(EmptyInputError, match="at least one row"):
        numpy_input_fn(X[:0], num_epochs=None, shuffle=False)


@pytest.mark.parametrize("name", ["batch_size", "num_epochs", "queue_capacity", "num_threads"])
def test_numpy_input_fn_numbers_are_at_least_one(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} must be at least 1, got 0"):
        numpy_input_fn(X, shuffle=False, **{name: 0})


def test_numpy_input_fn_views_where_it_can() -> None:
    assert np.shares_memory(next(numpy_input_fn(X, shuffle=False)()), X)
