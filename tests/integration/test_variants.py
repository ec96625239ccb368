"""What is deployed for each kind of parameters, and a packaged template that needs no SAM."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends

from local import acknowledger
from local.arguments import TEMPLATE
from local.aws import permissions
from local.aws.stack import uploaded
from local.worker import SampleWorker
from tests.integration.conftest import World
from tests.integration.written import Written
from tests.support import ROOT

pytestmark = pytest.mark.slow

CUSTOM, PARTNER = acknowledger.CUSTOM_ACTION_TYPE, acknowledger.PARTNER_ACTION_TYPE
TWELVE = [f"Custom/Build/Tool-{number}/{number}" for number in range(12)]
TOKENS = {"ClientTokenPrefix": "/tokens/"}
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
#: What each role needs of the key: the functions also send dead letters to encrypted queues.
OF_FUNCTIONS = {"kms:Decrypt", "kms:GenerateDataKey"}
ON_KEY = {
    "JobStateMachineRole": {"kms:Decrypt"},
    **dict.fromkeys(("IntakeRole", "AcknowledgeRole", "ReportRole", "StopRole"), OF_FUNCTIONS),
}
KINDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "one custom type": ([CUSTOM], {}),
    "twelve": (TWELVE, {}),
    "a partner's": ([PARTNER], TOKENS),
    "both": ([CUSTOM, PARTNER], TOKENS),
    "queryable": ([CUSTOM], {"Queries": f"{CUSTOM}?ProjectName=a,{CUSTOM}?ProjectName=b"}),
    "registered": (["Custom/Test/Mine/7", CUSTOM], {"RegisterActionType": "true"}),
    "with a key": ([CUSTOM], {"KmsKeyArn": KEY}),
    "with a boundary": (
        [CUSTOM],
        {"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/PowerUserAccess"},
    ),
    "with names for roles": ([CUSTOM], {"RoleNamePrefix": "team-"}),
    "polled each hour, by type, for long": (
        [CUSTOM],
        {
            "PollSchedule": "rate(1 hour)",
            "MetricsByActionType": "true",
            "LongJobTimeoutSeconds": "604800",
        },
    ),
}


def granted(cloud: Any, stack: Any, role: str) -> list[permissions.Grant]:
    name = stack.resources[role]
    (arn,) = (
        each["Arn"]
        for each in cloud.client("iam").list_roles()["Roles"]
        if each["RoleName"] == name
    )
    return permissions.grants(arn)


PARTITIONS = {
    "us-east-1": ("aws", "us-east-1.console.aws.amazon.com"),
    "us-gov-west-1": ("aws-us-gov", "us-gov-west-1.console.amazonaws-us-gov.com"),
    "cn-north-1": ("aws-cn", "cn-north-1.console.amazonaws.cn"),
}


@pytest.mark.parametrize("region", PARTITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_has_only_what_its_parameters_need(kind, region):
    types, more = KINDS[kind]
    with acknowledger.empty(region=region) as cloud:
        parameters = {"ActionTypes": ",".join(types), **more}
        stack = cloud.deploy(TEMPLATE, parameters, name="acknowledger")
        partition, console = PARTITIONS[region]
        machine = stack.outputs["JobStateMachineArn"]
        assert machine.startswith(f"arn:{partition}:states:{region}:")
        assert stack.outputs["DashboardUrl"].startswith(f"https://{console}/cloudwatch/home")
        grants = {
            role: granted(cloud, stack, role) for role in stack.resources if role.endswith("Role")
        }
        polled = [
            one.resource for one in grants["IntakeRole"] if one.action == "codepipeline:PollForJobs"
        ]
        assert polled == [f"arn:*:codepipeline:*:*:action?ype:{one}" for one in types]
        actions = {one.action for each in grants.values() for one in each}
        assert any("ThirdParty" in action for action in actions) is (more == TOKENS)
        assert any(action.startswith("ssm:") for action in actions) is (more == TOKENS)
        encrypted = more == TOKENS or "KmsKeyArn" in more
        assert any(action.startswith("kms:") for action in actions) is encrypted
        on_key = {
            role: {one.action for one in each if one.resource == KEY}
            for role, each in grants.items()
        }
        assert on_key == (ON_KEY if "KmsKeyArn" in more else {role: set() for role in ON_KEY})
        made = cloud.client("codepipeline").list_action_types(actionOwnerFilter="Custom")
        assert len(made["actionTypes"]) == (kind == "registered")
        variables = cloud.client("lambda").get_function_configuration(
            FunctionName=stack.outputs["IntakeFunctionName"]
        )["Environment"]["Variables"]
        assert variables["ACTION_TYPES"] == ",".join(types)
        assert variables["QUERIES"] == more.get("Queries", "")
        assert variables["JOB_TIMEOUT_SECONDS"] == more.get("LongJobTimeoutSeconds", "3600")
        (alarm,) = [
            one
            for one in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
            if one["AlarmName"] == stack.resources["NoSweepAlarm"]
        ]
        assert alarm["Period"] == (3600 if "PollSchedule" in more else 300)
        roles = [physical for name, physical in stack.resources.items() if name.endswith("Role")]
        prefix = f"team-acknowledger-{region}-"
        assert all(name.startswith(prefix) for name in roles) is ("RoleNamePrefix" in more)
        backend = iam_backends[cloud.account_id]
        (roles_there,) = [b.roles.values() for b in backend.values() if b.roles]
        bounded = [one.name for one in roles_there if one.permissions_boundary]
        assert bool(bounded) is ("PermissionsBoundaryArn" in more)


@pytest.mark.parametrize(
    ("kind", "region"),
    [*((kind, "us-east-1") for kind in KINDS), ("both", "us-gov-west-1"), ("both", "cn-north-1")],
)
def test_jobs_succeed_and_every_call_is_allowed(kind, region):
    types, more = KINDS[kind]
    with acknowledger.empty(
        region=region,
        enforce_permissions=True,
        behaviour={"started_before_queued_seconds": 0},
    ) as cloud:
        parameters = {"ActionTypes": ",".join(types), **more}
        stack = cloud.deploy(TEMPLATE, parameters, name="acknowledger")
        registered = more.get("RegisterActionType") == "true"
        for each in types[1:] if registered else types:
            acknowledger.register(cloud, stack, each, queryable="ProjectName" * ("Queries" in more))
        worker = SampleWorker(cloud.client, stack.outputs["JobBusName"])
        worker.start()
        try:
            world = World(cloud, stack, Written(cloud, stack))
            names = [run(world, each, more) for each in (types[0], types[-1])]
            assert {world.pipeline_ended(name) for name in names} == {"Succeeded"}
            rows = [row for name in names for row in world.rows(name)]
            # Report's metrics are there once it has ended.
            for row in rows:
                world.execution(row["execution"]["S"])
        finally:
            worker.stop()
        assert cloud.permissions.refused == []
        assert {row["actionType"]["S"] for row in rows} == {types[0], types[-1]}
        by_type = [
            dimension["Value"]
            for metric in cloud.client("cloudwatch").list_metrics(Namespace="acknowledger")[
                "Metrics"
            ]
            for dimension in metric["Dimensions"]
            if dimension["Name"] == "action_type" and metric["MetricName"] == "JobsSucceeded"
        ]
        assert by_type == (types if "MetricsByActionType" in more else [])


def test_a_hundred_action_types_are_within_the_limits_of_lambda_and_iam():
    """4 KB of environment variables, and 10,240 characters of a role's inline policies."""
    types = [f"Custom/Build/MyTool-{number}/1" for number in range(100, 200)]
    parameters = {"ActionTypes": ",".join(types), "MaxJobsInFlight": ",".join(["10"] * 100)}
    with acknowledger.empty() as cloud:
        stack = cloud.deploy(TEMPLATE, parameters, name="acknowledger-in-development")
        about = cloud.client("lambda").get_function_configuration(
            FunctionName=stack.outputs["IntakeFunctionName"]
        )
        variables = about["Environment"]["Variables"]
        assert len(json.dumps(variables)) < 4096
        queries = ",".join(f"{each}?ProjectName=MyProject" for each in types)
        assert len(json.dumps(variables | {"QUERIES": queries})) > 4096
        iam, role = cloud.client("iam"), stack.resources["IntakeRole"]
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        assert len("".join(json.dumps(document).split())) < 10_240


def test_a_registered_action_type_outlives_a_new_version_and_the_stack(tmp_path):
    first, second = "Custom/Test/Mine/7", "Custom/Test/Mine/8"
    with acknowledger.empty() as cloud:
        client = cloud.client("codepipeline")

        def registered() -> list[str]:
            listed = client.list_action_types(actionOwnerFilter="Custom")["actionTypes"]
            return sorted(one["id"]["version"] for one in listed)

        for kind, there in ((first, ["7"]), (second, ["7", "8"])):
            parameters = {"ActionTypes": kind, "RegisterActionType": "true"}
            cloud.deploy(TEMPLATE, parameters, name="acknowledger")
            assert registered() == there
        # A changed action type can't have the same id: the update is rolled back.
        for folder in ("functions", "statemachine"):
            (tmp_path / folder).symlink_to(ROOT / folder)
        template = tmp_path / "template.yaml"
        text = (ROOT / "template.yaml").read_text()
        template.write_text(text.replace("Up to the stack's limit", "New"))
        with pytest.raises(ClientError, match="already exists"):
            cloud.deploy(template, parameters, name="acknowledger")
        stacks = cloud.client("cloudformation").describe_stacks(StackName="acknowledger")["Stacks"]
        assert stacks[0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        cloud.client("cloudformation").delete_stack(StackName="acknowledger")
        assert registered() == ["7", "8"]


def run(world: World, kind: str, more: dict[str, str]) -> str:
    """Start a pipeline with an action of a type; return its name."""
    configuration = {"ProjectName": "b"} if "Queries" in more else {}
    if kind != "Custom/Test/Mine/7":
        configuration["Outcome"] = "Succeed"
    return world.start(configuration, action_type=kind)


def test_the_packaged_and_processed_template_is_plain_cloudformation():
    with acknowledger.empty() as cloud:
        cloud.deploy(TEMPLATE, {}, name="acknowledger")
        client = cloud.client("cloudformation")
        body = client.get_template(StackName="acknowledger", TemplateStage="Processed")
        processed = body["TemplateBody"]
        document = json.loads(processed) if isinstance(processed, str) else dict(processed)
        assert "Transform" not in document
        types = {one["Type"] for one in document["Resources"].values()}
        assert not [one for one in types if one.startswith("AWS::Serverless")]
        url = uploaded(json.dumps(document), "acknowledger-artifacts", "us-east-1")
        client.create_stack(
            StackName="plain",
            TemplateURL=url,
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        (made,) = client.describe_stacks(StackName="plain")["Stacks"]
        assert made["StackStatus"] == "CREATE_COMPLETE"
