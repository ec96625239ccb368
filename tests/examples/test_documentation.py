"""The documentation's Python, from the text itself: it runs, and it is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

from tests.support import ROOT

TEXTS = [ROOT / "README.md", ROOT / "packages/acknowledger-worker/README.md"]


def code_of(text: Path) -> str:
    """All of a page's Python, which goes on from block to block, and calls of its tests."""
    code = "\n\n".join(re.findall(r"```python\n(.*?)```", text.read_text(), re.DOTALL))
    return code + "".join(f"\n\n{test}()" for test in re.findall(r"^def (test_\w+)", code, re.M))


@pytest.fixture(params=TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def page(request, tmp_path) -> Path:
    path = tmp_path / "page.py"
    path.write_text(code_of(request.param))
    return path


def test_each_example_runs(page):
    subprocess.run([sys.executable, page], cwd=page.parent, check=True, timeout=60)


def test_each_example_is_typed(page):
    said, _, status = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(page)])
    assert status == 0, said


def test_there_are_examples():
    assert all("import run\n" in code_of(text) for text in TEXTS)
