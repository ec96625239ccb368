"""Every permission is used and none is missing: the roles' calls, compared with their policies.

One stack, which serves custom and partners' action types and limits their jobs, runs the jobs of
tests/resilience/test_faults.py, without faults, and then SCENARIOS: together they make every call
that its roles need. What they may do with a key is in test_variants.py. `local/aws/permissions.py`
records which role called what; a call that its policies don't allow is refused, here as in every
other module of these tests.
"""

import itertools
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from acknowledger.moments import ago, now
from local.aws import permissions
from local.aws.permissions import Call, Grant
from tests.integration.conftest import DEAD_LETTERS, World
from tests.integration.written import Written
from tests.resilience.test_faults import LIMITED, Matrix, Trial
from tests.resilience.test_faults import running as matrix
from tests.support import load_event, wait_for

pytestmark = pytest.mark.slow

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


numbers = itertools.count(1)


def start(world: World, outcome: str) -> str:
    """Start a job with a sweep, since no event reaches Intake here."""
    name = world.start({"Outcome": outcome}, name=f"job-{next(numbers)}")
    world.cloud.schedule.fire()
    return name


def is_paused(world: World, _: Matrix) -> None:
    for kind, paused in (("Pause Intake", [world.action_type]), ("Resume Intake", [])):
        chosen = {"actionTypes": [world.action_type]}
        assert world.invoke("Intake", {"detail-type": kind, "detail": chosen}) == {"paused": paused}


def gets_events_that_cannot_be_handled(world: World, _: Matrix) -> None:
    """Lambda sends the dead letter with the function's role."""
    for function, name in DEAD_LETTERS.items():
        event = load_event(name)
        world.invoke(function, event, kind="Event")
        wait_for(partial(world.letters, function, event), "a dead letter", seconds=20)


def is_repaired_by_a_sweep(world: World, jobs: Matrix) -> None:
    """Intake finds an ended execution with room, one not notified of its room, and a due job."""
    ended, untold = (f"Custom/Build/{lane}/1" for lane in LIMITED)
    holder = {"jobId": "x", "since": ago(300), "told": True}
    jobs.put_room(ended, {"ended": holder})
    jobs.put_room(untold, {"untold": holder | {"since": now(), "told": False}})
    start(world, "Hang")
    wait_for(lambda: not jobs.room(ended)["holders"], "the room to be given back", seconds=20)
    jobs.rest()
    jobs.witness.make_due()
    jobs.put_room(untold)
    world.cloud.schedule.fire()
    jobs.rest()


def could_not_be_reported(world: World, _: Matrix) -> None:
    """Stop reports the success."""
    with world.throttled_report():
        name = start(world, "Succeed")
        row = world.row(name, "Succeeded")
    assert world.execution(row["execution"]["S"])["error"] == "Unreported"


def ends_before_its_acknowledgment(world: World, jobs: Matrix) -> None:
    """Report or Stop acknowledges the job, or deletes the row if another worker has the job."""
    let_go = world.hold_back_acknowledge()
    for end, taken in itertools.product((is_late, World.stop), (False, True)):
        name = start(world, "Hang")
        row = world.row(name, "Created")
        world.task_token(row)
        if taken:
            jobs.be_quicker(row["jobId"]["S"])
        end(world, row)
        left = [] if taken else ["TimedOut" if end is is_late else "Failed"]
        wait_for(partial(has_rows, world, name, left), f"the rows to be {left}", seconds=20)
    let_go()


def is_awaited_by_a_report_that_its_late_acknowledgment_wakes(world: World, jobs: Matrix) -> None:
    """Report, or Stop, acknowledges the next job of a chain."""
    for end in (is_late, World.stop):
        trial = jobs.begin(None, "ends first", "Custom")
        jobs.play([trial], until=-1)
        let_go = world.hold_back_acknowledge()
        jobs.is_continued(trial)
        jobs.tell_intake(trial)
        (row,) = wait_for(partial(next_rows, world, trial), "the next job", seconds=20)
        world.task_token(row)
        end(world, row)
        world.row(trial.pipeline, "Succeeded")
        let_go()


def next_rows(world: World, trial: Trial) -> list[dict[str, Any]]:
    """The rows of the jobs that continue a trial's job."""
    return [row for row in world.rows(trial.pipeline) if row["jobId"]["S"] != trial.job_id]


def is_late(world: World, row: dict[str, Any]) -> None:
    world.fail(row, error="States.Timeout")


def has_rows(world: World, name: str, statuses: list[str]) -> bool:
    return [row["status"]["S"] for row in world.rows(name)] == statuses


SCENARIOS = [
    is_paused,
    gets_events_that_cannot_be_handled,
    is_repaired_by_a_sweep,
    could_not_be_reported,
    ends_before_its_acknowledgment,
    is_awaited_by_a_report_that_its_late_acknowledgment_wakes,
]


# -- What the roles did and may do ----------------------------------------------------------------


@dataclass
class Recorded:
    """The calls of the stack's roles, and what their policies grant."""

    calls: list[Call]
    refused: list[Call]
    grants: list[Grant]

    @property
    def roles(self) -> set[str]:
        return {grant.role for grant in self.grants}

    def having(self, added: Grant) -> "Recorded":
        return replace(self, grants=[*self.grants, added])

    def denied(self) -> list[Call]:
        """Calls that aren't allowed."""
        return [call for call in self.calls if not any(grant.allows(call) for grant in self.grants)]

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
def recorded() -> Recorded:
    """The calls of all jobs and scenarios, one after the other."""
    with matrix(enforce_permissions=True) as jobs:
        cloud, stack = jobs.cloud, jobs.stack
        jobs.record()
        world = World(cloud, stack, Written(cloud, stack))
        for scenario in SCENARIOS:
            scenario(world, jobs)
        roles = [role["Arn"] for role in cloud.client("iam").list_roles()["Roles"]]
        made = set(stack.resources.values())
        of_stack = [arn for arn in roles if arn.rpartition("/")[2] in made]
        assert len(of_stack) == 5
        grants = [
            grant
            for grant in dict.fromkeys(itertools.chain(*map(permissions.grants, of_stack)))
            if not (grant.action == VOID[0] and re.fullmatch(VOID[1], grant.resource))
        ]
        return Recorded(cloud.permissions.calls, cloud.permissions.refused, grants)


def test_every_call_is_allowed_by_its_role(recorded):
    assert recorded.denied() == []
    assert recorded.refused == []


def test_every_permission_is_used_by_a_scenario(recorded):
    assert recorded.unused() == []


def test_permissions_that_cannot_be_observed_are_granted_and_were_not_observed(recorded):
    for action in UNSEEN:
        assert any(re.fullmatch(action, grant.action) for grant in recorded.grants), action
        assert not any(re.fullmatch(action, call.action) for call in recorded.calls), action


def test_no_action_or_resource_is_a_pattern_without_need(recorded):
    assert recorded.too_wide() == []


# -- That changed policies are noticed ------------------------------------------------------------


def test_the_removal_of_any_permission_is_noticed(recorded):
    seen = [g for g in recorded.grants if not any(re.fullmatch(a, g.action) for a in UNSEEN)]
    assert len(seen) > 60
    for grant in seen:
        if re.fullmatch(SHARED, grant.action) and not any(map(grant.allows, recorded.calls)):
            continue
        others = [each for each in recorded.grants if each != grant]
        denied = replace(recorded, grants=others).denied()
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
    for role in recorded.roles:
        added = Grant(role, action, resource)
        changed = recorded.having(added)
        assert {*changed.unused(), *changed.too_wide()} == {added}


def test_a_permission_of_one_role_added_to_another_is_noticed(recorded):
    """What one role needs, another doesn't."""
    everything = {(grant.action, grant.resource) for grant in recorded.grants}
    for role in recorded.roles:
        own = {(grant.action, grant.resource) for grant in recorded.grants if grant.role == role}
        for action, resource in sorted(everything - own):
            if any(re.fullmatch(unseen, action) for unseen in (*UNSEEN, SHARED)):
                continue
            added = Grant(role, action, resource)
            assert recorded.having(added).unused() == [added]
