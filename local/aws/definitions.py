"""What is wrong with a state machine's definition, found when it is made.

Where AWS differs: fields' types and expressions are as strict as moto's grammar of the language,
and its words are used for what that objects to.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.stepfunctions.parser.asl.parse.asl_parser import (
    AmazonStateLanguageParser,
    ASLParserException,
)

SCHEMA = "SCHEMA_VALIDATION_FAILED"
TARGET = "MISSING_TRANSITION_TARGET"

#: The fields of which a state of a type must have exactly one.
REQUIRED = {
    "Choice": ("Choices",),
    "Map": ("ItemProcessor", "Iterator"),
    "Parallel": ("Branches",),
    "Task": ("Resource",),
    "Wait": ("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),
}
#: The types of states after which nothing comes, or what they themselves say.
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
    """Return what is wrong with a definition, for a state machine that is STANDARD or EXPRESS."""
    try:
        document = json.loads(definition)
    except ValueError as error:
        if not definition.strip():
            return [Problem(SCHEMA, "Definition must be a valid JSON object")]
        return [Problem("INVALID_JSON_DESCRIPTION", str(error))]
    if not isinstance(document, dict):
        return [Problem(SCHEMA, "Definition must be a valid JSON object")]
    try:
        found = list(of_machine(document, "/", kind, set()))
    except (AttributeError, TypeError):
        found = [Problem(SCHEMA, "A field has a value of the wrong type")]
    if not found:
        try:
            AmazonStateLanguageParser.parse(definition)
        except ASLParserException as error:
            found = [Problem(SCHEMA, each) for each in error.errors]
        except Exception as error:  # noqa: BLE001 - the parser objects with errors of any kind
            found = [Problem(SCHEMA, str(error))]
    return found


def of_machine(machine: Any, place: str, kind: str, names: set[str]) -> Iterator[Problem]:
    """Yield what is wrong with a machine, or with a branch of one; names are those seen before."""
    missing = [name for name in ("States", "StartAt") if name not in machine]
    if missing:
        yield Problem(SCHEMA, f"These fields are required: [{', '.join(missing)}]", place)
        return
    states = machine["States"]
    if not isinstance(states, dict) or not all(isinstance(each, dict) for each in states.values()):
        yield Problem(SCHEMA, "Expected value of type Object", f"{place}States")
        return
    start = machine["StartAt"]
    if start not in states:
        yield Problem(TARGET, f"Missing 'StartAt' target: {start}", f"{place}StartAt")
    reached = {start}
    for name, state in states.items():
        here = f"{place}States/{name}"
        if name in names:
            yield Problem("DUPLICATE_STATE_NAME", f"Duplicate State name: {name}", here)
        names.add(name)
        yield from of_state(state, here, kind)
        for field, target, where in targets(state, here):
            reached.add(target)
            if target not in states:
                yield Problem(TARGET, f"Missing '{field}' target: {target}", where)
        for branch, where in machines(state, here):
            yield from of_machine(branch, f"{where}/", kind, names)
    for name in states:
        if name not in reached:
            yield Problem(TARGET, f'State "{name}" is not reachable.', f"{place}States/{name}")


def of_state(state: dict[str, Any], here: str, kind: str) -> Iterator[Problem]:
    """Yield what is wrong with a state by itself."""
    state_type = state.get("Type")
    if "Type" not in state:
        yield Problem(SCHEMA, "These fields are required: [Type]", here)
    elif state_type not in TYPES:
        allowed = ", ".join(sorted(TYPES))
        yield Problem(SCHEMA, f"Value is not valid. Expected one of: [{allowed}]", f"{here}/Type")
    elif state_type in REQUIRED:
        fields = REQUIRED[state_type]
        given = [field for field in fields if field in state]
        if not given:
            yield Problem(SCHEMA, f"One of these fields is required: [{', '.join(fields)}]", here)
        elif len(given) > 1:
            yield Problem(SCHEMA, f"Only one of these fields is allowed: [{', '.join(given)}]", here)
    has_next, ends = "Next" in state, state.get("End") is True
    if state_type not in WITHOUT_NEXT and has_next == ends:
        yield Problem(SCHEMA, "Exactly one of the fields [Next, End] is required", here)
    for field in ("Branches", "Choices"):
        if field in state and not state[field]:
            yield Problem(SCHEMA, "Array must not be empty", f"{here}/{field}")
    resource = state.get("Resource", "")
    if kind == "EXPRESS" and str(resource).endswith((".waitForTaskToken", ".sync", ".sync:2")):
        pattern = str(resource)[str(resource).rindex(".") :]
        message = f"Express state machine does not support '{pattern}' service integration "
        yield Problem(SCHEMA, message, f"{here}/Resource")


def targets(state: dict[str, Any], here: str) -> Iterator[tuple[str, Any, str]]:
    """Yield where a state may go on: the field, the state's name and the field's place."""
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field], f"{here}/{field}"
    for field in ("Choices", "Catch"):
        for index, each in enumerate(state.get(field) or []):
            if isinstance(each, dict) and "Next" in each:
                yield "Next", each["Next"], f"{here}/{field}[{index}]/Next"


def machines(state: dict[str, Any], here: str) -> Iterator[tuple[Any, str]]:
    """Yield the machines inside a state, each with its place."""
    for index, branch in enumerate(state.get("Branches") or []):
        yield branch, f"{here}/Branches[{index}]"
    for field in ("ItemProcessor", "Iterator"):
        if field in state:
            yield state[field], f"{here}/{field}"
