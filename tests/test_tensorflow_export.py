"""SavedModels: what the old class wrote, served by TensorFlow alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from macqueen import KMeans, RunConfig
from macqueen.errors import ArgumentError, CheckpointError, NotTrainedError, SettingsMismatchError
from macqueen.tf_estimator import export
from tests.models import saved_each_step
from tests.served import check_served_alone

PREDICT = "tensorflow/serving/predict"
v1 = tf.compat.v1


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(3).normal(size=(300, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def model(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return KMeans(5, folder, seed=1, use_mini_batch=False).train(rows, steps=3)


def files(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


def meta_graphs(folder):
    """The graphs of a SavedModel by tag."""
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        graphs = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    return {graph.meta_info_def.tags[0]: graph for graph in graphs}


def signatures(graph):
    """Method, inputs and outputs with their dtypes, of each signature."""

    def of(infos):
        return {name: tf.as_dtype(info.dtype).name for name, info in infos.items()}

    named = graph.signature_def.items()
    return {name: (one.method_name, of(one.inputs), of(one.outputs)) for name, one in named if name[0] != "_"}


def served(folder, signature, **inputs):
    function = tf.saved_model.load(folder).signatures[signature]
    return function(**{name: tf.constant(value) for name, value in inputs.items()})["output"].numpy()


def raw(**features):
    """A receiver function that is fed these features as they are."""
    return export.build_raw_serving_input_receiver_fn({name: tf.constant(value) for name, value in features.items()})


def plain_receiver(wide=True):
    """A receiver function of rows of 4 columns, named like those of the tests of the old class."""

    def receiver_fn():
        fed = v1.placeholder(tf.float32, [None, 4 if wide else 3])
        return export.TensorServingInputReceiver(fed, fed)

    return receiver_fn


# --- what is written ------------------------------------------------------------------------------------


def test_layout_and_signatures_are_those_of_the_old_class(model, rows, tmp_path):
    before = int(time.time())
    folder = model.export_saved_model(tmp_path / "new" / "base", plain_receiver())
    assert isinstance(folder, str)
    assert os.path.dirname(folder) == str(tmp_path / "new" / "base")
    assert before <= int(os.path.basename(folder)) <= time.time() + 1
    assert files(folder) == ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
    ((tag, graph),) = meta_graphs(folder).items()
    assert tag == "serve"
    fed = {"input": "float32"}
    assert signatures(graph) == {
        "serving_default": (PREDICT, fed, {"output": "int64"}),
        "cluster_index": (PREDICT, fed, {"output": "int64"}),
        "all_distances": (PREDICT, fed, {"output": "float32"}),
        "cluster_centers": (PREDICT, {}, {"output": "float32"}),
    }
    assert np.array_equal(served(folder, "serving_default", input=rows), model.labels(rows))
    assert np.array_equal(served(folder, "cluster_index", input=rows), model.labels(rows))
    assert np.allclose(served(folder, "all_distances", input=rows), list(model.transform(rows)), rtol=1e-6)
    assert np.array_equal(served(folder, "cluster_centers"), model.cluster_centers())


def test_without_a_receiver_rows_are_fed_as_input(model, rows, tmp_path):
    folder = model.export_saved_model(tmp_path)
    inputs = meta_graphs(folder)["serve"].signature_def["serving_default"].inputs
    assert [dim.size for dim in inputs["input"].tensor_shape.dim] == [-1, 4]
    assert np.array_equal(served(folder, "serving_default", input=rows), model.labels(rows))


def test_the_deprecated_name_writes_the_same(model, rows, tmp_path):
    folder = model.export_savedmodel(tmp_path, plain_receiver(), None, False, None, strip_default_attrs=True)
    (graph,) = meta_graphs(folder).values()
    assert graph.meta_info_def.stripped_default_attrs
    other = model.export_savedmodel(tmp_path, plain_receiver())
    assert not meta_graphs(other)["serve"].meta_info_def.stripped_default_attrs
    assert signatures(graph) == signatures(meta_graphs(other)["serve"])
    assert np.array_equal(served(other, "serving_default", input=rows), model.labels(rows))


def test_exports_within_a_second_have_names_of_their_own(model, tmp_path):
    names = [os.path.basename(model.export_saved_model(tmp_path)) for _ in range(3)]
    assert sorted(os.listdir(tmp_path)) == sorted(set(names)) == names


def test_variables_are_those_of_the_old_class(rows, tmp_path):
    model = KMeans(5, tmp_path / "m", seed=1, mini_batch_steps_per_iteration=3, batch_size=50).train(rows, steps=4)
    path = os.path.join(model.export_saved_model(tmp_path / "e"), "variables", "variables")
    names = ["Variable", "clusters", "clusters_updated", "global_step", "initialized", "update_in_steps"]
    assert [name for name, _ in tf.train.list_variables(path)] == names
    assert np.array_equal(tf.train.load_variable(path, "clusters"), model.cluster_centers())
    assert np.array_equal(tf.train.load_variable(path, "Variable"), model.get_variable_value("cluster_counts"))
    assert tf.train.load_variable(path, "global_step") == 4
    assert tf.train.load_variable(path, "update_in_steps") == 2


def test_assets_text_form_and_a_named_checkpoint(rows, tmp_path):
    model = KMeans(5, seed=1, use_mini_batch=False, config=saved_each_step(tmp_path / "m")).train(rows, steps=2)
    (tmp_path / "names.txt").write_text("north\nsouth\n")
    folder = model.export_saved_model(
        tmp_path / "e", plain_receiver(), {"a/names.txt": tmp_path / "names.txt"}, True, tmp_path / "m" / "model.ckpt-0"
    )
    assert "saved_model.pbtxt" in files(folder)
    assert "saved_model.pb" not in files(folder)
    with open(os.path.join(folder, "assets.extra", "a", "names.txt")) as file:
        assert file.read() == "north\nsouth\n"
    first = KMeans(5, initial_clusters=served(folder, "cluster_centers"), config=RunConfig("never-written"))
    assert not np.array_equal(first.cluster_centers(), model.cluster_centers())
    assert np.array_equal(served(folder, "serving_default", input=rows), first.labels(rows))


# --- receivers ------------------------------------------------------------------------------------------


def test_named_features_stand_in_the_order_of_their_keys(model, rows, tmp_path):
    a, b = rows[:, :1], rows[:, 1:]
    folder = model.export_saved_model(tmp_path, raw(x9=b, x10=a))  # "x10" < "x9"
    assert signatures(meta_graphs(folder)["serve"])["cluster_index"][1] == {"x9": "float32", "x10": "float32"}
    assert np.array_equal(served(folder, "cluster_index", x9=b, x10=a), model.labels(rows))


def test_serialized_examples(model, rows, tmp_path):
    spec = {"a": tf.io.FixedLenFeature([3], tf.float32), "b": tf.io.FixedLenFeature([], tf.float32)}
    folder = model.export_saved_model(tmp_path, export.build_parsing_serving_input_receiver_fn(spec))
    assert signatures(meta_graphs(folder)["serve"])["serving_default"][1] == {"examples": "string"}

    def feature(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    examples = [
        tf.train.Example(features=tf.train.Features(feature={"a": feature(row[:3]), "b": feature(row[3:])}))
        for row in rows
    ]
    labels = served(folder, "serving_default", examples=[example.SerializeToString() for example in examples])
    assert np.array_equal(labels, model.labels(rows))


def test_alternatives_have_signatures_of_their_own(model, rows, tmp_path):
    def receiver_fn():
        text = v1.placeholder(tf.string, [None], "text")
        numbers = tf.ensure_shape(tf.strings.to_number(tf.strings.split(text, ",").to_tensor("0")), [None, 4])
        return export.ServingInputReceiver(numbers, text, {"numbers": {"x": numbers}})

    folder = model.export_saved_model(tmp_path, receiver_fn)
    found = signatures(meta_graphs(folder)["serve"])
    assert found["numbers:all_distances"] == (PREDICT, {"x": "float32"}, {"output": "float32"})
    assert len(found) == 7
    assert np.array_equal(served(folder, "numbers:serving_default", x=rows), model.labels(rows))
    lines = [",".join(map(repr, row)) for row in rows.tolist()]
    assert np.array_equal(served(folder, "serving_default", input=lines), model.labels(rows))


def test_integers_and_doubles_are_computed_in_float64(tmp_path):
    rows = np.random.default_rng(0).integers(-(2**40), 2**40, size=(200, 2))
    model = KMeans(4, tmp_path / "m", seed=0, use_mini_batch=False).train(rows, steps=2)
    folder = model.export_saved_model(tmp_path / "e", raw(a=rows[:, 0], b=rows[:, 1].astype(float)))
    inputs = {"a": rows[:, 0], "b": rows[:, 1].astype(float)}
    assert np.allclose(served(folder, "all_distances", **inputs), list(model.transform(rows)), rtol=1e-14)
    assert np.array_equal(served(folder, "serving_default", **inputs), model.labels(rows))


def test_no_rows_one_row_and_equal_distances(tmp_path):
    centers = np.array([[0, 0], [2, 0], [2, 0], [0, 2]], np.float32)
    model = KMeans(4, tmp_path / "m", initial_clusters=centers)
    folder = model.export_saved_model(tmp_path / "e")
    assert served(folder, "serving_default", input=np.empty((0, 2), np.float32)).shape == (0,)
    assert served(folder, "all_distances", input=np.empty((0, 2), np.float32)).shape == (0, 4)
    ties = np.array([[2, 0], [1, 1], [1, 0]], np.float32)
    assert served(folder, "serving_default", input=ties).tolist() == [1, 0, 0]


@pytest.mark.parametrize("metric", ["squared_euclidean", "cosine"])
def test_rows_that_the_model_refuses_have_the_label_minus_1(tmp_path, metric):
    model = KMeans(3, tmp_path / "m", initial_clusters=np.eye(3, dtype=np.float32), distance_metric=metric)
    rows = np.array([[1, 0, np.nan], [np.inf, 0, 1], [0, 1, 0]], np.float32)
    assert served(model.export_saved_model(tmp_path / "e"), "serving_default", input=rows).tolist() == [-1, -1, 1]


# --- graphs to train and to evaluate --------------------------------------------------------------------


def test_all_modes_in_one_folder(model, rows, tmp_path):
    def supervised():
        fed = v1.placeholder(tf.float32, [None, 4], "rows")
        return export.UnsupervisedInputReceiver(fed, {"rows": fed})

    receivers = {"infer": plain_receiver(), "eval": supervised, "train": supervised}
    folder = model.experimental_export_all_saved_models(tmp_path, receivers)
    graphs = meta_graphs(folder)
    assert list(graphs) == ["train", "eval", "serve"]
    outputs = {
        "loss": "float32",
        "metrics/score/value": "float32",
        "metrics/score/update_op": "float32",
        "predictions/all_distances": "float32",
        "predictions/cluster_index": "int64",
    }
    train = ("tensorflow/supervised/training", {"rows": "float32"}, outputs)
    assert signatures(graphs["train"]) == {"train": train}
    assert signatures(graphs["eval"]) == {"eval": ("tensorflow/supervised/eval", {"rows": "float32"}, outputs)}
    assert len(signatures(graphs["serve"])) == 4
    for tag in ("train", "eval"):
        with v1.Session(graph=tf.Graph()) as session:
            loaded = v1.saved_model.load(session, [tag], folder)
            found = loaded.signature_def[tag].outputs
            feed = {loaded.signature_def[tag].inputs["rows"].name: rows}
            loss, labels = session.run([found["loss"].name, found["predictions/cluster_index"].name], feed)
            assert np.isclose(loss, model.score(rows))
            assert np.array_equal(labels, model.labels(rows))
            for part in (rows[:100], rows[100:]):
                session.run(found["metrics/score/update_op"].name, {next(iter(feed)): part})
            mean = (model.score(rows[:100]) + model.score(rows[100:])) / 2
            assert np.isclose(session.run(found["metrics/score/value"].name), mean)
    assert np.array_equal(tf.saved_model.load(folder, ["serve"]).signatures["serving_default"](rows)["output"], labels)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_one_mode(model, tmp_path, mode):
    folder = model.export_saved_model(tmp_path, experimental_mode=mode)
    assert list(signatures(meta_graphs(folder)[mode])) == [mode]


@pytest.mark.parametrize("metric", ["squared_euclidean", "cosine"])
@pytest.mark.parametrize("arguments", [(False, 1), (True, 1), (True, 3)], ids=["full", "mini", "three"])
def test_a_step_of_the_graph_is_one_of_the_model(rows, tmp_path, metric, arguments):
    use_mini_batch, per_iteration = arguments
    options = {
        "distance_metric": metric,
        "use_mini_batch": use_mini_batch,
        "mini_batch_steps_per_iteration": per_iteration,
        "initial_clusters": rows[:5] + 0.5,
    }
    model = KMeans(5, tmp_path / "m", **options).train(iter([rows]))
    folder = model.export_saved_model(tmp_path / "e", experimental_mode="train")
    batches = [rows[:100], np.concatenate([rows[100:], np.zeros((2, 4), np.float32)]), rows[::2]]
    model.train(iter(batches))
    with v1.Session(graph=tf.Graph()) as session:
        v1.saved_model.load(session, ["train"], folder)
        (step,) = v1.get_collection("saved_model_train_op")
        for batch in batches:
            session.run(step, {"input:0": batch})
        found = {variable.op.name: session.run(variable) for variable in v1.global_variables()}
    assert np.allclose(found["clusters"], model.cluster_centers(), rtol=1e-5, atol=1e-6)
    assert found["global_step"] == 4
    if use_mini_batch:
        assert np.array_equal(found["Variable"], model.get_variable_value("cluster_counts"))
    if per_iteration > 1:
        assert np.allclose(
            found["clusters_updated"], model.get_variable_value("clusters_updated"), rtol=1e-5, atol=1e-6
        )
        assert found["update_in_steps"] == model.get_variable_value("update_in_steps")


# --- bad input: a clear error, nothing left behind ------------------------------------------------------


def failing_receiver():
    raise RuntimeError("no receiver today")


EAGER = tf.zeros([2, 4])


def eager_receiver():
    return export.TensorServingInputReceiver(EAGER, EAGER)


def labelled_receiver():
    fed = v1.placeholder(tf.float32, [None, 4])
    return export.SupervisedInputReceiver(fed, fed, fed)


def without_tensors():
    return export.TensorServingInputReceiver(v1.placeholder(tf.float32, [None, 4]), {})


def sparse_receiver():
    fed = v1.sparse_placeholder(tf.float32, [None, 4])
    return export.ServingInputReceiver(fed, {"x": fed})


def text_receiver():
    fed = v1.placeholder(tf.string, [None, 4])
    return export.TensorServingInputReceiver(fed, fed)


BAD = {
    "no tensors": ({"serving_input_receiver_fn": without_tensors}, ArgumentError, "at least one tensor"),
    "raises": ({"serving_input_receiver_fn": failing_receiver}, RuntimeError, "no receiver today"),
    "returns nothing": ({"serving_input_receiver_fn": lambda: None}, ArgumentError, "must return a ServingInput"),
    "not callable": ({"serving_input_receiver_fn": 3}, TypeError, "must be callable, got 3"),
    "eager": ({"serving_input_receiver_fn": eager_receiver}, ArgumentError, "the receiver function makes itself"),
    "labels": ({"serving_input_receiver_fn": labelled_receiver}, ArgumentError, "k-means takes none"),
    "sparse": ({"serving_input_receiver_fn": sparse_receiver}, TypeError, "must be a dense tensor, got SparseTensor"),
    "text": ({"serving_input_receiver_fn": text_receiver}, TypeError, "must hold real numbers, got string"),
    "width": ({"serving_input_receiver_fn": plain_receiver(wide=False)}, SettingsMismatchError, "rows of 3 columns"),
    "missing asset": ({"assets_extra": {"a": "/not/there"}}, ArgumentError, r"assets_extra\['a'\] must be a file"),
    "asset outside": ({"assets_extra": {"../a": __file__}}, ArgumentError, "paths below assets.extra, got '../a'"),
    "assets of a list": ({"assets_extra": [__file__]}, TypeError, "must be a dict"),
    "mode": ({"experimental_mode": "serve"}, ArgumentError, "must be one of 'train', 'eval', 'infer', got 'serve'"),
    "checkpoint": ({"checkpoint_path": "/not/there"}, CheckpointError, "there is no such file"),
    "remote": ({"export_dir_base": "gs://bucket/models"}, ArgumentError, "local file system, got 'gs://bucket"),
    "no path": ({"export_dir_base": None}, TypeError, "export_dir_base must be a path"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_leave_nothing_behind(model, tmp_path, arguments, error, message):
    before = files(model.model_dir)
    with pytest.raises(error, match=message):
        model.export_saved_model(**{"export_dir_base": tmp_path / "new" / "base", **arguments})
    assert list(tmp_path.iterdir()) == []
    assert files(model.model_dir) == before


@pytest.mark.parametrize("receivers", [{}, None, {"train": None}], ids=str)
def test_no_valid_mode(model, tmp_path, receivers):
    with pytest.raises(ArgumentError, match="No valid modes for exporting found"):
        model.experimental_export_all_saved_models(tmp_path / "e", receivers)
    assert not (tmp_path / "e").exists()


def test_no_trained_model(tmp_path):
    with pytest.raises(NotTrainedError, match="Could not find trained model"):
        KMeans(3, tmp_path / "m").export_saved_model(tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    """The limit on file sizes makes the kernel refuse the write, as a full disk does."""
    (tmp_path / "e").mkdir()
    code = """
import resource, sys, numpy as np
import macqueen, tensorflow
from macqueen.errors import ExportError
centers = np.random.default_rng(0).normal(size=(500, 40))
model = macqueen.KMeans(500, sys.argv[1] + "/m", initial_clusters=centers)
(open(sys.argv[1] + "/asset", "wb")).write(bytes(30000))
for limit, assets in ((20_000, None), (200_000, {"a": sys.argv[1] + "/asset"})):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, 1_000_000))
    for base in ("/e", "/new/base"):
        try:
            print("wrote", model.export_saved_model(sys.argv[1] + base, assets_extra=assets) != "")
        except ExportError as error:
            print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    refused = [line for line in done.stdout.splitlines() if line.startswith("cannot write into")]
    assert len(refused) == 2, done.stdout
    assert "File too large" in refused[0]
    assert "Free space there, or give another export_dir_base" in refused[0]
    assert done.stdout.count("wrote True") == 2
    assert len(os.listdir(tmp_path / "e")) == len(os.listdir(tmp_path / "new" / "base")) == 1
    assert not [name for at, _, names in os.walk(tmp_path) for name in names if ".tmp" in os.path.join(at, name)]


# --- served by TensorFlow alone -------------------------------------------------------------------------

SERVE = """
    signatures = tf.saved_model.load(path).signatures
    signatures["serving_default"](tf.constant(rows[:10]))
    before = peak()
    labels = signatures["serving_default"](tf.constant(rows))["output"].numpy()
    grown = peak() - before
    distances = signatures["all_distances"](tf.constant(rows))["output"].numpy()
    with v1.Session(graph=tf.Graph()) as session:
        inside = v1.saved_model.load(session, ["serve"], path).signature_def["cluster_index"]
        again = session.run(inside.outputs["output"].name, {inside.inputs["input"].name: rows})
    assert (again == labels).all()
"""


def test_a_process_without_macqueen_gives_the_same_labels_and_distances(tmp_path):
    imports = "import tensorflow as tf; v1 = tf.compat.v1"
    check_served_alone(tmp_path, KMeans.export_saved_model, imports, SERVE)


# What the command saved_model_cli does, once with each line of its input as arguments.
TOOL = """
import sys
from tensorflow.python.tools.saved_model_cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["saved_model_cli", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
"""


def test_the_command_line_tool_shows_and_runs_it(model, rows, tmp_path):
    folder = model.export_saved_model(tmp_path)
    np.save(tmp_path / "rows.npy", rows)
    of_it = f"--dir {folder} --tag_set serve"
    lines = f"""show {of_it}
run {of_it} --signature_def serving_default --inputs input={tmp_path}/rows.npy --outdir {tmp_path}"""
    done = subprocess.run([sys.executable, "-c", TOOL], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("all_distances", "cluster_centers", "cluster_index", "serving_default"):
        assert f'SignatureDef key: "{name}"' in done.stdout
    assert np.array_equal(np.load(tmp_path / "output.npy"), model.labels(rows))
