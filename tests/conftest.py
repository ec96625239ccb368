from __future__ import annotations

import functools
import gc
import os

import botocore.session
import pytest

# Powertools reads it when a function's module is imported.
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "acknowledger"


# moto keeps a great many objects, and looking through them for garbage takes a seventh of the time.
gc.set_threshold(100_000, 50, 100)

# moto forgets the SDK's session with every test, and a new one would read the services' models,
# megabytes of JSON, anew.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)


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
