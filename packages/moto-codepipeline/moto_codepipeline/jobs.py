"""Jobs: the seven statuses, the queues, offers, acknowledgments and results.

    Created ──► Queued ──► Dispatched ──► InProgress ──► Succeeded | Failed
                  ▲            │                    └──► TimedOut
                  └────────────┘ not acknowledged in time

A job whose action was abandoned or canceled is *withdrawn*: it keeps its status, is no longer
offered, and a result for it changes only the job.

The rules are the same for custom and partner jobs. Only the id, the time limit and the pipeline's
members in a job's data differ. ``operations`` checks who may call, and with which client token.
"""

import heapq
import itertools
import json
import secrets
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .action_types import TypeKey
from .behaviour import Behaviour
from .clock import Appointment, Timeline
from .exceptions import (
    InvalidJobError,
    InvalidJobStateError,
    InvalidNonceError,
    OutputVariablesSizeExceededError,
    ValidationError,
)
from .lambdas import NO_RESULT
from .runs import ActionRun, without_none

OUTPUT_VARIABLES_BYTES = 122880

THIRD_PARTY_JOB_ID_CHARACTERS = 512


class JobStatus(StrEnum):
    """The API's ``JobStatus``; the meanings are documented in AWS's own worker."""

    CREATED = "Created"
    QUEUED = "Queued"
    DISPATCHED = "Dispatched"
    IN_PROGRESS = "InProgress"
    TIMED_OUT = "TimedOut"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def ended(self) -> bool:
        return self in (JobStatus.TIMED_OUT, JobStatus.SUCCEEDED, JobStatus.FAILED)


@dataclass(frozen=True)
class NextJob:
    """What is set up for the next job, to try things out.

    ``configuration`` replaces properties of the action's configuration for this job;
    ``offer_twice`` treats the first offer as if it was not acknowledged in time.
    """

    configuration: dict[str, str]
    offer_twice: bool = False


@dataclass(eq=False)
class Job:
    """One job. ``age`` counts up: a lower one is older."""

    id: str
    action: ActionRun
    age: int
    continuation_token: str | None = None
    status: JobStatus = JobStatus.CREATED
    nonce: str | None = None
    result: str | None = None
    deadline: Appointment | None = None
    withdrawn: bool = False
    offer_twice: bool = False
    story: list[tuple[float, JobStatus]] = field(default_factory=list)

    @property
    def told(self) -> JobStatus:
        """The status that workers get: Failed if the action was abandoned or canceled."""
        return JobStatus.FAILED if self.withdrawn and not self.status.ended else self.status

    @property
    def owner(self) -> str:
        return self.action.type_id["owner"]

    def data(self, credentials: dict[str, str]) -> dict[str, Any]:
        """The API's ``JobData`` or ``ThirdPartyJobData``, with these artifact credentials.

        A partner does not get the pipeline's ARN and execution id (documented).
        """
        action, run = self.action, self.action.run
        in_own_account = self.owner != "ThirdParty"
        return without_none(
            actionTypeId=action.type_id,
            actionConfiguration={"configuration": action.configuration},
            pipelineContext=without_none(
                pipelineName=run.pipeline_name,
                stage={"name": action.stage.name},
                action={"name": action.name, "actionExecutionId": action.id},
                pipelineArn=run.arn if in_own_account else None,
                pipelineExecutionId=run.pipeline_execution_id if in_own_account else None,
            ),
            inputArtifacts=[artifact.for_job() for artifact in action.inputs],
            outputArtifacts=[artifact.for_job() for artifact in action.outputs],
            artifactCredentials=credentials,
            continuationToken=self.continuation_token,
            encryptionKey=run.store(action.region).get("encryptionKey"),
        )


@dataclass(eq=False)
class JobBoard:
    """All jobs of an account and region.

    ``succeeded`` and ``failed`` are called with an action and its result, ``invoke`` with the job
    of a Lambda function, which is never offered; ``behaviour`` returns the present switches. Not
    thread-safe: its owner holds a lock.
    """

    timeline: Timeline
    behaviour: Callable[[], Behaviour]
    succeeded: Callable[[ActionRun, dict[str, Any]], None]
    failed: Callable[[ActionRun, str, str], None]
    invoke: Callable[[Job], None]

    def __post_init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queues: dict[tuple[TypeKey, str | None], list[tuple[int, Job]]] = defaultdict(list)
        self._newest: dict[ActionRun, Job] = {}
        self._timeouts: dict[ActionRun, Appointment] = {}
        self._ages = itertools.count(1)

    def find(self, job_id: str) -> Job | None:
        """The job with this id."""
        return self._jobs.get(job_id)

    def of(self, action: ActionRun) -> list[Job]:
        """All jobs of an action, the oldest first."""
        return [job for job in self._jobs.values() if job.action is action]

    def open(self, action: ActionRun) -> Job:
        """Create an action's first job. The action's time limit begins now."""
        self._limit(action)
        waits = action.type_id["owner"] != "AWS"
        delay = self.behaviour().started_before_queued_seconds if waits else 0
        return self._create(action, None, delay)

    def withdraw(self, action: ActionRun) -> None:
        """Withdraw the job of an action that was abandoned or canceled, in any status."""
        job = self._newest[action]
        job.withdrawn = True
        self._enter(job, job.status)
        self._close(action)

    def offer(self, key: TypeKey, query_value: str | None, limit: int) -> list[Job]:
        """Offer up to ``limit`` queued jobs, the oldest first, each with a nonce."""
        queue = self._queues.get((key, query_value), [])
        offered: list[Job] = []
        while queue and len(offered) < limit:
            _, job = heapq.heappop(queue)
            if job.status is JobStatus.QUEUED and not job.withdrawn:
                self._dispatch(job)
                offered.append(job)
        return offered

    def waiting(self) -> list[tuple[TypeKey, str | None, float]]:
        """The type, the query value and the oldest job's seconds in each queue that isn't empty."""
        found = []
        for (key, value), queue in self._queues.items():
            while queue and (queue[0][1].status is not JobStatus.QUEUED or queue[0][1].withdrawn):
                heapq.heappop(queue)
            if queue:
                found.append((key, value, self.timeline.now() - queue[0][1].story[-1][0]))
        return found

    def nonce(self, job: Job) -> str:
        """The nonce of a job's present offer, or of its last one, which is still valid.

        Raises InvalidJobError if it was never offered, or has ended (unless ``behaviour`` allows
        it).
        """
        behaviour = self.behaviour()
        gone = job.told.ended and behaviour.third_party_details_of_ended != "details"
        if job.nonce is None or gone:
            raise InvalidJobError(job.id, job.told)
        return job.nonce

    def acknowledge(self, job: Job, nonce: str) -> JobStatus:
        """Acknowledge an offered job; return its status.

        If it was not acknowledged in time, its last nonce is valid until it is offered again.
        """
        behaviour = self.behaviour()
        if job.nonce != nonce:
            raise InvalidNonceError(job.id)
        if job.told.ended:
            refused = behaviour.acknowledge_of_ended != "status"
        else:
            claimed = job.status is JobStatus.IN_PROGRESS
            refused = claimed and behaviour.repeated_acknowledgment != "status"
        if refused:
            raise InvalidNonceError(job.id)
        if not job.told.ended:
            self._enter(job, JobStatus.IN_PROGRESS)
        return job.told

    def succeed(self, job: Job, result: dict[str, Any]) -> None:
        """Take a successful result. With a continuation token, the action goes on in a new job."""
        token, variables = result.get("continuationToken"), result.get("outputVariables", {})
        if token and variables:
            raise ValidationError(
                "A job can not contain both a continuation token and output variables."
            )
        texts = "".join([*variables, *variables.values()])
        if len(texts.encode("utf-8", "surrogatepass")) > OUTPUT_VARIABLES_BYTES:
            raise OutputVariablesSizeExceededError
        if not self._end(job, JobStatus.SUCCEEDED, result) or job.withdrawn:
            return
        if token is None:
            self._close(job.action)
            self.succeeded(job.action, result)
            return
        job.action.take_details(result.get("executionDetails", {}))
        if self.behaviour().timeout_counts == "job" or job.action.job_timeout:
            self._limit(job.action)
        self._create(job.action, token, self.behaviour().continuation_seconds)

    def fail(self, job: Job, result: dict[str, Any]) -> None:
        """Take a failure."""
        if not self._end(job, JobStatus.FAILED, result) or job.withdrawn:
            return
        details = result["failureDetails"]
        job.action.take_details(details)
        self._close(job.action)
        self.failed(job.action, details["type"], details["message"])

    def _create(self, action: ActionRun, token: str | None, delay: float) -> Job:
        job = Job(self._new_id(action), action, next(self._ages), token)
        self._jobs[job.id] = self._newest[action] = job
        action.job_id = job.id
        if delay > 0:
            job.deadline = self.timeline.after(delay, lambda: self._queue(job))
        else:
            self._queue(job)
        return job

    def _new_id(self, action: ActionRun) -> str:
        if action.type_id["owner"] != "ThirdParty":
            return str(uuid.uuid4())
        job_id = self.behaviour().third_party_job_ids()
        if not 1 <= len(job_id) <= THIRD_PARTY_JOB_ID_CHARACTERS or job_id in self._jobs:
            raise ValueError(f"third_party_job_ids returned an invalid or repeated id: {job_id!r}")
        return job_id

    def _queue(self, job: Job) -> None:
        if job.owner == "AWS":
            self._enter(job, JobStatus.IN_PROGRESS)
            silence = self.behaviour().lambda_silence_seconds
            job.deadline = self.timeline.after(silence, lambda: self._time_out(job.action))
            self.invoke(job)
            return
        self._enter(job, JobStatus.QUEUED)
        action_type = job.action.action_type
        queryable = action_type.queryable if action_type else None
        query_value = job.action.configuration[queryable] if queryable else None
        heapq.heappush(self._queues[(job.action.type_key, query_value)], (job.age, job))

    def _dispatch(self, job: Job) -> None:
        behaviour = self.behaviour()
        if job.nonce is None or behaviour.nonce_rotates:
            job.nonce = str(secrets.randbelow(9 * 10**17) + 10**17)
        self._enter(job, JobStatus.DISPATCHED)
        seconds = 0 if job.offer_twice else behaviour.acknowledge_seconds
        job.offer_twice = False
        job.deadline = self.timeline.after(seconds, lambda: self._queue(job))

    def _end(self, job: Job, status: JobStatus, result: dict[str, Any]) -> bool:
        """Set a job's terminal status. False: it already has this result."""
        canonical = json.dumps(result, sort_keys=True)
        if job.status is status:
            if job.result == canonical:
                return False
            raise InvalidJobStateError.differs(job.id)
        late = job.withdrawn and self.behaviour().result_after_abandonment != "accept"
        if job.status.ended or late:
            raise InvalidJobStateError.terminated(job.id)
        acknowledged = job.status is JobStatus.IN_PROGRESS
        if not acknowledged and self.behaviour().result_before_acknowledgment != "accept":
            raise InvalidJobStateError.not_acknowledged(job.id, job.status)
        job.result = canonical
        self._enter(job, status)
        return True

    def _limit(self, action: ActionRun) -> None:
        """Start an action's time limit, or restart it."""
        behaviour = self.behaviour()
        limit = {
            "Custom": behaviour.action_timeout_seconds,
            "ThirdParty": behaviour.third_party_timeout_seconds,
            "AWS": behaviour.lambda_timeout_seconds,
        }[action.type_id["owner"]]
        if action in self._timeouts:
            self._timeouts[action].cancel()
        seconds = action.job_timeout or limit
        self._timeouts[action] = self.timeline.after(seconds, lambda: self._time_out(action))

    def _time_out(self, action: ActionRun) -> None:
        self._enter(self._newest[action], JobStatus.TIMED_OUT)
        self._close(action)
        text = "The action timed out: no result came for its job in time."
        if action.type_id["owner"] == "AWS":
            text = NO_RESULT.format(action.configuration["FunctionName"])
        self.failed(action, "JobFailed", text)

    def _close(self, action: ActionRun) -> None:
        del self._newest[action]
        self._timeouts.pop(action).cancel()

    def _enter(self, job: Job, status: JobStatus) -> None:
        if job.deadline is not None:
            job.deadline.cancel()
            job.deadline = None
        job.status = status
        job.story.append((self.timeline.now(), status))
