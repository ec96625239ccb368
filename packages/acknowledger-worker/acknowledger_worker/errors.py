"""The package's errors, among them those that a worker's function raises.

Only this module translates errors of AWS.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_FailureDetails.html
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError


class WorkerError(Exception):
    """The base of this package's errors."""


class EventInvalid(WorkerError):
    """The event is not a `Job In Progress` event; the message names every wrong field."""


class JobHeld(WorkerError):
    """Another delivery has this job. It should be delivered again later."""


class JobHandedBack(WorkerError):
    """The worker stopped before the job was done. It should be delivered again."""


class JobCancelled(WorkerError):
    """The job has ended, or another worker has it. Stop; what you return or raise is ignored."""


class JobFailed(WorkerError):
    """The job fails with one of CodePipeline's failure types. The pipeline shows the message."""

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
    """The revision is not available."""

    type = "RevisionUnavailable"


class SystemUnavailable(JobFailed):
    """A system that the work needs is unavailable."""

    type = "SystemUnavailable"


class AWSUnavailable(SystemUnavailable):
    """A call to AWS failed, even after several tries."""


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
    """Turn AWS's errors into ours, without AWS's message, which may contain a secret.

    Args:
        what: what failed, such as "input artifact App could not be read".
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
