"""A pytest plugin: moto has the local stack's replacements, and some tests may fail.

`accepted.txt` has reasons, each followed by the indented ids of the tests that fail for it. A test
in it that passes is reported as a failure, since its line is no longer true.
"""

from pathlib import Path
from typing import Any

import pytest

from local.aws import replaced
from local.aws.cloudformation import operations


def pytest_configure() -> None:
    replaced.install()
    # moto's tests don't acknowledge capabilities, which AWS and the local stack require.
    operations.check_capabilities = lambda *_: None  # type: ignore[attr-defined]


def accepted() -> dict[str, str]:
    """The reasons by the tests' ids."""
    reasons, reason = {}, ""
    for line in Path(__file__).with_name("accepted.txt").read_text().splitlines():
        if line.startswith("  "):
            reasons[line.strip()] = reason
        else:
            reason = line
    return reasons


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    reasons = accepted()
    for item in items:
        if reason := reasons.pop(item.nodeid, None):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    assert not reasons, f"moto has no such tests: {', '.join(reasons)}"
