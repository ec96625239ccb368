"""What several test suites share."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PATIENCE = 6
#: The environment variables that the template gives the functions.
FUNCTIONS_ENVIRONMENT = {
    "ACTION_TYPES": "Custom/Build/Acknowledger/1,Custom/Test/Other/2",
    "QUERIES": "",
    "MAX_JOBS_IN_FLIGHT": "0",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:Job",
    "TABLE_NAME": "JobTable",
    "INTAKE_TABLE_NAME": "IntakeTable",
    "BUS_NAME": "JobBus",
    "CLIENT_TOKEN_PREFIX": "/acknowledger/client-tokens/",
    "ACKNOWLEDGE_TIMEOUT_SECONDS": "60",
    "HEARTBEAT_TIMEOUT_SECONDS": "900",
    "JOB_TIMEOUT_SECONDS": "3600",
    "CONTINUE_AFTER_SECONDS": "82800",
    "PROGRESS_INTERVAL_SECONDS": "60",
    "METRICS_BY_ACTION_TYPE": "false",
}


def documented_metrics() -> dict[tuple[str, str], str]:
    """The units of the metrics in docs/metrics.md, by name and service."""
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (\w+) \| (Count|Milliseconds|Seconds) \|",
        (ROOT / "docs" / "metrics.md").read_text(),
        re.MULTILINE,
    )
    return {
        (name, service): unit
        for names, service, unit in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def metrics_by_action_type() -> set[str]:
    """The metrics that also exist for each action type."""
    of_report = {name for name, service in documented_metrics() if service == "Report"}
    return of_report - {"ProgressShown"}


def load_event(name: str) -> Any:
    """A sample event by its path under events/, without .json."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def wait_for(condition: Callable[[], Any], what: str, seconds: float) -> Any:
    """The result of `condition` once it is true; fails with what it waited for.

    Args:
        seconds: the most that it takes on an idle machine. The wait is PATIENCE times as long.
    """
    seconds *= PATIENCE
    end, pause = time.monotonic() + seconds, 0.01
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} seconds for {what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.2)
    return found


def written_out(metrics: list[list[Any]]) -> list[list[Any]]:
    """A dashboard's metrics with each "." replaced by the value of the metric before."""
    found: list[list[Any]] = []
    for metric in metrics:
        before = found[-1] if found else metric
        found.append([before[n] if each == "." else each for n, each in enumerate(metric)])
    return found
