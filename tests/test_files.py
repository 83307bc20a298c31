"""Files under temporary names: what processes that died left of them goes, what may be somebody's stays."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from macqueen import KMeans, checkpoint, files
from macqueen.state import State

DEAD = 2**22 + 1  # beyond the largest process id
OLD, YOUNG = 7200, 60  # seconds


def leave(folder, name, pid=DEAD, age=OLD):
    """What a process leaves that was killed while it wrote `name`: a file, or a folder with one in it."""
    path = folder / f".{name}.tmp-{pid}-0123abcd"
    paths = [path]
    if name.isdigit():
        path.mkdir()
        paths.insert(0, path / "saved_model.pb")
    paths[0].touch()
    for one in paths:
        os.utime(one, (time.time() - age,) * 2)
    return path


def save_checkpoint(folder):
    checkpoint.save(str(folder), State(np.ones((2, 2)), 7, 1), {}, checkpoint.Retention(0), time.time())


def export_saved_model(folder):
    KMeans(2, folder / "m", initial_clusters=np.eye(2, dtype=np.float32)).export_saved_model(folder)


def export_onnx(folder):
    KMeans(2, folder / "m", initial_clusters=np.eye(2, dtype=np.float32)).export_onnx(folder / "model.onnx")


WRITERS = {
    "model.ckpt-3.safetensors": save_checkpoint,
    "checkpoint": save_checkpoint,
    "1700000000": export_saved_model,
    "model.onnx": export_onnx,
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_the_dead_left_goes_with_the_next_that_is_written(tmp_path, name):
    dead, own = leave(tmp_path, name), leave(tmp_path, name, os.getpid())  # of an earlier process of this number
    WRITERS[name](tmp_path)
    assert not dead.exists()
    assert not own.exists()


@pytest.mark.parametrize("name", WRITERS)
def test_what_may_be_of_a_living_process_stays(tmp_path, name):
    """Of a process of this machine, or, as it is young, of another machine's; and what nobody of us would write."""
    paths = [leave(tmp_path, name, os.getppid()), leave(tmp_path, name, age=YOUNG), leave(tmp_path, "other")]
    WRITERS[name](tmp_path)
    assert all(path.exists() for path in paths)


def test_a_folder_is_as_old_as_the_youngest_in_it(tmp_path):
    path = leave(tmp_path, "1700000000")
    (path / "saved_model.pb").touch()
    os.utime(path, (time.time() - OLD,) * 2)
    files.remove_stale(str(tmp_path), "[0-9]+", time.time())
    assert path.exists()
