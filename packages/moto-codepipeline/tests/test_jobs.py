"""What custom and partner jobs have. ``test_properties`` has any sequence of calls for them."""

import re

from codepipeline_fixtures import (
    ACCOUNT,
    SIDE_BY_SIDE,
    TYPE,
    Service,
    Worker,
    client,
    code_of,
    configuration_property,
    context,
    each_owner,
    refusal_of,
)
from moto_codepipeline import CREDENTIAL_MARKS
from moto_codepipeline.action_types import TypeKey

NAME = "a-pipeline-with-a-long-name"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@each_owner
def test_a_job_has_everything_that_its_worker_needs(service: Service) -> None:
    custom = service.worker.owner == "Custom"
    properties = [configuration_property("Project"), configuration_property("Key", secret=True)]
    service.register(configurationProperties=properties)
    configuration = {"Project": "web", "Key": "k-1"}
    sides = {"inputArtifacts": ["SourceOutput"], "outputArtifacts": ["ALongArtifactName"]}
    key = {"id": "arn:aws:kms:eu-west-1:123456789012:key/1", "type": "KMS"}
    service.create(
        [service.action("Build", configuration=configuration, **sides)],
        name=NAME,
        artifactStore={"type": "S3", "location": "artifacts", "encryptionKey": key},
    )
    execution_id = service.start(NAME)
    [job] = service.poll()
    assert bool(re.fullmatch(UUID, job["id"])) is custom
    assert 1 <= len(job["nonce"]) <= 50
    data = job["data"]
    assert data["actionTypeId"] == service.type_id
    assert data["actionConfiguration"] == {"configuration": configuration}
    latest = service.stage("Stage2", NAME)["actionStates"][0]["latestExecution"]
    # A partner does not get the pipeline's ARN and execution.
    arn = f"arn:aws:codepipeline:eu-west-1:{ACCOUNT}:{NAME}"
    own = {"pipelineArn": arn, "pipelineExecutionId": execution_id} if custom else {}
    assert context(job) == own | {
        "pipelineName": NAME,
        "stage": {"name": "Stage2"},
        "action": {"name": "Build", "actionExecutionId": latest["actionExecutionId"]},
    }
    [given], [wanted] = data["inputArtifacts"], data["outputArtifacts"]
    assert (given["name"], wanted["name"]) == ("SourceOutput", "ALongArtifactName")
    place = given["location"]["s3Location"]
    assert place["bucketName"] == "artifacts"
    assert re.fullmatch(r"a-pipeline-with-a-lo/SourceOutp/\w{7}\.zip", place["objectKey"])
    assert wanted["location"]["type"] == "S3"
    place = wanted["location"]["s3Location"]
    assert re.fullmatch(r"a-pipeline-with-a-lo/ALongArtif/\w{7}", place["objectKey"])
    assert data["encryptionKey"] == key
    assert "continuationToken" not in data
    details = service.worker.details(job)
    assert details.get("accountId") == (ACCOUNT if custom else None)
    credentials = [each["data"].pop("artifactCredentials") for each in (job, details)]
    assert details["data"] == data
    assert credentials[0] != credentials[1]
    shown = service.api.get_pipeline(name=NAME)["pipeline"]["stages"][1]["actions"][0]
    assert shown["configuration"] == {"Project": "web", "Key": "****"}


@each_owner
def test_credentials_are_recognizable_and_always_new(service: Service) -> None:
    job = service.job()
    given = [job, service.worker.details(job), service.worker.details(job)]
    seen = [each["data"]["artifactCredentials"] for each in given]
    names = ("accessKeyId", "secretAccessKey", "sessionToken")
    for name, mark in zip(names, CREDENTIAL_MARKS, strict=True):
        assert all(credentials[name].startswith(mark) for credentials in seen)
        assert len({credentials[name] for credentials in seen}) == 3
    assert {len(credentials["accessKeyId"]) for credentials in seen} == {20}


@each_owner
def test_a_job_that_nobody_acknowledges_is_offered_again(service: Service) -> None:
    service.register()
    service.begin()
    [first] = service.poll()
    service.clock.advance(59)
    assert service.poll() == []
    service.clock.advance(1)
    [second] = service.poll()
    assert second["id"] == first["id"]
    assert second["nonce"] != first["nonce"]
    assert second["data"]["outputArtifacts"] == first["data"]["outputArtifacts"]


@each_owner
def test_a_job_offered_again_is_still_the_oldest(service: Service) -> None:
    service.register()
    service.begin(**SIDE_BY_SIDE)
    [first] = service.poll()
    service.start()
    service.clock.advance(60)
    assert [job["id"] for job in service.poll(1)] == [first["id"]]


@each_owner
def test_a_job_of_another_region_is_not_found(service: Service) -> None:
    elsewhere = client("codepipeline", region="us-east-1")
    worker = Worker(elsewhere, service.backend, service.worker.owner)
    assert code_of(worker.details, service.job()) == "JobNotFoundException"


def test_waiting_shows_how_long_jobs_of_each_type_and_value_have_waited(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project", queryable=True)])
    for value in ("web", "api"):
        service.create([service.action("Build", configuration={"Project": value})], name=value)
        service.start(value)
        service.backend.clock.advance(5)
    web, api = service.backend.waiting()
    assert (web[1:], api[1:]) == (("web", 10), ("api", 5))
    assert web[0] == api[0] == TypeKey.of(TYPE)
    service.poll(queryParam={"Project": "web"})
    assert service.backend.waiting() == [api]


@each_owner
def test_a_job_may_be_queued_after_its_event(service: Service) -> None:
    service.behaviour.started_before_queued_seconds = 5
    service.register()
    service.begin()
    assert service.events()[-1] == ("Action", "Build", "STARTED")
    assert service.poll() == []
    service.clock.advance(5)
    assert len(service.poll()) == 1


@each_owner
def test_throttled_calls_fail_until_the_second_is_over(service: Service) -> None:
    service.behaviour.throttle = 2
    service.register()
    service.begin()
    assert len(service.poll()) + len(service.poll()) == 1
    assert refusal_of(service.poll) == ("ThrottlingException", "Rate exceeded")
    service.api.list_pipelines()
    service.clock.advance(1)
    assert service.poll() == []
