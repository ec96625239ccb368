"""The progress line in the terminal."""

import io

import pytest

from local.progress import CLEAR, Progress

GREEN, RESET = "\x1b[32m", "\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def written(out: io.StringIO) -> str:
    progress = Progress(out)
    progress.show("1 of 2")
    progress.show("1 of 2")
    progress.line("a job", "Succeeded")
    progress.show("2 of 2, and words too many for a line")
    progress.end()
    progress.end()
    return out.getvalue()


def test_a_terminal_has_a_progress_line_below_the_lines_that_stay():
    assert written(Terminal()) == "".join(
        [f"{CLEAR}1 of 2", f"{CLEAR}{GREEN}a job{RESET}\n", f"{CLEAR}2 of 2, and words t", CLEAR]
    )


def test_without_a_terminal_there_are_only_plain_lines():
    assert written(io.StringIO()) == "a job\n"


def test_no_color_turns_off_the_colors(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert GREEN not in written(Terminal())
    assert f"{CLEAR}a job\n" in written(Terminal())


def test_a_dumb_terminal_has_only_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert written(Terminal()) == "a job\n"
