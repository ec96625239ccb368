"""Intake's decision about one offered job. Nothing here calls AWS.

CodePipeline shows progress only with a continuation token. That ends the job and creates the next
one, which has the token. Our tokens name the deployment, the work, and the last of its jobs so
far.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from acknowledger.config import ActionType, Timeouts
from acknowledger.errors import ContinuedElsewhere
from acknowledger.room import Room

MASK = "****"
# What our continuation tokens begin with.
PREFIX = "acknowledger:"
_UNSAFE_IN_NAME = re.compile(r"[^0-9A-Za-z_-]")


@dataclass(frozen=True)
class Execution:
    """The execution to start for an offer.

    name: the same for the same offer, so that Step Functions refuses to start it twice.
    another_name: for a second execution of the same offer; it also has the time of the offer.
    start_input: the job without its secrets, and its time limits: `{job, actionType, offeredAt,
        timeouts}`, with `continues` if it continues another, and with `configurationError` if the
        action's own limits are invalid: such a job is acknowledged and then failed with that.
    """

    name: str
    another_name: str
    start_input: dict[str, Any]


def decide(
    room: Room,
    job: Mapping[str, Any],
    action_type: ActionType,
    *,
    state_machine_arn: str,
    timeouts: Timeouts,
    secret_properties: Set[str] | None,
    offered_at: str,
) -> Execution | None:
    """The execution to start for an offer, or None if there is no room: it is offered again.

    Args:
        room: the room of its action type.
        job: as `job_api.details` returns it.
        timeouts: the stack's limits; a job may set lower ones.
        secret_properties: the configuration properties whose values must not be written down;
            None if these are not known, so that all values are masked.
        offered_at: when it was polled, ISO 8601 in UTC; of two offers, the later one counts.

    Raises:
        ContinuedElsewhere: it belongs to another deployment.
        AttributeError, KeyError, TypeError, ValueError: the job is not as CodePipeline documents.
    """
    data = {key: value for key, value in job["data"].items() if key != "artifactCredentials"}
    continues = continued(data.get("continuationToken"), state_machine_arn)
    if continues is None and not room.left:
        # It was offered together with a job that was awaited.
        return None
    configuration = data.get("actionConfiguration", {}).get("configuration", {})
    if configuration:
        secret = configuration if secret_properties is None else secret_properties
        shown = {name: MASK if name in secret else each for name, each in configuration.items()}
        data["actionConfiguration"] = {"configuration": shown}
    limits, problem = job_timeouts(configuration, timeouts)
    whose = {name: job[name] for name in ("accountId", "clientId") if name in job}
    start_input = {
        "job": {"id": job["id"], "nonce": job["nonce"], **whose, "data": data},
        "actionType": str(action_type),
        "offeredAt": offered_at,
        "timeouts": asdict(limits),
        **({"continues": continues} if continues else {}),
        **({"configurationError": problem} if problem else {}),
    }
    name = execution_name(job["id"], job["nonce"])
    moment = datetime.fromisoformat(offered_at).timestamp()
    return Execution(name, f"{name}-{round(moment * 1000)}", start_input)


def job_id(offer: Any) -> Any:
    """The id of an offer's job, or None."""
    named = offer if isinstance(offer, dict) else {}
    return named.get("id") or named.get("jobId")


def execution_name(job_id: str, nonce: str) -> str:
    """The name of an offer's execution: up to 65 of A-Z a-z 0-9 - and _."""
    digest = hashlib.sha256(f"{job_id}\n{nonce}".encode()).hexdigest()[:24]
    return f"{_UNSAFE_IN_NAME.sub('-', job_id)[:40]}-{digest}"


def job_timeouts(configuration: Mapping[str, str], most: Timeouts) -> tuple[Timeouts, str]:
    """The time limits of one job, and what is wrong with those that its action sets ("" if fine).

    An action's configuration may set any of the three by name, to less than the stack's limit but
    not to more.
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
    # A heartbeat can't be due later than the whole job.
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
    if started.get("action-execution-id"):
        return bool(action.get("actionExecutionId") == started["action-execution-id"])
    names = (context.get(part, {}).get("name") for part in ("stage", "action"))
    ours = (context.get("pipelineName"), context.get("pipelineExecutionId"), *names)
    return ours == tuple(started[name] for name in ("pipeline", "execution-id", "stage", "action"))


def token(execution_arn: str, job_id: str, after: str) -> str:
    """The continuation token that ties the next job to some work, 1 to 2048 characters.

    Args:
        execution_arn: the execution of the work.
        job_id: the first job of the work, 512 characters at most.
        after: its newest job, likewise.
    """
    jobs = json.dumps([job_id, after], ensure_ascii=False, separators=(",", ":"))
    return f"{PREFIX}{execution_arn.split(':')[6]}:{jobs}"


def continued(continuation_token: str | None, state_machine_arn: str) -> dict[str, str] | None:
    """The work that a job with this token continues, `{jobId, after}`; None for a worker's token.

    Raises:
        ContinuedElsewhere: the work belongs to another deployment.
        ValueError: it only looks like a token of ours.
    """
    if continuation_token is None or not continuation_token.startswith(PREFIX):
        return None
    machine, _, jobs = continuation_token.removeprefix(PREFIX).partition(":")
    if machine != state_machine_arn.split(":")[6]:
        raise ContinuedElsewhere(f"it continues the work of another deployment, {machine}")
    job_id, after = json.loads(jobs)
    return {"jobId": job_id, "after": after}
