"""Time: a clock that tests can move, and the appointments that are kept by it.

Nothing here sleeps or starts a thread. What is due happens at the next call or tick, as if it had
happened at its own time.
"""

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field


class Clock:
    """Real time, in seconds since the epoch, moved forward by all calls of ``advance``."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """The present, in seconds since the epoch."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the present forward."""
        self._ahead += seconds


class ManualClock(Clock):
    """A clock that stands still until it is advanced, so that a test knows every timestamp."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        super().__init__()
        self._start = start

    def now(self) -> float:
        return self._start + self._ahead


@dataclass(order=True, slots=True)
class Appointment:
    """Something that will be done at ``due``, unless it is canceled first."""

    due: float
    order: int
    do: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        self.do = None


class Timeline:
    """The appointments of one clock. Not thread-safe: its owner holds a lock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._moment: float | None = None
        self._appointments: list[Appointment] = []
        self._order = itertools.count()

    def now(self) -> float:
        """The present; while an appointment is kept, the time at which it was due."""
        return self.clock.now() if self._moment is None else self._moment

    def after(self, seconds: float, do: Callable[[], None]) -> Appointment:
        """Do something ``seconds`` from now."""
        appointment = Appointment(self.now() + seconds, next(self._order), do)
        heapq.heappush(self._appointments, appointment)
        return appointment

    def next_due(self) -> float | None:
        """When the next appointment is due, in seconds since the epoch."""
        while self._appointments and self._appointments[0].do is None:
            heapq.heappop(self._appointments)
        return self._appointments[0].due if self._appointments else None

    def keep_due(self) -> None:
        """Keep all appointments that are due, in order, each at its own time."""
        present = self.clock.now()
        while (due := self.next_due()) is not None and due <= present:
            appointment = heapq.heappop(self._appointments)
            self._moment = due
            try:
                if appointment.do is not None:
                    appointment.do()
            finally:
                self._moment = None
