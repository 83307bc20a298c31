"""`install()` puts the mirror at tf.estimator: an old program runs with that one line added."""

from __future__ import annotations

import subprocess
import sys

import pytest

import macqueen.tf_estimator as estimator

# As it was written for TensorFlow 2.15, but for the line that installs.
PROGRAM = """
import tensorflow as tf
attribute = tf.compat.v1
import macqueen.tf_estimator
macqueen.tf_estimator.install()

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1
assert attribute.estimator is tf1.estimator  # the face that was there before the import by name
from tensorflow import estimator as est
from tensorflow.compat.v1 import estimator as est1
import tensorflow.estimator
import tensorflow.compat.v1.estimator as est2
from tensorflow.compat.v1.estimator.experimental import KMeans
from tensorflow.estimator.export import ServingInputReceiver, build_raw_serving_input_receiver_fn


class LossLogger(tf.estimator.SessionRunHook):
    def begin(self):
        self.losses = []
        self._step = tf1.train.get_global_step()
        if self._step is None:
            raise RuntimeError("Global step should be created to use LossLogger.")

    def before_run(self, run_context):
        return tf.estimator.SessionRunArgs({"loss": "loss", "step": self._step})

    def after_run(self, run_context, run_values):
        self.losses.append(run_values.results["loss"])
        if run_values.results["step"] >= 8:
            run_context.request_stop()


points = np.random.RandomState(0).uniform(0, 1000, [100, 2]).astype(np.float32)
input_fn = tf1.estimator.inputs.numpy_input_fn({"x": points}, batch_size=100, num_epochs=None, shuffle=False)
eval_fn = est1.inputs.numpy_input_fn({"x": points}, batch_size=100, num_epochs=1, shuffle=False)
kmeans = tf.compat.v1.estimator.experimental.KMeans(
    num_clusters=5, use_mini_batch=False, seed=1, config=tf.estimator.RunConfig(save_summary_steps=10))
logger = LossLogger()
stop = tf1.train.StopAtStepHook(last_step=20)
kmeans.train(input_fn, hooks=[logger, stop, tf.estimator.LoggingTensorHook(["loss"], every_n_iter=5)], steps=100)
assert len(logger.losses) == 8 and logger.losses == sorted(logger.losses, reverse=True)
assert isinstance(kmeans.config, est.RunConfig)
centers = kmeans.cluster_centers()
indices = list(kmeans.predict_cluster_index(eval_fn))
assert indices == ((points[:, None] - centers) ** 2).sum(2).argmin(1).tolist()
assert kmeans.evaluate(eval_fn)["global_step"] == 8
assert tf.estimator.ModeKeys.PREDICT == "infer"

# The same names, however they are reached, and once more.
macqueen.tf_estimator.install()
assert KMeans is tf.estimator.experimental.KMeans is est2.experimental.KMeans
assert est is est1 is est2 is tf.estimator is tf1.estimator is tensorflow.estimator is tf.compat.v2.estimator
assert ServingInputReceiver is tf.estimator.export.ServingInputReceiver is tf1.estimator.export.ServingInputReceiver
try:
    tf.estimator.DNNClassifier
except AttributeError as error:
    assert "other models" in str(error), error
else:
    raise AssertionError("there is no DNNClassifier")
print("done")
"""

OLDER = """
import types
import tensorflow as tf
tf.compat.v1.estimator = types.ModuleType("tensorflow_estimator")  # what TensorFlow 2.15 has there
import macqueen.tf_estimator
try:
    macqueen.tf_estimator.install()
except ValueError as error:
    assert "v1.estimator that is there" in str(error), error
    assert not hasattr(tf, "estimator")
    print("done")
"""

WITHOUT = """
import sys
import macqueen.tf_estimator  # needs no TensorFlow
assert "tensorflow" not in sys.modules
sys.modules["tensorflow"] = None  # what makes the import fail
try:
    macqueen.tf_estimator.install()
except ImportError as error:
    assert "pip install 'macqueen[tensorflow]'" in str(error), error
    print("done")
"""


@pytest.mark.parametrize("program", [PROGRAM, OLDER, WITHOUT], ids=["an old program", "an older one", "none"])
def test_install(program, tmp_path):
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("SummarySaverHook", "save_summary_steps"), ("Estimator", "docs/migrating.md"), ("DNNClassifier", "other models")],
)
def test_a_name_that_is_not_there_says_what_to_do(name, remedy):
    with pytest.raises(AttributeError, match=f"macqueen.tf_estimator has no '{name}': .*{remedy}"):
        getattr(estimator, name)
