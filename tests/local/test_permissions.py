"""The calls of roles are recorded, and refused if their policies don't allow them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import permissions
from local.aws.permissions import Call, Grant
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import (
    ACCOUNT,
    REGION,
    ended,
    invoke,
    make_function,
    make_machine,
    make_table,
)
from tests.support import wait_for

TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/things"


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(
        port=0, region=REGION, retry_delays=(0.05, 0.1), enforce_permissions=True
    ) as cloud:
        make_table(cloud, "things")
        yield cloud


def make_role(cloud: LocalCloud, name: str, *statements: tuple[str, str]) -> str:
    """Create a role that allows these actions, each on a resource; return its ARN."""
    iam = cloud.client("iam")
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    allowed = [{"Effect": "Allow", "Action": each, "Resource": on} for each, on in statements]
    document = {"Version": "2012-10-17", "Statement": allowed}
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    return arn


GET = """
    import boto3
    from botocore.exceptions import ClientError
    def handler(event, context):
        try:
            boto3.client("dynamodb").get_item(TableName="things", Key={"id": {"S": "1"}})
        except ClientError as error:
            return error.response["Error"]
"""


def test_a_function_may_do_what_its_role_allows_and_nothing_else(cloud):
    allowed = make_role(cloud, "allowed", ("dynamodb:GetItem", TABLE))
    denied = make_role(cloud, "denied", ("dynamodb:GetItem", f"{TABLE}-of-others"))
    make_function(cloud, "reader", GET, Role=allowed)
    make_function(cloud, "stranger", GET, Role=denied)
    assert invoke(cloud, "reader") is None
    error = invoke(cloud, "stranger")
    assert error["Code"] == "AccessDeniedException"
    assert "denied is not authorized to perform: dynamodb:GetItem" in error["Message"]
    calls = [Call(role, "dynamodb:GetItem", TABLE) for role in (allowed, denied)]
    assert set(calls) <= set(cloud.permissions.calls)
    assert calls[1] in cloud.permissions.refused
    assert calls[0] not in cloud.permissions.refused


def test_a_policy_change_takes_effect_at_once(cloud):
    role = make_role(cloud, "changed", ("dynamodb:GetItem", TABLE))
    make_function(cloud, "changing", GET, Role=role)
    assert invoke(cloud, "changing") is None
    cloud.client("iam").delete_role_policy(RoleName="changed", PolicyName="own")
    assert invoke(cloud, "changing")["Code"] == "AccessDeniedException"


def test_an_operation_with_an_unknown_resource_is_recorded(cloud):
    role = make_role(cloud, "lister", ("dynamodb:ListTables", "*"))
    source = GET.replace('get_item(TableName="things", Key={"id": {"S": "1"}})', "list_tables()")
    make_function(cloud, "listing", source, Role=role)
    invoke(cloud, "listing")
    assert Call(role, "dynamodb:ListTables", permissions.UNKNOWN) in cloud.permissions.calls


def run(cloud: LocalCloud, role: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run a state machine of one task with a role; return the description of the ended execution."""
    states = cloud.client("stepfunctions")
    task = {"Type": "Task", "End": True, **task}
    definition = {"QueryLanguage": "JSONata", "StartAt": "Only", "States": {"Only": task}}
    machine = make_machine(cloud, f"machine-{role.rpartition('/')[2]}", definition, role)
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    return dict(ended(states, arn))


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        ("arn:aws:states:::dynamodb:getItem", "DynamoDB.AccessDeniedException"),
        ("arn:aws:states:::aws-sdk:dynamodb:getItem", None),
    ],
)
def test_a_state_machine_may_do_only_what_its_role_allows(cloud, resource, error):
    kind = "sdk" if "sdk" in resource else "own"
    task = {"Resource": resource, "Arguments": {"TableName": "things", "Key": {"id": {"S": "1"}}}}
    allowed = make_role(cloud, f"{kind}-allowed", ("dynamodb:GetItem", TABLE))
    denied = make_role(cloud, f"{kind}-denied", ("dynamodb:GetItem", f"{TABLE}-of-others"))
    assert run(cloud, allowed, task)["status"] == "SUCCEEDED"
    ended = run(cloud, denied, task)
    assert ended["status"] == "FAILED"
    assert error in (None, ended["error"])
    assert "is not authorized to perform: dynamodb:GetItem" in ended["cause"]


def test_lambda_sends_a_dead_letter_only_if_the_functions_role_allows_it(cloud):
    queue = cloud.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
    may = make_role(cloud, "may-send", ("sqs:SendMessage", arn))
    may_not = make_role(cloud, "may-not-send")
    source = "def handler(event, context): raise ValueError(event)"
    for name, role in (("mourned", may), ("forgotten", may_not)):
        make_function(cloud, name, source, Role=role, DeadLetterConfig={"TargetArn": arn})
        cloud.client("lambda").invoke(
            FunctionName=name, InvocationType="Event", Payload=json.dumps(name)
        )
    sent = Call(may_not, "sqs:SendMessage", arn)
    wait_for(lambda: sent in cloud.permissions.refused, "a letter to be refused", seconds=20)
    allowed = Call(may, "sqs:SendMessage", arn)
    wait_for(lambda: allowed in cloud.permissions.calls, "the other letter to be sent", seconds=20)
    letters = cloud.client("sqs").receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2
    )["Messages"]
    assert [json.loads(letter["Body"]) for letter in letters] == ["mourned"]


def test_other_credentials_may_do_everything_and_are_not_recorded(cloud):
    before = cloud.permissions.calls
    cloud.client("dynamodb").scan(TableName="things")
    assert cloud.permissions.calls == before


@pytest.mark.parametrize(
    ("resource", "asked", "allowed"),
    [
        ("*", "arn:aws:x:::y", True),
        ("arn:aws:x:::a?c", "arn:aws:x:::abc", True),
        ("arn:aws:x:::a?c", "arn:aws:x:::ac", False),
        ("arn:aws:x:::a*", "arn:aws:x:::a/b/c", True),
        ("arn:aws:x:::a.c", "arn:aws:x:::abc", False),
        ("arn:aws:x:::A", "arn:aws:x:::a", False),
        ("arn:aws:x:::a", "arn:aws:x:::a/b", False),
    ],
)
def test_resources_match_as_in_iam(resource, asked, allowed):
    assert Grant("role", "x:Get", resource).allows(Call("role", "x:Get", asked)) is allowed


def test_actions_match_in_any_case_and_only_for_the_same_role():
    assert Grant("role", "x:get*", "*").allows(Call("role", "x:GetIt", "*"))
    assert not Grant("role", "x:get*", "*").allows(Call("role", "x:PutIt", "*"))
    assert not Grant("role", "x:get*", "*").allows(Call("another", "x:GetIt", "*"))
