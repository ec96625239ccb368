"""Retries of a failed stage, and what the API shows of both attempts."""

from typing import Any

import pytest

from codepipeline_fixtures import SIDE_BY_SIDE, Service, code_of, context, each_owner


def failed(service: Service, *stages: list[dict[str, Any]]) -> str:
    """An execution whose action ``Build``, the only one of Stage2, failed."""
    service.register()
    execution_id = service.begin(*stages)
    service.fail(service.take())
    return execution_id


def executions(service: Service) -> list[tuple[str, str]]:
    """Name and status of each action execution except the source's, the oldest first."""
    found = reversed(service.action_executions())
    return [(each["actionName"], each["status"]) for each in found][1:]


@each_owner
@pytest.mark.parametrize("mode", ["FAILED_ACTIONS", "ALL_ACTIONS"])
def test_a_failed_action_gets_a_new_execution_and_a_new_job(service: Service, mode: str) -> None:
    first = service.job()
    [execution_id] = service.summaries()
    service.fail(first)
    service.clock.advance(60)
    assert service.retry(execution_id, mode) == execution_id
    assert service.status(execution_id) == "InProgress"
    second = service.take()
    assert second["id"] != first["id"]
    ids = [context(job)["action"]["actionExecutionId"] for job in (first, second)]
    assert ids[0] != ids[1]
    assert executions(service) == [("Build", "Failed"), ("Build", "InProgress")]
    shown = service.latest()
    assert (shown["actionExecutionId"], shown["status"]) == (ids[1], "InProgress")
    service.succeed(second)
    assert service.status(execution_id) == "Succeeded"
    assert executions(service) == [("Build", "Failed"), ("Build", "Succeeded")]


def test_a_retry_of_all_actions_begins_at_the_first_run_order(service: Service) -> None:
    stage = [service.action("First"), service.action("Build", runOrder=2)]
    service.register()
    execution_id = service.begin(stage)
    [job] = service.take_all("First")
    service.succeed(job, outputVariables={"a": "1"})
    [job] = service.take_all("Build")
    service.fail(job)
    service.retry(execution_id, "ALL_ACTIONS")
    assert service.action_statuses() == {"First": "InProgress", "Build": "Failed"}
    for name in ("First", "Build"):
        [job] = service.take_all(name)
        service.succeed(job)
    assert service.status(execution_id) == "Succeeded"


def test_failed_actions_can_be_retried_while_others_go_on_but_not_all(service: Service) -> None:
    service.register()
    execution_id = service.begin([service.action("Build"), service.action("Slow")])
    build, slow = service.take_all("Build", "Slow")
    service.fail(build)
    code = code_of(service.retry, execution_id, "ALL_ACTIONS")
    assert code == "StageNotRetryableException"
    service.retry(execution_id)
    assert service.action_statuses() == {"Build": "InProgress", "Slow": "InProgress"}
    service.succeed(slow)
    service.succeed(service.take())
    assert service.status(execution_id) == "Succeeded"


def test_events_have_the_attempt_and_the_time_of_the_retry(service: Service) -> None:
    execution_id = failed(service, [service.action("Build")], [service.action("Deploy")])
    service.entries.clear()
    service.clock.advance(60)
    service.retry(execution_id)
    assert service.events() == [
        ("Pipeline", "release", "RESUMED"),
        ("Stage", "Stage2", "RESUMED"),
        ("Action", "Build", "STARTED"),
    ]
    began, retried = "2027-01-15T08:00:00.000Z", "2027-01-15T08:01:00.000Z"
    [pipeline], [stage], [action] = (
        service.details(*event)
        for event in (("Pipeline", "RESUMED"), ("Stage", "RESUMED"), ("Action", "STARTED"))
    )
    common = {
        "pipeline": "release",
        "execution-id": execution_id,
        "start-time": began,
        "state": "RESUMED",
        "version": 1.0,
        "pipeline-execution-attempt": 2.0,
    }
    assert pipeline == common | {"last-retry-attempt-time": retried}
    assert stage == common | {"stage": "Stage2", "stage-last-retry-attempt-time": retried}
    assert (action["start-time"], action["pipeline-execution-attempt"]) == (retried, 2.0)

    [job] = service.take_all("Build")
    service.succeed(job)
    [deploy] = service.details("Stage", "STARTED")
    assert (deploy["stage"], deploy["pipeline-execution-attempt"]) == ("Stage3", 2.0)
    assert "stage-last-retry-attempt-time" not in deploy
    [job] = service.take_all("Deploy")
    service.fail(job)
    service.retry(execution_id, stageName="Stage3")
    assert service.details("Pipeline", "RESUMED")[1]["pipeline-execution-attempt"] == 3.0


def test_the_state_counts_the_retries_of_each_stage(service: Service) -> None:
    execution_id = failed(service)
    assert "retryStageMetadata" not in service.stage("Stage2")
    for attempt in (1, 2):
        service.retry(execution_id)
        stage = service.stage("Stage2")
        assert stage["latestExecution"]["status"] == "InProgress"
        assert stage["retryStageMetadata"] == {
            "manualStageRetryAttempt": attempt,
            "latestRetryTrigger": "ManualStageRetry",
        }
        service.fail(service.take())
    assert "retryStageMetadata" not in service.stage("Source")


def test_a_retried_action_overrides_artifacts_and_revisions(service: Service) -> None:
    build = service.action("Build", outputArtifacts=["Package"])
    service.register()
    execution_id = service.begin([build, service.action("Break", runOrder=2)])
    keys = []
    for revision in ("1", "2"):
        [job] = service.take_all("Build")
        keys.append(job["data"]["outputArtifacts"][0]["location"]["s3Location"]["objectKey"])
        service.succeed(job, currentRevision={"revision": revision, "changeIdentifier": "c"})
        [job] = service.take_all("Break")
        service.fail(job)
        service.retry(execution_id, "ALL_ACTIONS")
    assert keys[0] != keys[1]
    revisions = service.execution(execution_id)["artifactRevisions"]
    found = [each["revisionId"] for each in revisions if each["name"] == "Package"]
    assert found == ["2"]


def test_parallel_executions_can_each_be_retried(service: Service) -> None:
    service.register()
    service.create(**SIDE_BY_SIDE)
    first, _ = service.start(), service.start()
    for job in service.poll():
        service.acknowledge(job)
        service.fail(job)
    assert service.retry(first) == first
