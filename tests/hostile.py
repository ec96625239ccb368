"""Generated hostile input for the tests of every suite.

`HYPOTHESIS_PROFILE=long` tries LONG times as many inputs. A normal run tries the same ones each
time.
"""

import copy
import functools
import json
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG = 40
LONG_RUN = os.environ.get("HYPOTHESIS_PROFILE") == "long"
# The limit of an EventBridge event and of an asynchronous invocation's payload.
MOST_BYTES = 256 * 1024

VICTIM = "99999999-9999-9999-9999-999999999999"
"""Another execution's job, whose row must not be changed."""

TEXTS = (
    "",
    " ",
    "\0",
    "a\nb",
    "\r\n\x1b[31m\x07",
    '"}\n{"level":"ERROR","message":"forged"}\n',
    "\ud800",
    "a\udfff\ud800b",
    "\ufeff\u202e\u2066gnp.exe\u2028\u2029",
    "日本 🚀 " + "e\u0301" * 20,
    "{% $states.input %}",
    "{% 1/0 %}",
    "{%",
    "$states.context.Task.Token",
    "States.Runtime",
    "$.job.nonce",
    "#status",
    ":one",
    "SET #status = :failed",
    "x = :x OR attribute_exists(jobId)",
    "${TableName} $(id) `id` %s %(message)s {} {0} {error}",
    "'; DROP TABLE jobs; -- <script>",
    "../../other",
    "/etc/passwd",
    "*",
    "NaN",
    "1e999",
    "0" * 400,
    "null",
    "[" * 100_000,
    '{"a":' * 30_000,
    "9" * 5000,
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "message",
    "args",
    "exc_info",
    "__class__",
    "jobId",
    "clientToken",
    "taskToken",
    VICTIM,
    f"acknowledger:Job:{VICTIM}",
    "States.Timeout",
    "x" * 257,
    "x" * 2049,
    "x" * 5001,
    "x" * 32_769,
    "é" * 60_000,
    "🚀" * 60_000,
    "x" * 250_000,
    '\\"' * 60_000,
)
"""Strings that have a meaning for some service on the way, or are too long for it."""

NUMBERS = (0, -1, 1.5, math.inf, -math.inf, 10**400, -(2**63), 2**53 + 1, 1e308, 5e-324)
"""Numbers that JSON can have; 1e999 is one, and Python reads it as infinity."""


def settled(tries: int) -> Callable[[Any], Any]:
    """The settings for this many tries, or more with `HYPOTHESIS_PROFILE=long`."""
    return settings(
        max_examples=tries * (LONG if LONG_RUN else 1),
        deadline=None,
        derandomize=not LONG_RUN,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def one_of(found: Sequence[Any]) -> st.SearchStrategy[Any]:
    """One of these, without printing them all as `sampled_from` would."""
    return st.integers(0, len(found) - 1).map(lambda index: found[index])


def texts() -> st.SearchStrategy[str]:
    return st.one_of(
        one_of(TEXTS),
        st.text(st.characters(exclude_categories=()), max_size=40),
        st.builds(lambda one, other: one + other, one_of(TEXTS), st.text(max_size=5)),
    )


def deep(levels: int, kind: type = list) -> Any:
    """Lists or objects nested to this many levels."""
    found: Any = 1
    for _ in range(levels):
        found = [found] if kind is list else {"a": found}
    return found


def values() -> st.SearchStrategy[Any]:
    """Any JSON."""
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(NUMBERS),
        st.integers(),
        st.floats(allow_nan=False),
        texts(),
    )
    return st.one_of(
        scalars,
        st.recursive(
            scalars,
            lambda inner: st.one_of(
                st.lists(inner, max_size=4), st.dictionaries(texts(), inner, max_size=4)
            ),
            max_leaves=8,
        ),
        st.builds(deep, st.sampled_from([3, 50, 400]), st.sampled_from([list, dict])),
        st.just({}),
        st.just([]),
    )


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    found = [at]
    if isinstance(value, dict):
        for name, member in value.items():
            found += places(member, (*at, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += places(member, (*at, index))
    return found


def mutated(*samples: Any, keep: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """A copy of a sample with one to three things in it changed.

    Args:
        keep: the names of members that don't change.
    """

    @st.composite
    def change(draw: st.DrawFn) -> Any:
        found = copy.deepcopy(draw(one_of(samples)))
        for _ in range(draw(st.integers(1, 3))):
            ways = [at for at in places(found)[1:] if not set(at) & set(keep)]
            if not ways:
                return draw(values())
            # Most paths are deep; half of the time, choose one near the top.
            near = [at for at in ways if len(at) == 1 or (len(at) == 2 and at[0] == "detail")]
            way = draw(one_of(draw(one_of((ways, near or ways)))))
            _change(draw, found, way, [at for at in ways if not _within(found, at, keep)])
        return found

    return change()


def _change(draw: st.DrawFn, found: Any, at: tuple[Any, ...], ways: list[tuple[Any, ...]]) -> None:
    *above, last = at
    holder = _at(found, above)
    old = holder[last]
    act = draw(
        st.sampled_from(["replace", "replace", "text", "remove", "wrap", "dump", "add", "swap"])
    )
    if act == "replace":
        holder[last] = draw(values())
    elif act == "text" and at in ways:
        text = draw(texts())
        holder[last] = draw(one_of([text, f"{old}{text}", f"{text}{old}"]))
    elif act == "remove":
        del holder[last]
    elif act == "wrap":
        holder[last] = draw(one_of([[old], {"S": old}, [old, old]]))
    elif act == "dump" and at in ways:
        holder[last] = json.dumps(old)
    elif act == "add" and isinstance(holder, dict):
        holder[draw(texts())] = draw(values())
    elif ways:
        holder[last] = copy.deepcopy(_at(found, draw(one_of(ways))))


def _at(value: Any, way: Sequence[Any]) -> Any:
    return functools.reduce(lambda found, step: found[step], way, value)


def _within(value: Any, way: Sequence[Any], names: tuple[str, ...]) -> bool:
    """Whether the value at a path contains a member with one of these names."""
    return any(set(at) & set(names) for at in places(_at(value, way)))


def fits(event: Any) -> bool:
    """Whether an event is within Lambda's size limit."""
    text = json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return len(text) <= MOST_BYTES
