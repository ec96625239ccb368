"""Errors by the names that the state machine, Lambda's `errorType` and a person see.

The names under `CodePipelineRefused`, which is for good, are CodePipeline's own, from
https://docs.aws.amazon.com/codepipeline/latest/APIReference/CommonErrors.html and of the
operations' own pages there.
"""

import contextlib
from collections.abc import Iterator

from botocore import exceptions


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


class Passing(AcknowledgerError):
    """Worth another try."""


class StandDown(AcknowledgerError):
    """The job is another worker's or another execution's: nothing may be reported on it."""


class AlreadyEnded(StandDown):
    """Another execution has had the job, to its end."""


class AlreadyInProgress(StandDown):
    """Another execution works the job, which was offered again."""


class ClaimTakenOver(StandDown):
    """The row is a newer offer's, or was given back."""


class Joined(StandDown):
    """The job is the newest of some work now, or has been; who does that reports on it."""


class OfferLost(StandDown):
    """The acknowledgment did not make the job ours."""


class ContinuedElsewhere(AcknowledgerError):
    """The offer belongs to work that this deployment doesn't have: it is left alone."""


class EndedElsewhere(AcknowledgerError):
    """The job is over in CodePipeline: nothing is worked or reported any more."""


class NotStopped(AcknowledgerError):
    """CodePipeline has ended the action, and the execution of its job doesn't wait to hear it."""


class ClientTokenMissing(AcknowledgerError):
    """We can read no token of this client; the message names the parameter."""


class ParameterStoreUnavailable(Passing):
    """The client token could not be read just now."""


class TableUnavailable(Passing):
    """The job's row could not be read or written just now."""


class BusUnavailable(Passing):
    """An event could not be put on the JobBus just now."""


class StepFunctionsUnavailable(Passing):
    """An execution could not be asked or answered just now."""


class CodePipelineUnreachable(Passing):
    """The call was never sent: no connection, or no credentials to sign it with."""


class CodePipelineUnavailable(Passing):
    """CodePipeline did not answer or failed; the call may or may not have taken effect."""


class CodePipelineThrottled(Passing):
    """CodePipeline turned the call away before looking at it."""


class CodePipelineRefused(AcknowledgerError):
    """CodePipeline will not take this call, however often it is made."""


class ActionTypeNotFoundException(CodePipelineRefused):
    """No such action type in this account and region, or it was deleted."""


class QueryMismatch(AcknowledgerError):
    """An action type is not polled: the parameter Queries doesn't fit its queryable property."""


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
        CodePipelineRefused: or the subclass with the API's own name.
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
        # Its own message has the values in it.
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
