"""S3 source actions: what they read and upload, and how they fail."""

import io
import logging
import zipfile
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from codepipeline_fixtures import (
    ACCOUNT,
    REGION,
    SIDE_BY_SIDE,
    Service,
    client,
    refusal_of,
    running_service,
    source,
)
from moto_codepipeline.testing import put_source

CONSOLE = f"https://console.aws.amazon.com/s3/home?region={REGION}#"


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        running.register()
        yield running


def create(service: Service, **configuration: str) -> None:
    where = {"S3Bucket": "code", "S3ObjectKey": "code.zip"} | configuration
    fetch = source(configuration=where, namespace="Code")
    structure = service.structure([service.action("Build", inputArtifacts=["SourceOutput"])])
    structure["stages"][0]["actions"] = [fetch]
    service.api.create_pipeline(pipeline=structure)


def put(text: bytes, bucket: str = "code") -> str:
    """Upload a version of the source; return its id."""
    put_source(client("s3"), bucket, "code.zip", {"main.py": text})
    version: str = client("s3").head_object(Bucket=bucket, Key="code.zip")["VersionId"]
    return version


def read(job: dict[str, Any]) -> bytes:
    """``main.py`` of the job's input artifact."""
    [artifact] = job["data"]["inputArtifacts"]
    place = artifact["location"]["s3Location"]
    body = client("s3").get_object(Bucket=place["bucketName"], Key=place["objectKey"])["Body"]
    with zipfile.ZipFile(io.BytesIO(body.read())) as zipped:
        return zipped.read("main.py")


def test_the_object_is_the_jobs_input_artifact(service: Service) -> None:
    version = put(b"print(1)")
    create(service)
    service.start()
    job = service.take()
    assert read(job) == b"print(1)"
    assert job["data"]["inputArtifacts"][0]["revision"] == version


def test_the_objects_version_is_shown_as_the_revision(service: Service) -> None:
    version = put(b"print(1)")
    summary = f"Amazon S3 version id: {version}"
    create(service)
    execution_id = service.start()
    [revision] = service.execution(execution_id)["artifactRevisions"]
    shown = {"revisionId": version, "revisionSummary": summary}
    assert revision == shown | {"name": "SourceOutput"}
    [revision] = service.summaries()[execution_id]["sourceRevisions"]
    assert revision == shown | {"actionName": "Fetch"}
    state = service.state("Source")
    assert state["currentRevision"] == {"revisionId": version}
    assert state["entityUrl"] == CONSOLE
    assert state["latestExecution"]["summary"] == summary
    [fetched] = service.action_executions("Fetch")
    variables = fetched["output"]["outputVariables"]
    assert variables["VersionId"] == version
    assert set(variables) == {"BucketName", "ETag", "ObjectKey", "VersionId"}


def test_the_console_is_shown_before_the_first_execution(service: Service) -> None:
    create(service)
    state = service.state("Source")
    assert state == {"actionName": "Fetch", "entityUrl": CONSOLE}


def test_an_execution_has_no_execution_type_and_no_empty_variables(service: Service) -> None:
    create(service)
    execution = service.execution(service.start())
    assert {"executionType", "variables"}.isdisjoint(execution)
    somebody = f"arn:aws:iam::{ACCOUNT}:root"
    started = {"triggerType": "StartPipelineExecution", "triggerDetail": somebody}
    assert execution["trigger"] == started


def test_each_execution_reads_the_present_version(service: Service) -> None:
    create(service)
    for text in (b"1", b"2"):
        put(text)
        service.start()
        job = service.take()
        assert read(job) == text
        service.succeed(job)


def test_an_execution_can_be_started_with_an_earlier_version(service: Service) -> None:
    earlier = put(b"earlier")
    put(b"later")
    create(service)
    override = {"actionName": "Fetch", "revisionValue": earlier}
    service.api.start_pipeline_execution(
        name="release", sourceRevisions=[override | {"revisionType": "S3_OBJECT_VERSION_ID"}]
    )
    assert read(service.take()) == b"earlier"


def test_the_error_names_a_type_of_revision_that_is_refused(service: Service) -> None:
    create(service)
    override = {"actionName": "Fetch", "revisionType": "COMMIT_ID", "revisionValue": "a"}
    code, message = refusal_of(
        service.api.start_pipeline_execution, name="release", sourceRevisions=[override]
    )
    assert code == "ValidationException"
    assert "COMMIT_ID" in message


@pytest.mark.parametrize(
    "where",
    [{"S3ObjectKey": "none.zip"}, {"S3Bucket": "nowhere"}, {}],
    ids=["object", "bucket", "deleted object"],
)
def test_without_the_object_the_action_fails(service: Service, where: dict[str, str]) -> None:
    client("s3").delete_object(Bucket="code", Key="code.zip")
    create(service, **where)
    assert service.status(service.start()) == "Failed"
    place = "/".join(({"S3Bucket": "code", "S3ObjectKey": "code.zip"} | where).values())
    assert service.latest("Source")["errorDetails"] == {
        "code": "ConfigurationError",
        "message": f'Could not access the Amazon S3 object: "{place}". Make sure that the names of '
        "the bucket and object are both correct.",
    }
    assert service.poll() == []


def test_a_switch_lets_a_source_succeed_without_a_version(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.behaviour.source_without_version = "succeed"
    create(service, S3ObjectKey="none.zip")
    with caplog.at_level(logging.WARNING):
        service.start()
    assert "none.zip" in caplog.text
    assert service.take()
    assert "without an artifact" in service.latest("Source")["summary"]


def test_a_retried_source_finds_the_newest_version(service: Service) -> None:
    create(service, S3Bucket="late")
    execution_id = service.start()
    put(b"late", bucket="late")
    service.retry(execution_id, stageName="Source")
    assert read(service.take()) == b"late"


class TestChangeDetection:
    @pytest.mark.parametrize("asked", ["true", "True"])
    def test_a_change_starts_an_execution(self, service: Service, asked: str) -> None:
        create(service, PollForSourceChanges=asked)
        service.succeed(service.take())
        version = put(b"changed")
        service.clock.advance(120)
        service.succeed(service.take())
        newest, first = service.summaries().values()
        assert newest["sourceRevisions"][0]["revisionId"] == version
        expected = {"triggerType": "PollForSourceChanges", "triggerDetail": "Fetch"}
        assert (newest["trigger"], first["trigger"]) == (expected, expected)

    def test_without_a_change_there_is_no_execution(self, service: Service) -> None:
        create(service, PollForSourceChanges="true")
        service.clock.advance(3600)
        assert len(service.summaries()) == 1

    @pytest.mark.parametrize(
        "asked", [{}, *({"PollForSourceChanges": text} for text in ("false", "TRUE", "yes", "1"))]
    )
    def test_change_detection_is_off_by_default(
        self, service: Service, asked: dict[str, str]
    ) -> None:
        create(service, **asked)
        service.clock.advance(3600)
        assert service.summaries() == {}
        assert service.backend.next_due() is None

    def test_a_missing_object_starts_an_execution_once_it_exists(self, service: Service) -> None:
        create(service, S3Bucket="late", PollForSourceChanges="true")
        assert service.summaries() == {}
        put(b"late", bucket="late")
        service.clock.advance(120)
        assert read(service.take()) == b"late"

    def test_a_change_waits_while_no_execution_can_start(self, service: Service) -> None:
        create(service, PollForSourceChanges="true")
        structure = service.api.get_pipeline(name="release")["pipeline"] | SIDE_BY_SIDE
        with patch("moto_codepipeline.executions.EXECUTIONS", 1):
            service.api.update_pipeline(pipeline=structure)
            service.start()
            job = service.take()
            put(b"changed")
            service.clock.advance(120)
            assert len(service.summaries()) == 2
            service.succeed(job)
            service.clock.advance(120)
            assert read(service.take()) == b"changed"

    def test_change_detection_ends_with_the_pipeline(self, service: Service) -> None:
        create(service, PollForSourceChanges="true")
        service.succeed(service.take())
        service.api.delete_pipeline(name="release")
        assert service.backend.next_due() is None

    def test_an_update_can_end_change_detection(self, service: Service) -> None:
        create(service, PollForSourceChanges="true")
        service.succeed(service.take())
        structure = service.api.get_pipeline(name="release")["pipeline"]
        structure["stages"][0]["actions"][0]["configuration"]["PollForSourceChanges"] = "false"
        service.api.update_pipeline(pipeline=structure)
        put(b"changed")
        service.clock.advance(3600)
        assert len(service.summaries()) == 1
