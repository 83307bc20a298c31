"""Where a model is kept, and who may use it at once."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given

from macqueen import KMeans, RunConfig, inputs
from tests.models import centers_at, in_memory, quick, saved_each_step, small_integers, step_of, tables

# --- where a model is kept --------------------------------------------------------------------------------


def test_nothing_is_written_where_nothing_is_to_be_saved(tmp_path):
    config = RunConfig(tmp_path / "model", save_checkpoints_steps=None, save_summary_steps=0)
    model = KMeans(2, config=config).train(small_integers(), steps=2)
    assert step_of(model) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_call_saves_its_beginning_and_its_end(tmp_path):
    KMeans(2, tmp_path).train(small_integers(), steps=5)
    assert sorted(path.name for path in tmp_path.glob("model*")) == [f"model.ckpt-{n}.safetensors" for n in (0, 5)]


def test_checkpoints_are_saved_as_often_as_asked_and_pruned(tmp_path):
    config = RunConfig(tmp_path, save_checkpoints_steps=2, keep_checkpoint_max=3)
    KMeans(2, config=config).train(small_integers(), steps=9)
    assert sorted(path.name for path in tmp_path.glob("model*")) == [f"model.ckpt-{n}.safetensors" for n in (6, 8, 9)]


def test_a_new_object_reads_the_model_of_the_directory(tmp_path):
    trained = KMeans(3, tmp_path, seed=1).train(small_integers(), steps=3)
    assert KMeans(3, tmp_path).cluster_centers().tobytes() == trained.cluster_centers().tobytes()


def test_a_temporary_directory_has_no_name_before_somebody_asks(caplog):
    """Nothing is announced, or looked for, where nothing is to be saved."""
    config = RunConfig(save_checkpoints_steps=None, save_summary_steps=0)
    model = KMeans(2, config=config).train(small_integers(), steps=2)
    assert caplog.messages == []
    first = model.model_dir
    assert caplog.messages == [f"Using temporary folder as model directory: {first}"]
    assert (model.model_dir, model.config.model_dir) == (first, first)
    assert len(caplog.messages) == 1
    assert not Path(first).exists()


def test_a_temporary_directory_that_was_asked_for_is_looked_into(tmp_path, monkeypatch):
    """Another object may have saved a model there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    asked, other = KMeans(2, seed=1), KMeans(2, seed=1)
    assert asked.model_dir != other.model_dir
    KMeans(2, asked.model_dir).train(small_integers(), steps=3)
    ends = [step_of(model.train(small_integers(), steps=1)) for model in (asked, other)]
    assert ends == [4, 1]


def test_threads_that_ask_at_once_are_told_the_same_temporary_directory():
    model, told = KMeans(2), set()
    ready = threading.Barrier(8)

    def ask():
        ready.wait()
        told.add(model.model_dir)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1


@pytest.mark.parametrize("saved", [True, False])
def test_a_model_survives_pickling(tmp_path, saved):
    config = RunConfig(tmp_path, save_checkpoints_steps=1 if saved else None)
    model = KMeans(3, seed=1, use_mini_batch=False, config=config).train(small_integers(), steps=2)
    copy = pickle.loads(pickle.dumps(model))
    assert copy is not model
    assert (copy.model_dir, step_of(copy)) == (model.model_dir, 2)
    assert copy.cluster_centers().tobytes() == model.cluster_centers().tobytes()
    ends = [one.train(small_integers(), max_steps=4).cluster_centers().tobytes() for one in (model, copy)]
    assert ends[0] == ends[1]


def test_predictions_of_other_threads_during_training_are_those_of_some_step(tmp_path):
    """Each prediction has the labels of one of the steps, never of a mixture."""
    rows = np.random.default_rng(3).normal(size=(3000, 4)).astype(np.float32)
    model = KMeans(8, seed=1, use_mini_batch=False, config=saved_each_step(tmp_path)).train(rows, steps=1)
    found, failures, stop = set(), [], threading.Event()

    def predict():
        try:
            while not stop.is_set():
                found.add(model.labels(rows).tobytes())
        except Exception as error:  # noqa: BLE001  # any would be a failure of the test
            failures.append(error)

    readers = [threading.Thread(target=predict) for _ in range(3)]
    for reader in readers:
        reader.start()
    model.train(rows, steps=40)
    stop.set()
    for reader in readers:
        reader.join()
    allowed = {in_memory(8, centers_at(model, step)).labels(rows).tobytes() for step in range(42)}
    assert failures == []
    assert len(found) > 1
    assert found <= allowed


# --- other processes --------------------------------------------------------------------------------------

FORKED = """
import multiprocessing, sys
import numpy as np
from macqueen import KMeans, RunConfig
if __name__ == "__main__":
    rows = np.random.default_rng(0).normal(size=(20000, 8)).astype(np.float32)
    config = RunConfig("never-written", save_checkpoints_steps=None, num_threads=3)
    model = KMeans(10, seed=1, use_mini_batch=False, config=config).train(rows, steps=2)
    here = model.labels(rows).tolist()
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        there = pool.apply_async(model.labels, (rows,)).get(60).tolist()
    assert len(set(here)) == 10
    assert here == there
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_model_works_in_another_process(tmp_path, method):
    (tmp_path / "program.py").write_text(FORKED)
    command = [sys.executable, str(tmp_path / "program.py"), method]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


INTERRUPTED = """
import sys, time
import numpy as np
from macqueen import KMeans
mode, folder, n, d, k = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
rows = np.random.default_rng(0).random((n, d), dtype=np.float32)
model = KMeans(k, folder, rows[:k], use_mini_batch=mode == "mini")
try:
    model.train(rows, steps=10**6)
except KeyboardInterrupt:
    sys.stdout.write(str(time.time()))
"""


def interrupted(folder, mode, rows, dims, clusters, wait):
    """Train in a process that gets SIGINT `wait` seconds after its first checkpoint; return the seconds it took."""
    command = [sys.executable, "-c", INTERRUPTED, mode, str(folder), str(rows), str(dims), str(clusters)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while run.poll() is None and not (Path(folder) / "checkpoint").exists():
        time.sleep(0.01)
    time.sleep(wait)
    sent = time.time()
    run.send_signal(signal.SIGINT)
    told, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert told, "KeyboardInterrupt was not raised"
    return float(told) - sent


@pytest.mark.parametrize("mode", ["full", "mini"])
def test_ctrl_c_saves_the_steps_made_and_is_raised(tmp_path, mode):
    took = interrupted(tmp_path, mode, 50_000, 16, 50, wait=1)
    assert took < 1.5
    assert step_of(KMeans(50, tmp_path, use_mini_batch=mode == "mini")) > 0


def test_ctrl_c_is_noticed_within_a_long_pass(tmp_path):
    """One pass takes seconds, of which no more than about one is waited for."""
    assert interrupted(tmp_path, "full", 400_000, 64, 6000, wait=0.5) < 1.5
    assert step_of(KMeans(6000, tmp_path, use_mini_batch=False)) <= 1


def test_limit_epochs_gives_an_array_as_a_stream():
    rows = small_integers()
    assert step_of(in_memory(2, use_mini_batch=False).train(inputs.limit_epochs(rows, num_epochs=3))) == 3


@quick
@given(tables(least=2))
def test_a_list_of_batches_gives_the_bits_of_the_whole(rows):
    assume(len(rows) > 1)
    models = [in_memory(2, use_mini_batch=False).train(x, steps=3) for x in (rows, [rows[:1], rows[1:]])]
    assert models[0].cluster_centers().tobytes() == models[1].cluster_centers().tobytes()
