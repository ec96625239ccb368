"""CloudWatch's alarms, evaluated on what the local stack has counted. Nothing here sends them."""

from __future__ import annotations

import operator
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from local.aws import metrics
from tests.integration.conftest import World

COMPARED = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
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
    alarms = world.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {names[alarm["AlarmName"]] for alarm in alarms if fires(world, alarm)}


def fires(world: World, alarm: dict[str, Any]) -> bool:
    value = figure(world, alarm)
    if value is None:
        # INSUFFICIENT_DATA, of which this tells too where there had been some.
        return bool(alarm["TreatMissingData"] in ("breaching", "missing"))
    return bool(COMPARED[alarm["ComparisonOperator"]](value, alarm["Threshold"]))


def figure(world: World, alarm: dict[str, Any]) -> float | None:
    """What an alarm compares: a metric, or the sum of several."""
    if not alarm.get("Metrics"):
        return statistic(world, alarm, alarm["Statistic"])
    if len(alarm["Metrics"]) == 1:
        (stat,) = (one["MetricStat"] for one in alarm["Metrics"])
        return statistic(world, stat["Metric"], stat["Stat"])
    (expression,) = [one["Expression"] for one in alarm["Metrics"] if one.get("Expression")]
    terms = {
        one["Id"]: statistic(world, one["MetricStat"]["Metric"], one["MetricStat"]["Stat"])
        for one in alarm["Metrics"]
        if "MetricStat" in one
    }
    found = [terms[term] for term in re.findall(r"FILL\((\w+), 0\)", expression)]
    return sum(each or 0 for each in found) if any(each is not None for each in found) else None


def statistic(world: World, metric: dict[str, Any], name: str) -> float | None:
    now = datetime.now(UTC)
    points = world.client("cloudwatch").get_metric_statistics(
        Namespace=metric["Namespace"],
        MetricName=metric["MetricName"],
        Dimensions=metric["Dimensions"],
        StartTime=now - WINDOW,
        EndTime=now + timedelta(minutes=1),
        Period=int(2 * WINDOW.total_seconds()),
        Statistics=[name],
    )["Datapoints"]
    return float(points[0][name]) if points else None
