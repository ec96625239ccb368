"""docs/costs.md adds up: its bills follow from the prices that it names and the measurements."""

import re

import pytest

from benchmarks import figures
from benchmarks.prices import cost
from tests.support import ROOT
from tests.template.test_alarms import ALARMS, metrics

PAGE = (ROOT / "docs" / "costs.md").read_text()
HOURS, MINUTES = 730, 10
OF_A_JOB = "AWS's price of 1,000 jobs that last a second, a minute or 23 hours"
SWEEPS = HOURS * 60
ROWS = {
    int(jobs.replace(",", "")): [float(each.replace(",", "")) for each in rest.split("|")]
    for jobs, rest in re.findall(r"^\| ([\d,]+) jobs \| (.+) \|$", PAGE, re.MULTILINE)
}


def test_the_bills_are_for_a_hundred_ten_thousand_and_a_million_jobs():
    assert list(ROWS) == [100, 10_000, 1_000_000]


@pytest.mark.parametrize("jobs", ROWS)
def test_a_bill_adds_up(jobs):
    lines = figures.written((ROOT / "docs" / "performance.md").read_text())
    watched = sum(len(metrics(alarm)) for alarm in ALARMS.values())
    ours = figures.value_in(lines[OF_A_JOB]) / 1000 * jobs + 0.04 + 0.22 + watched * 0.1 + 15 * 0.3
    instance = HOURS * 0.0104 + 8 * 0.08 + HOURS * 0.005
    # A function with 128 MB that runs for a second.
    poller = cost({"function invocations": SWEEPS, "GB-seconds": SWEEPS * 0.125})
    of_aws = poller + 2.00 / 1000 * jobs
    invoked = MINUTES * 0.002 * jobs
    assert ROWS[jobs] == pytest.approx([ours, instance, of_aws, invoked], abs=0.006)
