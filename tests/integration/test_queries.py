"""Jobs of an action type with a queryable property, offered only to polls for its value."""

import pytest

from local import acknowledger
from tests.integration.conftest import World
from tests.support import load_event

STARTED = load_event("intake-action-started-queried")
QUERIED = "Custom/Build/MyTool/1"
PARAMETERS = {
    "ActionTypes": f"{acknowledger.CUSTOM_ACTION_TYPE},{QUERIED}",
    "Queries": f"{QUERIED}?ProjectName=first,{QUERIED}?ProjectName=second",
}
# Intake looks for the job of the other value until it gives up.
SLEEP_SCALE = 0.2


@pytest.fixture(scope="module")
def queried(running: World) -> World:
    acknowledger.register(running.cloud, running.stack, QUERIED, queryable="ProjectName")
    return running


def start(world: World, project: str) -> str:
    return world.start({"Outcome": "Succeed", "ProjectName": project}, action_type=QUERIED)


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("swept", [True, False])
def test_a_job_of_each_value_is_found_by_its_event_and_by_the_sweep(queried, world, swept, rotates):
    world.emulator.behaviour.nonce_rotates = rotates
    if swept:
        world.intake_quiet()
    names = [start(world, project) for project in ("first", "second")]
    if swept:
        world.cloud.schedule.fire()
    for name in names:
        row = world.row(name, "Succeeded")
        assert world.pipeline_ended(name) == "Succeeded"
        assert len(world.executions(row["jobId"]["S"])) == 1


def test_a_job_of_another_value_is_not_taken(queried, world):
    name = start(world, "third")
    event = STARTED | {"detail": {**STARTED["detail"], "pipeline": name}}
    assert world.invoke("Intake", event) == {"offered": 0, "taken": 0}
    assert world.rows(name) == []
    (left,) = world.client("codepipeline").poll_for_jobs(
        actionTypeId=acknowledger.action_type_id(QUERIED), queryParam={"ProjectName": "third"}
    )["jobs"]
    assert left["data"]["pipelineContext"]["pipelineName"] == name
