"""The fault matrix: every AWS call on a job's way, with everything that can go wrong with it.

`faults.txt` says for each case how the job ends; the stack is held to it. A call that is not in
there fails a test, as does one that is no longer made.

A case is a job of its own, on which one fault befalls one call. Many of them run at once. When all
has come to rest the trouble is over, a minute passes and a sweep comes: what was not acknowledged
is offered again.

With FAULTS=some a case runs for one of the owners and in one of the four worlds, the next case for
the other and in the next; otherwise only every seventh does. With FAULTS=every each runs for both in
each, which takes ten minutes. FAULTS=write does that too and writes the table anew: read the
difference before you believe it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local import acknowledger, codepipeline, functions
from local.codepipeline.jobs import Job, JobStatus
from local.faults import WITHOUT_PROCESS, Call, Faults
from local.server import LocalCloud
from local.stack import Stack
from local.witness import FUNCTIONS, CarefulWorker, Execution, Witness, ids_in, names
from tests.support import ROOT

TABLE = Path(__file__).with_name("faults.txt")
DEFINITION = ROOT / "statemachine" / "job.asl.json"
FAULTS_TRIED = os.environ.get("FAULTS", "few")
WRITE = FAULTS_TRIED == "write"
EVERY = FAULTS_TRIED in ("every", "write")
#: With FAULTS=few every seventh case is tried; calls have four or six faults each.
FEW = 7

WORLDS = {
    f"{nonce} nonce, repeat {repeat}": {"nonce_rotates": rotates, "repeated_acknowledgment": answer}
    for nonce, rotates in (("new", True), ("same", False))
    for repeat, answer in (("refused", "InvalidNonceException"), ("answered", "status"))
}
OWNERS = ("Custom", "ThirdParty")
FAULTS = ("dies before", "dies after", "error", "error stays", "answer lost", "throttled")
OF_MACHINE = (*WITHOUT_PROCESS, "error stays")

#: The SDK tries four times; what is left is for Lambda, EventBridge and the state machine.
THROTTLES = 5

#: Much longer than a run takes, so that nothing is offered again before its time.
OFFERED_AGAIN_SECONDS = 900

#: What a job's configuration is on each way, and how its action ends if nothing goes wrong.
WAYS: dict[str, tuple[dict[str, str], str]] = {
    "succeeds": ({"Outcome": "Succeed"}, "Succeeded"),
    # Its STARTED event comes before the job can be polled.
    "late": ({"Outcome": "Succeed"}, "Succeeded"),
    # Somebody stops its pipeline, without waiting for it.
    "abandoned": ({"Outcome": "Hang", "JobTimeoutSeconds": "8"}, "Abandoned"),
    "fails": ({"Outcome": "Fail"}, "Failed"),
    "times out": ({"Outcome": "Hang", "JobTimeoutSeconds": "1"}, "Failed"),
    # Acknowledge is never told of it.
    "unheard": ({"Outcome": "Succeed", "AcknowledgeTimeoutSeconds": "1"}, "Failed"),
    # Another worker is quicker to acknowledge it, and holds it.
    "lost": ({"Outcome": "Succeed"}, "InProgress"),
    # Somebody stops its execution while it is worked.
    "stopped": ({"Outcome": "Hang"}, "Failed"),
    # It could not be reported, for hours. Then its pipeline is stopped.
    "unreported": ({"Outcome": "Fail"}, "Abandoned"),
}
#: Calls that are repeated until something is found: how often is a matter of time.
LOOKS = re.compile(
    r"(Intake|Stop) (Query JobTable|GetExecutionHistory|GetItem IntakeTable) #\d+"
    r"|Intake PollFor\w+ #([3-9]|\d\d+)"
)


@dataclass(frozen=True, order=True)
class Case:
    """One line of the table, for one owner in one world."""

    way: str
    owner: str
    caller: str
    call: str
    fault: str


@dataclass
class Trial:
    """A case in a world, or with no case a job to which nothing happens.

    marks: what its job is known by in requests and events.
    calls: what was called on its way, in order.
    lifted: whether the trouble is over.
    """

    case: Case | None
    way: str
    owner: str
    pipeline: str
    marks: tuple[str, ...] = ()
    job_id: str = ""
    hits: int = 0
    lifted: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)
    taken_by_another: bool = False
    again: bool = False

    def choose(self, call: Call) -> Any:
        made = (call.caller, call.name)
        by_chance = call.name.startswith("DescribeExecution") and self.way != "unreported"
        if (
            call.attempt == 1
            and made not in self.calls
            and not by_chance
            and not LOOKS.fullmatch(" ".join(made))
        ):
            self.calls.append(made)
        if self.lifted:
            return None
        case = self.case
        if case and (case.caller, case.call) == (call.caller, call.name):
            self.hits += 1
            if case.fault == "error stays":
                return "error"
            if self.hits <= (THROTTLES if case.fault == "throttled" else 1):
                return case.fault
        elif self.way == "unheard" and call.caller == "Acknowledge state":
            return "swallowed"
        elif self.way == "unreported" and (
            call.caller == "ReportFailure state"
            or (call.caller == "Stop" and "FailureResult" in call.name)
        ):
            return "error"
        return None


@dataclass(frozen=True)
class End:
    """What became of a trial.

    path: its executions, each by the states that are not on the usual way; "again" where the job
        was offered again.
    end: how the row, the action and CodePipeline's job ended, and where dead letters lie.
    """

    path: str
    end: str


@dataclass(frozen=True)
class Found:
    """What a run found out about a case.

    wrong: the promises that were broken.
    """

    end: End
    wrong: tuple[str, ...]
    hit: bool


class Matrix:
    """The running stack, and the trials in it."""

    def __init__(self, cloud: LocalCloud, stack: Stack) -> None:
        self.cloud, self.stack = cloud, stack
        self.witness = Witness(cloud, stack)
        self.emulator = self.witness.emulator
        self.worker = CarefulWorker(cloud, stack)
        self.trials: list[Trial] = []
        self.by_mark: dict[str, Trial] = {}
        self.numbers = itertools.count(1)
        self.starting = threading.Lock()
        #: The states of each way where nothing goes wrong.
        self.usual: dict[str, list[str]] = {}
        definition = json.loads(DEFINITION.read_text())
        self.choices = {
            name for name, state in definition["States"].items() if state["Type"] == "Choice"
        }
        self.lanes: dict[str, threading.Lock] = defaultdict(threading.Lock)
        client = cloud.client("events")
        for rule in client.list_rules(EventBusName="default")["Rules"]:
            if "STARTED" in rule.get("EventPattern", ""):
                client.disable_rule(Name=rule["Name"])

    # -- Faults -------------------------------------------------------------------------------

    def choose(self, call: Call) -> Any:
        trial = self.trial_of(call)
        if trial is None:
            return None
        if trial.way == "lost" and call.caller == "Acknowledge" and not trial.taken_by_another:
            trial.taken_by_another = True
            self.be_quicker(trial.job_id)
        if trial.way == "late" and call.name == "Query JobTable":
            self.be_offered(trial.job_id)
        return trial.choose(call)

    def trial_of(self, call: Call) -> Trial | None:
        """The trial whose job a call is about; without a job in it, by the function's event."""
        about = self.by_mark
        for text in (call.body, call.event):
            for mark in ids_in(text):
                if mark in about:
                    return about[mark]
        return None

    def be_quicker(self, job_id: str) -> None:
        """Be another worker that was offered the job again, and acknowledges it at once."""
        with self.emulator.step():
            board = self.emulator._board
            job = board.find(job_id)
            board._queue(job)
            board._dispatch(job)
            board.acknowledge(job, job.nonce)

    def be_offered(self, job_id: str) -> None:
        """Let a job be polled from now on that was Created until now."""
        with self.emulator.step():
            job = self.emulator._board.find(job_id)
            if job.status is JobStatus.CREATED:
                self.emulator._board._queue(job)

    # -- Trials -------------------------------------------------------------------------------

    def begin(self, case: Case | None, way: str, owner: str, lane: str = "") -> Trial:
        """Start a pipeline with one job, and know the job."""
        trial = Trial(case, way, owner, f"pipeline-{next(self.numbers)}")
        configuration = dict(WAYS[way][0])
        if case and case.fault == "error stays" and case.call.startswith("SendTask"):
            configuration["AcknowledgeTimeoutSeconds"] = "5"
        kind = self.kind(owner, lane)
        role = f"arn:aws:iam::{self.cloud.account_id}:role/{acknowledger.PIPELINE_ROLE}"
        if owner == "ThirdParty" and (case is None or case.call == "GetParameter"):
            self.new_client(trial.pipeline)
        action = {"name": "Work", "configuration": configuration}
        client = self.cloud.client("codepipeline")
        client.create_pipeline(
            pipeline=acknowledger.pipeline(trial.pipeline, kind, {"Build": [action]}, role)
        )
        with self.starting:
            if way == "late":
                self.emulator.behaviour.started_before_queued_seconds = OFFERED_AGAIN_SECONDS
            client.start_pipeline_execution(name=trial.pipeline)
            self.emulator.behaviour.started_before_queued_seconds = 0
        job = self.witness.job_of(trial.pipeline)
        run = job.action.run
        trial.job_id, trial.marks = job.id, (job.id, job.action.id, run.pipeline_execution_id)
        self.trials.append(trial)
        self.by_mark = {**self.by_mark, **dict.fromkeys(trial.marks, trial)}
        return trial

    def kind(self, owner: str, lane: str) -> str:
        if not lane:
            custom = owner == "Custom"
            return acknowledger.CUSTOM_ACTION_TYPE if custom else acknowledger.PARTNER_ACTION_TYPE
        return f"{'Build' if owner == 'Custom' else 'Deploy'}/{owner}/{lane}/1"

    def new_client(self, pipeline: str) -> None:
        """Give a pipeline's partner action a client whose token no function knows yet."""
        client_id = str(uuid.uuid4())
        self.emulator.put_client(client_id, f"token-{client_id}")
        self.emulator.bind_client(client_id, pipeline)
        self.cloud.client("ssm").put_parameter(
            Name=self.stack.parameters["ClientTokenPrefix"] + client_id,
            Value=f"token-{client_id}",
            Type="SecureString",
        )

    def tell_intake(self, trial: Trial, lane: str = "") -> None:
        """Let Intake look for a job, as its STARTED event does."""
        kind = acknowledger.action_type_id(self.kind(trial.owner, lane))
        detail = {
            "pipeline": trial.pipeline,
            "execution-id": "-",
            "stage": "Build",
            "action": "Work",
            "action-execution-id": trial.marks[1],
            "state": "STARTED",
            "type": kind,
        }
        event = {"detail-type": "CodePipeline Action Execution State Change", "detail": detail}
        self.cloud.client("lambda").invoke(
            FunctionName=self.stack.outputs["IntakeFunctionName"],
            InvocationType="Event",
            Payload=json.dumps(event),
        )

    def cut_short(self, trials: list[Trial]) -> None:
        """End the jobs whose way that is, once a worker has them."""
        machine = self.stack.outputs["JobStateMachineArn"].replace("stateMachine", "execution")
        for trial in trials:
            if trial.way not in ("abandoned", "stopped", "unreported"):
                continue
            self.witness.wait(partial(self.worker.jobs.__contains__, trial.job_id), "a worker", 30)
            if trial.way == "unreported":
                self.witness.wait(partial(self.is_over, trial), "it to be given up", 60)
                self.witness.wait(partial(self.handled, trial), "Stop to give it up too", 60)
            if trial.way == "stopped":
                (execution,) = self.witness.executions(trial.job_id)[trial.job_id]
                self.cloud.client("stepfunctions").stop_execution(
                    executionArn=f"{machine}:{execution.name}", error="Operator", cause="lunch"
                )
            else:
                run = self.emulator._board.find(trial.job_id).action.run
                self.cloud.client("codepipeline").stop_pipeline_execution(
                    pipelineName=trial.pipeline,
                    pipelineExecutionId=run.pipeline_execution_id,
                    abandon=True,
                    reason="lunch",
                )

    def is_over(self, trial: Trial) -> bool:
        """Whether no execution works the trial's job any more."""
        ended = [
            one.status != "RUNNING" for one in self.witness.executions(trial.job_id)[trial.job_id]
        ]
        return all(ended)

    # -- Runs ---------------------------------------------------------------------------------

    def record(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """What is called on each way for each owner, where nothing goes wrong."""
        found = {}
        self.behave("new nonce, repeat refused")
        for owner in OWNERS:
            for way in WAYS:
                trial = self.begin(None, way, owner)
                self.tell_intake(trial)
                self.cut_short([trial])
                self.witness.settle(60)
                found[way, owner] = trial.calls
                (execution,) = self.witness.executions(trial.job_id)[trial.job_id]
                self.usual[way] = self.steps(execution)
        return found

    def behave(self, world: str) -> None:
        self.emulator.behaviour = codepipeline.Behaviour(
            started_before_queued_seconds=0,
            acknowledge_seconds=OFFERED_AGAIN_SECONDS,
            batch_cap=1,
            **WORLDS[world],
        )

    def run(self, world: str, cases: list[Case]) -> dict[Case, Found]:
        """Run cases in a world, all that don't disturb each other at once."""
        self.behave(world)
        self.trials, self.by_mark = [], {}
        letters_before = {name: len(all_of) for name, all_of in self.witness.letters().items()}
        of_intake = [case for case in cases if case.caller == "Intake"]
        others = [case for case in cases if case.caller != "Intake"]
        # Long ones first.
        others.sort(key=lambda case: (case.fault != "error stays", case.way != "unheard"))
        for case in of_intake:
            if case.call == "ListActionTypes":
                functions.runner().cool()
                self.run_intake(case)
        with ThreadPoolExecutor(6) as pool:
            rest = [case for case in of_intake if case.call != "ListActionTypes"]
            lanes = list(pool.map(self.run_intake, rest, chunksize=1)) if rest else []
            del lanes
        for start in range(0, len(others), 12):
            batch = others[start : start + 12]
            self.witness.wait(lambda: self.witness.running() < 24, "room", 60)
            trials = [self.begin(case, case.way, case.owner) for case in batch]
            for owner in OWNERS:
                if mine := [trial for trial in trials if trial.owner == owner]:
                    self.tell_intake(mine[-1])
            self.cut_short(trials)
        self.witness.settle(120)
        before = self.witness.executions()
        for trial in self.trials:
            trial.lifted = True
        self.emulator.clock.advance(OFFERED_AGAIN_SECONDS + 1)
        self.cloud.schedule.fire()
        self.witness.settle(60)
        return self.ends(before, letters_before)

    def run_intake(self, case: Case) -> None:
        """Run a case of Intake's, alone on an action type, until Intake is through with it."""
        lane = next(self.free_lanes(case.owner))
        try:
            trial = self.begin(case, case.way, case.owner, lane)
            self.tell_intake(trial, lane)
            self.witness.wait(partial(self.handled, trial), f"Intake: {case}", 60)
            trial.lifted = True
            with self.emulator.step():
                job = self.emulator._board.find(trial.job_id)
                left = job.status.value == "Queued"
            if left:  # nobody has polled it, so that it may be swept at once
                trial.again = True
                self.tell_intake(trial, lane)
                self.witness.wait(partial(self.handled, trial), f"Intake again: {case}", 60)
        finally:
            self.lanes[f"{case.owner} {lane}"].release()

    def free_lanes(self, owner: str) -> Iterator[str]:
        while True:
            for lane in LANES:
                if self.lanes[f"{owner} {lane}"].acquire(timeout=0.02):
                    yield lane

    @staticmethod
    def handled(trial: Trial) -> bool:
        """Whether no function has an event that tells of the trial's action any more."""
        return not any(trial.marks[1] in event for event in functions.runner().unfinished())

    # -- What became of it --------------------------------------------------------------------

    def ends(
        self, before: dict[str, list[Execution]], letters_before: dict[str, int]
    ) -> dict[Case, Found]:
        after, rows = self.witness.executions(), self.witness.rows()
        letters = {
            name: all_of[letters_before[name] :] for name, all_of in self.witness.letters().items()
        }
        jobs = {job.id: job for job in self.witness.jobs()}
        found = {}
        for trial in self.trials:
            if trial.case is None:
                continue
            executions = after.get(trial.job_id, [])
            first = len(before.get(trial.job_id, []))
            paths = [self.told(one, trial) for one in executions]
            if trial.again or len(executions) > first:
                paths.insert(0 if trial.again else first, "again")
            handed = len(self.worker.jobs[trial.job_id].tokens)
            if handed > 1:
                paths.append(f"handed over {handed} times")
            row = rows.get(trial.job_id, {}).get("status", {}).get("S", "none")
            job = jobs[trial.job_id]
            told = [
                name
                for name, all_of in letters.items()
                if any(mark in body for body, _ in all_of for mark in trial.marks)
            ]
            end = f"row {row}, job {job.status.value}, action {job.action.status}"
            if told:
                end += f", dead letter of {' and '.join(told)}"
            wrong = self.broken(trial, executions, job, lies_somewhere=bool(told))
            found[trial.case] = Found(End("; ".join(paths), end), wrong, trial.hits > 0)
        return found

    def broken(
        self, trial: Trial, executions: list[Execution], job: Job, *, lies_somewhere: bool
    ) -> tuple[str, ...]:
        """The promises that were not kept with a trial's job."""
        work = self.worker.jobs[trial.job_id]
        wrong = []
        if work.times > 1 or sum("Work" in one.path for one in executions) > 1:
            wrong.append("worked twice")
        if trial.way == "lost":
            if work.times or job.result:
                wrong.append("touched, though another worker holds it")
            return tuple(wrong)
        waits = job.status is JobStatus.QUEUED
        if not (job.action.status != "InProgress" or waits or lies_somewhere):
            wrong.append("lost")
        result = json.loads(job.result or "{}")
        if job.status is JobStatus.SUCCEEDED:
            told = result.get("executionDetails", {}).get("externalExecutionId")
            if work.answer != "Succeed" or told != trial.job_id:
                wrong.append("reported as succeeded, which it did not")
        elif job.status is JobStatus.FAILED:
            message = result["failureDetails"]["message"]
            own = trial.job_id in message if work.answer == "Fail" else work.answer != "Succeed"
            if not own:
                wrong.append("reported with an outcome that is not its own")
        return tuple(wrong)

    def steps(self, execution: Execution) -> list[str]:
        """The states that an execution entered, without those that only choose."""
        return [name for name in names(execution.path) if name not in self.choices]

    def told(self, execution: Execution, trial: Trial) -> str:
        """An execution by the states in which it left the usual way."""
        usual = self.usual[trial.way]
        path = self.steps(execution)
        end = execution.status.lower()
        if path == usual:
            return "as ever" if end != "running" else "as ever, running"
        pairs = zip(path, usual, strict=False)
        same = list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        left = " > ".join(path[max(0, len(same) - 1) :])
        return left if end != "running" else f"{left}, running"


LANES = ("One", "Two", "Three")


@contextmanager
def running() -> Iterator[Matrix]:
    types = [acknowledger.CUSTOM_ACTION_TYPE, acknowledger.PARTNER_ACTION_TYPE]
    lanes = [
        f"{category}/{owner}/{lane}/1"
        for category, owner in (("Build", "Custom"), ("Deploy", "ThirdParty"))
        for lane in LANES
    ]
    holder: list[Matrix] = []
    faults = Faults(lambda call: holder[0].choose(call) if holder else None)
    with acknowledger.running(
        parameters={"ActionTypes": ",".join(types + lanes)},
        worker=False,
        retry_delays=(0.05, 0.05),
        retry_scale=0.0005,
        sleep_scale=0.04,
        faults=faults,
    ) as (cloud, stack):
        for lane in lanes:
            if "/Custom/" in lane:
                acknowledger.register(cloud, stack, lane)
        made = Matrix(cloud, stack)
        holder.append(made)
        try:
            yield made
        finally:
            holder.clear()
            made.worker.stop()


# -- The table ------------------------------------------------------------------------------------

COLUMNS = ("way", "owner", "caller", "call", "fault", "world", "path", "end", "note")


@dataclass(frozen=True)
class Row:
    """One line of the table, which stands for one or more cases in one or more worlds."""

    way: str
    owner: str
    caller: str
    call: str
    fault: str
    world: str
    path: str
    end: str
    note: str = ""

    def cases(self) -> list[Case]:
        owners = OWNERS if self.owner == "both" else (self.owner,)
        return [Case(self.way, owner, self.caller, self.call, self.fault) for owner in owners]

    def worlds(self) -> list[str]:
        if self.world.startswith("any but "):
            return [world for world in WORLDS if world not in self.world]
        return [world for world in WORLDS if self.world == "any" or self.world in world]


def read_table() -> list[Row]:
    lines = TABLE.read_text().splitlines()
    table = [line for line in lines if "|" in line]
    return [Row(*(cell.strip() for cell in line.split("|"))) for line in table[1:]]


Lines = dict[tuple[Case, str], tuple[End, str]]


def table_of(found: dict[tuple[Case, str], Found]) -> Lines:
    """What is to stand in the table: what was found, but what stood for a bug is left as it is."""
    old = expected() if TABLE.exists() else {}

    def line(key: tuple[Case, str], now: Found) -> tuple[End, str]:
        before = old.get(key)
        differs = before and End(before.path, before.end) != now.end
        if before and (
            before.note.startswith("race") or (before.note.startswith("bug") and differs)
        ):
            return End(before.path, before.end), before.note
        note = before.note if before and now.wrong else ""
        return now.end, note or "; ".join(now.wrong)

    return {key: line(key, now) for key, now in found.items()}


def write_table(lines: Lines) -> None:
    """Write the table, in as few lines as say it."""
    rows, done = [], set()
    for case in dict.fromkeys(case for case, _ in lines):
        if case in done:
            continue
        other = replace(case, owner=OWNERS[1])
        mine = {world: lines[case, world] for world in WORLDS}
        both = case != other and mine == {world: lines.get((other, world)) for world in WORLDS}
        done |= {case, other} if both else {case}
        told = replace(case, owner="both") if both else case
        rows += [
            Row(*astuple(told), world, end.path, end.end, note)
            for world, (end, note) in together(mine)
        ]
    cells = [COLUMNS, *(astuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    text = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    TABLE.write_text(HEAD + "\n".join(text) + "\n")


def together(ends: dict[str, Any]) -> list[tuple[str, Any]]:
    """Worlds that end alike under one name."""
    for names_of in (["any"], ["new nonce", "same nonce"], ["repeat refused", "repeat answered"]):
        groups = {
            name: {end for world, end in ends.items() if name == "any" or name in world}
            for name in names_of
        }
        if all(len(group) == 1 for group in groups.values()):
            return [(name, next(iter(group))) for name, group in groups.items()]
    for odd, its_end in ends.items():
        rest = {end for world, end in ends.items() if world != odd}
        if len(rest) == 1:
            return [(f"any but {odd}", rest.pop()), (odd, its_end)]
    return list(ends.items())


HEAD = """\
The fault matrix: how a job ends if one thing goes wrong with one call on its way.

way     succeeds    the worker succeeds
        late        as that, but the job can be polled only some time after its STARTED event
        abandoned   its pipeline is stopped without waiting for it, while a worker has it
        fails       the worker fails
        times out   the worker does not answer within JobTimeoutSeconds
        unheard     nobody acknowledges it within AcknowledgeTimeoutSeconds
        lost        another worker is offered it again, and acknowledges it first
        stopped     its execution is stopped by hand, while a worker has it
        unreported  the worker fails, and neither Report nor Stop can tell CodePipeline; then its
                    pipeline is stopped
owner   Custom, ThirdParty, or both
caller  a function; or, with "state" after its name, a state of the state machine
call    the AWS operation; "#2" is the second such call of an invocation
fault   dies before   the process dies before the call
        dies after    the process dies after the call took effect
        error         the call is answered with an internal error, once
        error stays   the call is answered with an internal error until all has come to rest
        answer lost   the call takes effect, and the connection is cut; once
        throttled     the first five tries are turned away
world   whether an offer that is repeated has a new nonce or the same, and whether a repeated
        acknowledgment is refused or answered; "any" is all four. Where the nonce stays the same
        and repeats are answered, CodePipeline gives a job to everybody who asks for it, so that
        nobody loses it
path    the job's executions, each by the states that are off the usual way, from the last one that
        is on it; "as ever" is the usual way; "again": when the trouble was over, the job was
        offered again
end     the job's row, CodePipeline's job and its action; where dead letters of it are

note    "bug: …"    the line says how the case should end, which it does not yet
        "race: …"   the line says how the case should end, which it does not always
        "limit: …"  the case breaks a promise, for that reason; all others keep them all

"""


def all_cases(calls: dict[tuple[str, str], list[tuple[str, str]]]) -> list[Case]:
    """Every fault of every call, on the first way on which that call is made."""
    cases, seen = [], set()
    for way in WAYS:
        for owner in OWNERS:
            for caller, call in calls[way, owner]:
                if (owner, caller, call) not in seen or (way, caller) == ("lost", "Acknowledge"):
                    seen.add((owner, caller, call))
                    kinds = FAULTS if caller in FUNCTIONS else OF_MACHINE
                    cases += [Case(way, owner, caller, call, fault) for fault in kinds]
    return cases


# -- The tests ------------------------------------------------------------------------------------


@dataclass
class Results:
    """What one run found: the calls of every way, and how every case ended that it tried."""

    calls: dict[tuple[str, str], list[tuple[str, str]]]
    found: dict[tuple[Case, str], Found]


@pytest.fixture(scope="module")
def results() -> Results:
    with running() as matrix:
        calls = matrix.record()
        cases = all_cases(calls)
        chosen = choose(cases if WRITE else [case for row in read_table() for case in row.cases()])
        found = {
            (case, world): each
            for world, cases_of in chosen.items()
            for case, each in matrix.run(world, cases_of).items()
        }
    if WRITE:
        in_order = sorted(found, key=lambda key: cases.index(key[0]))
        write_table(table_of({key: found[key] for key in in_order}))
    return Results(calls, found)


def choose(cases: list[Case]) -> dict[str, list[Case]]:
    """The cases that are tried in each world: all in all, or as many as there is time for."""
    cases = list(dict.fromkeys(cases))
    if EVERY:
        return dict.fromkeys(WORLDS, cases)
    alike: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for case in cases:
        alike[case.way, case.caller, case.call, case.fault].append(case)
    chosen: dict[str, list[Case]] = {world: [] for world in WORLDS}
    for number, group in enumerate(alike.values()):
        if FAULTS_TRIED == "few" and number % FEW:
            continue
        world = list(WORLDS)[number % len(WORLDS)]
        chosen[world].append(group[number // len(WORLDS) % len(group)])
    return chosen


def expected() -> dict[tuple[Case, str], Row]:
    return {
        (case, world): row for row in read_table() for case in row.cases() for world in row.worlds()
    }


def test_every_call_on_a_jobs_way_is_in_the_table_and_no_other(results):
    made = {
        (owner, caller, call)
        for (_, owner), calls in results.calls.items()
        for caller, call in calls
    }
    listed = {(case.owner, case.caller, case.call) for row in read_table() for case in row.cases()}
    assert (made - listed, listed - made) == (set(), set())


def test_every_call_has_all_its_faults_in_every_world():
    table = expected()
    calls = {(case.way, case.owner, case.caller, case.call) for case, _ in table}
    wanted = {
        (Case(*call, fault), world)
        for call in calls
        for fault in (OF_MACHINE if call[2].endswith(" state") else FAULTS)
        for world in WORLDS
    }
    assert (wanted - table.keys(), table.keys() - wanted) == (set(), set())


def test_every_case_ends_as_the_table_says(results):
    table = expected()
    wrong = []
    for (case, world), found in results.found.items():
        row = table[case, world]
        as_said = found.end == End(row.path, row.end)
        if not found.hit and not row.note.startswith("limit"):
            wrong.append(f"{case} in {world}: the call was not made")
        elif as_said == row.note.startswith("bug") and not row.note.startswith("race"):
            said = f"{row.path} | {row.end} | {row.note}"
            wrong.append(f"{case} in {world}: {found.end.path} | {found.end.end}, not {said}")
    assert not wrong, "\n".join(wrong)


def test_no_promise_is_broken_but_where_the_table_says_why(results):
    table = expected()
    broken = [
        f"{case} in {world}: {', '.join(found.wrong)}"
        for (case, world), found in results.found.items()
        if found.wrong and not table[case, world].note
    ]
    assert not broken, "\n".join(broken)


def test_the_table_excuses_nothing_that_is_kept(results):
    table = expected()
    kept = [
        f"{case} in {world}"
        for (case, world), found in results.found.items()
        if not found.wrong and table[case, world].note.startswith("limit")
    ]
    assert not kept, "\n".join(kept)
