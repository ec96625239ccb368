"""Several executions of one pipeline. ``test_pipelines`` has any sequence of them, in each mode."""

import pytest

from codepipeline_fixtures import Service, action, context


def statuses(service: Service) -> list[str]:
    """The status of each execution, the oldest first."""
    return [each["status"] for each in reversed(service.summaries().values())]


def finish(service: Service) -> str:
    """Let the only queued job succeed; return its execution."""
    job = service.take()
    service.succeed(job)
    return str(context(job)["pipelineExecutionId"])


def test_a_newer_execution_supersedes_one_that_waits(service: Service) -> None:
    service.register()
    service.create()
    first, second, third, fourth = (service.start() for _ in range(4))
    assert statuses(service) == ["InProgress", "Superseded", "Superseded", "InProgress"]
    superseded = service.details("Pipeline", "SUPERSEDED")
    assert [each["execution-id"] for each in superseded] == [second, third]
    service.clock.advance(7)
    assert [finish(service), finish(service)] == [first, fourth]
    assert statuses(service) == ["Succeeded", "Superseded", "Superseded", "Succeeded"]
    begun = [each for each in service.details("Action", "STARTED") if each["action"] == "Build"]
    assert [(each["execution-id"], each["start-time"]) for each in begun] == [
        (first, "2027-01-15T08:00:00.000Z"),
        (fourth, "2027-01-15T08:00:07.000Z"),
    ]


def test_a_retried_stage_is_locked_again(service: Service) -> None:
    service.fail(service.job())
    [first] = service.summaries()
    service.retry(first)
    second = service.start()
    assert [finish(service), finish(service)] == [first, second]


@pytest.mark.parametrize("mode", ["QUEUED", "PARALLEL"])
def test_queued_executions_run_in_order_and_parallel_ones_at_once(
    service: Service, mode: str
) -> None:
    service.register()
    service.create(executionMode=mode, pipelineType="V2")
    started = [service.start() for _ in range(3)]
    if mode == "PARALLEL":
        assert len(service.poll()) == 3
    else:
        assert [finish(service) for _ in started] == started


def test_the_first_stage_is_locked_too(service: Service) -> None:
    repository = service.register(category="Source", provider="Repository")
    service.register()
    structure = service.structure([action("Build")])
    structure["stages"][0]["actions"] = [action("Fetch", repository)]
    service.api.create_pipeline(pipeline=structure)
    first, _, third = (service.start() for _ in range(3))
    assert statuses(service) == ["InProgress", "Superseded", "InProgress"]
    for expected in (first, third):
        [job] = service.poll(actionTypeId=repository)
        assert context(job)["pipelineExecutionId"] == expected
        service.acknowledge(job)
        service.succeed(job)


def test_a_pipeline_that_is_created_again_has_no_old_locks(service: Service) -> None:
    service.job()
    service.api.delete_pipeline(name="release")
    service.begin()
    assert len(service.poll()) == 1
