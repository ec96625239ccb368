"""How jobs end: on DynamoDB, with a scripted CodePipeline and JobBus."""

import json

import pytest

from acknowledger import ending, errors
from acknowledger.job_table import EXPIRES_AFTER_SECONDS
from acknowledger.moments import ago
from tests.support import load_event

SUCCEEDED, FAILED, TIMED_OUT, LATE, TOO_MUCH = (
    load_event(f"{name}")["outcome"]
    for name in (
        "report-succeeded",
        "report-failed",
        "report-timed-out",
        "report-timed-out-not-acknowledged",
        "bad/report-result",
    )
)
EVENT = load_event("report-succeeded")
OFFER, ARN = EVENT["offer"], EVENT["execution"]
JOB_ID = OFFER["job"]["id"]
SECOND = "11111111-2222-3333-4444-555555555555"
STOPPED = {"state": "Stopped", "failure": {"Error": "JobFailed", "Cause": "stopped by hand"}}
OVER = {"error": "EndedElsewhere", "cause": "CodePipeline has ended the action: ABANDONED"}
SUCCESS, FAILURE = "put_job_success_result", "put_job_failure_result"


def end(outcome=SUCCEEDED, *, running=True):
    return ending.end(ARN, OFFER, outcome, running=running)


@pytest.fixture
def job(tables):
    """A function that puts the job's row."""

    def put(**row):
        tables.put_job(JOB_ID, **{"execution": ARN} | row)

    return put


@pytest.fixture
def announced(other_calls):
    """The details of the events that are put; each event must be expected."""
    found = []

    def note(params, **_):
        (entry,) = params["Entries"]
        detail = json.loads(entry["Detail"])
        status = detail["status"].replace("TimedOut", "Timed Out")
        assert (entry["EventBusName"], entry["DetailType"]) == ("JobBus", f"Job {status}")
        found.append(detail)

    other_calls.service("events").client.meta.events.register(
        "before-parameter-build.events.PutEvents", note
    )
    return found


def expect_announcement(calls):
    calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]})


def expect_failure(calls, kind, message, job_id=JOB_ID):
    details = {"type": kind, "message": message}
    calls.expects("codepipeline", FAILURE, {}, {"jobId": job_id, "failureDetails": details})


def test_a_success_is_reported_recorded_and_announced(job, tables, other_calls, announced):
    job(status="InProgress")
    other_calls.expects("codepipeline", SUCCESS, {}, {"jobId": JOB_ID, **SUCCEEDED["result"]})
    expect_announcement(other_calls)
    tables.calls.clear()
    ended = end()
    assert (ended.said, ended.first, ended.refused) == ({"status": "Succeeded"}, True, "")
    assert tables.calls == ["JobTable GetItem", "JobTable UpdateItem"]
    row = tables.job(JOB_ID)
    assert (row["status"], row["updatedAt"]) == ("Succeeded", row["times"]["Succeeded"])
    assert row["expiresAt"] > 1_700_000_000
    assert not {"unannounced", "error"} & row.keys()
    # The sweep has nothing more to do.
    assert row["dueAt"] > ago(-EXPIRES_AFTER_SECONDS)
    (detail,) = announced
    whole = {name: value for name, value in OFFER["job"].items() if name != "nonce"}
    assert detail == {
        "jobId": JOB_ID,
        "actionType": OFFER["actionType"],
        "status": "Succeeded",
        "job": whole,
    }


def test_the_event_of_a_success_has_the_workers_continuation_token(job, other_calls, announced):
    job()
    other_calls.expects("codepipeline", SUCCESS, {})
    expect_announcement(other_calls)
    end({"result": {"continuationToken": "page-2"}})
    assert announced[0]["continuationToken"] == "page-2"


@pytest.mark.parametrize(
    ("outcome", "status", "kind", "message"),
    [
        (FAILED, "Failed", "ConfigurationError", "The property Input names no project"),
        (
            TIMED_OUT,
            "TimedOut",
            "JobFailed",
            "The worker sent no heartbeat for 960 seconds (HeartbeatTimeoutSeconds)",
        ),
        (
            LATE,
            "TimedOut",
            "SystemUnavailable",
            "The job was not acknowledged within 300 seconds (AcknowledgeTimeoutSeconds)",
        ),
        (STOPPED, "Failed", "JobFailed", "stopped by hand"),
    ],
)
def test_a_failure_is_reported_recorded_and_announced_in_the_same_words(
    outcome, status, kind, message, job, tables, other_calls, announced
):
    job()
    expect_failure(other_calls, kind, message)
    expect_announcement(other_calls)
    said = {"status": status, "error": kind, "cause": message}
    assert end(outcome).said == said
    row = tables.job(JOB_ID)
    assert {name: row[name] for name in said} == said
    assert {name: announced[0][name] for name in said} == said


def test_a_result_that_breaks_a_limit_fails_the_job_with_one_sentence(job, other_calls, announced):
    job()
    other_calls.expects("codepipeline", FAILURE, {})
    expect_announcement(other_calls)
    ended = end({"result": {"executionDetails": {"summary": "x" * 3000}}})
    assert ended.refused == "ValidationException"
    assert ended.said == {
        "status": "Failed",
        "error": "JobFailed",
        "cause": "The worker's result was not accepted: 1 validation error detected: Value at "
        "'executionDetails.summary' failed to satisfy constraint: Member must have length less "
        "than or equal to 2048",
    }
    assert announced[0]["cause"] == ended.said["cause"]


def test_output_variables_that_are_too_large_together_fail_the_job_with_one_sentence(
    job, other_calls, announced
):
    job()
    other_calls.expects_error(
        "codepipeline", SUCCESS, "OutputVariablesSizeExceededException", "Over 122,880 bytes"
    )
    other_calls.expects("codepipeline", FAILURE, {})
    expect_announcement(other_calls)
    assert end().said["cause"] == "The worker's result was not accepted: Over 122,880 bytes"


@pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED, TIMED_OUT])
def test_a_repeated_report_sends_the_same_bytes(outcome, job, other_calls, announced):
    sent: list[bytes] = []
    other_calls.service("codepipeline").client.meta.events.register_first(
        "before-call.*.*", lambda params, **_: sent.append(params["body"])
    )
    for _ in range(2):
        job()
        other_calls.expects("codepipeline", SUCCESS if outcome is SUCCEEDED else FAILURE, {})
        expect_announcement(other_calls)
        end(outcome)
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    "row",
    [
        {"status": "Succeeded"},
        {"status": "Failed", "error": "JobFailed", "cause": "as it was"},
        {"status": "TimedOut", "error": "JobFailed", "cause": "as it was"},
    ],
)
@pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED, STOPPED])
def test_a_repeated_ending_announces_the_recorded_one_and_changes_nothing(
    row, outcome, job, tables, other_calls, announced
):
    """The execution may have written the row without putting the event."""
    job(**row)
    before = tables.job(JOB_ID)
    expect_announcement(other_calls)
    ended = end(outcome)
    assert (ended.said, ended.first) == (row, False)
    assert tables.job(JOB_ID) == before
    assert announced[0]["status"] == row["status"]
    # If the execution is over, it has put the event already.
    assert end(outcome, running=False).said == row


def test_an_unannounced_ending_is_announced_once(job, tables, other_calls, announced):
    job(status="Failed", **OVER, unannounced=ago(60), dueAt=ago(0))
    expect_announcement(other_calls)
    assert end(STOPPED, running=False).said == {"status": "Failed", **OVER}
    row = tables.job(JOB_ID)
    assert ("unannounced" in row, row["dueAt"] > ago(-86_400)) == (False, True)
    end(STOPPED, running=False)
    assert len(announced) == 1


@pytest.mark.parametrize("running", [True, False])
def test_an_event_that_could_not_be_put_is_put_by_the_next_try_or_the_sweep(
    running, job, tables, other_calls, announced
):
    job()
    other_calls.expects("codepipeline", SUCCESS, {})
    other_calls.expects_error("events", "put_events", "ThrottlingException")
    with pytest.raises(errors.BusUnavailable):
        end(running=running)
    row = tables.job(JOB_ID)
    assert row["status"] == "Succeeded"
    assert ("unannounced" in row, row["dueAt"] <= ago(-60)) == (True, True)
    expect_announcement(other_calls)
    assert end(running=running).said == {"status": "Succeeded"}
    row = tables.job(JOB_ID)
    assert ("unannounced" in row, row["dueAt"] > ago(-86_400)) == (False, True)


def test_the_row_of_an_execution_that_is_over_is_marked_until_its_event_is_put(
    job, tables, other_calls, announced
):
    """Nothing else would put the event if the function died in between."""
    job()
    other_calls.expects("codepipeline", FAILURE, {})
    expect_announcement(other_calls)
    marked = []
    other_calls.service("events").client.meta.events.register(
        "before-parameter-build.events.PutEvents", lambda **_: marked.append(tables.job(JOB_ID))
    )
    end(STOPPED, running=False)
    assert "unannounced" in marked[0]
    assert "unannounced" not in tables.job(JOB_ID)


def test_a_job_whose_row_belongs_to_another_execution_is_left_alone(job, tables, other_calls):
    job(execution="arn:of:a:newer:offer", status="Dispatched")
    before = tables.job(JOB_ID)
    for outcome in (SUCCEEDED, LATE, STOPPED):
        said = end(outcome).said
        assert (said["status"], said["error"]) == ("StandDown", "ClaimTakenOver")
    assert tables.job(JOB_ID) == before


def test_a_workers_result_is_reported_even_if_the_row_was_deleted(tables, other_calls, announced):
    other_calls.expects("codepipeline", SUCCESS, {})
    expect_announcement(other_calls)
    assert end().said == {"status": "Succeeded"}
    assert tables.job(JOB_ID) == {}


@pytest.mark.parametrize("outcome", [LATE, STOPPED])
def test_without_a_row_nothing_but_a_workers_result_is_reported(outcome, tables, other_calls):
    assert end(outcome).said["status"] == "StandDown"


class TestNotAcknowledged:
    """The job isn't acknowledged, so another worker may have it."""

    def expect_call(self, calls, answer):
        request = {"jobId": JOB_ID, "nonce": "3"}
        if answer.endswith("Exception"):
            calls.expects_error("codepipeline", "acknowledge_job", answer, "No.")
        else:
            calls.expects("codepipeline", "acknowledge_job", {"status": answer}, request)

    @pytest.mark.parametrize("outcome", [LATE, STOPPED])
    @pytest.mark.parametrize("status", ["Created", "Dispatched"])
    def test_the_job_is_acknowledged_before_it_is_failed(
        self, outcome, status, job, tables, other_calls, announced
    ):
        job(status=status)
        self.expect_call(other_calls, "InProgress")
        other_calls.expects("codepipeline", FAILURE, {})
        expect_announcement(other_calls)
        ended = end(outcome)
        assert ended.said["status"] == tables.job(JOB_ID)["status"]
        assert "InProgress" in tables.job(JOB_ID)["times"]

    @pytest.mark.parametrize("answer", ["InvalidNonceException", "Queued"])
    def test_a_job_that_another_worker_has_is_left_alone(self, answer, job, tables, other_calls):
        job(status="Dispatched")
        self.expect_call(other_calls, answer)
        said = end(LATE).said
        assert (said["status"], said["error"]) == ("StandDown", "OfferLost")
        assert tables.job(JOB_ID) == {}

    def test_a_job_that_has_ended_elsewhere_is_recorded_so(
        self, job, tables, other_calls, announced
    ):
        job(status="Dispatched")
        self.expect_call(other_calls, "Failed")
        expect_announcement(other_calls)
        assert end(LATE).said["error"] == "EndedElsewhere"
        row = tables.job(JOB_ID)
        assert (row["status"], "unannounced" in row) == ("Failed", False)

    def test_a_job_that_continues_work_joins_it(self, job, tables, other_calls):
        job(status="Dispatched")
        tables.put_job("work", continuing={"jobId": "work", "sent": True})
        self.expect_call(other_calls, "InProgress")
        offer = OFFER | {"continues": {"jobId": "work", "after": "work"}}
        assert ending.end(ARN, offer, LATE).said["error"] == "Joined"
        assert tables.job("work")["currentJobId"] == JOB_ID

    @pytest.mark.parametrize(
        ("state", "error", "told"),
        [
            ("Dispatched", "JobNotFoundException", "JobNotFoundException"),
            ("Dispatched", "EventBridge.FailedEntry", "EventBridge.FailedEntry"),
            ("WaitForRoom", "States.Timeout", "NoRoom"),
            ("WaitForRoom", "DynamoDb.ResourceNotFound", "DynamoDb.ResourceNotFound"),
            ("Stopped", "NotDispatched", "NotDispatched"),
        ],
    )
    def test_a_job_that_was_refused_permanently_is_given_back_to_codepipeline(
        self, state, error, told, job, tables, other_calls
    ):
        job(status="Queued")
        said = end({"state": state, "failure": {"Error": error, "Cause": "No."}}).said
        assert (said["status"], said["error"]) == ("Refused", told)
        assert said["cause"]
        assert tables.job(JOB_ID) == {}

    def test_a_refused_job_is_failed_if_an_earlier_acknowledgment_may_have_succeeded(
        self, job, tables, other_calls, announced
    ):
        """Otherwise CodePipeline would wait for a result that nobody reports."""
        job(status="Dispatched", acknowledgeCalls={"a call": "3"})
        self.expect_call(other_calls, "InProgress")
        other_calls.expects("codepipeline", FAILURE, {})
        expect_announcement(other_calls)
        refused = {"Error": "CodePipelineRefused", "Cause": "No."}
        assert end({"state": "Dispatched", "failure": refused}).said["status"] == "TimedOut"

    def test_a_job_that_codepipeline_does_not_know_is_given_back(self, job, tables, other_calls):
        job(status="Dispatched")
        self.expect_call(other_calls, "JobNotFoundException")
        said = end(LATE).said
        assert (said["status"], said["error"]) == ("Refused", "JobNotFoundException")
        assert tables.job(JOB_ID) == {}

    def test_a_refusal_that_may_be_temporary_is_retried(self, job, tables, other_calls):
        job(status="Dispatched")
        self.expect_call(other_calls, "AccessDeniedException")
        with pytest.raises(errors.CodePipelineRefused):
            end(LATE)
        assert tables.job(JOB_ID)["status"] == "Dispatched"


class TestOver:
    """CodePipeline has ended the job itself."""

    @pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched", "InProgress"])
    def test_no_result_is_reported_for_an_ended_job(
        self, status, job, tables, other_calls, announced
    ):
        job(status=status, over=OVER)
        expect_announcement(other_calls)
        heard = {"Error": OVER["error"], "Cause": OVER["cause"]}
        state = "InProgress" if status == "InProgress" else "Dispatched"
        outcome = {"state": state, "failure": heard, "milliseconds": 1}
        assert end(outcome).said == {"status": "Failed", **OVER}
        row = tables.job(JOB_ID)
        assert (row["status"], row["error"], "over" in row) == ("Failed", OVER["error"], False)

    def test_without_a_note_in_the_row_ended_elsewhere_is_an_error_of_the_worker(
        self, job, other_calls, announced
    ):
        job()
        expect_failure(other_calls, "JobFailed", "EndedElsewhere: I say")
        expect_announcement(other_calls)
        heard = {"Error": "EndedElsewhere", "Cause": "I say"}
        end({"state": "InProgress", "failure": heard, "milliseconds": 1})

    @pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED, TIMED_OUT, STOPPED])
    @pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
    def test_a_result_that_codepipeline_no_longer_accepts_is_recorded_as_ended_elsewhere(
        self, outcome, code, job, tables, other_calls, announced
    ):
        job()
        operation = SUCCESS if outcome is SUCCEEDED else FAILURE
        other_calls.expects_error("codepipeline", operation, code, "It has terminated")
        expect_announcement(other_calls)
        ended = end(outcome)
        cause = "CodePipeline has already ended the job: It has terminated"
        assert ended.said == {"status": "Failed", "error": "EndedElsewhere", "cause": cause}
        assert ended.refused == code
        assert tables.job(JOB_ID)["cause"] == cause

    def test_a_result_that_codepipeline_no_longer_accepts_ends_with_the_noted_reason(
        self, job, other_calls, announced
    ):
        job(over=OVER, continuing={"jobId": JOB_ID, "sent": True})
        other_calls.expects_error("codepipeline", SUCCESS, "InvalidJobStateException")
        expect_announcement(other_calls)
        assert end().said == {"status": "Failed", **OVER}


class TestContinued:
    """The work is continued by further jobs."""

    def test_the_result_is_reported_for_the_newest_job(self, job, tables, other_calls, announced):
        job(currentJobId=SECOND)
        other_calls.expects("codepipeline", SUCCESS, {}, {"jobId": SECOND, **SUCCEEDED["result"]})
        expect_announcement(other_calls)
        end()
        assert tables.job(JOB_ID)["status"] == "Succeeded"
        assert announced[0]["jobId"] == JOB_ID

    def test_a_result_waits_for_the_next_job(self, job, tables, other_calls):
        job(continuing={"jobId": JOB_ID, "sent": True})
        other_calls.expects_error("codepipeline", SUCCESS, "InvalidJobStateException")
        assert end().said["status"] == "NextJobNotHere"
        assert tables.job(JOB_ID)["status"] == "InProgress"

    def test_a_next_job_that_never_comes_ends_the_work(self, job, tables, other_calls, announced):
        job(continuing={"jobId": JOB_ID, "sent": True})
        other_calls.expects_error("codepipeline", SUCCESS, "InvalidJobStateException")
        expect_announcement(other_calls)
        said = end(SUCCEEDED | {"waited": True}).said
        assert (said["status"], said["error"]) == ("Failed", "NextJobNotHere")
        assert "for a day" in said["cause"]

    @pytest.mark.parametrize("when", ["before the answer", "before the row"])
    def test_the_result_is_reported_for_a_job_that_joins_meanwhile(
        self, when, job, tables, other_calls, announced
    ):
        job(continuing={"jobId": JOB_ID, "sent": True})

        def joined():
            job(currentJobId=SECOND)

        if when == "before the answer":
            other_calls.expects_error("codepipeline", SUCCESS, "InvalidJobStateException")
            operation = "GetItem"
            tables.before(operation, lambda: tables.before(operation, joined))
        else:
            other_calls.expects("codepipeline", SUCCESS, {})
            tables.before("UpdateItem", joined)
        other_calls.expects("codepipeline", SUCCESS, {}, {"jobId": SECOND, **SUCCEEDED["result"]})
        expect_announcement(other_calls)
        assert end().said == {"status": "Succeeded"}
        assert len(announced) == 1


def test_a_row_that_keeps_changing_raises_a_retryable_error(job, tables, other_calls, announced):
    job()

    def change(number):
        job(currentJobId=f"{SECOND[:-1]}{number}")
        tables.before("UpdateItem", lambda: change(number + 1))

    tables.before("UpdateItem", lambda: change(1))
    for _ in range(ending.TRIES):
        other_calls.expects("codepipeline", SUCCESS, {})
    with pytest.raises(errors.TableUnavailable):
        end()
    assert announced == []
