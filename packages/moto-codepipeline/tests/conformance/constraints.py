"""Bad requests, generated from the service model: for each constraint one that breaks only this.

The model is botocore's. What breaks a constraint, and AWS's message for it, is written here again,
and not taken from the code under test.
"""

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape

from moto_codepipeline.responses import JobResponse

MARK = "zq"
"""What strings are made of, so that messages can be searched for it."""

_SAMPLES = (
    MARK,
    "11111111-2222-3333-4444-555555555555",
    "arn:aws:iam::123456789012:role/zq",
    "arn:aws:codepipeline:eu-west-1:123456789012:zq",
    "arn:aws:lambda:eu-west-1:123456789012:function:zq",
    "123456789012",
    "ThirdParty",
)
_BREAKING = (f"{MARK}!*\n", f"{MARK}\n", "!*", "\n", "!", "*")

Step = str | int
"""The name of a member or key, or an index in a list."""


class Key(str):
    """A key of a map, as a step to its value."""

    __slots__ = ()


@dataclass
class Bad:
    """A request that breaks one constraint, and the expected message."""

    operation: str
    kind: str
    path: str
    constraints: tuple[str, ...]
    nested: str | None
    request: dict[str, Any]
    value: Any

    def __str__(self) -> str:
        return f"{self.operation}-{self.path}-{self.kind}".replace(" ", "_")

    @property
    def message(self) -> str:
        said = list(self.constraints)
        if self.nested is not None:
            said = [f"{self.nested} must satisfy constraint: [{', '.join(said)}]"]
        violations = [
            f"Value at '{self.path}' failed to satisfy constraint: {each}" for each in said
        ]
        errors = "error" if len(violations) == 1 else "errors"
        return f"{len(violations)} validation {errors} detected: {'; '.join(violations)}"


@cache
def model() -> ServiceModel:
    description = Loader().load_service_model("codepipeline", "service-2")
    # The limit in the live service's messages, as reported by users.
    description["shapes"]["ActionConfigurationValue"]["max"] = 50_000
    return ServiceModel(description, "codepipeline")


def served() -> list[str]:
    """The operations that are emulated."""
    return [each for each in model().operation_names if hasattr(JobResponse, xform_name(each))]


def good_request(operation: str) -> dict[str, Any]:
    """A request that has every member of the model, at every depth, and breaks no constraint."""
    shape = model().operation_model(operation).input_shape
    return {} if shape is None else _good(shape)


def bad_requests(operation: str) -> Iterator[Bad]:
    """All requests that break one constraint each."""
    good = good_request(operation)
    for place in _places_of(operation):
        path, nested = place.said()
        for kind, value, broken in place.broken():
            request = deepcopy(good)
            place.put(request, value)
            constraints = broken if nested is None else _constraints(place.shape)
            yield Bad(operation, kind, path, constraints, nested, request, value)


WRONG_TYPE = {
    "structure": "Expected a structure.",
    "map": "Expected a map.",
    "list": "Expected list or null",
    "string": "Start of structure or map found where not expected.",
    "integer": "STRING_VALUE cannot be converted to Integer",
    "boolean": "STRING_VALUE cannot be converted to Boolean",
    "timestamp": "STRING_VALUE cannot be converted to Timestamp",
}
"""The errors for a structure where a text belongs, and for a text anywhere else."""


def wrong_types(operation: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Requests with one member of the wrong JSON type each, and the expected messages."""
    good = good_request(operation)
    for place in _places_of(operation):
        if place.is_key:
            continue
        wrong: Any = MARK if place.shape.type_name != "string" else {MARK: MARK}
        request = deepcopy(good)
        place.put(request, wrong)
        yield place.name, WRONG_TYPE[place.shape.type_name], request


def limits(operation: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests with one member each at its upper or lower limit."""
    good = good_request(operation)
    for place in _places_of(operation):
        for name in ("min", "max"):
            if name in place.shape.metadata and place.shape.type_name != "structure":
                value = _sized(place.shape, place.shape.metadata[name])
                if value is None or _constraints(place.shape, value):
                    continue
                request = deepcopy(good)
                place.put(request, value)
                yield f"{place.name}-{name}", request


@dataclass
class _Place:
    """A value somewhere in a request. ``is_key``: the map's key itself, not its value."""

    shape: Shape
    steps: tuple[Step, ...]
    holder: Shape
    is_key: bool = False

    @property
    def name(self) -> str:
        return ".".join(str(step) for step in self.steps)

    def broken(self) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
        """Kinds of violations, with values that have them and the expected constraints."""
        rules = self.shape.metadata
        if isinstance(self.holder, StructureShape) and self.steps[-1] in (
            self.holder.required_members
        ):
            yield "missing", None, ("Member must not be null",)
        if isinstance(self.shape, StructureShape):
            return
        values = {}
        if rules.get("min", 0) > 0 or ("min" in rules and self.shape.type_name == "integer"):
            values["min"] = _sized(self.shape, rules["min"] - 1)
        if "max" in rules:
            values["max"] = _sized(self.shape, rules["max"] + 1)
        if "pattern" in rules:
            values["pattern"] = _without_pattern(rules)
        if isinstance(self.shape, StringShape) and self.shape.enum:
            values["enum"] = f"{MARK}{self.shape.enum[0]}"
        for kind, value in values.items():
            constraints = _constraints(self.shape, value)
            assert constraints, (self.steps, kind, value)
            yield kind, value, constraints

    def put(self, request: dict[str, Any], value: Any) -> None:
        """Put a value here; None removes it."""
        holder: Any = request
        for step in self.steps[:-1]:
            holder = holder[step]
        if self.is_key:
            holder[value] = holder.pop(self.steps[-1])
        elif value is None:
            del holder[self.steps[-1]]
        else:
            holder[self.steps[-1]] = value

    def said(self) -> tuple[str, str | None]:
        """The path in AWS's format, and AWS's name for a scalar in a list or map."""
        steps = self.steps
        nested = None
        if self.is_key or not isinstance(self.holder, StructureShape):
            if self.is_key:
                nested = "Map keys"
            elif isinstance(self.shape, StructureShape | ListShape | MapShape):
                raise NotImplementedError(f"AWS's words for {steps} are not known")
            else:
                nested = "Map value" if isinstance(self.holder, MapShape) else "Member"
            steps = steps[:-1]
        return ".".join(_said(step) for step in steps), nested


def _said(step: Step) -> str:
    if isinstance(step, int):
        return f"{step + 1}.member"
    return f"{step}.member" if isinstance(step, Key) else step


def _places_of(operation: str) -> Iterator[_Place]:
    shape = model().operation_model(operation).input_shape
    return iter(()) if shape is None else _places(shape, good_request(operation), ())


def _places(shape: Shape, value: Any, steps: tuple[Step, ...]) -> Iterator[_Place]:
    """All values in a good request, except structures in lists, which have no constraints."""
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield _Place(member, (*steps, name), shape)
            yield from _places(member, value[name], (*steps, name))
    elif isinstance(shape, ListShape):
        if not isinstance(shape.member, StructureShape):
            yield _Place(shape.member, (*steps, 0), shape)
        yield from _places(shape.member, value[0], (*steps, 0))
    elif isinstance(shape, MapShape):
        [key] = value
        inner = (*steps, Key(key))
        yield _Place(shape.key, inner, shape, is_key=True)
        if not isinstance(shape.value, StructureShape):
            yield _Place(shape.value, inner, shape)
        yield from _places(shape.value, value[key], inner)


def _good(shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        return {name: _good(member) for name, member in shape.members.items()}
    if isinstance(shape, ListShape):
        return [_good(shape.member)]
    if isinstance(shape, MapShape):
        return {_good(shape.key): _good(shape.value)}
    if isinstance(shape, StringShape):
        return _good_string(shape)
    plain = {"boolean": True, "timestamp": 1_800_000_000}
    return plain.get(shape.type_name, shape.metadata.get("min", 1))


def _good_string(shape: StringShape) -> str:
    candidates: list[str] = shape.enum or [*_SAMPLES, MARK * shape.metadata.get("min", 0), MARK[0]]
    return next(each for each in candidates if not _constraints(shape, each))


def _sized(shape: Shape, size: int) -> Any:
    """A value whose length is ``size``, or a number ``size``."""
    if isinstance(shape, ListShape):
        return [_good(shape.member) for _ in range(size)]
    if isinstance(shape, MapShape):
        return {f"{MARK}{number}": _good(shape.value) for number in range(size)}
    if not isinstance(shape, StringShape):
        return size
    sample = "" if shape.enum else _good_string(shape)
    filled = (sample + (MARK * size)) if len(sample) > len(MARK) else MARK * size
    return filled[:size]


def _without_pattern(rules: dict[str, Any]) -> str:
    shortest, longest = rules.get("min", 0), rules.get("max", 1000)
    candidates: list[str] = [each * (shortest // len(each) + 1) for each in _BREAKING]
    return next(
        each
        for each in candidates
        if not re.fullmatch(rules["pattern"], each) and shortest <= len(each) <= longest
    )


def _constraints(shape: Shape, value: Any = None) -> tuple[str, ...]:
    """The constraints of the shape itself that a value breaks, or all of them, in AWS's words."""
    rules, every = shape.metadata, value is None
    number = shape.type_name == "integer"
    what, size = ("value", value) if number else ("length", 0 if every else len(value))
    said = []
    if "max" in rules and (every or size > rules["max"]):
        said.append(f"Member must have {what} less than or equal to {rules['max']}")
    if "min" in rules and (every or size < rules["min"]):
        said.append(f"Member must have {what} greater than or equal to {rules['min']}")
    if "pattern" in rules and (every or not re.fullmatch(rules["pattern"], value)):
        said.append(f"Member must satisfy regular expression pattern: {rules['pattern']}")
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        said.append(f"Member must satisfy enum value set: [{', '.join(sorted(shape.enum))}]")
    return tuple(said)
