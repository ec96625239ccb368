"""The alarms that would be deployed: each says what it means, and is about what there is."""

from __future__ import annotations

import re
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
    return [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if "MetricStat" in one]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_it_means_and_what_to_do_first(name):
    said, _, first = ALARMS[name]["AlarmDescription"].partition("First: ")
    assert said.strip()
    assert first.strip()


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_the_topic_when_it_fires_and_when_it_is_over(name):
    topic = [{"Fn::If": ["MakesAlarmTopic", {"Ref": "AlarmTopic"}, {"Ref": "AlarmTopicArn"}]}]
    assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == topic


def test_every_alarm_has_its_place_in_the_runbook_and_no_other_has():
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == set(ALARMS)


def test_every_queue_of_dead_letters_has_an_alarm_at_the_first_message():
    queues = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::SQS::Queue"}
    watched = {
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        for dimension in alarm.get("Dimensions", [])
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
    stats = ALARMS[name].get("Metrics", [])
    terms = {one["Id"] for one in stats if "MetricStat" in one}
    named = {term for one in stats for term in re.findall(r"\w+", one.get("Expression", ""))}
    assert named == terms
    assert all(one["ReturnData"] is False for one in stats if "MetricStat" in one)


def test_what_is_missing_is_bad_news_only_of_what_is_always_there():
    breaching = {name for name, one in ALARMS.items() if one["TreatMissingData"] == "breaching"}
    assert breaching == {"NoSweepAlarm"}


def test_a_metric_of_ours_is_of_the_function_that_counts_it():
    """With the dimension that Powertools gives it: the function's POWERTOOLS_SERVICE_NAME."""
    for alarm in ALARMS.values():
        for metric in metrics(alarm):
            if metric["Namespace"] == OWN:
                (dimension,) = metric["Dimensions"]
                assert dimension["Name"] == "service"
                function = RESOURCES[f"{dimension['Value']}Function"]["Properties"]
                variables = function["Environment"]["Variables"]
                assert variables["POWERTOOLS_SERVICE_NAME"] == dimension["Value"]


def test_an_alarm_of_ours_is_about_a_metric_that_is_counted():
    for alarm in ALARMS.values():
        for metric in metrics(alarm):
            if metric["Namespace"] == OWN:
                (dimension,) = metric["Dimensions"]
                assert (metric["MetricName"], dimension["Value"]) in documented_metrics()
