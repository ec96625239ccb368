"""Report: tells CodePipeline how a job ended."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import acknowledgment, job_api
from acknowledger.errors import OfferLost
from acknowledger.outcome import failure_details, job_of, parse, success_request

logger = Logger(service="Report")
metrics = Metrics(service="Report")


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Report one job's result to CodePipeline, with the same words however often it is asked to.

    Args:
        event: as `outcome.parse` takes it.

    Returns:
        `{status}`, with `error` and `cause` for Failed and TimedOut: CodePipeline's failure type
        and the message that it was given.

    Raises:
        EventInvalid: the event is none of the state machine's.
        ValidationException, OutputVariablesSizeExceededException: the result breaks a limit.
        InvalidJobStateException, JobNotFoundException: CodePipeline has ended the job otherwise.
        InvalidNonceException, OfferLost: the job was never ours; nothing was reported.
        CodePipelineUnavailable: worth another try.
    """
    outcome = parse(event)
    logger.append_keys(job_id=outcome["jobId"])
    told = report(outcome)
    metrics.add_metric(f"Jobs{outcome['status']}", MetricUnit.Count, 1)
    logger.info("Reported", extra=told)
    return told


def report(outcome: dict[str, Any]) -> dict[str, str]:
    """Make the calls for an outcome and return what was told."""
    job, status = job_of(outcome), outcome["status"]
    if status == "Succeeded":
        job_api.put_success(success_request(job, outcome["result"]))
        return {"status": status}
    if "nonce" in outcome:
        make_ours({**job, "nonce": outcome["nonce"]})
    details = failure_details(outcome)
    job_api.put_failure({**job, "failureDetails": details})
    return {"status": status, "error": details["type"], "cause": details["message"]}


def make_ours(request: dict[str, str]) -> None:
    """Acknowledge a job before failing it: what another worker holds must not be touched."""
    answered = acknowledgment.acknowledge(request)
    logger.info("Acknowledged late", status=answered.status, assumed=answered.assumed)
    # After an earlier call of ours, a terminal status is most likely our own report's.
    if answered.status != "InProgress" and answered.first:
        raise OfferLost(f"the acknowledgment was answered with {answered.status}")
