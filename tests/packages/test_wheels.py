"""Each package as its wheel has it: where there is nothing else, its examples and the tutorial's worker run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

TUTORIAL = (ROOT / "docs" / "tutorial-laptop.md").read_text()
PACKAGES = {"moto-codepipeline": "[server]", "acknowledger-worker": ""}

pytestmark = pytest.mark.slow


def run(*command: str | Path, folder: Path) -> str:
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=400, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_the_readmes_examples_run_where_only_the_wheel_is_installed(tmp_path, package):
    folder = ROOT / "packages" / package
    # pip from outside the environments: Debian's Python has no ensurepip to put one in.
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, folder, folder=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    run(python, "-m", "venv", "--without-pip", "empty", folder=tmp_path)
    alone = tmp_path / "empty" / "bin" / "python"
    extra = PACKAGES[package]
    run(*pip, "--python", alone, "install", f"{wheel}{extra}", "pytest", folder=tmp_path)

    readme = (folder / "README.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert examples
    for number, example in enumerate(examples):
        name = f"test_{number}.py"
        (tmp_path / name).write_text(example)
        if "def test_" in example:
            pytest_ = (alone, "-m", "pytest", "-q", "-p", "no:cacheprovider")
            assert "1 passed" in run(*pytest_, name, folder=tmp_path)
        else:
            run(alone, "-W", "error", name, folder=tmp_path)
    if package == "acknowledger-worker":
        tutorial = re.findall(r"^```python\n(.*?)^```", TUTORIAL, re.DOTALL | re.MULTILINE)
        assert "run(count_lines" in tutorial[-1]
        (tmp_path / "tutorial.py").write_text("\n".join(tutorial))
        run(alone, "-W", "error", "tutorial.py", folder=tmp_path)
    module = package.replace("-", "_")
    code = f"import {module}, pathlib; print(*pathlib.Path({module}.__file__).parent.iterdir())"
    assert "py.typed" in run(alone, "-c", code, folder=tmp_path)
