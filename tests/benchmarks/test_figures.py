"""docs/performance.md has the benchmarks' figures, and the benchmarks report a difference."""

import re

import pytest

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.prices import PRICES, cost
from tests.support import ROOT

LINES = figures.written((ROOT / "docs" / "performance.md").read_text())
FIGURE = Figure("Speed", 1234.5, "jobs", runs=3, low=1.0, high=2.0, at_least=300, tolerance=0.1)


# These depend on what else the machine does; make bench fails if they are below their limit.
SPOILED_BY_LOAD = "Local stack: "


def page(*lines: str) -> str:
    return "\n".join(["# Title", figures.HEAD, "|---|", *lines])


def test_a_figure_that_the_page_has_is_accepted():
    assert figures.problems([FIGURE], page(FIGURE.line())) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("| Other | 1,234.50 jobs |", ["Speed: not in the table"]),
        ("| Speed | 1,357.95 jobs |", []),
        ("| Speed | 1,122.30 jobs |", []),
        ("| Speed | 1,400.00 jobs |", ["Speed: the table says 1400, but it is now 1234.5"]),
        ("| Speed | 1,100.00 jobs |", ["Speed: the table says 1100, but it is now 1234.5"]),
    ],
)
def test_a_figure_that_differs_from_the_page_by_more_than_its_tolerance_is_a_problem(line, found):
    assert figures.problems([FIGURE], page(line)) == found


def test_a_counted_figure_has_no_tolerance():
    counted = Figure("Count", 10, "", digits=0)
    assert figures.problems([counted], page("| Count | 10 |")) == []
    assert figures.problems([counted], page("| Count | 11 |")) != []


@pytest.mark.parametrize("limits", [{"at_most": 9}, {"at_least": 11}])
def test_a_figure_outside_its_limit_is_a_problem(limits):
    figure = Figure("Count", 10, "", digits=0, **limits)
    (problem,) = figures.problems([figure], page(figure.line()))
    assert "outside its limit" in problem


def test_the_table_can_be_replaced():
    replaced = figures.replaced(page("| Old | 1 |"), figures.table([FIGURE]))
    assert list(figures.written(replaced)) == ["Speed"]
    assert replaced.startswith("# Title\n")


@pytest.mark.parametrize("what", LINES)
def test_every_figure_on_the_page_is_within_its_limit(what):
    *_, reach, _tolerance, _ = LINES[what].split("|")
    value = figures.value_in(LINES[what])
    limit = re.fullmatch(r"([≤≥]) ([\d.]+)", reach.strip())
    if limit and not what.startswith(SPOILED_BY_LOAD):
        assert value <= float(limit[2]) if limit[1] == "≤" else value >= float(limit[2])


def test_a_cost_is_the_sum_of_the_counted_things_prices():
    assert cost({"state transitions": 1000, "events put": 1e6}) == pytest.approx(1.025)
    assert all(source.startswith("https://aws.amazon.com/") for _, source in PRICES.values())
