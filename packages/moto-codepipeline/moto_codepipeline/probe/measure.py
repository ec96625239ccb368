"""Finds a time: how long after one call another one's answer changes.

A measurement is an interval that the time is certainly in, by when calls were sent and answered. It
is narrowed in rounds; what is told is the number of the fewest digits in it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .calls import Answer, LostError, Time, UnansweredError

PARTS, ROUNDS, STALLED = 8, 20, 4
HORIZON, SLACK = 4 * 3600.0, 0.002


@dataclass(frozen=True)
class Interval:
    """More than ``low`` and no more than ``high`` seconds; a low below 0 is none."""

    low: float = -1.0
    high: float = math.inf

    def __and__(self, other: "Interval") -> "Interval":
        return Interval(max(self.low, other.low), min(self.high, other.high))

    @property
    def width(self) -> float:
        return self.high - max(self.low, 0)

    def widened(self, by: float) -> "Interval":
        """The same, where it was measured by times that are known no better."""
        return Interval(self.low - by, self.high + by)

    def points(self) -> Iterator[float]:
        """When to look, in seconds after the beginning: for ever."""
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
        """The number with the fewest digits in it, of several the one next to the middle."""
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
    """One round: ask again and again until something has changed; what is then known, and the
    answer that showed it.

    ``began`` is the call that it counts from. After a LostError, which may have been the change, no
    answer proves that it has not come. Raises UnansweredError after HORIZON seconds.
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
    """Repeat a round until three digits are certain, or hundredths, or it gets no narrower; then
    once more, to see that it holds.

    Raises UnansweredError where it varies, or is too wide to tell anything.
    """
    known, stalled, enough = Interval(), 0, False
    for _ in range(ROUNDS):
        before = known.width
        known &= round_of(known)
        if known.low > known.high + SLACK:
            raise UnansweredError("It is another time each time")
        if enough:
            break
        stalled = stalled + 1 if known.width > before * 0.8 else 0
        enough = known.width <= max(known.high / 1000, 0.01) or stalled == STALLED
    if known.width > max(known.high / 10, 0.05):
        raise UnansweredError(f"It is {known}: no more can be told")
    return known
