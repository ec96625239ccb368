"""`make explore`: every order of what can happen to a job, within bounds."""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from local.aws import isolation

# Ctrl-C during the imports ends the process at once, without a message.
signal.signal(signal.SIGINT, signal.SIG_DFL)
isolation.isolate()

from local import arguments
from tests.resilience.explorer import processes
from tests.resilience.explorer.scenarios import SCENARIOS, usual_steps, variants
from tests.resilience.explorer.search import Found, Left, replayed, search, shortened
from tests.support import ROOT

HEADER = f"""\
{"scenario":30} whole                               left out by the bound of          ends  took
{"":30} up to schedules    states     steps  preempt.    faults     steps     in s     s
"""
PAGE = ROOT / "docs" / "explorer.md"


def explored(name: str, bound: Left, times: int) -> Found:
    """Search one variant of a scenario; a schedule that breaks a promise is shortened."""
    with processes.installed():
        scenario = variants()[name]
        found = search(scenario, bound, times * usual_steps(name))
        if found.broken:
            found.schedule = shortened(scenario, found.schedule, found.broken)
        return found


def main() -> int:
    """Search, or print what happens in one schedule; return the exit status."""
    parser = arguments.Parser(prog="python -m tests.resilience.explorer", description=__doc__)
    parser.add_argument("--scenario", default="", help="the beginning of the scenarios' names")
    parser.add_argument(
        "--only", action="store_true", help="only the scenario with exactly this name"
    )
    parser.add_argument("--bound", default="2,2", help="preemptions,faults")
    parser.add_argument("--steps", default="1", help="how many times the usual number of steps")
    parser.add_argument("--processes", default="2")
    parser.add_argument("--write", action="store_true", help=f"write the result into {PAGE.name}")
    parser.add_argument("--schedule", help="print what happens in this schedule of the scenario")
    given = parser.parse_args()
    one = given.only or given.schedule is not None
    names = [
        name
        for name in variants()
        if name == given.scenario or (name.startswith(given.scenario) and not one)
    ]
    if not names:
        what = "be the name of a scenario" if one else "be the beginning of a scenario's name"
        known = ", ".join(SCENARIOS)
        raise arguments.WrongStartError(f"SCENARIO must {what}, not '{given.scenario}': {known}")
    if given.schedule is not None:
        return tell(given.scenario, given.schedule)
    if not re.fullmatch(r"\d,\d", given.bound):
        raise arguments.WrongStartError(
            f"BOUND must be two digits, such as 2,2, not '{given.bound}'"
        )
    if given.write and (given.scenario, given.bound, given.steps) != ("", "2,2", "1"):
        raise arguments.WrongStartError("WRITE needs all scenarios, with the usual bound and steps")
    bound, times = Left(*map(int, given.bound.split(","))), arguments.whole("STEPS", given.steps, 1)
    at_once = arguments.whole("processes", given.processes, 1)
    every = list[Found]()
    sys.stdout.write(HEADER)
    with ProcessPoolExecutor(at_once) as pool:
        for found in pool.map(partial(explored, bound=bound, times=times), names):
            every.append(found)
            sys.stdout.write(f"{found}\n")
            sys.stdout.flush()
    sums = total(every, sum(bound))
    sys.stdout.write(sums)
    if any(found.broken for found in every):
        return 1
    if given.write:
        before, fence, rest = PAGE.read_text().partition("```text\n")
        printed = "".join([HEADER, *(f"{found}\n" for found in every), sums])
        PAGE.write_text(f"{before}{fence}{printed}```{rest.partition('```')[2]}")
    return 0


def tell(scenario: str, schedule: str) -> int:
    """Print what happens in a schedule."""
    with processes.installed():
        try:
            broken, story = replayed(variants()[scenario], schedule)
        except ValueError as error:
            raise arguments.WrongStartError(f"SCHEDULE: {error}") from error
    sys.stdout.write("\n".join(story) + "\n")
    return 1 if broken else 0


def total(every: Sequence[Found], most: int) -> str:
    """The totals of all searches."""
    schedules, states = sum(each.schedules for each in every), sum(each.states for each in every)
    steps, seconds = sum(each.steps for each in every), sum(each.seconds for each in every)
    told = f"{schedules:,} schedules, {states:,} states, {steps:,} steps, {seconds:.0f} s of CPU time\n"
    whole = Counter(min(each.whole, most) for each in every)
    for number, count in sorted(whole.items()):
        up_to = f"all schedules of at most {number}" if number >= 0 else "not all schedules of 0"
        told += f"{count} of {len(every)} searches: {up_to} deviation(s)\n"
    return told


if __name__ == "__main__":
    sys.exit(arguments.ended(main))
