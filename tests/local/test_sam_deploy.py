"""The released SAM CLI creates, updates, deletes and recreates the stack at the local endpoint."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local import acknowledger
from local.aws.server import LocalCloud
from local.aws.stack import Stack, described
from tests.integration import test_deployment_policy as deployment_policy
from tests.local.fixtures.cloud import REGION
from tests.local.fixtures.sam import NO_PROMPTS, SAM, Project, processed
from tests.support import ROOT

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
def deployed(project: Project, recorder: Recorder) -> Stack:
    """The stack that sam deploys to an empty endpoint, with this repository's samconfig.toml."""
    stack = project.deploy()
    recorder.recording = False
    return stack


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
        assert processed(cloud, deployed) == processed(cloud, other)
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


@pytest.mark.usefixtures("deployed")
def test_an_unchanged_stack_is_not_deployed_again(project):
    answer = project.sam("deploy", *NO_PROMPTS)
    assert "No changes to deploy. Stack acknowledger is up to date" in answer


def test_a_deleted_stack_leaves_nothing_behind_and_can_be_deployed_again(project, deployed):
    # What a sweep logged meanwhile would be in a new log group.
    project.cloud.schedule.restart()
    answer = project.sam(
        "delete", "--no-prompts", "--stack-name", "acknowledger", "--region", REGION
    )
    assert "Deleted successfully" in answer
    assert left(project.cloud) == []
    again = project.deploy()
    assert set(again.resources) == set(deployed.resources)
    assert again.resources["JobTable"] != deployed.resources["JobTable"]


@pytest.mark.usefixtures("deployed")
def test_sam_reports_why_a_stack_could_not_be_created(project):
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
