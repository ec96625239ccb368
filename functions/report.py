"""Report: tells CodePipeline how a job ended, and on the way how far it is."""

from __future__ import annotations

import functools
import os
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import outcome, reporting
from acknowledger.aws import prepare
from acknowledger.config import ReportConfig
from acknowledger.errors import CodePipelineRefused
from acknowledger.log import logger
from acknowledger.moments import ago, seconds_in_each

metrics = Metrics()
prepare("codepipeline", "dynamodb")


@functools.cache
def config() -> ReportConfig:
    """The deployment's settings, read once."""
    return ReportConfig.from_environment(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Report one job's result to CodePipeline, or its progress.

    Args:
        event: a result from the state machine, as `outcome.parse` takes it; or the EventBridge
            event `Job Progress` from a worker, as `outcome.parse_progress` takes it.

    Returns:
        for a result `{status}`, with `error` and `cause` for Failed and TimedOut: CodePipeline's
        failure type and the message that it was given; for progress `{shown: bool}`.

    Raises:
        EventInvalid: the event is neither.
        ValidationException, OutputVariablesSizeExceededException: it breaks a limit.
        InvalidJobStateException, JobNotFoundException: CodePipeline has ended the job otherwise.
        InvalidNonceException, OfferLost: the job was never ours; nothing was reported.
        NextJobNotHere: the result belongs to a job that has yet to come.
        CodePipelineUnavailable: worth another try.
    """
    try:
        if isinstance(event, dict) and "detail-type" in event:
            return show_progress(event)
        return report(event)
    except CodePipelineRefused as error:
        metrics.add_metric("ReportsRefused", MetricUnit.Count, 1)
        logger.warning("Report refused", error=type(error).__name__, cause=str(error))
        raise


def show_progress(event: dict[str, Any]) -> dict[str, bool]:
    """Show how far a job is, unless that was done just now, and count it."""
    job_id, told, told_at = outcome.parse_progress(event)
    logger.append_keys(job_id=job_id)
    shown = reporting.show_progress(job_id, told, told_at, config().progress_interval_seconds)
    metrics.add_metric("ProgressShown", MetricUnit.Count, int(shown))
    if shown:
        logger.info("Progress shown")
    return {"shown": shown}


def report(event: Any) -> dict[str, str]:
    """Report a result, and count how the job ended, how long it took, and where it was so long."""
    result = outcome.parse(event)
    logger.append_keys(job_id=result["jobId"])
    reported = reporting.report(result)
    metrics.add_metric(f"Jobs{result['status']}", MetricUnit.Count, 1)
    spent = seconds_in_each(reported.times, ago(0))
    for status, seconds in spent.items():
        metrics.add_metric(f"TimeIn{status}", MetricUnit.Seconds, seconds)
    if spent:
        metrics.add_metric("JobDuration", MetricUnit.Seconds, sum(spent.values()))
    logger.info("Reported", extra=reported.said)
    return reported.said
