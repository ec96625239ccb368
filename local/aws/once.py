"""What moto finds out for every request, found out once; and what it never forgets, forgotten.

`make bench` needs it, for jobs per second and for memory. The reasons in `replaced` have what each
saves, in Python's instructions.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, cast

from moto.core.serialize import DEFAULT_ALIAS_PROVIDERS, XFormedAttributePicker
from moto.s3.models import FakeKey, FakeMultipart

moto_keys: Callable[[Any, Any], Iterable[str]] = XFormedAttributePicker.get_possible_keys


def possible_keys(picker: Any, context: Any) -> Iterable[str]:
    """Return the names by which a member of an answer may be known; of a dict, those it has."""
    answer = context.obj
    if type(answer) is not dict or picker.alias_providers is not DEFAULT_ALIAS_PROVIDERS:
        return moto_keys(picker, context)
    names: dict[str, list[str]] = vars(context.shape).setdefault("possible_keys", {})
    if context.key not in names:
        names[context.key] = list(dict.fromkeys(moto_keys(picker, context)))
    # One with a dot is the way to a member of a member.
    return [name for name in names[context.key] if name in answer or "." in name]


def new_model(cls: type[Any], *_: Any, **__: Any) -> Any:
    """Make an object of a service's, and keep track of it only where moto looks for it again."""
    made = object.__new__(cls)
    if issubclass(cls, (FakeKey, FakeMultipart)):
        cast(Any, cls).instances_tracked.append(made)
    return made


cached = functools.cache
