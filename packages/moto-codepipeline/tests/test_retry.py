"""Retries of a failed stage, and what the API shows of both attempts."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    SIDE_BY_SIDE,
    WORKERS,
    Service,
    error_of,
    running_service,
)

EXECUTION = "00000000-0000-0000-0000-000000000000"


def refused(
    service: Service, execution_id: str, mode: str = "FAILED_ACTIONS", **changes: str
) -> str:
    with pytest.raises(ClientError) as caught:
        service.retry(execution_id, mode, **changes)
    return error_of(caught.value)[0]


def failed(service: Service, *stages: list[dict[str, Any]]) -> str:
    """An execution whose action ``Build``, of the first runOrder in Stage2, failed."""
    service.register()
    service.create(*stages)
    execution_id = service.start()
    for job in service.poll():
        service.acknowledge(job)
        if job["data"]["pipelineContext"]["action"]["name"] == "Build":
            service.fail(job)
        else:
            service.succeed(job)
    return execution_id


def executions(service: Service) -> list[tuple[str, str]]:
    """Name and status of each action execution except the source's, the oldest first."""
    found = service.api.list_action_executions(pipelineName="release")["actionExecutionDetails"]
    return [(each["actionName"], each["status"]) for each in reversed(found)][1:]


@pytest.mark.parametrize("owner", WORKERS)
@pytest.mark.parametrize("mode", ["FAILED_ACTIONS", "ALL_ACTIONS"])
def test_a_failed_action_gets_a_new_execution_and_a_new_job(owner: str, mode: str) -> None:
    with running_service(owner) as service:
        first = service.job()
        [execution_id] = [
            each["pipelineExecutionId"]
            for each in service.api.list_pipeline_executions(pipelineName="release")[
                "pipelineExecutionSummaries"
            ]
        ]
        service.fail(first)
        service.clock.advance(60)
        assert service.retry(execution_id, mode) == execution_id
        assert service.status(execution_id) == "InProgress"
        second = service.take()
        assert second["id"] != first["id"]
        ids = [
            job["data"]["pipelineContext"]["action"]["actionExecutionId"] for job in (first, second)
        ]
        assert ids[0] != ids[1]
        assert executions(service) == [("Build", "Failed"), ("Build", "InProgress")]
        shown = service.stage("Stage2")["actionStates"][0]["latestExecution"]
        assert (shown["actionExecutionId"], shown["status"]) == (ids[1], "InProgress")
        service.succeed(second)
        assert service.status(execution_id) == "Succeeded"
        assert executions(service) == [("Build", "Failed"), ("Build", "Succeeded")]


def test_a_retry_of_failed_actions_keeps_those_that_succeeded_and_goes_on(service: Service) -> None:
    stage = [service.action("Build"), service.action("Test"), service.action("Pack", runOrder=2)]
    execution_id = failed(service, stage, [service.action("Deploy")])
    service.retry(execution_id)
    for name in ("Build", "Pack", "Deploy"):
        [job] = service.take_all(name)
        service.succeed(job)
    assert service.status(execution_id) == "Succeeded"
    assert [name for name, _ in executions(service)] == [
        *("Build", "Test"),
        *("Build", "Pack", "Deploy"),
    ]


def test_a_retry_of_all_actions_begins_at_the_first_run_order(service: Service) -> None:
    stage = [service.action("First"), service.action("Build", runOrder=2)]
    service.register()
    service.create(stage)
    execution_id = service.start()
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
    service.create([service.action("Build"), service.action("Slow")])
    execution_id = service.start()
    build, slow = service.take_all("Build", "Slow")
    service.fail(build)
    assert refused(service, execution_id, "ALL_ACTIONS") == "StageNotRetryableException"
    service.retry(execution_id)
    assert service.action_statuses() == {"Build": "InProgress", "Slow": "InProgress"}
    service.succeed(slow)
    [build] = service.take_all("Build")
    service.succeed(build)
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


def test_a_late_result_of_the_first_attempt_changes_nothing(service: Service) -> None:
    first = service.job()
    execution_id = first["data"]["pipelineContext"]["pipelineExecutionId"]
    service.fail(first)
    service.retry(execution_id)
    with pytest.raises(ClientError) as caught:
        service.succeed(first)
    assert error_of(caught.value)[0] == "InvalidJobStateException"
    assert service.action_statuses() == {"Build": "InProgress"}


def test_a_retried_action_overrides_artifacts_and_revisions(service: Service) -> None:
    build = service.action("Build", outputArtifacts=["Package"])
    service.register()
    service.create([build, service.action("Break", runOrder=2)])
    execution_id = service.start()
    keys = []
    for revision in ("1", "2"):
        [job] = service.take_all("Build")
        keys.append(job["data"]["outputArtifacts"][0]["location"]["s3Location"]["objectKey"])
        service.succeed(job, currentRevision={"revision": revision, "changeIdentifier": "c"})
        [job] = service.take_all("Break")
        service.fail(job)
        service.retry(execution_id, "ALL_ACTIONS")
    assert keys[0] != keys[1]
    answer = service.api.get_pipeline_execution(
        pipelineName="release", pipelineExecutionId=execution_id
    )
    revisions = answer["pipelineExecution"]["artifactRevisions"]
    found = [each["revisionId"] for each in revisions if each["name"] == "Package"]
    assert found == ["2"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"pipelineName": "other"}, "PipelineNotFoundException"),
        ({"stageName": "other"}, "StageNotFoundException"),
        ({"stageName": "Source"}, "StageNotRetryableException"),
        ({"pipelineExecutionId": EXECUTION}, "NotLatestPipelineExecutionException"),
        ({"pipelineExecutionId": "nope"}, "ValidationException"),
        ({"retryMode": "SOME_ACTIONS"}, "ValidationException"),
    ],
)
def test_an_invalid_retry_is_refused(service: Service, changes: dict[str, str], error: str) -> None:
    execution_id = failed(service)
    assert refused(service, execution_id, **changes) == error
    assert service.status(execution_id) == "Failed"


def test_a_stage_that_did_not_fail_or_has_not_begun_cannot_be_retried(service: Service) -> None:
    service.register()
    service.create([service.action("Build")], [service.action("Deploy")])
    execution_id = service.start()
    for stage in ("Source", "Stage2", "Stage3"):
        assert refused(service, execution_id, stageName=stage) == "StageNotRetryableException"


def test_a_stage_cannot_be_retried_after_the_structure_was_changed(service: Service) -> None:
    execution_id = failed(service)
    service.api.update_pipeline(pipeline=service.structure([service.action("Build")]))
    assert refused(service, execution_id) == "StageNotRetryableException"


def test_only_the_latest_execution_in_a_stage_can_be_retried(service: Service) -> None:
    execution_id = failed(service)
    later = service.start()
    assert refused(service, execution_id) == "NotLatestPipelineExecutionException"
    service.fail(service.take())
    assert service.retry(later) == later


def test_parallel_executions_can_each_be_retried(service: Service) -> None:
    service.register()
    service.create(**SIDE_BY_SIDE)
    first, _ = service.start(), service.start()
    for job in service.poll():
        service.acknowledge(job)
        service.fail(job)
    assert service.retry(first) == first
