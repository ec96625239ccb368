"""`make chaos`: many jobs while things fail at random."""

from __future__ import annotations

import signal
import sys

from local.aws import isolation

# Ctrl-C during the imports ends the process at once, without a message.
signal.signal(signal.SIGINT, signal.SIG_DFL)
isolation.isolate()

from local import arguments


def main() -> int:
    """Run it and print the report; return the exit status."""
    parser = arguments.Parser(prog="python -m tests.resilience", description=__doc__)
    parser.add_argument("--jobs", default="200")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--rate", default="0.1")
    parser.add_argument("--events", default="", help="none: all events of AWS services are lost")
    given = parser.parse_args()
    arguments.check_region()
    jobs = arguments.whole("JOBS", given.jobs, 1)
    seed = arguments.whole("SEED", given.seed, 0)
    rate = arguments.share("RATE", given.rate)
    events = given.events != "none"
    from tests.resilience.chaos import Chaos

    signal.signal(signal.SIGINT, signal.default_int_handler)
    lost = "" if events else ", all events of AWS services lost"
    sys.stdout.write(f"{jobs} jobs, SEED={seed}, RATE={rate}{lost}\n")
    report = Chaos(jobs, seed, rate, events=events).run(say=True)
    sys.stdout.write(f"{report}\n")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(arguments.ended(main))
