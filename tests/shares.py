"""A pytest plugin that prints each suite's number of tests, CPU seconds and seconds.

The CPU time is that of the test process and of the child processes that it has waited for.
"""

import resource
from collections.abc import Generator
from pathlib import PurePosixPath

import pytest

used = 0.0


def processor() -> float:
    return sum(
        sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def pytest_runtest_logstart() -> None:
    global used  # noqa: PLW0603
    used = processor()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    global used
    report = yield
    before, used = used, processor()
    report.processor = used - before  # type: ignore[attr-defined]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    suites: dict[str, list[float]] = {}
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folder = str(PurePosixPath(report.nodeid.partition("::")[0]).parent)
                share = suites.setdefault(folder, [0, 0, 0])
                share[0] += report.when == "call"
                share[1] += report.processor
                share[2] += report.duration
    for name, (tests, processor_seconds, seconds) in sorted(suites.items()):
        terminalreporter.write_line(
            f"{name:24}{tests:6.0f} tests{processor_seconds:8.1f} s CPU{seconds:8.1f} s"
        )
