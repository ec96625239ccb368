from __future__ import annotations

import json

import pytest

import acknowledge
from acknowledger import acknowledgment, errors
from acknowledger.moments import ago
from tests.support import load_event
from tests.unit.conftest import metrics_in, noted

BY_HAND = load_event("acknowledge-by-hand")
DISPATCHED = load_event("acknowledge-job-dispatched")
TOKEN = DISPATCHED["detail"]["taskToken"]
IN_PROGRESS = {"status": "InProgress"}


def row(others, status="Dispatched"):
    return {"Item": {**noted(others)["Attributes"], "status": {"S": status}}}


@pytest.mark.parametrize(
    "event", ["acknowledge-by-hand", "acknowledge-job-dispatched-without-task-token"]
)
def test_an_offered_job_is_acknowledged_and_its_status_returned(event, aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS, BY_HAND)
    assert acknowledge.handler(load_event(event), context) == IN_PROGRESS


@pytest.mark.parametrize("status", ["InProgress", "Queued", "Succeeded", "TimedOut"])
def test_the_waiting_execution_is_told_the_status(status, aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects("codepipeline", "acknowledge_job", {"status": status}, BY_HAND)
    told = {"taskToken": TOKEN, "output": json.dumps({"status": status})}
    aws_calls.expects("stepfunctions", "send_task_success", {}, told)
    assert acknowledge.handler(DISPATCHED, context) == {"status": status}


def test_how_long_an_offer_has_waited_is_measured(aws_calls, context, capsys):
    answer = noted(0)
    answer["Attributes"]["offeredAt"] = {"S": ago(90)}
    aws_calls.expects("dynamodb", "update_item", answer)
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    acknowledge.handler(BY_HAND, context)
    found = metrics_in(capsys.readouterr().out)
    assert found.keys() == {"Acknowledgments", "TimeToAcknowledge"}
    taken, unit = found["TimeToAcknowledge"]
    assert 90_000 <= taken < 95_000
    assert unit == "Milliseconds"


def test_every_line_about_a_job_names_its_execution_and_action_type(aws_calls, context, log):
    answer = noted(0)
    named = {
        "action_type": ("actionType", "Build/Custom/MyTool/1"),
        "execution_arn": ("execution", "arn:of:the:execution"),
        "pipeline_name": ("pipelineName", "my-pipeline"),
    }
    answer["Attributes"] |= {column: {"S": value} for column, value in named.values()}
    aws_calls.expects("dynamodb", "update_item", answer)
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    acknowledge.handler(BY_HAND, context)
    (line,) = map(json.loads, log.getvalue().splitlines())
    known = {"job_id": BY_HAND["jobId"]} | {key: value for key, (_, value) in named.items()}
    assert line | known == line


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        ("InProgress", {"Acknowledgments": 1}),
        ("Queued", {"OffersLost": 1}),
        ("Succeeded", {"OffersLost": 1}),
        ("InvalidNonceException", {"OffersLost": 1, "AcknowledgmentsRefused": 0}),
        ("ValidationException", {"OffersLost": 0, "AcknowledgmentsRefused": 1}),
    ],
)
def test_what_becomes_of_an_offer_is_counted(answer, counted, aws_calls, context, capsys):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    if answer.endswith("Exception"):
        aws_calls.expects_error("codepipeline", "acknowledge_job", answer)
        aws_calls.expects("dynamodb", "update_item", noted(0))
        aws_calls.expects("stepfunctions", "send_task_failure", {})
    else:
        aws_calls.expects("codepipeline", "acknowledge_job", {"status": answer})
        aws_calls.expects("stepfunctions", "send_task_success", {})
    acknowledge.handler(DISPATCHED, context)
    found = metrics_in(capsys.readouterr().out)
    assert found == {name: (number, "Count") for name, number in counted.items()}


def test_a_job_polled_by_hand_has_no_row_and_is_acknowledged(aws_calls, context):
    aws_calls.expects_error("dynamodb", "update_item", "ConditionalCheckFailedException")
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    assert acknowledge.handler(BY_HAND, context) == IN_PROGRESS


def test_a_job_that_was_given_back_is_acknowledged_for_nobody(aws_calls, context):
    """Such an event comes late. Nobody would work the job; so it is offered again."""
    aws_calls.expects_error("dynamodb", "update_item", "ConditionalCheckFailedException")
    told = []
    aws_calls.service("stepfunctions").client.meta.events.register(
        "before-parameter-build.stepfunctions.*", lambda params, **_: told.append(params)
    )
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    answered = acknowledge.handler(DISPATCHED, context)
    assert answered["error"] == "TaskTokenGone"
    assert told == [{"taskToken": TOKEN, **answered}]


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut"])
def test_a_job_that_was_given_back_by_an_execution_that_waits_no_more_is_nobodys_affair(
    code, aws_calls, context
):
    aws_calls.expects_error("dynamodb", "update_item", "ConditionalCheckFailedException")
    aws_calls.expects_error("stepfunctions", "send_task_failure", code)
    aws_calls.expects("dynamodb", "get_item", {})
    assert acknowledge.handler(DISPATCHED, context)["error"] == "TaskTokenGone"


def test_a_token_that_never_was_one_is_an_error(aws_calls, context):
    aws_calls.expects_error("dynamodb", "update_item", "ConditionalCheckFailedException")
    aws_calls.expects_error("stepfunctions", "send_task_failure", "InvalidToken")
    aws_calls.expects("dynamodb", "get_item", {})
    with pytest.raises(errors.TaskTokenGone, match="taskToken"):
        acknowledge.handler(DISPATCHED, context)


def test_a_wrong_nonce_at_the_first_call_is_a_lost_offer(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(0))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


def test_a_wrong_nonce_at_a_later_call_means_that_an_earlier_one_got_through(
    aws_calls, context, capsys
):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    for _ in acknowledgment.TAKEN_BACK_AFTER_SECONDS:
        aws_calls.expects("dynamodb", "get_item", row(1))
    assert acknowledge.handler(BY_HAND, context) == IN_PROGRESS
    assert metrics_in(capsys.readouterr().out) == {"AcknowledgmentsAssumed": (1, "Count")}


def test_a_wrong_nonce_while_another_call_is_under_way_waits_for_what_that_is_told(
    aws_calls, context
):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("dynamodb", "get_item", row(1))
    aws_calls.expects("dynamodb", "get_item", row(0))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


def test_a_wrong_nonce_of_a_job_that_has_gone_on_waits_for_nobody(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("dynamodb", "get_item", row(1, "InProgress"))
    assert acknowledge.handler(BY_HAND, context) == IN_PROGRESS


@pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched"])
def test_a_job_that_was_offered_again_meanwhile_has_not_gone_on(status, aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("dynamodb", "get_item", row(1, status))
    aws_calls.expects("dynamodb", "get_item", row(0, status))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


@pytest.mark.parametrize("others", [0, 1])
def test_a_call_that_could_not_be_taken_back_is_as_lost_as_it_was(others, aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(others))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects_error("dynamodb", "update_item", "InternalServerError", "Why.", 500)
    if others:
        aws_calls.expects("dynamodb", "get_item", row(0))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


@pytest.mark.parametrize(
    ("code", "status", "name", "taken_back"),
    [
        ("JobNotFoundException", 400, "JobNotFoundException", True),
        ("ValidationException", 400, "ValidationException", True),
        ("AccessDeniedException", 400, "CodePipelineRefused", True),
        ("ThrottlingException", 400, "CodePipelineThrottled", True),
        ("InternalFailure", 500, "CodePipelineUnavailable", False),
    ],
)
def test_what_codepipeline_says_no_with_is_told_by_name_and_stays_noted_if_it_may_have_worked(
    code, status, name, taken_back, aws_calls, context
):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", code, "Why.", status)
    if taken_back:
        aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    told = acknowledge.handler(DISPATCHED, context)
    assert told["error"] == name
    assert "Why." in told["cause"]


def test_a_call_that_could_not_be_noted_is_not_made(aws_calls, context):
    aws_calls.expects_error("dynamodb", "update_item", "InternalServerError", "Why.", 500)
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(DISPATCHED, context)["error"] == "TableUnavailable"


def test_without_a_task_token_the_apis_own_error_is_raised(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "JobNotFoundException", "Gone.")
    aws_calls.expects("dynamodb", "update_item", noted(0))
    with pytest.raises(errors.JobNotFoundException, match="Gone"):
        acknowledge.handler(BY_HAND, context)


@pytest.mark.parametrize("code", ["InvalidToken", "TaskDoesNotExist", "TaskTimedOut"])
def test_a_task_token_that_has_gone_is_an_error_that_names_it(code, aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    aws_calls.expects_error("stepfunctions", "send_task_success", code)
    aws_calls.expects("dynamodb", "get_item", {"Item": {"status": {"S": "Dispatched"}}})
    with pytest.raises(errors.TaskTokenGone, match="taskToken"):
        acknowledge.handler(DISPATCHED, context)


def test_an_event_delivered_twice_is_answered_once_and_is_no_error(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("dynamodb", "get_item", row(1, "InProgress"))
    aws_calls.expects_error("stepfunctions", "send_task_success", "TaskTimedOut")
    aws_calls.expects("dynamodb", "get_item", row(1, "InProgress"))
    assert acknowledge.handler(DISPATCHED, context) == IN_PROGRESS


@pytest.mark.parametrize(
    ("event", "error", "fields"),
    [
        ("bad/acknowledge-job-id", errors.ValidationException, ["'jobId'", "regular expression"]),
        ("bad/acknowledge-nonce-missing", errors.ValidationException, ["'nonce'", "not be null"]),
        (
            "bad/acknowledge-several-fields",
            errors.ValidationException,
            ["3 validation errors", "'jobId'", "'nonce'", "'nonse'"],
        ),
        ("bad/acknowledge-task-token", errors.EventInvalid, ["taskToken", "2048"]),
        ("intake-schedule", errors.EventInvalid, ["detail-type must be 'Job Dispatched'"]),
    ],
)
def test_bad_input_is_refused_naming_every_field_before_any_call(
    event, error, fields, aws_calls, context
):
    with pytest.raises(error) as refused:
        acknowledge.handler(load_event(event), context)
    assert all(field in str(refused.value) for field in fields)


@pytest.mark.parametrize("event", [None, [], "x", {"detail-type": "Job Dispatched", "detail": []}])
def test_what_is_no_event_is_refused(event, aws_calls, context):
    with pytest.raises(errors.EventInvalid):
        acknowledge.handler(event, context)


def test_bad_input_with_a_task_token_is_told_to_the_execution(aws_calls, context):
    event = {**DISPATCHED, "detail": {"jobId": "x", "nonce": "3", "taskToken": TOKEN}}
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(event, context)["error"] == "ValidationException"
