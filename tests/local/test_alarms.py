from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from local.aws.server import LocalCloud

METRIC = {
    "Namespace": "Ours",
    "MetricName": "Failures",
    "Dimensions": [{"Name": "a", "Value": "b"}],
}
ALARM = {
    **METRIC,
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture
def cloudwatch(cloud: LocalCloud) -> Iterator[Any]:
    client = cloud.client("cloudwatch")
    yield client
    client.delete_alarms(AlarmNames=["alarm", "other"])


def put_values(cloudwatch: Any, name: str, **values_by_age: float) -> None:
    """Put values of a metric; the name of each is its age in seconds, after an `s`."""
    now = datetime.now(UTC)
    cloudwatch.put_metric_data(
        Namespace="Ours",
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": METRIC["Dimensions"],
                "Timestamp": now - timedelta(seconds=int(age[1:])),
                "Value": value,
            }
            for age, value in values_by_age.items()
        ],
    )


def state(cloudwatch: Any, **asked: Any) -> tuple[str, str]:
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["alarm"], **asked)["MetricAlarms"]
    return alarm["StateValue"], alarm["StateReason"]


@pytest.mark.parametrize(
    ("values", "settings", "found", "reason"),
    [
        ({}, {}, "INSUFFICIENT_DATA", "Insufficient Data: there are no data points"),
        ({}, {"TreatMissingData": "notBreaching"}, "OK", "0 of the last 2 data points"),
        ({}, {"TreatMissingData": "breaching"}, "ALARM", "none, which counts as breaching"),
        ({"s20": 5, "s80": 7}, {}, "ALARM", "[5, 7] are greater than the threshold (1.0)"),
        ({"s20": 5, "s80": 1}, {}, "OK", "1 of the last 2 data points"),
        ({"s20": 5}, {}, "OK", "1 of the last 2 data points"),
        ({"s20": 5}, {"TreatMissingData": "breaching"}, "ALARM", "2 of the last 2 data points"),
        ({"s20": 5, "s80": 1}, {"DatapointsToAlarm": 1}, "ALARM", "1 of the last 2 data points"),
        ({"s20": 1, "s21": 1, "s80": 2}, {}, "ALARM", "[2, 2]"),
        ({"s20": 1, "s21": 1, "s80": 2}, {"Statistic": "Maximum"}, "OK", "1 of the last 2"),
        ({"s400": 9}, {}, "INSUFFICIENT_DATA", "there are no data points"),
    ],
)
def test_the_last_periods_decide_an_alarms_state(values, settings, found, reason, cloudwatch):
    name = f"Failures-{uuid4()}"
    if values:
        put_values(cloudwatch, name, **values)
    cloudwatch.put_metric_alarm(AlarmName="alarm", **{**ALARM, "MetricName": name, **settings})
    value, said = state(cloudwatch)
    assert (value, reason in said) == (found, True), said


def test_an_alarm_on_a_sum_of_metrics_is_evaluated_but_no_other_expression(cloudwatch):
    put_values(cloudwatch, "First", s10=1)
    put_values(cloudwatch, "Second", s10=1)
    stats = [
        {
            "Id": name.lower(),
            "ReturnData": False,
            "MetricStat": {"Stat": "Sum", "Period": 60, "Metric": {**METRIC, "MetricName": name}},
        }
        for name in ("First", "Second", "Third")
    ]
    rule = {
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    expression = "FILL(first, 0) + FILL(second, 0) + FILL(third, 0)"
    cloudwatch.put_metric_alarm(
        AlarmName="alarm", Metrics=[{"Id": "all", "Expression": expression}, *stats], **rule
    )
    assert state(cloudwatch)[0] == "ALARM"
    by_type = 'SELECT SUM(First) FROM SCHEMA("Ours", a) GROUP BY a ORDER BY SUM() DESC'
    for other in (
        [{"Id": "all", "Expression": "ANOMALY(first)"}, *stats],
        [{"Id": "all", "Expression": by_type, "Period": 300}],
    ):
        cloudwatch.put_metric_alarm(AlarmName="alarm", Metrics=other, **rule)
        assert state(cloudwatch) == (
            "INSUFFICIENT_DATA",
            "The local stack can't evaluate this alarm's expression",
        )


def test_alarms_are_found_by_several_filters_at_once(cloudwatch):
    put_values(cloudwatch, "Filtered", s10=5, s70=5)
    cloudwatch.put_metric_alarm(AlarmName="alarm", **{**ALARM, "MetricName": "Filtered"})
    cloudwatch.put_metric_alarm(AlarmName="other", **{**ALARM, "MetricName": "NoSuch"})

    def names(**filters: Any) -> list[str]:
        found = cloudwatch.describe_alarms(**filters)["MetricAlarms"]
        return [alarm["AlarmName"] for alarm in found]

    assert names(AlarmNamePrefix="al", StateValue="ALARM") == ["alarm"]
    assert names(AlarmNamePrefix="ot", StateValue="ALARM") == []
    assert names(StateValue="INSUFFICIENT_DATA", AlarmNames=["alarm", "other"]) == ["other"]
