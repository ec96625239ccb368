"""Jobs that are ended early, by CodePipeline or on our side, in the whole stack."""

import pytest

from tests.support import wait_for

#: How CodePipeline itself ends an action, and the pipeline's status and the cause that result.
CUTS = {
    "abandon": ("Stopped", "ABANDONED"),
    "update": ("Cancelled", "CANCELED"),
    "time out": ("Failed", "FAILED"),
}
STATUSES = ["Created", "Queued", "InProgress"]
PARAMETERS = {"MaxJobsInFlight": "1"}


def cut(world, name, how):
    client = world.client("codepipeline")
    if how == "abandon":
        client.stop_pipeline_execution(**execution_of(world, name), abandon=True, reason="lunch")
    elif how == "update":
        client.update_pipeline(pipeline=client.get_pipeline(name=name)["pipeline"])
    else:
        world.emulator.clock.advance(61)


def execution_of(world, name):
    """The parameters that name the execution of a pipeline."""
    execution_id = world.pipeline_execution(name)["pipelineExecutionId"]
    return {"pipelineName": name, "pipelineExecutionId": execution_id}


def begin(world, status):
    """Start a job and hold it in a status; return its pipeline and its row."""
    if status == "Queued":
        names = world.overflow(2)
        (name,) = [name for name in names if world.rows(name)[0]["status"]["S"] == "Queued"]
        # A timeout ends the jobs that have room, too. This one must not get their room and be
        # acknowledged before its own end reaches it.
        world.hold_back_acknowledge()
        return name, world.row(name, status)
    if status == "Created":
        world.hold_back_acknowledge()
    name = world.start({"Outcome": "Hang"})
    return name, world.row(name, status)


@pytest.fixture
def stoppable(owners_world):
    """A world whose room is all given back afterwards."""
    world = owners_world
    world.emulator.behaviour.action_timeout_seconds = 60
    world.emulator.behaviour.third_party_timeout_seconds = 60
    yield world
    listed = world.client("stepfunctions").list_executions(
        stateMachineArn=world.stack.outputs["JobStateMachineArn"], statusFilter="RUNNING"
    )
    for execution in listed["executions"]:
        world.client("stepfunctions").stop_execution(executionArn=execution["executionArn"])

    def no_room_is_held() -> bool:
        row = world.intake_row()
        return not row.get("holders") and not row.get("waiting")

    wait_for(no_room_is_held, "room to come back", seconds=20)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("how", CUTS)
def test_a_job_that_codepipeline_has_ended_ends_here_and_is_not_reported(how, status, stoppable):
    world, (pipeline, cause) = stoppable, CUTS[how]
    name, row = begin(world, status)
    token = world.task_token(row)
    cut(world, name, how)
    assert world.pipeline_ended(name) == pipeline
    execution = world.execution(row["execution"]["S"], seconds=10)
    assert (execution["status"], execution["error"]) == ("FAILED", "EndedElsewhere")
    assert cause in execution["cause"]
    assert world.row(name, "Failed")["cause"]["S"] == execution["cause"]
    assert world.path(row["execution"]["S"])[-3:] == ["Report", "Reported", "Failed"]
    assert world.pipeline_status(name) == pipeline
    assert world.heard("Job Failed", row)[0]["error"] == "EndedElsewhere"
    step_functions = world.client("stepfunctions")
    with pytest.raises(step_functions.exceptions.TaskTimedOut):
        step_functions.send_task_heartbeat(taskToken=token)


@pytest.mark.parametrize("status", STATUSES)
def test_a_job_whose_execution_is_stopped_is_failed_in_codepipeline(status, stoppable):
    world = stoppable
    name, row = begin(world, status)
    world.stop(row, error="Operator", cause="not today")
    assert world.pipeline_ended(name) == "Failed"
    assert "Operator: not today" in world.action(name)["errorDetails"]["message"]
    assert "Operator: not today" in world.row(name, "Failed")["cause"]["S"]
    assert world.heard("Job Failed", row)


def test_a_pipeline_that_is_stopped_with_stop_and_wait_lets_its_jobs_end(stoppable):
    world = stoppable
    name, row = world.hang()
    world.client("codepipeline").stop_pipeline_execution(**execution_of(world, name))
    world.answer(row)
    world.row(name, "Succeeded")
    wait_for(lambda: world.pipeline_status(name) == "Stopped", "the pipeline to stop", seconds=10)
    assert world.action(name)["status"] == "Succeeded"


def test_an_event_of_an_older_attempt_does_not_end_the_retried_job(stoppable):
    world = stoppable
    name, first = world.hang()
    world.fail(first, error="JobFailed", cause="try again")
    world.row(name, "Failed")
    assert world.pipeline_ended(name) == "Failed"
    failed = world.action_event(name, "FAILED")
    world.client("codepipeline").retry_stage_execution(
        **execution_of(world, name), stageName="Build", retryMode="FAILED_ACTIONS"
    )
    if world.owner == "ThirdParty":
        world.cloud.schedule.fire()
    (second,) = wait_for(
        lambda: [
            row
            for row in world.rows(name)
            if row["status"]["S"] == "InProgress" and row["jobId"] != first["jobId"]
        ],
        "the retried job",
        seconds=20,
    )
    # The event comes late, and twice.
    for _ in range(2):
        assert world.invoke("Stop", failed) == {"ended": []}
    world.answer(second)
    assert world.pipeline_ended(name) == "Succeeded"


def test_a_job_whose_execution_is_gone_ends_when_codepipeline_ends_it(stoppable):
    """As after Unreported: no execution waits for the event."""
    world = stoppable
    world.client("events").disable_rule(Name=world.rule("default", '["ABORTED", "TIMED_OUT"]'))
    name, row = world.hang()
    world.stop(row)
    cut(world, name, "abandon")
    assert "ABANDONED" in world.row(name, "Failed")["cause"]["S"]
    assert world.heard("Job Failed", row)


@pytest.mark.parametrize(
    ("outcome", "status", "announced"),
    [("Succeed", "Succeeded", "Job Succeeded"), ("Fail", "Failed", "Job Failed")],
)
def test_an_outcome_that_could_not_be_reported_is_reported_by_stop(
    stoppable, outcome, status, announced
):
    world = stoppable
    with world.throttled_report():
        name = world.start({"Outcome": outcome})
        row = world.row(name, status)
    assert world.execution(row["execution"]["S"])["error"] == "Unreported"
    assert world.pipeline_ended(name) == status
    # At least once: CodePipeline's event may come while the row is still marked as unannounced.
    said = {(event["status"], event.get("cause")) for event in world.heard(announced, row)}
    assert said == {(status, row.get("cause", {}).get("S"))}
