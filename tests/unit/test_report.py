import json

import pytest

import report
from acknowledger import errors
from acknowledger.moments import ago
from tests.support import load_event, metrics_by_action_type
from tests.unit.conftest import Context, metrics_in

SUCCEEDED = load_event("report-succeeded")
FAILED = load_event("report-failed")
TIMED_OUT = load_event("report-timed-out")
JOB_ID = SUCCEEDED["offer"]["job"]["id"]


@pytest.fixture
def job(cloud):
    def put(**row):
        cloud.put_job(JOB_ID, **{"execution": SUCCEEDED["execution"]} | row)

    return put


def expect_result(calls, operation="put_job_success_result"):
    calls.expects("codepipeline", operation, {})
    calls.expects_event()


def test_the_answer_to_the_state_machine_is_what_was_reported(job, cloud, log):
    job()
    expect_result(cloud, "put_job_failure_result")
    failure = FAILED["outcome"]["failure"]
    said = {"status": "Failed", "error": failure["Error"], "cause": failure["Cause"]}
    assert report.handler(FAILED, Context()) == said
    (line,) = log.lines
    assert line | said | {"message": "Reported", "job_id": JOB_ID} == line


def test_the_duration_of_a_job_and_of_each_status_is_measured(job, cloud, capsys):
    reached = {"Created": 100, "Queued": 95, "Dispatched": 65, "InProgress": 60}
    job(times={status: ago(seconds) for status, seconds in reached.items()})
    expect_result(cloud)
    report.handler(SUCCEEDED, Context())
    found = metrics_in(capsys.readouterr().out)
    assert found.pop("JobsSucceeded") == (1, "Count")
    assert {unit for _, unit in found.values()} == {"Seconds"}
    seconds = {name: value for name, (value, _) in found.items()}
    spent = {"TimeInCreated": 5, "TimeInQueued": 30, "TimeInDispatched": 5, "TimeInInProgress": 60}
    assert seconds == pytest.approx(spent | {"JobDuration": 100}, abs=2)


def test_results_are_also_counted_by_action_type_if_configured(cloud, capsys, monkeypatch):
    monkeypatch.setenv("METRICS_BY_ACTION_TYPE", "true")
    kinds = ("Custom/Build/MyTool/1", "Custom/Test/Other/2", "Custom/Build/MyTool/1")
    for number, kind in enumerate(kinds):
        offer = SUCCEEDED["offer"] | {"actionType": kind}
        job_id = f"{JOB_ID[:-1]}{number}"
        offer = offer | {"job": offer["job"] | {"id": job_id}}
        cloud.put_job(job_id, execution=SUCCEEDED["execution"], actionType=kind)
        expect_result(cloud)
        report.handler(SUCCEEDED | {"offer": offer}, Context())
        (line,) = [each for each in capsys.readouterr().out.splitlines() if '"_aws"' in each]
        document = json.loads(line)
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        dimensions = sorted(map(sorted, directive["Dimensions"]))
        assert dimensions == [["action_type", "service"], ["service"]]
        assert (document["action_type"], document["JobsSucceeded"]) == (kind, [1])


def test_every_metric_of_report_but_progress_is_also_counted_by_action_type(
    job, cloud, capsys, monkeypatch
):
    """Each of them costs: tests/template/test_alarms.py compares that with the documentation."""
    monkeypatch.setenv("METRICS_BY_ACTION_TYPE", "true")
    times = dict.fromkeys(("Created", "Queued", "Dispatched", "InProgress"), ago(60))
    job(times=times)
    expect_result(cloud)
    report.handler(SUCCEEDED, Context())
    job(times=times)
    cloud.expects_error("codepipeline", "put_job_success_result", "JobNotFoundException")
    cloud.expects_event()
    report.handler(SUCCEEDED, Context())
    job(times=times)
    expect_result(cloud, "put_job_failure_result")
    report.handler(TIMED_OUT, Context())
    assert "shown" in report.handler(load_event("report-job-progress"), Context())
    counted = {
        metric["Name"]
        for line in capsys.readouterr().out.splitlines()
        if '"_aws"' in line
        for directive in json.loads(line)["_aws"]["CloudWatchMetrics"]
        if any("action_type" in dimensions for dimensions in directive["Dimensions"])
        for metric in directive["Metrics"]
    }
    assert counted == metrics_by_action_type()


def test_a_repeated_report_is_not_counted_again(job, cloud, capsys):
    job(status="Succeeded")
    cloud.expects_event()
    report.handler(SUCCEEDED, Context())
    assert metrics_in(capsys.readouterr().out) == {}


def test_a_result_that_is_refused_is_counted_and_logged_with_its_job(job, cloud, capsys, log):
    job(actionType="Custom/Build/MyTool/1")
    cloud.expects_error("codepipeline", "put_job_success_result", "JobNotFoundException")
    cloud.expects_event()
    assert report.handler(SUCCEEDED, Context())["error"] == "EndedElsewhere"
    assert metrics_in(capsys.readouterr().out)["ReportsRefused"] == (1, "Count")
    line = log.lines[0]
    assert (line["job_id"], line["action_type"]) == (JOB_ID, "Custom/Build/MyTool/1")
    assert (line["level"], line["error"]) == ("WARNING", "JobNotFoundException")


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("AccessDeniedException", 400, errors.CodePipelineRefused),
        ("ThrottlingException", 400, errors.CodePipelineThrottled),
        ("InternalFailure", 500, errors.CodePipelineUnavailable),
    ],
)
def test_a_retryable_error_is_raised(code, status, error, job, cloud):
    job()
    cloud.expects_error("codepipeline", "put_job_success_result", code, "No.", status)
    with pytest.raises(error, match=f"^{code}: No"):
        report.handler(SUCCEEDED, Context())
    assert cloud.job(JOB_ID)["status"] == "InProgress"


def test_nothing_is_reported_if_the_row_cannot_be_read(aws_calls):
    aws_calls.expects_error("dynamodb", "get_item", "InternalServerError", "Later.", 500)
    with pytest.raises(errors.TableUnavailable, match="Later"):
        report.handler(SUCCEEDED, Context())


@pytest.mark.parametrize(
    ("event", "told"),
    [("bad/report-outcome", "outcome"), ("intake-schedule", "detail-type must be 'Job Progress'")],
)
def test_an_invalid_event_is_refused(event, told, aws_calls):
    with pytest.raises(errors.EventInvalid, match=told):
        report.handler(load_event(event), Context())
