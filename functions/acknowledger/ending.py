"""Ending a job: report it to CodePipeline, record it in the row, and put an event on JobBus.

Report does this; Stop does it for an execution that is over. Each step may be repeated:
CodePipeline accepts the same result again, an ended row is never changed, and the event is put at
least once. A job that may not be ours is acknowledged before it is failed, so that another worker's
job is never touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acknowledger import acknowledgment, bus, errors, job_api, job_table, outcomes
from acknowledger.acknowledgment import Claim
from acknowledger.log import about, logger
from acknowledger.moments import now

ANNOUNCED = {"Succeeded": "Job Succeeded", "Failed": "Job Failed", "TimedOut": "Job Timed Out"}
# Each reads the row again. It changes in between only if the job is offered again or continued.
TRIES = 5

# The other results of an attempt to end a job.
REFUSED, NEXT_JOB_NOT_HERE, STAND_DOWN = "Refused", "NextJobNotHere", "StandDown"

_NOT_ACCEPTED = (errors.OutputVariablesSizeExceededException, errors.ValidationException)


@dataclass(frozen=True)
class Ending:
    """The result of an attempt to end a job.

    answer: `{status}`, one of the three final ones, for Failed and TimedOut with `error` and
        `cause`, the failure type and message reported to CodePipeline; or else one of
        StandDown    another execution or worker has the job, and nothing was reported,
        Refused      the job was never acknowledged, and its row was released,
        NextJobNotHere   the result belongs to a job that has not been offered yet,
        each with `error` and `cause`.
    times: when the job reached each status.
    first: whether this call ended the job; False if it had already ended.
    refused: the name of the error with which CodePipeline refused the result, or "".
    """

    answer: dict[str, str]
    times: Mapping[str, str] = field(default_factory=dict)
    first: bool = False
    refused: str = ""


def end(
    execution: str, offer: Mapping[str, Any], outcome: Mapping[str, Any], *, running: bool = True
) -> Ending:
    """End a job, or return how it ended.

    Args:
        execution, offer: the ARN of its execution, and that execution's input.
        outcome: as `outcomes.parse` returns it. Stop adds `waited`, whether the next job has been
            missing for a day, and `cutShort`, whether a Report of it never answered.
        running: whether the execution repeats this until it is done. If not, the row stays marked
            until the event is put, so that the sweep finds what is left to do.

    Raises:
        AcknowledgerError: worth another try.
    """
    for _ in range(TRIES):
        row = job_table.find(offer["job"]["id"])
        logger.append_keys(**about(row))
        ending = _End(execution, offer, outcome, running).of(row)
        if ending is not None:
            return ending
    raise errors.TableUnavailable("JobTable: the job's row kept changing")


@dataclass(frozen=True)
class _End:
    """One attempt; None if the row must be read again."""

    execution: str
    offer: Mapping[str, Any]
    outcome: Mapping[str, Any]
    running: bool

    def of(self, row: dict[str, Any] | None) -> Ending | None:
        if row is None:
            return self._without_row()
        if row["execution"] != self.execution:
            return stood_down(errors.ClaimTakenOver("A newer offer of the job has its row"))
        if row["status"] in job_table.ENDED:
            words = ("status", "error", "cause")
            reported: dict[str, str] = {name: row[name] for name in words if name in row}
            if self.running or self.outcome.get("cutShort") or "unannounced" in row:
                self._announce(reported, row)
            return Ending(reported, row["times"])
        unacknowledged = row["status"] in job_table.UNACKNOWLEDGED and not outcomes.is_acknowledged(
            self.outcome
        )
        if "over" in row and (unacknowledged or outcomes.is_over(self.outcome)):
            return self._record(row, {"status": "Failed", **row["over"]})
        return self._make_ours(row) if unacknowledged else self._report(row)

    def _without_row(self) -> Ending | None:
        """End a job whose row was deleted; an acknowledged one is still reported."""
        if not outcomes.is_acknowledged(self.outcome):
            return stood_down(errors.ClaimTakenOver("The job's row is gone: it was released"))
        put = self._put_result({})
        if put is not None:
            self._announce(put[0])
        return put and Ending(put[0], first=True, refused=put[1])

    def _report(self, row: dict[str, Any]) -> Ending | None:
        put = self._put_result(row)
        if put is None or put[0]["status"] == NEXT_JOB_NOT_HERE:
            return put and Ending(put[0])
        return self._record(row, *put)

    def _make_ours(self, row: dict[str, Any]) -> Ending | None:
        """Acknowledge the job, unless it must go back to CodePipeline."""
        job = self.offer["job"]
        refusal = outcomes.refusal(self.outcome)
        if refusal and job["nonce"] not in row["acknowledgeCalls"].values():
            job_table.release(job["id"], self.execution)
            return Ending({"status": REFUSED, **refusal})
        try:
            acknowledgment.make_ours(Claim(self.execution, self.offer, now()))
            logger.info("Acknowledged late")
        except errors.StandDown as error:
            return stood_down(error)
        except errors.EndedElsewhere:
            pass
        except (errors.JobNotFoundException, errors.ValidationException) as error:
            job_table.release(job["id"], self.execution)
            return Ending({"status": REFUSED, "error": type(error).__name__, "cause": str(error)})
        return None

    def _put_result(self, row: dict[str, Any]) -> tuple[dict[str, str], str] | None:
        """Report on the newest job of the work; return what was reported, and any refusal."""
        job = self.offer["job"]
        newest = row.get("currentJobId", job["id"])
        whose = {"jobId": newest} | {name: job[name] for name in ("clientId",) if name in job}
        reported, refused = outcomes.failure(self.outcome, self.offer["timeouts"]), ""
        try:
            if reported is None:
                try:
                    job_api.put_success(outcomes.success_request(whose, self.outcome))
                except _NOT_ACCEPTED as error:
                    reported, refused = outcomes.not_accepted(error), type(error).__name__
            if reported is not None:
                details = {"type": reported["error"], "message": reported["cause"]}
                job_api.put_failure({**whose, "failureDetails": details})
        except (errors.InvalidJobStateException, errors.JobNotFoundException) as error:
            return self._over_otherwise(newest, reported, error)
        return reported or {"status": "Succeeded"}, refused

    def _over_otherwise(
        self, newest: str, reported: dict[str, str] | None, error: errors.CodePipelineRefused
    ) -> tuple[dict[str, str], str] | None:
        """How to end a job for which CodePipeline accepts no result.

        Perhaps one of our progress reports has ended it, before or since.
        """
        refused, first = type(error).__name__, self.offer["job"]["id"]
        row = job_table.find(first) or {"status": "InProgress"}
        if row["status"] in job_table.ENDED or row.get("currentJobId", first) != newest:
            return None
        if "over" in row:
            return {"status": "Failed", **row["over"]}, refused
        if row.get("continuing", {}).get("jobId") == newest:
            if reported and not self.running:
                # The next job will be failed with this error and cause.
                return reported, refused
            waited = self.outcome.get("waited")
            cause = f"Job {newest} was continued, but the next job has not been offered" + (
                " for a day" if waited else " yet"
            )
            status = "Failed" if waited else NEXT_JOB_NOT_HERE
            return {"status": status, "error": NEXT_JOB_NOT_HERE, "cause": cause}, refused
        cause = f"CodePipeline has already ended the job: {error}"
        return {"status": "Failed", "error": "EndedElsewhere", "cause": cause}, refused

    def _record(
        self, row: dict[str, Any], reported: dict[str, str], refused: str = ""
    ) -> Ending | None:
        ended = job_table.end(row, reported, unannounced=not self.running)
        if ended is None:
            return None
        self._announce(reported, ended)
        return Ending(reported, row["times"], first=True, refused=refused)

    def _announce(self, reported: dict[str, str], row: Mapping[str, Any] | None = None) -> None:
        """Put the event that says how the job ended; if that fails, leave it to the sweep."""
        job = {name: value for name, value in self.offer["job"].items() if name != "nonce"}
        named = {"jobId": job["id"], "actionType": self.offer["actionType"]}
        detail = {**named, "job": job, **reported}
        result = self.outcome.get("result")
        if reported["status"] == "Succeeded" and isinstance(result, dict):
            detail |= {name: result[name] for name in ("continuationToken",) if name in result}
        marked = row is not None and "unannounced" in row
        try:
            bus.put(ANNOUNCED[reported["status"]], detail)
        except errors.BusUnavailable:
            if not marked:
                self._mark("SET unannounced = :now, dueAt = :dueAt", job_table.due(0))
            raise
        if marked:
            self._mark("SET dueAt = :dueAt REMOVE unannounced", job_table.never())

    def _mark(self, expression: str, due_at: str) -> None:
        values = {":execution": self.execution, ":now": now(), ":dueAt": due_at}
        job_id, mine = self.offer["job"]["id"], job_table.MINE
        job_table.update(job_id, expression, condition=mine, values=values)


def stood_down(error: errors.StandDown) -> Ending:
    """The ending of a job that this execution does not have."""
    return Ending({"status": STAND_DOWN, "error": type(error).__name__, "cause": str(error)})
