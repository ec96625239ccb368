"""The state of everything at a moment: simulated services, processes and events.

Services are simulated at the level of what they guarantee. DynamoDB's writes are atomic; moto makes
them. EventBridge delivers the events that match the template's rules, in any order. Lambda retries
as the template says. Step Functions runs the definition's states, each as a process. CodePipeline's
rules are those of `moto_codepipeline.jobs`.

A `World` is never changed once it is complete: each next step takes a copy. It consists of values
that can be compared.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cfnlint.decode import cfn_yaml
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import DynamoDBBackend
from moto.events.models import EventPattern

from acknowledger.job_table import ENDED, SLACK_SECONDS
from acknowledger.table import plain
from moto_codepipeline.clock import ManualClock, Timeline
from moto_codepipeline.exceptions import CodePipelineError
from moto_codepipeline.jobs import Job as LocalJob
from moto_codepipeline.jobs import JobBoard, JobStatus
from tests.resilience.explorer import machine
from tests.resilience.explorer.processes import (
    ENVIRONMENT,
    RUN,
    Act,
    Broken,
    Process,
    client,
    dumps,
    error_type,
    moment,
    process,
    sleep,
)
from tests.support import ROOT

ARN = "arn:aws:states:us-east-1:123456789012:execution:Job:"
TYPE = {"category": "Build", "owner": "Custom", "provider": "Acknowledger", "version": "1"}
CLIENT_ID = "3c9f2f3a-5f0e-4c1b-9d55-0d8d2a1b7c6e"
OFFERED_AGAIN_SECONDS, NEXT_JOB_SECONDS, SWEEP_SECONDS = 45, 30, 300
ACKNOWLEDGE_SECONDS = int(ENVIRONMENT["ACKNOWLEDGE_TIMEOUT_SECONDS"])
#: The answers to a call that fails: without effect, refused, or after its effect.
FAULTS = {
    "error": dumps({"code": "InternalServerError", "status": 500}),
    "throttled": dumps({"code": "ThrottlingException"}),
    "lost": dumps({"lost": True}),
}
#: The same for a call of the state machine.
TASK_FAULTS = {
    "error": dumps({"ok": {"error": "InternalServerError"}}),
    "lost": dumps({"ok": {"error": "SdkClientException"}}),
}
RANKS = {"Created": 0, "Queued": 1, "Dispatched": 2, "InProgress": 3}


#: What nobody outside AWS knows about CodePipeline, with the words for it in a schedule. The hardest
#: comes first. It is decided when it first makes a difference.
UNKNOWN: dict[str, dict[Any, str]] = {
    "nonce_rotates": {True: "", False: " (same nonce)"},
    "repeated": {"InvalidNonceException": "", "status": " (repeat answered)"},
}


class Undecided(Exception):
    """What happens now depends on a setting in UNKNOWN that is not decided yet."""

    def __init__(self, setting: str) -> None:
        super().__init__(setting)
        self.setting = setting


class Refused(Exception):
    """A service refuses a call."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.answer = {"code": code, **more}


@dataclass(frozen=True)
class Settings:
    """What is the same in the whole scenario: CodePipeline's switches, and how others behave.

    nonce_rotates, repeated: None as long as it is not decided.
    work: what the worker does with a job: see `WORKERS`.
    limit: how many jobs may be in flight.
    heartbeat, job_timeout: limits of a job, in seconds.
    """

    owner: str = "Custom"
    nonce_rotates: bool | None = None
    repeated: str | None = None
    events_lost: bool = False
    work: str = "succeeds"
    limit: int = 0
    heartbeat: int = 100
    job_timeout: int = 200

    @property
    def action_type(self) -> str:
        return f"{self.owner}/Build/Acknowledger/1"

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        return (
            ("ACTION_TYPES", self.action_type),
            ("MAX_JOBS_IN_FLIGHT", str(self.limit)),
            ("HEARTBEAT_TIMEOUT_SECONDS", str(self.heartbeat)),
            ("JOB_TIMEOUT_SECONDS", str(self.job_timeout)),
        )

    @property
    def patience(self) -> int:
        """The seconds after the last deviation within which a job must end: limits and 2 sweeps."""
        return ACKNOWLEDGE_SECONDS + self.job_timeout + SLACK_SECONDS + 2 * SWEEP_SECONDS


class Job(NamedTuple):
    """A job in CodePipeline.

    holder: who acknowledged it; once it has ended, whose result it has.
    doubts: the nonces of our calls whose outcome was lost; we may have acknowledged it with them.
    """

    id: str
    action: str
    status: str = "Queued"
    nonce: int = 0
    due: float | None = None
    holder: str = ""
    result: str = ""
    token: str = ""
    withdrawn: bool = False
    doubts: frozenset[str] = frozenset()

    @property
    def told(self) -> str:
        return "Failed" if self.withdrawn and self.status not in ENDED else self.status


class Execution(NamedTuple):
    """An execution; `history` is the end of its history, as the functions read it."""

    given: str
    status: str = "RUNNING"
    error: str | None = None
    cause: str | None = None
    history: tuple[tuple[str, str], ...] = ()


class Event(NamedTuple):
    """An event on its way to a function, with `tries` left until `until`.

    due: when it can arrive; 0 once it can, so that equal states are equal.
    """

    function: str
    text: str
    tries: int
    until: float
    due: float = 0


class Actor(NamedTuple):
    """A process that has not ended.

    cause: the event that a function was invoked with; the token of the task that invoked it; the
        execution of a state; or None.
    until: when its sleep or wait is over; None if it can continue.
    token: the task token that it waits for.
    since: when it began to wait, if it has looked at the clock.
    deadline: when Lambda ends it.
    """

    name: str
    process: Process
    cause: Event | str | None = None
    until: float | None = None
    token: str = ""
    since: float = 0
    deadline: float | None = None

    @property
    def of_function(self) -> bool:
        return self.deadline is not None

    @property
    def order(self) -> tuple[str, str, str]:
        return self.name, str(self.cause), self.process.digest


class World:
    """The state of everything."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock: float = 0
        self.serial = 1
        self.rows: dict[tuple[str, str], str] = {}
        self.jobs: dict[str, Job] = {}
        self.executions: dict[str, Execution] = {}
        self.events: tuple[Event, ...] = ()
        self.actors: tuple[Actor, ...] = ()
        self.current: Actor | None = None
        #: What other parties may still do, and the service and operation that were called last; options that cost
        #: nothing the first time; the times of the last deviation and of the next sweep.
        self.moves: tuple[str, ...] = ()
        self.called = ""
        self.given: tuple[str, ...] = ()
        self.trouble: float = 0
        self.sweep: float = SWEEP_SECONDS
        #: What the checks need: jobs and the executions that worked on them; executions that know
        #: that they have sent their job to a worker; ends that were announced; workers' answers that
        #: were accepted; executions that were stopped by hand; whether an event was lost.
        self.worked: frozenset[tuple[str, str]] = frozenset()
        self.handed_out: frozenset[str] = frozenset()
        self.announced: frozenset[tuple[str, str]] = frozenset()
        self.said: frozenset[tuple[str, str]] = frozenset()
        self.stopped: frozenset[str] = frozenset()
        self.unheard = settings.events_lost
        #: What happened in the last step, if it is to be printed.
        self.story: list[str] | None = None

    def copy(self) -> World:
        new = World.__new__(World)
        new.__dict__.update(self.__dict__)
        new.rows, new.jobs = self.rows.copy(), self.jobs.copy()
        new.executions = self.executions.copy()
        new.story = None if self.story is None else []
        return new

    def key(self) -> int:
        """Equal for states that continue in the same way."""
        return hash((
            *(self.clock, self.trouble, self.serial, self.sweep, self.moves, self.given, self.settings),
            frozenset((name, essence(row, self.clock)) for name, row in self.rows.items()),
            *(frozenset(each.items()) for each in (self.jobs, self.executions)),
            *(self.events, self.actors, self.current, self.called if self.current else ""),
            *(self.worked, self.handed_out, self.announced, self.said, self.stopped, self.unheard),
        ))  # fmt: skip

    def decided(self, setting: str, value: Any) -> World:
        """The same state, with one of the settings in UNKNOWN decided."""
        new = self.copy()
        new.settings = replace(self.settings, **{setting: value})
        return new

    def known(self, setting: str) -> Any:
        """A setting in UNKNOWN, if it is decided."""
        value = getattr(self.settings, setting)
        if value is None:
            raise Undecided(setting)
        return value

    def renumber(self) -> None:
        """Let the next id of a call be the first that is not in use."""
        used = [
            *map(newest_call, self.rows.values()),
            *(each.process.newest for each in self.actors),
        ]
        self.serial = min(self.serial, 1 + max(used, default=0))

    def _tell(self, what: str) -> None:
        if self.story is not None:
            self.story.append(what)

    # -- Processes ----------------------------------------------------------------------------

    def spawn(self, name: str, run: Callable[[Any], Any], argument: str, **more: Any) -> Actor:
        """Start a process."""
        actor = Actor(name, process(name, run, argument, self.settings.environment), **more)
        self._add(actor)
        return actor

    def _add(self, actor: Actor) -> None:
        self.actors = tuple(sorted((*self.actors, actor), key=lambda each: each.order))

    def remove(self, actor: Actor) -> None:
        actors = list(self.actors)
        actors.remove(actor)
        self.actors = tuple(actors)
        if self.current == actor:
            self.current = None

    def act(self, actor: Actor) -> Act:
        """What an actor is about to do."""
        return actor.process.act(self.clock, self.serial)

    def step(self, actor: Actor, fault: str = "") -> None:
        """Let an actor make its next call, and continue until it makes another one or waits."""
        self.remove(actor)
        act = self.act(actor)
        if fault == "dies":
            self.died(actor)
            return
        if act[0] != "call":
            self._go_on(actor)
            return
        _, service, operation, request = act
        self.called = f"{service} {operation}"
        answer = self.answer(actor, service, operation, request, fault)
        if self.story is not None:
            self.story.append(told(operation, request, answer, fault))
        if fault == "repeated":  # and the SDK calls again, with the same request
            self._go_on(actor)
            return
        process = self._answered(actor, answer)
        self._go_on(actor._replace(process=process))

    def _answered(self, actor: Actor, answer: str) -> Process:
        process = actor.process.answered(self.clock, self.serial, answer)
        self.serial += actor.process.reads_serial
        return process

    def answer(self, actor: Actor, service: str, operation: str, request: str, fault: str) -> str:
        """What a service answers, after its effect."""
        faults = TASK_FAULTS if service.startswith("states/") else FAULTS
        given = asked(request)
        if fault in ("error", "throttled"):
            if operation.startswith("acknowledge") and fault == "error":
                self._doubt(given["jobId"], given["nonce"])
            elif "REMOVE acknowledgeCalls.#call" in request:  # refused, and still noted
                row = parsed(self.rows["JobTable", given["Key"]["jobId"]["S"]])
                call = given["ExpressionAttributeNames"]["#call"]
                self._doubt(row["jobId"], row["acknowledgeCalls"].get(call, ""))
            return faults[fault]
        try:
            if service.startswith("states/"):
                answered = self._task(actor, service[7:], operation, given)
            else:
                answered = SERVICES[service](self, actor, operation, given)
            told = answered if isinstance(answered, str) else dumps(answered or {})
            answer = f'{{"ok":{told}}}'
        except Refused as refused:
            answer = dumps(refused.answer)
        if fault == "lost":
            if operation.startswith("acknowledge"):
                self._doubt(given["jobId"], given["nonce"])
            elif "SET acknowledgeCalls.#call" in request:  # noted, and the call was not made
                nonce = given["ExpressionAttributeValues"][":nonce"]["S"]
                self._doubt(given["Key"]["jobId"]["S"], nonce)
            return faults[fault]
        return answer

    def _go_on(self, actor: Actor) -> None:
        """Let an actor start to wait, or end, if it does that next."""
        act = self.act(actor)
        self.current = None
        if act[0] == "call":
            self._add(actor)
            self.current = actor
        elif act[0] == "sleep":
            process = self._answered(actor, "null")
            self._add(actor._replace(process=process, until=self.clock + act[1]))
        elif act[0] == "wait":
            since = self.clock if actor.process.reads_clock else 0
            self._add(actor._replace(token=act[1], until=act[2], since=since))
            if actor.name == "InProgress":
                self.handed_out |= {str(actor.cause)}
        elif isinstance(actor.cause, str) and actor.of_function:
            names = ("error", "cause") if act[0] == "raise" else ("output",)
            self.answer_token(actor.cause, dict(zip(names, act[1:], strict=True)))
        elif isinstance(actor.cause, str):
            self._left_state(actor.cause, json.loads(act[1]))
        elif act[0] == "raise":
            self._tell(f"raised {act[1]}: {act[2]}")
            self._again(actor)

    def died(self, actor: Actor) -> None:
        """A function's process has died."""
        calls = {
            f"call-{serial:04}" for _, serial, _ in actor.process.answers if serial is not None
        }
        for (_, key), row in self.rows.items() if calls else ():
            for call, nonce in parsed(row).get("acknowledgeCalls", {}).items():
                if call in calls:
                    self._doubt(key, nonce)
        if isinstance(actor.cause, str):
            self.answer_token(actor.cause, {"error": "Lambda.Unknown", "cause": "died"})
        else:
            self._again(actor)

    def _again(self, actor: Actor) -> None:
        """Lambda invokes a function again with an event, after a minute and after two more."""
        event = actor.cause
        if not isinstance(event, Event):
            return
        tried = 3 - event.tries
        due = self.clock + 60 * tried
        if event.tries and due < event.until:
            self._send(event._replace(due=due, tries=event.tries - 1))

    # -- Time ---------------------------------------------------------------------------------

    def next_time(self) -> float:
        """The time when the next thing is due."""
        times = [actor.until for actor in self.actors] + [actor.deadline for actor in self.actors]
        times += [job.due for job in self.jobs.values()]
        times += [event.due for event in self.events if event.due > self.clock]
        return min([self.sweep, *(time for time in times if time is not None)])

    def pass_time(self) -> None:
        """Let time pass until the next thing is due."""
        self.clock = max(self.clock, self.next_time())
        came = [each._replace(due=0) if each.due <= self.clock else each for each in self.events]
        self.events = tuple(sorted(came))
        for job in list(self.jobs.values()):
            if job.due is not None and job.due <= self.clock:
                self.jobs[job.id] = job._replace(due=None, status="Queued")
        for actor in self.actors:
            if actor.deadline is not None and actor.deadline <= self.clock:
                self.remove(actor)
                self.died(actor)
            elif actor.until is not None and actor.until <= self.clock:
                if actor.token:
                    self._wake(actor, "null", ("TaskTimedOut", "{}"))
                else:
                    self.remove(actor)
                    self._add(actor._replace(until=None))
        if self.sweep <= self.clock:
            self.sweep += SWEEP_SECONDS
            self.look_around()
        self.current = None

    # -- Events -------------------------------------------------------------------------------

    def _send(self, event: Event) -> None:
        self.events = tuple(sorted((*self.events, event)))

    def route(self, source: str, kind: str, detail: Mapping[str, Any]) -> None:
        """Send an event to the targets of the template's rules that match it."""
        if source in ("aws.codepipeline", "aws.states") and self.settings.events_lost:
            return
        text = dumps({"source": source, "detail-type": kind, "detail": detail} | (
            {"time": moment(self.clock)[:19] + "Z"} if kind == "Job Progress" else {}
        ))  # fmt: skip
        for function in targets(text, bool(self.settings.limit)):
            tries, age = repeats(function)
            self._send(Event(function, text, tries, self.clock + age))

    def look_around(self) -> None:
        """Start a sweep."""
        self.route("aws.events", "Scheduled Event", {})

    def deliver(self, event: Event, *, keep: bool = False) -> Actor:
        """Invoke an event's function."""
        if not keep:
            self.drop(event)
        if event.function == "Worker":
            run = WORKERS[self.settings.work]
            return self.spawn("Worker", run, event.text, cause=event)
        name, deadline = event.function, self.clock + 60
        return self.spawn(name, RUN[name], event.text, cause=event, deadline=deadline)

    def drop(self, event: Event) -> None:
        events = list(self.events)
        events.remove(event)
        self.events = tuple(events)

    # -- Step Functions -----------------------------------------------------------------------

    def _enter(self, name: str, argument: Mapping[str, Any]) -> None:
        self.spawn(argument["state"], machine.run, dumps(argument), cause=name)

    def _left_state(self, name: str, left: dict[str, Any]) -> None:
        del left["path"]
        if "status" not in left:
            self._enter(name, left)
            return
        self.end_execution(name, left["status"], left.get("error"), left.get("cause"))

    def end_execution(self, name: str, status: str, error: Any = None, cause: Any = None) -> None:
        """End an execution, by itself or from outside."""
        execution = self.executions[name]
        for actor in [each for each in self.actors if each.cause == name]:
            self.remove(actor)
        self.executions[name] = execution._replace(status=status, error=error, cause=cause)
        self._tell(f"execution {name[-4:]} {status} {error or ''}".strip())
        detail = {
            "executionArn": ARN + name,
            "stateMachineArn": ARN.replace(":execution:", ":stateMachine:")[:-1],
            "name": name,
            "status": status,
            "input": execution.given,
            "error": error,
            "cause": cause,
        }
        self.route("aws.states", "Step Functions Execution Status Change", detail)

    def _task(self, actor: Actor, service: str, operation: str, given: Any) -> dict[str, Any]:
        """A task's call of a service."""
        name = str(actor.cause)
        arguments, task = given["arguments"], given["task"]
        history = [("TaskScheduled", task["scheduled"].text)]
        try:
            if service == "lambda":
                argument = dumps(arguments["Payload"])
                cause = task["token"]
                self.spawn("Report", RUN["Report"], argument, cause=cause, deadline=self.clock + 60)
            else:
                SERVICES[service](self, actor, operation, arguments)
        except Refused as refused:
            self._record(name, *history, ("TaskFailed", "{}"))
            return {"error": refused.answer["code"]}
        self._record(name, *history, ("TaskSubmitted", "{}"))
        return {}

    def _record(self, name: str, *events: tuple[str, str]) -> None:
        """Add to a history; only what comes after the last report can matter."""
        execution = self.executions[name]
        history = (*execution.history, *events)
        scheduled = [n for n, each in enumerate(history) if each[0] == "TaskScheduled"]
        reports = [n for n in scheduled if '"resourceType":"lambda"' in history[n][1]]
        first = reports[-1] if reports else scheduled[-1]
        self.executions[name] = execution._replace(history=history[first:])

    def answer_token(self, token: str, answer: dict[str, Any]) -> bool:
        """Answer a task; return whether it was waiting."""
        for actor in self.actors:
            if actor.token == token:
                event = "TaskSucceeded" if "output" in answer else "TaskFailed"
                self._wake(actor, dumps(answer), (event, "{}"))
                return True
        return False

    def _wake(self, actor: Actor, answer: str, event: tuple[str, str]) -> None:
        current = self.current
        self.remove(actor)
        self._record(str(actor.cause), event)
        process = actor.process.answered(actor.since, 0, answer)
        self._go_on(actor._replace(process=process, token="", until=None))
        self.current = current

    def stepfunctions(self, actor: Actor, operation: str, given: dict[str, Any]) -> Any:
        name = given.get("executionArn", "").rpartition(":")[2]
        if name and name not in self.executions:
            raise Refused("ExecutionDoesNotExist")
        if operation == "start_execution":
            return self._start(given["name"], given["input"])
        if operation == "describe_execution":
            found = self.executions[name]
            return {"input": found.given, "status": found.status, "name": name} | {
                key: value
                for key, value in (("error", found.error), ("cause", found.cause))
                if value
            }
        if operation == "list_executions":
            running = [key for key, each in self.executions.items() if each.status == "RUNNING"]
            return {"executions": [{"name": each} for each in sorted(running)]}
        if operation == "get_execution_history":
            newest = self.executions[name].history[::-1][: given["maxResults"]]
            return {
                "events": [
                    {"type": kind, "taskScheduledEventDetails": json.loads(text)}
                    if kind == "TaskScheduled"
                    else {"type": kind}
                    for kind, text in newest
                ]
            }
        token = given["taskToken"]
        if operation == "send_task_success":
            answer = {"output": given["output"]}
        elif operation == "send_task_failure":
            answer = {"error": given.get("error"), "cause": given.get("cause")}
        else:
            raise NotImplementedError(operation)
        if not self.answer_token(token, answer):
            raise Refused("TaskTimedOut")
        if actor.name == "Worker" and "output" in answer:
            self.said |= {(job_of(self.executions[token.split("/")[0]].given), answer["output"])}
        return {}

    def _start(self, name: str, given: str) -> dict[str, Any]:
        found = self.executions.get(name)
        if found is None:
            self.executions[name] = Execution(given)
            given_input = json.loads(given)
            self._enter(name, {
                "execution": ARN + name,
                "given": given_input,
                "state": "Created",
                "input": given_input,
                "variables": {},
            })  # fmt: skip
        elif (found.given, found.status) != (given, "RUNNING"):
            raise Refused("ExecutionAlreadyExists")
        return {"executionArn": ARN + name}

    # -- DynamoDB -----------------------------------------------------------------------------

    def dynamodb(self, actor: Actor, operation: str, given: Request) -> Any:
        table = given["TableName"]
        if operation == "query":
            return self._query(given)
        ((_, key),) = given["Key"].items()
        old = self.rows.get((table, key["S"]))
        if operation == "get_item":
            return None if old is None else f'{{"Item":{old}}}'
        new, answer = written(operation, old, given.text)
        if isinstance(answer, dict):
            raise Refused(**answer)
        if table == "JobTable":
            self.check_write(key["S"], old, new)
        elif new is not None and len(parsed(new).get("holders", ())) > (self.settings.limit or 200):
            raise Broken("more jobs have room than the limit allows")
        if new is None:
            self.rows.pop((table, key["S"]), None)
        else:
            self.rows[table, key["S"]] = new
        return answer

    def _query(self, given: dict[str, Any]) -> dict[str, Any]:
        values = plain(given["ExpressionAttributeValues"])
        rows = [parsed(row) for (table, _), row in self.rows.items() if table == "JobTable"]
        if given["IndexName"] == "ByActionExecution":
            found = [row for row in rows if row["actionExecutionId"] == values[":action"]]
        else:
            found = [
                row
                for row in rows
                if row["status"] == values[":status"] and row["dueAt"] <= values[":before"]
            ]
        found.sort(key=lambda row: (row["dueAt"], row["jobId"]))
        names = ("jobId", "dueAt", "offeredAt")
        items = [{name: {"S": row[name]} for name in names} for row in found]
        return {"Items": items[: given.get("Limit")], "Count": len(items)}

    def check_write(self, job_id: str, old: str | None, new: str | None) -> None:
        """Check that no status goes backwards."""
        if old is None:
            return
        before = parsed(old)
        after = parsed(new) if new else {"status": "no row"}
        was, now = before["status"], after["status"]
        if was in ENDED:
            job = self.jobs[job_id]
            wrong = before.get("error") == "EndedElsewhere" and job.doubts
            if now == "no row" and wrong and (job.withdrawn or job.status not in ENDED):
                return
            if any(before.get(name) != after.get(name) for name in ("status", "error", "cause")):
                raise Broken(f"the row of an ended job was changed from {was} to {now}")
        elif was == "InProgress":
            if now not in ENDED and (now, after["execution"]) != (was, before["execution"]):
                raise Broken(f"the row of a job in progress was changed to {now}")
        elif before["execution"] == after.get("execution") and RANKS.get(now, 9) < RANKS[was]:
            raise Broken(f"the row went back from {was} to {now}")

    # -- EventBridge --------------------------------------------------------------------------

    def eventbridge(self, actor: Actor, operation: str, given: dict[str, Any]) -> Any:
        for entry in given["Entries"]:
            kind, detail = entry["DetailType"], entry["Detail"]
            detail = json.loads(detail) if isinstance(detail, str) else detail
            if kind == "Job In Progress":
                self.check_work(detail["jobId"], str(actor.cause))
            elif kind in ("Job Succeeded", "Job Failed", "Job Timed Out"):
                self.check_announcement(detail)
            self.route(entry["Source"], kind, detail)
        return {"FailedEntryCount": 0}

    def check_work(self, job_id: str, execution: str) -> None:
        """Check that only one execution works on a job, only once, and not if another worker has it."""
        self.worked |= {(job_id, execution)}
        all_of_it = {each for worked, each in self.worked if worked == job_id}
        working = {str(actor.cause) for actor in self.actors if actor.name == "InProgress"}
        others, job = all_of_it - {execution}, self.jobs[job_id]
        if others & working or (others and not self._doubted(job, *all_of_it)):
            raise Broken("two executions work on the job")
        if execution in self.handed_out:
            raise Broken("the job is sent to a worker again")
        if job.holder == "Foreign" and not self.confusable(job, execution):
            raise Broken("works on a job that another worker has")

    def check_announcement(self, detail: dict[str, Any]) -> None:
        """Check that an end is always announced with the same content."""
        words = dumps([detail.get(name) for name in ("status", "error", "cause")])
        self.announced |= {(detail["jobId"], words)}
        told = [each for job, each in self.announced if job == detail["jobId"]]
        ours = sum("EndedElsewhere" not in each for each in told)
        if ours > 1 or (len(told) > 1 and not self.jobs[detail["jobId"]].doubts):
            raise Broken(f"two ends were announced: {' and '.join(sorted(told))}")

    # -- CodePipeline -------------------------------------------------------------------------

    def confusable(self, job: Job, execution: str) -> bool:
        """Whether an execution can't tell another worker's acknowledgment of a job from its own.

        What is not decided yet may be as in the hardest world.
        """
        settings = self.settings
        same_nonce = settings.nonce_rotates is False or settings.owner == "ThirdParty"
        same_answer = same_nonce and settings.repeated == "status"
        return same_answer or self._doubted(job, execution)

    def _doubted(self, job: Job, *executions: str) -> bool:
        given = (self.executions[name].given for name in executions)
        return not job.doubts.isdisjoint(json.loads(each)["job"]["nonce"] for each in given)

    def _doubt(self, job_id: str, nonce: str) -> None:
        if job_id in self.jobs:
            job = self.jobs[job_id]
            self.jobs[job_id] = job._replace(doubts=job.doubts | {nonce})

    def open_action(self) -> None:
        """Start an action, with a job."""
        number = len({job.action for job in self.jobs.values()}) + 1
        action = f"action-{number}"
        self._make_job(action)
        self.tell_of_action(action, "STARTED")

    def tell_of_action(self, action: str, state: str) -> None:
        detail = {
            "pipeline": "Pipeline",
            "execution-id": "run",
            "stage": "Stage",
            "action": "Action",
            "action-execution-id": action,
            "state": state,
            "type": {**TYPE, "owner": self.settings.owner},
        }
        self.route("aws.codepipeline", "CodePipeline Action Execution State Change", detail)

    def _make_job(self, action: str, **more: Any) -> None:
        number = len(self.jobs) + 1
        custom = f"{number:08d}-0000-0000-0000-000000000000"
        job_id = custom if self.settings.owner == "Custom" else f"partner-job/{number}"
        self.jobs[job_id] = Job(job_id, action, **more)

    def withdraw(self, action: str) -> None:
        """Stop the pipeline and abandon the action."""
        for job in list(self.jobs.values()):
            if job.action == action and job.status not in ENDED:
                self.jobs[job.id] = job._replace(withdrawn=True, due=None)
        self.tell_of_action(action, "ABANDONED")

    def codepipeline(self, actor: Actor, operation: str, given: dict[str, Any]) -> Any:
        if operation.startswith("poll"):
            return {"jobs": self._poll()}
        if given["jobId"] not in self.jobs:
            raise Refused("JobNotFoundException")
        job = self.jobs[given["jobId"]]
        whose = "Foreign" if actor.name == "Foreign" else "ours"
        if operation.startswith("get_"):
            if job.told in ENDED:
                raise Refused("InvalidJobException")
            details = {"id": job.id, "nonce": str(job.nonce), "data": self._data(job)}
            return {"jobDetails": details}
        try:
            if operation.startswith("acknowledge"):
                return self._acknowledge(job, given["nonce"], whose)
            result = {name: value for name, value in given.items() if name != "clientToken"}
            status = "Succeeded" if "success" in operation else "Failed"
            return self._end(job, status, result, whose)
        except CodePipelineError as error:
            raise Refused(error.error_type) from error

    def _poll(self) -> list[dict[str, Any]]:
        offered = []
        for job in list(self.jobs.values()):
            if job.status == "Queued" and not job.withdrawn:
                nonce, due = Rules(self, job).next_nonce(), self.clock + OFFERED_AGAIN_SECONDS
                job = job._replace(status="Dispatched", nonce=nonce, due=due)  # noqa: PLW2901
                self.jobs[job.id] = job
                if self.settings.owner == "Custom":
                    data = self._data(job)
                    offered.append({"id": job.id, "nonce": str(nonce), "data": data})
                else:
                    offered.append({"jobId": job.id, "clientId": CLIENT_ID})
        return offered

    def _data(self, job: Job) -> dict[str, Any]:
        context = {
            "pipelineName": "Pipeline",
            "stage": {"name": "Stage"},
            "action": {"name": "Action", "actionExecutionId": job.action},
        }
        token = {"continuationToken": job.token} if job.token else {}
        return {"pipelineContext": context, **token}

    def _acknowledge(self, job: Job, nonce: str, whose: str) -> dict[str, str]:
        rules = Rules(self, job)
        status = str(rules.acknowledge(rules.job, nonce))
        if status == "InProgress":
            holder = job.holder or whose
            self.jobs[job.id] = job._replace(status=status, due=None, holder=holder)
        return {"status": status}

    def _end(self, job: Job, status: str, result: dict[str, Any], whose: str) -> None:
        if job.status not in ENDED and whose == "ours":
            self.check_result(job, status, result)
        rules = Rules(self, job)
        try:
            if not rules._end(rules.job, JobStatus(status), result):
                return
        except CodePipelineError:
            ours = job.status in ENDED and (whose, job.holder) == ("ours", "ours")
            progress = "acknowledger:" in job.result + dumps(result)
            if ours and not (progress or job.withdrawn):
                raise Broken("two results were reported") from None
            raise
        words = str(rules.job.result)
        self.jobs[job.id] = job._replace(status=status, result=words, due=None, holder=whose)
        if job.withdrawn:
            return
        if "continuationToken" in result:
            token, due = result["continuationToken"], self.clock + NEXT_JOB_SECONDS
            self._make_job(job.action, status="Created", due=due, token=token)
        else:
            self.tell_of_action(job.action, status.upper())

    def check_result(self, job: Job, status: str, result: dict[str, Any]) -> None:
        """Check that a result is for a job that is ours, and is the worker's own."""
        first = job_id_of_work(self, job)
        row = parsed(self.rows.get(("JobTable", first), "{}"))
        execution = row.get("execution", "").rpartition(":")[2]
        if job.holder == "Foreign" and not job.withdrawn and not self.confusable(job, execution):
            raise Broken("reported a job that another worker has")
        if result.get("continuationToken", "").startswith("acknowledger:"):
            return
        answers = {answer for job_id, answer in self.said if job_id == first}
        told = {name: value for name, value in result.items() if name != "jobId"}
        if status == "Succeeded" and dumps(told) not in {
            dumps(json.loads(each)) for each in answers
        }:
            raise Broken("reported a success that the worker did not report")
        if status == "Failed" and answers and execution not in self.stopped:
            raise Broken("reported a failure of a job whose worker succeeded")


class Rules(JobBoard):
    """The rules of the local CodePipeline, and one job of a world, to which they are applied.

    Switches that are not decided yet are Undecided when they make a difference.
    """

    acknowledge_seconds, result_after_abandonment = OFFERED_AGAIN_SECONDS, "accept"
    nonce_rotates = property(lambda self: self.world.known("nonce_rotates"))
    repeated_acknowledgment = property(lambda self: self.world.known("repeated"))
    acknowledge_of_ended = repeated_acknowledgment

    def __init__(self, world: World, job: Job) -> None:
        switches: Any = self
        nothing: Any = lambda *_: None  # noqa: E731
        super().__init__(Timeline(ManualClock()), lambda: switches, nothing, nothing, nothing)
        self.world, self.number = world, job.nonce
        self.job = LocalJob(job.id, nothing, 0, None, JobStatus(job.status))
        self.job.nonce, self.job.result = str(job.nonce) if job.nonce else None, job.result or None
        self.job.withdrawn = job.withdrawn
        # A job that somebody has acknowledged may be offered again.
        self.result_before_acknowledgment = "accept" if job.holder else "refuse"

    def next_nonce(self) -> int:
        """The number of the nonce with which the job is offered now."""
        before = self.job.nonce
        self._dispatch(self.job)
        return self.number + (self.job.nonce != before)


SERVICES: dict[str, Callable[[World, Actor, str, Any], Any]] = {
    "codepipeline": World.codepipeline,
    "dynamodb": World.dynamodb,
    "events": World.eventbridge,
    "stepfunctions": World.stepfunctions,
}


class Request(dict[str, Any]):
    """A request, or a part of one, which must not be changed; `text` is its JSON."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.text = dumps(given)


@functools.lru_cache(200_000)
def asked(request: str) -> Request:
    return Request(json.loads(request, object_hook=Request))


def job_of(given: str) -> str:
    return str(json.loads(given)["job"]["id"])


def job_id_of_work(world: World, job: Job) -> str:
    """The first job of the work that a job continues."""
    if not job.token.startswith("acknowledger:"):
        return job.id
    return str(json.loads(job.token.split(":", 2)[2])[0])


def told(operation: str, request: str, answer: str, fault: str) -> str:
    """One line about a call."""
    given, answered = json.loads(request), json.loads(answer)
    given = given.get("arguments", given)
    what = given.get("TableName") or given.get("nonce") or given.get("DetailType") or ""
    if "Entries" in given:
        what = ", ".join(entry["DetailType"] for entry in given["Entries"])
    went = fault or answered.get("code") or answered.get("ok", {}).get("error", "")
    status = answered.get("ok", {}).get("status", "")
    return " ".join(filter(None, (operation, what, status, f"({went})" if went else "")))


# -- DynamoDB ------------------------------------------------------------------------------------


CALL = re.compile(r"call-\d{4}")


@functools.lru_cache(500_000)
def written(
    operation: str, old: str | None, request: str
) -> tuple[str | None, str | dict[str, Any]]:
    """A row after a write, and the answer: JSON, or how it was refused."""
    new, answer = _write(operation, old, json.loads(request))
    return new, answer if "code" in answer else dumps(answer)


def _write(operation: str, old: str | None, given: dict[str, Any]) -> Any:
    (key,), name = given["Key"], given["TableName"]
    table, row = tables(name, key), json.loads(old) if old else {}
    table.put_item(name, row) if row else table.delete_item(name, given["Key"])
    more = {
        "expression_attribute_names": given.get("ExpressionAttributeNames", {}),
        "expression_attribute_values": given.get("ExpressionAttributeValues", {}),
        "condition_expression": given.get("ConditionExpression"),
    }
    try:
        if operation == "delete_item":
            table.delete_item(name, given["Key"], **more)
            return None, {}
        item = table.update_item(name, given["Key"], given["UpdateExpression"], **more)
    except ConditionalCheckFailed:
        return old, {"code": "ConditionalCheckFailedException"} | ({"item": row} if row else {})
    except JsonRESTError as error:
        return old, {"code": "ValidationException", "message": str(error)}
    row = item.to_json()["Attributes"]
    return dumps(row), {"Attributes": row} if "ReturnValues" in given else {}


@functools.cache
def tables(name: str, key: str) -> DynamoDBBackend:
    """moto's DynamoDB with this table."""
    found, nothing = DynamoDBBackend("us-east-1", "123456789012"), (None, None, None)
    schema = [{"AttributeName": key, "KeyType": "HASH"}]
    typed = [{"AttributeName": key, "AttributeType": "S"}]
    found.create_table(name, schema, None, typed, *nothing, "PAY_PER_REQUEST", None, [], None, None)
    return found


def essence(row: str, clock: float) -> str:
    """A row without the times that no longer influence anything."""
    due = parsed(row).get("dueAt", "") > moment(clock)
    return _essence(row, due)


@functools.lru_cache(500_000)
def _essence(row: str, due: bool) -> str:
    item = json.loads(row)
    idle = ["expiresAt", "offers", *([] if due else ["dueAt"])]
    idle += ["times"] if "continuing" not in item else []
    idle += ["updatedAt"] if item.get("error") != {"S": "EndedElsewhere"} else []
    for name in idle:
        item.pop(name, None)
    return dumps(item)


@functools.lru_cache(500_000)
def newest_call(row: str) -> int:
    """The highest number of a call's id in a row."""
    return max((int(each[5:]) for each in CALL.findall(row)), default=0)


@functools.lru_cache(500_000)
def parsed(row: str) -> dict[str, Any]:
    """A row as plain values, which must not be changed."""
    return plain(json.loads(row))


# -- EventBridge and Lambda, by the template -----------------------------------------------------


@functools.cache
def template() -> dict[str, Any]:
    return dict(cfn_yaml.load(str(ROOT / "template.yaml"))["Resources"])


@functools.cache
def rules() -> list[tuple[str, dict[str, Any], bool]]:
    """The functions' rules: function, pattern, and whether it is enabled only with a limit."""
    found = []
    for name in RUN:
        for rule in template()[f"{name}Function"]["Properties"]["Events"].values():
            pattern = json.loads(json.dumps(rule["Properties"].get("Pattern", {
                "detail-type": ["Scheduled Event"]
            })))  # fmt: skip
            machine_arn = ARN.replace(":execution:", ":stateMachine:")[:-1]
            if "stateMachineArn" in pattern.get("detail", {}):
                pattern["detail"]["stateMachineArn"] = [machine_arn]
            found.append((name, pattern, "State" in rule["Properties"]))
    return [*found, ("Worker", {"detail-type": ["Job In Progress"]}, False)]


@functools.cache
def repeats(function: str) -> tuple[int, float]:
    """How often Lambda retries a function, and the maximum age of its events in seconds.

    Lambda's own limit of six hours is never reached here.
    """
    of = (
        template().get(f"{function}Function", {}).get("Properties", {}).get("EventInvokeConfig", {})
    )
    age = ACKNOWLEDGE_SECONDS if "MaximumEventAgeInSeconds" in of else float("inf")
    return int(of.get("MaximumRetryAttempts", 2)), age


@functools.lru_cache(100_000)
def targets(event: str, limited: bool) -> list[str]:
    """The functions whose rules match an event."""
    parsed = json.loads(event)
    return [
        name
        for name, pattern, only_limited in rules()
        if (limited or not only_limited) and EventPattern(None, pattern).matches_event(parsed)
    ]


# -- Workers -------------------------------------------------------------------------------------


def worker(how: str, event: dict[str, Any]) -> None:
    """The function of a worker."""
    detail = event["detail"]
    job_id, token = detail["jobId"], detail["taskToken"]
    tell = client("stepfunctions").call
    result = dumps({"executionDetails": {"externalExecutionId": job_id}})
    if how == "dies":
        return
    if how == "answers late":
        sleep(150)
    if how == "tells progress":
        for percent in (30, 60):
            sleep(20)
            entry = {"EventBusName": "JobBus", "Source": "worker", "DetailType": "Job Progress"}
            told = dumps({"jobId": job_id, "percentComplete": percent})
            client("events").call("put_events", Entries=[{**entry, "Detail": told}])
            sleep(380)
    with suppress(error_type("TaskTimedOut")):
        if how == "fails":
            tell("send_task_failure", taskToken=token, error="JobFailed", cause="it said no")
        else:
            tell("send_task_success", taskToken=token, output=result)
        if how == "answers twice":
            tell("send_task_failure", taskToken=token, error="JobFailed", cause="no, after all")


WORKERS: dict[str, Callable[[Any], Any]] = {
    how: functools.partial(worker, how)
    for how in ("succeeds", "fails", "dies", "answers late", "answers twice", "tells progress")
}
