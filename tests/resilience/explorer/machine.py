"""The state machine's definition, with each task state run as a process.

A process runs one task state, with its retries and its Catch, and the states after it up to the
next task state or the end. It supports what the definition uses: JSONata, Task, Choice, Succeed and
Fail, Retry, Catch, Assign, Output, timeouts and heartbeats. Anything else in a definition is
refused.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonata.jsonata import Jsonata

from local.aws import jsonata
from tests.resilience.explorer.processes import EPOCH, client, clock, dumps, moment, sleep, wait
from tests.support import ROOT

DEFINITION = ROOT / "statemachine" / "job.asl.json"
TASK_STATE = {"Type", "Comment", "Resource", "TimeoutSeconds", "HeartbeatSeconds", "Arguments"}
TASK_STATE |= {"Assign", "Output", "Retry", "Catch", "Next"}
#: The prefixes of the integrations' errors.
PREFIXES = {"dynamodb": "DynamoDB", "aws-sdk:dynamodb": "DynamoDb", "events": "EventBridge"}
PREFIXES |= {"lambda": "Lambda"}
NAMES = {"Partition": "aws", "TableName": "JobTable", "BusName": "JobBus"}
NAMES |= {"ReportFunctionArn": "ReportFunction"}


@functools.cache
def definition() -> dict[str, Any]:
    """The states of the definition."""
    text = DEFINITION.read_text()
    for name, value in NAMES.items():
        text = text.replace(f"${{{name}}}", value)
    states: dict[str, Any] = json.loads(text)["States"]
    unknown = {
        key for state in states.values() if state["Type"] == "Task" for key in state
    } - TASK_STATE
    if unknown:
        raise NotImplementedError(f"the explorer doesn't support {', '.join(unknown)}")
    return states


class Failed(Exception):
    """A task, or an expression, failed."""

    def __init__(self, error: str | None, cause: str | None) -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause


@dataclass
class Scope:
    """What expressions can refer to."""

    execution: str
    given: Any
    state: str
    input: Any
    variables: dict[str, Any]
    entered: float
    token: str = ""

    def value(self, template: Any, **states: Any) -> Any:
        """A template with its expressions evaluated."""
        execution = {"Id": self.execution, "Input": self.given}
        state = {"Name": self.state, "EnteredTime": moment(self.entered)}
        context = {"Execution": execution, "State": state, "Task": {"Token": self.token}}
        seen = {**self.variables, "states": {**states, "input": self.input, "context": context}}
        return _value(template, dumps(seen))


def _value(template: Any, seen: str) -> Any:
    if isinstance(template, dict):
        return {name: _value(member, seen) for name, member in template.items()}
    if isinstance(template, list):
        return [_value(member, seen) for member in template]
    if not isinstance(template, str) or not template.startswith("{%"):
        return template
    expression = template[2:-2].strip()
    now = clock() if re.search(r"\$(now|millis)\(", expression) else None
    answer = evaluated(expression, seen, now)
    if isinstance(answer, Failed):
        raise answer
    return answer


@functools.lru_cache(200_000)
def evaluated(expression: str, seen: str, now: float | None) -> Any:
    """The value of an expression, or its failure; `now` is the time if the expression reads it."""
    timed = {} if now is None else _times(now)
    try:
        return jsonata.evaluate(expression, {**json.loads(seen), **timed})
    except jsonata.EvaluationError as error:
        return Failed("States.QueryEvaluationError", str(error))


def _times(now: float) -> dict[str, Any]:
    return {
        "now": Jsonata.JLambda(lambda *_: moment(now)),
        "millis": Jsonata.JLambda(lambda *_: round(1000 * (EPOCH.timestamp() + now))),
    }


def run(argument: Mapping[str, Any]) -> dict[str, Any]:
    """Run a task state, and the states after it.

    Args:
        argument: `{execution, given, state, input, variables}`; given is the execution's input.

    Returns:
        the argument for the next task state; or `{status, error?, cause?, output?}`. Both have the
        `path` of the states in between.
    """
    name, variables = argument["state"], argument["variables"]
    scope = Scope(
        argument["execution"], argument["given"], name, argument["input"], variables, clock()
    )
    state, path = definition()[name], list[str]()
    try:
        name, scope = _task(state, scope)
        while (state := definition()[name])["Type"] != "Task":
            scope.state = name
            path.append(name)
            if state["Type"] == "Fail":
                error, cause = scope.value(state["Error"]), scope.value(state["Cause"])
                return {"status": "FAILED", "error": error, "cause": cause, "path": path}
            if state["Type"] == "Succeed":
                output = scope.value(state["Output"])
                return {"status": "SUCCEEDED", "output": output, "path": path}
            chosen = (each for each in state["Choices"] if scope.value(each["Condition"]))
            name = next(chosen, {"Next": state["Default"]})["Next"]
    except Failed as failed:
        return {"status": "FAILED", "error": failed.error, "cause": failed.cause, "path": path}
    left = {"state": name, "input": scope.input, "variables": scope.variables, "path": path}
    return {**argument, **left}


def _task(state: Mapping[str, Any], scope: Scope) -> tuple[str, Scope]:
    """The next state, and what its expressions can refer to."""
    tries, attempt = [0] * len(state.get("Retry", [])), 0
    while True:
        attempt += 1
        scope.token = (
            f"{scope.execution.rpartition(':')[2]}/{scope.state}/{round(scope.entered)}/{attempt}"
        )
        try:
            result = _attempt(state, scope)
            break
        except Failed as failed:
            number = next(
                (n for n, each in enumerate(state.get("Retry", [])) if _is_of(failed, each)), None
            )
            if number is not None and tries[number] < state["Retry"][number]["MaxAttempts"]:
                rule = state["Retry"][number]
                seconds = rule["IntervalSeconds"] * rule["BackoffRate"] ** tries[number]
                tries[number] += 1
                sleep(min(seconds, rule["MaxDelaySeconds"]))
                continue
            caught = next((each for each in state.get("Catch", []) if _is_of(failed, each)), None)
            if caught is None:
                raise
            told = {"errorOutput": {"Error": failed.error, "Cause": failed.cause}}
            return caught["Next"], _left(caught, scope, told["errorOutput"], told)
    return state["Next"], _left(state, scope, result, {"result": result})


def _left(rule: Mapping[str, Any], scope: Scope, output: Any, told: dict[str, Any]) -> Scope:
    """What the next state's expressions can refer to."""
    assigned = scope.value(rule.get("Assign", {}), **told)
    if "Output" in rule:
        output = scope.value(rule["Output"], **told)
    return Scope(
        scope.execution, scope.given, "", output, {**scope.variables, **assigned}, scope.entered
    )


def _is_of(failed: Failed, rule: Mapping[str, Any]) -> bool:
    error = failed.error
    names = {error, "States.ALL"} | ({"States.TaskFailed"} if error != "States.Timeout" else set())
    return bool(names & set(rule["ErrorEquals"]))


def _attempt(state: Mapping[str, Any], scope: Scope) -> Any:
    """The result of one try of the task."""
    began = clock()
    service, _, action = state["Resource"].removeprefix("arn:aws:states:::").rpartition(":")
    action, _, waits = action.partition(".")
    arguments = scope.value(state["Arguments"])
    limits = [scope.value(state["TimeoutSeconds"])]
    limits += [scope.value(state["HeartbeatSeconds"])] if "HeartbeatSeconds" in state else []
    scheduled = {
        "resource": f"{action}.{waits}" if waits else action,
        "resourceType": service,
        "parameters": dumps(arguments),
    }
    request = {"execution": scope.execution, "scheduled": scheduled, "token": scope.token}
    operation = "invoke" if service == "lambda" else re.sub("([A-Z])", r"_\1", action).lower()
    answer = _called(
        PREFIXES[service], service.removeprefix("aws-sdk:"), operation, arguments, request
    )
    if not waits and service != "lambda":
        return answer
    answer = wait(scope.token, began + min(limits))
    if answer is None:
        raise Failed("States.Timeout", "")
    if "output" not in answer:
        raise Failed(answer.get("error"), answer.get("cause"))
    result = json.loads(answer["output"])
    return {"Payload": result} if service == "lambda" else result


def _called(prefix: str, service: str, operation: str, arguments: Any, task: Any) -> Any:
    answer = client(f"states/{service}").call(operation, arguments=arguments, task=task)
    if "error" in answer:
        error = answer["error"] if "." in answer["error"] else f"{prefix}.{answer['error']}"
        raise Failed(error, answer.get("cause", ""))
    return answer
