"""Acknowledge: acknowledges a job in CodePipeline and returns the answer to the state machine."""

from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import acknowledgment, errors, events, executions, job_api, job_table
from acknowledger.acknowledgment import Acknowledgment, Claim
from acknowledger.aws import prepare
from acknowledger.log import logger
from acknowledger.moments import seconds_since

metrics = Metrics()
prepare("dynamodb", "stepfunctions", single_call=("codepipeline",))

# The members of an event that the API's request doesn't have.
CLAIM = ("taskToken", "execution", "dispatchedAt", "offer")


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Acknowledge one job and answer with its status.

    Args:
        event: the EventBridge event `Job Dispatched`, or only its detail: `{jobId, nonce}`, and for
            a partner's job `clientId`, or by hand `clientToken`. From the state machine also
            `taskToken`, `execution`, `dispatchedAt` and `offer`, the execution's input.

    Returns:
        `{"status": one of CodePipeline's seven}`. With a task token, it is sent to the state
        machine; so is the reason not to work on the job: `{"error": name, "cause": message}`.

    Raises:
        EventInvalid: the event is not of that form.
        AcknowledgerError: CodePipeline's error, or ValidationException naming every field that
            breaks a limit; only without a task token.
        TaskTokenGone, StepFunctionsUnavailable: the answer could not be sent.
    """
    request, task_token, claim = parse(event)
    logger.append_keys(job_id=request.get("jobId"))
    if claim is None or task_token is None:
        return {"status": counted(request).status}
    return answer(task_token, request, claim)


def parse(event: Any) -> tuple[dict[str, Any], str | None, Claim | None]:
    """The API request in an event, and the task token and claim of the waiting execution.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    by_hand = isinstance(event, dict) and not {"detail-type", "detail"} & event.keys()
    event = {"detail-type": "Job Dispatched", "detail": event} if by_hand else event
    detail = events.parse(event, "Acknowledge")["detail"]
    if detail.get("taskToken") is None:
        # Any other member is refused, since it is probably a misspelled one.
        request = {name: value for name, value in detail.items() if name not in CLAIM}
        return request, None, None
    claim = events.check(detail, "Execution", "claim")
    dispatched = Claim(claim["execution"], claim["offer"], claim["dispatchedAt"])
    request = {name: detail[name] for name in dispatched.request if name in detail}
    return request, detail["taskToken"], dispatched


def counted(request: dict[str, Any], claim: Claim | None = None) -> Acknowledgment:
    """Acknowledge a job, and log and count it."""
    job_api.check_acknowledgment(request)
    answered = acknowledgment.make_ours(claim) if claim else acknowledgment.by_hand(request)
    if answered.assumed:
        metrics.add_metric("AcknowledgmentsAssumed", MetricUnit.Count, 1)
        logger.warning("An earlier call must have succeeded: the job counts as acknowledged")
        return answered
    taken: dict[str, Any] = {"status": answered.status}
    if answered.status != "InProgress":
        metrics.add_metric("OffersLost", MetricUnit.Count, 1)
    else:
        metrics.add_metric("Acknowledgments", MetricUnit.Count, 1)
        if answered.offered_at:
            taken["milliseconds"] = round(1000 * seconds_since(answered.offered_at))
            metrics.add_metric("TimeToAcknowledge", MetricUnit.Milliseconds, taken["milliseconds"])
    logger.info("Acknowledged", extra=taken)
    return answered


def answer(task_token: str, request: dict[str, Any], claim: Claim) -> dict[str, str]:
    """Acknowledge a job and answer the execution that waits with `task_token`."""
    answered = None
    try:
        answered = counted(request, claim)
        result = answered.failure or {"status": answered.status}
    except errors.AcknowledgerError as error:
        result = {"error": type(error).__name__, "cause": str(error)}
        lost = isinstance(error, errors.OfferLost)
        refused = not isinstance(error, (errors.StandDown, errors.EndedElsewhere))
        metrics.add_metric("OffersLost", MetricUnit.Count, int(lost))
        metrics.add_metric("AcknowledgmentsRefused", MetricUnit.Count, int(refused))
        logger.warning("Not acknowledged", extra=result)
    if not executions.answer(task_token, result):
        # Most likely it has been answered; or else it is over, and nobody works on its job.
        logger.info("The execution no longer waits for this answer")
        if answered:
            job_table.look_at(request["jobId"], claim.execution, 0)
    return result
