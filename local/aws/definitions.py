"""Validates definitions of state machines: first in AWS's words, and then with moto's grammar."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.stepfunctions.parser.asl.parse.asl_parser import (
    AmazonStateLanguageParser,
    ASLParserException,
)

from local.aws import jsonata

SCHEMA = "SCHEMA_VALIDATION_FAILED"
TARGET = "MISSING_TRANSITION_TARGET"

#: The fields of which a state must have exactly one, by the state's type.
REQUIRED = {
    "Choice": ("Choices",),
    "Map": ("ItemProcessor", "Iterator"),
    "Parallel": ("Branches",),
    "Task": ("Resource",),
    "Wait": ("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),
}
#: The fields that contain inner state machines.
INNER = ("Branches", "ItemProcessor", "Iterator")
#: The types of states that have neither Next nor End.
WITHOUT_NEXT = {"Choice", "Fail", "Succeed"}
TYPES = {"Pass", *REQUIRED, *WITHOUT_NEXT}


@dataclass(frozen=True)
class Problem:
    code: str
    message: str
    location: str = ""

    def __str__(self) -> str:
        place = f" at {self.location}" if self.location else ""
        return f"{self.code}: {self.message}{place}"


def problems(definition: str, kind: str = "STANDARD") -> list[Problem]:
    """Return the problems of a definition, for a STANDARD or EXPRESS state machine."""
    try:
        document = json.loads(definition)
    except ValueError as error:
        if not definition.strip():
            return [Problem(SCHEMA, "Definition must be a valid JSON object")]
        return [Problem("INVALID_JSON_DESCRIPTION", str(error))]
    if not isinstance(document, dict):
        return [Problem(SCHEMA, "Definition must be a valid JSON object")]
    try:
        found = list(Machine(kind, document.get("QueryLanguage", "JSONPath")).of(document, "/"))
    except (AttributeError, TypeError):
        found = [Problem(SCHEMA, "A field has a value of the wrong type")]
    if not found:
        try:
            AmazonStateLanguageParser.parse(definition)
        except ASLParserException as error:
            found = [Problem(SCHEMA, each) for each in error.errors]
        except Exception as error:  # noqa: BLE001 - the parser raises many kinds of errors
            found = [Problem(SCHEMA, str(error))]
    return found


class Machine:
    """A state machine's type and query language, and the state names that were seen so far."""

    def __init__(self, kind: str, language: str) -> None:
        self._kind = kind
        self._language = language
        self._names: set[str] = set()

    def of(self, machine: Any, place: str) -> Iterator[Problem]:
        """Yield the problems of the state machine, or of a branch of it."""
        missing = [name for name in ("States", "StartAt") if name not in machine]
        if missing:
            yield Problem(SCHEMA, f"These fields are required: [{', '.join(missing)}]", place)
            return
        states = machine["States"]
        if not isinstance(states, dict):
            yield Problem(SCHEMA, "Expected value of type Object", f"{place}States")
            return
        start = machine["StartAt"]
        if start not in states:
            yield Problem(TARGET, f"Missing 'StartAt' target: {start}", f"{place}StartAt")
        reached = {start}
        for name, state in states.items():
            here = f"{place}States/{name}"
            if name in self._names:
                yield Problem("DUPLICATE_STATE_NAME", f"Duplicate State name: {name}", here)
            self._names.add(name)
            yield from self._of_state(state, here)
            for field, target, where in targets(state, here):
                reached.add(target)
                if target not in states:
                    yield Problem(TARGET, f"Missing '{field}' target: {target}", where)
            for branch, where in branches(state, here):
                yield from self.of(branch, f"{where}/")
        for name in states:
            if name not in reached:
                message = f'State "{name}" is not reachable.'
                yield Problem(TARGET, message, f"{place}States/{name}")

    def _of_state(self, state: dict[str, Any], here: str) -> Iterator[Problem]:
        """Yield the problems of a state by itself."""
        kind = state.get("Type")
        if kind is None:
            yield Problem(SCHEMA, "These fields are required: [Type]", here)
        elif kind not in TYPES:
            allowed = ", ".join(sorted(TYPES))
            yield Problem(SCHEMA, f"Value is not one of: [{allowed}]", f"{here}/Type")
        elif kind in REQUIRED:
            fields = REQUIRED[kind]
            if sum(field in state for field in fields) != 1:
                message = f"Exactly one of these fields is required: [{', '.join(fields)}]"
                yield Problem(SCHEMA, message, here)
        if kind not in WITHOUT_NEXT and ("Next" in state) == (state.get("End") is True):
            yield Problem(SCHEMA, "Exactly one of these fields is required: [Next, End]", here)
        for field in ("Branches", "Choices"):
            if field in state and not state[field]:
                yield Problem(SCHEMA, "Array must not be empty", f"{here}/{field}")
        pattern = str(state.get("Resource", "")).rpartition(".")[2]
        if self._kind == "EXPRESS" and pattern in ("waitForTaskToken", "sync", "sync:2"):
            message = f"Express state machine does not support '.{pattern}' service integration "
            yield Problem(SCHEMA, message, f"{here}/Resource")
        language = state.get("QueryLanguage", self._language)
        if language == "JSONata":
            yield from of_expressions(state, here)
        elif self._language == "JSONata":
            message = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole "
            yield Problem(SCHEMA, f"{message}state machine", here)


def of_expressions(value: Any, here: str) -> Iterator[Problem]:
    """Yield the problems of a state's JSONata, but not of the state machines inside the state."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name not in INNER:
                yield from of_expressions(member, f"{here}/{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from of_expressions(member, f"{here}[{index}]")
    elif isinstance(value, str) and value.startswith("{%") and value.endswith("%}"):
        try:
            jsonata.parse(value[2:-2].strip())
        except Exception as error:  # noqa: BLE001 - the library raises Python's own errors too
            yield Problem(SCHEMA, f"JSONata expression is not valid: {error}", here)


def targets(state: dict[str, Any], here: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the possible next states: the field, the state's name and the field's location."""
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field], f"{here}/{field}"
    for field in ("Choices", "Catch"):
        for index, each in enumerate(state.get(field) or []):
            if isinstance(each, dict) and "Next" in each:
                yield "Next", each["Next"], f"{here}/{field}[{index}]/Next"


def branches(state: dict[str, Any], here: str) -> Iterator[tuple[Any, str]]:
    """Yield the state machines inside a state, each with its location."""
    for index, branch in enumerate(state.get("Branches") or []):
        yield branch, f"{here}/Branches[{index}]"
    for field in ("ItemProcessor", "Iterator"):
        if field in state:
            yield state[field], f"{here}/{field}"
