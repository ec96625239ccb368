"""The calls to AWS: a job's details, artifacts, progress, its task, and claims."""

import functools
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver, RefreshableCredentials
from botocore.exceptions import ClientError
from botocore.loaders import create_loader

from acknowledger_worker import errors
from acknowledger_worker.errors import AWSUnavailable, ConfigurationError, JobHeld, aws_errors
from acknowledger_worker.job import Delivery
from acknowledger_worker.outcome import Failure, Outcome, output

logger = logging.getLogger(__package__)

CREDENTIALS_SECONDS = 15 * 60
RENEWED_BEFORE_SECONDS = 5 * 60
CLAIM_SECONDS = 120
# S3 gives no error code for HEAD requests, only the status.
MAYBE_EXPIRED = {"400", "403", "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken"}

Client = Callable[[str], Any]

_CONFIG = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 6}
)
# SQS answers a long poll after up to 20 seconds.
_PATIENT = Config(connect_timeout=3, read_timeout=30, retries={"mode": "standard"})
_loader = functools.cache(create_loader)


@functools.cache
def client(service: str) -> Any:
    """The boto3 client of a service, created on first use."""
    return boto3.client(service, config=_PATIENT if service == "sqs" else _CONFIG)


@dataclass(eq=False)
class JobServices:
    """A job's `Services` in AWS. Methods raise the errors of `aws_errors`.

    Args:
        delivery: the job.
        client: creates the client of a service.
        job_bus_name: JobBus, for progress.
        client_token_prefix: the path of the client tokens in Parameter Store.
        current_job_id: returns the job that continues this one, once progress was shown.
    """

    delivery: Delivery
    client: Client
    job_bus_name: str | None
    client_token_prefix: str | None
    current_job_id: Callable[[], str]
    _check: Callable[[], None] = field(default=lambda: None, init=False)

    def details(self) -> dict[str, Any]:
        """The job's data, with new credentials and the real values of secret properties.

        Raises:
            ConfigurationError: there is no client token for the partner's job.

        Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetJobDetails.html
        """
        codepipeline = self.client("codepipeline")
        job_id = self.current_job_id()
        what = "the job's details could not be read"
        if client_id := self.delivery.job.get("clientId"):
            token = self._client_token(client_id)
            with aws_errors(what):
                answer = codepipeline.get_third_party_job_details(jobId=job_id, clientToken=token)
        else:
            with aws_errors(what):
                answer = codepipeline.get_job_details(jobId=job_id)
        data: dict[str, Any] = answer["jobDetails"]["data"]
        return data

    def download(self, artifact: Mapping[str, Any], path: Path, check: Callable[[], None]) -> None:
        """Download an artifact's object to a file."""
        self._transfer(
            f"input artifact {artifact['name']} could not be read: s3:GetObject",
            artifact,
            check,
            lambda place: self._s3.download_file(**place, Filename=str(path)),
        )

    def upload(self, artifact: Mapping[str, Any], path: Path, check: Callable[[], None]) -> None:
        """Upload a file as an artifact's object, encrypted with the artifact store's key."""
        # An artifact store without its own key accepts only objects encrypted with AWS's key.
        encryption = {"ServerSideEncryption": "aws:kms"}
        if key := self.delivery.job["data"].get("encryptionKey"):
            encryption["SSEKMSKeyId"] = key["id"]

        def put(place: dict[str, Any]) -> None:
            with path.open("rb") as source:
                self._s3.upload_fileobj(source, **place, ExtraArgs=encryption)

        what = f"output artifact {artifact['name']} could not be uploaded: s3:PutObject"
        self._transfer(what, artifact, check, put)

    def _transfer(
        self,
        what: str,
        artifact: Mapping[str, Any],
        check: Callable[[], None],
        call: Callable[[dict[str, Any]], None],
    ) -> None:
        """Call S3, and again with new credentials if they may have expired."""
        location = artifact["location"]["s3Location"]
        bucket, key = location["bucketName"], location["objectKey"]
        place = {"Bucket": bucket, "Key": key, "Callback": lambda _: check()}
        self._check = check
        with aws_errors(f"{what} of s3://{bucket}/{key}", ended=()):
            try:
                call(place)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in MAYBE_EXPIRED:
                    raise
                del self._s3
                call(place)

    def tell_progress(self, progress: Mapping[str, Any]) -> None:
        """Put a `Job Progress` event. If that fails, it is logged, and the job goes on.

        Raises:
            ConfigurationError: JobBus's name is not set.
        """
        if not self.job_bus_name:
            raise ConfigurationError("the worker needs JOB_BUS_NAME to report progress")
        entry = {
            "EventBusName": self.job_bus_name,
            "Source": "acknowledger-worker",
            "DetailType": "Job Progress",
            "Detail": json.dumps({"jobId": self.delivery.job_id, **progress}),
        }
        try:
            with aws_errors("progress could not be reported"):
                answer = self.client("events").put_events(Entries=[entry])
        except (AWSUnavailable, errors.PermissionError) as error:
            logger.warning("job %s: %s", self.delivery.job_id, error)
            return
        if answer["FailedEntryCount"]:
            code = answer["Entries"][0].get("ErrorCode")
            told = "job %s: progress could not be reported: %s"
            logger.warning(told, self.delivery.job_id, code)

    def _client_token(self, client_id: str) -> str:
        if not self.client_token_prefix:
            raise ConfigurationError("the worker needs CLIENT_TOKEN_PREFIX for partners' jobs")
        name = f"{self.client_token_prefix}{client_id}"
        with aws_errors(f"the client token at {name} could not be read"):
            try:
                found = self.client("ssm").get_parameter(Name=name, WithDecryption=True)
            except self.client("ssm").exceptions.ParameterNotFound:
                raise ConfigurationError(f"there is no client token at {name}") from None
        return str(found["Parameter"]["Value"]).strip()

    @functools.cached_property
    def _s3(self) -> Any:
        """S3 with the job's credentials, which are renewed in time."""
        session = botocore.session.Session()
        session.register_component("data_loader", _loader())
        session.register_component(
            "credential_provider", CredentialResolver([_ArtifactCredentials(self._credentials)])
        )
        region = self.client("codepipeline").meta.region_name
        s3 = boto3.Session(botocore_session=session, region_name=region).client(
            "s3", config=_CONFIG
        )
        # botocore retries a request whose callback raised an exception, as if the network had
        # failed; this raises it again.
        s3.meta.events.register_first("needs-retry.s3", lambda **_: self._check())
        return s3

    def _credentials(self) -> dict[str, str]:
        given = self.details()["artifactCredentials"]
        expires = datetime.now(UTC) + timedelta(seconds=CREDENTIALS_SECONDS)
        return {
            "access_key": given["accessKeyId"],
            "secret_key": given["secretAccessKey"],
            "token": given["sessionToken"],
            "expiry_time": expires.isoformat(),
        }


class _ArtifactCredentials(CredentialProvider):  # type: ignore[misc]
    METHOD = "codepipeline-job"

    def __init__(self, fetch: Callable[[], dict[str, str]]) -> None:
        super().__init__()
        self._fetch = fetch

    def load(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(
            self._fetch(),
            self._fetch,
            self.METHOD,
            advisory_timeout=RENEWED_BEFORE_SECONDS,
            mandatory_timeout=RENEWED_BEFORE_SECONDS // 5,
        )


class Task:
    """The state machine's task that waits for the job's end.

    Every method raises JobCancelled if the execution no longer waits, since the job timed out or
    was ended; and PermissionError and AWSUnavailable.
    """

    def __init__(self, delivery: Delivery, client: Client) -> None:
        self._token = delivery.task_token
        self._step_functions = client("stepfunctions")

    def heartbeat(self) -> None:
        """Send a heartbeat."""
        with aws_errors("the heartbeat could not be sent"):
            self._step_functions.send_task_heartbeat(taskToken=self._token)

    def succeed(self, outcome: Outcome) -> None:
        """Report the job's success."""
        with aws_errors("its success could not be reported"):
            self._step_functions.send_task_success(taskToken=self._token, output=output(outcome))

    def fail(self, failure: Failure) -> None:
        """Report the job's failure."""
        with aws_errors("its failure could not be reported"):
            self._step_functions.send_task_failure(
                taskToken=self._token, error=failure.type, cause=failure.message
            )


@dataclass(eq=False)
class Claim:
    """A delivery's claim on a job, in the job's row of JobTable.

    The row's `worker` names the delivery that has the job until `workerUntil`. The claim is renewed
    while the function works, and expires two minutes after its worker died.

    Args:
        job_id: the job.
        client: creates the client of a service.
        table_name: JobTable; without it, other deliveries are not prevented.
    """

    job_id: str
    client: Client
    table_name: str | None
    _owner: str = field(default_factory=lambda: str(uuid.uuid4()), init=False)
    _lapses: float = field(default=0.0, init=False)

    def take(self) -> None:
        """Claim the job.

        Raises:
            JobHeld: another delivery has it.
            PermissionError, AWSUnavailable
        """
        free = "attribute_not_exists(worker) OR workerUntil < :now OR worker = :owner"
        if not self._update(f"attribute_exists(jobId) AND ({free})"):
            raise JobHeld(f"job {self.job_id} is being processed elsewhere, or has no row")

    def keep(self) -> None:
        """Renew the claim.

        Raises:
            JobHeld: another delivery has the job now, or may have it.
            PermissionError, AWSUnavailable
        """
        try:
            kept = self._update("worker = :owner")
        except AWSUnavailable:
            if time.monotonic() < self._lapses:
                raise
            kept = False
        if not kept:
            raise JobHeld(f"job {self.job_id} has been taken over by another delivery")

    def release(self) -> None:
        """Let the next delivery have the job at once."""
        self._update("worker = :owner", seconds=-CLAIM_SECONDS)

    def current_job_id(self) -> str:
        """CodePipeline's current job, which is another one once progress was shown.

        Raises:
            PermissionError, AWSUnavailable
        """
        if not self.table_name:
            return self.job_id
        with aws_errors("the job's row could not be read"):
            row = self.client("dynamodb").get_item(
                TableName=self.table_name,
                Key={"jobId": {"S": self.job_id}},
                ProjectionExpression="currentJobId",
                ConsistentRead=True,
            )
        found = row.get("Item", {}).get("currentJobId", {}).get("S", self.job_id)
        return str(found)

    def _update(self, condition: str, seconds: float = CLAIM_SECONDS) -> bool:
        """Write the claim; False if the condition doesn't hold."""
        if not self.table_name:
            return True
        lapses = time.monotonic() + seconds
        values = {":owner": {"S": self._owner}, ":until": {"S": _moment(seconds)}}
        if ":now" in condition:
            values[":now"] = {"S": _moment(0)}
        with aws_errors("the job's row could not be written"):
            try:
                self.client("dynamodb").update_item(
                    TableName=self.table_name,
                    Key={"jobId": {"S": self.job_id}},
                    UpdateExpression="SET worker = :owner, workerUntil = :until",
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return False
        self._lapses = lapses
        return True


def _moment(seconds: float) -> str:
    """The time so many seconds from now, in JobTable's format."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
