"""For development: notices when a worker's code changes."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 0.5


class Code:
    """The Python files in this folder and below, as they were when this object was created."""

    def __init__(self) -> None:
        self._seen = _files()

    @property
    def changed(self) -> bool:
        """Whether the files have changed since."""
        return _files() != self._seen

    def wait_for_change(self) -> None:
        """Wait until they change."""
        while not self.changed:
            time.sleep(LOOK_SECONDS)

    def when_changed(self, do: Callable[[], None]) -> None:
        """Call a function in another thread when they change."""

        def watch() -> None:
            self.wait_for_change()
            do()

        threading.Thread(target=watch, name="watches the code", daemon=True).start()


def _files() -> dict[Path, int]:
    """When each file was changed, except in hidden folders and virtual environments."""
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
            with suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
    return found
