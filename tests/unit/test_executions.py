import json
from datetime import UTC, datetime

import pytest

from acknowledger import executions
from acknowledger.errors import StepFunctionsUnavailable
from tests.unit.conftest import ENVIRONMENT

MACHINE = ENVIRONMENT["STATE_MACHINE_ARN"]
ARN = f"{MACHINE.replace('stateMachine', 'execution')}:name"
GONE = ["InvalidToken", "TaskDoesNotExist", "TaskTimedOut"]
DISPATCHED = {
    "Entries": [
        {
            "EventBusName": "jobs",
            "Detail": {"jobId": "j", "nonce": "3", "taskToken": "of the event"},
            "DetailType": "Job Dispatched",
        }
    ]
}
QUEUED = {
    "TableName": "JobTable",
    "Key": {"jobId": {"S": "j"}},
    "ExpressionAttributeValues": {":no": {"BOOL": False}, ":token": {"S": "of the row"}},
}


def described(status):
    return {
        "executionArn": ARN,
        "stateMachineArn": MACHINE,
        "status": status,
        "startDate": 0,
        "input": '{"job": {"id": "j"}}',
    }


def test_an_execution_is_started_by_name_unless_the_name_is_taken(aws_calls):
    request = {"stateMachineArn": MACHINE, "name": "n", "input": '{"job": {"id": "j"}}'}
    answer = {"executionArn": ARN, "startDate": 0}
    aws_calls.expects("stepfunctions", "start_execution", answer, request)
    assert executions.start("n", {"job": {"id": "j"}}) is True
    aws_calls.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
    assert executions.start("n", {"job": {"id": "j"}}) is False


def test_an_execution_that_cannot_be_started_now_is_reported(aws_calls):
    aws_calls.expects_error("stepfunctions", "start_execution", "InvalidExecutionInput")
    with pytest.raises(StepFunctionsUnavailable, match="InvalidExecutionInput"):
        executions.start("n", {})


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_an_execution_runs_only_while_it_is_running(aws_calls, status):
    aws_calls.expects("stepfunctions", "describe_execution", described(status))
    assert executions.is_running(ARN) is (status == "RUNNING")


def test_an_execution_that_does_not_exist_does_not_run(aws_calls):
    aws_calls.expects_error("stepfunctions", "describe_execution", "ExecutionDoesNotExist")
    assert executions.is_running(ARN) is False


def test_running_executions_are_listed_to_the_last_page(aws_calls):
    for names, token in ((["a", "b"], {"nextToken": "t"}), (["c"], {})):
        found = [
            {
                "executionArn": f"{ARN}-{name}",
                "stateMachineArn": MACHINE,
                "name": name,
                "status": "RUNNING",
                "startDate": 0,
            }
            for name in names
        ]
        aws_calls.expects("stepfunctions", "list_executions", {"executions": found, **token})
    assert executions.running() == {"a", "b", "c"}


@pytest.mark.parametrize("code", [None, *GONE])
@pytest.mark.parametrize(
    ("answer", "operation", "request_"),
    [
        (
            lambda: executions.succeed("t"),
            "send_task_success",
            {"taskToken": "t", "output": "{}"},
        ),
        (
            lambda: executions.fail("t", "EndedElsewhere", "c"),
            "send_task_failure",
            {"taskToken": "t", "error": "EndedElsewhere", "cause": "c"},
        ),
    ],
)
def test_a_waiting_execution_gets_the_result_and_one_that_no_longer_waits_is_no_error(
    aws_calls, answer, operation, request_, code
):
    if code:
        aws_calls.expects_error("stepfunctions", operation, code)
    else:
        aws_calls.expects("stepfunctions", operation, {}, request_)
    assert answer() is (code is None)


def test_a_long_cause_is_cut_to_what_step_functions_takes(aws_calls):
    request = {"taskToken": "t", "error": "e", "cause": "x" * 32_768}
    aws_calls.expects("stepfunctions", "send_task_failure", {}, request)
    assert executions.fail("t", "e", "x" * 40_000)


def event(number, kind, **details):
    at = datetime(2026, 9, 28, tzinfo=UTC)
    return {"timestamp": at, "type": kind, "id": number, "previousEventId": number - 1, **details}


def scheduled(number, resource, parameters):
    details = {
        "resourceType": "dynamodb",
        "resource": resource,
        "region": "us-east-1",
        "parameters": json.dumps(parameters),
    }
    return event(number, "TaskScheduled", taskScheduledEventDetails=details)


WAITS = "putEvents.waitForTaskToken"


@pytest.mark.parametrize(
    ("history", "token"),
    [
        # Newest first, as requested.
        (
            [
                event(4, "TaskSubmitted"),
                event(3, "TaskStarted"),
                scheduled(2, WAITS, DISPATCHED),
                event(1, "TaskStateEntered"),
            ],
            "of the event",
        ),
        ([event(3, "TaskStarted"), scheduled(2, WAITS, DISPATCHED)], "of the event"),
        ([scheduled(2, WAITS, DISPATCHED)], "of the event"),
        (
            [
                event(4, "TaskSubmitted"),
                event(3, "TaskStarted"),
                scheduled(2, "updateItem.waitForTaskToken", QUEUED),
            ],
            "of the row",
        ),
        # An event's detail may be a string.
        (
            [scheduled(2, WAITS, {"Entries": [{"Detail": json.dumps({"taskToken": "in text"})}]})],
            "in text",
        ),
        ([scheduled(2, WAITS, {"Entries": [{"Detail": "{not JSON"}]})], None),
        # Between two waits.
        ([event(4, "TaskStarted"), scheduled(2, "updateItem", QUEUED)], None),
        ([event(5, "TaskSucceeded"), event(4, "TaskSubmitted"), scheduled(2, WAITS, {})], None),
        ([event(5, "TaskFailed"), scheduled(2, WAITS, DISPATCHED)], None),
        ([event(5, "TaskStateEntered"), scheduled(2, WAITS, DISPATCHED)], None),
        ([event(5, "ExecutionAborted")], None),
        ([event(1, "ExecutionStarted")], None),
    ],
)
def test_the_task_token_is_that_of_the_last_task_in_the_history(aws_calls, history, token):
    aws_calls.expects(
        "stepfunctions",
        "get_execution_history",
        {"events": history},
        {"executionArn": ARN, "reverseOrder": True, "maxResults": 5},
    )
    assert executions.waiting_token(ARN) == token


def report_invoked(number, payload):
    told = scheduled(number, "invoke", {"FunctionName": "Report", "Payload": payload})
    told["taskScheduledEventDetails"]["resourceType"] = "lambda"
    return told


@pytest.mark.parametrize(
    ("history", "told", "answered"),
    [
        ([event(9, "ExecutionAborted"), report_invoked(7, {"a": 1})], {"a": 1}, False),
        (
            [event(9, "ExecutionFailed"), event(8, "TaskSucceeded"), report_invoked(7, {"a": 1})],
            {"a": 1},
            True,
        ),
        # Report was invoked again.
        (
            [report_invoked(8, {"a": 2}), event(8, "TaskSucceeded"), report_invoked(6, 1)],
            {"a": 2},
            False,
        ),
        # It has waited for the next job since then.
        (
            [
                scheduled(9, "updateItem.waitForTaskToken", QUEUED),
                event(8, "TaskSucceeded"),
                report_invoked(7, {"a": 1}),
            ],
            {"a": 1},
            True,
        ),
        ([event(9, "ExecutionAborted"), scheduled(8, WAITS, DISPATCHED)], None, False),
    ],
)
def test_the_last_payload_of_report_is_read_from_the_history(aws_calls, history, told, answered):
    aws_calls.expects("stepfunctions", "get_execution_history", {"events": history})
    assert executions.last_report(ARN) == (told, answered)


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("describe_execution", lambda: executions.is_running(ARN)),
        ("describe_execution", lambda: executions.describe(ARN)),
        ("list_executions", executions.running),
        ("send_task_success", lambda: executions.succeed("t")),
        ("send_task_failure", lambda: executions.fail("t", "e", "c")),
        ("get_execution_history", lambda: executions.waiting_token(ARN)),
    ],
)
def test_an_error_of_step_functions_is_raised_as_retryable(aws_calls, operation, act):
    aws_calls.expects_error("stepfunctions", operation, "ThrottlingException", "Slow down.")
    with pytest.raises(StepFunctionsUnavailable, match="Slow down"):
        act()
