"""Searches every order in which things can happen, and every fault, within bounds.

In each state there is one default: the process that made the last call continues; else another one
that can; else time passes. Everything else is a deviation. Interrupting a process that could
continue is a *preemption*, and so is letting time pass instead; what goes wrong is a *fault*. Which
process runs next when none is interrupted costs nothing. All schedules with at most so many
preemptions and faults are followed to their end, depth-first; those with fewer deviations come
first, so that a broken promise is found with as few as possible. A state that was reached before
with as many deviations left is not followed again. Since the default is fair and has no faults,
every state is also followed to its end without further faults.
"""

from __future__ import annotations

import gc
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from acknowledger.job_table import ENDED
from tests.resilience.explorer.processes import Broken, dumps
from tests.resilience.explorer.scenarios import MOVES, Scenario
from tests.resilience.explorer.world import UNKNOWN, Actor, Event, Undecided, World, parsed

READS = (
    *("get_item", "query", "describe_execution", "list_executions", "get_execution_history"),
    "get_third_party_job_details",
)
#: A longer path must be an endless loop.
LONGEST = 2000


class Option(NamedTuple):
    """One possible next step: its label, its cost, and the state that it leads to."""

    label: str
    preemptions: int
    faults: int
    take: Callable[[World], None]


class Left(NamedTuple):
    """How many deviations are left."""

    preemptions: int
    faults: int

    def covers(self, other: Left) -> bool:
        return self.preemptions >= other.preemptions and self.faults >= other.faults

    def less(self, option: Option) -> Left:
        return Left(self.preemptions - option.preemptions, self.faults - option.faults)


def faults_of(world: World, actor: Actor) -> Sequence[str]:
    """The possible faults of an actor's next call."""
    act = world.act(actor)
    if act[0] != "call" or actor.name == "Foreign":
        return ()
    if act[1].startswith("states/"):
        return ("error", "lost")
    if actor.name == "Worker":
        return ("dies", "repeated")
    if act[2] in READS:
        return ("error", "dies")
    often = {"acknowledge": "throttled", "poll": ""}.get(act[2].partition("_")[0], "repeated")
    return tuple(filter(None, ("error", often, "lost", "dies")))


def options(world: World) -> list[Option]:
    """The possible next steps; the first is the default."""
    found = [*_turns(world, [world.current], 0)] if world.current else []
    cost = int(bool(found))
    if world.current and not _may_interrupt(world, world.current):
        return found
    others: list[Actor | Event] = [
        actor for actor in world.actors if actor != world.current and actor.until is None
    ]
    others += [event for event in world.events if event.due <= world.clock]
    found += _turns(world, others, cost)
    found += [
        Option(f"~{name}", 0, 0, partial(_move, name=name))
        for name in dict.fromkeys(world.moves)
        if MOVES[name].may(world) and MOVES[name].differs(world)
    ]
    found = [
        each._replace(preemptions=0, faults=0) if each.label in world.given else each
        for each in found
    ]
    passing = Option("time", int(bool(cost or others)), 0, World.pass_time)
    if unfinished(world) or under_way(world):
        found.insert(0 if not (cost or others) else len(found), passing)
    return found


def _may_interrupt(world: World, actor: Actor) -> bool:
    """Whether interrupting a process can make a difference.

    An event that it puts now may arrive later, too. Several queries in a row are one.
    """
    act = world.act(actor)
    if not actor.of_function or act[0] != "call":
        return True
    return act[2] != "put_events" and (act[2] != "query" or not world.called.endswith(" query"))


def _turns(world: World, whose: Sequence[Actor | Event], cost: int) -> Iterator[Option]:
    names: Counter[str] = Counter()
    seen = set()
    for one in whose:
        if one in seen:  # identical ones have the same effect
            continue
        seen.add(one)
        name = f"new {one.function}" if isinstance(one, Event) else one.name
        names[name] += 1
        label = name if names[name] == 1 else f"{name} #{names[name]}"
        if isinstance(one, Event):
            yield Option(label, cost, 0, partial(_begin, event=one))
            yield Option(f"{label} twice", cost, 1, partial(_begin, event=one, keep=True))
            yield Option(f"{label} lost", cost, 1, partial(_lose, event=one))
            continue
        yield Option(label, cost, 0, partial(World.step, actor=one))
        for fault in faults_of(world, one):
            yield Option(f"{label} {fault}", cost, 1, partial(World.step, actor=one, fault=fault))


def _begin(world: World, event: Event, *, keep: bool = False) -> None:
    world.step(world.deliver(event, keep=keep))


def _lose(world: World, event: Event) -> None:
    world.drop(event)
    world.unheard = True


def _move(world: World, name: str) -> None:
    moves = list(world.moves)
    moves.remove(name)
    world.moves = tuple(moves)
    MOVES[name].do(world)
    world.current = None if world.current not in world.actors else world.current


def follow(world: World, option: Option) -> World:
    """The state after an option.

    Raises:
        Undecided: it depends on what is not decided yet.
    """
    new = world.copy()
    if option.preemptions or option.faults or option.label.startswith("~"):
        new.trouble = world.clock
    if option.label in world.given and not option.faults:
        given = list(world.given)
        given.remove(option.label)
        new.given, new.trouble = tuple(given), world.clock
    option.take(new)
    new.renumber()
    if option.label == "time" and new.story is not None:
        new.story.insert(0, f"{new.clock:g} s")
    return new


# -- What must hold ------------------------------------------------------------------------------


#: How long an execution that waits for room may keep waiting after its job is gone.
LOOKS_AGAIN_SECONDS = 3600


def under_way(world: World) -> list[str]:
    """The processes and events that are still active."""
    found = [f"{actor.name} is under way" for actor in world.actors]
    return found + [f"an event for {event.function}" for event in world.events]


def unfinished(world: World) -> list[str]:
    """The jobs, rows and room that have not come to their end.

    A next job for work that is over is awaited for a day; that takes no room.
    """
    found = [f"{job.id} is {job.status}" for job in world.jobs.values() if job.told not in ENDED]
    for (table, key), text in world.rows.items():
        row = parsed(text)
        if table == "JobTable":
            if row["status"] not in ENDED or "unannounced" in row:
                found.append(f"the row of {key} is {row['status']}")
            continue
        left = [*row.get("holders", ()), *row.get("waiting", ()), *row.get("unshown", ())]
        left += [job_id for job_id in row.get("awaiting", ()) if not is_over(world, job_id)]
        if left:
            found.append(f"{', '.join(left)} in IntakeTable")
    return found


def is_over(world: World, job_id: str) -> bool:
    """Whether the work of a job has ended."""
    row = parsed(world.rows.get(("JobTable", job_id), "{}"))
    return row.get("status") in ENDED


def end_of(world: World) -> str:
    """How everything ended: jobs, rows and executions."""
    rows = {key: parsed(row) for (table, key), row in world.rows.items() if table == "JobTable"}
    return dumps(
        [
            {job.id: [job.told, job.holder] for job in world.jobs.values()},
            {key: [row["status"], row.get("error")] for key, row in rows.items()},
            sorted([each.status, each.error or ""] for each in world.executions.values()),
        ]
    )


def check_end(world: World) -> None:
    """Check that CodePipeline, the rows and the announcements agree about every job."""
    for (table, key), text in world.rows.items():
        if table != "JobTable":
            continue
        row = parsed(text)
        job = world.jobs[row.get("currentJobId", key)]
        expected = "Succeeded" if row["status"] == "Succeeded" else "Failed"
        elsewhere = row.get("error") == "EndedElsewhere" and (job.doubts or job.holder == "Foreign")
        if job.status != expected and not (elsewhere or job.withdrawn):
            raise Broken(f"the row says {row['status']}, CodePipeline {job.status}")
        words = [row.get(name) for name in ("status", "error", "cause")]
        told = (key, dumps(words)) in world.announced
        # Stopping an execution may interrupt its Report between the row and the event. Then Stop
        # puts the event, if it gets the event about the execution.
        stopped = row["execution"].rpartition(":")[2] in world.stopped
        if not told and not (stopped and world.unheard):
            raise Broken(f"its end was not announced: {row['status']}")


def check(world: World, steps: int) -> bool:
    """Whether nothing is left to do; raises Broken if something takes too long or ends wrongly."""
    left, late = unfinished(world), world.clock - world.trouble
    patience = world.settings.patience * len({job.action for job in world.jobs.values()})
    if (late > patience and (left or late > patience + LOOKS_AGAIN_SECONDS)) or steps > LONGEST:
        raise Broken(f"does not end: {'; '.join([*left, *under_way(world)][:4])}")
    if left or under_way(world):
        return False
    check_end(world)
    return True


# -- The search ----------------------------------------------------------------------------------


class Path(NamedTuple):
    """A schedule as text: a number of default steps, then a deviation, and so on."""

    schedule: str = ""
    by_default: int = 0
    length: int = 0

    def and_then(self, deviation: str) -> Path:
        """The path after one more step, "" for the default one."""
        if not deviation:
            return self._replace(by_default=self.by_default + 1, length=self.length + 1)
        parts = filter(None, (self.schedule, f"{self.by_default}:{deviation}"))
        return Path(", ".join(parts), 0, self.length + 1)


class Way(NamedTuple):
    """A next step that is still to be followed.

    path: the steps before it.
    deviation: "" for the default step; else its label, and the words for what it decides.
    """

    world: World
    option: Option
    left: Left
    path: Path
    deviation: str


@dataclass
class Found:
    """The result of a search.

    whole: the number of deviations up to which all schedules were followed.
    slowest: the longest time, in seconds, from the last deviation to the end of everything.
    left_out: how many next steps were left out, by the bound that left them out.
    ends: all the ways in which everything ended, as `end_of` returns them.
    broken: the broken promise, with `schedule`, which shows it.
    """

    scenario: str
    bound: Left
    whole: int = -1
    schedules: int = 0
    states: int = 0
    steps: int = 0
    seconds: float = 0
    slowest: float = 0
    left_out: Counter[str] = field(default_factory=Counter)
    ends: set[str] = field(default_factory=set, repr=False)
    broken: str = ""
    schedule: str = ""

    def __str__(self) -> str:
        left = " ".join(f"{self.left_out[each]:9,}" for each in ("preemptions", "faults", "steps"))
        counts = f"{self.schedules:9,} {self.states:9,} {self.steps:9,} {left}"
        text = f"{self.scenario:30} {self.whole:5} {counts} {self.slowest:7g} {self.seconds:6.1f}"
        return text + (f"\n✗ {self.broken}: {self.schedule}" if self.broken else "")


def search(scenario: Scenario, bound: Left, steps: int = 10**9, *, merges: bool = True) -> Found:
    """Follow every schedule within a bound, up to a number of steps.

    merges: whether a state that was reached before is not followed again.
    """
    found, began = Found(scenario.name, bound), time.process_time()
    seen: dict[int, list[Left]] = {}
    start = Option("", 0, 0, lambda _: None)
    level, following = [Way(scenario.world(), start, bound, Path("", -1, -1), "")], list[Way]()
    collects = gc.isenabled()
    gc.disable()  # it would scan all states again and again
    try:
        while level and found.steps < steps:
            way = level.pop()
            option, left, path = way.option, way.left, way.path.and_then(way.deviation)
            try:
                world = follow(way.world, option)
            except Undecided as unknown:
                for value, words in reversed(UNKNOWN[unknown.setting].items()):
                    decided = way.world.decided(unknown.setting, value)
                    deviation = words and f"{way.deviation or option.label}{words}"
                    level.append(way._replace(world=decided, deviation=deviation or way.deviation))
                continue
            found.steps += 1
            if merges and not _is_new(seen.setdefault(world.key(), []), left):
                found.schedules += 1
            else:
                if check(world, path.length):
                    found.schedules += 1
                    found.ends.add(end_of(world))
                    found.slowest = max(found.slowest, world.clock - world.trouble)
                for number, each in reversed(list(enumerate(options(world)))):
                    rest = left.less(each)
                    if min(rest) < 0:
                        found.left_out["preemptions" if rest.preemptions < 0 else "faults"] += 1
                        continue
                    way = Way(world, each, rest, path, each.label if number else "")
                    (level if rest == left else following).append(way)
            if not level:
                found.whole += 1
                level, following = following[::-1], []
    except Broken as broken:
        found.broken, found.schedule = str(broken), path.schedule
    finally:
        if collects:
            gc.enable()
    found.left_out["steps"] = len(level) + len(following)
    found.states, found.seconds = len(seen), time.process_time() - began
    return found


def _is_new(before: list[Left], left: Left) -> bool:
    """Whether a state was not reached before with as much left; if so, note it."""
    if any(each.covers(left) for each in before):
        return False
    before[:] = [each for each in before if not left.covers(each)] + [left]
    return True


# -- Schedules as texts --------------------------------------------------------------------------


def replayed(scenario: Scenario, schedule: str) -> tuple[str, list[str]]:
    """Run a schedule: the broken promise, "" for none, and what happened, line by line.

    Raises ValueError if it can't be followed.
    """
    by_step: dict[int, str] = {}
    at = 0
    for part in filter(None, schedule.split(", ")):
        if not (step := re.fullmatch(r"(\d+):(.+)", part)):
            raise ValueError(f"not a schedule: {schedule}")
        at += int(step[1])
        by_step[at] = step[2]
        at += 1
    world, story = scenario.world(), list[str]()
    world.story = []
    for number in range(LONGEST + 2):
        choices = options(world)
        label = by_step.pop(number, "")
        plain = label.partition(" (")[0]
        chosen = [each for each in choices if each.label == plain] if plain else choices[:1]
        if not chosen:
            if label or by_step:
                raise ValueError(f"step {number} can't be {label}: {[c.label for c in choices]}")
            break
        try:
            world = _followed(world, chosen[0], label)
            story.append(
                f"{'*' if label else ' '} {chosen[0].label:22} {'; '.join(world.story or [])}"
            )
            if check(world, number) and not by_step:
                break
        except Broken as broken:
            story.append(f"{'*' if label else ' '} {chosen[0].label:22} ✗ {broken}")
            return str(broken), story
    return "", story


def _followed(world: World, option: Option, label: str) -> World:
    """The state after an option; the words in a label decide what is not decided yet."""
    try:
        return follow(world, option)
    except Undecided as unknown:
        known = UNKNOWN[unknown.setting]
        value = next((value for value, words in known.items() if words and words in label), None)
        value = next(iter(known)) if value is None else value
        return _followed(world.decided(unknown.setting, value), option, label)


def shortened(scenario: Scenario, schedule: str, broken: str) -> str:
    """A schedule with as few deviations as possible that shows the same failure."""
    parts = schedule.split(", ") if schedule else []
    for number in range(len(parts)):
        steps = int(parts[number].split(":")[0]) + 1
        rest = parts[:number] + parts[number + 1 :]
        if number < len(rest):
            after, label = rest[number].split(":", 1)
            rest[number] = f"{int(after) + steps}:{label}"
        try:
            again, _ = replayed(scenario, ", ".join(rest))
        except ValueError:
            continue
        if again == broken:
            return shortened(scenario, ", ".join(rest), broken)
    return schedule
