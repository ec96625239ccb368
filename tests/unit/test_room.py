import pytest

from acknowledger.room import BATCH_SIZE, Room


def room(limit=0, paused=False, holders=(), waiting=(), awaiting=()):
    """Room with executions named by letters; the earlier in `waiting`, the longer it has waited."""
    return Room(
        "Custom/Build/Acknowledger/1",
        limit,
        paused,
        {name: {"jobId": name, "since": "0", "told": name.islower()} for name in holders},
        {name: {"jobId": name, "since": f"{since}"} for since, name in enumerate(waiting)},
        dict.fromkeys(awaiting, "0"),
    )


@pytest.mark.parametrize(
    ("of", "unlimited", "left", "to_ask_for"),
    [
        # No limit: a batch at a time, even if others wait.
        (room(), True, BATCH_SIZE, BATCH_SIZE),
        (room(holders="ab", waiting="c", awaiting="d"), True, BATCH_SIZE, BATCH_SIZE),
        # A limit: as many as there is room for, minus those that wait for room.
        (room(3), False, 3, 3),
        (room(3, holders="a"), False, 2, 2),
        (room(3, holders="a", waiting="b"), False, 1, 1),
        (room(3, holders="ab", waiting="cd"), False, 0, 0),
        (room(3, holders="abcde"), False, 0, 0),
        (room(200), False, BATCH_SIZE, BATCH_SIZE),
        (room(200, holders=map(str, range(190))), False, 10, 10),
        # A job that continues one in flight needs no room of its own.
        (room(3, holders="abc", awaiting="ac"), False, 0, 2),
        (room(3, holders="a", awaiting="a"), False, 2, 3),
        (room(200, awaiting="a"), False, BATCH_SIZE, BATCH_SIZE),
        (room(1, holders="a", awaiting=map(str, range(150))), False, 0, BATCH_SIZE),
        # Paused: only such jobs.
        (room(paused=True), False, 0, 0),
        (room(3, paused=True), False, 0, 0),
        (room(paused=True, awaiting="ab"), False, 0, 2),
        (room(3, paused=True, holders="a", awaiting="a"), False, 0, 1),
    ],
)
def test_as_many_jobs_are_requested_as_can_be_taken(of, unlimited, left, to_ask_for):
    assert (of.unlimited, of.left, of.to_ask_for) == (unlimited, left, to_ask_for)


@pytest.mark.parametrize(
    ("of", "following"),
    [
        (room(2), ""),
        (room(2, holders="a", waiting="bcd"), "b"),
        (room(2, waiting="bcd"), "bc"),
        (room(2, holders="ab", waiting="c"), ""),
        (room(2, holders="abc", waiting="d"), ""),
        (room(2, paused=True, waiting="b"), ""),
        # Resumed, or the limit removed: all that wait.
        (room(0, holders="a", waiting="bcd"), "bcd"),
        (room(0, paused=True, waiting="bcd"), ""),
    ],
)
def test_available_room_goes_to_the_longest_waiting(of, following):
    assert of.next == list(following)


def test_executions_with_the_same_waiting_time_are_ordered_by_name():
    waiting = {name: {"jobId": name, "since": "0"} for name in "cab"}
    assert Room("t", 2, waiting=waiting).next == ["a", "b"]


def test_executions_not_yet_notified_of_their_room_are_listed():
    assert room(3, holders="aBC").not_notified == ["B", "C"]


@pytest.mark.parametrize(
    ("of", "asked", "offered", "more"),
    [
        # Room is left: as many as there is room for, however many came.
        (room(3), 2, 1, 3),
        (room(), BATCH_SIZE, 1, BATCH_SIZE),
        # No room, but a job is awaited: the size doubles as long as batches are full.
        (room(1, holders="a", awaiting="a"), 1, 1, 2),
        (room(1, holders="a", awaiting="a"), 64, 64, BATCH_SIZE),
        (room(1, holders="a", awaiting="a"), 4, 3, 0),
        # Nothing is awaited.
        (room(1, holders="a"), 1, 1, 0),
        (room(paused=True), 1, 1, 0),
    ],
)
def test_the_next_batch_size_depends_on_how_many_jobs_came(of, asked, offered, more):
    assert of.to_ask_for_after(asked, offered) == more
