"""What moto finds out for every request, found out once; and what it never forgets, forgotten."""

import functools
import string
from collections.abc import Callable, Iterable
from typing import Any, cast

from jsonpath_ng import parser as jsonpath
from moto import backends
from moto.core import responses
from moto.core.base_backend import BackendDict
from moto.core.common_models import BaseModel
from moto.core.serialize import DEFAULT_ALIAS_PROVIDERS, XFormedAttributePicker
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.moto_api._internal.moto_random import MotoRandom
from moto.s3.models import FakeKey, FakeMultipart
from moto.sqs import models as sqs_models
from moto.stepfunctions.parser.asl.component.common.path import result_path

from local.aws.patch import replace

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


def install() -> None:
    """Put this in moto's place. Does nothing the second time."""
    if XFormedAttributePicker.get_possible_keys is possible_keys:
        return
    # moto tries a dozen names, and makes an object for each, for each member that an answer lacks.
    replace(XFormedAttributePicker, "get_possible_keys", possible_keys)
    # moto looks through all that a service has for the operations in it.
    replace(responses, "method_names_from_class", functools.cache(method_names_from_class))
    # moto keeps every message, item and parsed expression there ever was, for its dashboard.
    replace(BaseModel, "__new__", new_model)
    # moto looks into each of its folders for what answers a request.
    modules = tuple(backends.list_of_moto_modules())
    replace(backends, "list_of_moto_modules", lambda: modules)
    # moto makes a parser of paths for every state's ResultPath, which hardly ever says anything.
    replace(result_path, "parse", functools.lru_cache(1000)(jsonpath.parse))
    # moto takes its time for the id of each request, letter by letter, and for each name.
    replace(MotoRandom, "get_random_string", random_string)
    names = functools.lru_cache(1000)(camelcase_to_underscores)
    for module in (responses, sqs_models):
        replace(module, "camelcase_to_underscores", names)
    # moto looks, under a lock of all services, whether there is a backend yet.
    replace(BackendDict, "__getitem__", of_account)
