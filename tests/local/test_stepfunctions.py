"""State machines run as on AWS, in everything that matters to a workflow that waits and retries."""

import functools
import itertools
import json
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser import models

from local.aws import events
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import (
    ACCOUNT,
    REGION,
    SECONDS,
    Queue,
    ended,
    make_function,
    make_machine,
    make_rule,
    make_table,
    role,
    wait_until_freed,
)
from tests.support import wait_for

NASTY = "quotes \" and ' and \\ and \n and {% $states.input %} and é😀 and ${x} and $x := 1;"

PASS = {"Type": "Pass", "End": True}


@pytest.fixture(scope="module")
def states(cloud: LocalCloud) -> Any:
    return cloud.client("stepfunctions")


@pytest.fixture(scope="module")
def tokens(cloud: LocalCloud) -> Callable[[str], str]:
    """Returns the task token in the next event, which must have the given detail-type."""
    queue = Queue(cloud, "tokens")
    make_rule(cloud, "tokens", {"source": ["test"]}, {"Arn": queue.arn})

    def next_token(detail_type: str) -> str:
        event = queue.body()
        assert event["detail-type"] == detail_type
        return str(event["detail"]["token"])

    return next_token


@pytest.fixture
def machine(cloud: LocalCloud) -> Callable[..., str]:
    """Creates a state machine in JSONata from states that run in the given order."""

    def make(*, timeout: int | None = None, **states: dict[str, Any]) -> str:
        for (name, state), following in itertools.zip_longest(states.items(), list(states)[1:]):
            if not (state["Type"] in ("Choice", "Fail", "Succeed") or "Next" in state):
                states[name] = state | ({"Next": following} if following else {"End": True})
        definition = {"QueryLanguage": "JSONata", **machine_of(**states)}
        if timeout:
            definition["TimeoutSeconds"] = timeout
        return make_machine(cloud, f"m{uuid.uuid4()}", definition)

    return make


def machine_of(**states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


def start(states: Any, machine: str, data: Any = None) -> str:
    answer = states.start_execution(stateMachineArn=machine, input=json.dumps(data))
    return str(answer["executionArn"])


def run(states: Any, machine: str, data: Any = None) -> Any:
    return ended(states, start(states, machine, data))


def output(states: Any, machine: str, data: Any = None) -> Any:
    described = run(states, machine, data)
    assert described["status"] == "SUCCEEDED", described.get("cause")
    return described["output"]


def history(states: Any, execution: str) -> list[str]:
    events = states.get_execution_history(executionArn=execution)["events"]
    return [event["type"] for event in events]


def code_of(call: Callable[..., Any], **request: Any) -> str:
    """The code of the error with which a request is refused."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Code"])


def answers_to(states: Any, token: str) -> Iterator[Callable[..., Any]]:
    """Everything that can be sent with a task token."""
    yield functools.partial(states.send_task_success, taskToken=token, output="1")
    yield functools.partial(states.send_task_failure, taskToken=token)
    yield functools.partial(states.send_task_heartbeat, taskToken=token)


def check_used_up(states: Any, token: str) -> None:
    assert {code_of(answer) for answer in answers_to(states, token)} == {"TaskTimedOut"}


def task(integration: str, **arguments: Any) -> dict[str, Any]:
    resource = f"arn:aws:states:::{integration}"
    return {"Type": "Task", "Resource": resource, "Arguments": arguments}


def catch(*names: str, **settings: Any) -> list[dict[str, Any]]:
    """Catchers that lead to the state Caught, with the error as its input."""
    output = {"Output": "{% $states.errorOutput %}"}
    return [{"ErrorEquals": [*names], "Next": "Caught", **output, **settings}]


def waiting(detail_type: str, **settings: Any) -> dict[str, Any]:
    """A state that puts its token into an event and waits for the result."""
    detail = {"token": "{% $states.context.Task.Token %}"}
    entry = {"Source": "test", "DetailType": detail_type, "Detail": detail}
    return {**task("events:putEvents.waitForTaskToken", Entries=[entry]), **settings}


def events_of(states: Any, execution: str, **request: Any) -> list[dict[str, Any]]:
    """The whole history of an execution."""
    pages = states.get_paginator("get_execution_history")
    return [
        event
        for page in pages.paginate(executionArn=execution, **request)
        for event in page["events"]
    ]


def events_of_type(states: Any, execution: str, kind: str) -> list[dict[str, Any]]:
    """The details of the events of a type."""
    details = f"{kind[0].lower()}{kind[1:]}EventDetails"
    return [event[details] for event in events_of(states, execution) if event["type"] == kind]


def wait_until_submitted(states: Any, execution: str, times: int = 1) -> None:
    def submitted() -> bool:
        return history(states, execution).count("TaskSubmitted") == times

    wait_for(submitted, "the task to wait", SECONDS)


AGAIN = {"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 2}


# -- JSONata --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *(NASTY, '"; $kept := "broken"; "', None, True, 0, 2.5, [], [NASTY], [[1]], {}),
        *({NASTY: NASTY}, {"a": [{"b": None}]}),
    ],
    ids=str,
)
def test_values_pass_through_expressions_unchanged_and_are_never_code(states, machine, value):
    arn = machine(
        Keep={"Type": "Pass", "Assign": {"kept": "{% $states.input.value %}"}, "Output": {}},
        Give={"Type": "Pass", "Output": {"kept": "{% $kept %}", "text": "{% $string($kept) %}"}},
    )
    assert output(states, arn, {"value": value})["kept"] == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$states.input.a + 1", 2),
        ("$states.input.text & '!'", NASTY + "!"),
        ("4 / 2", 2),
        ("$merge([{'a': 1}, {'b': $states.input.missing}])", {"a": 1}),
        ("$exists($states.input.missing) ? 1 : 'none'", "none"),
        ("[$states.input.missing, ''][0]", ""),
        ("$sift($states.input.object, function($v, $k) { $k != 'secret' })", {"open": 1}),
        ("$lookup($states.input.object, 'open')", 1),
        ("$parse('{\"a\": [1]}').a", [1]),
        ("$partition([1, 2, 3], 2)", [[1, 2], [3]]),
        ("$range(0, 4, 2)", [0, 2, 4]),
        ("$hash('content', 'SHA-1')", "040f06fd774092478d450774f5ba30c5da78acc8"),
        ("$length($uuid())", 36),
        ("$random(7) = $random(7)", True),
        ("$string(['é😀'])", '["é😀"]'),
        ("$type($states.input.none)", "null"),
        ("$states.context.Execution.Input.a", 1),
    ],
)
def test_expressions_are_evaluated(states, machine, expression, value):
    data = {"a": 1, "text": NASTY, "object": {"open": 1, "secret": 2}, "none": None}
    arn = machine(Evaluate={"Type": "Pass", "Output": f"{{% {expression} %}}"})
    assert output(states, arn, data) == value


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("$states.input.missing", "returned nothing (undefined)"),
        ("$undefined", "returned nothing (undefined)"),
        ("1 + 'a'", "T2002"),
        ("$error('mine')", "mine"),
        ("$eval('1')", "T1006"),
        ("function($x) { $x }", "unsupported result type"),
    ],
)
def test_an_expression_without_a_value_fails_the_execution(states, machine, expression, cause):
    arn = machine(Evaluate={"Type": "Pass", "Output": f"{{% {expression} %}}"})
    described = run(states, arn, {})
    assert described["status"] == "FAILED"
    assert described["error"] == "States.QueryEvaluationError"
    assert cause in described["cause"]
    assert "EvaluationFailed" in history(states, described["executionArn"])


@pytest.mark.parametrize(
    "path",
    ["a", "a.text", "a.number", "a.yes", "a.none", "a.object", "a.list", "a.list.b", "a.and"],
)
def test_a_path_alone_has_the_same_value_as_within_an_expression(states, machine, path):
    data = {"text": NASTY, "number": 2.0, "yes": True, "none": None, "and": 1}
    data |= {"object": {"b": None}, "list": [{"b": 1}, {"b": 2}]}
    alone, within = f"{{% $states.input.{path} %}}", f"{{% ($states.input.{path}) %}}"
    arn = machine(Evaluate={"Type": "Pass", "Output": {"alone": alone, "within": within}})
    found = output(states, arn, {"a": data})
    assert found["alone"] == found["within"]


def test_the_context_object_has_aws_timestamps(states, machine):
    entered = "{% $floor($toMillis($states.context.State.EnteredTime) / 1000) %}"
    shown = {"context": "{% $states.context %}", "seconds": entered}
    arn = machine(Look={"Type": "Pass", "Output": shown})
    before = time.time()
    execution = start(states, arn, 5)
    given = ended(states, execution)["output"]
    after = time.time()
    context = given["context"]
    assert context["Execution"]["Id"] == execution
    assert context["Execution"]["Input"] == 5
    assert context["StateMachine"]["Id"] == arn
    assert context["State"]["Name"] == "Look"
    for when in (context["Execution"]["StartTime"], context["State"]["EnteredTime"]):
        assert len(when) == len("2026-01-01T00:00:00.000Z")
        assert before - 0.001 < datetime.fromisoformat(when).timestamp() < after
    assert before - 1 < given["seconds"] < after


def test_output_sees_the_variables_as_they_were_on_entry(states, machine):
    arn = machine(
        First={"Type": "Pass", "Assign": {"n": 1}},
        Second={"Type": "Pass", "Assign": {"n": "{% $n + 1 %}"}, "Output": "{% $n %}"},
        Third={"Type": "Pass", "Output": ["{% $states.input %}", "{% $n %}"]},
    )
    assert output(states, arn) == [1, 2]


# -- Choice and Fail ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "more", "error"),
    [
        ("$states.input = 1", {}, "States.NoChoiceMatched"),
        ("$states.input", {"Default": "End"}, "States.QueryEvaluationError"),
    ],
    ids=["nothing matches", "a condition is neither true nor false"],
)
def test_a_choice_fails(states, machine, condition, more, error):
    choices = [{"Condition": f"{{% {condition} %}}", "Next": "End"}]
    choose = {"Type": "Choice", "Choices": choices, **more}
    assert run(states, machine(Choose=choose, End={"Type": "Succeed"}), "text")["error"] == error


# -- Task tokens ----------------------------------------------------------------------------------


def test_a_resource_of_another_partition_fails_the_execution_and_can_not_be_caught(states, machine):
    abroad = waiting("abroad", Catch=catch("States.ALL"))
    abroad["Resource"] = abroad["Resource"].replace("arn:aws:", "arn:aws-us-gov:")
    described = run(states, machine(Wait=abroad, Caught={"Type": "Pass"}))
    assert (described["status"], described["error"]) == ("FAILED", "States.Runtime")
    assert "arn:aws-us-gov:states:::events:putEvents" in described["cause"]


@pytest.mark.parametrize("heartbeat", [{}, {"HeartbeatSeconds": 30}], ids=["plain", "heartbeat"])
def test_an_immediate_result_is_never_missed(cloud, states, machine, heartbeat):
    source = """
        import boto3
        states = boto3.client("stepfunctions")
        def handler(event, context):
            states.send_task_success(taskToken=event["detail"]["token"], output='"quick"')
    """
    name = f"quick{len(heartbeat)}"
    function = make_function(cloud, name, source, Timeout=10)
    bus = cloud.client("events").create_event_bus(Name=name)["EventBusArn"]
    make_rule(cloud, name, {"detail-type": [name]}, {"Arn": function}, bus=name)
    state = waiting(name, **heartbeat)
    state["Arguments"]["Entries"][0]["EventBusName"] = bus
    arn = machine(Wait=state)
    executions = [start(states, arn) for _ in range(12)]
    assert [ended(states, execution)["output"] for execution in executions] == ["quick"] * 12


def test_an_unknown_token_and_an_invalid_result_are_refused(states, machine, tokens):
    assert {code_of(answer) for answer in answers_to(states, "garbage")} == {"InvalidToken"}
    with pytest.raises(ClientError, match="Invalid Token: 'Invalid token'"):
        states.send_task_success(taskToken="garbage", output="no JSON")
    execution = start(states, machine(Wait=waiting("refused")))
    token = tokens("refused")
    success = functools.partial(states.send_task_success, taskToken=token)
    failure = functools.partial(states.send_task_failure, taskToken=token)
    assert code_of(success, output="{") == "InvalidOutput"
    assert code_of(success, output=json.dumps("x" * 262144)) == "ValidationException"
    assert code_of(failure, error="x" * 257) == "ValidationException"
    assert code_of(failure, cause="x" * 32769) == "ValidationException"
    states.send_task_heartbeat(taskToken=token)  # although the task has no HeartbeatSeconds
    success(output="1")
    assert ended(states, execution)["output"] == 1


def test_a_states_data_is_counted_in_utf_8(states, machine):
    arn = machine(
        Repeat={"Type": "Pass", "Output": "{% $join([1..4].($states.input)) %}"},
        Take={"Type": "Pass"},
    )
    assert len(output(states, arn, "é" * 32_000)) == 128_000
    assert run(states, arn, "é" * 33_000)["error"] == "States.DataLimitExceeded"


def test_a_task_times_out_when_its_heartbeats_stop(states, machine, tokens):
    limits = {"HeartbeatSeconds": "{% $states.input.beat %}"}
    limits["TimeoutSeconds"] = "{% $states.input.limit %}"
    execution = start(states, machine(Wait=waiting("alive", **limits)), {"beat": 2, "limit": 60})
    token = tokens("alive")
    began = time.monotonic()
    while time.monotonic() - began < 2.4:
        last = time.monotonic()
        states.send_task_heartbeat(taskToken=token)
        time.sleep(0.1)
    assert states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    described = ended(states, execution)
    assert 2 <= time.monotonic() - last < 30
    assert (described["status"], described["error"]) == ("FAILED", "States.Timeout")
    assert "TaskTimedOut" in history(states, execution)
    check_used_up(states, token)


def test_timeouts_are_caught_by_their_names(states, machine, tokens):
    timeout, heartbeat = {"TimeoutSeconds": 1}, {"TimeoutSeconds": 60, "HeartbeatSeconds": 1}
    executions = []
    for limits, name, caught in (
        (heartbeat, "States.HeartbeatTimeout", True),
        (heartbeat, "States.Timeout", True),
        (timeout, "States.Timeout", True),
        (timeout, "States.ALL", True),
        (timeout, "States.HeartbeatTimeout", False),
        (timeout, "States.TaskFailed", False),
    ):
        wait = waiting("limits", **limits, Catch=catch(name))
        arn = machine(Wait=wait, Caught={"Type": "Succeed"})
        executions.append((start(states, arn), name, caught))
    used_up = [tokens("limits") for _ in executions]
    for execution, name, caught in executions:
        described = ended(states, execution)
        if caught:
            assert described["output"] == {"Error": "States.Timeout", "Cause": ""}, name
        else:
            assert described["error"] == "States.Timeout", name
    for token in used_up:
        check_used_up(states, token)


@pytest.mark.parametrize("name", ["DynamoDb.ConditionalCheckFailedException", "States.TaskFailed"])
def test_a_failed_condition_fails_the_task_at_once_with_the_sdks_error_name(
    cloud, states, machine, name
):
    table = f"tokens-{uuid.uuid4()}"
    make_table(cloud, table)
    wait = task(
        "aws-sdk:dynamodb:updateItem.waitForTaskToken",
        TableName=table,
        Key={"id": {"S": "{% $states.context.Task.Token %}"}},
        ConditionExpression="attribute_exists(id)",
    )
    retry = {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "MaxAttempts": 3}
    wait |= {"TimeoutSeconds": 60, "Retry": [retry], "Catch": catch(name)}
    execution = start(states, machine(Wait=wait, Caught={"Type": "Succeed"}))
    error = ended(states, execution)["output"]
    assert error["Error"] == "DynamoDb.ConditionalCheckFailedException"
    assert error["Cause"].startswith("The conditional request failed (Service: DynamoDb, Status")
    [failed] = events_of_type(states, execution, "TaskFailed")
    assert failed["resourceType"] == "aws-sdk:dynamodb"
    assert failed["resource"] == "updateItem.waitForTaskToken"
    # The token was not written to the table, but it is in the history.
    [scheduled] = events_of_type(states, execution, "TaskScheduled")
    check_used_up(states, json.loads(scheduled["parameters"])["Key"]["id"]["S"])


@pytest.mark.slow
def test_waiting_tasks_do_not_block_others(states, machine, tokens):
    arn = machine(Wait=waiting("crowd"))
    executions = [start(states, arn) for _ in range(20)]
    for token in [tokens("crowd") for _ in executions]:
        states.send_task_success(taskToken=token, output="1")
    assert {ended(states, execution)["status"] for execution in executions} == {"SUCCEEDED"}


# -- Retry and Catch ------------------------------------------------------------------------------


def failing(cloud: LocalCloud, name: str) -> str:
    """A function that raises each error of its event in turn, then answers its number of calls."""
    source = """
        asked = 0
        def handler(event, context):
            global asked
            asked += 1
            if asked <= len(event):
                raise type(event[asked - 1], (Exception,), {})("because")
            return asked
    """
    return make_function(cloud, name, source)


@pytest.mark.parametrize("direct", [False, True], ids=["lambda:invoke", "the function's ARN"])
def test_each_error_is_retried_by_its_own_retrier_and_then_caught(cloud, states, machine, direct):
    function = failing(cloud, f"retried-{direct}")
    ask = task("lambda:invoke", FunctionName=function, Payload="{% $states.input %}")
    if direct:
        ask |= {"Resource": function, "Arguments": "{% $states.input %}"}
    retriers = [
        {"ErrorEquals": ["Never"], "MaxAttempts": 0},
        {"ErrorEquals": ["Twice"], "MaxAttempts": 2, "JitterStrategy": "FULL"},
        {"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 5, "MaxDelaySeconds": 2},
    ]
    result = "{% $states.result %}" if direct else "{% $states.result.Payload %}"
    ask |= {"Retry": retriers, "Output": result, "Catch": catch("States.ALL")}
    arn = machine(Ask=ask, Caught={"Type": "Succeed"})
    assert output(states, arn, ["Twice", "Other", "Twice", "Other"]) == 5
    never = output(states, arn, [""] * 5 + ["Never"])
    assert never["Error"] == "Never"
    assert json.loads(never["Cause"])["errorMessage"] == "because"


def test_a_query_evaluation_error_in_arguments_can_be_caught(states, machine):
    ask = task("dynamodb:getItem", TableName="{% $states.input.missing %}", Key={})
    ask["Retry"] = [{"ErrorEquals": ["DynamoDB.AmazonDynamoDBException"]}]
    ask["Catch"] = catch("States.QueryEvaluationError")
    arn = machine(Ask=ask, Caught={"Type": "Succeed"})
    assert output(states, arn, {})["Error"] == "States.QueryEvaluationError"


# -- Executions -----------------------------------------------------------------------------------


def test_the_same_start_of_a_running_execution_returns_that_execution(states, machine, tokens):
    arn = machine(Wait=waiting("same"))
    again = functools.partial(states.start_execution, stateMachineArn=arn, name="job-1")
    first = again(input='{"a": 1}')
    token = tokens("same")
    second = again(input='{"a": 1}')
    assert second["executionArn"] == first["executionArn"]
    assert second["startDate"] == first["startDate"]
    assert code_of(again, input='{"a": 2}') == "ExecutionAlreadyExists"
    states.send_task_success(taskToken=token, output="1")
    ended(states, first["executionArn"])
    assert code_of(again, input='{"a": 1}') == "ExecutionAlreadyExists"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("has space", "{}", "InvalidName"),
        ("a/b", "{}", "InvalidName"),
        ("x" * 81, "{}", "ValidationException"),
        ("input", "{", "InvalidExecutionInput"),
        ("input", json.dumps("x" * 262144), "ValidationException"),
    ],
)
def test_an_invalid_start_is_refused(states, machine, name, data, code):
    arn = machine(End={"Type": "Succeed"})
    assert code_of(states.start_execution, stateMachineArn=arn, name=name, input=data) == code


def stop(states: Any, execution: str) -> None:
    """Stop an execution, and check that it has ended."""
    began = time.monotonic()
    stopped = states.stop_execution(executionArn=execution, error="Cancelled", cause=NASTY)
    assert time.monotonic() - began < 4
    described = states.describe_execution(executionArn=execution)
    why = {"error": "Cancelled", "cause": NASTY}
    assert described.items() >= {"status": "ABORTED", **why}.items()
    assert described["stopDate"] == stopped["stopDate"]
    assert "output" not in described
    last = events_of(states, execution)[-1]
    assert last["type"] == "ExecutionAborted"
    assert last["executionAbortedEventDetails"] == why
    # A second stop changes nothing.
    assert states.stop_execution(executionArn=execution)["stopDate"] == stopped["stopDate"]
    assert events_of(states, execution)[-1] == last


WAIT = {"Type": "Wait", "Seconds": 60}
SLOWLY = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 6000, "MaxAttempts": 3}
ASK = waiting("stopped", Retry=[SLOWLY], Catch=catch("States.ALL"))
BRANCHES = [
    machine_of(Wait={**WAIT, "End": True}),
    machine_of(Ask={**ASK, "Catch": [], "End": True}),
]


@pytest.mark.parametrize(
    ("limit", "state", "asks", "until"),
    [
        (None, WAIT, False, {"WaitStateEntered"}),
        (600, WAIT, False, {"WaitStateEntered"}),
        (None, ASK, True, {"TaskSubmitted"}),
        (None, ASK, True, {"TaskFailed"}),
        (
            *(None, {"Type": "Parallel", "Branches": BRANCHES}),
            *(True, {"WaitStateEntered", "TaskSubmitted"}),
        ),
    ],
    ids=["a wait", "a wait with a time limit", "a waiting task", "a retry", "branches"],
)
def test_stop_ends(states, machine, tokens, limit, state, asks, until):
    arn = machine(timeout=limit, First=state, Caught={"Type": "Succeed"})
    for _ in range(5):
        execution = start(states, arn)
        token = tokens("stopped") if asks else None
        if until == {"TaskFailed"}:
            states.send_task_failure(taskToken=token, error="Again")

        def before(execution: str = execution) -> list[str]:
            found = history(states, execution)
            return found if until <= {*found} else []

        reached = wait_for(before, f"{until}", SECONDS)
        stop(states, execution)
        after = [kind for kind in history(states, execution) if kind != "ParallelStateSucceeded"]
        assert after == [*reached, "ExecutionAborted"]
        if token:
            check_used_up(states, token)


@pytest.mark.slow
def test_no_state_runs_after_a_stop(states, machine, tokens):
    retry = {"ErrorEquals": ["States.ALL"], "MaxAttempts": 3}
    wait = waiting("no more", Retry=[retry], Catch=catch("States.ALL"))
    arn = machine(Wait=wait, Caught={"Type": "Pass", "Output": 1})
    for _ in range(15):
        execution = start(states, arn)
        token = tokens("no more")
        stop(states, execution)
        assert "PassStateEntered" not in history(states, execution)
        check_used_up(states, token)


def test_a_too_long_error_or_cause_is_refused(states, machine):
    execution = start(states, machine(Wait={"Type": "Wait", "Seconds": 60}))
    refused = functools.partial(states.stop_execution, executionArn=execution)
    assert code_of(refused, error="x" * 257) == "ValidationException"
    assert code_of(refused, cause="x" * 32769) == "ValidationException"
    stop(states, execution)


def test_an_execution_can_time_out_as_a_whole(states, machine, tokens):
    wait = waiting("whole", Catch=catch("States.ALL"))
    execution = start(states, machine(timeout=1, Wait=wait, Caught={"Type": "Succeed"}))
    token = tokens("whole")
    described = ended(states, execution)
    assert described["status"] == "TIMED_OUT"
    assert described["stopDate"]
    assert history(states, execution)[-1] == "ExecutionTimedOut"
    check_used_up(states, token)


def test_the_history_has_the_parameters_of_a_task(states, machine, tokens):
    execution = start(states, machine(Wait=waiting("asked", TimeoutSeconds=30)))
    token = tokens("asked")
    wait_until_submitted(states, execution)
    events = events_of(states, execution)
    numbers = [(event["id"], event["previousEventId"]) for event in events]
    assert numbers == [(1, 0), (2, 0), (3, 2), (4, 3), (5, 4)]
    scheduled = events[2]["taskScheduledEventDetails"]
    parameters = json.loads(scheduled.pop("parameters"))
    assert parameters["Entries"][0]["Detail"] == {"token": token}
    integration = {"resourceType": "events", "resource": "putEvents.waitForTaskToken"}
    assert scheduled == {**integration, "region": REGION, "timeoutInSeconds": 30}
    submitted = events[4]["taskSubmittedEventDetails"]
    assert submitted["resource"] == "putEvents.waitForTaskToken"
    assert json.loads(submitted["output"])["FailedEntryCount"] == 0
    states.stop_execution(executionArn=execution)


def test_the_last_token_in_the_history_answers_the_task(states, machine, tokens):
    execution = start(states, machine(Wait=waiting("history", Retry=[AGAIN])))
    for answer in ({"error": "Again"}, {"error": "Again"}, {"output": '"last"'}):
        expected = tokens("history")
        newest = states.get_execution_history(
            executionArn=execution, reverseOrder=True, maxResults=3
        )["events"]
        [scheduled] = [event for event in newest if event["type"] == "TaskScheduled"]
        parameters = json.loads(scheduled["taskScheduledEventDetails"]["parameters"])
        token = parameters["Entries"][0]["Detail"]["token"]
        assert token == expected
        send = states.send_task_success if "output" in answer else states.send_task_failure
        send(taskToken=token, **answer)
        check_used_up(states, token)
    assert ended(states, execution)["output"] == "last"


def test_the_history_comes_in_pages(states, machine):
    passes = {f"Pass{number}": {"Type": "Pass"} for number in range(60)}
    execution = run(states, machine(**passes), {"a": 1})["executionArn"]
    page = functools.partial(states.get_execution_history, executionArn=execution)
    assert len(page()["events"]) == 100
    assert page()["nextToken"]
    forth = events_of(states, execution)
    assert [event["id"] for event in forth] == list(range(1, 123))
    assert (forth[0]["type"], forth[-1]["type"]) == ("ExecutionStarted", "ExecutionSucceeded")
    back = events_of(states, execution, reverseOrder=True, PaginationConfig={"PageSize": 7})
    assert back == forth[::-1]
    assert "nextToken" not in page(maxResults=122)
    assert code_of(page, maxResults=1001) == "ValidationException"
    assert code_of(page, nextToken="garbage") == "InvalidToken"


def test_the_history_can_leave_out_the_data(states, machine):
    execution = run(states, machine(Pass={"Type": "Pass"}), {"a": NASTY})["executionArn"]
    assert "quotes" in str(events_of(states, execution))
    without = events_of(states, execution, includeExecutionData=False)
    assert len(without) == 4
    assert "quotes" not in str(without)


def test_executions_are_listed_by_status_in_pages(states, machine):
    waits = {"Condition": "{% $states.input = 'wait' %}", "Next": "Wait"}
    arn = machine(
        Which={"Type": "Choice", "Choices": [waits], "Default": "End"},
        Wait={"Type": "Wait", "Seconds": 600},
        End={"Type": "Succeed"},
    )
    ended(states, start(states, arn, "end"))
    running = [start(states, arn, "wait") for _ in range(5)]
    pages = states.get_paginator("list_executions").paginate(
        stateMachineArn=arn, statusFilter="RUNNING", PaginationConfig={"PageSize": 2}
    )
    listed = []
    for page in pages:
        assert len(page["executions"]) <= 2
        for execution in page["executions"]:
            assert execution["status"] == "RUNNING"
            assert "stopDate" not in execution
            listed.append(execution["executionArn"])
            # Executions that end during the pagination do not affect the rest of the list.
            states.stop_execution(executionArn=running[1])
            states.stop_execution(executionArn=execution["executionArn"])
    assert listed == [running[4], running[3], running[2], running[0]]
    everything = states.list_executions(stateMachineArn=arn)["executions"]
    assert [execution["status"] for execution in everything] == ["ABORTED"] * 5 + ["SUCCEEDED"]
    assert all(execution["stopDate"] for execution in everything)
    assert states.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"] == []


def test_a_missing_execution_is_refused(states, machine):
    name = machine(End={"Type": "Succeed"}).rpartition(":")[2]
    missing = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{name}:missing"
    for call in (
        states.describe_execution,
        states.get_execution_history,
        states.stop_execution,
        states.describe_state_machine_for_execution,
    ):
        assert code_of(call, executionArn=missing) == "ExecutionDoesNotExist"
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:missing"
    assert code_of(states.list_executions, stateMachineArn=arn) == "StateMachineDoesNotExist"


# -- Events on EventBridge ------------------------------------------------------------------------


@pytest.fixture
def next_status(cloud: LocalCloud) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Returns the next event about a state machine."""
    queue = Queue(cloud, f"told-{uuid.uuid4()}")

    def next_event(arn: str) -> dict[str, Any]:
        event: dict[str, Any] = queue.body()
        while event["detail"]["stateMachineArn"] != arn:  # it is from an earlier test
            event = queue.body()
        assert event["detail-type"] == "Step Functions Execution Status Change"
        assert event["resources"] == [event["detail"]["executionArn"]]
        return dict(event["detail"])

    with temporary_rule(cloud, {"source": ["aws.states"]}, queue.arn):
        yield next_event


@contextmanager
def temporary_rule(cloud: LocalCloud, pattern: dict[str, Any], arn: str) -> Iterator[None]:
    make_rule(cloud, "temporary", pattern, {"Arn": arn})
    yield
    cloud.client("events").remove_targets(Rule="temporary", Ids=["0"])
    cloud.client("events").delete_rule(Name="temporary")


def detail_of(states: Any, execution: str, **changes: Any) -> dict[str, Any]:
    """The detail of the event for a running execution, with these changes."""
    described = states.describe_execution(executionArn=execution)
    return {
        "executionArn": execution,
        "stateMachineArn": described["stateMachineArn"],
        "name": described["name"],
        "status": "RUNNING",
        "startDate": int(described["startDate"].timestamp() * 1000),
        "stopDate": None,
        "input": described["input"],
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "error": None,
        "cause": None,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "NOT_REDRIVABLE",
        "redriveStatusReason": "Execution is RUNNING and cannot be redriven",
        **changes,
    }


MINE = {"error": "Mine", "cause": NASTY}
REDRIVABLE = {"redriveStatus": "REDRIVABLE", "redriveStatusReason": None}


@pytest.mark.parametrize(
    ("how", "state", "about"),
    [
        (
            "SUCCEEDED",
            {"Type": "Succeed", "Output": "Hello"},
            {
                "output": '"Hello"',
                "outputDetails": {"included": True},
                "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
            },
        ),
        ("FAILED", {"Type": "Fail", "Error": "Mine", "Cause": NASTY}, REDRIVABLE | MINE),
        ("TIMED_OUT", WAIT, REDRIVABLE),
        ("ABORTED", WAIT, REDRIVABLE | MINE),
    ],
)
def test_eventbridge_gets_an_event_for_the_start_and_for_every_end(
    states, machine, next_status, how, state, about
):
    arn = machine(timeout=1 if how == "TIMED_OUT" else 60, Only=state)
    execution = start(states, arn, {"text": NASTY})
    assert next_status(arn) == detail_of(states, execution)
    if how == "ABORTED":
        states.stop_execution(executionArn=execution, **MINE)
    stop_date = int(ended(states, execution)["stopDate"].timestamp() * 1000)
    told = detail_of(states, execution, status=how, stopDate=stop_date, **about)
    assert next_status(arn) == told


@pytest.mark.parametrize(
    ("given", "given_back", "included"),
    [
        (120_000, 120_000, (True, True)),
        (150_000, 150_000, (False, True)),
        (10, 255_000, (False, False)),
        (255_000, 10, (False, True)),
    ],
)
def test_input_and_output_too_large_for_an_event_are_left_out(
    states, machine, next_status, given, given_back, included
):
    give = f"{{% $pad('', {given_back}, 'x') %}}"
    arn = machine(End={"Type": "Succeed", "Output": give})
    ended(states, start(states, arn, "x" * given))
    assert (next_status(arn)["input"] is not None) == (given < 250_000)
    detail = next_status(arn)
    assert detail["inputDetails"] == {"included": included[0]}
    assert detail["outputDetails"] == {"included": included[1]}
    assert (detail["input"] is not None, detail["output"] is not None) == included


def test_a_function_that_gets_the_event_can_call_step_functions(cloud, states, machine):
    source = """
        import boto3
        states = boto3.client("stepfunctions")
        def handler(event, context):
            if event["detail"]["status"] == "RUNNING":
                execution = event["detail"]["executionArn"]
                states.get_execution_history(executionArn=execution)
                states.stop_execution(executionArn=execution, error="Unwanted")
    """
    function = make_function(cloud, "told", source, Timeout=10)
    arn = machine(Wait={"Type": "Wait", "Seconds": 600})
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [arn]}}
    with temporary_rule(cloud, pattern, function):
        assert run(states, arn)["error"] == "Unwanted"


def test_no_event_is_made_for_a_bus_without_a_matching_rule(cloud):
    client = cloud.client("events")
    client.put_rule(Name="others", EventPattern=json.dumps({"source": ["aws.codepipeline"]}))
    client.put_rule(Name="hours", ScheduleExpression="rate(1 hour)")
    asked: list[str] = []

    def put() -> None:
        events.put_from_service(
            ACCOUNT,
            REGION,
            source="aws.states",
            detail_type="x",
            resources=[],
            detail=lambda: {"asked": asked.append("")},
        )

    put()
    assert asked == []
    client.put_rule(Name="all", EventPattern=json.dumps({"$or": [{"source": ["aws.states"]}]}))
    put()
    assert asked == [""]
    for name in ("others", "hours", "all"):
        client.delete_rule(Name=name)


# -- Definitions ----------------------------------------------------------------------------------


def test_an_update_of_a_state_machine_affects_only_later_executions(states, machine, tokens):
    arn = machine(Wait=waiting("updated"), Give={"Type": "Pass", "Output": "old"})
    execution = start(states, arn)
    token = tokens("updated")
    definition = machine_of(New={**PASS, "Result": "new"})
    states.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    assert output(states, arn) == "new"
    states.send_task_success(taskToken=token, output="1")
    assert ended(states, execution)["output"] == "old"


def test_branches_and_items_run_concurrently(states, machine):
    double = machine_of(
        Double={"Type": "Pass", "Assign": {"n": "{% $states.input.n * 2 %}"}, "Next": "Add"},
        Add={"Type": "Pass", "Output": "{% $n + $base %}", "End": True},
    )
    branches = [machine_of(A=PASS), machine_of(B={"Type": "Wait", "Seconds": 0, "End": True})]
    arn = machine(
        Base={"Type": "Pass", "Assign": {"base": 100}},
        Items={
            "Type": "Map",
            "Items": "{% $states.input %}",
            "ItemSelector": {"n": "{% $states.context.Map.Item.Value %}"},
            "ItemProcessor": double,
        },
        Branches={"Type": "Parallel", "Branches": branches},
    )
    executions = [start(states, arn, [1, 2, 3]) for _ in range(5)]
    for execution in executions:
        assert ended(states, execution)["output"] == [[102, 104, 106]] * 2


def test_states_may_be_in_jsonpath(cloud, states):
    which = [{"Variable": "$.id", "StringMatches": "quotes*", "Next": "Keep"}]
    definition = machine_of(
        Which={"Type": "Choice", "Choices": which},
        Keep={"Type": "Pass", "Assign": {"kept.$": "$.id"}, "Next": "Give"},
        Give={**PASS, "Parameters": {"id.$": "$kept"}},
    )
    arn = make_machine(cloud, "jsonpath", definition)
    assert output(states, arn, {"id": NASTY}) == {"id": NASTY}


# -- Integrations ---------------------------------------------------------------------------------


def test_an_event_of_a_state_machine_names_it_and_the_execution(cloud, states, machine):
    queue = Queue(cloud, "resources")
    make_rule(cloud, "resources", {"source": ["resources"]}, {"Arn": queue.arn})
    entry: dict[str, Any] = {"Source": "resources", "DetailType": "x", "Resources": ["arn:mine"]}
    entry["Detail"] = {"text": "{% $states.input %}"}
    arn = machine(Put=task("events:putEvents", Entries=[entry]))
    described = run(states, arn, NASTY)
    assert described["status"] == "SUCCEEDED"
    event = queue.body()
    assert event["resources"] == ["arn:mine", arn, described["executionArn"]]
    assert event["detail"] == {"text": NASTY}


def test_objects_can_be_listed(cloud, states, machine):
    # S3 refuses requests without a signature.
    cloud.client("s3").create_bucket(Bucket="of-objects")
    cloud.client("s3").put_object(Bucket="of-objects", Key="a", Body=b"text")
    listing = task("aws-sdk:s3:listObjectsV2", Bucket="of-objects")
    arn = machine(List={**listing, "Output": "{% $states.result.Contents.Key %}"})
    assert output(states, arn) == "a"


def test_an_api_error_has_the_name_of_its_service(states, machine):
    entry = {"Source": "s", "DetailType": "d", "Detail": {}, "EventBusName": "no"}
    described = run(states, machine(Put=task("events:putEvents", Entries=[entry])))
    assert described["error"] == "EventBridge.ResourceNotFoundException"


def test_the_log_of_a_state_machine_has_the_configured_events(cloud, states, machine):
    logs = cloud.client("logs")
    entry = {"Source": "a", "DetailType": "b", "Detail": {"secret": "told"}}
    arn = machine(
        Say=task("events:putEvents", Entries=[entry]),
        End={"Type": "Fail", "Error": "Broken", "Cause": "because"},
    )

    def logged(level: str, *, data: bool) -> tuple[str, list[dict[str, Any]]]:
        name = f"/states/{level}-{data}"
        logs.create_log_group(logGroupName=name)
        group = {"logGroupArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"}
        states.update_state_machine(
            stateMachineArn=arn,
            loggingConfiguration={
                "level": level,
                "includeExecutionData": data,
                "destinations": [{"cloudWatchLogsLogGroup": group}],
            },
        )
        execution = run(states, arn, {"secret": "given"})["executionArn"]
        events = logs.filter_log_events(logGroupName=name)["events"]
        return execution, [json.loads(event["message"]) for event in events]

    execution, lines = logged("ALL", data=False)
    assert [
        (line["id"], line["type"], line["previous_event_id"], int(line["event_timestamp"]))
        for line in lines
    ] == [
        (
            str(event["id"]),
            event["type"],
            str(event["previousEventId"]),
            round(event["timestamp"].timestamp() * 1000),
        )
        for event in events_of(states, execution)
    ]
    assert {line["execution_arn"] for line in lines} == {execution}
    assert lines[-1]["details"] == {"error": "Broken", "cause": "because"}
    entered = [line["details"]["name"] for line in lines if line["type"] == "TaskStateEntered"]
    assert entered == ["Say"]
    assert "given" not in json.dumps(lines)
    assert "told" not in json.dumps(lines)
    _, lines = logged("ALL", data=True)
    assert json.loads(lines[0]["details"]["input"]) == {"secret": "given"}
    assert "told" in json.dumps(lines)
    _, lines = logged("FATAL", data=False)
    assert [line["type"] for line in lines] == ["ExecutionFailed"]
    assert logged("OFF", data=False)[1] == []


@pytest.mark.slow
def test_only_the_history_of_an_ended_execution_is_kept(cloud, states, machine, tokens):
    execution = start(states, machine(Wait=waiting("Kept"), End={"Type": "Succeed"}))
    backend: Any = models.stepfunctions_parser_backends[ACCOUNT][cloud.region]
    env = weakref.ref(backend.describe_execution(execution).exec_worker.env)
    token = tokens("Kept")
    wait_until_submitted(states, execution)
    before = events_of(states, execution)
    states.send_task_success(taskToken=token, output="{}")
    ended(states, execution)
    wait_until_freed(env)
    after = events_of(states, execution)
    assert after[: len(before)] == before
    assert after[-1]["type"] == "ExecutionSucceeded"
    check_used_up(states, token)
    states.stop_execution(executionArn=execution)
    assert states.describe_execution(executionArn=execution)["status"] == "SUCCEEDED"


# -- Definitions ----------------------------------------------------------------------------------

#: Invalid definitions and their messages. Where LocalStack has recorded the messages, they are from
#: its test_sfn_api and test_sfn_api_validation snapshots.
UNUSABLE: list[tuple[Any, str]] = [
    ("", "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object"),
    ("[]", "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object"),
    ("not a definition", "INVALID_JSON_DESCRIPTION: "),
    ({}, "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /"),
    ({"StartAt": "A"}, "SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /"),
    ({"States": {"A": PASS}}, "These fields are required: [StartAt] at /"),
    ({"StartAt": "B", "States": {"A": PASS}}, "Missing 'StartAt' target: B at /StartAt"),
    ({"StartAt": ["A"], "States": {"A": PASS}}, "wrong type"),
    ({"StartAt": "A", "States": []}, "Expected value of type Object at /States"),
    (machine_of(A={"Type": "Pass", "Next": "B"}), "Missing 'Next' target: B at /States/A/Next"),
    (machine_of(A=PASS, B=PASS), 'State "B" is not reachable. at /States/B'),
    (machine_of(A={"Type": "Pass"}), "is required: [Next, End] at /States/A"),
    (machine_of(A={**PASS, "Next": "A"}), "is required: [Next, End] at /States/A"),
    (machine_of(A={"End": True}), "These fields are required: [Type] at /States/A"),
    (machine_of(A={"Type": "Pas", "End": True}), "at /States/A/Type"),
    (machine_of(A={"Type": "Task", "End": True}), "[Resource] at /States/A"),
    (machine_of(A={"Type": "Wait", "End": True}), "[Seconds, SecondsPath, "),
    (machine_of(A={"Type": "Choice", "Choices": []}), "not be empty at /States/A/Choices"),
    (machine_of(A={**PASS, "Nonsense": 1}), "Nonsense"),
    (machine_of(A={**PASS, "InputPath": 5}), "SCHEMA_VALIDATION_FAILED: "),
    (
        machine_of(A={**PASS, "QueryLanguage": "JSONata", "Output": ["{% 1 + %}"]}),
        "JSONata expression is not valid: ",
    ),
    (
        {"QueryLanguage": "JSONata", **machine_of(A={**PASS, "QueryLanguage": "JSONPath"})},
        "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at "
        "/States/A",
    ),
    (
        machine_of(A={"Type": "Choice", "Choices": [{"Next": "B"}], "Default": "C"}),
        "Missing 'Default' target: C at /States/A/Default, MISSING_TRANSITION_TARGET: "
        "Missing 'Next' target: B at /States/A/Choices[0]/Next",
    ),
    (
        machine_of(A={"Type": "Parallel", "Branches": [machine_of(B=PASS, C=PASS)], "End": True}),
        'State "C" is not reachable. at /States/A/Branches[0]/States/C',
    ),
    (
        machine_of(A={"Type": "Parallel", "Branches": [machine_of(A=PASS)], "End": True}),
        "Duplicate State name: A at /States/A/Branches[0]/States/A",
    ),
]


@pytest.mark.parametrize(("definition", "told"), UNUSABLE, ids=[told[-40:] for _, told in UNUSABLE])
def test_an_invalid_definition_is_refused(cloud, states, machine, definition, told):
    text = definition if isinstance(definition, str) else json.dumps(definition)
    create = functools.partial(states.create_state_machine, name=f"m{uuid.uuid4()}")
    update = functools.partial(states.update_state_machine, stateMachineArn=machine(Pass=PASS))
    for call in (create, update):
        with pytest.raises(ClientError) as caught:
            call(definition=text or " ", roleArn=role(cloud))
        error = caught.value.response["Error"]
        assert error["Code"] == "InvalidDefinition"
        assert error["Message"].startswith("Invalid State Machine Definition: '")
        assert told in error["Message"]
    answer = states.validate_state_machine_definition(definition=text or " ")
    assert (answer["result"], answer["truncated"]) == ("FAIL", False)
    assert {each["severity"] for each in answer["diagnostics"]} == {"ERROR"}
    # An invalid definition does not affect the next one.
    right = json.dumps(machine_of(A={**PASS, "Parameters": {"a.$": "$"}}))
    assert states.validate_state_machine_definition(definition=right)["result"] == "OK"


def test_an_express_state_machine_can_not_wait_for_a_task_token(states):
    definition = json.dumps(machine_of(A={**waiting("x"), "End": True}))
    answer = states.validate_state_machine_definition(definition=definition, type="EXPRESS")
    [told] = answer["diagnostics"]
    assert told["location"] == "/States/A/Resource"
    assert told["message"].startswith("Express state machine does not support '.waitForTaskToken'")


def test_a_name_can_be_reused_only_with_the_same_definition(cloud, states):
    create = functools.partial(
        states.create_state_machine, name=f"m{uuid.uuid4()}", roleArn=role(cloud)
    )
    one, other = (json.dumps({"Comment": each, **machine_of(A=PASS)}) for each in ("one", "other"))
    arn = create(definition=one)["stateMachineArn"]
    assert create(definition=one)["stateMachineArn"] == arn
    assert code_of(create, definition=other) == "StateMachineAlreadyExists"
    assert code_of(create, definition=one, type="EXPRESS") == "StateMachineAlreadyExists"
    assert states.describe_state_machine(stateMachineArn=arn)["definition"] == one


def test_invalid_requests_about_state_machines_are_refused(cloud, states, machine):
    arn = machine(Pass={"Type": "Pass"})
    update = functools.partial(states.update_state_machine, stateMachineArn=arn)
    assert code_of(update) == "MissingRequiredParameter"
    create = {"name": "kind", "definition": json.dumps(machine_of(A=PASS)), "roleArn": "r" * 9}
    for call, request in (
        (states.list_executions, {"stateMachineArn": arn, "statusFilter": "nonsense"}),
        (states.create_state_machine, {**create, "type": "nonsense"}),
    ):
        with pytest.raises(ClientError, match="must satisfy enum value set") as caught:
            call(**request)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []
    update(roleArn=role(cloud), publish=True)
    [version] = states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert version["stateMachineVersionArn"] == f"{arn}:1"
