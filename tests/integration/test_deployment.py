"""A deployment, and its rollback, don't affect jobs in flight."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local.aws.stack import deploy
from tests.integration.conftest import World
from tests.support import ROOT, wait_for

pytestmark = pytest.mark.slow

PARAMETERS = {"MaxJobsInFlight": "3,0,0", "ProgressIntervalSeconds": "1"}
#: What the next version changes in the definition and in a function.
SAYS = {
    Path("statemachine", "job.asl.json"): ("How the job ended, as", "How it ended, as"),
    Path("functions", "report.py"): ('"Reported"', '"Reported by the next version"'),
}


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next version's template."""
    folder = tmp_path_factory.mktemp("next")
    shutil.copy(ROOT / "template.yaml", folder)
    for name in ("functions", "statemachine"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, (before, after) in SAYS.items():
        text = (folder / path).read_text()
        assert text.count(before) == 1
        (folder / path).write_text(text.replace(before, after))
    return folder / "template.yaml"


def definition(world: World) -> str:
    machine = world.stack.outputs["JobStateMachineArn"]
    described = world.client("stepfunctions").describe_state_machine(stateMachineArn=machine)
    return str(described["definition"])


def update(world: World, template: Path) -> None:
    """Update the stack to a version, with another time limit."""
    before = definition(world)
    resources = world.stack.resources
    parameters = world.stack.parameters | {"JobTimeoutSeconds": "1800"}
    updated = deploy(template, parameters, name=world.stack.name, region=world.cloud.region)
    assert definition(world) != before
    assert updated.resources == resources


def succeed(world: World, name: str) -> dict[str, Any]:
    """As the worker, report that a job is done, and check that it ends."""
    row = world.row(name, "InProgress")
    world.answer(row)
    ended = world.row(name, "Succeeded")
    assert world.pipeline_ended(name) == "Succeeded"
    assert world.execution(row["execution"]["S"])["status"] == "SUCCEEDED"
    return ended


def test_jobs_in_flight_end_correctly_after_a_deployment_and_its_rollback(world, next_version):
    """There is a job in each state that waits; none is lost or announced twice."""
    world.emulator.behaviour.continuation_seconds = 3600
    # The offer of the job that is held back must still be the only one after both updates.
    world.emulator.behaviour.acknowledge_seconds = 3600
    reported, row = world.hang()
    world.tell_progress(row["jobId"]["S"], percentComplete=1)
    wait_for(lambda: "continuing" in world.rows(reported)[0], "progress to show", seconds=20)
    world.answer(row)
    arn = row["execution"]["S"]
    wait_for(lambda: "WaitForNextJob" in world.path(arn), "the report to wait", seconds=20)
    let_go = world.hold_back_acknowledge()
    dispatched = world.start({"Outcome": "Hang"})
    created = world.row(dispatched, "Created")
    world.task_token(created)
    let_go()
    worked, waiting = sorted(world.overflow(2), key=lambda name: world.rows(name)[0]["status"]["S"])
    statuses = {
        reported: "InProgress",
        worked: "InProgress",
        dispatched: "Created",
        waiting: "Queued",
    }

    for template in (next_version, ROOT / "template.yaml"):
        update(world, template)
        for name, status in statuses.items():
            assert [one["status"]["S"] for one in world.rows(name)] == [status]

    event = world.dispatched(created["jobId"]["S"])
    assert world.invoke("Acknowledge", event) == {"status": "InProgress"}
    ended = [succeed(world, name) for name in (worked, dispatched, waiting)]
    world.emulator.clock.advance(3601)
    world.cloud.schedule.fire()
    ended.append(world.row(reported, "Succeeded"))
    assert world.pipeline_ended(reported) == "Succeeded"
    for one in ended:
        assert world.execution(one["execution"]["S"])["status"] == "SUCCEEDED"
        assert len(world.announced("Job Succeeded", one["jobId"]["S"])) == 1


def test_after_a_deployment_the_new_code_reports(world, next_version):
    name, _ = world.hang()
    update(world, next_version)
    job_id = succeed(world, name)["jobId"]["S"]
    lines = [json.loads(line) for line in world.written.logs() if job_id in line]
    assert "Reported by the next version" in {line.get("message") for line in lines}
    update(world, ROOT / "template.yaml")
