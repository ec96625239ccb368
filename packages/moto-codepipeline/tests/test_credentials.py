"""Artifact credentials over HTTP: valid for the job's artifacts, for fifteen minutes."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    REGION,
    SIDE_BY_SIDE,
    WORKERS,
    Service,
    client,
    error_of,
    refusal_of,
)
from codepipeline_served import served_service
from moto_codepipeline.testing import make_bucket

PART = b"x" * 5 * 2**20


class Job:
    """A job in progress, and its artifacts. ``source`` is already uploaded."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url
        self.job = next(job for job in service.poll() if service.acknowledge(job) == "InProgress")
        self.source = self.place("inputArtifacts")
        self.package = self.place("outputArtifacts")

    def place(self, side: str) -> dict[str, str]:
        """Bucket and key of the job's only input or output artifact."""
        location = self.job["data"][side][0]["location"]["s3Location"]
        return {"Bucket": location["bucketName"], "Key": location["objectKey"]}

    def client(self, service: str = "s3", **config: Any) -> Any:
        """A client with credentials from new details of the job."""
        given = self.service.worker.details(self.job)["data"]["artifactCredentials"]
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=given["accessKeyId"],
            aws_secret_access_key=given["secretAccessKey"],
            aws_session_token=given["sessionToken"],
            config=Config(retries={"total_max_attempts": 1}, **config),
        )


@pytest.fixture(scope="module", params=WORKERS)
def endpoint(request: pytest.FixtureRequest) -> Iterator[tuple[Service, str]]:
    with served_service(request.param) as (service, url):
        admin = client("s3", url)
        make_bucket(admin, "private")
        service.register()
        build = {"inputArtifacts": ["SourceOutput"], "outputArtifacts": ["Package"]}
        service.create([service.action("Build", **build)], **SIDE_BY_SIDE)
        yield service, url


@pytest.fixture
def job(endpoint: tuple[Service, str]) -> Job:
    service, url = endpoint
    service.start()
    running = Job(service, url)
    client("s3", url).put_object(**running.source, Body=b"source")
    return running


def refusal(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    status: int = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    return error_of(caught.value)[0], status


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urlopen(url, timeout=60) as answer:  # noqa: S310 - our own server
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_worker_downloads_its_source_and_uploads_its_package(job: Job) -> None:
    s3 = job.client()
    assert s3.get_object(**job.source)["Body"].read() == b"source"
    assert s3.head_object(**job.source)["ContentLength"] == 6
    s3.put_object(**job.package, Body=b"package", ServerSideEncryption="aws:kms")
    assert client("s3", job.url).get_object(**job.package)["Body"].read() == b"package"


def test_a_package_can_be_uploaded_in_parts(job: Job) -> None:
    s3 = job.client()
    upload = s3.create_multipart_upload(**job.package)["UploadId"]
    named = {**job.package, "UploadId": upload}
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**named, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate((PART, b"end"), start=1)
    ]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    stored = client("s3", job.url).get_object(**job.package)["Body"].read()
    assert stored == PART + b"end"
    other = s3.create_multipart_upload(**job.package)["UploadId"]
    s3.abort_multipart_upload(**job.package, UploadId=other)


def test_credentials_expire_after_fifteen_minutes_and_new_details_have_new_ones(job: Job) -> None:
    s3 = job.client()
    job.service.clock.advance(15 * 60 - 1)
    s3.get_object(**job.source)
    job.service.clock.advance(1)
    expired = ("ExpiredToken", "The provided token has expired.")
    assert refusal_of(s3.get_object, **job.source) == expired
    assert refusal(lambda: s3.put_object(**job.package, Body=PART)) == ("ExpiredToken", 400)
    job.client().get_object(**job.source)


def test_a_switch_sets_how_long_credentials_are_valid(job: Job) -> None:
    job.service.behaviour.artifact_credentials_seconds = 5
    s3 = job.client()
    job.service.behaviour.artifact_credentials_seconds = 15 * 60
    job.service.clock.advance(5)
    assert refusal(lambda: s3.get_object(**job.source)) == ("ExpiredToken", 400)


@pytest.mark.parametrize(
    "call",
    [
        lambda s3, job: s3.get_object(Bucket="artifacts", Key="other"),
        lambda s3, job: s3.get_object(**job.source | {"Bucket": "private"}),
        lambda s3, job: s3.put_object(**job.package | {"Key": job.package["Key"] + "2"}, Body=b""),
        lambda s3, job: s3.delete_object(**job.package),
        lambda s3, job: s3.get_object_tagging(**job.source),
        lambda s3, job: s3.put_object_acl(**job.package, ACL="public-read"),
        lambda s3, job: s3.copy_object(**job.package, CopySource=job.source),
        lambda s3, job: s3.list_objects_v2(Bucket="artifacts"),
        lambda s3, job: s3.delete_bucket(Bucket="artifacts"),
        lambda s3, job: s3.list_buckets(),
    ],
)
def test_credentials_allow_nothing_else_in_s3(job: Job, call: Callable[..., object]) -> None:
    s3 = job.client()
    assert refusal(lambda: call(s3, job)) == ("AccessDenied", 403)


def test_credentials_allow_no_access_to_another_jobs_artifacts(job: Job) -> None:
    job.service.start()
    other = Job(job.service, job.url)
    assert refusal(lambda: job.client().get_object(**other.source)) == ("AccessDenied", 403)


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("dynamodb", "list_tables", "AccessDeniedException"),
        ("lambda", "list_functions", "AccessDeniedException"),
        ("codepipeline", "list_pipelines", "AccessDeniedException"),
        ("iam", "list_roles", "AccessDenied"),
        ("sts", "get_caller_identity", "AccessDenied"),
    ],
)
def test_credentials_allow_no_other_services(job: Job, service: str, call: str, code: str) -> None:
    assert refusal(getattr(job.client(service), call)) == (code, 403)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_credentials_are_checked_in_a_presigned_url_too(job: Job, version: str) -> None:
    s3 = job.client(signature_version=version)
    own = s3.generate_presigned_url("get_object", Params=job.source)
    foreign = s3.generate_presigned_url("get_object", Params=job.source | {"Key": "other"})
    assert fetch(own) == (200, b"source")
    assert fetch(foreign)[0] == 403
    job.service.clock.advance(15 * 60)
    assert fetch(own)[0] == 400


def test_other_access_keys_give_access_to_everything(job: Job) -> None:
    admin = client("s3", job.url)
    job.service.clock.advance(3600)
    assert [each["Name"] for each in admin.list_buckets()["Buckets"]] == [
        "code",
        "artifacts",
        "private",
    ]
