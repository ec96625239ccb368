"""What a job's function returns, and what Step Functions is told of it. Nothing here calls AWS.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobSuccessResult.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from acknowledger_worker.errors import JobFailed

MESSAGE_LENGTH = 5000
OUTPUT_LENGTH = 130_000


@dataclass(frozen=True)
class Revision:
    """The revision that the action made: `currentRevision`.

    Args:
        revision: its id, 1 to 1500 characters.
        change_identifier: what changes when it does, 1 to 100 characters.
        created: when it was made.
        summary: 1 to 2048 characters.
    """

    revision: str
    change_identifier: str
    created: datetime | None = None
    summary: str | None = None


@dataclass(frozen=True)
class Success:
    """The job is done. A limit that is broken fails it, and the message names every field.

    Args:
        summary: shown in the pipeline, 1 to 2048 characters.
        external_execution_id: what the action's link leads to, 1 to 1500 characters.
        percent_complete: 0 to 100.
        output_variables: for the actions that follow. Partner actions have none.
        revision: what was made.
    """

    summary: str | None = None
    external_execution_id: str | None = None
    percent_complete: int | None = None
    output_variables: Mapping[str, str] = field(default_factory=dict)
    revision: Revision | None = None


@dataclass(frozen=True)
class Continuation:
    """Ask me again later: this job ends, and a next one of the same action brings the token.

    Args:
        token: found in the next job's `continuation_token`, 1 to 2048 characters.
        summary, external_execution_id, percent_complete: as for `Success`.
    """

    token: str
    summary: str | None = None
    external_execution_id: str | None = None
    percent_complete: int | None = None


@dataclass(frozen=True)
class Failure:
    """What became of a job whose function raised an exception.

    Args:
        type: CodePipeline's failure type.
        message: shown in the pipeline, 5000 characters at most.
    """

    type: str
    message: str


Outcome = Success | Continuation


def checked(returned: object) -> Outcome:
    """What a function returned, None being a plain success.

    Raises:
        JobFailed: it is something else, or too long.
    """
    if returned is None:
        return Success()
    if not isinstance(returned, Success | Continuation):
        raise JobFailed(
            "the worker's function must return None, Success or Continuation, "
            f"not {type(returned).__name__}"
        )
    try:
        length = len(output(returned))
    except (TypeError, ValueError) as error:
        raise JobFailed(f"{type(returned).__name__} can't be written as JSON: {error}") from None
    if length > OUTPUT_LENGTH:
        raise JobFailed(
            f"{type(returned).__name__} must have at most {OUTPUT_LENGTH} characters "
            f"as JSON, not {length}"
        )
    return returned


def failure(error: BaseException, redact: Callable[[str], str] = str) -> Failure:
    """What a function's exception comes to: its type of failure, and its message alone."""
    if isinstance(error, JobFailed):
        kind, message = error.type, str(error)
    else:
        name, message = type(error).__name__, str(error)
        kind, message = "JobFailed", f"{name}: {message}" if message else name
    message = redact(message).encode("utf-8", "replace").decode()
    cut = len(message) > MESSAGE_LENGTH
    return Failure(kind, f"{message[: MESSAGE_LENGTH - 1]}…" if cut else message)


def output(outcome: Outcome) -> str:
    """The output of the task, as JSON."""
    details = {
        "summary": outcome.summary,
        "externalExecutionId": outcome.external_execution_id,
        "percentComplete": outcome.percent_complete,
    }
    result: dict[str, Any] = {"executionDetails": without_none(details)}
    if isinstance(outcome, Continuation):
        result["continuationToken"] = outcome.token
    else:
        result["outputVariables"] = dict(outcome.output_variables)
        if made := outcome.revision:
            result["currentRevision"] = without_none(
                {
                    "revision": made.revision,
                    "changeIdentifier": made.change_identifier,
                    "created": made.created.isoformat() if made.created else None,
                    "revisionSummary": made.summary,
                }
            )
    return json.dumps({name: value for name, value in result.items() if value})


def without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    """Members without those that are None: to AWS they are not there."""
    return {name: value for name, value in members.items() if value is not None}
