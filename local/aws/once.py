"""What moto finds out for every request, found out once; and what it never forgets, forgotten."""

import functools
import string
from collections.abc import Callable, Iterable
from typing import Any, cast

from moto.core.base_backend import BackendDict
from moto.core.serialize import DEFAULT_ALIAS_PROVIDERS, XFormedAttributePicker
from moto.core.utils import camelcase_to_underscores
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


def random_string(
    self: Any, length: int = 20, include_digits: bool = True, lower_case: bool = False
) -> str:
    """Return letters, and digits, by chance."""
    letters = string.ascii_letters + string.digits * include_digits
    made = "".join(self.choices(letters, k=length))
    return made.lower() if lower_case else made


moto_getitem = BackendDict.__getitem__


def of_account(self: Any, account_id: str) -> Any:
    """Return an account's backends, which are made the first time."""
    try:
        return dict.__getitem__(self, account_id)
    except KeyError:
        return moto_getitem(self, account_id)


def new_model(cls: type[Any], *_: Any, **__: Any) -> Any:
    """Make an object of a service's, and keep track of it only where moto looks for it again."""
    made = object.__new__(cls)
    if issubclass(cls, (FakeKey, FakeMultipart)):
        cast(Any, cls).instances_tracked.append(made)
    return made


def found(list_modules: Callable[[], Iterable[str]]) -> Callable[[], Iterable[str]]:
    modules = tuple(list_modules())
    return lambda: modules


cached = functools.cache
remembered = functools.lru_cache(1000)
snake_case = functools.lru_cache(1000)(camelcase_to_underscores)
