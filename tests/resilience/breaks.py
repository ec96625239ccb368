"""One-line breaks of the product, each of which the explorer must find.

    .venv/bin/python -m tests.resilience.breaks [--by=explorer,faults,chaos] [--jobs=2000] [SCENARIO …]

Each break is made in a copy of the repository. The exit status is 1 if one is not found.

faults: the share of the fault matrix that FAULTS names, as in `make faults`; by default the tests' own.
chaos: so many jobs, at most 200 in a run; each run has another seed. The first broken promise ends it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
LIBRARY = "functions/acknowledger"


class Break(NamedTuple):
    """A text in a file, its replacement, and the scenario that shows the break."""

    what: str
    file: str
    old: str
    new: str
    scenario: str


BREAKS = (
    Break(
        "a job that may not be ours is reported without an acknowledgment",
        f"{LIBRARY}/ending.py",
        "return self._make_ours(row) if unacknowledged else self._report(row)",
        "return self._report(row)",
        "another worker",
    ),
    Break(
        "Acknowledge doesn't wait to see whether the other call was taken back",
        f"{LIBRARY}/acknowledgment.py",
        "if _take_back(request, call, others) and _one_got_through(request, call):",
        "if _take_back(request, call, others):",
        "another worker",
    ),
    Break(
        "an end overwrites an earlier one",
        f"{LIBRARY}/job_table.py",
        'condition=f"{MINE} AND #status = :status AND "',
        'condition=f"{MINE} AND "',
        "stopped",
    ),
    Break(
        "Stop doesn't mark the row as unannounced",
        f"{LIBRARY}/ending.py",
        "job_table.end(row, reported, unannounced=not self.running)",
        "job_table.end(row, reported)",
        "stopped",
    ),
    Break(
        "an older offer takes the row over from a newer one",
        "statemachine/job.asl.json",
        " AND offeredAt <= :offeredAt)",
        ")",
        "offered again",
    ),
    Break(
        "an offer takes over the row of a job in progress",
        "statemachine/job.asl.json",
        "(#status IN (:created, :queued, :dispatched) AND offeredAt <= :offeredAt)",
        "offeredAt <= :offeredAt",
        "offered again",
    ),
    Break(
        "room is given to one job too many",
        f"{LIBRARY}/intake_table.py",
        "size(holders) < :limit AND size(waiting) = :nobody",
        "size(waiting) = :nobody",
        "room for one",
    ),
    Break(
        "an InvalidNonceException always means that the offer is lost",
        f"{LIBRARY}/acknowledgment.py",
        "if _take_back(request, call, others) and _one_got_through(request, call):",
        "if not _take_back(request, call, others) and _one_got_through(request, call):",
        "one job",
    ),
    Break(
        "a job is sent again when its worker doesn't answer",
        "statemachine/job.asl.json",
        '{\'result\': $states.result} %}"\n      },\n      "Retry": [',
        '{\'result\': $states.result} %}"\n      },\n      "Retry": ['
        '{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1, "IntervalSeconds": 1,'
        ' "BackoffRate": 1, "MaxDelaySeconds": 1},',
        "worker dies",
    ),
    Break(
        "a result is reported for the first job of a chain",
        f"{LIBRARY}/ending.py",
        'newest = row.get("currentJobId", job["id"])',
        'newest = job["id"]',
        "chain of three jobs",
    ),
    Break(
        "an end is announced before it is recorded",
        f"{LIBRARY}/ending.py",
        "ended = job_table.end(row, reported, unannounced=not self.running)",
        "ended = self._announce(reported, row) or job_table.end(row, reported)",
        "stopped",
    ),
)


def main() -> int:
    """Make each break (of these scenarios, if any), look for it, and print what finds it.

    Returns the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.resilience.breaks")
    parser.add_argument("--by", default="explorer", help=f"some of {', '.join(SEARCHES)}")
    parser.add_argument("--jobs", type=int, default=2000, help="how many jobs chaos runs")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    given = parser.parse_args()
    missed = 0
    for each in BREAKS:
        if given.scenarios and each.scenario not in given.scenarios:
            continue
        for by in given.by.split(","):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                make(each, Path(folder, "broken"))
                found = SEARCHES[by](each, Path(folder, "broken"), given.jobs)
            missed += not found
            told = f"{each.what} ({each.scenario}), {by}: {found or 'NOT FOUND'}"
            sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {told}\n")
            sys.stdout.flush()
    return 1 if missed else 0


def make(each: Break, copy: Path) -> None:
    """Copy the repository, with a break."""
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "node_modules", "docs"))
    broken = copy / each.file
    text = broken.read_text()
    if each.old not in text:
        raise ValueError(f"{each.file} has no {each.old!r}")
    broken.write_text(text.replace(each.old, each.new, 1))


def by_explorer(each: Break, copy: Path, _jobs: int) -> str:
    """The broken promise that the explorer finds, with its schedule; "" if none."""
    asked = [f"--scenario={each.scenario}", "--bound=1,1", "--only", "--processes=1", "--steps=5"]
    return _first("^✗ (.*)$", copy, "tests.resilience.explorer", *asked)


def by_faults(_each: Break, copy: Path, _jobs: int) -> str:
    """The first test of the fault matrix that fails, with the first thing that it found."""
    given = ["-x", "-q", "-p", "no:cacheprovider", "tests/resilience/test_faults.py"]
    return _first(r"^(?:E +AssertionError: |FAILED )(.*)$", copy, "pytest", *given)


def by_chaos(_each: Break, copy: Path, jobs: int) -> str:
    """The first promise that chaos finds broken."""
    for done in range(0, jobs, JOBS_AT_ONCE):
        seed, count = 1 + done // JOBS_AT_ONCE, min(JOBS_AT_ONCE, jobs - done)
        asked = [f"--jobs={count}", f"--seed={seed}"]
        found = _first("^✗ (.*)$", copy, "tests.resilience", *asked)
        if found:
            return f"seed {seed}: {found}"
    return ""


#: So that most breaks are found long before all jobs have run.
JOBS_AT_ONCE = 200

SEARCHES: dict[str, Callable[[Break, Path, int], str]] = {
    "explorer": by_explorer,
    "faults": by_faults,
    "chaos": by_chaos,
}


def _first(pattern: str, copy: Path, *command: str) -> str:
    """The first match in what a module prints if it finds a failure, "" if it finds none."""
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=copy, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(copy / "functions")},
    )  # fmt: skip
    found = re.search(pattern, run.stdout, re.MULTILINE)
    if run.returncode not in (0, 1) or (run.returncode and not found):
        raise RuntimeError(run.stdout[-3000:] + run.stderr)
    return found[1] if run.returncode and found else ""


if __name__ == "__main__":
    sys.exit(main())
