"""Stop: when a job's life is cut short on one side, tells the other."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from acknowledger import bus, events, executions, job_table, outcome, reporting
from acknowledger.aws import prepare
from acknowledger.config import StopConfig
from acknowledger.errors import (
    EndedElsewhere,
    EventInvalid,
    InvalidJobStateException,
    InvalidNonceException,
    JobNotFoundException,
    NextJobNotHere,
    NotStopped,
    OfferLost,
)
from acknowledger.log import about, logger
from acknowledger.moments import ago

metrics = Metrics()
prepare("dynamodb", "stepfunctions")

# The name of the Fail state of an execution whose outcome could not be reported.
UNREPORTED = "Unreported"
ANNOUNCED = {"Succeeded": "Job Succeeded", "Failed": "Job Failed", "TimedOut": "Job Timed Out"}
# An event may come before the job it is about, and while the execution is between two waits.
LOOK_AGAIN_SECONDS = (0.5, 1, 2, 3, 4)
# Lambda gives an event that was failed at to Stop again after one and two minutes.
REPORTED_WITHIN_SECONDS = 900
# A failure is worth as many tries: each finds the newest job, unless one more has come since.
REPORTS = 5


@functools.cache
def config() -> StopConfig:
    """The deployment's settings, read once."""
    return StopConfig.from_environment(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """End the executions of an action that is over, or the job of an execution that is.

    Args:
        event: one of
            "CodePipeline Action Execution State Change" with a state that leaves nothing to work:
            the execution of its job ends as Failed, and nothing is reported;
            "Step Functions Execution Status Change" of an execution that ended otherwise than by
            its definition: its job is failed; or of one that had an outcome which CodePipeline
            could not be told: it is told now.

    Returns:
        `{"ended": [job ids]}`

    Raises:
        EventInvalid: the event is none of these.
        NotStopped: an execution could not be told; worth another try.
        AcknowledgerError: what CodePipeline or the table say; worth another try.
    """
    event = events.parse(event, "Stop")
    ended = HANDLED[event["detail-type"]](event["detail"])
    metrics.add_metric("JobsStopped", MetricUnit.Count, len(ended))
    return {"ended": ended}


def on_action(detail: dict[str, Any]) -> list[str]:
    """End the executions of the jobs of an action execution that CodePipeline has ended.

    Only by its own id is it told from a retry of the same action.
    """
    state, action = detail["state"], detail["action-execution-id"]
    logger.append_keys(action_execution_id=action)
    if events.served_type(detail, config().action_types) is None:
        return []
    cause = f"CodePipeline has ended the action without us: {state}"
    result = detail.get("execution-result")
    if isinstance(result, dict):
        words = (result.get("error-code"), result.get("external-execution-summary"))
        cause = ": ".join([cause, *(str(word) for word in words if word)])
    return end_executions(action, cause, by_report=state == "FAILED")


def on_execution(detail: dict[str, Any]) -> list[str]:
    """Report on the job of an execution that can't any more, so that nobody waits."""
    arn, status = detail["executionArn"], detail["status"]
    given = detail.get("input")
    try:
        start_input = json.loads(given) if given else executions.input_of(arn)
        job = start_input["job"]
        texts = (job["id"], job["nonce"], job.get("clientId", ""), start_input["actionType"])
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        texts = (None,) * 4
    if not all(isinstance(text, str) for text in texts):
        raise EventInvalid("detail.input must be what Intake starts executions with")
    job_id = job["id"]
    logger.append_keys(job_id=job_id)
    if detail.get("error") == UNREPORTED:
        result = outcome.parse(executions.last_payload(arn))
    else:
        words = [str(word) for word in (detail.get("error"), detail.get("cause")) if word]
        cause = ": ".join([f"The job's execution was ended from outside ({status})", *words])
        known = {"jobId": job_id} | {name: job[name] for name in ("clientId",) if name in job}
        result = {**known, "status": "Failed", "error": "JobFailed", "cause": cause}
    return [job_id] if end_job(arn, start_input, result) else []


HANDLED: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "CodePipeline Action Execution State Change": on_action,
    "Step Functions Execution Status Change": on_execution,
}


def end_executions(action: str, cause: str, *, by_report: bool) -> list[str]:
    """End the executions that work the jobs of an action execution; these jobs' ids.

    Args:
        by_report: whether a report of ours, by another invocation, may have ended the action.
    """
    told: set[str] = set()
    for wait in (0, *LOOK_AGAIN_SECONDS):
        time.sleep(wait)
        found = job_table.find_by("ByActionExecution", "actionExecutionId", action)
        rows = [job_table.find(job_id) for job_id in found]
        living = [
            row
            for row in rows
            if row
            and ("unannounced" in row or row["status"] not in job_table.ENDED)
            and not (by_report and _is_reported_on(row))
        ]
        for row in living:
            if row["jobId"] not in told and _tell(row, cause):
                logger.info("Ended", cause=cause, **about(row))
                told.add(row["jobId"])
        left = [row["jobId"] for row in living if row["jobId"] not in told]
        if rows and not left:
            break
    if left:
        raise NotStopped(f"jobs {', '.join(left)}: their executions don't wait to be told")
    return sorted(told)


def _is_reported_on(row: dict[str, Any]) -> bool:
    """Whether `on_execution` is told as well, and ends the row with what it reports."""
    if row["status"] in job_table.ENDED:
        return False
    error = executions.broken_since(row["execution"], ago(REPORTED_WITHIN_SECONDS))
    return error is not None and (error == UNREPORTED or error.startswith("States."))


def _tell(row: dict[str, Any], cause: str) -> bool:
    """Tell an execution that its job is over, or end the row of one that is over itself."""
    arn = row["execution"]
    said = {"status": "Failed", "error": EndedElsewhere.__name__, "cause": cause}
    if row["status"] in job_table.ENDED:
        said = {name: row[name] for name in said}
    else:
        task_token = executions.waiting_token(arn)
        if task_token is not None:
            return executions.fail(task_token, EndedElsewhere.__name__, cause)
        if executions.is_running(arn) or not _end(row, said, also=", unannounced = :now"):
            return False
    _announce(executions.input_of(arn), said)
    job_table.update(
        row["jobId"],
        "REMOVE unannounced",
        condition="#execution = :execution",
        values={":execution": arn},
    )
    return True


def end_job(arn: str, start_input: dict[str, Any], result: dict[str, Any]) -> bool:
    """Report the outcome of a job whose execution is over; whether it was still to be reported.

    Args:
        arn, start_input: the execution's.
        result: as `outcome.parse` gives it.

    Raises:
        NotStopped: it was continued again and again.
        AcknowledgerError: as `reporting.report` raises them.
    """
    job = start_input["job"]
    announced = False
    for _ in range(REPORTS):
        row = job_table.find(job["id"])
        if row is None or row["execution"] != arn or row["status"] in job_table.ENDED:
            return False
        if _joined(start_input):
            job_table.release(job["id"], arn)
            return False
        acknowledged = row["status"] == "InProgress"
        try:
            nonce = {} if acknowledged else {"nonce": job["nonce"]}
            said = reporting.report(result | nonce).said
        except (InvalidNonceException, OfferLost):
            job_table.release(job["id"], arn)
            return False
        except (InvalidJobStateException, JobNotFoundException, NextJobNotHere) as error:
            if result["status"] == "Succeeded":
                if isinstance(error, NextJobNotHere):
                    raise
                said = {"status": "Failed", "error": type(error).__name__, "cause": str(error)}
            else:
                # A job that is yet to continue this one is failed with this cause when it comes.
                details = outcome.failure_details(result)
                said = {"status": result["status"], "error": details["type"]}
                said["cause"] = details["message"]
            logger.info("There is nothing to report on", error=str(error))
        if not announced:
            _announce(start_input, said, result)
            announced = True
        if _end(row, said):
            logger.info("Reported", extra=said, **about(row))
            return True
    raise NotStopped(f"job {job['id']}: it was continued again and again")


def _joined(start_input: dict[str, Any]) -> bool:
    """Whether the job has been tied to the work that it continues, so that others report on it."""
    if "continues" not in start_input:
        return False
    continues = start_input["continues"]
    row = job_table.find(continues["jobId"])
    if row is None or row["status"] != "InProgress":
        return False
    return bool(row.get("continuing", {}).get("jobId") != continues["after"])


def _end(row: dict[str, Any], said: dict[str, str], also: str = "") -> bool:
    """Record how a job ended, unless the work has been continued by yet another job meanwhile.

    Args:
        said: `{status}`, with `error` and `cause` for Failed and TimedOut.
        also: what else is set in the row.
    """
    newest = row.get("currentJobId", "")
    failed = ", #error = :error, cause = :cause" if "error" in said else ""
    ended = job_table.update(
        row["jobId"],
        "SET #status = :ended, #times.#ended = :now, updatedAt = :now, expiresAt = :expiresAt"
        f"{failed}{also}",
        condition="#execution = :execution AND #status = :status"
        + (" AND currentJobId = :newest" if newest else " AND attribute_not_exists(currentJobId)"),
        values={
            ":ended": said["status"],
            ":now": ago(0),
            ":expiresAt": int(time.time()) + job_table.EXPIRES_AFTER_SECONDS,
            ":execution": row["execution"],
            ":status": row["status"],
        }
        | ({":error": said["error"], ":cause": said["cause"]} if failed else {})
        | ({":newest": newest} if newest else {}),
        names={"#ended": said["status"]},
    )
    return ended is not None


def _announce(
    start_input: dict[str, Any], said: dict[str, str], result: dict[str, Any] | None = None
) -> None:
    """Tell on the JobBus how a job ended, in the state machine's words."""
    job = {name: value for name, value in start_input["job"].items() if name != "nonce"}
    detail = {"jobId": job["id"], "actionType": start_input["actionType"], "job": job, **said}
    answer = (result or {}).get("result")
    if said["status"] == "Succeeded" and isinstance(answer, dict) and "continuationToken" in answer:
        detail["continuationToken"] = answer["continuationToken"]
    bus.put(config().bus_name, ANNOUNCED[said["status"]], detail)
