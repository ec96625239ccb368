"""Results of custom and partner jobs: accepted once, repeated, contradicted, continued, late."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    WORKERS,
    Service,
    configuration_property,
    error_of,
    running_service,
)

TERMINATED = "Job with id {} has already terminated"
DIFFERS = (
    "The status of job with id {} is already set to the desired value. It cannot be updated with "
    "the same status, but different result or output variables."
)


@pytest.fixture(params=WORKERS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running_service(request.param) as running:
        yield running


only_custom = pytest.mark.parametrize("service", ["Custom"], indirect=True)


RICH = {
    "executionDetails": {"summary": "done", "externalExecutionId": "7", "percentComplete": 100},
    "currentRevision": {"revision": "r", "changeIdentifier": "c", "created": 1_800_000_000},
}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (RICH, dict(reversed(RICH.items())), None),
        ({"continuationToken": "t"}, {"continuationToken": "t"}, None),
        ({"continuationToken": "t"}, {"continuationToken": "u"}, DIFFERS),
    ],
)
def test_a_second_success_is_accepted_only_if_it_is_identical(
    service: Service, first: dict[str, Any], second: dict[str, Any], message: str | None
) -> None:
    job = service.job()
    service.succeed(job, **first)
    before = service.api.get_pipeline_state(name="release")["stageStates"]
    if message is None:
        service.succeed(job, **second)
    else:
        with pytest.raises(ClientError) as caught:
            service.succeed(job, **second)
        assert error_of(caught.value) == ("InvalidJobStateException", message.format(job["id"]))
    assert service.api.get_pipeline_state(name="release")["stageStates"] == before


@only_custom
def test_output_variables_are_part_of_the_result(service: Service) -> None:
    job = service.job()
    service.succeed(job, outputVariables={"a": "1", "b": "2"})
    service.succeed(job, outputVariables={"b": "2", "a": "1"})
    with pytest.raises(ClientError) as caught:
        service.succeed(job, outputVariables={"a": "1", "b": "3"})
    message = DIFFERS.format(job["id"])
    assert error_of(caught.value) == ("InvalidJobStateException", message)


@only_custom
@pytest.mark.parametrize(("size", "refused"), [(122880, False), (122881, True)])
def test_output_variables_have_a_size_limit(service: Service, size: int, refused: bool) -> None:
    job = service.job()
    # The size is in bytes of keys and values: 4 for the keys, 2 for each é.
    variables = {"k1": "é" * 1000, "k2": "x" * (size - 2004)}
    if refused:
        with pytest.raises(ClientError) as caught:
            service.succeed(job, outputVariables=variables)
        assert error_of(caught.value)[0] == "OutputVariablesSizeExceededException"
        assert service.action_statuses() == {"Build": "InProgress"}
    else:
        service.succeed(job, outputVariables=variables)
        assert service.action_statuses() == {"Build": "Succeeded"}


def test_a_continuation_creates_a_later_job_of_the_same_action(service: Service) -> None:
    service.register(
        settings={
            "executionUrlTemplate": "https://ci.example/{Config:Project}/{ExternalExecutionId}"
        },
        configurationProperties=[configuration_property("Project")],
    )
    service.create([service.action("Build", configuration={"Project": "web"})])
    service.start()
    first = service.take()
    details = {"summary": "half", "percentComplete": 50, "externalExecutionId": "e-1"}
    service.succeed(first, continuationToken='{"step": "é 2"}', executionDetails=details)
    service.clock.advance(29)
    assert service.poll() == []
    service.clock.advance(1)
    [second] = service.poll()
    assert second["id"] != first["id"]
    assert second["data"]["continuationToken"] == '{"step": "é 2"}'
    for member in ("pipelineContext", "inputArtifacts", "outputArtifacts", "actionConfiguration"):
        assert second["data"][member] == first["data"][member]
    assert second["data"]["artifactCredentials"] != first["data"]["artifactCredentials"]
    [state] = service.stage("Stage2")["actionStates"]
    shown = state["latestExecution"]
    assert (shown["status"], shown["summary"], shown["percentComplete"]) == (
        "InProgress",
        "half",
        50,
    )
    assert shown["externalExecutionId"] == "e-1"
    assert shown["externalExecutionUrl"] == "https://ci.example/web/e-1"
    listed = service.api.list_action_executions(pipelineName="release")["actionExecutionDetails"]
    assert listed[0]["status"] == "InProgress"
    assert listed[0]["output"]["executionResult"] == {
        "externalExecutionId": "e-1",
        "externalExecutionSummary": "half",
        "externalExecutionUrl": "https://ci.example/web/e-1",
    }
    service.acknowledge(second)
    service.succeed(second)
    assert service.action_statuses() == {"Build": "Succeeded"}


def test_a_continuation_has_no_event(service: Service) -> None:
    job = service.job()
    before = len(service.entries)
    service.succeed(job, continuationToken="t")
    service.clock.advance(30)
    assert len(service.poll()) == 1
    assert len(service.entries) == before


DOCUMENTED_LIMITS = [("Custom", 24 * 3600), ("ThirdParty", 3600)]
limits = pytest.mark.parametrize(("service", "limit"), DOCUMENTED_LIMITS, indirect=["service"])


@limits
def test_a_job_without_a_result_times_out(service: Service, limit: int) -> None:
    job = service.job()
    service.clock.advance(limit - 1)
    assert service.action_statuses() == {"Build": "InProgress"}
    service.clock.advance(1)
    [state] = service.stage("Stage2")["actionStates"]
    assert state["latestExecution"]["status"] == "Failed"
    assert state["latestExecution"]["errorDetails"]["code"] == "JobFailed"
    assert service.stage("Stage2")["latestExecution"]["status"] == "Failed"
    for put in (service.succeed, service.fail):
        with pytest.raises(ClientError) as caught:
            put(job)
        message = TERMINATED.format(job["id"])
        assert error_of(caught.value) == ("InvalidJobStateException", message)


@limits
def test_a_continued_action_has_one_time_limit_in_all(service: Service, limit: int) -> None:
    job = service.job()
    service.clock.advance(limit - 60)
    service.succeed(job, continuationToken="t")
    service.clock.advance(60)
    assert service.action_statuses() == {"Build": "Failed"}
    assert service.poll() == []


def test_later_progress_replaces_only_what_it_gives(service: Service) -> None:
    job = service.job()
    [before] = service.stage("Stage2")["actionStates"]
    for details in ({"summary": "half", "percentComplete": 50}, {"percentComplete": 75}, {}):
        service.succeed(job, continuationToken="t", executionDetails=details)
        service.clock.advance(30)
        job = service.take()
    [state] = service.stage("Stage2")["actionStates"]
    changed = {"summary": "half", "percentComplete": 75}
    assert state["latestExecution"] == before["latestExecution"] | changed


def test_a_timeout_is_announced_as_a_failure(service: Service) -> None:
    service.job()
    service.clock.advance(24 * 3600)
    [state] = service.stage("Stage2")["actionStates"]
    error = state["latestExecution"]["errorDetails"]
    [failed] = service.details("Action", "FAILED")
    assert failed["execution-result"] == {
        "external-execution-summary": error["message"],
        "error-code": error["code"],
    }


@limits
def test_a_switch_gives_each_job_its_own_time_limit(service: Service, limit: int) -> None:
    service.behaviour.timeout_counts = "job"
    job = service.job()
    for _ in range(3):
        service.clock.advance(limit - 60)
        service.succeed(job, continuationToken="t")
        service.clock.advance(30)
        job = service.take()
    service.clock.advance(limit - 31)
    assert service.action_statuses() == {"Build": "InProgress"}
    service.clock.advance(1)
    assert service.action_statuses() == {"Build": "Failed"}
    with pytest.raises(ClientError) as caught:
        service.succeed(job)
    message = TERMINATED.format(job["id"])
    assert error_of(caught.value) == ("InvalidJobStateException", message)


@limits
def test_a_timeout_noticed_late_has_its_own_time(service: Service, limit: int) -> None:
    service.job()
    [state] = service.stage("Stage2")["actionStates"]
    started = state["latestExecution"]["lastStatusChange"]
    service.clock.advance(3 * 24 * 3600)
    [state] = service.stage("Stage2")["actionStates"]
    ended = state["latestExecution"]["lastStatusChange"]
    assert (ended - started).total_seconds() == limit


def test_a_result_after_the_pipeline_was_deleted_is_accepted(service: Service) -> None:
    job = service.job()
    service.api.delete_pipeline(name="release")
    service.succeed(job)
    service.succeed(job)
