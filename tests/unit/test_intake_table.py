import pytest

from acknowledger import intake_table
from acknowledger.errors import TableUnavailable
from acknowledger.room import Room

TYPE = "Custom/Build/Acknowledger/1"
NOW = "2026-01-01T00:00:00.000Z"
LATER = "2027-01-01T00:00:00.000Z"


def take(room, *executions):
    return [intake_table.take(room, name, f"job of {name}", NOW) for name in executions]


def held(told=True):
    return {"jobId": "job", "since": NOW, "told": told}


WAITS = {"jobId": "job", "since": NOW}


def names(cloud):
    row = cloud.intake()
    return sorted(row["holders"]), sorted(row["waiting"])


def test_an_action_type_without_a_row_is_unlimited_and_costs_no_write(cloud):
    assert intake_table.read(TYPE, 0) == Room(TYPE)
    assert cloud.calls == ["IntakeTable GetItem"]
    assert cloud.intake() == {}


@pytest.mark.parametrize(("limit", "paused"), [(2, False), (0, True), (2, True)])
def test_with_a_limit_or_a_pause_the_row_is_initialized_once(cloud, limit, paused):
    if paused:
        intake_table.pause(TYPE, paused=True)
    for _ in range(2):
        assert intake_table.read(TYPE, limit) == Room(TYPE, limit, paused)
    assert names(cloud) == ([], [])
    assert cloud.calls[-3:-1] == ["IntakeTable UpdateItem", "IntakeTable GetItem"]


def test_initializing_a_row_keeps_what_another_intake_has_written(cloud):
    cloud.before("UpdateItem", lambda: cloud.put_intake(holders={"a": held()}))
    intake_table.read(TYPE, 2)
    assert names(cloud) == (["a"], [])


def test_pausing_and_resuming_keep_the_rest_of_the_row(cloud):
    cloud.put_intake(holders={"a": held()}, waiting={"b": WAITS}, awaiting={"j": NOW})
    before = cloud.intake()
    for paused in (True, True, False, False):
        intake_table.pause(TYPE, paused=paused)
        assert cloud.intake() == before | {"paused": paused}


def test_room_is_given_up_to_the_limit_and_the_rest_waits(cloud):
    room = intake_table.read(TYPE, 2)
    assert take(room, "a", "b", "c", "d") == [True, True, False, False]
    assert names(cloud) == (["a", "b"], ["c", "d"])
    assert cloud.intake()["holders"]["a"] == {"jobId": "job of a", "since": NOW, "told": True}
    assert cloud.intake()["waiting"]["c"] == {"jobId": "job of c", "since": NOW}


def test_during_a_pause_new_jobs_wait_and_others_keep_their_room(cloud):
    take(intake_table.read(TYPE, 2), "a")
    intake_table.pause(TYPE, paused=True)
    room = intake_table.read(TYPE, 2)
    assert take(room, "a", "b") == [True, False]
    assert names(cloud) == (["a"], ["b"])


def test_a_waiting_job_gets_room_before_a_new_one(cloud):
    room = intake_table.read(TYPE, 1)
    take(room, "first", "waits")
    intake_table.give_back(TYPE, "first")
    assert take(room, "comes") == [False]
    room = intake_table.read(TYPE, 1)
    assert room.next == ["comes"]  # of two with the same time, the first by name
    assert [intake_table.give(room, name) for name in ("waits", "comes")] == [True, False]
    assert names(cloud) == (["waits"], ["comes"])


def changes(room):
    return {
        "take room": lambda: intake_table.take(room, "c", "job", NOW),
        "take a place": lambda: intake_table.take(Room(TYPE, 1), "c", "job", NOW),
        "give": lambda: intake_table.give(room, "b"),
        "told": lambda: intake_table.notified(TYPE, "a"),
        "give back room": lambda: intake_table.give_back(TYPE, "a"),
        "give back a place": lambda: intake_table.give_back(TYPE, "b"),
        "give back nothing": lambda: intake_table.give_back(TYPE, "z"),
        "expect": lambda: intake_table.expect(TYPE, "j", NOW),
        "expect no more": lambda: intake_table.expect_no_more(TYPE, "i", NOW),
        "remind": lambda: intake_table.remind(TYPE, "j", NOW),
        "forget": lambda: intake_table.forget(TYPE, "i", LATER),
    }


@pytest.mark.parametrize("change", changes(None))
def test_a_change_made_twice_is_made_once(cloud, change):
    waiting = {} if change == "take room" else {"b": WAITS}
    noted = {"awaiting": {"i": NOW}, "unshown": {"i": NOW}}
    cloud.put_intake(holders={"a": held(told=False)}, waiting=waiting, **noted)
    make = changes(intake_table.read(TYPE, 3))[change]
    first = make()
    once = cloud.intake()
    again = make()
    assert cloud.intake() == once
    if change.startswith("take"):
        assert again is first


def test_a_new_holder_keeps_its_start_of_waiting_and_is_not_notified_yet(cloud):
    cloud.put_intake(waiting={"b": WAITS})
    intake_table.give(intake_table.read(TYPE, 1), "b")
    assert cloud.intake()["holders"] == {"b": {**WAITS, "told": False}}
    assert intake_table.read(TYPE, 1).not_notified == ["b"]
    intake_table.notified(TYPE, "b")
    assert intake_table.read(TYPE, 1).not_notified == []


@pytest.mark.parametrize("limit", [0, 5])
def test_an_execution_that_has_left_the_queue_gets_no_room(cloud, limit):
    cloud.put_intake(waiting={"b": WAITS})
    room = intake_table.read(TYPE, limit)
    intake_table.give_back(TYPE, "b")
    assert intake_table.give(room, "b") is False
    assert names(cloud) == ([], [])


def test_without_a_limit_all_waiting_executions_are_given_room(cloud):
    cloud.put_intake(holders={"a": held()}, waiting=dict.fromkeys("bcde", WAITS))
    room = intake_table.read(TYPE, 0)
    assert all(intake_table.give(room, name) for name in room.next)
    assert names(cloud) == (list("abcde"), [])


def test_giving_back_nothing_creates_no_row(cloud):
    intake_table.give_back(TYPE, "a")
    intake_table.notified(TYPE, "a")
    intake_table.expect_no_more(TYPE, "j", NOW)
    intake_table.forget(TYPE, "j", LATER)
    assert cloud.intake() == {}


def test_a_job_can_be_awaited_before_there_is_a_row(cloud):
    intake_table.expect(TYPE, "j", NOW)
    assert intake_table.read(TYPE, 0).awaiting == {"j": NOW}
    intake_table.expect_no_more(TYPE, "j", NOW)
    assert intake_table.read(TYPE, 0).awaiting == {}


def test_a_job_stays_awaited_if_it_has_been_awaited_again_since(cloud):
    """By then, the next job of the same work may be awaited."""
    intake_table.expect(TYPE, "j", NOW)
    intake_table.expect(TYPE, "j", LATER)
    intake_table.expect_no_more(TYPE, "j", NOW)
    intake_table.expect_no_more(TYPE, "i", LATER)
    assert intake_table.read(TYPE, 0).awaiting == {"j": LATER}
    intake_table.expect_no_more(TYPE, "j", LATER)
    assert intake_table.read(TYPE, 0).awaiting == {}


def test_a_job_that_is_about_to_be_continued_is_unshown_until_its_progress_is_shown(cloud):
    for job_id in ("i", "j"):
        intake_table.remind(TYPE, job_id, NOW)
    intake_table.expect(TYPE, "j", NOW)
    room = intake_table.read(TYPE, 0)
    assert (room.awaiting, room.unshown) == ({"j": NOW}, {"i": NOW, "j": NOW})
    intake_table.forget(TYPE, "j", LATER)
    room = intake_table.read(TYPE, 0)
    assert (room.awaiting, room.unshown) == ({"j": NOW}, {"i": NOW})


def test_progress_that_was_reported_since_is_not_forgotten(cloud):
    """An invocation that forgets may not know of progress reported at the same time."""
    intake_table.remind(TYPE, "j", NOW)
    intake_table.remind(TYPE, "j", LATER)
    assert intake_table.read(TYPE, 0).unshown == {"j": LATER}
    for now in (NOW, LATER):
        intake_table.forget(TYPE, "j", now)
        assert intake_table.read(TYPE, 0).unshown == {"j": LATER}
    intake_table.forget(TYPE, "j", "2027-01-01T00:00:00.001Z")
    assert intake_table.read(TYPE, 0).unshown == {}


@pytest.mark.parametrize("name", ["a.b", "a-b", "0", "size", "customer-7/deploy #42"])
def test_names_may_have_characters_with_a_meaning_in_expressions(cloud, name):
    room = intake_table.read(TYPE, 1)
    assert intake_table.take(room, name, name, NOW)
    intake_table.expect(TYPE, name, NOW)
    row = cloud.intake()
    assert (list(row["holders"]), list(row["awaiting"])) == ([name], [name])


def test_an_error_of_the_intake_table_is_raised_as_retryable(cloud):
    cloud.dynamodb.delete_table(TableName="IntakeTable")
    for act in (lambda: intake_table.read(TYPE, 1), lambda: intake_table.pause(TYPE, paused=True)):
        with pytest.raises(TableUnavailable):
            act()
