"""The outcome of a job, and what is reported to CodePipeline. Nothing here calls AWS."""

from collections.abc import Mapping
from typing import Any

from acknowledger import events
from acknowledger.errors import EventInvalid, Passing, ValidationException
from acknowledger.offers import PREFIX
from acknowledger.validation import message

FAILURE_TYPES = frozenset(
    {
        "ConfigurationError",
        "JobFailed",
        "PermissionError",
        "RevisionOutOfSync",
        "RevisionUnavailable",
        "SystemUnavailable",
    }
)
_PROGRESS = ("percentComplete", "summary", "externalExecutionId")
# The state of an execution that is over without an outcome.
STOPPED = "Stopped"
# After these errors, an acknowledgment may have succeeded.
_PASSING = ("States.Timeout", *(passing.__name__ for passing in Passing.__subclasses__()))
_LIMIT_PASSED = {
    "AcknowledgeTimeoutSeconds": "The job was not acknowledged within {} seconds",
    "HeartbeatTimeoutSeconds": "The worker sent no heartbeat for {} seconds",
    "JobTimeoutSeconds": "The worker did not finish within {} seconds",
}


def parse(event: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The execution, its input and the outcome in the payload of the state machine for Report.

    The outcome is one of
        `{result}`, the worker's, or `{tooLong: true}` in its place,
        `{state, failure: {Error, Cause}}`, the failure of that state; Error and Cause may be null.
        For InProgress, `milliseconds` says how long it took.
    With `waited: true` it has waited for the next job as long as it may.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    ending = events.check(event, "Execution", "ending")
    outcome = ending["outcome"]
    is_result = "result" in outcome or outcome.get("tooLong")
    if not (is_result or {"state", "failure"} <= outcome.keys()):
        raise EventInvalid("outcome must have a result, or a state and a failure")
    return ending["execution"], ending["offer"], outcome


def is_acknowledged(outcome: Mapping[str, Any]) -> bool:
    """Whether the job was in progress at this outcome."""
    return bool(outcome.get("state", "InProgress") == "InProgress")


def is_over(outcome: Mapping[str, Any]) -> bool:
    """Whether the outcome is only that the job is over."""
    return outcome.get("state") == STOPPED or _words(outcome)[0] == "EndedElsewhere"


def refusal(outcome: Mapping[str, Any]) -> dict[str, str] | None:
    """Why an unacknowledged job goes back to CodePipeline, `{error, cause}`.

    None if an acknowledgment may have succeeded, or if the job is to be failed.
    """
    error, cause = _words(outcome)
    if outcome["state"] == "WaitForRoom" and error == "States.Timeout":
        return {"error": "NoRoom", "cause": "There was no room for the job for a day"}
    passing = error in _PASSING if outcome["state"] == "Dispatched" else outcome["state"] == STOPPED
    if passing and error != "NotDispatched":
        return None
    return {"error": error, "cause": cause}


def failure(outcome: Mapping[str, Any], timeouts: Mapping[str, int]) -> dict[str, str] | None:
    """How to report a job that failed or timed out, `{status, error, cause}`; None for a result.

    error is one of CodePipeline's failure types, cause the message. The same outcome always gives
    the same report, since CodePipeline accepts a repeated result only if it is identical. A
    worker's error that is not a failure type becomes the beginning of a JobFailed message.
    """
    if "failure" not in outcome:
        return None
    error, cause = _words(outcome)
    limit = _passed(outcome, error, timeouts)
    if limit:
        ours = limit == "AcknowledgeTimeoutSeconds"
        return {
            "status": "TimedOut",
            "error": "SystemUnavailable" if ours else "JobFailed",
            "cause": f"{_LIMIT_PASSED[limit].format(timeouts[limit])} ({limit})",
        }
    if error not in FAILURE_TYPES:
        cause = f"{error}: {cause}" if error and cause else error or cause
        # Step Functions' own names: the worker was never reached.
        ours = error.startswith(("States.", "EventBridge.", "DynamoDB."))
        error = "SystemUnavailable" if ours else "JobFailed"
    cause = message(cause or "The worker gave no reason")
    return {"status": "Failed", "error": error, "cause": cause}


def _passed(outcome: Mapping[str, Any], error: str, timeouts: Mapping[str, int]) -> str | None:
    """The time limit that the job exceeded, or None."""
    if outcome["state"] == "Dispatched":
        # Acknowledge failed the job with this error; otherwise it was acknowledged too late.
        return None if error in FAILURE_TYPES else "AcknowledgeTimeoutSeconds"
    timed_out = error in ("States.Timeout", "States.HeartbeatTimeout")
    if outcome["state"] != "InProgress" or not timed_out:
        return None
    job, heartbeat = timeouts["JobTimeoutSeconds"], timeouts["HeartbeatTimeoutSeconds"]
    early = outcome.get("milliseconds", 0) + 250 < job * 1000
    missed = heartbeat < job and (error == "States.HeartbeatTimeout" or early)
    return "HeartbeatTimeoutSeconds" if missed else "JobTimeoutSeconds"


def _words(outcome: Mapping[str, Any]) -> tuple[str, str]:
    """The error and the cause of a failure; "" if there is none."""
    words = outcome.get("failure", {})
    return words.get("Error") or "", words.get("Cause") or ""


def not_accepted(error: Exception) -> dict[str, str]:
    """How to report a job whose result breaks a limit, `{status, error, cause}`."""
    cause = message(f"The worker's result was not accepted: {error}")
    return {"status": "Failed", "error": "JobFailed", "cause": cause}


def parse_progress(event: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None, str]:
    """The job in a `Job Progress` event, its progress, and the event's time.

    The detail is `{jobId, percentComplete?, summary?, externalExecutionId?}`, or from the sweep
    `{jobId, keepAlive: true}`, which continues the work in another job even without new progress:
    then the progress is None. Further members are ignored.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    progress = events.parse(event, "Report")
    detail = progress["detail"]
    reported = {name: detail[name] for name in _PROGRESS if detail.get(name) is not None}
    keep_alive = detail.get("keepAlive") is True and not reported
    return detail["jobId"], None if keep_alive else reported, progress["time"]


def success_request(job: Mapping[str, str], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The `PutJobSuccessResult` request for a worker's answer.

    Args:
        job: `{jobId}`, and `clientId` for a partner's.
        outcome: its result is the worker's output: null, or an object with any of outputVariables
            (not for a partner's job), executionDetails, currentRevision and continuationToken.

    Raises:
        ValidationException: it is something else.
    """
    if "tooLong" in outcome:
        raise ValidationException("the job and the worker's output are over 250,000 bytes together")
    result = _without_nulls({} if outcome["result"] is None else outcome["result"])
    if not isinstance(result, dict):
        raise ValidationException("the worker's output must be null or a JSON object")
    for name in ("jobId", "clientId", "clientToken"):
        if name in result:
            raise ValidationException(f"the worker's output must not have a {name}")
    token = result.get("continuationToken")
    if isinstance(token, str) and token.startswith(PREFIX):
        wrong = f"continuationToken must not begin with '{PREFIX}', as our own do"
        raise ValidationException(f"the worker's {wrong}")
    if "clientId" in job and "outputVariables" in result:
        wrong = "output must not have outputVariables: partner actions have none"
        raise ValidationException(f"the worker's {wrong}")
    return {**job, **result}


def _without_nulls(value: Any) -> Any:
    """A result without its null members, which count as absent."""
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(each) for name, each in value.items() if each is not None}
