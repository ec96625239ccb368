"""Saves what moto does anew for every request, and frees what moto keeps forever.

The percentages in `replaced` are Python instructions.
"""

import functools
import string
from collections.abc import Callable
from typing import Any, cast

from moto.s3.models import FakeKey, FakeMultipart


def structure(moto_serialize: Callable[..., None]) -> Callable[..., None]:
    """Serialize only the members that a structure has, if all of them are named as in the API."""

    @functools.wraps(moto_serialize)
    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        made = getattr(self._value_picker, "response_transformers", None)  # of other services
        if made or type(value) is not dict or not value.keys() <= shape.members.keys():
            moto_serialize(self, serialized, value, shape, key)
            return
        members = self.MAP_TYPE() if key else serialized
        for name, member in shape.members.items():
            if name in value:
                member.parent = shape
                self._serialize_structure_member(members, value, member, name)
        if key:
            self._default_serialize(serialized, members, shape, key)

    return serialize


def random_string(
    self: Any, length: int = 20, include_digits: bool = True, lower_case: bool = False
) -> str:
    pool = string.ascii_letters + string.digits * include_digits
    text = "".join(self.choices(pool, k=length))
    return text.lower() if lower_case else text


def new_model(cls: type[Any], *_: Any, **__: Any) -> Any:
    """Make a moto object, and track it only if moto uses its list of such objects."""
    made = object.__new__(cls)
    if issubclass(cls, (FakeKey, FakeMultipart)):
        cast(Any, cls).instances_tracked.append(made)
    return made


cached = functools.cache
