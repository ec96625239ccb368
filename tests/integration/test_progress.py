"""Progress, long work and continuation in the whole stack."""

import time

import pytest

from tests.support import wait_for

pytestmark = pytest.mark.slow

PARAMETERS = {"ProgressIntervalSeconds": "1"}
JOIN = ["Created", "Queued", "Dispatched", "StandDown"]


@pytest.fixture
def quick(owners_world):
    """A CodePipeline that soon creates the next job of a chain."""
    owners_world.emulator.behaviour.continuation_seconds = 0.5
    return owners_world


def show(world, name, row, *, joined=True, **progress):
    """Report progress until it is shown, and wait for the next job of the chain."""
    job_id = row["jobId"]["S"]
    before = current(world, name)

    def shown():
        world.tell_progress(job_id, **progress)
        return wait_for_half(lambda: shows(world.action(name), progress))

    wait_for(shown, f"{progress} to show", seconds=20)
    if joined:
        join(world, name, before)


def wait_for_half(condition):
    end = time.monotonic() + 0.5
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def sweep_until(world, condition, what):
    """Sweep until something has happened; return it."""

    def swept():
        world.cloud.schedule.fire()
        return wait_for_half(condition)

    return wait_for(swept, what, seconds=30)


def shows(action, progress):
    return all(action.get(name) == value for name, value in progress.items())


def join(world, name, before):
    sweep_until(world, lambda: current(world, name) != before, "the next job to join the work")


def current(world, name):
    return max((row.get("currentJobId", {}).get("S", "") for row in world.rows(name)), default="")


def first_row(world, row):
    table = world.stack.outputs["JobTableName"]
    found = world.client("dynamodb").get_item(TableName=table, Key={"jobId": row["jobId"]})
    return found["Item"]


def ended(world, row, status):
    wait_for(
        lambda: first_row(world, row)["status"]["S"] == status,
        f"the row to be {status}",
        seconds=20,
    )


def test_progress_is_shown_by_a_chain_of_jobs_while_the_work_goes_on(quick):
    name, row = quick.hang()
    token = quick.task_token(row)
    jobs = {row["jobId"]["S"]}
    show(quick, name, row, percentComplete=10, summary="Begun", externalExecutionId="run-1")
    action = quick.action(name)
    assert action["status"] == "InProgress"
    assert action["externalExecutionUrl"] == "https://example.com/jobs/run-1"
    for percent in (40, 70):
        jobs.add(current(quick, name))
        # Members that aren't reported again stay.
        show(quick, name, row, percentComplete=percent)
        assert shows(quick.action(name), {"summary": "Begun", "externalExecutionId": "run-1"})
    jobs.add(current(quick, name))
    assert len(jobs) == 4
    # The worker has noticed nothing.
    assert quick.task_token(row) == token
    details = {"summary": "Done", "percentComplete": 100}
    quick.answer(row, executionDetails=details)
    assert quick.pipeline_ended(name) == "Succeeded"
    assert shows(quick.action(name), details)
    ended(quick, row, "Succeeded")
    for job_id in jobs - {row["jobId"]["S"]}:
        (execution,) = quick.executions(job_id)
        assert quick.execution(execution["executionArn"])["status"] == "SUCCEEDED"
        assert quick.path(execution["executionArn"]) == JOIN
    assert [found["jobId"] for found in quick.rows(name)] == [row["jobId"]]
    assert quick.intake_row().get("awaiting", {}) == {}


def test_progress_reported_within_the_interval_is_shown_by_a_later_sweep(quick):
    name, row = quick.hang()
    show(quick, name, row, joined=False, percentComplete=1)
    quick.tell_progress(row["jobId"]["S"], percentComplete=2)
    last = {"percentComplete": 2}
    sweep_until(quick, lambda: shows(quick.action(name), last), "the last progress to show")
    sweep_until(quick, lambda: not quick.intake_row()["unshown"], "nothing more to show")
    sweep_until(quick, lambda: "continuing" not in first_row(quick, row), "the last job")
    quick.answer(row)
    assert quick.pipeline_ended(name) == "Succeeded"


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
def test_a_result_waits_for_the_next_job_of_the_chain(status, quick):
    """The work ends before CodePipeline has created the next job of the chain."""
    quick.emulator.behaviour.continuation_seconds = 3
    name, row = quick.hang(JobTimeoutSeconds="10" if status == "TimedOut" else "60")
    show(quick, name, row, joined=False, percentComplete=50)
    if status == "Succeeded":
        quick.answer(row)
    elif status == "Failed":
        quick.fail(row, error="JobFailed", cause="It broke")
    arn = row["execution"]["S"]
    wait_for(lambda: "WaitForNextJob" in quick.path(arn), "the report to wait", seconds=20)
    join(quick, name, "")
    assert quick.pipeline_ended(name) == ("Succeeded" if status == "Succeeded" else "Failed")
    ended(quick, row, status)


def test_an_execution_that_is_stopped_between_two_jobs_of_a_chain_fails_the_next(quick):
    quick.emulator.behaviour.continuation_seconds = 2
    name, row = quick.hang()
    show(quick, name, row, joined=False, percentComplete=50)
    quick.stop(row, error="Operator", cause="not today")
    ended(quick, row, "Failed")
    sweep_until(quick, lambda: quick.pipeline_status(name) == "Failed", "the pipeline to fail")
    assert "not today" in quick.action(name)["errorDetails"]["message"]


def test_a_worker_that_answers_with_a_continuation_token_gets_it_in_a_new_job(quick):
    name, row = quick.hang()
    quick.answer(row, continuationToken="page-2")
    ended(quick, row, "Succeeded")
    (told,) = quick.heard("Job Succeeded", row)
    assert told["continuationToken"] == "page-2"
    (again,) = sweep_until(
        quick,
        lambda: [found for found in quick.rows(name) if found["jobId"] != row["jobId"]],
        "the next job",
    )
    wait_for(
        lambda: first_row(quick, again)["status"]["S"] == "InProgress",
        "the next job to be InProgress",
        seconds=20,
    )
    assert again["actionExecutionId"] == row["actionExecutionId"]
    (asked,) = quick.heard("Job In Progress", again)
    assert asked["job"]["data"]["continuationToken"] == "page-2"
    quick.answer(again, executionDetails={"summary": "All pages"})
    assert quick.pipeline_ended(name) == "Succeeded"
