"""Stop: when a job is stopped in CodePipeline or Step Functions, ends it in the other."""

from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import events, stopping
from acknowledger.aws import prepare
from acknowledger.log import logger

metrics = Metrics()
prepare("dynamodb", "stepfunctions")

HANDLED = {
    "CodePipeline Action Execution State Change": stopping.on_action,
    "Step Functions Execution Status Change": stopping.on_execution,
    "Job Due": stopping.on_due,
}


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """End the executions of an action that is over, or the job of an execution that is over.

    Args:
        event: one of
            "CodePipeline Action Execution State Change" of an action that is over: the execution of
            its job is notified, ends as Failed, and reports nothing;
            "Step Functions Execution Status Change" of an execution that was stopped or that
            broke: its job is ended as the execution would have ended it, or is failed;
            "Job Due", from the sweep, with the detail `{jobId}`: a job that should have ended or
            been continued by now.

    Returns:
        `{"ended": [job ids]}`

    Raises:
        EventInvalid: the event is none of these.
        AcknowledgerError: worth another try, also NotStopped: an execution was not notified.
    """
    event = events.parse(event, "Stop")
    ended = HANDLED[event["detail-type"]](event["detail"])
    metrics.add_metric("JobsStopped", MetricUnit.Count, len(ended))
    return {"ended": ended}
