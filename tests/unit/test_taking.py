import json
import random
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

import intake
from acknowledger import errors, job_api, taking
from acknowledger.config import ActionType
from acknowledger.executions import arn_of
from acknowledger.moments import ago
from acknowledger.offers import PREFIX, execution_name, token
from acknowledger.room import AWAITED, BATCH_SIZE, GIVEN
from tests.support import load_event
from tests.unit.conftest import ENVIRONMENT, expect_survey, metrics_in

STARTED = load_event("intake-action-started")
SCHEDULE = load_event("intake-schedule")
TYPE, OTHER_TYPE = ENVIRONMENT["ACTION_TYPES"].split(",")
PARTNER = "ThirdParty/Deploy/Partner/1"
ARN = ENVIRONMENT["STATE_MACHINE_ARN"].replace("stateMachine", "execution")
TYPES = {
    "actionTypes": [
        {
            "id": ActionType.parse(name).as_id(),
            "actionConfigurationProperties": [
                {"name": "Password", "required": True, "key": False, "secret": True}
            ],
            "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
            "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
        }
        for name in ENVIRONMENT["ACTION_TYPES"].split(",")
    ]
}


def offer(number=1, execution="a8748f7a-5b6c-4d7e-8f90-1a2b3c4d5e6f"):
    return {
        "id": f"00000000-0000-0000-0000-{number:012}",
        "nonce": "3",
        "accountId": "123456789012",
        "data": {
            "actionConfiguration": {"configuration": {"Password": "hunter2"}},
            "pipelineContext": {"action": {"name": "Compile", "actionExecutionId": execution}},
            "artifactCredentials": {
                "accessKeyId": "AKIDSECRET",
                "secretAccessKey": "SECRET",
                "sessionToken": "SECRET",
            },
        },
    }


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch):
    """Executions start in the order of the offers, as the stub expects; and there are no pauses."""
    monkeypatch.setattr(taking, "STARTS_AT_ONCE", 1)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def expect_poll(aws_calls, *offers):
    aws_calls.expects("codepipeline", "poll_for_jobs", {"jobs": list(offers)})


def expect_room(aws_calls):
    """Intake reads once whether it is paused, and writes nothing."""
    aws_calls.expects("dynamodb", "get_item", {})


def expect_query(aws_calls, *rows):
    aws_calls.expects("dynamodb", "query", {"Items": list(rows)})


def expect_start(aws_calls):
    aws_calls.expects("stepfunctions", "start_execution", {"executionArn": ARN, "startDate": 0})


def counted(of, **counts):
    """The metrics of an invocation that was offered `of` jobs and took all of them."""
    counts = dict.fromkeys(taking.COUNTED, 0) | {"OffersSeen": of, "OffersTaken": of} | counts
    return {name: (count, "Count") for name, count in counts.items()}


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
    monkeypatch.setattr(job_api, "properties", lambda _: None)
    return batches


def test_a_sweep_takes_all_offers_of_all_action_types_in_parallel(
    aws_calls, waiting, context, capsys
):
    waiting[TYPE].insert(0, [offer(1), offer(2)])
    waiting[OTHER_TYPE].insert(0, [offer(3)])
    for _ in waiting:
        expect_room(aws_calls)
    for _ in range(3):
        expect_start(aws_calls)
    expect_survey(aws_calls)
    assert intake.handler(SCHEDULE, context) == {"offered": 3, "taken": 3}
    found = metrics_in(capsys.readouterr().out)
    assert found.pop("JobsInFlight") == (0, "Count")
    assert found.pop("OldestJobAge") == (0, "Seconds")
    assert found == counted(Sweeps=2, Polls=4, EmptyPolls=2, ActionTypesNotServed=0, of=3)


def test_no_secret_reaches_the_execution_or_the_log(aws_calls, context, capsys, log):
    sent = []
    aws_calls.service("stepfunctions").client.meta.events.register(
        "before-parameter-build.stepfunctions.StartExecution",
        lambda params, **_: sent.append(json.dumps(params)),
    )
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer())
    expect_start(aws_calls)
    expect_poll(aws_calls)
    intake.handler(STARTED, context)
    captured = capsys.readouterr()
    assert offer()["id"] in sent[0]
    assert offer()["id"] in log.getvalue()
    for written in (sent[0], captured.out, captured.err, log.getvalue()):
        assert "SECRET" not in written
        assert "hunter2" not in written


def test_a_started_event_polls_its_action_type_until_its_job_is_offered(
    aws_calls, context, one_at_a_time
):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls)
    expect_query(aws_calls)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer(1, execution="another"))
    expect_start(aws_calls)
    expect_poll(aws_calls)
    expect_query(aws_calls)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer(2))
    expect_start(aws_calls)
    expect_poll(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 2, "taken": 2}
    assert one_at_a_time == [0, *taking.LOOK_AGAIN_SECONDS[:2]]


def test_only_the_schedule_counts_sweeps_and_says_that_all_types_are_served(
    tables, other_calls, context, capsys, monkeypatch
):
    """Otherwise a busy stack's alarms would not notice that the schedule is disabled."""
    monkeypatch.setenv("MAX_JOBS_IN_FLIGHT", "1")
    monkeypatch.setattr(job_api, "poll", lambda *_: [])
    monkeypatch.setattr(job_api, "properties", lambda _: None)

    def counts(event):
        intake.handler(event, context)
        found = metrics_in(capsys.readouterr().out)
        return found["Sweeps"][0], found.get("ActionTypesNotServed"), found["Polls"][0] > 0

    for event in ("intake-action-started", "intake-execution-ended", "intake-resume"):
        assert counts(load_event(event)) == (0, None, True), event
    assert counts(SCHEDULE) == (2, (0, "Count"), True)


def test_a_job_that_another_invocation_took_is_not_looked_for(aws_calls, context, one_at_a_time):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls)
    expect_query(aws_calls, {"jobId": {"S": offer()["id"]}})
    assert intake.handler(STARTED, context) == {"offered": 0, "taken": 0}
    assert one_at_a_time == [0]


def test_the_job_of_an_older_event_is_looked_for_by_its_pipeline(aws_calls, context, one_at_a_time):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    for _ in range(1 + len(taking.LOOK_AGAIN_SECONDS)):
        expect_room(aws_calls)
        expect_poll(aws_calls)
    intake.handler(load_event("intake-action-started-older"), context)


def test_the_search_for_a_job_that_never_comes_is_bounded(aws_calls, context, one_at_a_time):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    for _ in range(1 + len(taking.LOOK_AGAIN_SECONDS)):
        expect_room(aws_calls)
        expect_poll(aws_calls)
        expect_query(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 0, "taken": 0}
    assert sum(one_at_a_time) < 20


def test_when_time_runs_out_the_rest_is_left_to_the_next_sweep(aws_calls, context):
    context.remaining_ms = intake.TIME_TO_FINISH_MS
    for _ in range(2):
        aws_calls.expects("codepipeline", "list_action_types", TYPES)
        expect_room(aws_calls)
    assert intake.handler(SCHEDULE, context) == {"offered": 0, "taken": 0}


def test_an_action_type_that_cannot_be_polled_does_not_affect_the_others(
    aws_calls, waiting, context, capsys
):
    waiting[TYPE] = [errors.ActionTypeNotFoundException("gone")]
    waiting[OTHER_TYPE] = [[offer()], []]
    for _ in waiting:
        expect_room(aws_calls)
    expect_start(aws_calls)
    expect_survey(aws_calls, ago(50), ago(70), ago(60))
    with pytest.raises(errors.IntakeIncomplete) as told:
        intake.handler(SCHEDULE, context)
    assert str(told.value).startswith(
        "polling Custom/Build/Acknowledger/1: ActionTypeNotFoundException"
    )
    found = metrics_in(capsys.readouterr().out)
    assert found.pop("JobsInFlight") == (3, "Count")
    assert found.pop("OldestJobAge") == (pytest.approx(70, abs=5), "Seconds")
    assert found == counted(
        Sweeps=1, Polls=3, PollFailures=1, EmptyPolls=1, ActionTypesNotServed=1, of=1
    )


def test_an_error_in_counting_the_jobs_in_flight_is_raised_after_everything_else(
    aws_calls, waiting, context
):
    for _ in waiting:
        expect_room(aws_calls)
    aws_calls.expects_error("dynamodb", "query", "ThrottlingException")
    with pytest.raises(
        errors.IntakeIncomplete,
        match=r"^checking the jobs in flight: TableUnavailable: JobTable: ",
    ):
        intake.handler(SCHEDULE, context)


def test_an_action_type_that_is_not_registered_yet_is_looked_up_again(aws_calls, context):
    aws_calls.expects("codepipeline", "list_action_types", {"actionTypes": []})
    with pytest.raises(errors.IntakeIncomplete, match="is not registered"):
        intake.handler(STARTED, context)
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer())
    expect_start(aws_calls)
    expect_poll(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}


@pytest.mark.parametrize(
    "bad",
    [{"id": "x"}, offer(9) | {"data": None}, offer(9) | {"data": {"actionConfiguration": []}}],
)
def test_an_offer_that_cannot_be_read_does_not_affect_the_others(bad, aws_calls, context):
    aws_calls.service("codepipeline").client.meta.events.register(
        "after-call.codepipeline.PollForJobs",
        lambda parsed, **_: parsed.get("jobs") and parsed["jobs"].insert(0, bad),
    )
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer())
    expect_start(aws_calls)
    expect_poll(aws_calls)
    with pytest.raises(errors.IntakeIncomplete, match="starting job"):
        intake.handler(STARTED, context)


def test_an_execution_that_cannot_be_started_does_not_affect_the_others(aws_calls, context):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer(1), offer(2))
    aws_calls.expects_error("stepfunctions", "start_execution", "InvalidExecutionInput")
    expect_start(aws_calls)
    expect_poll(aws_calls)
    with pytest.raises(errors.IntakeIncomplete) as told:
        intake.handler(STARTED, context)
    assert offer(1)["id"] in str(told.value)
    assert offer(2)["id"] not in str(told.value)


def test_when_time_runs_out_the_rest_of_a_batch_is_left_to_be_offered_again(
    aws_calls, context, log
):
    def late(**_):
        context.remaining_ms = intake.TIME_TO_FINISH_MS

    aws_calls.service("stepfunctions").client.meta.events.register(
        "before-parameter-build.stepfunctions.StartExecution", late
    )
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer(1), offer(2), offer(3))
    expect_start(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 3, "taken": 1}
    lines = map(json.loads, log.getvalue().splitlines())
    left = [line["job_id"] for line in lines if line.get("reason") == "no time is left"]
    assert left == [offer(2)["id"], offer(3)["id"]]


def described(status):
    return {
        "executionArn": ARN,
        "stateMachineArn": ENVIRONMENT["STATE_MACHINE_ARN"],
        "status": status,
        "startDate": 0,
    }


@pytest.mark.parametrize("row", [{}, {"Item": {"status": {"S": "Dispatched"}}}])
def test_an_offer_with_the_same_nonce_is_left_to_its_running_execution(row, aws_calls, context):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer())
    aws_calls.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
    aws_calls.expects("stepfunctions", "describe_execution", described("RUNNING"))
    aws_calls.expects("dynamodb", "get_item", row)
    expect_poll(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}


def test_a_job_in_progress_that_is_offered_with_the_same_nonce_is_acknowledged_again(
    aws_calls, context
):
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer())
    aws_calls.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
    aws_calls.expects("stepfunctions", "describe_execution", described("RUNNING"))
    aws_calls.expects("dynamodb", "get_item", {"Item": {"status": {"S": "InProgress"}}})
    # The new execution stands down after the acknowledgment.
    expect_start(aws_calls)
    expect_poll(aws_calls)
    assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}


def test_an_offer_with_the_same_nonce_whose_execution_was_aborted_gets_another(aws_calls, context):
    names = []
    aws_calls.service("stepfunctions").client.meta.events.register(
        "before-parameter-build.stepfunctions.StartExecution",
        lambda params, **_: names.append(params["name"]),
    )
    aws_calls.expects("codepipeline", "list_action_types", TYPES)
    expect_room(aws_calls)
    expect_poll(aws_calls, offer())
    aws_calls.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
    aws_calls.expects("stepfunctions", "describe_execution", described("ABORTED"))
    expect_start(aws_calls)
    expect_poll(aws_calls)
    intake.handler(STARTED, context)
    first, again = names
    assert re.fullmatch(rf"{first}-\d{{13}}", again)


MACHINE = ENVIRONMENT["STATE_MACHINE_ARN"]
ENDED = load_event("intake-execution-ended")
PAUSE, RESUME = load_event("intake-pause"), load_event("intake-resume")
RESUME_ONE = {"detail-type": "Resume Intake", "detail": {"actionTypes": [TYPE]}}


def name_of(number):
    return execution_name(offer(number)["id"], offer(number)["nonce"])


def entry(number, age=0, **more):
    return {"jobId": offer(number)["id"], "since": ago(age), **more}


def continuing(number, execution=f"{ARN}:first", job_id="first", after="before"):
    """An offer of a job that continues the work of another."""
    made = offer(number)
    return {**made, "data": {**made["data"], "continuationToken": token(execution, job_id, after)}}


def expect_poll_for(calls, at_most, *offers, action_type=TYPE):
    request = {"actionTypeId": ActionType.parse(action_type).as_id(), "maxBatchSize": at_most}
    calls.expects("codepipeline", "poll_for_jobs", {"jobs": list(offers)}, request)


def limit(monkeypatch, limits):
    monkeypatch.setenv("MAX_JOBS_IN_FLIGHT", limits)


@pytest.fixture
def listed(other_calls):
    """The stubs, which expect ListActionTypes for the first action type."""
    other_calls.expects("codepipeline", "list_action_types", TYPES)
    return other_calls


@pytest.fixture
def started(other_calls):
    """The inputs of the executions that are started, by name."""
    found = {}
    other_calls.service("stepfunctions").client.meta.events.register(
        "before-parameter-build.stepfunctions.StartExecution",
        lambda params, **_: found.update({params["name"]: json.loads(params["input"])}),
    )
    return found


def described_as(calls, number, status):
    arn = arn_of(name_of(number))
    answer = described(status) | {"executionArn": arn}
    calls.expects("stepfunctions", "describe_execution", answer, {"executionArn": arn})


class TestRoom:
    """How many jobs are requested, and which executions have to wait."""

    def test_jobs_are_not_counted_without_a_limit(self, tables, listed, started, context):
        expect_poll_for(listed, BATCH_SIZE, offer(1))
        expect_start(listed)
        expect_poll_for(listed, BATCH_SIZE)
        assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}
        assert "room" not in started[name_of(1)]
        assert [call for call in tables.calls if "IntakeTable" in call] == ["IntakeTable GetItem"]

    def test_as_many_jobs_are_requested_as_there_is_room_for(
        self, tables, listed, started, context, monkeypatch, one_at_a_time
    ):
        limit(monkeypatch, "3,0")
        expect_poll_for(listed, 3, offer(1))
        expect_start(listed)
        expect_poll_for(listed, 2, offer(2), offer(3))
        expect_start(listed)
        expect_start(listed)
        assert intake.handler(STARTED, context) == {"offered": 3, "taken": 3}
        assert {name: given["room"] for name, given in started.items()} == {
            name_of(number): GIVEN for number in (1, 2, 3)
        }
        assert sorted(tables.intake()["holders"]) == sorted(started)
        # The event of an execution that ends will find the job of this event.
        assert one_at_a_time == [0]

    def test_a_job_whose_room_another_intake_took_meanwhile_waits(
        self, tables, listed, started, context, monkeypatch
    ):
        limit(monkeypatch, "1")
        other = {"another": entry(9, told=True)}
        tables.put_intake()
        tables.before("UpdateItem", lambda: tables.put_intake(holders=other))
        expect_poll_for(listed, 1, offer(1))
        expect_start(listed)
        assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}
        assert started[name_of(1)]["room"] == AWAITED
        assert list(tables.intake()["waiting"]) == [name_of(1)]

    def test_an_execution_is_counted_before_it_is_started(
        self, tables, listed, context, monkeypatch
    ):
        limit(monkeypatch, "1")
        expect_poll_for(listed, 1, offer(1))
        listed.expects_error("stepfunctions", "start_execution", "InternalFailure", "No.", 500)
        with pytest.raises(errors.IntakeIncomplete, match=offer(1)["id"]):
            intake.handler(STARTED, context)
        # It may have started despite the error. If not, a later sweep gives the room back.
        assert list(tables.intake()["holders"]) == [name_of(1)]

    @pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
    def test_a_repeated_offer_is_counted_once(
        self, tables, listed, started, context, monkeypatch, status
    ):
        limit(monkeypatch, "2")
        tables.put_intake(holders={name_of(1): entry(1, told=True)})
        expect_poll_for(listed, 1, offer(1))
        listed.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
        described_as(listed, 1, status)
        if status != "RUNNING":
            expect_start(listed)
        expect_poll_for(listed, 1)
        intake.handler(STARTED, context)
        assert list(tables.intake()["holders"]) == [list(started)[-1]]
        assert started[list(started)[-1]]["room"] == GIVEN

    def test_an_execution_keeps_its_room_while_its_job_is_acknowledged_again(
        self, tables, listed, started, context, monkeypatch
    ):
        limit(monkeypatch, "2")
        tables.put_intake(holders={name_of(1): entry(1, told=True)})
        tables.put_job(offer(1)["id"])
        expect_poll_for(listed, 1, offer(1))
        listed.expects_error("stepfunctions", "start_execution", "ExecutionAlreadyExists")
        described_as(listed, 1, "RUNNING")
        expect_start(listed)
        intake.handler(STARTED, context)
        # The other execution gives its room back when it has stood down.
        assert set(tables.intake()["holders"]) == {name_of(1), *started}

    def test_an_error_of_the_intake_table_is_named(self, tables, listed, context):
        tables.dynamodb.delete_table(TableName="IntakeTable")
        with pytest.raises(errors.IntakeIncomplete, match="TableUnavailable"):
            intake.handler(STARTED, context)

    def test_a_sweep_gives_back_leaked_room(
        self, tables, other_calls, waiting, context, monkeypatch
    ):
        limit(monkeypatch, "1,0")
        tables.put_intake(holders={name_of(1): entry(1, 300, told=True)})
        other_calls.expects("stepfunctions", "list_executions", {"executions": []})
        described_as(other_calls, 1, "ABORTED")
        intake.handler(SCHEDULE, context)
        assert tables.intake()["holders"] == {}
        assert waiting == {TYPE: [], OTHER_TYPE: []}

    def test_a_started_event_leaves_leaked_room_to_the_sweep(
        self, tables, listed, context, monkeypatch
    ):
        limit(monkeypatch, "1")
        tables.put_intake(holders={name_of(1): entry(1, 300, told=True)})
        assert intake.handler(STARTED, context) == {"offered": 0, "taken": 0}
        assert list(tables.intake()["holders"]) == [name_of(1)]


class TestEnded:
    """An execution has ended, and its room goes to another."""

    def event(self, **changes):
        return {**ENDED, "detail": {**ENDED["detail"], **changes}}

    @pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
    def test_its_room_goes_to_the_longest_waiting_execution_before_any_poll(
        self, tables, listed, context, monkeypatch, status
    ):
        limit(monkeypatch, "1")
        tables.put_intake(
            holders={ENDED["detail"]["name"]: entry(9, told=True)},
            waiting={name_of(1): entry(1, 5), name_of(2): entry(2, 9)},
        )
        execution = arn_of(name_of(2))
        tables.put_job(offer(2)["id"], execution=execution, room=AWAITED, roomToken="t")
        listed.expects("stepfunctions", "send_task_success", {}, {"taskToken": "t", "output": "{}"})
        assert intake.handler(self.event(status=status), context) == {"offered": 0, "taken": 0}
        row = tables.intake()
        assert (list(row["holders"]), list(row["waiting"])) == ([name_of(2)], [name_of(1)])

    def test_the_next_job_is_requested_if_none_waits(
        self, tables, listed, started, context, monkeypatch
    ):
        limit(monkeypatch, "1")
        tables.put_intake(holders={ENDED["detail"]["name"]: entry(9, told=True)})
        expect_poll_for(listed, 1, offer(1))
        expect_start(listed)
        assert intake.handler(ENDED, context) == {"offered": 1, "taken": 1}
        assert started[name_of(1)]["room"] == GIVEN

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
        self, tables, other_calls, context, monkeypatch, limits, given, polled
    ):
        limit(monkeypatch, limits)
        for action_type in polled:
            other_calls.expects("codepipeline", "list_action_types", TYPES)
            expect_poll_for(other_calls, 1, action_type=action_type)
        intake.handler(self.event(input=given), context)
        if not polled:
            assert tables.calls == []

    def test_a_repeated_event_gives_room_once(self, tables, other_calls, context, monkeypatch):
        limit(monkeypatch, "2")
        tables.put_intake(
            holders={ENDED["detail"]["name"]: entry(9, told=True), "x": entry(8, told=True)}
        )
        other_calls.expects("codepipeline", "list_action_types", TYPES)
        for _ in range(2):
            expect_poll_for(other_calls, 1)
            intake.handler(ENDED, context)
        assert list(tables.intake()["holders"]) == ["x"]


class TestPause:
    """An operator stops intake for a while."""

    def test_a_paused_action_type_is_not_polled_until_it_is_resumed(
        self, tables, other_calls, context, one_at_a_time
    ):
        assert intake.handler(PAUSE, context) == {"paused": [TYPE]}
        other_calls.expects("codepipeline", "list_action_types", TYPES)
        assert intake.handler(STARTED, context) == {"offered": 0, "taken": 0}
        assert one_at_a_time == [0]
        expect_poll_for(other_calls, BATCH_SIZE, offer(2, execution="y"))
        expect_start(other_calls)
        expect_poll_for(other_calls, BATCH_SIZE)
        assert intake.handler(RESUME_ONE, context) == {"paused": []}
        expect_poll_for(other_calls, BATCH_SIZE, offer(1, execution="x"))
        expect_start(other_calls)
        expect_poll_for(other_calls, BATCH_SIZE)
        tables.put_job("j", actionExecutionId=STARTED["detail"]["action-execution-id"])
        assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}

    def test_action_types_are_paused_individually_or_all_at_once(
        self, tables, other_calls, context, monkeypatch
    ):
        polled = []
        monkeypatch.setattr(job_api, "properties", lambda _: None)
        monkeypatch.setattr(job_api, "poll", lambda one, *_: polled.append(str(one)) or [])
        every = load_event("intake-pause-all")
        assert intake.handler(PAUSE, context) == {"paused": [TYPE]}
        assert intake.handler(every, context) == {"paused": [TYPE, OTHER_TYPE]}
        assert polled == []
        assert intake.handler(RESUME_ONE, context) == {"paused": [OTHER_TYPE]}
        assert polled == [TYPE]
        assert intake.handler(RESUME, context) == {"paused": []}
        assert sorted(polled) == sorted([TYPE, TYPE, OTHER_TYPE])

    def test_a_pause_changes_nothing_else(self, tables, other_calls, context):
        tables.put_intake(holders={"a": entry(1, told=True)}, awaiting={"first": ago(1)})
        before = tables.intake()
        for _ in range(2):
            intake.handler(PAUSE, context)
            assert tables.intake() == before | {"paused": True}

    def test_during_a_pause_as_many_jobs_are_requested_as_are_awaited(
        self, tables, listed, started, context
    ):
        tables.put_intake(paused=True, awaiting={"first": ago(9), "second": ago(9)})
        expect_poll_for(listed, 2, continuing(1))
        expect_start(listed)
        assert intake.handler(STARTED, context)["taken"] == 1
        assert started[name_of(1)]["continues"] == {"jobId": "first", "after": "before"}
        assert list(tables.intake()["awaiting"]) == ["second"]

    def test_during_a_pause_a_job_that_is_not_awaited_is_left_alone(
        self, tables, listed, started, context
    ):
        """CodePipeline offers it again. An execution that waits for room would hold it."""
        tables.put_intake(paused=True, awaiting={"first": ago(9)})
        tables.put_job("j", actionExecutionId=STARTED["detail"]["action-execution-id"])
        before = tables.intake()
        expect_poll_for(listed, 1, offer(1))
        expect_poll_for(listed, 2)
        assert intake.handler(STARTED, context) == {"offered": 1, "taken": 0}
        assert (started, tables.intake()) == ({}, before)

    def test_after_a_pause_all_waiting_executions_go_on_before_any_poll(
        self, tables, listed, context
    ):
        tables.put_intake(paused=True, waiting={name_of(n): entry(n, 9 - n) for n in (1, 2, 3)})
        for number in (1, 2, 3):
            execution = arn_of(name_of(number))
            row = {"execution": execution, "room": AWAITED, "roomToken": f"t{number}"}
            tables.put_job(offer(number)["id"], **row)
            request = {"taskToken": f"t{number}", "output": "{}"}
            listed.expects("stepfunctions", "send_task_success", {}, request)
        expect_poll_for(listed, BATCH_SIZE)
        intake.handler(RESUME_ONE, context)
        row = tables.intake()
        assert (row["holders"], row["waiting"]) == ({}, {})


class TestContinuation:
    """Jobs with a continuation token."""

    @pytest.mark.parametrize("limits", ["0", "1"])
    def test_a_job_that_continues_one_in_flight_uses_its_room(
        self, tables, listed, started, context, monkeypatch, limits
    ):
        limit(monkeypatch, limits)
        tables.put_intake(
            holders={"x": entry(8, told=True)}, awaiting={"first": ago(9)}, paused=limits == "0"
        )
        expect_poll_for(listed, 1, continuing(1))
        expect_start(listed)
        assert intake.handler(STARTED, context)["taken"] == 1
        assert started[name_of(1)]["continues"] == {"jobId": "first", "after": "before"}
        assert "room" not in started[name_of(1)]
        row = tables.intake()
        assert (list(row["holders"]), row["waiting"], row["awaiting"]) == (["x"], {}, {})

    def test_a_continuation_token_of_a_worker_is_passed_on(self, tables, listed, started, context):
        made = offer(1)
        made["data"]["continuationToken"] = "build-1742"
        expect_poll_for(listed, BATCH_SIZE, made)
        expect_start(listed)
        expect_poll_for(listed, BATCH_SIZE)
        intake.handler(STARTED, context)
        assert "continues" not in started[name_of(1)]
        assert started[name_of(1)]["job"]["data"]["continuationToken"] == "build-1742"

    def test_a_job_of_another_deployment_does_not_affect_the_rest_of_the_batch(
        self, tables, listed, started, context, monkeypatch, log
    ):
        limit(monkeypatch, "5")
        theirs = f"{ARN.rpartition(':')[0]}:Theirs:x"
        expect_poll_for(listed, 5, continuing(1, execution=theirs), offer(2))
        expect_start(listed)
        expect_poll_for(listed, 4)
        assert intake.handler(STARTED, context) == {"offered": 2, "taken": 1}
        assert list(started) == list(tables.intake()["holders"]) == [name_of(2)]
        (line,) = [
            line for line in map(json.loads, log.getvalue().splitlines()) if "reason" in line
        ]
        assert (line["level"], line["job_id"]) == ("WARNING", offer(1)["id"])
        assert "another deployment, Theirs" in line["reason"]

    def test_a_malformed_token_with_our_prefix_does_not_affect_the_other_jobs(
        self, tables, listed, started, context
    ):
        made = offer(1)
        made["data"]["continuationToken"] = f"{PREFIX}Job:x"
        expect_poll_for(listed, BATCH_SIZE, made, offer(2))
        expect_start(listed)
        expect_poll_for(listed, BATCH_SIZE)
        with pytest.raises(errors.IntakeIncomplete, match=f"starting job {offer(1)['id']}"):
            intake.handler(STARTED, context)
        assert list(started) == [name_of(2)]

    @pytest.mark.parametrize(("limits", "paused"), [("0", True), ("1", True), ("1", False)])
    def test_without_room_batches_grow_until_the_awaited_job_has_come(
        self, tables, listed, started, context, monkeypatch, limits, paused
    ):
        limit(monkeypatch, limits)
        holders = {"x": entry(8, told=True)}
        tables.put_intake(holders=holders, awaiting={"first": ago(9)}, paused=paused)
        expect_poll_for(listed, 1, offer(1))
        expect_poll_for(listed, 2, offer(2), offer(3))
        expect_poll_for(listed, 4, offer(4), continuing(5), offer(6))
        expect_start(listed)
        assert intake.handler(STARTED, context) == {"offered": 6, "taken": 1}
        assert list(started) == [name_of(5)]
        row = tables.intake()
        assert (list(row["holders"]), row["waiting"], row["awaiting"]) == (["x"], {}, {})

    def test_other_jobs_are_taken_while_room_is_left(
        self, tables, listed, started, context, monkeypatch
    ):
        limit(monkeypatch, "2")
        tables.put_intake(holders={"x": entry(8, told=True)}, awaiting={"first": ago(9)})
        expect_poll_for(listed, 2, offer(1), offer(2))
        expect_start(listed)
        expect_start(listed)
        # Now no room is left.
        expect_poll_for(listed, 4, *map(offer, range(3, 7)))
        expect_poll_for(listed, 8, offer(7))
        assert intake.handler(STARTED, context) == {"offered": 7, "taken": 2}
        assert [started[name_of(number)]["room"] for number in (1, 2)] == [GIVEN, AWAITED]
        row = tables.intake()
        assert sorted(row["holders"]) == sorted(["x", name_of(1)])
        assert (list(row["waiting"]), list(row["awaiting"])) == ([name_of(2)], ["first"])

    def test_polling_ends_when_the_last_room_is_taken_and_the_batch_was_not_full(
        self, tables, listed, started, context, monkeypatch
    ):
        limit(monkeypatch, "2")
        tables.put_intake(holders={"x": entry(8, told=True)}, awaiting={"first": ago(9)})
        expect_poll_for(listed, 2, offer(1))
        expect_start(listed)
        assert intake.handler(STARTED, context) == {"offered": 1, "taken": 1}
        assert started[name_of(1)]["room"] == GIVEN
        assert list(tables.intake()["awaiting"]) == ["first"]

    @pytest.mark.parametrize(("limits", "paused"), [("0", True), ("1", True), ("1", False)])
    def test_without_room_polling_ends_at_a_batch_that_is_not_full(
        self, tables, listed, started, context, monkeypatch, limits, paused
    ):
        limit(monkeypatch, limits)
        holders = {"x": entry(8, told=True)}
        tables.put_intake(holders=holders, awaiting={"first": ago(9)}, paused=paused)
        tables.put_job("j", actionExecutionId=STARTED["detail"]["action-execution-id"])
        before = tables.intake()
        expect_poll_for(listed, 1, offer(1))
        expect_poll_for(listed, 2, offer(2), offer(3))
        expect_poll_for(listed, 4, offer(4), offer(5), offer(6))
        assert intake.handler(STARTED, context) == {"offered": 6, "taken": 0}
        assert (started, tables.intake()) == ({}, before)

    def test_polling_ends_after_too_many_batches_without_a_job_to_take(
        self, tables, listed, started, context
    ):
        tables.put_intake(paused=True, awaiting={"first": ago(9)})
        tables.put_job("j", actionExecutionId=STARTED["detail"]["action-execution-id"])
        sizes = [1, 2, 4, 8, 16, 32, 64, *[BATCH_SIZE] * 3]
        assert len(sizes) == taking.FRUITLESS_BATCHES
        for size in sizes:
            expect_poll_for(listed, size, *map(offer, range(size)))
        assert intake.handler(STARTED, context) == {"offered": sum(sizes), "taken": 0}
        assert (started, list(tables.intake()["awaiting"])) == ({}, ["first"])

    def test_only_consecutive_batches_without_a_job_to_take_are_counted(
        self, tables, listed, started, context, monkeypatch
    ):
        monkeypatch.setattr(taking, "FRUITLESS_BATCHES", 2)
        awaiting = dict.fromkeys(("first", "second", "third"), ago(9))
        tables.put_intake(paused=True, awaiting=awaiting)
        tables.put_job("j", actionExecutionId=STARTED["detail"]["action-execution-id"])
        expect_poll_for(listed, 3, *(offer(n, execution="x") for n in range(3)))
        theirs = continuing(10)
        theirs["data"]["pipelineContext"]["action"]["actionExecutionId"] = "x"
        expect_poll_for(listed, 6, theirs, *(offer(n, execution="x") for n in range(5)))
        expect_start(listed)
        for size in (12, 24):
            expect_poll_for(listed, size, *(offer(n, execution="x") for n in range(size)))
        assert intake.handler(STARTED, context) == {"offered": 45, "taken": 1}
        assert sorted(tables.intake()["awaiting"]) == ["second", "third"]

    def test_without_room_and_awaited_jobs_there_is_no_poll(
        self, tables, listed, started, context, monkeypatch
    ):
        limit(monkeypatch, "1")
        tables.put_intake(holders={"x": entry(8, told=True)})
        assert intake.handler(STARTED, context) == {"offered": 0, "taken": 0}

    def test_a_job_that_is_awaited_again_meanwhile_stays_awaited(
        self, tables, listed, started, context
    ):
        """By the time its execution is started, the job that came may have been continued itself."""
        since = ago(0)
        tables.put_intake(paused=True, awaiting={"first": ago(9)})
        tables.before(
            "UpdateItem", lambda: tables.put_intake(paused=True, awaiting={"first": since})
        )
        expect_poll_for(listed, 1, continuing(1))
        expect_start(listed)
        expect_poll_for(listed, 2)
        assert intake.handler(STARTED, context)["taken"] == 1
        assert tables.intake()["awaiting"] == {"first": since}


def expect_events(calls, detail_type, *details):
    reminders = [
        {
            "EventBusName": "JobBus",
            "Source": "acknowledger",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
        }
        for detail in details
    ]
    answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}] * len(details)}
    calls.expects("events", "put_events", answer, {"Entries": reminders})


class TestReminders:
    """Progress that was reported too soon after the last to be shown."""

    @pytest.mark.usefixtures("waiting")
    @pytest.mark.parametrize("limits", ["0", "5"])
    def test_a_sweep_reminds_report_until_the_progress_is_shown(
        self, tables, other_calls, context, monkeypatch, limits
    ):
        limit(monkeypatch, limits)
        tables.put_intake(unshown={"a": ago(9), "b": ago(8)})
        expect_events(other_calls, "Job Progress", {"jobId": "a"}, {"jobId": "b"})
        intake.handler(SCHEDULE, context)
        assert sorted(tables.intake()["unshown"]) == ["a", "b"]

    def test_a_started_event_sends_no_reminder(self, tables, listed, context):
        tables.put_intake(unshown={"a": ago(9)})
        tables.put_job("j", actionExecutionId=STARTED["detail"]["action-execution-id"])
        expect_poll_for(listed, BATCH_SIZE)
        intake.handler(STARTED, context)


class TestDueJobs:
    """The sweep sends Stop the jobs that should have ended or been continued by now."""

    @pytest.fixture(autouse=True)
    def sweeps(self, waiting):
        """Nothing is offered."""

    def test_stop_gets_only_the_jobs_that_are_due(self, tables, other_calls, context):
        tables.put_job("due", dueAt=ago(1))
        tables.put_job("not yet", dueAt=ago(-60))
        tables.put_job("ended", status="Succeeded")
        expect_events(other_calls, "Job Due", {"jobId": "due"})
        intake.handler(SCHEDULE, context)

    def test_without_due_jobs_no_event_is_put_and_no_execution_described(
        self, tables, other_calls, context
    ):
        tables.put_job("j")
        tables.calls.clear()
        intake.handler(SCHEDULE, context)
        assert tables.calls.count("JobTable Query") == len(tables.calls) - 2 == 7

    def test_an_event_that_cannot_be_put_is_an_error_after_everything_else(
        self, tables, other_calls, context
    ):
        tables.put_job("due", dueAt=ago(1))
        other_calls.expects_error("events", "put_events", "ThrottlingException")
        with pytest.raises(errors.IntakeIncomplete, match="checking the jobs in flight"):
            intake.handler(SCHEDULE, context)


class TestQueries:
    """An action type with a queryable property is polled with values for it."""

    QUERIED = "Custom/Test/Other/2?ProjectName=one,Custom/Test/Other/2?ProjectName=two"
    SWEEP: ClassVar = {"detail-type": "Resume Intake", "detail": {"actionTypes": [OTHER_TYPE]}}

    @staticmethod
    def listed(aws_calls, *queryable, kind=OTHER_TYPE):
        properties = [{"name": n, "required": True, "key": True, "secret": False} for n in "ab"]
        properties += [{**properties[0], "name": name, "queryable": True} for name in queryable]
        listed = {
            "id": ActionType.parse(kind).as_id(),
            "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
            "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
            "actionConfigurationProperties": properties,
        }
        aws_calls.expects("codepipeline", "list_action_types", {"actionTypes": [listed]})

    def test_an_action_type_is_polled_with_each_value(
        self, tables, other_calls, context, monkeypatch
    ):
        monkeypatch.setenv("QUERIES", self.QUERIED)
        monkeypatch.setattr(random, "sample", lambda values, _: list(values))
        self.listed(other_calls, "ProjectName")
        for value in ("one", "two"):
            request = {
                "actionTypeId": ActionType.parse(OTHER_TYPE).as_id(),
                "maxBatchSize": BATCH_SIZE,
                "queryParam": {"ProjectName": value},
            }
            other_calls.expects("codepipeline", "poll_for_jobs", {"jobs": []}, request)
        assert intake.handler(self.SWEEP, context) == {"paused": []}

    def test_a_started_event_polls_its_action_type_with_the_values(
        self, tables, other_calls, context, monkeypatch
    ):
        event = load_event("intake-action-started-queried")
        kind = "Custom/Build/MyTool/1"
        monkeypatch.setenv("ACTION_TYPES", f"{TYPE},{kind}")
        monkeypatch.setenv("QUERIES", f"{kind}?ProjectName=MyProject")
        self.listed(other_calls, "ProjectName", kind=kind)
        found = offer(execution=event["detail"]["action-execution-id"])
        request = {
            "actionTypeId": ActionType.parse(kind).as_id(),
            "maxBatchSize": BATCH_SIZE,
            "queryParam": {"ProjectName": "MyProject"},
        }
        for jobs in ([found], []):
            other_calls.expects("codepipeline", "poll_for_jobs", {"jobs": jobs}, request)
        expect_start(other_calls)
        assert intake.handler(event, context) == {"offered": 1, "taken": 1}

    @pytest.mark.parametrize(
        ("queries", "queryable", "told"),
        [
            ("", ["ProjectName"], "its property ProjectName is queryable, so that the parameter"),
            (QUERIED, [], "has a value for ProjectName, but it has no queryable property"),
            (QUERIED, ["Job"], "has a value for ProjectName, but its queryable property is Job"),
        ],
    )
    def test_a_mismatch_is_reported_with_the_action_type_the_property_and_the_parameter(
        self, tables, other_calls, context, monkeypatch, capsys, queries, queryable, told
    ):
        monkeypatch.setenv("QUERIES", queries)
        self.listed(other_calls, *queryable)
        with pytest.raises(errors.IntakeIncomplete, match=told) as caught:
            intake.handler(self.SWEEP, context)
        assert f"polling {OTHER_TYPE}: ActionTypeNotServed: " in str(caught.value)
        assert "Queries" in str(caught.value)
        assert metrics_in(capsys.readouterr().out)["ActionTypesNotServed"] == (1, "Count")

    @pytest.mark.parametrize("unknown", ["Custom/Build/NotServed/1", "ThirdParty/Build/Partner/1"])
    def test_a_value_for_an_action_type_that_is_not_served_stops_no_other_type(
        self, tables, other_calls, context, monkeypatch, capsys, unknown
    ):
        monkeypatch.setenv("QUERIES", f"{unknown}?ProjectName=one")
        monkeypatch.setattr(job_api, "poll", lambda *_: [])
        monkeypatch.setattr(job_api, "properties", lambda _: None)
        with pytest.raises(errors.IntakeIncomplete) as caught:
            intake.handler(SCHEDULE, context)
        assert str(caught.value) == (
            f"polling {unknown}: ActionTypeNotServed: "
            "the parameter Queries has a value for it, but it is not in ActionTypes"
        )
        found = metrics_in(capsys.readouterr().out)
        assert (found["ActionTypesNotServed"], found["Sweeps"]) == ((1, "Count"), (2, "Count"))

    def list_partners(self, other_calls, *, listed):
        if listed:
            self.listed(other_calls, "ProjectName", kind=PARTNER)
        else:
            other_calls.expects("codepipeline", "list_action_types", {"actionTypes": []})

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_value_for_a_partners_action_type_is_a_mismatch(
        self, tables, other_calls, context, monkeypatch, listed
    ):
        monkeypatch.setenv("ACTION_TYPES", PARTNER)
        monkeypatch.setenv("QUERIES", f"{PARTNER}?ProjectName=one")
        self.list_partners(other_calls, listed=listed)
        told = "has a value for ProjectName, but it has no queryable property"
        with pytest.raises(errors.IntakeIncomplete, match=told):
            intake.handler({"detail-type": "Resume Intake"}, context)

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_partners_action_type_is_polled_without_a_value(
        self, tables, other_calls, context, monkeypatch, listed
    ):
        """PollForThirdPartyJobs takes none, whether or not a property is queryable."""
        monkeypatch.setenv("ACTION_TYPES", PARTNER)
        self.list_partners(other_calls, listed=listed)
        kind = ActionType.parse(PARTNER).as_id()
        request = {"actionTypeId": kind, "maxBatchSize": BATCH_SIZE}
        other_calls.expects("codepipeline", "poll_for_third_party_jobs", {"jobs": []}, request)
        assert intake.handler({"detail-type": "Resume Intake"}, context) == {"paused": []}

    def test_a_partners_action_type_without_client_tokens_is_not_served(
        self, tables, other_calls, context, monkeypatch, capsys
    ):
        monkeypatch.setenv("ACTION_TYPES", PARTNER)
        monkeypatch.setenv("CLIENT_TOKEN_PREFIX", "")
        self.list_partners(other_calls, listed=True)
        with pytest.raises(errors.IntakeIncomplete) as caught:
            intake.handler({"detail-type": "Resume Intake"}, context)
        assert str(caught.value) == (
            f"polling {PARTNER}: ActionTypeNotServed: "
            "a partner's jobs need the parameter ClientTokenPrefix"
        )
        assert metrics_in(capsys.readouterr().out)["ActionTypesNotServed"] == (1, "Count")


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
    told = [json.loads(line)["max_batch_size"] for line in log.getvalue().splitlines()]
    assert (told.count(25), told.count(50) <= 50) == (50, True)


def test_a_refusal_for_another_reason_than_the_batch_size_is_raised_and_not_remembered(aws_calls):
    one = ActionType.parse(TYPE)
    for _ in range(5):
        aws_calls.expects_error("codepipeline", "poll_for_jobs", "ValidationException")
    with pytest.raises(errors.ValidationException):
        job_api.poll(one, 100)
    assert job_api.largest_batch(one) == BATCH_SIZE
