"""Stopped executions: their actions end or are abandoned, and what workers see of it."""

from collections.abc import Callable
from typing import Any

import pytest

from codepipeline_fixtures import Service, code_of, context, each_owner

pytestmark = each_owner


def started(service: Service, *stages: list[dict[str, Any]]) -> str:
    """An execution whose first job can be polled. Without stages it has one action, ``Build``."""
    service.register()
    return service.begin(*stages)


# Stop and wait


def test_actions_in_progress_run_to_their_end_and_no_others_start(service: Service) -> None:
    stage = [service.action("Build"), service.action("Test"), service.action("Pack", runOrder=2)]
    execution_id = started(service, stage, [service.action("Deploy")])
    [build] = service.poll(1)
    service.acknowledge(build)
    assert service.stop(execution_id) == execution_id
    assert service.status(execution_id) == "Stopping"
    assert service.stage("Stage2")["latestExecution"]["status"] == "Stopping"
    # An unacknowledged job is still offered, and a continuation creates a job.
    [test] = service.poll()
    service.acknowledge(test)
    service.succeed(build, continuationToken="more")
    service.succeed(test)
    service.clock.advance(service.behaviour.continuation_seconds)
    service.succeed(service.take())
    assert service.poll() == []
    assert service.action_statuses() == {"Build": "Succeeded", "Test": "Succeeded", "Pack": None}
    assert service.stage("Stage2")["latestExecution"]["status"] == "Stopped"
    assert service.status(execution_id) == "Stopped"


def test_the_reason_is_shown_once_the_execution_is_stopped(service: Service) -> None:
    execution_id = started(service)
    job = service.take()
    service.stop(execution_id, reason="lunch")
    assert "statusSummary" not in service.execution(execution_id)
    code = code_of(service.stop, execution_id, reason="tea")
    assert code == "DuplicatedStopRequestException"
    service.succeed(job)
    assert service.execution(execution_id)["statusSummary"] == "lunch"
    summary = service.summaries()[execution_id]
    assert (summary["statusSummary"], summary["stopTrigger"]) == ("lunch", {"reason": "lunch"})


def test_a_stop_that_waits_can_be_followed_by_one_that_abandons(service: Service) -> None:
    execution_id = started(service)
    service.stop(execution_id, reason="first")
    service.stop(execution_id, abandon=True, reason="second")
    assert service.execution(execution_id)["statusSummary"] == "second"
    assert service.events().count(("Pipeline", "release", "STOPPING")) == 1


# Stop and abandon


def test_actions_in_progress_are_abandoned_at_once(service: Service) -> None:
    stage = [service.action("Build"), service.action("Test"), service.action("Pack", runOrder=2)]
    execution_id = started(service, stage, [service.action("Deploy")])
    service.clock.advance(5)
    service.stop(execution_id, abandon=True)
    assert service.status(execution_id) == "Stopped"
    assert service.stage("Stage2")["latestExecution"]["status"] == "Stopped"
    assert service.action_statuses() == {"Build": "Abandoned", "Test": "Abandoned", "Pack": None}
    assert service.backend.next_due() is None
    assert "errorDetails" not in service.latest()
    details = service.action_executions()
    assert [each["status"] for each in details] == ["Abandoned", "Abandoned", "Succeeded"]
    # Recorded: there is no execution result.
    assert details[0]["output"] == {"outputArtifacts": [], "outputVariables": {}}
    assert (details[0]["lastUpdateTime"] - details[0]["startTime"]).total_seconds() == 5
    assert service.summaries()[execution_id]["stopTrigger"] == {}


@pytest.mark.parametrize(
    "result",
    [
        lambda service, job: service.succeed(job),
        lambda service, job: service.fail(job),
        lambda service, job: service.succeed(job, continuationToken="t"),
    ],
    ids=["success", "failure", "token"],
)
def test_a_late_result_is_accepted_and_changes_nothing(
    service: Service, result: Callable[[Service, dict[str, Any]], None]
) -> None:
    execution_id = started(service, [service.action("Build")], [service.action("Deploy")])
    job = service.take()
    service.stop(execution_id, abandon=True)
    before = list(service.entries)
    result(service, job)
    service.clock.advance(service.behaviour.continuation_seconds)
    assert service.poll() == []
    assert service.action_statuses() == {"Build": "Abandoned"}
    assert service.status(execution_id) == "Stopped"
    assert service.entries == before


def test_a_result_from_before_the_stop_can_be_repeated(service: Service) -> None:
    service.behaviour.result_after_abandonment = "InvalidJobStateException"
    execution_id = started(service)
    job = service.take()
    service.succeed(job, continuationToken="more")
    service.stop(execution_id, abandon=True)
    service.succeed(job, continuationToken="more")


# Retry


@pytest.mark.parametrize("mode", ["FAILED_ACTIONS", "ALL_ACTIONS"])
def test_a_stopped_stage_can_be_retried(service: Service, mode: str) -> None:
    stage = [service.action("Build"), service.action("Pack", runOrder=2)]
    execution_id = started(service, stage)
    first = service.take()
    service.stop(execution_id, abandon=True, reason="lunch")
    assert service.retry(execution_id, mode) == execution_id
    assert service.status(execution_id) == "InProgress"
    assert "statusSummary" not in service.execution(execution_id)
    assert "stopTrigger" not in service.summaries()[execution_id]
    second = service.take()
    assert second["id"] != first["id"]
    service.succeed(first)
    assert service.action_statuses() == {"Build": "InProgress", "Pack": None}
    service.succeed(second)
    service.succeed(service.take())
    assert service.status(execution_id) == "Succeeded"


def test_a_retry_of_a_stage_whose_actions_ended_runs_the_remaining_ones(service: Service) -> None:
    stage = [service.action("Build"), service.action("Pack", runOrder=2)]
    execution_id = started(service, stage)
    [build] = service.take_all("Build")
    service.stop(execution_id)
    service.succeed(build)
    service.retry(execution_id)
    assert service.action_statuses() == {"Build": "Succeeded", "Pack": "InProgress"}
    [pack] = service.take_all("Pack")
    service.stop(execution_id)
    service.succeed(pack)
    # The stage has no remaining actions.
    service.retry(execution_id)
    assert service.status(execution_id) == "Succeeded"


def test_a_stage_that_is_being_stopped_cannot_be_retried(service: Service) -> None:
    execution_id = started(service, [service.action("Build"), service.action("Test")])
    build, _ = service.take_all("Build", "Test")
    service.fail(build)
    service.stop(execution_id)
    assert code_of(service.retry, execution_id) == "StageNotRetryableException"


# Events


def test_a_stop_that_waits_has_two_events_each_for_stage_and_pipeline(service: Service) -> None:
    execution_id = started(service)
    job = service.take()
    service.entries.clear()
    service.stop(execution_id, reason="lunch")
    stopping = [("Pipeline", "release", "STOPPING"), ("Stage", "Stage2", "STOPPING")]
    assert service.events() == stopping
    service.succeed(job)
    assert service.events() == [
        *stopping,
        ("Action", "Build", "SUCCEEDED"),
        ("Stage", "Stage2", "STOPPED"),
        ("Pipeline", "release", "STOPPED"),
    ]
    common = {
        "pipeline": "release",
        "execution-id": execution_id,
        "start-time": "2027-01-15T08:00:00.000Z",
        "version": 1.0,
    }
    [pipeline], [stage] = (service.details(kind, "STOPPING") for kind in ("Pipeline", "Stage"))
    assert pipeline == common | {
        "state": "STOPPING",
        "pipeline-execution-attempt": 1.0,
        "stop-execution-comments": "lunch",
    }
    of_stage = {"stage": "Stage2", "state": "STOPPING", "pipeline-execution-attempt": 0.0}
    assert stage == common | of_stage
    [stopped] = service.details("Pipeline", "STOPPED")
    assert stopped == common | {"state": "STOPPED", "pipeline-execution-attempt": 1.0}


def test_an_abandoned_action_is_announced_without_a_result(service: Service) -> None:
    execution_id = started(service)
    job = service.take()
    service.succeed(job, continuationToken="t", executionDetails={"summary": "half"})
    service.entries.clear()
    service.stop(execution_id, abandon=True)
    assert service.events() == [
        ("Pipeline", "release", "STOPPING"),
        ("Stage", "Stage2", "STOPPING"),
        ("Action", "Build", "ABANDONED"),
        ("Stage", "Stage2", "STOPPED"),
        ("Pipeline", "release", "STOPPED"),
    ]
    [pipeline] = service.details("Pipeline", "STOPPING")
    assert "stop-execution-comments" not in pipeline
    [abandoned] = service.details("Action", "ABANDONED")
    assert abandoned == {
        "pipeline": "release",
        "execution-id": execution_id,
        "start-time": "2027-01-15T08:00:00.000Z",
        "stage": "Stage2",
        "action-execution-id": context(job)["action"]["actionExecutionId"],
        "action": "Build",
        "state": "ABANDONED",
        "region": "eu-west-1",
        "type": service.type_id,
        "version": 1.0,
        "pipeline-execution-attempt": 1.0,
    }
