"""Acknowledging a job with one recorded call of AcknowledgeJob, for Acknowledge and for an ending.

Every call is noted in the job's row before it is made. The note is removed once CodePipeline has
certainly refused the call, so each note is a call that may have succeeded unseen. That is how an
InvalidNonceException is understood: if no other call for the offer is noted, the offer is lost; if
one stays noted, that call most likely succeeded, and only its response was lost.

The row belongs to one execution, which has the claim. The execution of a newer offer takes it over
as long as nobody has acknowledged the job. Each write here requires the claim and the status that
it relies on, so everything can run again from any point with the same result.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from acknowledger import errors, executions, job_api, job_table
from acknowledger.client_tokens import client_token
from acknowledger.config import config
from acknowledger.job_table import MINE, NOT_ACKNOWLEDGED
from acknowledger.log import about, logger
from acknowledger.moments import later, now
from acknowledger.outcomes import FAILURE_TYPES
from acknowledger.room import GIVEN

# Any other call under way is answered within 13 seconds, the timeouts of `aws.client`.
TAKEN_BACK_AFTER_SECONDS = (1, 2, 4, 7)


@dataclass(frozen=True)
class Claim:
    """An execution's claim on a job's row.

    execution: its ARN.
    offer: its input, `start_input` of `offers.Execution`.
    dispatched_at: when the offer was dispatched to Acknowledge.
    """

    execution: str
    offer: Mapping[str, Any]
    dispatched_at: str

    @property
    def request(self) -> dict[str, str]:
        """The acknowledgment's request: `{jobId, nonce}`, and `clientId` for a partner's job."""
        job = self.offer["job"]
        whose = {"clientId": job["clientId"]} if "clientId" in job else {}
        return {"jobId": job["id"], "nonce": job["nonce"], **whose}


@dataclass(frozen=True)
class Acknowledgment:
    """The result of an acknowledgment.

    status: CodePipeline's answer, or InProgress if that is assumed or was known before.
    assumed: whether it is assumed.
    offered_at: when Intake was offered the job; None if no call was made, or it was by hand.
    failure: `{error, cause}` with which the job must now be failed at once.
    """

    status: str
    assumed: bool = False
    offered_at: str | None = None
    failure: dict[str, str] | None = None


def by_hand(request: Mapping[str, str]) -> Acknowledgment:
    """Acknowledge a job by hand, without an execution; a job polled by hand has no row.

    Args:
        request: `{jobId, nonce}` and a partner's `clientId`, within the API's limits.

    Raises:
        InvalidNonceException: the offer is lost.
        TableUnavailable: the call could not be noted, so it was not made.
        AcknowledgerError: as `job_api.acknowledge` raises them.
    """
    if "clientId" in request:
        # Without its token, no call can be made and none needs to be noted.
        client_token(request["clientId"])
    call = str(uuid.uuid4())
    row = _change(request, "SET acknowledgeCalls.#call = :nonce", call)
    logger.append_keys(**about(row))
    return _call(request, call, row)


def make_ours(claim: Claim) -> Acknowledgment:
    """Acknowledge the job of a claim, and set its row InProgress.

    Raises:
        StandDown: another worker or execution has the job, or it was joined to other work.
        EndedElsewhere: the job is over: its row has ended, or says so.
        CodePipelineRefused: the acknowledgment was permanently refused.
        AcknowledgerError: worth another try.
    """
    request = claim.request
    if "clientId" in request:
        client_token(request["clientId"])
    call = str(uuid.uuid4())
    noted, row = job_table.attempt(
        request["jobId"],
        "SET acknowledgeCalls.#call = :nonce, #status = :dispatched, updatedAt = :now,"
        " dueAt = :dueAt, #times.#dispatched = if_not_exists(#times.#dispatched, :at)",
        condition=f"{MINE} AND {NOT_ACKNOWLEDGED} AND attribute_not_exists(#over)",
        values={
            ":execution": claim.execution,
            ":nonce": request["nonce"],
            ":now": now(),
            ":at": claim.dispatched_at,
            ":dueAt": job_table.due(claim.offer["timeouts"]["AcknowledgeTimeoutSeconds"]),
        },
        names={"#call": call, "#dispatched": "Dispatched"},
    )
    logger.append_keys(**about(row))
    worker = None
    if not noted:
        if _is_ours(claim, row):
            return _go_on(claim)
        if row and row["status"] == "InProgress":
            worker = row["execution"]
        elif not row or request["nonce"] not in row["acknowledgeCalls"].values():
            raise errors.ClaimTakenOver("The execution of a newer offer has the job's row")
        row = _change(request, "SET acknowledgeCalls.#call = :nonce", call)
    try:
        answered = _call(request, call, row)
    except errors.CodePipelineRefused as error:
        if worker:
            again = f"Not acknowledged again ({type(error).__name__})"
            raise errors.AlreadyInProgress(f"{again}; its execution is {worker}") from None
        if isinstance(error, errors.InvalidNonceException):
            job_table.release(request["jobId"], claim.execution)
            raise errors.OfferLost(str(error)) from None
        raise
    if worker:
        again = f"Acknowledged again, answered with {answered.status}"
        raise errors.AlreadyInProgress(f"{again}; its execution is {worker}")
    return _settle(claim, answered)


def _is_ours(claim: Claim, row: Mapping[str, Any] | None) -> bool:
    """Whether this claim has the row in progress; a wrongly assumed end is deleted.

    Raises:
        EndedElsewhere, AlreadyEnded
    """
    if row is None:
        return False
    ours = row["execution"] == claim.execution
    if ours and ("over" in row or row["status"] in job_table.ENDED):
        raise errors.EndedElsewhere(row.get("over", row).get("cause", f"It is {row['status']}"))
    if row["status"] in job_table.ENDED:
        if row.get("error") == "EndedElsewhere" and row["updatedAt"] < claim.offer["offeredAt"]:
            # An acknowledgment was wrongly assumed. The next offer is treated as the first.
            job_table.release(row["jobId"], row["execution"], "#error = :elsewhere")
        raise errors.AlreadyEnded(f"The job has ended as {row['status']} in {row['execution']}")
    return bool(ours and row["status"] == "InProgress")


def _settle(claim: Claim, answered: Acknowledgment) -> Acknowledgment:
    """Record CodePipeline's answer in the row."""
    job_id, status = claim.request["jobId"], answered.status
    if status in job_table.ENDED and "continues" not in claim.offer:
        cause = f"CodePipeline answered the acknowledgment with {status}: the job had ended"
        words = {} if status == "Succeeded" else {"error": "EndedElsewhere", "cause": cause}
        job_table.end(
            {"jobId": job_id, "execution": claim.execution, "status": "Dispatched"},
            {"status": status, **words},
            unannounced=True,
        )
        raise errors.EndedElsewhere(cause)
    if status != "InProgress":
        job_table.release(job_id, claim.execution)
        cause = f"CodePipeline answered the acknowledgment with {status}"
        raise (errors.Joined if status in job_table.ENDED else errors.OfferLost)(cause)
    if "continues" in claim.offer:
        _join(claim)
    _begin(claim, assumed=answered.assumed)
    return replace(answered, failure=_go_on(claim).failure)


def _begin(claim: Claim, *, assumed: bool) -> None:
    """Set the row InProgress; unless that is only assumed, also a newer offer's row."""
    job, limits = claim.offer["job"], claim.offer["timeouts"]
    values = {
        ":execution": claim.execution,
        ":now": now(),
        ":dueAt": job_table.due(limits["JobTimeoutSeconds"], config().continue_after_seconds),
    }
    begun, row = job_table.attempt(
        job["id"],
        "SET #status = :inProgress, #times.InProgress = :now, updatedAt = :now, dueAt = :dueAt",
        condition=f"{MINE} AND #status = :dispatched",
        values=values,
    )
    if not begun and not assumed:
        columns = job_table.columns(claim.offer)
        begun, row = job_table.attempt(
            job["id"],
            "SET #status = :inProgress, #execution = :execution, #times = :times,"
            " updatedAt = :now, dueAt = :dueAt, room = :given,"
            " acknowledgeCalls = if_not_exists(acknowledgeCalls, :none), "
            + ", ".join(f"{name} = :{name}" for name in columns),
            condition=f"attribute_not_exists(jobId) OR {NOT_ACKNOWLEDGED}",
            values=values
            | {":times": {"InProgress": now()}, ":none": {}, ":given": GIVEN}
            | {f":{name}": value for name, value in columns.items()},
        )
    if not (begun or _is_ours(claim, row)):
        raise errors.ClaimTakenOver("Another execution has the job's row now")
    if row and "over" in row:
        raise errors.EndedElsewhere(row["over"]["cause"])


def _go_on(claim: Claim) -> Acknowledgment:
    """What to do with an acknowledged job: leave it to its worker, or fail it at once."""
    failure = None
    if "continues" in claim.offer:
        work = job_table.find(claim.offer["continues"]["jobId"]) or {}
        over = f"The work that this job continues, {claim.offer['continues']['jobId']}, is over: "
        error = work.get("error")
        failure = {
            "error": error if error in FAILURE_TYPES else "JobFailed",
            "cause": work.get("cause", over + work.get("status", "nothing is known of it")),
        }
    elif "configurationError" in claim.offer:
        failure = {"error": "ConfigurationError", "cause": claim.offer["configurationError"]}
    return Acknowledgment("InProgress", failure=failure)


def _join(claim: Claim) -> None:
    """Tie a job to the work that it continues, unless that is over.

    Raises:
        Joined: from now on, the result is reported on this job or one after it. The worker
            notices nothing; a report that waits for the job is notified.
    """
    job_id, continues = claim.request["jobId"], claim.offer["continues"]
    work = job_table.find(continues["jobId"])
    if work and work.get("continuing", {}).get("jobId") == continues["after"]:
        limit = claim.offer["timeouts"]["JobTimeoutSeconds"]
        _, work = job_table.attempt(
            work["jobId"],
            "SET currentJobId = :job, updatedAt = :now, dueAt = :dueAt REMOVE continuing",
            condition="#status = :inProgress AND continuing.jobId = :after",
            values={
                ":job": job_id,
                ":after": continues["after"],
                ":now": now(),
                ":dueAt": min(
                    later(limit + job_table.SLACK_SECONDS, work["times"]["InProgress"]),
                    later(config().continue_after_seconds),
                ),
            },
        )
    if work is None or work["status"] != "InProgress":
        return
    if "nextJobToken" in work:
        executions.succeed(work["nextJobToken"])
    job_table.release(job_id, claim.execution)
    raise errors.Joined(f"Continues {continues['jobId']}, with execution {work['execution']}")


def _call(request: Mapping[str, str], call: str, row: Mapping[str, Any] | None) -> Acknowledgment:
    """Make a call that is noted in `row`."""
    others = _others(row, request, call)
    offered_at = row.get("offeredAt") if row else None
    try:
        return Acknowledgment(job_api.acknowledge(request), offered_at=offered_at)
    except errors.CodePipelineUnavailable:
        raise
    except errors.InvalidNonceException:
        if _take_back(request, call, others) and _one_got_through(request, call):
            return Acknowledgment("InProgress", assumed=True, offered_at=offered_at)
        raise
    except errors.AcknowledgerError:
        _take_back(request, call, others)
        raise


def _change(request: Mapping[str, str], expression: str, call: str) -> dict[str, Any] | None:
    """Change the note of a call; a job polled by hand has no row for it."""
    return job_table.update(
        request["jobId"],
        expression,
        condition="attribute_exists(acknowledgeCalls)",
        values={":nonce": request["nonce"]},
        names={"#call": call},
    )


def _others(row: Mapping[str, Any] | None, request: Mapping[str, str], call: str) -> set[str]:
    """The other calls for the same offer that may have succeeded."""
    calls = row["acknowledgeCalls"] if row else {}
    return {one for one, nonce in calls.items() if nonce == request["nonce"] and one != call}


def _take_back(request: Mapping[str, str], call: str, others: set[str]) -> set[str]:
    """Remove the note of a refused call; return the others that are noted now."""
    try:
        row = _change(request, "REMOVE acknowledgeCalls.#call", call)
    except errors.TableUnavailable:
        # One note too many only makes a later call more cautious.
        return others
    return _others(row, request, call)


def _one_got_through(request: Mapping[str, str], call: str) -> bool:
    """Whether another call for the offer is still noted after it must have been answered."""
    for pause in TAKEN_BACK_AFTER_SECONDS:
        time.sleep(pause)
        row = job_table.find(request["jobId"])
        if not _others(row, request, call):
            return False
        if row and row["status"] not in job_table.UNACKNOWLEDGED:
            break
    return True
