"""kill -9 at any moment, any number of times: resumed until done, a run ends with the bits of an undisturbed one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from macqueen import KMeans, RunConfig, checkpoint

STEPS, KILLS = 80, 6
MODES = {
    "full batch": {"use_mini_batch": False, "relative_tolerance": -1.0},
    "mini batch": {"use_mini_batch": True, "mini_batch_steps_per_iteration": 3},
}


def train(folder, mode, last_step=STEPS):
    """Train to `last_step`, from wherever the folder says."""
    rows = np.random.default_rng(2).normal(size=(6000, 6)).astype(np.float32)
    config = RunConfig(save_checkpoints_steps=1, keep_checkpoint_max=3, num_threads=1)
    model = KMeans(20, folder, "kmeans_plus_plus", seed=4, config=config, batch_size=500, **MODES[mode])
    model.train(rows, max_steps=last_step)
    return model


def step_of(folder):
    path = checkpoint.latest(str(folder))
    return None if path is None else checkpoint.restore(path)[0].step


def killed_after(folder, mode, first_step, delay):
    """Start a run, kill it `delay` seconds after it has come beyond `first_step`; return the step it came to."""
    run = subprocess.Popen([sys.executable, __file__, str(folder), mode], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < deadline and newest_name(folder) <= first_step:
        time.sleep(0.001)
    time.sleep(delay)
    run.kill()
    _, errors = run.communicate()
    assert run.returncode in {-signal.SIGKILL, 0}, errors.decode()
    return step_of(folder)


def newest_name(folder):
    """The newest step by the names in the folder, so that watching does not disturb."""
    steps = [int(path.name.split("-")[1].split(".")[0]) for path in Path(folder).glob("model.ckpt-*.safetensors")]
    return max(steps, default=-1)


@pytest.fixture(scope="module", params=MODES)
def survivor(request, tmp_path_factory):
    """Return an undisturbed model, one that was killed again and again, and the steps of the kills."""
    mode = request.param
    undisturbed = train(tmp_path_factory.mktemp("undisturbed"), mode)
    folder = tmp_path_factory.mktemp("killed")
    moments = random.Random(mode)
    steps = []
    for _ in range(KILLS):
        steps.append(killed_after(folder, mode, newest_name(folder), moments.uniform(0, 0.02)))
    return undisturbed, train(folder, mode), steps


def test_kills_fell_between_the_first_checkpoint_and_the_end(survivor):
    assert sum(step is not None and 0 < step < STEPS for step in survivor[2]) >= KILLS // 2


def test_no_kill_costs_a_checkpoint(survivor):
    steps = [-1 if step is None else step for step in survivor[2]]
    assert steps == sorted(steps)


def test_a_killed_run_ends_with_the_variables_of_an_undisturbed_one(survivor):
    undisturbed, killed, _ = survivor
    assert undisturbed.model_dir != killed.model_dir
    names = undisturbed.get_variable_names()
    assert killed.get_variable_names() == names
    for name in names:
        assert killed.get_variable_value(name).tobytes() == undisturbed.get_variable_value(name).tobytes()


def test_a_killed_run_ends_at_the_last_step(survivor):
    assert survivor[1].get_variable_value("global_step") == STEPS


def test_a_killed_run_ends_with_the_loss_of_an_undisturbed_one(survivor):
    states = [checkpoint.restore(model.latest_checkpoint())[0] for model in survivor[:2]]
    assert states[0].loss == states[1].loss is not None
    assert states[0].pending_loss == states[1].pending_loss


def test_a_killed_run_keeps_as_many_checkpoints_as_asked(survivor):
    kept = {path.name for path in Path(survivor[1].model_dir).glob("model.ckpt-*.safetensors")}
    assert kept == {f"model.ckpt-{step}.safetensors" for step in range(STEPS - 2, STEPS + 1)}


def test_a_kill_during_a_save_leaves_the_previous_checkpoint(tmp_path):
    """What a kill in the middle of a write leaves, an unfinished temporary file, is not looked at."""
    model = train(tmp_path, "mini batch", last_step=4)
    whole = Path(model.latest_checkpoint() + ".safetensors").read_bytes()
    (tmp_path / ".model.ckpt-5.safetensors.tmp-1-00000000").write_bytes(whole[: len(whole) // 2])
    assert step_of(tmp_path) == 4


def test_a_checkpoint_that_a_kill_left_unlisted_is_pruned_in_its_turn(tmp_path):
    """A kill between writing a checkpoint and listing it, as the list of the step before says."""
    train(tmp_path, "full batch", last_step=4)
    listed = (tmp_path / "checkpoint").read_bytes()
    train(tmp_path, "full batch", last_step=5)
    (tmp_path / "checkpoint").write_bytes(listed)
    train(tmp_path, "full batch", last_step=12)
    assert not (tmp_path / "model.ckpt-5.safetensors").exists()


if __name__ == "__main__":
    train(*sys.argv[1:])
