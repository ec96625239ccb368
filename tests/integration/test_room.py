"""A limit of jobs in flight in the whole stack."""

import pytest

from tests.support import wait_for

PARAMETERS = {"MaxJobsInFlight": "3"}
TO_WORK = ["Created", "Queued", "Dispatched", "InProgress"]


def statuses(world, names):
    return [row["status"]["S"] for name in names for row in world.rows(name)]


def sweep(world):
    world.cloud.schedule.fire()


def fill(world, count):
    """Start jobs that hold room; return their pipelines."""
    names = [world.start({"Outcome": "Hang"}) for _ in range(count)]
    for name in names:
        world.row(name, "InProgress")
    return names


def stop(world, name):
    (row,) = world.rows(name)
    world.client("stepfunctions").stop_execution(executionArn=row["execution"]["S"])


def room_came_back(world):
    world.expect_no_more()
    wait_for(lambda: world.intake_row()["holders"] == {}, "all room to be given back", seconds=20)


@pytest.mark.slow
def test_of_ten_jobs_with_room_for_three_at_most_three_run_at_once_and_all_end(owners_world):
    world = owners_world
    configuration = {"Outcome": "Succeed", "Seconds": "1"}
    names = [world.start(configuration, sweep=False) for _ in range(10)]
    sweep(world)
    most = 0

    def all_ended():
        nonlocal most
        now = statuses(world, names)
        most = max(most, now.count("InProgress"))
        return now.count("Succeeded") == len(names)

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
    held = fill(world, 2)
    late = world.overflow(2)
    (working,) = [name for name in late if statuses(world, [name]) == ["InProgress"]]
    (waiting,) = [name for name in late if name != working]
    stop(world, held[0])
    row = world.row(waiting, "InProgress")
    assert world.path(row["execution"]["S"])[:4] == [
        "Created",
        "Queued",
        "WaitForRoom",
        "Dispatched",
    ]
    for name in (held[1], *late):
        stop(world, name)
    room_came_back(world)


@pytest.mark.slow
def test_room_is_given_back_no_matter_how_an_execution_ends(owners_world):
    world = owners_world
    ends = [
        {"Outcome": "Succeed"},
        {"Outcome": "Fail"},
        {"Outcome": "Hang", "JobTimeoutSeconds": "1"},
    ]
    for configuration in ends:
        world.start(configuration)
    stopped = world.start({"Outcome": "Hang"}, sweep=False)
    wait_for(lambda: sweep(world) or world.rows(stopped), "the fourth job to be taken", seconds=20)
    world.row(stopped, "InProgress")
    stop(world, stopped)
    room_came_back(world)
