"""A CodePipeline with an action type and pipelines, for the tests of moto_codepipeline."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from moto import mock_aws

from codepipeline_role import TRUST
from moto_codepipeline import Behaviour, JobBackend, ManualClock, backend
from moto_codepipeline.testing import make_bucket, put_source

ACCOUNT, REGION = "123456789012", "eu-west-1"
TYPE = {"category": "Build", "owner": "Custom", "provider": "Builder", "version": "1"}
SOURCE = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
PARTNER_TYPE = TYPE | {"owner": "ThirdParty"}
APPROVAL = SOURCE | {"category": "Approval", "provider": "Manual"}
LAMBDA = SOURCE | {"category": "Invoke", "provider": "Lambda"}
IDLE = SOURCE | {"category": "Deploy", "provider": "CodeDeploy"}
"""An action type that does nothing."""

SIDE_BY_SIDE = {"executionMode": "PARALLEL", "pipelineType": "V2"}
"""The members of a pipeline whose executions run independently of each other."""

BOUNDED = settings(
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
"""The settings of all property-based tests."""

UNKNOWN_JOB = "00000000-0000-0000-0000-000000000000"


@lru_cache
def client(service: str, endpoint_url: str | None = None, region: str = REGION) -> Any:
    """A client that neither checks parameters nor retries, created once for all tests."""
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
    """An action's declaration; artifacts can be given by name."""
    declared: dict[str, Any] = {"name": name, "actionTypeId": type_id} | changes
    for side in ("inputArtifacts", "outputArtifacts"):
        if side in declared:
            declared[side] = [{"name": each} for each in declared[side]]
    return declared


def source(**changes: Any) -> dict[str, Any]:
    """An AWS source action with the output artifact ``SourceOutput``."""
    configuration = {"S3Bucket": "code", "S3ObjectKey": "code.zip"}
    return action(
        "Fetch",
        SOURCE,
        **{"outputArtifacts": ["SourceOutput"], "configuration": configuration} | changes,
    )


class Worker:
    """A worker for jobs of ``owner``: its calls have the same names for custom and partner jobs.

    A job is what PollForJobs returns, or the details of a partner's job with its ``clientId``. The
    token is the client's, unless the job has its own ``clientToken``.
    """

    def __init__(self, api: Any, jobs_backend: JobBackend, owner: str) -> None:
        self.api = api
        self.backend = jobs_backend
        self.owner = owner

    def call(self, operation: str, job: dict[str, Any], **request: Any) -> dict[str, Any]:
        """Call a custom job's operation, or the same of a partner's job, for a job."""
        named = {"jobId": job["id"]}
        if self.owner == "ThirdParty":
            operation = operation.replace("job", "third_party_job")
            client_id = job.get("clientId", self.backend.default_client_id)
            token = job.get("clientToken") or self.backend.client_token(client_id)
            named["clientToken"] = token
        answer: dict[str, Any] = getattr(self.api, operation)(**named, **request)
        return answer

    def poll(self, **request: Any) -> list[dict[str, Any]]:
        if self.owner == "Custom":
            jobs: list[dict[str, Any]] = self.api.poll_for_jobs(**request)["jobs"]
            return jobs
        offers = self.api.poll_for_third_party_jobs(**request)["jobs"]
        offered = [{"id": job["jobId"], "clientId": job["clientId"]} for job in offers]
        return [job | self.details(job) for job in offered]

    def acknowledge(self, job: dict[str, Any]) -> str:
        return str(self.call("acknowledge_job", job, nonce=job["nonce"])["status"])

    def details(self, job: dict[str, Any]) -> dict[str, Any]:
        return dict(self.call("get_job_details", job)["jobDetails"])

    def succeed(self, job: dict[str, Any], **result: Any) -> None:
        self.call("put_job_success_result", job, **result)

    def fail(self, job: dict[str, Any], **result: Any) -> None:
        self.call("put_job_failure_result", job, **result)


WORKERS = ("Custom", "ThirdParty")
"""The owners of action types whose actions need a worker."""

each_owner = pytest.mark.parametrize("service", WORKERS, indirect=True)


def context(job: dict[str, Any]) -> dict[str, Any]:
    """A job's pipeline, stage and action."""
    return dict(job["data"]["pipelineContext"])


class Service:
    """The service under test, with what a user and a worker for ``owner``'s jobs do."""

    def __init__(
        self, api: Any, jobs_backend: JobBackend, events: list[dict[str, Any]], owner: str
    ) -> None:
        self.api = api
        self.backend = jobs_backend
        self.worker = Worker(api, jobs_backend, owner)
        self.type_id = TYPE | {"owner": owner}
        self.behaviour = jobs_backend.behaviour
        self.clock = jobs_backend.clock
        self.entries = events

    def register(self, **changes: Any) -> dict[str, str]:
        """Register an action type of the worker's owner; return its id."""
        request = action_type(**changes)
        type_id: dict[str, str]
        if self.worker.owner == "ThirdParty":
            registered = self.backend.register_third_party_action_type(request)
            type_id = registered.definition["id"]
        else:
            type_id = self.api.create_custom_action_type(**request)["actionType"]["id"]
        return type_id

    def unregister(self) -> None:
        """Delete the usual action type."""
        usual = {"category": "Build", "provider": "Builder", "version": "1"}
        if self.worker.owner == "ThirdParty":
            self.backend.delete_third_party_action_type(**usual)
        else:
            self.api.delete_custom_action_type(**usual)

    def action(self, name: str, **changes: Any) -> dict[str, Any]:
        """The declaration of an action for the worker."""
        return action(name, self.type_id, **changes)

    def structure(self, *stages: list[dict[str, Any]], name: str = "release") -> dict[str, Any]:
        """A pipeline with the stages ``Source``, ``Stage2`` and so on."""
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
        """Create a pipeline. Without stages it has one action, ``Build``."""
        structure = self.structure(*stages or ([self.action("Build")],)) | changes
        self.api.create_pipeline(pipeline=structure)

    def start(self, name: str = "release") -> str:
        """Start an execution; return its id."""
        execution_id: str = self.api.start_pipeline_execution(name=name)["pipelineExecutionId"]
        return execution_id

    def begin(self, *stages: list[dict[str, Any]], **changes: Any) -> str:
        """Create a pipeline as ``create`` does, and start an execution; return its id."""
        self.create(*stages, **changes)
        return self.start()

    def poll(self, limit: int | None = 100, **changes: Any) -> list[dict[str, Any]]:
        """Poll for jobs of the usual type."""
        return self.worker.poll(**{"actionTypeId": self.type_id, "maxBatchSize": limit} | changes)

    def acknowledge(self, job: dict[str, Any]) -> str:
        """Acknowledge a job as it was offered."""
        return self.worker.acknowledge(job)

    def take(self) -> dict[str, Any]:
        """Poll for the only job, and acknowledge it."""
        [job] = self.poll()
        self.acknowledge(job)
        return job

    def take_all(self, *names: str) -> list[dict[str, Any]]:
        """Poll for and acknowledge all jobs, which must be those of these actions."""
        jobs = {context(job)["action"]["name"]: job for job in self.poll()}
        assert set(jobs) == set(names)
        for job in jobs.values():
            self.acknowledge(job)
        return [jobs[name] for name in names]

    def job(self, **changes: Any) -> dict[str, Any]:
        """A job in progress, of a new pipeline's only action that is not a source."""
        self.register()
        self.begin(**changes)
        return self.take()

    def succeed(self, job: dict[str, Any], **result: Any) -> None:
        self.worker.succeed(job, **result)

    def fail(self, job: dict[str, Any], message: str = "It broke", kind: str = "JobFailed") -> None:
        self.worker.fail(job, failureDetails={"type": kind, "message": message})

    def stop(self, execution_id: str, name: str = "release", **request: Any) -> str:
        """Stop an execution; return the id in the response."""
        answer = self.api.stop_pipeline_execution(
            pipelineName=name, pipelineExecutionId=execution_id, **request
        )
        answered: str = answer["pipelineExecutionId"]
        return answered

    def retry(self, execution_id: str, mode: str = "FAILED_ACTIONS", **changes: str) -> str:
        """Retry ``Stage2``; return the id in the response."""
        request = {
            "pipelineName": "release",
            "stageName": "Stage2",
            "pipelineExecutionId": execution_id,
            "retryMode": mode,
        }
        answered: str = self.api.retry_stage_execution(**request | changes)["pipelineExecutionId"]
        return answered

    def execution(self, execution_id: str, name: str = "release") -> dict[str, Any]:
        """What GetPipelineExecution returns."""
        answer = self.api.get_pipeline_execution(
            pipelineName=name, pipelineExecutionId=execution_id
        )
        execution: dict[str, Any] = answer["pipelineExecution"]
        return execution

    def summaries(self) -> dict[str, dict[str, Any]]:
        """What ListPipelineExecutions returns, by execution."""
        answer = self.api.list_pipeline_executions(pipelineName="release")
        return {e["pipelineExecutionId"]: e for e in answer["pipelineExecutionSummaries"]}

    def status(self, execution_id: str, name: str = "release") -> str:
        """An execution's status."""
        status: str = self.execution(execution_id, name)["status"]
        return status

    def stages(self, pipeline: str = "release") -> list[dict[str, Any]]:
        """The state of each stage."""
        states: list[dict[str, Any]] = self.api.get_pipeline_state(name=pipeline)["stageStates"]
        return states

    def stage(self, name: str, pipeline: str = "release") -> dict[str, Any]:
        """A stage's state."""
        return next(each for each in self.stages(pipeline) if each["stageName"] == name)

    def state(self, stage: str = "Stage2") -> dict[str, Any]:
        """The state of a stage's first action."""
        return dict(self.stage(stage)["actionStates"][0])

    def latest(self, stage: str = "Stage2") -> dict[str, Any]:
        """The latest execution of a stage's first action."""
        return dict(self.state(stage)["latestExecution"])

    def action_executions(self, name: str | None = None, **request: Any) -> list[dict[str, Any]]:
        """What ListActionExecutions returns, of all actions or only one, newest first."""
        answer = self.api.list_action_executions(pipelineName="release", **request)
        found = answer["actionExecutionDetails"]
        return [each for each in found if name in (None, each["actionName"])]

    def action_statuses(self, stage: str = "Stage2") -> dict[str, str | None]:
        """The status of each action of a stage."""
        return {
            each["actionName"]: each.get("latestExecution", {}).get("status")
            for each in self.stage(stage)["actionStates"]
        }

    def events(self) -> list[tuple[str, str, str]]:
        """Kind, name and state of each event."""
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


def at_once(**changes: Any) -> Behaviour:
    """The default with changes, and jobs can be polled as soon as their action has started."""
    return Behaviour(started_before_queued_seconds=0, **changes)


@contextmanager
def running_service(owner: str = "Custom") -> Iterator[Service]:
    """A new service whose clock stands still, and whose events are only recorded."""
    entries: list[dict[str, Any]] = []

    def note(account_id: str, region_name: str, entry: dict[str, Any]) -> None:
        assert (account_id, region_name) == (ACCOUNT, REGION)
        entries.append(entry)

    config: Any = {"core": {"reset_boto3_session": True}}
    with mock_aws(config=config), patch.object(JobBackend, "deliver_event", note):
        client("iam").create_role(RoleName="pipeline", AssumeRolePolicyDocument=json.dumps(TRUST))
        jobs_backend = backend(ACCOUNT, REGION)
        jobs_backend.clock = ManualClock()
        jobs_backend.behaviour = at_once()
        put_source(client("s3"), "code", "code.zip", {"main.py": b"print()"})
        make_bucket(client("s3"), "artifacts")
        yield Service(client("codepipeline"), jobs_backend, entries, owner)


def error_of(error: ClientError) -> tuple[str, str]:
    """An error's code and message."""
    return error.response["Error"]["Code"], error.response["Error"]["Message"]


def refusal_of(call: Callable[..., object], *values: Any, **request: Any) -> tuple[str, str]:
    """The code and the message of the error that a call gets."""
    with pytest.raises(ClientError) as caught:
        call(*values, **request)
    return error_of(caught.value)


def code_of(call: Callable[..., object], *values: Any, **request: Any) -> str:
    """The code of the error that a call gets."""
    return refusal_of(call, *values, **request)[0]
