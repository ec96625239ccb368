"""`make explore`: every order of what happens to a job, within bounds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.resilience.explorer import processes
from tests.resilience.explorer.scenarios import SCENARIOS, variants
from tests.resilience.explorer.search import Found, Left, replayed, search, shortened


def explored(name: str, bound: Left, seconds: float) -> Found:
    """One variant of a scenario, searched; what is broken, as short as may be."""
    with processes.installed():
        scenario = variants()[name]
        found = search(scenario, bound, seconds)
        if found.broken:
            found.schedule = shortened(scenario, found.schedule, found.broken)
        return found


def searches(chosen: str, bound: str, *, only: bool) -> Iterator[tuple[str, Left]]:
    """What is to be searched: more in the world that is hardest, less in the others."""
    for name in variants():
        if not name.startswith(chosen) or (only and name != chosen):
            continue
        if bound:
            preemptions, faults = map(int, bound.split(","))
            yield name, Left(preemptions, faults)
        elif name in SCENARIOS:
            yield from ((name, Left(*each)) for each in ((1, 1), (2, 0), (0, 2)))
        else:
            yield from ((name, Left(*each)) for each in ((1, 0), (0, 1)))


def main() -> int:
    """Search, or tell the story of one schedule; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.resilience.explorer")
    parser.add_argument("--scenario", default="", help="how the names of those wanted begin")
    parser.add_argument("--only", action="store_true", help="the one that is called so")
    parser.add_argument("--bound", default="", help="preemptions,faults: 2,2")
    parser.add_argument("--seconds", type=float, default=20, help="the most for each search")
    parser.add_argument("--schedule", help="tell what happens in this schedule of the scenario")
    given = parser.parse_args()
    if given.schedule is not None:
        with processes.installed():
            broken, story = replayed(variants()[given.scenario], given.schedule)
        sys.stdout.write("\n".join(story) + "\n")
        return 1 if broken else 0
    say = sys.stdout.write
    say(f"{'':58} bound schedules   states    steps      s left out: interrupted went wrong\n")
    every = []
    with ProcessPoolExecutor(2) as pool:
        asked = list(searches(given.scenario, given.bound, only=given.only))
        names, bounds = zip(*asked, strict=True)
        for found in pool.map(explored, names, bounds, [given.seconds] * len(asked)):
            every.append(found)
            say(f"{found}\n")
            sys.stdout.flush()
    schedules, states = sum(f.schedules for f in every), sum(f.states for f in every)
    seconds = sum(found.seconds for found in every)
    say(f"{schedules:,} schedules, {states:,} states, {seconds:.0f} s of work; ")
    say(f"{sum(not found.complete for found in every)} of {len(every)} searches cut by time\n")
    return 1 if any(found.broken for found in every) else 0


if __name__ == "__main__":
    sys.exit(main())
