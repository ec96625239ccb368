"""Clients that do not fit into the tests' own environment, installed when they are first asked for.

Each has a folder here that says which version is meant. It is installed into that folder, under a
name that git ignores, and again if the version changes. Where that cannot be done, ``NotInstalled``
says why.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 300


class NotInstalled(Exception):
    """The client cannot be had here."""


def aws_cli() -> Path:
    """The folder of the AWS CLI's programs. It pins botocore, so it has an environment of its own."""
    return python_programs(HERE / "awscli" / "requirements.txt", HERE / "awscli" / ".venv")


def python_programs(requirements: Path, environment: Path) -> Path:
    """The folder of the programs of an environment that has what `requirements` says."""
    with _once(requirements, environment) as missing:
        if missing:
            # As for the tests' own environment: Debian's Python has no ensurepip, so pip is outside.
            python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
            _run(python, "-m", "venv", "--clear", "--without-pip", environment)
            pip = (python, "-m", "pip", "--python", environment / "bin" / "python")
            quietly = ("--quiet", "--disable-pip-version-check")
            _run(*pip, "install", *quietly, "-r", requirements)
    return environment / "bin"


def javascript() -> tuple[str, Path]:
    """Node, and the program that it runs."""
    node = shutil.which("node")
    if node is None:
        raise NotInstalled("there is no node")
    folder = HERE / "js"
    node_modules(folder)
    return node, folder / "calls.mjs"


def node_modules(folder: Path) -> Path:
    """What the package.json of a folder asks for, installed beside it."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("there is no npm")
    with _once(folder / "package.json", folder / "node_modules") as missing:
        if missing:
            shutil.rmtree(folder / "node_modules", ignore_errors=True)
            quietly = ("--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
            _run(npm, "install", *quietly, folder=folder)
    return folder / "node_modules"


@contextmanager
def _once(wanted: Path, installed: Path) -> Iterator[bool]:
    """Whether ``installed`` is missing, or is not what ``wanted`` says; then it is to be made.

    Another process that asks at the same time waits, and finds it made.
    """
    done = installed / "installed"
    with wanted.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not done.exists() or done.read_text() != wanted.read_text()
        yield missing
        if missing:
            done.write_text(wanted.read_text())


def _run(*command: str | Path, folder: Path = HERE) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=os.environ | {"PIP_NO_INPUT": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-1:]
        raise NotInstalled(f"{Path(command[0]).name}: {' '.join(last)}") from error
