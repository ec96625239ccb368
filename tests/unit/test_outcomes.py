from __future__ import annotations

import pytest

from acknowledger import outcome
from acknowledger.continuation import PREFIX
from acknowledger.errors import EventInvalid, ValidationException
from tests.support import load_event

TIME = "2026-09-28T17:35:37Z"


@pytest.mark.parametrize(
    "event",
    [
        "report-succeeded",
        "report-failed",
        "report-timed-out",
        "report-timed-out-not-acknowledged",
    ],
)
def test_what_the_state_machine_sends_is_taken(event):
    assert outcome.parse(load_event(event)) == load_event(event)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (None, "JSON object"),
        (load_event("bad/report-status"), "status must be one of: Succeeded, Failed, TimedOut"),
        ({"status": "Succeeded", "result": {}}, "jobId must be a string"),
        ({"jobId": "j", "status": "Succeeded"}, "result must be there"),
        ({"jobId": "j", "status": "Failed", "error": "e"}, "cause must be a string"),
        ({"jobId": "j", "status": "TimedOut", "limit": "Patience", "seconds": 1}, "limit must be"),
        ({"jobId": "j", "status": "TimedOut", "limit": "JobTimeoutSeconds"}, "seconds must be"),
        (
            {"jobId": "j", "status": "TimedOut", "limit": "JobTimeoutSeconds", "seconds": True},
            "seconds must be",
        ),
        (
            {"jobId": "j", "status": "TimedOut", "limit": "x", "seconds": 1, "nonce": 3},
            "nonce must be a string",
        ),
    ],
)
def test_anything_else_is_refused_naming_the_field(event, field):
    with pytest.raises(EventInvalid, match=field):
        outcome.parse(event)


def test_every_wrong_field_is_named():
    with pytest.raises(EventInvalid, match=r"jobId.*cause"):
        outcome.parse({"jobId": 1, "status": "Failed", "error": "e", "cause": None})


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        ("JobFailed", "no", ("JobFailed", "no")),
        ("PermissionError", "no", ("PermissionError", "no")),
        ("ConfigurationError", "", ("ConfigurationError", "The worker gave no reason")),
        ("ValueError", "no", ("JobFailed", "ValueError: no")),
        ("", "no", ("JobFailed", "no")),
        ("ValueError", "", ("JobFailed", "ValueError")),
        ("", "", ("JobFailed", "The worker gave no reason")),
        ("EventBridge.FailedEntry", "x", ("SystemUnavailable", "EventBridge.FailedEntry: x")),
        ("States.Runtime", "x", ("SystemUnavailable", "States.Runtime: x")),
    ],
)
def test_a_failure_becomes_one_of_codepipelines_types(error, cause, expected):
    event = {"jobId": "j", "status": "Failed", "error": error, "cause": cause}
    details = outcome.failure_details(event)
    assert (details["type"], details["message"]) == expected


@pytest.mark.parametrize("error", ["JobFailed", "ValueError"])
def test_a_long_reason_is_cut_to_what_codepipeline_takes(error):
    event = {"jobId": "j", "status": "Failed", "error": error, "cause": "x" * 6000}
    message = outcome.failure_details(event)["message"]
    assert len(message) == 5000
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("limit", "kind", "words"),
    [
        ("AcknowledgeTimeoutSeconds", "SystemUnavailable", "not acknowledged within 7 seconds"),
        ("HeartbeatTimeoutSeconds", "JobFailed", "no sign of life for 7 seconds"),
        ("JobTimeoutSeconds", "JobFailed", "not done within 7 seconds"),
    ],
)
def test_a_timeout_says_which_limit_passed(limit, kind, words):
    event = {"jobId": "j", "status": "TimedOut", "limit": limit, "seconds": 7}
    details = outcome.failure_details(event)
    assert details["type"] == kind
    assert words in details["message"]
    assert limit in details["message"]


@pytest.mark.parametrize(
    ("result", "request_"),
    [
        (None, {"jobId": "j"}),
        ({}, {"jobId": "j"}),
        ({"continuationToken": "t"}, {"jobId": "j", "continuationToken": "t"}),
        # To the API a null is not there.
        ({"continuationToken": None}, {"jobId": "j"}),
        (
            {
                "executionDetails": {"summary": None, "percentComplete": 0},
                "currentRevision": None,
                "outputVariables": {"A": "", "B": None},
            },
            {
                "jobId": "j",
                "executionDetails": {"percentComplete": 0},
                "outputVariables": {"A": ""},
            },
        ),
        ({"executionDetails": {"summary": None}}, {"jobId": "j", "executionDetails": {}}),
        ({"clientId": None, "jobId": None}, {"jobId": "j"}),
    ],
)
def test_a_workers_output_becomes_the_request(result, request_):
    assert outcome.success_request({"jobId": "j"}, result) == request_


@pytest.mark.parametrize("result", ["done", 1, [], True, {"jobId": "other"}])
def test_a_workers_output_that_is_no_result_is_refused(result):
    with pytest.raises(ValidationException, match="the worker's output must"):
        outcome.success_request({"jobId": "j"}, result)


@pytest.mark.parametrize("given", [PREFIX, f"{PREFIX}Job:j"])
def test_a_workers_continuation_token_must_not_look_like_ours(given):
    with pytest.raises(ValidationException, match=f"must not begin with '{PREFIX}'"):
        outcome.success_request({"jobId": "j"}, {"continuationToken": given})


@pytest.mark.parametrize("given", ["t", f"my-{PREFIX}", 7])
def test_any_other_continuation_token_is_left_to_codepipelines_own_limits(given):
    request = outcome.success_request({"jobId": "j"}, {"continuationToken": given})
    assert request["continuationToken"] == given


def test_progress_is_what_a_worker_tells_of_its_job():
    event = load_event("report-job-progress")
    told = {name: value for name, value in event["detail"].items() if name != "jobId"}
    assert outcome.parse_progress(event) == (event["detail"]["jobId"], told, event["time"])


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ({}, {}),
        ({"percentComplete": 0}, {"percentComplete": 0}),
        ({"summary": None}, {}),
        # The sweep's: None is to continue the job, news or not.
        ({"keepAlive": True}, None),
        ({"keepAlive": True, "summary": None, "phase": "link"}, None),
        ({"keepAlive": True, "summary": "s"}, {"summary": "s"}),
        *(({"keepAlive": other}, {}) for other in (False, None, 1, "true", [True])),
        ({"summary": None, "percentComplete": 0}, {"percentComplete": 0}),
        (
            {"taskToken": "t", "phase": "link", "externalExecutionId": "e"},
            {"externalExecutionId": "e"},
        ),
    ],
)
def test_of_an_event_with_progress_only_progress_is_taken(detail, told):
    event = {"detail-type": "Job Progress", "time": TIME, "detail": {"jobId": "j", **detail}}
    assert outcome.parse_progress(event) == ("j", told, TIME)


@pytest.mark.parametrize("time", [TIME, "2026-09-28T17:35:37.001Z", "2026-09-28T17:35:37.123456Z"])
def test_an_event_says_since_when(time):
    event = {**load_event("report-job-progress"), "time": time}
    assert outcome.parse_progress(event)[2] == time


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"detail-type": "Job In Progress"}, "detail-type must be 'Job Progress'"),
        ({"detail": None}, "detail must be an object"),
        ({"detail": "x"}, "detail must be an object"),
        ({"detail": {}}, "detail.jobId must be a string of 1 to 512"),
        ({"detail": {"jobId": ""}}, "detail.jobId"),
        ({"detail": {"jobId": "x" * 513}}, "detail.jobId"),
        ({"detail": load_event("bad/report-job-progress-job-id")["detail"]}, "detail.jobId"),
        ({"time": None}, "time must be a moment"),
        ({"time": 1790616937}, "time must be"),
        ({"time": ""}, "time must be"),
        ({"time": "soon"}, "time must be"),
        ({"time": "2026-09-28"}, "time must be"),
        ({"time": "2026-09-28T17:35:37+02:00"}, "time must be"),
        ({"time": "2026-09-28T17:35:37Z\n"}, "time must be"),
    ],
)
def test_an_event_without_progress_is_refused_naming_the_field(change, field):
    with pytest.raises(EventInvalid, match=field):
        outcome.parse_progress({**load_event("report-job-progress"), **change})


def test_progress_without_a_time_is_refused():
    event = {"detail-type": "Job Progress", "detail": {"jobId": "j"}}
    with pytest.raises(EventInvalid, match="time must be a moment"):
        outcome.parse_progress(event)
