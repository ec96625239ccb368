"""Measure what is claimed, print it as a table, and fail where docs/performance.md says otherwise.

python -m benchmarks [--write] [cold_start] [acknowledge] [intake] [stack] [poll]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import acknowledge, cold_start, figures, intake, poll, stack

BENCHMARKS = {
    "cold_start": cold_start.measure,
    "acknowledge": acknowledge.measure,
    "intake": intake.measure,
    "stack": stack.measure,
    "poll": poll.figures,
}
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> int:
    """Measure, print and compare; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown or (arguments.write and arguments.names):
        parser.error(f"there is no {', '.join(unknown)}" if unknown else "--write needs all")
    measured = []
    for name in arguments.names or BENCHMARKS:
        sys.stderr.write(f"{name} …\n")
        measured += BENCHMARKS[name]()
    text = figures.table(measured)
    sys.stdout.write(f"{text}\n")
    if arguments.write:
        PAGE.write_text(figures.replaced(PAGE.read_text(), text))
    found = figures.problems(measured, PAGE.read_text())
    for problem in found:
        sys.stderr.write(f"✗ {problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
