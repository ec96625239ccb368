from collections.abc import Iterator

import pytest

from codepipeline_fixtures import Service, running_service


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A new service for actions of the owner that ``each_owner`` gives, or else custom actions."""
    with running_service(getattr(request, "param", "Custom")) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how much was tried, since an empty service model would pass as well."""
    tried: dict[str, int] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", ()):
            if name == "tried":
                tried[value] = tried.get(value, 0) + 1
    if tried:
        shown = ", ".join(f"{count} {what}" for what, count in sorted(tried.items()))
        terminalreporter.write_line(f"CodePipeline's conformance: {shown}")
