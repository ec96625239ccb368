"""Runs moto's own tests of the services that the local stack replaces, with the replacements.

They come from the source distribution of the installed version of moto, and are deleted afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from local.aws import isolation

HERE = Path(__file__).parent
TESTS = (
    *("awslambda", "cloudformation", "cloudwatch", "dynamodb", "events", "logs", "sqs"),
    *("stepfunctions", "iam/test_iam_cloudformation.py", "s3/test_s3_cloudformation.py"),
)
#: Packages that only these tests need.
NEEDED = ("freezegun",)


def pip(*arguments: str) -> None:
    # pip from outside the environment, which has none.
    command = ["python3", "-m", "pip", *arguments, "--quiet", "--no-deps"]
    subprocess.run([*command, "--disable-pip-version-check"], check=True)


def main(folder: Path) -> int:
    """Run the tests in a folder; pytest's exit status."""
    pip("download", f"moto=={version('moto')}", "--no-binary=moto", f"--dest={folder}")
    pip("install", *NEEDED, f"--target={folder / 'needed'}")
    [archive] = folder.glob("moto-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    [source] = (path for path in folder.glob("moto-*") if path.is_dir())
    (source / "moto").rename(folder / "unused")  # so that the installed one is tested
    paths = [HERE, HERE.parent.parent, folder / "needed"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--quiet", "--color=no", "--tb=short"),
            *("-p", "with_replacements", "-m", "not requires_docker and not network"),
            *("-n", os.environ.get("WORKERS", "2"), "--dist=loadfile"),
            *(f"tests/test_{name}" for name in TESTS),
            *sys.argv[1:],
        ],
        cwd=source,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        check=False,
    )
    return done.returncode


if __name__ == "__main__":
    isolation.isolate(region=False)
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
