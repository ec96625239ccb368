"""Report: reports a job's result to CodePipeline, and its progress before that."""

from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import ending, outcomes, progress
from acknowledger.aws import prepare
from acknowledger.config import config
from acknowledger.errors import CodePipelineRefused
from acknowledger.log import logger
from acknowledger.moments import now, seconds_in_each

metrics = Metrics()
prepare("codepipeline", "dynamodb", "events")


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """End one job, or show its progress.

    Args:
        event: a job's outcome from the state machine, as `outcomes.parse` takes it; or the
            EventBridge event `Job Progress` from a worker, as `outcomes.parse_progress` takes it.

    Returns:
        `answer` of `ending.Ending`; for progress `{shown: bool}`.

    Raises:
        EventInvalid, ValidationException: the event is neither, or its progress breaks a limit.
        AcknowledgerError: worth another try.
    """
    try:
        if isinstance(event, dict) and "detail-type" in event:
            return show_progress(event)
        return end(event)
    except CodePipelineRefused as error:
        metrics.add_metric("ReportsRefused", MetricUnit.Count, 1)
        logger.warning("Report refused", error=type(error).__name__, cause=str(error))
        raise


def show_progress(event: dict[str, Any]) -> dict[str, bool]:
    """Show a job's progress, unless some was shown a moment ago, and count it."""
    job_id, reported, reported_at = outcomes.parse_progress(event)
    logger.append_keys(job_id=job_id)
    shown = progress.show(job_id, reported, reported_at)
    metrics.add_metric("ProgressShown", MetricUnit.Count, int(shown))
    if shown:
        logger.info("Progress shown")
    return {"shown": shown}


def end(event: Any) -> dict[str, str]:
    """End a job, and count how it ended, how long it took, and its time in each status."""
    execution, offer, outcome = outcomes.parse(event)
    logger.append_keys(job_id=offer["job"]["id"])
    ended = ending.end(execution, offer, outcome)
    if ended.refused:
        metrics.add_metric("ReportsRefused", MetricUnit.Count, 1)
        logger.warning("Report refused", error=ended.refused, cause=ended.answer["cause"])
    if ended.first:
        if config().metrics_by_action_type:
            metrics.add_dimensions(service=metrics.service, action_type=offer["actionType"])
        metrics.add_metric(f"Jobs{ended.answer['status']}", MetricUnit.Count, 1)
        spent = seconds_in_each(ended.times, now())
        for status, seconds in spent.items():
            metrics.add_metric(f"TimeIn{status}", MetricUnit.Seconds, seconds)
        if spent:
            metrics.add_metric("JobDuration", MetricUnit.Seconds, sum(spent.values()))
    logger.info("Reported" if ended.first else "Nothing to report", extra=ended.answer)
    return ended.answer
