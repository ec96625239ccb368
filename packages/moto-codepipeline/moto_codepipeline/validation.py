"""Checks a request against CodePipeline's service model, with AWS's error messages.

SDKs check little of it before they send a request, so the service has to. The model is botocore's:
there is no list of limits here. Recorded from CodePipeline: the phrases for null, pattern and enum;
several violations are joined with "; "; a value is never repeated; and all this is checked before
a resource is looked up. The phrases for lengths, ranges, list and map members, and those of
SerializationException are AWS's usual ones.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from .exceptions import SerializationError, UnknownOperationError, ValidationError

NEWER_MAXIMA = {"ActionConfigurationValue": 50_000}
"""Limits of the live service that are larger than the model's (reported, 2022 to 2025: its messages
say so)."""


@lru_cache(maxsize=1)
def service_model() -> ServiceModel:
    """botocore's model of CodePipeline, with the newer limits."""
    description = Loader().load_service_model("codepipeline", "service-2")
    for name, most in NEWER_MAXIMA.items():
        description["shapes"][name]["max"] = most
    return ServiceModel(description, "codepipeline")


@lru_cache(maxsize=64)
def _operation_model(operation: str) -> OperationModel:
    if operation not in service_model().operation_names:
        raise UnknownOperationError("The requested operation is not known to this service.")
    return service_model().operation_model(operation)


def read_request(operation: str, body: str | bytes) -> dict[str, Any]:
    """The request in ``body``, without null members.

    Raises UnknownOperationError, SerializationError or ValidationError.
    """
    shape = _operation_model(operation).input_shape
    try:
        request = json.loads(body, parse_constant=_refuse) if body else {}
    except (ValueError, RecursionError) as error:
        raise SerializationError("The request body is not valid JSON.") from error
    if not isinstance(request, dict):
        raise SerializationError("The request body is not a JSON object.")
    typed: dict[str, Any] = request if shape is None else _typed(shape, request)
    check(operation, typed)
    return typed


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def check(operation: str, request: dict[str, Any]) -> None:
    """Raise ValidationError if ``request`` breaks the model's constraints."""
    shape = _operation_model(operation).input_shape
    violations = list(_violations(shape, request, "")) if shape is not None else []
    if violations:
        errors = "error" if len(violations) == 1 else "errors"
        raise ValidationError(
            f"{len(violations)} validation {errors} detected: " + "; ".join(violations)
        )


_JSON_NAMES: dict[type, str] = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


_SCALARS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("String", lambda value: isinstance(value, str)),
    "integer": ("Integer", _is_whole),
    "long": ("Long", _is_whole),
    "boolean": ("Boolean", lambda value: isinstance(value, bool)),
    "timestamp": ("Timestamp", _is_number),
}


def _typed(shape: Shape, value: Any) -> Any:
    """``value`` without nulls, if its JSON types match ``shape``."""
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise SerializationError("Expected a structure.")
        members = shape.members
        return {
            name: _typed(members[name], member)
            for name, member in value.items()
            if member is not None and name in members
        }
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise SerializationError("Expected a map.")
        return {key: _typed(shape.value, item) for key, item in value.items() if item is not None}
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise SerializationError("Expected list or null")
        return [_typed(shape.member, item) for item in value if item is not None]
    return _scalar(shape, value)


def _scalar(shape: Shape, value: Any) -> Any:
    wanted, fits = _SCALARS[shape.type_name]
    if isinstance(value, dict):
        raise SerializationError("Start of structure or map found where not expected.")
    if isinstance(value, list):
        raise SerializationError("Start of list found where not expected")
    if not fits(value):
        found = f"{value}_VALUE".upper() if isinstance(value, bool) else _JSON_NAMES[type(value)]
        raise SerializationError(f"{found} cannot be converted to {wanted}")
    return value


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    for constraint in _broken(shape, value):
        yield f"Value at '{path}' failed to satisfy constraint: {constraint}"
    if isinstance(shape, StructureShape):
        yield from _member_violations(shape, value, path)
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value, start=1):
            if isinstance(shape.member, StructureShape):
                yield from _violations(shape.member, item, f"{path}.{index}.member")
            elif any(_broken(shape.member, item)):
                yield _nested(path, "Member", shape.member)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            if any(_broken(shape.key, key)):
                yield _nested(path, "Map keys", shape.key)
            if isinstance(shape.value, StructureShape):
                yield from _violations(shape.value, item, f"{path}.{key}.member")
            elif any(_broken(shape.value, item)):
                yield _nested(path, "Map value", shape.value)


def _member_violations(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        place = f"{path}.{name}" if path else name
        if name in value:
            yield from _violations(member, value[name], place)
        elif name in shape.required_members:
            yield f"Value at '{place}' failed to satisfy constraint: Member must not be null"


def _nested(path: str, what: str, shape: Shape) -> str:
    # Reported: the message has all constraints of such a value, not only the broken ones.
    constraints = ", ".join(text for text, _ in _constraints(shape, None))
    return (
        f"Value at '{path}' failed to satisfy constraint: "
        f"{what} must satisfy constraint: [{constraints}]"
    )


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints of ``shape`` itself, not of its members, that ``value`` breaks."""
    return (text for text, keeps in _constraints(shape, value) if not keeps)


def _constraints(shape: Shape, value: Any) -> Iterator[tuple[str, bool]]:
    """The constraints of ``shape`` itself, and whether ``value`` meets them."""
    rules = shape.metadata
    numeric = shape.type_name in ("integer", "long")
    what = "value" if numeric else "length"
    if numeric or shape.type_name in ("string", "list", "map"):
        measured = 0 if value is None else value if numeric else len(value)
        if "max" in rules:
            text = f"Member must have {what} less than or equal to {rules['max']}"
            yield text, measured <= rules["max"]
        if "min" in rules:
            text = f"Member must have {what} greater than or equal to {rules['min']}"
            yield text, measured >= rules["min"]
    if shape.type_name != "string":
        return
    if "pattern" in rules:
        text = f"Member must satisfy regular expression pattern: {rules['pattern']}"
        yield text, bool(re.fullmatch(rules["pattern"], value or ""))
    if rules.get("enum"):
        # Recorded: they are not in the model's order.
        shown = ", ".join(sorted(rules["enum"]))
        yield f"Member must satisfy enum value set: [{shown}]", value in rules["enum"]
