"""Stopping intake and starting it again, through the whole stack."""

from __future__ import annotations

from tests.support import wait_for

ALL = {"detail-type": "Resume Intake"}


def test_a_paused_action_type_takes_no_jobs_while_its_jobs_in_flight_and_the_others_go_on(
    owners_world,
):
    world = owners_world
    chosen = {"actionTypes": [world.action_type]}
    running = world.start({"Outcome": "Succeed", "Seconds": "2"})
    world.row(running, "InProgress")
    paused = world.invoke("Intake", {"detail-type": "Pause Intake", "detail": chosen})
    assert paused == {"paused": [world.action_type]}
    kept = world.start({"Outcome": "Succeed"})
    kind = dict(
        zip(
            ("category", "owner", "provider", "version"),
            ("Test", "Custom", "Second", "2"),
            strict=True,
        )
    )
    other = world.start(
        {}, Test=[{"name": "Work", "actionTypeId": kind, "configuration": {"Outcome": "Succeed"}}]
    )
    world.row(other, "Succeeded")
    world.row(running, "Succeeded")
    assert world.invoke("Intake", {"detail-type": "Scheduled Event"}) == {"offered": 0, "taken": 0}
    assert world.rows(kept) == []
    resumed = world.invoke("Intake", {"detail-type": "Resume Intake", "detail": chosen})
    assert resumed == {"paused": []}
    world.cloud.schedule.fire()
    world.row(kept, "Succeeded")


def test_all_action_types_can_be_paused_at_once(world):
    try:
        paused = world.invoke("Intake", {"detail-type": "Pause Intake"})
        assert len(paused["paused"]) == 3
        name = world.start({"Outcome": "Succeed"})
        assert world.invoke("Intake", {"detail-type": "Scheduled Event"})["offered"] == 0
    finally:
        assert world.invoke("Intake", ALL) == {"paused": []}
    world.cloud.schedule.fire()
    world.row(name, "Succeeded")


def test_a_paused_intake_asks_on_for_jobs_that_continue_others_and_leaves_the_rest_alone(world):
    world.invoke("Intake", {"detail-type": "Pause Intake"})
    try:
        world.intake_quiet()
        world.expect_one_more()
        name = world.start({"Outcome": "Succeed"})
        answered = wait_for(
            lambda: world.invoke("Intake", {"detail-type": "Scheduled Event"})["offered"],
            "it to be offered",
            seconds=20,
        )
        assert answered == 1
        assert world.rows(name) == []
        assert world.intake_row()["waiting"] == {}
    finally:
        world.expect_no_more()
        world.invoke("Intake", ALL)
    world.emulator.clock.advance(seconds=61)
    world.cloud.schedule.fire()
    world.row(name, "Succeeded")
