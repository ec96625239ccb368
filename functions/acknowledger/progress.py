"""Reporting a job's progress to CodePipeline, on the newest job of its work."""

from typing import Any

from acknowledger import errors, intake_table, job_api, job_table
from acknowledger.config import config
from acknowledger.log import about, logger
from acknowledger.moments import ago, now
from acknowledger.offers import token


def show(job_id: str, reported: dict[str, Any] | None, reported_at: str) -> bool:
    """Keep a job's progress, and show it in the pipeline unless some was shown a moment ago.

    CodePipeline takes progress only with a continuation, which ends the newest job of the work and
    creates the next. This is noted in the row first, so that the report of the result knows that a
    next job may follow, and so that a repeated call is the same byte for byte.

    Args:
        reported: any of `percentComplete`, `summary` and `externalExecutionId`; members left out
            keep their last values. {} shows what is kept and isn't shown yet; None continues
            the work in another job even without new progress.
        reported_at: when, ISO 8601 in UTC; progress older than what is kept is ignored.

    Returns:
        whether it was shown.

    Raises:
        ValidationException: it breaks a limit; the message names every member.
        AcknowledgerError: CodePipeline's error, except that the job is over.
    """
    at = now()
    row = job_table.find(job_id)
    logger.append_keys(**about(row))
    if row is None or row["status"] != "InProgress":
        logger.info("Progress of a job that is not in progress", status=row and row["status"])
        if row is not None:
            intake_table.forget(row["actionType"], job_id, at)
        return False
    if reported:
        job_api.check_success(_request(row, row.get("progress", {}) | reported))
        # In whole seconds, and never later than our own clock.
        row = _keep(row, reported, min(reported_at, at)[:19])
    begun = row.get("continuing", {}).get("sent") is False
    if reported is not None and not begun and row.get("progress") == row.get("shown"):
        intake_table.forget(row["actionType"], job_id, at)
        return False
    details, continuing = row.get("progress", {}), row.get("continuing")
    request = _request(row, details)
    if continuing is None:
        note = {"jobId": request["jobId"], "executionDetails": details, "sent": False}
        noted = job_table.update(
            job_id,
            "SET progressAt = :now, shown = :details, continuing = :continuing",
            condition="#status = :inProgress AND attribute_not_exists(continuing)"
            " AND (attribute_not_exists(currentJobId) OR currentJobId = :newest)"
            " AND (attribute_not_exists(progressAt) OR progressAt <= :due)",
            values={
                ":details": details,
                ":now": now(),
                ":due": ago(config().progress_interval_seconds),
                ":continuing": note,
                ":newest": request["jobId"],
            },
        )
        if noted is None:
            return False
    elif continuing["sent"]:
        return False
    else:
        # An earlier attempt got no further than the note: repeat it unchanged.
        request = _request(row, continuing["executionDetails"])
    return _continue(row, request, first_try=continuing is None)


def _request(row: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
    """The `PutJobSuccessResult` request that shows progress and continues the work."""
    newest = row.get("currentJobId", row["jobId"])
    return {
        "jobId": newest,
        **({"clientId": row["clientId"]} if row.get("clientId") else {}),
        "continuationToken": token(row["execution"], row["jobId"], newest),
        **({"executionDetails": details} if details else {}),
    }


def _keep(row: dict[str, Any], reported: dict[str, Any], reported_at: str) -> dict[str, Any]:
    """Keep the progress, and return the row with it. The sweep shows what isn't shown now."""
    details = row.get("progress", {}) | reported
    kept = job_table.update(
        row["jobId"],
        "SET progress = :details, toldAt = :at",
        condition="#status = :inProgress AND (attribute_not_exists(toldAt) OR toldAt <= :at)",
        values={":details": details, ":at": reported_at},
    )
    if kept is None:
        return row
    if details != kept.get("shown"):
        intake_table.remind(row["actionType"], row["jobId"], now())
    return kept


def _continue(row: dict[str, Any], request: dict[str, Any], *, first_try: bool) -> bool:
    """End the newest job of some work, so that CodePipeline creates the next."""
    at = now()
    intake_table.expect(row["actionType"], row["jobId"], at)
    newest = {":newest": request["jobId"]}
    try:
        job_api.put_success(request)
    except errors.CodePipelineRefused as error:
        over = isinstance(error, (errors.InvalidJobStateException, errors.JobNotFoundException))
        # When a call is repeated, the first one may have succeeded.
        if over or first_try:
            job_table.update(
                row["jobId"],
                "REMOVE continuing, shown, progressAt",
                condition="continuing.jobId = :newest",
                values=newest,
            )
            intake_table.expect_no_more(row["actionType"], row["jobId"], at)
        if over:
            logger.warning("CodePipeline has ended the job", error=str(error))
            return False
        raise
    job_table.update(
        row["jobId"],
        "SET continuing.sent = :yes",
        condition="continuing.jobId = :newest",
        values={**newest, ":yes": True},
    )
    return True
