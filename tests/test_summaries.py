"""Event files, read back by TensorBoard itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.util.tensor_util import make_ndarray

from macqueen import KMeans, RunConfig, _core, summaries
from macqueen.errors import ArgumentError, CheckpointError, SummaryError
from tests.models import small_integers

ROWS = small_integers()


def event_files(folder):
    return sorted(Path(folder).glob("events.out.tfevents.*"))


def curves(folder, tag):
    """Return steps and values of a curve as TensorBoard shows it."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0}).Reload()
    if tag in events.Tags()["scalars"]:
        return [(event.step, event.value) for event in events.Scalars(tag)]
    return [(event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]


def tags(folder):
    found = EventAccumulator(str(folder)).Reload().Tags()
    return sorted(found["scalars"] + found["histograms"] + found["tensors"])


def trained(folder, steps=25, **config):
    model = KMeans(3, seed=0, batch_size=32, config=RunConfig(folder, **{"save_summary_steps": 10, **config}))
    return model.train(ROWS, steps=steps)


# --- training ---------------------------------------------------------------------------------------------


def test_tags_of_training(tmp_path):
    trained(tmp_path, log_step_count_steps=10)
    assert tags(tmp_path) == [
        "average_loss", "cluster_counts", "emptied_clusters", "global_step/sec", "loss", "loss/raw", "rows/sec"
    ]  # fmt: skip


def test_losses_are_those_of_the_steps(tmp_path):
    model = trained(tmp_path)
    history = model.history()
    steps = [1, 11, 21]
    costs = [np.float32(history["cost"][step - 1]) for step in steps]
    rows = history["rows"]
    expected = list(zip(steps, costs, strict=True))
    assert curves(tmp_path, "loss") == curves(tmp_path, "loss/raw") == expected
    averages = [(step, np.float32(history["cost"][step - 1] / rows[step - 1])) for step in steps]
    assert curves(tmp_path, "average_loss") == averages


def test_counts_are_a_histogram(tmp_path):
    model = trained(tmp_path)
    events = EventAccumulator(str(tmp_path), size_guidance={"histograms": 0}).Reload()
    found = events.Histograms("cluster_counts")
    assert [event.step for event in found] == [1, 11, 21]
    for event in found:
        counts = model.history()["counts"][event.step - 1]
        histogram = event.histogram_value
        assert (histogram.num, histogram.sum) == (3, counts.sum())
        assert (histogram.min, histogram.max) == (counts.min(), counts.max())


def test_emptied_clusters_are_counted_before_they_are_relocated(tmp_path):
    centers = np.array([[0.0, 0.0, 0.0], [1e6, 0, 0], [2e6, 0, 0]], np.float32)
    config = RunConfig(tmp_path, save_summary_steps=1)
    KMeans(3, initial_clusters=centers, use_mini_batch=False, config=config).train(ROWS, steps=1)
    assert curves(tmp_path, "emptied_clusters") == [(1, 2.0)]


def test_rates_begin_with_the_second_time(tmp_path):
    trained(tmp_path, steps=40, log_step_count_steps=15)
    found = curves(tmp_path, "global_step/sec")
    assert [step for step, _ in found] == [16, 31]
    assert all(rate > 0 for _, rate in found)
    trained(tmp_path / "none", log_step_count_steps=None)
    assert "global_step/sec" not in tags(tmp_path / "none")


def test_every_call_writes_its_first_step(tmp_path):
    trained(tmp_path, steps=5).train(ROWS, steps=3)
    assert [step for step, _ in curves(tmp_path, "loss")] == [1, 6]


@pytest.mark.parametrize("steps", [0, None])
def test_no_summary_steps_write_no_file(tmp_path, steps):
    model = trained(tmp_path, save_summary_steps=steps)
    model.evaluate(ROWS)
    assert event_files(tmp_path) == event_files(tmp_path / "eval") == []


def test_sessions_and_checkpoints_are_marked(tmp_path):
    trained(tmp_path, steps=4, save_checkpoints_steps=2)
    (file,) = event_files(tmp_path)
    logs = [event for event in EventFileLoader(str(file)).Load() if event.HasField("session_log")]
    names = {1: "start", 3: "checkpoint"}
    found = [(names[event.session_log.status], event.step) for event in logs]
    assert found == [("checkpoint", 0), ("start", 1), ("checkpoint", 2), ("checkpoint", 4)]
    assert logs[-1].session_log.checkpoint_path == str(tmp_path / "model.ckpt-4")


def test_what_a_killed_run_wrote_beyond_its_checkpoint_is_dropped(tmp_path):
    """The run that goes on from an earlier step writes these steps again."""
    writer = summaries.event_writer(str(tmp_path))
    for step in (1, 2, 3, 4):
        writer.scalars(step, 100.0 + step, {"loss": step})
    writer.session_start(3, 200.0)
    writer.scalars(3, 201.0, {"loss": 30})
    writer.flush()
    assert curves(tmp_path, "loss") == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_size_is_bounded(tmp_path):
    """10 000 steps, each hundredth of which is written."""
    trained(tmp_path, steps=10_000, save_summary_steps=100)
    (file,) = event_files(tmp_path)
    assert file.stat().st_size < 100_000


# --- evaluation -------------------------------------------------------------------------------------------


def test_an_evaluation_is_written_at_the_step_of_its_checkpoint(tmp_path):
    model = trained(tmp_path, steps=4, save_checkpoints_steps=2)
    first = model.evaluate(ROWS, checkpoint_path=str(tmp_path / "model.ckpt-2"))
    last = model.evaluate(ROWS)
    folder = model.eval_dir()
    assert tags(folder) == ["average_loss", "checkpoint_path", "loss", "score"]
    for tag in ("loss", "score", "average_loss"):
        assert curves(folder, tag) == [(2, np.float32(first[tag])), (4, np.float32(last[tag]))]
    paths = [path.item().decode() for _, path in curves(folder, "checkpoint_path")]
    assert paths == [str(tmp_path / "model.ckpt-2"), str(tmp_path / "model.ckpt-4")]


def test_evaluations_of_other_names_have_directories_of_their_own(tmp_path):
    model = trained(tmp_path, steps=1)
    for name in ("test", "by/country"):
        model.evaluate(ROWS, name=name)
        assert len(event_files(tmp_path / f"eval_{name}")) == 1
    assert not (tmp_path / "eval").exists()


# --- files ------------------------------------------------------------------------------------------------


def test_a_process_has_one_file_in_a_directory(tmp_path):
    model = trained(tmp_path).train(ROWS, steps=1)
    KMeans(3, tmp_path, batch_size=32).train(ROWS, steps=1)
    for _ in range(3):
        model.score(ROWS)
    assert len(event_files(tmp_path)) == len(event_files(model.eval_dir())) == 1


def test_a_directory_that_was_deleted_gets_a_new_file(tmp_path):
    folder = tmp_path / "model"
    trained(folder)
    shutil.rmtree(folder)
    trained(folder)
    assert len(event_files(folder)) == 1
    assert curves(folder, "loss")


def test_another_process_writes_a_file_of_its_own(tmp_path):
    writer = summaries.event_writer(str(tmp_path))
    writer.scalars(1, 0.0, {"loss": 1})
    writer.flush()
    child = os.fork()
    if child == 0:  # pragma: no cover -- leaves without a word
        other = summaries.event_writer(str(tmp_path))
        other.scalars(2, 1.0, {"loss": 2})
        other.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.scalars(3, 2.0, {"loss": 3})
    writer.flush()
    assert len(event_files(tmp_path)) == 2
    assert sorted(curves(tmp_path, "loss")) == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_checksum_of_records():
    """The check value of CRC-32C, and that of 32 zeros (RFC 3720)."""
    assert [_core.crc32c(data) for data in (b"", b"123456789", bytes(32))] == [0, 0xE3069283, 0x8A9136AA]


def test_event_files_are_not_forced_to_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("that takes longer than training on few rows"))
    trained(tmp_path, steps=2, save_checkpoints_steps=None)
    assert curves(tmp_path, "loss")


def test_few_files_are_open_at_once(tmp_path):
    for number in range(3 * summaries.OPEN_WRITERS):
        summaries.event_writer(str(tmp_path / str(number))).scalars(1, 0.0, {"loss": number})
    open_files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit()
                  and os.path.islink(f"/proc/self/fd/{fd}")]  # fmt: skip
    assert sum(str(tmp_path) in path for path in open_files) <= summaries.OPEN_WRITERS
    assert all(curves(tmp_path / str(number), "loss") for number in range(2 * summaries.OPEN_WRITERS))


def test_a_writer_that_was_closed_goes_on_in_another_file(tmp_path):
    """A long training outlives the evaluation of many other models in the same process."""
    seen = []

    def evaluate_others(state, stats, now):
        for number in range(summaries.OPEN_WRITERS):
            summaries.event_writer(str(tmp_path / f"other{state.step}-{number}"))
        seen.append(state.step)

    config = RunConfig(tmp_path / "model", save_summary_steps=1)
    KMeans(3, seed=0, batch_size=32, config=config).train(ROWS, steps=3, hooks=[evaluate_others])
    assert seen == [step for step, _ in curves(tmp_path / "model", "loss")] == [1, 2, 3]


def test_files_of_one_second_are_read_in_the_order_they_were_begun(tmp_path):
    """TensorBoard goes by their names, however many files a process has begun."""
    names = []
    for _ in range(25):
        writer = summaries.event_writer(str(tmp_path))
        writer.close()
        writer.open()
        names.append(writer.path)
    writer.close()
    assert names == sorted(names)
    assert len(set(names)) == 25


def test_writing_goes_to_disk_now_and_then(tmp_path):
    writer = summaries.event_writer(str(tmp_path))
    writer.scalars(1, 1000.0, {"loss": 1})
    size = os.path.getsize(writer.path)
    writer.scalars(2, 1001.0, {"loss": 2})
    assert os.path.getsize(writer.path) == size
    writer.scalars(3, 1000.0 + summaries.FLUSH_SECONDS, {"loss": 3})
    assert os.path.getsize(writer.path) > size


# --- what cannot be written -------------------------------------------------------------------------------


def test_a_directory_that_cannot_be_written_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    model = KMeans(3, config=RunConfig(tmp_path / "file" / "model", save_checkpoints_steps=None))
    with pytest.raises(CheckpointError, match=r"cannot write .*file/model: Not a directory\. A model_dir is a folder"):
        model.train(ROWS, hooks=[lambda *_: pytest.fail("a step was made")])


def test_an_evaluation_that_cannot_be_written_says_so(tmp_path):
    model = trained(tmp_path, steps=1)
    (tmp_path / "eval").write_text("in the way")
    with pytest.raises(SummaryError, match=r"cannot write event files into .*eval.*save_summary_steps=0"):
        model.evaluate(ROWS)


def test_a_full_disk_is_an_error(tmp_path):
    """In a process of its own, whose files may not grow beyond 2000 bytes."""
    code = """
import resource, signal, sys
from macqueen import summaries
from macqueen.errors import SummaryError
writer = summaries.event_writer(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    for step in range(100):
        writer.scalars(step, 100.0 * step, {"loss": step})
except SummaryError as error:
    print(error, flush=True)
    import os; os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "cannot write event files into" in done.stdout
    assert "File too large" in done.stdout


# --- the projector ----------------------------------------------------------------------------------------


def test_centers_for_the_projector(tmp_path):
    model = trained(tmp_path, steps=2)
    path = model.write_projector(["north", "süd", "west"])
    config = text_format.Parse(Path(path).read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    read = np.loadtxt(tmp_path / embedding.tensor_path, delimiter="\t", dtype=np.float64)
    assert read.astype(np.float32).tobytes() == model.cluster_centers().tobytes()
    assert (tmp_path / embedding.metadata_path).read_text(encoding="utf-8").split("\n") == ["north", "süd", "west", ""]


def test_centers_without_names(tmp_path):
    model = trained(tmp_path, steps=2)
    model.write_projector(["a", "b", "c"])
    (embedding,) = text_format.Parse(Path(model.write_projector()).read_text(), ProjectorConfig()).embeddings
    assert embedding.metadata_path == ""


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c", "d"], ["a", "b\tc", "d"], ["a", "", "d"]])
def test_names_that_do_not_fit_are_refused(tmp_path, names):
    with pytest.raises(ArgumentError, match="names must be 3 texts of one line"):
        trained(tmp_path, steps=2).write_projector(names)
