"""Memory of a training over a `tf.data` pipeline of 2 GB: eagerly, in a graph, and through queues.

    python benchmarks/tensorflow_pipeline.py [MB]

Each runs in a process of its own, which first trains on a short pipeline, so that everything is loaded.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

ROWS, DIMS, CLUSTERS = 1 << 14, 16, 64
BATCH_MB = ROWS * DIMS * 4 / 1e6


def dataset(megabytes: float):
    """Return a dataset of random rows that nobody holds as a whole."""
    import tensorflow as tf

    made = tf.data.Dataset.range(int(megabytes / BATCH_MB))
    return made.map(lambda number: tf.random.stateless_uniform([ROWS, DIMS], [1, number]))


def queue(megabytes: float):
    """Return the same rows out of a queue."""
    import tensorflow.compat.v1 as tf

    numbers = tf.train.range_input_producer(int(megabytes / BATCH_MB), num_epochs=1, shuffle=False)
    rows = tf.random.stateless_uniform([ROWS, DIMS], [1, numbers.dequeue()])
    return tf.train.batch([rows], ROWS, capacity=2 * ROWS, enqueue_many=True)


def measure(case: str, megabytes: float) -> None:
    """Train, and print what it took."""
    import macqueen
    from macqueen.tf_estimator import experimental

    kind = macqueen.KMeans if case == "eager" else experimental.KMeans
    make = queue if case == "queue" else dataset
    config = macqueen.RunConfig("unused", save_checkpoints_steps=None, save_summary_steps=0)
    model = kind(CLUSTERS, seed=1, config=config).train(lambda: make(64))
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    model.train(lambda: make(megabytes))
    seconds = time.perf_counter() - begin
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    steps = len(model.history()["step"])
    print(json.dumps({"case": case, "MB": megabytes, "steps": steps, "seconds": round(seconds, 1), "MiB more": grown}))


def main() -> None:
    """Measure all cases."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 2000.0
    for case in ("eager", "graph", "queue"):
        subprocess.run([sys.executable, __file__, case, str(megabytes)], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(sys.argv[1], float(sys.argv[2]))
    else:
        main()
