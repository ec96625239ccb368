"""The one ending of a job: CodePipeline is told, then the row, then whoever has a rule for it.

Report calls it, and for an execution that is over, Stop. Each step may be repeated: CodePipeline
takes the same result again, a row that has ended is repeated and never changed, and the event comes
at least once. What isn't known to be ours is acknowledged before it is failed, since what another
worker holds must not be touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acknowledger import acknowledgment, bus, errors, job_api, job_table, outcomes
from acknowledger.acknowledgment import Claim
from acknowledger.log import about, logger
from acknowledger.moments import now

ANNOUNCED = {"Succeeded": "Job Succeeded", "Failed": "Job Failed", "TimedOut": "Job Timed Out"}
# Each finds the row as it is then; it changes only where a job is offered or continued meanwhile.
TRIES = 5

# What else may become of a job whose end is asked for.
REFUSED, NEXT_JOB_NOT_HERE, STAND_DOWN = "Refused", "NextJobNotHere", "StandDown"

_NOT_ACCEPTED = (errors.OutputVariablesSizeExceededException, errors.ValidationException)


@dataclass(frozen=True)
class Ending:
    """What became of a job.

    said: `{status}`, one of the terminal three, with `error` and `cause` for Failed and TimedOut:
        CodePipeline's failure type and the message that it was given; or else
        StandDown    it is another's, and nothing was reported,
        Refused      it was never acknowledged, and its row was released,
        NextJobNotHere   the result belongs to a job that is yet to come,
        each with `error` and `cause`.
    times: when the job had reached each status.
    first: whether it was ended by this call, rather than repeated.
    refused: the name of the error with which CodePipeline turned the result down, or "".
    """

    said: dict[str, str]
    times: Mapping[str, str] = field(default_factory=dict)
    first: bool = False
    refused: str = ""


def end(
    execution: str, offer: Mapping[str, Any], outcome: Mapping[str, Any], *, running: bool = True
) -> Ending:
    """End a job, or repeat how it ended.

    Args:
        execution, offer: the ARN of its execution, and what that was started with.
        outcome: as `outcomes.parse` gives it; `waited`, whether the next job has not come for a
            day, and `cutShort`, whether a Report of it never answered, are added by Stop.
        running: whether the execution repeats this until it is done. Else the row is marked until
            the event is put, so that the sweep finds what was left undone.

    Raises:
        AcknowledgerError: worth another try.
    """
    for _ in range(TRIES):
        row = job_table.find(offer["job"]["id"])
        logger.append_keys(**about(row))
        ending = _End(execution, offer, outcome, running).of(row)
        if ending is not None:
            return ending
    raise errors.TableUnavailable("JobTable: the job's row changed again and again")


@dataclass(frozen=True)
class _End:
    """One try; None where the row is to be read again."""

    execution: str
    offer: Mapping[str, Any]
    outcome: Mapping[str, Any]
    running: bool

    def of(self, row: dict[str, Any] | None) -> Ending | None:
        if row is None:
            return self._without_row()
        if row["execution"] != self.execution:
            return stood_down(errors.ClaimTakenOver("A newer offer of this job has its row"))
        if row["status"] in job_table.ENDED:
            words = ("status", "error", "cause")
            said: dict[str, str] = {name: row[name] for name in words if name in row}
            if self.running or self.outcome.get("cutShort") or "unannounced" in row:
                self._announce(said, row)
            return Ending(said, row["times"])
        unacknowledged = row["status"] in job_table.UNACKNOWLEDGED and not outcomes.is_acknowledged(
            self.outcome
        )
        if "over" in row and (unacknowledged or outcomes.is_over(self.outcome)):
            return self._record(row, {"status": "Failed", **row["over"]})
        return self._make_ours(row) if unacknowledged else self._report(row)

    def _without_row(self) -> Ending | None:
        """Nobody is silenced because a row was deleted."""
        if not outcomes.is_acknowledged(self.outcome):
            return stood_down(errors.ClaimTakenOver("The job's row is gone: it was given back"))
        told = self._tell({})
        if told is not None:
            self._announce(told[0])
        return told and Ending(told[0], first=True, refused=told[1])

    def _report(self, row: dict[str, Any]) -> Ending | None:
        told = self._tell(row)
        if told is None or told[0]["status"] == NEXT_JOB_NOT_HERE:
            return told and Ending(told[0])
        return self._record(row, *told)

    def _make_ours(self, row: dict[str, Any]) -> Ending | None:
        """Acknowledge the job, unless it is to go back to CodePipeline."""
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

    def _tell(self, row: dict[str, Any]) -> tuple[dict[str, str], str] | None:
        """Tell CodePipeline, on the newest job of the work; what, and how it was refused."""
        job = self.offer["job"]
        newest = row.get("currentJobId", job["id"])
        whose = {"jobId": newest} | {name: job[name] for name in ("clientId",) if name in job}
        said, refused = outcomes.failure(self.outcome, self.offer["timeouts"]), ""
        try:
            if said is None:
                try:
                    job_api.put_success(outcomes.success_request(whose, self.outcome))
                except _NOT_ACCEPTED as error:
                    said, refused = outcomes.not_accepted(error), type(error).__name__
            if said is not None:
                details = {"type": said["error"], "message": said["cause"]}
                job_api.put_failure({**whose, "failureDetails": details})
        except (errors.InvalidJobStateException, errors.JobNotFoundException) as error:
            return self._over_otherwise(newest, said, error)
        return said or {"status": "Succeeded"}, refused

    def _over_otherwise(
        self, newest: str, said: dict[str, str] | None, error: errors.CodePipelineRefused
    ) -> tuple[dict[str, str], str] | None:
        """What is to be said of a job that CodePipeline takes no result for.

        Perhaps a progress report of ours has ended it, begun before or since.
        """
        refused, first = type(error).__name__, self.offer["job"]["id"]
        row = job_table.find(first) or {"status": "InProgress"}
        if row["status"] in job_table.ENDED or row.get("currentJobId", first) != newest:
            return None
        if "over" in row:
            return {"status": "Failed", **row["over"]}, refused
        if row.get("continuing", {}).get("jobId") == newest:
            if said and not self.running:
                # The next job is failed with these words when it comes.
                return said, refused
            waited = self.outcome.get("waited")
            cause = f"Job {newest} was continued, and the next job has not come" + (
                " for a day" if waited else " yet"
            )
            status = "Failed" if waited else NEXT_JOB_NOT_HERE
            return {"status": status, "error": NEXT_JOB_NOT_HERE, "cause": cause}, refused
        cause = f"CodePipeline has ended the job without us: {error}"
        return {"status": "Failed", "error": "EndedElsewhere", "cause": cause}, refused

    def _record(
        self, row: dict[str, Any], said: dict[str, str], refused: str = ""
    ) -> Ending | None:
        ended = job_table.end(row, said, unannounced=not self.running)
        if ended is None:
            return None
        self._announce(said, ended)
        return Ending(said, row["times"], first=True, refused=refused)

    def _announce(self, said: dict[str, str], row: Mapping[str, Any] | None = None) -> None:
        """Tell on the JobBus how the job ended; where that fails, the sweep is to do it."""
        job = {name: value for name, value in self.offer["job"].items() if name != "nonce"}
        detail = {"jobId": job["id"], "actionType": self.offer["actionType"], "job": job, **said}
        result = self.outcome.get("result")
        if said["status"] == "Succeeded" and isinstance(result, dict):
            detail |= {name: result[name] for name in ("continuationToken",) if name in result}
        marked = row is not None and "unannounced" in row
        try:
            bus.put(ANNOUNCED[said["status"]], detail)
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
    """The ending of a job that is not this execution's."""
    return Ending({"status": STAND_DOWN, "error": type(error).__name__, "cause": str(error)})
