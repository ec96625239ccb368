"""The alarms of the template: each is described, documented, and watches metrics that exist."""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

from tests.support import ROOT, documented_metrics

TEMPLATE: Any = cfn_yaml.load(str(ROOT / "template.yaml"))
RESOURCES = TEMPLATE["Resources"]
ALARMS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
OWN = {"Ref": "AWS::StackName"}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def metrics(alarm: Any) -> list[Any]:
    """The metrics of an alarm, each with its namespace, name and dimensions."""
    if "MetricName" in alarm:
        return [alarm]
    return [one["MetricStat"]["Metric"] for one in terms_of(alarm) if "MetricStat" in one]


def terms_of(alarm: Any) -> list[Any]:
    """The terms of an alarm, by default."""
    return [one["Fn::If"][2] if "Fn::If" in one else one for one in alarm.get("Metrics", [])]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_it_means_and_what_to_do_first(name):
    said, _, first = ALARMS[name]["AlarmDescription"].partition("First: ")
    assert said.strip()
    assert first.strip()


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_notifies_the_topic_when_it_fires_and_when_it_is_over(name):
    topic = [{"Ref": "AlarmTopic"}]
    assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == topic
    # It also notifies if data that there had been are missing.
    missing = ALARMS[name].get("InsufficientDataActions", [])
    assert missing == (topic if ALARMS[name]["TreatMissingData"] == "missing" else [])


def test_the_runbook_has_a_section_for_each_alarm_and_no_other():
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == set(ALARMS)


def test_every_dead_letter_queue_has_an_alarm_at_the_first_message():
    queues = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::SQS::Queue"}
    watched = {
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        for metric in metrics(alarm)
        for dimension in metric["Dimensions"]
        if dimension["Name"] == "QueueName"
        and (alarm["Threshold"], alarm["EvaluationPeriods"]) == (0, 1)
    }
    assert watched == queues


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_is_watched(metric):
    functions = {
        name for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"
    }
    watched = {
        dimension["Value"]["Ref"]
        for alarm in ALARMS.values()
        for one in metrics(alarm)
        if one["MetricName"] == metric
        for dimension in one["Dimensions"]
    }
    assert watched == functions


@pytest.mark.parametrize("name", ALARMS)
def test_the_terms_of_an_expression_are_its_metrics(name):
    stats = terms_of(ALARMS[name])
    expression = "".join(one.get("Expression", "") for one in stats)
    terms = [one["Id"] for one in stats if "MetricStat" in one]
    if not expression:
        assert len(terms) <= 1
        return
    # A queue or function without data must not hide the others.
    assert expression == " + ".join(f"FILL({term}, 0)" for term in terms)
    assert all(one["ReturnData"] is False for one in stats if "MetricStat" in one)


def test_an_alarm_without_data_does_not_fire():
    """A new stack has no data. "breaching" would fire at once; "missing" notifies when data stop."""
    treated = {name: one["TreatMissingData"] for name, one in ALARMS.items()}
    assert treated == dict.fromkeys(ALARMS, "notBreaching") | {"NoSweepAlarm": "missing"}


@pytest.mark.parametrize("schedule", TEMPLATE["Parameters"]["PollSchedule"]["AllowedValues"])
def test_the_alarm_on_sweeps_waits_as_long_as_the_schedule_allows(schedule):
    equal = {
        name: {"Fn::Equals": [{"Ref": "PollSchedule"}, value]}
        for name, value in (("daily", "rate(1 day)"), ("minute", "rate(1 minute)"))
    }
    conditions = TEMPLATE["Conditions"]
    assert conditions["PollsDaily"] == equal["daily"]
    often = [one["Fn::Equals"][1] for one in conditions["PollsOften"]["Fn::Or"]]
    period = ALARMS["NoSweepAlarm"]["Period"]
    assert period == {"Fn::If": ["PollsOften", 300, {"Fn::If": ["PollsDaily", 86400, 3600]}]}
    seconds = 300 if schedule in often else 86400 if schedule == "rate(1 day)" else 3600
    assert seconds_of(schedule) <= seconds
    # CloudWatch evaluates one day at most, or a week if periods are an hour or longer.
    assert (
        seconds * ALARMS["NoSweepAlarm"]["EvaluationPeriods"]
        <= (7 if seconds >= 3600 else 1) * 86400
    )


def seconds_of(schedule):
    number, unit = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule).groups()
    return int(number) * {"minute": 60, "hour": 3600, "day": 86400}[unit]


def states(period, periods, sweeps, until):
    """An alarm's states, minute by minute, if sweeps were counted at these seconds only.

    CloudWatch evaluates the last whole periods; without any data the state is INSUFFICIENT_DATA.
    """
    counted = Counter(second // period for second in sweeps)
    for minute in range(0, until, 60):
        last = minute // period
        seen = [counted[n] for n in range(last - periods, last) if counted[n]]
        yield "OK" if seen else "INSUFFICIENT_DATA"


@pytest.mark.parametrize("schedule", TEMPLATE["Parameters"]["PollSchedule"]["AllowedValues"])
def test_the_alarm_on_sweeps_does_not_fire_until_sweeps_stop(schedule):
    """It notifies of INSUFFICIENT_DATA only after data: a new alarm starts in that state."""
    every = seconds_of(schedule)
    period = 300 if every <= 300 else 86400 if every == 86400 else 3600
    periods = ALARMS["NoSweepAlarm"]["EvaluationPeriods"]
    ceased = 10 * max(every, period)
    for begun in range(0, every, max(60, every // 12)):
        sweeps = range(begun, ceased, every)
        seen = [state for state, _ in groupby(states(period, periods, sweeps, 2 * ceased))]
        assert seen == ["INSUFFICIENT_DATA", "OK", "INSUFFICIENT_DATA"]


def test_metrics_by_action_type_have_an_alarm_that_names_the_type():
    (of_types,) = ALARMS["JobsTimedOutAlarm"]["Metrics"]
    condition, counted, _ = of_types["Fn::If"]
    assert condition == "CountsByActionType"
    assert counted["Expression"]["Fn::Sub"].endswith("GROUP BY action_type")


def test_the_cost_of_metrics_by_action_type_is_documented():
    """CloudWatch charges 0.30 USD a month for each metric."""
    told = [
        name
        for name, service in documented_metrics()
        if service == "Report" and re.match(r"Jobs|JobDuration|TimeIn", name)
    ]
    cost = f"{len(told) * 0.3:.2f} USD"
    description = TEMPLATE["Parameters"]["MetricsByActionType"]["Description"]
    assert f"up to {cost} a month for each type" in description
    assert f"up to {cost} for each action type" in (ROOT / "docs" / "metrics.md").read_text()


def test_the_service_of_a_metric_is_the_function_that_emits_it():
    """Powertools sets this dimension from the function's POWERTOOLS_SERVICE_NAME."""
    for alarm in ALARMS.values():
        for metric in metrics(alarm):
            if metric["Namespace"] == OWN:
                (dimension,) = metric["Dimensions"]
                assert dimension["Name"] == "service"
                function = RESOURCES[f"{dimension['Value']}Function"]["Properties"]
                variables = function["Environment"]["Variables"]
                assert variables["POWERTOOLS_SERVICE_NAME"] == dimension["Value"]


def test_an_alarm_on_a_metric_of_ours_is_on_a_documented_one():
    for alarm in ALARMS.values():
        for metric in metrics(alarm):
            if metric["Namespace"] == OWN:
                (dimension,) = metric["Dimensions"]
                assert (metric["MetricName"], dimension["Value"]) in documented_metrics()
