"""Reads and changes a Behaviour by name, for the command line and for HTTP.

Names and types are those of the dataclass: there is no list of switches here. A field that is a
function has no text, and can only be set from Python.
"""

import json
import math
from dataclasses import fields
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .behaviour import Behaviour


class SwitchError(ValueError):
    """The switch does not exist, or can't have this value. The message names both."""


@lru_cache(maxsize=1)
def switches() -> dict[str, Any]:
    """The type of each switch that has a text: bool, int, float, a Literal, or one of them | None.

    The smallest value of a number is the field's metadata ``minimum``, or else 0.
    """
    types = get_type_hints(Behaviour)
    simple = (bool, int, float)
    return {
        each.name: types[each.name]
        for each in fields(Behaviour)
        if types[each.name] in simple or get_origin(types[each.name]) in (Literal, UnionType)
    }


def values(behaviour: Behaviour) -> dict[str, Any]:
    """The present value of each switch, as in JSON."""
    return {name: getattr(behaviour, name) for name in switches()}


def change(behaviour: Behaviour, changes: dict[str, Any]) -> None:
    """Set switches to values as in JSON. All are checked first. Raises SwitchError."""
    for name, value in changes.items():
        if name not in switches():
            raise SwitchError(f"There is no switch {name!r}; there are {', '.join(switches())}")
        if not _fits(name, switches()[name], value):
            raise SwitchError(f"{name} must be {allowed(name)}, not {json.dumps(value)}")
    for name, value in changes.items():
        setattr(behaviour, name, value)


def read(settings: list[str]) -> dict[str, Any]:
    """The changes, for ``change``, in texts of the form ``name=value``. Raises SwitchError.

    A value is JSON, or a bare word: ``status`` needs no quotes; ``False`` and ``None`` are allowed.
    """
    changes = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise SwitchError(f"{setting!r} is not of the form name=value")
        changes[name.strip()] = _value(text.strip())
    return changes


def allowed(name: str) -> str:
    """The allowed values of a switch: ``true or false``, ``a whole number from 1, or null``."""
    return _words(switches()[name], _minimum(name))


def choices(name: str) -> list[Any] | None:
    """The allowed values of a switch, if they can be listed."""
    kind = switches()[name]
    if kind is bool:
        return [True, False]
    return list(get_args(kind)) if get_origin(kind) is Literal else None


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _minimum(name: str) -> float:
    [minimum] = [each.metadata.get("minimum", 0) for each in fields(Behaviour) if each.name == name]
    return float(minimum)


def _fits(name: str, kind: Any, value: Any) -> bool:
    if get_origin(kind) is UnionType:
        return any(_fits(name, each, value) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind in (bool, type(None)):
        return isinstance(value, kind)
    number = isinstance(value, int if kind is int else int | float)
    return (
        number
        and not isinstance(value, bool)
        and math.isfinite(value)
        and bool(value >= _minimum(name))
    )


def _words(kind: Any, minimum: float) -> str:
    if get_origin(kind) is UnionType:
        return ", or ".join(_words(each, minimum) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(json.dumps(each) for each in get_args(kind))
    if kind is bool:
        return "true or false"
    if kind is int:
        return f"a whole number from {minimum:g}"
    return f"a number from {minimum:g}" if kind is float else "null"
