"""The released SAM CLI creates, updates, deletes and recreates the stack at the local endpoint."""

import json
import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local import acknowledger
from local.aws.server import LocalCloud
from local.aws.stack import Stack, described
from tests.integration import test_deployment_policy as deployment_policy
from tests.local.fixtures.cloud import REGION
from tests.local.fixtures.sam import NO_PROMPTS, SAM, Project
from tests.support import ROOT
from tests.warm import warm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SAM is None, reason="needs the SAM CLI: make .venv-sam/installed, or have sam on the PATH"
    ),
]


MANAGED = "aws-sam-cli-managed-default"


class Recorder:
    """Records what the SAM CLI calls until the stack is deployed.

    calls: each permission that it needs, and the resource.
    """

    def __init__(self) -> None:
        self.calls: set[tuple[str, str]] = set()
        self.recording = True

    def layer(self, application: Any, _cloud: LocalCloud) -> Any:
        def watch(environ: dict[str, Any], start_response: Any) -> Any:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            if self.recording and "aws-sam-cli" in environ.get("HTTP_USER_AGENT", ""):
                self.calls.add(needed_for(environ, body.decode(errors="replace")))
            return application(environ, start_response)

        return watch


def needed_for(environ: dict[str, Any], body: str) -> tuple[str, str]:
    """The permission and the resource that a call needs."""
    service = environ["HTTP_AUTHORIZATION"].split("/")[3]
    if service == "s3":
        verb = {"GET": "Get", "HEAD": "Get", "PUT": "Put"}[environ["REQUEST_METHOD"]]
        return f"s3:{verb}Object", f"arn:aws:s3:::{environ['PATH_INFO'][1:]}"
    [operation] = parse_qs(body)["Action"]
    return f"{service}:{operation}", "*"


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, recorder: Recorder) -> Iterator[Project]:
    layers = (recorder.layer,)
    with acknowledger.cloud_with_codepipeline(port=0, region=REGION, layers=layers) as cloud:
        yield Project(tmp_path_factory.mktemp("project"), cloud)


@pytest.fixture(scope="module")
def deployed(project: Project, recorder: Recorder) -> Iterator[Stack]:
    """The stack that sam deploys to an empty endpoint, with this repository's samconfig.toml.

    From then on, except for deletions, the SAM CLI runs in forks of a process that has imported it.
    """
    stack = project.deploy()
    recorder.recording = False
    python = python_of(Path(SAM or ""))
    with warm(
        python, ["samcli.commands.deploy.command"], project.environment, project.folder
    ) as run:
        project.run = run
        yield stack


def python_of(program: Path) -> str:
    """The Python that a program names in its first line."""
    return program.read_text().partition("\n")[0].removeprefix("#!").strip()


# -- Descriptions ---------------------------------------------------------------------------------


def made(cloud: LocalCloud, stack: Stack) -> dict[str, Any]:
    """A stack's resources as the services describe them, with logical instead of physical ids."""
    client = cloud.client
    ids = stack.resources
    found: dict[str, Any] = {"outputs": stack.outputs, "parameters": stack.parameters}
    for name in ("Intake", "Acknowledge", "Report"):
        function = ids[f"{name}Function"]
        about = client("lambda").get_function(FunctionName=function)
        found[name] = {
            "configuration": about["Configuration"],
            "tags": about["Tags"],
            "policy": json.loads(client("lambda").get_policy(FunctionName=function)["Policy"])
            if name != "Report"
            else None,
        }
        role = ids[f"{name}Role"]
        found[f"{name}Role"] = client("iam").get_role(RoleName=role)["Role"]
        for policy in client("iam").list_role_policies(RoleName=role)["PolicyNames"]:
            found[f"{name}Role"][policy] = client("iam").get_role_policy(
                RoleName=role, PolicyName=policy
            )["PolicyDocument"]
        group = client("logs").describe_log_groups(logGroupNamePrefix=ids[f"{name}LogGroup"])
        found[f"{name}LogGroup"] = group["logGroups"]
        if f"{name}DeadLetters" in ids:
            url = ids[f"{name}DeadLetters"]
            found[f"{name}DeadLetters"] = client("sqs").get_queue_attributes(
                QueueUrl=url, AttributeNames=["All"]
            )
    for bus in ("default", stack.outputs["JobBusName"]):
        for rule in client("events").list_rules(EventBusName=bus)["Rules"]:
            if rule["Name"].startswith(f"{stack.name}-"):
                about = {"Rule": rule["Name"], "EventBusName": bus}
                targets = client("events").list_targets_by_rule(**about)["Targets"]
                pattern = json.loads(rule.pop("EventPattern", "null"))
                found[rule["Name"]] = {**rule, "pattern": pattern, "targets": targets}
    found["bus"] = client("events").describe_event_bus(Name=stack.outputs["JobBusName"])
    machine = client("stepfunctions").describe_state_machine(
        stateMachineArn=stack.outputs["JobStateMachineArn"]
    )
    found["machine"] = {**machine, "definition": json.loads(machine["definition"])}
    table = stack.outputs["JobTableName"]
    for what in ("table", "time_to_live", "continuous_backups"):
        answer = getattr(client("dynamodb"), f"describe_{what}")(TableName=table)
        answer.pop("ResponseMetadata")
        found[what] = answer
    return dict(with_logical_ids(found, stack))


def with_logical_ids(found: dict[str, Any], stack: Stack) -> Any:
    """Leave out what differs each time, and replace physical names by logical ids."""
    written = json.dumps(found, default=str, sort_keys=True)
    for logical_id, physical_id in sorted(
        stack.resources.items(), key=lambda pair: len(pair[1]), reverse=True
    ):
        name = physical_id.rpartition("/")[2].rpartition("|")[2].rpartition(":")[2]
        # The dashboard has the name of the stack.
        if name != stack.name:
            written = written.replace(name, logical_id)
    # One stack has the name that is the source of the events of both.
    written = written.replace(stack.name, "STACK").replace("acknowledger", "STACK")
    return strip(json.loads(written))


#: What differs each time, and the size and hash of the zip, since sam zips the files differently.
MOVING = re.compile(
    r"(?i).*(modified|timestamp|created?date|creationtime|creationdate|datetime|requestid).*"
    r"|(role|table|revision)id|updatedate|codesha256|codesize|responsemetadata"
)


def strip(value: Any) -> Any:
    if isinstance(value, list):
        return [strip(member) for member in value]
    if isinstance(value, dict):
        return {name: strip(member) for name, member in value.items() if not MOVING.fullmatch(name)}
    return value


def left(cloud: LocalCloud) -> list[str]:
    """The names of all resources of the types in the stack, except those of sam's own stack."""
    client = cloud.client
    names = [each["FunctionName"] for each in client("lambda").list_functions()["Functions"]]
    names += [
        each["name"] for each in client("stepfunctions").list_state_machines()["stateMachines"]
    ]
    names += client("dynamodb").list_tables()["TableNames"]
    names += client("sqs").list_queues().get("QueueUrls", [])
    names += [each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]]
    names += [each["RoleName"] for each in client("iam").list_roles()["Roles"]]
    names += [each["Name"] for each in client("events").list_event_buses()["EventBuses"]]
    names += [each["Name"] for each in client("events").list_rules()["Rules"]]
    names += [each["StackName"] for each in client("cloudformation").describe_stacks()["Stacks"]]
    return [name for name in names if name not in ("default", "aws-sam-cli-managed-default")]


# -- Deploying ------------------------------------------------------------------------------------


def test_sam_creates_the_same_stack_as_the_local_deployment(project, deployed):
    cloud = project.cloud
    other = cloud.deploy(ROOT / "template.yaml", name="by-itself")
    try:
        assert other.not_made == []
        assert set(deployed.resources) == set(other.resources)
        assert made(cloud, deployed) == made(cloud, other)
    finally:
        cloud.client("cloudformation").delete_stack(StackName="by-itself")


def test_the_documented_permissions_allow_what_sam_calls(deployed, recorder):
    names = {name for name, _ in recorder.calls}
    assert {"s3:PutObject", "cloudformation:ExecuteChangeSet"} <= names
    deploying = deployment_policy.DEPLOYING
    for name, resource in recorder.calls:
        assert deployment_policy.is_allowed_on(name, resource, deploying), (name, resource)


#: The permission that CloudFormation needs for a property of SAM's bucket.
FOR_BUCKET = {
    "BucketEncryption": "s3:PutEncryptionConfiguration",
    "PublicAccessBlockConfiguration": "s3:PutBucketPublicAccessBlock",
    "Tags": "s3:PutBucketTagging",
    "VersioningConfiguration": "s3:PutBucketVersioning",
}


def test_the_documented_permissions_allow_what_sams_bucket_needs(project, deployed):
    client = project.cloud.client("cloudformation")
    template = client.get_template(StackName=MANAGED)["TemplateBody"]
    made = {each["Type"]: each["Properties"] for each in template["Resources"].values()}
    assert set(made) == {"AWS::S3::Bucket", "AWS::S3::BucketPolicy"}
    written = {FOR_BUCKET[name] for name in made["AWS::S3::Bucket"]}
    needed = {"s3:CreateBucket", "s3:TagResource", "s3:PutBucketPolicy", *written}
    for kind in made:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema["handlers"]
        needed |= set(schema["read"]["permissions"])
        assert needed & set(schema["create"]["permissions"])
    deploying = deployment_policy.DEPLOYING
    bucket = f"arn:aws:s3:::{described(client, MANAGED).outputs['SourceBucket']}"
    for each in needed:
        assert deployment_policy.is_allowed_on(each, bucket, deploying), each
        assert not deployment_policy.is_allowed_on(each, "arn:aws:s3:::other", deploying), each
    (of_bucket,) = [one for one in deploying if "s3" in one["Resource"]]
    wide = {name for name in of_bucket["Action"] if not name.endswith("Object")}
    assert not [e for e in wide if not any(deployment_policy.is_allowed(n, {e}) for n in needed)]


def test_a_parameter_changes_what_depends_on_it_and_nothing_else(project, deployed):
    client = project.cloud.client
    dynamodb, table = client("dynamodb"), deployed.outputs["JobTableName"]
    dynamodb.put_item(TableName=table, Item={"jobId": {"S": "kept"}})
    before = made(project.cloud, deployed)
    changed = project.deploy(
        JobTimeoutSeconds="1234", LogRetentionDays="7", ActionTypes="Custom/Build/Other/2"
    )
    assert changed.resources == deployed.resources
    after = made(project.cloud, changed)
    variables = after["Intake"]["configuration"]["Environment"]["Variables"]
    assert variables["JOB_TIMEOUT_SECONDS"] == "1234"
    assert variables["ACTION_TYPES"] == "Custom/Build/Other/2"
    assert after["IntakeLogGroup"][0]["retentionInDays"] == 7
    # These depend on none of the changed parameters.
    rules = ("IntakeFunctionActionStarted", "IntakeFunctionSweep")
    for same in ("machine", "table", "bus", *rules):
        assert after[same] == before[same]
    kept = dynamodb.get_item(TableName=table, Key={"jobId": {"S": "kept"}})
    assert kept["Item"] == {"jobId": {"S": "kept"}}


def test_an_unchanged_stack_is_not_deployed_again(project, deployed):
    project.deploy()
    answer = project.sam("deploy", *NO_PROMPTS)
    assert "No changes to deploy. Stack acknowledger is up to date" in answer


def test_changed_code_and_a_changed_definition_are_deployed(project, deployed):
    functions = project.cloud.client("lambda")
    states = project.cloud.client("stepfunctions")
    source = project.folder / "functions" / "intake.py"
    source.write_text("def handler(event, context):\n    return 'changed'\n")
    machine = project.folder / "statemachine" / "job.asl.json"
    machine.write_text(json.dumps({**json.loads(machine.read_text()), "Comment": "Changed"}))
    try:
        changed = project.deploy()
        assert changed.resources == deployed.resources
        answer = functions.invoke(FunctionName=changed.outputs["IntakeFunctionName"])
        assert json.loads(answer["Payload"].read()) == "changed"
        told = states.describe_state_machine(stateMachineArn=changed.outputs["JobStateMachineArn"])
        assert json.loads(told["definition"])["Comment"] == "Changed"
        assert "${" not in told["definition"]
    finally:
        shutil.copy(ROOT / "functions" / "intake.py", source)
        shutil.copy(ROOT / "statemachine" / "job.asl.json", machine)


def test_a_deleted_stack_leaves_nothing_behind_and_can_be_deployed_again(project, deployed):
    project.run, forked = project.run_anew, project.run
    # What a sweep logged meanwhile would be in a new log group.
    project.cloud.schedule.restart()
    answer = project.sam(
        "delete", "--no-prompts", "--stack-name", "acknowledger", "--region", REGION
    )
    project.run = forked
    assert "Deleted successfully" in answer
    assert left(project.cloud) == []
    again = project.deploy()
    assert set(again.resources) == set(deployed.resources)
    assert again.resources["JobTable"] != deployed.resources["JobTable"]


def test_sam_reports_why_a_stack_could_not_be_created(project, deployed):
    # The name of the event bus, which is that of the stack with -jobs, is already in use.
    project.cloud.client("events").create_event_bus(Name="failing-jobs")
    answer = project.sam("deploy", *NO_PROMPTS, "--stack-name", "failing", status=1)
    assert "CREATE_FAILED" in answer
    assert "ROLLBACK_COMPLETE" in answer
    stacks = project.cloud.client("cloudformation")
    [stack] = stacks.describe_stacks(StackName="failing")["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "JobBus" in stack["StackStatusReason"]
    assert stacks.list_stack_resources(StackName="failing")["StackResourceSummaries"] == []
