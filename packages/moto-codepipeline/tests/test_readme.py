"""The README's examples run as they are written, in a process of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
TESTS = [example for example in EXAMPLES if "def test_" in example]
PROGRAMS = [example for example in EXAMPLES if "def test_" not in example]


def run(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_first_is_a_workers_test_of_fifteen_lines() -> None:
    assert EXAMPLES[0] == TESTS[0]
    assert len(TESTS[0].splitlines()) <= 15


@pytest.mark.parametrize("example", TESTS, ids=range(len(TESTS)))
def test_a_test_passes(tmp_path: Path, example: str) -> None:
    (tmp_path / "test_example.py").write_text(example)
    said = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py")
    assert "1 passed" in said


@pytest.mark.slow
@pytest.mark.parametrize("example", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_runs(tmp_path: Path, example: str) -> None:
    (tmp_path / "example.py").write_text(example)
    run(tmp_path, "example.py")
