"""For authors: runs a worker's process anew whenever a Python file in this folder has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

LOOK_SECONDS = 0.5


def run_reloading(command: Sequence[str]) -> None:
    """Run a command until SIGTERM or SIGINT, and start it again after each change."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    while not stop.is_set():
        seen = _files()
        # Ctrl-C is for us, and we tell it.
        with subprocess.Popen(command, start_new_session=True) as process:  # noqa: S603
            while not stop.wait(LOOK_SECONDS) and _files() == seen:
                pass
            process.terminate()


def _files() -> dict[Path, int]:
    """When each Python file was changed; not of hidden folders and environments."""
    found = {}
    for folder, folders, files in os.walk("."):
        folders[:] = [
            each
            for each in folders
            if not each.startswith((".", "__"))
            and each != "node_modules"
            and not Path(folder, each, "pyvenv.cfg").exists()
        ]
        for path in (Path(folder, each) for each in files if each.endswith(".py")):
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
    return found
