"""What came of a job, and what CodePipeline is told of it. Nothing here calls AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from acknowledger import offers
from acknowledger.continuation import PREFIX
from acknowledger.errors import EventInvalid, ValidationException
from acknowledger.log import printable

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
MESSAGE_LENGTH = 5000
JOB_ID_LENGTH = 512

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z")
_PROGRESS = ("percentComplete", "summary", "externalExecutionId")
# Of an execution that is over without an outcome.
STOPPED = "Stopped"
_STATES = ("WaitForRoom", "Dispatched", "InProgress", STOPPED)
# With these it isn't known what became of an acknowledgment.
_PASSING = (
    "States.Timeout",
    "CodePipelineThrottled",
    "CodePipelineUnavailable",
    "CodePipelineUnreachable",
    "ParameterStoreUnavailable",
    "StepFunctionsUnavailable",
    "TableUnavailable",
)
_PASSED = {
    "AcknowledgeTimeoutSeconds": "The job was not acknowledged within {} seconds",
    "HeartbeatTimeoutSeconds": "The worker gave no sign of life for {} seconds",
    "JobTimeoutSeconds": "The worker was not done within {} seconds",
}


def parse(event: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The execution, its input and the outcome in what the state machine tells Report.

    The outcome is one of
        `{result}`, the worker's, or `{tooLong: true}` in its place,
        `{state, failure: {Error, Cause}}`, with which the execution left that state; each of the
        two may be null. InProgress also tells after how many `milliseconds`.
    With `waited: true` it has waited for a next job as long as it may.

    Raises:
        EventInvalid: naming the field.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    offer = offers.parse(event.get("offer"), "offer")
    execution, outcome = event.get("execution"), event.get("outcome")
    if not isinstance(execution, str) or not isinstance(outcome, dict):
        raise EventInvalid("execution must be a string, and outcome an object")
    failure = outcome.get("failure")
    if isinstance(failure, dict) and outcome.get("state") in _STATES:
        if not all(isinstance(failure.get(name), str | None) for name in ("Error", "Cause")):
            raise EventInvalid("outcome.failure's Error and Cause must be strings or null")
        if outcome["state"] == "InProgress" and type(outcome.get("milliseconds")) is not int:
            raise EventInvalid("outcome.milliseconds must be a whole number")
    elif "result" not in outcome and outcome.get("tooLong") is not True:
        raise EventInvalid(f"outcome must have a result, or a failure of {', '.join(_STATES)}")
    return execution, offer, outcome


def is_acknowledged(outcome: Mapping[str, Any]) -> bool:
    """Whether the job was in progress when this came of it."""
    return bool(outcome.get("state", "InProgress") == "InProgress")


def is_over(outcome: Mapping[str, Any]) -> bool:
    """Whether nothing came of the job but that it is over."""
    if outcome.get("state") == STOPPED:
        return True
    return _words(outcome)[0] == "EndedElsewhere"


def refusal(outcome: Mapping[str, Any]) -> dict[str, str] | None:
    """Why a job that nobody has acknowledged goes back to CodePipeline, `{error, cause}`.

    None where it isn't known whether an acknowledgment got through, or the pipeline is to be told.
    """
    error, cause = _words(outcome)
    if outcome["state"] == "WaitForRoom" and error == "States.Timeout":
        return {"error": "NoRoom", "cause": "There was no room for the job for a day"}
    passing = error in _PASSING if outcome["state"] == "Dispatched" else outcome["state"] == STOPPED
    if passing and error != "NotDispatched":
        return None
    return {"error": error, "cause": cause}


def failure(outcome: Mapping[str, Any], timeouts: Mapping[str, int]) -> dict[str, str] | None:
    """What is said of a job that failed or timed out, `{status, error, cause}`; None of a result.

    error is one of CodePipeline's failure types, cause the message. The same outcome always gives
    the same, since CodePipeline accepts a repeated result only if it is identical. A worker's error
    that is none of the failure types becomes the beginning of a JobFailed message.
    """
    if "failure" not in outcome:
        return None
    error, cause = _words(outcome)
    limit = _limit_passed(outcome, error, timeouts)
    if limit:
        ours = limit == "AcknowledgeTimeoutSeconds"
        return {
            "status": "TimedOut",
            "error": "SystemUnavailable" if ours else "JobFailed",
            "cause": f"{_PASSED[limit].format(timeouts[limit])} ({limit})",
        }
    if error not in FAILURE_TYPES:
        cause = f"{error}: {cause}" if error and cause else error or cause
        # Step Functions' own names: the worker was never reached.
        ours = error.startswith(("States.", "EventBridge.", "DynamoDB."))
        error = "SystemUnavailable" if ours else "JobFailed"
    said = _message(cause or "The worker gave no reason")
    return {"status": "Failed", "error": error, "cause": said}


def _limit_passed(
    outcome: Mapping[str, Any], error: str, timeouts: Mapping[str, int]
) -> str | None:
    """The limit that has passed, if that is what came of the job."""
    if outcome["state"] == "Dispatched":
        # Acknowledge has acknowledged the job and fails it, or else it was acknowledged too late.
        return None if error in FAILURE_TYPES else "AcknowledgeTimeoutSeconds"
    if outcome["state"] != "InProgress" or error not in (
        "States.Timeout",
        "States.HeartbeatTimeout",
    ):
        return None
    job, heartbeat = timeouts["JobTimeoutSeconds"], timeouts["HeartbeatTimeoutSeconds"]
    early = outcome["milliseconds"] + 250 < job * 1000
    missed = heartbeat < job and (error == "States.HeartbeatTimeout" or early)
    return "HeartbeatTimeoutSeconds" if missed else "JobTimeoutSeconds"


def _words(outcome: Mapping[str, Any]) -> tuple[str, str]:
    """The error and the cause of a failure, "" for what there is not."""
    words = outcome.get("failure", {})
    return words.get("Error") or "", words.get("Cause") or ""


def not_accepted(error: Exception) -> dict[str, str]:
    """What is said of a job whose result breaks a limit, `{status, error, cause}`."""
    cause = _message(f"The worker's result was not accepted: {error}")
    return {"status": "Failed", "error": "JobFailed", "cause": cause}


def parse_progress(event: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None, str]:
    """The job in a `Job Progress` event, how far it is, and since when.

    How far is None where the sweep asks for the job to be continued, news or not.

    Its detail is `{jobId, percentComplete?, summary?, externalExecutionId?}`, or the sweep's
    `{jobId, keepAlive: true}`. Further members are the worker's own affair.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    if event.get("detail-type") != "Job Progress":
        raise EventInvalid("detail-type must be 'Job Progress'")
    detail = event.get("detail")
    if not isinstance(detail, dict):
        raise EventInvalid("detail must be an object")
    job_id = detail.get("jobId")
    if not isinstance(job_id, str) or not 1 <= len(job_id) <= JOB_ID_LENGTH:
        raise EventInvalid(f"detail.jobId must be a string of 1 to {JOB_ID_LENGTH} characters")
    told = {name: detail[name] for name in _PROGRESS if detail.get(name) is not None}
    told_at = event.get("time")
    if not isinstance(told_at, str) or not _MOMENT.fullmatch(told_at):
        raise EventInvalid("time must be a moment as EventBridge writes it")
    keep_alive = detail.get("keepAlive") is True and not told
    return job_id, None if keep_alive else told, told_at


def success_request(job: Mapping[str, str], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The `PutJobSuccessResult` request for what a worker answered.

    Args:
        job: `{jobId}`, and `clientId` for a partner's.
        outcome: its result is the worker's output: null or an object with any of outputVariables
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
    if str(result.get("continuationToken", "")).startswith(PREFIX):
        raise ValidationException(
            f"the worker's continuationToken must not begin with '{PREFIX}', as our own do"
        )
    if "clientId" in job and "outputVariables" in result:
        raise ValidationException(
            "the worker's output must not have outputVariables: partner actions have none"
        )
    return {**job, **result}


def _without_nulls(value: Any) -> Any:
    """A result without the members that are null: to the API they are not there."""
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(each) for name, each in value.items() if each is not None}


def _message(text: str) -> str:
    return printable(text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…")
