"""The dashboard of the template shows every metric, alarm, queue and function."""

import json
import re
from typing import Any

import pytest

from tests.support import documented_metrics, written_out
from tests.template.test_alarms import ALARMS, OWN, RESOURCES, metrics

SOURCE = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
WIDGETS: list[dict[str, Any]] = json.loads(re.sub(r"\$\{([\w.:]+)\}", r"<\1>", SOURCE))["widgets"]
for _widget in WIDGETS:
    if "metrics" in _widget["properties"]:
        _widget["properties"]["metrics"] = written_out(_widget["properties"]["metrics"])
GRAPHS = {
    widget["properties"]["title"]: widget["properties"]
    for widget in WIDGETS
    if widget["type"] == "metric"
}
NAMESPACE = "<AWS::StackName>"
DOCUMENTED = documented_metrics()


def own(properties: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The name, service and axis of each metric of ours in a widget."""
    found = []
    for metric in properties["metrics"]:
        settings = metric[-1] if isinstance(metric[-1], dict) else {}
        if metric[0] == NAMESPACE:
            assert metric[2] == "service"
            found.append((metric[1], metric[3], settings.get("yAxis", "left")))
    return found


def test_the_widgets_fill_their_rows():
    """CloudWatch places widgets without a position in order, in 24 columns."""
    assert not [widget for widget in WIDGETS if {"x", "y"} & widget.keys()]
    assert [widget["width"] for widget in WIDGETS] == [24, *[8] * 12]


def test_every_alarm_is_on_the_dashboard():
    named = [
        arn
        for widget in WIDGETS
        if widget["type"] == "alarm"
        for arn in widget["properties"]["alarms"]
    ]
    assert sorted(named) == sorted(f"<{name}.Arn>" for name in ALARMS)


@pytest.mark.parametrize("title", GRAPHS)
def test_a_metric_is_documented_with_its_service_and_the_unit_of_its_axis(title):
    axes = GRAPHS[title].get("yAxis", {})
    for name, service, axis in own(GRAPHS[title]):
        label = axes.get(axis, {}).get("label", "count")
        assert DOCUMENTED[name, service] == label.capitalize()


@pytest.mark.parametrize("title", GRAPHS)
def test_the_lines_of_a_widget_have_different_labels(title):
    labels = []
    for metric in GRAPHS[title]["metrics"]:
        settings = metric[-1] if isinstance(metric[-1], dict) else {}
        if "expression" in settings:
            # CloudWatch labels the lines of a search itself.
            assert settings["expression"].startswith("SEARCH('{")
            continue
        labels.append(settings.get("label", metric[1]))
        assert settings.get("stat", GRAPHS[title].get("stat"))
    assert len(labels) == len(set(labels))


def test_every_documented_metric_is_shown_or_watched():
    shown = {name for properties in GRAPHS.values() for name, *_ in own(properties)}
    watched = {
        metric["MetricName"]
        for alarm in ALARMS.values()
        for metric in metrics(alarm)
        if metric["Namespace"] == OWN
    }
    assert {name for name, _ in DOCUMENTED} - shown - watched == set()


@pytest.mark.parametrize("kind", ["AWS::SQS::Queue", "AWS::Serverless::Function"])
def test_every_queue_and_function_is_on_the_dashboard(kind):
    suffix = ".QueueName" if kind == "AWS::SQS::Queue" else ""
    names = {f'"<{name}{suffix}>"' for name, one in RESOURCES.items() if one["Type"] == kind}
    searches = [
        metric[0]["expression"]
        for properties in GRAPHS.values()
        for metric in properties["metrics"]
        if isinstance(metric[0], dict)
    ]
    assert any(all(name in search for name in names) for search in searches)
