"""Calls about the state machine's executions.

Every function that calls Step Functions may raise StepFunctionsUnavailable.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/Welcome.html
"""

import json
from typing import Any

from botocore.exceptions import ClientError

from acknowledger.aws import client
from acknowledger.config import config
from acknowledger.errors import StepFunctionsUnavailable, TaskTokenGone, unavailable

CAUSE_LENGTH = 32_768
# A result may wait a day for the next job: four events an hour, and those of failed attempts.
EVENTS_SINCE_REPORT = 200
_TOKEN_GONE = ("InvalidToken", "TaskDoesNotExist", "TaskTimedOut")


def describe(arn: str) -> dict[str, Any] | None:
    """An execution as DescribeExecution returns it, or None if there is none of that name."""
    return _call("describe_execution", "ExecutionDoesNotExist", executionArn=arn)


def arn_of(name: str) -> str:
    """The ARN of the execution with this name."""
    return f"{config().state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


def start(name: str, start_input: dict[str, Any]) -> bool:
    """Start an execution; False if the name was already used."""
    machine, given = config().state_machine_arn, json.dumps(start_input)
    request = {"stateMachineArn": machine, "name": name, "input": given}
    return _call("start_execution", "ExecutionAlreadyExists", **request) is not None


def is_running(arn: str) -> bool:
    """Whether an execution is running; False also if there is none of that name."""
    described = describe(arn)
    return described is not None and bool(described["status"] == "RUNNING")


def running() -> set[str]:
    """The names of the running executions; the list may lag behind."""
    asked = {"stateMachineArn": config().state_machine_arn, "statusFilter": "RUNNING"}
    with unavailable(StepFunctionsUnavailable, "Step Functions"):
        pages = client("stepfunctions").get_paginator("list_executions").paginate(**asked)
        return {execution["name"] for page in pages for execution in page["executions"]}


def succeed(task_token: str) -> bool:
    """Let the execution that waits with this token go on; False if none waits any longer."""
    return _call("send_task_success", *_TOKEN_GONE, taskToken=task_token, output="{}") is not None


def fail(task_token: str, error: str, cause: str) -> bool:
    """Fail the task that waits with this token; False if none waits any longer."""
    words = {"error": error, "cause": cause[:CAUSE_LENGTH]}
    return _call("send_task_failure", *_TOKEN_GONE, taskToken=task_token, **words) is not None


def answer(task_token: str, result: dict[str, str]) -> bool:
    """Send a result to the execution that waits with this token; False if none waits any longer.

    Args:
        result: with `error` and `cause`, it fails the task.

    Raises:
        TaskTokenGone: Step Functions does not know the token.
    """
    step_functions = client("stepfunctions")
    with unavailable(StepFunctionsUnavailable, "Step Functions"):
        try:
            if "error" in result:
                words = {**result, "cause": result["cause"][:CAUSE_LENGTH]}
                step_functions.send_task_failure(taskToken=task_token, **words)
            else:
                step_functions.send_task_success(taskToken=task_token, output=json.dumps(result))
        except step_functions.exceptions.InvalidToken:
            raise TaskTokenGone("taskToken: Step Functions does not know it") from None
        except (step_functions.exceptions.TaskDoesNotExist, step_functions.exceptions.TaskTimedOut):
            return False
    return True


def waiting_token(arn: str) -> str | None:
    """The task token that an execution waits with just now, or None if it isn't waiting.

    It is in the arguments of the newest task in the history.
    """
    for event in _newest_events(arn, 5):
        if event["type"] == "TaskScheduled":
            scheduled = event["taskScheduledEventDetails"]
            if not scheduled["resource"].endswith(".waitForTaskToken"):
                return None
            return find_token(json.loads(scheduled["parameters"]))
        if event["type"] not in ("TaskStarted", "TaskSubmitted"):
            return None
    return None


def last_report(arn: str) -> tuple[Any, bool]:
    """The last payload of an execution for Report, or None, and whether Report has answered."""
    answered = False
    for event in _newest_events(arn, EVENTS_SINCE_REPORT):
        answered = answered or event["type"] == "TaskSucceeded"
        scheduled = event.get("taskScheduledEventDetails", {})
        if scheduled.get("resourceType") == "lambda":
            return json.loads(scheduled["parameters"])["Payload"], answered
    return None, False


def find_token(value: Any) -> str | None:
    """The token in a task's arguments: `taskToken` of an event, `:token` of a row's update."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, list):
        return next((token for member in value if (token := find_token(member))), None)
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("taskToken"), str):
        return str(value["taskToken"])
    if isinstance(value.get(":token"), dict):
        return str(value[":token"]["S"])
    return next((token for member in value.values() if (token := find_token(member))), None)


def _newest_events(arn: str, count: int) -> list[dict[str, Any]]:
    """The last events of an execution's history, the newest first."""
    request = {"executionArn": arn, "reverseOrder": True, "maxResults": count}
    answer = _call("get_execution_history", **request) or {}
    return list(answer["events"])


def _call(operation: str, *refusals: str, **request: Any) -> dict[str, Any] | None:
    """Step Functions' response, or None if it refuses with one of these errors."""
    with unavailable(StepFunctionsUnavailable, "Step Functions"):
        try:
            return dict(getattr(client("stepfunctions"), operation)(**request))
        except ClientError as error:
            if error.response["Error"]["Code"] not in refusals:
                raise
            return None
