"""A progress line in the terminal, below the lines that stay."""

import os
import shutil
import sys
from typing import TextIO

COLOURS = {"InProgress": 34, "Succeeded": 32, "Failed": 31, "TimedOut": 33}
CLEAR = "\r\x1b[K"


class Progress:
    """Prints lines and, in a terminal, a progress line below them.

    Outside a terminal, or with TERM=dumb, it prints only the lines, without colors. NO_COLOR turns
    off the colors.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._lives = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self._lives and not os.environ.get("NO_COLOR")
        self._shown = ""

    def line(self, text: str, status: str = "") -> None:
        """Print a line that stays, in the color of a job's status."""
        self._clear()
        colour = COLOURS.get(status)
        if self._colours and colour:
            text = f"\x1b[{colour}m{text}\x1b[0m"
        print(text, file=self._out, flush=True)

    def show(self, text: str) -> None:
        """Change the progress line."""
        text = text[: shutil.get_terminal_size().columns - 1]
        if self._lives and text != self._shown:
            self._out.write(CLEAR + text)
            self._out.flush()
            self._shown = text

    def end(self) -> None:
        """Remove the progress line."""
        self._clear()

    def _clear(self) -> None:
        if self._shown:
            self._out.write(CLEAR)
            self._out.flush()
            self._shown = ""
