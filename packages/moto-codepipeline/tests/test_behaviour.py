"""Switches whose both settings ``test_properties`` and ``conformance`` do not try."""

from dataclasses import replace

from codepipeline_fixtures import SIDE_BY_SIDE, Service, each_owner, refusal_of
from moto_codepipeline import Behaviour

pytestmark = each_owner


def queued(service: Service) -> None:
    service.register()
    service.begin(**SIDE_BY_SIDE)


def test_each_backend_has_its_own_behavior_with_the_harder_defaults(service: Service) -> None:
    behaviour = Behaviour()
    assert behaviour == replace(service.behaviour, started_before_queued_seconds=0.3)
    assert service.behaviour.nonce_rotates
    assert service.behaviour.repeated_acknowledgment == "InvalidNonceException"


def test_the_time_to_acknowledge(service: Service) -> None:
    service.behaviour.acknowledge_seconds = 5
    queued(service)
    service.poll()
    service.clock.advance(4)
    assert service.poll() == []
    service.clock.advance(1)
    assert len(service.poll()) == 1


def test_a_poll_returns_as_many_jobs_as_requested_up_to_the_cap(service: Service) -> None:
    service.behaviour.batch_cap = 2
    queued(service)
    for _ in range(3):
        service.start()
    assert [len(service.poll(limit)) for limit in (1, 100, None)] == [1, 2, 1]


def test_a_job_may_be_queued_after_its_event(service: Service) -> None:
    service.behaviour.started_before_queued_seconds = 5
    queued(service)
    assert service.events()[-1] == ("Action", "Build", "STARTED")
    assert service.poll() == []
    service.clock.advance(5)
    assert len(service.poll()) == 1


def test_throttled_calls_fail_until_the_second_is_over(service: Service) -> None:
    service.behaviour.throttle = 2
    queued(service)
    assert len(service.poll()) + len(service.poll()) == 1
    assert refusal_of(service.poll) == ("ThrottlingException", "Rate exceeded")
    service.api.list_pipelines()
    service.clock.advance(1)
    assert service.poll() == []
