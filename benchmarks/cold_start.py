"""How long a new process takes to be ready for its first event, compared with boto3 alone.

This is the processor time of the process, which depends little on what else the machine does.
"""

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
import botocore

from benchmarks.endpoint import printed
from benchmarks.figures import Figure

ROOT = Path(__file__).parent.parent
RUNTIME = "python3.13"
ROUNDS = 11
FUNCTIONS = {
    "acknowledge": ("Acknowledge", ("codepipeline", "dynamodb", "stepfunctions"), 1.0),
    "intake": ("Intake", ("codepipeline", "dynamodb", "stepfunctions"), 1.05),
    "report": ("Report", ("codepipeline", "dynamodb", "events"), 1.05),
    "stop": ("Stop", ("dynamodb", "stepfunctions"), 1.05),
}
READY = "import time; print(time.process_time(), flush=True); import os; os._exit(0)"
UNCOMPILED = {"PYTHONDONTWRITEBYTECODE": "1"}
# boto3 and its dependencies, as in Lambda's Python.
SDK = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")


def measure() -> list[Figure]:
    """The cold start of each function, and the size of its package."""
    python = runtime()
    with TemporaryDirectory() as name:
        folder = Path(name)
        package(folder / "built")
        archive = Path(shutil.make_archive(str(folder / "package"), "zip", folder / "built"))
        size = archive.stat().st_size / 2**20
        shutil.unpack_archive(archive, folder / "task")
        # As sam deploy packages them.
        for path in (folder / "task").rglob("*"):
            os.utime(path, (315532800, 315532800))
        sdk(folder / "sdk")
        starts = {function: f"import {function}; {READY}" for function in FUNCTIONS}
        bare = {
            function: f"import boto3\nfor name in {services}: boto3.client(name)\n{READY}"
            for function, (_, services, _) in FUNCTIONS.items()
        }
        times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in FUNCTIONS}
        # The first round warms up, and lets the SDK be compiled.
        for counted in [False] + [True] * ROUNDS:
            for function, (ours, theirs) in times.items():
                compiles = UNCOMPILED if counted else {}
                sdk_path = str(folder / "sdk")
                paths = f"{folder / 'task'}{os.pathsep}{sdk_path}"
                [bare_seconds] = printed(python, bare[function], PYTHONPATH=sdk_path, **compiles)
                [seconds] = printed(python, starts[function], PYTHONPATH=paths, **UNCOMPILED)
                if counted:
                    theirs.append(bare_seconds * 1000)
                    ours.append(seconds * 1000)
    figures = []
    for function, (ours, theirs) in times.items():
        title, services, most = FUNCTIONS[function]
        figures.append(
            Figure.ratio(
                f"{title}'s cold start, as packaged",
                ours,
                theirs,
                f"({statistics.median(ours):.0f} ms of processor time)",
                reference=f"`import boto3` and clients of {', '.join(services)}: "
                f"{statistics.median(theirs):.0f} ms",
                at_most=most,
                tolerance=0.15,
            )
        )
    return [
        *figures,
        Figure("Package of each function, zipped", size, "MiB", at_most=3, tolerance=0.1),
    ]


def runtime() -> str:
    """Lambda's Python version if it is installed, else the current Python."""
    pyenvs = sorted(Path.home().glob(".pyenv/versions/3.13*/bin/python3.13"))
    for name in (RUNTIME, *map(str, pyenvs)):
        command = [name, "-c", "import sys; print(sys.executable)"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return done.stdout.strip()
    sys.stderr.write(
        f"{RUNTIME} is not installed: cold starts are those of {sys.executable}, not compiled\n"
    )
    return sys.executable


def package(folder: Path) -> None:
    """Package a function as sam build does."""
    folder.mkdir()
    path = f"{os.environ['PATH']}{os.pathsep}{Path(runtime()).parent}"
    command = ["make", "--silent", "--directory", "functions", "build-AcknowledgeFunction"]
    environment = os.environ | {"ARTIFACTS_DIR": str(folder), "PATH": path}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def sdk(folder: Path) -> None:
    """Copy boto3 and its dependencies, and nothing else; the copy gets compiled."""
    folder.mkdir()
    here = Path(boto3.__file__).parent.parent
    data = Path(botocore.__file__).parent / "data"
    for name in SDK:
        if (here / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "data" if name == "botocore" else "-")
            shutil.copytree(here / name, folder / name, ignore=ignored)
        else:
            shutil.copy(here / name, folder)
    (folder / "botocore" / "data").symlink_to(data)
