import json

import pytest

from acknowledger import errors, intake_table, upkeep
from acknowledger.executions import arn_of
from acknowledger.moments import ago
from acknowledger.room import AWAITED, GIVEN
from tests.unit.conftest import ENVIRONMENT, SERVICE

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


def put_waiting_job(tables, name, **row):
    """A job whose execution waits in Queued."""
    execution = arn_of(name)
    row = {
        "status": "Queued",
        "execution": execution,
        "room": AWAITED,
        "roomToken": f"t-{name}",
    } | row
    tables.put_job(f"job of {name}", **row)


def expect_go_on(calls, name):
    request = {"taskToken": f"t-{name}", "output": "{}"}
    calls.expects("stepfunctions", "send_task_success", {}, request)


def expect_running(calls, *names):
    found = [
        {
            "executionArn": arn_of(name),
            "stateMachineArn": MACHINE,
            "name": name,
            "status": "RUNNING",
            "startDate": 0,
        }
        for name in names
    ]
    request = {"stateMachineArn": MACHINE, "statusFilter": "RUNNING"}
    calls.expects("stepfunctions", "list_executions", {"executions": found}, request)


def expect_described(calls, name, status):
    arn = arn_of(name)
    if status is None:
        calls.expects_error("stepfunctions", "describe_execution", "ExecutionDoesNotExist")
        return
    answer = {"executionArn": arn, "stateMachineArn": MACHINE, "status": status, "startDate": 0}
    calls.expects("stepfunctions", "describe_execution", answer, {"executionArn": arn})


def test_without_a_limit_or_a_pause_it_takes_one_read(tables):
    for heal in (False, True):
        assert look(0, heal=heal).unlimited
    assert tables.calls == ["IntakeTable GetItem"] * 2


def test_freed_room_goes_to_the_longest_waiting_execution_which_is_notified(tables, other_calls):
    tables.put_intake(holders={"a": holder("a")}, waiting={"c": entry("c", 5), "b": entry("b", 9)})
    for name in "bc":
        put_waiting_job(tables, name)
    expect_go_on(other_calls, "b")
    room = look(2)
    assert (sorted(room.holders), sorted(room.waiting)) == (["a", "b"], ["c"])
    assert tables.intake()["holders"]["b"]["told"] is True
    assert tables.job("job of b")["room"] == GIVEN
    assert tables.job("job of c")["room"] == AWAITED


@pytest.mark.parametrize(("limit", "paused"), [(0, True), (5, True), (1, False)])
def test_a_waiting_job_keeps_waiting_while_there_is_no_room(tables, other_calls, limit, paused):
    tables.put_intake(holders={"a": holder("a")}, waiting={"b": entry("b")}, paused=paused)
    put_waiting_job(tables, "b")
    assert list(look(limit).waiting) == ["b"]
    assert tables.job("job of b")["room"] == AWAITED


@pytest.mark.parametrize("limit", [0, 5])
def test_after_a_pause_all_waiting_executions_go_on_the_longest_waiting_first(
    tables, other_calls, limit
):
    waiting = {name: entry(name, age) for age, name in enumerate("bcd")}
    tables.put_intake(waiting=waiting, paused=False)
    for name in "dcb":
        put_waiting_job(tables, name)
        expect_go_on(other_calls, name)
    room = look(limit)
    # Without a limit, holders need not be counted any more.
    assert sorted(tables.intake()["holders"]) == (list("bcd") if limit else [])
    assert tables.intake()["waiting"] == {}
    assert (room.waiting, room.unlimited) == ({}, not limit)


def put_job(tables, name, **row):
    """A job whose execution doesn't wait, at least not yet."""
    tables.put_job(f"job of {name}", **({"execution": arn_of(name)} | row))


@pytest.mark.parametrize("limit", [1, 0])
@pytest.mark.parametrize("status", ["Created", "Queued"])
def test_an_execution_that_does_not_wait_yet_finds_its_room_in_the_row(
    tables, other_calls, status, limit
):
    """It may still write its row again, so it is notified again until it can't."""
    tables.put_intake(waiting={"b": entry("b")})
    put_job(tables, "b", status=status, room=AWAITED)
    assert look(limit).untold == ["b"]
    assert tables.job("job of b")["room"] == GIVEN
    put_job(tables, "b", status=status, room=AWAITED)
    assert look(limit).untold == ["b"]
    assert tables.job("job of b")["room"] == GIVEN
    put_waiting_job(tables, "b")
    expect_go_on(other_calls, "b")
    look(limit)
    assert list(tables.intake()["holders"]) == (["b"] if limit else [])
    assert look(limit).untold == []


@pytest.mark.parametrize("status", ["Dispatched", "InProgress", "Succeeded", "Failed", "TimedOut"])
def test_a_job_that_has_gone_on_without_waiting_counts_as_notified(tables, other_calls, status):
    tables.put_intake(holders={"b": holder("b", told=False)})
    put_job(tables, "b", status=status)
    look(1)
    assert look(1).untold == []
    assert list(tables.intake()["holders"]) == ["b"]


@pytest.mark.parametrize("limit", [1, 0])
def test_an_execution_whose_row_is_not_written_yet_is_notified_later(tables, other_calls, limit):
    tables.put_intake(waiting={"b": entry("b")})
    assert look(limit).untold == ["b"]
    put_waiting_job(tables, "b")
    expect_go_on(other_calls, "b")
    look(limit)
    assert tables.intake()["holders"] == (
        {"b": tables.intake()["holders"]["b"] | {"told": True}} if limit else {}
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
    tables, other_calls, status, offered, stands_down, limit
):
    tables.put_intake(waiting={"b": entry("b", 30)})
    other = {"execution": arn_of("other"), "offeredAt": ago(offered)}
    put_waiting_job(tables, "b", status=status, **other)
    before = tables.job("job of b")
    look(limit)
    assert look(limit).untold == ([] if stands_down else ["b"])
    assert list(tables.intake()["holders"]) == ([] if stands_down else ["b"])
    assert tables.intake()["waiting"] == {}
    assert tables.job("job of b") == before


def test_another_execution_for_the_same_offer_is_not_a_newer_offer(tables, other_calls):
    waits = entry("b", 30)
    tables.put_intake(waiting={"b": waits})
    execution = arn_of("other")
    put_waiting_job(tables, "b", execution=execution, offeredAt=waits["since"])
    assert look(1).untold == ["b"]


def test_an_execution_that_stopped_waiting_meanwhile_counts_as_notified(tables, other_calls):
    tables.put_intake(waiting={"b": entry("b")})
    put_waiting_job(tables, "b")
    other_calls.expects_error("stepfunctions", "send_task_success", "TaskTimedOut")
    assert look(1).untold == []


def test_an_execution_that_cannot_be_notified_now_is_notified_the_next_time(tables, other_calls):
    tables.put_intake(waiting={"b": entry("b")})
    put_waiting_job(tables, "b")
    other_calls.expects_error("stepfunctions", "send_task_success", "ThrottlingException")
    with pytest.raises(errors.StepFunctionsUnavailable):
        look(1)
    expect_go_on(other_calls, "b")
    look(1)
    assert tables.intake()["holders"]["b"]["told"] is True


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", None])
def test_a_sweep_gives_back_the_room_of_an_execution_that_is_over_or_never_started(
    tables, other_calls, status
):
    tables.put_intake(
        holders={"over": holder("over", 300), "runs": holder("runs", 300)},
        waiting={"next": entry("next", 10)},
    )
    put_waiting_job(tables, "next")
    expect_running(other_calls, "runs")
    expect_described(other_calls, "over", status)
    expect_go_on(other_calls, "next")
    room = look(2, heal=True)
    assert sorted(room.holders) == ["next", "runs"]


def test_an_execution_that_is_not_listed_yet_keeps_its_room(tables, other_calls):
    tables.put_intake(holders={"runs": holder("runs", 300)})
    expect_running(other_calls)
    expect_described(other_calls, "runs", "RUNNING")
    assert list(look(1, heal=True).holders) == ["runs"]


def test_a_place_in_the_queue_is_given_back_as_well(tables, other_calls):
    tables.put_intake(paused=True, waiting={"over": entry("over", 300)})
    expect_running(other_calls)
    expect_described(other_calls, "over", "ABORTED")
    assert look(1, heal=True).waiting == {}


@pytest.mark.parametrize(
    ("why", "age", "limit", "heal"),
    [
        ("it may be about to start", 110, 1, True),
        ("there is room left", 300, 2, True),
        ("only the sweep looks", 300, 1, False),
    ],
)
def test_in_other_cases_no_execution_is_looked_up(tables, other_calls, why, age, limit, heal):
    tables.put_intake(holders={"over": holder("over", age)})
    assert list(look(limit, heal=heal).holders) == ["over"], why


@pytest.mark.parametrize(("limit", "paused"), [(0, False), (0, True), (5, True), (1, False)])
def test_leaked_room_is_looked_for_without_a_limit_or_without_room_left(
    tables, other_calls, limit, paused
):
    tables.put_intake(holders={"over": holder("over", 300)}, paused=paused)
    expect_running(other_calls)
    expect_described(other_calls, "over", "ABORTED")
    assert look(limit, heal=True).holders == {}


def test_leaked_room_is_logged_by_the_function_that_gives_it_back(tables, other_calls, log):
    tables.put_intake(holders={"over": holder("over", 300)})
    expect_running(other_calls)
    expect_described(other_calls, "over", "ABORTED")
    look(1, heal=True)
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["service"], line["level"], line["execution"]) == (SERVICE, "WARNING", "over")


def test_room_counts_as_leaked_only_after_two_minutes():
    assert upkeep.LEAK_SECONDS == 120


@pytest.mark.parametrize("paused", [False, True])
def test_without_a_limit_the_entry_of_an_aborted_waiting_execution_is_removed(
    tables, other_calls, paused
):
    tables.put_intake(waiting={"over": entry("over", 300)}, paused=paused)
    other_calls.expects("stepfunctions", "list_executions", {"executions": []})
    expect_described(other_calls, "over", "ABORTED")
    for _ in range(2):
        room = look(0, heal=True)
    assert (room.holders, room.waiting) == ({}, {})


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
def test_a_continuing_job_is_awaited_until_it_comes_or_for_a_day(tables, row, age, awaited):
    tables.put_intake(awaiting={"first": ago(age)})
    if row is not None:
        tables.put_job("first", **row)
    look(0)
    assert list(tables.intake()["awaiting"]) == ["first"]
    look(0, heal=True)
    assert list(tables.intake()["awaiting"]) == (["first"] if awaited else [])


@pytest.mark.parametrize(("age", "kept"), [(86_300, ["j"]), (86_500, [])])
def test_progress_that_was_not_shown_for_a_day_is_forgotten(tables, age, kept):
    tables.put_intake(unshown={"j": ago(age)})
    look(0)
    assert list(tables.intake()["unshown"]) == ["j"]
    look(0, heal=True)
    assert list(tables.intake()["unshown"]) == kept


def test_progress_reported_while_older_progress_is_forgotten_is_kept(tables):
    tables.put_intake(unshown={"j": ago(86_500)})
    told = {"j": ago(1)}
    tables.before("UpdateItem", lambda: tables.put_intake(unshown=told))
    look(0, heal=True)
    assert tables.intake()["unshown"] == told
