"""What can go wrong, and what an author raises.

    WorkerError
    ├── EventInvalid         what was delivered is no `Job In Progress` event
    ├── JobHeld              another delivery of the job is being worked: deliver it again later
    ├── JobHandedBack        the worker stopped before the job was done: deliver it again
    ├── JobCancelled         the job is not this worker's any more: stop
    └── JobFailed            the job fails, with a failure type of CodePipeline's
        ├── ArtifactInvalid
        ├── ConfigurationError
        ├── PermissionError
        ├── RevisionOutOfSync
        ├── RevisionUnavailable
        └── SystemUnavailable
            └── AWSUnavailable

What AWS raises is translated here and nowhere else.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_FailureDetails.html
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError


class WorkerError(Exception):
    """Any error of this package."""


class EventInvalid(WorkerError):
    """What was delivered is no `Job In Progress` event; the message names every wrong field."""


class JobHeld(WorkerError):
    """Another delivery of this job is being worked. It should be delivered again later."""


class JobHandedBack(WorkerError):
    """The worker stopped before the job was done. It should be delivered again."""


class JobCancelled(WorkerError):
    """The job has ended or is another worker's. Stop, and return or raise whatever you like."""


class JobFailed(WorkerError):
    """The job fails; the message is shown in the pipeline."""

    type = "JobFailed"


class ArtifactInvalid(JobFailed):
    """An artifact can't be unpacked or packed."""


class ConfigurationError(JobFailed):
    """The action's configuration is wrong."""

    type = "ConfigurationError"


class PermissionError(JobFailed):  # noqa: A001 - CodePipeline's name
    """Something is not allowed."""

    type = "PermissionError"


class RevisionOutOfSync(JobFailed):
    """The revision is not the one that was expected."""

    type = "RevisionOutOfSync"


class RevisionUnavailable(JobFailed):
    """The revision can't be had."""

    type = "RevisionUnavailable"


class SystemUnavailable(JobFailed):
    """Something that the work needs is out of order."""

    type = "SystemUnavailable"


class AWSUnavailable(SystemUnavailable):
    """AWS could not be asked, though it was tried several times."""


_ENDED = {
    "InvalidJobException",
    "InvalidToken",
    "JobNotFoundException",
    "TaskDoesNotExist",
    "TaskTimedOut",
}
_REFUSED = ("AccessDenied", "InvalidClientToken", "InvalidToken", "ExpiredToken", "403")
_GONE = {"404", "NoSuchBucket", "NoSuchKey", "NotFound"}


@contextmanager
def aws_errors(what: str, ended: Container[str] = _ENDED) -> Iterator[None]:
    """Let AWS's errors be ours. No message of AWS's is repeated, since it may have a secret in it.

    Args:
        what: that could not be done, such as "input artifact App could not be read".
        ended: the codes that say that the job is over.

    Raises:
        JobCancelled, PermissionError, RevisionUnavailable, AWSUnavailable
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        message = f"{what}: {code}"
        if code in ended:
            raise JobCancelled(message) from None
        if code.startswith(_REFUSED):
            raise PermissionError(message) from None
        if code in _GONE:
            raise RevisionUnavailable(message) from None
        raise AWSUnavailable(message) from None
    except (BotoCoreError, Boto3Error) as error:
        raise AWSUnavailable(f"{what}: {type(error).__name__}") from None
