"""Executions with their stages and actions, and what the API shows of them.

``test_pipelines`` has any sequence of several executions, in each mode.
"""

from typing import Any

import pytest

from codepipeline_fixtures import (
    ACCOUNT,
    IDLE,
    TYPE,
    UNKNOWN_JOB,
    Service,
    action,
    code_of,
    configuration_property,
    context,
    refusal_of,
)


def finish(service: Service, *names: str) -> None:
    """Let all jobs succeed, which must be those of these actions."""
    for job in service.take_all(*names):
        service.succeed(job)


def test_actions_run_by_run_order_and_in_parallel_within_one(service: Service) -> None:
    service.register()
    execution_id = service.begin(
        [action("Last", runOrder=9), action("A"), action("B", runOrder=1), action("C", runOrder=2)]
    )
    assert service.action_statuses() == {
        "Last": None,
        "A": "InProgress",
        "B": "InProgress",
        "C": None,
    }
    finish(service, "A", "B")
    finish(service, "C")
    finish(service, "Last")
    assert service.status(execution_id) == "Succeeded"


def test_a_failed_action_fails_stage_and_execution(service: Service) -> None:
    service.register()
    build = action("Build", outputArtifacts=["Package"])
    execution_id = service.begin([build, action("Test", runOrder=2)], [action("Deploy")])
    details = {"type": "PermissionError", "message": "No licence", "externalExecutionId": "42"}
    service.worker.fail(service.take(), failureDetails=details)
    assert service.status(execution_id) == "Failed"
    assert service.poll() == []
    stage = service.stage("Stage2")
    assert stage["latestExecution"] == {"pipelineExecutionId": execution_id, "status": "Failed"}
    shown = stage["actionStates"][0]["latestExecution"]
    assert shown["status"] == "Failed"
    assert shown["errorDetails"] == {"code": "PermissionError", "message": "No licence"}
    assert "latestExecution" not in stage["actionStates"][1]
    assert "latestExecution" not in service.stage("Stage3")
    [listed, _] = service.action_executions()
    assert listed["status"] == "Failed"
    assert listed["output"]["outputArtifacts"] == []
    assert listed["output"]["executionResult"] == {
        "externalExecutionId": "42",
        "externalExecutionSummary": "No licence",
        "errorDetails": {"code": "PermissionError"},
    }
    assert service.events()[-3:] == [
        ("Action", "Build", "FAILED"),
        ("Stage", "Stage2", "FAILED"),
        ("Pipeline", "release", "FAILED"),
    ]
    [failed] = service.details("Action", "FAILED")
    assert failed["execution-result"] == {
        "external-execution-summary": "No licence",
        "external-execution-id": "42",
        "error-code": "PermissionError",
    }


def test_an_action_that_has_not_begun_shows_nothing_of_an_earlier_execution(
    service: Service,
) -> None:
    service.register()
    service.begin([action("First"), action("Second", runOrder=2)])
    finish(service, "First")
    finish(service, "Second")
    assert service.action_statuses() == {"First": "Succeeded", "Second": "Succeeded"}
    second = service.start()
    assert service.stage("Stage2")["latestExecution"]["pipelineExecutionId"] == second
    assert service.action_statuses() == {"First": "InProgress", "Second": None}


def test_a_client_request_token_starts_one_execution(service: Service) -> None:
    service.create([action("Deploy", IDLE)])
    ids = [
        service.api.start_pipeline_execution(name="release", clientRequestToken=token)
        for token in ("one", "one", "two")
    ]
    first, again, second = (each["pipelineExecutionId"] for each in ids)
    assert first == again != second
    service.api.delete_pipeline(name="release")
    service.create([action("Deploy", IDLE)])
    started = service.api.start_pipeline_execution(name="release", clientRequestToken="one")
    assert started["pipelineExecutionId"] not in (first, second)


def test_a_type_that_is_deleted_during_an_execution_fails_the_action(service: Service) -> None:
    service.register()
    service.register(provider="Other")
    execution_id = service.begin(
        [action("Build")], [action("Deploy", TYPE | {"provider": "Other"})]
    )
    service.api.delete_custom_action_type(category="Build", provider="Other", version="1")
    service.succeed(service.take())
    assert service.status(execution_id) == "Failed"
    assert service.latest("Stage3")["errorDetails"]["message"] == (
        "ActionType (Category: 'Build', Owner: 'Custom', Provider: 'Other', Version: '1') "
        "is not available"
    )


def test_a_successful_action_is_shown_with_what_it_used_and_made(service: Service) -> None:
    site = "https://ci.example/{Config:Project}"
    service.register(
        settings={
            "entityUrlTemplate": site,
            "executionUrlTemplate": f"{site}/{{ExternalExecutionId}}",
            "revisionUrlTemplate": "https://ci.example/{Config:Token}",
        },
        configurationProperties=[
            configuration_property("Project"),
            configuration_property("Token", secret=True),
        ],
    )
    configuration = {"Project": "web", "Token": "t"}
    build = action(
        "Build",
        configuration=configuration,
        inputArtifacts=["SourceOutput"],
        outputArtifacts=["Package"],
        namespace="Built",
    )
    execution_id = service.begin([build])
    state = service.state()
    assert state["entityUrl"] == "https://ci.example/web"
    assert "revisionUrl" not in state
    assert "externalExecutionUrl" not in state["latestExecution"]
    [started] = [e for e in service.details("Action", "STARTED") if e["action"] == "Build"]
    assert [each["name"] for each in started["input-artifacts"]] == ["SourceOutput"]
    assert "output-artifacts" not in started

    service.clock.advance(7)
    details = {"summary": "all well", "externalExecutionId": "42"}
    job = service.take()
    service.succeed(job, executionDetails=details, outputVariables={"Tag": "v1"})
    assert service.latest()["externalExecutionId"] == "42"
    assert service.latest()["externalExecutionUrl"] == "https://ci.example/web/42"
    answer = service.api.list_action_executions(pipelineName="release")
    assert "nextToken" not in answer
    [built, fetched] = answer["actionExecutionDetails"]
    assert (fetched["stageName"], fetched["actionName"]) == ("Source", "Fetch")
    assert (fetched["status"], fetched["input"]["actionTypeId"]["owner"]) == ("Succeeded", "AWS")
    [artifact] = fetched["output"]["outputArtifacts"]
    assert built["input"]["inputArtifacts"] == [artifact]
    assert artifact["s3location"]["bucket"] == "artifacts"
    assert built["pipelineExecutionId"] == execution_id
    assert (built["lastUpdateTime"] - built["startTime"]).total_seconds() == 7
    assert built["input"]["configuration"] == configuration | {"Token": "****"}
    assert built["input"]["namespace"] == "Built"
    assert built["output"]["outputVariables"] == {"Tag": "v1"}
    assert built["output"]["executionResult"] == {
        "externalExecutionId": "42",
        "externalExecutionSummary": "all well",
        "externalExecutionUrl": "https://ci.example/web/42",
    }
    [package] = built["output"]["outputArtifacts"]
    assert package["name"] == "Package"
    place = job["data"]["outputArtifacts"][0]["location"]["s3Location"]
    assert package["s3location"] == {"bucket": place["bucketName"], "key": place["objectKey"]}
    [_, ended] = service.details("Action", "SUCCEEDED")
    assert ended["execution-result"] == {
        "external-execution-summary": "all well",
        "external-execution-id": "42",
        "external-execution-url": "https://ci.example/web/42",
    }
    assert ended["output-artifacts"] == [package]


def test_variables_are_resolved_for_the_job(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project")])
    texts = [
        "#{variables.Colour}/#{variables.Size}",
        "#{First.Tag}-#{codepipeline.PipelineExecutionId}",
    ]
    variables = [
        {"name": "Colour", "defaultValue": "red"},
        {"name": "Size", "defaultValue": "small"},
    ]
    service.create(
        [action("First", configuration={"Project": texts[0]}, namespace="First")],
        [action("Second", configuration={"Project": f"{texts[1]} #{{First.None}}"})],
        pipelineType="V2",
        variables=variables,
    )
    execution_id = service.api.start_pipeline_execution(
        name="release", variables=[{"name": "Size", "value": "big"}]
    )["pipelineExecutionId"]
    first = service.take()
    assert first["data"]["actionConfiguration"]["configuration"] == {"Project": "red/big"}
    service.succeed(first, outputVariables={"Tag": "v1"})
    second = service.take()
    resolved = {"Project": f"v1-{execution_id} #{{First.None}}"}
    assert second["data"]["actionConfiguration"]["configuration"] == resolved
    [details, *_] = service.action_executions()
    assert details["input"]["resolvedConfiguration"] == resolved
    assert details["input"]["configuration"] == {"Project": f"{texts[1]} #{{First.None}}"}
    assert service.execution(execution_id)["variables"] == [
        {"name": "Colour", "resolvedValue": "red"},
        {"name": "Size", "resolvedValue": "big"},
    ]


def test_a_custom_source_sets_the_revision(service: Service) -> None:
    repository = service.register(category="Source", provider="Repository")
    service.register()
    structure = service.structure([action("Build", inputArtifacts=["Code"])])
    structure["stages"][0]["actions"] = [action("Fetch", repository, outputArtifacts=["Code"])]
    service.api.create_pipeline(pipeline=structure)
    execution_id = service.start()
    [job] = service.poll(actionTypeId=repository)
    service.acknowledge(job)
    revision = {"revision": "abc123", "changeIdentifier": "c1", "revisionSummary": "Fix"}
    service.succeed(job, currentRevision=revision)
    [build] = service.poll()
    assert [each["revision"] for each in build["data"]["inputArtifacts"]] == ["abc123"]
    assert service.state("Source")["currentRevision"]["revisionId"] == "abc123"
    shown = {"revisionId": "abc123", "revisionSummary": "Fix"}
    assert service.execution(execution_id)["artifactRevisions"] == [
        shown | {"name": "Code", "revisionChangeIdentifier": "c1"}
    ]
    summary = service.summaries()[execution_id]
    assert summary["sourceRevisions"] == [shown | {"actionName": "Fetch"}]


def test_executions_are_listed_newest_first_in_pages(service: Service) -> None:
    service.register()
    service.create()
    started = [service.start() for _ in range(5)]
    pages = service.api.get_paginator("list_pipeline_executions").paginate(
        pipelineName="release", PaginationConfig={"PageSize": 2}
    )
    found = [[e["pipelineExecutionId"] for e in p["pipelineExecutionSummaries"]] for p in pages]
    newest = started[::-1]
    assert found == [newest[:2], newest[2:4], newest[4:]]


def test_executions_can_be_filtered_by_a_stage_they_passed(service: Service) -> None:
    service.register()
    service.create()
    first, _ = service.start(), service.start()
    [job] = service.poll(1)
    service.acknowledge(job)
    service.succeed(job)
    listed = service.api.list_pipeline_executions(
        pipelineName="release", filter={"succeededInStage": {"stageName": "Stage2"}}
    )["pipelineExecutionSummaries"]
    assert [(each["pipelineExecutionId"], each["status"]) for each in listed] == [
        (first, "Succeeded")
    ]


def test_action_executions_can_be_filtered_and_paged(service: Service) -> None:
    service.create([action("Deploy", IDLE)])
    first, _ = service.start(), service.start()
    listed = service.action_executions(filter={"pipelineExecutionId": first})
    assert [each["pipelineExecutionId"] for each in listed] == [first, first]
    page = service.api.list_action_executions(pipelineName="release", maxResults=3)
    rest = service.api.list_action_executions(pipelineName="release", nextToken=page["nextToken"])
    assert len(page["actionExecutionDetails"]) == 3
    assert len(rest["actionExecutionDetails"]) == 1


RETRY = {"stageName": "Stage2", "pipelineExecutionId": UNKNOWN_JOB, "retryMode": "ALL_ACTIONS"}
RETRY["pipelineName"] = "release"
NO_PIPELINE = f"Account '{ACCOUNT}' does not have a pipeline with name 'release'"
NOT_INCLUDED = (
    f"The account with AWS account ID '{ACCOUNT}' does not include a pipeline named 'release'"
)


@pytest.mark.parametrize(
    ("method", "request_", "text"),
    [
        ("start_pipeline_execution", {"name": "release"}, NO_PIPELINE),
        ("get_pipeline_state", {"name": "release"}, NO_PIPELINE),
        ("list_action_executions", {"pipelineName": "release"}, NOT_INCLUDED),
        ("list_pipeline_executions", {"pipelineName": "release"}, NO_PIPELINE),
        ("retry_stage_execution", RETRY, NO_PIPELINE),
    ],
)
def test_a_missing_pipeline_is_not_found(
    service: Service, method: str, request_: dict[str, Any], text: str
) -> None:
    refusal = refusal_of(getattr(service.api, method), **request_)
    assert refusal == ("PipelineNotFoundException", text)


def test_a_missing_execution_is_not_found(service: Service) -> None:
    service.create([action("Deploy", IDLE)])
    only = {"filter": {"pipelineExecutionId": UNKNOWN_JOB}}
    code = "PipelineExecutionNotFoundException"
    assert code_of(service.status, UNKNOWN_JOB) == code
    assert code_of(service.action_executions, **only) == code


def test_the_latest_attempts_are_not_listed_apart(service: Service) -> None:
    service.register()
    service.create()
    execution = {"pipelineExecutionId": service.start()}

    def listed(time_range: str) -> list[dict[str, Any]]:
        latest = execution | {"startTimeRange": time_range}
        return service.action_executions(filter={"latestInPipelineExecution": latest})

    assert len(listed("All")) == 2
    assert "no startTimeRange Latest: use All" in refusal_of(listed, "Latest")[1]


# Several executions


def finish_only(service: Service) -> str:
    """Let the only queued job succeed; return its execution."""
    job = service.take()
    service.succeed(job)
    return str(context(job)["pipelineExecutionId"])


def test_a_newer_execution_supersedes_one_that_waits(service: Service) -> None:
    service.register()
    service.create()
    first, second, third, fourth = (service.start() for _ in range(4))
    superseded = service.details("Pipeline", "SUPERSEDED")
    assert [each["execution-id"] for each in superseded] == [second, third]
    service.clock.advance(7)
    assert [finish_only(service), finish_only(service)] == [first, fourth]
    begun = [each for each in service.details("Action", "STARTED") if each["action"] == "Build"]
    assert [(each["execution-id"], each["start-time"]) for each in begun] == [
        (first, "2027-01-15T08:00:00.000Z"),
        (fourth, "2027-01-15T08:00:07.000Z"),
    ]


def test_the_first_stage_is_locked_too(service: Service) -> None:
    repository = service.register(category="Source", provider="Repository")
    service.register()
    structure = service.structure([action("Build")])
    structure["stages"][0]["actions"] = [action("Fetch", repository)]
    service.api.create_pipeline(pipeline=structure)
    first, second, third = (service.start() for _ in range(3))
    assert service.status(second) == "Superseded"
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
