"""Parameters of a template: reading them from a command line, and checking their values."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

_NAMED = re.compile(r"\w+=")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def split(text: str) -> list[str]:
    """Split a text such as `Schedule=rate(5 minutes) Most=3` into settings, each `Name=value`.

    A value ends where the next name begins, so it may contain spaces. Quotes work as in a shell.

    Raises:
        ValueError: a quote is not closed.
    """
    settings: list[str] = []
    for word in shlex.split(text):
        if settings and not _NAMED.match(word):
            settings[-1] += f" {word}"
        else:
            settings.append(word)
    return settings


def text(value: Any) -> str:
    """A scalar of a template as CloudFormation converts it to a string."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def constraint_problem(parameter: Mapping[str, Any], value: str) -> str | None:
    """What is wrong with a parameter's value according to its declaration; None if nothing is."""
    allowed = [text(one) for one in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"must be one of AllowedValues: [{', '.join(allowed)}]"
    pattern = parameter.get("AllowedPattern")
    # In a list, each value must match.
    values = value.split(",") if parameter.get("Type") == "CommaDelimitedList" else [value]
    if pattern is not None and not all(re.fullmatch(pattern, one.strip()) for one in values):
        return f"failed to satisfy constraint: must match pattern {pattern}"
    if parameter.get("Type") == "Number":
        if not _NUMBER.fullmatch(value):
            return "must be a number"
        number = float(value)
        if "MinValue" in parameter and number < float(parameter["MinValue"]):
            return f"must be a number not less than {parameter['MinValue']}"
        if "MaxValue" in parameter and number > float(parameter["MaxValue"]):
            return f"must be a number not greater than {parameter['MaxValue']}"
    return None
