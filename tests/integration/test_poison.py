"""A job or an action type that always fails costs itself only; its neighbours go on."""

from __future__ import annotations

import itertools

import pytest

from local import acknowledger
from moto_codepipeline import exceptions
from tests.integration.conftest import World
from tests.support import wait_for

SECOND = "Custom/Test/Second/2"
DELETED = "Custom/Test/Deleted/1"
NEVER = "Custom/Test/Never/1"
# The deleted one and the one that nobody registered stand first: the sweep comes to them first.
PARAMETERS = {
    "ActionTypes": ",".join(
        (
            DELETED,
            NEVER,
            acknowledger.CUSTOM_ACTION_TYPE,
            SECOND,
            acknowledger.PARTNER_ACTION_TYPE,
        )
    )
}

numbers = itertools.count(1)


def start(world: World, action_type: str, configuration: dict[str, str] | None = None) -> str:
    """Start a new pipeline of an action type; its name."""
    name = f"poison-{next(numbers)}"
    role = f"arn:aws:iam::{world.cloud.account_id}:role/{acknowledger.PIPELINE_ROLE}"
    stages = {"Build": [{"name": "Work", "configuration": configuration or {}}]}
    codepipeline = world.client("codepipeline")
    codepipeline.create_pipeline(pipeline=acknowledger.pipeline(name, action_type, stages, role))
    codepipeline.start_pipeline_execution(name=name)
    return name


TYPES = (acknowledger.CUSTOM_ACTION_TYPE, SECOND, acknowledger.PARTNER_ACTION_TYPE)


@pytest.fixture(scope="module")
def registered(running: World) -> World:
    """What the module names in ACTION_TYPES is there, but for one that is not and one no more."""
    acknowledger.register(running.cloud, running.stack, acknowledger.CUSTOM_ACTION_TYPE)
    kind = acknowledger.action_type_id(DELETED)
    running.client("codepipeline").delete_custom_action_type(
        category=kind["category"], provider=kind["provider"], version=kind["version"]
    )
    return running


@pytest.fixture
def quiet(registered: World, world: World) -> World:
    """Only a sweep finds jobs here, so that all of them are offered in the same one."""
    world.intake_quiet()
    return world


def neighbours(world: World) -> list[str]:
    """A pipeline of every action type that works, in wait for the sweep."""
    return [start(world, action_type) for action_type in TYPES]


def assert_all_succeed(world: World, names: list[str]) -> None:
    assert [world.pipeline_ended(name, seconds=60) for name in names] == ["Succeeded"] * len(names)

    def recorded() -> bool:
        rows = [row["status"]["S"] for name in names for row in world.rows(name)]
        return rows == ["Succeeded" for _ in names]

    # The row is written after CodePipeline has been told.
    wait_for(recorded, "the rows to say so", seconds=20)


def pipeline_of(world: World, job_id: str) -> str:
    details = world.emulator.get_job_details(job_id)
    return str(details["data"]["pipelineContext"]["pipelineName"])


def test_action_types_that_are_deleted_or_were_never_there_cost_only_themselves(
    quiet: World,
) -> None:
    names = neighbours(quiet)
    quiet.cloud.schedule.fire()
    assert_all_succeed(quiet, names)

    def told() -> list[str]:
        letters = quiet.written.letters("Intake")
        said = [letter["MessageAttributes"]["ErrorMessage"]["StringValue"] for letter in letters]
        return [text for text in said if DELETED in text and NEVER in text]

    wait_for(told, "a dead letter that names both", seconds=20)


class InternalFailureError(exceptions.CodePipelineError):
    """CodePipeline fails, and nobody knows whether the call took effect."""

    code = 500

    def __init__(self) -> None:
        super().__init__("Try again.")


REFUSALS = {
    "for good": exceptions.JobNotFoundError("the poisoned one"),
    "throttled": exceptions.ThrottlingError(),
    "perhaps with effect": InternalFailureError(),
}


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_job_whose_acknowledgment_always_fails(
    quiet: World, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    # Where there is an answer, it has all the time that it takes.
    hurry = {} if refusal == "for good" else {"AcknowledgeTimeoutSeconds": "1"}
    poison = start(quiet, acknowledger.CUSTOM_ACTION_TYPE, hurry)
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
    if refusal == "for good":
        (execution, *_) = quiet.executions(tried[0])
        ended = quiet.execution(execution["executionArn"])
        assert (ended["status"], ended["error"]) == ("FAILED", "JobNotFoundException")
        assert quiet.rows(poison) == []
    # It is offered again, and does no more harm than at first.
    more = neighbours(quiet)
    quiet.emulator.clock.advance(seconds=61)
    quiet.cloud.schedule.fire()
    assert_all_succeed(quiet, more)
    for execution in quiet.executions(tried[0]):
        if execution["status"] == "RUNNING":
            quiet.client("stepfunctions").stop_execution(executionArn=execution["executionArn"])
