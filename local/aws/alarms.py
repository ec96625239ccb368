"""CloudWatch alarms, whose state is computed when DescribeAlarms is called.

Periods end at the time of the call; on AWS they begin on whole minutes. The only metric math is a
sum of metrics whose gaps are filled with 0.
"""

import operator
import re
from datetime import datetime, timedelta
from typing import Any

from moto.cloudwatch.models import Statistics
from moto.core.responses import ActionResult
from moto.core.utils import utcnow

from local.aws import metrics

COMPARED = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
SUM = re.compile(r"FILL\((\w+), 0\)( \+ FILL\((\w+), 0\))*")


def describe_alarms(self: Any) -> ActionResult:
    """Replace moto's DescribeAlarms, which applies only one of several filters."""
    backend, now = self.cloudwatch_backend, utcnow()
    names, state = self._get_param("AlarmNames", []), self._get_param("StateValue")
    prefix, action = self._get_param("AlarmNamePrefix"), self._get_param("ActionPrefix")
    found: dict[bool, list[Any]] = {True: [], False: []}
    for alarm in backend.alarms.values():
        if alarm.rule is None:
            update(backend, alarm, now)
        actions = (*alarm.alarm_actions, *alarm.ok_actions)
        if (
            (not names or alarm.name in names)
            and (not prefix or alarm.name.startswith(prefix))
            and (not state or alarm.state_value == state)
            and (not action or any(each.startswith(action) for each in actions))
        ):
            found[alarm.rule is None].append(alarm)
    return ActionResult({"MetricAlarms": found[True], "CompositeAlarms": found[False]})


def update(backend: Any, alarm: Any, now: datetime) -> None:
    """Set an alarm's state according to its last periods."""
    state, reason = judge(backend, alarm, now)
    if (state, reason) != (alarm.state_value, alarm.state_reason):
        if state != alarm.state_value:
            alarm.state_updated_timestamp = now
        alarm.state_value, alarm.state_reason = state, reason


def judge(backend: Any, alarm: Any, now: datetime) -> tuple[str, str]:
    """An alarm's state and the reason for it."""
    if not is_known(alarm):
        return "INSUFFICIENT_DATA", "The local stack can't evaluate this alarm's expression"
    length = timedelta(seconds=int(period(alarm)))
    values = [
        figure(backend, alarm, now - length * (ago + 1), now - length * ago)
        for ago in range(int(alarm.evaluation_periods))
    ]
    compare = COMPARED[alarm.comparison_operator]
    there = [value for value in values if value is not None]
    breaching = [value for value in there if compare(value, alarm.threshold)]
    missing, treated = len(values) - len(there), alarm.treat_missing_data or "missing"
    needed = int(alarm.datapoints_to_alarm or len(values))
    if treated == "ignore" and missing:
        return alarm.state_value, alarm.state_reason
    if not there and treated == "missing":
        return "INSUFFICIENT_DATA", "Insufficient Data: there are no data points"
    counted = len(breaching) + (missing if treated == "breaching" else 0)
    told = f"{counted} of the last {len(values)} data points"
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", alarm.comparison_operator.removesuffix("Threshold"))
    rule = f"{words.lower()} the threshold ({alarm.threshold})"
    if counted >= needed:
        shown = ", ".join(f"{value:g}" for value in breaching) or "none, which counts as breaching"
        return "ALARM", f"Threshold Crossed: {told} [{shown}] are {rule}"
    return "OK", f"Threshold not crossed: {told} are {rule}"


def is_known(alarm: Any) -> bool:
    """Whether `figure` can compute the values of an alarm."""
    expressions = [one.expression for one in alarm.metric_data_queries if one.expression]
    return all(SUM.fullmatch(one) for one in expressions)


def period(alarm: Any) -> int:
    """The period of an alarm, in seconds."""
    stats = [one.metric_stat for one in alarm.metric_data_queries if one.metric_stat]
    return int(stats[0].period if stats else alarm.period)


def figure(backend: Any, alarm: Any, start: datetime, end: datetime) -> float | None:
    """An alarm's value in a period: a metric, or the sum of several; None without data."""
    if not alarm.metric_data_queries:
        stat = alarm.statistic or alarm.extended_statistic
        return statistic(backend, alarm, stat, start, end)
    values = [
        statistic(backend, one.metric_stat.metric, one.metric_stat.stat, start, end)
        for one in alarm.metric_data_queries
        if one.metric_stat
    ]
    there = [value for value in values if value is not None]
    return sum(there) if there else None


def statistic(backend: Any, metric: Any, stat: str, start: datetime, end: datetime) -> float | None:
    """A statistic of one metric; None without data."""
    dimensions = [
        one if isinstance(one, dict) else {"Name": one.name, "Value": one.value}
        for one in metric.dimensions or ()
    ]
    data = metrics.only(backend, metric.namespace, metric.metric_name, dimensions).get_all_metrics()
    chosen = [one for one in data if start <= one.timestamp < end]
    if not chosen:
        return None
    found = Statistics([stat], end)
    found.metric_data = chosen
    return float(found.get_statistics_for_type(stat) or 0)
