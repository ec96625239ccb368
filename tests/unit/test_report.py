from __future__ import annotations

import json

import pytest

import report
from acknowledger import errors
from acknowledger.job_table import typed
from acknowledger.moments import ago
from tests.support import load_event
from tests.unit.conftest import metrics_in, noted

SUCCEEDED = load_event("report-succeeded")
FAILED = load_event("report-failed")
TIMED_OUT = load_event("report-timed-out")
NOT_ACKNOWLEDGED = load_event("report-timed-out-not-acknowledged")
JOB = {"jobId": SUCCEEDED["jobId"]}


def expect_row(aws_calls, **row):
    """Report looks which job is the newest of the work; a row without any means the job itself."""
    aws_calls.expects("dynamodb", "get_item", {"Item": typed({"jobId": JOB["jobId"], **row})})


def test_a_success_is_reported_with_the_workers_result(aws_calls, context):
    expect_row(aws_calls)
    aws_calls.expects("codepipeline", "put_job_success_result", {}, {**JOB, **SUCCEEDED["result"]})
    assert report.handler(SUCCEEDED, context) == {"status": "Succeeded"}


def test_a_failure_is_reported_with_the_workers_words(aws_calls, context):
    details = {"type": FAILED["error"], "message": FAILED["cause"]}
    expect_row(aws_calls)
    aws_calls.expects(
        "codepipeline", "put_job_failure_result", {}, {**JOB, "failureDetails": details}
    )
    told = {"status": "Failed", "error": FAILED["error"], "cause": FAILED["cause"]}
    assert report.handler(FAILED, context) == told


def test_a_timeout_is_reported_as_a_failure_that_names_the_limit(aws_calls, context):
    expect_row(aws_calls)
    aws_calls.expects("codepipeline", "put_job_failure_result", {})
    told = report.handler(TIMED_OUT, context)
    assert told["status"] == "TimedOut"
    assert "900 seconds (HeartbeatTimeoutSeconds)" in told["cause"]


def test_how_long_a_job_took_and_was_in_each_status_is_measured(aws_calls, context, capsys):
    reached = {"Created": 100, "Queued": 95, "Dispatched": 65, "InProgress": 60}
    times = {status: ago(seconds) for status, seconds in reached.items()}
    # As of a report that is repeated after it was recorded.
    expect_row(aws_calls, times={**times, "Succeeded": ago(1)})
    aws_calls.expects("codepipeline", "put_job_success_result", {})
    report.handler(SUCCEEDED, context)
    found = metrics_in(capsys.readouterr().out)
    assert found.pop("JobsSucceeded") == (1, "Count")
    assert {unit for _, unit in found.values()} == {"Seconds"}
    seconds = {name: value for name, (value, _) in found.items()}
    expected = {"Created": 5, "Queued": 30, "Dispatched": 5, "InProgress": 60}
    assert seconds == pytest.approx(
        {f"TimeIn{status}": value for status, value in expected.items()} | {"JobDuration": 100},
        abs=2,
    )


def test_a_result_that_is_refused_is_counted_and_logged_with_its_job(
    aws_calls, context, capsys, log
):
    expect_row(aws_calls, actionType="Build/Custom/MyTool/1")
    aws_calls.expects_error("codepipeline", "put_job_success_result", "JobNotFoundException")
    with pytest.raises(errors.JobNotFoundException):
        report.handler(SUCCEEDED, context)
    assert metrics_in(capsys.readouterr().out) == {"ReportsRefused": (1, "Count")}
    (line,) = map(json.loads, log.getvalue().splitlines())
    assert (line["job_id"], line["action_type"]) == (JOB["jobId"], "Build/Custom/MyTool/1")
    assert (line["level"], line["error"]) == ("WARNING", "JobNotFoundException")


@pytest.mark.parametrize("event", [SUCCEEDED, FAILED, TIMED_OUT])
def test_asked_again_it_says_the_same_byte_for_byte(event, aws_calls, context):
    sent: list[bytes] = []
    aws_calls.service("codepipeline").client.meta.events.register_first(
        "before-call.*.*", lambda params, **_: sent.append(params["body"])
    )
    operation = "put_job_success_result" if event is SUCCEEDED else "put_job_failure_result"
    for _ in range(2):
        expect_row(aws_calls)
        aws_calls.expects("codepipeline", operation, {})
        report.handler(event, context)
    assert sent[0] == sent[1]


def test_a_job_that_may_not_be_ours_is_acknowledged_before_it_is_failed(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects(
        "codepipeline", "acknowledge_job", {"status": "InProgress"}, {**JOB, "nonce": "3"}
    )
    expect_row(aws_calls)
    aws_calls.expects("codepipeline", "put_job_failure_result", {})
    assert report.handler(NOT_ACKNOWLEDGED, context)["status"] == "TimedOut"


def test_a_job_that_another_worker_holds_is_not_touched(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects_error("codepipeline", "acknowledge_job", "InvalidNonceException")
    aws_calls.expects("dynamodb", "update_item", noted(0))
    with pytest.raises(errors.InvalidNonceException):
        report.handler(NOT_ACKNOWLEDGED, context)


def test_a_job_that_has_ended_elsewhere_is_not_touched(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(0))
    aws_calls.expects("codepipeline", "acknowledge_job", {"status": "Succeeded"})
    with pytest.raises(errors.OfferLost, match="Succeeded"):
        report.handler(NOT_ACKNOWLEDGED, context)


def test_asked_again_after_its_own_answer_was_lost_it_reports_again(aws_calls, context):
    aws_calls.expects("dynamodb", "update_item", noted(1))
    aws_calls.expects("codepipeline", "acknowledge_job", {"status": "Failed"})
    expect_row(aws_calls)
    aws_calls.expects("codepipeline", "put_job_failure_result", {})
    assert report.handler(NOT_ACKNOWLEDGED, context)["status"] == "TimedOut"


@pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
@pytest.mark.parametrize("event", [SUCCEEDED, FAILED, TIMED_OUT])
def test_what_codepipeline_refuses_is_raised_by_its_name(code, event, aws_calls, context):
    operation = "put_job_success_result" if event is SUCCEEDED else "put_job_failure_result"
    expect_row(aws_calls)
    aws_calls.expects_error("codepipeline", operation, code)
    if code == "InvalidJobStateException":
        # It may have been ended by ourselves, to show progress.
        expect_row(aws_calls)
    with pytest.raises(getattr(errors, code)):
        report.handler(event, context)


def test_a_result_that_breaks_a_limit_is_refused_naming_every_member(aws_calls, context):
    expect_row(aws_calls)
    with pytest.raises(errors.ValidationException) as refused:
        report.handler(load_event("bad/report-result"), context)
    told = str(refused.value)
    assert "4 validation errors" in told
    for member in ("percentComplete", "summary", "outputVariables.not a key", "output_variables"):
        assert member in told


def test_an_event_that_is_not_the_state_machines_is_refused(aws_calls, context):
    with pytest.raises(errors.EventInvalid, match="status"):
        report.handler(load_event("bad/report-status"), context)


@pytest.mark.parametrize(
    "event", [load_event("intake-schedule"), {"detail-type": "Job In Progress", "detail": {}}]
)
def test_an_event_of_the_bus_that_tells_of_no_progress_is_refused(event, aws_calls, context):
    with pytest.raises(errors.EventInvalid, match="detail-type must be 'Job Progress'"):
        report.handler(event, context)


def test_a_result_goes_to_the_newest_job_of_the_work(aws_calls, context):
    newest = "11111111-2222-3333-4444-555555555555"
    expect_row(aws_calls, currentJobId=newest)
    request = {"jobId": newest, **SUCCEEDED["result"]}
    aws_calls.expects("codepipeline", "put_job_success_result", {}, request)
    assert report.handler(SUCCEEDED, context) == {"status": "Succeeded"}


def test_where_the_newest_job_is_cannot_be_read_nothing_is_reported(aws_calls, context):
    aws_calls.expects_error("dynamodb", "get_item", "InternalServerError", "Later.", 500)
    with pytest.raises(errors.TableUnavailable, match="Later"):
        report.handler(SUCCEEDED, context)


def test_why_a_result_was_refused_cannot_be_read_is_worth_another_try(aws_calls, context):
    expect_row(aws_calls)
    aws_calls.expects_error("codepipeline", "put_job_success_result", "InvalidJobStateException")
    aws_calls.expects_error("dynamodb", "get_item", "InternalServerError", "Later.", 500)
    with pytest.raises(errors.TableUnavailable, match="Later"):
        report.handler(SUCCEEDED, context)
