import json

import pytest

import report
from acknowledger import errors
from acknowledger.moments import ago
from tests.support import load_event, metrics_by_action_type
from tests.unit.conftest import metrics_in

SUCCEEDED = load_event("report-succeeded")
FAILED = load_event("report-failed")
TIMED_OUT = load_event("report-timed-out")
JOB_ID = SUCCEEDED["offer"]["job"]["id"]


@pytest.fixture
def job(tables):
    def put(**row):
        tables.put_job(JOB_ID, **{"execution": SUCCEEDED["execution"]} | row)

    return put


def expect_result(calls, operation="put_job_success_result"):
    calls.expects("codepipeline", operation, {})
    calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]})


def test_the_answer_to_the_state_machine_is_what_was_reported(job, other_calls, context, log):
    job()
    expect_result(other_calls, "put_job_failure_result")
    failure = FAILED["outcome"]["failure"]
    said = {"status": "Failed", "error": failure["Error"], "cause": failure["Cause"]}
    assert report.handler(FAILED, context) == said
    (line,) = map(json.loads, log.getvalue().splitlines())
    assert line | said | {"message": "Reported", "job_id": JOB_ID} == line


def test_the_duration_of_a_job_and_of_each_status_is_measured(job, other_calls, context, capsys):
    reached = {"Created": 100, "Queued": 95, "Dispatched": 65, "InProgress": 60}
    job(times={status: ago(seconds) for status, seconds in reached.items()})
    expect_result(other_calls)
    report.handler(SUCCEEDED, context)
    found = metrics_in(capsys.readouterr().out)
    assert found.pop("JobsSucceeded") == (1, "Count")
    assert {unit for _, unit in found.values()} == {"Seconds"}
    seconds = {name: value for name, (value, _) in found.items()}
    expected = {"Created": 5, "Queued": 30, "Dispatched": 5, "InProgress": 60}
    assert seconds == pytest.approx(
        {f"TimeIn{status}": value for status, value in expected.items()} | {"JobDuration": 100},
        abs=2,
    )


def test_results_are_also_counted_by_action_type_if_configured(
    tables, other_calls, context, capsys, monkeypatch
):
    monkeypatch.setenv("METRICS_BY_ACTION_TYPE", "true")
    kinds = ("Custom/Build/MyTool/1", "Custom/Test/Other/2", "Custom/Build/MyTool/1")
    for number, kind in enumerate(kinds):
        offer = SUCCEEDED["offer"] | {"actionType": kind}
        job_id = f"{JOB_ID[:-1]}{number}"
        offer = offer | {"job": offer["job"] | {"id": job_id}}
        tables.put_job(job_id, execution=SUCCEEDED["execution"], actionType=kind)
        expect_result(other_calls)
        report.handler(SUCCEEDED | {"offer": offer}, context)
        (line,) = [each for each in capsys.readouterr().out.splitlines() if '"_aws"' in each]
        document = json.loads(line)
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        assert sorted(map(sorted, directive["Dimensions"])) == [
            ["action_type", "service"],
            ["service"],
        ]
        assert (document["action_type"], document["JobsSucceeded"]) == (kind, [1])


def test_every_metric_of_report_but_progress_is_also_counted_by_action_type(
    job, other_calls, context, capsys, monkeypatch
):
    """Each of them costs: tests/template/test_alarms.py compares that with the documentation."""
    monkeypatch.setenv("METRICS_BY_ACTION_TYPE", "true")
    times = dict.fromkeys(("Created", "Queued", "Dispatched", "InProgress"), ago(60))
    job(times=times)
    expect_result(other_calls)
    report.handler(SUCCEEDED, context)
    job(times=times)
    other_calls.expects_error("codepipeline", "put_job_success_result", "JobNotFoundException")
    other_calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": []})
    report.handler(SUCCEEDED, context)
    job(times=times)
    expect_result(other_calls, "put_job_failure_result")
    report.handler(TIMED_OUT, context)
    assert "shown" in report.handler(load_event("report-job-progress"), context)
    directives = [
        directive
        for line in capsys.readouterr().out.splitlines()
        if '"_aws"' in line
        for directive in json.loads(line)["_aws"]["CloudWatchMetrics"]
    ]
    counted = {
        metric["Name"]
        for directive in directives
        if any("action_type" in dimensions for dimensions in directive["Dimensions"])
        for metric in directive["Metrics"]
    }
    assert counted == metrics_by_action_type()


def test_a_repeated_report_is_not_counted_again(job, other_calls, context, capsys):
    job(status="Succeeded")
    other_calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": []})
    report.handler(SUCCEEDED, context)
    assert metrics_in(capsys.readouterr().out) == {}


def test_a_result_that_is_refused_is_counted_and_logged_with_its_job(
    job, other_calls, context, capsys, log
):
    job(actionType="Custom/Build/MyTool/1")
    other_calls.expects_error("codepipeline", "put_job_success_result", "JobNotFoundException")
    other_calls.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": []})
    assert report.handler(SUCCEEDED, context)["error"] == "EndedElsewhere"
    assert metrics_in(capsys.readouterr().out)["ReportsRefused"] == (1, "Count")
    line = json.loads(log.getvalue().splitlines()[0])
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
def test_a_retryable_error_is_raised(code, status, error, job, tables, other_calls, context):
    job()
    other_calls.expects_error("codepipeline", "put_job_success_result", code, "No.", status)
    with pytest.raises(error):
        report.handler(SUCCEEDED, context)
    assert tables.job(JOB_ID)["status"] == "InProgress"


def test_nothing_is_reported_if_the_row_cannot_be_read(aws_calls, context):
    aws_calls.expects_error("dynamodb", "get_item", "InternalServerError", "Later.", 500)
    with pytest.raises(errors.TableUnavailable, match="Later"):
        report.handler(SUCCEEDED, context)


def test_an_invalid_payload_is_refused(aws_calls, context):
    with pytest.raises(errors.EventInvalid, match="outcome"):
        report.handler(load_event("bad/report-outcome"), context)


@pytest.mark.parametrize(
    "event", [load_event("intake-schedule"), {"detail-type": "Job In Progress", "detail": {}}]
)
def test_an_event_of_another_detail_type_is_refused(event, aws_calls, context):
    with pytest.raises(errors.EventInvalid, match="detail-type must be 'Job Progress'"):
        report.handler(event, context)
