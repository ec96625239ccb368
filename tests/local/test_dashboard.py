"""tools/dashboard.py draws what CloudWatch has of a dashboard, as a picture that opens anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import ACCOUNT, REGION, running
from tools import dashboard

SVG = "{http://www.w3.org/2000/svg}"
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:"
WIDGETS = [
    {"type": "alarm", "properties": {"title": "Wrong?", "alarms": [f"{ALARM}shop-Late", f"{ALARM}shop-Lost"]}},
    {
        "type": "metric",
        "properties": {
            "title": "Orders <all>",
            "stat": "Sum",
            "period": 60,
            "yAxis": {"left": {"label": "orders"}, "right": {"label": "seconds"}},
            "annotations": {"horizontal": [{"label": "too many", "value": 80}]},
            "metrics": [
                ["Shop", "Orders", "service", "till", {"color": "#123456"}],
                ["Shop", "Wait", "service", "till", {"stat": "p90", "label": "nine of ten", "yAxis": "right"}],
                ["Shop", "Never", "service", "till"],
            ],
        },
    },
    {
        "type": "metric",
        "properties": {
            "title": "Ends",
            "stat": "Sum",
            "period": 60,
            "stacked": True,
            "metrics": [["Shop", "Orders", "service", "till"], ["Shop", "Wait", "service", "till"]],
        },
    },
    {"type": "metric", "properties": {"title": "Nothing", "period": 60, "metrics": [["Shop", "Never"]]}},
]  # fmt: skip


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with running() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def drawn(cloud: LocalCloud) -> ET.Element:
    """The picture of ten minutes: data in the minutes 9 to 7 and 4 to 3 ago, and one in the 6th."""
    cloudwatch = cloud.client("cloudwatch")
    for number, widget in enumerate(WIDGETS):
        widget |= {"x": 0, "y": 6 * number, "width": 12, "height": 6}
    body = json.dumps({"widgets": WIDGETS})
    cloudwatch.put_dashboard(DashboardName="shop", DashboardBody=body)
    for name, state in (("shop-Late", "OK"), ("shop-Lost", "ALARM")):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="Shop",
            MetricName="Orders",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="so")
    now = datetime.now(UTC)
    end = dashboard.Span.until(now, 10, 60).end
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "service", "Value": "till"}],
            "Timestamp": datetime.fromtimestamp(end - 60 * ago + 5, UTC),
            "Value": value,
        }
        for ago in (9, 8, 7, 5, 3, 2)
        for name, value in (("Orders", 40), ("Wait", 1), ("Wait", 9))
    ]
    cloudwatch.put_metric_data(Namespace="Shop", MetricData=data)
    return ET.fromstring(dashboard.draw(cloudwatch, "shop", now, 10, None))  # noqa: S314 - our own


def inside(drawn: ET.Element, title: str) -> ET.Element:
    """The widget with a title."""
    [widget] = [group for group in drawn.iter(f"{SVG}g") if title in words(group)]
    return widget


def words(widget: ET.Element) -> list[str]:
    return ["".join(each.itertext()) for each in widget.iter(f"{SVG}text")]


def test_a_graph_has_its_title_axes_limit_and_legend(drawn: ET.Element) -> None:
    found = words(inside(drawn, "Orders <all>"))
    assert {"orders", "seconds", "too many", "Orders", "nine of ten", "Never"} <= set(found)
    assert {"0", "20", "40", "60", "80"} <= set(found)
    assert {"0", "5", "10"} <= set(found)


def test_what_is_missing_is_a_gap_and_what_stands_alone_a_point(drawn: ET.Element) -> None:
    widget = inside(drawn, "Orders <all>")
    lines = [each for each in widget.iter(f"{SVG}polyline") if each.get("stroke") == "#123456"]
    assert [len(str(line.get("points")).split()) for line in lines] == [3, 2]
    points = [each for each in widget.iter(f"{SVG}circle") if each.get("fill") == "#123456"]
    assert len(points) == 1


def heights(widget: ET.Element, colour: str) -> set[float]:
    return {
        float(point.split(",")[1])
        for line in widget.iter(f"{SVG}polyline")
        if line.get("stroke") == colour
        for point in str(line.get("points")).split()
    }


def test_each_axis_has_a_scale_of_its_own(drawn: ET.Element) -> None:
    widget = inside(drawn, "Orders <all>")
    # 40 of 80, and 9 of 10.
    [orders], [wait] = heights(widget, "#123456"), heights(widget, dashboard.COLOURS[1])
    top, bottom = 50, 50 + (6 * dashboard.ROW - dashboard.GAP) - 50 - 30 - 16
    assert orders == pytest.approx((top + bottom) / 2, abs=0.1)
    assert wait == pytest.approx(top + (bottom - top) / 10, abs=0.1)


def test_what_is_stacked_stands_on_what_is_below_it(drawn: ET.Element) -> None:
    widget = inside(drawn, "Ends")
    [orders], [wait] = heights(widget, dashboard.COLOURS[0]), heights(widget, dashboard.COLOURS[1])
    assert wait < orders
    assert len(list(widget.iter(f"{SVG}polygon"))) == 4
    assert "60" in words(widget)


def test_alarms_have_their_names_and_states(drawn: ET.Element) -> None:
    found = words(inside(drawn, "Wrong?"))
    assert found == ["Wrong?", "Late", "OK", "Lost", "In alarm"]


def test_a_graph_without_data_says_so(drawn: ET.Element) -> None:
    assert "No data" in words(inside(drawn, "Nothing"))
    assert "No data" not in words(inside(drawn, "Ends"))


def test_a_dashboard_that_is_not_there_ends_with_1(
    cloud: LocalCloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"AWS_ENDPOINT_URL": cloud.endpoint_url, "AWS_REGION": REGION}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        settings[name] = "local"
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert dashboard.main(["--stack", "none"]) == 1
    assert "Dashboard does not exist" in capsys.readouterr().err
    assert dashboard.main(["--stack", "shop", "--minutes", "2", "--period", "10"]) == 0
    assert capsys.readouterr().out.startswith("<svg ")


@pytest.mark.parametrize(
    ("highest", "marks"),
    [
        (0, [0, 0.5, 1]),
        (1, [0, 0.5, 1]),
        (3, [0, 1, 2, 3]),
        (4.2, [0, 2, 4, 6]),
        (60_000, [0, 20_000, 40_000, 60_000]),
        (0.02, [0, 0.005, 0.01, 0.015, 0.02]),
    ],
)
def test_the_marks_of_an_axis_are_round_and_reach_the_highest(
    highest: float, marks: list[float]
) -> None:
    assert dashboard.ticks(highest) == pytest.approx(marks)
