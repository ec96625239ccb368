"""CloudWatch Logs filter patterns for FilterLogEvents and `aws logs tail`.

moto supports words and one phrase, and lets any other pattern match everything. This supports, of
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html

- terms: `ERROR` and `"a phrase"`, all of which a message must contain; `?this ?that`, at least one
  of which it must contain; `-that`, which it must not contain;
- for JSON objects: `{ $.job_id = "x*" && ($.ms > 5 || $.list[0] != 1) }`, with `IS NULL`,
  `IS TRUE`, `IS FALSE` and `NOT EXISTS`.

Regular expressions (`%…%`) and the columns of space-delimited messages (`[…]`) get
InvalidParameterException.
"""

import json
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from moto.logs.exceptions import InvalidParameterException

Condition = Callable[[Any], bool]

TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))')
TOKEN = re.compile(
    r"""\s*(?:(?P<field>\$(?:\.[\w-]+|\[\d+\]|\['[^']+'\])+)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<sign>&&|\|\||!=|<=|>=|[=<>()])
    |(?P<word>[\w*.+-]+))""",
    re.VERBOSE,
)
MISSING = object()
COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


class FilterPattern:
    """A parsed pattern that matches messages; raises InvalidParameterException."""

    def __init__(self, pattern: str | None) -> None:
        pattern = (pattern or "").strip()
        if pattern.startswith("{") and pattern.endswith("}"):
            fits = Conditions(pattern).read()
            self.matches: Callable[[str], bool] = lambda message: fits(parsed(message))
        elif pattern.startswith(("[", "%", "{")):
            raise invalid(pattern)
        else:
            self.matches = terms(pattern)


def invalid(pattern: str) -> InvalidParameterException:
    return InvalidParameterException(f"Invalid or unsupported filter pattern: {pattern}")


def parsed(message: str) -> Any:
    try:
        return json.loads(message) if message.startswith("{") else MISSING
    except (ValueError, RecursionError):
        return MISSING


def terms(pattern: str) -> Callable[[str], bool]:
    found: dict[str, list[str]] = {"": [], "?": [], "-": []}
    for sign, phrase, word in TERM.findall(pattern):
        found[sign].append(re.sub(r"\\(.)", r"\1", phrase) or word)

    def matches(message: str) -> bool:
        return (
            all(term in message for term in found[""])
            and not any(term in message for term in found["-"])
            and (not found["?"] or any(term in message for term in found["?"]))
        )

    return matches


class Conditions:
    """Parses a JSON pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        inner = pattern[1:-1]
        self._tokens = list(TOKEN.finditer(inner))
        if TOKEN.sub("", inner).strip():
            raise invalid(pattern)

    def read(self) -> Condition:
        condition = self._read_either()
        if self._tokens:
            raise invalid(self._pattern)
        return condition

    def _take(self, *wanted: str) -> str:
        if self._tokens and self._tokens[0][0].strip().upper() in wanted:
            return self._tokens.pop(0)[0].strip().upper()
        return ""

    def _need(self, *kinds: str) -> str:
        if not self._tokens or self._tokens[0].lastgroup not in kinds:
            raise invalid(self._pattern)
        return self._tokens.pop(0)[0].strip()

    def _read_either(self) -> Condition:
        conditions = [self._read_all()]
        while self._take("||"):
            conditions.append(self._read_all())
        return lambda message: any(condition(message) for condition in conditions)

    def _read_all(self) -> Condition:
        conditions = [self._read_one()]
        while self._take("&&"):
            conditions.append(self._read_one())
        return lambda message: all(condition(message) for condition in conditions)

    def _read_one(self) -> Condition:
        if self._take("("):
            condition = self._read_either()
            if not self._take(")"):
                raise invalid(self._pattern)
            return condition
        field = re.findall(r"\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]", self._need("field"))
        path = [int(index) if index else name or quoted for name, index, quoted in field]
        if self._take("IS"):
            wanted = {"NULL": None, "TRUE": True, "FALSE": False}
            if (word := self._need("word").upper()) not in wanted:
                raise invalid(self._pattern)
            return lambda message: at(message, path) is wanted[word]
        if self._take("NOT"):
            if not self._take("EXISTS"):
                raise invalid(self._pattern)
            return lambda message: message is not MISSING and at(message, path) is MISSING
        return self._read_comparison(path)

    def _read_comparison(self, path: list[int | str]) -> Condition:
        sign = self._need("sign")
        value = self._need("string", "word")
        if sign in COMPARED:
            try:
                limit = float(value)
            except ValueError:
                raise invalid(self._pattern) from None
            holds = COMPARED[sign]
            return lambda message: is_number(at(message, path)) and holds(at(message, path), limit)
        if sign not in ("=", "!="):
            raise invalid(self._pattern)

        def matches(message: Any) -> bool:
            found = at(message, path)
            return found is not MISSING and equal(found, value) == (sign == "=")

        return matches


def at(message: Any, path: list[Any]) -> Any:
    """Return the value at a path in JSON, or MISSING."""
    for step in path:
        if not isinstance(message, list if isinstance(step, int) else dict):
            return MISSING
        try:
            message = message[step]
        except (KeyError, IndexError):
            return MISSING
    return message


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(found: Any, wanted: str) -> bool:
    """Return whether a value equals that of a pattern, in which * matches any text."""
    if is_number(found):
        try:
            return bool(found == float(wanted.strip('"')))
        except ValueError:
            return False
    if not isinstance(found, str):
        return False
    if wanted.startswith('"'):
        wanted = re.sub(r"\\(.)", r"\1", wanted[1:-1])
    literal = wanted.replace("[", "[[]").replace("?", "[?]")
    return fnmatchcase(found, literal)


def filter_log_events(
    self: Any, start_time: int | None, end_time: int | None, filter_pattern: str | None
) -> list[dict[str, Any]]:
    """Return the matching events of a log stream, oldest first."""
    pattern = FilterPattern(filter_pattern)
    found = [
        event
        for event in list(self.events)
        if (not start_time or event.timestamp >= start_time)
        and (not end_time or event.timestamp <= end_time)
        and pattern.matches(event.message)
    ]
    found.sort(key=lambda event: int(event.timestamp))
    return [{**event.to_filter_dict(), "logStreamName": self.log_stream_name} for event in found]
