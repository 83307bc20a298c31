"""The README's blocks and the examples run as they stand, each in a process and a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
QUIET = [f"{number}.py" for number in ("02_stream", "03_resume", "04_columns")]  # those that need NumPy alone


def run(folder: Path, *command: str) -> str:
    """Run Python in `folder` and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_blocks_to_run():
    assert len(BLOCKS) >= 2


def test_a_failing_block_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(tmp_path, "-c", "1 / 0")


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_readme_block_runs(number, tmp_path):
    run(tmp_path, "-c", BLOCKS[number])


@pytest.mark.parametrize("name", QUIET)
def test_example_runs(name, tmp_path):
    assert run(tmp_path, str(ROOT / "examples" / name))


def test_each_example_is_tested():
    assert sorted(path.name for path in (ROOT / "examples").glob("*.py")) == ["01_cities.py", *QUIET]


def test_demo_prints_a_table_and_writes_model_and_picture(tmp_path):
    command = [str(ROOT / "examples" / "01_cities.py"), "--rows", "3000", "--steps", "3", "--output", "out"]
    printed = run(tmp_path, *command)
    assert "Shanghai" in printed
    assert "3 steps" in printed
    assert (tmp_path / "out" / "cities.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "model" / "model.ckpt-3.safetensors").is_file()
    assert "6 steps" in run(tmp_path, *command)  # goes on from its model directory
