"""What moto finds out anew for every request, found out once."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from moto.core import responses
from moto.core.serialize import DEFAULT_ALIAS_PROVIDERS, XFormedAttributePicker
from moto.core.utils import method_names_from_class

from local.patch import replace

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


def install() -> None:
    """Put this in moto's place. Does nothing the second time."""
    if XFormedAttributePicker.get_possible_keys is possible_keys:
        return
    # moto tries a dozen names, and makes an object for each, for each member that an answer lacks.
    replace(XFormedAttributePicker, "get_possible_keys", possible_keys)
    # moto looks through all that a service has for the operations in it.
    replace(responses, "method_names_from_class", functools.cache(method_names_from_class))
