"""What Intake decides about one offered job. Nothing here calls AWS."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from dataclasses import asdict, fields
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
    continues: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the state machine is started with: the job without its secrets, and its time limits.

    Args:
        offer: a job as `job_api.details` gives it.
        action_type: the action type it was polled for.
        timeouts: the stack's limits, each the most that a job may ask for.
        secret_properties: the configuration properties whose values must not be written down;
            None where it isn't known which those are, so that none is.
        offered_at: when it was polled, ISO 8601 in UTC; of two offers the later one counts.
        continues: what this one continues, if it does, as `continuation.continued` gives it.

    Returns:
        `{job, actionType, offeredAt, timeouts}`, with `continues` if there is one, and with
        `configurationError` if the action's own limits can't be used: such a job is acknowledged
        and then failed with that message.
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
    if continues:
        start_input["continues"] = continues
    return start_input | ({"configurationError": problem} if problem else {})


def parse(value: Any, path: str) -> dict[str, Any]:
    """Check that something is what `execution_input` gives, as far as it is needed again.

    Raises:
        EventInvalid: naming every field that is wrong, below `path`.
    """
    offer: dict[str, Any] = value if isinstance(value, dict) else {}
    job, timeouts, continues = (
        member if isinstance(member := offer.get(name, {}), dict) else {}
        for name in ("job", "timeouts", "continues")
    )
    texts = {
        "job.id": job.get("id"),
        "job.nonce": job.get("nonce"),
        "job.clientId": job.get("clientId", ""),
        "actionType": offer.get("actionType"),
        "offeredAt": offer.get("offeredAt"),
        "configurationError": offer.get("configurationError", ""),
        "continues.jobId": continues.get("jobId", "" if "continues" not in offer else None),
        "continues.after": continues.get("after", "" if "continues" not in offer else None),
    }
    wrong = [
        f"{path}.{name} must be a string"
        for name, text in texts.items()
        if not isinstance(text, str)
    ]
    wrong += [
        f"{path}.timeouts.{limit.name} must be a whole number"
        for limit in fields(Timeouts)
        if type(timeouts.get(limit.name)) is not int
    ]
    if not isinstance(job.get("data"), dict):
        wrong.append(f"{path}.job.data must be an object")
    if wrong:
        raise EventInvalid("; ".join(wrong))
    return offer


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


def detail_of(event: Any, detail_types: Set[str]) -> tuple[str, dict[str, Any]]:
    """The detail-type and the detail of an EventBridge event of one of these types.

    Raises:
        EventInvalid: it is none of them.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    kind = event.get("detail-type")
    if not isinstance(kind, str) or kind not in detail_types:
        raise EventInvalid(
            "detail-type must be " + " or ".join(f"'{name}'" for name in sorted(detail_types))
        )
    detail = event.get("detail", {})
    if not isinstance(detail, dict):
        raise EventInvalid("detail must be an object")
    return kind, detail


def started_action(detail: Mapping[str, Any], served: Set[ActionType]) -> ActionType:
    """The action type of a STARTED event.

    Args:
        detail: that of a "CodePipeline Action Execution State Change".
        served: the action types of this deployment.

    Raises:
        EventInvalid: it is another event, or names an action type that is not served here; the
            message names every field that is wrong.
    """
    wrong = [
        f"detail.{name} must be a string"
        for name in ("pipeline", "execution-id", "stage", "action")
        if not isinstance(detail.get(name), str)
    ]
    if not isinstance(detail.get("action-execution-id", ""), str):
        wrong.append("detail.action-execution-id must be a string where there is one")
    if detail.get("state") != "STARTED":
        wrong.append("detail.state must be STARTED")
    action_type = served_type(detail, served)
    if action_type is None:
        names = ", ".join(sorted(map(str, served)))
        wrong.append(f"detail.type must be the id of an action type served here ({names})")
    if wrong or action_type is None:
        raise EventInvalid("; ".join(wrong))
    return action_type


def served_type(detail: Mapping[str, Any], served: Set[ActionType]) -> ActionType | None:
    """The action type that an event of CodePipeline's names, or None if it isn't served."""
    kind = detail.get("type")
    return next((one for one in served if one.as_id() == kind), None)


def chosen_types(detail: Mapping[str, Any], served: Set[ActionType]) -> list[ActionType]:
    """The action types that an operator means: those of `actionTypes`, or all.

    Raises:
        EventInvalid: it names one that is not served here.
    """
    by_name = {str(action_type): action_type for action_type in served}
    names = detail.get("actionTypes", sorted(by_name))
    known = isinstance(names, list) and all(
        isinstance(name, str) and name in by_name for name in names
    )
    if not known or not names:
        raise EventInvalid(
            "detail.actionTypes must be a list of action types served here "
            f"({', '.join(sorted(by_name))}), or be left out for all"
        )
    return [by_name[name] for name in names]


def ended_execution(detail: Mapping[str, Any]) -> tuple[str, str | None]:
    """The name of an execution that has ended, and its job's action type where that is known.

    Args:
        detail: that of a "Step Functions Execution Status Change"; it has no input where that is
            too long for an event.

    Raises:
        EventInvalid: it is another event.
    """
    name = detail.get("name")
    if not isinstance(name, str) or detail.get("status") == "RUNNING":
        raise EventInvalid("detail must have a name and a status other than RUNNING")
    try:
        action_type = json.loads(detail.get("input") or "{}").get("actionType")
    except (AttributeError, RecursionError, TypeError, ValueError):
        action_type = None
    return name, action_type if isinstance(action_type, str) else None
