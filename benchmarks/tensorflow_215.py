"""The old class and this one side by side: the same numbers, and what a call costs. Writes docs/tensorflow-2.15.md.

    python benchmarks/tensorflow_215.py /path/to/python

The argument is a Python 3.11 with tensorflow-cpu==2.15.1 and numpy<2, the last that has `tf.estimator`. Each run is a
process of its own, by this file, under the Python of its library. Compared is what is deterministic in both: full
batches from given centers.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import processor

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tensorflow-2.15.md"
SIZES = {"100 x 2, k = 5": (100, 2, 5), "1000 x 8, k = 8": (1000, 8, 8), "10 000 x 16, k = 16": (10000, 16, 16)}
SMALL, MIDDLE, LARGE = SIZES
EUCLIDEAN, COSINE = "squared_euclidean", "cosine"
OLD, NEW, GRAPH = "tensorflow", "macqueen", "graph"  # the last: ours, with the input of the first
CASES = {  # rows, metric, who trains how often with how many steps, each call by an object of its own or not
    f"{SMALL}: a call": (SMALL, EUCLIDEAN, [10], False),
    f"{MIDDLE}: a call": (MIDDLE, EUCLIDEAN, [10], False),
    f"{LARGE}: a call": (LARGE, EUCLIDEAN, [10], False),
    f"{MIDDLE}: ten calls": (MIDDLE, EUCLIDEAN, [1] * 10, False),
    f"{MIDDLE}: resumed twice": (MIDDLE, EUCLIDEAN, [4, 3, 3], True),
    f"{SMALL}, cosine: a call": (SMALL, COSINE, [10], False),
    f"{MIDDLE}, cosine: resumed twice": (MIDDLE, COSINE, [4, 3, 3], True),
}
HANDED_OVER = {
    "5 steps of the old class, then 5 of ours": (OLD, NEW),
    "5 steps of ours, then 5 of the old class": (NEW, OLD),
}
ASKED = 500  # rows of which distances and labels are compared
WARM_UP, REPEATS, ROUNDS = 3, {OLD: 11, NEW: 101, GRAPH: 31}, 4


def rows_of(size):
    """Rows (n, dims) in k groups that overlap somewhat, and first centers (k, dims) that are rows."""
    n, dims, k = SIZES[size]
    random = np.random.default_rng(n)
    rows = random.normal(size=(n, dims)) + random.normal(scale=2, size=(k, dims))[random.integers(0, k, n)]
    return rows.astype(np.float32), rows[:k].astype(np.float32)


TEXT = """# Are the numbers those of TensorFlow 2.15, and what does a call cost?

Written by `make compare-tensorflow OLD_PYTHON=...` (`benchmarks/tensorflow_215.py`): the estimator of TensorFlow 2.15.1
and this library on the same float32 rows, full batch, from the same given centers, with `empty_clusters="origin"`; each
run is a process of its own. Nothing else of the old class is deterministic: its mini-batch rate is decided by a race.

## The same numbers

After the steps: largest difference of centers, score and distances, relative to 1 + |value|, and how many labels of the
first {asked} rows differ. A float32 is rounded by 6e-8; the old class computes distances by a formula that loses more.

| rows, how it was trained | steps, theirs and ours | centers | score | distances | labels |
|---|---|---|---|---|---|
{numbers}

The last two are one model directory that both classes trained, with `RunConfig(checkpoint_format="tensorflow")` on our
side, beside 10 steps of the old class alone.

## What a call costs

Milliseconds, median of {repeats[tensorflow]} calls of the old class and {repeats[macqueen]} of ours, after {warm_up}
that are not counted; the least of {rounds} such medians of each, measured in turn, as the machine has other work. All
with the default `RunConfig`, which saves a checkpoint in each call of `train`. On {machine}. The old class is given a
`tf.data.Dataset` by a function; `macqueen.KMeans` the same rows as an array; and, in the last two columns, the class of
`macqueen.tf_estimator` the old program's own function, on TensorFlow 2.21, whose graph and
session are most of its time.

| rows | call | TensorFlow 2.15 | macqueen | times as fast | the old program, in a graph | times as fast |
|---|---|---|---|---|---|---|
{times}
"""


# --- in the process of a library --------------------------------------------------------------------------


def dataset(rows, endless=False):
    """Return an input that is one batch, or an endless stream of it."""
    import tensorflow as tf

    batch = tf.data.Dataset.from_tensors(rows)
    return batch.repeat() if endless else batch


def old_library():
    """Return the class, its further arguments, and what makes an input."""
    import tensorflow as tf

    tf.compat.v1.logging.set_verbosity("ERROR")
    return tf.compat.v1.estimator.experimental.KMeans, {}, dataset


def graph_library():
    """Return the same of this library's class for old programs, with the input of the old class."""
    from macqueen.tf_estimator import experimental

    return experimental.KMeans, {"empty_clusters": "origin"}, dataset


def new_library(checkpoint_format):
    """Return the same of this library."""
    import macqueen

    config = macqueen.RunConfig(checkpoint_format=checkpoint_format)
    return macqueen.KMeans, {"config": config, "empty_clusters": "origin"}, lambda rows, endless=False: rows


def work(job):
    """Train as the job says; return what the model then answers, or how long the calls take."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    libraries = {OLD: old_library, GRAPH: graph_library, NEW: lambda: new_library(job["format"])}
    made_by, more, given = libraries[job["library"]]()
    rows, first = rows_of(job["size"])

    def model():
        return made_by(
            len(first),
            job["folder"],
            initial_clusters=first,
            distance_metric=job["metric"],
            use_mini_batch=False,
            **more,
        )

    one = model()
    for steps in job["calls"]:
        one = model() if job["resumed"] else one
        one.train(lambda: given(rows, endless=True), steps=steps)
    asked = rows[:ASKED]
    if job["timed"]:
        return {
            "train(steps=1)": median(lambda: one.train(lambda: given(rows, endless=True), steps=1), job["library"]),
            "score": median(lambda: one.score(lambda: given(rows)), job["library"]),
            f"predict, {len(asked)} rows": median(lambda: list(one.predict(lambda: given(asked))), job["library"]),
        }
    found = list(one.predict(lambda: given(asked)))
    return {
        "steps": int(one.get_variable_value("global_step")),
        "centers": one.cluster_centers().tolist(),
        "score": float(one.score(lambda: given(rows))),
        "distances": [row["all_distances"].tolist() for row in found],
        "labels": [int(row["cluster_index"]) for row in found],
    }


def median(call, library):
    """Return the median seconds of a call, after some that are not counted."""
    seconds = []
    for _ in range(WARM_UP + REPEATS[library]):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[WARM_UP:])


# --- in the process that compares -------------------------------------------------------------------------


def run(python, **job):
    """Let a library do a job in a process of its own."""
    job = {"resumed": False, "timed": False, "format": "safetensors", "metric": EUCLIDEAN, **job}
    command = [python if job["library"] == OLD else sys.executable, __file__, "--work"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{job} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def difference(found, expected):
    """Return the largest difference, relative to 1 + |value|."""
    found, expected = np.asarray(found), np.asarray(expected)
    return float(np.max(np.abs(found - expected) / (1 + np.abs(expected))))


def compared(name, ours, theirs):
    """Return a row of the table of numbers."""
    differences = [f"{difference(ours[what], theirs[what]):.1e}" for what in ("centers", "score", "distances")]
    labels = sum(one != other for one, other in zip(ours["labels"], theirs["labels"], strict=True))
    steps = f"{theirs['steps']}, {ours['steps']}"
    return f"| {name} | {steps} | {' | '.join(differences)} | {labels} of {len(ours['labels'])} |"


def numbers(python):
    """Yield the rows of the table of numbers."""
    for name, (size, metric, calls, resumed) in CASES.items():
        found = {}
        for library in (OLD, NEW):
            with tempfile.TemporaryDirectory() as folder:
                job = {"size": size, "metric": metric, "calls": calls, "resumed": resumed, "folder": folder}
                found[library] = run(python, library=library, **job)
        yield compared(name, found[NEW], found[OLD])
    with tempfile.TemporaryDirectory() as folder:
        alone = run(python, library=OLD, size=MIDDLE, calls=[10], folder=folder)
    for name, libraries in HANDED_OVER.items():
        with tempfile.TemporaryDirectory() as folder:
            for library in libraries:
                last = run(python, library=library, size=MIDDLE, calls=[5], folder=folder, format="tensorflow")
        yield compared(f"{MIDDLE}: {name}, in one directory", last, alone)


def times(python):
    """Yield the rows of the table of times."""
    for size in SIZES:
        found = {library: [] for library in (OLD, NEW, GRAPH)}
        for library in tuple(found) * ROUNDS:
            with tempfile.TemporaryDirectory() as folder:
                found[library].append(run(python, library=library, size=size, calls=[1], folder=folder, timed=True))
        for call in found[OLD][0]:
            least = {library: min(medians[call] for medians in each) for library, each in found.items()}
            theirs = least.pop(OLD)
            ours = " | ".join(f"{1000 * seconds:.2f} | {theirs / seconds:.0f}" for seconds in least.values())
            yield f"| {size} | {call} | {1000 * theirs:.1f} | {ours} |"


def page(python):
    """Return the page."""
    return TEXT.format(
        numbers="\n".join(numbers(python)),
        times="\n".join(times(python)),
        asked=ASKED,
        warm_up=WARM_UP,
        repeats=REPEATS,
        rounds=ROUNDS,
        machine=f"{os.cpu_count()} cores of {processor()}",
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--work"]:
        print(json.dumps(work(json.load(sys.stdin))))
    elif len(sys.argv) == 2:
        PAGE.write_text(page(sys.argv[1]), encoding="utf-8")
        print(PAGE.read_text(encoding="utf-8"))
    else:
        sys.exit(__doc__)
