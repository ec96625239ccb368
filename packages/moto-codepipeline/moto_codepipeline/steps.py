"""Steps: one operation at a time, after what is due, and before its events."""

import functools
import heapq
import itertools
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from threading import RLock
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from moto.codepipeline.models import CodePipelineBackend

from .answers import default
from .clock import Clock, Timeline
from .events import put_on_default_bus
from .exceptions import ThrottlingError

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


def operation(
    method: Callable[Concatenate[Any, Parameters], Answer],
) -> Callable[Concatenate[Any, Parameters], Answer]:
    """Make a method one step: what is due happens before it, and its events are sent after it."""

    @functools.wraps(method)
    def wrapped(
        self: SteppedBackend, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Answer:
        with self.step():
            return method(self, *args, **kwargs)

    return wrapped


class SteppedBackend(CodePipelineBackend):
    """moto's backend with a lock, a clock, and delivery of events.

    ``behaviour`` and ``clock`` may be changed at any time. ``deliver_event`` sends an event: it is
    called with account id, region and an entry for PutEvents, while no lock is held. To deliver
    events elsewhere, replace it on the class.
    """

    deliver_event: ClassVar[Callable[[str, str, dict[str, Any]], None]] = staticmethod(
        put_on_default_bus
    )

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.behaviour = default()
        self._lock = RLock()
        self._depth = 0
        self._timeline = Timeline(Clock())
        self._outbox: list[tuple[float, int, str, Callable[[], None]]] = []
        self._entry_numbers = itertools.count()
        self._sending = False
        self._lags: tuple[int | None, Random] = (None, Random())
        self._calls: dict[str, deque[float]] = defaultdict(deque)

    @property
    def clock(self) -> Clock:
        """The clock of all times here."""
        return self._timeline.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        with self._lock:
            self._timeline.clock = clock

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold the lock, after what is due has happened; send events after its release."""
        try:
            with self._lock:
                self._depth += 1
                try:
                    self._timeline.keep_due()
                    yield
                finally:
                    self._depth -= 1
                    outermost = self._depth == 0
        finally:
            if outermost:
                self._send_due_events()

    def tick(self) -> None:
        """Let everything that is due happen: for a loop, when there may be no calls for a while."""
        with self.step():
            pass

    def next_due(self) -> float | None:
        """When ``tick`` next has something to do, in seconds since the epoch by ``clock``."""
        with self._lock:
            times = [self._timeline.next_due(), self._outbox[0][0] if self._outbox else None]
            return min((time for time in times if time is not None), default=None)

    def _announce(self, entry: dict[str, Any]) -> None:
        for _ in range(2 if self.behaviour.events_twice else 1):
            due = self._timeline.now() + self._lag()
            self._send_later(entry["DetailType"], type(self).deliver_event, entry, due=due)

    def _send_later(
        self, what: str, send: Callable[..., None], *arguments: Any, due: float | None = None
    ) -> None:
        """Send something while no lock is held, now or when it is due."""
        when = self._timeline.now() if due is None else due
        where = self.account_id, self.region_name
        sent: Callable[[], None] = functools.partial(send, *where, *arguments)
        heapq.heappush(self._outbox, (when, next(self._entry_numbers), what, sent))

    def _lag(self) -> float:
        behaviour = self.behaviour
        if not behaviour.events_shuffled:
            return behaviour.event_lag_seconds
        seed, lags = self._lags
        if seed != behaviour.events_seed:
            lags = Random(behaviour.events_seed)
            self._lags = behaviour.events_seed, lags
        return lags.uniform(0, behaviour.event_lag_seconds)

    def _send_due_events(self) -> None:
        """Send what is due, in order. If another thread is sending, it sends this too."""
        while True:
            with self._lock:
                if self._sending or not self._outbox or self._outbox[0][0] > self.clock.now():
                    return
                self._sending = True
                _, _, what, send = heapq.heappop(self._outbox)
            try:
                send()
            except Exception:
                logger.exception("An event could not be delivered: %s", what)
            finally:
                self._sending = False

    def admit(self, operation_name: str) -> None:
        """Count a call of a job operation. Raises ThrottlingError beyond ``behaviour.throttle``."""
        limit = self.behaviour.throttle
        if limit is None:
            return
        with self._lock:
            calls, now = self._calls[operation_name], self.clock.now()
            while calls and calls[0] <= now - 1:
                calls.popleft()
            if len(calls) >= limit:
                raise ThrottlingError
            calls.append(now)
