"""The fault matrix: every AWS call that is made for a job, with every fault that it can have.

`faults.txt` says for each case how the job ends, and the stack must do the same. A call that is not
in the table fails a test, as does a call in the table that is no longer made.

A case is one job with one fault in one call. Many cases run at once. When all activity has ended,
the faults stop, time passes and a sweep runs: jobs that were not acknowledged are offered again,
and no execution that is over may hold room.

With FAULTS=some each case runs for one owner and in one of the four worlds, the next case for the
other owner and in the next world; by default, only every 29th case runs. With FAULTS=every each
case runs for both owners in each world, which takes twenty minutes. FAULTS=write does that, too,
and rewrites the table: review the difference before you commit it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import moto_codepipeline
from acknowledger.moments import ago, now
from acknowledger.table import plain, typed
from acknowledger.upkeep import LEAK_SECONDS
from local import acknowledger
from local.aws import functions
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from moto_codepipeline import models
from moto_codepipeline.jobs import Job, JobStatus
from tests.resilience.faults import WITHOUT_PROCESS, Call, Faults
from tests.resilience.witness import CarefulWorker, Execution, Witness, ids_in, names
from tests.support import ROOT, load_event, wait_for

pytestmark = pytest.mark.slow

TABLE = Path(__file__).with_name("faults.txt")
DEFINITION = ROOT / "statemachine" / "job.asl.json"
FAULTS_TRIED = os.environ.get("FAULTS", "few")
WRITE = FAULTS_TRIED == "write"
EVERY = FAULTS_TRIED in ("every", "write")
#: With FAULTS=few every 29th case is tried, and one for each way; calls have four or six faults.
FEW = 29

WORLDS: dict[str, dict[str, Any]] = {
    f"{nonce} nonce/{repeat}": {"nonce_rotates": rotates, "repeated_acknowledgment": answer}
    for nonce, rotates in (("new", True), ("same", False))
    for repeat, answer in (("refused", "InvalidNonceException"), ("answered", "status"))
}
OWNERS = ("Custom", "ThirdParty")
FAULTS = ("dies before", "dies after", "error", "error stays", "answer lost", "throttled")
OF_MACHINE = (*WITHOUT_PROCESS, "error stays")

#: The SDK tries four times; after that, Lambda, EventBridge and the state machine retry.
THROTTLES = 5

#: Much longer than a run takes, so that nothing is offered again before its time.
OFFERED_AGAIN_SECONDS = 900

#: A job's configuration for each way; `faults.txt` says what happens on it.
WAYS: dict[str, dict[str, str]] = {
    "succeeds": {"Outcome": "Succeed"},
    "late": {"Outcome": "Succeed"},
    "abandoned": {"Outcome": "Hang", "JobTimeoutSeconds": "60"},
    "fails": {"Outcome": "Fail"},
    "times out": {"Outcome": "Hang", "JobTimeoutSeconds": "1"},
    "unheard": {"Outcome": "Succeed", "AcknowledgeTimeoutSeconds": "1"},
    "lost": {"Outcome": "Succeed"},
    "stopped": {"Outcome": "Hang"},
    "unreported": {"Outcome": "Fail"},
    "progress": {"Outcome": "Hang"},
    "joined again": {"Outcome": "Hang"},
    "ends first": {"Outcome": "Hang"},
    "offered again": {"Outcome": "Hang"},
    "has room": {"Outcome": "Succeed"},
    "waits": {"Outcome": "Succeed"},
}
#: The moves of a way; each comes when all activity after the one before has ended. They are methods
#: of `Matrix`. A worker that hangs succeeds at the end, when faults have stopped.
SCRIPTS: dict[str, tuple[str, ...]] = {
    "progress": ("is_offered", "tells_progress", "is_continued", "succeeds"),
    "joined again": ("is_offered", "tells_progress", "is_continued", "is_offered_again"),
    "ends first": ("is_offered", "tells_progress", "succeeds", "is_continued"),
    "offered again": ("is_offered", "is_offered_again"),
    "has room": ("is_offered",),
    "waits": ("is_offered", "gets_room"),
}
#: Calls that are also made on an earlier way, but there for another reason.
FOR_ANOTHER_REASON = re.compile(
    r"lost Acknowledge .*|(has room|waits) Intake( at an end)? UpdateItem IntakeTable"
)
#: Calls that are repeated until something is found: their number depends on timing.
LOOKS = re.compile(
    r"(Intake.*|Stop) (Query JobTable|GetExecutionHistory|GetItem (Intake|Job)Table) #\d+"
    r"|Intake.* PollFor\w+ #([3-9]|\d\d+)"
    # This depends on whether the process has made the call before.
    r"|Intake at an end ListActionTypes"
)
TOKEN = re.compile(r"AQC[\w+/=]{100,}")


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
    """A case in a world, or, without a case, a job without faults.

    marks: the ids that identify its job in requests and events.
    calls: the calls that were made for it, in order.
    lifted: whether faults have stopped.
    before: how many executions there were by then.
    forestalled: whether another worker or job has been first.
    """

    case: Case | None
    way: str
    owner: str
    pipeline: str
    lane: str = ""
    marks: tuple[str, ...] = ()
    job_id: str = ""
    hits: int = 0
    lifted: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)
    before: int = 0
    forestalled: bool = False
    again: bool = False
    hour_later: bool = False

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
        elif self.way == "unheard" and call.caller == "Dispatched state":
            return "swallowed"
        elif self.way == "unreported" and (
            call.caller == "Report state"
            or (call.caller == "Stop" and "FailureResult" in call.name)
        ):
            return "error"
        return None


@dataclass(frozen=True)
class Found:
    """How a case ended.

    path: its executions, each by the states that are not on the usual path; "again" if the job was
        offered again.
    end: how the row, the action and CodePipeline's job ended, and where dead letters are.
    wrong: the promises that were broken.
    """

    path: str
    end: str
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
        #: The task tokens of executions that wait for the next job; calls with them name no job.
        self.by_token: dict[str, Trial] = {}
        self.numbers = itertools.count(1)
        self.starting = threading.Lock()
        #: The states of each way's executions without faults.
        self.usual: dict[str, list[list[str]]] = {}
        definition = json.loads(DEFINITION.read_text())
        self.choices = {
            name for name, state in definition["States"].items() if state["Type"] == "Choice"
        }
        self.lanes: dict[str, threading.Lock] = defaultdict(threading.Lock)
        client = cloud.client("events")
        for rule in client.list_rules(EventBusName="default")["Rules"]:
            if "STARTED" in rule.get("EventPattern", ""):
                client.disable_rule(Name=rule["Name"])
        self.rooms = self.stack.outputs["IntakeTableName"]
        for action_type in acknowledger.action_types(stack):
            self.put_room(action_type)

    # -- Faults -------------------------------------------------------------------------------

    def choose(self, call: Call) -> Any:
        trial = self.trial_of(call)
        if trial is None:
            return None
        call = replace(call, caller=caller(call))
        if trial.way == "lost" and call.caller == "Acknowledge" and not trial.forestalled:
            trial.forestalled = True
            self.be_quicker(trial.job_id)
        takes_room = (call.caller, call.name) == ("Intake", "UpdateItem IntakeTable")
        if trial.way == "waits" and takes_room and not trial.forestalled:
            trial.forestalled = True
            holder = {"jobId": "another's", "since": now(), "told": True}
            self.put_room(self.kind(trial.owner, trial.lane), {self.other(trial): holder})
        if trial.way == "late" and call.name == "Query JobTable":
            self.be_offered(trial.job_id)
        return trial.choose(call)

    def trial_of(self, call: Call) -> Trial | None:
        """The trial whose job a call is about, by its request or else by the function's event."""
        about = self.by_mark
        for text in (call.body, call.event):
            # In an execution's name, the id of a partner's job has a hyphen.
            for found in ids_in(text.replace("partner-job-", "partner-job/")):
                job = self.emulator._board.find(found)
                mark = job.action.id if job else found
                if mark in about:
                    if call.caller == "WaitForNextJob state":
                        self.by_token |= dict.fromkeys(TOKEN.findall(call.body), about[mark])
                    return about[mark]
        return next(map(self.by_token.get, TOKEN.findall(call.body)), None)

    def be_quicker(self, job_id: str) -> None:
        """As another worker, get the job offered again and acknowledge it at once."""
        with self.emulator.step():
            board = self.emulator._board
            job = board.find(job_id)
            board._queue(job)
            board._dispatch(job)
            board.acknowledge(job, job.nonce)

    def be_offered(self, job_id: str) -> None:
        """Let a job that is Created be polled from now on."""
        with self.emulator.step():
            job = self.emulator._board.find(job_id)
            if job.status is JobStatus.CREATED:
                self.emulator._board._queue(job)

    # -- Trials -------------------------------------------------------------------------------

    def begin(self, case: Case | None, way: str, owner: str, lane: str = "") -> Trial:
        """Start a pipeline with one job, and register the job's ids."""
        trial = Trial(case, way, owner, f"pipeline-{next(self.numbers)}", lane)
        configuration = dict(WAYS[way])
        if case and case.fault == "error stays" and case.call.startswith("SendTask"):
            configuration["AcknowledgeTimeoutSeconds"] = "5"
        kind = self.kind(owner, lane)
        if owner == "ThirdParty" and (case is None or case.call == "GetParameter"):
            self.new_client(trial.pipeline)
        action = {"name": "Work", "configuration": configuration}
        with self.starting:
            if way == "late":
                self.emulator.behaviour.started_before_queued_seconds = OFFERED_AGAIN_SECONDS
            self.witness.start(trial.pipeline, kind, [action])
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
        return f"{owner}/{'Build' if owner == 'Custom' else 'Deploy'}/{lane}/1"

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

    def tell_intake(self, trial: Trial) -> None:
        """Let Intake look for a job, with its STARTED event."""
        kind = acknowledger.action_type_id(self.kind(trial.owner, trial.lane))
        detail = {
            "pipeline": trial.pipeline,
            "execution-id": "-",
            "stage": "Build",
            "action": "Work",
            "action-execution-id": trial.marks[1],
            "state": "STARTED",
            "type": kind,
        }
        self.invoke_intake("CodePipeline Action Execution State Change", detail)

    def invoke_intake(self, kind: str, detail: dict[str, Any]) -> None:
        self.cloud.client("lambda").invoke(
            FunctionName=self.stack.outputs["IntakeFunctionName"],
            InvocationType="Event",
            Payload=json.dumps({"detail-type": kind, "detail": detail}),
        )

    def cut_short(self, trials: list[Trial]) -> None:
        """End the jobs whose way says so, once a worker has them."""
        machine = self.stack.outputs["JobStateMachineArn"].replace("stateMachine", "execution")
        for trial in trials:
            if trial.way not in ("abandoned", "stopped", "unreported"):
                continue
            wait_for(partial(self.worker.jobs.__contains__, trial.job_id), "a worker", 30)
            if trial.way == "unreported":
                wait_for(partial(self.is_over, trial), "the execution to end", 60)
                wait_for(partial(self.handled, trial), "Stop to give up as well", 60)
            if trial.way == "stopped":
                (execution,) = self.executions(trial)
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
        """Whether no execution for the trial's job runs any more."""
        return all(one.job_id != trial.job_id for one in self.witness.running_executions())

    def executions(self, trial: Trial) -> list[Execution]:
        """The executions of the trial's job and of jobs that continue it, the oldest first."""
        return self.witness.executions_in_order(trial.marks[1])

    # -- Moves --------------------------------------------------------------------------------

    def play(self, trials: list[Trial], until: int | None = None) -> None:
        """Make the moves of the trials' scripts, or the first so many, one after the other."""
        for moves in itertools.zip_longest(*(SCRIPTS[trial.way][:until] for trial in trials)):
            looks = {}
            for trial, move in zip(trials, moves, strict=True):
                if move and getattr(self, move)(trial):
                    looks[trial.owner, trial.lane] = trial
            for trial in looks.values():
                self.tell_intake(trial)
            self.rest()

    # Each move returns whether Intake is to look for jobs after it.

    def is_offered(self, _trial: Trial) -> bool:
        return True

    def is_offered_again(self, trial: Trial) -> bool:
        job = self.witness.job_of(trial.pipeline)
        with self.emulator.step():
            if not job.status.ended:
                self.emulator._board._queue(job)
        return True

    def is_continued(self, trial: Trial) -> bool:
        self.be_offered(self.witness.job_of(trial.pipeline).id)
        return True

    def tells_progress(self, trial: Trial) -> bool:
        entry = {
            "EventBusName": self.stack.outputs["JobBusName"],
            "Source": "worker",
            "DetailType": "Job Progress",
            "Detail": json.dumps({"jobId": trial.job_id, "percentComplete": 50}),
        }
        self.cloud.client("events").put_events(Entries=[entry])
        return False

    def succeeds(self, trial: Trial) -> bool:
        self.worker.succeed(trial.job_id)
        return False

    def gets_room(self, trial: Trial) -> bool:
        """End the execution that has the room for which the trial's execution waits."""
        offer = load_event("acknowledge-job-dispatched")["detail"]["offer"]
        about = json.dumps(offer | {"actionType": self.kind(trial.owner, trial.lane)})
        detail = {"name": self.other(trial), "status": "SUCCEEDED", "input": about}
        self.invoke_intake("Step Functions Execution Status Change", detail)
        return False

    def rest(self) -> None:
        """Wait until all activity has ended; executions may wait for the next move."""

        def at_rest(execution: Execution) -> bool:
            state = execution.path[-1] if execution.path else ""
            hangs = self.worker.jobs[execution.job_id].answer == "Hang"
            waits = state in ("WaitForRoom", "WaitForNextJob") or (state == "InProgress" and hangs)
            return execution.waits and waits

        def quiet() -> bool:
            idle = self.witness.idle
            return idle() and all(map(at_rest, self.witness.running_executions())) and idle()

        wait_for(quiet, "all activity to end", 60)

    # -- Room ---------------------------------------------------------------------------------

    @staticmethod
    def other(trial: Trial) -> str:
        """The name of the execution that has the room for which a trial's execution waits."""
        return f"another-{trial.marks[1]}"

    def put_room(self, action_type: str, holders: dict[str, Any] | None = None) -> None:
        maps: dict[str, Any] = {name: {} for name in ("waiting", "awaiting", "unshown")}
        row = {"actionType": action_type, "holders": holders or {}, **maps}
        self.cloud.client("dynamodb").put_item(TableName=self.rooms, Item=typed(row))

    def room(self, action_type: str) -> dict[str, Any]:
        """An action type's row in IntakeTable."""
        found = self.cloud.client("dynamodb").get_item(
            TableName=self.rooms, Key=typed({"actionType": action_type}), ConsistentRead=True
        )
        return plain(found["Item"])

    def age_rooms(self) -> None:
        """Make all executions that hold or wait for room old enough to be checked."""
        for owner, lane in itertools.product(OWNERS, LIMITED):
            row = self.room(self.kind(owner, lane))
            for entry in (*row["holders"].values(), *row["waiting"].values()):
                entry["since"] = ago(LEAK_SECONDS + 1)
            self.cloud.client("dynamodb").put_item(TableName=self.rooms, Item=typed(row))

    # -- Runs ---------------------------------------------------------------------------------

    def record(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """The calls of each way for each owner, without faults."""
        found = {}
        self.behave("new nonce/refused")
        for owner in OWNERS:
            for way in WAYS:
                trial = self.begin(None, way, owner, LIMITED[0] if way in LIMITING else "")
                if way in SCRIPTS:
                    self.play([trial])
                    self.worker.succeed(trial.job_id)
                else:
                    self.tell_intake(trial)
                    self.cut_short([trial])
                self.witness.settle(60)
                found[way, owner] = trial.calls
                self.usual[way] = [self.steps(one) for one in self.executions(trial)]
        return found

    def behave(self, world: str) -> None:
        self.emulator.behaviour = moto_codepipeline.Behaviour(
            started_before_queued_seconds=0,
            acknowledge_seconds=OFFERED_AGAIN_SECONDS,
            continuation_seconds=OFFERED_AGAIN_SECONDS,
            # The clock is advanced again and again.
            action_timeout_seconds=1e6,
            third_party_timeout_seconds=1e6,
            batch_cap=1,
            **WORLDS[world],
        )

    def run(self, world: str, cases: list[Case]) -> dict[Case, Found]:
        """Run cases in a world; those that don't affect each other run at once."""
        self.behave(world)
        found = self.run_at_once([case for case in cases if case.way not in SCRIPTS])
        for spots in in_rounds([case for case in cases if case.way in SCRIPTS]):
            # After many failed calls, the SDK of an older process would retry less often.
            functions.runner().cool()
            found |= self.run_in_step(spots)
        return found

    def run_at_once(self, cases: list[Case]) -> dict[Case, Found]:
        """Run the cases without a script."""
        self.trials, self.by_mark = [], {}
        letters_before = self.letters_so_far()
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
            wait_for(lambda: len(self.witness.running()) < 24, "room", 60)
            trials = [self.begin(case, case.way, case.owner) for case in batch]
            for owner in OWNERS:
                if mine := [trial for trial in trials if trial.owner == owner]:
                    self.tell_intake(mine[-1])
            self.cut_short(trials)
        self.witness.settle(120)
        self.lift()
        self.witness.settle(60)
        return self.ends(letters_before)

    def run_in_step(self, spots: list[tuple[Case, str]]) -> dict[Case, Found]:
        """Run cases with a script, each on its lane."""
        self.trials, self.by_mark = [], {}
        letters_before = self.letters_so_far()
        for case, lane in spots:
            self.begin(case, case.way, case.owner, lane)
        self.play(self.trials)
        self.lift()
        self.rest()
        for trial in self.trials:
            self.worker.succeed(trial.job_id)
        self.rest()
        self.let_an_hour_pass()
        self.rest()
        return self.ends(letters_before)

    def lift(self) -> None:
        """Stop the faults; some time later a sweep runs."""
        for trial in self.trials:
            trial.lifted = True
            trial.before = len(self.executions(trial))
        self.age_rooms()
        self.witness.make_due()
        self.emulator.clock.advance(OFFERED_AGAIN_SECONDS + 1)
        self.cloud.schedule.fire()

    def let_an_hour_pass(self) -> None:
        """Let the remaining tasks that wait for the next job time out."""
        step_functions = self.cloud.client("stepfunctions")
        waiting, self.by_token = self.by_token, {}
        for token, trial in waiting.items():
            with suppress(step_functions.exceptions.TaskTimedOut):
                step_functions.send_task_failure(taskToken=token, error="States.Timeout")
                trial.hour_later = True

    def run_intake(self, case: Case) -> None:
        """Run a case of Intake's, alone on an action type, until Intake has handled it."""
        lane = next(self.free_lanes(case.owner))
        try:
            trial = self.begin(case, case.way, case.owner, lane)
            self.tell_intake(trial)
            wait_for(partial(self.handled, trial), f"Intake: {case}", 60)
            trial.lifted = True
            with self.emulator.step():
                job = self.emulator._board.find(trial.job_id)
                left = job.status.value == "Queued"
            if left:  # not polled yet, so that Intake can take it at once
                trial.again = True
                self.tell_intake(trial)
                wait_for(partial(self.handled, trial), f"Intake again: {case}", 60)
        finally:
            self.lanes[f"{case.owner} {lane}"].release()

    def free_lanes(self, owner: str) -> Iterator[str]:
        while True:
            for lane in LANES:
                if self.lanes[f"{owner} {lane}"].acquire(timeout=0.02):
                    yield lane

    @staticmethod
    def handled(trial: Trial) -> bool:
        """Whether no function has an unfinished event about the trial's action."""
        return not any(trial.marks[1] in event for event in functions.runner().unfinished())

    # -- Results ------------------------------------------------------------------------------

    def letters_so_far(self) -> dict[str, int]:
        return {name: len(all_of) for name, all_of in self.witness.letters().items()}

    def ends(self, letters_before: dict[str, int]) -> dict[Case, Found]:
        rows = self.witness.rows()
        letters = {
            name: all_of[letters_before[name] :] for name, all_of in self.witness.letters().items()
        }
        jobs = defaultdict(list)
        for job in self.witness.jobs():
            jobs[job.action.id].append(job)
        found = {}
        for trial in self.trials:
            if trial.case is None:
                continue
            executions = self.executions(trial)
            paths = [self.told(one, trial, number) for number, one in enumerate(executions)]
            if trial.again or len(executions) > trial.before:
                paths.insert(0 if trial.again else trial.before, "again")
            if trial.hour_later:
                paths.append("an hour later")
            handed = sum(len(self.worker.jobs[job.id].tokens) for job in jobs[trial.marks[1]])
            if handed > 1:
                paths.append(f"sent to the worker {handed} times")
            row = rows.get(trial.job_id, {}).get("status", {}).get("S", "none")
            *_, job = jobs[trial.marks[1]]
            told = [
                name
                for name, all_of in letters.items()
                if any(mark in body for body, _ in all_of for mark in trial.marks)
            ]
            end = f"row {row}, job {job.status.value}, action {job.action.status}"
            if told:
                end += f", dead letter of {' and '.join(told)}"
            wrong = self.broken(trial, executions, jobs[trial.marks[1]], lies_somewhere=bool(told))
            if trial.lane in LIMITED:
                kind = self.kind(trial.owner, trial.lane)
                kept = self.room(kind)
                if kept["holders"] or kept["waiting"]:
                    wrong = (*wrong, "room is kept")
                    self.put_room(kind)
            found[trial.case] = Found("; ".join(paths), end, wrong, trial.hits > 0)
        return found

    def broken(
        self, trial: Trial, executions: list[Execution], jobs: list[Job], *, lies_somewhere: bool
    ) -> tuple[str, ...]:
        """The promises that were broken for a trial's job and the jobs that continue it."""
        work, job = self.worker.jobs[trial.job_id], jobs[-1]
        times = sum(self.worker.jobs[job.id].times for job in jobs)
        wrong = []
        if times > 1 or sum("InProgress" in one.path for one in executions) > 1:
            wrong.append("worked on twice")
        if trial.way == "lost":
            if work.times or job.result:
                wrong.append("worked on or reported, although another worker has it")
            return tuple(wrong)
        waits = job.status is JobStatus.QUEUED
        if not (job.action.status != "InProgress" or waits or lies_somewhere):
            wrong.append("lost")
        result = json.loads(job.result or "{}")
        if job.status is JobStatus.SUCCEEDED:
            told = result.get("executionDetails", {}).get("externalExecutionId")
            if work.answer != "Succeed" or told != trial.job_id:
                wrong.append("reported as succeeded, although it did not succeed")
        elif job.status is JobStatus.FAILED:
            message = result["failureDetails"]["message"]
            own = trial.job_id in message if work.answer == "Fail" else work.answer != "Succeed"
            if not own:
                wrong.append("reported with a wrong outcome")
        return tuple(wrong)

    def steps(self, execution: Execution) -> list[str]:
        """The states that an execution entered, without Choice states."""
        return [name for name in names(execution.path) if name not in self.choices]

    def told(self, execution: Execution, trial: Trial, number: int) -> str:
        """An execution's states from where they differ from the usual ones, or "as usual"."""
        usual = self.usual[trial.way][min(number, len(self.usual[trial.way]) - 1)]
        path = self.steps(execution)
        end = execution.status.lower()
        if path == usual:
            return "as usual" if end != "running" else "as usual, running"
        pairs = zip(path, usual, strict=False)
        same = list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        left = " > ".join(path[max(0, len(same) - 1) :])
        return left if end != "running" else f"{left}, running"


LANES = ("One", "Two")
#: Those with room for one job.
LIMITED = ("Three", "Four")
LIMITING = ("has room", "waits")
#: How many trials at once use the action types without a lane.
TOGETHER = 8


def in_rounds(cases: list[Case]) -> Iterator[list[tuple[Case, str]]]:
    """Rounds of cases that can run at once, each with its lane; "" for cases that need none."""
    left = cases
    while left:
        free = [(owner, lane) for owner in OWNERS for lane in (*LANES, *LIMITED, *[""] * TOGETHER)]
        spots, now, left = [], left, []
        for case in now:
            alone = LANES if case.caller == "Intake" else ("",)
            lanes = LIMITED if case.way in LIMITING else alone
            spot = next((one for one in free if one[0] == case.owner and one[1] in lanes), None)
            if spot:
                free.remove(spot)
                spots.append((case, spot[1]))
            else:
                left.append(case)
        yield spots


def caller(call: Call) -> str:
    """The caller; for a function that does several things, also what it is doing."""
    if call.caller == "Intake" and '"Step Functions Execution Status Change"' in call.event:
        return "Intake at an end"
    if call.caller == "Report" and '"Job Progress"' in call.event:
        return "Report of progress"
    return call.caller


@contextmanager
def running(*, enforce_permissions: bool = False) -> Iterator[Matrix]:
    types = [acknowledger.CUSTOM_ACTION_TYPE, acknowledger.PARTNER_ACTION_TYPE]
    lanes = [
        f"{owner}/{category}/{lane}/1"
        for category, owner in (("Build", "Custom"), ("Deploy", "ThirdParty"))
        for lane in (*LANES, *LIMITED)
    ]
    limits = ["1" if one.split("/")[2] in LIMITED else "0" for one in types + lanes]
    holder: list[Matrix] = []
    faults = Faults(lambda call: holder[0].choose(call) if holder else None)
    # Each case has its own pipeline. AWS raises the quota on request.
    quota = patch.object(models, "PIPELINES", sys.maxsize)
    with (
        quota,
        acknowledger.running(
            parameters={
                "ActionTypes": ",".join(types + lanes),
                "MaxJobsInFlight": ",".join(limits),
                # Only the tests start sweeps.
                "PollSchedule": "rate(1 day)",
            },
            worker=False,
            enforce_permissions=enforce_permissions,
            retry_delays=(0.05, 0.05),
            retry_scale=0.0005,
            sleep_scale=0.04,
            layers=(faults.layer,),
        ) as (cloud, stack),
    ):
        for lane in lanes:
            if lane.startswith("Custom/"):
                acknowledger.register(cloud, stack, lane)
        made = Matrix(cloud, stack)
        holder.append(made)
        try:
            yield made
        finally:
            holder.clear()
            made.worker.stop()


# -- The table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table, which stands for one or more cases in one or more worlds.

    owner, fault, world: each one or more of what it can be: "any", "any but" one, or a list.
    """

    way: str
    owner: str
    caller: str
    call: str
    fault: str
    world: str
    path: str
    end: str
    note: str = ""

    def cases(self) -> Iterator[tuple[Case, str]]:
        for fault, owner, world in itertools.product(
            meant(self.fault, faults_of(self.caller)),
            meant(self.owner, OWNERS),
            meant(self.world, WORLDS),
        ):
            yield Case(self.way, owner, self.caller, self.call, fault), world


def expected() -> dict[tuple[Case, str], Row]:
    """The table: what it says about each case in each world."""
    lines = [line for line in TABLE.read_text().splitlines() if "|" in line]
    rows = [Row(*(cell.strip() for cell in line.split("|"))) for line in lines[1:]]
    return {key: row for row in rows for key in row.cases()}


def row_of(case: Case, world: str, now: Found, before: Row | None) -> Row:
    """What the table is to say: the result, unless the line before notes a bug or a race."""
    note = (before.note if before and now.wrong else "") or "; ".join(now.wrong)
    row = Row(**asdict(case), world=world, path=now.path, end=now.end, note=note)
    if before is None or not before.note.startswith(("race", "bug")):
        return row
    unlike = (before.path, before.end) != (now.path, now.end)
    kept = before.note.startswith("race") or unlike
    return replace(row, path=before.path, end=before.end, note=before.note) if kept else row


def write_table(rows: list[Row]) -> None:
    """Write the table; lines that differ only in their worlds, owners or faults are one."""
    rows = together(rows, "world", lambda _: list(WORLDS))
    rows = together(rows, "owner", lambda _: OWNERS)
    rows = together(rows, "fault", lambda row: faults_of(row.caller))
    cells = [tuple(each.name for each in fields(Row)), *map(astuple, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    text = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    head = [line for line in TABLE.read_text().splitlines() if "|" not in line]
    TABLE.write_text("\n".join([*head, *text]) + "\n")


def together(rows: list[Row], column: str, possible: Callable[[Row], Sequence[str]]) -> list[Row]:
    """Combine rows that differ only in this column, which has one of what is possible."""
    alike: dict[Row, list[str]] = defaultdict(list)
    for row in rows:
        alike[replace(row, **{column: ""})].append(getattr(row, column))
    return [replace(row, **{column: in_words(some, possible(row))}) for row, some in alike.items()]


def in_words(some: list[str], possible: Sequence[str]) -> str:
    """Some of what is possible, as `meant` reads it."""
    others = [each for each in possible if each not in some]
    if not others:
        return "any"
    return f"any but {others[0]}" if len(others) == 1 < len(some) else ", ".join(some)


def meant(words: str, possible: Iterable[str]) -> list[str]:
    """Those of what is possible that a cell of the table names."""
    named = words.removeprefix("any but ").split(", ")
    return [
        each
        for each in possible
        if words == "any" or (each in named) != words.startswith("any but ")
    ]


def faults_of(caller: str) -> Sequence[str]:
    """The faults that a caller's calls can have."""
    return OF_MACHINE if caller.endswith(" state") else FAULTS


def all_cases(calls: dict[tuple[str, str], list[tuple[str, str]]]) -> list[Case]:
    """Every fault of every call, on the first way that makes the call."""
    cases, seen = [], set()
    for way in WAYS:
        for owner in OWNERS:
            for caller, call in calls[way, owner]:
                for_another_reason = FOR_ANOTHER_REASON.fullmatch(f"{way} {caller} {call}")
                if (owner, caller, call) not in seen or for_another_reason:
                    seen.add((owner, caller, call))
                    cases += [Case(way, owner, caller, call, fault) for fault in faults_of(caller)]
    return cases


# -- The tests ------------------------------------------------------------------------------------


@dataclass
class Results:
    """The results of a run: the calls of every way, and the end of every case that it tried."""

    calls: dict[tuple[str, str], list[tuple[str, str]]]
    found: dict[tuple[Case, str], Found]

    def rows(self) -> Iterator[tuple[str, Row, Found]]:
        """What the table says about each case, and how it ended."""
        table = expected()
        for (case, world), found in self.found.items():
            yield f"{case} in {world}", table[case, world], found


@pytest.fixture(scope="module")
def results() -> Results:
    with running() as matrix:
        calls = matrix.record()
        cases = all_cases(calls)
        chosen = choose(cases if WRITE else [case for case, _ in expected()])
        found = {
            (case, world): each
            for world, cases_of in chosen.items()
            for case, each in matrix.run(world, cases_of).items()
        }
    if WRITE:
        table, in_order = expected(), sorted(found, key=lambda key: cases.index(key[0]))
        write_table([row_of(*key, found[key], table.get(key)) for key in in_order])
    return Results(calls, found)


def choose(cases: list[Case]) -> dict[str, list[Case]]:
    """The cases to try in each world: all cases in all worlds, or a selection."""
    cases = list(dict.fromkeys(cases))
    if EVERY:
        return dict.fromkeys(WORLDS, cases)
    alike: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for case in cases:
        alike[case.way, case.caller, case.call, case.fault].append(case)
    chosen: dict[str, list[Case]] = {world: [] for world in WORLDS}
    ways = set()
    for number, group in enumerate(alike.values()):
        if FAULTS_TRIED == "few" and number % FEW and group[0].way in ways:
            continue
        ways.add(group[0].way)
        world = list(WORLDS)[number % len(WORLDS)]
        chosen[world].append(group[number // len(WORLDS) % len(group)])
    return chosen


def test_the_table_has_exactly_the_calls_that_are_made(results):
    made = {
        (owner, caller, call)
        for (_, owner), calls in results.calls.items()
        for caller, call in calls
    }
    listed = {(case.owner, case.caller, case.call) for case, _ in expected()}
    assert (made - listed, listed - made) == (set(), set())


def test_the_table_has_every_fault_of_every_call_in_every_world():
    table = expected()
    calls = {(case.way, case.owner, case.caller, case.call) for case, _ in table}
    wanted = {
        (Case(*call, fault), world)
        for call in calls
        for fault in faults_of(call[2])
        for world in WORLDS
    }
    assert (wanted - table.keys(), table.keys() - wanted) == (set(), set())


def test_every_case_ends_as_the_table_says(results):
    wrong = []
    for place, row, found in results.rows():
        as_said = (found.path, found.end) == (row.path, row.end)
        if not found.hit and not row.note.startswith("limit"):
            wrong.append(f"{place}: the call was not made")
        elif as_said == row.note.startswith("bug") and not row.note.startswith("race"):
            said = f"{row.path} | {row.end} | {row.note}"
            wrong.append(f"{place}: {found.path} | {found.end}, not {said}")
    assert not wrong, "\n".join(wrong)


def test_a_promise_is_broken_only_where_the_table_says_why(results):
    rows = results.rows()
    assert [
        (place, found.wrong) for place, row, found in rows if found.wrong and not row.note
    ] == []


def test_the_table_has_no_limit_that_is_not_needed(results):
    rows = results.rows()
    kept = [place for place, row, found in rows if row.note.startswith("limit") and not found.wrong]
    assert kept == []
