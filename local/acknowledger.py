"""The product on the local cloud: the stack of template.yaml, an action type and a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local import codepipeline
from local.server import LocalCloud
from local.stack import Stack
from local.worker import CONFIGURATION_PROPERTIES, SampleWorker

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
PIPELINE_ROLE = "pipeline"


@contextmanager
def running(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    parameters: dict[str, str] | None = None,
    worker: bool = True,
    **settings: Any,
) -> Iterator[tuple[LocalCloud, Stack]]:
    """Run the stack `acknowledger`, with its first action type registered, until left.

    Args:
        host, port: where the endpoint listens; port 0 is any free one.
        parameters: the template's parameters.
        worker: whether the sample worker takes the jobs.
        settings: LocalCloud's further ones.
    """
    with LocalCloud(host=host, port=port, ticks=(codepipeline.tick_all,), **settings) as cloud:
        stack = cloud.deploy(TEMPLATE, parameters)
        register(cloud, stack.parameters["ActionTypes"].split(",")[0].strip())
        create_pipeline_role(cloud)
        if not worker:
            yield cloud, stack
            return
        sample_worker = SampleWorker(cloud.client, stack.outputs["JobBusName"])
        sample_worker.start()
        try:
            yield cloud, stack
        finally:
            sample_worker.stop()


def register(cloud: LocalCloud, action_type: str) -> None:
    """Register a custom action type that the sample worker can work."""
    category, owner, provider, version = action_type.split("/")
    if owner != "Custom":
        return
    cloud.client("codepipeline").create_custom_action_type(
        category=category,
        provider=provider,
        version=version,
        settings={
            "entityUrlTemplate": "https://example.com/jobs/{Config:Outcome}",
            "executionUrlTemplate": "https://example.com/jobs/{ExternalExecutionId}",
        },
        configurationProperties=CONFIGURATION_PROPERTIES,
        inputArtifactDetails={"minimumCount": 0, "maximumCount": 5},
        outputArtifactDetails={"minimumCount": 0, "maximumCount": 5},
    )


def create_pipeline_role(cloud: LocalCloud) -> str:
    """The role that a pipeline needs; its ARN."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "codepipeline.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = cloud.client("iam").create_role(
        RoleName=PIPELINE_ROLE, AssumeRolePolicyDocument=json.dumps(trust)
    )
    return str(role["Role"]["Arn"])


def pipeline(
    name: str, action_type: str, stages: dict[str, list[dict[str, Any]]], role_arn: str
) -> dict[str, Any]:
    """A pipeline declaration: a source, and then stages of custom actions of one type.

    Args:
        stages: for each stage its actions as `{name, configuration, runOrder?}`.
    """
    category, owner, provider, version = action_type.split("/")
    kind = {"category": category, "owner": owner, "provider": provider, "version": version}
    source = {
        "name": "Source",
        "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
        "configuration": {"S3Bucket": "source", "S3ObjectKey": "app.zip"},
        "outputArtifacts": [{"name": "App"}],
    }
    return {
        "name": name,
        "roleArn": role_arn,
        "artifactStore": {"type": "S3", "location": "artifacts"},
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
