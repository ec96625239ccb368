"""The service behind the endpoint, and the states that cases begin with."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from moto_codepipeline import JobBackend, JobStatus, ManualClock, backend

ACCOUNT, REGION = "123456789012", "eu-west-1"
CUSTOM = {"category": "Build", "owner": "Custom", "provider": "Builder", "version": "1"}
PARTNER = CUSTOM | {"owner": "ThirdParty"}
APPROVAL = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
PIPELINE_ARN = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:"
TYPE_ARN = f"{PIPELINE_ARN}actiontype:Custom/Build/Builder/1"
TAGS = [{"key": "team", "value": "build"}]
REVISION = {"revisionId": "r1", "revisionChangeId": "c1", "created": 1_800_000_000}
SOURCE = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
TYPE_REQUEST: dict[str, Any] = {
    "category": "Build",
    "provider": "Builder",
    "version": "1",
    "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
    "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
}
QUERYABLE = {"name": "Project", "required": True, "key": True, "secret": False, "queryable": True}
FAILURE = {"failureDetails": {"type": "JobFailed", "message": "It broke"}}


@dataclass
class Job:
    """A job as a worker sees it; ``token`` is a partner's client token for it.

    ``execution`` has the parameters that name the job's pipeline execution.
    """

    id: str
    nonce: str = "0"
    token: str | None = None
    execution: dict[str, str] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, str]:
        """The parameters that name the job."""
        return {"jobId": self.id} | ({"clientToken": self.token} if self.token else {})


@dataclass
class Service:
    """CodePipeline in one account and region."""

    backend: JobBackend
    execution: dict[str, str] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def new(cls) -> Self:
        """The region's CodePipeline, emptied. Its clock stands still."""
        emptied = backend(ACCOUNT, REGION)
        emptied.reset()
        emptied.clock = ManualClock()
        emptied.behaviour.started_before_queued_seconds = 0
        emptied.behaviour.source_without_version = "succeed"
        # Both kinds of operations accept these ids, so each can be called with the other kind's job.
        emptied.behaviour.third_party_job_ids = lambda: str(uuid.uuid4())
        return cls(emptied)

    def register(self, type_id: dict[str, str], **changes: Any) -> None:
        """Register the action type, of either owner."""
        if type_id["owner"] == "Custom":
            self.backend.create_custom_action_type(TYPE_REQUEST | changes)
        else:
            self.backend.register_third_party_action_type(TYPE_REQUEST | changes)

    def delete(self, type_id: dict[str, str]) -> None:
        """Delete the action type, of either owner."""
        identity = (type_id["category"], type_id["provider"], type_id["version"])
        if type_id["owner"] == "Custom":
            self.backend.delete_custom_action_type(*identity)
        else:
            self.backend.delete_third_party_action_type(*identity)

    def start(self, type_id: dict[str, str], **declared: Any) -> None:
        """Start a new pipeline with one action of the type."""
        name = f"release-{next(self._numbers)}"
        action = {"name": "Work", "actionTypeId": type_id} | declared
        fetched = {"name": "Fetch", "actionTypeId": SOURCE, "outputArtifacts": [{"name": "Code"}]}
        fetched["configuration"] = {"S3Bucket": "code", "S3ObjectKey": "code.zip"}
        pipeline = {
            "name": name,
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/pipeline",
            "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": [
                {"name": "Source", "actions": [fetched]},
                {"name": "Build", "actions": [action]},
            ],
        }
        self.backend.create_pipeline(pipeline, [])
        execution_id = self.backend.start_pipeline_execution(name, None)
        self.execution = {"pipelineName": name, "pipelineExecutionId": execution_id}

    def offer(self, type_id: dict[str, str]) -> Job:
        """Poll for the only job."""
        if type_id["owner"] == "Custom":
            [job] = self.backend.poll_for_jobs(type_id, 2, None)
            return Job(job["id"], job["nonce"], execution=self.execution)
        [job] = self.backend.poll_for_third_party_jobs(type_id, 2)
        token = self.backend.client_token(job["clientId"])
        details = self.backend.get_third_party_job_details(job["jobId"], token)
        return Job(job["jobId"], details["nonce"], token, self.execution)

    def acknowledge(self, job: Job) -> None:
        if job.token is None:
            self.backend.acknowledge_job(job.id, job.nonce)
        else:
            self.backend.acknowledge_third_party_job(job.id, job.nonce, job.token)

    def succeed(self, job: Job, **result: Any) -> None:
        if job.token is None:
            self.backend.put_job_success_result(job.id, result)
        else:
            self.backend.put_third_party_job_success_result(job.id, job.token, result)

    def fail(self, job: Job) -> None:
        if job.token is None:
            self.backend.put_job_failure_result(job.id, FAILURE)
        else:
            self.backend.put_third_party_job_failure_result(job.id, job.token, FAILURE)

    def stop(self, job: Job, *, abandon: bool) -> None:
        """Stop the job's execution."""
        name, execution_id = job.execution.values()
        self.backend.stop_pipeline_execution(name, execution_id, abandon=abandon)

    def approval_token(self) -> str:
        """The token of the approval that waits."""
        state = self.backend.get_pipeline_state(self.execution["pipelineName"])
        token: str = state["stageStates"][1]["actionStates"][0]["latestExecution"]["token"]
        return token

    def status(self, job_id: str) -> JobStatus | None:
        """A job's status, which otherwise only an acknowledgment returns."""
        self.backend.tick()
        job = self.backend._board.find(job_id)
        return job.status if job else None


State = Callable[[Service, dict[str, str]], Job]
"""Brings a service into a state, with a job of an action type; returns that job."""

UNKNOWN_JOB = "00000000-0000-0000-0000-000000000000"


def nothing(service: Service, type_id: dict[str, str]) -> Job:
    """Neither the action type nor a job exists."""
    partner = type_id["owner"] == "ThirdParty"
    return Job(UNKNOWN_JOB, token="a-token" if partner else None)


def idle(service: Service, type_id: dict[str, str]) -> Job:
    service.register(type_id)
    return nothing(service, type_id)


def queued(service: Service, type_id: dict[str, str]) -> Job:
    idle(service, type_id)
    service.start(type_id)
    [job_id] = service.backend._board._jobs
    default = service.backend.default_client_id
    partner = type_id["owner"] == "ThirdParty"
    token = service.backend.client_token(default) if partner else None
    return Job(job_id, token=token, execution=service.execution)


def offered(service: Service, type_id: dict[str, str]) -> Job:
    queued(service, type_id)
    return service.offer(type_id)


def offered_to_another(service: Service, type_id: dict[str, str]) -> Job:
    """The job with the nonce of its first offer, after it was offered again."""
    job = offered(service, type_id)
    service.backend.clock.advance(service.backend.behaviour.acknowledge_seconds)
    service.offer(type_id)
    return job


def claimed(service: Service, type_id: dict[str, str]) -> Job:
    job = offered(service, type_id)
    service.acknowledge(job)
    return job


def succeeded(service: Service, type_id: dict[str, str]) -> Job:
    job = claimed(service, type_id)
    service.succeed(job, executionDetails={"summary": "Built"})
    return job


def failed(service: Service, type_id: dict[str, str]) -> Job:
    job = claimed(service, type_id)
    service.fail(job)
    return job


def timed_out(service: Service, type_id: dict[str, str]) -> Job:
    job = claimed(service, type_id)
    service.backend.clock.advance(24 * 60 * 60)
    return job


def continued(service: Service, type_id: dict[str, str]) -> Job:
    """The first job of an action whose next one is queued."""
    job = claimed(service, type_id)
    service.succeed(job, continuationToken="first-half")
    service.backend.clock.advance(service.backend.behaviour.continuation_seconds)
    return job


def stopping(service: Service, type_id: dict[str, str]) -> Job:
    """A job in progress of an execution that is Stopping until it ends."""
    job = claimed(service, type_id)
    service.stop(job, abandon=False)
    return job


def abandoned(service: Service, type_id: dict[str, str]) -> Job:
    """A job in progress whose action was abandoned."""
    job = claimed(service, type_id)
    service.stop(job, abandon=True)
    return job


def abandoned_unclaimed(service: Service, type_id: dict[str, str]) -> Job:
    """An offered job whose action was abandoned before it was acknowledged."""
    job = offered(service, type_id)
    service.stop(job, abandon=True)
    return job


def of_the_other_kind(service: Service, type_id: dict[str, str]) -> Job:
    """A job of the other owner."""
    other = PARTNER if type_id["owner"] == "Custom" else CUSTOM
    job = offered(service, other)
    job.token = "a-token" if type_id["owner"] == "ThirdParty" else None
    return job


def with_a_wrong_token(state: State) -> State:
    def prepared(service: Service, type_id: dict[str, str]) -> Job:
        job = state(service, type_id)
        job.token = "another-token"
        return job

    return prepared


def where(state: State, **switches: Any) -> State:
    """``state``, and then these switches."""

    def prepared(service: Service, type_id: dict[str, str]) -> Job:
        job = state(service, type_id)
        for name, value in switches.items():
            assert hasattr(service.backend.behaviour, name), name
            setattr(service.backend.behaviour, name, value)
        return job

    return prepared


def queryable(service: Service, type_id: dict[str, str]) -> Job:
    """Two actions with different values of the type's queryable property wait."""
    service.register(type_id, configurationProperties=[QUERYABLE])
    for project in ("web", "app"):
        service.start(type_id, configuration={"Project": project})
    return nothing(service, type_id)


def asked(service: Service, type_id: dict[str, str]) -> Job:
    """An approval that waits: the nonce is its token."""
    service.start(APPROVAL)
    return Job(UNKNOWN_JOB, service.approval_token(), execution=service.execution)


def answered(service: Service, type_id: dict[str, str]) -> Job:
    """An approval that was given."""
    job = asked(service, type_id)
    place = (job.execution["pipelineName"], "Build", "Work")
    service.backend.put_approval_result(*place, {"summary": "", "status": "Approved"}, job.nonce)
    return job


def revised(service: Service, type_id: dict[str, str]) -> Job:
    """A source whose revision r1 was put."""
    job = queued(service, type_id)
    place = (job.execution["pipelineName"], "Source", "Fetch")
    service.backend.put_action_revision(*place, REVISION)
    return job


def closed(service: Service, type_id: dict[str, str]) -> Job:
    """A pipeline whose transition to the last stage is disabled."""
    job = queued(service, type_id)
    name = job.execution["pipelineName"]
    service.backend.set_stage_transition(name, "Build", "Inbound", reason="Closed")
    return job


def tagged(service: Service, type_id: dict[str, str]) -> Job:
    """A pipeline and an action type with one tag each."""
    job = queued(service, type_id)
    for arn in (TYPE_ARN, f"{PIPELINE_ARN}{job.execution['pipelineName']}"):
        service.backend.tag_resource(arn, TAGS)
    return job


def crowded(service: Service, type_id: dict[str, str]) -> Job:
    """The largest number of custom action types."""
    for number in range(50):
        service.register(type_id, provider=f"Builder{number}")
    return nothing(service, type_id)


def deleted(service: Service, type_id: dict[str, str]) -> Job:
    service.register(type_id)
    service.delete(type_id)
    return nothing(service, type_id)
