"""JobTable's rows as the functions read and change them; the state machine writes the statuses.

A row is `{jobId, status, execution, times, actionType, clientId, ...}`. While its work is continued
by further jobs it also has:

    currentJobId    the newest of these jobs, on which the result is reported
    continuing      {jobId, executionDetails, sent}: the job that was, or is just being, ended to
                    show progress, until the one that continues it is here
    progress        executionDetails as the worker last told them, at `toldAt`
    shown           those that CodePipeline was last told, at `progressAt`
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from acknowledger.aws import client
from acknowledger.config import required
from acknowledger.errors import table_errors

IN_FLIGHT = ("Created", "Queued", "Dispatched", "InProgress")
UNACKNOWLEDGED = frozenset(IN_FLIGHT[:3])
ENDED = frozenset({"Succeeded", "Failed", "TimedOut"})
EXPIRES_AFTER_SECONDS = 90 * 24 * 3600


@functools.cache
def table_name() -> str:
    """JobTable's name, from the environment."""
    return required(os.environ, "TABLE_NAME")


def find(job_id: str) -> dict[str, Any] | None:
    """A job's row as it is now, or None.

    Raises:
        TableUnavailable
    """
    with table_errors():
        answer = client("dynamodb").get_item(
            TableName=table_name(), Key={"jobId": {"S": job_id}}, ConsistentRead=True
        )
    return plain(answer["Item"]) if "Item" in answer else None


def find_by(index: str, attribute: str, value: str) -> Iterator[str]:
    """The ids of the jobs that an index has under a value.

    Raises:
        TableUnavailable
    """
    return _job_ids(
        IndexName=index,
        KeyConditionExpression=f"{attribute} = :value",
        ExpressionAttributeValues={":value": {"S": value}},
    )


def in_progress_since(before: str, after: str) -> Iterator[str]:
    """The ids of the jobs whose newest one has been in progress since before a moment.

    Args:
        before: that moment.
        after: only those whose work began after this one.

    Raises:
        TableUnavailable
    """
    return _job_ids(
        IndexName="ByStatus",
        KeyConditionExpression="#status = :status AND updatedAt < :before",
        FilterExpression="#times.InProgress > :after",
        ProjectionExpression="jobId",
        ExpressionAttributeNames={"#status": "status", "#times": "times"},
        ExpressionAttributeValues=typed(
            {":status": "InProgress", ":before": before, ":after": after}
        ),
    )


def in_flight() -> list[str]:
    """When each of the jobs that have not ended was recorded, in no order.

    Raises:
        TableUnavailable
    """
    with ThreadPoolExecutor(len(IN_FLIGHT)) as pool:
        return [moment for found in pool.map(_recorded, IN_FLIGHT) for moment in found]


def _recorded(status: str) -> list[str]:
    """When each of the jobs that have a status was recorded."""
    pages = client("dynamodb").get_paginator("query")
    with table_errors():
        return [
            min(plain(row)["times"].values())
            for page in pages.paginate(
                TableName=table_name(),
                IndexName="ByStatus",
                KeyConditionExpression="#status = :status",
                ProjectionExpression="#times",
                ExpressionAttributeNames={"#status": "status", "#times": "times"},
                ExpressionAttributeValues={":status": {"S": status}},
            )
            for row in page["Items"]
        ]


def _job_ids(**query: Any) -> Iterator[str]:
    pages = client("dynamodb").get_paginator("query")
    with table_errors():
        for page in pages.paginate(TableName=table_name(), **query):
            for item in page["Items"]:
                yield item["jobId"]["S"]


def update(
    job_id: str,
    expression: str,
    *,
    condition: str,
    values: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """Change a row if it meets a condition; the row as it then is, or None if it doesn't.

    Args:
        expression, condition: DynamoDB's UpdateExpression and ConditionExpression; `#status`,
            `#execution`, `#error` and `#times` need not be named.
        values: for the expressions' `:names`, as plain values.
        names: for their further `#names`.

    Raises:
        TableUnavailable
    """
    dynamodb = client("dynamodb")
    reserved = {f"#{name}": name for name in ("status", "execution", "error", "times")}
    used = {name: of for name, of in reserved.items() if name in expression + condition}
    with table_errors():
        try:
            answer = dynamodb.update_item(
                TableName=table_name(),
                Key={"jobId": {"S": job_id}},
                UpdateExpression=expression,
                ConditionExpression=condition,
                **({"ExpressionAttributeValues": typed(values)} if values else {}),
                **({"ExpressionAttributeNames": used | dict(names or {})} if used or names else {}),
                ReturnValues="ALL_NEW",
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return None
    return plain(answer["Attributes"])


def release(job_id: str, execution: str) -> None:
    """Delete the row of a job that is not ours, if that execution still has it.

    Raises:
        TableUnavailable
    """
    dynamodb = client("dynamodb")
    with table_errors():
        try:
            dynamodb.delete_item(
                TableName=table_name(),
                Key={"jobId": {"S": job_id}},
                ConditionExpression="#execution = :execution",
                ExpressionAttributeNames={"#execution": "execution"},
                ExpressionAttributeValues={":execution": {"S": execution}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """A low-level item as plain values; its numbers are whole ones."""
    return {name: _plain(value) for name, value in item.items()}


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as the low-level client takes them."""
    return {name: _typed(value) for name, value in values.items()}


# boto3 has the like of these two, but importing it would take longer than all of ours.
def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "M":
        return plain(content)
    if kind == "L":
        return [_plain(item) for item in content]
    if kind == "NULL":
        return None
    return int(content) if kind == "N" else content


def _typed(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, Mapping):
        return {"M": typed(value)}
    if isinstance(value, list):
        return {"L": [_typed(item) for item in value]}
    raise TypeError(f"{type(value).__name__} has no place in a table")
