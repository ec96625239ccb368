"""Jobs in the whole stack: CodePipeline, both buses, all functions, the worker."""

import pytest

from tests.support import load_event

FAILURE, TIMEOUT, REFUSED = "JobFailed", "JobTimedOut", "ConfigurationError"
#: A configuration, the row's status, the execution's error, and a part of the message.
SCENARIOS: dict[str, tuple[dict[str, str], str, str | None, str]] = {
    "success": ({"Outcome": "Succeed"}, "Succeeded", None, "took 0 seconds"),
    "failure": ({"Outcome": "Fail"}, "Failed", FAILURE, "configuration says so"),
    "worker timeout": (
        {"Outcome": "Hang", "JobTimeoutSeconds": "1"},
        "TimedOut",
        TIMEOUT,
        "not finish within 1 seconds (JobTimeoutSeconds)",
    ),
    "missed heartbeat": (
        {"Outcome": "Hang", "HeartbeatTimeoutSeconds": "1"},
        "TimedOut",
        TIMEOUT,
        "no heartbeat for 1 seconds (HeartbeatTimeoutSeconds)",
    ),
    "heartbeats in time": (
        {"Outcome": "Succeed", "Seconds": "8", "HeartbeatTimeoutSeconds": "6"},
        "Succeeded",
        None,
        "took 8 seconds",
    ),
    "more time than the stack allows": (
        {"Outcome": "Succeed", "JobTimeoutSeconds": "3601"},
        "Failed",
        REFUSED,
        "JobTimeoutSeconds in the action's configuration must be a whole number of seconds from 1",
    ),
    "a worker that refuses its configuration": (
        {"Outcome": "Maybe"},
        "Failed",
        REFUSED,
        "Outcome must be",
    ),
}


@pytest.mark.parametrize(
    ("configuration", "status", "error", "message"), SCENARIOS.values(), ids=SCENARIOS
)
def test_a_job_ends_with_the_same_status_everywhere(
    configuration, status, error, message, owners_world
):
    world = owners_world
    name = world.start(configuration)
    row = world.row(name, status)
    assert world.pipeline_ended(name) == ("Failed" if error else "Succeeded")
    execution = world.execution(row["execution"]["S"])
    assert execution["status"] == ("FAILED" if error else "SUCCEEDED")
    assert execution.get("error") == error
    action = world.action(name)
    assert action["actionExecutionId"] == row["actionExecutionId"]["S"]
    if error:
        assert message in action["errorDetails"]["message"]
        assert message in execution["cause"]
        assert message in row["cause"]["S"]
    else:
        assert message in action["summary"]


def test_an_execution_that_ended_without_an_acknowledgment_is_followed_by_another(owners_world):
    """The nonce, and so the execution's name, stays the same."""
    world = owners_world
    world.emulator.behaviour.nonce_rotates = False
    let_go = world.hold_back_acknowledge()
    name = world.start({"Outcome": "Succeed"})
    row = world.row(name, "Created")
    world.fail(row, error="JobNotFoundException")
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
