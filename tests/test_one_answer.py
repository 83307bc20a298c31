"""One answer: equal bits for any threads, instruction set, blocks, splits and interruptions."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from macqueen import KMeans, RunConfig, checkpoint, runtime_info
from macqueen.workers import local

ISAS = runtime_info()["available_isas"]
METRICS = ["squared_euclidean", "cosine"]
MODES = {
    "full": {"use_mini_batch": False},
    "mini1": {"use_mini_batch": True, "mini_batch_steps_per_iteration": 1},
    "mini3": {"use_mini_batch": True, "mini_batch_steps_per_iteration": 3},
}
INITS = ["random", "kmeans_plus_plus"]
ROWS, DIMS, CLUSTERS = 12000, 7, 13


def clouds():
    """Clustered rows of which some are duplicates and one is zero."""
    rng = np.random.default_rng(11)
    rows = rng.normal(size=(ROWS, DIMS)) + 6 * rng.normal(size=(20, DIMS))[rng.integers(20, size=ROWS)]
    rows[100:200] = rows[:100]
    rows[300] = 0
    return rows.astype(np.float32)


def far():
    """Float64 rows far from the origin, where plain sums and expanded distances lose everything."""
    return np.random.default_rng(12).normal(size=(ROWS, DIMS)) + 1e6


def grid():
    """Small integers: every row has ties."""
    return np.random.default_rng(13).integers(0, 4, size=(ROWS, DIMS)).astype(np.float32)


DATA = {"clouds": clouds, "far": far, "grid": grid}
CASES = [
    "clouds squared_euclidean full random",
    "clouds squared_euclidean full kmeans_plus_plus",
    "clouds cosine full kmeans_plus_plus",
    "clouds cosine full random",
    "clouds cosine full kmeans_parallel",
    "far squared_euclidean mini1 kmeans_parallel",
    "clouds squared_euclidean mini1 random",
    "clouds cosine mini3 kmeans_plus_plus",
    "far squared_euclidean full random",
    "far cosine mini1 random",
    "grid squared_euclidean full kmeans_plus_plus",
    "grid squared_euclidean mini3 random",
]


def new_model(folder, metric, mode, init, threads=None):
    return KMeans(
        CLUSTERS,
        folder,
        initial_clusters=init,
        distance_metric=metric,
        seed=7,
        config=RunConfig(save_checkpoints_steps=1, keep_checkpoint_max=None, num_threads=threads),
        batch_size=5000,
        **MODES[mode],
    )


def digest(array):
    array = np.ascontiguousarray(array)
    return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"


def losses(model):
    """The loss of every step or iteration, in hexadecimal: no bit is rounded away."""
    states = []
    for path in Path(model.model_dir).glob("model.ckpt-*.safetensors"):
        states.append(checkpoint.restore(path)[0])
    states.sort(key=lambda state: state.step)
    return [(state.step, (state.loss or 0.0).hex(), state.pending_loss.hex()) for state in states]


def answer(model, rows):
    """Everything that must be one: centers, labels, losses, all_distances, the cost."""
    batches = model.predict(rows, predict_keys="all_distances", yield_single_examples=False)
    return {
        "centers": digest(model.cluster_centers()),
        "labels": digest(model.labels(rows)),
        "losses": losses(model),
        "all_distances": digest(np.concatenate([batch["all_distances"] for batch in batches])),
        "cost": float(model.evaluate(rows)["loss"]).hex(),
    }


def answers_of(folder, threads=None, steps=4):
    """Train every case; returns what came of each."""
    found = {}
    for case in CASES:
        data, metric, mode, init = case.split()
        rows = DATA[data]()
        model = new_model(Path(folder) / case.replace(" ", "_"), metric, mode, init, threads)
        model.train(rows, steps=steps)
        found[case] = answer(model, rows)
    return json.loads(json.dumps(found))  # as a subprocess tells it


def in_new_process(*arguments, **environment):
    """Run this file as a program and return what it says."""
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the answers of one thread, the best instruction set, whole blocks."""
    return answers_of(tmp_path_factory.mktemp("expected"), threads=1)


def test_the_cases_differ_from_each_other(expected):
    assert len({one["centers"] for one in expected.values()}) == len(CASES)


def test_the_losses_are_those_of_every_step(expected):
    assert all([step for step, *_ in one["losses"]] == [0, 1, 2, 3, 4] for one in expected.values())
    assert all(len({tuple(loss) for _, *loss in one["losses"]}) == 5 for one in expected.values())


# --- threads ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[2, 3])
def threaded(request, tmp_path_factory):
    """Return the answers of a process with so many threads, counted before and after."""
    return request.param, in_new_process("threads", tmp_path_factory.mktemp("threads"), request.param)


def test_threads_really_ran(threaded):
    """The process has that many more threads than before, less the one that calls."""
    count, told = threaded
    assert told["threads_started"] == count - 1


@pytest.mark.parametrize("case", CASES)
def test_any_number_of_threads(threaded, expected, case):
    assert threaded[1]["answers"][case] == expected[case]


# --- instruction sets -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=ISAS)
def forced(request, tmp_path_factory):
    """Return the answers under a forced instruction set."""
    told = in_new_process("answers", tmp_path_factory.mktemp(request.param), MACQUEEN_FORCE_ISA=request.param)
    assert told["isa"] == request.param
    return told


def test_there_are_instruction_sets_to_compare():
    assert len(ISAS) > 1
    assert "scalar" in ISAS


def test_the_forced_instruction_set_is_told(forced):
    assert forced["isa"] in ISAS


@pytest.mark.parametrize("case", CASES)
def test_any_instruction_set(forced, expected, case):
    assert forced["answers"][case] == expected[case]


# --- blocks -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1 << 12, 100_000])
def in_blocks(request, tmp_path_factory):
    """Return the answers with blocks of so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        assert local.block_rows(DIMS, CLUSTERS, 4) >= ROWS
        patch.setattr(local, "BLOCK_BYTES", request.param)
        assert local.block_rows(DIMS, CLUSTERS, 4) < 5000
        return answers_of(tmp_path_factory.mktemp("blocks"))


@pytest.mark.parametrize("case", CASES)
def test_any_block_size(in_blocks, expected, case):
    assert in_blocks[case] == expected[case]


# --- splits -----------------------------------------------------------------------------------------------

SPLITS = {
    "halves": [ROWS // 2],
    "one row first": [1],
    "one row last": [ROWS - 1],
    "many": list(range(97, ROWS, 97)),
    "uneven": [3, 4, 1000, 1001, 11000],
}


@pytest.fixture(scope="module", params=SPLITS)
def in_lists(request, tmp_path_factory):
    """Return the answers of full-batch cases whose rows are a list of batches."""
    found = {}
    for case in CASES:
        data, metric, mode, init = case.split()
        if mode != "full":
            continue
        batches = np.split(DATA[data](), SPLITS[request.param])
        assert len(batches) > 1
        model = new_model(tmp_path_factory.mktemp("split"), metric, mode, init).train(batches, steps=4)
        found[case] = json.loads(json.dumps(answer(model, batches)))
    return found


@pytest.mark.parametrize("case", [case for case in CASES if " full " in case])
def test_any_split_of_a_data_set(in_lists, expected, case):
    assert in_lists[case] == expected[case]


@pytest.mark.parametrize("memory", ["fortran", "memory map", "float64 list of rows"])
def test_any_home_of_the_rows(expected, tmp_path, memory):
    case = CASES[0]
    rows = clouds()
    if memory == "fortran":
        rows = np.asfortranarray(rows)
        assert not rows.flags.c_contiguous
    elif memory == "memory map":
        np.save(tmp_path / "rows.npy", rows)
        rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
        assert isinstance(rows, np.memmap)
    else:
        rows = [rows[:5000], rows[5000:].T.copy().T]
    model = new_model(tmp_path / "model", "squared_euclidean", "full", "random").train(rows, steps=4)
    assert json.loads(json.dumps(answer(model, rows))) == expected[case]


# --- interruptions ----------------------------------------------------------------------------------------

RESUMES = [" ".join(parts) for parts in itertools.product(["array", "batches", "stream"], METRICS, MODES, INITS)]


def noise():
    """Rows without clusters, which take many steps to settle."""
    return np.random.default_rng(14).normal(size=(2000, 5)).astype(np.float32)


def batches_from(first):
    """A stream that never ends, from batch number `first` on."""
    rows = noise()
    return (rows[(number * 150) % 1800 : (number * 150) % 1800 + 150 + number] for number in itertools.count(first))


def go_on(folder, first, last):
    """Train every case of `RESUMES` from step `first` to step `last`, where it left off."""
    for case in RESUMES:
        kind, metric, mode, init = case.split()
        folder_of_case = Path(folder) / case.replace(" ", "_")
        model = KMeans(12, folder_of_case, init, metric, seed=3, batch_size=300, **MODES[mode])
        rows = noise()
        inputs = {"array": rows, "batches": np.array_split(rows, 7), "stream": batches_from(first)}
        assert (model.latest_checkpoint() is None) == (first == 0)
        model.train(inputs[kind], steps=last - first)
        assert model.get_variable_value("global_step") == last


def tensors_of(folder, case):
    path = checkpoint.latest(str(Path(folder) / case.replace(" ", "_")))
    return {name: digest(value) for name, value in checkpoint.variables(path).items()}


def state_of(folder, case):
    state = checkpoint.restore(checkpoint.latest(str(Path(folder) / case.replace(" ", "_"))))[0]
    return state.seed, state.loss, state.pending_loss, state.stalled, state.position


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Return folders of models trained in one go, and in two processes."""
    whole, cut = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("cut")
    first = in_new_process("go_on", cut, 0, 10)
    middle = {case: tensors_of(cut, case) for case in RESUMES}
    second = in_new_process("go_on", cut, 10, 20)
    assert len({first["pid"], second["pid"], os.getpid()}) == 3
    go_on(whole, 0, 20)
    return whole, cut, middle


@pytest.mark.parametrize("case", RESUMES)
def test_20_steps_are_10_and_10_in_a_new_process(interrupted, case):
    whole, cut, middle = interrupted
    assert middle[case]["clusters"] != tensors_of(whole, case)["clusters"]
    assert tensors_of(cut, case) == tensors_of(whole, case)


@pytest.mark.parametrize("case", RESUMES)
def test_what_is_not_an_array_goes_on_too(interrupted, case):
    """Seed, loss before, loss under way, patience and the position in the input."""
    whole, cut, _ = interrupted
    assert state_of(whole, case)[1] is not None
    assert state_of(cut, case) == state_of(whole, case)


def test_the_seed_matters():
    """Another seed, another answer: the equalities above are not those of a constant."""
    rows = noise()[:500]
    centers = []
    for seed in (1, 2):
        model = KMeans(5, seed=seed, use_mini_batch=False, config=RunConfig(save_checkpoints_steps=None))
        centers.append(digest(model.train(rows, steps=1).cluster_centers()))
    assert centers[0] != centers[1]


def test_training_settles_at_the_same_step_however_often_it_is_resumed(tmp_path):
    """To the end in one call, or stopped after 3 steps by a new object that is not told."""
    rows = noise()[:600]
    ends = []
    for name, first in (("whole", None), ("cut", 3)):
        if first:
            KMeans(5, tmp_path / name, seed=1, use_mini_batch=False).train(rows, steps=first)
        model = KMeans(5, tmp_path / name, seed=1, use_mini_batch=False).train(rows)
        ends.append((int(model.get_variable_value("global_step")), digest(model.cluster_centers())))
    assert ends[0][0] > 3
    assert ends[0] == ends[1]


def count_threads():
    return len(os.listdir("/proc/self/task"))


def main(what, folder, *numbers):
    """Be the other process."""
    told = {"pid": os.getpid(), "isa": runtime_info()["isa"]}
    if what == "go_on":
        go_on(folder, *map(int, numbers))
    else:
        before = count_threads()
        told["answers"] = answers_of(folder, *map(int, numbers))
        told["threads_started"] = count_threads() - before
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
