"""One recorded call of AcknowledgeJob, for Acknowledge and for Report.

Every call is noted in the job's row before it is made, and taken back when CodePipeline certainly
turned it down. What is noted there is a call that may have got through unseen, and that tells what
an InvalidNonceException means: without another call for the offer it is lost; with one that isn't
taken back in time most likely that one got through, and only its answer was lost.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acknowledger import job_api, job_table
from acknowledger.client_tokens import client_token
from acknowledger.errors import (
    AcknowledgerError,
    CodePipelineUnavailable,
    InvalidNonceException,
    TableUnavailable,
    TaskTokenGone,
)
from acknowledger.log import about, logger

# Another call, if it is under way, is answered within 13 seconds: the timeouts of `aws.client`.
TAKEN_BACK_AFTER_SECONDS = (1, 2, 4, 7)


@dataclass(frozen=True)
class Acknowledgment:
    """What became of an acknowledgment.

    status: CodePipeline's answer, or InProgress where that is only assumed.
    assumed: whether it is.
    first: whether no earlier call for this offer may have got through.
    offered_at: when Intake was offered the job; None of a job polled by hand.
    """

    status: str
    assumed: bool
    first: bool
    offered_at: str | None


def acknowledge(request: Mapping[str, Any], *, must_have_row: bool = False) -> Acknowledgment:
    """Acknowledge a job.

    Args:
        request: `{jobId, nonce}` and a partner's `clientId`, within the API's limits.
        must_have_row: whether it is known to have had one. If that is gone, the job was given
            back, and acknowledging it now would leave it to nobody.

    Raises:
        TaskTokenGone: it must have a row and has none; not called.
        InvalidNonceException: the offer is lost.
        TableUnavailable: not called, since the call could not be noted.
        AcknowledgerError: as `job_api.acknowledge` raises them.
    """
    if "clientId" in request:
        # Without it nothing is called, and nothing needs to be noted.
        client_token(request["clientId"])
    call = str(uuid.uuid4())
    row = _change(request, "SET acknowledgeCalls.#call = :nonce", call)
    logger.append_keys(**about(row))
    if row is None and must_have_row:
        raise TaskTokenGone("the job was given back, and no execution waits for it")
    others = _others(row, request, call)
    offered_at = row.get("offeredAt") if row else None
    try:
        status = job_api.acknowledge(request)
        return Acknowledgment(status, assumed=False, first=not others, offered_at=offered_at)
    except CodePipelineUnavailable:
        raise
    except InvalidNonceException:
        if _take_back(request, call, others) and _one_got_through(request, call):
            return Acknowledgment("InProgress", assumed=True, first=False, offered_at=offered_at)
        raise
    except AcknowledgerError:
        _take_back(request, call, others)
        raise


def _change(request: Mapping[str, Any], expression: str, call: str) -> dict[str, Any] | None:
    """Change what is noted of a call; a job polled by hand has no row to note it in."""
    return job_table.update(
        request["jobId"],
        expression,
        condition="attribute_exists(acknowledgeCalls)",
        values={":nonce": request["nonce"]} if ":nonce" in expression else {},
        names={"#call": call},
    )


def _others(row: Mapping[str, Any] | None, request: Mapping[str, Any], call: str) -> set[str]:
    """The other calls for the same offer that may have got through."""
    calls = row["acknowledgeCalls"] if row else {}
    return {one for one, nonce in calls.items() if nonce == request["nonce"] and one != call}


def _take_back(request: Mapping[str, Any], call: str, others: set[str]) -> set[str]:
    """Take a call back that was turned down; the others that are noted now."""
    try:
        row = _change(request, "REMOVE acknowledgeCalls.#call", call)
    except TableUnavailable:
        # A call too many only makes a later one cautious.
        return others
    return _others(row, request, call)


def _one_got_through(request: Mapping[str, Any], call: str) -> bool:
    """Whether another call for the offer is still noted when it must have been answered."""
    for seconds in TAKEN_BACK_AFTER_SECONDS:
        time.sleep(seconds)
        row = job_table.find(request["jobId"])
        if not _others(row, request, call):
            return False
        if row and row["status"] not in job_table.UNACKNOWLEDGED:
            break
    return True
