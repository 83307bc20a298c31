"""Models that TensorFlow 2.15's own estimator wrote (tests/golden/make_tensorflow.py): what they are here."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from macqueen import KMeans, RunConfig, feature_columns, load_variable
from macqueen.errors import (
    ArgumentError,
    CheckpointError,
    MissingExtraError,
    NotTrainedError,
    SettingsMismatchError,
)
from tests.crashes import crash_at
from tests.models import step_of

GOLDEN = Path(__file__).parent / "golden" / "tensorflow"
FACTS = json.loads((GOLDEN / "models.json").read_text())
MODELS = FACTS["models"]
ROWS = np.array(FACTS["rows"], np.float32)
QUERY = np.array(FACTS["query"], np.float32)
SPOILED = ("empty", "not_finite")
SOUND = [name for name in MODELS if name not in SPOILED]
PENDING = [name for name in SOUND if "pending" in name]
ON_ROWS = [name for name in SOUND if name != "embedding"]
TOLERANCE = 2e-5  # relative and absolute: the old class computes in float32
NO_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None\n"


@pytest.fixture
def old(tmp_path):
    """Makes a copy of a recorded model, and returns its folder."""

    def copied(name):
        return Path(shutil.copytree(GOLDEN / name, tmp_path / name))

    return copied


def variable(model, name):
    """What TensorFlow read from the newest checkpoint of a recorded model."""
    found = MODELS[model]["variables"][name]
    return np.array(found["value"], found["dtype"]).reshape(found["shape"])


def opened(name, folder, **arguments):
    k = len(variable(name, "clusters"))
    return KMeans(k, folder, **{**MODELS[name]["arguments"], **arguments})


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


# --- what comes over --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SOUND if name not in PENDING])
def test_centers_are_those_of_the_old_model_bit_for_bit(old, name):
    assert opened(name, old(name)).cluster_centers().tobytes() == variable(name, "clusters").tobytes()


@pytest.mark.parametrize("name", SOUND)
def test_the_step_is_that_of_the_old_model(old, name):
    assert opened(name, old(name)).get_variable_value("global_step") == variable(name, "global_step") > 0


@pytest.mark.parametrize("name", [name for name in SOUND if "Variable" in MODELS[name]["variables"]])
def test_counts_are_those_of_the_old_model(old, name):
    """After a sync that was due they begin anew."""
    expected = 0 if name in PENDING else variable(name, "Variable")
    np.testing.assert_array_equal(opened(name, old(name)).get_variable_value("cluster_counts"), expected)


@pytest.mark.parametrize("name", ["three_within", "three_ended"])
def test_an_iteration_under_way_goes_on(old, name):
    model = opened(name, old(name))
    assert model.get_variable_value("clusters_updated").tobytes() == variable(name, "clusters_updated").tobytes()
    assert model.get_variable_value("update_in_steps") == variable(name, "update_in_steps") > 0


@pytest.mark.parametrize("name", PENDING)
def test_a_sync_that_was_due_is_made(old, name):
    """The old class makes it when the next iteration begins; the centers of cosine are then normalised."""
    model, pending = opened(name, old(name)), variable(name, "clusters_updated")
    assert variable(name, "update_in_steps") == 0
    assert pending.tobytes() != variable(name, "clusters").tobytes()
    assert model.get_variable_value("clusters_updated").tobytes() == pending.tobytes()
    assert model.get_variable_value("update_in_steps") == 3
    lengths = np.linalg.norm(pending, axis=1, keepdims=True)
    if "cosine" in name:
        close(model.cluster_centers(), pending / lengths)
        assert np.abs(lengths - 1).max() > 0.01
    else:
        assert model.cluster_centers().tobytes() == pending.tobytes()


@pytest.mark.parametrize("name", [name for name in ON_ROWS if name not in PENDING])
def test_predictions_and_scores_are_those_of_the_old_class(old, name):
    model, answers = opened(name, old(name)), MODELS[name]["answers"]
    assert model.labels(QUERY).tolist() == answers["cluster_index"]
    close(list(model.transform(QUERY)), answers["all_distances"])
    close(model.score(QUERY), answers["score"])


@pytest.mark.parametrize("name", ["full", "full_cosine"])
def test_training_goes_on_as_the_old_class_did(old, name):
    folder = old(name)
    first = opened(name, folder).cluster_centers()
    model = opened(name, folder, empty_clusters="origin").train(ROWS, steps=2)
    assert np.abs(model.cluster_centers() - first).max() > 0.01
    close(model.cluster_centers(), MODELS[name]["two_steps_later"])


@pytest.mark.parametrize("name", ON_ROWS)
def test_training_counts_on_from_the_old_step(old, name):
    model = opened(name, old(name)).train(lambda: iter([ROWS] * 4), steps=4)
    assert model.get_variable_value("global_step") == variable(name, "global_step") + 4


def test_a_checkpoint_of_the_old_class_can_be_named(old):
    folder = old("full")
    model = opened("full", folder)
    assert model.latest_checkpoint() == str(folder / "model.ckpt-4")
    assert model.evaluate(QUERY, checkpoint_path=folder / "model.ckpt-2")["global_step"] == 2


def test_the_seed_of_training_stays_the_same_in_an_object(old):
    """No old checkpoint has one: it is drawn once, and is then part of the model."""
    folder = old("mini")
    model = opened("mini", folder)
    seeds = [model._model.load().seed for _ in range(3)]
    model.train(ROWS, steps=1)
    assert {*seeds, opened("mini", folder)._model.load().seed} == {seeds[0]}


# --- the files --------------------------------------------------------------------------------------------


def test_reading_writes_nothing(old):
    folder = old("three_pending")
    before = files(folder)
    model = opened("three_pending", folder)
    model.labels(QUERY)
    model.cluster_centers()
    model.get_variable_names()
    assert files(folder) == before


def test_old_files_stay_and_the_old_list_is_kept_beside_ours(old):
    folder = old("full")
    before = files(folder)
    config = RunConfig(save_checkpoints_steps=1, keep_checkpoint_max=1)
    for format_ in ("safetensors", "tensorflow"):
        opened("full", folder, config=config.replace(checkpoint_format=format_)).train(ROWS, steps=3)
    after = files(folder)
    assert after.pop("checkpoint.tensorflow") == before.pop("checkpoint") != after["checkpoint"]
    assert {name: after[name] for name in before} == before
    assert sorted(name for name in set(after) - set(before) if "ckpt" in name) == [
        "model.ckpt-10.data-00000-of-00001",
        "model.ckpt-10.index",
        "model.ckpt-10.safetensors",
    ]


def test_a_second_object_goes_on_from_ours_without_tensorflow(old):
    folder = old("full")
    trained = opened("full", folder).train(ROWS, steps=2)
    program = (
        NO_TENSORFLOW + "import macqueen, numpy as np\n"
        f"model = macqueen.KMeans(3, {str(folder)!r}, use_mini_batch=False)\n"
        "print(model.get_variable_value('global_step'), model.cluster_centers().tobytes().hex())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", trained.cluster_centers().tobytes().hex()]


def test_without_tensorflow_an_error_names_the_extra(old):
    program = NO_TENSORFLOW + (
        "import macqueen\n"
        "macqueen.KMeans(3, 'new', use_mini_batch=False).train([[1.0], [2.0], [3.0]], steps=1)\n"
        "for start in (lambda: macqueen.KMeans(3, 'full', use_mini_batch=False).cluster_centers(),\n"
        "              lambda: macqueen.KMeans.from_tensorflow('full'),\n"
        "              lambda: macqueen.KMeans(3, config=macqueen.RunConfig('made', checkpoint_format='tensorflow')\n"
        "                      ).train([[1.0], [2.0], [3.0]], steps=1)):\n"
        "    try:\n"
        "        start()\n"
        "    except macqueen.errors.MissingExtraError as error:\n"
        "        print('pip install' in str(error) and 'macqueen[tensorflow]' in str(error))\n"
    )
    folder = old("full").parent
    done = subprocess.run(
        [sys.executable, "-c", "import macqueen.errors\n" + program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True"] * 3
    assert issubclass(MissingExtraError, ImportError)
    assert [path.name for path in folder.glob("made/*ckpt*")] == []


@pytest.mark.parametrize("format_", ["safetensors", "tensorflow"])
@pytest.mark.parametrize("keep", [None, 1])
def test_a_crash_at_any_file_loses_nothing(old, monkeypatch, tmp_path, format_, keep):
    config = RunConfig(checkpoint_format=format_, save_checkpoints_steps=1, keep_checkpoint_max=keep)
    undisturbed = opened("full", old("full"), config=config).train(ROWS, max_steps=6)
    for number in itertools.count(1):
        folder = Path(shutil.copytree(GOLDEN / "full", tmp_path / str(number)))
        with crash_at(monkeypatch, number) as seen:
            opened("full", folder, config=config).train(ROWS, max_steps=6)
        if len(seen) < number:
            break
        written = (
            int(path.name.removeprefix("model.ckpt-").partition(".")[0]) for path in folder.glob("*.safetensors")
        )
        model = opened("full", folder, config=config)
        assert model.get_variable_value("global_step") == max(written, default=4)
        model.train(ROWS, max_steps=6)
        assert model.cluster_centers().tobytes() == undisturbed.cluster_centers().tobytes()
        assert files(folder)["checkpoint.tensorflow"] == files(GOLDEN / "full")["checkpoint"]
    assert number > 7  # it ended before the old list was kept, and before each of two files of three checkpoints


def test_where_our_checkpoints_are_damaged_the_old_model_is_there(old):
    folder = old("full")
    opened("full", folder).train(ROWS, steps=2)
    for path in folder.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    for model in (
        opened("full", folder),
        KMeans.from_tensorflow(folder),
        KMeans.from_tensorflow(folder, f"{folder}-2"),
    ):
        assert model.cluster_centers().tobytes() == variable("full", "clusters").tobytes()


def test_where_the_old_class_wrote_last_its_model_is_gone_on_from(old):
    """Somebody puts the old list back, and lets the old class train further."""
    folder = old("full")
    opened("full", folder).train(ROWS, steps=2)
    for part in ("index", "data-00000-of-00001"):
        shutil.copyfile(folder / f"model.ckpt-2.{part}", folder / f"model.ckpt-20.{part}")
    shutil.copyfile(folder / "checkpoint.tensorflow", folder / "checkpoint")
    text = 'model_checkpoint_path: "model.ckpt-20"\nall_model_checkpoint_paths: "model.ckpt-20"\n'
    (folder / "checkpoint").write_text(text)
    model = opened("full", folder)
    assert model.get_variable_value("global_step") == 2
    model.train(ROWS, steps=1)
    assert (folder / "checkpoint.tensorflow").read_text() == text


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("full", {"use_mini_batch": True}, "mode"),
        ("mini", {"use_mini_batch": False}, "mode"),
        ("mini", {"mini_batch_steps_per_iteration": 3}, "steps_per_iteration"),
        ("three_ended", {"mini_batch_steps_per_iteration": 1}, "steps_per_iteration"),
        ("full", {"distance_metric": "cosine"}, "metric"),
        ("full", {"num_clusters": 4}, "k"),
    ],
)
def test_settings_that_cannot_be_those_of_the_old_model_are_refused(old, name, arguments, named):
    folder = old(name)
    k = arguments.pop("num_clusters", 3)
    with pytest.raises(SettingsMismatchError, match=rf"(?m)^  {named} "):
        KMeans(k, folder, **{**MODELS[name]["arguments"], **arguments}).train(ROWS, steps=1)
    assert "checkpoint.tensorflow" not in files(folder)


def test_rows_of_another_width_are_refused(old):
    with pytest.raises(SettingsMismatchError, match="3"):
        opened("full", old("full")).train(ROWS[:, :2], steps=1)


def test_centers_of_length_1_under_squared_distances_are_warned_of(old, caplog):
    with caplog.at_level(logging.WARNING, "macqueen"):
        opened("full_cosine", old("full_cosine"), distance_metric="squared_euclidean").cluster_centers()
        assert "was distance_metric 'cosine'?" in caplog.text
        caplog.clear()
        opened("full", old("full")).cluster_centers()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("part", "how"),
    [
        ("index", "cut"),
        ("index", "changed"),
        ("data-00000-of-00001", "cut"),
        ("data-00000-of-00001", "changed"),
        ("data-00000-of-00001", "gone"),
    ],
)
def test_a_torn_old_checkpoint_is_named(old, part, how):
    folder = old("full")
    path = folder / f"model.ckpt-4.{part}"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data[: len(data) // 2] if how == "cut" else data)
    if how == "gone":
        path.unlink()
    before = files(folder)
    with pytest.raises(CheckpointError, match=r"model\.ckpt-4 is damaged, cut short, or .* is missing") as caught:
        opened("full", folder).train(ROWS, steps=1)
    assert "KMeans.from_tensorflow" in str(caught.value)
    assert files(folder) == before
    assert step_of(KMeans.from_tensorflow(folder / "model.ckpt-2")) == 2


@pytest.mark.parametrize("name", ["checkpoint", "model.ckpt-4.index"])
def test_old_checkpoints_that_no_list_names_are_not_trained_over(old, name):
    folder = old("full")
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=r"has checkpoints of TensorFlow \(model\.ckpt-0\.index, .*mend the list"):
        opened("full", folder).train(ROWS, steps=1)


def test_centers_of_nan_are_refused(old):
    with pytest.raises(CheckpointError, match="row 0 of clusters is not finite"):
        opened("not_finite", old("not_finite")).labels(QUERY)


def test_checkpoints_of_other_estimators_are_refused(tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("dense/kernel", initializer=[1.0])
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(save_relative_paths=True).save(session, str(tmp_path / "model.ckpt"), global_step=3)
    with pytest.raises(CheckpointError, match="there is no variable 'clusters'; it has dense/kernel"):
        KMeans(3, tmp_path).cluster_centers()


def test_an_old_model_without_centers_is_not_trained(old):
    folder = old("empty")
    model = KMeans(3, folder, use_mini_batch=False, seed=1)
    for read in (model.cluster_centers, lambda: model.labels(QUERY), model.get_variable_names):
        with pytest.raises(NotTrainedError, match="Could not find trained model"):
            read()
    with pytest.raises(NotTrainedError, match="holds no centers"):
        KMeans.from_tensorflow(folder)
    before = files(folder)
    model.train(ROWS, steps=2)
    assert step_of(model) == 2
    fresh = KMeans(3, folder.parent / "fresh", use_mini_batch=False, seed=1).train(ROWS, steps=2)
    assert model.cluster_centers().tobytes() == fresh.cluster_centers().tobytes()
    assert files(folder)["checkpoint.tensorflow"] == before["checkpoint"]


def test_functions_that_read_our_checkpoints_say_whose_it_is(old):
    folder = old("full")
    with pytest.raises(NotTrainedError, match=r"TensorFlow wrote the one that is there: .*macqueen.KMeans\(model_dir="):
        load_variable(folder, "clusters")
    with pytest.raises(NotTrainedError, match="train a model there"):
        load_variable(folder.parent, "clusters")


# --- from_tensorflow --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_ROWS)
def test_from_tensorflow_is_the_object_one_would_have_made(old, name):
    folder = old(name)
    arguments = {key: value for key, value in MODELS[name]["arguments"].items() if key != "use_mini_batch"}
    made, plain = KMeans.from_tensorflow(folder, **arguments), opened(name, folder)
    assert (repr(made), made.model_dir) == (repr(plain), str(folder))
    assert made.cluster_centers().tobytes() == plain.cluster_centers().tobytes()


def test_from_tensorflow_needs_the_steps_per_iteration_where_there_are_several(old):
    with pytest.raises(ArgumentError, match=r"must be given: .* at least 2"):
        KMeans.from_tensorflow(old("three_within"))


def test_from_tensorflow_goes_on_where_it_was(old):
    """A program that is started again makes no step twice."""
    folder = old("mini")
    for step in (6, 7):
        assert step_of(KMeans.from_tensorflow(folder, seed=1).train(ROWS[:10], steps=1)) == step


@pytest.mark.parametrize("name", ["saved_full", "saved_mini"])
def test_from_tensorflow_reads_a_saved_model(old, tmp_path, name):
    """In a folder of its own: nothing is written into the SavedModel; started again, it goes on."""
    folder, target = old(name), tmp_path / "target"
    before = sorted(folder.rglob("*"))
    original = name.removeprefix("saved_")
    made = KMeans.from_tensorflow(folder, target)
    assert made.cluster_centers().tobytes() == variable(original, "clusters").tobytes()
    assert KMeans.from_tensorflow(folder).model_dir != str(folder)
    first = int(variable(original, "global_step"))
    for step in (first + 1, first + 2):
        assert step_of(KMeans.from_tensorflow(folder, target, seed=1).train(ROWS, steps=1)) == step
    assert sorted(folder.rglob("*")) == before


def test_from_tensorflow_reads_one_checkpoint(old, tmp_path):
    folder = old("full")
    for path in (folder / "model.ckpt-2", str(folder / "model.ckpt-2.index")):
        assert step_of(KMeans.from_tensorflow(path)) == 2
    with pytest.raises(ArgumentError, match=r"holds another old model, .*model\.ckpt-4"):
        KMeans.from_tensorflow(folder / "model.ckpt-2", folder)
    assert step_of(KMeans.from_tensorflow(folder, config=RunConfig(tmp_path / "new")).train(ROWS, steps=1)) == 5
    assert load_variable(tmp_path / "new", "global_step") == 5


def test_from_tensorflow_of_a_model_that_went_on_needs_no_more_than_its_directory(old, tmp_path):
    folder = old("three_within")
    KMeans.from_tensorflow(folder, mini_batch_steps_per_iteration=3).train(ROWS, steps=1)
    assert step_of(KMeans.from_tensorflow(folder)) == 6
    assert step_of(KMeans.from_tensorflow(folder, tmp_path / "copy")) == 6


@pytest.mark.parametrize("path", ["gone", "", "full/model.ckpt-3"])
def test_from_tensorflow_of_nothing_is_an_error(old, tmp_path, path):
    old("full")
    with pytest.raises(NotTrainedError, match="there is no checkpoint of TensorFlow at"):
        KMeans.from_tensorflow(tmp_path / path)


# --- feature columns --------------------------------------------------------------------------------------


def columns_of(kind, words=None):
    words = MODELS["embedding"]["colors"] if words is None else words
    made = {
        "embedding": lambda: feature_columns.embedding_column(
            feature_columns.categorical_column_with_vocabulary_list("color", words, default_value=0), 2
        ),
        "indicator": lambda: feature_columns.indicator_column(
            feature_columns.categorical_column_with_vocabulary_list("color", words, default_value=0)
        ),
        "hashed": lambda: feature_columns.embedding_column(
            feature_columns.categorical_column_with_hash_bucket("color", 3), 2
        ),
    }
    return [feature_columns.numeric_column("size"), made[kind]()]


def test_embeddings_keep_their_weights(old):
    folder, facts = old("embedding"), MODELS["embedding"]
    name = "input_layer/color_embedding/embedding_weights"
    model = opened("embedding", folder, feature_columns=columns_of("embedding"))
    features = {key: np.array(values) for key, values in facts["features"].items()}
    assert model.labels(features).tolist() == facts["answers"]["cluster_index"]
    close(list(model.transform(features)), facts["answers"]["all_distances"])
    assert model.get_variable_value(name).tobytes() == variable("embedding", name).tobytes()
    model.train(features, steps=1)
    assert load_variable(folder, name).tobytes() == variable("embedding", name).tobytes()


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("indicator", SettingsMismatchError, "has input_layer/color_embedding/embedding_weights; ask for the columns"),
        ("hashed", SettingsMismatchError, "TensorFlow's hash"),
    ],
)
def test_other_columns_are_refused(old, kind, error, says):
    model = opened("embedding", old("embedding"), feature_columns=columns_of(kind))
    with pytest.raises(error, match=says):
        model.cluster_centers()


def test_weights_of_another_shape_are_refused(old):
    model = opened("embedding", old("embedding"), feature_columns=columns_of("embedding", ["red", "green"]))
    with pytest.raises(ArgumentError, match=r"must have shape \(2, 2\) .* got \(3, 2\)"):
        model.cluster_centers()
