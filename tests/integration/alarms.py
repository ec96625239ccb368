"""CloudWatch's alarms, evaluated on what the local stack has counted. Nothing here sends them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.utils import utcnow

from local.aws import alarms, metrics
from tests.integration.conftest import World

#: For each function an event that it gives up.
DEAD_LETTERS = {
    "Intake": "bad/intake-not-ours",
    "Acknowledge": "bad/acknowledge-nonce-missing",
    "Report": "bad/report-outcome",
    "Stop": "bad/stop-action-state",
}
#: CloudWatch's data points lie on whole periods; so long is what was counted in one here.
WINDOW = timedelta(hours=1)


def firing(world: World) -> set[str]:
    """The alarms, by the names in the template, that would fire if it went on like this.

    All that was counted in the last hour is one data point, and stands for as many as are asked for.
    """
    metrics.sample_queues()
    names = {
        physical: logical
        for logical, physical in world.stack.resources.items()
        if logical.endswith("Alarm")
    }
    made = list(backend(world).alarms.values())
    return {names[alarm.name] for alarm in made if fires(world, alarm)}


def fires(world: World, alarm: Any) -> bool:
    value = figure(world, alarm)
    if value is None:
        # INSUFFICIENT_DATA, of which this tells too where there had been some.
        return bool(alarm.treat_missing_data in ("breaching", "missing"))
    return bool(alarms.COMPARED[alarm.comparison_operator](value, alarm.threshold))


def figure(world: World, alarm: Any) -> float | None:
    """What an alarm compares, of the last hour."""
    now = utcnow()
    end = now + timedelta(minutes=1)
    return alarms.figure(backend(world), alarm, now - WINDOW, end)


def backend(world: World) -> Any:
    return cloudwatch_backends[world.cloud.account_id][world.cloud.region]
