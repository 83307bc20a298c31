"""Models of which exports are tested, and how far an export may be from them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from macqueen import KMeans

# metric, dtype, distance of the rows from the origin
CASES = {
    "near": ("squared_euclidean", np.float32, 0.0),
    "far": ("squared_euclidean", np.float32, 1e4),
    "far-float64": ("squared_euclidean", np.float64, 1e8),
    "cosine": ("cosine", np.float32, 0.0),
    "cosine-float64": ("cosine", np.float64, 3.0),
}
CLUSTERS, DIMS, ROWS = 100, 60, 10_000


def case(folder, metric, dtype, offset):
    """Return a trained model, and rows that are no near-ties: some of them near the centers, some not, one zero."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(2 * ROWS, DIMS)) * random.choice([0.1, 1.0, 30.0], size=(2 * ROWS, 1)) + offset
    rows = rows.astype(dtype)
    model = KMeans(CLUSTERS, folder, seed=5, distance_metric=metric, use_mini_batch=False).train(rows, steps=2)
    nearest = np.concatenate([model.nearest(part, 2)[1] for part in np.array_split(rows, 4)]).astype(np.float64)
    clear = rows[nearest[:, 1] - nearest[:, 0] > 1e-5 * nearest[:, 1]][: ROWS - 1]
    return model, np.concatenate([clear, np.zeros((1, DIMS), dtype)])


def differences(model, rows, labels, distances):
    """Return how many labels differ, and how many distances by more than 1e-5 of them and 1e-6 |x|²."""
    ours = np.array(list(model.transform(rows)), np.float64)
    squares = (rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
    apart = np.abs(distances - ours) > 1e-5 * ours + 1e-6 * squares
    return int((labels != model.labels(rows)).sum()), int(apart.sum())


# A program that serves what the lines of its input name: a file or folder, rows, and where to put labels and distances.
ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "macqueen":
            raise ImportError("macqueen is blocked")
sys.meta_path.insert(0, Refuse())
try:
    import macqueen
    sys.exit("macqueen can be imported")
except ImportError:
    pass
import resource, numpy as np
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB
{imports}
for line in sys.stdin:
    path, rows, out = line.split()
    rows = np.load(rows)
{serve}
    np.savez(out, labels=labels, distances=distances, grown=grown)
print("without", "macqueen" not in sys.modules)
"""


def check_served_alone(folder, export, imports, serve):
    """Hold what `export` writes, served by a process that cannot import macqueen, against the models of all cases.

    `serve` are the lines that make, of `path` and `rows`, `labels`, `distances` and `grown`, the MiB that it took.
    """
    cases = {name: case(folder / name, *arguments) for name, arguments in CASES.items()}
    lines = []
    for name, (model, rows) in cases.items():
        np.save(folder / f"{name}.npy", rows)
        lines.append(f"{export(model, folder / f'{name}-export')} {folder}/{name}.npy {folder}/{name}.npz\n")
    command = [sys.executable, "-I", "-c", ALONE.format(imports=imports, serve=serve)]
    done = subprocess.run(command, input="".join(lines), capture_output=True, text=True, check=False, cwd=folder)
    assert done.stdout.split() == ["without", "True"], done.stderr
    for name, (model, rows) in cases.items():
        found = np.load(folder / f"{name}.npz")
        assert len(rows) == ROWS
        assert differences(model, rows, found["labels"], found["distances"]) == (0, 0), name
        assert found["grown"] < 200, name  # MiB; rows x clusters x dims in float64 would be 480
