"""A CodePipeline with a custom action type and a pipeline or two, for the tests of local.codepipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from local.codepipeline import JobBackend, ManualClock, backend
from tests.local.codepipeline_role import TRUST

ACCOUNT, REGION = "123456789012", "eu-west-1"
TYPE = {"category": "Build", "owner": "Custom", "provider": "Builder", "version": "1"}
SOURCE = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
UNKNOWN_JOB = "00000000-0000-0000-0000-000000000000"


@lru_cache
def client(service: str, endpoint_url: str | None = None, region: str = REGION) -> Any:
    """A client that neither checks parameters nor repeats itself, made once for all tests."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=endpoint_url,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="none",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


def configuration_property(name: str, **changes: Any) -> dict[str, Any]:
    """A configuration property, required and not secret unless changed."""
    return {"name": name, "required": True, "key": True, "secret": False} | changes


def action_type(**changes: Any) -> dict[str, Any]:
    """A CreateCustomActionType request."""
    return {
        "category": "Build",
        "provider": "Builder",
        "version": "1",
        "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
        "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
    } | changes


def action(name: str, type_id: dict[str, str] = TYPE, **changes: Any) -> dict[str, Any]:
    """An action's declaration; artifacts may be given by their names."""
    declared: dict[str, Any] = {"name": name, "actionTypeId": type_id} | changes
    for side in ("inputArtifacts", "outputArtifacts"):
        if side in declared:
            declared[side] = [{"name": each} for each in declared[side]]
    return declared


def source(**changes: Any) -> dict[str, Any]:
    """An AWS source action that puts out ``SourceOutput``."""
    configuration = {"S3Bucket": "code", "S3ObjectKey": "code.zip"}
    return action(
        "Fetch",
        SOURCE,
        **{"outputArtifacts": ["SourceOutput"], "configuration": configuration} | changes,
    )


class Service:
    """The service under test, and what a user and a worker do with it."""

    def __init__(self, api: Any, jobs_backend: JobBackend, events: list[dict[str, Any]]) -> None:
        self.api = api
        self.backend = jobs_backend
        self.behaviour = jobs_backend.behaviour
        self.clock = jobs_backend.clock
        self.entries = events

    def register(self, **changes: Any) -> dict[str, str]:
        """Register an action type; answers its id."""
        answer = self.api.create_custom_action_type(**action_type(**changes))
        type_id: dict[str, str] = answer["actionType"]["id"]
        return type_id

    def structure(self, *stages: list[dict[str, Any]], name: str = "release") -> dict[str, Any]:
        """A pipeline whose first stage is ``Source``, and whose others are ``Stage2`` and so on."""
        declared = [{"name": "Source", "actions": [source()]}]
        for number, actions in enumerate(stages, start=2):
            declared.append({"name": f"Stage{number}", "actions": actions})
        return {
            "name": name,
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/pipeline",
            "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": declared,
        }

    def create(self, *stages: list[dict[str, Any]], **changes: Any) -> None:
        """Create a pipeline. Without stages it has one custom action, ``Build``."""
        structure = self.structure(*stages or ([action("Build")],)) | changes
        self.api.create_pipeline(pipeline=structure)

    def start(self, name: str = "release") -> str:
        """Start an execution; answers its id."""
        execution_id: str = self.api.start_pipeline_execution(name=name)["pipelineExecutionId"]
        return execution_id

    def poll(self, limit: int = 100, **changes: Any) -> list[dict[str, Any]]:
        """Poll for jobs of the usual type."""
        jobs: list[dict[str, Any]] = self.api.poll_for_jobs(
            **{"actionTypeId": TYPE, "maxBatchSize": limit} | changes
        )["jobs"]
        return jobs

    def acknowledge(self, job: dict[str, Any]) -> str:
        """Acknowledge a job as it was offered."""
        status: str = self.api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"]
        return status

    def take(self) -> dict[str, Any]:
        """Poll for the one job there is, and acknowledge it."""
        [job] = self.poll()
        self.acknowledge(job)
        return job

    def job(self) -> dict[str, Any]:
        """A job in progress, of a new pipeline's only custom action."""
        self.register()
        self.create()
        self.start()
        return self.take()

    def succeed(self, job: dict[str, Any], **result: Any) -> None:
        self.api.put_job_success_result(jobId=job["id"], **result)

    def fail(self, job: dict[str, Any], message: str = "It broke", kind: str = "JobFailed") -> None:
        details = {"type": kind, "message": message}
        self.api.put_job_failure_result(jobId=job["id"], failureDetails=details)

    def status(self, execution_id: str, name: str = "release") -> str:
        """An execution's status."""
        answer = self.api.get_pipeline_execution(
            pipelineName=name, pipelineExecutionId=execution_id
        )
        status: str = answer["pipelineExecution"]["status"]
        return status

    def stage(self, name: str, pipeline: str = "release") -> dict[str, Any]:
        """A stage's state."""
        states = self.api.get_pipeline_state(name=pipeline)["stageStates"]
        return next(each for each in states if each["stageName"] == name)

    def action_statuses(self, stage: str = "Stage2") -> dict[str, str | None]:
        """The status of each action of a stage."""
        return {
            each["actionName"]: each.get("latestExecution", {}).get("status")
            for each in self.stage(stage)["actionStates"]
        }

    def events(self) -> list[tuple[str, str, str]]:
        """What was announced: kind, name and state of each event."""
        shown = []
        for entry in self.entries:
            detail = json.loads(entry["Detail"])
            name = detail.get("action") or detail.get("stage") or detail["pipeline"]
            shown.append((entry["DetailType"].split()[1], name, detail["state"]))
        return shown

    def details(self, kind: str, state: str) -> list[dict[str, Any]]:
        """The details of the events of a kind (``Action``) that have a state."""
        found = [
            json.loads(e["Detail"]) for e in self.entries if e["DetailType"].split()[1] == kind
        ]
        return [detail for detail in found if detail["state"] == state]


@contextmanager
def running_service() -> Iterator[Service]:
    """A new service whose clock stands still, and whose events are only noted down."""
    entries: list[dict[str, Any]] = []

    def note(account_id: str, region_name: str, entry: dict[str, Any]) -> None:
        assert (account_id, region_name) == (ACCOUNT, REGION)
        entries.append(entry)

    config: Any = {"core": {"reset_boto3_session": True}}
    with mock_aws(config=config), patch.object(JobBackend, "deliver_event", note):
        client("iam").create_role(RoleName="pipeline", AssumeRolePolicyDocument=json.dumps(TRUST))
        jobs_backend = backend(ACCOUNT, REGION)
        jobs_backend.clock = ManualClock()
        yield Service(client("codepipeline"), jobs_backend, entries)


def error_of(error: ClientError) -> tuple[str, str]:
    """An error's code and message."""
    return error.response["Error"]["Code"], error.response["Error"]["Message"]
