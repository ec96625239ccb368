"""Checks a request against the limits in the AWS SDK's model of the API.

botocore checks types and required members before it sends, but no maximum, pattern or enum, and
its messages repeat the value. Here every broken limit is named, in CodePipeline's words, and no
value is ever repeated: it may be a client token.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any

from botocore.utils import parse_to_aware_datetime

from acknowledger.errors import ValidationException
from acknowledger.log import printable

# The longest message that CodePipeline takes for a failure.
MESSAGE_LENGTH = 5000
_TYPES: dict[str, tuple[str, Any]] = {
    "string": ("a string", (str,)),
    "integer": ("an integer", (int,)),
    "long": ("an integer", (int,)),
    "boolean": ("a boolean", (bool,)),
    "structure": ("an object", (dict,)),
    "map": ("an object", (dict,)),
    "list": ("a list", (list,)),
    "timestamp": ("a timestamp", (str, int, float)),
}


def validate(shape: Any, value: Any, also: Iterable[tuple[str, str]] = ()) -> None:
    """Raise one error that names every member of `value` that breaks a limit of `shape`.

    Args:
        shape: a botocore input shape, `client.meta.service_model.operation_model(…).input_shape`.
        value: the request as a dict with the API's member names.
        also: violations found elsewhere, to be reported with these.

    Raises:
        ValidationException: "N validation errors detected: Value at 'a.b' failed to satisfy
            constraint: …; …".
    """
    broken = [
        f"Value at '{path}' failed to satisfy constraint: {constraint}"
        for path, constraint in (*also, *violations(shape, value, ""))
    ]
    if broken:
        count = f"{len(broken)} validation error{'s' if len(broken) > 1 else ''} detected"
        raise ValidationException(message(f"{count}: {'; '.join(broken)}"))


def message(text: str) -> str:
    """A text, shortened and printable, as the message of a failure."""
    return printable(text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…")


def violations(shape: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every member at or below `path` that breaks a limit of `shape`, with the limit."""
    kind = shape.type_name
    named, types = _TYPES[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "boolean"):
        yield path or "request", f"Member must be {named}"
    elif kind == "structure":
        yield from _structure_violations(shape, value, path)
    elif kind == "map":
        yield from _size_violations(shape, len(value), path, "length")
        for key, item in value.items():
            where = f"{path}.{key}"
            yield from violations(shape.key, key, where)
            yield from violations(shape.value, item, where)
    elif kind == "list":
        yield from _size_violations(shape, len(value), path, "length")
        for index, item in enumerate(value, start=1):
            yield from violations(shape.member, item, f"{path}.{index}.member")
    elif kind == "string":
        yield from _string_violations(shape, value, path)
    elif kind == "timestamp":
        try:
            parse_to_aware_datetime(value).astimezone(UTC)
        except (OverflowError, RuntimeError, ValueError):
            yield path, "Member must be a timestamp"
    elif kind in ("integer", "long"):
        yield from _size_violations(shape, value, path, "value")


def _structure_violations(
    shape: Any, value: dict[str, Any], path: str
) -> Iterator[tuple[str, str]]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"{prefix}{name}", "Member must not be null"
    for name, item in value.items():
        if name in shape.members:
            if item is not None:
                yield from violations(shape.members[name], item, f"{prefix}{name}")
        elif not shape.is_document_type:
            yield f"{prefix}{name}", f"Member must be one of: {', '.join(shape.members)}"


def _string_violations(shape: Any, value: str, path: str) -> Iterator[tuple[str, str]]:
    limits = shape.metadata
    yield from _size_violations(shape, len(value), path, "length")
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        yield path, f"Member must satisfy regular expression pattern: {limits['pattern']}"
    if "enum" in limits and value not in limits["enum"]:
        yield path, f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"


def _size_violations(shape: Any, size: int, path: str, what: str) -> Iterator[tuple[str, str]]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield path, f"Member must have {what} greater than or equal to {least}"
    if most is not None and size > most:
        yield path, f"Member must have {what} less than or equal to {most}"
