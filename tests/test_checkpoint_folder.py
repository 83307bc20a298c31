"""checkpoint/folder.py through its faces: what is the latest, what a crash or a full disk costs, what retires."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen import checkpoint
from macqueen.checkpoint import Entry, Retention
from macqueen.errors import CheckpointError
from macqueen.state import State
from tests.crashes import crash_at

ALL = Retention(0)


def save(folder, step, retention=ALL, now=0.0):
    return checkpoint.save(str(folder), State(centers=np.ones((2, 2)), step=step, seed=1), {}, retention, now)


def put(folder, *steps, retention=ALL):
    """Save small checkpoints, one second apart."""
    for now, step in enumerate(steps):
        save(folder, step, retention, float(now))


def steps_in(folder):
    return sorted(int(path.stem.removeprefix("model.ckpt-")) for path in Path(folder).glob("model.ckpt-*"))


# what is the latest


def test_no_folder_or_an_empty_one_has_no_latest(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        assert checkpoint.latest(folder) is None


def test_saved_but_not_yet_listed_is_found(tmp_path):
    """A crash fell between the two renames."""
    put(tmp_path, 1, 2)
    listed = (tmp_path / "checkpoint").read_bytes()
    put(tmp_path, 10)
    (tmp_path / "checkpoint").write_bytes(listed)
    assert checkpoint.latest(tmp_path) == str(tmp_path / "model.ckpt-10")


@pytest.mark.parametrize("text", [b"", b"\xff\xfe garbage\n\0", b'model_checkpoint_path: "../../etc/passwd"\n'])
def test_torn_or_foreign_list_costs_nothing(tmp_path, text):
    put(tmp_path, 1, 2)
    (tmp_path / "checkpoint").write_bytes(text)
    assert checkpoint.latest_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-2")


def test_the_list_may_point_to_an_older_one(tmp_path):
    """Users of TensorFlow go back by editing the first line."""
    put(tmp_path, 1, 2, 3)
    path = tmp_path / "checkpoint"
    text = path.read_text().splitlines()
    path.write_text("\n".join(['model_checkpoint_path: "model.ckpt-1"', *text[1:]]))
    assert checkpoint.latest(tmp_path) == str(tmp_path / "model.ckpt-1")


def test_the_list_is_in_the_form_of_tensorflow(tmp_path):
    put(tmp_path, 1, 20)
    assert (tmp_path / "checkpoint").read_text() == (
        'model_checkpoint_path: "model.ckpt-20"\n'
        'all_model_checkpoint_paths: "model.ckpt-1"\n'
        'all_model_checkpoint_paths: "model.ckpt-20"\n'
        "all_model_checkpoint_timestamps: 0.0\n"
        "all_model_checkpoint_timestamps: 1.0\n"
        "last_preserved_timestamp: 0.0\n"
    )


def test_saving_a_step_again_lists_it_once(tmp_path):
    put(tmp_path, 1, 2, 2)
    assert (tmp_path / "checkpoint").read_text().count('"model.ckpt-2"') == 2  # as the newest, and in the list
    assert steps_in(tmp_path) == [1, 2]


# a crash, a full disk, a folder that cannot be written


def test_kill_at_any_moment_leaves_a_readable_latest(tmp_path):
    code = (
        "import sys, numpy as np, itertools\n"
        "from macqueen import checkpoint\nfrom macqueen.state import State\n"
        "for step in itertools.count():\n"
        "    state = State(centers=np.full((500, 40), float(step)), step=step, seed=1)\n"
        "    checkpoint.save(sys.argv[1], state, {}, checkpoint.Retention(3), float(step))\n"
        "    if step == 2: print('go', flush=True)\n"
    )
    for delay in (0.0, 0.001, 0.004, 0.009, 0.02, 0.05):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        prefix = checkpoint.latest(tmp_path)
        state, _ = checkpoint.restore(prefix)
        assert state.step >= 2
        assert (state.centers == state.step).all()
        for path in tmp_path.iterdir():  # each round starts at step 0 again
            path.unlink()


def test_a_crash_at_any_moment_leaves_no_file_that_stays_for_ever(tmp_path, monkeypatch):
    """Also between a folder's very first checkpoint and its first list; the saves after it may crash there again."""
    crashes = []
    for number in range(1, 7):
        folder = tmp_path / str(number)
        for step in range(3):
            with crash_at(monkeypatch, number) as seen:
                save(folder, step, Retention(2, None), float(step))
            crashes.append(len(seen) >= number)
            left = steps_in(folder)
            assert checkpoint.latest(folder) == (str(folder / f"model.ckpt-{left[-1]}") if left else None)
        put(folder, 10, 11, 12, retention=Retention(2, None))
        assert steps_in(folder) == [11, 12]
    assert sum(crashes) > 6
    assert not any(crashes[-3:])


def test_full_disk_leaves_the_previous_checkpoint_and_no_rubbish(tmp_path):
    """The limit on file sizes makes the kernel refuse the write, as a full disk does."""
    put(tmp_path, 1)
    code = (
        "import resource, sys, numpy as np\n"
        "from macqueen import checkpoint\nfrom macqueen.state import State\n"
        "from macqueen.errors import CheckpointError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n"
        "    checkpoint.save(sys.argv[1], State(np.ones((500, 40)), 2, 1), {}, checkpoint.Retention(1), 2.0)\n"
        "except CheckpointError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert f"cannot write {tmp_path}/model.ckpt-2.safetensors: File too large. Free space" in run.stdout
    assert checkpoint.latest(tmp_path) == str(tmp_path / "model.ckpt-1")
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model.ckpt-1.safetensors"]


def test_a_list_that_cannot_be_written_leaves_a_readable_latest(tmp_path, monkeypatch):
    put(tmp_path, 1)
    replace = os.replace

    def full(source, target):
        if target.endswith("checkpoint"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CheckpointError, match=r"checkpoint: No space left on device\. Free space"):
        put(tmp_path, 2)
    assert checkpoint.latest(tmp_path) == str(tmp_path / "model.ckpt-2")
    assert not list(tmp_path.glob(".*"))


def test_model_dir_that_is_a_file_is_named_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CheckpointError, match=rf"cannot write {folder}/model.*A model_dir is a folder"):
            put(folder, 1)


def test_model_dir_is_made_with_its_parents(tmp_path):
    put(tmp_path / "a" / "b", 1)
    assert steps_in(tmp_path / "a" / "b") == [1]


# retirement


def test_the_oldest_beyond_the_limit_go(tmp_path):
    put(tmp_path, 0, 5, 10, 15, retention=Retention(2))
    assert steps_in(tmp_path) == [10, 15]


@pytest.mark.parametrize("keep_max", [0, None])
def test_without_a_limit_all_stay_and_are_listed(tmp_path, keep_max):
    put(tmp_path, *range(8), retention=Retention(keep_max))
    assert steps_in(tmp_path) == list(range(8))
    assert (tmp_path / "checkpoint").read_text().count("all_model_checkpoint_paths") == 8


def test_a_limit_given_later_prunes_what_was_kept_without_one(tmp_path):
    put(tmp_path, *range(8))
    put(tmp_path, 8, retention=Retention(2))
    assert steps_in(tmp_path) == [7, 8]


def test_unlisted_files_are_never_deleted(tmp_path):
    put(tmp_path, 1)
    shutil.copy(tmp_path / "model.ckpt-1.safetensors", tmp_path / "model.ckpt-0.safetensors")
    (tmp_path / "notes.txt").touch()
    put(tmp_path, 2, 3, retention=Retention(1))
    assert steps_in(tmp_path) == [0, 3]
    assert (tmp_path / "notes.txt").exists()


def test_a_list_that_points_outside_deletes_nothing_there(tmp_path):
    folder = tmp_path / "model"
    put(tmp_path, 1)
    folder.mkdir()
    (folder / "checkpoint").write_text('all_model_checkpoint_paths: "../model.ckpt-1"\n')
    put(folder, 2, 3, retention=Retention(1))
    assert steps_in(tmp_path) == [1]


def test_one_in_so_many_hours_is_preserved(tmp_path):
    retention = Retention(1, keep_every_n_hours=1)
    for hour in (0, 0.5, 1.5, 2, 3, 4):
        save(tmp_path, int(hour * 10), retention, hour * 3600)
    assert steps_in(tmp_path) == [15, 30, 40]


def test_retire_keeps_preserves_and_drops():
    entries = [Entry(step, step * 3600.0) for step in range(6)]
    keep, drop, last = checkpoint.retire(entries, Retention(2, 1.5), 0.0)
    assert (keep, drop, last) == (entries[4:], [entries[0], entries[1], entries[3]], 2 * 3600.0)


def test_hours_none_preserves_nothing():
    entries = [Entry(step, step * 1e9) for step in range(3)]
    assert checkpoint.retire(entries, Retention(1, None), 0.0) == (entries[2:], entries[:2], 0.0)


@given(st.lists(st.floats(0, 1e6), max_size=12).map(sorted), st.none() | st.integers(0, 5), st.floats(0.01, 300))
def test_retire_never_touches_the_newest_and_never_lists_more_than_asked(times, keep_max, hours):
    entries = [Entry(step, time) for step, time in enumerate(times)]
    keep, drop, _ = checkpoint.retire(entries, Retention(keep_max, hours), 0.0)
    assert keep == entries[len(entries) - len(keep) :]
    assert len(keep) == min(len(entries), keep_max or len(entries))
    assert not set(keep) & set(drop)
