"""A job whose acknowledgment always fails does not affect the others."""

import pytest

from local import acknowledger
from moto_codepipeline import exceptions
from tests.integration.conftest import World
from tests.support import wait_for

TYPES = (
    acknowledger.CUSTOM_ACTION_TYPE,
    "Custom/Test/Second/2",
    acknowledger.PARTNER_ACTION_TYPE,
)


@pytest.fixture
def quiet(world: World) -> World:
    """No event starts Intake, so that one sweep gets all offers."""
    world.intake_quiet()
    return world


def neighbours(world: World) -> list[str]:
    """Start a pipeline of every action type; they wait for the sweep."""
    return [world.start({}, sweep=False, action_type=action_type) for action_type in TYPES]


def assert_all_succeed(world: World, names: list[str]) -> None:
    assert [world.pipeline_ended(name, seconds=60) for name in names] == ["Succeeded"] * len(names)

    def recorded() -> bool:
        rows = [row["status"]["S"] for name in names for row in world.rows(name)]
        return rows == ["Succeeded" for _ in names]

    # The row is written after the result has been reported.
    wait_for(recorded, "the rows to be Succeeded", seconds=20)


def pipeline_of(world: World, job_id: str) -> str:
    details = world.emulator.get_job_details(job_id)
    return str(details["data"]["pipelineContext"]["pipelineName"])


class InternalFailureError(exceptions.CodePipelineError):
    """CodePipeline fails, and the call may or may not have taken effect."""

    code = 500

    def __init__(self) -> None:
        super().__init__("Try again.")


REFUSALS = {
    "permanently": exceptions.JobNotFoundError("the poisoned one"),
    "throttled": exceptions.ThrottlingError(),
    "perhaps with effect": InternalFailureError(),
}


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_job_whose_acknowledgment_always_fails_does_not_affect_the_others(
    quiet, monkeypatch, refusal
):
    # A permanent refusal needs no time limit.
    hurry = {} if refusal == "permanently" else {"AcknowledgeTimeoutSeconds": "1"}
    poison = quiet.start(hurry, sweep=False)
    names = neighbours(quiet)
    acknowledge = quiet.emulator.acknowledge_job
    tried: list[str] = []

    def refuse(job_id: str, nonce: str) -> str:
        if pipeline_of(quiet, job_id) == poison:
            tried.append(job_id)
            raise REFUSALS[refusal]
        return str(acknowledge(job_id, nonce))

    monkeypatch.setattr(quiet.emulator, "acknowledge_job", refuse)
    quiet.cloud.schedule.fire()
    assert_all_succeed(quiet, names)
    wait_for(lambda: tried, "an acknowledgment to be tried", seconds=20)
    if refusal == "permanently":
        (execution, *_) = quiet.executions(tried[0])
        ended = quiet.execution(execution["executionArn"])
        assert (ended["status"], ended["error"]) == ("FAILED", "JobNotFoundException")
        assert quiet.rows(poison) == []
    # Offered again, it still doesn't affect the others.
    more = neighbours(quiet)
    quiet.emulator.clock.advance(seconds=61)
    quiet.cloud.schedule.fire()
    assert_all_succeed(quiet, more)
    for execution in quiet.executions(tried[0]):
        if execution["status"] == "RUNNING":
            quiet.client("stepfunctions").stop_execution(executionArn=execution["executionArn"])
