"""The pages keep their word: every Python example runs, every relative link leads to a file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
LINKED = [ROOT / "README.md", ROOT / "DESIGN.md", *PAGES]

FENCE = re.compile(r"^(```+|~~~+) *(\S*)[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+)[^`].*?\1", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*<?([^\s>]+)", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//", re.IGNORECASE)

# Each program in a namespace of its own; "line" lets a traceback name the line of the page.
RUNNER = """
import json, sys
for page, line, code in json.load(sys.stdin):
    exec(compile("\\n" * line + code, page, "exec"), {"__name__": "__main__"})
"""


def examples(text: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with the number of lines before it."""
    return [(text.count("\n", 0, match.start(3)), match[3]) for match in FENCE.finditer(text) if match[2] == "python"]


def run(page: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the examples of a page one after the other in `folder`."""
    programs = json.dumps([(page, line, code) for line, code in examples(text)])
    command = [sys.executable, "-c", RUNNER]
    return subprocess.run(command, input=programs, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def dead_links(text: str, folder: Path) -> list[str]:
    """The relative links of a page in `folder` that lead to no file."""
    prose = CODE.sub("", FENCE.sub("", text))
    targets = [one or other for one, other in LINK.findall(prose)]
    paths = [target.partition("#")[0] for target in targets if not ELSEWHERE.match(target)]
    return [path for path in paths if not (folder / path).exists()]


def test_there_are_pages_with_examples():
    assert sum(len(examples(page.read_text(encoding="utf-8"))) for page in PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path):
    done = run(page.name, page.read_text(encoding="utf-8"), tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    assert dead_links(page.read_text(encoding="utf-8"), page.parent) == []


def test_a_failing_example_is_noticed(tmp_path):
    """The test of the examples can fail, and names the line of the page."""
    text = "A page.\n\n```python\nx = 1\n```\n\n```text\nnot run\n```\n\n```python\nx += 1\n```\n"
    done = run("page.md", text, tmp_path)
    assert done.returncode != 0
    assert 'File "page.md", line 12' in done.stderr
    assert "NameError" in done.stderr


def test_a_dead_link_is_noticed(tmp_path):
    """The test of the links can fail; links elsewhere and code are no matter."""
    (tmp_path / "there.md").write_text("")
    text = "[a](there.md) [b](there.md#part) ![c](gone.png) [d](https://x.org/gone) [e](#part) `[f](code.md)`\n"
    assert dead_links(text + "```python\n[g](code.md)\n```\n[h]: gone.md\n", tmp_path) == ["gone.png", "gone.md"]
