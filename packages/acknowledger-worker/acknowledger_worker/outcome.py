"""What a job's function returns, and the task's output for it. Nothing here calls AWS.

Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobSuccessResult.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from acknowledger_worker.errors import JobFailed

MESSAGE_LENGTH = 5000
OUTPUT_LENGTH = 130_000
SUMMARY_LENGTH = 2048

T = TypeVar("T")


@dataclass(frozen=True)
class Revision:
    """The revision that the action created: `currentRevision`.

    Args:
        revision: its id, 1 to 1500 characters.
        change_identifier: changes with every revision, 1 to 100 characters.
        created: when it was created.
        summary: 2048 characters at most. An empty string counts as not given.
    """

    revision: str
    change_identifier: str
    created: datetime | None = None
    summary: str | None = None


@dataclass(frozen=True)
class Success:
    """The job succeeded. If a limit is broken, it fails, and the message names every member.

    Args:
        summary: shown in the pipeline, 2048 characters at most. An empty string counts as not
            given.
        external_execution_id: the id in the action's link, 1500 characters at most. As above.
        percent_complete: 0 to 100.
        output_variables: for later actions. Partner actions have none.
        revision: what was created.
        cut_summary: whether a summary that is too long is cut, and then ends with "…".
        allow_missing_outputs: whether the job succeeds although an output artifact was not
            uploaded. By default it fails, since later actions would fail without a clear reason.
    """

    summary: str | None = None
    external_execution_id: str | None = None
    percent_complete: int | None = None
    output_variables: Mapping[str, str] = field(default_factory=dict)
    revision: Revision | None = None
    cut_summary: bool = False
    allow_missing_outputs: bool = False


@dataclass(frozen=True)
class Continuation:
    """Call again later: this job ends, and another job of the same action gets the token.

    Args:
        token: the next job's `continuation_token`, 1 to 2048 characters.
        summary, external_execution_id, percent_complete, cut_summary: as for `Success`.
    """

    token: str
    summary: str | None = None
    external_execution_id: str | None = None
    percent_complete: int | None = None
    cut_summary: bool = False


@dataclass(frozen=True)
class Failure:
    """The outcome of a job whose function raised an exception.

    Args:
        type: CodePipeline's failure type.
        message: shown in the pipeline, 5000 characters at most.
    """

    type: str
    message: str

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Explain the failure to a test that expected a success."""
            kind, message = vars(self).get("type"), vars(self).get("message")
            raise AttributeError(f"the job failed and has no {name}: {kind}: {message}")


Outcome = Success | Continuation


def checked(returned: object, mask: Callable[[str], str] = str) -> Outcome:
    """What a function returned, with its texts masked; a plain success for None.

    Raises:
        JobFailed: it is none of the allowed types, or breaks a limit.
    """
    if returned is None:
        return Success()
    if not isinstance(returned, Success | Continuation):
        raise JobFailed(
            "the worker's function must return None, Success or Continuation, "
            f"not {type(returned).__name__}"
        )
    returned = masked(returned, mask)
    if returned.cut_summary and len(returned.summary or "") > SUMMARY_LENGTH:
        returned = replace(returned, summary=f"{(returned.summary or '')[: SUMMARY_LENGTH - 1]}…")
    if broken := "; ".join(_broken(returned)):
        raise JobFailed(broken)
    if (length := len(output(returned))) > OUTPUT_LENGTH:
        raise JobFailed(
            f"{type(returned).__name__} must have at most {OUTPUT_LENGTH} characters "
            f"as JSON, not {length}"
        )
    return returned


def masked(value: T, mask: Callable[[str], str]) -> T:
    """An outcome with all its texts masked."""
    made: Any = value
    if isinstance(value, str):
        made = mask(value)
    elif isinstance(value, Mapping):
        made = {masked(name, mask): masked(each, mask) for name, each in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        members = {each.name: masked(getattr(value, each.name), mask) for each in fields(value)}
        made = replace(value, **members)
    return made  # type: ignore[no-any-return]


def failure(error: BaseException, mask: Callable[[str], str] = str) -> Failure:
    """The failure for a function's exception: a failure type, and only its message."""
    if isinstance(error, JobFailed):
        kind, message = error.type, str(error)
    else:
        name, message = type(error).__name__, str(error)
        kind, message = "JobFailed", f"{name}: {message}" if message else name
    message = mask(message).encode("utf-8", "replace").decode()
    cut = len(message) > MESSAGE_LENGTH
    return Failure(kind, f"{message[: MESSAGE_LENGTH - 1]}…" if cut else message)


def output(outcome: Outcome) -> str:
    """The output of the task, as JSON."""
    details = {
        "summary": outcome.summary or None,
        "externalExecutionId": outcome.external_execution_id or None,
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
                    "revisionSummary": made.summary or None,
                }
            )
    return json.dumps({name: value for name, value in result.items() if value})


def without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are not None; AWS's operations don't accept null."""
    return {name: value for name, value in members.items() if value is not None}


def _broken(outcome: Outcome) -> Iterator[str]:
    """Each member that breaks one of CodePipeline's limits, with the limit."""
    yield from _broken_text("executionDetails.summary", outcome.summary or "", 0, SUMMARY_LENGTH)
    link = outcome.external_execution_id or ""
    yield from _broken_text("executionDetails.externalExecutionId", link, 0, 1500)
    percent = outcome.percent_complete
    if percent is not None and (type(percent) is not int or not 0 <= percent <= 100):
        yield "executionDetails.percentComplete must be a whole number from 0 to 100"
    if isinstance(outcome, Continuation):
        yield from _broken_text("continuationToken", outcome.token, 1, 2048)
        return
    variables: object = outcome.output_variables
    if not isinstance(variables, Mapping):
        yield "outputVariables must be a mapping"
        variables = {}
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z0-9@\-_]+", str(name)):
            yield f"outputVariables.{name}: a name may have only letters, digits, @, - and _"
        yield from _broken_text(f"outputVariables.{name}", value, 0, OUTPUT_LENGTH)
    if made := outcome.revision:
        where = "currentRevision"
        yield from _broken_text(f"{where}.revision", made.revision, 1, 1500)
        yield from _broken_text(f"{where}.changeIdentifier", made.change_identifier, 1, 100)
        yield from _broken_text(f"{where}.revisionSummary", made.summary or "", 0, SUMMARY_LENGTH)
        created: object = made.created
        if not isinstance(created, datetime | None):
            yield f"{where}.created must be a datetime"


def _broken_text(member: str, value: object, least: int, most: int) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{member} must be a string, not {type(value).__name__}"
    elif not least <= len(value) <= most:
        limit = f"at most {most}" if least == 0 else f"{least} to {most}"
        yield f"{member} must have {limit} characters, not {len(value)}"
