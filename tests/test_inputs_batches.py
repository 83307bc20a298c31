"""Data sets of batches, and what is declared one; one fact per test."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from macqueen.errors import ArgumentError, ArgumentTypeError, DataError, EmptyInputError, InputReadError
from macqueen.inputs import Dataset, limit_epochs
from tests.sources import BATCHES, X32, Fresh, X, as_dicts, as_pairs, read, source, whole_pass

# Data sets of batches


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
