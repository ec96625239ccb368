"""`make explore`: every order of what happens to a job, within bounds."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.resilience.explorer import processes
from tests.resilience.explorer.scenarios import usual_steps, variants
from tests.resilience.explorer.search import Found, Left, replayed, search, shortened

HEADER = f"{'':59} whole schedules   states    steps      s   left out by bound of          ends"
HEADER += f"\n{'':59} up to {'':34} preempt.    faults     steps    in s\n"


def explored(name: str, bound: Left, steps: int) -> Found:
    """One variant of a scenario, searched; what is broken, as short as may be."""
    with processes.installed():
        scenario = variants()[name]
        found = search(scenario, bound, steps)
        if found.broken:
            found.schedule = shortened(scenario, found.schedule, found.broken)
        return found


def main() -> int:
    """Search, or tell the story of one schedule; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.resilience.explorer")
    parser.add_argument("--scenario", default="", help="how the names of those wanted begin")
    parser.add_argument("--only", action="store_true", help="the one that is called so")
    parser.add_argument("--bound", default="", help="preemptions,faults: 2,2")
    parser.add_argument("--steps", type=int, default=1, help="so many times the usual")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--schedule", help="tell what happens in this schedule of the scenario")
    given = parser.parse_args()
    if given.schedule is not None:
        with processes.installed():
            broken, story = replayed(variants()[given.scenario], given.schedule)
        sys.stdout.write("\n".join(story) + "\n")
        return 1 if broken else 0
    bound = Left(*map(int, (given.bound or "2,2").split(",")))
    names = [name for name in variants() if name.startswith(given.scenario)]
    names = [given.scenario] if given.only else names
    steps = [given.steps * usual_steps(name) for name in names]
    say, every = sys.stdout.write, list[Found]()
    say(HEADER)
    with ProcessPoolExecutor(given.processes) as pool:
        for found in pool.map(explored, names, [bound] * len(names), steps):
            every.append(found)
            say(f"{found}\n")
            sys.stdout.flush()
    schedules, states = sum(f.schedules for f in every), sum(f.states for f in every)
    taken, seconds = sum(f.steps for f in every), sum(f.seconds for f in every)
    whole = Counter(min(f.whole, sum(bound)) for f in every)
    say(f"{schedules:,} schedules, {states:,} states, {taken:,} steps, {seconds:.0f} s of work.\n")
    for number, count in sorted(whole.items()):
        say(f"All schedules with up to {number} deviations: {count} of {len(every)} searches.\n")
    return 1 if any(found.broken for found in every) else 0


if __name__ == "__main__":
    sys.exit(main())
