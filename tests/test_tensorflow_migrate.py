"""`python -m macqueen.tf_estimator FILE.py`: imports and names are changed, nothing else, and the program runs."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macqueen.tf_estimator.__main__ import main
from macqueen.tf_estimator.migrate import migrate
from tests.models import quick

ROOT = Path(__file__).resolve().parents[1]

# An import of the old API, and what it calls the module `estimator`.
IMPORTS = {
    "import tensorflow as tf": "tf.estimator",
    "import tensorflow": "tensorflow.estimator",
    "import numpy as np, tensorflow as t": "t.estimator",
    "import tensorflow.compat.v1 as tf": "tf.estimator",
    "from tensorflow.compat import v1 as tf1": "tf1.estimator",
    "import tensorflow as tf\ntf1 = tf.compat.v1": "tf1.estimator",
    "import tensorflow.estimator": "tensorflow.estimator",
    "import tensorflow.compat.v1.estimator as est": "est",
    "from tensorflow import estimator": "estimator",
    "from tensorflow import estimator as est, data": "est",
    "from tensorflow.compat.v1 import (\n    data,  # of data\n    estimator,  # of k-means\n)": "estimator",
    "import tensorflow as tf\ne = tf.compat.v1.estimator": "e",
    "try:\n    import tensorflow.compat.v1 as tf\nexcept ImportError:\n    import tensorflow as tf": "tf.estimator",
    "from tensorflow.estimator import export, experimental as ex, RunConfig": None,
    "from tensorflow.compat.v1.estimator.experimental import KMeans  # the model": None,
}
USES = [
    "{}.experimental.KMeans",
    "{}.RunConfig().replace",
    "{}.ModeKeys.TRAIN",
    "{}.export.ServingInputReceiver",
    "{}",
    "[{}.inputs.numpy_input_fn, {}.SessionRunHook]",
]
PROGRAMS = [f"{begin}\nresult = {use.format(name, name)}\n" for begin, name in IMPORTS.items() if name for use in USES]
PROGRAMS += [
    "from tensorflow.estimator import export, experimental as ex, RunConfig\nresult = export, ex.KMeans, RunConfig\n",
    "from tensorflow.compat.v1.estimator.experimental import KMeans  # the model\nresult = KMeans\n",
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import tensorflow as tf\ntf.estimator.RunConfig( )  # 1\n", "tf_estimator.RunConfig( )  # 1\n"),
        ("from tensorflow import estimator as e\n", "from macqueen import tf_estimator as e\n"),
        ("from tensorflow import data, estimator  # 1\n", "from macqueen import tf_estimator as estimator\n"),
        ("import os, tensorflow.estimator as e\n", "import os, macqueen.tf_estimator as e\n"),
        (
            "from tensorflow.contrib.factorization import KMeansClustering\n",
            "from macqueen.tf_estimator.experimental import KMeans as KMeansClustering\n",
        ),
        (
            "import tensorflow as tf\nk = tf.contrib.factorization.KMeansClustering.COSINE_DISTANCE\n",
            "k = tf_estimator.experimental.KMeans.COSINE_DISTANCE\n",
        ),
        ("import tensorflow as tf\ntf_estimator = tf.estimator\n", "tf_estimator = tf_estimator_2\n"),
        (
            "import tensorflow\ndef f():\n    v1 = tensorflow.compat.v1\n    return v1.estimator.RunConfig\n",
            "    v1 = tensorflow.compat.v1\n    return tf_estimator.RunConfig\n",
        ),
    ],
)
def test_old_names_become_new_ones(before, after):
    assert migrate(before).after.endswith(after)


BEGIN = '"""Doc."""\n\n# why\nfrom __future__ import annotations\n'


def test_the_import_stands_behind_that_of_tensorflow():
    text = f"{BEGIN}import os\nimport tensorflow as tf\n\nf(tf.estimator)\n"
    expected = text.replace("as tf\n", "as tf\nfrom macqueen import tf_estimator\n").replace("tf.est", "tf_est")
    assert migrate(text).after == expected


def test_the_import_stands_behind_the_first_ones():
    """Where TensorFlow is imported inside of a function."""
    text = f"{BEGIN}\ndef f():\n    import tensorflow as tf\n    tf.estimator\n"
    assert migrate(text).after.startswith(f"{BEGIN}from macqueen import tf_estimator\n\ndef f()")


@pytest.mark.parametrize(
    "text",
    [
        "import tensorflow as tf\n\nclass A(tf.compat.v1.train.SessionRunHook): pass\n",
        "import keras\nestimator = keras.estimator.RunConfig\n",
        "def f(tf):\n    return tf.estimator.RunConfig\n",
        "import tensorflow as tf\ntf1 = tf.compat.v1\ntf1 = None\ntf1.estimator\n",
        "import tensorflow as tf\ndef f():\n    tf1 = tf.compat.v1\ntf1.estimator\n",
        "from .tensorflow import estimator\n",
        "x = 'tf.estimator'  # tf.estimator\n",
        "",
    ],
)
def test_what_is_no_name_of_the_old_api_is_left_alone(text):
    assert migrate(text).after == text
    assert migrate(text).left == ()


def test_programs_without_estimators_are_unchanged():
    for path in (*ROOT.glob("src/macqueen/tf_estimator/*.py"), *ROOT.glob("examples/*.py")):
        text = path.read_text(encoding="utf-8")
        assert migrate(text).after == text, path


def test_names_without_a_counterpart_are_reported_and_left_alone():
    text = (
        "import tensorflow as tf\nfrom tensorflow.estimator import DNNClassifier, RunConfig\n"
        "from tensorflow.estimator import *\nimport tensorflow_estimator.python.estimator.run_config as r\n"
        "tf.estimator.SummarySaverHook\n"
    )
    migration = migrate(text)
    assert [(line, name) for line, name, _ in migration.left] == [
        (2, "tensorflow.estimator.DNNClassifier"),
        (3, "tensorflow.estimator.*"),
        (4, "tensorflow_estimator.python.estimator.run_config"),
        (5, "tensorflow.estimator.SummarySaverHook"),
    ]
    assert "save_summary_steps" in migration.left[3][2]
    assert migration.after == text.replace(
        "DNNClassifier, RunConfig\n", "DNNClassifier\nfrom macqueen.tf_estimator import RunConfig\n"
    )


@settings(quick, max_examples=20)
@given(st.lists(st.sampled_from(PROGRAMS), max_size=4), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_migrating_twice_changes_nothing_more(programs, newline, indented):
    text = "\n".join(programs)
    if indented:
        text = "def f():\n" + "".join(f"    {line}\n" for line in text.splitlines()) + "    pass\n"
    once = migrate(text.replace("\n", newline)).after
    compile(once, "program", "exec")
    assert migrate(once).after == once
    assert once.count("\n") == once.count(newline)


SAME = """
import json, sys
import macqueen.tf_estimator as estimator
estimator.install()
for before, after in json.load(sys.stdin):
    old, new = {}, {}
    exec(before, old)
    exec(after, new)
    plain = lambda found: found if not callable(getattr(found, "__func__", None)) else found.__func__
    assert plain(old["result"]) == plain(new["result"]), after
    assert "tensorflow.estimator" not in after and "tf.estimator" not in after, after
print("done")
"""


def run(code, folder, text=""):
    command = [sys.executable, *code]
    return subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, timeout=300, check=False)


def test_new_names_mean_the_same(tmp_path):
    """Every way of importing, with every kind of use: the objects are those of tf.estimator with the mirror in it."""
    pairs = [(text, migrate(text).after) for text in PROGRAMS]
    assert all(before != after for before, after in pairs)
    done = run(["-c", SAME], tmp_path, json.dumps(pairs))
    assert done.stdout == "done\n", done.stderr


PROGRAM = """\
import numpy as np
import tensorflow as tf

points = np.random.RandomState(0).uniform(0, 1000, [100, 2]).astype(np.float32)


def input_fn():
    return tf.data.Dataset.from_tensors(points).repeat(10)


class Losses(tf.compat.v1.train.SessionRunHook):
    found = ()

    def before_run(self, run_context):
        return tf.compat.v1.train.SessionRunArgs("loss")

    def after_run(self, run_context, run_values):
        self.found += (run_values.results,)


kmeans = tf.compat.v1.estimator.experimental.KMeans(
    num_clusters=5, use_mini_batch=False, config=tf.estimator.RunConfig(tf_random_seed=1)  # as before
)
losses = Losses()
kmeans.train(input_fn, hooks=[losses], steps=6)
assert len(losses.found) == 6 and list(losses.found) == sorted(losses.found, reverse=True)
assert kmeans.score(input_fn) < losses.found[0]
centers = kmeans.cluster_centers()
indices = list(kmeans.predict_cluster_index(input_fn))
assert indices[:100] == ((points[:, None] - centers) ** 2).sum(2).argmin(1).tolist()
print("done")
"""


def test_a_migrated_program_runs(tmp_path, capsys):
    """In this process, which has loaded TensorFlow for other tests."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    assert main([str(path), "--write"]) == 0
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out == "done\n"


# --- the command ------------------------------------------------------------------------------------------


def test_the_command_shows_a_diff(tmp_path):
    (tmp_path / "a.py").write_text("import tensorflow as tf\ntf.estimator.Estimator, tf.estimator.RunConfig()")
    (tmp_path / "b.py").write_text("x = 1\n")
    done = run(["-m", "macqueen.tf_estimator", "a.py", "b.py"], tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "--- a.py",
        "+++ a.py",
        "@@ -1,2 +1,3 @@",
        " import tensorflow as tf",
        "-tf.estimator.Estimator, tf.estimator.RunConfig()",
        "\\ No newline at end of file",
        "+from macqueen import tf_estimator",
        "+tf.estimator.Estimator, tf_estimator.RunConfig()",
        "\\ No newline at end of file",
    ]
    assert done.stderr.startswith("a.py:2: tensorflow.estimator.Estimator has no counterpart and is left alone")


def test_the_command_writes(tmp_path, capsys):
    path, link = tmp_path / "a.py", tmp_path / "link.py"
    path.write_bytes("# -*- coding: latin-1 -*-\r\nfrom tensorflow import estimator # é\r\n".encode("latin-1"))
    path.chmod(0o741)
    link.symlink_to(path)
    assert main([str(link)]) == 1
    assert main(["--write", str(link)]) == 0
    expected = "# -*- coding: latin-1 -*-\r\nfrom macqueen import tf_estimator as estimator # é\r\n"
    assert path.read_bytes() == expected.encode("latin-1")
    assert (path.stat().st_mode & 0o777, link.is_symlink()) == (0o741, True)
    assert sorted(os.listdir(tmp_path)) == ["a.py", "link.py"]
    assert main(["--write", str(link)]) == main([str(link)]) == 0


def test_the_command_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "libcst", None)  # what makes its import fail
    assert main([str(tmp_path / "a.py")]) == 2
    assert "pip install 'macqueen[migrate]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"def f(:\n", "parser error"),
        (b"x = '\xff'\n", "encoding"),
        (b"# coding: nonsense\n", "nonsense"),
        (None, "No such"),
    ],
)
def test_a_file_that_cannot_be_treated_is_named(content, message, tmp_path, capsys):
    """The others are treated all the same."""
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    if content is not None:
        bad.write_bytes(content)
    good.write_text("from tensorflow import estimator\n")
    assert main(["--write", str(bad), str(good)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(str(bad))
    assert message.lower() in error.lower()
    assert good.read_text() == "from macqueen import tf_estimator as estimator\n"
    assert content is None or bad.read_bytes() == content
