from __future__ import annotations

import functools
import gc
import os
import signal

import botocore.session
import botocore.useragent
import moto.core.models
import pytest

from local import once

# Powertools reads them when a function's modules are imported.
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "acknowledger"
os.environ["POWERTOOLS_SERVICE_NAME"] = "Acknowledger"

# moto keeps a great many objects, and looking through them for garbage takes a seventh of the time.
gc.set_threshold(100_000, 50, 100)

# moto forgets the SDK's session with every test, and a new one would read the services' models,
# megabytes of JSON, anew.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# The same few words go through it, letter by letter, with every request.
botocore.useragent.sanitize_user_agent_string_component = functools.cache(
    botocore.useragent.sanitize_user_agent_string_component
)

# moto makes more than a thousand of them, always the same, each time that it is started.
moto.core.models.CallbackResponse = functools.cache(moto.core.models.CallbackResponse)

once.install()

# A shell leaves it ignored in what it starts in the background, and whatever is started here would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried, since a service model with nothing in it would pass as well."""
    tried: dict[str, int] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", ()):
            if name == "tried":
                tried[value] = tried.get(value, 0) + 1
    if tried:
        shown = ", ".join(f"{count} {what}" for what, count in sorted(tried.items()))
        terminalreporter.write_line(f"CodePipeline's conformance: {shown}")
