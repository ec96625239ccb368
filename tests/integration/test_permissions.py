"""Every permission is used and none is missing: the roles' calls, compared with their policies.

One stack, which serves custom and partners' action types and limits their jobs, runs SCENARIOS,
which together make every call that its roles need. What they may do with a key is in
test_variants.py. `local/aws/permissions.py` records which role called what; a call that its
policies don't allow is refused, here as in every other module of these tests.
"""

import json
import re
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

import moto_codepipeline
from acknowledger.moments import ago
from local import acknowledger
from local.aws import permissions
from local.aws.permissions import Call, Grant
from tests.integration.conftest import World
from tests.support import load_event, wait_for

pytestmark = pytest.mark.slow

SECOND = "Custom/Test/Second/2"
MORE = [f"Custom/Build/Provider{number}/1" for number in range(9)]
PARAMETERS = {
    "ActionTypes": ",".join(
        [acknowledger.CUSTOM_ACTION_TYPE, SECOND, acknowledger.PARTNER_ACTION_TYPE, *MORE]
    ),
    "MaxJobsInFlight": ",".join(["2", *["0"] * 11]),
    "ProgressIntervalSeconds": "1",
    "ContinueAfterSeconds": "60",
}

#: Permissions whose use can't be observed on this machine, and why.
UNSEEN = {
    r"xray:\w+": "moto takes no trace segments, and Lambda itself sends those of a function",
    r"logs:(CreateLogStream|PutLogEvents)": "Lambda writes the log, without the endpoint",
    r"logs:(\w+LogDelivery|ListLogDeliveries|PutResourcePolicy|Describe\w+)": (
        "Step Functions sets up its log delivery, which the local one doesn't have"
    ),
    r"kms:Decrypt": "Parameter Store decrypts for the caller; moto does so without calling KMS",
}

#: Actions that one policy allows all functions of a stack that serves partners.
SHARED = r"codepipeline:\w*ThirdParty\w*"

#: A grant that can't be used: one list has the action types of both owners, which IAM can't
#: separate, and PollForJobs takes only custom ones.
VOID = ("codepipeline:PollForJobs", r".*:action\?ype:ThirdParty/.*")

#: Resources that are patterns, and why they can't be ARNs.
PATTERNS = {
    r"arn:\*:codepipeline:\*:\*:action\?ype:(Custom|ThirdParty)/\w+/[\w-]+/\d": (
        "Join can't insert region and account, which are the caller's; a condition has the region"
    ),
    r"arn:aws:states:[^:]+:\d+:execution:[\w-]+:\*": "an execution is named after its job",
    r"arn:aws:ssm:[^:]+:\d+:parameter/acknowledger/client-tokens/\*": "each client has a parameter",
    r"arn:aws:kms:[^:]+:\d+:key/\*": "the key is the user's; the condition names the parameters",
    r"\*": "IAM has no resource for the action",
}


# -- Scenarios ------------------------------------------------------------------------------------


def dispatched(world: World, **configuration: str) -> tuple[str, dict[str, Any]]:
    """A dispatched job whose event has not reached Acknowledge: its pipeline and its row."""
    let_go = world.hold_back_acknowledge()
    try:
        name = world.start({"Outcome": "Hang", **configuration})
        row = world.row(name, "Created")
        # The event has been put, and reached no target.
        world.task_token(row)
        return name, row
    finally:
        let_go()


def in_progress(world: World, **configuration: str) -> tuple[str, dict[str, Any]]:
    name = world.start({"Outcome": "Hang", **configuration})
    return name, world.row(name, "InProgress")


def stop(world: World, row: dict[str, Any]) -> None:
    world.client("stepfunctions").stop_execution(executionArn=row["execution"]["S"])


def taken_by_another(world: World, row: dict[str, Any]) -> None:
    """Have another worker acknowledge a dispatched job under a newer nonce."""
    world.intake_quiet()
    world.emulator.clock.advance(seconds=61)
    request = world.poll()
    assert request["jobId"] == row["jobId"]["S"]
    world.acknowledge(request)
    world.succeed(request)
    world.client("events").enable_rule(Name=world.rule("default", "STARTED"))


def start_input(world: World, row: dict[str, Any]) -> dict[str, Any]:
    described = world.client("stepfunctions").describe_execution(executionArn=row["execution"]["S"])
    given: dict[str, Any] = json.loads(described["input"])
    return given


def update_job(world: World, row: dict[str, Any], expression: str, value: str) -> None:
    world.client("dynamodb").update_item(
        TableName=world.stack.outputs["JobTableName"],
        Key={"jobId": row["jobId"]},
        UpdateExpression=expression,
        ExpressionAttributeValues={":value": {"S": value}},
    )


def sweep_until(world: World, name: str, status: str) -> None:
    """Sweep until a pipeline has a status, once the next job of its chain has come."""

    def ended() -> bool:
        world.cloud.schedule.fire()
        time.sleep(0.3)
        return world.pipeline_status(name) == status

    wait_for(ended, f"{name} to be {status}", seconds=30)


def succeeds_and_fails(world: World) -> None:
    names = {outcome: world.start({"Outcome": outcome}) for outcome in ("Succeed", "Fail")}
    world.row(names["Succeed"], "Succeeded")
    world.row(names["Fail"], "Failed")


def is_acknowledged_too_late(world: World) -> None:
    """Report acknowledges the job before it fails it."""
    name, _ = dispatched(world, AcknowledgeTimeoutSeconds="3")
    world.row(name, "TimedOut")
    assert world.pipeline_ended(name) == "Failed"


def is_lost_to_another_worker(world: World) -> None:
    """Acknowledge answers OfferLost, and deletes the row."""
    name, row = dispatched(world)
    taken_by_another(world, row)
    event = world.dispatched(row["jobId"]["S"])
    assert world.invoke("Acknowledge", event)["error"] == "OfferLost"
    world.execution(row["execution"]["S"])
    assert world.rows(name) == []


def is_acknowledged_by_an_event_that_comes_twice(world: World) -> None:
    """The second event finds its task token gone, and Acknowledge reads the row."""
    row = world.row(world.start({"Outcome": "Succeed"}), "Succeeded")
    (event,) = [
        event
        for event in world.bus_events("Job Dispatched")
        if event["detail"]["jobId"] == row["jobId"]["S"]
    ]
    assert "errorType" not in world.invoke("Acknowledge", event)


def is_offered_again_after_its_end(world: World) -> None:
    """Acknowledge checks whose row it is; Intake, whether the event's job was taken."""
    name = world.start({"Outcome": "Succeed"})
    row = world.row(name, "Succeeded")
    again = world.client("stepfunctions").start_execution(
        stateMachineArn=world.stack.outputs["JobStateMachineArn"],
        input=json.dumps(start_input(world, row)),
    )
    assert world.execution(again["executionArn"])["status"] == "SUCCEEDED"
    (event,) = [
        event
        for event in world.bus_events("CodePipeline Action Execution State Change")
        if event["detail"]["pipeline"] == name
        and event["detail"]["state"] == "STARTED"
        and event["detail"]["type"]["owner"] == "Custom"
    ]
    assert world.invoke("Intake", event) == {"offered": 0, "taken": 0}


def waits_for_room(world: World) -> None:
    """Intake notifies the execution that there is room."""
    _, held = in_progress(world)
    names = world.overflow(2)
    late = next(name for name in names if world.rows(name)[0]["status"]["S"] == "Queued")
    (row,) = world.rows(late)
    wait_for(lambda: world.task_token(row), "the execution to wait", seconds=10)
    stop(world, held)
    world.row(late, "InProgress")
    world.expect_one_more()
    for name in names:
        stop(world, world.rows(name)[0])
    world.client("events").enable_rule(Name=world.rule("default", "STARTED"))
    # The sweep checks whether the awaited job has come.
    world.cloud.schedule.fire()
    world.expect_no_more()
    wait_for(lambda: not world.intake_row()["holders"], "room to be given back", seconds=20)


def finds_room_that_was_never_given_back(world: World) -> None:
    holder = {"M": {"jobId": {"S": "x"}, "since": {"S": ago(300)}, "told": {"BOOL": True}}}
    world.client("dynamodb").update_item(
        TableName=world.stack.outputs["IntakeTableName"],
        Key={"actionType": {"S": world.action_type}},
        UpdateExpression="SET holders = :leaks",
        ExpressionAttributeValues={":leaks": {"M": {f"leak-{n}": holder for n in range(2)}}},
    )
    world.cloud.schedule.fire()
    wait_for(
        lambda: not world.intake_row()["holders"], "the leaked room to be given back", seconds=20
    )


def is_paused(world: World) -> None:
    chosen = {"actionTypes": [world.action_type]}
    paused = world.invoke("Intake", {"detail-type": "Pause Intake", "detail": chosen})
    assert paused == {"paused": [world.action_type]}
    resumed = world.invoke("Intake", {"detail-type": "Resume Intake", "detail": chosen})
    assert resumed == {"paused": []}


def waits_for_its_next_job(world: World, **configuration: str) -> tuple[str, dict[str, Any]]:
    """A job whose report waits for the next job of its chain: its pipeline and its row."""
    world.emulator.behaviour.continuation_seconds = 2
    name, row = in_progress(world, **configuration)
    world.tell_progress(row["jobId"]["S"], percentComplete=50)
    wait_for(
        lambda: world.action(name).get("percentComplete") == 50, "progress to show", seconds=20
    )
    world.client("stepfunctions").send_task_success(taskToken=world.task_token(row), output="{}")
    arn = row["execution"]["S"]
    wait_for(lambda: "WaitForNextJob" in world.path(arn), "the report to wait", seconds=20)
    return name, row


def shows_progress_and_ends_before_its_next_job(world: World) -> None:
    """Acknowledge wakes the execution whose report waits for this job."""
    name, _ = waits_for_its_next_job(world)
    sweep_until(world, name, "Succeeded")


def has_a_next_job_that_is_acknowledged_late(world: World) -> None:
    """Report, or Stop, acknowledges it and wakes the waiting execution."""
    for stopped in (False, True):
        name, first = waits_for_its_next_job(world, AcknowledgeTimeoutSeconds="5")
        let_go = world.hold_back_acknowledge()

        def comes(name: str = name, first: Any = first) -> Any:
            world.cloud.schedule.fire()
            time.sleep(0.3)
            return [row for row in world.rows(name) if row["jobId"] != first["jobId"]]

        (following,) = wait_for(comes, "the next job", seconds=30)
        if stopped:
            stop(world, following)
        world.row(name, "Succeeded", seconds=30)
        let_go()


def is_kept_alive(world: World) -> None:
    """Intake sends Stop a job that has long been in progress; Stop has Report continue it."""
    world.emulator.behaviour.continuation_seconds = 0.5
    name, row = in_progress(world)
    update_job(world, row, "SET updatedAt = :value, dueAt = :value", ago(120))
    world.cloud.schedule.fire()
    (asked, *_) = wait_for(
        lambda: world.announced("Job Progress", row["jobId"]["S"]), "the event", seconds=20
    )
    assert asked == {"jobId": row["jobId"]["S"], "keepAlive": True}
    update_job(world, row, "SET updatedAt = :value", ago(0))
    stop(world, row)
    sweep_until(world, name, "Failed")


def is_ended_by_codepipeline(world: World) -> None:
    name, row = in_progress(world)
    client = world.client("codepipeline")
    (summary,) = client.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
    client.stop_pipeline_execution(
        pipelineName=name,
        pipelineExecutionId=summary["pipelineExecutionId"],
        abandon=True,
    )
    assert world.execution(row["execution"]["S"])["error"] == "EndedElsewhere"


def is_stopped_by_hand(world: World) -> None:
    """Stop fails its job, after acknowledging it if necessary."""
    for begin in (in_progress, dispatched):
        name, row = begin(world)
        stop(world, row)
        assert world.pipeline_ended(name) == "Failed"
        world.row(name, "Failed")


def is_stopped_when_another_worker_has_its_job(world: World) -> None:
    """Stop deletes the row."""
    name, row = dispatched(world)
    taken_by_another(world, row)
    stop(world, row)
    wait_for(lambda: not world.rows(name), "the row to go", seconds=20)


def is_stopped_with_an_input_too_long_for_an_event(world: World) -> None:
    """Stop reads the input with DescribeExecution."""
    row = world.row(world.start({"Outcome": "Succeed"}), "Succeeded")
    detail = {"executionArn": row["execution"]["S"], "status": "ABORTED", "input": None}
    event = {"detail-type": "Step Functions Execution Status Change", "detail": detail}
    assert world.invoke("Stop", event) == {"ended": []}


def could_not_be_reported(world: World) -> None:
    """Stop reads what Report was invoked with, and reports it."""
    for outcome, status in (("Succeed", "Succeeded"), ("Fail", "Failed")):
        with world.throttled_report():
            row = world.row(world.start({"Outcome": outcome}), status)
        assert world.execution(row["execution"]["S"])["error"] == "Unreported"


def gets_events_that_cannot_be_handled(world: World) -> None:
    """Lambda sends the dead letter with the function's role."""
    bad = {
        "Intake": "bad/intake-not-ours",
        "Acknowledge": "bad/acknowledge-nonce-missing",
        "Report": "bad/report-outcome",
        "Stop": "bad/stop-action-state",
    }
    for function, name in bad.items():
        event = load_event(name)
        world.invoke(function, event, kind="Event")
        wait_for(partial(world.letters, function, event), "a dead letter", seconds=20)


BOTH, CUSTOM = ("Custom", "ThirdParty"), ("Custom",)


@dataclass
class Scenario:
    run: Callable[[World], None]
    owners: tuple[str, ...] = CUSTOM


SCENARIOS = [
    Scenario(succeeds_and_fails, BOTH),
    Scenario(is_acknowledged_too_late, BOTH),
    Scenario(is_lost_to_another_worker),
    Scenario(is_acknowledged_by_an_event_that_comes_twice),
    Scenario(is_offered_again_after_its_end),
    Scenario(waits_for_room),
    Scenario(finds_room_that_was_never_given_back),
    Scenario(is_paused),
    Scenario(shows_progress_and_ends_before_its_next_job),
    Scenario(has_a_next_job_that_is_acknowledged_late),
    Scenario(is_kept_alive),
    Scenario(is_ended_by_codepipeline),
    Scenario(is_stopped_by_hand, BOTH),
    Scenario(is_stopped_when_another_worker_has_its_job),
    Scenario(is_stopped_with_an_input_too_long_for_an_event),
    Scenario(could_not_be_reported, BOTH),
    Scenario(gets_events_that_cannot_be_handled),
]


# -- What the roles did and may do ----------------------------------------------------------------


@dataclass
class Recorded:
    """The calls of the stack's roles, and the policies of each role, by its ARN."""

    calls: list[Call]
    refused: list[Call]
    policies: dict[str, list[dict[str, Any]]]

    @property
    def grants(self) -> list[Grant]:
        found = [
            grant
            for role, documents in self.policies.items()
            for grant in permissions.grants(role, documents)
            if not (grant.action == VOID[0] and re.fullmatch(VOID[1], grant.resource))
        ]
        return list(dict.fromkeys(found))

    def denied(self) -> list[Call]:
        """Calls that aren't allowed."""
        grants = self.grants
        return [call for call in self.calls if not any(grant.allows(call) for grant in grants)]

    def unused(self) -> list[Grant]:
        """Grants that weren't used, apart from those whose use can't be observed."""
        return [
            grant
            for grant in self.grants
            if not any(re.fullmatch(action, grant.action) for action in UNSEEN)
            and not any(
                grant.allows(call)
                or (re.fullmatch(SHARED, grant.action) and grant.action == call.action)
                for call in self.calls
            )
        ]

    def too_wide(self) -> list[Grant]:
        """Grants with a pattern, although they could name the action or the resource."""
        return [
            grant
            for grant in self.grants
            if re.search(r"[*?]", grant.action)
            or (
                re.search(r"[*?]", grant.resource)
                and not any(re.fullmatch(known, grant.resource) for known in PATTERNS)
            )
            or (
                grant.resource == "*"
                and not permissions.WITHOUT_RESOURCE.fullmatch(grant.action)
                and not re.match("xray:|logs:", grant.action)
            )
        ]


@pytest.fixture(scope="module")
def recorded(running: World) -> Recorded:
    """The calls of all scenarios, run one after the other."""
    for action_type in MORE:
        acknowledger.register(running.cloud, running.stack, action_type)
    for scenario in SCENARIOS:
        for owner in scenario.owners:
            running.cloud.schedule.restart()
            running.emulator.behaviour = moto_codepipeline.Behaviour(
                started_before_queued_seconds=0
            )
            scenario.run(replace(running, owner=owner))
    iam = running.client("iam")
    roles = [role["Arn"] for role in iam.list_roles()["Roles"]]
    made = set(running.stack.resources.values())
    of_stack = [arn for arn in roles if arn.rpartition("/")[2] in made]
    assert len(of_stack) == 5
    return Recorded(
        running.cloud.permissions.calls,
        running.cloud.permissions.refused,
        {role: permissions.policies(role) for role in of_stack},
    )


def test_every_call_is_allowed_by_its_role(recorded):
    assert recorded.denied() == []
    assert recorded.refused == []


def test_every_permission_is_used_by_a_scenario(recorded):
    assert recorded.unused() == []


def test_every_role_of_the_stack_has_called_something(recorded):
    assert {call.role for call in recorded.calls} == set(recorded.policies)


def test_permissions_that_cannot_be_observed_are_granted_and_were_not_observed(recorded):
    for action in UNSEEN:
        assert any(re.fullmatch(action, grant.action) for grant in recorded.grants), action
        assert not any(re.fullmatch(action, call.action) for call in recorded.calls), action


def test_no_action_or_resource_is_a_pattern_without_need(recorded):
    assert recorded.too_wide() == []


# -- That changed policies are noticed ------------------------------------------------------------


def without(documents: list[dict[str, Any]], gone: Grant) -> list[dict[str, Any]]:
    """A copy of a role's policies without one grant."""
    copies = deepcopy(documents)
    for document in copies:
        document["Statement"] = [
            {"Effect": "Allow", "Action": grant.action, "Resource": grant.resource}
            for grant in permissions.grants(gone.role, [document])
            if grant != gone
        ]
    return copies


def test_the_removal_of_any_permission_is_noticed(recorded):
    seen = [g for g in recorded.grants if not any(re.fullmatch(a, g.action) for a in UNSEEN)]
    assert len(seen) > 60
    for grant in seen:
        if re.fullmatch(SHARED, grant.action) and not any(map(grant.allows, recorded.calls)):
            continue
        less = recorded.policies | {grant.role: without(recorded.policies[grant.role], grant)}
        denied = replace(recorded, policies=less).denied()
        assert denied, grant
        assert all(grant.allows(call) for call in denied)


TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/"


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("dynamodb:Scan", "*"),
        ("dynamodb:PutItem", f"{TABLE}acknowledger-JobTable-1"),
        ("dynamodb:UpdateItem", f"{TABLE}of-somebody-else"),
        ("dynamodb:UpdateItem", f"{TABLE}*"),
        ("dynamodb:*", f"{TABLE}acknowledger-JobTable-1"),
        ("codepipeline:PutApprovalResult", "*"),
        ("sqs:SendMessage", "*"),
        ("sqs:*", "*"),
        ("*", "*"),
    ],
)
def test_an_added_permission_is_noticed(recorded, action, resource):
    for role, documents in recorded.policies.items():
        statement = {"Effect": "Allow", "Action": action, "Resource": resource}
        more = recorded.policies | {role: [*documents, {"Statement": [statement]}]}
        changed = replace(recorded, policies=more)
        added = Grant(role, action, resource)
        assert {*changed.unused(), *changed.too_wide()} == {added}


def test_a_permission_of_one_role_added_to_another_is_noticed(recorded):
    """What one role needs, another doesn't."""
    everything = {(grant.action, grant.resource) for grant in recorded.grants}
    for role, documents in recorded.policies.items():
        own = {(grant.action, grant.resource) for grant in permissions.grants(role, documents)}
        for action, resource in sorted(everything - own):
            if any(re.fullmatch(unseen, action) for unseen in (*UNSEEN, SHARED)):
                continue
            statement = {"Effect": "Allow", "Action": action, "Resource": resource}
            more = recorded.policies | {role: [*documents, {"Statement": statement}]}
            assert replace(recorded, policies=more).unused() == [Grant(role, action, resource)]
