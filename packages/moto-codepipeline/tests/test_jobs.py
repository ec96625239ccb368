"""Polling for jobs, acknowledging them, and asking for their details: custom and partner jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    ACCOUNT,
    SIDE_BY_SIDE,
    TYPE,
    UNKNOWN_JOB,
    WORKERS,
    Service,
    action,
    client,
    configuration_property,
    error_of,
    running_service,
)
from moto_codepipeline import CREDENTIAL_MARKS


@pytest.fixture(params=WORKERS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running_service(request.param) as running:
        yield running


only_custom = pytest.mark.parametrize("service", ["Custom"], indirect=True)


@only_custom
def test_a_job_carries_all_that_its_worker_needs(service: Service) -> None:
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


def test_credentials_are_recognisable_and_never_the_same(service: Service) -> None:
    job = service.job()
    seen = [job["data"]["artifactCredentials"]]
    for _ in range(2):
        details = service.worker.details(job)
        seen.append(details["data"]["artifactCredentials"])
    for credentials in seen:
        values = [credentials[k] for k in ("accessKeyId", "secretAccessKey", "sessionToken")]
        assert all(v.startswith(mark) for v, mark in zip(values, CREDENTIAL_MARKS, strict=True))
        assert len(credentials["accessKeyId"]) == 20
    assert len({credentials["sessionToken"] for credentials in seen}) == 3


@only_custom
def test_details_have_no_nonce_and_the_same_data(service: Service) -> None:
    job = service.job()
    details = service.api.get_job_details(jobId=job["id"])["jobDetails"]
    assert set(details) == {"id", "data", "accountId"}
    for data in (job["data"], details["data"]):
        del data["artifactCredentials"]
    assert details["data"] == job["data"]


def test_polling_hands_out_the_oldest_first_and_no_more_than_asked(service: Service) -> None:
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


def test_a_job_is_not_offered_to_another_worker_meanwhile(service: Service) -> None:
    service.register()
    service.create()
    service.start()
    assert len(service.poll()) == 1
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


def test_the_nonce_of_an_older_offer_is_refused(service: Service) -> None:
    service.register()
    service.create()
    service.start()
    [first] = service.poll()
    service.clock.advance(60)
    [second] = service.poll()
    with pytest.raises(ClientError) as caught:
        service.acknowledge(first)
    assert error_of(caught.value)[0] == "InvalidNonceException"
    assert first["nonce"] not in str(caught.value)
    assert service.acknowledge(second) == "InProgress"


def test_a_late_acknowledgment_counts_until_the_job_is_offered_again(service: Service) -> None:
    service.register()
    service.create()
    service.start()
    [job] = service.poll()
    service.clock.advance(60)
    assert service.acknowledge(job) == "InProgress"
    assert service.poll() == []


@pytest.mark.parametrize("nonce", ["1", "wrong", "n" * 50, "é"])
def test_a_wrong_nonce_is_refused(service: Service, nonce: str) -> None:
    service.register()
    service.create()
    service.start()
    [job] = service.poll()
    with pytest.raises(ClientError) as caught:
        service.acknowledge(job | {"nonce": nonce})
    assert error_of(caught.value)[0] == "InvalidNonceException"
    assert service.acknowledge(job) == "InProgress"


CALLS = ("acknowledge", "details", "succeed", "fail")


def call(service: Service, name: str, job_id: str) -> None:
    """Make one of the calls about a job of the worker's owner."""
    failure = {"failureDetails": {"type": "JobFailed", "message": "no"}} if name == "fail" else {}
    getattr(service.worker, name)({"id": job_id, "nonce": "1"}, **failure)


@pytest.mark.parametrize("name", CALLS)
def test_an_unknown_job_is_not_found(service: Service, name: str) -> None:
    with pytest.raises(ClientError) as caught:
        call(service, name, UNKNOWN_JOB)
    message = f"Job with id '{UNKNOWN_JOB}' does not exist"
    assert error_of(caught.value) == ("JobNotFoundException", message)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_job_of_another_region_is_not_found(service: Service) -> None:
    job = service.job()
    elsewhere = client("codepipeline", region="us-east-1")
    with pytest.raises(ClientError) as caught:
        type(service.worker)(elsewhere, service.backend).details(job)
    assert error_of(caught.value)[0] == "JobNotFoundException"


@pytest.mark.parametrize(
    ("service", "owner"),
    [
        ("Custom", "AWS"),
        ("Custom", "ThirdParty"),
        ("ThirdParty", "AWS"),
        ("ThirdParty", "Custom"),
    ],
    indirect=["service"],
)
def test_only_types_of_the_own_owner_can_be_polled(service: Service, owner: str) -> None:
    service.register()
    with pytest.raises(ClientError) as caught:
        service.poll(actionTypeId=TYPE | {"owner": owner})
    message = f"ActionType with owner '{owner}' is not supported"
    assert error_of(caught.value) == ("ValidationException", message)


def test_polling_for_an_unknown_or_deleted_type_fails(service: Service) -> None:
    service.register()
    service.create()
    service.start()
    service.unregister()
    for version in ("1", "7"):
        with pytest.raises(ClientError) as caught:
            service.poll(actionTypeId=service.type_id | {"version": version})
        message = (
            f"ActionType (Category: 'Build', Owner: '{service.worker.owner}', "
            f"Provider: 'Builder', Version: '{version}') is not available"
        )
        assert error_of(caught.value) == ("ActionTypeNotFoundException", message)


@only_custom
def test_a_queryable_type_offers_only_the_jobs_asked_for(service: Service) -> None:
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
@pytest.mark.parametrize("query", [{}, {"Other": "web"}])
def test_a_queryable_type_must_be_asked_by_its_property(
    service: Service, query: dict[str, str]
) -> None:
    service.register(configurationProperties=[configuration_property("Project", queryable=True)])
    with pytest.raises(ClientError) as caught:
        service.poll(queryParam=query)
    assert error_of(caught.value)[0] == "ValidationException"


@only_custom
def test_a_type_without_queryable_property_takes_no_query(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project")])
    assert service.poll(queryParam={}) == []
    with pytest.raises(ClientError) as caught:
        service.poll(queryParam={"Project": "web"})
    assert error_of(caught.value)[0] == "ValidationException"
