import json
import logging
import threading
import time

import pytest

from acknowledger_worker import (
    AWSUnavailable,
    Continuation,
    JobCancelled,
    JobFailed,
    JobHandedBack,
    JobHeld,
    PermissionError,  # noqa: A004
)
from doubles import Context, Waiting, refusal, wait_for


@pytest.mark.parametrize(
    ("function", "what", "told"),
    [
        (lambda job: None, "success", {"output": "{}"}),
        (lambda job: Continuation(job.id), "success", {"output": '{"continuationToken": "1111'}),
        (lambda job: 1 / 0, "failure", {"error": "JobFailed", "cause": "ZeroDivisionError: "}),
        (lambda job: "done", "failure", {"error": "JobFailed", "cause": "the worker's function"}),
    ],
)
def test_the_result_or_exception_of_the_function_is_reported(
    aws, step_functions, event, function, what, told
):
    aws.worker(function)(event, Context())
    end, request = step_functions.end
    assert end == what
    assert request.pop("taskToken") == event["detail"]["taskToken"]
    assert request.keys() == told.keys()
    assert all(request[name].startswith(value) for name, value in told.items())


def test_a_job_that_was_answered_is_not_processed_again(aws, step_functions, event):
    worked: list[object] = []
    worker = aws.worker(worked.append)
    for _ in range(2):
        worker(event, Context())
    assert len(worked) == 1
    assert step_functions.end[0] == "success"


def test_two_deliveries_at_once_in_a_process_are_processed_once(aws, step_functions, event):
    function = Waiting()
    worker = aws.worker(function)
    first = threading.Thread(target=worker, args=(event, Context()))
    first.start()
    assert function.begun.wait(60)
    with pytest.raises(JobHeld, match="is being processed by this process"):
        worker(event, Context())
    function.go_on.set()
    first.join(60)
    assert len(function.jobs) == 1
    assert step_functions.end[0] == "success"


def test_heartbeats_are_sent_while_the_function_works(aws, step_functions, event):
    event["detail"]["heartbeatTimeoutSeconds"] = 0.03

    def function(job):
        assert step_functions.beaten.wait(60)

    aws.worker(function)(event, Context())
    assert [what for what, _ in step_functions.told][:2] == ["heartbeat", "heartbeat"]
    assert step_functions.end[0] == "success"


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_job_that_ends_during_the_work_is_stopped_and_not_answered(
    aws, step_functions, event, code, caplog
):
    caplog.set_level(logging.INFO)
    event["detail"]["heartbeatTimeoutSeconds"] = 0.03
    stopped = []

    def function(job):
        step_functions.error = code
        try:
            job.wait(10)
        except JobCancelled as reason:
            stopped.append(str(reason))
            raise

    aws.worker(function)(event, Context())
    assert stopped == [f"the heartbeat could not be sent: {code}"]
    assert step_functions.asked == {"heartbeat"}
    assert code in caplog.text
    assert "Traceback" not in caplog.text


def test_an_answer_that_comes_too_late_is_no_error(aws, step_functions, event):
    def function(job):
        step_functions.error = "TaskTimedOut"

    aws.worker(function)(event, Context())
    assert [what for what, _ in step_functions.told] == ["heartbeat"]


def test_a_lost_heartbeat_does_not_stop_the_job(aws, step_functions, event, caplog):
    event["detail"]["heartbeatTimeoutSeconds"] = 0.03

    def function(job):
        step_functions.error = "ThrottlingException"
        wait_for(lambda: "ThrottlingException" in caplog.text, "a heartbeat to fail", seconds=10)
        step_functions.error = ""
        assert step_functions.beaten.wait(60)
        job.check()

    aws.worker(function)(event, Context())
    assert step_functions.end[0] == "success"


@pytest.mark.parametrize(
    ("code", "error"), [("InternalServerError", AWSUnavailable), ("AccessDenied", PermissionError)]
)
def test_the_delivery_fails_if_the_execution_can_not_be_answered(
    aws, step_functions, event, code, error
):
    step_functions.error = code
    with pytest.raises(error, match=code) as caught:
        aws.worker(lambda job: None)(event, Context())
    assert "secret-in-aws-message" not in str(caught.value)


def test_a_job_fails_before_its_lambda_function_runs_out_of_time(aws, step_functions, event):
    seconds = []

    def function(job):
        began = time.monotonic()
        with pytest.raises(JobCancelled, match="worker's Lambda function is about to time out"):
            job.wait(10)
        seconds.append(time.monotonic() - began)

    aws.worker(function)(event, Context(seconds=0.2))
    assert step_functions.end == (
        "failure",
        {
            "taskToken": event["detail"]["taskToken"],
            "error": "JobFailed",
            "cause": "The worker's Lambda function is about to time out",
        },
    )
    assert seconds[0] < 5


def test_a_current_job_can_be_handed_back(aws, step_functions, event):
    def function(job):
        worker.hand_back()
        job.wait(10)

    worker = aws.worker(function)
    with pytest.raises(JobHandedBack):
        worker.deliver(event)
    with pytest.raises(JobHandedBack):
        worker.deliver(event)
    assert {what for what, _ in step_functions.told} == {"heartbeat"}


def test_the_folder_of_a_job_is_removed_afterwards(aws, event):
    folders = []
    aws.worker(lambda job: folders.append(job.folder))(event, Context())
    assert not folders[0].parent.exists()


class Events:
    def __init__(self, failed=0):
        self.entries = []
        self.failed = failed

    def put_events(self, Entries):  # noqa: N803
        self.entries += Entries
        return {"FailedEntryCount": self.failed, "Entries": [{"ErrorCode": "ThrottlingException"}]}


def test_progress_is_put_on_the_job_bus(aws, event):
    aws.clients["events"] = events = Events()
    aws.worker(lambda job: job.progress(40, "Linking"), job_bus_name="jobs")(event, Context())
    (entry,) = events.entries
    assert (entry["EventBusName"], entry["DetailType"]) == ("jobs", "Job Progress")
    assert json.loads(entry["Detail"]) == {
        "jobId": event["detail"]["jobId"],
        "percentComplete": 40,
        "summary": "Linking",
    }


def test_refused_progress_is_logged_and_the_job_goes_on(aws, step_functions, event, caplog):
    aws.clients["events"] = Events(failed=1)
    aws.worker(lambda job: job.progress(40), job_bus_name="jobs")(event, Context())
    assert "progress could not be reported: ThrottlingException" in caplog.text
    assert step_functions.end[0] == "success"


def test_without_a_bus_there_is_no_progress(aws, step_functions, event, monkeypatch):
    monkeypatch.delenv("JOB_BUS_NAME", raising=False)
    aws.worker(lambda job: job.progress(40))(event, Context())
    assert step_functions.end[1]["cause"] == "the worker needs JOB_BUS_NAME to report progress"


def test_a_raised_job_failure_is_logged_without_a_trace(aws, event, caplog):
    caplog.set_level(logging.INFO)

    def function(job):
        raise JobFailed("3 tests failed")

    aws.worker(function)(event, Context())
    assert "JobFailed: 3 tests failed" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_missing_permission_for_the_table_fails_the_job(aws, step_functions, event):
    class Table:
        def update_item(self, **request):
            raise refusal("AccessDeniedException")

    aws.clients["dynamodb"] = Table()
    aws.worker(lambda job: None, job_table_name="JobTable")(event, Context())
    assert step_functions.end[1]["error"] == "PermissionError"
    assert "AccessDeniedException" in step_functions.end[1]["cause"]
