"""The clock that tests move, appointments, and ticks."""

import time

import pytest

from codepipeline_fixtures import Service
from moto_codepipeline import Clock, ManualClock, tick_all
from moto_codepipeline.clock import Timeline


def test_a_clock_tells_real_time_and_can_be_advanced() -> None:
    clock = Clock()
    assert abs(clock.now() - time.time()) < 1
    clock.advance(3600)
    assert 3599 < clock.now() - time.time() < 3601


def test_a_manual_clock_stands_still() -> None:
    clock = ManualClock(100.0)
    assert clock.now() == clock.now() == 100.0
    clock.advance(5)
    assert clock.now() == 105.0


def test_appointments_are_kept_in_order_each_at_its_time() -> None:
    timeline, kept = Timeline(ManualClock(0)), []

    def keep(name: str) -> None:
        kept.append((name, timeline.now()))
        if name == "first":
            timeline.after(1, lambda: keep("following"))

    timeline.after(9, lambda: keep("last"))
    timeline.after(3, lambda: keep("first"))
    timeline.after(5, lambda: keep("canceled")).cancel()
    assert timeline.next_due() == 3
    timeline.keep_due()
    assert kept == []
    timeline.clock.advance(10)
    timeline.keep_due()
    assert kept == [("first", 3), ("following", 4), ("last", 9)]
    assert timeline.next_due() is None
    assert timeline.now() == 10


def test_an_appointment_that_fails_does_not_stop_time() -> None:
    timeline = Timeline(ManualClock(0))
    timeline.after(1, lambda: 1 / 0)  # type: ignore[arg-type]
    timeline.clock.advance(5)
    with pytest.raises(ZeroDivisionError):
        timeline.keep_due()
    assert timeline.now() == 5


def test_next_due_is_when_something_happens(service: Service) -> None:
    assert service.backend.next_due() is None
    service.register()
    service.begin()
    now = service.clock.now()
    assert service.backend.next_due() == now + 24 * 3600
    service.poll()
    assert service.backend.next_due() == now + 60
    service.clock.advance(60)
    service.backend.tick()
    service.succeed(service.take(), continuationToken="t")
    assert service.backend.next_due() == now + 90
    service.clock.advance(30)
    service.backend.tick()
    service.succeed(service.take())
    assert service.backend.next_due() is None


def test_a_tick_reaches_every_backend(service: Service) -> None:
    service.job()
    service.clock.advance(24 * 3600)
    tick_all()
    assert service.events()[-1] == ("Pipeline", "release", "FAILED")
