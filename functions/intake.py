"""Intake: takes every job that CodePipeline offers and starts its execution."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import events, taking
from acknowledger.aws import prepare
from acknowledger.config import config
from acknowledger.errors import EventInvalid, IntakeIncomplete
from acknowledger.log import logger, printable

metrics = Metrics()
prepare("codepipeline", "dynamodb", "stepfunctions")

# The next invocation finds the jobs that are left.
TIME_TO_FINISH_MS = 10_000
# An error names at most this many failures.
PROBLEMS_NAMED = 10
PAUSED = {"Pause Intake": True, "Resume Intake": False}
HANDLED = {
    "Scheduled Event": taking.Taking.on_schedule,
    "CodePipeline Action Execution State Change": taking.Taking.on_started,
    "Step Functions Execution Status Change": taking.Taking.on_ended,
    "Resume Intake": taking.Taking.on_resumed,
}


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Poll until no job or no room is left, and start an execution for each job.

    Args:
        event: one of
            "CodePipeline Action Execution State Change" with state STARTED, which polls its action
            type, for a while, until that action's job is offered; if the type is not served, the
            event is only counted;
            "Scheduled Event", which polls every action type and repairs what went wrong before;
            "Step Functions Execution Status Change" of an execution that has ended, whose room
            goes to the next one;
            "Pause Intake" and "Resume Intake", with the detail `{actionTypes: [...]}` or for all;
            "Resume Intake" also polls these types.

    Returns:
        `{"offered": jobs that CodePipeline offered, "taken": those that an execution follows}`;
        for Pause and Resume Intake `{"paused": paused types}` or `{"refused": what is wrong}`.

    Raises:
        EventInvalid: the event is none of these, or names an action type that is not served.
        IntakeIncomplete: after everything else was done, names what failed. No job is lost:
            CodePipeline offers jobs again until they are acknowledged.
    """
    config().check()
    operated = {}
    try:
        parsed = events.parse(event, "Intake")
        kind, detail = parsed["detail-type"], parsed["detail"]
        if kind in PAUSED:
            operated = {"paused": taking.pause(detail, paused=PAUSED[kind])}
    except EventInvalid as error:
        # An operator sent it and reads the response.
        if isinstance(event, dict) and event.get("detail-type") in list(PAUSED):
            return {"refused": str(error)}
        raise
    if kind not in HANDLED:
        return operated
    with ThreadPoolExecutor(taking.STARTS_AT_ONCE) as starters:
        invocation = taking.Taking(
            lambda: context.get_remaining_time_in_millis() > TIME_TO_FINISH_MS, starters
        )
        HANDLED[kind](invocation, detail)
    for name, count in invocation.counts.items():
        unit = MetricUnit.Seconds if name == "OldestJobAge" else MetricUnit.Count
        metrics.add_metric(name, unit, count)
    if problems := invocation.problems[:PROBLEMS_NAMED]:
        more = len(invocation.problems) - len(problems)
        problems += [f"and {more} more"] if more else []
        raise IntakeIncomplete(printable("; ".join(problems)))
    return operated or {
        "offered": invocation.counts["OffersSeen"],
        "taken": invocation.counts["OffersTaken"],
    }
