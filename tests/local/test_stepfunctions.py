"""State machines run as on AWS, in everything that matters to a workflow that waits and retries."""

import functools
import gc
import itertools
import json
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser import models

from local.aws import events
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import ACCOUNT, REGION, SECONDS, Queue, make_function, role, running
from tests.support import wait_for

NASTY = "quotes \" and ' and \\ and \n and {% $states.input %} and é😀 and ${x} and $x := 1;"
PUT_EVENTS = "arn:aws:states:::events:putEvents.waitForTaskToken"
UPDATE_ITEM = "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken"


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with running() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def states(cloud: LocalCloud) -> Any:
    return cloud.client("stepfunctions")


@pytest.fixture(scope="module")
def tokens(cloud: LocalCloud) -> Callable[[str], str]:
    """Returns the task token in the next event, which must have the given detail-type."""
    queue = Queue(cloud, "tokens")
    events = cloud.client("events")
    events.put_rule(Name="tokens", EventPattern=json.dumps({"source": ["test"]}))
    events.put_targets(Rule="tokens", Targets=[{"Id": "1", "Arn": queue.arn}])

    def next_token(detail_type: str) -> str:
        event = queue.body()
        assert event["detail-type"] == detail_type
        return str(event["detail"]["token"])

    return next_token


@pytest.fixture
def machine(cloud: LocalCloud, states: Any) -> Callable[..., str]:
    """Creates a state machine in JSONata from states that run in the given order."""

    def make(*, timeout: int | None = None, **definitions: dict[str, Any]) -> str:
        names = list(definitions)
        for name, following in itertools.pairwise(names):
            definition = definitions[name]
            if definition["Type"] not in ("Choice", "Fail", "Succeed"):
                definition.setdefault("Next", following)
        last = definitions[names[-1]]
        if last["Type"] not in ("Fail", "Succeed", "Choice"):
            last.setdefault("End", True)
        definition = {"QueryLanguage": "JSONata", "StartAt": names[0], "States": definitions}
        if timeout:
            definition["TimeoutSeconds"] = timeout
        answer = states.create_state_machine(
            name=f"m{uuid.uuid4()}", definition=json.dumps(definition), roleArn=role(cloud)
        )
        return str(answer["stateMachineArn"])

    return make


def start(states: Any, machine: str, data: Any = None) -> str:
    answer = states.start_execution(stateMachineArn=machine, input=json.dumps(data))
    return str(answer["executionArn"])


def ended(states: Any, execution: str) -> Any:
    """The description of an execution after its end; `output` is parsed."""

    def when_ended() -> Any:
        described = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    described = wait_for(when_ended, f"{execution} to end", SECONDS)
    if "output" in described:
        described["output"] = json.loads(described["output"])
    return described


def run(states: Any, machine: str, data: Any = None) -> Any:
    return ended(states, start(states, machine, data))


def output(states: Any, machine: str, data: Any = None) -> Any:
    described = run(states, machine, data)
    assert described["status"] == "SUCCEEDED", described.get("cause")
    return described["output"]


def history(states: Any, execution: str) -> list[str]:
    events = states.get_execution_history(executionArn=execution)["events"]
    return [event["type"] for event in events]


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def waiting(detail_type: str, **settings: Any) -> dict[str, Any]:
    """A state that puts its token into an event and waits for the result."""
    detail = {"token": "{% $states.context.Task.Token %}"}
    entry = {"Source": "test", "DetailType": detail_type, "Detail": detail}
    return {"Type": "Task", "Resource": PUT_EVENTS, "Arguments": {"Entries": [entry]}, **settings}


def events_of(states: Any, execution: str, **request: Any) -> list[dict[str, Any]]:
    """The whole history of an execution."""
    pages = states.get_paginator("get_execution_history")
    return [
        event
        for page in pages.paginate(executionArn=execution, **request)
        for event in page["events"]
    ]


@pytest.fixture(scope="module")
def rows(cloud: LocalCloud) -> Any:
    """The table for tokens."""
    client = cloud.client("dynamodb")
    client.create_table(
        TableName="tokens",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    return client


def waiting_in_row(row: str, **settings: Any) -> dict[str, Any]:
    """A state that writes its token into a free row, and waits for the result."""
    arguments = {
        "TableName": "tokens",
        "Key": {"id": {"S": row}},
        "ConditionExpression": "attribute_not_exists(taken) OR taken = :no",
        "UpdateExpression": "SET #token = :token, taken = :no",
        "ExpressionAttributeNames": {"#token": "token"},
        "ExpressionAttributeValues": {
            ":token": {"S": "{% $states.context.Task.Token %}"},
            ":no": {"BOOL": False},
        },
    }
    return {"Type": "Task", "Resource": UPDATE_ITEM, "Arguments": arguments, **settings}


def token_in(rows: Any, row: str, *others: str) -> str:
    """Wait until a row has a token that is not one of the others, and return it."""

    def found() -> str | None:
        item = rows.get_item(TableName="tokens", Key={"id": {"S": row}}).get("Item", {})
        token = item.get("token", {}).get("S")
        return None if token in others else token

    return str(wait_for(found, f"a token in {row}", SECONDS))


# -- JSONata --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [NASTY, None, True, 0, 2.5, [], [NASTY], [[1]], {}, {NASTY: NASTY}, {"a": [{"b": None}]}],
    ids=str,
)
def test_values_pass_through_expressions_unchanged(states, machine, value):
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


def test_data_is_never_code(states, machine):
    arn = machine(
        Keep={"Type": "Pass", "Assign": {"x": "{% $states.input %}", "y": 1}},
        Give={"Type": "Pass", "Output": "{% $x %}"},
    )
    attack = '"; $y := "broken"; "'
    assert output(states, arn, attack) == attack


def test_the_context_object_has_aws_timestamps(states, machine):
    arn = machine(
        Look={
            "Type": "Pass",
            "Output": {
                "context": "{% $states.context %}",
                "seconds": "{% $floor($toMillis($states.context.State.EnteredTime) / 1000) %}",
            },
        }
    )
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


def test_a_choice_without_a_match_fails(states, machine):
    choice = {"Condition": "{% $states.input = 1 %}", "Next": "End"}
    arn = machine(Choose={"Type": "Choice", "Choices": [choice]}, End={"Type": "Succeed"})
    assert run(states, arn, 2)["error"] == "States.NoChoiceMatched"


def test_a_condition_must_be_true_or_false(states, machine):
    choice = {"Condition": "{% $states.input %}", "Next": "End"}
    arn = machine(
        Choose={"Type": "Choice", "Choices": [choice], "Default": "End"}, End={"Type": "Succeed"}
    )
    assert run(states, arn, "text")["error"] == "States.QueryEvaluationError"


# -- Task tokens ----------------------------------------------------------------------------------


def test_a_resource_of_another_partition_fails_the_execution_and_can_not_be_caught(states, machine):
    abroad = waiting("abroad", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}])
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
    events = cloud.client("events")
    pattern = {"source": ["test"], "detail-type": [name]}
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "1", "Arn": function}])
    state = waiting(name, **heartbeat)
    state["Arguments"]["Entries"][0]["EventBusName"] = bus
    arn = machine(Wait=state)
    executions = [start(states, arn) for _ in range(12)]
    assert [ended(states, execution)["output"] for execution in executions] == ["quick"] * 12


def test_a_token_accepts_one_result(states, machine, tokens):
    execution = start(states, machine(Wait=waiting("once")))
    token = tokens("once")
    states.send_task_success(taskToken=token, output="1")
    assert ended(states, execution)["output"] == 1
    for answer in (
        lambda: states.send_task_success(taskToken=token, output="2"),
        lambda: states.send_task_failure(taskToken=token),
        lambda: states.send_task_heartbeat(taskToken=token),
    ):
        assert code_of(answer) == "TaskTimedOut"


def test_an_unknown_token_and_an_invalid_result_are_refused(states, machine, tokens):
    for answer in (
        lambda: states.send_task_success(taskToken="garbage", output="1"),
        lambda: states.send_task_failure(taskToken="garbage"),
        lambda: states.send_task_heartbeat(taskToken="garbage"),
    ):
        assert code_of(answer) == "InvalidToken"
    with pytest.raises(ClientError, match="Invalid Token: 'Invalid token'"):
        states.send_task_success(taskToken="garbage", output="no JSON")
    execution = start(states, machine(Wait=waiting("refused")))
    token = tokens("refused")
    for answer, code in (
        (lambda: states.send_task_success(taskToken=token, output="{"), "InvalidOutput"),
        (
            lambda: states.send_task_success(taskToken=token, output=json.dumps("x" * 262144)),
            "ValidationException",
        ),
        (
            lambda: states.send_task_failure(taskToken=token, error="x" * 257),
            "ValidationException",
        ),
        (
            lambda: states.send_task_failure(taskToken=token, cause="x" * 32769),
            "ValidationException",
        ),
    ):
        assert code_of(answer) == code
    states.send_task_success(taskToken=token, output="1")
    assert ended(states, execution)["output"] == 1


@pytest.mark.parametrize(
    ("letters", "status"), [(32_000, "SUCCEEDED"), (33_000, "FAILED")], ids=["within", "beyond"]
)
def test_a_states_data_is_counted_in_utf_8(letters, status, states, machine):
    arn = machine(
        Repeat={"Type": "Pass", "Output": "{% $join([1..4].($states.input)) %}"},
        Take={"Type": "Pass"},
    )
    execution = ended(states, start(states, arn, "é" * letters))
    assert execution["status"] == status
    assert execution.get("error") == (None if status == "SUCCEEDED" else "States.DataLimitExceeded")


def test_a_heartbeat_without_a_limit_is_accepted(states, machine, tokens):
    execution = start(states, machine(Wait=waiting("unlimited")))
    token = tokens("unlimited")
    states.send_task_heartbeat(taskToken=token)
    states.send_task_success(taskToken=token, output="1")
    assert ended(states, execution)["status"] == "SUCCEEDED"


def test_a_task_times_out_when_its_heartbeats_stop(states, machine, tokens):
    arn = machine(
        Wait=waiting(
            "alive",
            HeartbeatSeconds="{% $states.input.beat %}",
            TimeoutSeconds="{% $states.input.limit %}",
        )
    )
    execution = start(states, arn, {"beat": 2, "limit": 60})
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
    assert code_of(lambda: states.send_task_heartbeat(taskToken=token)) == "TaskTimedOut"


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
        catch = {"ErrorEquals": [name], "Output": "{% $states.errorOutput %}", "Next": "Caught"}
        arn = machine(Wait=waiting("limits", **limits, Catch=[catch]), Caught={"Type": "Succeed"})
        executions.append((start(states, arn), name, caught))
    used_up = [tokens("limits") for _ in executions]
    for execution, name, caught in executions:
        described = ended(states, execution)
        if caught:
            assert described["output"] == {"Error": "States.Timeout", "Cause": ""}, name
        else:
            assert described["error"] == "States.Timeout", name
    for token in used_up:
        late = functools.partial(states.send_task_success, taskToken=token, output="1")
        assert code_of(late) == "TaskTimedOut"


def test_heartbeat_seconds_may_be_the_only_time_limit(states, machine, tokens):
    execution = start(states, machine(Wait=waiting("alone", HeartbeatSeconds=86400)))
    states.send_task_success(taskToken=tokens("alone"), output="1")
    [scheduled] = [
        event["taskScheduledEventDetails"]
        for event in states.get_execution_history(executionArn=execution)["events"]
        if event["type"] == "TaskScheduled"
    ]
    assert scheduled["heartbeatInSeconds"] == 86400
    assert "timeoutInSeconds" not in scheduled
    ended(states, execution)


def test_a_retry_has_a_new_token_and_the_old_token_is_used_up(states, machine, tokens):
    retry = {"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 2}
    execution = start(states, machine(Wait=waiting("retry", Retry=[retry])))
    first = tokens("retry")
    states.send_task_failure(taskToken=first, error="Again")
    second = tokens("retry")
    assert second != first
    late = lambda: states.send_task_success(taskToken=first, output="1")  # noqa: E731
    assert code_of(late) == "TaskTimedOut"
    states.send_task_success(taskToken=second, output="2")
    assert ended(states, execution)["output"] == 2


# -- Task tokens in a table ----------------------------------------------------------------------


def test_a_token_can_be_written_into_a_table(states, machine, rows):
    arn = machine(Wait=waiting_in_row("written", Output={"got": "{% $states.result %}"}))
    execution = start(states, arn)
    token = token_in(rows, "written")
    assert states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    states.send_task_heartbeat(taskToken=token)
    states.send_task_success(taskToken=token, output=json.dumps({"text": NASTY}))
    assert ended(states, execution)["output"] == {"got": {"text": NASTY}}
    late = lambda: states.send_task_success(taskToken=token, output="1")  # noqa: E731
    assert code_of(late) == "TaskTimedOut"


@pytest.mark.parametrize("name", ["DynamoDb.ConditionalCheckFailedException", "States.TaskFailed"])
def test_a_failed_condition_fails_the_task_at_once_with_the_sdks_error_name(
    states, machine, rows, name
):
    rows.put_item(TableName="tokens", Item={"id": {"S": "taken"}, "taken": {"BOOL": True}})
    retry = {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "MaxAttempts": 3}
    catch = {"ErrorEquals": [name], "Output": "{% $states.errorOutput %}", "Next": "Caught"}
    arn = machine(
        Wait=waiting_in_row("taken", TimeoutSeconds=60, Retry=[retry], Catch=[catch]),
        Caught={"Type": "Succeed"},
    )
    execution = start(states, arn)
    error = ended(states, execution)["output"]
    assert error["Error"] == "DynamoDb.ConditionalCheckFailedException"
    assert error["Cause"].startswith("The conditional request failed (Service: DynamoDb, Status")
    [failed] = [event for event in events_of(states, execution) if event["type"] == "TaskFailed"]
    assert failed["taskFailedEventDetails"]["resourceType"] == "aws-sdk:dynamodb"
    assert failed["taskFailedEventDetails"]["resource"] == "updateItem.waitForTaskToken"
    # The token was not written to the row, but it is in the history.
    [scheduled] = [
        event["taskScheduledEventDetails"]
        for event in events_of(states, execution)
        if event["type"] == "TaskScheduled"
    ]
    token = json.loads(scheduled["parameters"])["ExpressionAttributeValues"][":token"]["S"]
    late = lambda: states.send_task_success(taskToken=token, output="1")  # noqa: E731
    assert code_of(late) == "TaskTimedOut"


def test_a_wait_in_a_table_fails_times_out_and_is_retried(states, machine, rows):
    retry = {"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 1}
    catch = {
        "ErrorEquals": ["States.ALL"],
        "Output": "{% $states.errorOutput.Error %}",
        "Next": "Caught",
    }
    arn = machine(
        Wait=waiting_in_row(
            "retried", TimeoutSeconds="{% $states.input %}", Retry=[retry], Catch=[catch]
        ),
        Caught={"Type": "Succeed"},
    )
    execution = start(states, arn, 60)
    first = token_in(rows, "retried")
    states.send_task_failure(taskToken=first, error="Again")
    second = token_in(rows, "retried", first)
    states.send_task_failure(taskToken=second, error="Enough")
    assert ended(states, execution)["output"] == "Enough"
    execution = start(states, arn, 1)
    third = token_in(rows, "retried", first, second)
    assert ended(states, execution)["output"] == "States.Timeout"
    assert code_of(lambda: states.send_task_heartbeat(taskToken=third)) == "TaskTimedOut"


@pytest.mark.slow
def test_a_result_for_a_token_from_a_table_is_never_missed(states, machine, rows):
    executions = {}
    for number in range(12):
        row = f"quick-{number}"
        executions[row] = start(states, machine(Wait=waiting_in_row(row)))
    for row in executions:
        states.send_task_success(taskToken=token_in(rows, row), output='"quick"')
    assert [ended(states, each)["output"] for each in executions.values()] == ["quick"] * 12


@pytest.mark.slow
def test_waiting_tasks_do_not_block_other_tasks(states, machine, rows):
    arn = machine(Wait=waiting_in_row("{% $string($states.input) %}"))
    executions = [start(states, arn, f"crowd-{number}") for number in range(20)]
    tokens = [token_in(rows, f"crowd-{number}") for number in range(20)]
    for token in tokens:
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


def test_each_error_is_retried_by_its_own_retrier(cloud, states, machine):
    function = failing(cloud, "retried")
    arn = machine(
        Ask={
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": function, "Payload": "{% $states.input %}"},
            "Retry": [
                {"ErrorEquals": ["Never"], "MaxAttempts": 0},
                {"ErrorEquals": ["Twice"], "MaxAttempts": 2, "JitterStrategy": "FULL"},
                {"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 5, "MaxDelaySeconds": 2},
            ],
            "Output": "{% $states.result.Payload %}",
        }
    )
    assert output(states, arn, ["Twice", "Other", "Twice", "Other"]) == 5
    never = run(states, arn, [""] * 5 + ["Never"])
    assert (never["error"], "because" in never["cause"]) == ("Never", True)


def test_an_error_is_caught_after_its_last_retry(cloud, states, machine):
    function = failing(cloud, "exhausted")
    arn = machine(
        Ask={
            "Type": "Task",
            "Resource": function,
            "Arguments": "{% $states.input %}",
            "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 2}],
            "Catch": [
                {
                    "ErrorEquals": ["States.ALL"],
                    "Output": "{% $parse($states.errorOutput.Cause).errorMessage %}",
                    "Next": "Caught",
                }
            ],
        },
        Caught={"Type": "Succeed"},
    )
    execution = start(states, arn, ["A", "B", "C", "D"])
    assert ended(states, execution)["output"] == "because"
    assert history(states, execution).count("LambdaFunctionFailed") == 3


def test_a_query_evaluation_error_in_arguments_can_be_caught(states, machine):
    arn = machine(
        Ask={
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:getItem",
            "Arguments": {"TableName": "{% $states.input.missing %}", "Key": {}},
            "Retry": [{"ErrorEquals": ["DynamoDB.AmazonDynamoDBException"]}],
            "Catch": [
                {
                    "ErrorEquals": ["States.QueryEvaluationError"],
                    "Output": "{% $states.errorOutput.Error %}",
                    "Next": "Caught",
                }
            ],
        },
        Caught={"Type": "Succeed"},
    )
    assert output(states, arn, {}) == "States.QueryEvaluationError"


# -- Executions -----------------------------------------------------------------------------------


def test_the_same_start_of_a_running_execution_returns_that_execution(states, machine, tokens):
    arn = machine(Wait=waiting("same"))

    def again(data: str) -> Any:
        return states.start_execution(stateMachineArn=arn, name="job-1", input=data)

    first = again('{"a": 1}')
    token = tokens("same")
    second = again('{"a": 1}')
    assert second["executionArn"] == first["executionArn"]
    assert second["startDate"] == first["startDate"]
    assert code_of(lambda: again('{"a": 2}')) == "ExecutionAlreadyExists"
    states.send_task_success(taskToken=token, output="1")
    ended(states, first["executionArn"])
    assert code_of(lambda: again('{"a": 1}')) == "ExecutionAlreadyExists"


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
    assert (
        code_of(lambda: states.start_execution(stateMachineArn=arn, name=name, input=data)) == code
    )


def test_a_start_without_a_name_gets_one(states, machine):
    arn = machine(End={"Type": "Succeed"})
    names = {start(states, arn).rpartition(":")[2] for _ in range(2)}
    assert len(names) == 2
    assert "None" not in names


def test_stop_ends_a_waiting_task_and_its_token(states, machine, tokens):
    catch = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}
    arn = machine(Wait=waiting("stopped", Catch=[catch]), Caught={"Type": "Succeed"})
    execution = start(states, arn)
    token = tokens("stopped")
    wait_for(lambda: "TaskSubmitted" in history(states, execution), "the wait", SECONDS)
    stopped = states.stop_execution(executionArn=execution, error="Cancelled", cause="By hand")
    described = states.describe_execution(executionArn=execution)
    assert described["status"] == "ABORTED"
    assert (described["error"], described["cause"]) == ("Cancelled", "By hand")
    assert described["stopDate"] >= stopped["stopDate"]
    assert history(states, execution)[-2:] == ["TaskSubmitted", "ExecutionAborted"]
    late = lambda: states.send_task_success(taskToken=token, output="1")  # noqa: E731
    assert code_of(late) == "TaskTimedOut"


def stop(states: Any, execution: str) -> None:
    """Stop an execution, and check that it has ended."""
    began = time.monotonic()
    stopped = states.stop_execution(executionArn=execution, error="Cancelled", cause=NASTY)
    assert time.monotonic() - began < 4
    described = states.describe_execution(executionArn=execution)
    assert (described["status"], described["error"], described["cause"]) == (
        "ABORTED",
        "Cancelled",
        NASTY,
    )
    assert described["stopDate"] == stopped["stopDate"]
    assert "output" not in described
    last = events_of(states, execution)[-1]
    assert last["type"] == "ExecutionAborted"
    assert last["executionAbortedEventDetails"] == {"error": "Cancelled", "cause": NASTY}
    # A second stop changes nothing.
    assert states.stop_execution(executionArn=execution)["stopDate"] == stopped["stopDate"]
    assert events_of(states, execution)[-1] == last


def test_stop_ends_a_wait(states, machine):
    arn = machine(Wait={"Type": "Wait", "Seconds": 60}, Never={"Type": "Succeed"})
    for _ in range(10):
        execution = start(states, arn)
        waits = functools.partial(lambda e: "WaitStateEntered" in history(states, e), execution)
        wait_for(waits, "the wait", SECONDS)
        stop(states, execution)
        assert "SucceedStateEntered" not in history(states, execution)


def test_stop_ends_branches(states, machine, tokens):
    def branch(name: str, state: dict[str, Any]) -> dict[str, Any]:
        after = f"After {name}"
        states = {name: {**state, "Next": after}, after: {"Type": "Succeed"}}
        return {"StartAt": name, "States": states}

    branches = [branch("Wait", {"Type": "Wait", "Seconds": 60}), branch("Ask", waiting("branch"))]
    arn = machine(Branches={"Type": "Parallel", "Branches": branches}, Never={"Type": "Succeed"})
    execution = start(states, arn)
    token = tokens("branch")
    stop(states, execution)
    assert "SucceedStateEntered" not in history(states, execution)
    assert code_of(lambda: states.send_task_heartbeat(taskToken=token)) == "TaskTimedOut"


def test_stop_ends_a_retry(states, machine, tokens):
    retry = {"ErrorEquals": ["Again"], "IntervalSeconds": 6000, "MaxAttempts": 3}
    catch = {"ErrorEquals": ["States.ALL"], "Next": "Never"}
    arn = machine(
        Wait=waiting("retry-stopped", Retry=[retry], Catch=[catch]), Never={"Type": "Succeed"}
    )
    execution = start(states, arn)
    states.send_task_failure(taskToken=tokens("retry-stopped"), error="Again")
    wait_for(lambda: "TaskFailed" in history(states, execution), "the failure", SECONDS)
    stop(states, execution)
    assert history(states, execution)[-2:] == ["TaskFailed", "ExecutionAborted"]


@pytest.mark.slow
def test_no_state_runs_after_a_stop(states, machine, rows):
    catch = {"ErrorEquals": ["States.ALL"], "Next": "Never"}
    retry = {"ErrorEquals": ["States.ALL"], "MaxAttempts": 3}
    arn = machine(
        Wait=waiting_in_row("{% $string($states.input) %}", Retry=[retry], Catch=[catch]),
        Never={"Type": "Pass", "Output": 1},
    )
    for number in range(15):
        execution = start(states, arn, f"stopped-{number}")
        token = token_in(rows, f"stopped-{number}")
        stop(states, execution)
        assert "PassStateEntered" not in history(states, execution)
        for answer in (
            functools.partial(states.send_task_success, taskToken=token, output="1"),
            functools.partial(states.send_task_failure, taskToken=token),
            functools.partial(states.send_task_heartbeat, taskToken=token),
        ):
            assert code_of(answer) == "TaskTimedOut"


def test_an_execution_with_a_limit_can_be_stopped(states, machine):
    arn = machine(timeout=60, Wait={"Type": "Wait", "Seconds": 50})
    stop(states, start(states, arn))


def test_a_too_long_error_or_cause_is_refused(states, machine):
    execution = start(states, machine(Wait={"Type": "Wait", "Seconds": 60}))
    for words in ({"error": "x" * 257}, {"cause": "x" * 32769}):
        refused = functools.partial(states.stop_execution, executionArn=execution, **words)
        assert code_of(refused) == "ValidationException"
    stop(states, execution)


def test_an_execution_can_time_out_as_a_whole(states, machine, tokens):
    catch = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}
    arn = machine(timeout=1, Wait=waiting("whole", Catch=[catch]), Caught={"Type": "Succeed"})
    execution = start(states, arn)
    token = tokens("whole")
    described = ended(states, execution)
    assert described["status"] == "TIMED_OUT"
    assert described["stopDate"]
    assert history(states, execution)[-1] == "ExecutionTimedOut"
    late = lambda: states.send_task_success(taskToken=token, output="1")  # noqa: E731
    assert code_of(late) == "TaskTimedOut"


def test_the_history_has_the_parameters_of_a_task(states, machine, tokens):
    arn = machine(
        Wait=waiting("asked", HeartbeatSeconds=20, TimeoutSeconds="{% $states.input.limit %}")
    )
    execution = start(states, arn, {"limit": 30})
    token = tokens("asked")
    wait_for(lambda: "TaskSubmitted" in history(states, execution), "the wait", SECONDS)
    events = events_of(states, execution)
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
    ]
    assert [event["id"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["previousEventId"] for event in events] == [0, 0, 2, 3, 4]
    scheduled = events[2]["taskScheduledEventDetails"]
    parameters = json.loads(scheduled.pop("parameters"))
    assert parameters["Entries"][0]["Detail"] == {"token": token}
    assert scheduled == {
        "resourceType": "events",
        "resource": "putEvents.waitForTaskToken",
        "region": REGION,
        "timeoutInSeconds": 30,
        "heartbeatInSeconds": 20,
    }
    submitted = events[4]["taskSubmittedEventDetails"]
    assert submitted["resource"] == "putEvents.waitForTaskToken"
    assert json.loads(submitted["output"])["FailedEntryCount"] == 0
    states.stop_execution(executionArn=execution)


def test_the_last_token_in_the_history_answers_the_task(states, machine, rows):
    retry = {"ErrorEquals": ["Again"], "MaxAttempts": 2}
    execution = start(states, machine(Wait=waiting_in_row("history", Retry=[retry])))

    def waits(times: int) -> bool:
        return history(states, execution).count("TaskSubmitted") == times

    for times in (1, 2, 3):
        wait_for(functools.partial(waits, times), "the wait", SECONDS)
        newest = states.get_execution_history(
            executionArn=execution, reverseOrder=True, maxResults=3
        )["events"]
        [scheduled] = [event for event in newest if event["type"] == "TaskScheduled"]
        arguments = json.loads(scheduled["taskScheduledEventDetails"]["parameters"])
        token = arguments["ExpressionAttributeValues"][":token"]["S"]
        assert token == token_in(rows, "history")
        if times < 3:
            states.send_task_failure(taskToken=token, error="Again")
        else:
            states.send_task_success(taskToken=token, output='"last"')
    assert ended(states, execution)["output"] == "last"


def test_the_history_comes_in_pages(states, machine):
    passes = {f"Pass{number}": {"Type": "Pass"} for number in range(60)}
    execution = run(states, machine(**passes), {"a": 1})["executionArn"]
    first = states.get_execution_history(executionArn=execution)
    assert len(first["events"]) == 100
    assert first["nextToken"]
    forth = events_of(states, execution)
    assert [event["id"] for event in forth] == list(range(1, 123))
    assert (forth[0]["type"], forth[-1]["type"]) == ("ExecutionStarted", "ExecutionSucceeded")
    back = events_of(states, execution, reverseOrder=True, PaginationConfig={"PageSize": 7})
    assert back == forth[::-1]
    page = states.get_execution_history(executionArn=execution, maxResults=122)
    assert "nextToken" not in page
    for request, code in (
        ({"maxResults": 1001}, "ValidationException"),
        ({"nextToken": "garbage"}, "InvalidToken"),
    ):
        asked = functools.partial(states.get_execution_history, executionArn=execution, **request)
        assert code_of(asked) == code


def test_the_history_can_leave_out_the_data(states, machine):
    execution = run(states, machine(Pass={"Type": "Pass"}), {"a": NASTY})["executionArn"]
    assert "quotes" in str(events_of(states, execution))
    without = events_of(states, execution, includeExecutionData=False)
    assert len(without) == 4
    assert "quotes" not in str(without)


def test_executions_are_listed_by_status_in_pages(states, machine):
    arn = machine(
        Which={
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input = 'wait' %}", "Next": "Wait"}],
            "Default": "End",
        },
        Wait={"Type": "Wait", "Seconds": 600, "Next": "End"},
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
        assert code_of(functools.partial(call, executionArn=missing)) == "ExecutionDoesNotExist"
    machine_arn = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:missing"
    listing = functools.partial(states.list_executions, stateMachineArn=machine_arn)
    assert code_of(listing) == "StateMachineDoesNotExist"


# -- Events on EventBridge ------------------------------------------------------------------------


@pytest.fixture
def next_status(cloud: LocalCloud) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Returns the next event about a state machine."""
    queue = Queue(cloud, f"told-{uuid.uuid4()}")
    client = cloud.client("events")

    def next_event(arn: str) -> dict[str, Any]:
        event: dict[str, Any] = queue.body()
        while event["detail"]["stateMachineArn"] != arn:  # it is from an earlier test
            event = queue.body()
        assert event["detail-type"] == "Step Functions Execution Status Change"
        assert event["resources"] == [event["detail"]["executionArn"]]
        return dict(event["detail"])

    client.put_rule(Name="told", EventPattern=json.dumps({"source": ["aws.states"]}))
    client.put_targets(Rule="told", Targets=[{"Id": "1", "Arn": queue.arn}])
    yield next_event
    client.remove_targets(Rule="told", Ids=["1"])
    client.delete_rule(Name="told")


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


def stop_date(states: Any, execution: str) -> int:
    return int(states.describe_execution(executionArn=execution)["stopDate"].timestamp() * 1000)


def test_eventbridge_gets_an_event_for_success(states, machine, next_status):
    arn = machine(End={"Type": "Succeed", "Output": "Hello"})
    execution = start(states, arn, {"text": NASTY})
    ended(states, execution)
    assert next_status(arn) == detail_of(states, execution)
    assert next_status(arn) == detail_of(
        states,
        execution,
        status="SUCCEEDED",
        stopDate=stop_date(states, execution),
        output='"Hello"',
        outputDetails={"included": True},
        redriveStatusReason="Execution is SUCCEEDED and cannot be redriven",
    )


@pytest.mark.parametrize("how", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_eventbridge_gets_an_event_for_every_other_end(states, machine, next_status, how):
    if how == "FAILED":
        arn = machine(End={"Type": "Fail", "Error": "Mine", "Cause": NASTY})
    else:
        arn = machine(timeout=1 if how == "TIMED_OUT" else 60, Wait={"Type": "Wait", "Seconds": 50})
    execution = start(states, arn)
    assert next_status(arn)["status"] == "RUNNING"
    if how == "ABORTED":
        states.stop_execution(executionArn=execution, error="Mine", cause=NASTY)
    ended(states, execution)
    words = {} if how == "TIMED_OUT" else {"error": "Mine", "cause": NASTY}
    assert next_status(arn) == detail_of(
        states,
        execution,
        status=how,
        stopDate=stop_date(states, execution),
        redriveStatus="REDRIVABLE",
        redriveStatusReason=None,
        **words,
    )


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
    client = cloud.client("events")
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [arn]}}
    client.put_rule(Name="function", EventPattern=json.dumps(pattern))
    client.put_targets(Rule="function", Targets=[{"Id": "1", "Arn": function}])
    assert ended(states, start(states, arn))["error"] == "Unwanted"
    client.remove_targets(Rule="function", Ids=["1"])
    client.delete_rule(Name="function")


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
    definition = {
        "StartAt": "New",
        "States": {"New": {"Type": "Pass", "Result": "new", "End": True}},
    }
    states.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    assert output(states, arn) == "new"
    states.send_task_success(taskToken=token, output="1")
    assert ended(states, execution)["output"] == "old"


def test_branches_and_items_run_concurrently(states, machine):
    double = {
        "StartAt": "Double",
        "States": {
            "Double": {"Type": "Pass", "Assign": {"n": "{% $states.input.n * 2 %}"}, "Next": "Add"},
            "Add": {"Type": "Pass", "Output": "{% $n + $base %}", "End": True},
        },
    }
    arn = machine(
        Base={"Type": "Pass", "Assign": {"base": 100}},
        Items={
            "Type": "Map",
            "Items": "{% $states.input %}",
            "ItemSelector": {"n": "{% $states.context.Map.Item.Value %}"},
            "ItemProcessor": double,
        },
        Branches={
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}},
                {"StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 0, "End": True}}},
            ],
        },
    )
    executions = [start(states, arn, [1, 2, 3]) for _ in range(5)]
    for execution in executions:
        assert ended(states, execution)["output"] == [[102, 104, 106]] * 2


def test_states_may_be_in_jsonpath(cloud, states):
    definition = {
        "StartAt": "Get",
        "States": {
            "Get": {
                "Type": "Task",
                "Resource": "arn:aws:states:::dynamodb:getItem",
                "Parameters": {"TableName": "missing", "Key": {"id": {"S.$": "$.id"}}},
                "Retry": [{"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 1}],
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Which"}],
                "End": True,
            },
            "Which": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.e.Error", "StringMatches": "Dynamo*", "Next": "Keep"}],
            },
            "Keep": {"Type": "Pass", "Assign": {"kept.$": "$.id"}, "Next": "Give"},
            "Give": {"Type": "Pass", "Parameters": {"id.$": "$kept"}, "End": True},
        },
    }
    arn = states.create_state_machine(
        name="jsonpath", definition=json.dumps(definition), roleArn=role(cloud)
    )["stateMachineArn"]
    assert output(states, arn, {"id": NASTY}) == {"id": NASTY}


# -- Integrations ---------------------------------------------------------------------------------


def test_an_event_of_a_state_machine_names_it_and_the_execution(cloud, states, machine):
    queue = Queue(cloud, "resources")
    events = cloud.client("events")
    events.put_rule(Name="resources", EventPattern=json.dumps({"source": ["resources"]}))
    events.put_targets(Rule="resources", Targets=[{"Id": "1", "Arn": queue.arn}])
    entry = {
        "Source": "resources",
        "DetailType": "x",
        "Detail": {"text": "{% $states.input %}"},
        "Resources": ["arn:mine"],
    }
    arn = machine(
        Put={
            "Type": "Task",
            "Resource": "arn:aws:states:::events:putEvents",
            "Arguments": {"Entries": [entry]},
        }
    )
    described = run(states, arn, NASTY)
    assert described["status"] == "SUCCEEDED"
    event = queue.body()
    assert event["resources"] == ["arn:mine", arn, described["executionArn"]]
    assert event["detail"] == {"text": NASTY}


def test_a_failed_condition_is_retried_and_caught_and_a_row_deleted(cloud, states, machine):
    cloud.client("dynamodb").create_table(
        TableName="jobs",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    key = {"id": {"S": "{% $states.context.Execution.Input %}"}}

    def table(action: str, **arguments: Any) -> dict[str, Any]:
        resource = f"arn:aws:states:::dynamodb:{action}"
        return {
            "Type": "Task",
            "Resource": resource,
            "Arguments": {"TableName": "jobs", **arguments},
        }

    arn = machine(
        Put=table("putItem", Item={**key, "n": {"N": "2"}}),
        Conflict={
            **table(
                "updateItem",
                Key=key,
                ConditionExpression="n = :one",
                UpdateExpression="SET n = :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            ),
            "Retry": [{"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 1}],
            "Catch": [
                {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Delete"}
            ],
            "Next": "Delete",
        },
        Delete=table("deleteItem", Key=key),
        Missing={
            **table("getItem", Key=key, ConsistentRead=True),
            "Output": "{% $exists($states.result.Item) %}",
        },
    )
    described = run(states, arn, NASTY)
    assert described["status"] == "SUCCEEDED", described.get("cause")
    assert described["output"] is False
    assert history(states, described["executionArn"]).count("TaskFailed") == 2


def test_objects_can_be_listed(cloud, states, machine):
    # S3 refuses requests without a signature.
    cloud.client("s3").create_bucket(Bucket="of-objects")
    cloud.client("s3").put_object(Bucket="of-objects", Key="a", Body=b"text")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2",
        "Arguments": {"Bucket": "of-objects"},
        "Output": "{% $states.result.Contents.Key %}",
    }
    assert output(states, machine(List=task)) == "a"


def test_an_api_error_has_the_name_of_its_service(states, machine):
    entry = {"Source": "s", "DetailType": "d", "Detail": {}, "EventBusName": "no"}
    put = {
        "Type": "Task",
        "Resource": "arn:aws:states:::events:putEvents",
        "Arguments": {"Entries": [entry]},
    }
    assert run(states, machine(Put=put))["error"] == "EventBridge.ResourceNotFoundException"


def test_the_log_of_a_state_machine_has_the_configured_events(cloud, states, machine):
    logs = cloud.client("logs")
    arn = machine(
        Say={
            "Type": "Task",
            "Resource": "arn:aws:states:::events:putEvents",
            "Arguments": {
                "Entries": [{"Source": "a", "DetailType": "b", "Detail": {"secret": "told"}}]
            },
        },
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
        execution = start(states, arn, {"secret": "given"})
        ended(states, execution)
        events = logs.filter_log_events(logGroupName=name)["events"]
        return execution, [json.loads(event["message"]) for event in events]

    execution, lines = logged("ALL", data=False)
    history = states.get_execution_history(executionArn=execution)["events"]
    assert [
        (line["id"], line["type"], line["previous_event_id"], int(line["event_timestamp"]))
        for line in lines
    ] == [
        (str(event["id"]), event["type"], str(event["previousEventId"]), milliseconds(event))
        for event in history
    ]
    assert {line["execution_arn"] for line in lines} == {execution}
    assert lines[-1]["details"] == {"error": "Broken", "cause": "because"}
    assert [line["details"]["name"] for line in lines if line["type"] == "TaskStateEntered"] == [
        "Say"
    ]
    assert "given" not in json.dumps(lines)
    assert "told" not in json.dumps(lines)
    _, lines = logged("ALL", data=True)
    assert json.loads(lines[0]["details"]["input"]) == {"secret": "given"}
    assert "told" in json.dumps(lines)
    _, lines = logged("FATAL", data=False)
    assert [line["type"] for line in lines] == ["ExecutionFailed"]
    assert logged("OFF", data=False)[1] == []


def milliseconds(event: dict[str, Any]) -> int:
    return round(event["timestamp"].timestamp() * 1000)


@pytest.mark.slow
def test_only_the_history_of_an_ended_execution_is_kept(cloud, states, machine, tokens):
    execution = start(states, machine(Wait=waiting("Kept"), End={"Type": "Succeed"}))
    backend: Any = models.stepfunctions_parser_backends[ACCOUNT][cloud.region]
    env = weakref.ref(backend.describe_execution(execution).exec_worker.env)
    token = tokens("Kept")
    wait_for(lambda: "TaskSubmitted" in history(states, execution), "the wait", SECONDS)
    before = events_of(states, execution)
    states.send_task_success(taskToken=token, output="{}")
    ended(states, execution)

    def forgotten() -> bool:
        gc.collect()
        return env() is None

    wait_for(forgotten, "the rest to be forgotten", SECONDS)
    after = events_of(states, execution)
    assert after[: len(before)] == before
    assert after[-1]["type"] == "ExecutionSucceeded"
    assert code_of(lambda: states.send_task_success(taskToken=token, output="{}")) == "TaskTimedOut"
    states.stop_execution(executionArn=execution)
    assert states.describe_execution(executionArn=execution)["status"] == "SUCCEEDED"


# -- Definitions ----------------------------------------------------------------------------------

PASS = {"Type": "Pass", "End": True}


def machine_of(**states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


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
    for call in (
        lambda: states.create_state_machine(
            name=f"m{uuid.uuid4()}", definition=text or " ", roleArn=role(cloud)
        ),
        lambda: states.update_state_machine(
            stateMachineArn=machine(Pass={"Type": "Pass"}), definition=text or " "
        ),
    ):
        with pytest.raises(ClientError) as caught:
            call()
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
    name = f"m{uuid.uuid4()}"

    def create(comment: str, **settings: Any) -> Any:
        definition = json.dumps({"Comment": comment, **machine_of(A=PASS)})
        return states.create_state_machine(
            name=name, definition=definition, roleArn=role(cloud), **settings
        )

    arn = create("one")["stateMachineArn"]
    assert create("one")["stateMachineArn"] == arn
    for call in (lambda: create("other"), lambda: create("one", type="EXPRESS")):
        assert code_of(call) == "StateMachineAlreadyExists"
    assert "one" in states.describe_state_machine(stateMachineArn=arn)["definition"]


def test_invalid_requests_about_state_machines_are_refused(cloud, states, machine):
    arn = machine(Pass={"Type": "Pass"})
    assert code_of(lambda: states.update_state_machine(stateMachineArn=arn)) == (
        "MissingRequiredParameter"
    )
    for call in (
        lambda: states.list_executions(stateMachineArn=arn, statusFilter="nonsense"),
        lambda: states.create_state_machine(
            name="kind", type="nonsense", definition=json.dumps(machine_of(A=PASS)), roleArn="r" * 9
        ),
    ):
        with pytest.raises(ClientError, match="must satisfy enum value set") as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []
    states.update_state_machine(stateMachineArn=arn, roleArn=role(cloud), publish=True)
    [version] = states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert version["stateMachineVersionArn"] == f"{arn}:1"
