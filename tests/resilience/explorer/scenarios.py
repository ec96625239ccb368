"""What happens to jobs, apart from faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from acknowledger.job_table import ENDED
from tests.resilience.explorer.processes import client, dumps, error_type, sleep
from tests.resilience.explorer.world import Job, Settings, World


class Move(NamedTuple):
    """Something that another party may do once, at any time when it is possible.

    touches: the services that it affects; after a call of another service it would have the same
        effect as before that call. () for all services.
    """

    may: Callable[[World], bool]
    do: Callable[[World], None]
    touches: tuple[str, ...] = ("codepipeline",)

    def differs(self, world: World) -> bool:
        """Whether it has another effect than before the last call."""
        return world.current is None or not self.touches or world.called.startswith(self.touches)


@dataclass(frozen=True)
class Scenario:
    """An initial state, and what other parties may do.

    moves: names in MOVES, each of which may happen once.
    given: options, by their labels, that cost nothing the first time.
    actions: how many actions start at the beginning.
    sweeps: how many sweeps start at the beginning.
    """

    name: str
    settings: Settings = field(default_factory=Settings)
    moves: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    actions: int = 1
    sweeps: int = 0

    def world(self) -> World:
        world = World(self.settings)
        world.moves, world.given = tuple(sorted(self.moves)), self.given
        for _ in range(self.actions):
            world.open_action()
        for _ in range(self.sweeps):
            world.look_around()
        return world

    def varied(self, **settings: Any) -> Scenario:
        """The same scenario with other settings."""
        return replace(self, settings=replace(self.settings, **settings))


def _newest(world: World) -> Job:
    return list(world.jobs.values())[-1]


def _offer_again(world: World) -> None:
    """CodePipeline offers the job again as if it had not been acknowledged."""
    job = _newest(world)
    world.jobs[job.id] = job._replace(status="Queued", due=None)
    world.clock += 1
    world.look_around()


def _foreign(argument: dict[str, Any]) -> None:
    """Another worker, which polls, acknowledges and reports one job."""
    partner = argument["partner"]
    third = "third_party_" if partner else ""
    call = client("codepipeline").call
    jobs = call(f"poll_for_{third}jobs")["jobs"]
    if not jobs:
        return
    whose = {"jobId": jobs[0].get("id") or jobs[0]["jobId"]}
    if partner:
        whose["clientToken"] = "token"
        jobs = [call("get_third_party_job_details", **whose)["jobDetails"]]
    try:
        call(f"acknowledge_{third}job", nonce=jobs[0]["nonce"], **whose)
    except error_type("InvalidNonceException"):
        return
    sleep(20)
    details = {"externalExecutionId": "another worker's"}
    call(f"put_{third}job_success_result", executionDetails=details, **whose)


def _let_foreign(world: World) -> None:
    argument = dumps({"partner": world.settings.owner != "Custom"})
    world.step(world.spawn("Foreign", _foreign, argument))


def _stop_execution(world: World) -> None:
    """An operator stops the newest running execution."""
    running = [name for name, each in world.executions.items() if each.status == "RUNNING"]
    world.stopped |= {running[-1]}
    world.end_execution(running[-1], "ABORTED")


def _deploy(world: World) -> None:
    """Another limit of jobs in flight is deployed."""
    limit = 0 if world.settings.limit else 1
    world.settings = replace(world.settings, limit=limit)


MOVES = {
    "offered again": Move(
        lambda world: (
            (_newest(world).holder or "ours") == "ours"
            and _newest(world).status in ("Dispatched", "InProgress")
            and not _newest(world).withdrawn
        ),
        _offer_again,
    ),
    "foreign": Move(
        lambda world: any(job.status == "Queued" for job in world.jobs.values()), _let_foreign
    ),
    "abandoned": Move(
        lambda world: _newest(world).told not in ENDED and _newest(world).holder != "Foreign",
        lambda world: world.withdraw(_newest(world).action),
    ),
    "stopped": Move(
        lambda world: any(each.status == "RUNNING" for each in world.executions.values()),
        _stop_execution,
        ("stepfunctions", "states"),
    ),
    "retried": Move(lambda world: _newest(world).told == "Failed", World.open_action),
    "deployed": Move(lambda _: True, _deploy, ()),
}

_CHAIN = Settings(work="tells progress", heartbeat=900, job_timeout=1800)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("one job"),
        Scenario("a job that fails", Settings(work="fails")),
        Scenario("offered again", moves=("offered again",)),
        Scenario("offered again twice", moves=("offered again", "offered again")),
        Scenario("two sweeps at once", Settings(events_lost=True), sweeps=2),
        Scenario("acknowledgment lost", given=("Acknowledge lost",)),
        Scenario("another worker", moves=("foreign",)),
        Scenario("abandoned", moves=("abandoned",)),
        Scenario("stopped", moves=("stopped",)),
        Scenario("stage retried", Settings(work="fails"), moves=("retried",)),
        Scenario("chain of three jobs", _CHAIN),
        Scenario("room for one", Settings(limit=1), actions=2),
        Scenario("worker dies", Settings(work="dies")),
        Scenario("worker answers twice", Settings(work="answers twice")),
        Scenario("worker answers late", Settings(work="answers late")),
        Scenario("deployment", Settings(limit=1), moves=("deployed",)),
        Scenario("every event lost", Settings(events_lost=True)),
    )
}


def variants() -> dict[str, Scenario]:
    """Every scenario for both owners, by name; custom actions have no suffix."""
    found = dict(SCENARIOS)
    for name, scenario in SCENARIOS.items():
        full = f"{name}, partner"
        found[full] = replace(scenario.varied(owner="ThirdParty"), name=full)
    return found


#: These need more steps, for all schedules with one more deviation.
MORE_STEPS = {
    "offered again": 200_000,
    "another worker": 100_000,
    "offered again twice, partner": 110_000,
    "abandoned, partner": 40_000,
}


def usual_steps(name: str) -> int:
    """The maximum number of steps in a search of a variant: more for custom actions."""
    return MORE_STEPS.get(name, 80_000 if name in SCENARIOS else 20_000)
