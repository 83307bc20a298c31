"""checkpoint/: every bit comes back, damage is seen, settings are compared."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from macqueen import checkpoint
from macqueen.checkpoint import Retention, cache, encoding
from macqueen.errors import ArgumentError, CheckpointError, NotTrainedError, SettingsMismatchError
from macqueen.state import State

GOLDEN = Path(__file__).parent / "golden" / "model.ckpt-7.safetensors"
SETTINGS = {"metric": "cosine", "mode": "mini_batch", "steps_per_iteration": 3}
ALL = Retention(0)


def small(step=7):
    """The state of the golden file: every field is used."""
    return State(
        centers=np.array([[1.5, -0.0], [5e-324, 2.0]]),
        step=step,
        seed=2**64 - 1,
        counts=np.array([3, 2**62]),
        pending=np.array([[1.25, 0.5], [-1e300, 2.0]]),
        steps_since_sync=1,
        loss=0.1,
        pending_loss=5e-324,
        stalled=2,
        position={"pass": 1, "batch": 2, "order": [1, 0]},
    )


def save(folder, state, retention=ALL, now=1000.0):
    return checkpoint.save(str(folder), state, SETTINGS, retention, now)


def put(folder, *steps, retention=ALL):
    """Save small checkpoints, one second apart."""
    for now, step in enumerate(steps):
        save(folder, small(step), retention, float(now))


def break_file(folder, step):
    path = Path(folder) / f"model.ckpt-{step}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return path


def assert_same(one, other):
    """Equal in type, dtype and every bit."""
    for name, value in vars(one).items():
        found = getattr(other, name)
        if isinstance(value, np.ndarray):
            assert (found.dtype, found.shape, found.tobytes()) == (value.dtype, value.shape, value.tobytes()), name
        elif isinstance(value, float):
            assert found.hex() == value.hex(), name
        else:
            assert found == value, name


@st.composite
def states(draw):
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    width = np.dtype(dtype).itemsize * 8
    centers = hnp.arrays(dtype, shape, elements=st.floats(width=width, allow_nan=False))  # -0.0, denormals, infinities
    return State(
        centers=draw(centers),
        step=draw(st.integers(0, 2**63 - 1)),
        seed=draw(st.integers(0, 2**64 - 1)),
        counts=draw(st.none() | hnp.arrays(np.int64, shape[:1])),
        pending=draw(st.none() | centers),
        steps_since_sync=draw(st.integers(0, 5)),
        loss=draw(st.none() | st.floats(allow_nan=False)),
        pending_loss=draw(st.floats(allow_nan=False)),
        stalled=draw(st.integers(0, 3)),
        position=draw(st.none() | st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False) | st.text())),
    )


# what is saved comes back


@settings(max_examples=60, deadline=None)
@given(states())
def test_every_bit_comes_back(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("model")
    again, found = checkpoint.restore(save(folder, state))
    assert_same(state, again)
    k, d = state.centers.shape
    assert found == SETTINGS | {"k": k, "d": d, "dtype": state.centers.dtype.name}


def test_equal_states_give_equal_bytes_in_any_process(tmp_path):
    """The library's own writer orders its metadata at random."""
    save(tmp_path, small())
    code = "import sys, test_checkpoint as t; t.save(sys.argv[1], t.small())"
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "5"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=True, env=here)
    one, other = (path / "model.ckpt-7.safetensors" for path in (tmp_path, tmp_path / "b"))
    assert one.read_bytes() == other.read_bytes()


def test_centers_in_any_memory_order_come_back(tmp_path):
    centers = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert not centers.flags.c_contiguous
    again, _ = checkpoint.restore(save(tmp_path, State(centers=centers, step=0, seed=0)))
    np.testing.assert_array_equal(again.centers, centers)


def test_prefix_and_file_name_name_the_same(tmp_path):
    prefix = save(tmp_path, small())
    assert prefix == str(tmp_path / "model.ckpt-7")
    assert_same(checkpoint.restore(prefix)[0], checkpoint.restore(Path(prefix + ".safetensors"))[0])


def test_restored_arrays_are_read_only(tmp_path):
    prefix = save(tmp_path, small())
    state, _ = checkpoint.restore(prefix)
    for array in (state.centers, state.counts, state.pending, *checkpoint.variables(prefix).values()):
        assert not array.flags.writeable


def test_what_a_caller_changes_is_not_seen_by_the_next(tmp_path):
    prefix = save(tmp_path, small())
    state, found = checkpoint.restore(prefix)
    state.position["order"].append(9)
    found["metric"] = "changed"
    state, found = checkpoint.restore(prefix)
    assert state.position == small().position
    assert found["metric"] == "cosine"


def test_safetensors_reads_the_file(tmp_path):
    from safetensors.numpy import load_file

    tensors = load_file(save(tmp_path, small()) + ".safetensors")
    assert sorted(tensors) == ["cluster_counts", "clusters", "clusters_updated", "global_step", "update_in_steps"]
    assert (tensors["global_step"], tensors["update_in_steps"]) == (7, 2)


def test_full_batch_saves_centers_and_step_only(tmp_path):
    prefix = save(tmp_path, State(centers=np.ones((2, 3), np.float32), step=0, seed=0))
    assert sorted(checkpoint.variables(prefix)) == ["clusters", "global_step"]


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    prefix = save(tmp_path, small())
    reads = []
    decoded = encoding.decoded
    monkeypatch.setattr(cache, "decoded", lambda data, path: reads.append(path) or decoded(data, path))
    for _ in range(3):
        assert checkpoint.latest(tmp_path) == prefix
        checkpoint.restore(prefix)
    assert len(reads) == 1


def test_a_replaced_file_is_read_again(tmp_path):
    prefix = save(tmp_path, small())
    assert checkpoint.restore(prefix)[0].seed == 2**64 - 1
    save(tmp_path, State(centers=np.ones((1, 1)), step=7, seed=5))
    assert checkpoint.restore(prefix)[0].seed == 5


def test_many_threads_may_read_while_one_saves(tmp_path):
    put(tmp_path, 0)
    failures = []
    done = threading.Event()

    def read():
        while not done.is_set():
            try:
                assert checkpoint.latest(tmp_path) is not None
            except Exception as error:  # noqa: BLE001 -- shown by the assertion below
                failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    put(tmp_path, *range(1, 40), retention=Retention(3))
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []


# the golden file


def test_golden_file_is_readable_for_ever(tmp_path):
    shutil.copy(GOLDEN, tmp_path)
    assert checkpoint.latest(tmp_path) == str(tmp_path / "model.ckpt-7")
    state, found = checkpoint.restore(GOLDEN)
    assert_same(small(), state)
    assert found == SETTINGS | {"k": 2, "d": 2, "dtype": "float64"}


# damage


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Path(save(tmp_path_factory.mktemp("sound"), small()) + ".safetensors").read_bytes()


def test_truncation_at_any_byte_is_detected(sound):
    encoding.decoded(sound, "whole")
    for length in range(len(sound)):
        with pytest.raises(CheckpointError, match="torn"):
            encoding.decoded(sound[:length], "torn")


def test_a_change_of_any_byte_is_detected(sound):
    for at in range(len(sound)):
        for change in (1, 0x20, 0x29, 0xFF):  # 0x29 makes a tab of the header's spaces
            data = bytearray(sound)
            data[at] ^= change
            with pytest.raises(CheckpointError, match="flipped"):
                encoding.decoded(bytes(data), "flipped")


def test_appended_bytes_are_detected(sound):
    with pytest.raises(CheckpointError, match="longer"):
        encoding.decoded(sound + b"\0", "longer")


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data):
    with pytest.raises(CheckpointError, match="noise"):
        encoding.decoded(data, "noise")


def test_damaged_file_is_named_by_restore(tmp_path):
    put(tmp_path, 1)
    path = break_file(tmp_path, 1)
    with pytest.raises(CheckpointError, match=f"{path} is damaged: its checksum"):
        checkpoint.restore(path)


def test_latest_skips_damaged_files_and_says_so_once(tmp_path, caplog):
    put(tmp_path, 1, 2, 3)
    paths = [break_file(tmp_path, step) for step in (3, 2)]
    with caplog.at_level(logging.WARNING, "macqueen"):
        for _ in range(3):
            assert checkpoint.latest(tmp_path) == str(tmp_path / "model.ckpt-1")
    assert [record.name for record in caplog.records] == ["macqueen"] * 2
    for record, path in zip(caplog.records, paths, strict=True):
        assert str(path) in record.message
        assert "checksum does not match" in record.message


def test_latest_skips_foreign_files(tmp_path, caplog):
    from safetensors.numpy import save_file

    put(tmp_path, 1)
    save_file({"clusters": np.ones((2, 2))}, tmp_path / "model.ckpt-9.safetensors")
    assert checkpoint.latest(tmp_path) == str(tmp_path / "model.ckpt-1")
    assert "is not a macqueen checkpoint" in caplog.text


def test_missing_file_is_not_a_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.ckpt-4\.safetensors is not a checkpoint"):
        checkpoint.restore(tmp_path / "model.ckpt-4")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        checkpoint.restore(tmp_path / "model.ckpt-4")


def newer(folder, step, version="2"):
    """A sound file of a format version that is not known yet."""
    before = encoding.FORMAT_VERSION
    encoding.FORMAT_VERSION = version
    try:
        return save(folder, small(step))
    finally:
        encoding.FORMAT_VERSION = before


def test_newer_format_version_names_the_version_that_is_read(tmp_path):
    prefix = newer(tmp_path, 3)
    with pytest.raises(CheckpointError, match="format version '2'; this library reads version '1'"):
        checkpoint.restore(prefix)


def test_latest_does_not_skip_a_newer_format(tmp_path):
    """To go on from an older checkpoint would lose the work of the newer library."""
    put(tmp_path, 1)
    newer(tmp_path, 3)
    with pytest.raises(CheckpointError, match="format version '2'"):
        checkpoint.latest(tmp_path)


def test_sound_checksum_over_nonsense_is_refused(tmp_path):
    prefix = save(tmp_path, State(centers=np.ones(3).reshape(3, 1), step=1, seed=0, counts=np.ones(2, np.int64)))
    with pytest.raises(CheckpointError, match="cluster_counts does not match"):
        checkpoint.restore(prefix)


# variables by name


def test_list_variables_of_a_folder_and_of_a_prefix(tmp_path):
    put(tmp_path, 1, 7)
    expected = [
        ("cluster_counts", [2]),
        ("clusters", [2, 2]),
        ("clusters_updated", [2, 2]),
        ("global_step", []),
        ("update_in_steps", []),
    ]
    for path in (tmp_path, str(tmp_path / "model.ckpt-1"), tmp_path / "model.ckpt-1.safetensors"):
        assert checkpoint.list_variables(path) == expected


def test_load_variable_reads_the_newest(tmp_path):
    put(tmp_path, 1, 7)
    assert checkpoint.load_variable(tmp_path, "global_step") == 7
    assert checkpoint.load_variable(tmp_path / "model.ckpt-1", "global_step:0") == 1


def test_unknown_variable_lists_the_known(tmp_path):
    put(tmp_path, 1)
    with pytest.raises(ArgumentError, match=r"no variable 'centers'.*known: cluster_counts, clusters"):
        checkpoint.load_variable(tmp_path, "centers")


def test_a_folder_without_a_checkpoint_is_not_trained(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotTrainedError, match=str(folder)):
            checkpoint.list_variables(folder)
        with pytest.raises(NotTrainedError, match=str(folder)):
            checkpoint.load_variable(folder, "clusters")


# settings


def test_other_settings_are_refused_with_a_diff():
    found = {"metric": "cosine", "k": 3, "d": 2}
    with pytest.raises(SettingsMismatchError) as caught:
        checkpoint.check_settings(found, {"metric": "squared_euclidean", "k": 3, "d": 4}, "/models/a")
    assert str(caught.value).splitlines() == [
        "/models/a holds a model of other settings:",
        "  setting  in directory  asked for",
        "  metric   cosine        squared_euclidean",
        "  d        2             4",
        "Ask for the settings in the directory, or give another model_dir.",
    ]


def test_only_wanted_settings_are_compared():
    checkpoint.check_settings({"metric": "cosine", "k": 3}, {"metric": "cosine"}, "/models/a")


def test_import_does_not_load_safetensors():
    code = "import sys, macqueen.checkpoint; print(json.dumps(sorted(m for m in sys.modules if 'safetensors' in m)))"
    run = subprocess.run([sys.executable, "-c", "import json\n" + code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []
