"""The README's table is what the benchmarks print, and they say so when it isn't."""

from __future__ import annotations

import re

import pytest

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.prices import PRICES, cost
from tests.support import ROOT

README = (ROOT / "README.md").read_text()
LINES = figures.written(README)
FIGURE = Figure("Speed", 1234.5, "jobs", runs=3, low=1.0, high=2.0, at_least=300, tolerance=0.1)


# How much of these a machine reaches depends on what else it does; make bench fails if it's too little.
SPOILED_BY_LOAD = "Local stack: "


def readme(*lines: str) -> str:
    rows = "\n".join([figures.HEAD, "|---|", *lines])
    return f"# Title\n{figures.BEGIN}\n{rows}\n{figures.END}\nrest"


def test_a_figure_that_the_readme_has_is_no_problem():
    assert figures.problems([FIGURE], readme(FIGURE.line())) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("| Other | 1,234.50 jobs |", ["Speed: not in the README's table"]),
        ("| Speed | 1,357.95 jobs |", []),
        ("| Speed | 1,122.30 jobs |", []),
        ("| Speed | 1,400.00 jobs |", ["Speed: the README says 1400, and it is 1234.5"]),
        ("| Speed | 1,100.00 jobs |", ["Speed: the README says 1100, and it is 1234.5"]),
    ],
)
def test_a_figure_that_the_readme_has_otherwise_is_one(line, found):
    assert figures.problems([FIGURE], readme(line)) == found


def test_a_counted_figure_has_no_tolerance_but_its_digits():
    counted = Figure("Count", 10, "", digits=0)
    assert figures.problems([counted], readme("| Count | 10 |")) == []
    assert figures.problems([counted], readme("| Count | 11 |")) != []


@pytest.mark.parametrize("limits", [{"at_most": 9}, {"at_least": 11}])
def test_a_figure_that_is_not_what_must_be_reached_is_a_problem(limits):
    figure = Figure("Count", 10, "", digits=0, **limits)
    (problem,) = figures.problems([figure], readme(figure.line()))
    assert "not what must be reached" in problem


def test_the_table_can_be_replaced():
    replaced = figures.replaced(readme("| Old | 1 |"), figures.table([FIGURE]))
    assert list(figures.written(replaced)) == ["Speed"]
    assert replaced.endswith("\nrest")
    with pytest.raises(ValueError, match="README"):
        figures.replaced("no table", "")


def test_the_readmes_table_says_what_it_was_measured_on():
    assert re.search(r"Measured on .+, \d+ cores, .+, Python 3\.", README)


@pytest.mark.parametrize("what", LINES)
def test_every_figure_in_the_readme_is_what_must_be_reached_and_says_how_it_was_measured(what):
    _, _, _measured, spread, runs, reference, reach, tolerance, _ = LINES[what].split("|")
    value = figures.value_in(LINES[what])
    limit = re.fullmatch(r"([≤≥]) ([\d.]+)", reach.strip())
    if limit and not what.startswith(SPOILED_BY_LOAD):
        assert value <= float(limit[2]) if limit[1] == "≤" else value >= float(limit[2])
    assert tolerance.strip() == "none" or re.fullmatch(r"± \d+%", tolerance.strip())
    assert int(runs) >= 1
    assert reference.strip()
    # Who repeats tells the spread.
    assert (spread.strip() == "—") == (int(runs) == 1 or "percentile" in what)


def test_a_price_is_that_of_each_thing_counted():
    assert cost({"state transitions": 1000, "events put": 1e6}) == pytest.approx(1.025)
    assert all(source.startswith("https://aws.amazon.com/") for _, source in PRICES.values())
