"""Pausing and resuming intake in the whole stack."""

import pytest

from local import acknowledger


@pytest.mark.slow
def test_a_pause_stops_new_jobs_of_its_action_type_only(owners_world):
    world = owners_world
    chosen = {"actionTypes": [world.action_type]}
    running = world.start({"Outcome": "Hang"})
    row = world.row(running, "InProgress")
    paused = world.invoke("Intake", {"detail-type": "Pause Intake", "detail": chosen})
    assert paused == {"paused": [world.action_type]}
    kept = world.start({"Outcome": "Succeed"})
    kind = acknowledger.action_type_id("Custom/Test/Second/2")
    other = world.start(
        {}, Test=[{"name": "Work", "actionTypeId": kind, "configuration": {"Outcome": "Succeed"}}]
    )
    world.row(other, "Succeeded")
    world.client("stepfunctions").send_task_success(taskToken=world.task_token(row), output="{}")
    world.row(running, "Succeeded")
    assert world.invoke("Intake", {"detail-type": "Scheduled Event"}) == {"offered": 0, "taken": 0}
    assert world.rows(kept) == []
    resumed = world.invoke("Intake", {"detail-type": "Resume Intake", "detail": chosen})
    assert resumed == {"paused": []}
    # No sweep is needed: resuming polls at once.
    world.row(kept, "Succeeded")
