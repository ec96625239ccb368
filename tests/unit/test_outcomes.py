import json
from datetime import UTC, datetime

import pytest

from acknowledger import outcomes
from acknowledger.aws import operation_model
from acknowledger.errors import EventInvalid, ValidationException
from acknowledger.offers import PREFIX
from acknowledger_worker import Continuation, Revision, Success
from acknowledger_worker import outcome as worker_outcome
from tests.support import load_event

TIME = "2026-09-28T17:35:37Z"
LATE = "not acknowledged within 7 seconds (AcknowledgeTimeoutSeconds)"
SILENT = "no heartbeat for 8 seconds (HeartbeatTimeoutSeconds)"
UNFINISHED = "not finish within 9 seconds (JobTimeoutSeconds)"
EVENT = load_event("report-succeeded")
LIMITS = {"AcknowledgeTimeoutSeconds": 7, "HeartbeatTimeoutSeconds": 8, "JobTimeoutSeconds": 9}


def failed(error, cause, state="InProgress", milliseconds=1):
    words = {"Error": error, "Cause": cause}
    return {"state": state, "failure": words, "milliseconds": milliseconds}


@pytest.mark.parametrize(
    "name",
    [
        *("report-succeeded", "report-failed", "report-timed-out"),
        "report-timed-out-not-acknowledged",
    ],
)
def test_the_payloads_of_the_state_machine_are_accepted(name):
    event = load_event(name)
    assert outcomes.parse(event) == (event["execution"], event["offer"], event["outcome"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"execution": None}, "execution must not be null"),
        ({"offer": {}}, r"offer.job must not be null; .*offer.timeouts must not be null"),
        ({"offer": EVENT["offer"] | {"timeouts": {}}}, "offer.timeouts.JobTimeoutSeconds"),
        ({"outcome": []}, "outcome must be an object"),
        ({"outcome": {}}, "outcome must have a result"),
        ({"outcome": {"state": "Lost", "failure": {}}}, "WaitForRoom, Dispatched, InProgress"),
        ({"outcome": failed(1, "c")}, "outcome.failure.Error must be a string"),
        ({"outcome": failed("e", "c", milliseconds="1")}, "outcome.milliseconds"),
    ],
)
def test_anything_else_is_refused_naming_the_field(change, field):
    with pytest.raises(EventInvalid, match=field):
        outcomes.parse(EVENT | change)
    with pytest.raises(EventInvalid, match="JSON object"):
        outcomes.parse(None)


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        ("JobFailed", "no", ("JobFailed", "no")),
        ("PermissionError", "no", ("PermissionError", "no")),
        ("ConfigurationError", None, ("ConfigurationError", "The worker gave no reason")),
        ("ValueError", "no", ("JobFailed", "ValueError: no")),
        (None, "no", ("JobFailed", "no")),
        ("ValueError", "", ("JobFailed", "ValueError")),
        ("", "", ("JobFailed", "The worker gave no reason")),
        (None, None, ("JobFailed", "The worker gave no reason")),
        ("EventBridge.FailedEntry", "x", ("SystemUnavailable", "EventBridge.FailedEntry: x")),
        ("States.Runtime", "x", ("SystemUnavailable", "States.Runtime: x")),
        ("EndedElsewhere", "x", ("JobFailed", "EndedElsewhere: x")),
    ],
)
def test_a_failure_becomes_one_of_codepipelines_types(error, cause, expected):
    said = outcomes.failure(failed(error, cause), LIMITS)
    assert said["status"] == "Failed"
    assert (said["error"], said["cause"]) == expected


@pytest.mark.parametrize("error", ["JobFailed", "ValueError"])
def test_a_long_reason_is_cut_to_what_codepipeline_takes(error):
    message = outcomes.failure(failed(error, "x" * 6000), LIMITS)["cause"]
    assert len(message) == 5000
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("state", "error", "milliseconds", "kind", "words"),
    [
        ("Dispatched", "States.Timeout", 1, "SystemUnavailable", LATE),
        # The function that ends the job acknowledged it.
        ("Dispatched", "CodePipelineUnavailable", 1, "SystemUnavailable", LATE),
        ("InProgress", "States.Timeout", 8001, "JobFailed", SILENT),
        ("InProgress", "States.HeartbeatTimeout", 8999, "JobFailed", SILENT),
        ("InProgress", "States.Timeout", 9001, "JobFailed", UNFINISHED),
    ],
)
def test_a_timeout_names_the_limit_that_passed(state, error, milliseconds, kind, words):
    said = outcomes.failure(failed(error, None, state, milliseconds), LIMITS)
    assert (said["status"], said["error"]) == ("TimedOut", kind)
    assert words in said["cause"]


def test_of_a_heartbeat_limit_as_long_as_the_jobs_the_jobs_is_named():
    limits = LIMITS | {"JobTimeoutSeconds": 8}
    said = outcomes.failure(failed("States.Timeout", "", milliseconds=8001), limits)
    assert "not finish within 8 seconds (JobTimeoutSeconds)" in said["cause"]


def test_a_failure_from_acknowledge_keeps_its_error_and_cause():
    said = outcomes.failure(failed("ConfigurationError", "No.", "Dispatched"), LIMITS)
    assert said == {"status": "Failed", "error": "ConfigurationError", "cause": "No."}


@pytest.mark.parametrize(
    ("result", "request_"),
    [
        (None, {"jobId": "j"}),
        ({}, {"jobId": "j"}),
        ({"continuationToken": "t"}, {"jobId": "j", "continuationToken": "t"}),
        # Members that are null are left out.
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
    assert outcomes.success_request({"jobId": "j"}, {"result": result}) == request_


@pytest.mark.parametrize("result", ["done", 1, [], True, {"jobId": "other"}])
def test_an_invalid_worker_output_is_refused(result):
    with pytest.raises(ValidationException, match="the worker's output must"):
        outcomes.success_request({"jobId": "j"}, {"result": result})


def test_the_error_for_a_result_that_is_too_long_names_the_limit():
    with pytest.raises(ValidationException, match="over 250,000 bytes together"):
        outcomes.success_request({"jobId": "j"}, {"tooLong": True})


@pytest.mark.parametrize("given", [PREFIX, f"{PREFIX}Job:j"])
def test_a_workers_continuation_token_must_not_begin_with_our_prefix(given):
    with pytest.raises(ValidationException, match=f"must not begin with '{PREFIX}'"):
        outcomes.success_request({"jobId": "j"}, {"result": {"continuationToken": given}})


@pytest.mark.parametrize("given", ["t", f"my-{PREFIX}", 7])
def test_any_other_continuation_token_is_left_for_codepipeline_to_check(given):
    request = outcomes.success_request({"jobId": "j"}, {"result": {"continuationToken": given}})
    assert request["continuationToken"] == given


def test_the_details_of_a_progress_event_are_parsed():
    event = load_event("report-job-progress")
    told = {name: value for name, value in event["detail"].items() if name != "jobId"}
    assert outcomes.parse_progress(event) == (event["detail"]["jobId"], told, event["time"])


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ({}, {}),
        ({"percentComplete": 0}, {"percentComplete": 0}),
        ({"summary": None}, {}),
        # From the sweep: None continues the job even without new progress.
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
def test_only_progress_is_taken_from_a_progress_event(detail, told):
    event = {"detail-type": "Job Progress", "time": TIME, "detail": {"jobId": "j", **detail}}
    assert outcomes.parse_progress(event) == ("j", told, TIME)


@pytest.mark.parametrize("time", [TIME, "2026-09-28T17:35:37.001Z", "2026-09-28T17:35:37.123456Z"])
def test_the_time_of_a_progress_event_is_returned(time):
    event = {**load_event("report-job-progress"), "time": time}
    assert outcomes.parse_progress(event)[2] == time


@pytest.mark.parametrize(
    "returned",
    [
        None,
        Success(
            summary="Built",
            external_execution_id="17",
            percent_complete=0,
            output_variables={"Version": "1.2"},
            revision=Revision("abc", "1", datetime(2026, 1, 2, tzinfo=UTC), "Fixes"),
        ),
        Continuation("later", summary="Waiting"),
    ],
)
def test_the_output_of_the_worker_package_is_sent_unchanged(returned):
    output = json.loads(worker_outcome.output(worker_outcome.checked(returned)))
    assert outcomes.success_request({"jobId": "1"}, {"result": output}) == {"jobId": "1", **output}


def test_the_failure_types_are_those_of_the_api():
    shape = operation_model("codepipeline", "PutJobFailureResult").input_shape
    modelled = shape.members["failureDetails"].members["type"].enum
    assert set(modelled) == outcomes.FAILURE_TYPES
