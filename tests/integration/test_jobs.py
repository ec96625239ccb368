"""Jobs in the whole stack: CodePipeline, both buses, all functions, the worker."""

import json
from dataclasses import dataclass

import pytest

from tests.support import load_event


@dataclass
class Scenario:
    name: str
    configuration: dict[str, str]
    row: str
    pipeline: str
    message: str
    error: str | None = None


SCENARIOS = [
    Scenario("success", {"Outcome": "Succeed"}, "Succeeded", "Succeeded", "took 0 seconds"),
    Scenario(
        "failure", {"Outcome": "Fail"}, "Failed", "Failed", "configuration says so", "JobFailed"
    ),
    Scenario(
        "worker timeout",
        {"Outcome": "Hang", "JobTimeoutSeconds": "1"},
        "TimedOut",
        "Failed",
        "not finish within 1 seconds (JobTimeoutSeconds)",
        "JobTimedOut",
    ),
    Scenario(
        "missed heartbeat",
        {"Outcome": "Hang", "HeartbeatTimeoutSeconds": "1"},
        "TimedOut",
        "Failed",
        "no heartbeat for 1 seconds (HeartbeatTimeoutSeconds)",
        "JobTimedOut",
    ),
    Scenario(
        "heartbeats in time",
        {"Outcome": "Succeed", "Seconds": "8", "HeartbeatTimeoutSeconds": "6"},
        "Succeeded",
        "Succeeded",
        "took 8 seconds",
    ),
    Scenario(
        "more time than the stack allows",
        {"Outcome": "Succeed", "JobTimeoutSeconds": "3601"},
        "Failed",
        "Failed",
        "JobTimeoutSeconds in the action's configuration must be a whole number of seconds from 1",
        "ConfigurationError",
    ),
    Scenario(
        "a worker that refuses its configuration",
        {"Outcome": "Maybe"},
        "Failed",
        "Failed",
        "Outcome must be",
        "ConfigurationError",
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_job_ends_with_the_same_status_everywhere(scenario, owners_world):
    world = owners_world
    name = world.start(scenario.configuration)
    row = world.row(name, scenario.row)
    assert world.pipeline_ended(name) == scenario.pipeline
    execution = world.execution(row["execution"]["S"])
    assert execution["status"] == ("FAILED" if scenario.error else "SUCCEEDED")
    assert execution.get("error") == scenario.error
    action = world.action(name)
    assert action["actionExecutionId"] == row["actionExecutionId"]["S"]
    if scenario.error:
        assert scenario.message in action["errorDetails"]["message"]
        assert scenario.message in execution["cause"]
        assert scenario.message in row["cause"]["S"]
    else:
        assert scenario.message in action["summary"]


def test_a_success_continues_the_pipeline_and_a_failure_stops_it(world):
    def action(name, outcome):
        return [{"name": name, "configuration": {"Outcome": outcome}}]

    stages = {
        "Build": action("A", "Succeed"),
        "Test": action("B", "Fail"),
        "Ship": action("C", "Succeed"),
    }
    name = world.start({}, **stages)
    assert world.pipeline_ended(name) == "Failed"
    assert {row["actionName"]["S"] for row in world.rows(name)} == {"A", "B"}


def test_a_job_whose_event_is_lost_is_found_by_the_sweep(world):
    world.intake_quiet()
    name = world.start({"Outcome": "Succeed"})
    assert world.rows(name) == []
    world.cloud.schedule.fire()
    world.row(name, "Succeeded")


def test_intake_waits_for_a_job_that_can_be_polled_only_after_its_event(world):
    world.emulator.behaviour.started_before_queued_seconds = 1
    name = world.start({"Outcome": "Succeed"})
    world.row(name, "Succeeded")


def test_an_event_that_comes_twice_starts_one_execution(world):
    world.emulator.behaviour.events_twice = True
    name = world.start({"Outcome": "Succeed"})
    row = world.row(name, "Succeeded")
    assert len(world.executions(row["jobId"]["S"])) == 1


def test_a_job_offered_again_before_its_acknowledgment_is_worked_on_once(owners_world):
    world = owners_world
    let_go = world.hold_back_acknowledge()
    name = world.start({"Outcome": "Succeed"})
    first = world.row(name, "Created")
    world.task_token(first)
    let_go()
    world.emulator.clock.advance(seconds=61)
    world.cloud.schedule.fire()
    row = world.row(name, "Succeeded")
    assert world.pipeline_ended(name) == "Succeeded"
    assert row["offers"]["N"] == "2"
    assert row["execution"]["S"] != first["execution"]["S"]
    paths = [world.path(found["executionArn"]) for found in world.executions(row["jobId"]["S"])]
    assert sum("InProgress" in path for path in paths) == 1


def test_a_job_that_another_worker_acknowledged_is_left_to_it(owners_world):
    world = owners_world
    world.hold_back_acknowledge()
    name = world.start({"Outcome": "Fail"})
    ours = world.row(name, "Created")
    token = world.task_token(ours)
    world.intake_quiet()
    world.emulator.clock.advance(seconds=61)
    request = world.poll()
    assert request["jobId"] == ours["jobId"]["S"]
    world.acknowledge(request)
    world.client("stepfunctions").send_task_failure(taskToken=token, error="States.Timeout")
    assert world.execution(ours["execution"]["S"])["status"] == "SUCCEEDED"
    assert world.path(ours["execution"]["S"])[-1] == "StandDown"
    assert world.rows(name) == []
    assert world.pipeline_status(name) == "InProgress"
    world.succeed(request)
    assert world.pipeline_ended(name) == "Succeeded"


def test_a_job_that_is_not_acknowledged_in_time_is_failed_naming_the_limit(owners_world):
    world = owners_world
    world.hold_back_acknowledge()
    name = world.start({"Outcome": "Succeed", "AcknowledgeTimeoutSeconds": "1"})
    world.row(name, "TimedOut")
    assert world.pipeline_ended(name) == "Failed"
    message = world.action(name)["errorDetails"]["message"]
    assert message == "The job was not acknowledged within 1 seconds (AcknowledgeTimeoutSeconds)"


@pytest.mark.parametrize("repeated", ["status", "InvalidNonceException"])
@pytest.mark.parametrize("rotates", [True, False])
def test_a_job_dispatched_event_delivered_twice_has_no_further_effect(world, repeated, rotates):
    world.emulator.behaviour.repeated_acknowledgment = repeated
    world.emulator.behaviour.nonce_rotates = rotates
    bus = world.stack.outputs["JobBusName"]
    events = world.client("events")
    function = world.client("lambda").get_function(
        FunctionName=world.stack.outputs["AcknowledgeFunctionName"]
    )["Configuration"]["FunctionArn"]
    pattern = '{"source": ["acknowledger"], "detail-type": ["Job Dispatched"]}'
    events.put_rule(Name="again", EventBusName=bus, EventPattern=pattern)
    events.put_targets(Rule="again", EventBusName=bus, Targets=[{"Id": "1", "Arn": function}])
    try:
        name = world.start({"Outcome": "Succeed"})
        row = world.row(name, "Succeeded")
        assert world.pipeline_ended(name) == "Succeeded"
        assert world.path(row["execution"]["S"]).count("InProgress") == 1
    finally:
        events.remove_targets(Rule="again", EventBusName=bus, Ids=["1"])
        events.delete_rule(Name="again", EventBusName=bus)
    letters = json.dumps(world.written.letters("Acknowledge"))
    assert row["jobId"]["S"] not in letters


def test_an_execution_that_ended_without_an_acknowledgment_is_followed_by_another(owners_world):
    """The nonce, and so the execution's name, stays the same."""
    world = owners_world
    world.emulator.behaviour.nonce_rotates = False
    let_go = world.hold_back_acknowledge()
    name = world.start({"Outcome": "Succeed"})
    row = world.row(name, "Created")
    world.client("stepfunctions").send_task_failure(
        taskToken=world.task_token(row), error="JobNotFoundException"
    )
    assert world.execution(row["execution"]["S"])["status"] == "FAILED"
    let_go()
    world.emulator.clock.advance(seconds=61)
    world.cloud.schedule.fire()
    again = world.row(name, "Succeeded")["execution"]["S"]
    assert again.startswith(row["execution"]["S"])
    assert again != row["execution"]["S"]
    assert world.pipeline_ended(name) == "Succeeded"


def test_acknowledge_can_be_invoked_by_hand(owners_world):
    world = owners_world
    world.intake_quiet()
    name = world.start({"Outcome": "Succeed"}, sweep=False)
    request = world.poll()
    wrong = world.invoke("Acknowledge", {**request, "nonce": "wrong"})
    assert wrong["errorType"] == "InvalidNonceException"
    event = load_event("acknowledge-job-dispatched-without-task-token")
    assert world.invoke("Acknowledge", {**event, "detail": request}) == {"status": "InProgress"}
    unknown = world.invoke("Acknowledge", {**request, **load_event("acknowledge-by-hand")})
    assert unknown["errorType"] == "JobNotFoundException"
    world.succeed(request)
    assert world.pipeline_ended(name) == "Succeeded"
