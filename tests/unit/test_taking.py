import random
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import intake
from acknowledger import errors, job_api, taking
from acknowledger.config import ActionType
from acknowledger.executions import arn_of
from acknowledger.moments import ago
from acknowledger.offers import PREFIX, execution_name, token
from acknowledger.room import AWAITED, BATCH_SIZE, GIVEN
from tests.support import load_event
from tests.unit.conftest import ENVIRONMENT, Context, metrics_in, offered

STARTED, OLDER, SCHEDULE, ENDED, PAUSE, RESUME = (
    load_event(f"intake-{name}")
    for name in (
        *("action-started", "action-started-older", "schedule", "execution-ended"),
        *("pause", "resume"),
    )
)
ACTION = STARTED["detail"]["action-execution-id"]
HELD = ENDED["detail"]["name"]
TYPE, OTHER_TYPE = ENVIRONMENT["ACTION_TYPES"].split(",")
PARTNER = "ThirdParty/Deploy/Partner/1"
RESUME_ONE = {"detail-type": "Resume Intake", "detail": {"actionTypes": [TYPE]}}
ARN = ENVIRONMENT["STATE_MACHINE_ARN"].replace("stateMachine", "execution")
#: The number of an offer that continues the work of the job "first".
NEXT = 1000


def offer(number=1, execution=ACTION, **data):
    context = {"action": {"name": "Compile", "actionExecutionId": execution}}
    job = offered({"Password": "hunter2"}, pipelineContext=context, **data)
    return job | {"id": f"00000000-0000-0000-0000-{number:012}"}


def continuing(number, of=f"{ARN}:first", execution=ACTION):
    """An offer of a job that continues the work of another."""
    return offer(number, execution, continuationToken=token(of, "first", "before"))


def name_of(number):
    return execution_name(offer(number)["id"], offer(number)["nonce"])


def entry(number, age=0, **more):
    return {"jobId": offer(number)["id"], "since": ago(age), **more}


def holder(number, age=0):
    return entry(number, age, told=True)


def handle(event):
    return intake.handler(event, Context())


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Executions start in the order of the offers, as the stub expects; and there are no pauses."""
    monkeypatch.setattr(taking, "STARTS_AT_ONCE", 1)
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.fixture(autouse=True)
def known_properties(monkeypatch):
    """The properties of the action types are known, except in TestProperties."""
    known = job_api.Properties(frozenset({"Password"}), "")
    monkeypatch.setattr(job_api, "properties", lambda _: known)


@pytest.fixture
def limit(monkeypatch):
    return lambda limits: monkeypatch.setenv("MAX_JOBS_IN_FLIGHT", limits)


@pytest.fixture
def waiting(monkeypatch):
    """The batches offered, by action type; the first poll waits for that of the other type."""
    batches: dict[str, list[Any]] = {TYPE: [[]], OTHER_TYPE: [[]]}
    first = dict.fromkeys(batches, True)
    together = threading.Barrier(len(batches), timeout=60)

    def poll(action_type, _at_most, _query):
        if first.pop(str(action_type), None):
            together.wait()
        batch = batches[str(action_type)].pop(0)
        if isinstance(batch, errors.AcknowledgerError):
            raise batch
        return batch

    monkeypatch.setattr(job_api, "poll", poll)
    return batches


def expect_poll(cloud, *offers, size=BATCH_SIZE, kind=TYPE, starts=0, **query):
    """Expect a poll for so many jobs, which is answered with some, and so many starts after it."""
    request = {"actionTypeId": ActionType.parse(kind).as_id(), "maxBatchSize": size, **query}
    cloud.expects("codepipeline", "poll_for_jobs", {"jobs": list(offers)}, request)
    expect_starts(cloud, starts)


def expect_starts(cloud, number=1):
    for _ in range(number):
        started = {"executionArn": ARN, "startDate": 0}
        cloud.expects("stepfunctions", "start_execution", started)


def expect_refused_start(cloud, number, status):
    """Expect a start with a name that an execution already has."""
    cloud.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
    cloud.expects_described(arn_of(name_of(number)), status)


def already_taken(cloud):
    """The job of STARTED is another one, and has been taken."""
    cloud.put_job("j", actionExecutionId=ACTION)


def places(cloud):
    """The executions with room, those that wait for room, and the jobs that are awaited."""
    row = cloud.intake()
    return tuple(sorted(row[name]) for name in ("holders", "waiting", "awaiting"))


def counted(of, **counts):
    """The metrics of an invocation that was offered `of` jobs and took all of them."""
    counts = dict.fromkeys(taking.COUNTED, 0) | {"OffersSeen": of, "OffersTaken": of} | counts
    return {name: (count, "Count") for name, count in counts.items()}


def test_a_sweep_takes_all_offers_of_all_action_types_in_parallel(cloud, waiting, capsys):
    waiting[TYPE].insert(0, [offer(1), offer(2)])
    waiting[OTHER_TYPE].insert(0, [offer(3)])
    expect_starts(cloud, 3)
    assert handle(SCHEDULE) == {"offered": 3, "taken": 3}
    found = metrics_in(capsys.readouterr().out)
    assert found.pop("JobsInFlight") == (0, "Count")
    assert found.pop("OldestJobAge") == (0, "Seconds")
    assert found == counted(Sweeps=2, Polls=4, EmptyPolls=2, ActionTypesNotServed=0, of=3)


def test_a_started_event_polls_its_action_type_until_its_job_is_offered(cloud, pauses):
    expect_poll(cloud)
    expect_poll(cloud, offer(1, execution="another"), starts=1)
    expect_poll(cloud)
    expect_poll(cloud, offer(2), starts=1)
    expect_poll(cloud)
    assert handle(STARTED) == {"offered": 2, "taken": 2}
    assert pauses == [0, *taking.LOOK_AGAIN_SECONDS[:2]]


def test_only_the_schedule_counts_sweeps_and_says_that_all_types_are_served(
    cloud, limit, capsys, monkeypatch
):
    """Otherwise a busy stack's alarms would not notice that the schedule is disabled."""
    limit("1")
    monkeypatch.setattr(job_api, "poll", lambda *_: [])

    def counts(event):
        handle(event)
        found = metrics_in(capsys.readouterr().out)
        return found["Sweeps"][0], found.get("ActionTypesNotServed"), found["Polls"][0] > 0

    for event in (STARTED, ENDED, RESUME):
        assert counts(event) == (0, None, True), event
    assert counts(SCHEDULE) == (2, (0, "Count"), True)


def test_a_job_that_another_invocation_took_is_not_looked_for(cloud, pauses):
    already_taken(cloud)
    expect_poll(cloud)
    assert handle(STARTED) == {"offered": 0, "taken": 0}
    assert pauses == [0]


# An older event does not name the action's execution.
@pytest.mark.parametrize(("event", "queried"), [(STARTED, True), (OLDER, False)])
def test_the_search_for_a_job_that_never_comes_is_bounded(cloud, pauses, event, queried):
    times = 1 + len(taking.LOOK_AGAIN_SECONDS)
    for _ in range(times):
        expect_poll(cloud)
    assert handle(event) == {"offered": 0, "taken": 0}
    assert sum(pauses) < 20
    assert cloud.calls.count("JobTable Query") == times * queried


def test_when_time_runs_out_the_rest_is_left_to_the_next_sweep(cloud):
    late = Context(remaining_ms=intake.TIME_TO_FINISH_MS)
    assert intake.handler(SCHEDULE, late) == {"offered": 0, "taken": 0}


def test_an_action_type_that_cannot_be_polled_does_not_affect_the_others(cloud, waiting, capsys):
    waiting[TYPE] = [errors.ActionTypeNotFoundException("gone")]
    waiting[OTHER_TYPE] = [[offer()], []]
    expect_starts(cloud)
    for age in (50, 70, 60):
        cloud.put_job(f"{age}", offeredAt=ago(age))
    with pytest.raises(errors.IntakeIncomplete) as told:
        handle(SCHEDULE)
    assert str(told.value).startswith(f"polling {TYPE}: ActionTypeNotFoundException")
    found = metrics_in(capsys.readouterr().out)
    assert found.pop("JobsInFlight") == (3, "Count")
    assert found.pop("OldestJobAge") == (pytest.approx(70, abs=5), "Seconds")
    assert found == counted(
        Sweeps=1, Polls=3, PollFailures=1, EmptyPolls=1, ActionTypesNotServed=1, of=1
    )


@pytest.mark.usefixtures("waiting")
def test_an_error_in_counting_the_jobs_in_flight_is_raised_after_everything_else(cloud):
    cloud.dynamodb.delete_table(TableName="JobTable")
    told = r"^checking the jobs in flight: TableUnavailable: JobTable: "
    with pytest.raises(errors.IntakeIncomplete, match=told):
        handle(SCHEDULE)


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "x"},
        offer(9) | {"data": None},
        offer(9) | {"data": {"actionConfiguration": []}},
        offer(9, continuationToken=f"{PREFIX}Job:x"),
    ],
)
def test_an_offer_that_cannot_be_read_does_not_affect_the_others(bad, cloud):
    cloud.service("codepipeline").client.meta.events.register(
        "after-call.codepipeline.PollForJobs",
        lambda parsed, **_: parsed.get("jobs") and parsed["jobs"].insert(0, bad),
    )
    expect_poll(cloud, offer(), starts=1)
    expect_poll(cloud)
    with pytest.raises(errors.IntakeIncomplete, match=f"starting job {bad['id']}"):
        handle(STARTED)


def test_an_execution_that_cannot_be_started_does_not_affect_the_others(cloud):
    expect_poll(cloud, offer(1), offer(2))
    cloud.expects_error("stepfunctions", "start_execution", "InvalidExecutionInput")
    expect_starts(cloud)
    expect_poll(cloud)
    with pytest.raises(errors.IntakeIncomplete) as told:
        handle(STARTED)
    assert offer(1)["id"] in str(told.value)
    assert offer(2)["id"] not in str(told.value)


def test_when_time_runs_out_the_rest_of_a_batch_is_left_to_be_offered_again(cloud, log):
    context = Context()

    def late(_):
        context.remaining_ms = intake.TIME_TO_FINISH_MS

    cloud.watch("stepfunctions", "StartExecution", late)
    expect_poll(cloud, offer(1), offer(2), offer(3), starts=1)
    assert intake.handler(STARTED, context) == {"offered": 3, "taken": 1}
    left = [line["job_id"] for line in log.lines if line.get("reason") == "no time is left"]
    assert left == [offer(2)["id"], offer(3)["id"]]


@pytest.mark.parametrize(
    ("status", "row", "another"),
    [
        ("RUNNING", None, False),
        ("RUNNING", "Dispatched", False),
        # The new execution stands down after it has acknowledged the job again.
        ("RUNNING", "InProgress", True),
        ("ABORTED", None, True),
    ],
)
def test_an_offer_with_the_same_nonce_is_left_to_its_execution_if_that_waits_or_gets_another(
    cloud, status, row, another
):
    if row:
        cloud.put_job(offer()["id"], status=row)
    expect_poll(cloud, offer())
    expect_refused_start(cloud, 1, status)
    expect_starts(cloud, int(another))
    expect_poll(cloud)
    assert handle(STARTED) == {"offered": 1, "taken": 1}
    first, *others = cloud.started
    assert len(others) == int(another)
    assert all(re.fullmatch(rf"{first}-\d{{13}}", name) for name in others)


def without_room(limits, paused):
    """A limit, and a row with no room left, in which a job is awaited."""
    return limits, {"holders": {"x": holder(8)}, "awaiting": {"first": ago(9)}, "paused": paused}


PAUSED = {"paused": True, "awaiting": {"first": ago(9)}}
NO_ROOM = [without_room(*each) for each in (("0", True), ("1", True), ("1", False))]
POLLS: list[Any] = [
    ("3,0", {}, [(3, [1]), (2, [2, 3])], dict.fromkeys([1, 2, 3], GIVEN)),
    # Neither room nor an awaited job: no poll.
    ("1", {"holders": {"x": holder(8)}}, [], {}),
    # A job that continues one in flight uses its room.
    *((*given, [(1, [NEXT])], {NEXT: None}) for given in NO_ROOM),
    # During a pause, as many jobs are requested as are awaited. The others are offered again: an
    # execution that waits for room would hold them.
    (
        "0",
        PAUSED | {"awaiting": dict.fromkeys(("first", "2nd"), ago(9))},
        [(2, [NEXT])],
        {NEXT: None},
    ),
    ("0", PAUSED, [(1, [1]), (2, [])], {}),
    # Without room, batches grow until the awaited job has come, or until one isn't full.
    *((*given, [(1, [1]), (2, [2, 3]), (4, [4, NEXT, 6])], {NEXT: None}) for given in NO_ROOM),
    *((*given, [(1, [1]), (2, [2, 3]), (4, [4, 5, 6])], {}) for given in NO_ROOM),
    # Other jobs are taken while room is left.
    (
        *without_room("2", paused=False),
        [(2, [1, 2]), (4, range(3, 7)), (8, [7])],
        {1: GIVEN, 2: AWAITED},
    ),
    (*without_room("2", paused=False), [(2, [1])], {1: GIVEN}),
    # Too many batches without a job to take.
    ("0", PAUSED, [(n, range(n)) for n in (1, 2, 4, 8, 16, 32, 64, *[BATCH_SIZE] * 3)], {}),
]


@pytest.mark.parametrize(("limits", "row", "batches", "rooms"), POLLS)
def test_jobs_are_requested_while_there_is_room_or_one_is_awaited(
    cloud, limit, pauses, limits, row, batches, rooms
):
    """Given: the size of each poll and the offers' numbers, and those taken, each with its room."""
    limit(limits)
    cloud.put_intake(**row)
    if "awaiting" in row:
        already_taken(cloud)
    for size, numbers in batches:
        jobs = [continuing(n) if n == NEXT else offer(n) for n in numbers]
        expect_poll(cloud, *jobs, size=size, starts=len(rooms.keys() & {*numbers}))
    offered_now = sum(len(numbers) for _, numbers in batches)
    assert handle(STARTED) == {"offered": offered_now, "taken": len(rooms)}
    started = {name: given.get("room") for name, given in cloud.started.items()}
    assert started == {name_of(number): room for number, room in rooms.items()}
    # The event of an execution that ends will find the job of this event.
    assert pauses == [0]
    holders, waiting = (
        [name for name, room in started.items() if room == given] for given in (GIVEN, AWAITED)
    )
    awaited = row.get("awaiting", {}).keys() - ({"first"} if NEXT in rooms else set())
    assert places(cloud) == (sorted([*row.get("holders", {}), *holders]), waiting, sorted(awaited))


def test_polling_ends_after_ten_batches_in_a_row_without_a_job_to_take(cloud, monkeypatch):
    assert taking.FRUITLESS_BATCHES == 10
    monkeypatch.setattr(taking, "FRUITLESS_BATCHES", 2)
    awaiting = dict.fromkeys(("first", "second", "third"), ago(9))
    cloud.put_intake(paused=True, awaiting=awaiting)
    already_taken(cloud)
    others = [offer(number, execution="x") for number in range(24)]
    expect_poll(cloud, *others[:3], size=3)
    expect_poll(cloud, continuing(10, execution="x"), *others[:5], size=6, starts=1)
    for size in (12, 24):
        expect_poll(cloud, *others[:size], size=size)
    assert handle(STARTED) == {"offered": 45, "taken": 1}
    assert sorted(cloud.intake()["awaiting"]) == ["second", "third"]


class TestRoom:
    """Which executions have room, and which have to wait."""

    def test_jobs_are_not_counted_without_a_limit(self, cloud):
        expect_poll(cloud, offer(1), starts=1)
        expect_poll(cloud)
        assert handle(STARTED) == {"offered": 1, "taken": 1}
        assert "room" not in cloud.started[name_of(1)]
        assert [call for call in cloud.calls if "IntakeTable" in call] == ["IntakeTable GetItem"]

    def test_a_job_whose_room_another_intake_took_meanwhile_waits(self, cloud, limit):
        limit("1")
        cloud.put_intake()
        cloud.before("UpdateItem", lambda: cloud.put_intake(holders={"another": holder(9)}))
        expect_poll(cloud, offer(1), size=1, starts=1)
        assert handle(STARTED) == {"offered": 1, "taken": 1}
        assert cloud.started[name_of(1)]["room"] == AWAITED
        assert list(cloud.intake()["waiting"]) == [name_of(1)]

    def test_an_execution_is_counted_before_it_is_started(self, cloud, limit):
        limit("1")
        expect_poll(cloud, offer(1), size=1)
        cloud.expects_error("stepfunctions", "start_execution", "InternalFailure", "No.", 500)
        with pytest.raises(errors.IntakeIncomplete, match=offer(1)["id"]):
            handle(STARTED)
        # It may have started despite the error. If not, a later sweep gives the room back.
        assert list(cloud.intake()["holders"]) == [name_of(1)]

    @pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
    def test_a_repeated_offer_is_counted_once(self, cloud, limit, status):
        limit("2")
        cloud.put_intake(holders={name_of(1): holder(1)})
        expect_poll(cloud, offer(1), size=1)
        expect_refused_start(cloud, 1, status)
        expect_starts(cloud, int(status != "RUNNING"))
        expect_poll(cloud, size=1)
        handle(STARTED)
        *_, newest = cloud.started
        assert list(cloud.intake()["holders"]) == [newest]
        assert cloud.started[newest]["room"] == GIVEN

    def test_an_execution_keeps_its_room_while_its_job_is_acknowledged_again(self, cloud, limit):
        limit("2")
        cloud.put_intake(holders={name_of(1): holder(1)})
        cloud.put_job(offer(1)["id"])
        expect_poll(cloud, offer(1), size=1)
        expect_refused_start(cloud, 1, "RUNNING")
        expect_starts(cloud)
        handle(STARTED)
        # The other execution gives its room back when it has stood down.
        assert set(cloud.intake()["holders"]) == {name_of(1), *cloud.started}

    def test_an_error_of_the_intake_table_is_named(self, cloud):
        cloud.dynamodb.delete_table(TableName="IntakeTable")
        with pytest.raises(errors.IntakeIncomplete, match="TableUnavailable"):
            handle(STARTED)

    @pytest.mark.parametrize(("event", "kept"), [(SCHEDULE, []), (STARTED, [name_of(1)])])
    def test_only_a_sweep_gives_back_leaked_room(self, cloud, waiting, limit, event, kept):
        limit("1,0")
        cloud.put_intake(holders={name_of(1): holder(1, 300)})
        if not kept:
            cloud.expects("stepfunctions", "list_executions", {"executions": []})
            cloud.expects_described(arn_of(name_of(1)), "ABORTED")
        handle(event)
        assert list(cloud.intake()["holders"]) == kept
        assert waiting[TYPE] == [[]] * len(kept)

    def test_a_job_of_another_deployment_does_not_affect_the_rest_of_the_batch(
        self, cloud, limit, log
    ):
        limit("5")
        theirs = f"{ARN.rpartition(':')[0]}:Theirs:x"
        expect_poll(cloud, continuing(1, theirs), offer(2), size=5, starts=1)
        expect_poll(cloud, size=4)
        assert handle(STARTED) == {"offered": 2, "taken": 1}
        assert list(cloud.started) == list(cloud.intake()["holders"]) == [name_of(2)]
        (line,) = [line for line in log.lines if "reason" in line]
        assert (line["level"], line["job_id"]) == ("WARNING", offer(1)["id"])
        assert "another deployment, Theirs" in line["reason"]

    def test_a_job_that_is_awaited_again_meanwhile_stays_awaited(self, cloud):
        """By the time its execution is started, the job that came may have been continued itself."""
        awaited, again = ({"paused": True, "awaiting": {"first": ago(age)}} for age in (9, 0))
        cloud.put_intake(**awaited)
        cloud.before("UpdateItem", lambda: cloud.put_intake(**again))
        expect_poll(cloud, continuing(1), size=1, starts=1)
        expect_poll(cloud, size=2)
        assert handle(STARTED)["taken"] == 1
        assert cloud.intake()["awaiting"] == again["awaiting"]


class TestEnded:
    """An execution has ended, and its room goes to another."""

    def event(self, **changes):
        return {**ENDED, "detail": {**ENDED["detail"], **changes}}

    @pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
    def test_its_room_goes_to_the_longest_waiting_execution_before_any_poll(
        self, cloud, limit, status
    ):
        limit("1")
        waits = {name_of(1): entry(1, 5), name_of(2): entry(2, 9)}
        cloud.put_intake(holders={HELD: holder(9)}, waiting=waits)
        execution = arn_of(name_of(2))
        cloud.put_job(offer(2)["id"], execution=execution, room=AWAITED, roomToken="t")
        cloud.expects("stepfunctions", "send_task_success", {}, {"taskToken": "t", "output": "{}"})
        assert handle(self.event(status=status)) == {"offered": 0, "taken": 0}
        assert places(cloud) == ([name_of(2)], [name_of(1)], [])

    def test_the_next_job_is_requested_if_none_waits(self, cloud, limit):
        limit("1")
        cloud.put_intake(holders={HELD: holder(9)})
        expect_poll(cloud, offer(1), size=1, starts=1)
        assert handle(ENDED) == {"offered": 1, "taken": 1}
        assert cloud.started[name_of(1)]["room"] == GIVEN

    @pytest.mark.parametrize(
        ("limits", "given", "polled"),
        [
            ("0", ENDED["detail"]["input"], []),
            ("0,1", ENDED["detail"]["input"], []),
            ("1", ENDED["detail"]["input"], [TYPE]),
            # Without an input (too long for the event), it may be any action type.
            ("1", None, [TYPE, OTHER_TYPE]),
            ("0,1", None, [OTHER_TYPE]),
            ("1", ENDED["detail"]["input"].replace(TYPE, "Custom/Build/SomebodyElses/1"), []),
        ],
    )
    def test_only_its_own_action_type_is_polled_and_only_with_a_limit(
        self, cloud, limit, limits, given, polled
    ):
        limit(limits)
        for kind in polled:
            expect_poll(cloud, size=1, kind=kind)
        handle(self.event(input=given))
        assert bool(cloud.calls) is bool(polled)


class TestPause:
    """An operator stops intake for a while."""

    def test_a_paused_action_type_is_not_polled_until_it_is_resumed(self, cloud, pauses):
        assert handle(PAUSE) == {"paused": [TYPE]}
        assert handle(STARTED) == {"offered": 0, "taken": 0}
        assert pauses == [0]
        expect_poll(cloud, offer(2), starts=1)
        expect_poll(cloud)
        assert handle(RESUME_ONE) == {"paused": []}
        expect_poll(cloud, offer(1), starts=1)
        expect_poll(cloud)
        assert handle(STARTED) == {"offered": 1, "taken": 1}

    def test_action_types_are_paused_individually_or_all_at_once(self, cloud, monkeypatch):
        polled = []
        monkeypatch.setattr(job_api, "poll", lambda one, *_: polled.append(str(one)) or [])
        assert handle(PAUSE) == {"paused": [TYPE]}
        assert handle(load_event("intake-pause-all")) == {"paused": [TYPE, OTHER_TYPE]}
        assert polled == []
        assert handle(RESUME_ONE) == {"paused": [OTHER_TYPE]}
        assert polled == [TYPE]
        assert handle(RESUME) == {"paused": []}
        assert sorted(polled) == sorted([TYPE, TYPE, OTHER_TYPE])


class TestReminders:
    """Progress that was reported too soon after the last to be shown."""

    @pytest.mark.usefixtures("waiting")
    @pytest.mark.parametrize("limits", ["0", "5"])
    def test_a_sweep_reminds_report_until_the_progress_is_shown(self, cloud, limit, limits):
        limit(limits)
        cloud.put_intake(unshown={"a": ago(9), "b": ago(8)})
        cloud.expects_event()
        handle(SCHEDULE)
        assert cloud.events == [("Job Progress", {"jobId": job_id}) for job_id in "ab"]
        assert sorted(cloud.intake()["unshown"]) == ["a", "b"]

    def test_a_started_event_sends_no_reminder(self, cloud):
        cloud.put_intake(unshown={"a": ago(9)})
        already_taken(cloud)
        expect_poll(cloud)
        handle(STARTED)


@pytest.mark.usefixtures("waiting")
class TestDueJobs:
    """The sweep sends Stop the jobs that should have ended or been continued by now."""

    def test_stop_gets_only_the_jobs_that_are_due(self, cloud):
        cloud.put_job("due", dueAt=ago(1))
        cloud.put_job("not yet", dueAt=ago(-60))
        cloud.put_job("ended", status="Succeeded")
        cloud.expects_event()
        handle(SCHEDULE)
        assert cloud.events == [("Job Due", {"jobId": "due"})]

    def test_without_due_jobs_no_event_is_put_and_no_execution_described(self, cloud):
        cloud.put_job("j")
        cloud.calls.clear()
        handle(SCHEDULE)
        assert cloud.calls.count("JobTable Query") == len(cloud.calls) - 2 == 7


QUERIED = f"{OTHER_TYPE}?ProjectName=one,{OTHER_TYPE}?ProjectName=two"
HAS = "the parameter Queries has a value for ProjectName, but"


class TestProperties:
    """What action types declare: secret properties, and the one whose values are polled for."""

    @pytest.fixture(autouse=True)
    def known_properties(self):
        """The action types are listed."""

    def test_an_action_type_that_is_not_registered_yet_is_looked_up_again(self, cloud):
        cloud.expects_listed(None)
        with pytest.raises(errors.IntakeIncomplete, match="is not registered"):
            handle(STARTED)
        cloud.expects_listed(TYPE)
        expect_poll(cloud, offer(), starts=1)
        expect_poll(cloud)
        assert handle(STARTED) == {"offered": 1, "taken": 1}

    def test_an_action_type_is_polled_with_each_value(self, cloud, monkeypatch):
        monkeypatch.setenv("ACTION_TYPES", OTHER_TYPE)
        monkeypatch.setenv("QUERIES", QUERIED)
        monkeypatch.setattr(random, "sample", lambda values, _: list(values))
        cloud.expects_listed(OTHER_TYPE, "ProjectName")
        for value in ("one", "two"):
            expect_poll(cloud, kind=OTHER_TYPE, queryParam={"ProjectName": value})
        assert handle(RESUME) == {"paused": []}

    def test_a_started_event_polls_its_action_type_with_the_values(self, cloud, monkeypatch):
        event = load_event("intake-action-started-queried")
        kind = "Custom/Build/MyTool/1"
        monkeypatch.setenv("ACTION_TYPES", f"{TYPE},{kind}")
        monkeypatch.setenv("QUERIES", f"{kind}?ProjectName=MyProject")
        cloud.expects_listed(kind, "ProjectName")
        found = offer(execution=event["detail"]["action-execution-id"])
        for jobs in ([found], []):
            expect_poll(
                cloud, *jobs, kind=kind, starts=len(jobs), queryParam={"ProjectName": "MyProject"}
            )
        assert handle(event) == {"offered": 1, "taken": 1}

    @pytest.mark.parametrize(
        ("kind", "parameters", "listed", "told"),
        [
            (
                OTHER_TYPE,
                {},
                [OTHER_TYPE, "ProjectName"],
                "its property ProjectName is queryable, so that the parameter Queries must have a "
                f"value for it, for example {OTHER_TYPE}?ProjectName=MyProject",
            ),
            (OTHER_TYPE, {"QUERIES": QUERIED}, [OTHER_TYPE], f"{HAS} it has no queryable property"),
            (
                OTHER_TYPE,
                {"QUERIES": QUERIED},
                [OTHER_TYPE, "Job"],
                f"{HAS} its queryable property is Job",
            ),
            # PollForThirdPartyJobs takes no value.
            *(
                (
                    PARTNER,
                    {"QUERIES": f"{PARTNER}?ProjectName=one"},
                    listed,
                    f"{HAS} it has no queryable property",
                )
                for listed in ([PARTNER, "ProjectName"], [None])
            ),
            (
                PARTNER,
                {"CLIENT_TOKEN_PREFIX": ""},
                [PARTNER],
                "a partner's jobs need the parameter ClientTokenPrefix",
            ),
        ],
    )
    def test_an_action_type_that_cannot_be_polled_is_named_with_the_parameter(
        self, cloud, monkeypatch, capsys, kind, parameters, listed, told
    ):
        for name, value in ({"ACTION_TYPES": kind} | parameters).items():
            monkeypatch.setenv(name, value)
        cloud.expects_listed(*listed)
        with pytest.raises(errors.IntakeIncomplete) as caught:
            handle(RESUME)
        assert str(caught.value) == f"polling {kind}: ActionTypeNotServed: {told}"
        assert metrics_in(capsys.readouterr().out)["ActionTypesNotServed"] == (1, "Count")

    @pytest.mark.parametrize("unknown", ["Custom/Build/NotServed/1", "ThirdParty/Build/Partner/1"])
    def test_a_value_for_an_action_type_that_is_not_served_stops_no_other_type(
        self, cloud, monkeypatch, capsys, unknown
    ):
        monkeypatch.setenv("QUERIES", f"{unknown}?ProjectName=one")
        monkeypatch.setattr(job_api, "poll", lambda *_: [])
        monkeypatch.setattr(job_api, "properties", lambda _: None)
        with pytest.raises(errors.IntakeIncomplete) as caught:
            handle(SCHEDULE)
        assert str(caught.value) == (
            f"polling {unknown}: ActionTypeNotServed: "
            "the parameter Queries has a value for it, but it is not in ActionTypes"
        )
        found = metrics_in(capsys.readouterr().out)
        assert (found["ActionTypesNotServed"], found["Sweeps"]) == ((1, "Count"), (2, "Count"))

    @pytest.mark.parametrize("listed", [[PARTNER, "ProjectName"], [None]])
    def test_a_partners_action_type_is_polled_without_a_value(self, cloud, monkeypatch, listed):
        """Whether or not a property is queryable."""
        monkeypatch.setenv("ACTION_TYPES", PARTNER)
        cloud.expects_listed(*listed)
        request = {"actionTypeId": ActionType.parse(PARTNER).as_id(), "maxBatchSize": BATCH_SIZE}
        cloud.expects("codepipeline", "poll_for_third_party_jobs", {"jobs": []}, request)
        assert handle(RESUME) == {"paused": []}


def test_a_refused_batch_size_is_halved_down_to_ten_and_remembered(aws_calls, log):
    one = ActionType.parse(TYPE)

    def expect(size, *, refused=False):
        request = {"actionTypeId": one.as_id(), "maxBatchSize": size}
        if refused:
            aws_calls.expects_error("codepipeline", "poll_for_jobs", "ValidationException")
        else:
            aws_calls.expects("codepipeline", "poll_for_jobs", {"jobs": []}, request)

    for refused in (100, 50, 25, 12):
        expect(refused, refused=True)
    expect(10)
    assert job_api.poll(one, 100) == []
    assert job_api.largest_batch(one) == 10
    expect(10)
    assert job_api.poll(one, 100) == []
    assert log.getvalue().count("accepts no larger batches") == 1


def test_of_batch_sizes_found_at_the_same_time_the_smallest_is_kept_and_each_is_logged_once(
    monkeypatch, log
):
    one, accepted, threads = ActionType.parse(TYPE), threading.local(), 8

    class Slow(dict[str, int]):
        """Lets other threads run between the reading and the writing of a size."""

        def get(self, *key):
            found = super().get(*key)
            threading.Event().wait(1e-4)
            return found

        def __setitem__(self, key, value):
            assert value < self.get(key, BATCH_SIZE)
            super().__setitem__(key, value)

    def poll(_type, size, _query):
        if size > accepted.size:
            raise errors.ValidationException("too many")
        return []

    def find(number):
        accepted.size = 25 if number % 2 else 50
        together.wait()
        assert job_api.poll(one, 100) == []

    monkeypatch.setattr(job_api, "_poll", poll)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            monkeypatch.setattr(job_api, "_largest_batch", Slow())
            together = threading.Barrier(threads, timeout=60)
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(find, range(threads)))
            assert job_api.largest_batch(one) == 25
    finally:
        sys.setswitchinterval(interval)
    told = [line["max_batch_size"] for line in log.lines]
    assert (told.count(25), told.count(50) <= 50) == (50, True)


def test_a_refusal_for_another_reason_than_the_batch_size_is_raised_and_not_remembered(aws_calls):
    one = ActionType.parse(TYPE)
    for _ in range(5):
        aws_calls.expects_error("codepipeline", "poll_for_jobs", "ValidationException")
    with pytest.raises(errors.ValidationException):
        job_api.poll(one, 100)
    assert job_api.largest_batch(one) == BATCH_SIZE
