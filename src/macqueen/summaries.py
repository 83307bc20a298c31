"""TensorBoard event files: curves of training and evaluation, and centers for the projector."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macqueen._core import crc32c
from macqueen.errors import ArgumentError, SummaryError
from macqueen.state import FloatArray, State, StepStats

OPEN_WRITERS = 8  # files kept open; the one not used for longest is closed
FLUSH_SECONDS = 10  # a running TensorBoard sees what is older
BUCKETS = 30  # of a histogram
_BORDERS = np.arange(BUCKETS + 1, dtype=np.float64)

_lock = threading.Lock()
_writers: OrderedDict[str, EventWriter] = OrderedDict()  # by directory, the last used last
_numbers = itertools.count()


def event_writer(directory: str) -> EventWriter:
    """Return the writer of a directory: one file per directory and process, made when it is first asked for.

    Parameters
    ----------
    directory : str
        Made if there is none.

    Raises
    ------
    SummaryError
        The directory or a file in it cannot be written.
    """
    key = os.path.realpath(directory)
    with _lock:
        writer = _writers.pop(key, None) or EventWriter(directory)
        _writers[key] = writer
        if len(_writers) > OPEN_WRITERS:
            _writers.popitem(last=False)[1].close()
    writer.open()
    return writer


class EventWriter:
    """Writes events into a file of its own. Synchronous, so that an error reaches who writes; safe between threads.

    Where the file is gone, was closed, or belongs to the process before a fork, the next event begins another one.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = threading.RLock()
        self._file: Any = None
        self._process = 0
        self._flushed = 0.0
        self.path = ""

    def open(self) -> None:
        """Have a file to write into."""
        from tensorboardX.proto import event_pb2  # noqa: PLC0415 -- takes 0.1 s

        with self._lock, self._explained():
            if self._file is not None and self._process == os.getpid() and os.path.exists(self.path):
                return
            self._process = os.getpid()
            now = time.time()
            # TensorBoard takes what has ".tfevents." in its name, in the order of names. Whole seconds do not keep two
            # writers apart.
            number = f"{next(_numbers):09}"
            name = f"events.out.tfevents.{int(now):010}.{socket.gethostname()}.{self._process}.{number}"
            self.path = os.path.join(self._directory, name)
            try:
                self._file = open(self.path, "xb")  # noqa: SIM115 -- stays open
            except FileNotFoundError:
                os.makedirs(self._directory, exist_ok=True)
                self._file = open(self.path, "xb")  # noqa: SIM115
            self._record(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))

    def scalars(self, step: int, now: float, values: Mapping[str, float]) -> None:
        """Write numbers by tag."""
        self._write(step, now, summary=_summary(values))

    def histogram(self, step: int, now: float, tag: str, values: NDArray[Any]) -> None:
        """Write the distribution of `values` (m,), m >= 1."""
        self._write(step, now, summary=_summary({}, {tag: values}))

    def both(self, step: int, now: float, values: Mapping[str, float], spread: Mapping[str, NDArray[Any]]) -> None:
        """Write numbers and distributions as one event."""
        self._write(step, now, summary=_summary(values, spread))

    def text(self, step: int, now: float, tag: str, value: str) -> None:
        """Write a text."""
        from tensorboardX.proto import summary_pb2, tensor_pb2  # noqa: PLC0415

        metadata = summary_pb2.SummaryMetadata(plugin_data={"plugin_name": "text"})
        tensor = tensor_pb2.TensorProto(dtype="DT_STRING", string_val=[value.encode()])
        entry = summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self._write(step, now, summary=summary_pb2.Summary(value=[entry]))

    def session_start(self, step: int, now: float) -> None:
        """Say that `step` is the next one: TensorBoard drops what a killed process wrote beyond it."""
        self._write(step, now, session_log={"status": "START"})

    def checkpoint_saved(self, step: int, now: float, path: str) -> None:
        """Say that a checkpoint was saved."""
        self._write(step, now, session_log={"status": "CHECKPOINT", "checkpoint_path": path})

    def flush(self) -> None:
        """Hand everything to the system, so that whoever reads the file sees it."""
        with self._lock, self._explained():
            if self._file is not None and self._process == os.getpid():
                self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._explained():
            if self._file is not None and self._process == os.getpid():
                self._file.close()
            self._file = None

    def _write(self, step: int, now: float, **content: Any) -> None:
        from tensorboardX.proto import event_pb2  # noqa: PLC0415

        event = event_pb2.Event(wall_time=now, step=step, **content)
        with self._lock, self._explained():
            self.open()
            self._record(event)
            if now - self._flushed >= FLUSH_SECONDS:
                self._flushed = now
                self._file.flush()

    def _record(self, event: Any) -> None:
        """Append an event in a frame of TFRecord: length, its checksum, event, its checksum."""
        data = event.SerializeToString()
        length = len(data).to_bytes(8, "little")
        self._file.write(b"".join((length, _masked_checksum(length), data, _masked_checksum(data))))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an error of the system into one that says what to do."""
        try:
            yield
        except SummaryError:
            raise
        except OSError as error:
            raise SummaryError(
                f"cannot write event files into {self._directory}: {error.strerror or error}. Give a directory that "
                "can be written, or RunConfig(save_summary_steps=0), which writes none"
            ) from error


def _masked_checksum(data: bytes) -> bytes:
    checksum = crc32c(data)
    return ((((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _summary(values: Mapping[str, float], spread: Mapping[str, NDArray[Any]] | None = None) -> Any:
    from tensorboardX.proto import summary_pb2  # noqa: PLC0415

    entries = [summary_pb2.Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()]
    for tag, numbers in (spread or {}).items():
        exact = np.asarray(numbers, np.float64)
        least, most = float(exact.min()), float(exact.max())
        limits, counts = _buckets(exact, least, most)
        histogram = summary_pb2.HistogramProto(
            min=least,
            max=most,
            num=exact.size,
            sum=float(exact.sum()),
            sum_squares=float(exact @ exact),
            bucket_limit=limits.tolist(),
            bucket=counts.tolist(),
        )
        entries.append(summary_pb2.Summary.Value(tag=tag, histo=histogram))
    return summary_pb2.Summary(value=entries)


def _buckets(values: NDArray[np.float64], least: float, most: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return upper limits and counts (BUCKETS,) of even buckets from the least to the most of `values` (m,)."""
    low, high = (least, most) if least < most else (least - 0.5, most + 0.5)
    limits = low + (high - low) / BUCKETS * _BORDERS[1:]
    limits[-1] = high
    # Not np.histogram: it takes ten times as long for a few clusters. The last bucket has its upper limit as well.
    places = np.minimum(limits.searchsorted(values, side="right"), BUCKETS - 1)
    return limits, np.bincount(places, minlength=BUCKETS)


class TrainSummaries:
    """The hook that writes the curves of training.

    ``loss`` and ``loss/raw`` (the cost of the step, before its update), ``average_loss`` (per row), ``rows/sec``,
    ``emptied_clusters`` (that no row was nearest to) and the histogram ``cluster_counts`` (rows of each cluster in
    this step) at the first step of a call and every `steps` after it; ``global_step/sec`` every `rate_steps`.

    Parameters
    ----------
    writer
        Where to.
    step, now
        Of the model before the first step, and the time.
    steps, rate_steps
        How often; None writes no rate.
    """

    def __init__(self, writer: EventWriter, step: int, now: float, steps: int, rate_steps: int | None) -> None:
        self._writer = writer
        self._steps = steps
        self._next = step + 1
        self._rows = 0
        self._since = now
        self._rate_steps = rate_steps
        self._rate_next = step + 1  # the first step starts the clock
        self._rate_since: float | None = None

    def __call__(self, state: State, stats: StepStats, now: float) -> None:
        """Write what is due at this step."""
        self._rows += stats.rows
        if state.step >= self._next:
            self._next = state.step + self._steps
            self._write(state, stats, now)
        if self._rate_steps and state.step >= self._rate_next:
            self._rate_next = state.step + self._rate_steps
            if self._rate_since is not None:
                rate = self._rate_steps / max(now - self._rate_since, 1e-9)
                self._writer.scalars(state.step, now, {"global_step/sec": rate})
            self._rate_since = now

    def _write(self, state: State, stats: StepStats, now: float) -> None:
        values = {
            "loss/raw": stats.cost,
            "loss": stats.cost,
            "average_loss": stats.cost / stats.rows,
            "rows/sec": self._rows / max(now - self._since, 1e-9),
            "emptied_clusters": stats.emptied,
        }
        self._writer.both(state.step, now, values, {"cluster_counts": stats.counts})
        self._rows, self._since = 0, now


def write_evaluation(directory: str, metrics: Mapping[str, Any], checkpoint_path: str | None, now: float) -> None:
    """Write ``loss``, ``score``, ``average_loss`` and the path of the checkpoint at its step.

    Raises
    ------
    SummaryError
        The directory or a file in it cannot be written.
    """
    writer = event_writer(directory)
    step = int(metrics["global_step"])
    writer.scalars(step, now, {tag: metrics[tag] for tag in ("loss", "score", "average_loss")})
    if checkpoint_path is not None:
        writer.text(step, now, "checkpoint_path", checkpoint_path)
    writer.flush()


def write_projector(directory: str, centers: FloatArray, names: Sequence[str] | None = None) -> str:
    """Write centers (k, d) for TensorBoard's projector, in place of those written before.

    Parameters
    ----------
    directory
        Made if there is none.
    centers
        (k, d); every value is written such that it is read back bit for bit.
    names
        What the centers are called, k of them.

    Returns
    -------
    str
        Path of the configuration, ``projector_config.pbtxt``.

    Raises
    ------
    ArgumentError
        Not k names, or one of more than a line.
    SummaryError
        A file cannot be written.
    """
    config = 'embeddings {\n  tensor_name: "clusters"\n  tensor_path: "clusters.tsv"\n'
    files = {"clusters.tsv": "".join("\t".join(map(str, row)) + "\n" for row in centers.tolist())}
    if names is not None:
        names = [str(name) for name in names]
        wrong = [name for name in names if not name or set("\t\r\n") & set(name)]
        if len(names) != len(centers) or wrong:
            raise ArgumentError(
                f"names must be {len(centers)} texts of one line, one per center, got {len(names)}"
                + (f", among them {wrong[0]!r}" if wrong else "")
            )
        config += '  metadata_path: "clusters_names.tsv"\n'
        files["clusters_names.tsv"] = "".join(name + "\n" for name in names)
    files["projector_config.pbtxt"] = config + "}\n"
    try:
        os.makedirs(directory, exist_ok=True)
        for name, text in files.items():  # the configuration last: it names the others
            temporary = Path(directory, f".{name}.{os.getpid()}.tmp")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(Path(directory, name))
    except OSError as error:
        raise SummaryError(
            f"cannot write into {directory}: {error.strerror or error}. Give a model_dir that can be written"
        ) from error
    return os.path.join(directory, "projector_config.pbtxt")
