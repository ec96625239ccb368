"""One counted call of AcknowledgeJob, for Acknowledge and for Report.

Every call is counted in the job's row before it is made, and taken off again when CodePipeline
certainly turned it down. So the count tells how many calls may have got through unseen, and what
an InvalidNonceException means: at the first call the offer is lost; at a later one most likely
our own earlier call got through and only its answer was lost.
"""

from __future__ import annotations

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


def acknowledge(request: Mapping[str, Any], *, must_have_row: bool = False) -> Acknowledgment:
    """Acknowledge a job.

    Args:
        request: `{jobId, nonce}` and a partner's `clientId`, within the API's limits.
        must_have_row: whether it is known to have had one. If that is gone, the job was given
            back, and acknowledging it now would leave it to nobody.

    Raises:
        TaskTokenGone: it must have a row and has none; not called.
        InvalidNonceException: the offer is lost.
        TableUnavailable: not called, since the call could not be counted.
        AcknowledgerError: as `job_api.acknowledge` raises them.
    """
    if "clientId" in request:
        # Without it nothing is called, and nothing needs to be counted.
        client_token(request["clientId"])
    calls = _count(request, 1)
    if calls is None:
        if must_have_row:
            raise TaskTokenGone("the job was given back, and no execution waits for it")
        calls = 1
    try:
        return Acknowledgment(job_api.acknowledge(request), assumed=False, first=calls <= 1)
    except CodePipelineUnavailable:
        raise
    except AcknowledgerError as error:
        lost = isinstance(error, InvalidNonceException)
        if lost and calls > 1:
            return Acknowledgment("InProgress", assumed=True, first=False)
        try:
            left = _count(request, -1)
        except TableUnavailable:
            # A count too many only makes a later call cautious; a lost offer must not be retried.
            if lost:
                raise error from None
            raise
        if lost and left:
            # A call that began after this one may just have got through.
            raise CodePipelineUnavailable(
                "another acknowledgment of the job is under way"
            ) from None
        raise


def _count(request: Mapping[str, Any], by: int) -> int | None:
    """Add to the calls made with this nonce; a job polled by hand has no row to count in."""
    row = job_table.update(
        request["jobId"],
        "ADD acknowledgeCalls.#nonce :by",
        condition="attribute_exists(acknowledgeCalls)",
        values={":by": by},
        names={"#nonce": request["nonce"]},
    )
    return int(row["acknowledgeCalls"][request["nonce"]]) if row else None
