"""The product on the local cloud: the stack of template.yaml, its action types and a worker."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import moto_codepipeline
from local import watched
from local.arguments import TEMPLATE
from local.aws import stepfunctions
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from local.page import PATH, Page
from local.unserved import Unserved
from local.worker import CONFIGURATION_PROPERTIES, SampleWorker, WorkerProcess
from moto_codepipeline import switches
from moto_codepipeline.http import Endpoint
from moto_codepipeline.testing import make_bucket, put_source

STACK_NAME = "acknowledger"
PIPELINE_ROLE = "pipeline"
SAMPLE_PIPELINE = "sample"
SOURCE_BUCKET, SOURCE_KEY, ARTIFACT_BUCKET = "source", "app.zip", "artifacts"
BEHAVIOUR = {"source_without_version": "succeed"}
"""CodePipeline's switches that differ from its defaults: a source without an object succeeds."""
CUSTOM_ACTION_TYPE = "Custom/Build/Acknowledger/1"
PARTNER_ACTION_TYPE = "ThirdParty/Deploy/Acknowledger/1"
PARAMETERS = {
    "ActionTypes": f"{CUSTOM_ACTION_TYPE},{PARTNER_ACTION_TYPE}",
    "ClientTokenPrefix": "/acknowledger/client-tokens/",
}


def cloud_with_codepipeline(
    *,
    layers: tuple[Any, ...] = (),
    reports: Callable[[], bool] = lambda: True,
    **settings: Any,
) -> LocalCloud:
    """A local cloud with CodePipeline's job APIs, and the page that shows the jobs.

    Args:
        layers: WSGI layers in front of the page.
        reports: whether action types that are not served are to be reported now.
        settings: other arguments of LocalCloud.
    """
    unserved = Unserved()
    cloud = LocalCloud(
        page=PATH,
        ticks=(moto_codepipeline.tick_all, lambda: unserved.tell(cloud) if reports() else None),
        layers=(
            lambda application, cloud: Endpoint(application, cloud.account_id, cloud.region),
            lambda application, cloud: Page(
                application, cloud.account_id, cloud.region, cloud.notices
            ),
            *layers,
        ),
        **settings,
    )
    return cloud


@contextmanager
def empty(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    behaviour: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[LocalCloud]:
    """Run a local cloud that has only a role and a source for pipelines.

    Args:
        host, port: where the endpoint listens; port 0 is any free port.
        behaviour: CodePipeline's switches by name; raises SwitchError.
        settings: other arguments of LocalCloud.
    """
    with cloud_with_codepipeline(host=host, port=port, **settings) as cloud:
        emulator = moto_codepipeline.backend(cloud.account_id, cloud.region)
        switches.change(emulator.behaviour, BEHAVIOUR | (behaviour or {}))
        watched.worker.begin("")
        create_pipeline_role(cloud)
        create_source(cloud)
        yield cloud


@contextmanager
def running(
    *, parameters: dict[str, str] | None = None, worker: bool | str = True, **settings: Any
) -> Iterator[tuple[LocalCloud, Stack]]:
    """Run the stack `acknowledger`, and register its first action type and the partner types.

    Args:
        parameters: template parameters; they take precedence over PARAMETERS.
        worker: whether the sample worker takes the jobs, or your own worker as `module:name`.
        settings: other arguments of `empty`.
    """
    registered = False
    with empty(reports=lambda: registered, **settings) as cloud:
        stack = cloud.deploy(TEMPLATE, PARAMETERS | (parameters or {}), name=STACK_NAME)
        first, *more = action_types(stack)
        if not is_registered_by_template(stack):
            register(cloud, stack, first)
        for action_type in more:
            # The API can't register a partner's action type.
            if action_type.startswith("ThirdParty/"):
                register(cloud, stack, action_type)
        registered = True
        if not worker:
            yield cloud, stack
            return
        taking = worker_of(cloud, stack, worker)
        taking.start()
        try:
            yield cloud, stack
        finally:
            taking.stop()


def worker_of(cloud: LocalCloud, stack: Stack, worker: bool | str) -> SampleWorker | WorkerProcess:
    """The sample worker, or the user's own worker."""
    bus_name = stack.outputs["JobBusName"]
    if not isinstance(worker, str):
        # Like state machines, it doesn't use HTTP, which takes a tenth of an empty job's time.
        client = partial(stepfunctions.clients.client, region_name=cloud.region)
        return SampleWorker(client, bus_name)
    environment = {
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "JOB_TABLE_NAME": stack.outputs["JobTableName"],
        "CLIENT_TOKEN_PREFIX": stack.parameters["ClientTokenPrefix"],
    }

    def say(told: str) -> None:
        cloud.notices.pop("worker", None)
        if told:
            cloud.notices["worker"] = told
            print(told, file=sys.stderr, flush=True)

    return WorkerProcess(worker, cloud.client, bus_name, environment, say=say)


def action_types(stack: Stack) -> list[str]:
    """The action types that a stack serves, each as Owner/Category/Provider/Version."""
    return list(dict.fromkeys(map(str.strip, stack.parameters["ActionTypes"].split(","))))


def is_registered_by_template(stack: Stack) -> bool:
    """Whether the template registers the first type, without the sample worker's properties."""
    return stack.parameters.get("RegisterActionType") == "true"


def register(cloud: LocalCloud, stack: Stack, action_type: str, *, queryable: str = "") -> None:
    """Register an action type with the sample worker's properties, and a queryable one if given.

    A partner's action type gets one client, whose token is put where the stack looks for it.
    """
    queried = {"required": True, "key": True, "secret": False, "queryable": True}
    owner, category, provider, version = action_type.split("/")
    request = {
        "category": category,
        "provider": provider,
        "version": version,
        "settings": {"executionUrlTemplate": "https://example.com/jobs/{ExternalExecutionId}"},
        "configurationProperties": [
            *CONFIGURATION_PROPERTIES,
            *([{"name": queryable, **queried}] if queryable else []),
        ],
        "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
        "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
    }
    if owner == "Custom":
        cloud.client("codepipeline").create_custom_action_type(**request)
        return
    emulator = moto_codepipeline.backend(cloud.account_id, cloud.region)
    emulator.register_third_party_action_type(request)
    client_id = emulator.default_client_id
    cloud.client("ssm").put_parameter(
        Name=stack.parameters["ClientTokenPrefix"] + client_id,
        Value=emulator.client_token(client_id),
        Type="SecureString",
        Overwrite=True,
    )


def pipeline_role(cloud: LocalCloud) -> str:
    """The ARN of the role for pipelines."""
    return str(cloud.client("iam").get_role(RoleName=PIPELINE_ROLE)["Role"]["Arn"])


def create_pipeline_role(cloud: LocalCloud) -> str:
    """Create the role for pipelines; return its ARN."""
    codepipeline = {"Service": "codepipeline.amazonaws.com"}
    assume = {"Effect": "Allow", "Principal": codepipeline, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [assume]}
    role = cloud.client("iam").create_role(
        RoleName=PIPELINE_ROLE, AssumeRolePolicyDocument=json.dumps(trust)
    )
    return str(role["Role"]["Arn"])


def create_source(cloud: LocalCloud) -> None:
    """Create the source object of `pipeline`, and the artifact bucket."""
    s3 = cloud.client("s3")
    files = {"README.md": b"The source of a local pipeline.\n", "main.py": b'print("Hello")\n'}
    put_source(s3, SOURCE_BUCKET, SOURCE_KEY, files)
    make_bucket(s3, ARTIFACT_BUCKET)


def create_sample_pipeline(cloud: LocalCloud, action_type: str, *, sample_worker: bool) -> None:
    """Create the pipeline `sample`.

    Args:
        sample_worker: whether its actions are for the sample worker, with a few seconds each. If
            not, it has one action with the input artifact App and the output artifact Report.
    """

    def action(name: str, seconds: int) -> dict[str, Any]:
        return {"name": name, "configuration": {"Outcome": "Succeed", "Seconds": str(seconds)}}

    stages: dict[str, list[dict[str, Any]]] = {
        "Build": [action("Compile", 2)],
        "Test": [action("Unit", 2), action("Integration", 4)],
        "Release": [action("Publish", 1)],
    }
    if not sample_worker:
        stages = {"Build": [{"name": "Work", "outputArtifacts": [{"name": "Report"}]}]}
    create_pipeline(cloud, SAMPLE_PIPELINE, action_type, stages)


def create_pipeline(
    cloud: LocalCloud, name: str, action_type: str, stages: dict[str, list[dict[str, Any]]]
) -> None:
    """Create a pipeline; see `pipeline`."""
    declared = pipeline(name, action_type, stages, pipeline_role(cloud))
    cloud.client("codepipeline").create_pipeline(pipeline=declared)


def action_type_id(action_type: str) -> dict[str, str]:
    """The `actionTypeId` for `Owner/Category/Provider/Version`."""
    return dict(
        zip(("owner", "category", "provider", "version"), action_type.split("/"), strict=True)
    )


def pipeline(
    name: str, action_type: str, stages: dict[str, list[dict[str, Any]]], role_arn: str
) -> dict[str, Any]:
    """A pipeline declaration: a source, and then stages of actions.

    Args:
        action_type: the action type of actions without an actionTypeId.
        stages: each stage's actions, as `{name, configuration, runOrder?, actionTypeId?}`.
    """
    kind = action_type_id(action_type)
    source = {
        "name": "Source",
        "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
        "configuration": {"S3Bucket": SOURCE_BUCKET, "S3ObjectKey": SOURCE_KEY},
        "outputArtifacts": [{"name": "App"}],
    }
    return {
        "name": name,
        "roleArn": role_arn,
        "artifactStore": {"type": "S3", "location": ARTIFACT_BUCKET},
        "stages": [
            {"name": "Source", "actions": [source]},
            *(
                {
                    "name": stage,
                    "actions": [
                        {"actionTypeId": kind, "inputArtifacts": [{"name": "App"}], **action}
                        for action in actions
                    ],
                }
                for stage, actions in stages.items()
            ),
        ],
    }
