"""What Intake decides about one offered job. Nothing here calls AWS."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from dataclasses import asdict
from datetime import datetime
from typing import Any

from acknowledger.config import ActionType, Timeouts
from acknowledger.errors import EventInvalid

MASK = "****"
_UNSAFE_IN_NAME = re.compile(r"[^0-9A-Za-z_-]")


def execution_name(job_id: str, nonce: str) -> str:
    """The name of the execution that follows an offer: up to 65 of A-Z a-z 0-9 - and _.

    The same job and nonce always give the same name, so Step Functions refuses to start one offer
    twice.
    """
    digest = hashlib.sha256(f"{job_id}\n{nonce}".encode()).hexdigest()[:24]
    return f"{_UNSAFE_IN_NAME.sub('-', job_id)[:40]}-{digest}"


def execution_name_again(job_id: str, nonce: str, offered_at: str) -> str:
    """The name for an offer whose first execution ended without the job being acknowledged.

    Such an offer comes only where the nonce stays the same; it is told from the first by its time.
    """
    moment = datetime.fromisoformat(offered_at.replace("Z", "+00:00")).timestamp()
    return f"{execution_name(job_id, nonce)}-{round(moment * 1000)}"


def execution_input(
    offer: Mapping[str, Any],
    action_type: ActionType,
    *,
    timeouts: Timeouts,
    secret_properties: Set[str] | None,
    offered_at: str,
) -> dict[str, Any]:
    """What the state machine is started with: the job without its secrets, and its time limits.

    Args:
        offer: a job as `job_api.details` gives it.
        action_type: the action type it was polled for.
        timeouts: the stack's limits, each the most that a job may ask for.
        secret_properties: the configuration properties whose values must not be written down;
            None where it isn't known which those are, so that none is.
        offered_at: when it was polled, ISO 8601 in UTC; of two offers the later one counts.

    Returns:
        `{job, actionType, offeredAt, timeouts}`, and `configurationError` if the action's own
        limits can't be used: such a job is acknowledged and then failed with that message.
    """
    data = {key: value for key, value in offer["data"].items() if key != "artifactCredentials"}
    configuration = data.get("actionConfiguration", {}).get("configuration", {})
    if configuration:
        data["actionConfiguration"] = {
            "configuration": {
                name: MASK if secret_properties is None or name in secret_properties else value
                for name, value in configuration.items()
            }
        }
    limits, problem = job_timeouts(configuration, timeouts)
    whose = {name: offer[name] for name in ("accountId", "clientId") if name in offer}
    start_input = {
        "job": {"id": offer["id"], "nonce": offer["nonce"], **whose, "data": data},
        "actionType": str(action_type),
        "offeredAt": offered_at,
        "timeouts": asdict(limits),
    }
    return start_input | ({"configurationError": problem} if problem else {})


def job_timeouts(configuration: Mapping[str, str], most: Timeouts) -> tuple[Timeouts, str]:
    """The time limits of one job, and what is wrong with those its action asks for ("" if fine).

    An action's configuration may set any of the three by its name; it may ask for less than the
    stack's limit but not for more.
    """
    limits = asdict(most)
    problems = []
    for name, at_most in asdict(most).items():
        asked = configuration.get(name)
        if asked is None:
            continue
        if re.fullmatch("[0-9]{1,6}", asked) and 1 <= int(asked) <= at_most:
            limits[name] = int(asked)
        else:
            problems.append(
                f"{name} in the action's configuration must be a whole number of seconds "
                f"from 1 to {at_most}"
            )
    # A worker that is never late with its heartbeat cannot be later than the whole job.
    limits["HeartbeatTimeoutSeconds"] = min(
        limits["HeartbeatTimeoutSeconds"], limits["JobTimeoutSeconds"]
    )
    return Timeouts(**limits), "; ".join(problems)


def is_for(offer: Mapping[str, Any], started: Mapping[str, Any]) -> bool:
    """Whether an offered job belongs to the action execution that a STARTED event names.

    Older events have no `action-execution-id`; they are matched by pipeline, stage, action and
    pipeline execution.
    """
    context = offer["data"].get("pipelineContext", {})
    action = context.get("action", {})
    if "action-execution-id" in started:
        return bool(action.get("actionExecutionId") == started["action-execution-id"])
    return (
        context.get("pipelineName"),
        context.get("pipelineExecutionId"),
        context.get("stage", {}).get("name"),
        action.get("name"),
    ) == (
        started["pipeline"],
        started["execution-id"],
        started["stage"],
        started["action"],
    )


def started_action(event: Any, served: Set[ActionType]) -> tuple[ActionType, dict[str, Any]] | None:
    """The action type and the detail of a STARTED event, or None where a schedule asks for a sweep.

    Args:
        event: an EventBridge event, "CodePipeline Action Execution State Change" or a schedule's.
        served: the action types of this deployment.

    Raises:
        EventInvalid: it is neither, or it names an action type that is not served here; the
            message names every field that is wrong.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    kind = event.get("detail-type")
    if kind == "Scheduled Event":
        return None
    if kind != "CodePipeline Action Execution State Change":
        raise EventInvalid(
            "detail-type must be 'CodePipeline Action Execution State Change' or 'Scheduled Event'"
        )
    detail = event.get("detail")
    if not isinstance(detail, dict):
        raise EventInvalid("detail must be an object")
    wrong = [
        f"detail.{name} must be a string"
        for name in ("pipeline", "execution-id", "stage", "action")
        if not isinstance(detail.get(name), str)
    ]
    if not isinstance(detail.get("action-execution-id", ""), str):
        wrong.append("detail.action-execution-id must be a string where there is one")
    if detail.get("state") != "STARTED":
        wrong.append("detail.state must be STARTED")
    by_id = {tuple(sorted(action_type.as_id().items())): action_type for action_type in served}
    kind_id = detail.get("type")
    action_type = (
        by_id.get(tuple(sorted(kind_id.items())))
        if isinstance(kind_id, dict) and all(isinstance(part, str) for part in kind_id.values())
        else None
    )
    if action_type is None:
        names = ", ".join(sorted(map(str, served)))
        wrong.append(f"detail.type must be the id of an action type served here ({names})")
    if wrong or action_type is None:
        raise EventInvalid("; ".join(wrong))
    return action_type, detail
