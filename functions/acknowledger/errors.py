"""Errors, by the names that the state machine catches and Lambda's `errorType` shows.

The names under `CodePipelineRefused`, which is permanent, are CodePipeline's, from
https://docs.aws.amazon.com/codepipeline/latest/APIReference/CommonErrors.html and the pages of
the operations there.
"""

import contextlib
from collections.abc import Iterator

from botocore import exceptions


class AcknowledgerError(Exception):
    """The base of all errors here."""


class ConfigurationInvalid(AcknowledgerError):
    """An environment variable of the function is missing or malformed."""


class EventInvalid(AcknowledgerError):
    """The event is not one that this function handles."""


class IntakeIncomplete(AcknowledgerError):
    """Some action types could not be polled, or some executions not started; the rest were."""


class TaskTokenGone(AcknowledgerError):
    """Step Functions does not know the task token: it timed out, was used, or never existed."""


class Passing(AcknowledgerError):
    """Worth another try."""


class StandDown(AcknowledgerError):
    """Another worker or execution has the job: nothing may be reported on it."""


class AlreadyEnded(StandDown):
    """Another execution had the job, which has ended."""


class AlreadyInProgress(StandDown):
    """Another execution works on the job, which was offered again."""


class ClaimTakenOver(StandDown):
    """A newer offer has claimed the row, or the row was released."""


class Joined(StandDown):
    """The job continues the work of another; that job's execution reports on it."""


class OfferLost(StandDown):
    """The acknowledgment did not make the job ours."""


class ContinuedElsewhere(AcknowledgerError):
    """The offer continues the work of another deployment: it is skipped."""


class EndedElsewhere(AcknowledgerError):
    """The job is over in CodePipeline: there is nothing more to do or to report."""


class NotStopped(AcknowledgerError):
    """CodePipeline has ended the action, but its job's execution could not be notified."""


class ClientTokenMissing(AcknowledgerError):
    """The client's token can't be read; the message names the parameter."""


class ParameterStoreUnavailable(Passing):
    """The client token could not be read just now."""


class TableUnavailable(Passing):
    """The job's row could not be read or written just now."""


class BusUnavailable(Passing):
    """An event could not be put on the JobBus just now."""


class StepFunctionsUnavailable(Passing):
    """Step Functions could not be called just now."""


class CodePipelineUnreachable(Passing):
    """The call was never sent: no connection, or no credentials to sign it with."""


class CodePipelineUnavailable(Passing):
    """CodePipeline did not answer or failed; the call may or may not have taken effect."""


class CodePipelineThrottled(Passing):
    """CodePipeline throttled the call, which had no effect."""


class CodePipelineRefused(AcknowledgerError):
    """CodePipeline refuses this call, however often it is made."""


class ActionTypeNotFoundException(CodePipelineRefused):
    """No such action type in this account and region, or it was deleted."""


class ActionTypeNotServed(AcknowledgerError):
    """An action type can't be polled: the parameter Queries or ClientTokenPrefix doesn't fit it."""


class InvalidClientTokenException(CodePipelineRefused):
    """The client token does not belong to the job's client."""


class InvalidJobException(CodePipelineRefused):
    """The partner job is not available."""


class InvalidJobStateException(CodePipelineRefused):
    """The job has ended, with another result."""


class InvalidNonceException(CodePipelineRefused):
    """The nonce is not the job's: another worker has the job, or it was offered again."""


class JobNotFoundException(CodePipelineRefused):
    """No such job in this account and region."""


class OutputVariablesSizeExceededException(CodePipelineRefused):
    """The output variables are over 122,880 bytes together."""


class ValidationException(CodePipelineRefused):
    """A member breaks a limit of the API; the message names each member and its limit."""


_BY_CODE = {refused.__name__: refused for refused in CodePipelineRefused.__subclasses__()}
_NEVER_SENT = (
    exceptions.ConnectTimeoutError,
    exceptions.CredentialRetrievalError,
    exceptions.EndpointConnectionError,
    exceptions.NoCredentialsError,
    exceptions.ProxyConnectionError,
)
_THROTTLES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})


@contextlib.contextmanager
def codepipeline_errors() -> Iterator[None]:
    """Turn what botocore raises for a CodePipeline call into this module's errors.

    Raises:
        CodePipelineThrottled, CodePipelineUnavailable, CodePipelineUnreachable: worth another try.
        CodePipelineRefused: or its subclass with the API's error name.
    """
    try:
        yield
    except exceptions.ClientError as error:
        code, message = (error.response["Error"].get(name, "") for name in ("Code", "Message"))
        if code in _THROTTLES:
            raise CodePipelineThrottled(f"{code}: {message}") from None
        if error.response["ResponseMetadata"].get("HTTPStatusCode", 500) >= 500:
            raise CodePipelineUnavailable(f"{code}: {message}") from None
        if code in _BY_CODE:
            raise _BY_CODE[code](message) from None
        raise CodePipelineRefused(f"{code}: {message}") from None
    except exceptions.ParamValidationError:
        # botocore's message contains the values.
        raise ValidationException("a member has a type that the API does not take") from None
    except _NEVER_SENT as error:
        raise CodePipelineUnreachable(f"{type(error).__name__}: {error}") from None
    except exceptions.BotoCoreError as error:
        raise CodePipelineUnavailable(f"{type(error).__name__}: {error}") from None


@contextlib.contextmanager
def unavailable(error: type[AcknowledgerError], what: str) -> Iterator[None]:
    """Turn what botocore raises for a call of another service into one error, naming `what`."""
    try:
        yield
    except (exceptions.BotoCoreError, exceptions.ClientError) as raised:
        raise error(f"{what}: {raised}") from None
