"""The progress line in the terminal."""

import io

import pytest

from local.progress import CLEAR, Progress

GREEN, RESET = "\x1b[32m", "\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LINES = [f"{CLEAR}1 of 2", f"{CLEAR}{GREEN}a job{RESET}\n", f"{CLEAR}2 of 2, and words t", CLEAR]
COLORED = "".join(LINES)
PLAIN = "a job\n"


@pytest.mark.parametrize(
    ("out", "variables", "written"),
    [
        (Terminal, {}, COLORED),
        (io.StringIO, {}, PLAIN),
        (Terminal, {"NO_COLOR": "1"}, COLORED.replace(GREEN, "").replace(RESET, "")),
        (Terminal, {"TERM": "dumb"}, PLAIN),
    ],
    ids=["a terminal", "no terminal", "no color", "a dumb terminal"],
)
def test_a_terminal_has_a_progress_line_below_the_lines_that_stay(
    out, variables, written, monkeypatch
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"COLUMNS": "20", "TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    terminal = out()
    progress = Progress(terminal)
    progress.show("1 of 2")
    progress.show("1 of 2")
    progress.line("a job", "Succeeded")
    progress.show("2 of 2, and words too many for a line")
    progress.end()
    progress.end()
    assert terminal.getvalue() == written
