"""Stopping: when a job is stopped in CodePipeline or Step Functions, it is ended in the other."""

import json
import time
from collections.abc import Mapping
from typing import Any

from acknowledger import bus, ending, events, executions, job_table, outcomes
from acknowledger.config import config
from acknowledger.errors import EndedElsewhere, EventInvalid, NotStopped
from acknowledger.log import about, logger
from acknowledger.moments import ago, now, seconds_since

# An event may arrive before its job, or while the execution is between two waits.
LOOK_AGAIN_SECONDS = (0.5, 1, 2, 3, 4)
# How long a result may wait for the job on which it is reported.
NEXT_JOB_WITHIN_SECONDS = 24 * 3600


def on_action(detail: Mapping[str, Any]) -> list[str]:
    """Notify the executions of the jobs of an action execution that CodePipeline has ended.

    Only its id distinguishes it from a retry of the same action.
    """
    state, action = detail["state"], detail["action-execution-id"]
    logger.append_keys(action_execution_id=action)
    if events.served_type(detail, set(config().action_types)) is None:
        return []
    cause = f"CodePipeline has ended the action: {state}"
    result = detail.get("execution-result")
    if isinstance(result, dict):
        words = (result.get("error-code"), result.get("external-execution-summary"))
        cause = ": ".join([cause, *(str(word) for word in words if word)])
    return end_executions(action, cause)


def on_execution(detail: Mapping[str, Any]) -> list[str]:
    """End the job of an execution that is over, so that its pipeline does not wait."""
    arn = detail["executionArn"]
    return end_job(arn, detail if detail.get("input") else executions.describe(arn) or {})


def on_due(detail: Mapping[str, Any]) -> list[str]:
    """Check a job without an event: its execution may be over, or not know that the job is."""
    job_id = detail["jobId"]
    row = job_table.find(job_id)
    logger.append_keys(**about(row))
    if row is None or row["dueAt"] > now():
        return []
    arn = row["execution"]
    # First, so that a later sweep tries again what fails here.
    job_table.look_at(job_id, arn, job_table.SLACK_SECONDS)
    described = executions.describe(arn)
    if described is None:
        raise NotStopped(f"job {job_id}: its execution no longer exists in Step Functions")
    if described["status"] != "RUNNING":
        return end_job(arn, described)
    if "over" in row:
        wake(row)
    limit = json.loads(described["input"])["timeouts"]["JobTimeoutSeconds"]
    worked = seconds_since(row["updatedAt"]) if row["status"] == "InProgress" else 0
    if config().continue_after_seconds < min(worked, limit):
        bus.put("Job Progress", {"jobId": job_id, "keepAlive": True})
    return []


def end_executions(action: str, cause: str) -> list[str]:
    """Notify the executions of an action execution's jobs; return their ids."""
    ended: set[str] = set()
    for wait in (0, *LOOK_AGAIN_SECONDS):
        time.sleep(wait)
        rows = [job_table.find(job_id) for job_id in job_table.of_action(action)]
        # Jobs without an end or without an event about it.
        found = [row for row in rows if row]
        living = [r for r in found if r["status"] not in job_table.ENDED or "unannounced" in r]
        for row in living:
            if row["jobId"] not in ended and end_execution(row, cause):
                logger.info("Ended", cause=cause, **about(row))
                ended.add(row["jobId"])
        left = [row["jobId"] for row in living if row["jobId"] not in ended]
        if rows and not left:
            break
    if left:
        raise NotStopped(f"jobs {', '.join(left)}: their executions are not waiting")
    return sorted(ended)


def end_execution(row: dict[str, Any], cause: str) -> bool:
    """Note that a job is over, and wake its execution; return whether it was waiting or is over."""
    over = {"error": EndedElsewhere.__name__, "cause": cause}
    noted = row["status"] in job_table.ENDED or job_table.update(
        row["jobId"],
        "SET #over = :over, dueAt = :dueAt",
        condition=f"{job_table.MINE} AND {job_table.IS_IN_FLIGHT}",
        values={":over": over, ":execution": row["execution"], ":dueAt": job_table.due(0)},
    )
    if not noted:
        return False
    if wake({**row, "over": over}):
        return True
    described = executions.describe(row["execution"])
    if described is None or described["status"] == "RUNNING":
        return False
    end_job(row["execution"], described)
    return True


def wake(row: dict[str, Any]) -> bool:
    """Let a waiting execution see that its job is over; return whether it was waiting."""
    token = executions.waiting_token(row["execution"])
    return token is not None and executions.fail(token, row["over"]["error"], row["over"]["cause"])


def end_job(arn: str, execution: Mapping[str, Any]) -> list[str]:
    """End the job of an execution that is over, if it has not ended; return its id.

    The execution's last payload for Report is used again, since Report may have done a part of it.

    Args:
        execution: as in events and DescribeExecution: `{input, status, error?, cause?}`.
    """
    offer = events.started_with(execution)
    if offer is None:
        raise EventInvalid("detail.input must be what Intake starts executions with")
    job_id = offer["job"]["id"]
    row = job_table.find(job_id)
    logger.append_keys(**{"job_id": job_id} | about(row))
    if row is None or row["execution"] != arn:
        return []
    payload, answered = executions.last_report(arn)
    outcome = stopped(execution) if payload is None else outcomes.parse(payload)[2]
    outcome["waited"] = row.get("progressAt", now()) < ago(NEXT_JOB_WITHIN_SECONDS)
    # It may have recorded the end in the row.
    outcome["cutShort"] = payload is not None and not answered
    ended = ending.end(arn, offer, outcome, running=False)
    if ended.answer["status"] == ending.NEXT_JOB_NOT_HERE:
        job_table.look_at(job_id, arn, job_table.SLACK_SECONDS)
    if ended.first:
        logger.info("Reported", extra=ended.answer)
    return [job_id] if ended.first else []


def stopped(execution: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome of a job whose execution ended without one."""
    error, cause = execution.get("error"), execution.get("cause")
    ended = f"The job's execution was ended from outside ({execution['status']})"
    words = [ended, *(str(word) for word in (error, cause) if word)]
    known = error if error == "NotDispatched" else "JobFailed"
    return {"state": outcomes.STOPPED, "failure": {"Error": known, "Cause": ": ".join(words)}}
