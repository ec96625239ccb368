"""JSONata as in Step Functions.

A library evaluates expressions. This adds Step Functions' own functions, and converts values from
and to JSON. https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import copy
import functools
import hashlib
import json
import math
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from jsonata.functions import Functions
from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from jsonata.utils import Utils


class EvaluationError(Exception):
    """The expression is invalid, or fails with these values; the message says why."""


class UndefinedError(EvaluationError):
    """The expression has no value."""


#: The library's null; its None means undefined.
NULL = Utils.NULL_VALUE


class Encoder(Functions.Encoder):  # type: ignore[misc]
    """JSON as JavaScript writes it, with no character escaped."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "ensure_ascii": False})


_PATH = re.compile(r"\$[A-Za-z]\w*(\.(?!(true|false|null)\b)[A-Za-z]\w*)+", re.ASCII)


@functools.lru_cache(maxsize=4096)
def parse(expression: str) -> Any:
    return Jsonata(expression)


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """Return the value of an expression as JSON. Raises EvaluationError.

    The variables are bound; they never become part of the expression's text.
    """
    if (value := _member(expression, variables)) is not None:
        return plain(value)
    values = {name: NULL if value is None else value for name, value in variables.items()}
    try:
        # All threads share a parsed expression, and each copies its small runtime state. The
        # library finds the running expression through CURRENT, for example in $now() and $map().
        running = copy.copy(parse(expression))
        running.output_convert_nulls = False
        Jsonata.CURRENT.jsonata = running
        result = running.evaluate(None, {**FUNCTIONS, **values})
    except JException as error:
        raise EvaluationError(
            f"threw an error during evaluation. {error.error}: {error}"
        ) from error
    except Exception as error:
        # The library also raises Python's own errors, for example for a function as a value.
        raise EvaluationError(f"threw an error during evaluation. {error}") from error
    if result is None:
        raise UndefinedError("returned nothing (undefined).")
    return plain(result)


def _member(expression: str, variables: Mapping[str, Any]) -> Any:
    """The value of a path through objects, such as `$states.input.name`; None for all else.

    Most expressions are such paths, and the library takes ten times as long for them.
    """
    value: Any = variables
    if _PATH.fullmatch(expression):
        for name in expression[1:].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str | int | float | dict):
            return value
    return None


def plain(value: Any) -> Any:
    """Return a result as JSON values."""
    if value is NULL:
        return None
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EvaluationError("returned a number that is not finite.")
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, Sequence):
        return [plain(member) for member in value]
    raise EvaluationError("returned an unsupported result type.")


def whole(text: str) -> str:
    """Return a text with surrogate pairs joined, which escapes in expressions can create."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _hash(value: Any, algorithm: str, *_: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(plain(value), separators=(",", ":"))
    return hashlib.new(algorithm.replace("-", "").lower(), text.encode()).hexdigest()


def _eval(*_: Any) -> Any:
    raise JException("T1006", 0)


#: The functions that Step Functions adds to JSONata, and `eval`, which it does not support.
FUNCTIONS = {
    name: Jsonata.JLambda(function)
    for name, function in {
        "parse": lambda text=None, *_: None if text is None else json.loads(text),
        "uuid": lambda *_: str(uuid.uuid4()),
        "random": lambda seed=None, *_: random.Random(seed).random(),
        "hash": _hash,
        "partition": lambda all_, size, *_: [all_[i : i + size] for i in range(0, len(all_), size)],
        "range": lambda a, b, step, *_: [*range(a, b + (1 if step > 0 else -1), step)],
        "eval": _eval,
    }.items()
}
