"""Every interleaving within bounds keeps the promises, and the simulated services are accurate.

`make explore` shows how many interleavings there are.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from tests.documentation import Blocks
from tests.resilience.breaks import BREAKS, Break
from tests.resilience.explorer import processes, world
from tests.resilience.explorer import search as searching
from tests.resilience.explorer.processes import Broken
from tests.resilience.explorer.scenarios import usual_steps, variants
from tests.resilience.explorer.search import Found, Left, replayed, search, shortened
from tests.resilience.explorer.world import ARN, Actor, Refused, Settings, World
from tests.statemachine.conftest import SILENT, WORDLESS, Machine
from tests.statemachine.test_job import SCENARIOS as WAYS
from tests.support import ROOT

#: Schedules that once broke a promise.
FIXED = [
    # An offer that was polled earlier took the row over from a newer one.
    ("one job", "2:time, 4:Created #2, 4:Acknowledge error"),
    # A job was thought to have ended elsewhere, and all its later offers were refused.
    ("one job", "3:time, 3:time, 1:Acknowledge error"),
    # An end that a Report had written into the row before it died was never announced.
    ("stopped", "13:~stopped, 0:new Stop, 1:Report, 2:Report dies"),
    # The checks took the result of another worker, to which CodePipeline gave our job, for ours.
    (
        "another worker",
        "0:~foreign, 0:time, 0:new Intake, 0:Intake (same nonce), 4:new Acknowledge,"
        " 2:Acknowledge dies, 0:Foreign (repeat answered)",
    ),
]
QUICK = ["one job", "another worker, partner", "every event lost"]
#: Scenarios that are small enough to follow every schedule by itself.
WHOLE = ["one job", "worker dies", "acknowledgment lost", "one job, partner"]


@pytest.fixture(autouse=True, scope="module")
def surroundings():
    with processes.installed():
        yield


def searched(name: str, steps: int) -> Found:
    """Search a scenario; fails if a promise is broken."""
    scenario = variants()[name]
    found = search(scenario, Left(2, 2), steps)
    if found.broken:
        schedule = shortened(scenario, found.schedule, found.broken)
        story = "\n".join(replayed(scenario, schedule)[1])
        pytest.fail(f"{found.broken}\n{name}: {schedule}\n{story}")
    return found


@pytest.mark.parametrize("name", QUICK)
def test_no_single_deviation_breaks_a_promise(name):
    assert searched(name, 5_000).whole >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("bound", [Left(1, 0), Left(0, 1)], ids=["a preemption", "a fault"])
def test_what_is_left_out_makes_no_difference(name, bound, monkeypatch):
    """Each decided world by itself, interrupted everywhere, with no state merged, ends alike."""
    scenario = variants()[name]
    merged = search(scenario, bound)
    monkeypatch.setattr(searching, "_may_interrupt", lambda *_: True)
    every = [
        search(scenario.varied(nonce_rotates=rotates, repeated=repeated), bound, merges=False)
        for rotates, repeated in itertools.product(*world.UNKNOWN.values())
    ]
    assert [each.broken for each in (merged, *every)] == [""] * 5
    assert merged.ends == set.union(*(each.ends for each in every))
    assert merged.slowest == max(each.slowest for each in every)


@pytest.mark.parametrize(("name", "schedule"), FIXED)
def test_a_schedule_that_once_broke_a_promise_no_longer_does(name, schedule):
    assert replayed(variants()[name], schedule)[0] == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", variants())
def test_no_schedule_breaks_a_promise(name, blocks: Blocks) -> None:
    whole = searched(name, usual_steps(name)).whole
    assert f"\n{name:30} {whole:5} " in blocks.take()


def test_the_same_schedule_gives_the_same_steps():
    scenario, schedule = variants()["one job"], "7:Acknowledge lost"
    broken, story = replayed(scenario, schedule)
    assert not broken
    assert story == replayed(scenario, schedule)[1]
    assert any("acknowledge_job 1 (lost)" in line for line in story)


def printed(commands: str, seconds: float) -> str:
    """What commands print."""
    shell = ["/bin/sh", "-ec", commands]
    done = subprocess.run(
        shell, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_documented_schedule_is_printed(blocks: Blocks) -> None:
    command = blocks.take().replace("make", "make -o .venv/installed")
    assert "* Acknowledge lost " in printed(command, 120)


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.what)
def test_each_break_changes_the_product(each: Break) -> None:
    assert each.old in (ROOT / each.file).read_text()
    assert each.scenario in variants()


@pytest.mark.slow
def test_a_break_of_the_product_is_found(blocks: Blocks) -> None:
    command = f"{blocks.take().strip()} 'worker dies' 'chain of three jobs'"
    assert printed(command, 500).count("\n") == 2


def test_a_schedule_that_cannot_be_followed_is_refused():
    with pytest.raises(ValueError, match="can't be Worker lost"):
        replayed(variants()["one job"], "3:Worker lost")


# -- The state machine ---------------------------------------------------------------------------


class Scripted(World):
    """An execution with scripted answers, as in the state machine's own tests."""

    path: list[str]

    def check_work(self, job_id: str, execution: str) -> None:
        """Check nothing, since there is no job."""

    def _left_state(self, name: str, left: dict[str, Any]) -> None:
        self.path += left["path"]
        super()._left_state(name, left)

    def _enter(self, name: str, argument: Any) -> None:
        self.path.append(argument["state"])
        super()._enter(name, argument)


def played(scenario: Any, job: dict[str, Any]) -> Any:
    """The result of `Machine.run`, with the simulated services."""
    script = scenario.script
    answers = {
        "Job Dispatched": list(script.acknowledge),
        "Job In Progress": list(script.work),
        **{state: list(each) for state, each in script.rows.items()},
    }
    report: Any = SimpleNamespace(reports=[], _report_answers=list(script.report))
    scripted = Scripted(Settings())
    scripted.path = []
    limits = {"AcknowledgeTimeoutSeconds": 1, "HeartbeatTimeoutSeconds": 1, "JobTimeoutSeconds": 2}
    given = {"job": job, "actionType": "Custom/Build/Acknowledger/1", "timeouts": limits}
    given["offeredAt"] = "2026-01-01T00:00:00.000Z"
    scripted._start("x", processes.dumps(given | scenario.input))

    def answer(token: str, said: Any) -> None:
        if said == WORDLESS:
            scripted.answer_token(token, {"error": None, "cause": None})
        elif isinstance(said, tuple):
            scripted.answer_token(token, {"error": said[0], "cause": said[1]})
        elif said != SILENT:
            scripted.answer_token(token, {"output": json.dumps(said)})

    def invoked(actor: Actor) -> None:
        scripted.remove(actor)
        headers: dict[str, str] = {}
        told = json.loads(Machine.answer_report(report, actor.process.program.argument, headers))
        failed = (told["errorType"], told["errorMessage"]) if headers else told
        answer(str(actor.cause), failed)

    while scripted.executions["x"].status == "RUNNING":
        ready = [actor for actor in scripted.actors if actor.until is None]
        waiting = [actor for actor in scripted.actors if actor.name.startswith("WaitFor")]
        if scripted.events:
            event = scripted.events[0]
            scripted.drop(event)
            told = json.loads(event.text)
            if told["detail-type"] in answers and event.function != "Intake":
                answer(told["detail"]["taskToken"], answers[told["detail-type"]].pop(0))
        elif ready:
            invoked(ready[0]) if ready[0].of_function else scripted.step(ready[0])
        elif waiting and waiting[0].token and answers.get(waiting[0].name, [{}]):
            answer(waiting[0].token, answers.setdefault(waiting[0].name, [{}]).pop(0))
        else:
            scripted.pass_time()
    return scripted, report.reports


@pytest.mark.parametrize("scenario", WAYS, ids=lambda scenario: scenario.name)
def test_a_job_takes_the_same_path_as_on_the_local_stack(scenario):
    job = {"id": str(uuid.uuid4()), "nonce": "3", "data": {"pipelineContext": {}}}
    scripted, reports = played(scenario, job)
    ended = scripted.executions["x"]
    assert scripted.path == [*scenario.before, *scenario.then]
    expected = ("FAILED", scenario.error) if scenario.error else ("SUCCEEDED", None)
    assert (ended.status, ended.error) == expected
    assert scenario.cause in (ended.cause or "")
    for report in reports:
        assert (report["execution"], report["offer"]["job"]) == (f"{ARN}x", job)
        report["outcome"].pop("milliseconds", None)
    assert [report["outcome"] for report in reports] == scenario.outcomes


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("repeated", ["InvalidNonceException", "status"])
def test_the_simulated_codepipeline_has_the_switches_of_the_local_one(rotates, repeated):
    simulated = World(Settings(nonce_rotates=rotates, repeated=repeated, events_lost=True))
    simulated.open_action()
    worker = Actor("Foreign", processes.process("x", lambda _: None, "{}"))

    def acknowledged(offer: dict[str, Any]) -> str:
        request = {"jobId": offer["id"], "nonce": offer["nonce"]}
        try:
            return str(simulated.codepipeline(worker, "acknowledge_job", request)["status"])
        except Refused as refused:
            return str(refused.answer["code"])

    (first,) = simulated.codepipeline(worker, "poll_for_jobs", {})["jobs"]
    simulated.pass_time()
    (second,) = simulated.codepipeline(worker, "poll_for_jobs", {})["jobs"]
    assert (first == second) is not rotates
    assert acknowledged(second) == "InProgress"
    again = "InProgress" if repeated == "status" else repeated
    assert acknowledged(second) == again
    assert acknowledged(first) == ("InvalidNonceException" if rotates else again)


def test_a_broken_promise_is_found_with_the_schedule_that_shows_it(monkeypatch):
    def never(*_):
        raise Broken("nothing may be announced")

    monkeypatch.setattr(World, "check_announcement", never)
    found = search(variants()["one job"], Left(1, 1))
    assert found.broken == "nothing may be announced"
    assert shortened(variants()["one job"], found.schedule, found.broken) == ""


def test_an_unexpected_error_of_a_function_is_found(monkeypatch):
    processes.process.cache_clear()
    monkeypatch.setattr(processes.FUNCTIONS["Acknowledge"], "handler", lambda *_: {"y": 1}["x"])
    found = search(variants()["one job"], Left(0, 0))
    processes.process.cache_clear()
    assert found.broken == "Acknowledge raised KeyError('x')"
