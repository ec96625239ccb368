import json

import pytest

import acknowledge
from acknowledger import errors
from acknowledger.moments import ago, now
from tests.support import load_event
from tests.unit.conftest import Context, metrics_in, noted

BY_HAND = load_event("acknowledge-by-hand")
DISPATCHED = load_event("acknowledge-job-dispatched")
TOKEN = DISPATCHED["detail"]["taskToken"]
CLAIM = {name: DISPATCHED["detail"][name] for name in ("execution", "dispatchedAt", "offer")}
JOB_ID = BY_HAND["jobId"]
IN_PROGRESS = {"status": "InProgress"}


@pytest.fixture
def job(cloud):
    """Puts the job's row, which Acknowledge takes over."""

    def put(**row):
        cloud.put_job(JOB_ID, **{"execution": CLAIM["execution"], "status": "Created"} | row)

    return put


def expect_told(calls, told):
    operation = "send_task_failure" if "error" in told else "send_task_success"
    answer = told if "error" in told else {"output": json.dumps(told)}
    calls.expects("stepfunctions", operation, {}, {"taskToken": TOKEN, **answer})


def row(others, status="Dispatched"):
    """The job's row, with so many other calls noted."""
    return {"Item": {**noted(others)["Attributes"], "status": {"S": status}}}


@pytest.mark.parametrize(
    "event", ["acknowledge-by-hand", "acknowledge-job-dispatched-without-task-token"]
)
def test_an_offered_job_is_acknowledged_and_its_status_returned(event, aws_calls):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS, BY_HAND)
    assert acknowledge.handler(load_event(event), Context()) == IN_PROGRESS


@pytest.mark.parametrize("more", [{}, {"priority": 1}], ids=["as sent", "with a later field"])
def test_the_status_is_sent_to_the_waiting_execution(more, job, cloud):
    job()
    cloud.expects("codepipeline", "acknowledge_job", IN_PROGRESS, BY_HAND)
    expect_told(cloud, IN_PROGRESS)
    event = {**DISPATCHED, "detail": DISPATCHED["detail"] | more}
    assert acknowledge.handler(event, Context()) == IN_PROGRESS
    assert cloud.job(JOB_ID)["status"] == "InProgress"


@pytest.mark.parametrize(
    ("row", "offer", "told"),
    [
        (
            {"execution": "arn:of:another", "status": "Failed"},
            {},
            {"error": "AlreadyEnded", "cause": "The job has ended as Failed in arn:of:another"},
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
def test_any_other_result_is_sent_to_the_execution_as_a_named_error(row, offer, told, job, cloud):
    job(**row)
    detail = DISPATCHED["detail"] | {"offer": CLAIM["offer"] | offer}
    expect_told(cloud, told)
    assert acknowledge.handler({**DISPATCHED, "detail": detail}, Context()) == told


def test_the_time_since_the_offer_is_measured_and_the_line_names_the_jobs_execution(
    aws_calls, log, capsys
):
    answer = noted(0)
    answer["Attributes"]["offeredAt"] = {"S": ago(90)}
    named = {
        "action_type": ("actionType", "Custom/Build/MyTool/1"),
        "execution_arn": ("execution", "arn:of:the:execution"),
        "pipeline_name": ("pipelineName", "my-pipeline"),
    }
    answer["Attributes"] |= {column: {"S": value} for column, value in named.values()}
    aws_calls.expects("dynamodb", "update_item", answer)
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    acknowledge.handler(BY_HAND, Context())
    (line,) = log.lines
    known = {"job_id": BY_HAND["jobId"]} | {key: value for key, (_, value) in named.items()}
    assert line | known == line
    found = metrics_in(capsys.readouterr().out)
    assert found.keys() == {"Acknowledgments", "TimeToAcknowledge"}
    taken, unit = found["TimeToAcknowledge"]
    assert 90_000 <= taken < 95_000
    assert unit == "Milliseconds"


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
def test_the_result_of_an_offer_is_counted(answer, counted, job, cloud, capsys):
    job()
    cloud.expects_acknowledgment(answer)
    ours = answer == "InProgress"
    cloud.expects("stepfunctions", f"send_task_{'success' if ours else 'failure'}", {})
    acknowledge.handler(DISPATCHED, Context())
    found = {name: number for name, (number, _) in metrics_in(capsys.readouterr().out).items()}
    assert found == counted | {name: found[name] for name in found if name.startswith("Time")}
    assert found.keys() == counted.keys()


def test_a_job_polled_by_hand_has_no_row_and_is_acknowledged(aws_calls):
    aws_calls.expects_error("dynamodb", "update_item", "ConditionalCheckFailedException")
    aws_calls.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    assert acknowledge.handler(BY_HAND, Context()) == IN_PROGRESS


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut"])
@pytest.mark.parametrize("status", ["Created", "InProgress"])
def test_the_sweep_checks_the_job_of_an_execution_that_no_longer_waits(code, status, job, cloud):
    """Most likely it got the answer before. If it is over, nothing else would end its job."""
    job(status=status)
    if status == "Created":
        cloud.expects("codepipeline", "acknowledge_job", IN_PROGRESS)
    cloud.expects_error("stepfunctions", "send_task_success", code)
    assert acknowledge.handler(DISPATCHED, Context()) == IN_PROGRESS
    assert cloud.job(JOB_ID)["dueAt"] <= now()


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut"])
def test_a_job_given_back_by_an_execution_that_no_longer_waits_is_left_alone(code, cloud):
    cloud.expects_error("stepfunctions", "send_task_failure", code)
    assert acknowledge.handler(DISPATCHED, Context())["error"] == "ClaimTakenOver"


def test_a_cause_is_no_longer_than_step_functions_takes(job, cloud):
    job()
    cloud.expects_error("codepipeline", "acknowledge_job", "ValidationException", "x" * 40_000)
    sent = {"taskToken": TOKEN, "error": "ValidationException", "cause": "x" * 32_768}
    cloud.expects("stepfunctions", "send_task_failure", {}, sent)
    acknowledge.handler(DISPATCHED, Context())


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("InvalidToken", errors.TaskTokenGone),
        ("KmsThrottlingException", errors.StepFunctionsUnavailable),
    ],
)
def test_an_answer_that_cannot_be_sent_is_an_error(code, error, cloud):
    cloud.expects_error("stepfunctions", "send_task_failure", code)
    with pytest.raises(error, match=code if "Kms" in code else "taskToken"):
        acknowledge.handler(DISPATCHED, Context())


NONCES = {
    "it is the first call": (0, 0, [], False),
    "an earlier call must have succeeded": (1, 1, [row(1), row(1)], True),
    "the job is in progress": (1, 1, [row(1, "InProgress")], True),
    "another call under way is refused as well": (0, 1, [row(1), row(0)], False),
    "the job was offered again": (1, 1, [row(1, "Created"), row(0, "Created")], False),
    "the offer waits for room": (1, 1, [row(1, "Queued"), row(0, "Queued")], False),
    "the note can't be removed": (0, None, [], False),
    "the note can't be removed, nor that of another call": (1, None, [row(0)], False),
}


@pytest.mark.parametrize(("before", "after", "looks", "assumed"), NONCES.values(), ids=NONCES)
def test_an_invalid_nonce_means_that_an_earlier_call_succeeded_or_that_the_offer_is_lost(
    before, after, looks, assumed, aws_calls, capsys
):
    """Given: the other calls noted before this one and after it, and the rows read later."""
    aws_calls.expects("dynamodb", "update_item", noted(before))
    aws_calls.expects_acknowledgment("InvalidNonceException")
    if after is None:
        aws_calls.expects_error("dynamodb", "update_item", "InternalServerError", "Why.", 500)
    else:
        aws_calls.expects("dynamodb", "update_item", noted(after))
    for found in looks:
        aws_calls.expects("dynamodb", "get_item", found)
    if assumed:
        assert acknowledge.handler(BY_HAND, Context()) == IN_PROGRESS
        assert metrics_in(capsys.readouterr().out) == {"AcknowledgmentsAssumed": (1, "Count")}
    else:
        with pytest.raises(errors.InvalidNonceException):
            acknowledge.handler(BY_HAND, Context())


def test_a_call_that_cannot_be_noted_is_not_made(aws_calls):
    aws_calls.expects_error("dynamodb", "update_item", "InternalServerError", "Why.", 500)
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(DISPATCHED, Context())["error"] == "TableUnavailable"


def test_without_a_task_token_the_error_of_the_api_is_raised(aws_calls):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "JobNotFoundException", "Gone.")
    aws_calls.expects("dynamodb", "update_item", noted(0))
    with pytest.raises(errors.JobNotFoundException, match="Gone"):
        acknowledge.handler(BY_HAND, Context())


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
        ("bad/acknowledge-claim", errors.EventInvalid, ["offer.job must", "offer.timeouts"]),
    ],
)
def test_bad_input_is_refused_naming_every_field_before_any_call(event, error, fields, aws_calls):
    with pytest.raises(error) as refused:
        acknowledge.handler(load_event(event), Context())
    assert all(field in str(refused.value) for field in fields)


@pytest.mark.parametrize("event", [None, [], "x", {"detail-type": "Job Dispatched", "detail": []}])
def test_an_invalid_event_is_refused(event, aws_calls):
    with pytest.raises(errors.EventInvalid):
        acknowledge.handler(event, Context())


def test_bad_input_with_a_task_token_fails_the_execution(aws_calls):
    detail = {"jobId": "x", "nonce": "3", "taskToken": TOKEN, **CLAIM}
    event = {**DISPATCHED, "detail": detail}
    aws_calls.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(event, Context())["error"] == "ValidationException"
