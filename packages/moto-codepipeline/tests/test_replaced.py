"""Replacements in a library, and the errors if the library has changed."""

import sys
from importlib import metadata
from types import ModuleType
from typing import Any

import pytest

from moto_codepipeline.replaced import ChangedError, Replaced, put


class Thing:
    def doubled(self) -> int:
        return 2

    @classmethod
    def made(cls) -> str:
        return "made"


def one_more(original: Any) -> Any:
    return lambda self: original(self) + 1


def ours() -> str:
    return "ours"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A library with one class, and its replacements."""
    module = ModuleType("library")
    fresh = type("Thing", (), {"doubled": Thing.doubled, "made": Thing.__dict__["made"]})
    vars(module).update(Thing=fresh, one_more=one_more, ours=ours)
    monkeypatch.setitem(sys.modules, "library", module)
    return module


def test_a_wrapper_gets_the_original_and_is_applied_once(here: Any) -> None:
    rows = [Replaced("library:Thing.doubled", "library:one_more", "one is missing", "around")]
    put(rows, "library")
    put(rows, "library")
    assert here.Thing().doubled() == 3


def test_a_replaced_class_method_still_needs_no_object(here: Any) -> None:
    put([Replaced("library:Thing.made", "library:ours", "it is not ours")], "library")
    assert here.Thing.made() == here.Thing().made() == "ours"


def test_every_change_of_a_newer_version_is_named_with_its_reason() -> None:
    rows = [
        Replaced("moto.s3.models:FakeBucket.gone", ".x:y", "it lost buckets"),
        Replaced("moto.nowhere:Class.method", ".x:y", "it was slow"),
        Replaced("moto.s3.models:FakeBucket", ".x:y", "it had no buckets", "new"),
    ]
    with pytest.raises(ChangedError) as caught:
        put(rows, "nothing")
    moto = f"moto {metadata.version('moto')}"
    assert str(caught.value).splitlines() == [
        f"{moto} no longer has moto.s3.models:FakeBucket.gone: it lost buckets",
        f"{moto} no longer has moto.nowhere:Class.method: it was slow",
        f"{moto} has now moto.s3.models:FakeBucket: it had no buckets",
    ]


def test_nothing_is_replaced_if_something_has_changed(here: Any) -> None:
    rows = [
        Replaced("library:Thing.made", "library:ours", "it is not ours, again"),
        Replaced("moto.nowhere:Class.method", ".x:y", "it was slow"),
    ]
    with pytest.raises(ChangedError):
        put(rows, "library")
    assert here.Thing.made() == "made"
