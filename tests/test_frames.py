"""Frames as input: pandas, polars, pyarrow, DuckDB, Arrow streams."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
import tracemalloc

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import KMeans
from macqueen import feature_columns as fc
from macqueen.errors import DataError, EmptyInputError, InputReadError
from macqueen.inputs import limit_epochs, pandas_input_fn
from tests.models import in_memory, quick
from tests.sources import read, rows_of, source, whole_pass

DATA = {
    "b": np.arange(20, dtype=np.float32),
    "a": np.arange(20, dtype=np.int16) * 3,
    "c": np.arange(20) % 3 == 0,
}
MATRIX = np.stack([DATA[key].astype(np.float32) for key in ("b", "a", "c")], axis=1)


def pandas_of(data):
    return pd.DataFrame(data)


def polars_of(data):
    return pl.DataFrame(data)


def polars_in_chunks(data):
    frame = pl.DataFrame(data)
    return pl.concat([frame[:7], frame[7:]], rechunk=False)


def pyarrow_of(data):
    return pa.table({key: pa.array(value) for key, value in data.items()})


def record_batch_of(data):
    return pyarrow_of(data).combine_chunks().to_batches()[0]


def duckdb_of(data):
    frame = pyarrow_of(data)  # noqa: F841 -- DuckDB finds it by its name
    return duckdb.sql("select * from frame")


IN_MEMORY = [pandas_of, polars_of, polars_in_chunks, pyarrow_of, record_batch_of]
ALL = [*IN_MEMORY, duckdb_of]
each = pytest.mark.parametrize("make", ALL)
each_in_memory = pytest.mark.parametrize("make", IN_MEMORY)


# --- the rows ---------------------------------------------------------------------------------------------


@each
def test_columns_stand_in_the_order_of_the_frame(make):
    found = source(make(DATA))
    assert (found.dims, found.dtype, found.rows, found.is_stream) == (3, np.float32, 20, False)
    assert rows_of(make(DATA), 6).tobytes() == MATRIX.tobytes()


@each
@pytest.mark.parametrize(
    ("dtype", "computed"), [("float32", "f4"), ("int8", "f4"), ("uint16", "f4"), ("float64", "f8"), ("int64", "f8")]
)
def test_dtypes(make, dtype, computed):
    assert source(make({"x": np.arange(3).astype(dtype)})).dtype == computed


@each
def test_decimals_are_float64(make):
    values = [decimal.Decimal("0.25"), decimal.Decimal("1.50")]
    if make is pandas_of:
        data = pd.DataFrame({"x": pd.Series(values, dtype=pd.ArrowDtype(pa.decimal128(5, 2)))})
    else:
        data = make({"x": pa.array(values) if make is not polars_of else values})
    assert rows_of(data).tolist() == [[0.25], [1.5]]


@quick
@given(
    st.integers(1, 7),
    st.lists(st.integers(0, 19), min_size=1, max_size=30),
    st.sampled_from(IN_MEMORY),
    st.integers(0, 2**32),
)
def test_a_frame_is_read_as_an_array_is(block, indices, make, seed):
    frame, array = source(make(DATA)), source(MATRIX)
    assert rows_of(make(DATA), block).tobytes() == MATRIX.tobytes()
    chosen = np.array(indices)
    assert frame.take(chosen).tobytes() == array.take(chosen).tobytes()
    for one, other in zip(whole_pass(frame, block, seed=seed), whole_pass(array, block, seed=seed), strict=True):
        assert one.tobytes() == other.tobytes()


@each
@pytest.mark.parametrize("mini_batch", [True, False])
def test_models_have_the_bits_of_those_of_the_array(make, mini_batch):
    """A relation is read in its own batches, which in mini-batch mode are the steps."""
    arguments = {"use_mini_batch": mini_batch, "batch_size": 8 if make is not duckdb_of else 20}
    whole = MATRIX[:, :] if make is not duckdb_of or not mini_batch else [MATRIX]
    expected = in_memory(3, **arguments).train(whole, steps=5)
    found = in_memory(3, **arguments).train(make(DATA), steps=5)
    assert found.cluster_centers().tobytes() == expected.cluster_centers().tobytes()
    assert found.labels(make(DATA)).tolist() == expected.labels(MATRIX).tolist()


def test_a_record_batch_reader_is_a_stream():
    reader = pyarrow_of(DATA).to_reader(8)
    found = source(reader)
    assert found.is_stream
    assert [len(batch) for batch in read(found)] == [8, 8, 4]


def test_a_relation_is_computed_anew_for_each_pass():
    found = source(duckdb.sql("select range::float as x, range::float * 2 as y from range(5000)"))
    for _ in range(2):
        assert np.concatenate(list(found.blocks(1000)))[:, 1].sum() == 2 * sum(range(5000))


@each_in_memory
def test_frames_are_batches_too(make):
    parts = [make({key: value[part] for key, value in DATA.items()}) for part in (slice(0, 5), slice(5, 20))]
    assert rows_of(parts).tobytes() == MATRIX.tobytes()
    assert np.concatenate(read(source(iter(parts)))).tobytes() == MATRIX.tobytes()
    labelled = [(part, np.zeros(part.shape[0] if hasattr(part, "shape") else len(part))) for part in parts]
    assert np.concatenate(read(source(iter(labelled)))).tobytes() == MATRIX.tobytes()


@each_in_memory
def test_a_frame_as_a_stream(make):
    assert [len(batch) for batch in read(limit_epochs(make(DATA), 2))] == [20, 20]


def test_columns_in_another_order_are_put_right():
    other = pd.DataFrame(DATA)[["c", "a", "b"]]
    assert rows_of([pd.DataFrame(DATA), other]).tobytes() == np.concatenate([MATRIX, MATRIX]).tobytes()


def test_names_of_pandas_may_be_numbers():
    assert rows_of(pd.DataFrame(MATRIX)).tobytes() == MATRIX.tobytes()


def test_an_index_has_no_part_in_it():
    frame = pd.DataFrame(DATA, index=np.arange(20)[::-1])
    assert rows_of(frame).tobytes() == MATRIX.tobytes()


def test_a_series_is_one_column():
    assert rows_of(pd.Series([1.0, 2.0])).tolist() == rows_of(pl.Series([1.0, 2.0])).tolist() == [[1.0], [2.0]]


def test_a_frame_is_never_copied_as_a_whole():
    frame = pl.DataFrame({f"x{i}": np.zeros(200_000, np.float32 if i % 2 else np.int16) for i in range(20)})
    found = source(frame)
    tracemalloc.start()
    for block in found.blocks(2000):
        assert block.shape == (2000, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000 * 20 * 4 / 10


def test_arrays_need_no_frame_library():
    code = """
import sys, numpy as np, macqueen
macqueen.KMeans(2, config=macqueen.RunConfig("x", save_checkpoints_steps=None, save_summary_steps=0)).train(
    {"a": np.arange(9.0)}, steps=1)
assert not {"narwhals", "pyarrow", "pandas", "polars", "tensorboardX", "rich"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what cannot be clustered -----------------------------------------------------------------------------

TEXT = {"x": np.arange(2.0), "city": ["Rome", "Oslo"], "land": ["it", "no"]}


@each
def test_columns_that_are_no_numbers_are_all_named_with_the_way_to_encode_them(make):
    encode = r"encode it with feature_columns=\[indicator_column\(categorical_column_with_vocabulary_list\('{}'"
    with pytest.raises(DataError, match=rf"column 'city'.*{encode.format('city')}.*'land'.*{encode.format('land')}"):
        source(make(TEXT))


@each
def test_times_are_named(make):
    with pytest.raises(DataError, match=r"column 't' \((Datetime|Date)\b.*convert it to a number"):
        source(make({"x": np.arange(2.0), "t": [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 1, 1)]}))


@each
def test_gaps_are_named_by_column_and_row(make):
    data = {"x": [1.0, 2.0, 3.0], "y": [1.0, None, 3.0]}
    with pytest.raises(DataError, match=r"column 'y', row 1: the value is missing; fill or drop the row"):
        rows_of(make(data), 1)


def test_a_gap_in_a_shuffled_batch_is_named_by_its_place():
    values = np.arange(50.0)
    values[33] = np.nan
    with pytest.raises(DataError, match="column 'x', row 33"):
        in_memory(2, batch_size=7).train(pd.DataFrame({"x": values}), steps=9)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=["x", "x"]),
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]),
    ],
)
def test_two_columns_of_one_name_are_refused(frame):
    with pytest.raises(DataError, match=r"two columns of the name 'x'; rename or drop one"):
        source(frame)


@each_in_memory
@pytest.mark.parametrize("as_stream", [True, False])
def test_columns_that_change_between_batches_are_refused(make, as_stream):
    frames = [make({"x": np.zeros(3), "y": np.zeros(3)}), make({"x": np.zeros(3), "z": np.zeros(3)})]
    with pytest.raises(DataError, match=r"batch 1 .* must have the columns of batch 0; missing: 'y'; new: 'z'"):
        read(source(iter(frames))) if as_stream else list(source(frames).blocks(9))


@each_in_memory
def test_an_empty_frame_is_refused(make):
    data = make({"x": np.zeros(1)})
    with pytest.raises(EmptyInputError, match="at least one row"):
        source(data.slice(0, 0) if hasattr(data, "slice") else data[:0])


def test_a_lazy_frame_is_refused_with_the_remedy():
    with pytest.raises(DataError, match=r"got a LazyFrame. Call .collect\(\) first"):
        source(pl.DataFrame(DATA).lazy())


def test_a_reader_that_was_read_is_refused():
    reader = pyarrow_of(DATA).to_reader()
    read(source(reader))
    with pytest.raises((EmptyInputError, InputReadError)):
        source(reader)


# --- pandas_input_fn --------------------------------------------------------------------------------------


def test_pandas_input_fn_streams_dicts():
    input_fn = pandas_input_fn(pd.DataFrame(DATA), batch_size=8, num_epochs=2, shuffle=False)
    batches = list(input_fn())
    assert [len(batch["a"]) for batch in batches] == [8, 8, 8, 8, 8]
    assert np.array_equal(np.concatenate([batch["b"] for batch in batches]), np.tile(DATA["b"], 2))


def test_pandas_input_fn_shuffles():
    input_fn = pandas_input_fn(pd.DataFrame(DATA), batch_size=20, shuffle=True)
    found = next(input_fn())["b"]
    assert found.tolist() != DATA["b"].tolist()
    assert sorted(found.tolist()) == DATA["b"].tolist()


def test_pandas_input_fn_trains_with_feature_columns(tmp_path):
    frame = pd.DataFrame({"city": ["Rome", "Oslo"] * 20, "x": np.arange(40.0)})
    words = fc.categorical_column_with_vocabulary_list("city", ["Rome", "Oslo"])
    model = KMeans(2, tmp_path, feature_columns=[fc.indicator_column(words), fc.numeric_column("x")])
    model.train(pandas_input_fn(frame, batch_size=10, shuffle=True))
    assert model.cluster_centers().shape == (2, 3)


FRAME = pd.DataFrame({"x": [1.0, 2.0]})
BAD = {
    "x no frame": ({"x": np.zeros(3)}, TypeError, "x must be a pandas DataFrame, got ndarray"),
    "y no series": ({"y": [1, 2]}, TypeError, "y must be a pandas Series or DataFrame, got list"),
    "shuffle": ({"shuffle": None}, ValueError, "shuffle must be provided"),
    "another index": ({"y": pd.Series([1, 2], index=[5, 6])}, ValueError, "the same index"),
    "another length": ({"y": pd.Series([1, 2, 3])}, ValueError, "the same index"),
    "target is a column": ({"y": pd.Series([1, 2]), "target_column": "x"}, ValueError, "already has the columns x"),
    "labels are a column": ({"y": FRAME}, ValueError, "already has the columns x"),
    "no rows": ({"x": FRAME[:0]}, ValueError, "at least one row"),
    "batch size": ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    "epochs": ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1"),
    "one name twice": ({"x": pd.DataFrame([[1, 2]], columns=["x", "x"])}, ValueError, "two columns of the name 'x'"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_of_pandas_input_fn_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        pandas_input_fn(**{"x": FRAME, "shuffle": False, **arguments})
