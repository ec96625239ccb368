import pytest

from acknowledger import executions
from acknowledger.errors import StepFunctionsUnavailable
from tests.unit.conftest import ENVIRONMENT, execution, happened, scheduled

MACHINE = ENVIRONMENT["STATE_MACHINE_ARN"]
ARN = f"{MACHINE.replace('stateMachine', 'execution')}:name"
GONE = ["InvalidToken", "TaskDoesNotExist", "TaskTimedOut"]
DISPATCHED = {"Entries": [{"Detail": {"jobId": "j", "nonce": "3", "taskToken": "of the event"}}]}
QUEUED = {
    "TableName": "JobTable",
    "Key": {"jobId": {"S": "j"}},
    "ExpressionAttributeValues": {":no": {"BOOL": False}, ":token": {"S": "of the row"}},
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
    aws_calls.expects_described(ARN, status)
    assert executions.is_running(ARN) is (status == "RUNNING")


def test_an_execution_that_does_not_exist_does_not_run(aws_calls):
    aws_calls.expects_described(ARN, None)
    assert executions.is_running(ARN) is False


def test_running_executions_are_listed_to_the_last_page(aws_calls):
    for names, token in ((["a", "b"], {"nextToken": "t"}), (["c"], {})):
        found = [execution(ARN.replace("name", name)) for name in names]
        aws_calls.expects("stepfunctions", "list_executions", {"executions": found, **token})
    assert executions.running() == {"a", "b", "c"}


@pytest.mark.parametrize("code", [None, *GONE])
@pytest.mark.parametrize(
    ("answer", "operation", "request_"),
    [
        (lambda: executions.succeed("t"), "send_task_success", {"output": "{}"}),
        (lambda: executions.fail("t", "E", "c"), "send_task_failure", {"error": "E", "cause": "c"}),
    ],
)
def test_a_waiting_execution_gets_the_result_and_one_that_no_longer_waits_is_no_error(
    aws_calls, answer, operation, request_, code
):
    if code:
        aws_calls.expects_error("stepfunctions", operation, code)
    else:
        aws_calls.expects("stepfunctions", operation, {}, {"taskToken": "t", **request_})
    assert answer() is (code is None)


def test_a_long_cause_is_cut_to_what_step_functions_takes(aws_calls):
    request = {"taskToken": "t", "error": "e", "cause": "x" * 32_768}
    aws_calls.expects("stepfunctions", "send_task_failure", {}, request)
    assert executions.fail("t", "e", "x" * 40_000)


WAITS, WAITS_IN_ROW = "putEvents.waitForTaskToken", "updateItem.waitForTaskToken"
SUBMITTED = [happened(4, "TaskSubmitted"), happened(3, "TaskStarted")]
BEFORE = [happened(1, "TaskStateEntered")]


@pytest.mark.parametrize(
    ("history", "token"),
    [
        # Newest first, as requested.
        ([*SUBMITTED, scheduled(2, WAITS, DISPATCHED), *BEFORE], "of the event"),
        ([*SUBMITTED[1:], scheduled(2, WAITS, DISPATCHED)], "of the event"),
        ([scheduled(2, WAITS, DISPATCHED)], "of the event"),
        ([*SUBMITTED, scheduled(2, WAITS_IN_ROW, QUEUED)], "of the row"),
        # An event's detail may be a string.
        ([scheduled(2, WAITS, {"Entries": [{"Detail": '{"taskToken": "in text"}'}]})], "in text"),
        ([scheduled(2, WAITS, {"Entries": [{"Detail": "{not JSON"}]})], None),
        # Between two waits.
        ([happened(4, "TaskStarted"), scheduled(2, "updateItem", QUEUED)], None),
        (
            [happened(5, "TaskSucceeded"), happened(4, "TaskSubmitted"), scheduled(2, WAITS, {})],
            None,
        ),
        ([happened(5, "TaskFailed"), scheduled(2, WAITS, DISPATCHED)], None),
        ([happened(5, "TaskStateEntered"), scheduled(2, WAITS, DISPATCHED)], None),
        ([happened(5, "ExecutionAborted")], None),
        ([happened(1, "ExecutionStarted")], None),
    ],
)
def test_the_task_token_is_that_of_the_last_task_in_the_history(aws_calls, history, token):
    request = {"executionArn": ARN, "reverseOrder": True, "maxResults": 5}
    aws_calls.expects("stepfunctions", "get_execution_history", {"events": history}, request)
    assert executions.waiting_token(ARN) == token


def report_invoked(number, payload):
    return scheduled(number, "invoke", {"FunctionName": "Report", "Payload": payload}, "lambda")


ANSWERED = happened(8, "TaskSucceeded")


@pytest.mark.parametrize(
    ("history", "told", "answered"),
    [
        ([happened(9, "ExecutionAborted"), report_invoked(7, "a")], "a", False),
        ([happened(9, "ExecutionFailed"), ANSWERED, report_invoked(7, "a")], "a", True),
        # Report was invoked again.
        ([report_invoked(9, "b"), ANSWERED, report_invoked(7, "a")], "b", False),
        # It has waited for the next job since then.
        (
            [scheduled(9, WAITS_IN_ROW, QUEUED), ANSWERED, report_invoked(7, "a")],
            "a",
            True,
        ),
        ([happened(9, "ExecutionAborted"), scheduled(8, WAITS, DISPATCHED)], None, False),
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
