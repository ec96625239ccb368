"""The documentation's Python examples, from the pages themselves: they are typed, and they run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

from tests.support import ROOT

UNTYPED = ("--allow-untyped-defs", "--allow-untyped-calls", "--check-untyped-defs")
PAGES = [
    ROOT / name
    for name in ("README.md", "docs/tutorial-laptop.md", "packages/acknowledger-worker/README.md")
]


def code_of(page: Path) -> str:
    """A page's Python blocks as one program."""
    code = "\n\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    assert "import run\n" in code
    return code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_example_is_typed(page, tmp_path):
    (tmp_path / "page.py").write_text(code_of(page))
    strictly = ("--config-file", str(ROOT / "pyproject.toml"))
    said, _, status = api.run([*strictly, str(tmp_path / "page.py")])
    assert status == 0, said


LOCAL = ROOT / "packages/moto-codepipeline"
# docs/behaviour.md has only fragments.
LOCAL_PAGES = [LOCAL / "README.md", LOCAL / "docs/testing.md", LOCAL / "docs/peers.md"]


@pytest.mark.slow
@pytest.mark.parametrize("page", LOCAL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_example_of_the_local_codepipeline_is_typed(page, tmp_path):
    """Each is a separate file, which its package's tests run; tests are seldom typed."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"example_{number}.py").write_text(block)
    strictly = ("--config-file", str(ROOT / "pyproject.toml"))
    said, _, status = api.run([*strictly, *UNTYPED, *map(str, tmp_path.glob("*.py"))])
    assert status == 0, said


@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: str(page.relative_to(ROOT)))
def test_each_example_runs(page, tmp_path):
    """The package's tests run those of its own page."""
    (tmp_path / "page.py").write_text(code_of(page))
    subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, timeout=60)
