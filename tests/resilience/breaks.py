"""One-line breaks of the product, each of which the explorer must find.

    .venv/bin/python -m tests.resilience.breaks [SCENARIO …]

Each break is made in a copy of the functions and the definition. The exit status is 1 if one is not
found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
LIBRARY = "functions/acknowledger"


class Break(NamedTuple):
    """A text in a file, its replacement, and the scenario and bound that show the break."""

    what: str
    file: str
    old: str
    new: str
    scenario: str
    bound: str


BREAKS = (
    Break(
        "a job that may not be ours is reported without an acknowledgment",
        f"{LIBRARY}/ending.py",
        "return self._make_ours(row) if unacknowledged else self._report(row)",
        "return self._report(row)",
        "another worker",
        "1,1",
    ),
    Break(
        "Acknowledge doesn't wait to see whether the other call was taken back",
        f"{LIBRARY}/acknowledgment.py",
        "if _take_back(request, call, others) and _one_got_through(request, call):",
        "if _take_back(request, call, others):",
        "another worker, same nonce",
        "1,1",
    ),
    Break(
        "an end overwrites an earlier one",
        f"{LIBRARY}/job_table.py",
        'condition=f"{MINE} AND #status = :status AND "',
        'condition=f"{MINE} AND "',
        "stopped",
        "1,1",
    ),
    Break(
        "Stop doesn't mark the row as unannounced",
        f"{LIBRARY}/ending.py",
        "job_table.end(row, said, unannounced=not self.running)",
        "job_table.end(row, said)",
        "stopped",
        "0,1",
    ),
    Break(
        "an older offer takes the row over from a newer one",
        "statemachine/job.asl.json",
        " AND offeredAt <= :offeredAt)",
        ")",
        "offered again",
        "1,0",
    ),
    Break(
        "an offer takes over the row of a job in progress",
        "statemachine/job.asl.json",
        "(#status IN (:created, :queued, :dispatched) AND offeredAt <= :offeredAt)",
        "offeredAt <= :offeredAt",
        "offered again",
        "0,0",
    ),
    Break(
        "room is given to one job too many",
        f"{LIBRARY}/intake_table.py",
        "size(holders) < :limit AND size(waiting) = :nobody",
        "size(waiting) = :nobody",
        "room for one",
        "0,0",
    ),
    Break(
        "an InvalidNonceException always means that the offer is lost",
        f"{LIBRARY}/acknowledgment.py",
        "if _take_back(request, call, others) and _one_got_through(request, call):",
        "if not _take_back(request, call, others) and _one_got_through(request, call):",
        "one job",
        "0,1",
    ),
    Break(
        "a job is sent again when its worker doesn't answer",
        "statemachine/job.asl.json",
        '{\'result\': $states.result} %}"\n      },\n      "Retry": [',
        '{\'result\': $states.result} %}"\n      },\n      "Retry": ['
        '{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1, "IntervalSeconds": 1,'
        ' "BackoffRate": 1, "MaxDelaySeconds": 1},',
        "worker dies",
        "0,0",
    ),
    Break(
        "a result is reported for the first job of a chain",
        f"{LIBRARY}/ending.py",
        'newest = row.get("currentJobId", job["id"])',
        'newest = job["id"]',
        "chain of three jobs",
        "0,0",
    ),
    Break(
        "an end is announced before it is recorded",
        f"{LIBRARY}/ending.py",
        "ended = job_table.end(row, said, unannounced=not self.running)",
        "ended = self._announce(said, row) or job_table.end(row, said)",
        "stopped",
        "1,1",
    ),
)


def main(scenarios: list[str]) -> int:
    """Make each break (of these scenarios, if any), search for it, and print the result.

    Returns the exit status.
    """
    missed = 0
    for each in BREAKS:
        if scenarios and each.scenario not in scenarios:
            continue
        began = time.monotonic()
        found = search(each)
        missed += not found
        told = found or "NOT FOUND"
        sys.stdout.write(
            f"{time.monotonic() - began:5.1f} s  {each.what} ({each.scenario}): {told}\n"
        )
        sys.stdout.flush()
    return 1 if missed else 0


def search(each: Break) -> str:
    """What the explorer finds with a break, "" if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("functions", "statemachine"):
            shutil.copytree(ROOT / part, Path(folder, part))
        broken = Path(folder, each.file)
        text = broken.read_text()
        if text.count(each.old) < 1:
            raise ValueError(f"{each.file} has no {each.old!r}")
        broken.write_text(text.replace(each.old, each.new, 1))
        definition = str(Path(folder, "statemachine/job.asl.json"))
        changed = {"PYTHONPATH": str(Path(folder, "functions")), "EXPLORED_DEFINITION": definition}
        asked = [
            f"--scenario={each.scenario}",
            f"--bound={each.bound}",
            "--processes=1",
            "--steps=5",
            "--only",
        ]
        run = subprocess.run(
            [sys.executable, "-m", "tests.resilience.explorer", *asked],
            cwd=ROOT, env={**os.environ, **changed}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if run.returncode not in (0, 1):
        raise RuntimeError(run.stderr)
    found = re.search("^✗ (.*)$", run.stdout, re.MULTILINE)
    if run.returncode and not found:
        raise RuntimeError(run.stderr)
    return found[1] if found else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
