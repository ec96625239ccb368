"""Runs moto's own tests of the services that the local stack replaces, with the replacements.

They come from moto's source distribution, with the version and the hash in requirements/local.txt, and
are deleted afterwards.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from local.aws import isolation

HERE = Path(__file__).parent
TESTS = (
    *("awslambda", "cloudformation", "cloudwatch", "dynamodb", "events", "logs", "sqs"),
    *("stepfunctions", "iam/test_iam_cloudformation.py", "s3/test_s3_cloudformation.py"),
)


def download(folder: Path) -> Path:
    """Download moto's source distribution into a folder."""
    locked = (HERE.parent.parent / "requirements" / "local.txt").read_text()
    [entry] = re.findall(r"^moto==(?:.*\\\n)+.*\n", locked, re.MULTILINE)
    (folder / "moto.txt").write_text(entry)
    # pip from outside the environment, which has none.
    pip = ["python3", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--require-hashes", "--no-binary=moto", f"--dest={folder}"]
    subprocess.run([*pip, "download", *options, "-r", folder / "moto.txt"], check=True)
    [archive] = folder.glob("moto-*.tar.gz")
    return archive


def main(folder: Path) -> int:
    """Run the tests in a folder; return pytest's exit status."""
    with tarfile.open(download(folder)) as opened:
        opened.extractall(folder, filter="data")
    [source] = (path for path in folder.glob("moto-*") if path.is_dir())
    (source / "moto").rename(folder / "unused")  # so that the installed one is tested
    paths = [HERE, HERE.parent.parent]
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
