"""A line in the terminal that says how far something is, below the lines that stay."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

COLOURS = {"InProgress": 34, "Succeeded": 32, "Failed": 31, "TimedOut": 33}
CLEAR = "\r\x1b[K"


class Progress:
    """Prints lines, and where a person watches in a terminal one more that changes.

    Elsewhere there are only the lines, without colours. NO_COLOR keeps the colours away, TERM=dumb
    the changing line as well.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._lives = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self._lives and not os.environ.get("NO_COLOR")
        self._shown = ""

    def line(self, text: str, status: str = "") -> None:
        """Print a line that stays, in the colour of a job's status."""
        self._clear()
        colour = COLOURS.get(status)
        if self._colours and colour:
            text = f"\x1b[{colour}m{text}\x1b[0m"
        print(text, file=self._out, flush=True)

    def show(self, text: str) -> None:
        """Let the changing line say something else."""
        text = text[: shutil.get_terminal_size().columns - 1]
        if self._lives and text != self._shown:
            self._out.write(CLEAR + text)
            self._out.flush()
            self._shown = text

    def end(self) -> None:
        """Take the changing line away."""
        self._clear()

    def _clear(self) -> None:
        if self._shown:
            self._out.write(CLEAR)
            self._out.flush()
            self._shown = ""
