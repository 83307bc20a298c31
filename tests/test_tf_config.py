"""TF_CONFIG: which part a process has in a cluster, and what is refused."""

import json

import numpy as np
import pytest

from macqueen import KMeans, RunConfig
from macqueen.errors import ArgumentError, ArgumentTypeError

CLUSTER = {"chief": ["c:1"], "worker": ["w:1", "w:2"], "ps": ["p:1"]}
MASTER = {"master": ["m:1"], "worker": ["w:1"]}


@pytest.fixture
def config_of(monkeypatch):
    """Return the configuration that is made under a TF_CONFIG."""

    def make(value, **arguments):
        monkeypatch.setenv("TF_CONFIG", value if isinstance(value, str) else json.dumps(value))
        return RunConfig(**arguments)

    return make


def task(kind, index, cluster=CLUSTER, **more):
    return {"cluster": cluster, "task": {"type": kind, "index": index}, **more}


ROLES = {
    # type, index: is_chief, master, global id
    "chief": ("chief", 0, True, "grpc://c:1", 0),
    "first worker": ("worker", 0, False, "grpc://w:1", 1),
    "second worker": ("worker", 1, False, "grpc://w:2", 2),
    "index as text": ("worker", "1", False, "grpc://w:2", 2),
    "ps comes last": ("ps", 0, False, "grpc://p:1", 3),
}


@pytest.mark.parametrize(("kind", "index", "is_chief", "master", "number"), ROLES.values(), ids=ROLES)
def test_roles_in_a_cluster(config_of, kind, index, is_chief, master, number):
    config = config_of(task(kind, index))
    assert (config.task_type, config.task_id) == (kind, int(index))
    assert (config.is_chief, config.master, config.global_id_in_cluster) == (is_chief, master, number)
    assert (config.num_ps_replicas, config.num_worker_replicas) == (1, 3)
    assert config.cluster_spec.as_dict() == CLUSTER


def test_an_evaluator_is_outside_the_cluster(config_of):
    config = config_of(task("evaluator", 7))
    assert (config.task_type, config.task_id, config.is_chief) == ("evaluator", 7, False)
    assert (config.master, config.global_id_in_cluster) == ("", None)
    assert (config.num_ps_replicas, config.num_worker_replicas) == (0, 0)
    assert not config.cluster_spec


def test_a_master_is_the_chief_of_old_clusters(config_of):
    config = config_of(task("master", 0, MASTER))
    assert (config.is_chief, config.global_id_in_cluster, config.num_worker_replicas) == (True, 0, 2)


def test_a_cluster_of_one_node_has_no_address(config_of):
    assert config_of(task("chief", 0, {"chief": ["c:1"]})).master == ""


def test_what_else_can_be_said(config_of):
    config = config_of(
        task("chief", 0, service={"a": [1]}, session_master="s", eval_session_master="e", model_dir="folder")
    )
    assert (config.service, config.master, config.evaluation_master) == ({"a": [1]}, "s", "e")
    assert config.model_dir == "folder"


def test_an_empty_variable_says_nothing(config_of):
    assert config_of("") == config_of({}) == config_of({"task": {"type": "worker", "index": 0}})


WRONG = {
    "no JSON": ("{", "TF_CONFIG must be JSON"),
    "no object": ("[]", "TF_CONFIG must be a JSON object"),
    "empty model_dir": ({"model_dir": ""}, "model_dir must be a folder"),
    "another task without a cluster": ({"task": {"type": "chief", "index": 0}}, "without a cluster"),
    "another index without a cluster": ({"task": {"type": "worker", "index": 1}}, "without a cluster"),
    "no chief": (task("worker", 0, {"worker": ["w:1"]}), "exactly one 'chief'"),
    "two chiefs": (task("chief", 0, {"chief": ["a", "b"]}), "exactly one 'chief' node, got 2"),
    "no task": ({"cluster": CLUSTER}, "needs a type and an index"),
    "no index": ({"cluster": CLUSTER, "task": {"type": "chief"}}, "needs a type and an index"),
    "no type": ({"cluster": CLUSTER, "task": {"index": 0}}, "needs a type and an index"),
    "index out of range": (task("worker", 2), "index 2 is out of range: 2 nodes"),
    "negative index": (task("worker", -1), "must not be negative"),
    "index no number": (task("worker", "x"), "index must be an integer"),
    "unknown type": (task("boss", 0), "'boss' is not in the cluster"),
    "master and chief": (task("chief", 0, {**CLUSTER, "master": ["m"]}), "a cluster with a 'master'"),
    "master and evaluator": (task("evaluator", 0, MASTER), "a cluster with a 'master'"),
    "addresses no list": (task("chief", 0, {"chief": "c:1"}), "list of addresses"),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_what_breaks_a_rule_is_refused(config_of, value, message):
    with pytest.raises(ArgumentError, match=message):
        config_of(value)


def test_a_service_of_the_wrong_type(config_of):
    with pytest.raises(ArgumentTypeError, match="service"):
        config_of({"service": 3})


def test_two_model_directories_must_be_the_same(config_of):
    assert config_of({"model_dir": "a"}, model_dir="a").model_dir == "a"
    with pytest.raises(ArgumentError, match="'b', but TF_CONFIG names 'a'"):
        config_of({"model_dir": "a"}, model_dir="b")


def test_copies_do_not_read_it_again(config_of, monkeypatch):
    config = config_of(task("worker", 1))
    monkeypatch.delenv("TF_CONFIG")
    assert config.replace(model_dir="a").task_id == 1
    assert config != RunConfig()


@pytest.mark.parametrize("kind", ["evaluator", "ps"])
def test_train_is_refused_in_roles_that_do_not_train(config_of, tmp_path, kind):
    config = config_of(task(kind, 0), model_dir=str(tmp_path / "model"))
    with pytest.raises(ArgumentError, match=f"task '{kind}'"):
        KMeans(2, config=config).train(lambda: pytest.fail("the input was read"))


def test_train_in_a_cluster_points_at_the_distributed_engine(config_of, tmp_path):
    config = config_of(task("chief", 0), model_dir=str(tmp_path / "model"))
    with pytest.raises(
        ArgumentError, match=r"cluster of 4 nodes.*in this process alone.*Unset TF_CONFIG to train here"
    ):
        KMeans(2, config=config).train(lambda: pytest.fail("the input was read"))


def test_a_cluster_of_one_node_trains(config_of, tmp_path):
    config = config_of(task("chief", 0, {"chief": ["c:1"]}), model_dir=str(tmp_path))
    KMeans(1, config=config).train(np.eye(2), steps=1)
