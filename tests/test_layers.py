"""Arrows point one way: faces -> drivers (the loop and its like) -> rooms -> native core; files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import macqueen

SOURCE = Path(__file__).resolve().parents[1] / "src" / "macqueen"

FACES = {"__init__", "estimator", "tf_estimator", "sklearn", "cli"}
DRIVERS = {
    "loop",
    "model",
    "planning",
    "reading",
    "runtime",
}  # they bring rooms together, each for itself
ROOMS = {"inputs", "engine", "workers", "checkpoint", "hooks", "summaries", "exports", "report", "feature_columns"}
COMMON = {"state", "config", "errors", "extras", "files", "threads", "_core"}  # what everybody may know
COMMON_MAY_KNOW = {
    "state": {"_core"},
    "config": {"errors", "threads", "_core"},
    "errors": set(),
    "extras": {"errors"},
    "files": set(),
    "threads": {"errors", "_core"},
}
ROOM_MAY_ALSO_KNOW = {"hooks": {"checkpoint", "summaries"}, "exports": {"feature_columns"}}
HEAVY = (
    "safetensors",
    "rich",
    "tensorboardX",
    "matplotlib",
    "sklearn",
    "pandas",
    "narwhals",
    "pyarrow",
    "polars",
    "tensorflow",
    "onnx",
    "onnxruntime",
    "libcst",
    "torch",
)
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def allowed(unit: str) -> set[str]:
    """Names in macqueen that a module or folder may import, itself included."""
    if unit in FACES:
        return FACES | DRIVERS | ROOMS | COMMON
    if unit in DRIVERS:
        return {unit} | ROOMS | COMMON
    if unit in COMMON_MAY_KNOW:
        return {unit} | COMMON_MAY_KNOW[unit]
    return {unit} | COMMON | ROOM_MAY_ALSO_KNOW.get(unit, set())


def is_package_name(name: str) -> bool:
    """Whether `from macqueen import name` brings in a module rather than one of its public names."""
    return name in FACES | DRIVERS | ROOMS | COMMON or (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()


def imported(tree: ast.AST, package: list[str]) -> Iterator[tuple[str, int]]:
    """Each module or folder of macqueen that a file imports, with the line; `package` is where the file lies."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = base + (node.module.split(".") if node.module else [])
            paths = [[*stem, alias.name] for alias in node.names]
        else:
            continue
        for path in paths:
            if path[0] != "macqueen":
                continue
            unit = path[1] if len(path) > 1 and is_package_name(path[1]) else "__init__"
            yield unit, node.lineno


def wrong_arrows(text: str, relative: Path) -> list[str]:
    """The imports of one file that point back, as sentences; `relative` is its path below macqueen/."""
    unit = relative.parts[0].removesuffix(".py")
    tree = ast.parse(text)
    return [
        f"{relative}:{line}: '{unit}' must not import '{target}'"
        for target, line in imported(tree, ["macqueen", *relative.parts[:-1]])
        if target not in allowed(unit)
    ]


def long_functions(tree: ast.AST) -> list[str]:
    """Functions over the limit; the lines of a docstring do not count."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_doc = ast.get_docstring(node, clean=False) is not None
            doc_lines = (first.end_lineno or first.lineno) - first.lineno + 1 if has_doc else 0
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - doc_lines
            if lines > MAX_FUNCTION_LINES:
                found.append(f"{node.name} (line {node.lineno}) has {lines} lines")
    return found


FILES = sorted(SOURCE.rglob("*.py"))


def test_there_are_files_to_look_at():
    assert len(FILES) > 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_arrow_points_back(path):
    assert wrong_arrows(path.read_text(encoding="utf-8"), path.relative_to(SOURCE)) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("from macqueen import loop", "engine/update.py"),
        ("import macqueen.estimator", "loop.py"),
        ("from macqueen.estimator import KMeans", "engine/update.py"),
        ("from macqueen import KMeans", "checkpoint.py"),
        ("import macqueen", "inputs/arrays.py"),
        ("from .. import engine", "inputs/arrays.py"),
        ("from ..workers import local", "engine/update.py"),
        ("from .checkpoint import save", "summaries.py"),
        ("def f():\n    from macqueen import hooks", "checkpoint.py"),
        ("from macqueen.engine import kernels", "config.py"),
        ("from macqueen.state import State", "errors.py"),
    ],
)
def test_a_wrong_arrow_is_noticed(text, where):
    """The test above can fail."""
    assert len(wrong_arrows(text, Path(where))) == 1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("from macqueen import _core, errors\nfrom macqueen.state import State", "engine/update.py"),
        ("from .metric import Metric\nfrom ..errors import DataError", "engine/update.py"),
        ("from macqueen import checkpoint, summaries", "hooks.py"),
        ("from macqueen import engine, inputs, workers", "loop.py"),
        ("from macqueen import loop, inputs\nfrom macqueen.estimator import KMeans", "sklearn.py"),
        ("import numpy as np", "engine/update.py"),
    ],
)
def test_a_right_arrow_passes(text, where):
    assert wrong_arrows(text, Path(where)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert long_functions(ast.parse(text)) == []


def test_a_long_function_is_noticed():
    body = "\n".join(f"    x = {i}" for i in range(MAX_FUNCTION_LINES))
    assert len(long_functions(ast.parse(f"def f():\n{body}"))) == 1


def test_public_names_are_sorted_and_there():
    assert list(macqueen.__all__) == sorted(macqueen.__all__)
    assert [name for name in macqueen.__all__ if not hasattr(macqueen, name)] == []


def test_import_brings_in_nothing_heavy():
    """Optional and slow modules are imported when they are first used."""
    code = f"import macqueen, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
