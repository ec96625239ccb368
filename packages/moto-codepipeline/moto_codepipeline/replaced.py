"""Replaces internals of another library, by a list that gives the reason for each.

A newer version of the library may have changed what is replaced. If something is missing, or
something new already exists, an error names it and the reason for its replacement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module, metadata
from inspect import getattr_static
from typing import Any, Literal

_done: set[Replaced] = set()


class ChangedError(ImportError):
    """The library has changed what is replaced."""


@dataclass(frozen=True)
class Replaced:
    """One replacement.

    ``what`` and ``by`` are a module, a colon and a name in it, which may have dots; ``by``'s module
    may be relative. ``how`` says what ``by`` is: the replacement (``instead``), a function that
    takes the original and returns a wrapper (``around``), or an addition (``new``).
    """

    what: str
    by: str
    why: str
    how: Literal["instead", "around", "new"] = "instead"


def put(replaced: Iterable[Replaced], package: str) -> None:
    """Make all replacements that are not made yet.

    ``package`` is the one to which ``by`` may be relative. Raises ChangedError for everything that
    the library has changed, before anything is replaced.
    """
    todo = [each for each in replaced if each not in _done]
    if changed := [text for each in todo if (text := _change(each))]:
        raise ChangedError("\n".join(changed))
    for each in todo:
        owner, name = _owner(each.what)
        replacement = getattr(*_owner(each.by, package))
        if each.how == "around":
            replacement = replacement(getattr(owner, name))
        if isinstance(getattr_static(owner, name, None), (classmethod, staticmethod)):
            replacement = staticmethod(replacement)
        setattr(owner, name, replacement)
        _done.add(each)


def _change(each: Replaced) -> str | None:
    """The error's text, if the library has changed."""
    try:
        owner, name = _owner(each.what)
        there = hasattr(owner, name)
    except (AttributeError, ImportError):
        there = False
    if there == (each.how != "new"):
        return None
    library = each.what.partition(".")[0].partition(":")[0]
    distributions = metadata.packages_distributions().get(library, [library])
    version = f"{library} {metadata.version(distributions[0])}"
    lost = "no longer has" if each.how != "new" else "has now"
    return f"{version} {lost} {each.what}: {each.why}"


def _owner(place: str, package: str | None = None) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    owner: Any = import_module(module, package)
    *outer, name = path.split(".")
    for each in outer:
        owner = getattr(owner, each)
    return owner, name
