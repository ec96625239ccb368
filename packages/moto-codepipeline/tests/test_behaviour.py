"""Every switch, in both settings, for custom and partner jobs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    SIDE_BY_SIDE,
    WORKERS,
    Service,
    at_once,
    error_of,
    running_service,
)
from moto_codepipeline import Behaviour


@pytest.fixture(params=WORKERS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running_service(request.param) as running:
        yield running


def queued(service: Service, count: int = 1) -> None:
    service.register()
    service.create(**SIDE_BY_SIDE)
    for _ in range(count):
        service.start()


def refused(service: Service, job: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as caught:
        service.acknowledge(job)
    return error_of(caught.value)[0]


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


def test_a_nonce_that_does_not_rotate_is_valid_for_both_offers(service: Service) -> None:
    service.behaviour.nonce_rotates = False
    queued(service)
    [first] = service.poll()
    service.clock.advance(60)
    [second] = service.poll()
    assert first["nonce"] == second["nonce"]
    assert service.acknowledge(first) == "InProgress"


def test_a_repeated_acknowledgment(service: Service) -> None:
    queued(service)
    job = service.take()
    assert refused(service, job) == "InvalidNonceException"
    service.behaviour.repeated_acknowledgment = "status"
    assert service.acknowledge(job) == "InProgress"
    assert refused(service, job | {"nonce": "other"}) == "InvalidNonceException"


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
def test_the_acknowledgment_of_an_ended_job(service: Service, status: str) -> None:
    queued(service)
    job = service.take()
    if status == "Succeeded":
        service.succeed(job)
    elif status == "Failed":
        service.fail(job)
    else:
        service.clock.advance(24 * 3600)
    assert refused(service, job) == "InvalidNonceException"
    service.behaviour.acknowledge_of_ended = "status"
    assert service.acknowledge(job) == status
    assert refused(service, job | {"nonce": "other"}) == "InvalidNonceException"


def test_a_result_before_the_acknowledgment(service: Service) -> None:
    queued(service)
    [job] = service.poll()
    with pytest.raises(ClientError) as caught:
        service.succeed(job)
    assert error_of(caught.value)[0] == "InvalidJobStateException"
    assert service.action_statuses() == {"Build": "InProgress"}
    service.behaviour.result_before_acknowledgment = "accept"
    service.succeed(job)
    assert service.action_statuses() == {"Build": "Succeeded"}
    service.clock.advance(60)
    assert service.poll() == []


def test_the_delay_of_a_continuation(service: Service) -> None:
    service.behaviour.continuation_seconds = 0
    queued(service)
    service.succeed(service.take(), continuationToken="t")
    [job] = service.poll()
    assert job["data"]["continuationToken"] == "t"


@pytest.mark.parametrize(
    ("asked", "cap", "offered"), [(10, None, 4), (10, 3, 3), (2, 3, 2), (None, None, 1)]
)
def test_the_size_of_a_batch(
    service: Service, asked: int | None, cap: int | None, offered: int
) -> None:
    service.behaviour.batch_cap = cap
    queued(service, 4)
    assert len(service.poll(asked)) == offered


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
    with pytest.raises(ClientError) as caught:
        service.poll()
    assert error_of(caught.value) == ("ThrottlingException", "Rate exceeded")
    service.api.list_pipelines()
    service.clock.advance(1)
    assert service.poll() == []


def test_the_time_limit_of_an_action(service: Service) -> None:
    setattr(service.behaviour, service.worker.time_limit, 10)
    queued(service)
    service.clock.advance(10)
    assert service.action_statuses() == {"Build": "Failed"}
    assert service.poll() == []


def test_a_whole_behavior_can_be_set(service: Service) -> None:
    service.backend.behaviour = at_once(repeated_acknowledgment="status")
    queued(service)
    assert service.acknowledge(service.take()) == "InProgress"
