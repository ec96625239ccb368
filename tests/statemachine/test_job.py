"""The ways of a job, each on the real definition."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.statemachine.conftest import SILENT, WORDLESS, Machine, Script
from tests.support import wait_for

TO_ACKNOWLEDGE = ["Created", "Queued", "Dispatched", "Acknowledge"]
TO_WORK = [*TO_ACKNOWLEDGE, "Acknowledged", "InProgress", "Work"]
SUCCEEDED = ["Succeeded", "AnnounceSucceeded"]
FAILED = ["Failed", "AnnounceFailed", "JobFailed"]
TIMED_OUT = ["TimedOut", "AnnounceTimedOut", "JobTimedOut"]
NO_OBJECT = ("ValidationException", "a JSON object of at most 130,000 characters")
OVER = ("EndedElsewhere", "CodePipeline has ended the action without us: ABANDONED")
NO = ("JobFailed", 'it said "no"\n{% $job %}')


@dataclass
class Scenario:
    """A script and the end that it must come to."""

    name: str
    script: Script
    path: list[str]
    ends: str
    row: str | None
    error: str | None = None
    cause: str | None = None
    announced: str | None = None
    reported: list[str] = field(default_factory=list)
    input: dict[str, Any] = field(default_factory=dict)


SCENARIOS = [
    Scenario(
        "success",
        Script(work=[{"outputVariables": {"A": "b"}}]),
        [*TO_WORK, "ReportSuccess", *SUCCEEDED],
        "SUCCEEDED",
        row="Succeeded",
        announced="Job Succeeded",
        reported=["Succeeded"],
    ),
    Scenario(
        "success with nothing to say",
        Script(work=[None]),
        [*TO_WORK, "ReportSuccess", *SUCCEEDED],
        "SUCCEEDED",
        row="Succeeded",
        announced="Job Succeeded",
        reported=["Succeeded"],
    ),
    Scenario(
        "failure",
        Script(work=[NO]),
        [*TO_WORK, "ReportFailure", *FAILED],
        "FAILED",
        row="Failed",
        error="JobFailed",
        cause=NO[1],
        announced="Job Failed",
        reported=["Failed"],
    ),
    Scenario(
        "failure without a word",
        Script(work=[WORDLESS]),
        [*TO_WORK, "ReportFailure", *FAILED],
        "FAILED",
        row="Failed",
        announced="Job Failed",
        reported=["Failed"],
    ),
    Scenario(
        "a result longer than Step Functions can hand on",
        Script(work=[{"outputVariables": {"A": "x" * 200_000}}], report=[NO_OBJECT]),
        [*TO_WORK, "ReportSuccess", "ReportFailure", *FAILED],
        "FAILED",
        row="Failed",
        cause="at most",
        announced="Job Failed",
        reported=["Succeeded", "Failed"],
    ),
    Scenario(
        "worker timeout",
        Script(work=[SILENT]),
        [*TO_WORK, "ReportTimeout", *TIMED_OUT],
        "FAILED",
        row="TimedOut",
        error="JobTimedOut",
        cause="JobTimeoutSeconds",
        announced="Job Timed Out",
        reported=["TimedOut"],
        input={
            "timeouts": {
                "AcknowledgeTimeoutSeconds": 60,
                "HeartbeatTimeoutSeconds": 1,
                "JobTimeoutSeconds": 1,
            }
        },
    ),
    Scenario(
        "missed heartbeat",
        Script(work=[SILENT]),
        [*TO_WORK, "ReportTimeout", *TIMED_OUT],
        "FAILED",
        row="TimedOut",
        error="JobTimedOut",
        cause="HeartbeatTimeoutSeconds",
        announced="Job Timed Out",
        reported=["TimedOut"],
        input={
            "timeouts": {
                "AcknowledgeTimeoutSeconds": 60,
                "HeartbeatTimeoutSeconds": 1,
                "JobTimeoutSeconds": 60,
            }
        },
    ),
    Scenario(
        "waits for room",
        Script(rows={"WaitForRoom": [{}]}),
        [
            *TO_ACKNOWLEDGE[:2],
            "WaitForRoom",
            *TO_WORK[2:],
            "ReportSuccess",
            *SUCCEEDED,
        ],
        "SUCCEEDED",
        row="Succeeded",
        announced="Job Succeeded",
        reported=["Succeeded"],
        input={"room": "awaited"},
    ),
    Scenario(
        "the action ends while it waits for room",
        Script(rows={"WaitForRoom": [OVER]}),
        [*TO_ACKNOWLEDGE[:2], "WaitForRoom", *FAILED],
        "FAILED",
        row="Failed",
        error=OVER[0],
        cause=OVER[1],
        announced="Job Failed",
        input={"room": "awaited"},
    ),
    Scenario(
        "the action ends while it is acknowledged",
        Script(acknowledge=[OVER]),
        [*TO_ACKNOWLEDGE, *FAILED],
        "FAILED",
        row="Failed",
        error=OVER[0],
        cause=OVER[1],
        announced="Job Failed",
    ),
    Scenario(
        "the action ends while it is worked",
        Script(work=[OVER]),
        [*TO_WORK, *FAILED],
        "FAILED",
        row="Failed",
        error=OVER[0],
        cause=OVER[1],
        announced="Job Failed",
    ),
    *(
        Scenario(
            f"{name} belongs to a next job that comes before it is waited for",
            Script(work=[work], report=[("NextJobNotHere", "it was continued")]),
            [*TO_WORK, report, "AwaitNextJob", "ReportAgain", report, *ending],
            "SUCCEEDED" if ending == SUCCEEDED else "FAILED",
            row=row,
            announced=announced,
            reported=[row, row],
        )
        for name, work, report, ending, row, announced in (
            ("a success", {}, "ReportSuccess", SUCCEEDED, "Succeeded", "Job Succeeded"),
            ("a failure", NO, "ReportFailure", FAILED, "Failed", "Job Failed"),
            ("a timeout", SILENT, "ReportTimeout", TIMED_OUT, "TimedOut", "Job Timed Out"),
        )
    ),
    Scenario(
        "acknowledge too late",
        Script(acknowledge=[SILENT]),
        [*TO_ACKNOWLEDGE, "TooLate", "TooLateForWhat", "ReportTimeout", *TIMED_OUT],
        "FAILED",
        row="TimedOut",
        error="JobTimedOut",
        cause="AcknowledgeTimeoutSeconds",
        announced="Job Timed Out",
        reported=["TimedOut"],
    ),
    Scenario(
        "acknowledge too late, and another worker has it",
        Script(acknowledge=[SILENT], report=[("InvalidNonceException", "No.")]),
        [
            *TO_ACKNOWLEDGE,
            "TooLate",
            "TooLateForWhat",
            "ReportTimeout",
            "Release",
            "Released",
            "StandDown",
        ],
        "SUCCEEDED",
        row=None,
        reported=["TimedOut"],
    ),
    Scenario(
        "offer lost to another worker",
        Script(acknowledge=[("InvalidNonceException", "No.")]),
        [*TO_ACKNOWLEDGE, "Release", "Released", "StandDown"],
        "SUCCEEDED",
        row=None,
    ),
    Scenario(
        "acknowledgment refused for good",
        Script(acknowledge=[("JobNotFoundException", "Gone.")]),
        [
            *TO_ACKNOWLEDGE,
            "TooLate",
            "TooLateForWhat",
            "Release",
            "Released",
            "AcknowledgmentRefused",
        ],
        "FAILED",
        row=None,
        error="JobNotFoundException",
        cause="Gone.",
    ),
    Scenario(
        "acknowledgment that did not take",
        Script(acknowledge=[{"status": "Queued"}]),
        [*TO_ACKNOWLEDGE, "Acknowledged", "Release", "Released", "StandDown"],
        "SUCCEEDED",
        row=None,
    ),
    Scenario(
        "acknowledged at the third try",
        Script(
            acknowledge=[
                ("CodePipelineUnavailable", "502"),
                ("CodePipelineThrottled", "Rate exceeded"),
                {"status": "InProgress"},
            ]
        ),
        [*TO_WORK, "ReportSuccess", *SUCCEEDED],
        "SUCCEEDED",
        row="Succeeded",
        announced="Job Succeeded",
        reported=["Succeeded"],
    ),
    Scenario(
        "acknowledgment answered with Succeeded",
        Script(acknowledge=[{"status": "Succeeded"}]),
        [*TO_ACKNOWLEDGE, "Acknowledged", *SUCCEEDED],
        "SUCCEEDED",
        row="Succeeded",
        announced="Job Succeeded",
    ),
    Scenario(
        "acknowledgment answered with Failed",
        Script(acknowledge=[{"status": "Failed"}]),
        [*TO_ACKNOWLEDGE, "Acknowledged", *FAILED],
        "FAILED",
        row="Failed",
        error="EndedElsewhere",
        announced="Job Failed",
    ),
    Scenario(
        "acknowledgment answered with TimedOut",
        Script(acknowledge=[{"status": "TimedOut"}]),
        [*TO_ACKNOWLEDGE, "Acknowledged", *TIMED_OUT],
        "FAILED",
        row="TimedOut",
        error="JobTimedOut",
        announced="Job Timed Out",
    ),
    Scenario(
        "an action whose own limits can't be used",
        Script(),
        [*TO_ACKNOWLEDGE, "Acknowledged", "ReportFailure", *FAILED],
        "FAILED",
        row="Failed",
        cause="JobTimeoutSeconds must be less",
        announced="Job Failed",
        reported=["Failed"],
        input={"configurationError": "JobTimeoutSeconds must be less"},
    ),
    Scenario(
        "a result that breaks a limit",
        Script(report=[("ValidationException", "percentComplete")]),
        [*TO_WORK, "ReportSuccess", "ReportFailure", *FAILED],
        "FAILED",
        row="Failed",
        cause="percentComplete",
        announced="Job Failed",
        reported=["Succeeded", "Failed"],
    ),
    Scenario(
        "a success that CodePipeline no longer takes",
        Script(report=[("InvalidJobStateException", "has already terminated")]),
        [*TO_WORK, "ReportSuccess", *FAILED],
        "FAILED",
        row="Failed",
        error="InvalidJobStateException",
        cause="has already terminated",
        announced="Job Failed",
        reported=["Succeeded"],
    ),
    Scenario(
        "a failure that CodePipeline no longer takes",
        Script(work=[NO], report=[("JobNotFoundException", "no such job")]),
        [*TO_WORK, "ReportFailure", *FAILED],
        "FAILED",
        row="Failed",
        error="JobNotFoundException",
        announced="Job Failed",
        reported=["Failed"],
    ),
    Scenario(
        "reported at the third try",
        Script(report=[("CodePipelineUnavailable", "502"), ("Sandbox.Timedout", "slow")]),
        [*TO_WORK, "ReportSuccess", *SUCCEEDED],
        "SUCCEEDED",
        row="Succeeded",
        announced="Job Succeeded",
        reported=["Succeeded"] * 3,
    ),
    Scenario(
        "a result that could never be reported",
        Script(report=[("CodePipelineRefused", "AccessDeniedException")] * 61),
        [*TO_WORK, "ReportSuccess", "Unreported"],
        "FAILED",
        row="InProgress",
        error="Unreported",
        cause="CodePipelineRefused: ",
        reported=["Succeeded"] * 61,
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_way_of_a_job(scenario: Scenario, machine: Machine, job: Any) -> None:
    offered = job()
    ended = machine.run(offered, scenario.script, **scenario.input)
    assert ended.path == scenario.path
    assert ended.status == scenario.ends
    assert ended.row_status == scenario.row
    if scenario.error:
        assert ended.error == scenario.error
    if scenario.ends == "FAILED":
        assert (scenario.cause or "") in ended.cause
    assert [report["status"] for report in ended.reports] == scenario.reported
    for report in ended.reports:
        assert report["jobId"] == offered["id"]
        assert report.get("clientId") == offered.get("clientId")
    announced = [
        kind for kind, _ in ended.events if kind not in ("Job Dispatched", "Job In Progress")
    ]
    assert announced == ([scenario.announced] if scenario.announced else [])


def test_every_scenario_that_ends_leaves_a_row_that_dynamodb_forgets(machine, job):
    ended = machine.run(job(), Script(work=[NO]))
    times = ended.row["times"]["M"]
    assert list(times) == ["Created", "Queued", "Dispatched", "InProgress", "Failed"]
    assert sorted(time["S"] for time in times.values()) == [time["S"] for time in times.values()]
    assert ended.row["updatedAt"] == times["Failed"]
    assert int(ended.row["expiresAt"]["N"]) > 1_700_000_000
    assert ended.row["error"]["S"] == "JobFailed"
    assert ended.row["cause"]["S"] == NO[1]
    assert ended.row["execution"]["S"] == ended.arn
    assert ended.row["pipelineName"]["S"] == "my-pipeline"
    assert ended.row["actionExecutionId"]["S"] == "a8748f7a"


def test_acknowledge_gets_the_api_request_and_a_task_token(machine, job):
    offered = job()
    (detail,) = machine.run(offered, Script()).details("Job Dispatched")
    assert detail.pop("taskToken")
    whose = {"clientId": offered["clientId"]} if "clientId" in offered else {}
    assert detail == {"jobId": offered["id"], "nonce": "3", **whose}


def test_the_worker_gets_the_job_as_it_is_and_no_nonce(machine, job):
    offered = job(continuationToken="again")
    (detail,) = machine.run(offered, Script()).details("Job In Progress")
    assert detail.pop("taskToken")
    assert detail == {
        "jobId": offered["id"],
        "actionType": "Build/Custom/Acknowledger/1",
        "heartbeatTimeoutSeconds": 1,
        "jobTimeoutSeconds": 2,
        "job": {name: value for name, value in offered.items() if name != "nonce"},
    }


@pytest.mark.parametrize(("length", "handed_on"), [(120_000, True), (200_000, False)])
def test_a_result_is_handed_on_only_if_a_payload_can_hold_it(machine, job, length, handed_on):
    result = {"outputVariables": {"A": "x" * length}}
    (report,) = machine.run(job(), Script(work=[result])).reports
    assert report["result"] == (result if handed_on else "too long")


def test_the_last_event_says_how_the_job_ended(machine, job):
    offered = job()
    (detail,) = machine.run(offered, Script(work=[NO])).details("Job Failed")
    assert detail["status"] == "Failed"
    assert detail["cause"] == NO[1]
    assert detail["job"]["data"] == offered["data"]
    assert "nonce" not in detail["job"]


@pytest.mark.parametrize(
    ("acknowledge", "nonce"), [(SILENT, "3"), ({"status": "InProgress"}, None)]
)
def test_report_is_given_the_nonce_only_if_the_job_may_not_be_ours(
    machine, job, acknowledge, nonce
):
    (report,) = machine.run(job(), Script(acknowledge=[acknowledge], work=[SILENT])).reports
    assert report.get("nonce") == nonce
    assert report["seconds"] == 1


def test_a_heartbeat_keeps_a_job_alive(machine, job):
    arn = machine.start(job())
    machine_events = Events(machine)
    machine.answer(machine_events.next("Job Dispatched")["taskToken"], [{"status": "InProgress"}])
    token = machine_events.next("Job In Progress")["taskToken"]
    beat_until_done(machine, token, seconds=1.5)
    machine.answer(token, [{}])
    machine_events.next("Job Succeeded")
    assert "ReportTimeout" not in machine.path(arn)


def test_a_job_offered_again_before_it_was_acknowledged_goes_to_the_newer_offer(machine, job):
    older = job()
    newer = {**older, "nonce": "4"}
    events = Events(machine)
    first = machine.start(older, timeouts=PATIENT)
    old_token = events.next("Job Dispatched")["taskToken"]
    second = machine.start(newer, timeouts=PATIENT, offeredAt="2026-01-01T00:01:00.000Z")
    detail = events.next("Job Dispatched")
    assert detail["nonce"] == "4"
    machine.answer(old_token, [("InvalidNonceException", "No.")])
    assert events.ended(first) == "SUCCEEDED"
    assert machine.path(first)[-2:] == ["Release", "StandDown"]
    machine.answer(detail["taskToken"], [{"status": "InProgress"}])
    machine.answer(events.next("Job In Progress")["taskToken"], [{}])
    assert events.ended(second) == "SUCCEEDED"
    row = machine.row(older["id"])
    assert row["status"]["S"] == "Succeeded"
    assert row["execution"]["S"] == second
    assert row["offers"]["N"] == "2"
    assert events.seen.count("Job In Progress") == 1


def test_who_is_acknowledged_has_the_job_also_if_a_newer_offer_took_its_row(machine, job):
    """As when an acknowledgment and a poll cross, or an older nonce still counts."""
    older = job()
    newer = {**older, "nonce": "4"}
    events = Events(machine)
    first = machine.start(older, timeouts=PATIENT)
    old_token = events.next("Job Dispatched")["taskToken"]
    second = machine.start(newer, timeouts=PATIENT, offeredAt="2026-01-01T00:01:00.000Z")
    new_token = events.next("Job Dispatched")["taskToken"]
    machine.answer(old_token, [{"status": "InProgress"}])
    token = events.next("Job In Progress")["taskToken"]
    machine.answer(new_token, [("InvalidNonceException", "No.")])
    assert events.ended(second) == "SUCCEEDED"
    row = machine.row(older["id"])
    assert (row["status"]["S"], row["execution"]["S"]) == ("InProgress", first)
    machine.answer(token, [{}])
    assert events.ended(first) == "SUCCEEDED"
    assert machine.path(first)[-6:] == [
        "InProgress",
        "TakeBack",
        "Work",
        "ReportSuccess",
        *SUCCEEDED,
    ]
    assert machine.row(older["id"])["status"]["S"] == "Succeeded"
    assert events.seen.count("Job In Progress") == 1


def test_of_two_that_are_acknowledged_one_works(machine, job):
    older = job()
    events = Events(machine)
    first = machine.start(older, timeouts=PATIENT)
    old_token = events.next("Job Dispatched")["taskToken"]
    newer = {**older, "nonce": "4"}
    second = machine.start(newer, timeouts=PATIENT, offeredAt="2026-01-01T00:01:00.000Z")
    machine.answer(events.next("Job Dispatched")["taskToken"], [{"status": "InProgress"}])
    token = events.next("Job In Progress")["taskToken"]
    machine.answer(old_token, [{"status": "InProgress"}])
    assert events.ended(first) == "SUCCEEDED"
    assert machine.path(first)[-2:] == ["TakeBack", "StandDown"]
    machine.answer(token, [{}])
    assert events.ended(second) == "SUCCEEDED"
    assert events.seen.count("Job In Progress") == 1


def test_an_execution_that_lost_its_row_fails_nobodys_job(machine, job):
    older = job()
    events = Events(machine)
    impatient = {**PATIENT, "AcknowledgeTimeoutSeconds": 1}
    first = machine.start(older, timeouts=impatient)
    events.next("Job Dispatched")
    newer = {**older, "nonce": "4"}
    second = machine.start(newer, timeouts=PATIENT, offeredAt="2026-01-01T00:01:00.000Z")
    detail = events.next("Job Dispatched")
    assert events.ended(first) == "SUCCEEDED"
    assert machine.path(first)[-2:] == ["TooLate", "StandDown"]
    machine.answer(detail["taskToken"], [("JobNotFoundException", "x")])
    assert events.ended(second) == "FAILED"


def test_an_older_offer_that_comes_late_leaves_the_newer_one_alone(machine, job):
    newer = job()
    events = Events(machine)
    first = machine.start(newer, timeouts=PATIENT, offeredAt="2026-01-01T00:01:00.000Z")
    detail = events.next("Job Dispatched")
    late = machine.start({**newer, "nonce": "2"}, timeouts=PATIENT)
    assert events.ended(late) == "SUCCEEDED"
    assert machine.path(late) == ["Created", "FindClaim", "ClaimFound", "StandDown"]
    machine.answer(detail["taskToken"], [("JobNotFoundException", "x")])
    assert events.ended(first) == "FAILED"


@pytest.mark.parametrize(
    "answer", [{"status": "InProgress"}, ("InvalidNonceException", "No.")], ids=["status", "nonce"]
)
def test_a_job_offered_again_after_it_was_acknowledged_is_acknowledged_again_and_not_worked_twice(
    machine, job, answer
):
    offered = job()
    events = Events(machine)
    first = machine.start(offered, timeouts=PATIENT)
    machine.answer(events.next("Job Dispatched")["taskToken"], [{"status": "InProgress"}])
    token = events.next("Job In Progress")["taskToken"]
    again = machine.start(
        {**offered, "nonce": "4"}, timeouts=PATIENT, offeredAt="2026-01-01T00:01:00.000Z"
    )
    detail = events.next("Job Dispatched")
    assert detail["nonce"] == "4"
    machine.answer(detail["taskToken"], [answer])
    assert events.ended(again) == "SUCCEEDED"
    assert machine.path(again) == [
        "Created",
        "FindClaim",
        "ClaimFound",
        "AcknowledgeAgain",
        "StandDown",
    ]
    assert machine.row(offered["id"])["status"]["S"] == "InProgress"
    machine.answer(token, [{}])
    assert events.ended(first) == "SUCCEEDED"
    assert machine.row(offered["id"])["execution"]["S"] == first
    assert events.seen.count("Job In Progress") == 1


def test_a_job_refused_after_a_call_that_may_have_got_through_is_failed_and_not_given_back(
    machine, job
):
    """Else CodePipeline would wait for whoever it thinks has it."""
    offered = job()
    events = Events(machine)
    arn = machine.start(offered, timeouts=PATIENT)
    token = events.next("Job Dispatched")["taskToken"]
    machine.set(offered["id"], acknowledgeCalls={"M": {"one": {"S": offered["nonce"]}}})
    machine.answer(token, [("JobNotFoundException", "No.")])
    assert events.ended(arn) == "FAILED"
    assert machine.path(arn)[4:] == ["TooLate", "TooLateForWhat", "ReportTimeout", *TIMED_OUT]


def test_a_job_that_waits_for_room_says_so_and_a_newer_offer_may_have_it(machine, job):
    older = job()
    events = Events(machine)
    first = machine.start(older, timeouts=PATIENT, room="awaited")
    token = row_token(machine, first, "WaitForRoom")
    row = machine.row(older["id"])
    assert (row["status"]["S"], row["roomToken"]["S"]) == ("Queued", token)
    newer = {**older, "nonce": "4"}
    second = machine.start(newer, timeouts=PATIENT, offeredAt="2026-01-01T00:01:00.000Z")
    detail = events.next("Job Dispatched")
    assert detail["nonce"] == "4"
    assert "roomToken" not in machine.row(older["id"])
    machine.answer(token, [{}])
    assert events.ended(first) == "SUCCEEDED"
    assert machine.path(first)[-3:] == ["WaitForRoom", "Dispatched", "StandDown"]
    machine.answer(detail["taskToken"], [{"status": "InProgress"}])
    machine.answer(events.next("Job In Progress")["taskToken"], [{}])
    assert events.ended(second) == "SUCCEEDED"


JOIN = [*TO_ACKNOWLEDGE, "Acknowledged", "Join"]


def test_a_job_that_continues_one_in_progress_is_tied_to_it_and_ends_without_a_word(machine, job):
    first, nxt = job(), job()
    events = Events(machine)
    work = machine.start(first, timeouts=PATIENT)
    machine.answer(events.next("Job Dispatched")["taskToken"], [{"status": "InProgress"}])
    token = events.next("Job In Progress")["taskToken"]
    machine.set(first["id"], continuing={"M": {"jobId": {"S": first["id"]}}})
    after = {"jobId": first["id"], "after": first["id"]}
    joined = machine.run(nxt, Script(), continues=after)
    assert joined.path == [*JOIN, "Joined", "Release", "Released", "StandDown"]
    assert joined.output["reason"] == "Joined"
    assert joined.row is None
    assert joined.reports == []
    assert machine.row(first["id"])["currentJobId"]["S"] == nxt["id"]
    # Offered again, since its acknowledgment was not seen, or after others have followed it.
    for later in (None, "yet another"):
        if later:
            machine.set(first["id"], currentJobId={"S": later})
        again = machine.run({**nxt, "nonce": "4"}, Script(), continues=after)
        found = ["FindContinued", "ContinuedFound", "Joined", "Release", "Released", "StandDown"]
        assert again.path == [*JOIN, *found]
        assert machine.row(first["id"])["currentJobId"]["S"] == (later or nxt["id"])
    machine.answer(token, [{}])
    assert events.ended(work) == "SUCCEEDED"


def test_a_job_that_continues_others_is_as_late_as_it_may_be(machine, job):
    first, nxt = job(), job()
    machine.set(
        first["id"],
        execution={"S": "arn:of:the:work"},
        status={"S": "InProgress"},
        continuing={"M": {"jobId": {"S": first["id"]}}},
    )
    ended = machine.run(
        nxt,
        Script(acknowledge=[SILENT, {"status": "InProgress"}]),
        continues={"jobId": first["id"], "after": first["id"]},
    )
    assert ended.path == [
        *TO_ACKNOWLEDGE,
        "TooLate",
        "TooLateForWhat",
        "Acknowledge",
        "Acknowledged",
        "Join",
        "Joined",
        "Release",
        "Released",
        "StandDown",
    ]
    assert ended.reports == []


@pytest.mark.parametrize("answered", ["Succeeded", "Failed", "TimedOut"])
def test_a_job_that_continues_others_and_has_ended_says_nothing(machine, job, answered):
    ended = machine.run(
        job(),
        Script(acknowledge=[{"status": answered}]),
        continues={"jobId": "first", "after": "first"},
    )
    assert ended.path[-4:] == ["Acknowledged", "Release", "Released", "StandDown"]
    assert [kind for kind, _ in ended.events] == ["Job Dispatched"]


def test_a_result_that_waits_for_the_next_job_goes_on_with_it(machine, job):
    first, nxt = job(), job()
    events = Events(machine)
    work = machine.start(first, timeouts=PATIENT)
    machine.answer(events.next("Job Dispatched")["taskToken"], [{"status": "InProgress"}])
    token = events.next("Job In Progress")["taskToken"]
    machine.set(first["id"], continuing={"M": {"jobId": {"S": first["id"]}}})
    machine.report_says([("NextJobNotHere", "it was continued")])
    machine.answer(token, [{}])
    row_token(machine, work, "AwaitNextJob")
    joined = machine.run(nxt, Script(), continues={"jobId": first["id"], "after": first["id"]})
    assert joined.path == [*JOIN, "Joined", "TellReport", "Release", "Released", "StandDown"]
    assert events.ended(work) == "SUCCEEDED"
    assert machine.path(work)[-5:] == ["AwaitNextJob", "ReportAgain", "ReportSuccess", *SUCCEEDED]
    row = machine.row(first["id"])
    assert "continuing" not in row


def test_a_result_that_waits_for_a_next_job_hears_that_the_action_is_over(machine, job):
    first = job()
    events = Events(machine)
    work = machine.start(first, timeouts=PATIENT)
    machine.answer(events.next("Job Dispatched")["taskToken"], [{"status": "InProgress"}])
    token = events.next("Job In Progress")["taskToken"]
    machine.set(first["id"], continuing={"M": {"jobId": {"S": first["id"]}}})
    machine.report_says([("NextJobNotHere", "it was continued")])
    machine.answer(token, [{}])
    machine.answer(row_token(machine, work, "AwaitNextJob"), [OVER])
    assert events.ended(work) == "FAILED"
    assert machine.path(work)[-4:] == ["AwaitNextJob", *FAILED]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (
            {"status": {"S": "Failed"}, "error": {"S": "JobFailed"}, "cause": {"S": "stopped"}},
            "sto",
        ),
        ({"status": {"S": "Succeeded"}}, "is over: Succeeded"),
        (None, "is over: nothing is known of it"),
    ],
    ids=["failed", "succeeded", "unknown"],
)
def test_a_job_that_continues_what_is_over_is_failed_so_that_nobody_waits(machine, job, row, cause):
    first, nxt = job(), job()
    if row:
        machine.set(first["id"], execution={"S": "arn:gone"}, **row)
    ended = machine.run(nxt, Script(), continues={"jobId": first["id"], "after": first["id"]})
    assert ended.path == [*JOIN, "FindContinued", "ContinuedFound", "ReportFailure", *FAILED]
    (report,) = ended.reports
    assert (report["status"], report["jobId"]) == ("Failed", nxt["id"])
    assert cause in report["cause"]
    assert ended.row_status == "Failed"


def test_the_event_of_a_success_tells_the_token_that_the_action_goes_on_with(machine, job):
    ended = machine.run(job(), Script(work=[{"continuationToken": "page-2"}]))
    assert ended.details("Job Succeeded")[0]["continuationToken"] == "page-2"
    ended = machine.run(job(), Script())
    assert "continuationToken" not in ended.details("Job Succeeded")[0]


def row_token(machine: Machine, arn: str, state: str) -> str:
    """The token that a state has written into its row."""

    def token() -> str | None:
        found = machine.row_token(arn)
        return found[1] if found and found[0] == state else None

    return str(wait_for(token, state, seconds=10))


def test_a_job_offered_again_after_its_end_is_left_alone(machine, job):
    offered = job()
    machine.run(offered, Script())
    ended = machine.run({**offered, "nonce": "4"}, Script(), offeredAt="2026-01-01T00:01:00.000Z")
    assert ended.path == ["Created", "FindClaim", "ClaimFound", "StandDown"]
    assert ended.output["reason"] == "AlreadyEnded"
    assert ended.row_status == "Succeeded"
    assert ended.events == []


def test_a_job_that_takes_longer_takes_no_more_states(machine, job):
    quick = machine.run(job(), Script())
    arn = machine.start(job(), timeouts=PATIENT)
    events = Events(machine)
    machine.answer(events.next("Job Dispatched")["taskToken"], [{"status": "InProgress"}])
    token = events.next("Job In Progress")["taskToken"]
    beat_until_done(machine, token, seconds=1)
    machine.answer(token, [{}])
    assert events.ended(arn) == "SUCCEEDED"
    assert machine.path(arn) == quick.path
    assert len(quick.path) <= 12


PATIENT = {
    "AcknowledgeTimeoutSeconds": 60,
    "HeartbeatTimeoutSeconds": 30,
    "JobTimeoutSeconds": 60,
}


class Events:
    """The events on the JobBus, one after the other."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.seen: list[str] = []
        self._waiting: list[tuple[str, dict[str, Any]]] = []

    def next(self, kind: str) -> dict[str, Any]:
        def taken() -> Any:
            self._waiting += self.machine.take_events()
            for number, (found, detail) in enumerate(self._waiting):
                if found == kind:
                    del self._waiting[number]
                    return detail
            return None

        detail: dict[str, Any] = wait_for(taken, kind, seconds=10)
        self.seen.append(kind)
        return detail

    def ended(self, arn: str) -> str:
        describe = self.machine.step_functions.describe_execution
        found = wait_for(
            lambda: (status := describe(executionArn=arn)["status"]) != "RUNNING" and status,
            "the execution to end",
            seconds=10,
        )
        self._waiting += self.machine.take_events()
        self.seen += [kind for kind, _ in self._waiting]
        return str(found)


def beat_until_done(machine: Machine, task_token: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        machine.step_functions.send_task_heartbeat(taskToken=task_token)
        time.sleep(0.1)
