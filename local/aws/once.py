"""Caches what moto computes for every request, and frees what moto keeps forever.

`make bench` needs this for its jobs per second and memory. The reasons in `replaced` say how many
Python instructions each replacement saves.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, cast

from moto.core.serialize import DEFAULT_ALIAS_PROVIDERS, XFormedAttributePicker
from moto.s3.models import FakeKey, FakeMultipart

moto_keys: Callable[[Any, Any], Iterable[str]] = XFormedAttributePicker.get_possible_keys


def possible_keys(picker: Any, context: Any) -> Iterable[str]:
    """Return the possible names of a member of an answer; for a dict, only those that it has."""
    answer = context.obj
    if type(answer) is not dict or picker.alias_providers is not DEFAULT_ALIAS_PROVIDERS:
        return moto_keys(picker, context)
    names: dict[str, list[str]] = vars(context.shape).setdefault("possible_keys", {})
    if context.key not in names:
        names[context.key] = list(dict.fromkeys(moto_keys(picker, context)))
    # A name with a dot is the path to a nested member.
    return [name for name in names[context.key] if name in answer or "." in name]


def new_model(cls: type[Any], *_: Any, **__: Any) -> Any:
    """Make a moto object, and track it only if moto uses its list of such objects."""
    made = object.__new__(cls)
    if issubclass(cls, (FakeKey, FakeMultipart)):
        cast(Any, cls).instances_tracked.append(made)
    return made


cached = functools.cache
