"""The EventBridge events of pipelines, stages and actions, which go to the default bus.

Fields and their types are those of events recorded from CodePipeline in September 2026, and of the
user guide's page on monitoring events: ``version`` and ``pipeline-execution-attempt`` are floats (a
stage's attempt is 0.0 until the execution is retried), the action type's version is a string, and
no event has a job id.

Events of partner actions (owner ThirdParty) are put too. AWS puts them in the account of the
pipeline, the customer's, where the partner does not see them. Here partner and customer share an
account, so a partner's worker must not rely on an event that it sees here.
"""

import json
from datetime import UTC, datetime
from typing import Any

from .runs import CANCELLED, FAILED, SUCCEEDED, ActionRun, PipelineRun, StageRun, without_none

STARTED, RESUMED, STOPPING, CANCELED = "STARTED", "RESUMED", "STOPPING", "CANCELED"


def state_of(status: str) -> str:
    """The state in events for a status."""
    return CANCELED if status == CANCELLED else status.upper()


def pipeline_event(run: PipelineRun, state: str, at: float) -> dict[str, Any]:
    """An entry for PutEvents: a pipeline execution's new state."""
    detail: dict[str, Any] = {}
    if state == STARTED:
        detail["execution-trigger"] = {
            "trigger-type": run.trigger["triggerType"],
            "trigger-detail": run.trigger["triggerDetail"],
        }
    detail["start-time"] = _timestamp(run.started)
    if run.retried is not None:
        detail["last-retry-attempt-time"] = _timestamp(run.retried)
    detail |= {"state": state, **_version(run, attempt=run.attempt)}
    if state == STOPPING and run.stopped_for:
        detail["stop-execution-comments"] = run.stopped_for["reason"]
    return _entry("Pipeline", run, detail, at)


def stage_event(stage: StageRun, state: str, at: float) -> dict[str, Any]:
    """An entry for PutEvents: a stage's new state."""
    run = stage.run
    detail: dict[str, Any] = {}
    if stage.retried is not None:
        detail["stage-last-retry-attempt-time"] = _timestamp(stage.retried)
    detail |= {
        "start-time": _timestamp(stage.started),
        "stage": stage.name,
        "state": state,
        **_version(run, attempt=run.attempt if run.attempt > 1 else 0),
    }
    return _entry("Stage", run, detail, at)


def action_event(action: ActionRun, state: str, at: float) -> dict[str, Any]:
    """An entry for PutEvents: an action's new state."""
    run = action.run
    detail: dict[str, Any] = {"start-time": _timestamp(action.started)}
    detail["stage"] = action.stage.name
    if action.status in (SUCCEEDED, FAILED) and (result := _result(action)):
        detail["execution-result"] = result
    if action.inputs:
        detail["input-artifacts"] = [artifact.detail() for artifact in action.inputs]
    if action.status == SUCCEEDED and action.outputs:
        detail["output-artifacts"] = [artifact.detail() for artifact in action.outputs]
    detail |= {
        "action-execution-id": action.id,
        "action": action.name,
        "state": state,
        "region": action.region,
        "type": dict(action.type_id),
        **_version(run, attempt=run.attempt),
    }
    return _entry("Action", run, detail, at)


def _result(action: ActionRun) -> dict[str, str]:
    result = action.result()
    return without_none(
        **{
            "external-execution-summary": result.get("externalExecutionSummary"),
            "external-execution-id": result.get("externalExecutionId"),
            "external-execution-url": result.get("externalExecutionUrl"),
            "error-code": action.error["code"] if action.error else None,
        }
    )


def _version(run: PipelineRun, attempt: int) -> dict[str, float]:
    return {"version": float(run.pipeline_version), "pipeline-execution-attempt": float(attempt)}


def _timestamp(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _entry(what: str, run: PipelineRun, more: dict[str, Any], at: float) -> dict[str, Any]:
    detail = {"pipeline": run.pipeline_name, "execution-id": run.pipeline_execution_id} | more
    return {
        "Source": "aws.codepipeline",
        "DetailType": f"CodePipeline {what} Execution State Change",
        "Resources": [run.arn],
        "Time": at,
        "Detail": json.dumps(detail),
    }


def put_on_default_bus(account_id: str, region_name: str, entry: dict[str, Any]) -> None:
    """Give an event to moto's EventBridge, in this process."""
    from moto.events.models import events_backends  # noqa: PLC0415 - slow, and not always needed

    events_backends[account_id][region_name].put_events([entry])


def publish_in_moto(
    account_id: str, region_name: str, topic: str, subject: str, message: str
) -> None:
    """Publish a notification to a topic of moto's SNS, in this process."""
    from moto.sns.models import sns_backends  # noqa: PLC0415 - as above

    sns_backends[account_id][region_name].publish(message=message, arn=topic, subject=subject)
