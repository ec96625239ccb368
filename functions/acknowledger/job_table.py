"""JobTable's rows: which execution has a job, its status, and when the sweep must check it.

Every function that calls DynamoDB may raise TableUnavailable.

A row is `{jobId, status, execution, times, dueAt, actionType, clientId, ...}`. Further attributes:

    execution       the ARN of the execution that has the claim
    times           when the job reached each of its statuses
    dueAt           when the sweep must check the row if it has not changed; after the row expires
                    if the job has ended
    acknowledgeCalls  the calls of AcknowledgeJob that may have succeeded, with their nonces
    over            {error, cause}: how a job ended that is still in flight, from Stop
    unannounced     since when it has been ended without an event

While further jobs continue its work, a row also has:

    currentJobId    the newest of these jobs, on which the result is reported
    continuing      {jobId, executionDetails, sent}: the job that was, or is being, ended to show
                    progress, until CodePipeline offers the one that continues it
    nextJobToken    the task token of a report that waits for that job
    progress        executionDetails as the worker last reported them, at `toldAt`
    shown           those last shown in CodePipeline, at `progressAt`
"""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from acknowledger.aws import client
from acknowledger.config import config
from acknowledger.errors import TableUnavailable, unavailable
from acknowledger.moments import later, now
from acknowledger.table import Table, typed

IN_FLIGHT = ("Created", "Queued", "Dispatched", "InProgress")
UNACKNOWLEDGED = frozenset(IN_FLIGHT[:3])
ENDED = frozenset({"Succeeded", "Failed", "TimedOut"})
EXPIRES_AFTER_SECONDS = 90 * 24 * 3600
# The execution itself enforces a limit; the sweep checks only after that.
SLACK_SECONDS = 60
# The sweep checks this many jobs of each status, those that have been due the longest.
DUE_AT_ONCE = 50
# Of each status; a page is a megabyte, some 3,000 jobs.
PAGES_READ = 20
# Conditions that several writes share.
MINE = "#execution = :execution"
NOT_ACKNOWLEDGED = "#status IN (:created, :queued, :dispatched)"
IS_IN_FLIGHT = "#status IN (:created, :queued, :dispatched, :inProgress)"

_STATUS_VALUES = {
    ":created": "Created",
    ":queued": "Queued",
    ":dispatched": "Dispatched",
    ":inProgress": "InProgress",
}
_RESERVED = {f"#{name}": name for name in ("status", "execution", "error", "times", "over")}
_TABLE = Table("JobTable", "jobId", lambda: config().job_table_name)


def due(*limits: int) -> str:
    """When the sweep must check a row: after the first of some limits, in seconds from now."""
    return later(min(limits) + SLACK_SECONDS)


def never() -> str:
    """When the sweep would check the row of an ended job: after it has expired."""
    return later(EXPIRES_AFTER_SECONDS * 2)


def columns(offer: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of a row that describe its job, from the input of its execution."""
    job = offer["job"]
    context = job["data"].get("pipelineContext", {})
    action = context.get("action", {})
    return {
        "offeredAt": offer["offeredAt"],
        "actionType": offer["actionType"],
        "clientId": job.get("clientId", ""),
        "pipelineName": context.get("pipelineName", ""),
        "stageName": context.get("stage", {}).get("name", ""),
        "actionName": action.get("name", ""),
        "pipelineExecutionId": context.get("pipelineExecutionId", ""),
        "actionExecutionId": action.get("actionExecutionId", job["id"]),
    }


def find(job_id: str) -> dict[str, Any] | None:
    """A job's current row, or None."""
    return _TABLE.find(job_id)


def of_action(action_execution_id: str) -> Iterator[str]:
    """The ids of the jobs of an action's execution in CodePipeline."""
    query = {
        "TableName": _TABLE.full_name(),
        "IndexName": "ByActionExecution",
        "KeyConditionExpression": "actionExecutionId = :action",
        "ExpressionAttributeValues": {":action": {"S": action_execution_id}},
    }
    with unavailable(TableUnavailable, _TABLE.name):
        for page in client("dynamodb").get_paginator("query").paginate(**query):
            yield from (item["jobId"]["S"] for item in page["Items"])


@dataclass(frozen=True)
class Survey:
    """The jobs in flight, from the index.

    in_flight: how many there are.
    oldest: when the oldest of them was offered; None if none. Of each status, only the jobs on
        the first pages are compared, some 60,000.
    due: the ids of jobs to check, including ended ones that are unannounced.
    """

    in_flight: int
    oldest: str | None
    due: list[str]


def survey() -> Survey:
    """Count the jobs in flight, and find those that the sweep must check now."""
    first: list[dict[str, Any]] = []
    in_flight, oldest, moment = 0, None, now()
    for status in IN_FLIGHT:
        page = _query(status, Limit=DUE_AT_ONCE)
        first += page["Items"]
        for number in itertools.count():
            offered = [item["offeredAt"]["S"] for item in page.get("Items", ())]
            in_flight += page["Count"]
            oldest = min(filter(None, (oldest, *offered)), default=None)
            if "LastEvaluatedKey" not in page:
                break
            # Parsing a million jobs would take a minute.
            read = {"ProjectionExpression": "offeredAt"}
            wanted = read if number < PAGES_READ else {"Select": "COUNT"}
            page = _query(status, ExclusiveStartKey=page["LastEvaluatedKey"], **wanted)
    for status in sorted(ENDED):
        first += _query(status, before=moment, Limit=DUE_AT_ONCE)["Items"]
    due = [item["jobId"]["S"] for item in first if item["dueAt"]["S"] <= moment]
    return Survey(in_flight, oldest, due)


def _query(status: str, before: str = "9", **more: Any) -> dict[str, Any]:
    """A page of the jobs with a status that are due before a moment, the earliest first."""
    return _TABLE.call(
        "query",
        IndexName="ByStatus",
        KeyConditionExpression="#status = :status AND dueAt <= :before",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues=typed({":status": status, ":before": before}),
        **more,
    )


def end(
    row: Mapping[str, Any], reported: Mapping[str, str], *, unannounced: bool = False
) -> dict[str, Any] | None:
    """Record how a job ended, unless its row has changed since it was read.

    Args:
        row: as it was read; another job may have continued its work since.
        reported: `{status}`, with `error` and `cause` for Failed and TimedOut.
        unannounced: whether to mark that the event has not been put.

    Returns:
        the new row, or None if the row had changed.
    """
    words = {name: reported[name] for name in ("error", "cause") if name in reported}
    marks = {"unannounced": now(), "dueAt": due(0)} if unannounced else {"dueAt": never()}
    newest = row.get("currentJobId")
    return update(
        row["jobId"],
        "SET #times.#ended = :now, updatedAt = :now, expiresAt = :expiresAt, "
        + "".join(f"{'#' * (name == 'error')}{name} = :{name}, " for name in words | marks)
        + "#status = :ended REMOVE #over, roomToken, nextJobToken",
        condition=f"{MINE} AND #status = :status AND "
        + ("currentJobId = :newest" if newest else "attribute_not_exists(currentJobId)"),
        values={
            ":ended": reported["status"],
            ":now": now(),
            ":expiresAt": int(time.time()) + EXPIRES_AFTER_SECONDS,
            ":execution": row["execution"],
            ":status": row["status"],
            **({":newest": newest} if newest else {}),
        }
        | {f":{name}": value for name, value in (words | marks).items()},
        names={"#ended": reported["status"]},
    )


def look_at(job_id: str, execution: str, seconds: float) -> None:
    """Let the sweep check a row in so many seconds, if that execution still has it."""
    update(
        job_id,
        "SET dueAt = :dueAt",
        condition=f"{MINE} AND ({IS_IN_FLIGHT} OR attribute_exists(unannounced))",
        values={":execution": execution, ":dueAt": later(seconds)},
    )


def release(job_id: str, execution: str, condition: str = NOT_ACKNOWLEDGED) -> None:
    """Delete a row if the execution still has it and a condition holds."""
    values = {":execution": execution, ":elsewhere": "EndedElsewhere"}
    attempt(job_id, None, condition=f"{MINE} AND {condition}", values=values)


def update(job_id: str, expression: str, **given: Any) -> dict[str, Any] | None:
    """Change a row as `attempt` does; return the new row, or None if the condition was not met."""
    met, row = attempt(job_id, expression, **given)
    return row if met else None


def attempt(
    job_id: str,
    expression: str | None,
    *,
    condition: str,
    values: Mapping[str, Any],
    names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[bool, dict[str, Any] | None]:
    """Change a row if it meets a condition.

    Args:
        expression, condition: DynamoDB's UpdateExpression and ConditionExpression. The names
            `#status`, `#execution`, `#error`, `#times` and `#over` and the values `:created`,
            `:queued`, `:dispatched` and `:inProgress` are defined. Without an expression, the row
            is deleted.
        values: plain values for `:names` in the expressions; unused ones are left out.
        names: for further `#names`.

    Returns:
        whether the condition was met; and the row now, or None.
    """
    returned = {"ReturnValues": "ALL_NEW"} if expression else {}
    returned |= {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    valued, named = {**_STATUS_VALUES, **values}, {**_RESERVED, **names}
    return _TABLE.change(job_id, expression, condition, valued, named, **returned)
