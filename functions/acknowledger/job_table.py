"""JobTable's rows: who has a job, how far it is, and when the sweep must look at it.

All that asks the table may raise TableUnavailable.

A row is `{jobId, status, execution, times, dueAt, actionType, clientId, ...}`. Further attributes:

    execution       the ARN of the execution whose claim the row is
    times           when the job had reached each status that it had
    dueAt           when the sweep must look at the row if nothing has become of it; of a job that
                    has ended, after the row has expired
    acknowledgeCalls  the calls of AcknowledgeJob that may have got through, with their nonces
    over            {error, cause}: what Stop knows of the end of a job that is still in flight
    unannounced     since when it is ended and nobody has been told

While its work is continued by further jobs a row also has:

    currentJobId    the newest of these jobs, on which the result is reported
    continuing      {jobId, executionDetails, sent}: the job that was, or is just being, ended to
                    show progress, until the one that continues it is here
    nextJobToken    the task token of a report that waits for that one
    progress        executionDetails as the worker last told them, at `toldAt`
    shown           those that CodePipeline was last told, at `progressAt`
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from acknowledger.aws import client
from acknowledger.config import config
from acknowledger.errors import TableUnavailable, unavailable
from acknowledger.moments import later, now
from acknowledger.table import Table, plain, typed

IN_FLIGHT = ("Created", "Queued", "Dispatched", "InProgress")
UNACKNOWLEDGED = frozenset(IN_FLIGHT[:3])
ENDED = frozenset({"Succeeded", "Failed", "TimedOut"})
EXPIRES_AFTER_SECONDS = 90 * 24 * 3600
# A limit's own execution sees to it; the sweep looks after that.
SLACK_SECONDS = 60
# Of each status the sweep looks after so many, those that have been due the longest.
DUE_AT_ONCE = 50
# Conditions that several writes have in common.
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
    """When the sweep must look at a row: past the first of some limits, in seconds from now."""
    return later(min(limits) + SLACK_SECONDS)


def never() -> str:
    """When the sweep would look at the row of a job that has ended: after it has expired."""
    return later(EXPIRES_AFTER_SECONDS * 2)


def columns(offer: Mapping[str, Any]) -> dict[str, str]:
    """What a row says of its job, from what its execution was started with."""
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
    """A job's row as it is now, or None."""
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
    """What the index tells of the jobs in flight.

    in_flight: how many there are.
    oldest: when the oldest was offered, of those that are due next in each status; None of none.
    due: the ids of jobs to look after, those that are ended but unannounced among them.
    """

    in_flight: int
    oldest: str | None
    due: list[str]


def survey() -> Survey:
    """Count the jobs in flight, and find those that the sweep must look at, some at a time."""
    entries: list[dict[str, Any]] = []
    in_flight, moment = 0, now()
    for status in IN_FLIGHT:
        page = _query(status, Limit=DUE_AT_ONCE)
        entries += [plain(item) for item in page["Items"]]
        in_flight += page["Count"]
        while "LastEvaluatedKey" in page:
            start = page["LastEvaluatedKey"]
            page = _query(status, Select="COUNT", ExclusiveStartKey=start)
            in_flight += page["Count"]
    oldest = min((entry["offeredAt"] for entry in entries), default=None)
    for status in sorted(ENDED):
        page = _query(status, before=moment, Limit=DUE_AT_ONCE)
        entries += [plain(item) for item in page["Items"]]
    due = [entry["jobId"] for entry in entries if entry["dueAt"] <= moment]
    return Survey(in_flight, oldest, due)


def _query(status: str, before: str = "9", **more: Any) -> dict[str, Any]:
    """A page of the jobs that have a status and are due before a moment, the first due first."""
    return _TABLE.call(
        "query",
        IndexName="ByStatus",
        KeyConditionExpression="#status = :status AND dueAt <= :before",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues=typed({":status": status, ":before": before}),
        **more,
    )


def end(
    row: Mapping[str, Any], said: Mapping[str, str], *, unannounced: bool = False
) -> dict[str, Any] | None:
    """Record how a job ended, unless its row is no longer as it was read.

    Args:
        row: as it was read; its work may have been continued by yet another job meanwhile.
        said: `{status}`, with `error` and `cause` for Failed and TimedOut.
        unannounced: whether to mark that nobody has been told.

    Returns:
        the row as it is then, or None if it was changed.
    """
    words = {name: said[name] for name in ("error", "cause") if name in said}
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
            ":ended": said["status"],
            ":now": now(),
            ":expiresAt": int(time.time()) + EXPIRES_AFTER_SECONDS,
            ":execution": row["execution"],
            ":status": row["status"],
            **({":newest": newest} if newest else {}),
        }
        | {f":{name}": value for name, value in (words | marks).items()},
        names={"#ended": said["status"]},
    )


def look_at(job_id: str, execution: str, seconds: float) -> None:
    """Let the sweep look at a row in so many seconds, if that execution still has it."""
    update(
        job_id,
        "SET dueAt = :dueAt",
        condition=f"{MINE} AND ({IS_IN_FLIGHT} OR attribute_exists(unannounced))",
        values={":execution": execution, ":dueAt": later(seconds)},
    )


def release(job_id: str, execution: str, condition: str = NOT_ACKNOWLEDGED) -> None:
    """Delete a row that execution still has, of a job not acknowledged, or of another condition."""
    values = {":execution": execution, ":elsewhere": "EndedElsewhere"}
    attempt(job_id, None, condition=f"{MINE} AND {condition}", values=values)


def update(job_id: str, expression: str, **given: Any) -> dict[str, Any] | None:
    """Change a row as `attempt` does; the row as it is then, or None if it met no condition."""
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
        expression, condition: DynamoDB's UpdateExpression and ConditionExpression; `#status`,
            `#execution`, `#error`, `#times` and `#over` need not be named, nor the statuses in
            flight valued: `:created`, `:queued`, `:dispatched`, `:inProgress`. Without an
            expression the row is deleted.
        values: for the expressions' `:names`, as plain values; others than theirs are left out.
        names: for their further `#names`.

    Returns:
        whether it did; and the row as it is now, None if there is none.
    """
    returned = {"ReturnValues": "ALL_NEW"} if expression else {}
    returned |= {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    valued, named = {**_STATUS_VALUES, **values}, {**_RESERVED, **names}
    return _TABLE.change(job_id, expression, condition, valued, named, **returned)
