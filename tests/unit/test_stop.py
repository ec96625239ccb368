import json
import time

import pytest

import stop
from acknowledger import errors, stopping
from acknowledger.moments import ago
from tests.support import load_event
from tests.unit.conftest import SERVICE, Context, happened, metrics_in, scheduled

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
    calls.expects_described(ARN, status, **{"input": json.dumps(INPUT)} | more)


def expect_history(calls, token, status="RUNNING"):
    """Expect a look at the history of an execution that waits, is between two waits, or is over."""
    resource = "putEvents.waitForTaskToken" if token else "putEvents"
    event = scheduled(2, resource, {"Entries": [{"Detail": {"taskToken": token}}]})
    request = {"executionArn": ARN, "reverseOrder": True, "maxResults": 5}
    calls.expects("stepfunctions", "get_execution_history", {"events": [event]}, request)
    if token is None:
        expect_described(calls, status)


def expect_told(calls, token, cause):
    request = {"taskToken": token, "error": "EndedElsewhere", "cause": cause}
    calls.expects("stepfunctions", "send_task_failure", {}, request)


def ended(event):
    return stop.handler(event, Context())["ended"]


def with_detail(event, **changes):
    detail = {name: value for name, value in {**event["detail"], **changes}.items() if value != ...}
    return {**event, "detail": detail}


def put_job(cloud, **row):
    cloud.put_job(JOB_ID, **({"execution": ARN} | row))


def expect_failure(calls, cause=CAUSE):
    request = {"jobId": JOB_ID, "failureDetails": {"type": "JobFailed", "message": cause}}
    calls.expects("codepipeline", PUT, {}, request)


def expect_report(calls, outcome=None, *, answered=False):
    """Expect a look at the history for the outcome, if any, that Report was invoked with."""
    events = [happened(9, "ExecutionFailed")]
    if answered:
        events.append(happened(8, "TaskSucceeded"))
    if outcome is not None:
        payload = {"execution": ARN, "offer": INPUT, "outcome": outcome}
        invoked = {"FunctionName": "Report", "Payload": payload}
        events.append(scheduled(3, "invoke", invoked, "lambda"))
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
        self, cloud, pauses, event, cause, status
    ):
        put_job(cloud, status=status, **ACTION)
        cloud.put_job("another")
        expect_history(cloud, "t")
        expect_told(cloud, "t", cause)
        assert ended(event) == [JOB_ID]
        row = cloud.job(JOB_ID)
        assert (row["status"], row["over"]) == (status, {"error": "EndedElsewhere", "cause": cause})
        # The sweep checks that the execution ends.
        assert row["dueAt"] < ago(-61)
        assert pauses == [0]

    @pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
    def test_a_job_that_has_ended_is_left_alone(self, cloud, pauses, status):
        put_job(cloud, status=status, **ACTION)
        assert ended(ABANDONED) == []
        assert pauses == [0]

    def test_an_older_attempt_of_the_action_ends_nothing(self, cloud, pauses):
        older = ABANDONED["detail"]["execution-id"]
        put_job(cloud, actionExecutionId="of the retry", pipelineExecutionId=older)
        assert ended(ABANDONED) == []
        # The job of the event might still have come.
        assert pauses == PAUSES

    def test_an_action_type_that_is_not_served_causes_no_call(self, cloud, pauses):
        kind = {**ABANDONED["detail"]["type"], "provider": "SomebodyElses"}
        put_job(cloud, **ACTION)
        cloud.calls.clear()
        assert ended(with_detail(ABANDONED, type=kind)) == []
        assert ended(with_detail(ABANDONED, type=...)) == []
        assert (cloud.calls, pauses) == ([], [])

    def test_an_event_that_comes_before_its_job_waits_for_it(self, cloud, pauses):
        pauses.then[3] = lambda: put_job(cloud, **ACTION)
        expect_history(cloud, "t")
        expect_told(cloud, "t", OVER_CAUSE)
        assert ended(ABANDONED) == [JOB_ID]
        assert pauses == PAUSES[:3]

    def test_an_execution_between_two_waits_is_checked_again(self, cloud, pauses):
        put_job(cloud, **ACTION)
        expect_history(cloud, None)
        expect_history(cloud, "gone by then")
        cloud.expects_error("stepfunctions", "send_task_failure", "TaskTimedOut")
        expect_described(cloud, "RUNNING")
        expect_history(cloud, "t")
        expect_told(cloud, "t", OVER_CAUSE)
        assert ended(ABANDONED) == [JOB_ID]
        assert pauses == PAUSES[:3]

    def test_a_job_that_its_execution_ends_in_the_meantime_is_not_ended_again(self, cloud, pauses):
        """For example, CodePipeline's event is about a failure that we reported ourselves."""
        put_job(cloud, **ACTION)
        expect_history(cloud, None)
        pauses.then[2] = lambda: put_job(cloud, status="Failed", **ACTION)
        assert ended(load_event("stop-action-failed")) == []
        assert pauses == PAUSES[:2]

    def test_an_execution_that_never_waits_is_an_error_after_bounded_pauses(self, cloud, pauses):
        put_job(cloud, **ACTION)
        for _ in PAUSES:
            expect_history(cloud, None)
        with pytest.raises(errors.NotStopped, match=f"jobs {JOB_ID}: "):
            stop.handler(ABANDONED, Context())
        assert pauses == PAUSES
        assert sum(pauses) < 15
        # It still runs: its own Report ends the job.
        assert cloud.job(JOB_ID)["status"] == "InProgress"

    def test_a_row_that_was_deleted_after_the_query_is_ignored(self, cloud, pauses):
        put_job(cloud, **ACTION)
        key = {"jobId": {"S": JOB_ID}}
        cloud.before("GetItem", lambda: cloud.dynamodb.delete_item(TableName="JobTable", Key=key))
        assert ended(ABANDONED) == []

    @pytest.mark.parametrize("over", ["ABORTED", "FAILED", "TIMED_OUT", "SUCCEEDED"])
    @pytest.mark.parametrize("status", STATUSES)
    def test_a_job_whose_execution_is_over_is_ended_by_stop(self, cloud, pauses, over, status):
        put_job(cloud, status=status, **ACTION)
        expect_history(cloud, None, over)
        expect_report(cloud)
        cloud.expects_event()
        assert ended(ABANDONED) == [JOB_ID]
        row = cloud.job(JOB_ID)
        assert (row["status"], row["error"], row["cause"]) == ("Failed", *OVER.values())
        assert cloud.announced[0]["cause"] == OVER_CAUSE
        assert pauses == [0]


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
    def test_the_reason_is_reported_to_codepipeline(self, cloud, changes, cause):
        cause = f"The job's execution was ended from outside {cause}"
        put_job(cloud)
        expect_report(cloud)
        expect_failure(cloud, cause)
        cloud.expects_event()
        assert ended(with_detail(ABORTED, **changes)) == [JOB_ID]
        row = cloud.job(JOB_ID)
        assert (row["status"], row["error"]) == ("Failed", "JobFailed")
        assert row["cause"] == cloud.announced[0]["cause"] == cause

    def test_an_outcome_that_report_was_invoked_with_is_repeated(self, cloud):
        put_job(cloud)
        expect_report(cloud, {"result": {"continuationToken": "page-2"}})
        cloud.expects("codepipeline", "put_job_success_result", {})
        cloud.expects_event()
        assert ended(ABORTED) == [JOB_ID]
        assert cloud.job(JOB_ID)["status"] == "Succeeded"
        assert cloud.announced[0]["continuationToken"] == "page-2"

    @pytest.mark.parametrize("answered", [False, True])
    def test_the_event_of_a_report_interrupted_after_its_write_is_put(self, cloud, answered):
        put_job(cloud, status="Succeeded")
        expect_report(cloud, {"result": {}}, answered=answered)
        if not answered:
            cloud.expects_event()
        assert ended(ABORTED) == []
        assert len(cloud.announced) == int(not answered)

    def test_the_event_of_a_report_that_writes_the_row_meanwhile_is_put(self, cloud):
        put_job(cloud)
        expect_report(cloud, {"result": {}})
        cloud.expects("codepipeline", "put_job_success_result", {})
        cloud.expects_event()
        cloud.before("UpdateItem", lambda: put_job(cloud, status="Succeeded"))
        assert ended(ABORTED) == []
        assert len(cloud.announced) == 1

    def test_a_success_waits_for_the_next_job_of_its_chain_until_the_sweep_retries(self, cloud):
        row = {"continuing": {"jobId": JOB_ID, "sent": True}, "progressAt": ago(3600)}
        put_job(cloud, **row)
        for _ in range(2):
            expect_report(cloud, {"result": {}})
            cloud.expects_error(
                "codepipeline", "put_job_success_result", "InvalidJobStateException"
            )
        assert ended(ABORTED) == []
        assert ago(-50) < cloud.job(JOB_ID)["dueAt"] <= ago(-60)
        put_job(cloud, **row | {"progressAt": ago(25 * 3600)})
        cloud.expects_event()
        assert ended(ABORTED) == [JOB_ID]
        assert cloud.job(JOB_ID)["error"] == "NextJobNotHere"

    def test_a_failure_waits_for_no_next_job_since_that_finds_it_in_the_row(self, cloud):
        put_job(cloud, continuing={"jobId": JOB_ID, "sent": True})
        expect_report(cloud)
        cloud.expects_error("codepipeline", PUT, "InvalidJobStateException")
        cloud.expects_event()
        assert ended(ABORTED) == [JOB_ID]
        assert cloud.job(JOB_ID)["cause"] == CAUSE

    @pytest.mark.parametrize("row", [None, {"execution": f"{ARN}-newer"}])
    def test_a_job_that_no_longer_belongs_to_the_execution_is_left_alone(self, cloud, row):
        if row is not None:
            put_job(cloud, **row)
        before = cloud.job(JOB_ID)
        assert ended(ABORTED) == []
        assert cloud.job(JOB_ID) == before

    def test_an_input_that_is_too_long_for_the_event_is_read_from_the_execution(self, cloud):
        expect_described(cloud, "ABORTED")
        put_job(cloud)
        expect_report(cloud)
        cloud.expects("codepipeline", PUT, {})
        cloud.expects_event()
        assert ended(with_detail(ABORTED, input=None)) == [JOB_ID]


class TestDue:
    """The sweep has found a job that should have ended or been continued by now."""

    @pytest.mark.parametrize("row", [None, {"status": "Succeeded"}, {"dueAt": ago(-3600)}])
    def test_a_job_that_is_no_longer_due_is_left_alone(self, cloud, row):
        if row is not None:
            put_job(cloud, **row)
        assert ended(DUE) == []

    def test_a_due_job_whose_execution_is_over_is_ended(self, cloud):
        put_job(cloud, dueAt=ago(1))
        expect_described(cloud, "ABORTED", error="Operator", cause="Wrong branch")
        expect_report(cloud)
        expect_failure(cloud)
        cloud.expects_event()
        assert ended(DUE) == [JOB_ID]
        assert cloud.job(JOB_ID)["status"] == "Failed"

    def test_a_due_job_that_has_ended_unannounced_is_announced(self, cloud):
        put_job(cloud, status="Failed", **OVER, unannounced=ago(60), dueAt=ago(1))
        expect_described(cloud, "ABORTED")
        expect_report(cloud)
        cloud.expects_event()
        assert ended(DUE) == []
        assert cloud.announced[0]["cause"] == OVER_CAUSE
        assert cloud.job(JOB_ID)["dueAt"] > ago(-86_400)

    def test_a_due_job_whose_execution_runs_is_due_again_in_a_minute(self, cloud):
        put_job(cloud, dueAt=ago(1))
        expect_described(cloud, "RUNNING")
        assert ended(DUE) == []
        row = cloud.job(JOB_ID)
        assert ago(-50) < row.pop("dueAt") <= ago(-60)
        assert row["status"] == "InProgress"

    def test_the_execution_of_a_due_job_that_is_over_is_woken_again(self, cloud):
        put_job(cloud, dueAt=ago(1), over=OVER)
        expect_described(cloud, "RUNNING")
        expect_history(cloud, "t")
        expect_told(cloud, "t", OVER_CAUSE)
        assert ended(DUE) == []

    @pytest.mark.parametrize(
        ("worked", "limit", "continued"),
        [(83_000, 604_800, True), (60, 604_800, False), (83_000, 3600, False)],
    )
    def test_long_work_is_continued_by_another_job(self, cloud, worked, limit, continued):
        put_job(cloud, dueAt=ago(1), updatedAt=ago(worked))
        limits = INPUT["timeouts"] | {"JobTimeoutSeconds": limit}
        expect_described(cloud, "RUNNING", input=json.dumps(INPUT | {"timeouts": limits}))
        if continued:
            cloud.expects_event()
        assert ended(DUE) == []
        assert cloud.announced == ([{"jobId": JOB_ID, "keepAlive": True}] if continued else [])

    def test_a_due_job_whose_execution_no_longer_exists_is_an_error(self, cloud):
        put_job(cloud, dueAt=ago(1))
        cloud.expects_described(ARN, None)
        with pytest.raises(errors.NotStopped, match="its execution no longer exists"):
            stop.handler(DUE, Context())


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (with_detail(ABANDONED, state="STARTED"), "state .*FAILED"),
        # Stopping a pipeline execution also gives an event for each action.
        ({**ABANDONED, "detail-type": "CodePipeline Pipeline Execution State Change"}, "must be"),
        (with_detail(ABORTED, status="RUNNING"), "status"),
        (with_detail(ABORTED, status="SUCCEEDED"), "status"),
        (load_event("bad/stop-execution-of-another-machine"), "detail.input"),
        (with_detail(ABORTED, input="not JSON"), "detail.input"),
        (with_detail(ABORTED, input="[]"), "detail.input"),
        (with_detail(DUE, jobId=...), "jobId"),
    ],
)
def test_a_bad_event_is_refused_naming_the_field_before_any_call(event, field, aws_calls):
    with pytest.raises(errors.EventInvalid, match=field):
        stop.handler(event, Context())


def test_stopped_jobs_are_counted(cloud, capsys, log):
    put_job(cloud, **ACTION)
    expect_history(cloud, "t")
    expect_told(cloud, "t", OVER_CAUSE)
    stop.handler(ABANDONED, Context())
    assert metrics_in(capsys.readouterr().out) == {"JobsStopped": (1, "Count")}
    told = log.lines[0]
    assert (told["job_id"], told["service"]) == (JOB_ID, SERVICE)
    assert told["action_execution_id"] == ACTION["actionExecutionId"]
