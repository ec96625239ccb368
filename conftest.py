from __future__ import annotations

import functools
import gc
import os
import signal
import zlib
from pathlib import Path

from local.aws import isolation, replaced

# Before anything is imported that reads the environment; tests name their region.
isolation.isolate(region=False)

import botocore.session
import moto.core.models
import pytest

# Powertools reads them when a function's modules are imported.
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "acknowledger"
os.environ["POWERTOOLS_SERVICE_NAME"] = "Acknowledger"

# moto keeps a great many objects, and looking through them for garbage takes a seventh of the time.
gc.set_threshold(100_000, 50, 100)

# moto forgets the SDK's session with every test, and a new one would read the services' models,
# megabytes of JSON, again.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# moto makes more than a thousand of them, always the same, each time that it is started.
moto.core.models.CallbackResponse = functools.cache(  # type: ignore[attr-defined, assignment]
    moto.core.models.CallbackResponse  # type: ignore[attr-defined]
)

# What moto finds out anew for every request.
replaced.install("once", "dynamodb")

# A shell leaves it ignored in what it starts in the background, and whatever is started here would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

OWNERS = ("Custom", "ThirdParty")
MOTO_CODEPIPELINE = Path(__file__).parent / "packages" / "moto-codepipeline"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if left_to_test_all(item):
            item.add_marker("slow")


def left_to_test_all(item: pytest.Item) -> bool:
    """Whether `make test` tries other cases of the test; they are the same in every run.

    Of a test of the whole stack or the state machine with both owners it tries one, and of the
    tests of moto-codepipeline, which are run by themselves where it is changed, one in three.
    """
    number = zlib.crc32(item.nodeid.encode())
    if MOTO_CODEPIPELINE in item.path.parents and number % 3:
        return True
    if sampled := item.get_closest_marker("sampled"):
        return number % int(sampled.args[0]) != 0
    given = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    for owner in (given.get("owners_world"), given.get("owner"), given.get("job")):
        if owner in OWNERS:
            return OWNERS[zlib.crc32(item.nodeid.replace(owner, "").encode()) % 2] != owner
    return False
