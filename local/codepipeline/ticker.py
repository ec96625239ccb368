"""A thread that lets time pass for a running stack."""

from __future__ import annotations

import logging
from threading import Event, Thread
from types import TracebackType

from .models import tick_all

logger = logging.getLogger(__name__)


class Ticker:
    """Ticks all backends, each ``interval`` seconds, from ``start`` (or ``with``) to ``stop``.

    Only a running stack needs it: without it, what is due happens at the next call.
    """

    def __init__(self, interval: float = 0.25) -> None:
        self._interval = interval
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="codepipeline-ticker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the tick that is under way."""
        self._stopped.set()
        self._thread.join()

    def __enter__(self) -> Ticker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                tick_all()
            except Exception:
                logger.exception("A tick failed")
