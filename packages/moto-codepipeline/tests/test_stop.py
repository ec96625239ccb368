"""Stopped executions: their actions end or are abandoned, and what workers see of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import WORKERS, Service, error_of, running_service

UNKNOWN = "00000000-0000-0000-0000-000000000000"
NOT_STOPPABLE = (
    "The pipeline execution with ID '{}' in 'release' can't be stopped now. Either it does not "
    "exist in the pipeline, or the pipeline execution has no action executions in progress."
)
DUPLICATED = (
    "The execution with ID {} in release is already in a stopping state. If you already chose to "
    "stop and wait, you cannot make that request again. You can choose to stop and abandon now, "
    "but be aware that this option can lead to failed actions. If you already chose to stop and "
    "abandon, you cannot make that request again."
)
Call = Callable[[Service, dict[str, Any]], object]


@pytest.fixture(params=WORKERS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running_service(request.param) as running:
        yield running


def started(service: Service, *stages: list[dict[str, Any]]) -> str:
    """An execution whose first job can be polled. Without stages it has one action, ``Build``."""
    service.register()
    service.create(*stages)
    return service.start()


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return error_of(caught.value)


def shown(service: Service) -> dict[str, Any]:
    """The latest execution of the stage's first action."""
    latest: dict[str, Any] = service.stage("Stage2")["actionStates"][0]["latestExecution"]
    return latest


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


@pytest.mark.parametrize(
    "end",
    [
        lambda service, job: service.succeed(job),
        lambda service, job: service.fail(job),
        lambda service, job: service.clock.advance(24 * 60 * 60),
    ],
    ids=["succeeds", "fails", "times out"],
)
def test_an_execution_is_stopped_however_its_last_action_ends(service: Service, end: Call) -> None:
    execution_id = started(service)
    job = service.take()
    service.stop(execution_id)
    end(service, job)
    assert service.status(execution_id) == "Stopped"


def test_the_reason_is_shown_once_the_execution_is_stopped(service: Service) -> None:
    execution_id = started(service)
    job = service.take()
    service.stop(execution_id, reason="lunch")
    assert "statusSummary" not in service.execution(execution_id)
    service.succeed(job)
    assert service.execution(execution_id)["statusSummary"] == "lunch"
    summary = service.summaries()[execution_id]
    assert (summary["statusSummary"], summary["stopTrigger"]) == ("lunch", {"reason": "lunch"})


def test_a_second_stop_that_waits_is_refused_and_changes_nothing(service: Service) -> None:
    execution_id = started(service)
    service.stop(execution_id, reason="first")
    found = refusal(lambda: service.stop(execution_id, reason="second"))
    assert found == ("DuplicatedStopRequestException", DUPLICATED.format(execution_id))
    service.succeed(service.take())
    assert service.execution(execution_id)["statusSummary"] == "first"


def test_a_stop_that_waits_can_be_followed_by_one_that_abandons(service: Service) -> None:
    execution_id = started(service)
    service.take()
    service.stop(execution_id, reason="first")
    service.stop(execution_id, abandon=True, reason="second")
    assert service.status(execution_id) == "Stopped"
    assert service.action_statuses() == {"Build": "Abandoned"}
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
    assert "errorDetails" not in shown(service)
    details = service.api.list_action_executions(pipelineName="release")["actionExecutionDetails"]
    assert [each["status"] for each in details] == ["Abandoned", "Abandoned", "Succeeded"]
    # Recorded: there is no execution result.
    assert details[0]["output"] == {"outputArtifacts": [], "outputVariables": {}}
    assert (details[0]["lastUpdateTime"] - details[0]["startTime"]).total_seconds() == 5
    assert service.summaries()[execution_id]["stopTrigger"] == {}


def unpolled(service: Service) -> dict[str, Any] | None:
    """The job is Queued."""
    return None


def polled(service: Service) -> dict[str, Any] | None:
    """The job is Dispatched."""
    [job] = service.poll()
    return job


def taken(service: Service) -> dict[str, Any] | None:
    """The job is InProgress."""
    return service.take()


def to_be_continued(service: Service) -> dict[str, Any] | None:
    """The first job has ended, and its continuation is Created."""
    job = service.take()
    service.succeed(job, continuationToken="more")
    return job


def continued(service: Service) -> dict[str, Any] | None:
    """The first job has ended, and its continuation is Queued."""
    job = to_be_continued(service)
    service.clock.advance(service.behaviour.continuation_seconds)
    return job


@pytest.mark.parametrize("state", [unpolled, polled, taken, to_be_continued, continued])
def test_jobs_of_an_abandoned_action_are_no_longer_offered(
    service: Service, state: Callable[[Service], dict[str, Any] | None]
) -> None:
    execution_id = started(service)
    state(service)
    service.stop(execution_id, abandon=True)
    assert service.backend.next_due() is None
    for _ in range(3):
        assert service.poll() == []
        service.clock.advance(service.behaviour.acknowledge_seconds)
    service.clock.advance(24 * 60 * 60)
    assert service.action_statuses() == {"Build": "Abandoned"}


def test_an_abandoned_job_has_the_details_of_one_that_has_ended(service: Service) -> None:
    execution_id = started(service)
    job = service.take()
    service.stop(execution_id, abandon=True)
    if service.worker.owner == "ThirdParty":
        code, message = refusal(lambda: service.worker.details(job))
        assert code == "InvalidJobException"
        assert message.endswith("its status is Failed")
        service.behaviour.third_party_details_of_ended = "details"
    assert service.worker.details(job)["id"] == job["id"]


LATE: list[Any] = [
    pytest.param(lambda service, job: service.succeed(job), id="success"),
    pytest.param(lambda service, job: service.fail(job), id="failure"),
    pytest.param(lambda service, job: service.succeed(job, continuationToken="t"), id="token"),
]


@pytest.mark.parametrize("result", LATE)
def test_a_late_result_is_accepted_and_changes_nothing(service: Service, result: Call) -> None:
    execution_id = started(service, [service.action("Build")], [service.action("Deploy")])
    job = service.take()
    service.stop(execution_id, abandon=True)
    before = list(service.entries)
    result(service, job)
    result(service, job)
    service.clock.advance(service.behaviour.continuation_seconds)
    assert service.poll() == []
    assert service.action_statuses() == {"Build": "Abandoned"}
    assert service.status(execution_id) == "Stopped"
    assert service.entries == before


@pytest.mark.parametrize("result", LATE)
def test_a_late_result_may_be_refused(service: Service, result: Call) -> None:
    service.behaviour.result_after_abandonment = "InvalidJobStateException"
    execution_id = started(service)
    job = service.take()
    service.stop(execution_id, abandon=True)
    text = f"Job with id {job['id']} has already terminated"
    assert refusal(lambda: result(service, job)) == ("InvalidJobStateException", text)


def test_a_result_from_before_the_stop_can_be_repeated(service: Service) -> None:
    service.behaviour.result_after_abandonment = "InvalidJobStateException"
    execution_id = started(service)
    job = to_be_continued(service)
    assert job is not None
    service.stop(execution_id, abandon=True)
    service.succeed(job, continuationToken="more")


def test_a_late_result_without_acknowledgment_is_refused_like_any_other(service: Service) -> None:
    execution_id = started(service)
    [job] = service.poll()
    service.stop(execution_id, abandon=True)
    assert refusal(lambda: service.succeed(job))[0] == "InvalidJobStateException"
    service.behaviour.result_before_acknowledgment = "accept"
    service.succeed(job)
    assert service.action_statuses() == {"Build": "Abandoned"}


# What cannot be stopped


def test_an_execution_that_only_waits_for_a_stage_cannot_be_stopped(service: Service) -> None:
    started(service)
    waiting = service.start()
    found = refusal(lambda: service.stop(waiting, abandon=True))
    assert found == ("PipelineExecutionNotStoppableException", NOT_STOPPABLE.format(waiting))


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
    found = refusal(lambda: service.retry(execution_id))
    assert found[0] == "StageNotRetryableException"


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
    assert stage == common | {
        "stage": "Stage2",
        "state": "STOPPING",
        "pipeline-execution-attempt": 0.0,
    }
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
        "action-execution-id": job["data"]["pipelineContext"]["action"]["actionExecutionId"],
        "action": "Build",
        "state": "ABANDONED",
        "region": "eu-west-1",
        "type": service.type_id,
        "version": 1.0,
        "pipeline-execution-attempt": 1.0,
    }


def test_events_of_a_stop_can_be_late_and_arrive_twice(service: Service) -> None:
    execution_id = started(service)
    service.entries.clear()
    service.behaviour.event_lag_seconds = 10
    service.behaviour.events_twice = True
    service.stop(execution_id, abandon=True)
    assert service.entries == []
    service.clock.advance(10)
    service.backend.tick()
    assert service.events().count(("Action", "Build", "ABANDONED")) == 2
