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
CLAIM = {name: DISPATCHED["detail"][name] for name in ("execution", "dispatchedAt", "offer")}
JOB_ID = BY_HAND["jobId"]
IN_PROGRESS = {"status": "InProgress"}


@pytest.fixture
def job(tables):
    """Puts the job's row, which Acknowledge takes over."""

    def put(**row):
        tables.put_job(JOB_ID, **{"execution": CLAIM["execution"], "status": "Created"} | row)

    return put


def expect_told(calls, told):
    operation = "send_task_failure" if "error" in told else "send_task_success"
    answer = told if "error" in told else {"output": json.dumps(told)}
    calls.expects("stepfunctions", operation, {}, {"taskToken": TOKEN, **answer})


def row(others, status="Dispatched"):
    return {"Item": {**noted(others)["Attributes"], "status": {"S": status}}}


@pytest.mark.parametrize(
    "event", ["acknowledge-by-hand", "acknowledge-job-dispatched-without-task-token"]
)
def test_an_offered_job_is_acknowledged_and_its_status_returned(event, aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS, BY_HAND)
    assert acknowledge.handler(load_event(event), context) == IN_PROGRESS


def test_the_status_is_sent_to_the_waiting_execution(job, tables, other_calls, context):
    job()
    other_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS, BY_HAND)
    expect_told(other_calls, IN_PROGRESS)
    assert acknowledge.handler(DISPATCHED, context) == IN_PROGRESS
    assert tables.job(JOB_ID)["status"] == "InProgress"


@pytest.mark.parametrize(
    ("row", "offer", "told"),
    [
        (
            {"execution": "arn:of:another", "status": "Failed"},
            {},
            {
                "error": "AlreadyEnded",
                "cause": "The job has ended as Failed in arn:of:another",
            },
        ),
        (
            {"status": "InProgress"},
            {"configurationError": "JobTimeoutSeconds must be less"},
            {"error": "ConfigurationError", "cause": "JobTimeoutSeconds must be less"},
        ),
        (
            {"over": {"error": "EndedElsewhere", "cause": "ABANDONED"}},
            {},
            {"error": "EndedElsewhere", "cause": "ABANDONED"},
        ),
    ],
)
def test_any_other_result_is_sent_to_the_execution_as_a_named_error(
    row, offer, told, job, other_calls, context
):
    job(**row)
    detail = DISPATCHED["detail"] | {"offer": CLAIM["offer"] | offer}
    expect_told(other_calls, told)
    assert acknowledge.handler({**DISPATCHED, "detail": detail}, context) == told


def test_the_time_from_offer_to_acknowledgment_is_measured(aws_calls, context, capsys):
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
        "action_type": ("actionType", "Custom/Build/MyTool/1"),
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
        ("InProgress", {"Acknowledgments": 1, "TimeToAcknowledge": 0}),
        ("Queued", {"OffersLost": 1, "AcknowledgmentsRefused": 0}),
        ("Succeeded", {"OffersLost": 0, "AcknowledgmentsRefused": 0}),
        ("InvalidNonceException", {"OffersLost": 1, "AcknowledgmentsRefused": 0}),
        ("ValidationException", {"OffersLost": 0, "AcknowledgmentsRefused": 1}),
    ],
)
def test_the_result_of_an_offer_is_counted(answer, counted, job, other_calls, context, capsys):
    job()
    if answer.endswith("Exception"):
        other_calls.expects_error("codepipeline", "acknowledge_job", answer)
    else:
        other_calls.expects("codepipeline", "acknowledge_job", {"status": answer})
    ours = answer == "InProgress"
    other_calls.expects("stepfunctions", f"send_task_{'success' if ours else 'failure'}", {})
    acknowledge.handler(DISPATCHED, context)
    found = {name: number for name, (number, _) in metrics_in(capsys.readouterr().out).items()}
    assert found == counted | {name: found[name] for name in found if name.startswith("Time")}
    assert found.keys() == counted.keys()


def test_a_job_polled_by_hand_has_no_row_and_is_acknowledged(aws_calls, context):
    aws_calls.expects_error("dynamodb", "update_item", "ConditionalCheckFailedException")
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    assert acknowledge.handler(BY_HAND, context) == IN_PROGRESS


def test_a_late_event_of_a_job_that_was_given_back_acknowledges_nothing(
    tables, other_calls, context
):
    """No execution would work on the job. Unacknowledged, it is offered again."""
    other_calls.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(DISPATCHED, context)["error"] == "ClaimTakenOver"


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut"])
@pytest.mark.parametrize("status", ["Created", "InProgress"])
def test_the_sweep_checks_the_job_of_an_execution_that_no_longer_waits(
    code, status, job, tables, other_calls, context
):
    """Most likely it got the answer before. If it is over, nothing else would end its job."""
    job(status=status)
    if status == "Created":
        other_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    other_calls.expects_error("stepfunctions", "send_task_success", code)
    assert acknowledge.handler(DISPATCHED, context) == IN_PROGRESS
    assert tables.job(JOB_ID)["dueAt"] <= ago(0)


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut"])
def test_a_job_given_back_by_an_execution_that_no_longer_waits_is_left_alone(
    code, tables, other_calls, context
):
    other_calls.expects_error("stepfunctions", "send_task_failure", code)
    assert acknowledge.handler(DISPATCHED, context)["error"] == "ClaimTakenOver"


def test_an_invalid_task_token_is_an_error(tables, other_calls, context):
    other_calls.expects_error("stepfunctions", "send_task_failure", "InvalidToken")
    with pytest.raises(errors.TaskTokenGone, match="taskToken"):
        acknowledge.handler(DISPATCHED, context)


def test_an_invalid_nonce_at_the_first_call_means_that_the_offer_is_lost(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(0))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


def test_an_invalid_nonce_at_a_later_call_means_that_an_earlier_call_succeeded(
    aws_calls, context, capsys
):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    for _ in acknowledgment.TAKEN_BACK_AFTER_SECONDS:
        aws_calls.expects("dynamodb", "get_item", row(1))
    assert acknowledge.handler(BY_HAND, context) == IN_PROGRESS
    assert metrics_in(capsys.readouterr().out) == {"AcknowledgmentsAssumed": (1, "Count")}


def test_an_invalid_nonce_waits_for_the_answer_to_another_call_that_is_under_way(
    aws_calls, context
):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("dynamodb", "get_item", row(1))
    aws_calls.expects("dynamodb", "get_item", row(0))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


def test_an_invalid_nonce_for_a_job_in_progress_waits_for_no_other_call(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("dynamodb", "get_item", row(1, "InProgress"))
    assert acknowledge.handler(BY_HAND, context) == IN_PROGRESS


@pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched"])
def test_an_invalid_nonce_for_a_job_that_was_offered_again_waits_for_the_other_call(
    status, aws_calls, context
):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("dynamodb", "get_item", row(1, status))
    aws_calls.expects("dynamodb", "get_item", row(0, status))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


@pytest.mark.parametrize("others", [0, 1])
def test_an_offer_is_lost_even_if_the_note_of_its_call_cannot_be_removed(
    others, aws_calls, context
):
    aws_calls.expects("dynamodb", "update_item", noted(others))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects_error("dynamodb", "update_item", "InternalServerError", "Why.", 500)
    if others:
        aws_calls.expects("dynamodb", "get_item", row(0))
    with pytest.raises(errors.InvalidNonceException):
        acknowledge.handler(BY_HAND, context)


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("JobNotFoundException", 400, "JobNotFoundException"),
        ("ValidationException", 400, "ValidationException"),
        ("AccessDeniedException", 400, "CodePipelineRefused"),
        ("ThrottlingException", 400, "CodePipelineThrottled"),
        ("InternalFailure", 500, "CodePipelineUnavailable"),
    ],
)
def test_an_error_of_codepipeline_is_reported_by_name(
    code, status, name, job, other_calls, context
):
    job()
    other_calls.expects_error("codepipeline", "acknowledge_job", code, "Why.", status)
    other_calls.expects("stepfunctions", "send_task_failure", {})
    told = acknowledge.handler(DISPATCHED, context)
    assert told["error"] == name
    assert "Why." in told["cause"]


def test_a_call_that_cannot_be_noted_is_not_made(aws_calls, context):
    aws_calls.expects_error("dynamodb", "update_item", "InternalServerError", "Why.", 500)
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(DISPATCHED, context)["error"] == "TableUnavailable"


def test_without_a_task_token_the_error_of_the_api_is_raised(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "JobNotFoundException", "Gone.")
    aws_calls.expects("dynamodb", "update_item", noted(0))
    with pytest.raises(errors.JobNotFoundException, match="Gone"):
        acknowledge.handler(BY_HAND, context)


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
        ("bad/acknowledge-task-token", errors.EventInvalid, ["taskToken"]),
        ("bad/acknowledge-claim", errors.EventInvalid, ["offer.job must", "offer.timeouts"]),
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
def test_an_invalid_event_is_refused(event, aws_calls, context):
    with pytest.raises(errors.EventInvalid):
        acknowledge.handler(event, context)


def test_bad_input_with_a_task_token_fails_the_execution(aws_calls, context):
    detail = {"jobId": "x", "nonce": "3", "taskToken": TOKEN, **CLAIM}
    event = {**DISPATCHED, "detail": detail}
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(event, context)["error"] == "ValidationException"
