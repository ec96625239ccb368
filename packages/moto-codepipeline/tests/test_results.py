"""Results of custom and partner jobs: their members, continuations, and no result in time."""

from typing import Any

import pytest

from codepipeline_fixtures import Service, code_of, configuration_property, context, each_owner
from moto_codepipeline import switches

RESULT: dict[str, Any] = {
    "executionDetails": {"summary": "done", "externalExecutionId": "7", "percentComplete": 100},
    "currentRevision": {"revision": "r", "changeIdentifier": "c", "created": 1_800_000_000},
    "outputVariables": {"a": "1", "b": "2"},
}


def test_a_repeat_of_a_result_may_have_another_order_but_no_other_variables(
    service: Service,
) -> None:
    job = service.job()
    service.succeed(job, **RESULT)
    before = service.stages(), len(service.entries)
    variables = {"outputVariables": {"b": "2", "a": "1"}}
    service.succeed(job, **dict(reversed(RESULT.items())) | variables)
    changed = RESULT | {"outputVariables": {"a": "1", "b": "3"}}
    assert code_of(service.succeed, job, **changed) == "InvalidJobStateException"
    assert (service.stages(), len(service.entries)) == before


@each_owner
def test_a_continuation_creates_a_later_job_of_the_same_action(service: Service) -> None:
    url = "https://ci.example/{Config:Project}/{ExternalExecutionId}"
    service.register(
        settings={"executionUrlTemplate": url},
        configurationProperties=[configuration_property("Project")],
    )
    service.begin([service.action("Build", configuration={"Project": "web"})])
    first = service.take()
    announced = len(service.entries)
    details = {"summary": "half", "percentComplete": 50, "externalExecutionId": "e-1"}
    service.succeed(first, continuationToken='{"step": "é 2"}', executionDetails=details)
    service.clock.advance(29)
    assert service.poll() == []
    service.clock.advance(1)
    [second] = service.poll()
    assert len(service.entries) == announced
    assert second["id"] != first["id"]
    assert second["data"]["continuationToken"] == '{"step": "é 2"}'
    assert context(second) == context(first)
    for member in ("inputArtifacts", "outputArtifacts", "actionConfiguration"):
        assert second["data"][member] == first["data"][member]
    assert second["data"]["artifactCredentials"] != first["data"]["artifactCredentials"]
    shown = service.latest()
    link = "https://ci.example/web/e-1"
    for name, value in (details | {"status": "InProgress", "externalExecutionUrl": link}).items():
        assert shown[name] == value
    [listed, _] = service.action_executions()
    assert listed["status"] == "InProgress"
    assert listed["output"]["executionResult"] == {
        "externalExecutionId": "e-1",
        "externalExecutionSummary": "half",
        "externalExecutionUrl": link,
    }


limits = pytest.mark.parametrize(
    ("service", "limit"), [("Custom", 24 * 3600), ("ThirdParty", 3600)], indirect=["service"]
)


@limits
def test_a_job_without_a_result_times_out(service: Service, limit: int) -> None:
    service.job()
    started = service.latest()["lastStatusChange"]
    service.clock.advance(limit - 1)
    assert service.action_statuses() == {"Build": "InProgress"}
    # It is noticed late, and has its own time.
    service.clock.advance(3 * 24 * 3600)
    shown = service.latest()
    assert (shown["status"], shown["errorDetails"]["code"]) == ("Failed", "JobFailed")
    assert (shown["lastStatusChange"] - started).total_seconds() == limit
    assert service.stage("Stage2")["latestExecution"]["status"] == "Failed"
    [failed] = service.details("Action", "FAILED")
    assert failed["execution-result"] == {
        "external-execution-summary": shown["errorDetails"]["message"],
        "error-code": "JobFailed",
    }


@limits
@pytest.mark.parametrize(("counts", "status"), [("action", "Failed"), ("job", "InProgress")])
def test_the_time_limit_is_for_all_jobs_of_an_action_unless_a_switch_counts_each(
    service: Service, limit: int, counts: str, status: str
) -> None:
    switches.change(service.behaviour, {"timeout_counts": counts})
    job = service.job()
    service.clock.advance(limit - 60)
    service.succeed(job, continuationToken="t")
    service.clock.advance(60)
    assert service.action_statuses() == {"Build": status}
    service.clock.advance(limit - 60)
    assert service.action_statuses() == {"Build": "Failed"}
    assert service.poll() == []


@each_owner
def test_later_progress_replaces_only_what_it_gives(service: Service) -> None:
    job = service.job()
    before = service.latest()
    for details in ({"summary": "half", "percentComplete": 50}, {"percentComplete": 75}, {}):
        service.succeed(job, continuationToken="t", executionDetails=details)
        service.clock.advance(30)
        job = service.take()
    assert service.latest() == before | {"summary": "half", "percentComplete": 75}


@each_owner
def test_a_result_after_the_pipeline_was_deleted_is_accepted(service: Service) -> None:
    job = service.job()
    service.api.delete_pipeline(name="release")
    service.succeed(job)
    service.succeed(job)
