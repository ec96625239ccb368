from __future__ import annotations

import pytest

from acknowledger import outcome
from acknowledger.errors import EventInvalid, ValidationException
from tests.support import load_event


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
    ],
)
def test_a_workers_output_becomes_the_request(result, request_):
    assert outcome.success_request({"jobId": "j"}, result) == request_


@pytest.mark.parametrize("result", ["done", 1, [], True, {"jobId": "other"}])
def test_a_workers_output_that_is_no_result_is_refused(result):
    with pytest.raises(ValidationException, match="the worker's output must"):
        outcome.success_request({"jobId": "j"}, result)
