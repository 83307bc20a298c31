"""Write tests/golden/tensorflow: what the old class leaves behind, written by the old class itself.

Run once, by a Python 3.11 with tensorflow-cpu==2.15.1 and numpy<2, never by `make test`:

    python3.11 -m venv /tmp/tf215
    /tmp/tf215/bin/pip install "tensorflow-cpu==2.15.1" "numpy<2"
    /tmp/tf215/bin/python tests/golden/make_tensorflow.py

Each folder is a model directory or a SavedModel, without event files and graphs; models.json says what it holds, as
TensorFlow reads it, and what the old class answered: predictions of `query`, and of full batches two steps more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent / "tensorflow"
KMeans = tf.compat.v1.estimator.experimental.KMeans

ROWS = np.random.default_rng(7).integers(-20, 21, (40, 3)).astype(np.float32)
QUERY = np.random.default_rng(8).integers(-20, 21, (6, 3)).astype(np.float32)
FIRST = ROWS[[0, 11, 29]]
COLORS = ["red", "green", "blue"]

FULL = {"use_mini_batch": False}
THREE = {"mini_batch_steps_per_iteration": 3}
COSINE = {"distance_metric": "cosine"}
MODELS = {  # arguments, steps; each batch is 10 rows, in full-batch mode 40
    "full": (FULL, 4),
    "full_cosine": ({**FULL, **COSINE}, 3),
    "mini": ({}, 5),
    "mini_cosine": (COSINE, 3),
    "three_pending": (THREE, 3),  # the sync of its first iteration is due, and not made yet
    "three_pending_cosine": ({**THREE, **COSINE}, 3),
    "three_within": (THREE, 5),  # synced once, 2 steps of an iteration made
    "three_ended": (THREE, None),  # 6 batches, then the end of the input, which made a sync and a step of nothing
}


def batches(size, repeat):
    def input_fn():
        data = tf.data.Dataset.from_tensor_slices(np.concatenate([ROWS, ROWS[:20]])).batch(size)
        return data.repeat() if repeat else data

    return input_fn


def whole(rows):
    return lambda: tf.data.Dataset.from_tensors(rows)


def config(folder):
    return tf.estimator.RunConfig(
        str(folder), save_checkpoints_steps=2, save_summary_steps=None, checkpoint_save_graph_def=False
    )


def variables(path):
    reader = tf.train.load_checkpoint(str(path))
    return {
        name: {"dtype": value.dtype.name, "shape": list(value.shape), "value": value.tolist()}
        for name in sorted(reader.get_variable_to_shape_map())
        for value in [np.asarray(reader.get_tensor(name))]
    }


def answers(model, features):
    found = list(model.predict(whole(features)))
    return {
        "score": float(model.score(whole(features))),
        "cluster_index": [int(one["cluster_index"]) for one in found],
        "all_distances": [one["all_distances"].tolist() for one in found],
    }


def keep(folder, target):
    """Copy what the checkpoints consist of."""
    shutil.rmtree(HERE / target, ignore_errors=True)
    (HERE / target).mkdir(parents=True)
    for path in sorted(Path(folder).iterdir()):
        if path.name == "checkpoint" or ".ckpt-" in path.name:
            shutil.copyfile(path, HERE / target / path.name)


def receiver():
    rows = tf.compat.v1.placeholder(tf.float32, [None, 3])
    return tf.estimator.export.ServingInputReceiver(rows, {"rows": rows})


def export(model, target):
    made = model.export_saved_model(tempfile.mkdtemp(), receiver)
    shutil.rmtree(HERE / target, ignore_errors=True)
    shutil.copytree(made.decode(), HERE / target)
    shutil.rmtree(HERE / target / "assets", ignore_errors=True)


def make(name, arguments, steps):
    folder = tempfile.mkdtemp()
    model = KMeans(3, initial_clusters=FIRST, config=config(folder), **arguments)
    full = arguments.get("use_mini_batch") is False
    input_fn = whole(ROWS) if full else batches(10, steps is not None)
    if full:
        model.train(lambda: whole(ROWS)().repeat(), steps=steps)
    else:
        model.train(input_fn, steps=steps)
    keep(folder, name)
    found = {"arguments": arguments, "variables": variables(folder), "answers": answers(model, QUERY)}
    if name in ("full", "mini"):
        export(model, f"saved_{name}")
        found["saved_model"] = variables(HERE / f"saved_{name}" / "variables" / "variables")
    if full:
        model.train(lambda: whole(ROWS)().repeat(), steps=2)
        found["two_steps_later"] = variables(folder)["clusters"]["value"]
    return found


def make_embedding():
    folder = tempfile.mkdtemp()
    columns = [
        tf.feature_column.numeric_column("size"),
        tf.feature_column.embedding_column(
            tf.feature_column.categorical_column_with_vocabulary_list("color", COLORS), 2
        ),
    ]
    features = {"color": [COLORS[at % 3] for at in range(12)], "size": [float(at % 5) for at in range(12)]}
    model = KMeans(2, config=config(folder), feature_columns=columns, use_mini_batch=False)
    model.train(lambda: tf.data.Dataset.from_tensors(features).repeat(), steps=3)
    keep(folder, "embedding")
    return {
        "arguments": FULL,
        "variables": variables(folder),
        "features": features,
        "colors": COLORS,
        "answers": answers(model, features),
    }


def make_spoiled(name, rows):
    """Too few rows leave a checkpoint without centers, rows of NaN one of NaN."""
    folder = tempfile.mkdtemp()
    model = KMeans(3, config=config(folder), use_mini_batch=False)
    with contextlib.suppress(tf.errors.OutOfRangeError):
        model.train(whole(rows), steps=1)
    keep(folder, name)
    return {"arguments": FULL, "variables": variables(folder)}


if __name__ == "__main__":
    made = {name: make(name, *how) for name, how in MODELS.items()}
    made["embedding"] = make_embedding()
    made["empty"] = make_spoiled("empty", ROWS[:2])
    made["not_finite"] = make_spoiled("not_finite", np.full((5, 3), np.nan, np.float32))
    facts = {
        "made_with": f"tensorflow {tf.__version__}, numpy {np.__version__}",
        "rows": ROWS.tolist(),
        "query": QUERY.tolist(),
        "initial_clusters": FIRST.tolist(),
        "models": made,
    }
    (HERE / "models.json").write_text(json.dumps(facts) + "\n")
