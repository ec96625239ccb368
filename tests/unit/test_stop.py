from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

import stop
from acknowledger import errors
from acknowledger.moments import ago
from tests.support import load_event
from tests.unit.conftest import SERVICE

ABANDONED = load_event("stop-action-abandoned")
ABORTED = load_event("stop-execution-aborted")
INPUT = json.loads(ABORTED["detail"]["input"])
JOB_ID = INPUT["job"]["id"]
ARN = ABORTED["detail"]["executionArn"]
ACTION = {"actionExecutionId": ABANDONED["detail"]["action-execution-id"]}
SECOND = "11111111-2222-3333-4444-555555555555"
THIRD = "22222222-3333-4444-5555-666666666666"
PUT = "put_job_failure_result"
CAUSE = "The job's execution was ended from outside (ABORTED): Operator: Wrong branch"
PAUSES = [0, *stop.LOOK_AGAIN_SECONDS]


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """How long it paused, which it doesn't here; `pauses.then` is done at the pause of a number."""

    class Pauses(list):
        def __init__(self):
            super().__init__()
            self.then = {}

        def append(self, seconds):
            super().append(seconds)
            self.then.get(len(self), lambda: None)()

    found = Pauses()
    monkeypatch.setattr(stop.time, "sleep", found.append)
    return found


def described(arn, status, **more):
    machine = ABORTED["detail"]["stateMachineArn"]
    known = {"executionArn": arn, "stateMachineArn": machine, "startDate": 0}
    return known | {"status": status} | more


def expect_history(calls, job_id, token, status="RUNNING"):
    """The execution of a job waits with a token, or is between two waits, or is over."""
    scheduled = {
        "resourceType": "events",
        "resource": "putEvents.waitForTaskToken" if token else "putEvents",
        "region": "us-east-1",
        "parameters": json.dumps({"Entries": [{"Detail": {"taskToken": token}}]}),
    }
    event = {
        "timestamp": datetime(2026, 9, 28, tzinfo=UTC),
        "type": "TaskScheduled",
        "id": 2,
        "taskScheduledEventDetails": scheduled,
    }
    request = {"executionArn": f"arn:{job_id}", "reverseOrder": True, "maxResults": 5}
    calls.expects("stepfunctions", "get_execution_history", {"events": [event]}, request)
    if token is None:
        answer = described(f"arn:{job_id}", status)
        request = {"executionArn": f"arn:{job_id}"}
        calls.expects("stepfunctions", "describe_execution", answer, request)


def expect_told(calls, token, cause):
    request = {"taskToken": token, "error": "EndedElsewhere", "cause": cause}
    calls.expects("stepfunctions", "send_task_failure", {}, request)


def ended(event, context):
    return stop.handler(event, context)["ended"]


def with_detail(event, **changes):
    detail = {name: value for name, value in {**event["detail"], **changes}.items() if value != ...}
    return {**event, "detail": detail}


class TestAction:
    """CodePipeline has ended an action."""

    @pytest.fixture(autouse=True)
    def broken(self, monkeypatch):
        """What its execution broke with lately: nothing."""
        found = []
        monkeypatch.setattr(stop.executions, "broken_since", lambda *_: found[0] if found else None)
        return found

    @pytest.mark.parametrize("error", ["Unreported", "States.ABORTED", "States.Runtime"])
    def test_a_failure_that_another_stop_reports_is_left_to_that(
        self, tables, other_calls, context, pauses, broken, error
    ):
        """Else there would be two ends of it, and two words on the JobBus."""
        broken.append(error)
        tables.put_job("j", **ACTION)
        assert ended(load_event("stop-action-failed"), context) == []
        assert tables.job("j")["status"] == "InProgress"
        assert pauses == [0]

    @pytest.mark.parametrize(
        ("event", "error"),
        [
            # Nobody has reported that.
            (ABANDONED, "Unreported"),
            # It ended as its definition says, but the row could not be written.
            (load_event("stop-action-failed"), "Unrecorded"),
        ],
    )
    def test_what_no_other_stop_ends_is_ended(
        self, tables, other_calls, context, broken, monkeypatch, event, error
    ):
        broken.append(error)
        monkeypatch.setattr(stop.executions, "input_of", lambda _: INPUT)
        tables.put_job("j", **ACTION)
        expect_history(other_calls, "j", None, "FAILED")
        expect_announcement(other_calls)
        assert ended(event, context) == ["j"]
        assert tables.job("j")["status"] == "Failed"

    @pytest.mark.parametrize(
        ("event", "cause"),
        [
            (ABANDONED, "CodePipeline has ended the action without us: ABANDONED"),
            (
                with_detail(ABANDONED, state="CANCELED"),
                "CodePipeline has ended the action without us: CANCELED",
            ),
            (
                load_event("stop-action-failed"),
                "CodePipeline has ended the action without us: FAILED: JobFailed: "
                "The job did not end within the action's time",
            ),
            (
                with_detail(ABANDONED, state="FAILED", **{"execution-result": {"error-code": "X"}}),
                "CodePipeline has ended the action without us: FAILED: X",
            ),
        ],
    )
    def test_the_execution_that_works_its_job_ends_with_what_codepipeline_says(
        self, tables, other_calls, context, pauses, event, cause
    ):
        tables.put_job("j", **ACTION)
        tables.put_job("another")
        expect_history(other_calls, "j", "t")
        expect_told(other_calls, "t", cause)
        assert ended(event, context) == ["j"]
        assert pauses == [0]

    @pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched", "InProgress"])
    def test_so_it_does_wherever_it_waits(self, tables, other_calls, context, status):
        tables.put_job("j", status=status, **ACTION)
        expect_history(other_calls, "j", "t")
        expect_told(other_calls, "t", "CodePipeline has ended the action without us: ABANDONED")
        assert ended(ABANDONED, context) == ["j"]

    @pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
    def test_a_job_that_has_ended_needs_no_telling(
        self, tables, other_calls, context, pauses, status
    ):
        tables.put_job("j", status=status, **ACTION)
        assert ended(ABANDONED, context) == []
        assert pauses == [0]

    def test_an_older_attempt_of_the_action_ends_nothing(
        self, tables, other_calls, context, pauses
    ):
        tables.put_job(
            "j",
            actionExecutionId="of the retry",
            pipelineExecutionId=ABANDONED["detail"]["execution-id"],
        )
        assert ended(ABANDONED, context) == []
        # Its job may have been yet to come.
        assert pauses == PAUSES

    def test_an_action_of_a_type_that_is_not_served_costs_nothing(
        self, tables, other_calls, context, pauses
    ):
        kind = {**ABANDONED["detail"]["type"], "provider": "SomebodyElses"}
        tables.put_job("j", **ACTION)
        tables.calls.clear()
        assert ended(with_detail(ABANDONED, type=kind), context) == []
        assert ended(with_detail(ABANDONED, type=...), context) == []
        assert (tables.calls, pauses) == ([], [])

    def test_an_event_that_comes_before_the_job_waits_for_it(
        self, tables, other_calls, context, pauses
    ):
        pauses.then[3] = lambda: tables.put_job("j", **ACTION)
        expect_history(other_calls, "j", "t")
        expect_told(other_calls, "t", "CodePipeline has ended the action without us: ABANDONED")
        assert ended(ABANDONED, context) == ["j"]
        assert pauses == PAUSES[:3]

    def test_an_execution_between_two_waits_is_looked_at_again(
        self, tables, other_calls, context, pauses
    ):
        tables.put_job("j", **ACTION)
        expect_history(other_calls, "j", None)
        expect_history(other_calls, "j", "gone by then")
        other_calls.expects_error("stepfunctions", "send_task_failure", "TaskTimedOut")
        expect_history(other_calls, "j", "t")
        expect_told(other_calls, "t", "CodePipeline has ended the action without us: ABANDONED")
        assert ended(ABANDONED, context) == ["j"]
        assert pauses == PAUSES[:3]

    def test_an_execution_that_ends_by_itself_meanwhile_is_no_error(
        self, tables, other_calls, context, pauses
    ):
        """So it is where CodePipeline tells us of a failure that we reported ourselves."""
        tables.put_job("j", **ACTION)
        expect_history(other_calls, "j", None)
        pauses.then[2] = lambda: tables.put_job("j", status="Failed", **ACTION)
        assert ended(load_event("stop-action-failed"), context) == []
        assert pauses == PAUSES[:2]

    def test_an_execution_that_never_waits_is_named_after_a_bounded_while(
        self, tables, other_calls, context, pauses
    ):
        tables.put_job("1", **ACTION)
        tables.put_job("2", **ACTION)
        expect_history(other_calls, "1", "t")
        expect_told(other_calls, "t", "CodePipeline has ended the action without us: ABANDONED")
        for _ in PAUSES:
            expect_history(other_calls, "2", None)
        with pytest.raises(errors.NotStopped, match="jobs 2: "):
            stop.handler(ABANDONED, context)
        assert pauses == PAUSES
        assert sum(pauses) < 15

    def test_every_job_of_a_chain_is_told_once(self, tables, other_calls, context):
        tables.put_job("1", **ACTION)
        tables.put_job("2", status="Dispatched", **ACTION)
        tables.put_job("3", status="Succeeded", **ACTION)
        expect_history(other_calls, "1", "t1")
        expect_told(other_calls, "t1", "CodePipeline has ended the action without us: ABANDONED")
        expect_history(other_calls, "2", None)
        expect_history(other_calls, "2", "t2")
        expect_told(other_calls, "t2", "CodePipeline has ended the action without us: ABANDONED")
        assert ended(ABANDONED, context) == ["1", "2"]

    def test_a_row_that_was_released_since_the_index_had_it_is_none(
        self, tables, other_calls, context, pauses
    ):
        tables.put_job("j", **ACTION)
        key = {"jobId": {"S": "j"}}
        tables.before("GetItem", lambda: tables.dynamodb.delete_item(TableName="JobTable", Key=key))
        assert ended(ABANDONED, context) == []
        assert pauses == [0]

    @pytest.mark.parametrize("over", ["ABORTED", "FAILED", "TIMED_OUT", "SUCCEEDED"])
    @pytest.mark.parametrize(
        "row", [{}, {"status": "Dispatched"}, {"currentJobId": SECOND}, {"status": "Queued"}]
    )
    def test_a_job_whose_execution_is_over_is_ended_recorded_and_announced_by_itself(
        self, tables, other_calls, context, announced, pauses, over, row
    ):
        """So it is where the execution could not report: nobody else would end its row."""
        tables.put_job("j", **ACTION, **row)
        expect_history(other_calls, "j", None, over)
        answer = described("arn:j", over, input=json.dumps(INPUT))
        other_calls.expects(
            "stepfunctions", "describe_execution", answer, {"executionArn": "arn:j"}
        )
        expect_announcement(other_calls)
        assert ended(ABANDONED, context) == ["j"]
        cause = "CodePipeline has ended the action without us: ABANDONED"
        assert_failed(tables.job("j"), cause, "EndedElsewhere")
        (detail,) = announced
        assert (detail["error"], detail["cause"]) == ("EndedElsewhere", cause)
        assert (detail["status"], detail["actionType"]) == ("Failed", INPUT["actionType"])
        assert "nonce" not in detail["job"]
        assert pauses == [0]

    def test_such_a_job_is_recorded_before_it_is_announced_and_a_failure_is_seen(
        self, tables, other_calls, context
    ):
        tables.put_job("j", **ACTION)
        expect_history(other_calls, "j", None, "ABORTED")
        answer = described("arn:j", "ABORTED", input=json.dumps(INPUT))
        other_calls.expects("stepfunctions", "describe_execution", answer)
        other_calls.expects_error("events", "put_events", "ThrottlingException")
        with pytest.raises(errors.BusUnavailable):
            stop.handler(ABANDONED, context)
        cause = "CodePipeline has ended the action without us: ABANDONED"
        assert_failed(tables.job("j"), cause, "EndedElsewhere")
        # Lambda tries again.
        other_calls.expects("stepfunctions", "describe_execution", answer)
        other_calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": []})
        assert ended(ABANDONED, context) == ["j"]
        assert ended(ABANDONED, context) == []

    def test_an_execution_that_has_just_ended_by_itself_is_announced_by_itself_only(
        self, tables, other_calls, context, monkeypatch, put
    ):
        """Between reading its row and asking whether it runs it may get to its end."""
        tables.put_job("j", **ACTION)

        def ends(**_):
            tables.put_job("j", status="Failed", **ACTION)

        other_calls.service("stepfunctions").client.meta.events.register(
            "before-parameter-build.stepfunctions.DescribeExecution", ends
        )
        expect_history(other_calls, "j", None, "FAILED")
        monkeypatch.setattr(stop.executions, "input_of", lambda _: INPUT)
        assert ended(load_event("stop-action-failed"), context) == []
        assert put == []

    def test_a_job_whose_execution_is_over_and_that_is_continued_meanwhile_is_announced_once(
        self, tables, other_calls, context, monkeypatch, put
    ):
        tables.put_job("j", **ACTION)
        tables.before("UpdateItem", lambda: tables.put_job("j", currentJobId=SECOND, **ACTION))
        for _ in range(2):
            expect_history(other_calls, "j", None, "ABORTED")
        monkeypatch.setattr(stop.executions, "input_of", lambda _: INPUT)
        assert ended(ABANDONED, context) == ["j"]
        assert put == ["Job Failed"]

    def test_step_functions_not_answering_is_worth_another_try(self, tables, other_calls, context):
        tables.put_job("j", **ACTION)
        other_calls.expects_error("stepfunctions", "get_execution_history", "ThrottlingException")
        with pytest.raises(errors.StepFunctionsUnavailable):
            stop.handler(ABANDONED, context)


@pytest.fixture
def put(monkeypatch):
    """The detail-types of the events that are put, however many."""
    found = []
    monkeypatch.setattr(
        stop.bus, "put", lambda _bus, detail_type, _detail: found.append(detail_type)
    )
    return found


@pytest.fixture
def announced(other_calls):
    """The details of the events that are put, each of which must be expected."""
    found = []

    def note(params, **_):
        (entry,) = params["Entries"]
        assert entry["EventBusName"] == "JobBus"
        status = json.loads(entry["Detail"])["status"].replace("TimedOut", "Timed Out")
        assert (entry["Source"], entry["DetailType"]) == ("acknowledger", f"Job {status}")
        found.append(json.loads(entry["Detail"]))

    other_calls.service("events").client.meta.events.register(
        "before-parameter-build.events.PutEvents", note
    )
    return found


def expect_announcement(calls):
    calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]})


def expect_failure(calls, job_id=JOB_ID, cause=CAUSE):
    request = {"jobId": job_id, "failureDetails": {"type": "JobFailed", "message": cause}}
    calls.expects("codepipeline", PUT, {}, request)


def expect_acknowledgment(calls, status="InProgress", job=INPUT["job"]):
    request = {"jobId": job["id"], "nonce": job["nonce"]}
    calls.expects("codepipeline", "acknowledge_job", {"status": status}, request)


def put_job(tables, **row):
    tables.put_job(JOB_ID, **({"execution": ARN} | row))


def assert_failed(row, cause=CAUSE, error="JobFailed"):
    assert (row["status"], row["error"], row["cause"]) == ("Failed", error, cause)
    assert ago(60) < row["times"]["Failed"] == row["updatedAt"] <= ago(0)
    days = (row["expiresAt"] - datetime.now(UTC).timestamp()) / 86_400
    assert 89.9 < days <= 90


def with_input(**changes):
    return with_detail(ABORTED, input=json.dumps(INPUT | changes))


class TestExecution:
    """An execution ended otherwise than by its definition."""

    def test_the_job_in_progress_is_failed_recorded_and_announced(
        self, tables, other_calls, context, announced
    ):
        put_job(tables)
        expect_failure(other_calls)
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert_failed(tables.job(JOB_ID))
        (detail,) = announced
        assert detail == {
            "jobId": JOB_ID,
            "actionType": INPUT["actionType"],
            "status": "Failed",
            "error": "JobFailed",
            "cause": CAUSE,
            "job": {name: value for name, value in INPUT["job"].items() if name != "nonce"},
        }

    @pytest.mark.parametrize(
        ("changes", "cause"),
        [
            ({"error": None, "cause": None}, "(ABORTED)"),
            ({"error": ..., "cause": ...}, "(ABORTED)"),
            ({"status": "TIMED_OUT", "error": None, "cause": None}, "(TIMED_OUT)"),
            (
                {"status": "FAILED", "error": "States.Runtime", "cause": "No."},
                "(FAILED): States.Runtime: No.",
            ),
            (
                {"cause": "x" * 6000},
                "(ABORTED): Operator: " + "x" * (5000 - len(CAUSE) + len("Wrong branch") - 1) + "…",
            ),
        ],
    )
    def test_the_pipeline_is_told_how_it_ended(
        self, tables, other_calls, context, announced, changes, cause
    ):
        cause = f"The job's execution was ended from outside {cause}"
        put_job(tables)
        expect_failure(other_calls, cause=cause)
        expect_announcement(other_calls)
        assert ended(with_detail(ABORTED, **changes), context) == [JOB_ID]
        assert tables.job(JOB_ID)["cause"] == announced[0]["cause"] == cause

    @pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched"])
    def test_a_job_that_is_not_known_to_be_ours_is_acknowledged_first(
        self, tables, other_calls, context, announced, log, status
    ):
        put_job(tables, status=status)
        expect_acknowledgment(other_calls)
        expect_failure(other_calls)
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        row = tables.job(JOB_ID)
        assert_failed(row)
        assert list(row["acknowledgeCalls"].values()) == [INPUT["job"]["nonce"]]
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert [line["message"] for line in lines] == ["Acknowledged late", "Reported"]
        assert {(line["job_id"], line["service"]) for line in lines} == {(JOB_ID, SERVICE)}

    @pytest.mark.parametrize("answer", ["InvalidNonceException", "Succeeded"])
    def test_a_job_that_is_another_workers_is_let_go(
        self, tables, other_calls, context, announced, answer
    ):
        put_job(tables, status="Dispatched")
        if answer.endswith("Exception"):
            other_calls.expects_error("codepipeline", "acknowledge_job", answer)
        else:
            expect_acknowledgment(other_calls, answer)
        assert ended(ABORTED, context) == []
        assert tables.job(JOB_ID) == {}

    @pytest.mark.parametrize(
        "row",
        [
            None,
            {"execution": f"{ARN}-newer"},
            {"status": "Succeeded"},
            {"status": "Failed"},
            {"status": "TimedOut"},
        ],
    )
    def test_a_job_that_is_not_its_any_more_is_left_alone(
        self, tables, other_calls, context, announced, row
    ):
        if row is not None:
            put_job(tables, **row)
        before = tables.job(JOB_ID)
        assert ended(ABORTED, context) == []
        assert tables.job(JOB_ID) == before

    def test_an_input_that_is_too_long_for_the_event_is_asked_for(
        self, tables, other_calls, context, announced
    ):
        answer = described(ARN, "ABORTED", input=ABORTED["detail"]["input"])
        request = {"executionArn": ARN}
        other_calls.expects("stepfunctions", "describe_execution", answer, request)
        put_job(tables)
        expect_failure(other_calls)
        expect_announcement(other_calls)
        assert ended(with_detail(ABORTED, input=None), context) == [JOB_ID]

    def test_a_partners_job_is_failed_with_its_clients_token(
        self, tables, other_calls, context, announced
    ):
        job = {"id": "theirs/1", "nonce": "3", "clientId": "c", "data": {}}
        tables.put_job("theirs/1", execution=ARN, clientId="c")
        parameter = {"Parameter": {"Name": "n", "Value": "secret"}}
        other_calls.expects("ssm", "get_parameter", parameter)
        request = {
            "jobId": "theirs/1",
            "clientToken": "secret",
            "failureDetails": {"type": "JobFailed", "message": CAUSE},
        }
        other_calls.expects("codepipeline", "put_third_party_job_failure_result", {}, request)
        expect_announcement(other_calls)
        assert ended(with_input(job=job), context) == ["theirs/1"]
        assert "secret" not in json.dumps(announced)

    def test_work_that_was_continued_is_failed_on_its_newest_job(
        self, tables, other_calls, context, announced
    ):
        put_job(tables, currentJobId=SECOND)
        expect_failure(other_calls, SECOND)
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert_failed(tables.job(JOB_ID))
        assert announced[0]["jobId"] == JOB_ID

    @pytest.mark.parametrize("before", [{}, {"currentJobId": THIRD}])
    def test_work_that_is_continued_meanwhile_is_failed_again_and_announced_once(
        self, tables, other_calls, context, announced, before
    ):
        put_job(tables, **before)
        tables.before("UpdateItem", lambda: put_job(tables, currentJobId=SECOND))
        expect_failure(other_calls, before.get("currentJobId", JOB_ID))
        expect_failure(other_calls, SECOND)
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert_failed(tables.job(JOB_ID))
        assert len(announced) == 1

    def test_work_that_is_continued_again_and_again_is_worth_another_try(
        self, tables, other_calls, context, announced
    ):
        put_job(tables)
        following = [f"{number}{SECOND[1:]}" for number in range(stop.REPORTS)]
        for newest in (JOB_ID, *following[:-1]):
            expect_failure(other_calls, newest)
        tables.dynamodb.meta.events.register(
            "before-parameter-build.dynamodb.UpdateItem",
            lambda **_: put_job(tables, currentJobId=following.pop(0)),
        )
        expect_announcement(other_calls)
        with pytest.raises(errors.NotStopped, match=JOB_ID):
            stop.handler(ABORTED, context)
        assert tables.job(JOB_ID)["status"] == "InProgress"
        assert len(announced) == 1

    def test_the_next_job_that_is_yet_to_come_finds_the_cause_in_the_row(
        self, tables, other_calls, context, announced
    ):
        put_job(tables, continuing={"jobId": JOB_ID, "executionDetails": {}, "sent": True})
        other_calls.expects_error("codepipeline", PUT, "InvalidJobStateException")
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert_failed(tables.job(JOB_ID))

    @pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
    def test_a_job_that_codepipeline_has_ended_is_recorded_all_the_same(
        self, tables, other_calls, context, announced, code
    ):
        put_job(tables)
        other_calls.expects_error("codepipeline", PUT, code)
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert_failed(tables.job(JOB_ID))
        assert announced[0]["cause"] == CAUSE

    @pytest.mark.parametrize(
        ("code", "status", "raised"),
        [
            ("InternalFailure", 500, errors.CodePipelineUnavailable),
            ("ThrottlingException", 400, errors.CodePipelineThrottled),
        ],
    )
    def test_codepipeline_not_answering_is_worth_another_try_which_finds_all_as_it_was(
        self, tables, other_calls, context, announced, code, status, raised
    ):
        put_job(tables)
        before = tables.job(JOB_ID)
        other_calls.expects_error("codepipeline", PUT, code, "No.", status)
        with pytest.raises(raised):
            stop.handler(ABORTED, context)
        assert tables.job(JOB_ID) == before
        expect_failure(other_calls)
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]

    @pytest.mark.parametrize("answer", ["refused", "failed"])
    def test_an_event_that_cannot_be_put_is_worth_another_try(
        self, tables, other_calls, context, announced, answer
    ):
        put_job(tables)
        expect_failure(other_calls)
        if answer == "refused":
            other_calls.expects_error("events", "put_events", "ThrottlingException", "Slow down.")
        else:
            failed = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Slow down."}
            entries = {"FailedEntryCount": 1, "Entries": [failed]}
            other_calls.expects("events", "put_events", entries)
        with pytest.raises(errors.BusUnavailable, match="Slow down"):
            stop.handler(ABORTED, context)
        assert tables.job(JOB_ID)["status"] == "InProgress"


class TestContinuation:
    """The execution that was ended had a job that continues another's."""

    def event(self, after="first"):
        return with_input(continues={"jobId": "first", "after": after})

    @pytest.mark.parametrize(
        ("after", "first"),
        [
            ("first", {"currentJobId": JOB_ID}),
            (SECOND, {"currentJobId": JOB_ID}),
            # It is about to be continued itself, or has been since.
            ("first", {"currentJobId": JOB_ID, "continuing": {"jobId": JOB_ID, "sent": True}}),
            ("first", {"currentJobId": SECOND}),
            ("first", {"currentJobId": SECOND, "continuing": {"jobId": SECOND, "sent": False}}),
        ],
    )
    def test_a_job_that_was_joined_is_the_other_executions(
        self, tables, other_calls, context, announced, after, first
    ):
        put_job(tables, status="Dispatched", acknowledgeCalls={"another": INPUT["job"]["nonce"]})
        tables.put_job("first", **first)
        before = tables.job("first")
        assert ended(self.event(after), context) == []
        assert tables.job(JOB_ID) == {}
        assert tables.job("first") == before

    @pytest.mark.parametrize(
        ("after", "first"),
        [
            ("first", {"continuing": {"jobId": "first", "sent": True}}),
            ("first", {"continuing": {"jobId": "first", "sent": False}}),
            ("first", {"status": "Failed", "continuing": {"jobId": "first", "sent": True}}),
            (SECOND, {"currentJobId": SECOND, "continuing": {"jobId": SECOND, "sent": True}}),
            ("first", {"status": "Succeeded"}),
            ("first", {"status": "Failed", "currentJobId": SECOND}),
            ("first", None),
        ],
    )
    def test_a_job_that_was_not_joined_yet_is_failed_by_itself(
        self, tables, other_calls, context, announced, after, first
    ):
        put_job(tables, status="Dispatched")
        if first is not None:
            tables.put_job("first", **first)
        before = tables.job("first")
        expect_acknowledgment(other_calls)
        expect_failure(other_calls)
        expect_announcement(other_calls)
        assert ended(self.event(after), context) == [JOB_ID]
        assert_failed(tables.job(JOB_ID))
        assert tables.job("first") == before


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (None, ["JSON object"]),
        (load_event("bad/intake-not-ours"), ["detail-type must be", "CodePipeline Action"]),
        (load_event("bad/stop-action-state"), ["action-execution-id", "ABANDONED, CANCELED"]),
        (with_detail(ABANDONED, state="STARTED"), ["state", "FAILED"]),
        (with_detail(ABANDONED, **{"action-execution-id": ...}), ["action-execution-id"]),
        # A pipeline's execution that is stopped has an event of its own for each action.
        (
            {**ABANDONED, "detail-type": "CodePipeline Pipeline Execution State Change"},
            ["detail-type must be"],
        ),
        (with_detail(ABORTED, executionArn=...), ["executionArn"]),
        (with_detail(ABORTED, status="RUNNING"), ["status"]),
        (with_detail(ABORTED, status="SUCCEEDED"), ["status"]),
        (load_event("bad/stop-execution-of-another-machine"), ["detail.input"]),
        (with_detail(ABORTED, input="not JSON"), ["detail.input"]),
        (with_detail(ABORTED, input="[]"), ["detail.input"]),
        ({**ABORTED, "detail": []}, ["detail must be an object"]),
    ],
)
def test_a_bad_event_is_refused_naming_the_field_before_any_call(event, fields, aws_calls, context):
    with pytest.raises(errors.EventInvalid) as refused:
        stop.handler(event, context)
    assert all(field in str(refused.value) for field in fields)


def test_how_many_jobs_were_stopped_is_counted(tables, other_calls, context, capsys, log):
    tables.put_job("j", **ACTION)
    expect_history(other_calls, "j", "t")
    expect_told(other_calls, "t", "CodePipeline has ended the action without us: ABANDONED")
    stop.handler(ABANDONED, context)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "JobsStopped" in line]
    assert json.loads(line)["JobsStopped"] == [1.0]
    told = json.loads(log.getvalue().splitlines()[0])
    assert (told["job_id"], told["service"]) == ("j", SERVICE)
    assert told["action_execution_id"] == ACTION["actionExecutionId"]


UNREPORTED = with_detail(ABORTED, status="FAILED", error="Unreported", cause="Lambda: No.")


def expect_payload(calls, payload):
    """The execution told Report something last."""
    scheduled = {
        "resourceType": "lambda",
        "resource": "invoke",
        "region": "us-east-1",
        "parameters": json.dumps({"FunctionName": "Report", "Payload": payload}),
    }
    events = [
        {"timestamp": 0, "type": "ExecutionFailed", "id": 4},
        {"timestamp": 0, "type": "TaskScheduled", "id": 3, "taskScheduledEventDetails": scheduled},
    ]
    request = {"executionArn": ARN, "reverseOrder": True, "maxResults": 10}
    calls.expects("stepfunctions", "get_execution_history", {"events": events}, request)


class TestUnreported:
    """An execution had an outcome, and could tell nobody."""

    OUTCOMES = (
        (
            {"status": "Succeeded", "result": {"continuationToken": "page-2"}},
            {"status": "Succeeded", "continuationToken": "page-2"},
        ),
        ({"status": "Succeeded", "result": None}, {"status": "Succeeded"}),
        (
            {"status": "Failed", "error": "ConfigurationError", "cause": "Why."},
            {"status": "Failed", "error": "ConfigurationError", "cause": "Why."},
        ),
        (
            {"status": "TimedOut", "limit": "JobTimeoutSeconds", "seconds": 60},
            {
                "status": "TimedOut",
                "error": "JobFailed",
                "cause": "The worker was not done within 60 seconds (JobTimeoutSeconds)",
            },
        ),
    )

    @pytest.mark.parametrize(("payload", "said"), OUTCOMES)
    def test_the_outcome_is_reported_as_it_is_recorded_and_announced(
        self, tables, other_calls, context, announced, payload, said
    ):
        put_job(tables)
        expect_payload(other_calls, {"jobId": JOB_ID, **payload})
        put = "put_job_success_result" if payload["status"] == "Succeeded" else PUT
        other_calls.expects("codepipeline", put, {})
        expect_announcement(other_calls)
        assert ended(UNREPORTED, context) == [JOB_ID]
        row = tables.job(JOB_ID)
        known = {name: row.get(name) for name in ("status", "error", "cause") if name in row}
        assert known == {name: said[name] for name in known}
        assert row["times"][said["status"]] == row["updatedAt"]
        assert announced[0] | said == announced[0]

    @pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
    def test_a_success_that_comes_too_late_is_recorded_as_a_failure_like_the_state_machines(
        self, tables, other_calls, context, announced, code
    ):
        put_job(tables)
        expect_payload(other_calls, {"jobId": JOB_ID, "status": "Succeeded", "result": {}})
        other_calls.expects_error("codepipeline", "put_job_success_result", code, "Over.")
        expect_announcement(other_calls)
        assert ended(UNREPORTED, context) == [JOB_ID]
        assert_failed(tables.job(JOB_ID), "Over.", code)

    def test_a_success_waits_for_the_next_job_of_its_chain(
        self, tables, other_calls, context, announced
    ):
        put_job(tables, continuing={"jobId": JOB_ID, "executionDetails": {}, "sent": True})
        expect_payload(other_calls, {"jobId": JOB_ID, "status": "Succeeded", "result": {}})
        other_calls.expects_error(
            "codepipeline", "put_job_success_result", "InvalidJobStateException"
        )
        with pytest.raises(errors.NextJobNotHere):
            stop.handler(UNREPORTED, context)
        assert tables.job(JOB_ID)["status"] == "InProgress"

    def test_codepipeline_still_not_answering_is_worth_another_try(
        self, tables, other_calls, context, announced
    ):
        put_job(tables)
        expect_payload(other_calls, {"jobId": JOB_ID, "status": "Succeeded", "result": {}})
        other_calls.expects_error(
            "codepipeline", "put_job_success_result", "InternalFailure", "No.", 500
        )
        with pytest.raises(errors.CodePipelineUnavailable):
            stop.handler(UNREPORTED, context)
        assert tables.job(JOB_ID)["status"] == "InProgress"

    def test_what_has_ended_meanwhile_is_left_as_it_is(self, tables, other_calls, context):
        put_job(tables, status="Failed", error="JobFailed", cause="Why.")
        expect_payload(other_calls, {"jobId": JOB_ID, "status": "Succeeded", "result": {}})
        assert ended(UNREPORTED, context) == []

    def test_an_execution_that_had_told_nobody_anything_is_no_such_thing(
        self, tables, other_calls, context
    ):
        put_job(tables)
        expect_payload(other_calls, None)
        with pytest.raises(errors.EventInvalid, match="JSON object"):
            stop.handler(UNREPORTED, context)
