"""Clients that do not fit into the tests' own environment, installed at their first use.

Each has a folder here with a locked file. It is installed into that folder, under a name that git
ignores, and again if the locked file changes. If that fails, ``NotInstalled`` says why.
"""

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
    """The client can't be installed here."""


def aws_cli() -> Path:
    """The folder of the AWS CLI's programs. It pins many versions, so it has its own environment."""
    return python_programs(HERE / "awscli" / "requirements.txt", HERE / "awscli" / ".venv")


def python_programs(requirements: Path, environment: Path) -> Path:
    """The folder of the programs in an environment with the packages in `requirements`."""
    with _once(requirements, environment) as missing:
        if missing:
            # As in the tests' own environment: Debian's Python has no ensurepip, so pip is outside.
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
    """The packages in a folder's package-lock.json, installed next to it."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("there is no npm")
    with _once(folder / "package-lock.json", folder / "node_modules") as missing:
        if missing:
            _run(npm, "ci", "--no-audit", "--no-fund", "--loglevel=error", folder=folder)
    return folder / "node_modules"


@contextmanager
def _once(wanted: Path, installed: Path) -> Iterator[bool]:
    """Whether ``installed`` is missing or differs from ``wanted``; the caller then installs it.

    Another process that enters at the same time waits, and finds it installed.
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
