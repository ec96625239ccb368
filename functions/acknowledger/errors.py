"""Errors by the names that the state machine, Lambda's `errorType` and a person see.

    AcknowledgerError
    ├── ConfigurationInvalid            the deployment's own settings are wrong
    ├── EventInvalid                    the event is none of ours, or of another shape
    ├── IntakeIncomplete                some polls or offers failed; all the others went on
    ├── TaskTokenGone                   nobody waits for this answer any more
    ├── OfferLost                       the job is not ours to report on
    ├── ClientTokenMissing              Parameter Store has no token for a partner's client
    ├── ParameterStoreUnavailable       passing: it did not answer, or throttled us
    ├── CodePipelineUnavailable         passing: no answer, or a 5xx; it may have taken effect
    ├── CodePipelineThrottled           passing, and certainly without effect
    └── CodePipelineRefused             permanent, with these known by CodePipeline's own names:
        ├── ActionTypeNotFoundException
        ├── InvalidClientTokenException
        ├── InvalidJobException
        ├── InvalidJobStateException
        ├── InvalidNonceException
        ├── JobNotFoundException
        ├── OutputVariablesSizeExceededException
        └── ValidationException

The names under `CodePipelineRefused` are those of
https://docs.aws.amazon.com/codepipeline/latest/APIReference/CommonErrors.html and of the
operations' own pages there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError


class AcknowledgerError(Exception):
    """The root of everything raised on purpose here."""


class ConfigurationInvalid(AcknowledgerError):
    """An environment variable of the function is missing or malformed."""


class EventInvalid(AcknowledgerError):
    """The event is not one that this function is made for."""


class IntakeIncomplete(AcknowledgerError):
    """Some action types could not be polled or some offers not started; the rest were."""


class TaskTokenGone(AcknowledgerError):
    """Step Functions no longer knows the task token: timed out, answered, or never given out."""


class OfferLost(AcknowledgerError):
    """The acknowledgment did not make the job ours, so nothing may be reported on it."""


class ClientTokenMissing(AcknowledgerError):
    """Parameter Store has no token for this client; the message names the parameter to put."""


class ParameterStoreUnavailable(AcknowledgerError):
    """The client token could not be read just now."""


class CodePipelineUnavailable(AcknowledgerError):
    """CodePipeline did not answer or failed; the call may or may not have taken effect."""


class CodePipelineThrottled(AcknowledgerError):
    """CodePipeline turned the call away before looking at it."""


class CodePipelineRefused(AcknowledgerError):
    """CodePipeline will not take this call, however often it is made."""


class ActionTypeNotFoundException(CodePipelineRefused):
    """No such action type in this account and region, or it was deleted."""


class InvalidClientTokenException(CodePipelineRefused):
    """The client token does not belong to the job's client."""


class InvalidJobException(CodePipelineRefused):
    """The partner's job is not to be had."""


class InvalidJobStateException(CodePipelineRefused):
    """The job has ended, with another result."""


class InvalidNonceException(CodePipelineRefused):
    """The nonce is not the job's: another worker has it, or it was offered again."""


class JobNotFoundException(CodePipelineRefused):
    """No such job in this account and region."""


class OutputVariablesSizeExceededException(CodePipelineRefused):
    """The output variables are over 122,880 bytes together."""


class ValidationException(CodePipelineRefused):
    """A member breaks a limit of the API; the message names each member and its limit."""


_BY_CODE: dict[str, type[CodePipelineRefused]] = {
    refused.__name__: refused for refused in CodePipelineRefused.__subclasses__()
}
_THROTTLES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})


@contextlib.contextmanager
def codepipeline_errors() -> Iterator[None]:
    """Turn what botocore raises for a CodePipeline call into this module's errors.

    Raises:
        CodePipelineThrottled, CodePipelineUnavailable: worth another try.
        CodePipelineRefused: or the subclass with the API's own name.
    """
    try:
        yield
    except ClientError as error:
        code = error.response["Error"].get("Code", "")
        message = error.response["Error"].get("Message", "")
        if code in _THROTTLES:
            raise CodePipelineThrottled(f"{code}: {message}") from None
        if error.response["ResponseMetadata"].get("HTTPStatusCode", 500) >= 500:
            raise CodePipelineUnavailable(f"{code}: {message}") from None
        if code in _BY_CODE:
            raise _BY_CODE[code](message) from None
        raise CodePipelineRefused(f"{code}: {message}") from None
    except BotoCoreError as error:
        raise CodePipelineUnavailable(f"{type(error).__name__}: {error}") from None
