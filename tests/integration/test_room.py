"""A limit of jobs in flight in the whole stack."""

import pytest

from tests.support import wait_for

PARAMETERS = {"MaxJobsInFlight": "3"}
TO_WORK = ["Created", "Queued", "Dispatched", "InProgress"]


def statuses(world, names):
    return [row["status"]["S"] for name in names for row in world.rows(name)]


def room_came_back(world):
    world.expect()
    wait_for(lambda: world.intake_row()["holders"] == {}, "all room to be given back", seconds=20)


@pytest.mark.slow
def test_of_ten_jobs_with_room_for_three_at_most_three_run_at_once_and_all_end(owners_world):
    world = owners_world
    outcomes = {
        "Succeeded": {"Outcome": "Succeed", "Seconds": "1"},
        "Failed": {"Outcome": "Fail", "Seconds": "1"},
        "TimedOut": {"Outcome": "Hang", "JobTimeoutSeconds": "1"},
    }
    wanted = [*["Succeeded"] * 6, "Failed", "Failed", "TimedOut", "TimedOut"]
    names = [world.start(outcomes[status], sweep=False) for status in wanted]
    world.cloud.schedule.fire()
    most = 0

    def all_ended():
        nonlocal most
        now = statuses(world, names)
        most = max(most, now.count("InProgress"))
        return now == wanted

    wait_for(all_ended, "ten jobs to end", seconds=60)
    assert most == 3
    room_came_back(world)
    # Jobs that had room at once took the same states as without a limit.
    paths = [world.path(world.rows(name)[0]["execution"]["S"]) for name in names]
    waited = [path for path in paths if "WaitForRoom" in path]
    assert all(path[: len(TO_WORK)] == TO_WORK for path in paths if path not in waited)


def test_a_job_beyond_the_limit_waits_in_queued_until_there_is_room(owners_world):
    """Intake expects a job that needs no room, and so takes one more than there is room for."""
    world = owners_world
    held = [world.hang()[0] for _ in range(2)]
    late = world.overflow(2)
    (waiting,) = [name for name in late if statuses(world, [name]) == ["Queued"]]
    world.stop(world.rows(held[0])[0])
    row = world.row(waiting, "InProgress")
    assert world.path(row["execution"]["S"])[:4] == [
        "Created",
        "Queued",
        "WaitForRoom",
        "Dispatched",
    ]
    for name in (held[1], *late):
        world.stop(*world.rows(name))
    room_came_back(world)
