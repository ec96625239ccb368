import functools
import gc
import os
import signal
import zlib

from local.aws import isolation

# This must come before imports that read the environment. Tests set their Region themselves.
isolation.isolate(region=False)

import botocore.session
import moto.core.models
import pytest

# Powertools reads these when a function's modules are imported.
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "acknowledger"
os.environ["POWERTOOLS_SERVICE_NAME"] = "Acknowledger"

# moto keeps very many objects, and collecting garbage among them would take a seventh of the time.
gc.set_threshold(100_000, 50, 100)

# moto discards the SDK's session after every test, and a new one would read the services' models,
# megabytes of JSON, again.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# moto creates more than a thousand of these, always the same, each time it starts.
moto.core.models.CallbackResponse = functools.cache(  # type: ignore[attr-defined, assignment]
    moto.core.models.CallbackResponse  # type: ignore[attr-defined]
)

# A shell ignores SIGINT in background processes, and processes started by tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

OWNERS = ("Custom", "ThirdParty")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if left_to_test_all(item):
            item.add_marker("slow")


def left_to_test_all(item: pytest.Item) -> bool:
    """Whether only `make test-all` runs this case; `make test` always runs the same others.

    Of the two owners in tests of the whole stack or the state machine, `make test` runs one.
    """
    if sampled := item.get_closest_marker("sampled"):
        return zlib.crc32(item.nodeid.encode()) % int(sampled.args[0]) != 0
    given = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    for owner in (given.get("owners_world"), given.get("owner"), given.get("job")):
        if owner in OWNERS:
            return OWNERS[zlib.crc32(item.nodeid.replace(owner, "").encode()) % 2] != owner
    return False
