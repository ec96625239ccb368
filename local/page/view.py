"""The data of the page, read from the services' own objects in this process, without API calls.

The only lock that is taken is CodePipeline's. A row that is being written may be seen incomplete;
the next look sees the rest.
"""

import functools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from moto.cloudformation.models import cloudformation_backends
from moto.dynamodb.models import dynamodb_backends
from moto.stepfunctions.parser import models as stepfunctions_models

import moto_codepipeline
from acknowledger_worker.masking import without
from local import watched
from moto_codepipeline import switches
from moto_codepipeline.action_types import TypeKey, actions_of

STATUSES = ("Created", "Queued", "Dispatched", "InProgress", "Succeeded", "Failed", "TimedOut")

#: Attributes of a row that every card shows.
SHOWN = ("status", "pipelineName", "stageName", "actionName", "offers", "times")
#: Members that are never shown.
HIDDEN = {"artifactCredentials", "clientToken", "nonce", "roomToken", "nextJobToken", "taskToken"}
MAX_TEXT = 4000
MAX_LINE = 200
#: The part of the heartbeat timeout after which a worker counts as silent. Workers send heartbeats
#: three times as often as they must.
SILENT_PART = 0.5

#: Who answers the event of a state that waits.
ANSWERS = {"Job Dispatched": "CodePipeline", "Job In Progress": "Worker"}
#: The logical ids of a stack's resources, in the order of the fields of `Stack`.
RESOURCES = ("JobTable", "JobStateMachine", "IntakeFunction", "IntakeTable")


class Stack(NamedTuple):
    """A deployed stack, and the resources that the page reads."""

    name: str
    table_name: str
    state_machine_arn: str
    intake_function: str
    intake_table: str
    parameters: Mapping[str, Any]


def stacks(account_id: str, region: str) -> Iterator[Stack]:
    """The deployed stacks of the product."""
    for stack in list(cloudformation_backends[account_id][region].stacks.values()):
        made = stack.resource_map._parsed_resources  # the map itself would create them
        parts = [made.get(name) for name in RESOURCES]
        if all(parts):
            table, machine, intake, rooms = (part.physical_resource_id for part in parts if part)
            yield Stack(stack.name, table, machine, intake, rooms, stack.stack_parameters)


class View:
    """The data of an account and region, and notices by subject."""

    def __init__(self, account_id: str, region: str, notices: Mapping[str, str]) -> None:
        self._account_id = account_id
        self._region = region
        self._notices = notices

    def board(self) -> dict[str, Any]:
        """Everything but the details of jobs, by name.

        `stack`: `{name, intake, types}` or null: the name of its Intake function, and for each
        action type that it serves whether intake is paused. `region`. `notices`: sentences by
        subject. `worker`: `{kind, ended}` as in `Watched`. `job ID`: see `card`.
        `pipeline NAME`: as in `JobBackend.overview`. `switches`: for each
        its value, a description of the allowed values, and its choices if they are few.
        `nextJobs`: what the user has requested for the next jobs.
        """
        stack, emulator = self._stack(), self._emulator
        worker = watched.worker
        seen: dict[str, Any] = {
            "stack": stack
            and {"name": stack.name, "intake": stack.intake_function, "types": self._types(stack)},
            "region": self._region,
            "notices": dict(self._notices),
            "worker": {"kind": worker.kind, "ended": worker.ended},
            "switches": {
                name: {
                    "value": value,
                    "allowed": switches.allowed(name),
                    "choices": switches.choices(name),
                }
                for name, value in switches.values(emulator.behaviour).items()
            },
            "nextJobs": [asdict(wish) for wish in list(emulator.next_jobs)],
        }
        seen |= {f"pipeline {each['name']}": each for each in emulator.overview()}
        if stack:
            seen |= {f"job {job_id}": shown for job_id, shown in self._cards(stack)}
        return seen

    def way(self, job_id: str) -> dict[str, Any]:
        """Everything about a job, by name.

        `job`: its card and more of its row; `dead`: how its worker has ended. `log`: the lines of
        the worker's log that name the job. `configuration`: the action's configuration.
        `codepipeline`: the state of the job and the action in CodePipeline.
        `machine`: see `graph`. `offer NAME`: for each execution when it began, its status, the
        states that it entered, and what happened.
        """
        stack = self._stack()
        row = self._rows(stack).get(job_id) if stack else None
        seen: dict[str, Any] = {"job": None, "log": self._log(job_id)}
        if row:
            named = ("error", "cause", "actionType", "clientId", "pipelineExecutionId")
            calls = row.get("acknowledgeCalls")
            seen["job"] = card(row) | {
                "id": job_id,
                **{name: row[name].value for name in named if name in row},
                "acknowledgeCalls": len(calls.value) if calls else 0,
                "summary": told(row, "summary"),
            }
            if seen["job"]["status"] == "InProgress":
                seen["job"]["dead"] = watched.worker.ended
        seen["codepipeline"] = self._emulator.job_state(job_id)
        if not stack:
            return seen
        for execution in self._executions(stack):
            given = offered(execution.execution_input, job_id)
            if given is None:
                continue
            data = given["job"].get("data", {})
            seen["configuration"] = data.get("actionConfiguration", {}).get("configuration", {})
            seen["timeouts"] = given.get("timeouts", {})
            if row and seen["job"]["status"] == "InProgress":
                seen["job"] |= silence(execution)
            seen["machine"] = graph(execution.state_machine.definition)
            events = execution.history
            seen[f"offer {execution.name}"] = {
                "began": execution.start_date.isoformat(timespec="milliseconds"),
                "status": str(execution.status),
                "states": [state for _, state in entered(events)],
                "happened": list(happened(events)),
            }
        return seen

    @property
    def _emulator(self) -> moto_codepipeline.JobBackend:
        return moto_codepipeline.backend(self._account_id, self._region)

    def _stack(self) -> Stack | None:
        return next(stacks(self._account_id, self._region), None)

    def _rows(self, stack: Stack) -> dict[str, Any]:
        """The attributes of each job's row, as in moto, by job id."""
        rows = self._table(stack.table_name)
        return {job_id: row for job_id, row in rows.items() if is_whole(row)}

    def _table(self, name: str) -> dict[str, Any]:
        table = dynamodb_backends[self._account_id][self._region].tables.get(name)
        items: list[Any] = list(table.items.values()) if table else []
        return {item.hash_key.value: item.attrs for item in items}

    def _types(self, stack: Stack) -> dict[str, bool]:
        rows = self._table(stack.intake_table)
        served = stack.parameters["ActionTypes"]
        names = served.split(",") if isinstance(served, str) else served
        paused = {name for name, row in rows.items() if "paused" in row and row["paused"].value}
        return {name: name in paused for name in map(str.strip, names)}

    def _cards(self, stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
        executions = {each.exec_arn: each for each in self._executions(stack)}
        for job_id, row in self._rows(stack).items():
            shown = card(row)
            if shown["status"] == "InProgress" and "execution" in row:
                shown |= silence(executions.get(row["execution"].value))
            yield job_id, shown

    def _log(self, job_id: str) -> list[str]:
        secrets = set(self._secrets())
        return [without(secrets, line)[:MAX_TEXT] for line in watched.worker.log(job_id)]

    def _secrets(self) -> Iterator[str]:
        """The values of the secret properties of all pipelines' actions."""
        types = self._emulator.action_types
        for pipeline in list(self._emulator.pipelines.values()):
            for _, action in actions_of(pipeline.pipeline):
                kind = types.get(TypeKey.of(action["actionTypeId"]))
                given = action.get("configuration", {})
                shown = kind.masked(given) if kind else given
                yield from (value for name, value in given.items() if shown[name] != value)

    def _executions(self, stack: Stack) -> list[Any]:
        backend: Any = stepfunctions_models.stepfunctions_parser_backends[self._account_id]
        machine = backend[self._region].describe_state_machine(stack.state_machine_arn)
        return list(machine.executions)


# -- Rows -----------------------------------------------------------------------------------------


def is_whole(row: dict[str, Any]) -> bool:
    """Whether a row has all that `card` needs; a row that is being written may not."""
    return all(name in row for name in SHOWN)


def card(row: dict[str, Any]) -> dict[str, Any]:
    """The card of a job; `times` are in milliseconds since the epoch."""
    times = row["times"].value
    shown = {
        "status": row["status"].value,
        "pipeline": row["pipelineName"].value,
        "stage": row["stageName"].value,
        "action": row["actionName"].value,
        "offers": int(row["offers"].value),
        "times": {
            status: milliseconds(times[status].value) for status in STATUSES if status in times
        },
    }
    if (percent := told(row, "percentComplete")) is not None:
        shown["percent"] = int(percent)
    if "error" in row:
        cause = row["cause"].value if "cause" in row else ""
        # A worker's own failure is clear without its name, and a card is narrow.
        error = "" if row["error"].value == "JobFailed" and cause else f"{row['error'].value}: "
        shown["why"] = " ".join(f"{error}{cause}".split())[:MAX_LINE]
    return shown


def silence(execution: Any) -> dict[str, Any]:
    """For a job whose worker should have sent a heartbeat: when it sent the last one.

    `silent`: `{since, limit}`, milliseconds since the epoch, and the heartbeat timeout in seconds.
    """
    worker = getattr(execution, "exec_worker", None)
    tokens = list(worker.env.callback_pool_manager._pool.values()) if worker else []
    if not tokens or not (limit := tokens[-1]._heartbeat_seconds):
        return {}
    seconds = time.monotonic() - tokens[-1]._last_heartbeat
    if seconds < limit * SILENT_PART:
        return {}
    return {"silent": {"since": round(time.time() - seconds) * 1000, "limit": round(limit)}}


def told(row: dict[str, Any], name: str) -> Any:
    """A member of the progress that the worker reported, while the job has not ended."""
    progress = row.get("progress") if row["status"].value in STATUSES[:4] else None
    member = progress.value.get(name) if progress else None
    return member.value if member else None


@functools.lru_cache(maxsize=20_000)
def milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)


# -- Executions -----------------------------------------------------------------------------------


def offered(execution_input: str, job_id: str) -> dict[str, Any] | None:
    """The input of an execution, or None if it is for another job."""
    if job_id not in execution_input:  # much faster than parsing every input
        return None
    given: dict[str, Any] = json.loads(execution_input)
    return given if given.get("job", {}).get("id") == job_id else None


@functools.lru_cache(maxsize=4)
def graph(definition: str) -> dict[str, Any]:
    """The states of a state machine by name: type, comment, and the states that follow."""
    machine = json.loads(definition)
    return {
        "start": machine["StartAt"],
        "states": {
            name: {
                "type": state["Type"],
                "comment": state.get("Comment", ""),
                "next": unique(
                    state.get("Next"),
                    *(choice["Next"] for choice in state.get("Choices", [])),
                    state.get("Default"),
                ),
                "catch": unique(*(catcher["Next"] for catcher in state.get("Catch", []))),
            }
            for name, state in machine["States"].items()
        },
    }


def unique(*names: str | None) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))


def entered(events: list[Any]) -> Iterator[tuple[str, str]]:
    """The time at which each state was entered, and its name."""
    for event in events:
        if details := event.get("stateEnteredEventDetails"):
            yield event["timestamp"], details["name"]


def happened(events: list[Any]) -> Iterator[dict[str, str]]:
    """The history of an execution, as `at`, `who`, `what`, and often `text`.

    Requests to DynamoDB and their answers are left out unless they fail.
    """
    state, asked = "", ""
    for event in events:
        kind = str(event["type"].value)
        details = next((value for value in event.values() if isinstance(value, dict)), {})
        found: tuple[str, ...] = ()
        if kind.endswith("StateEntered"):
            state, asked = details["name"], ""
            found = ("Step Functions", state)
        elif kind == "TaskScheduled":
            parameters = json.loads(details["parameters"])
            if details["resourceType"] == "events":
                asked = parameters["Entries"][0]["DetailType"]
                found = ("JobBus", f"event {asked}")
            elif details["resourceType"] == "lambda":
                asked = "Report"
                found = ("Report", "was invoked", text_of(parameters["Payload"]))
        elif kind == "TaskSucceeded" and asked in (*ANSWERS, "Report"):
            output = json.loads(details["output"])
            if asked == "Report":
                output = output.get("Payload")
            found = (ANSWERS.get(asked, "CodePipeline"), *answer(output))
        elif "error" in details:
            who = ANSWERS.get(asked, asked) if kind == "TaskFailed" and asked else "Step Functions"
            said = ": ".join(filter(None, (details["error"], details.get("cause"))))
            found = (who, spaced(kind), said[:MAX_TEXT])
        elif kind == "ExecutionSucceeded" and "reason" in details.get("output", ""):
            found = ("Step Functions", "stood down", text_of(json.loads(details["output"])))
        if found:
            told = dict(zip(("who", "what", "text"), found, strict=False))
            yield told | {"at": event["timestamp"]}


def answer(output: Any) -> tuple[str, ...]:
    """What was answered; only the status if there is nothing else."""
    match output:
        case {"status": str() as status, **others} if not others:
            return (f"answered {status}",)
    return "answered", text_of(output)


def spaced(kind: str) -> str:
    """`TaskTimedOut` as `task timed out`."""
    return "".join(f" {each.lower()}" if each.isupper() else each for each in kind).strip()


def text_of(value: Any) -> str:
    """A value as JSON, without the members in HIDDEN."""
    return json.dumps(without_hidden(value), ensure_ascii=False, indent=1)[:MAX_TEXT]


def without_hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: without_hidden(member) for name, member in value.items() if name not in HIDDEN
        }
    if isinstance(value, list):
        return [without_hidden(member) for member in value]
    return value
