import json
import time
from datetime import UTC, datetime

import pytest

import stop
from acknowledger import errors, stopping
from acknowledger.moments import ago
from tests.support import load_event
from tests.unit.conftest import SERVICE

ABANDONED = load_event("stop-action-abandoned")
ABORTED = load_event("stop-execution-aborted")
DUE = load_event("stop-job-due")
INPUT = json.loads(ABORTED["detail"]["input"])
JOB_ID = INPUT["job"]["id"]
ARN = ABORTED["detail"]["executionArn"]
ACTION = {"actionExecutionId": ABANDONED["detail"]["action-execution-id"]}
PUT = "put_job_failure_result"
CAUSE = "The job's execution was ended from outside (ABORTED): Operator: Wrong branch"
OVER_CAUSE = "CodePipeline has ended the action: ABANDONED"
OVER = {"error": "EndedElsewhere", "cause": OVER_CAUSE}
PAUSES = [0, *stopping.LOOK_AGAIN_SECONDS]
STATUSES = ["Created", "Queued", "Dispatched", "InProgress"]


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Records Stop's pauses instead of making them; `pauses.then[n]` is called at the nth."""

    class Pauses(list[float]):
        def __init__(self):
            super().__init__()
            self.then = {}

        def append(self, seconds):
            super().append(seconds)
            self.then.get(len(self), lambda: None)()

    found = Pauses()
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def expect_described(calls, status, **more):
    known = {"executionArn": ARN, "stateMachineArn": "m", "startDate": 0, "status": status}
    answer = known | {"input": json.dumps(INPUT)} | more
    calls.expects("stepfunctions", "describe_execution", answer, {"executionArn": ARN})


def expect_history(calls, token, status="RUNNING"):
    """Expect a look at the history of an execution that waits, is between two waits, or is over."""
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
    request = {"executionArn": ARN, "reverseOrder": True, "maxResults": 5}
    calls.expects("stepfunctions", "get_execution_history", {"events": [event]}, request)
    if token is None:
        expect_described(calls, status)


def expect_told(calls, token, cause):
    request = {"taskToken": token, "error": "EndedElsewhere", "cause": cause}
    calls.expects("stepfunctions", "send_task_failure", {}, request)


def ended(event, context):
    return stop.handler(event, context)["ended"]


def with_detail(event, **changes):
    detail = {name: value for name, value in {**event["detail"], **changes}.items() if value != ...}
    return {**event, "detail": detail}


def put_job(tables, **row):
    tables.put_job(JOB_ID, **({"execution": ARN} | row))


@pytest.fixture
def announced(other_calls):
    """The details of the events that are put; each event must be expected."""
    found = []
    other_calls.service("events").client.meta.events.register(
        "before-parameter-build.events.PutEvents",
        lambda params, **_: found.append(json.loads(params["Entries"][0]["Detail"])),
    )
    return found


def expect_announcement(calls):
    calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]})


def expect_failure(calls, cause=CAUSE):
    request = {"jobId": JOB_ID, "failureDetails": {"type": "JobFailed", "message": cause}}
    calls.expects("codepipeline", PUT, {}, request)


def expect_report(calls, outcome=None, *, answered=False):
    """Expect a look at the history for the outcome, if any, that Report was invoked with."""
    events = [{"timestamp": 0, "type": "ExecutionFailed", "id": 9}]
    if answered:
        events.append({"timestamp": 0, "type": "TaskSucceeded", "id": 8})
    if outcome is not None:
        payload = {"execution": ARN, "offer": INPUT, "outcome": outcome}
        scheduled = {
            "resourceType": "lambda",
            "resource": "invoke",
            "region": "us-east-1",
            "parameters": json.dumps({"FunctionName": "Report", "Payload": payload}),
        }
        events.append(
            {
                "timestamp": 0,
                "type": "TaskScheduled",
                "id": 3,
                "taskScheduledEventDetails": scheduled,
            }
        )
    calls.expects("stepfunctions", "get_execution_history", {"events": events})


class TestAction:
    """CodePipeline has ended an action."""

    @pytest.mark.parametrize(
        ("event", "cause"),
        [
            (ABANDONED, OVER_CAUSE),
            (with_detail(ABANDONED, state="CANCELED"), OVER_CAUSE.replace("ABANDONED", "CANCELED")),
            (
                load_event("stop-action-failed"),
                OVER_CAUSE.replace("ABANDONED", "FAILED: JobFailed: ")
                + "The job did not end within the action's time",
            ),
            (
                with_detail(ABANDONED, state="FAILED", **{"execution-result": {"error-code": "X"}}),
                OVER_CAUSE.replace("ABANDONED", "FAILED: X"),
            ),
        ],
    )
    @pytest.mark.parametrize("status", STATUSES)
    def test_the_end_is_noted_in_the_row_and_the_waiting_execution_woken(
        self, tables, other_calls, context, pauses, event, cause, status
    ):
        put_job(tables, status=status, **ACTION)
        tables.put_job("another")
        expect_history(other_calls, "t")
        expect_told(other_calls, "t", cause)
        assert ended(event, context) == [JOB_ID]
        row = tables.job(JOB_ID)
        assert (row["status"], row["over"]) == (status, {"error": "EndedElsewhere", "cause": cause})
        # The sweep checks that the execution ends.
        assert row["dueAt"] < ago(-61)
        assert pauses == [0]

    @pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
    def test_a_job_that_has_ended_is_left_alone(self, tables, other_calls, context, pauses, status):
        put_job(tables, status=status, **ACTION)
        assert ended(ABANDONED, context) == []
        assert pauses == [0]

    def test_an_older_attempt_of_the_action_ends_nothing(
        self, tables, other_calls, context, pauses
    ):
        older = ABANDONED["detail"]["execution-id"]
        put_job(tables, actionExecutionId="of the retry", pipelineExecutionId=older)
        assert ended(ABANDONED, context) == []
        # The job of the event might still have come.
        assert pauses == PAUSES

    def test_an_action_type_that_is_not_served_causes_no_call(
        self, tables, other_calls, context, pauses
    ):
        kind = {**ABANDONED["detail"]["type"], "provider": "SomebodyElses"}
        put_job(tables, **ACTION)
        tables.calls.clear()
        assert ended(with_detail(ABANDONED, type=kind), context) == []
        assert ended(with_detail(ABANDONED, type=...), context) == []
        assert (tables.calls, pauses) == ([], [])

    def test_an_event_that_comes_before_its_job_waits_for_it(
        self, tables, other_calls, context, pauses
    ):
        pauses.then[3] = lambda: put_job(tables, **ACTION)
        expect_history(other_calls, "t")
        expect_told(other_calls, "t", OVER_CAUSE)
        assert ended(ABANDONED, context) == [JOB_ID]
        assert pauses == PAUSES[:3]

    def test_an_execution_between_two_waits_is_checked_again(
        self, tables, other_calls, context, pauses
    ):
        put_job(tables, **ACTION)
        expect_history(other_calls, None)
        expect_history(other_calls, "gone by then")
        other_calls.expects_error("stepfunctions", "send_task_failure", "TaskTimedOut")
        expect_described(other_calls, "RUNNING")
        expect_history(other_calls, "t")
        expect_told(other_calls, "t", OVER_CAUSE)
        assert ended(ABANDONED, context) == [JOB_ID]
        assert pauses == PAUSES[:3]

    def test_a_job_that_its_execution_ends_in_the_meantime_is_not_ended_again(
        self, tables, other_calls, context, pauses
    ):
        """For example, CodePipeline's event is about a failure that we reported ourselves."""
        put_job(tables, **ACTION)
        expect_history(other_calls, None)
        pauses.then[2] = lambda: put_job(tables, status="Failed", **ACTION)
        assert ended(load_event("stop-action-failed"), context) == []
        assert pauses == PAUSES[:2]

    def test_an_execution_that_never_waits_is_an_error_after_bounded_pauses(
        self, tables, other_calls, context, pauses
    ):
        put_job(tables, **ACTION)
        for _ in PAUSES:
            expect_history(other_calls, None)
        with pytest.raises(errors.NotStopped, match=f"jobs {JOB_ID}: "):
            stop.handler(ABANDONED, context)
        assert pauses == PAUSES
        assert sum(pauses) < 15
        # It still runs: its own Report ends the job.
        assert tables.job(JOB_ID)["status"] == "InProgress"

    def test_a_row_that_was_deleted_after_the_query_is_ignored(
        self, tables, other_calls, context, pauses
    ):
        put_job(tables, **ACTION)
        key = {"jobId": {"S": JOB_ID}}
        tables.before("GetItem", lambda: tables.dynamodb.delete_item(TableName="JobTable", Key=key))
        assert ended(ABANDONED, context) == []

    @pytest.mark.parametrize("over", ["ABORTED", "FAILED", "TIMED_OUT", "SUCCEEDED"])
    @pytest.mark.parametrize("status", STATUSES)
    def test_a_job_whose_execution_is_over_is_ended_by_stop(
        self, tables, other_calls, context, announced, pauses, over, status
    ):
        put_job(tables, status=status, **ACTION)
        expect_history(other_calls, None, over)
        expect_report(other_calls)
        expect_announcement(other_calls)
        assert ended(ABANDONED, context) == [JOB_ID]
        row = tables.job(JOB_ID)
        assert (row["status"], row["error"], row["cause"]) == ("Failed", *OVER.values())
        assert announced[0]["cause"] == OVER_CAUSE
        assert pauses == [0]

    def test_an_error_of_step_functions_is_raised_as_retryable(self, tables, other_calls, context):
        put_job(tables, **ACTION)
        other_calls.expects_error("stepfunctions", "get_execution_history", "ThrottlingException")
        with pytest.raises(errors.StepFunctionsUnavailable):
            stop.handler(ABANDONED, context)


class TestExecution:
    """An execution was ended from outside."""

    @pytest.mark.parametrize(
        ("changes", "cause"),
        [
            ({}, "(ABORTED): Operator: Wrong branch"),
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
    def test_the_reason_is_reported_to_codepipeline(
        self, tables, other_calls, context, announced, changes, cause
    ):
        cause = f"The job's execution was ended from outside {cause}"
        put_job(tables)
        expect_report(other_calls)
        expect_failure(other_calls, cause)
        expect_announcement(other_calls)
        assert ended(with_detail(ABORTED, **changes), context) == [JOB_ID]
        row = tables.job(JOB_ID)
        assert (row["status"], row["error"]) == ("Failed", "JobFailed")
        assert row["cause"] == announced[0]["cause"] == cause

    def test_an_outcome_that_report_was_invoked_with_is_repeated(
        self, tables, other_calls, context, announced
    ):
        put_job(tables)
        expect_report(other_calls, {"result": {"continuationToken": "page-2"}})
        other_calls.expects("codepipeline", "put_job_success_result", {})
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert tables.job(JOB_ID)["status"] == "Succeeded"
        assert announced[0]["continuationToken"] == "page-2"

    @pytest.mark.parametrize("answered", [False, True])
    def test_the_event_of_a_report_interrupted_after_its_write_is_put(
        self, tables, other_calls, context, announced, answered
    ):
        put_job(tables, status="Succeeded")
        expect_report(other_calls, {"result": {}}, answered=answered)
        if not answered:
            expect_announcement(other_calls)
        assert ended(ABORTED, context) == []
        assert len(announced) == int(not answered)

    def test_the_event_of_a_report_that_writes_the_row_meanwhile_is_put(
        self, tables, other_calls, context, announced
    ):
        put_job(tables)
        expect_report(other_calls, {"result": {}})
        other_calls.expects("codepipeline", "put_job_success_result", {})
        expect_announcement(other_calls)
        tables.before("UpdateItem", lambda: put_job(tables, status="Succeeded"))
        assert ended(ABORTED, context) == []
        assert len(announced) == 1

    def test_a_success_waits_for_the_next_job_of_its_chain_until_the_sweep_retries(
        self, tables, other_calls, context, announced
    ):
        row = {"continuing": {"jobId": JOB_ID, "sent": True}, "progressAt": ago(3600)}
        put_job(tables, **row)
        for _ in range(2):
            expect_report(other_calls, {"result": {}})
            other_calls.expects_error(
                "codepipeline", "put_job_success_result", "InvalidJobStateException"
            )
        assert ended(ABORTED, context) == []
        assert ago(-50) < tables.job(JOB_ID)["dueAt"] <= ago(-60)
        put_job(tables, **row | {"progressAt": ago(25 * 3600)})
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert tables.job(JOB_ID)["error"] == "NextJobNotHere"

    def test_a_failure_waits_for_no_next_job_since_that_finds_it_in_the_row(
        self, tables, other_calls, context, announced
    ):
        put_job(tables, continuing={"jobId": JOB_ID, "sent": True})
        expect_report(other_calls)
        other_calls.expects_error("codepipeline", PUT, "InvalidJobStateException")
        expect_announcement(other_calls)
        assert ended(ABORTED, context) == [JOB_ID]
        assert tables.job(JOB_ID)["cause"] == CAUSE

    @pytest.mark.parametrize("row", [None, {"execution": f"{ARN}-newer"}])
    def test_a_job_that_no_longer_belongs_to_the_execution_is_left_alone(
        self, tables, other_calls, context, row
    ):
        if row is not None:
            put_job(tables, **row)
        before = tables.job(JOB_ID)
        assert ended(ABORTED, context) == []
        assert tables.job(JOB_ID) == before

    def test_an_input_that_is_too_long_for_the_event_is_read_from_the_execution(
        self, tables, other_calls, context, announced
    ):
        expect_described(other_calls, "ABORTED")
        put_job(tables)
        expect_report(other_calls)
        other_calls.expects("codepipeline", PUT, {})
        expect_announcement(other_calls)
        assert ended(with_detail(ABORTED, input=None), context) == [JOB_ID]

    def test_an_error_of_codepipeline_is_raised_as_retryable_and_leaves_the_row(
        self, tables, other_calls, context, announced
    ):
        put_job(tables)
        before = tables.job(JOB_ID)
        expect_report(other_calls)
        other_calls.expects_error("codepipeline", PUT, "InternalFailure", "No.", 500)
        with pytest.raises(errors.CodePipelineUnavailable):
            stop.handler(ABORTED, context)
        assert tables.job(JOB_ID) == before


class TestDue:
    """The sweep has found a job that should have ended or been continued by now."""

    @pytest.mark.parametrize(
        "row",
        [
            None,
            {"status": "Succeeded"},
            {"dueAt": ago(-3600)},
        ],
    )
    def test_a_job_that_is_no_longer_due_is_left_alone(self, tables, other_calls, context, row):
        if row is not None:
            put_job(tables, **row)
        assert ended(DUE, context) == []

    def test_a_due_job_whose_execution_is_over_is_ended(
        self, tables, other_calls, context, announced
    ):
        put_job(tables, dueAt=ago(1))
        expect_described(other_calls, "ABORTED", error="Operator", cause="Wrong branch")
        expect_report(other_calls)
        expect_failure(other_calls)
        expect_announcement(other_calls)
        assert ended(DUE, context) == [JOB_ID]
        assert tables.job(JOB_ID)["status"] == "Failed"

    def test_a_due_job_that_has_ended_unannounced_is_announced(
        self, tables, other_calls, context, announced
    ):
        put_job(tables, status="Failed", **OVER, unannounced=ago(60), dueAt=ago(1))
        expect_described(other_calls, "ABORTED")
        expect_report(other_calls)
        expect_announcement(other_calls)
        assert ended(DUE, context) == []
        assert announced[0]["cause"] == OVER_CAUSE
        assert tables.job(JOB_ID)["dueAt"] > ago(-86_400)

    def test_a_due_job_whose_execution_runs_is_due_again_in_a_minute(
        self, tables, other_calls, context
    ):
        put_job(tables, dueAt=ago(1))
        expect_described(other_calls, "RUNNING")
        assert ended(DUE, context) == []
        row = tables.job(JOB_ID)
        assert ago(-50) < row.pop("dueAt") <= ago(-60)
        assert row["status"] == "InProgress"

    def test_the_execution_of_a_due_job_that_is_over_is_woken_again(
        self, tables, other_calls, context
    ):
        put_job(tables, dueAt=ago(1), over=OVER)
        expect_described(other_calls, "RUNNING")
        expect_history(other_calls, "t")
        expect_told(other_calls, "t", OVER_CAUSE)
        assert ended(DUE, context) == []

    @pytest.mark.parametrize(
        ("worked", "limit", "continued"),
        [(83_000, 604_800, True), (60, 604_800, False), (83_000, 3600, False)],
    )
    def test_long_work_is_continued_by_another_job(
        self, tables, other_calls, context, announced, worked, limit, continued
    ):
        put_job(tables, dueAt=ago(1), updatedAt=ago(worked))
        limits = INPUT["timeouts"] | {"JobTimeoutSeconds": limit}
        expect_described(other_calls, "RUNNING", input=json.dumps(INPUT | {"timeouts": limits}))
        if continued:
            expect_announcement(other_calls)
        assert ended(DUE, context) == []
        assert announced == ([{"jobId": JOB_ID, "keepAlive": True}] if continued else [])

    def test_a_due_job_whose_execution_no_longer_exists_is_an_error(
        self, tables, other_calls, context
    ):
        put_job(tables, dueAt=ago(1))
        other_calls.expects_error("stepfunctions", "describe_execution", "ExecutionDoesNotExist")
        with pytest.raises(errors.NotStopped, match="its execution no longer exists"):
            stop.handler(DUE, context)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (None, ["JSON object"]),
        (load_event("bad/intake-not-ours"), ["detail-type must be", "CodePipeline Action"]),
        (load_event("bad/stop-action-state"), ["action-execution-id", "ABANDONED, CANCELED"]),
        (with_detail(ABANDONED, state="STARTED"), ["state", "FAILED"]),
        (with_detail(ABANDONED, **{"action-execution-id": ...}), ["action-execution-id"]),
        # Stopping a pipeline execution also gives an event for each action.
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
        (with_detail(DUE, jobId=...), ["jobId"]),
    ],
)
def test_a_bad_event_is_refused_naming_the_field_before_any_call(event, fields, aws_calls, context):
    with pytest.raises(errors.EventInvalid) as refused:
        stop.handler(event, context)
    assert all(field in str(refused.value) for field in fields)


def test_stopped_jobs_are_counted(tables, other_calls, context, capsys, log):
    put_job(tables, **ACTION)
    expect_history(other_calls, "t")
    expect_told(other_calls, "t", OVER_CAUSE)
    stop.handler(ABANDONED, context)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "JobsStopped" in line]
    assert json.loads(line)["JobsStopped"] == [1.0]
    told = json.loads(log.getvalue().splitlines()[0])
    assert (told["job_id"], told["service"]) == (JOB_ID, SERVICE)
    assert told["action_execution_id"] == ACTION["actionExecutionId"]
