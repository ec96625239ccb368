"""The shape of every event that a function takes. Nothing here calls AWS.

Shapes are written like botocore's API models. An object may always have further members, since
senders may add some.
"""

import functools
import json
from collections.abc import Mapping, Set
from dataclasses import fields
from typing import Any

from botocore.model import DenormalizedStructureBuilder

from acknowledger.config import ActionType, Timeouts
from acknowledger.errors import EventInvalid
from acknowledger.validation import violations

_Shape = dict[str, Any]


def _object(needed: Mapping[str, _Shape], optional: Mapping[str, _Shape] | None = None) -> _Shape:
    members = {**needed, **(optional or {})}
    return {"type": "structure", "document": True, "required": list(needed), "members": members}


def _event(needed: Mapping[str, _Shape], optional: Mapping[str, _Shape] | None = None) -> _Shape:
    return _object({"detail": _object(needed, optional)})


def _one_of(*names: str) -> _Shape:
    return {"type": "string", "enum": list(names)}


_NAME: _Shape = {"type": "string", "min": 1}
_TEXT: _Shape = {"type": "string"}
_JOB_ID = {"type": "string", "min": 1, "max": 512}
_CHOSEN = _event({}, {"actionTypes": {"type": "list", "min": 1, "member": _NAME}})
_SECONDS = {"type": "integer", "min": 1}
_MOMENT = {"type": "string", "pattern": "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z"}

# The input of executions, from Intake.
_INPUT = _object(
    {
        "job": _object({"id": _JOB_ID, "nonce": _NAME, "data": _object({})}, {"clientId": _NAME}),
        "actionType": _NAME,
        "offeredAt": _NAME,
        "timeouts": _object({limit.name: _SECONDS for limit in fields(Timeouts)}),
    },
    {"configurationError": _NAME, "continues": _object({"jobId": _JOB_ID, "after": _JOB_ID})},
)

# By function and detail-type.
SHAPES: dict[str, dict[str, _Shape]] = {
    "Intake": {
        "Scheduled Event": _event({}),
        "CodePipeline Action Execution State Change": _event(
            {
                **dict.fromkeys(("pipeline", "execution-id", "stage", "action"), _NAME),
                "state": _one_of("STARTED"),
                "type": _object({}),
            },
            {"action-execution-id": _NAME},
        ),
        "Step Functions Execution Status Change": _event(
            {"name": _NAME, "status": _one_of("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")}
        ),
        "Pause Intake": _CHOSEN,
        "Resume Intake": _CHOSEN,
    },
    "Acknowledge": {
        "Job Dispatched": _event({}, {"taskToken": {"type": "string", "min": 1, "max": 2048}})
    },
    "Report": {"Job Progress": _object({"time": _MOMENT, "detail": _object({"jobId": _JOB_ID})})},
    "Stop": {
        "CodePipeline Action Execution State Change": _event(
            {"action-execution-id": _NAME, "state": _one_of("ABANDONED", "CANCELED", "FAILED")}
        ),
        "Step Functions Execution Status Change": _event(
            {"executionArn": _NAME, "status": _one_of("ABORTED", "FAILED", "TIMED_OUT")},
            {"input": _TEXT},
        ),
        "Job Due": _event({"jobId": _JOB_ID}),
    },
    "Execution": {
        "input": _INPUT,
        # What Acknowledge gets with a task token.
        "claim": _object({"execution": _NAME, "dispatchedAt": _NAME, "offer": _INPUT}),
        # What Report gets.
        "ending": _object(
            {
                "execution": _NAME,
                "offer": _INPUT,
                "outcome": _object(
                    {},
                    {
                        "state": _one_of("WaitForRoom", "Dispatched", "InProgress"),
                        "failure": _object({}, dict.fromkeys(("Error", "Cause"), _TEXT)),
                        "milliseconds": {"type": "long"},
                    },
                ),
            }
        ),
    },
}


@functools.cache
def _shape(of: str, kind: str) -> Any:
    built = DenormalizedStructureBuilder().with_members({kind: SHAPES[of][kind]}).build_model()
    return built.members[kind]


def parse(event: Any, of: str) -> dict[str, Any]:
    """Check an event of a function in SHAPES, and return it with a detail.

    Raises:
        EventInvalid: its detail-type is none of these; or naming every field that is wrong.
    """
    if not isinstance(event, dict):
        raise EventInvalid("the event must be a JSON object")
    kind = event.get("detail-type")
    if not isinstance(kind, str) or kind not in SHAPES[of]:
        names = " or ".join(f"'{name}'" for name in sorted(SHAPES[of]))
        raise EventInvalid(f"detail-type must be {names}")
    return check({"detail": {}, **event}, of, kind)


def check(value: Any, of: str, kind: str) -> dict[str, Any]:
    """Check that a value has one of SHAPES, and return it.

    Raises:
        EventInvalid: naming every field that is wrong.
    """
    if not isinstance(value, dict):
        raise EventInvalid("the event must be a JSON object")
    wrong = [
        f"{path} {constraint.removeprefix('Member ')}"
        for path, constraint in violations(_shape(of, kind), value, "")
    ]
    if wrong:
        raise EventInvalid("; ".join(wrong))
    return value


def served_type(detail: Mapping[str, Any], served: Set[ActionType]) -> ActionType | None:
    """The action type that a CodePipeline event names, or None if it isn't served.

    Its version may be a string or a number.
    """
    named = detail.get("type")
    if not isinstance(named, dict):
        return None
    version = named.get("version")
    if isinstance(version, (int, float)) and not isinstance(version, bool):
        named = {**named, "version": str(version).removesuffix(".0")}
    return next((one for one in served if one.as_id().items() <= named.items()), None)


def chosen_types(detail: Mapping[str, Any], served: Set[ActionType]) -> list[ActionType]:
    """The action types that an operator chose: those in `actionTypes`, or all.

    Raises:
        EventInvalid: it names one that is not served here.
    """
    by_name = {str(action_type): action_type for action_type in served}
    names = detail.get("actionTypes", sorted(by_name))
    if names is None or not by_name.keys() >= set(names):
        raise EventInvalid(
            "detail.actionTypes must be a list of action types served here "
            f"({', '.join(sorted(by_name))}), or be left out for all"
        )
    return [by_name[name] for name in names]


def started_with(detail: Mapping[str, Any]) -> dict[str, Any] | None:
    """The input with which Intake started an execution, from the execution's event.

    None if it is too long for an event, or if Intake did not start the execution.
    """
    try:
        given = json.loads(detail.get("input") or "null")
    except (RecursionError, TypeError, ValueError):
        return None
    return None if any(violations(_shape("Execution", "input"), given, "")) else given
