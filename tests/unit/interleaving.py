"""Two or more threads that call AWS in an order that the test chooses."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

SECONDS = 60


def orders(first: int, second: int) -> Iterator[tuple[int, ...]]:
    """Every order in which two threads can make their calls, given how many each makes."""
    for places in itertools.combinations(range(first + second), first):
        yield tuple(0 if place in places else 1 for place in range(first + second))


def interleave(client: Any, order: Sequence[int], *acts: Callable[[], Any]) -> list[Any]:
    """Run each function in a thread, one call of `client` at a time; return their results.

    Args:
        order: which thread makes each call. Threads that are done are skipped; when the order is
            used up, the first thread that isn't done goes on.
    """
    turns = Turns(list(order), len(acts))
    client.meta.events.register_first("before-parameter-build.*.*", turns.wait)
    results: list[Any] = [None] * len(acts)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        turns.mine.index = index
        try:
            results[index] = acts[index]()
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            errors.append(error)
        finally:
            turns.leave(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    client.meta.events.unregister("before-parameter-build.*.*", turns.wait)
    if errors:
        raise errors[0]
    return results


class Turns:
    """Lets one thread run at a time, from one of its calls to the next."""

    def __init__(self, order: list[int], threads: int) -> None:
        self.mine = threading.local()
        self._order = order
        self._arrived: set[int] = set()
        self._left: set[int] = set()
        self._threads = threads
        self._running: int | None = None
        self._changed = threading.Condition()

    def wait(self, **_: Any) -> None:
        """Wait until it is this thread's turn."""
        index = self.mine.index
        with self._changed:
            self._arrived.add(index)
            if self._running == index:
                self._running = None
            self._choose()
            if not self._changed.wait_for(lambda: self._running == index, SECONDS):
                raise AssertionError("no turn")
            self._arrived.discard(index)

    def leave(self, index: int) -> None:
        """Say that this thread is done."""
        with self._changed:
            self._left.add(index)
            if self._running == index:
                self._running = None
            self._choose()

    def _choose(self) -> None:
        present = self._arrived | self._left
        if self._running is not None or len(present) < self._threads:
            return
        while self._order and self._order[0] in self._left:
            self._order.pop(0)
        waiting = sorted(self._arrived)
        if waiting:
            self._running = self._order.pop(0) if self._order else waiting[0]
        self._changed.notify_all()
