"""Tying the jobs of one action execution together.

CodePipeline shows progress only with a continuation token, which ends a job and makes a next one
that brings the token. Ours says which work is continued after which of its jobs, and by which
deployment.
"""

import json

from acknowledger.errors import ContinuedElsewhere

PREFIX = "acknowledger:"


def token(execution_arn: str, job_id: str, after: str) -> str:
    """The continuation token that ties the next job to some work, 1 to 2048 characters.

    Args:
        execution_arn: the execution that works it.
        job_id: the first job of the work, 512 characters at most.
        after: the newest, likewise.
    """
    jobs = json.dumps([job_id, after], ensure_ascii=False, separators=(",", ":"))
    return f"{PREFIX}{execution_arn.split(':')[6]}:{jobs}"


def continued(continuation_token: str | None, state_machine_arn: str) -> dict[str, str] | None:
    """What a job with this token continues, `{jobId, after}`, or None for a worker's own token.

    Raises:
        ContinuedElsewhere: the work is another deployment's.
        ValueError: it only looks like a token of ours.
    """
    if continuation_token is None or not continuation_token.startswith(PREFIX):
        return None
    machine, _, jobs = continuation_token.removeprefix(PREFIX).partition(":")
    if machine != state_machine_arn.split(":")[6]:
        raise ContinuedElsewhere(f"it continues the work of another deployment, {machine}")
    job_id, after = json.loads(jobs)
    return {"jobId": job_id, "after": after}
