"""Run the benchmarks, print a table, and fail if docs/performance.md differs.

python -m benchmarks [--write] [cold_start] [acknowledge] [intake] [unserved] [stack] [functions]
    [poll] [imports]
"""

import importlib
import signal
import sys
from pathlib import Path

from local.aws import isolation

# Ctrl-C during the imports ends the process at once, without a message.
signal.signal(signal.SIGINT, signal.SIG_DFL)
isolation.isolate()

from local import arguments

BENCHMARKS = ["cold_start", "acknowledge", "intake", "unserved", "stack", "functions"]
BENCHMARKS += ["poll", "imports"]
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> int:
    """Measure, print and compare; return the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments.check_region()
    described = __doc__.splitlines()[0] if __doc__ else None
    parser = arguments.Parser(prog="python -m benchmarks", description=described)
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"{', '.join(BENCHMARKS)}; default: all"
    )
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    given = parser.parse_args()
    unknown = set(given.names) - set(BENCHMARKS)
    if unknown or (given.write and given.names):
        known = f"{', '.join(sorted(unknown))} must be one of {', '.join(BENCHMARKS)}"
        parser.error(f"BENCH: {known if unknown else '--write needs all benchmarks'}")
    from benchmarks import figures

    measured = []
    for name in given.names or BENCHMARKS:
        sys.stderr.write(f"{name} …\n")
        measured += importlib.import_module(f"benchmarks.{name}").measure()
    text = figures.table(measured)
    sys.stdout.write(f"{text}\n")
    if given.write:
        PAGE.write_text(figures.replaced(PAGE.read_text(), text))
    found = figures.problems(measured, PAGE.read_text())
    for problem in found:
        sys.stderr.write(f"✗ {problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(arguments.ended(main))
