"""Polling, acknowledgments and details of custom and partner jobs."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    ACCOUNT,
    SIDE_BY_SIDE,
    TYPE,
    WORKERS,
    Service,
    action,
    client,
    configuration_property,
    error_of,
    running_service,
)
from moto_codepipeline import CREDENTIAL_MARKS
from moto_codepipeline.action_types import TypeKey


@pytest.fixture(params=WORKERS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running_service(request.param) as running:
        yield running


only_custom = pytest.mark.parametrize("service", ["Custom"], indirect=True)


@only_custom
def test_a_job_has_everything_that_its_worker_needs(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project")])
    build = action(
        "Build",
        configuration={"Project": "web"},
        inputArtifacts=["SourceOutput"],
        outputArtifacts=["ALongArtifactName"],
    )
    key = {"id": "arn:aws:kms:eu-west-1:123456789012:key/1", "type": "KMS"}
    service.create(
        [build],
        name="a-pipeline-with-a-long-name",
        artifactStore={"type": "S3", "location": "artifacts", "encryptionKey": key},
    )
    execution_id = service.start("a-pipeline-with-a-long-name")
    [job] = service.poll()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", job["id"])
    assert 1 <= len(job["nonce"]) <= 50
    assert job["accountId"] == ACCOUNT
    data = job["data"]
    assert data["actionTypeId"] == TYPE
    assert data["actionConfiguration"] == {"configuration": {"Project": "web"}}
    context = data["pipelineContext"]
    action_execution_id = context["action"].pop("actionExecutionId")
    assert context == {
        "pipelineName": "a-pipeline-with-a-long-name",
        "stage": {"name": "Stage2"},
        "action": {"name": "Build"},
        "pipelineArn": f"arn:aws:codepipeline:eu-west-1:{ACCOUNT}:a-pipeline-with-a-long-name",
        "pipelineExecutionId": execution_id,
    }
    states = service.api.get_pipeline_state(name="a-pipeline-with-a-long-name")["stageStates"]
    shown = states[1]["actionStates"][0]["latestExecution"]
    assert shown["actionExecutionId"] == action_execution_id
    [given], [wanted] = data["inputArtifacts"], data["outputArtifacts"]
    assert given["name"] == "SourceOutput"
    assert given["location"]["s3Location"]["bucketName"] == "artifacts"
    assert re.fullmatch(
        r"a-pipeline-with-a-lo/SourceOutp/\w{7}\.zip", given["location"]["s3Location"]["objectKey"]
    )
    assert wanted["location"]["type"] == "S3"
    assert re.fullmatch(
        r"a-pipeline-with-a-lo/ALongArtif/\w{7}", wanted["location"]["s3Location"]["objectKey"]
    )
    assert data["encryptionKey"] == key
    assert "continuationToken" not in data


def test_credentials_are_recognizable_and_always_new(service: Service) -> None:
    job = service.job()
    seen = [job["data"]["artifactCredentials"]]
    for _ in range(2):
        details = service.worker.details(job)
        seen.append(details["data"]["artifactCredentials"])
    for credentials in seen:
        values = [credentials[k] for k in ("accessKeyId", "secretAccessKey", "sessionToken")]
        assert all(v.startswith(mark) for v, mark in zip(values, CREDENTIAL_MARKS, strict=True))
        assert len(credentials["accessKeyId"]) == 20
    for name in ("accessKeyId", "secretAccessKey", "sessionToken"):
        assert len({credentials[name] for credentials in seen}) == 3


@only_custom
def test_details_have_no_nonce_and_the_same_data(service: Service) -> None:
    job = service.job()
    details = service.api.get_job_details(jobId=job["id"])["jobDetails"]
    assert set(details) == {"id", "data", "accountId"}
    for data in (job["data"], details["data"]):
        del data["artifactCredentials"]
    assert details["data"] == job["data"]


def test_a_poll_returns_the_oldest_jobs_and_no_more_than_requested(service: Service) -> None:
    service.register()
    service.create(**SIDE_BY_SIDE)
    started = [service.start() for _ in range(5)]

    shown = service.api.list_action_executions(pipelineName="release")["actionExecutionDetails"]
    execution_of = {each["actionExecutionId"]: each["pipelineExecutionId"] for each in shown}

    def executions(jobs: list[dict[str, Any]]) -> list[str]:
        actions = [job["data"]["pipelineContext"]["action"] for job in jobs]
        return [execution_of[each["actionExecutionId"]] for each in actions]

    assert executions(service.poll(2)) == started[:2]
    assert executions(service.poll(10)) == started[2:]
    assert service.poll() == []


def test_an_acknowledged_job_is_in_progress_and_not_offered_again(service: Service) -> None:
    service.register()
    service.create()
    service.start()
    [job] = service.poll()
    assert service.acknowledge(job) == "InProgress"
    service.clock.advance(3600)
    assert service.poll() == []


def test_a_job_that_nobody_acknowledges_is_offered_again(service: Service) -> None:
    service.register()
    service.create()
    service.start()
    [first] = service.poll()
    service.clock.advance(59)
    assert service.poll() == []
    service.clock.advance(1)
    [second] = service.poll()
    assert second["id"] == first["id"]
    assert second["nonce"] != first["nonce"]
    assert second["data"]["outputArtifacts"] == first["data"]["outputArtifacts"]


def test_a_job_offered_again_is_still_the_oldest(service: Service) -> None:
    service.register()
    service.create(**SIDE_BY_SIDE)
    service.start()
    [first] = service.poll()
    service.start()
    service.clock.advance(60)
    assert [job["id"] for job in service.poll(1)] == [first["id"]]


def test_a_late_acknowledgment_is_accepted_until_the_job_is_offered_again(service: Service) -> None:
    service.register()
    service.create()
    service.start()
    [job] = service.poll()
    service.clock.advance(60)
    assert service.acknowledge(job) == "InProgress"
    assert service.poll() == []


def test_a_job_of_another_region_is_not_found(service: Service) -> None:
    job = service.job()
    elsewhere = client("codepipeline", region="us-east-1")
    with pytest.raises(ClientError) as caught:
        type(service.worker)(elsewhere, service.backend).details(job)
    assert error_of(caught.value)[0] == "JobNotFoundException"


@only_custom
def test_a_queryable_type_offers_only_the_requested_jobs(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project", queryable=True)])
    projects = ("web", "api", "web")
    service.create(
        [
            action(f"Build{number}", configuration={"Project": project})
            for number, project in enumerate(projects)
        ]
    )
    service.start()
    names = [
        job["data"]["pipelineContext"]["action"]["name"]
        for job in service.poll(queryParam={"Project": "web"})
    ]
    assert names == ["Build0", "Build2"]
    assert service.poll(queryParam={"Project": "none"}) == []
    assert len(service.poll(queryParam={"Project": "api"})) == 1


@only_custom
def test_waiting_shows_how_long_jobs_of_each_type_and_value_have_waited(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project", queryable=True)])
    for value in ("web", "api"):
        service.create([action("Build", configuration={"Project": value})], name=value)
        service.start(value)
        service.backend.clock.advance(5)
    web, api = service.backend.waiting()
    assert (web[1:], api[1:]) == (("web", 10), ("api", 5))
    assert web[0] == api[0] == TypeKey.of(TYPE)
    service.poll(queryParam={"Project": "web"})
    assert service.backend.waiting() == [api]
