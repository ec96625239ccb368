"""The service behind the endpoint, and the states that cases begin with."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from codepipeline_fixtures import (
    ACCOUNT,
    APPROVAL,
    REGION,
    UNKNOWN_JOB,
    Service,
    action,
    at_once,
    client,
    configuration_property,
)
from moto_codepipeline import JobStatus, ManualClock, backend
from moto_codepipeline.switches import change

PIPELINE_ARN = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:"
TYPE_ARN = f"{PIPELINE_ARN}actiontype:Custom/Build/Builder/1"
TAGS = [{"key": "team", "value": "build"}]
REVISION = {"revisionId": "r1", "revisionChangeId": "c1", "created": 1_800_000_000}
QUERYABLE = configuration_property("Project", queryable=True)
FAILURE = {"failureDetails": {"type": "JobFailed", "message": "It broke"}}
RELEASE = {"pipelineName": "release"}


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

    @property
    def offer(self) -> dict[str, Any]:
        """The job, for a worker of ``codepipeline_fixtures``."""
        return {"id": self.id, "nonce": self.nonce, "clientToken": self.token}


def new_service(owner: str = "Custom") -> Service:
    """The region's CodePipeline, emptied. Its clock stands still."""
    emptied = backend(ACCOUNT, REGION)
    emptied.reset()
    emptied.clock = ManualClock()
    # Both kinds of operations accept these ids, so each can be called with the other kind's job.
    emptied.behaviour = at_once(
        source_without_version="succeed", third_party_job_ids=lambda: str(uuid.uuid4())
    )
    return Service(client("codepipeline"), emptied, [], owner)


def status_of(service: Service, job: Job) -> JobStatus | None:
    """A job's status, which otherwise only an acknowledgment returns."""
    service.backend.tick()
    found = service.backend._board.find(job.id)
    return found.status if found else None


State = Callable[[Service], Job]
"""Brings a service into a state, with a job of its owner's action type; returns that job."""


def nothing(service: Service) -> Job:
    """Neither the action type nor a job exists."""
    return Job(UNKNOWN_JOB, token="a-token" if service.worker.owner == "ThirdParty" else None)


def idle(service: Service) -> Job:
    service.register()
    return nothing(service)


def queued(service: Service) -> Job:
    service.register()
    execution = RELEASE | {"pipelineExecutionId": service.begin()}
    [job_id] = service.backend._board._jobs
    partner = service.worker.owner == "ThirdParty"
    own = service.backend.client_token(service.backend.default_client_id)
    return Job(job_id, token=own if partner else None, execution=execution)


def offered(service: Service) -> Job:
    job = queued(service)
    [offer] = service.poll()
    job.nonce = offer["nonce"]
    return job


def offered_to_another(service: Service) -> Job:
    """The job with the nonce of its first offer, after it was offered again."""
    job = offered(service)
    service.clock.advance(service.behaviour.acknowledge_seconds)
    assert service.poll()
    return job


def claimed(service: Service) -> Job:
    job = offered(service)
    service.acknowledge(job.offer)
    return job


def succeeded(service: Service) -> Job:
    job = claimed(service)
    service.succeed(job.offer, executionDetails={"summary": "Built"})
    return job


def failed(service: Service) -> Job:
    job = claimed(service)
    service.worker.fail(job.offer, **FAILURE)
    return job


def timed_out(service: Service) -> Job:
    job = claimed(service)
    service.clock.advance(24 * 60 * 60)
    return job


def continued(service: Service) -> Job:
    """The first job of an action whose next one is queued."""
    job = claimed(service)
    service.succeed(job.offer, continuationToken="first-half")
    service.clock.advance(service.behaviour.continuation_seconds)
    return job


def _stop(service: Service, job: Job, *, abandon: bool) -> Job:
    service.stop(job.execution["pipelineExecutionId"], abandon=abandon)
    return job


def stopping(service: Service) -> Job:
    """A job in progress of an execution that is Stopping until it ends."""
    return _stop(service, claimed(service), abandon=False)


def abandoned(service: Service) -> Job:
    """A job in progress whose action was abandoned."""
    return _stop(service, claimed(service), abandon=True)


def abandoned_unclaimed(service: Service) -> Job:
    """An offered job whose action was abandoned before it was acknowledged."""
    return _stop(service, offered(service), abandon=True)


def of_the_other_kind(service: Service) -> Job:
    """A job of the other owner."""
    partner = service.worker.owner == "ThirdParty"
    other = "Custom" if partner else "ThirdParty"
    job = offered(Service(service.api, service.backend, [], other))
    job.token = "a-token" if partner else None
    return job


def with_a_wrong_token(state: State) -> State:
    def prepared(service: Service) -> Job:
        job = state(service)
        job.token = "another-token"
        return job

    return prepared


def where(state: State, **switches: Any) -> State:
    """``state``, and then these switches."""

    def prepared(service: Service) -> Job:
        job = state(service)
        change(service.behaviour, switches)
        return job

    return prepared


def queryable(service: Service) -> Job:
    """Two actions with different values of the type's queryable property wait."""
    service.register(configurationProperties=[QUERYABLE])
    for project in ("web", "app"):
        build = service.action("Build", configuration={"Project": project})
        service.create([build], name=project)
        service.start(project)
    return nothing(service)


def asked(service: Service) -> Job:
    """An approval that waits: the nonce is its token."""
    execution = RELEASE | {"pipelineExecutionId": service.begin([action("Ask", APPROVAL)])}
    return Job(UNKNOWN_JOB, service.latest()["token"], execution=execution)


def answered(service: Service) -> Job:
    """An approval that was given."""
    job = asked(service)
    place = RELEASE | {"stageName": "Stage2", "actionName": "Ask", "token": job.nonce}
    service.api.put_approval_result(**place, result={"summary": "", "status": "Approved"})
    return job


def revised(service: Service) -> Job:
    """A source whose revision r1 was put."""
    job = queued(service)
    place = RELEASE | {"stageName": "Source", "actionName": "Fetch"}
    service.api.put_action_revision(**place, actionRevision=REVISION)
    return job


def closed(service: Service) -> Job:
    """A pipeline whose transition to the last stage is disabled."""
    job = queued(service)
    place = RELEASE | {"stageName": "Stage2", "transitionType": "Inbound"}
    service.api.disable_stage_transition(**place, reason="Closed")
    return job


def tagged(service: Service) -> Job:
    """A pipeline and an action type with one tag each."""
    job = queued(service)
    for arn in (TYPE_ARN, f"{PIPELINE_ARN}release"):
        service.api.tag_resource(resourceArn=arn, tags=TAGS)
    return job


def crowded(service: Service) -> Job:
    """The largest number of custom action types."""
    for number in range(50):
        service.register(provider=f"Builder{number}")
    return nothing(service)


def deleted(service: Service) -> Job:
    service.register()
    service.unregister()
    return nothing(service)
