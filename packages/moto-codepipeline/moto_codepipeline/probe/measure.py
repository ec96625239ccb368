"""Measures a time: how long after one call another one's response changes.

A measurement is an interval that certainly contains the time, given by when calls were sent and
answered. It is narrowed in rounds; the answer is the number with the fewest digits in it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .calls import Answer, LostError, Time, UnansweredError

PARTS, ROUNDS, STALLED = 8, 20, 4
HORIZON, SLACK = 4 * 3600.0, 0.002


@dataclass(frozen=True)
class Interval:
    """More than ``low`` and no more than ``high`` seconds; a low below 0 is no bound."""

    low: float = -1.0
    high: float = math.inf

    def __and__(self, other: "Interval") -> "Interval":
        return Interval(max(self.low, other.low), min(self.high, other.high))

    @property
    def width(self) -> float:
        return self.high - max(self.low, 0)

    def widened(self, by: float) -> "Interval":
        """The same, for measurements that are only this exact."""
        return Interval(self.low - by, self.high + by)

    def points(self) -> Iterator[float]:
        """When to look, in seconds after the beginning, without end."""
        if math.isinf(self.high):
            yield 0.0
            point, growth = 0.05, 2.0
        else:
            for part in range(1, PARTS + 1):
                yield max(self.low, 0) + self.width * part / PARTS
            point, growth = self.high * 1.1 + 0.05, 1.1
        while True:
            yield point
            point *= growth

    def roundest(self) -> float:
        """The number with the fewest digits in it; of several the one closest to the middle."""
        if self.low < 0 or self.high <= 0:
            return 0
        middle = (self.low + self.high) / 2
        for digits in range(-math.floor(math.log10(self.high)), 9):
            steps = round(middle * 10.0**digits)
            for step in (steps, steps - 1, steps + 1):
                number = step * 10.0**-digits if digits <= 0 else step / 10.0**digits
                if self.low - 1e-6 <= number <= self.high + 1e-6:
                    return number
        return middle

    def __str__(self) -> str:
        return f"between {max(self.low, 0):.6g} and {self.high:.6g} s"


def look(
    clock: Time,
    began: Answer,
    known: Interval,
    ask: Callable[[], Answer],
    changed: Callable[[Answer], bool],
) -> tuple[Interval, Answer]:
    """One round: ask again and again until the response has changed; return the interval, and that
    response.

    ``began`` is the call that begins the time. After a LostError, which may have been the change,
    no response proves that there was none yet. Raises UnansweredError after HORIZON seconds.
    """
    low, certain = -1.0, True
    for point in known.points():
        elapsed = clock.now() - began.sent
        if elapsed > HORIZON:
            break
        if 0 < point < elapsed:
            continue
        clock.wait(max(0.0, point - elapsed))
        try:
            answer = ask()
        except LostError:
            certain = False
            continue
        if changed(answer):
            return Interval(low, answer.answered - began.sent), answer
        if certain:
            low = answer.sent - began.answered
    raise UnansweredError(f"Nothing has changed in {HORIZON:g} s")


def narrowed(round_of: Callable[[Interval], Interval]) -> Interval:
    """Repeat a round until three digits or hundredths are certain, or it gets no narrower; then
    once more, to confirm it.

    Raises UnansweredError if the time varies, or the interval stays too wide.
    """
    known, stalled, enough = Interval(), 0, False
    for _ in range(ROUNDS):
        before = known.width
        known &= round_of(known)
        if known.low > known.high + SLACK:
            raise UnansweredError("The time is different each time")
        if enough:
            break
        stalled = stalled + 1 if known.width > before * 0.8 else 0
        enough = known.width <= max(known.high / 1000, 0.01) or stalled == STALLED
    if known.width > max(known.high / 10, 0.05):
        raise UnansweredError(f"It is {known}: it can't be measured more exactly")
    return known
