"""RunConfig: fields, defaults, rules and copies."""

import copy
import inspect
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macqueen.config import RunConfig
from macqueen.errors import ArgumentError, ArgumentTypeError

TENSORFLOW = {
    "model_dir": None,
    "tf_random_seed": None,
    "save_summary_steps": 100,
    "save_checkpoints_steps": None,
    "save_checkpoints_secs": 600,
    "session_config": None,
    "keep_checkpoint_max": 5,
    "keep_checkpoint_every_n_hours": 10000,
    "log_step_count_steps": 100,
    "train_distribute": None,
    "device_fn": None,
    "protocol": None,
    "eval_distribute": None,
    "experimental_distribute": None,
    "experimental_max_worker_delay_secs": None,
    "session_creation_timeout_secs": 7200,
    "checkpoint_save_graph_def": True,
}


class ConfigProto:
    """Stands by its name for TensorFlow's class, of which nothing is used."""


IDLE = {
    "session_config": ConfigProto(),
    "train_distribute": "strategy",
    "device_fn": lambda op: "",
    "protocol": "grpc",
    "eval_distribute": "strategy",
    "experimental_distribute": "strategy",
    "experimental_max_worker_delay_secs": 5,
    "session_creation_timeout_secs": 60,
    "checkpoint_save_graph_def": False,
}


def test_run_config_defaults():
    config = RunConfig()
    assert (config.model_dir, config.tf_random_seed, config.num_threads) == (None, None, None)
    assert (config.save_checkpoints_steps, config.save_checkpoints_secs) == (None, 600)
    assert (config.keep_checkpoint_max, config.keep_checkpoint_every_n_hours) == (5, 10000)
    assert config.log_step_count_steps == 100


def test_the_arguments_are_those_of_tensorflow_in_its_order():
    names = list(inspect.signature(RunConfig).parameters)
    assert names == [*TENSORFLOW, "num_threads", "memory_limit", "checkpoint_format"]
    config = RunConfig("somewhere", 7, 50)
    assert (config.model_dir, config.tf_random_seed, config.save_summary_steps) == ("somewhere", 7, 50)
    assert inspect.signature(RunConfig).parameters["num_threads"].kind == inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("name", "value"), TENSORFLOW.items())
def test_defaults_are_those_of_tensorflow(name, value):
    assert getattr(RunConfig(), name) == value


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"save_checkpoints_steps": 10}, (10, None)),
        ({"save_checkpoints_secs": 10}, (None, 10)),
        ({"save_checkpoints_steps": None}, (None, None)),
        ({"save_checkpoints_secs": None}, (None, None)),
        ({"save_checkpoints_steps": None, "save_checkpoints_secs": 5}, (None, 5)),
        ({"save_checkpoints_steps": 5, "save_checkpoints_secs": None}, (5, None)),
        ({"save_checkpoints_steps": 0}, (0, None)),
        ({"save_checkpoints_secs": 0}, (None, 0)),
    ],
)
def test_giving_one_of_steps_and_secs_clears_the_other(arguments, expected):
    config = RunConfig(**arguments)
    assert (config.save_checkpoints_steps, config.save_checkpoints_secs) == expected


def test_steps_and_secs_together_are_refused():
    with pytest.raises(ArgumentError, match="only one of save_checkpoints_steps and save_checkpoints_secs"):
        RunConfig(save_checkpoints_steps=1, save_checkpoints_secs=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_dir", ""),
        ("save_checkpoints_steps", -1),
        ("save_checkpoints_secs", -1),
        ("keep_checkpoint_max", -1),
        ("keep_checkpoint_every_n_hours", 0),
        ("keep_checkpoint_every_n_hours", float("nan")),
        ("log_step_count_steps", 0),
        ("tf_random_seed", 1.0),
        ("tf_random_seed", "1"),
        ("num_threads", 0),
        ("save_summary_steps", -1),
        ("session_creation_timeout_secs", 0),
        ("session_config", {}),
        ("device_fn", 3),
        ("device_fn", lambda operation: None),
        ("device_fn", lambda op, more: None),
        ("protocol", "http"),
        ("experimental_max_worker_delay_secs", 1.5),
        ("experimental_max_worker_delay_secs", "a"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ArgumentError, match=name):
        RunConfig(**{name: value})


@pytest.mark.parametrize(
    "name",
    [
        "save_checkpoints_steps",
        "save_checkpoints_secs",
        "keep_checkpoint_max",
        "keep_checkpoint_every_n_hours",
        "log_step_count_steps",
        "num_threads",
        "save_summary_steps",
        "session_creation_timeout_secs",
    ],
)
def test_numbers_of_another_type_are_a_type_error(name):
    with pytest.raises(ArgumentTypeError, match=name):
        RunConfig(**{name: "a"})


def test_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError):
        RunConfig(save_everything=True)


@pytest.mark.parametrize("name", list(inspect.signature(RunConfig).parameters))
def test_none_is_always_allowed(name):
    assert getattr(RunConfig(**{name: None}), name) in (None, 600)


@pytest.mark.parametrize("name", list(inspect.signature(RunConfig).parameters))
def test_fields_cannot_be_assigned(name):
    with pytest.raises(AttributeError):
        setattr(RunConfig(), name, 1)


def test_model_dir_may_be_a_path():
    assert RunConfig(Path("a") / "b").model_dir == os.path.join("a", "b")


def test_model_dir_of_another_type_is_a_type_error():
    for value in (3, b"folder"):
        with pytest.raises(ArgumentTypeError, match="model_dir"):
            RunConfig(value)


configs = st.builds(
    RunConfig,
    model_dir=st.none() | st.text(min_size=1),
    tf_random_seed=st.none() | st.integers(),
    save_checkpoints_secs=st.none() | st.integers(0, 9) | st.floats(0, 1e9),
    keep_checkpoint_max=st.none() | st.integers(0, 9),
    keep_checkpoint_every_n_hours=st.floats(1e-9, 1e9) | st.floats(1, 10, width=32).map(np.float32),
    num_threads=st.none() | st.integers(1, 9),
)


@given(configs)
def test_repr_can_be_typed_back(config):
    assert eval(repr(config)) == config


@given(configs)
def test_config_survives_pickle_and_copy(config):
    assert pickle.loads(pickle.dumps(config)) == config == copy.deepcopy(config)


def test_configs_that_differ_are_not_equal():
    assert RunConfig() == RunConfig(save_checkpoints_secs=600)
    assert RunConfig() != RunConfig(num_threads=1)


def test_replace_leaves_the_original_alone():
    config = RunConfig("a")
    assert config.replace(model_dir="b") == RunConfig("b")
    assert config.model_dir == "a"


def test_replacing_steps_clears_secs_and_the_other_way_round():
    by_steps = RunConfig().replace(save_checkpoints_steps=3)
    assert (by_steps.save_checkpoints_steps, by_steps.save_checkpoints_secs) == (3, None)
    by_secs = by_steps.replace(save_checkpoints_secs=4)
    assert (by_secs.save_checkpoints_steps, by_secs.save_checkpoints_secs) == (None, 4)


def test_replacing_steps_by_none_leaves_secs():
    assert RunConfig().replace(save_checkpoints_steps=None).save_checkpoints_secs == 600


def test_replacing_both_is_refused():
    with pytest.raises(ArgumentError, match="only one of"):
        RunConfig().replace(save_checkpoints_steps=1, save_checkpoints_secs=1)


def test_replacing_an_unknown_field_lists_the_known():
    with pytest.raises(ArgumentError, match="Replacing task_id is not supported; known: model_dir, tf_random_seed"):
        RunConfig().replace(task_id=1)


# --- what means something inside TensorFlow only ----------------------------------------------------------


def warnings_of(caplog, make):
    with caplog.at_level(logging.WARNING, "macqueen"):
        found = make()
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found, messages


def test_fields_without_effect_are_named_in_one_warning(caplog):
    config, messages = warnings_of(caplog, lambda: RunConfig(**IDLE, save_summary_steps=3))
    assert {name: getattr(config, name) for name in IDLE} == IDLE
    assert messages == [f"RunConfig: without effect outside TensorFlow: {', '.join(IDLE)}"]


def test_defaults_and_fields_that_work_are_not_warned_of(caplog):
    arguments = {name: value for name, value in TENSORFLOW.items() if name != "save_checkpoints_steps"}
    assert warnings_of(caplog, lambda: RunConfig(**{**arguments, "model_dir": "a", "tf_random_seed": 3}))[1] == []


def test_copies_warn_of_what_they_change(caplog):
    config = RunConfig(protocol="grpc")
    caplog.clear()
    for make in (config.replace, lambda: config.replace(model_dir="a"), lambda: pickle.loads(pickle.dumps(config))):
        assert warnings_of(caplog, make)[1] == []
    assert len(warnings_of(caplog, lambda: config.replace(train_distribute="x"))[1]) == 1


# --- read-only --------------------------------------------------------------------------------------------


ALONE = {
    "task_type": "worker",
    "task_id": 0,
    "is_chief": True,
    "master": "",
    "evaluation_master": "",
    "num_ps_replicas": 0,
    "num_worker_replicas": 1,
    "global_id_in_cluster": 0,
    "service": None,
}


@pytest.mark.parametrize(("name", "value"), ALONE.items())
def test_properties_of_a_process_that_is_alone(name, value):
    assert getattr(RunConfig(), name) == value


def test_a_process_that_is_alone_has_no_cluster():
    assert not RunConfig().cluster_spec
    assert RunConfig().cluster_spec.as_dict() == {}


@pytest.mark.parametrize("name", [*ALONE, "cluster_spec"])
def test_properties_cannot_be_assigned(name):
    with pytest.raises(AttributeError):
        setattr(RunConfig(), name, 1)


def test_repr_shows_what_was_set():
    assert repr(RunConfig("a", save_checkpoints_steps=3)) == "RunConfig(model_dir='a', save_checkpoints_steps=3)"
