"""How jobs end: on DynamoDB, with a scripted CodePipeline and JobBus."""

import json

import pytest

from acknowledger import ending, errors
from acknowledger.job_table import EXPIRES_AFTER_SECONDS
from acknowledger.moments import ago, now
from tests.support import load_event

SUCCEEDED, FAILED, TIMED_OUT, LATE = (
    load_event(f"report-{name}")["outcome"]
    for name in ("succeeded", "failed", "timed-out", "timed-out-not-acknowledged")
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
def job(cloud):
    """A function that puts the job's row."""

    def put(**row):
        cloud.put_job(JOB_ID, **{"execution": ARN} | row)

    return put


def test_a_success_is_reported_recorded_and_announced(job, cloud):
    job(status="InProgress")
    cloud.expects("codepipeline", SUCCESS, {}, {"jobId": JOB_ID, **SUCCEEDED["result"]})
    cloud.expects_event()
    cloud.calls.clear()
    ended = end()
    assert (ended.answer, ended.first, ended.refused) == ({"status": "Succeeded"}, True, "")
    assert cloud.calls == ["JobTable GetItem", "JobTable UpdateItem"]
    row = cloud.job(JOB_ID)
    assert (row["status"], row["updatedAt"]) == ("Succeeded", row["times"]["Succeeded"])
    assert row["expiresAt"] > 1_700_000_000
    assert not {"unannounced", "error"} & row.keys()
    # The sweep has nothing more to do.
    assert row["dueAt"] > ago(-EXPIRES_AFTER_SECONDS)
    (detail,) = cloud.announced
    whole = {name: value for name, value in OFFER["job"].items() if name != "nonce"}
    known = {"jobId": JOB_ID, "actionType": OFFER["actionType"], "status": "Succeeded"}
    assert detail == known | {"job": whole}


def test_the_event_of_a_success_has_the_workers_continuation_token(job, cloud):
    job()
    cloud.expects("codepipeline", SUCCESS, {})
    cloud.expects_event()
    end({"result": {"continuationToken": "page-2"}})
    assert cloud.announced[0]["continuationToken"] == "page-2"


@pytest.mark.parametrize(
    ("outcome", "status", "kind", "message"),
    [
        (FAILED, "Failed", "ConfigurationError", "The property Input names no project"),
        (TIMED_OUT, "TimedOut", "JobFailed", "The worker sent no heartbeat for 960 seconds"),
        (LATE, "TimedOut", "SystemUnavailable", "The job was not acknowledged within 300 seconds"),
        (STOPPED, "Failed", "JobFailed", "stopped by hand"),
    ],
)
def test_a_failure_is_reported_recorded_and_announced_in_the_same_words(
    outcome, status, kind, message, job, cloud
):
    job()
    cloud.expects("codepipeline", FAILURE, {})
    cloud.expects_event()
    said = end(outcome).answer
    assert (said["status"], said["error"]) == (status, kind)
    assert said["cause"].startswith(message)
    details = {"type": kind, "message": said["cause"]}
    assert json.loads(cloud.sent[0]) == {"jobId": JOB_ID, "failureDetails": details}
    row = cloud.job(JOB_ID)
    assert {name: row[name] for name in said} == said
    assert {name: cloud.announced[0][name] for name in said} == said


def test_a_result_that_breaks_a_limit_fails_the_job_with_one_sentence(job, cloud):
    job()
    cloud.expects("codepipeline", FAILURE, {})
    cloud.expects_event()
    ended = end(load_event("bad/report-result")["outcome"])
    assert ended.refused == "ValidationException"
    assert (ended.answer["status"], ended.answer["error"]) == ("Failed", "JobFailed")
    told = "The worker's result was not accepted: 4 validation errors detected: Value at '"
    assert ended.answer["cause"].startswith(told)
    assert cloud.announced[0]["cause"] == ended.answer["cause"]


def test_output_variables_that_are_too_large_together_fail_the_job_with_one_sentence(job, cloud):
    job()
    cloud.expects_error(
        "codepipeline", SUCCESS, "OutputVariablesSizeExceededException", "Over 122,880 bytes"
    )
    cloud.expects("codepipeline", FAILURE, {})
    cloud.expects_event()
    assert end().answer["cause"] == "The worker's result was not accepted: Over 122,880 bytes"


@pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED, TIMED_OUT])
def test_a_repeated_report_sends_the_same_bytes(outcome, job, cloud):
    for _ in range(2):
        job()
        cloud.expects("codepipeline", SUCCESS if outcome is SUCCEEDED else FAILURE, {})
        cloud.expects_event()
        end(outcome)
    assert cloud.sent[0] == cloud.sent[1]


@pytest.mark.parametrize(
    "row",
    [
        {"status": "Succeeded"},
        {"status": "Failed", "error": "JobFailed", "cause": "as it was"},
        {"status": "TimedOut", "error": "JobFailed", "cause": "as it was"},
    ],
)
@pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED, STOPPED])
def test_a_repeated_ending_announces_the_recorded_one_and_changes_nothing(row, outcome, job, cloud):
    """The execution may have written the row without putting the event."""
    job(**row)
    before = cloud.job(JOB_ID)
    cloud.expects_event()
    ended = end(outcome)
    assert (ended.answer, ended.first) == (row, False)
    assert cloud.job(JOB_ID) == before
    assert cloud.announced[0]["status"] == row["status"]
    # If the execution is over, it has put the event already.
    assert end(outcome, running=False).answer == row


def test_an_unannounced_ending_is_announced_once(job, cloud):
    job(status="Failed", **OVER, unannounced=ago(60), dueAt=now())
    cloud.expects_event()
    assert end(STOPPED, running=False).answer == {"status": "Failed", **OVER}
    row = cloud.job(JOB_ID)
    assert ("unannounced" in row, row["dueAt"] > ago(-86_400)) == (False, True)
    end(STOPPED, running=False)
    assert len(cloud.announced) == 1


@pytest.mark.parametrize("running", [True, False])
def test_an_event_that_could_not_be_put_is_put_by_the_next_try_or_the_sweep(running, job, cloud):
    job()
    cloud.expects("codepipeline", SUCCESS, {})
    cloud.expects_error("events", "put_events", "ThrottlingException")
    with pytest.raises(errors.BusUnavailable):
        end(running=running)
    row = cloud.job(JOB_ID)
    assert row["status"] == "Succeeded"
    assert ("unannounced" in row, row["dueAt"] <= ago(-60)) == (True, True)
    cloud.expects_event()
    assert end(running=running).answer == {"status": "Succeeded"}
    row = cloud.job(JOB_ID)
    assert ("unannounced" in row, row["dueAt"] > ago(-86_400)) == (False, True)


def test_the_row_of_an_execution_that_is_over_is_marked_until_its_event_is_put(job, cloud):
    """Nothing else would put the event if the function died in between."""
    job()
    cloud.expects("codepipeline", FAILURE, {})
    cloud.expects_event()
    marked = []
    cloud.watch("events", "PutEvents", lambda _: marked.append(cloud.job(JOB_ID)))
    end(STOPPED, running=False)
    assert "unannounced" in marked[0]
    assert "unannounced" not in cloud.job(JOB_ID)


def test_a_job_whose_row_belongs_to_another_execution_is_left_alone(job, cloud):
    job(execution="arn:of:a:newer:offer", status="Dispatched")
    before = cloud.job(JOB_ID)
    for outcome in (SUCCEEDED, LATE, STOPPED):
        said = end(outcome).answer
        assert (said["status"], said["error"]) == ("StandDown", "ClaimTakenOver")
    assert cloud.job(JOB_ID) == before


def test_a_workers_result_is_reported_even_if_the_row_was_deleted(cloud):
    cloud.expects("codepipeline", SUCCESS, {})
    cloud.expects_event()
    assert end().answer == {"status": "Succeeded"}
    assert cloud.job(JOB_ID) == {}


@pytest.mark.parametrize("outcome", [LATE, STOPPED])
def test_without_a_row_nothing_but_a_workers_result_is_reported(outcome, cloud):
    assert end(outcome).answer["status"] == "StandDown"


class TestNotAcknowledged:
    """The job isn't acknowledged, so another worker may have it."""

    @pytest.mark.parametrize("outcome", [LATE, STOPPED])
    @pytest.mark.parametrize("status", ["Created", "Dispatched"])
    def test_the_job_is_acknowledged_before_it_is_failed(self, outcome, status, job, cloud):
        job(status=status)
        cloud.expects_acknowledgment("InProgress", {"jobId": JOB_ID, "nonce": "3"})
        cloud.expects("codepipeline", FAILURE, {})
        cloud.expects_event()
        ended = end(outcome)
        assert ended.answer["status"] == cloud.job(JOB_ID)["status"]
        assert "InProgress" in cloud.job(JOB_ID)["times"]

    @pytest.mark.parametrize(
        ("answer", "status", "error"),
        [
            ("InvalidNonceException", "StandDown", "OfferLost"),
            ("Queued", "StandDown", "OfferLost"),
            ("JobNotFoundException", "Refused", "JobNotFoundException"),
        ],
    )
    def test_a_job_that_another_worker_has_or_that_nobody_knows_is_left_alone(
        self, answer, status, error, job, cloud
    ):
        job(status="Dispatched")
        cloud.expects_acknowledgment(answer)
        said = end(LATE).answer
        assert (said["status"], said["error"]) == (status, error)
        assert cloud.job(JOB_ID) == {}

    def test_a_job_that_has_ended_elsewhere_is_recorded_so(self, job, cloud):
        job(status="Dispatched")
        cloud.expects_acknowledgment("Failed")
        cloud.expects_event()
        assert end(LATE).answer["error"] == "EndedElsewhere"
        row = cloud.job(JOB_ID)
        assert (row["status"], "unannounced" in row) == ("Failed", False)

    def test_a_job_that_continues_work_joins_it(self, job, cloud):
        job(status="Dispatched")
        cloud.put_job("work", continuing={"jobId": "work", "sent": True})
        cloud.expects_acknowledgment("InProgress")
        offer = OFFER | {"continues": {"jobId": "work", "after": "work"}}
        assert ending.end(ARN, offer, LATE).answer["error"] == "Joined"
        assert cloud.job("work")["currentJobId"] == JOB_ID

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
        self, state, error, told, job, cloud
    ):
        job(status="Queued")
        said = end({"state": state, "failure": {"Error": error, "Cause": "No."}}).answer
        assert (said["status"], said["error"]) == ("Refused", told)
        assert said["cause"]
        assert cloud.job(JOB_ID) == {}

    def test_a_refused_job_is_failed_if_an_earlier_acknowledgment_may_have_succeeded(
        self, job, cloud
    ):
        """Otherwise CodePipeline would wait for a result that nobody reports."""
        job(status="Dispatched", acknowledgeCalls={"a call": "3"})
        cloud.expects_acknowledgment("InProgress")
        cloud.expects("codepipeline", FAILURE, {})
        cloud.expects_event()
        refused = {"Error": "CodePipelineRefused", "Cause": "No."}
        assert end({"state": "Dispatched", "failure": refused}).answer["status"] == "TimedOut"

    def test_a_refusal_that_may_be_temporary_is_retried(self, job, cloud):
        job(status="Dispatched")
        cloud.expects_acknowledgment("AccessDeniedException")
        with pytest.raises(errors.CodePipelineRefused):
            end(LATE)
        assert cloud.job(JOB_ID)["status"] == "Dispatched"


class TestOver:
    """CodePipeline has ended the job itself."""

    @pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched", "InProgress"])
    def test_no_result_is_reported_for_an_ended_job(self, status, job, cloud):
        job(status=status, over=OVER)
        cloud.expects_event()
        heard = {"Error": OVER["error"], "Cause": OVER["cause"]}
        state = "InProgress" if status == "InProgress" else "Dispatched"
        outcome = {"state": state, "failure": heard, "milliseconds": 1}
        assert end(outcome).answer == {"status": "Failed", **OVER}
        row = cloud.job(JOB_ID)
        assert (row["status"], row["error"], "over" in row) == ("Failed", OVER["error"], False)

    def test_without_a_note_in_the_row_ended_elsewhere_is_an_error_of_the_worker(self, job, cloud):
        job()
        cloud.expects("codepipeline", FAILURE, {})
        cloud.expects_event()
        heard = {"Error": "EndedElsewhere", "Cause": "I say"}
        said = end({"state": "InProgress", "failure": heard, "milliseconds": 1}).answer
        assert (said["error"], said["cause"]) == ("JobFailed", "EndedElsewhere: I say")

    @pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED, TIMED_OUT, STOPPED])
    @pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
    def test_a_result_that_codepipeline_no_longer_accepts_is_recorded_as_ended_elsewhere(
        self, outcome, code, job, cloud
    ):
        job()
        operation = SUCCESS if outcome is SUCCEEDED else FAILURE
        cloud.expects_error("codepipeline", operation, code, "It has terminated")
        cloud.expects_event()
        ended = end(outcome)
        cause = "CodePipeline has already ended the job: It has terminated"
        assert ended.answer == {"status": "Failed", "error": "EndedElsewhere", "cause": cause}
        assert ended.refused == code
        assert cloud.job(JOB_ID)["cause"] == cause

    def test_a_result_that_codepipeline_no_longer_accepts_ends_with_the_noted_reason(
        self, job, cloud
    ):
        job(over=OVER, continuing={"jobId": JOB_ID, "sent": True})
        cloud.expects_error("codepipeline", SUCCESS, "InvalidJobStateException")
        cloud.expects_event()
        assert end().answer == {"status": "Failed", **OVER}


class TestContinued:
    """The work is continued by further jobs."""

    def test_the_result_is_reported_for_the_newest_job(self, job, cloud):
        job(currentJobId=SECOND)
        cloud.expects("codepipeline", SUCCESS, {}, {"jobId": SECOND, **SUCCEEDED["result"]})
        cloud.expects_event()
        end()
        assert cloud.job(JOB_ID)["status"] == "Succeeded"
        assert cloud.announced[0]["jobId"] == JOB_ID

    @pytest.mark.parametrize("waited", [False, True])
    def test_a_result_waits_for_the_next_job_for_a_day_at_most(self, waited, job, cloud):
        job(continuing={"jobId": JOB_ID, "sent": True})
        cloud.expects_error("codepipeline", SUCCESS, "InvalidJobStateException")
        if waited:
            cloud.expects_event()
        said = end(SUCCEEDED | {"waited": waited}).answer
        status = "Failed" if waited else "NextJobNotHere"
        assert (said["status"], said["error"]) == (status, "NextJobNotHere")
        assert cloud.job(JOB_ID)["status"] == ("Failed" if waited else "InProgress")
        assert ("for a day" in said["cause"]) is waited

    @pytest.mark.parametrize("when", ["before the answer", "before the row"])
    def test_the_result_is_reported_for_a_job_that_joins_meanwhile(self, when, job, cloud):
        job(continuing={"jobId": JOB_ID, "sent": True})

        def joined():
            job(currentJobId=SECOND)

        if when == "before the answer":
            cloud.expects_error("codepipeline", SUCCESS, "InvalidJobStateException")
            operation = "GetItem"
            cloud.before(operation, lambda: cloud.before(operation, joined))
        else:
            cloud.expects("codepipeline", SUCCESS, {})
            cloud.before("UpdateItem", joined)
        cloud.expects("codepipeline", SUCCESS, {}, {"jobId": SECOND, **SUCCEEDED["result"]})
        cloud.expects_event()
        assert end().answer == {"status": "Succeeded"}
        assert len(cloud.announced) == 1


def test_a_row_that_keeps_changing_raises_a_retryable_error(job, cloud):
    job()

    def change(number):
        job(currentJobId=f"{SECOND[:-1]}{number}")
        cloud.before("UpdateItem", lambda: change(number + 1))

    cloud.before("UpdateItem", lambda: change(1))
    for _ in range(ending.TRIES):
        cloud.expects("codepipeline", SUCCESS, {})
    with pytest.raises(errors.TableUnavailable):
        end()
    assert cloud.announced == []
