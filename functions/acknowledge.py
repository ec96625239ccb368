"""Acknowledge: tells CodePipeline that we have the job, and the state machine what it said."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import acknowledgment, job_api, job_table
from acknowledger.aws import client, prepare
from acknowledger.errors import (
    AcknowledgerError,
    EventInvalid,
    InvalidNonceException,
    TaskTokenGone,
)
from acknowledger.log import logger
from acknowledger.moments import seconds_since

metrics = Metrics()
prepare("dynamodb", "stepfunctions", single_call=("codepipeline",))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Acknowledge one job and answer with its status.

    Args:
        event: the EventBridge event `Job Dispatched`, or just its detail:
            `{jobId: str, nonce: str, clientId?: str, taskToken?: str}`, with clientId for a
            partner's job. By hand a clientToken may stand in its place.

    Returns:
        `{"status": one of CodePipeline's seven}`; with a task token the state machine is told the
        same, and what keeps the job from being acknowledged is told to it instead of raised:
        `{"error": name, "cause": message}`.

    Raises:
        EventInvalid: the event is not of that form.
        AcknowledgerError: what CodePipeline says, or ValidationException naming every field that
            breaks a limit; only without a task token.
        TaskTokenGone: no execution waits for it any more.
    """
    request, task_token = parse(event)
    logger.append_keys(job_id=request.get("jobId"))
    if task_token is None:
        return {"status": acknowledge(request)}
    return answer(task_token, request)


def parse(event: Any) -> tuple[dict[str, Any], str | None]:
    """The API request and the task token in an event.

    Raises:
        EventInvalid: naming the field.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    detail = event
    if "detail-type" in event or "detail" in event:
        if event.get("detail-type") != "Job Dispatched":
            raise EventInvalid("detail-type must be 'Job Dispatched'")
        detail = event.get("detail", {})
        if not isinstance(detail, dict):
            raise EventInvalid("detail must be an object")
    task_token = detail.get("taskToken")
    if task_token is not None and not (
        isinstance(task_token, str) and 1 <= len(task_token) <= 2048
    ):
        raise EventInvalid("taskToken must be a string of 1 to 2048 characters")
    return {name: value for name, value in detail.items() if name != "taskToken"}, task_token


def acknowledge(request: dict[str, Any], *, must_have_row: bool = False) -> str:
    """Acknowledge a job, and say so in the log and the metrics."""
    job_api.validate_acknowledgment(request)
    answered = acknowledgment.acknowledge(request, must_have_row=must_have_row)
    if answered.assumed:
        metrics.add_metric("AcknowledgmentsAssumed", MetricUnit.Count, 1)
        logger.warning("An earlier call must have got through: going on as acknowledged")
        return answered.status
    taken: dict[str, Any] = {"status": answered.status}
    if answered.status != "InProgress":
        metrics.add_metric("OffersLost", MetricUnit.Count, 1)
    else:
        metrics.add_metric("Acknowledgments", MetricUnit.Count, 1)
        if answered.offered_at:
            taken["milliseconds"] = round(1000 * seconds_since(answered.offered_at))
            metrics.add_metric("TimeToAcknowledge", MetricUnit.Milliseconds, taken["milliseconds"])
    logger.info("Acknowledged", extra=taken)
    return answered.status


def answer(task_token: str, request: dict[str, Any]) -> dict[str, str]:
    """Acknowledge a job and tell the execution that waits with `task_token`."""
    step_functions = client("stepfunctions")
    try:
        try:
            told = {"status": acknowledge(request, must_have_row=True)}
            step_functions.send_task_success(taskToken=task_token, output=json.dumps(told))
        except AcknowledgerError as error:
            told = {"error": type(error).__name__, "cause": str(error)}
            lost = isinstance(error, InvalidNonceException)
            metrics.add_metric("OffersLost", MetricUnit.Count, int(lost))
            metrics.add_metric("AcknowledgmentsRefused", MetricUnit.Count, int(not lost))
            logger.warning("Not acknowledged", extra=told)
            step_functions.send_task_failure(taskToken=task_token, **told)
    except (
        step_functions.exceptions.InvalidToken,
        step_functions.exceptions.TaskDoesNotExist,
        step_functions.exceptions.TaskTimedOut,
    ) as error:
        code = error.response["Error"]["Code"]
        if isinstance(request.get("jobId"), str) and _was_answered(request["jobId"], code):
            logger.info("This event was answered before")
            return told
        raise TaskTokenGone(f"taskToken: no execution waits for it ({code})") from None
    return told


def _was_answered(job_id: str, code: str) -> bool:
    """Whether the execution was told: it has gone on, or given the job back."""
    row = job_table.find(job_id)
    return row["status"] != "Dispatched" if row else code != "InvalidToken"
