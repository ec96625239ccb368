"""DynamoDB's expressions, as far as the product has them, on items as they are sent.

moto's own take many times as long, most of it to parse. A test holds these to them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any

Item = dict[str, Any]
#: Is given the item and `#names` and `:values` by what they stand for.
Evaluated = Callable[[Item, dict[str, Any]], Any]
_TOKEN = re.compile(r"\s*([(),=]|<=|>=|<>|[<>]|[#:\w.]+)")
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


class PathInvalid(Exception):
    """An update of a member of something that is not there."""


class _Tokens:
    def __init__(self, text: str) -> None:
        self._left = _TOKEN.findall(text)
        if "".join(self._left) != re.sub(r"\s", "", text):
            raise NotImplementedError(text)

    def peek(self) -> str:
        return self._left[0] if self._left else ""

    def take(self, *expected: str) -> str:
        token = self._left.pop(0)
        if expected and token not in expected:
            raise NotImplementedError(f"{token} for {' or '.join(expected)}")
        return str(token)

    def took(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.take()
        return True


@functools.cache
def condition(text: str) -> Evaluated:
    """A ConditionExpression."""
    tokens = _Tokens(text)
    found = _any(tokens)
    if tokens.peek():
        raise NotImplementedError(tokens.peek())
    return found


def _any(tokens: _Tokens) -> Evaluated:
    parts = [_all(tokens)]
    while tokens.took("OR"):
        parts.append(_all(tokens))
    return lambda item, given: any(part(item, given) for part in parts)


def _all(tokens: _Tokens) -> Evaluated:
    parts = [_one(tokens)]
    while tokens.took("AND"):
        parts.append(_one(tokens))
    return lambda item, given: all(part(item, given) for part in parts)


def _one(tokens: _Tokens) -> Evaluated:
    if tokens.took("("):
        inner = _any(tokens)
        tokens.take(")")
        return inner
    if tokens.peek() in ("attribute_exists", "attribute_not_exists"):
        wanted = tokens.take() == "attribute_exists"
        (place,) = _arguments(tokens)
        return lambda item, given: (_find(item, place, given) is not None) == wanted
    left = _operand(tokens)
    if tokens.took("IN"):
        places = [_reader(place) for place in _arguments(tokens)]
        return lambda item, given: left(item, given) in [each(item, given) for each in places]
    compare = _COMPARED[tokens.take()]
    right = _operand(tokens)

    def compared(item: Item, given: dict[str, Any]) -> bool:
        values = left(item, given), right(item, given)
        return None not in values and compare(*map(_plain, values))

    return compared


def _arguments(tokens: _Tokens) -> list[str]:
    tokens.take("(")
    found = [tokens.take()]
    while tokens.take(",", ")") == ",":
        found.append(tokens.take())
    return found


def _operand(tokens: _Tokens) -> Evaluated:
    name = tokens.take()
    if tokens.peek() != "(":
        return _reader(name)
    arguments = _arguments(tokens)
    readers = [_reader(each) for each in arguments]
    if name == "size":
        return lambda item, given: _size(readers[0](item, given))
    if name != "if_not_exists":
        raise NotImplementedError(name)

    def either(item: Item, given: dict[str, Any]) -> Any:
        found = readers[0](item, given)
        return readers[1](item, given) if found is None else found

    return either


def _reader(place: str) -> Evaluated:
    if place.startswith(":"):
        return lambda _, given: given[place]
    return lambda item, given: _find(item, place, given)


def _find(item: Item, place: str, given: dict[str, Any]) -> Any:
    found: Any = {"M": item}
    for name in place.split("."):
        found = found.get("M", {}).get(given.get(name, name))
        if found is None:
            return None
    return found


def _size(value: Any) -> Any:
    return None if value is None else {"N": str(len(next(iter(value.values()))))}


def _plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    return float(content) if kind == "N" else content


@functools.cache
def update(text: str) -> Callable[[Item, dict[str, Any]], Item]:
    """An UpdateExpression: gives the item as it is afterwards."""
    tokens, kind = _Tokens(text), ""
    changes: list[tuple[str, str, Evaluated]] = []
    while tokens.peek():
        if tokens.peek() in ("SET", "REMOVE", "ADD"):
            kind = tokens.take()
        place = tokens.take()
        value: Evaluated = lambda *_: None  # noqa: E731
        if kind == "SET":
            tokens.take("=")
        if kind in ("SET", "ADD"):
            value = _operand(tokens)
        changes.append((kind, place, value))
        tokens.took(",")

    def updated(item: Item, given: dict[str, Any]) -> Item:
        new = json.loads(json.dumps(item))
        for kind, place, value in changes:
            *outer, name = (given.get(each, each) for each in place.split("."))
            owner = new
            for each in outer:
                if "M" not in owner.get(each, {}):
                    raise PathInvalid(place)
                owner = owner[each]["M"]
            told = value(item, given)
            if kind == "REMOVE":
                owner.pop(name, None)
            elif kind == "ADD":
                before = int(owner.get(name, {"N": "0"})["N"])
                owner[name] = {"N": str(before + int(told["N"]))}
            elif told is None:
                raise PathInvalid(place)
            else:
                owner[name] = told
        return dict(new)

    return updated
