"""Streams, input functions, limit_epochs and numpy_input_fn; one fact per test."""

import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen.errors import ArgumentError, ArgumentTypeError, DataError, EmptyInputError, InputReadError
from macqueen.inputs import Dataset, limit_epochs, numpy_input_fn
from macqueen.inputs.source import Stream, as_source
from tests.sources import BATCHES, X32, Array, X, as_dicts, as_pairs, read, rows_of, source

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


def test_function_that_has_ended_is_an_empty_input() -> None:
    with pytest.raises(EmptyInputError, match="input_fn must return rows, got StopIteration"):
        source(lambda: next(iter([])))
