"""Several executions of one pipeline: they supersede each other, queue, or run in parallel."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codepipeline_fixtures import (
    BOUNDED,
    SIDE_BY_SIDE,
    TYPE,
    Service,
    action,
    error_of,
    running_service,
)

QUEUED = {"executionMode": "QUEUED", "pipelineType": "V2"}
WAITING_MODES: list[dict[str, str]] = [{}, {"executionMode": "SUPERSEDED"}, QUEUED]


def starts(service: Service, count: int, *stages: list[dict[str, Any]], **mode: str) -> list[str]:
    """Executions of a new pipeline, all started now. ``finish`` ends their actions."""
    service.register()
    service.create(*stages, **mode)
    return [service.start() for _ in range(count)]


def statuses(service: Service) -> list[str]:
    """The status of each execution, the oldest first."""
    return [each["status"] for each in reversed(service.summaries().values())]


def finish(service: Service) -> str:
    """Let the only queued job succeed; return its execution."""
    job = service.take()
    service.succeed(job)
    execution_id: str = job["data"]["pipelineContext"]["pipelineExecutionId"]
    return execution_id


@pytest.mark.parametrize("mode", WAITING_MODES)
def test_a_stage_runs_one_execution_at_a_time(service: Service, mode: dict[str, str]) -> None:
    first, second = starts(service, 2, **mode)
    assert len(service.poll()) == 1
    assert statuses(service) == ["InProgress", "InProgress"]
    service.clock.advance(60)
    assert finish(service) == first
    assert finish(service) == second
    assert statuses(service) == ["Succeeded", "Succeeded"]


def test_a_newer_execution_supersedes_one_that_waits(service: Service) -> None:
    first, second, third, fourth = starts(service, 4)
    assert statuses(service) == ["InProgress", "Superseded", "Superseded", "InProgress"]
    superseded = service.details("Pipeline", "SUPERSEDED")
    assert [each["execution-id"] for each in superseded] == [second, third]
    assert [finish(service), finish(service)] == [first, fourth]
    assert statuses(service) == ["Succeeded", "Superseded", "Superseded", "Succeeded"]
    assert service.poll() == []


def test_queued_executions_run_in_order(service: Service) -> None:
    started = starts(service, 4, **QUEUED)
    assert statuses(service) == ["InProgress"] * 4
    assert [finish(service) for _ in range(4)] == started
    assert statuses(service) == ["Succeeded"] * 4


def test_parallel_executions_are_independent(service: Service) -> None:
    starts(service, 3, **SIDE_BY_SIDE)
    jobs = service.poll()
    assert len(jobs) == 3
    for job in reversed(jobs):
        service.acknowledge(job)
        service.succeed(job)
    assert statuses(service) == ["Succeeded"] * 3


@pytest.mark.parametrize("mode", WAITING_MODES)
def test_executions_wait_for_each_stage_and_never_overtake(
    service: Service, mode: dict[str, str]
) -> None:
    first, second = starts(service, 2, [action("Build")], [action("Deploy")], **mode)
    [build] = service.take_all("Build")
    service.succeed(build)
    build, deploy = service.take_all("Build", "Deploy")
    contexts = [job["data"]["pipelineContext"] for job in (build, deploy)]
    assert [each["pipelineExecutionId"] for each in contexts] == [second, first]
    service.succeed(build)
    assert service.poll() == []
    service.succeed(deploy)
    assert finish(service) == second


def test_each_stage_has_its_own_queue(service: Service) -> None:
    first, second, third, fourth = starts(service, 4, [action("A")], [action("B")], **QUEUED)
    [a] = service.take_all("A")
    service.succeed(a)
    a, _ = service.take_all("A", "B")
    service.succeed(a)
    [a] = service.take_all("A")
    service.succeed(a)

    def inbound(stage: str) -> list[str]:
        return [each["pipelineExecutionId"] for each in service.stage(stage)["inboundExecutions"]]

    assert inbound("Stage3") == [second, third]
    assert service.stage("Stage3")["inboundExecution"]["pipelineExecutionId"] == second
    assert service.stage("Stage3")["latestExecution"]["pipelineExecutionId"] == first
    assert service.stage("Stage2")["latestExecution"]["pipelineExecutionId"] == fourth


def test_the_state_shows_the_executions_that_wait(service: Service) -> None:
    first, _, third = starts(service, 3)
    stage = service.stage("Stage2")
    waiting = {"pipelineExecutionId": third, "status": "InProgress"}
    assert stage["inboundExecution"] == waiting
    assert stage["inboundExecutions"] == [waiting]
    assert stage["latestExecution"]["pipelineExecutionId"] == first
    finish(service)
    stage = service.stage("Stage2")
    assert "inboundExecution" not in stage
    assert stage["inboundExecutions"] == []
    assert stage["latestExecution"]["pipelineExecutionId"] == third


def fails(service: Service, job: dict[str, Any]) -> None:
    service.fail(job)


def is_stopped(service: Service, job: dict[str, Any]) -> None:
    service.stop(job["data"]["pipelineContext"]["pipelineExecutionId"])
    assert service.poll() == [], "the stage is locked while it is Stopping"
    service.succeed(job)


def is_abandoned(service: Service, job: dict[str, Any]) -> None:
    service.stop(job["data"]["pipelineContext"]["pipelineExecutionId"], abandon=True)


def times_out(service: Service, _: dict[str, Any]) -> None:
    service.clock.advance(service.behaviour.action_timeout_seconds)


@pytest.mark.parametrize("end", [fails, is_stopped, is_abandoned, times_out])
def test_an_execution_that_ends_in_a_stage_lets_the_next_one_in(service: Service, end: Any) -> None:
    first, second = starts(service, 2)
    end(service, service.take())
    assert service.status(first) in ("Failed", "Stopped")
    assert finish(service) == second
    with pytest.raises(service.api.exceptions.NotLatestPipelineExecutionException):
        service.retry(first)


def test_a_retried_stage_is_locked_again(service: Service) -> None:
    [first] = starts(service, 1)
    service.fail(service.take())
    service.retry(first)
    second = service.start()
    assert finish(service) == first
    assert finish(service) == second


def test_a_superseded_execution_cannot_be_retried_or_stopped(service: Service) -> None:
    _, second, _ = starts(service, 3)
    for call in (service.retry, service.stop):
        with pytest.raises(service.api.exceptions.ClientError) as caught:
            call(second)
        assert error_of(caught.value)[0] in (
            "StageNotRetryableException",
            "PipelineExecutionNotStoppableException",
        )
    assert service.status(second) == "Superseded"


def test_an_action_of_a_superseding_execution_starts_when_the_stage_is_free(
    service: Service,
) -> None:
    first, second = starts(service, 2)
    service.clock.advance(7)
    finish(service)
    job = service.take()
    assert job["data"]["pipelineContext"]["pipelineExecutionId"] == second
    begun = [each for each in service.details("Action", "STARTED") if each["action"] == "Build"]
    assert [(each["execution-id"], each["start-time"]) for each in begun] == [
        (first, "2027-01-15T08:00:00.000Z"),
        (second, "2027-01-15T08:00:07.000Z"),
    ]


def test_the_first_stage_is_locked_too(service: Service) -> None:
    service.register(category="Source", provider="Repository")
    repository = TYPE | {"category": "Source", "provider": "Repository"}
    service.register()
    structure = service.structure([action("Build")])
    structure["stages"][0]["actions"] = [action("Fetch", repository)]
    service.api.create_pipeline(pipeline=structure)
    first, _, third = (service.start() for _ in range(3))
    assert statuses(service) == ["InProgress", "Superseded", "InProgress"]
    for expected in (first, third):
        [job] = service.poll(actionTypeId=repository)
        assert job["data"]["pipelineContext"]["pipelineExecutionId"] == expected
        service.acknowledge(job)
        service.succeed(job)


def test_a_pipeline_that_is_created_again_has_no_old_locks(service: Service) -> None:
    starts(service, 2)
    service.poll()
    service.api.delete_pipeline(name="release")
    service.create()
    service.start()
    assert len(service.poll()) == 1


STAGES = ("Stage2", "Stage3", "Stage4")


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("mode", WAITING_MODES[1:])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["start", "start", "succeed", "succeed", "fail", "stop", "abandon"]),
            st.integers(0, 2),
        ),
        max_size=40,
    )
)
@settings(BOUNDED, max_examples=30)
def test_no_job_overtakes_another_and_none_is_lost(
    mode: dict[str, str], steps: list[tuple[str, int]]
) -> None:
    with running_service() as service:
        started = starts(service, 0, *([action(f"In{name}")] for name in STAGES), **mode)
        jobs: list[dict[str, Any]] = []

        def work(step: str, choice: int) -> None:
            if step == "start":
                started.append(service.start())
                return
            jobs.extend(service.poll())
            if not jobs:
                return
            job = jobs[choice % len(jobs)]
            execution_id = job["data"]["pipelineContext"]["pipelineExecutionId"]
            if step == "stop" and service.status(execution_id) == "Stopping":
                return
            if step in ("stop", "abandon"):
                service.stop(execution_id, abandon=step == "abandon")
            else:
                service.acknowledge(job)
                (service.succeed if step == "succeed" else service.fail)(job)
            if step != "stop":
                jobs.remove(job)

        def places() -> dict[str, int]:
            """How many stages each execution in progress has entered."""
            begun = service.details("Stage", "STARTED")
            found = service.summaries()
            return {
                each: sum(detail["execution-id"] == each for detail in begun)
                for each in started
                if found[each]["status"] in ("InProgress", "Stopping")
            }

        for step in steps:
            work(*step)
            far = list(places().values())
            assert far == sorted(far, reverse=True), "an execution has overtaken an older one"
            inside = [
                each
                for stage in service.stages()
                if stage["stageName"] in STAGES
                for each in stage["actionStates"]
                if each.get("latestExecution", {}).get("status") == "InProgress"
            ]
            jobs.extend(service.poll())
            assert len(inside) == len(jobs), "a stage runs two executions, or none"
            if mode == QUEUED:
                assert "Superseded" not in statuses(service)
        while places():
            work("succeed", 0)
        assert set(statuses(service)) <= {"Succeeded", "Failed", "Stopped", "Superseded"}
