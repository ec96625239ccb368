"""The paths of a job through the real definition, with Acknowledge and Report scripted."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from acknowledger.moments import seconds_between
from tests.statemachine.conftest import PATIENT, SILENT, WORDLESS, Meddled, Script

TO_ACKNOWLEDGE = ["Created", "Queued", "Dispatched"]
TO_WORK = [*TO_ACKNOWLEDGE, "InProgress"]
REPORTED = ["Report", "Reported"]
OVER = ("EndedElsewhere", "CodePipeline has ended the action: ABANDONED")
NO = ("JobFailed", 'it said "no"\n{% $job %}')
NEXT_JOB = {"status": "NextJobNotHere", "error": "NextJobNotHere", "cause": "it was continued"}
NO_ROOM = {"status": "Refused", "error": "NoRoom", "cause": "There was no room"}
REFUSED = {"status": "Refused", "error": "JobNotFoundException", "cause": "Gone."}
STANDS_DOWN = {"status": "StandDown", "error": "OfferLost", "cause": "No."}
LATE = {"state": "Dispatched", "failure": {"Error": "States.Timeout", "Cause": ""}}


def failed(state, error, cause):
    return {"state": state, "failure": {"Error": error, "Cause": cause}}


@dataclass
class Scenario:
    """A script, with the states that it must lead through and the end that it must reach.

    before, then: the states until the job is worked on, or can't be, and those after it.
    """

    name: str
    script: Script
    then: list[str]
    error: str | None = None
    cause: str = ""
    outcomes: list[Any] = field(default_factory=lambda: [{"result": {}}])
    before: list[str] = field(default_factory=lambda: TO_WORK)
    input: dict[str, Any] = field(default_factory=dict)


SUCCEEDED, FAILED = [*REPORTED, "Succeeded"], [*REPORTED, "Failed"]
TIMED_OUT, WAITED = [*REPORTED, "TimedOut"], [*REPORTED, "WaitForNextJob"]
AN_HOUR = ("States.Timeout", "an hour")
A_DAY = [AN_HOUR] * 24
GONE = ("JobNotFoundException", "Gone.")
UNAVAILABLE = ("CodePipelineUnavailable", "502")
THROTTLED = ("CodePipelineThrottled", "Rate exceeded")
OUTPUT = {"outputVariables": {"A": "b"}}
WAITS: dict[str, Any] = {
    "before": ["Created", "Queued", "WaitForRoom"],
    "input": {"room": "awaited"},
}
UNACKNOWLEDGED: dict[str, Any] = {"before": TO_ACKNOWLEDGE}

SCENARIOS = [
    Scenario("success", Script(work=[OUTPUT]), SUCCEEDED, outcomes=[{"result": OUTPUT}]),
    Scenario(
        "success without a result", Script(work=[None]), SUCCEEDED, outcomes=[{"result": None}]
    ),
    Scenario("failure", Script(work=[NO]), FAILED, *NO, [failed("InProgress", *NO)]),
    Scenario(
        "failure without error and cause",
        Script(work=[WORDLESS]),
        FAILED,
        "JobFailed",
        outcomes=[failed("InProgress", None, None)],
    ),
    Scenario(
        "worker timeout",
        Script(work=[SILENT]),
        TIMED_OUT,
        "JobTimedOut",
        outcomes=[failed("InProgress", "States.Timeout", "")],
    ),
    Scenario(
        "waits for room",
        Script(rows={"WaitForRoom": [{}]}),
        ["Dispatched", "InProgress", *SUCCEEDED],
        **WAITS,
    ),
    Scenario(
        "the action ends while it waits for room",
        Script(rows={"WaitForRoom": [OVER]}),
        FAILED,
        *OVER,
        [failed("WaitForRoom", *OVER)],
        **WAITS,
    ),
    Scenario(
        "waits for room for a day at most",
        Script(rows={"WaitForRoom": A_DAY}, report=[NO_ROOM]),
        [*REPORTED, "AcknowledgmentRefused"],
        "NoRoom",
        outcomes=[failed("WaitForRoom", *AN_HOUR)],
        **WAITS,
    ),
    Scenario(
        "Acknowledge does not answer in time",
        Script(acknowledge=[SILENT]),
        TIMED_OUT,
        "JobTimedOut",
        outcomes=[LATE],
        **UNACKNOWLEDGED,
    ),
    Scenario(
        "Acknowledge does not answer in time, and another worker has the job",
        Script(acknowledge=[SILENT], report=[STANDS_DOWN]),
        [*REPORTED, "StandDown"],
        outcomes=[LATE],
        **UNACKNOWLEDGED,
    ),
    Scenario(
        "acknowledgment refused permanently",
        Script(acknowledge=[GONE], report=[REFUSED]),
        [*REPORTED, "AcknowledgmentRefused"],
        *GONE,
        [failed("Dispatched", *GONE)],
        **UNACKNOWLEDGED,
    ),
    Scenario(
        "acknowledged at the third try",
        Script(acknowledge=[UNAVAILABLE, THROTTLED, {"status": "InProgress"}]),
        SUCCEEDED,
    ),
    Scenario(
        "Acknowledge stands down",
        Script(acknowledge=[("OfferLost", "No.")]),
        ["StandDown"],
        outcomes=[],
        **UNACKNOWLEDGED,
    ),
    Scenario(
        "reported at the third try",
        Script(report=[UNAVAILABLE, ("Sandbox.Timedout", "slow")]),
        SUCCEEDED,
        outcomes=[{"result": {}}] * 3,
    ),
    Scenario(
        "a result that could never be reported",
        Script(report=[("CodePipelineRefused", "AccessDeniedException")] * 61),
        ["Report", "Unreported"],
        "Unreported",
        "CodePipelineRefused: ",
        [{"result": {}}] * 61,
    ),
    Scenario(
        "a success for the next job, which comes before the wait",
        Script(work=[{}], report=[NEXT_JOB]),
        [*WAITED, *SUCCEEDED],
        outcomes=[{"result": {}}] * 2,
    ),
    Scenario(
        "a failure for the next job, which comes before the wait",
        Script(work=[NO], report=[NEXT_JOB]),
        [*WAITED, *FAILED],
        *NO,
        [failed("InProgress", *NO)] * 2,
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_path_of_a_job(scenario, machine, job):
    offered = job()
    ended = machine.run(offered, scenario.script, **scenario.input)
    assert ended.path == [*scenario.before, *scenario.then]
    assert (ended.status, ended.error) == (
        ("FAILED", scenario.error) if scenario.error else ("SUCCEEDED", None)
    )
    assert scenario.cause in (ended.cause or "")
    for report in ended.reports:
        assert report["execution"] == ended.arn
        assert report["offer"]["job"] == offered
        report["outcome"].pop("milliseconds", None)
    assert [report["outcome"] for report in ended.reports] == scenario.outcomes
    assert {kind for kind, _ in ended.events} <= {"Job Dispatched", "Job In Progress"}


def test_what_the_row_acknowledge_and_the_worker_get(machine, job):
    offered = job(continuationToken="again")
    ended = machine.run(offered, Script())
    row = {name: next(iter(value.values())) for name, value in ended.row.items()}
    created = row["times"]["Created"]["S"]
    assert (row["status"], row["execution"], row["updatedAt"]) == ("Created", ended.arn, created)
    # Due after the limit of a minute and one more.
    assert seconds_between(created, row["dueAt"]) == 120
    assert (row["pipelineName"], row["actionExecutionId"]) == ("my-pipeline", "a8748f7a")
    assert (row["acknowledgeCalls"], row["room"], row["offers"]) == ({}, "given", "1")
    (detail,) = ended.details("Job Dispatched")
    assert detail.pop("taskToken")
    assert detail.pop("dispatchedAt") >= created
    assert detail.pop("offer")["job"] == offered
    whose = {"clientId": offered["clientId"]} if "clientId" in offered else {}
    assert detail == {"jobId": offered["id"], "nonce": "3", "execution": ended.arn, **whose}
    (detail,) = ended.details("Job In Progress")
    assert detail.pop("taskToken")
    assert detail == {
        "jobId": offered["id"],
        "actionType": "Custom/Build/Acknowledger/1",
        "heartbeatTimeoutSeconds": PATIENT["HeartbeatTimeoutSeconds"],
        "jobTimeoutSeconds": PATIENT["JobTimeoutSeconds"],
        "job": {name: value for name, value in offered.items() if name != "nonce"},
    }


@pytest.mark.parametrize(
    ("character", "length", "handed_on"),
    [("x", 240_000, True), ("x", 251_000, False), ("ü", 60_000, True), ("ü", 120_000, False)],
)
def test_a_result_is_passed_on_only_if_it_fits_into_a_payload_with_the_job(
    machine, job, character, length, handed_on
):
    result = {"outputVariables": {"A": character * length}}
    (report,) = machine.run(job(), Script(work=[result])).reports
    assert report["outcome"] == ({"result": result} if handed_on else {"tooLong": True})


@pytest.mark.parametrize("seconds", [60, 1])
def test_report_gets_the_time_since_the_worker_was_last_heard(machine, job, seconds):
    limits = {"AcknowledgeTimeoutSeconds": 60, "HeartbeatTimeoutSeconds": 1}
    limits |= {"JobTimeoutSeconds": seconds}
    (report,) = machine.run(job(), Script(work=[SILENT]), timeouts=limits).reports
    assert 900 < report["outcome"]["milliseconds"] < 30_000
    assert report["outcome"]["failure"]["Error"] in ("States.Timeout", "States.HeartbeatTimeout")
    assert report["offer"]["timeouts"] == limits


@pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched"])
def test_a_newer_offer_takes_over_the_row_of_an_unacknowledged_job(machine, job, status):
    offered = job()
    machine.set(
        offered["id"],
        status={"S": status},
        execution={"S": "arn:older"},
        offeredAt={"S": "2025-12-31T00:00:00.000Z"},
        roomToken={"S": "t"},
        over={"M": {}},
        acknowledgeCalls={"M": {"a call": {"S": "2"}}},
    )
    ended = machine.run(offered, Script())
    assert ended.row["execution"]["S"] == ended.arn
    assert ended.row["status"]["S"] == "Created"
    assert ended.row["acknowledgeCalls"]["M"] == {"a call": {"S": "2"}}
    assert not {"roomToken", "over"} & ended.row.keys()


@pytest.mark.parametrize(
    ("status", "offered_at"),
    [
        ("Dispatched", "2026-01-02T00:00:00.000Z"),
        ("InProgress", "2025-12-31T00:00:00.000Z"),
        ("Failed", "2025-12-31T00:00:00.000Z"),
    ],
)
def test_an_execution_that_cannot_claim_the_row_goes_to_acknowledge(
    machine, job, status, offered_at
):
    offered = job()
    machine.set(
        offered["id"],
        status={"S": status},
        execution={"S": "arn:another"},
        offeredAt={"S": offered_at},
    )
    before = machine.row(offered["id"])
    script = Script(acknowledge=[("AlreadyInProgress", "Its execution is arn:another")])
    ended = machine.run(offered, script, room="awaited")
    assert ended.path == ["Created", "Dispatched", "StandDown"]
    assert ended.output == {
        "jobId": offered["id"],
        "reason": "AlreadyInProgress",
        "cause": "Its execution is arn:another",
    }
    assert ended.row == before


def test_a_job_that_waits_for_room_is_queued_with_its_task_token_in_the_row(machine, job):
    offered, rows = job(), []
    meddled = Meddled(lambda: rows.append(machine.row(offered["id"])), {})
    ended = machine.run(offered, Script(rows={"WaitForRoom": [meddled]}), room="awaited")
    assert (rows[0]["status"]["S"], list(rows[0]["times"]["M"])) == (
        "Queued",
        ["Created", "Queued"],
    )
    assert rows[0]["roomToken"]["S"] == machine.answered["WaitForRoom"]
    assert ended.status == "SUCCEEDED"


@pytest.mark.parametrize(
    "change", [{"room": {"S": "given"}}, {"over": {"M": {}}}, {"execution": {"S": "arn:newer"}}]
)
def test_an_execution_that_need_not_wait_for_room_goes_to_acknowledge(machine, job, change):
    offered = job()
    meddled = Meddled(lambda: machine.set(offered["id"], **change), AN_HOUR)
    ended = machine.run(offered, Script(rows={"WaitForRoom": [meddled]}), room="awaited")
    assert ended.path[:4] == ["Created", "Queued", "WaitForRoom", "Dispatched"]


OVER_AGAIN = {"status": "Failed", "error": OVER[0], "cause": OVER[1]}


@pytest.mark.parametrize(
    ("work", "answers", "reports", "end", "outcome"),
    [
        (OUTPUT, [{}], [], "Succeeded", {"result": OUTPUT}),
        # The action is over.
        (OUTPUT, [OVER], [OVER_AGAIN], "Failed", {"result": OUTPUT}),
        (NO, A_DAY, [], "Failed", failed("InProgress", *NO) | {"waited": True}),
    ],
)
def test_a_result_waits_for_the_next_job_for_a_day_at_most(
    machine, job, work, answers, reports, end, outcome
):
    first = job()
    continuing = Meddled(lambda: machine.set(first["id"], continuing={"M": {}}), work)
    script = Script(
        work=[continuing], report=[NEXT_JOB, *reports], rows={"WaitForNextJob": [*answers]}
    )
    ended = machine.run(first, script)
    assert ended.path[6:] == ["WaitForNextJob", *REPORTED, end]
    assert ended.row["nextJobToken"]["S"] == machine.answered["WaitForNextJob"]
    ended.reports[1]["outcome"].pop("milliseconds", None)
    assert ended.reports[1]["outcome"] == outcome
