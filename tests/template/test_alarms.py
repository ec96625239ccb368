"""The alarms of the template: each is described, documented, and watches metrics that exist."""

import re
from bisect import bisect_left
from itertools import groupby, pairwise
from operator import gt, lt
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

from tests.support import ROOT, documented_metrics, metrics_by_action_type

TEMPLATE: Any = cfn_yaml.load(str(ROOT / "template.yaml"))
RESOURCES = TEMPLATE["Resources"]
ALARMS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
OWN = {"Ref": "AWS::StackName"}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SCHEDULES = TEMPLATE["Parameters"]["PollSchedule"]["AllowedValues"]
#: That they are over means only that no other job followed.
OF_SINGLE_JOBS = {"ExecutionsEndedAlarm", "SlowAcknowledgmentsAlarm", "JobsTimedOutAlarm"}


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
    assert ALARMS[name]["AlarmActions"] == topic
    silent = OF_SINGLE_JOBS | {"NoSweepAlarm"}
    assert ALARMS[name].get("OKActions", []) == ([] if name in silent else topic)
    # It also notifies if data that there had been are missing.
    missing = ALARMS[name].get("InsufficientDataActions", [])
    assert missing == (topic if ALARMS[name]["TreatMissingData"] == "missing" else [])


def test_an_alarm_about_single_jobs_is_over_after_five_minutes_without_one():
    for name in OF_SINGLE_JOBS:
        alarm = ALARMS[name]
        periods = [one["MetricStat"]["Period"] for one in terms_of(alarm) if "MetricStat" in one]
        assert set(periods or [alarm["Period"]]) == {300}
        treated = (alarm["EvaluationPeriods"], alarm["TreatMissingData"])
        assert treated == (1, "notBreaching")


def test_a_new_alarm_notifies_nobody_of_being_ok():
    """PutMetricAlarm: a new alarm has INSUFFICIENT_DATA; the actions of its next state are executed.

    With "notBreaching" that is OK at once, when the new topic has no subscription yet.
    """
    assert not [one for one in RESOURCES.values() if one["Type"] == "AWS::SNS::Subscription"]
    assert "Subscription" not in RESOURCES["AlarmTopic"]["Properties"]
    later = {n for n, one in ALARMS.items() if one["TreatMissingData"] != "notBreaching"}
    assert not [name for name in later if "OKActions" in ALARMS[name]]


def test_the_runbook_has_a_section_for_each_alarm_and_no_other():
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == set(ALARMS)


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("ApproximateNumberOfMessagesVisible", "AWS::SQS::Queue"),
        ("Errors", "AWS::Serverless::Function"),
        ("Throttles", "AWS::Serverless::Function"),
    ],
)
def test_every_dead_letter_queue_and_function_is_watched(metric, kind):
    watching = [alarm for alarm in ALARMS.values() if metric in str(metrics(alarm))]
    watched = [
        dimension["Value"]
        for alarm in watching
        for one in metrics(alarm)
        if one["MetricName"] == metric
        for dimension in one["Dimensions"]
    ]
    names = {value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0] for value in watched}
    assert names == {name for name, one in RESOURCES.items() if one["Type"] == kind}
    if kind == "AWS::SQS::Queue":
        # The first message fires it.
        assert {(one["Threshold"], one["EvaluationPeriods"]) for one in watching} == {(0, 1)}


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


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_alarm_on_sweeps_waits_as_long_as_the_schedule_allows(schedule):
    seconds = period(ALARMS["NoSweepAlarm"], schedule)
    assert seconds_of(schedule) <= seconds
    # CloudWatch evaluates one day at most, or a week if periods are an hour or longer.
    assert (
        seconds * ALARMS["NoSweepAlarm"]["EvaluationPeriods"]
        <= (7 if seconds >= 3600 else 1) * 86400
    )


def period(alarm, schedule):
    """The period of an alarm with a schedule, in seconds."""
    given = alarm["Period"]
    while isinstance(given, dict):
        condition, yes, no = given["Fn::If"]
        given = yes if holds(TEMPLATE["Conditions"][condition], schedule) else no
    return given


def holds(condition, schedule):
    if "Fn::Or" in condition:
        return any(holds(one, schedule) for one in condition["Fn::Or"])
    parameter, value = condition["Fn::Equals"]
    assert parameter == {"Ref": "PollSchedule"}
    return schedule == value


def seconds_of(schedule):
    number, unit = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule).groups()
    return int(number) * {"minute": 60, "hour": 3600, "day": 86400}[unit]


def evaluated(name, schedule, data, until):
    """Each state of a new alarm whose window slides, which is the default, and its second.

    CloudWatch evaluates an alarm every minute, and every hour if its window is longer than a day.
    Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
    and https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation-window.html

    Args:
        data: the values counted, each with the second.
    """
    alarm, state = ALARMS[name], "INSUFFICIENT_DATA"
    length = period(alarm, schedule)
    statistic: Any = {"Sum": sum, "Maximum": max}[alarm["Statistic"]]
    data = sorted(data)
    seconds = [second for second, _ in data]
    compare = {"GreaterThanThreshold": gt, "LessThanThreshold": lt}[alarm["ComparisonOperator"]]
    given = alarm["Threshold"]
    threshold = TEMPLATE["Parameters"][given["Ref"]]["Default"] if "Ref" in str(given) else given
    needed = alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    window = length * alarm["EvaluationPeriods"]
    for second in range(0, until, 3600 if window > 86400 else 60):
        edges = [bisect_left(seconds, edge) for edge in range(second - window, second + 1, length)]
        values = [
            statistic(value for _, value in data[begin:end]) if begin < end else None
            for begin, end in pairwise(edges)
        ]
        breaching = [value is not None and compare(value, threshold) for value in values]
        bad, missing = breaching.count(True), values.count(None)
        if alarm["TreatMissingData"] == "missing" and missing == len(values):
            state = "INSUFFICIENT_DATA"
        elif alarm["TreatMissingData"] == "missing" and bad + missing == len(values):
            state = "ALARM" if breaching[0] else state
        else:
            state = "ALARM" if bad >= needed else "OK"
        yield second, state


def states(name, schedule, data, until):
    """How the state of a new alarm changes, as `evaluated` has it."""
    seen = [state for _, state in evaluated(name, schedule, data, until)]
    return [one for one, _ in groupby(["INSUFFICIENT_DATA", *seen])]


def starts(every):
    """When the first sweep may come, in seconds after the beginning of a period."""
    return range(0, every, max(60, every // 12))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("busy", [False, True])
def test_the_alarm_on_sweeps_does_not_fire_until_sweeps_stop(schedule, busy):
    """It notifies of INSUFFICIENT_DATA only after data: a new alarm starts in that state.

    On a busy stack, events make Intake count no sweep.
    """
    every, length = seconds_of(schedule), period(ALARMS["NoSweepAlarm"], schedule)
    ceased = 10 * max(every, length)
    for begun in starts(every):
        data = [(second, 1) for second in range(begun, ceased, every)]
        if busy:
            data += [(second, 0) for second in range(0, 2 * ceased, length // 3)]
        seen = states("NoSweepAlarm", schedule, data, 2 * ceased)
        assert seen == ["INSUFFICIENT_DATA", "OK", "ALARM" if busy else "INSUFFICIENT_DATA"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("name", "bad"), [("ActionTypesNotServedAlarm", 1), ("OldestJobAlarm", 90_000)]
)
def test_an_alarm_about_what_sweeps_find_lasts_from_sweep_to_sweep(name, bad, schedule):
    """Even if some sweeps begin a little earlier or later than others."""
    every, length = seconds_of(schedule), period(ALARMS[name], schedule)
    times = max(4, 1800 // every)
    for begun in starts(every):
        found = [0] * times + [bad] * times + [0] * times
        data = [(begun + n * every + (n % 3 - 1) * 7, value) for n, value in enumerate(found)]
        until = 3 * times * every + 4 * length
        assert states(name, schedule, data, until) == ["INSUFFICIENT_DATA", "OK", "ALARM", "OK"]
        first, *_, last = [second for second, value in data if value == bad]
        begins, *_, ends = [
            second for second, state in evaluated(name, schedule, data, until) if state == "ALARM"
        ]
        assert first <= begins <= first + length
        assert ends <= last + 2 * length


@pytest.mark.parametrize("name", ["ActionTypesNotServedAlarm", "OldestJobAlarm"])
def test_an_alarm_about_what_sweeps_find_is_over_without_sweeps(name):
    data = [(second, 100_000) for second in range(0, 3600, 60)]
    assert states(name, SCHEDULES[0], data, 7200)[-2:] == ["ALARM", "OK"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("name", "good"), [("NoSweepAlarm", 1), ("ActionTypesNotServedAlarm", 0), ("OldestJobAlarm", 0)]
)
def test_a_new_stack_in_which_nothing_is_wrong_is_quiet(name, good, schedule):
    """The first state of all comes before the new topic has a subscription."""
    every = seconds_of(schedule)
    actions = {
        "ALARM": "AlarmActions",
        "INSUFFICIENT_DATA": "InsufficientDataActions",
        "OK": "OKActions",
    }
    for begun in starts(every):
        data = [(second, good) for second in range(begun, 10 * every, every)]
        seen = [state for _, state in evaluated(name, schedule, data, 10 * every)]
        _, *changes = [state for state, _ in groupby(seen)]
        assert not [state for state in changes if actions[state] in ALARMS[name]]


def test_metrics_by_action_type_have_an_alarm_that_names_the_type():
    (of_types,) = ALARMS["JobsTimedOutAlarm"]["Metrics"]
    condition, counted, _ = of_types["Fn::If"]
    assert condition == "CountsByActionType"
    # CloudWatch requires both clauses of an alarm that judges several metrics.
    assert counted["Expression"]["Fn::Sub"].endswith("GROUP BY action_type ORDER BY SUM() DESC")


def test_the_cost_of_metrics_by_action_type_is_in_the_description():
    """CloudWatch charges 0.30 USD a month for each metric, and 0.10 for each that an alarm judges."""
    cost = f"{len(metrics_by_action_type()) * 0.3 + 0.1:.2f} USD"
    description = TEMPLATE["Parameters"]["MetricsByActionType"]["Description"]
    assert f"up to {cost} a month for each type" in description


def test_an_alarm_on_a_metric_of_ours_is_on_a_documented_one():
    for alarm in ALARMS.values():
        for metric in metrics(alarm):
            if metric["Namespace"] == OWN:
                (dimension,) = metric["Dimensions"]
                assert (metric["MetricName"], dimension["Value"]) in documented_metrics()
