import pytest

from acknowledger import errors, intake_table, upkeep
from acknowledger.executions import arn_of
from acknowledger.moments import ago
from acknowledger.room import AWAITED, GIVEN
from tests.unit.conftest import ENVIRONMENT, SERVICE, execution

MACHINE = ENVIRONMENT["STATE_MACHINE_ARN"]
TYPE = "Custom/Build/Acknowledger/1"


def look(limit, *, heal=False):
    """What Intake does before it takes offers; `heal` is for the sweep."""
    room = intake_table.read(TYPE, limit)
    return upkeep.give_room(upkeep.heal(room) if heal else room)


def entry(name, age=0, **more):
    return {"jobId": f"job of {name}", "since": ago(age), **more}


def holder(name, age=0, told=True):
    return entry(name, age, told=told)


def put_job(cloud, name, **row):
    """A job whose execution doesn't wait, at least not yet."""
    cloud.put_job(f"job of {name}", **({"execution": arn_of(name)} | row))


def put_waiting_job(cloud, name, **row):
    """A job whose execution waits in Queued."""
    waits = {"status": "Queued", "room": AWAITED, "roomToken": f"t-{name}"}
    put_job(cloud, name, **waits | row)


def expect_go_on(calls, name):
    request = {"taskToken": f"t-{name}", "output": "{}"}
    calls.expects("stepfunctions", "send_task_success", {}, request)


def expect_running(calls, *names):
    request = {"stateMachineArn": MACHINE, "statusFilter": "RUNNING"}
    found = {"executions": [execution(arn_of(name)) for name in names]}
    calls.expects("stepfunctions", "list_executions", found, request)


def test_without_a_limit_or_a_pause_it_takes_one_read(cloud):
    for heal in (False, True):
        assert look(0, heal=heal).unlimited
    assert cloud.calls == ["IntakeTable GetItem"] * 2


def test_freed_room_goes_to_the_longest_waiting_execution_which_is_notified(cloud):
    cloud.put_intake(holders={"a": holder("a")}, waiting={"c": entry("c", 5), "b": entry("b", 9)})
    for name in "bc":
        put_waiting_job(cloud, name)
    expect_go_on(cloud, "b")
    room = look(2)
    assert (sorted(room.holders), sorted(room.waiting)) == (["a", "b"], ["c"])
    assert cloud.intake()["holders"]["b"]["told"] is True
    assert cloud.job("job of b")["room"] == GIVEN
    assert cloud.job("job of c")["room"] == AWAITED


@pytest.mark.parametrize(("limit", "paused"), [(0, True), (5, True), (1, False)])
def test_a_waiting_job_keeps_waiting_while_there_is_no_room(cloud, limit, paused):
    cloud.put_intake(holders={"a": holder("a")}, waiting={"b": entry("b")}, paused=paused)
    put_waiting_job(cloud, "b")
    assert list(look(limit).waiting) == ["b"]
    assert cloud.job("job of b")["room"] == AWAITED


@pytest.mark.parametrize("limit", [0, 5])
def test_after_a_pause_all_waiting_executions_go_on_the_longest_waiting_first(cloud, limit):
    waiting = {name: entry(name, age) for age, name in enumerate("bcd")}
    cloud.put_intake(waiting=waiting, paused=False)
    for name in "dcb":
        put_waiting_job(cloud, name)
        expect_go_on(cloud, name)
    room = look(limit)
    # Without a limit, holders need not be counted any more.
    assert sorted(cloud.intake()["holders"]) == (list("bcd") if limit else [])
    assert cloud.intake()["waiting"] == {}
    assert (room.waiting, room.unlimited) == ({}, not limit)


@pytest.mark.parametrize("limit", [1, 0])
@pytest.mark.parametrize("status", ["Created", "Queued"])
def test_an_execution_that_does_not_wait_yet_finds_its_room_in_the_row(cloud, status, limit):
    """It may still write its row again, so it is notified again until it can't."""
    cloud.put_intake(waiting={"b": entry("b")})
    put_job(cloud, "b", status=status, room=AWAITED)
    assert look(limit).not_notified == ["b"]
    assert cloud.job("job of b")["room"] == GIVEN
    put_job(cloud, "b", status=status, room=AWAITED)
    assert look(limit).not_notified == ["b"]
    assert cloud.job("job of b")["room"] == GIVEN
    put_waiting_job(cloud, "b")
    expect_go_on(cloud, "b")
    look(limit)
    assert list(cloud.intake()["holders"]) == (["b"] if limit else [])
    assert look(limit).not_notified == []


@pytest.mark.parametrize("status", ["Dispatched", "InProgress", "Succeeded", "Failed", "TimedOut"])
def test_a_job_that_has_gone_on_without_waiting_counts_as_notified(cloud, status):
    cloud.put_intake(holders={"b": holder("b", told=False)})
    put_job(cloud, "b", status=status)
    look(1)
    assert look(1).not_notified == []
    assert list(cloud.intake()["holders"]) == ["b"]


@pytest.mark.parametrize("limit", [1, 0])
def test_an_execution_whose_row_is_not_written_yet_is_notified_later(cloud, limit):
    cloud.put_intake(waiting={"b": entry("b")})
    assert look(limit).not_notified == ["b"]
    put_waiting_job(cloud, "b")
    expect_go_on(cloud, "b")
    look(limit)
    assert cloud.intake()["holders"] == (
        {"b": cloud.intake()["holders"]["b"] | {"told": True}} if limit else {}
    )
    look(limit)


@pytest.mark.parametrize("limit", [1, 0])
@pytest.mark.parametrize(
    ("status", "offered", "stands_down"),
    [
        # The execution has yet to take the row over, since its offer is newer.
        ("Created", 60, False),
        ("Queued", 60, False),
        ("Dispatched", 60, False),
        # It never will: a newer offer has the row, or the job is acknowledged.
        ("Created", 10, True),
        ("Queued", 10, True),
        ("Dispatched", 10, True),
        ("InProgress", 60, True),
        ("Succeeded", 60, True),
        ("Failed", 60, True),
        ("TimedOut", 60, True),
    ],
)
def test_a_row_of_another_execution_is_left_alone_and_tells_whether_the_room_is_needed(
    cloud, status, offered, stands_down, limit
):
    cloud.put_intake(waiting={"b": entry("b", 30)})
    other = {"execution": arn_of("other"), "offeredAt": ago(offered)}
    put_waiting_job(cloud, "b", status=status, **other)
    before = cloud.job("job of b")
    look(limit)
    assert look(limit).not_notified == ([] if stands_down else ["b"])
    assert list(cloud.intake()["holders"]) == ([] if stands_down else ["b"])
    assert cloud.intake()["waiting"] == {}
    assert cloud.job("job of b") == before


def test_another_execution_for_the_same_offer_is_not_a_newer_offer(cloud):
    waits = entry("b", 30)
    cloud.put_intake(waiting={"b": waits})
    put_waiting_job(cloud, "b", execution=arn_of("other"), offeredAt=waits["since"])
    assert look(1).not_notified == ["b"]


def test_an_execution_that_stopped_waiting_meanwhile_counts_as_notified(cloud):
    cloud.put_intake(waiting={"b": entry("b")})
    put_waiting_job(cloud, "b")
    cloud.expects_error("stepfunctions", "send_task_success", "TaskTimedOut")
    assert look(1).not_notified == []


def test_an_execution_that_cannot_be_notified_now_is_notified_the_next_time(cloud):
    cloud.put_intake(waiting={"b": entry("b")})
    put_waiting_job(cloud, "b")
    cloud.expects_error("stepfunctions", "send_task_success", "ThrottlingException")
    with pytest.raises(errors.StepFunctionsUnavailable):
        look(1)
    expect_go_on(cloud, "b")
    look(1)
    assert cloud.intake()["holders"]["b"]["told"] is True


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", None])
def test_a_sweep_gives_back_the_room_of_an_execution_that_is_over_or_never_started(cloud, status):
    cloud.put_intake(
        holders={"over": holder("over", 125), "runs": holder("runs", 300)},
        waiting={"next": entry("next", 10)},
    )
    put_waiting_job(cloud, "next")
    expect_running(cloud, "runs")
    cloud.expects_described(arn_of("over"), status)
    expect_go_on(cloud, "next")
    room = look(2, heal=True)
    assert sorted(room.holders) == ["next", "runs"]


def test_an_execution_that_is_not_listed_yet_keeps_its_room(cloud):
    cloud.put_intake(holders={"runs": holder("runs", 300)})
    expect_running(cloud)
    cloud.expects_described(arn_of("runs"), "RUNNING")
    assert list(look(1, heal=True).holders) == ["runs"]


@pytest.mark.parametrize(
    ("why", "age", "limit", "heal"),
    [
        ("it may be about to start", 110, 1, True),
        ("there is room left", 300, 2, True),
        ("only the sweep looks", 300, 1, False),
    ],
)
def test_in_other_cases_no_execution_is_looked_up(cloud, why, age, limit, heal):
    cloud.put_intake(holders={"over": holder("over", age)})
    assert list(look(limit, heal=heal).holders) == ["over"], why


@pytest.mark.parametrize("place", ["holders", "waiting"])
@pytest.mark.parametrize(("limit", "paused"), [(0, False), (0, True), (5, True), (1, False)])
def test_leaked_room_is_given_back_and_logged_without_a_limit_or_without_room_left(
    cloud, log, limit, paused, place
):
    leaked = holder("over", 300) if place == "holders" else entry("over", 300)
    cloud.put_intake(paused=paused, **{place: {"over": leaked}})
    expect_running(cloud)
    cloud.expects_described(arn_of("over"), "ABORTED")
    for _ in range(2):
        room = look(limit, heal=True)
    assert (room.holders, room.waiting) == ({}, {})
    (line,) = log.lines
    assert (line["service"], line["level"], line["execution"]) == (SERVICE, "WARNING", "over")


@pytest.mark.parametrize(
    ("row", "age", "awaited"),
    [
        ({"continuing": {"jobId": "first", "sent": True}}, 3600, True),
        ({"currentJobId": "second"}, 60, False),
        ({"currentJobId": "second", "continuing": {"jobId": "second"}}, 60, True),
        # The next job is still to come, and will be failed.
        ({"status": "Failed", "continuing": {"jobId": "first"}}, 3600, True),
        ({"status": "Failed"}, 3600, True),
        (None, 3600, True),
        ({"status": "Succeeded", "currentJobId": "second"}, 3600, True),
        ({"continuing": {"jobId": "first", "sent": True}}, 86_500, False),
        (None, 86_500, False),
    ],
)
def test_a_continuing_job_is_awaited_until_it_comes_or_for_a_day(cloud, row, age, awaited):
    cloud.put_intake(awaiting={"first": ago(age)})
    if row is not None:
        cloud.put_job("first", **row)
    look(0)
    assert list(cloud.intake()["awaiting"]) == ["first"]
    look(0, heal=True)
    assert list(cloud.intake()["awaiting"]) == (["first"] if awaited else [])


@pytest.mark.parametrize(("age", "kept"), [(86_300, ["j"]), (86_500, [])])
def test_progress_that_was_not_shown_for_a_day_is_forgotten(cloud, age, kept):
    cloud.put_intake(unshown={"j": ago(age)})
    look(0)
    assert list(cloud.intake()["unshown"]) == ["j"]
    look(0, heal=True)
    assert list(cloud.intake()["unshown"]) == kept


def test_progress_reported_while_older_progress_is_forgotten_is_kept(cloud):
    cloud.put_intake(unshown={"j": ago(86_500)})
    told = {"j": ago(1)}
    cloud.before("UpdateItem", lambda: cloud.put_intake(unshown=told))
    look(0, heal=True)
    assert cloud.intake()["unshown"] == told
