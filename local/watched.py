"""The state and the log of the local stack's worker, for the page."""

import logging
import re
from collections import deque

LINES = 5000
#: The most characters of one message.
CHARACTERS = 65_536


class Watched:
    """A worker, and the last lines of its log.

    ``kind`` is "sample", "yours", or "" if there is no worker. ``ended`` is "" while the worker
    runs; otherwise a sentence that says how it ended, or what is wrong with its code.
    """

    def __init__(self) -> None:
        self.kind = ""
        self.ended = ""
        self._lines: deque[str] = deque(maxlen=LINES)

    def begin(self, kind: str) -> None:
        """Watch another worker."""
        self.kind, self.ended = kind, ""
        self._lines.clear()

    def add(self, line: str) -> None:
        """Keep a line of the log, or several lines that belong together.

        A line that begins with a tab belongs to the message before it.
        """
        if not line.startswith("\t") or not self._lines:
            self._lines.append(line)
        elif len(self._lines[-1]) < CHARACTERS:
            self._lines[-1] += "\n" + line[1:]

    def log(self, job_id: str) -> list[str]:
        """The lines that name a job."""
        named = re.compile(rf"(?<![\w-]){re.escape(job_id)}(?![\w-])")
        return [line for line in tuple(self._lines) if named.search(line)]


class Keeping(logging.Handler):
    """Keeps the log of a worker in this process."""

    def __init__(self, watched: Watched) -> None:
        super().__init__(logging.INFO)
        self._watched = watched
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; print a warning if no other handler would."""
        self._watched.add(self.format(record))
        if record.levelno >= logging.WARNING and not logging.root.handlers and logging.lastResort:
            logging.lastResort.handle(record)


#: The worker of this process's stack; a process has at most one stack at a time.
worker = Watched()
