"""A job's details and artifacts from moto-codepipeline, which checks and expires credentials."""

import copy
import logging
from typing import Any

import boto3
import pytest
from moto import mock_aws

from acknowledger_worker import (
    ConfigurationError,
    JobCancelled,
    PermissionError,  # noqa: A004
    RevisionUnavailable,
    aws,
)
from acknowledger_worker.aws import JobServices
from acknowledger_worker.job import Delivery
from moto_codepipeline import CREDENTIAL_MARKS
from moto_codepipeline.http import serve
from moto_codepipeline.testing import CodePipeline

REGION = "eu-west-1"
CHECK = lambda: None  # noqa: E731 - the job goes on
PREFIX = "/client-tokens/"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-abcd-1111-abcd-111111abcdef"


@pytest.fixture(scope="module", params=["Custom", "ThirdParty"])
def endpoint(request):
    with mock_aws(), serve(REGION) as url:
        clients = {
            name: boto3.client(
                name,
                region_name=REGION,
                endpoint_url=url,
                aws_access_key_id="any",
                aws_secret_access_key="any",
            )
            for name in ("codepipeline", "s3", "ssm")
        }
        codepipeline = CodePipeline(REGION)
        codepipeline.artifact_store["encryptionKey"] = {"id": KEY, "type": "KMS"}
        clients["ssm"].put_parameter(
            Name=PREFIX + codepipeline.backend.default_client_id,
            Value=codepipeline.client_token + "\n",
            Type="SecureString",
        )
        yield codepipeline, request.param, url, clients


def taken(codepipeline: CodePipeline, type_id: dict[str, str]) -> dict[str, Any]:
    """The job that waits for a worker, acknowledged."""
    client = codepipeline.client
    if type_id["owner"] == "Custom":
        [job] = client.poll_for_jobs(actionTypeId=type_id)["jobs"]
        client.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
        return dict(job)
    [offer] = client.poll_for_third_party_jobs(actionTypeId=type_id)["jobs"]
    named = {"jobId": offer["jobId"], "clientToken": codepipeline.client_token}
    job = client.get_third_party_job_details(**named)["jobDetails"]
    client.acknowledge_third_party_job(**named, nonce=job["nonce"])
    return {**job, "clientId": offer["clientId"]}


class Asked:
    """A job in progress, as its worker gets it, and its calls to AWS."""

    def __init__(self, codepipeline: CodePipeline, owner: str, clients: dict[str, Any]) -> None:
        action = codepipeline.start("Builder", owner=owner, secrets={"Password": "hunter2"})
        job = taken(codepipeline, action.type_id)
        self.clock, self.clients, self.details = codepipeline.clock, clients, 0
        self.told = copy.deepcopy({**job, "data": {**job["data"], "artifactCredentials": None}})
        self.current_job_id = job["id"]
        delivery = Delivery(job["id"], "a/b/c/1", "token", 60, self.told)
        self.services = JobServices(
            delivery, self.client, None, PREFIX, lambda: self.current_job_id
        )
        self.input, self.output = (
            self.told["data"][side][0] for side in ("inputArtifacts", "outputArtifacts")
        )

    def client(self, service: str) -> Any:
        self.details += service == "codepipeline"
        return self.clients[service]

    def place(self, artifact: dict[str, Any]) -> dict[str, str]:
        location = artifact["location"]["s3Location"]
        return {"Bucket": location["bucketName"], "Key": location["objectKey"]}


@pytest.fixture
def job(endpoint, monkeypatch):
    codepipeline, owner, url, clients = endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = Asked(codepipeline, owner, clients)
    clients["s3"].put_object(**made.place(made.input), Body=b"source")
    return made


def test_artifacts_are_downloaded_and_uploaded_with_the_jobs_credentials(job, tmp_path):
    job.services.download(job.input, tmp_path / "source", CHECK)
    assert (tmp_path / "source").read_bytes() == b"source"
    job.services.upload(job.output, tmp_path / "source", CHECK)
    found = job.clients["s3"].get_object(**job.place(job.output))
    assert found["Body"].read() == b"source"
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", KEY)


def test_without_a_key_artifacts_are_encrypted_with_awss_key(job, tmp_path):
    del job.told["data"]["encryptionKey"]
    (tmp_path / "package").write_text("package")
    job.services.upload(job.output, tmp_path / "package", CHECK)
    found = job.clients["s3"].get_object(**job.place(job.output))
    assert found["ServerSideEncryption"] == "aws:kms"
    assert KEY not in found.get("SSEKMSKeyId", "")


def test_credentials_are_renewed_before_they_expire(job, tmp_path, monkeypatch):
    lasting = aws.CREDENTIALS_SECONDS
    monkeypatch.setattr(aws, "CREDENTIALS_SECONDS", aws.RENEWED_BEFORE_SECONDS)
    job.services.download(job.input, tmp_path / "first", CHECK)
    monkeypatch.setattr(aws, "CREDENTIALS_SECONDS", lasting)
    job.clock.advance(15 * 60)
    job.services.download(job.input, tmp_path / "second", CHECK)
    asked = job.details
    job.services.download(job.input, tmp_path / "third", CHECK)
    assert job.details == asked


def test_a_call_is_repeated_with_new_credentials_if_they_expire_early(job, tmp_path):
    job.services.download(job.input, tmp_path / "first", CHECK)
    job.clock.advance(15 * 60)
    job.services.download(job.input, tmp_path / "second", CHECK)
    job.clock.advance(15 * 60)
    job.services.upload(job.output, tmp_path / "second", CHECK)
    found = job.clients["s3"].get_object(**job.place(job.output))
    assert found["Body"].read() == b"source"


def test_a_transfer_is_repeated_if_its_credentials_expire_midway(job, tmp_path):
    """It may be a large object, which is read from S3 in parts."""
    job.clients["s3"].put_object(**job.place(job.input), Body=bytes(20 * 2**20))
    expired: list[None] = []

    def expire():
        if not expired:
            expired.append(job.clock.advance(15 * 60))

    job.services.download(job.input, tmp_path / "source", expire)
    assert (tmp_path / "source").stat().st_size == 20 * 2**20
    expired.clear()
    job.services.upload(job.output, tmp_path / "source", expire)
    found = job.clients["s3"].head_object(**job.place(job.output))
    assert found["ContentLength"] == 20 * 2**20


@pytest.mark.parametrize("side", ["download", "upload"])
@pytest.mark.parametrize("size", [1, 20 * 2**20])
def test_cancelling_a_job_stops_a_transfer(job, tmp_path, side, size):
    (tmp_path / "package").write_bytes(bytes(size))
    job.clients["s3"].put_object(**job.place(job.input), Body=bytes(size))
    calls = []

    def check():
        calls.append(side)
        raise JobCancelled("stop")

    artifact = job.input if side == "download" else job.output
    with pytest.raises(JobCancelled, match="stop"):
        getattr(job.services, side)(artifact, tmp_path / "package", check)
    assert calls


def test_secret_values_are_in_the_details(job):
    details = job.services.details()
    assert details["actionConfiguration"]["configuration"] == {"Password": "hunter2"}


def test_a_refusal_by_aws_is_reported_without_secrets(job, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    job.input["location"]["s3Location"]["objectKey"] += "-of-another"
    with pytest.raises(PermissionError) as caught:
        job.services.download(job.input, tmp_path / "source", CHECK)
    place = "s3://{Bucket}/{Key}".format(**job.place(job.input))
    assert str(caught.value) == (
        f"input artifact Source could not be read: s3:GetObject of {place}: 403"
    )
    (tmp_path / "package").touch()
    job.output["location"]["s3Location"]["bucketName"] = "nowhere"
    with pytest.raises(
        (PermissionError, RevisionUnavailable),
        match="output artifact Output could not be uploaded: s3:PutObject of s3://nowhere/",
    ):
        job.services.upload(job.output, tmp_path / "package", CHECK)
    assert not any(mark in caplog.text for mark in CREDENTIAL_MARKS)


def test_a_missing_input_is_an_unavailable_revision(job, tmp_path):
    job.clients["s3"].delete_object(**job.place(job.input))
    with pytest.raises(
        RevisionUnavailable,
        match=r"Source could not be read: s3:GetObject of s3://artifacts/.*: 404",
    ):
        job.services.download(job.input, tmp_path / "source", CHECK)


def test_a_job_that_codepipeline_does_not_know_is_cancelled(job):
    job.current_job_id = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(JobCancelled, match="JobNotFoundException"):
        job.services.details()


@pytest.mark.parametrize("endpoint", ["ThirdParty"], indirect=True)
def test_a_partners_job_needs_its_clients_token(job):
    job.told["clientId"] = "unknown"
    with pytest.raises(ConfigurationError, match="no client token at /client-tokens/unknown"):
        job.services.details()
    job.services.client_token_prefix = None
    with pytest.raises(ConfigurationError, match="needs CLIENT_TOKEN_PREFIX"):
        job.services.details()
