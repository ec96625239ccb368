#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["boto3"]
# ///
# ruff: noqa: T201 - it is a command: what it prints is what it is for
"""Draw a stack's dashboard as one picture (SVG), from what CloudWatch has of it.

    python tools/dashboard.py --stack acknowledger > dashboard.svg
    python tools/dashboard.py --minutes 10 --period 10 > dashboard.svg

For a report, an incident's record, or where nobody can look at the console. The widgets, their
places, titles, colours, axes and lines are those of the dashboard; what has no data in a period is
a gap. Times are UTC. The alarms have the states that they have now.

Needs boto3 alone. Credentials, region and AWS_ENDPOINT_URL (for the local stack) are found as by
any program with an AWS SDK. The caller needs cloudwatch:GetDashboard, cloudwatch:GetMetricData and
cloudwatch:DescribeAlarms. Ends with 1 if there is no such dashboard.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

COLUMN, ROW = 50, 45
#: Between two widgets.
GAP = 8
HEADING = 40
#: CloudWatch's own colours, in their order.
COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    *("#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
)
STATES = {"OK": "#1d8102", "ALARM": "#d13212", "INSUFFICIENT_DATA": "#687078"}
INK, FAINT, GRID = "#16191f", "#545b64", "#eaeded"
#: How wide a letter is at most on average, of its size.
LETTER = 0.6
MAX_TICKS = 5


@dataclass(frozen=True)
class Span:
    """The time that is drawn: from `start` on, in seconds since 1970, to `end`."""

    start: float
    end: float

    @classmethod
    def until(cls, now: datetime, minutes: int, period: int) -> Span:
        """The last minutes, which begin and end with a period."""
        end = math.ceil(now.timestamp() / period) * period
        return cls(end - math.ceil(minutes * 60 / period) * period, end)


@dataclass(frozen=True)
class Series:
    """One metric's data: a value for each time that has any, in seconds since 1970."""

    label: str
    colour: str
    is_right: bool
    values: dict[float, float]


# -- Reading --------------------------------------------------------------------------------------


def metric_query(query_id: str, metric: list[Any], properties: Any, period: int) -> Any:
    """What GetMetricData is asked for a metric of a widget: `[namespace, name, key, value, {}]`."""
    settings = settings_of(metric)
    namespace, name, *dimensions = [part for part in metric if isinstance(part, str)]
    pairs = zip(dimensions[::2], dimensions[1::2], strict=True)
    return {
        "Id": query_id,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in pairs],
            },
            "Period": period,
            "Stat": settings.get("stat") or properties.get("stat", "Average"),
        },
    }


def settings_of(metric: list[Any]) -> dict[str, Any]:
    return metric[-1] if isinstance(metric[-1], dict) else {}


def read_series(cloudwatch: Any, properties: Any, span: Span, period: int) -> list[Series]:
    """The data of a widget's metrics."""
    metrics = properties["metrics"]
    queries = [
        metric_query(f"m{number}", metric, properties, period)
        for number, metric in enumerate(metrics)
    ]
    values: dict[str, dict[float, float]] = {query["Id"]: {} for query in queries}
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(span.start, UTC),
        EndTime=datetime.fromtimestamp(span.end, UTC),
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            times = [time.timestamp() for time in result["Timestamps"]]
            values[result["Id"]].update(zip(times, result["Values"], strict=True))
    return [
        Series(
            label=settings_of(metric).get("label", metric[1]),
            colour=settings_of(metric).get("color", COLOURS[number % len(COLOURS)]),
            is_right=settings_of(metric).get("yAxis") == "right",
            values=dict(sorted(values[f"m{number}"].items())),
        )
        for number, metric in enumerate(metrics)
    ]


def read_alarms(cloudwatch: Any, properties: Any) -> list[tuple[str, str]]:
    """The names and states of a widget's alarms, in its order."""
    names = [arn.partition(":alarm:")[2] for arn in properties["alarms"]]
    found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    states = {alarm["AlarmName"]: str(alarm["StateValue"]) for alarm in found}
    return [(name, states[name]) for name in names if name in states]


# -- Scales ---------------------------------------------------------------------------------------


def nice(rough: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is no less."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def ticks(highest: float) -> list[float]:
    """Round values from 0 to no less than the highest."""
    highest = highest or 1
    step = nice(highest / (MAX_TICKS - 1))
    return [number * step for number in range(math.ceil(highest / step - 1e-9) + 1)]


def shown(value: float) -> str:
    """A number as short as an axis has it."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def times(span: Span) -> list[tuple[float, str]]:
    """Round times within a span, and how they are written."""
    steps = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 604800)
    wanted = (span.end - span.start) / 6
    step = next((step for step in steps if step >= wanted), steps[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%m-%d"
    first = math.ceil(span.start / step) * step
    found = [first + number * step for number in range(int((span.end - first) / step) + 1)]
    return [(time, datetime.fromtimestamp(time, UTC).strftime(form)) for time in found]


# -- Drawing --------------------------------------------------------------------------------------


def text(x: float, y: float, words: str, *, size: int = 11, **attributes: Any) -> str:
    given = {"fill": FAINT, "font-size": size, **attributes}
    written = "".join(
        f' {name.replace("_", "-")}="{escape(str(value))}"' for name, value in given.items()
    )
    return f'<text x="{x:.1f}" y="{y:.1f}"{written}>{escape(words)}</text>'


def line(x: float, y: float, x2: float, y2: float, colour: str, **attributes: Any) -> str:
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'


def cut(words: str, width: float, size: int = 11) -> str:
    """Words as far as there is room for them."""
    most = int(width / (size * LETTER * 1.08))
    return words if len(words) <= most else words[: most - 1] + "…"


@dataclass(frozen=True)
class Plot:
    """The place of a graph within its widget, and what its edges stand for."""

    left: float
    top: float
    width: float
    height: float
    span: Span
    highest: float
    highest_right: float

    def x(self, time: float) -> float:
        return self.left + (time - self.span.start) / (self.span.end - self.span.start) * self.width

    def y(self, value: float, *, is_right: bool = False) -> float:
        highest = self.highest_right if is_right else self.highest
        return self.top + (1 - value / highest) * self.height


def runs(values: dict[float, float], period: int) -> Iterator[list[tuple[float, float]]]:
    """Values that follow each other without a gap."""
    run: list[tuple[float, float]] = []
    for time, value in values.items():
        if run and time - run[-1][0] > period * 1.5:
            yield run
            run = []
        run.append((time, value))
    if run:
        yield run


def stacked(series: list[Series]) -> list[tuple[Series, dict[float, float]]]:
    """Each series, and what it begins at: the sum of those before it, wherever any has a value."""
    every = sorted({time for one in series for time in one.values})
    below = dict.fromkeys(every, 0.0)
    piled = []
    for one in series:
        above = {time: below[time] + one.values.get(time, 0) for time in every}
        piled.append((Series(one.label, one.colour, one.is_right, above), below))
        below = above
    return piled


def curves(plot: Plot, series: list[Series], period: int, *, is_stacked: bool) -> Iterator[str]:
    layers = stacked(series) if is_stacked else [(one, {}) for one in series]
    for one, below in reversed(layers) if is_stacked else layers:
        for run in runs(one.values, period):
            points = [(plot.x(time), plot.y(value, is_right=one.is_right)) for time, value in run]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            if is_stacked and len(run) > 1:
                back = " ".join(
                    f"{plot.x(time):.1f},{plot.y(below[time]):.1f}" for time, _ in reversed(run)
                )
                yield f'<polygon points="{path} {back}" fill="{one.colour}" fill-opacity="0.55"/>'
            if len(run) == 1:
                [(x, y)] = points
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{one.colour}"/>'
            else:
                yield (
                    f'<polyline points="{path}" fill="none" stroke="{one.colour}"'
                    ' stroke-width="1.6" stroke-linejoin="round"/>'
                )


def legend(series: list[Series], width: float) -> list[list[tuple[float, Series]]]:
    """The lines of a legend: each series and where it begins."""
    lines: list[list[tuple[float, Series]]] = [[]]
    x = 0.0
    for one in series:
        size = 16 + len(one.label) * 11 * LETTER + 12
        if x and x + size > width:
            lines.append([])
            x = 0.0
        lines[-1].append((x, one))
        x += size
    return lines


def axis(plot: Plot, marks: list[float], *, is_right: bool) -> Iterator[str]:
    for value in marks:
        y = plot.y(value, is_right=is_right)
        if is_right:
            yield text(plot.left + plot.width + 6, y + 4, shown(value))
            continue
        right = plot.left + plot.width
        yield line(plot.left, y, right, y, GRID if value else "#aab7b8")
        yield text(plot.left - 6, y + 4, shown(value), text_anchor="end")


def graph(
    properties: Any, series: list[Series], span: Span, period: int, size: tuple[float, float]
) -> Iterator[str]:
    """A metric widget's inside."""
    width, height = size
    is_stacked = bool(properties.get("stacked"))
    axes = properties.get("yAxis", {})
    limits = properties.get("annotations", {}).get("horizontal", [])
    left = [one for one in series if not one.is_right]
    right = [one for one in series if one.is_right]
    tops = [one.values for one, _ in stacked(left)] if is_stacked else [one.values for one in left]
    marks = ticks(
        max(
            [*(v for each in tops for v in each.values()), *(at["value"] for at in limits)],
            default=1,
        )
    )
    marks_right = ticks(max((v for one in right for v in one.values.values()), default=1))
    keys = legend(series, width - 24)
    plot = Plot(
        left=48,
        top=50,
        width=width - 48 - (48 if right else 16),
        height=height - 50 - 30 - 16 * len(keys),
        span=span,
        highest=marks[-1],
        highest_right=marks_right[-1],
    )
    yield from axis(plot, marks, is_right=False)
    if right:
        yield from axis(plot, marks_right, is_right=True)
        label = axes.get("right", {}).get("label", "")
        yield text(width - 12, 42, label, size=10, text_anchor="end")
    yield text(12, 42, axes.get("left", {}).get("label", ""), size=10)
    bottom = plot.top + plot.height
    for time, label in times(span):
        x, half = plot.x(time), len(label) * 11 * LETTER / 2
        yield line(x, bottom, x, bottom + 4, "#aab7b8")
        if x + half < width:
            yield text(x, bottom + 17, label, text_anchor="middle")
    yield from curves(plot, series, period, is_stacked=is_stacked)
    for limit in limits:
        y, colour = plot.y(limit["value"]), limit.get("color", COLOURS[3])
        end = plot.left + plot.width
        yield line(plot.left, y, end, y, colour, stroke_width=1.2, stroke_dasharray="5 3")
        yield text(end - 2, y + 13, limit.get("label", ""), text_anchor="end", fill=colour)
    if not any(one.values for one in series):
        middle = plot.left + plot.width / 2
        yield text(middle, plot.top + plot.height / 2, "No data", text_anchor="middle")
    for number, entries in enumerate(keys):
        y = height - 12 - 16 * (len(keys) - 1 - number)
        for x, one in entries:
            yield (
                f'<rect x="{12 + x:.1f}" y="{y - 9:.1f}" width="10" height="10" rx="2"'
                f' fill="{one.colour}"/>'
            )
            yield text(12 + x + 14, y, one.label, fill=INK)


def board(alarms: list[tuple[str, str]], stack: str, size: tuple[float, float]) -> Iterator[str]:
    """An alarm widget's inside: a box for each alarm."""
    width, height = size
    columns = min(4, len(alarms)) or 1
    rows = math.ceil(len(alarms) / columns) or 1
    wide, high = (width - 24) / columns, (height - 38) / rows
    for number, (name, state) in enumerate(alarms):
        x, y = 12 + number % columns * wide, 32 + number // columns * high
        colour = STATES.get(state, FAINT)
        said = {"OK": "OK", "ALARM": "In alarm"}.get(state, "Insufficient data")
        room = wide - 6 - 20 - len(said) * 11 * LETTER - 10
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide - 6:.1f}" height="{high - 5:.1f}" rx="3"'
            f' fill="{colour}" fill-opacity="0.08" stroke="{colour}" stroke-opacity="0.45"/>'
        )
        middle = y + (high - 5) / 2 + 4
        yield f'<circle cx="{x + 11:.1f}" cy="{middle - 4:.1f}" r="4" fill="{colour}"/>'
        yield text(x + 20, middle, cut(name.removeprefix(f"{stack}-"), room), fill=INK)
        yield text(x + wide - 14, middle, said, text_anchor="end", fill=colour)


def draw(cloudwatch: Any, name: str, now: datetime, minutes: int, period: int | None) -> str:
    """The picture of a dashboard.

    Args:
        now: when it ends.
        minutes: how much of the past is drawn.
        period: of how many seconds each point tells, instead of what the widgets say.
    """
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    widgets = body["widgets"]
    width = 24 * COLUMN + GAP
    height = HEADING + max(one["y"] + one["height"] for one in widgets) * ROW + GAP
    periods = [one["properties"].get("period", 300) for one in widgets if one["type"] == "metric"]
    span = Span.until(now, minutes, period or max(periods, default=300))
    parts = [heading(name, span)]
    for widget in widgets:
        properties = widget["properties"]
        size = widget["width"] * COLUMN - GAP, widget["height"] * ROW - GAP
        each = period or properties.get("period", 300)
        if widget["type"] == "alarm":
            inside = board(read_alarms(cloudwatch, properties), name, size)
        else:
            series = read_series(cloudwatch, properties, span, each)
            inside = graph(properties, series, span, each, size)
        x, y = widget["x"] * COLUMN + GAP, HEADING + widget["y"] * ROW
        parts.append(
            f'<g transform="translate({x} {y})"><rect width="{size[0]}" height="{size[1]}" rx="4"'
            ' fill="#fff" stroke="#d5dbdb"/>'
            + text(12, 22, properties.get("title", ""), size=13, fill=INK, font_weight="bold")
            + "".join(inside)
            + "</g>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        " font-family=\"'Amazon Ember', 'Helvetica Neue', Roboto, Arial, sans-serif\">"
        f'<title>{escape(name)}</title><rect width="100%" height="100%" fill="#f2f3f3"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def heading(name: str, span: Span) -> str:
    start, end = (datetime.fromtimestamp(time, UTC) for time in (span.start, span.end))
    last = f"{end:%H:%M}" if end - start < timedelta(days=1) else f"{end:%Y-%m-%d %H:%M}"
    said = f"{start:%Y-%m-%d %H:%M} to {last} UTC"
    return text(GAP + 4, 27, name, size=17, fill=INK, font_weight="bold") + text(
        24 * COLUMN - 4, 27, said, size=12, text_anchor="end"
    )


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n    ")[0])
    parser.add_argument("--stack", default="acknowledger", help="the stack's name (%(default)s)")
    parser.add_argument(
        "--minutes", type=int, default=360, help="how long ago it begins (%(default)s)"
    )
    parser.add_argument(
        "--period", type=int, help="of how many seconds a point tells, instead of the widgets' own"
    )
    asked = parser.parse_args(arguments)
    if asked.minutes < 1 or (asked.period is not None and asked.period < 1):
        parser.error("--minutes and --period must be 1 or more")
    try:
        cloudwatch, now = boto3.client("cloudwatch"), datetime.now(UTC)
        print(draw(cloudwatch, asked.stack, now, asked.minutes, asked.period), end="")
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
