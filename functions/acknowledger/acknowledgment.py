"""One counted call of AcknowledgeJob, for Acknowledge and for Report.

Every call is counted in the job's row before it is made, and taken off again when CodePipeline
certainly turned it down. So the count tells how many calls may have got through unseen, and what
an InvalidNonceException means: at the first call the offer is lost; at a later one most likely
our own earlier call got through and only its answer was lost.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acknowledger import job_api
from acknowledger.aws import client
from acknowledger.config import required
from acknowledger.errors import (
    AcknowledgerError,
    CodePipelineUnavailable,
    InvalidNonceException,
    table_errors,
)


@dataclass(frozen=True)
class Acknowledgment:
    """What became of an acknowledgment.

    status: CodePipeline's answer, or InProgress where that is only assumed.
    assumed: whether it is.
    first: whether no earlier call for this offer may have got through.
    """

    status: str
    assumed: bool
    first: bool


@functools.cache
def table_name() -> str:
    """JobTable's name, from the environment."""
    return required(os.environ, "TABLE_NAME")


def acknowledge(request: Mapping[str, Any]) -> Acknowledgment:
    """Acknowledge a job.

    Args:
        request: `{jobId, nonce}` and a partner's `clientId`, within the API's limits.

    Raises:
        InvalidNonceException: the offer is lost.
        TableUnavailable: not called, since the call could not be counted.
        AcknowledgerError: as `job_api.acknowledge` raises them.
    """
    calls = _count(request, 1)
    try:
        return Acknowledgment(job_api.acknowledge(request), assumed=False, first=calls <= 1)
    except CodePipelineUnavailable:
        raise
    except AcknowledgerError as error:
        if isinstance(error, InvalidNonceException) and calls > 1:
            return Acknowledgment("InProgress", assumed=True, first=False)
        _count(request, -1)
        raise


def status_in_row(job_id: str) -> str | None:
    """The job's status as the state machine last wrote it, or None where there is no row."""
    with table_errors():
        answer = client("dynamodb").get_item(
            TableName=table_name(),
            Key={"jobId": {"S": job_id}},
            ConsistentRead=True,
            ProjectionExpression="#status",
            ExpressionAttributeNames={"#status": "status"},
        )
    return answer["Item"]["status"]["S"] if "Item" in answer else None


def _count(request: Mapping[str, Any], by: int) -> int:
    """Add to the calls made with this nonce; a job polled by hand has no row and counts as new."""
    dynamodb = client("dynamodb")
    with table_errors():
        try:
            answer = dynamodb.update_item(
                TableName=table_name(),
                Key={"jobId": {"S": request["jobId"]}},
                UpdateExpression="ADD acknowledgeCalls.#nonce :by",
                ConditionExpression="attribute_exists(acknowledgeCalls)",
                ExpressionAttributeNames={"#nonce": request["nonce"]},
                ExpressionAttributeValues={":by": {"N": str(by)}},
                ReturnValues="UPDATED_NEW",
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return max(by, 0)
    return int(answer["Attributes"]["acknowledgeCalls"]["M"][request["nonce"]]["N"])
