"""What Report tells CodePipeline, from what the state machine knows. Nothing here calls AWS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from acknowledger import events
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

_PROGRESS = ("percentComplete", "summary", "externalExecutionId")
_STATUSES = ("Succeeded", "Failed", "TimedOut")
_PASSED = {
    "AcknowledgeTimeoutSeconds": "The job was not acknowledged within {} seconds",
    "HeartbeatTimeoutSeconds": "The worker gave no sign of life for {} seconds",
    "JobTimeoutSeconds": "The worker was not done within {} seconds",
}


def parse(event: Any) -> dict[str, Any]:
    """Check that an event is one of the three that the state machine sends.

    Returns:
        the event:
        `{jobId, status: "Succeeded", result}` with the worker's result,
        `{jobId, status: "Failed", error, cause}`, or
        `{jobId, status: "TimedOut", limit, seconds}`, with the offer's `nonce` when it isn't known
        whether the job was acknowledged; a partner's also has `clientId`.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    wrong = [
        f"{name} must be a string"
        for name in ("jobId", *(("error", "cause") if event.get("status") == "Failed" else ()))
        if not isinstance(event.get(name), str)
    ]
    if event.get("status") not in _STATUSES:
        wrong.append(f"status must be one of: {', '.join(_STATUSES)}")
    if event.get("status") == "Succeeded" and "result" not in event:
        wrong.append("result must be there")
    if event.get("status") == "TimedOut":
        if not isinstance(event.get("limit"), str) or event["limit"] not in _PASSED:
            wrong.append(f"limit must be one of: {', '.join(_PASSED)}")
        seconds = event.get("seconds")
        if type(seconds) not in (int, float) or not math.isfinite(float(seconds or 0)):
            wrong.append("seconds must be a number")
        if not isinstance(event.get("nonce", ""), str):
            wrong.append("nonce must be a string where there is one")
    if not isinstance(event.get("clientId", ""), str):
        wrong.append("clientId must be a string where there is one")
    if wrong:
        raise EventInvalid("; ".join(wrong))
    return event


def parse_progress(event: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None, str]:
    """The job in a `Job Progress` event, how far it is, and since when.

    How far is None where the sweep asks for the job to be continued, news or not.

    Its detail is `{jobId, percentComplete?, summary?, externalExecutionId?}`, or the sweep's
    `{jobId, keepAlive: true}`. Further members are the worker's own affair.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    progress = events.parse(event, "Report")
    detail = progress["detail"]
    told = {name: detail[name] for name in _PROGRESS if detail.get(name) is not None}
    keep_alive = detail.get("keepAlive") is True and not told
    return detail["jobId"], None if keep_alive else told, progress["time"]


def job_of(event: Mapping[str, Any]) -> dict[str, str]:
    """What names the job in a request: `{jobId}`, and `clientId` for a partner's."""
    return {name: event[name] for name in ("jobId", "clientId") if name in event}


def success_request(job: Mapping[str, str], result: Any) -> dict[str, Any]:
    """The `PutJobSuccessResult` request for what a worker answered.

    Args:
        job: as `job_of` gives it.
        result: the worker's output: null or an object with any of outputVariables (not for a
            partner's job), executionDetails, currentRevision and continuationToken.

    Raises:
        ValidationException: it is something else.
    """
    result = _without_nulls({} if result is None else result)
    if not isinstance(result, dict):
        raise ValidationException(
            "the worker's output must be null or a JSON object of at most 130,000 characters"
        )
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


def failure_details(event: Mapping[str, Any]) -> dict[str, str]:
    """The `failureDetails` for a job that failed or timed out: `{type, message}`.

    The same event always gives the same details, since CodePipeline accepts a repeated result
    only if it is identical. A worker's error that is none of CodePipeline's failure types becomes
    the beginning of a JobFailed message.
    """
    if event["status"] == "TimedOut":
        limit = event["limit"]
        message = f"{_PASSED[limit].format(round(event['seconds']))} ({limit})"
        ours = limit == "AcknowledgeTimeoutSeconds"
        return {"type": "SystemUnavailable" if ours else "JobFailed", "message": message}
    error, cause = event["error"], event["cause"]
    if error in FAILURE_TYPES:
        return {"type": error, "message": _message(cause or "The worker gave no reason")}
    # Step Functions' own names: the worker was never reached.
    ours = error.startswith(("States.", "EventBridge.", "DynamoDB."))
    message = f"{error}: {cause}" if error and cause else error or cause
    return {
        "type": "SystemUnavailable" if ours else "JobFailed",
        "message": _message(message or "The worker gave no reason"),
    }


def _without_nulls(value: Any) -> Any:
    """A result without the members that are null: to the API they are not there."""
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(each) for name, each in value.items() if each is not None}


def _message(text: str) -> str:
    return printable(text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…")
