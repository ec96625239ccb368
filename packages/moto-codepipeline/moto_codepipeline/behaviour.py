"""Switches for what is not known about CodePipeline outside AWS.

Most fields are a question that neither AWS's documentation nor any recording answers;
docs/behaviour.md has the evidence for each. A worker has to be right in either case, so tests run
it in both. The default is the case that is harder for it.
Limits on the number of calls or jobs are off, since any number would be invented.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


def new_third_party_job_id() -> str:
    """An id for a partner's job that is not a UUID, and not a valid name in other services."""
    return f"partner-job/{secrets.token_hex(12)}"


@dataclass
class Behaviour:
    """How this CodePipeline behaves where the real one's behavior is unknown.

    It is an attribute of the backend, and may change while jobs are in progress; a delay that has
    begun keeps its length.

    acknowledge_seconds
        How long an offered job waits for its acknowledgment before it is offered again.
    nonce_rotates
        True: every offer of a job has a new nonce, so that a slow worker loses the job to a quick
        one. False: a job keeps its nonce, so that two workers hold the same nonce.
    repeated_acknowledgment
        The same nonce a second time, as after a lost response.
        "InvalidNonceException": refused. "status": returns ``InProgress`` again.
    acknowledge_of_ended
        The acknowledgment of a job that is Succeeded, Failed or TimedOut, or whose action was
        abandoned or canceled. "InvalidNonceException": refused. "status": returns that status, or
        Failed for a job whose action was abandoned or canceled, if the nonce is right.
    result_before_acknowledgment
        A result for a job that was not acknowledged. "InvalidJobStateException": refused, and the
        job is offered again. "accept": accepted.
    result_after_abandonment
        The first result for a job whose action was abandoned or canceled. "accept": accepted
        as usual, and the action stays as it is, as was recorded for a Lambda action.
        "InvalidJobStateException": refused.
    continuation_seconds
        How long after a result with a continuation token the next job can be polled.
    batch_cap
        The largest number of jobs that a poll returns. None: as many as it asks for.
    default_batch_size
        How many jobs a poll returns if it has no ``maxBatchSize``.
    started_before_queued_seconds
        How long an action's job stays Created, and can't be polled, after the action's STARTED
        event. 0: the job can be polled when the event arrives. More: a worker that polls at the
        event gets no job.
    event_lag_seconds
        How long events take to arrive.
    events_shuffled
        True: each event takes a random time up to ``event_lag_seconds``, so that a later one may
        arrive first. False: each takes exactly that time.
    events_seed
        The seed of these random times. They start again when the seed changes: the same events with
        the same seed arrive in the same order.
    events_twice
        True: every event is delivered twice. Shuffled events have a random time for each delivery.
    throttle
        How many calls of each job operation are accepted in a second; the others get
        ThrottlingException. None: no call is throttled.
    action_timeout_seconds
        How long a custom action may wait for its job.
    third_party_timeout_seconds
        How long a partner action may wait for its job.
    lambda_timeout_seconds
        How long a Lambda action may wait for a result, over all its jobs.
    lambda_silence_seconds
        How long each invocation of a Lambda action may take to put a result.
    timeout_counts
        What the limits of custom and partner actions apply to. "action": all jobs of an action
        together. "job": each job, from its creation.
    update_under_way
        What UpdatePipeline does to executions in progress. "cancel": all are Cancelled, and their
        actions in progress are CANCELED.
        "leave": they go on with the structure that they began with.
    third_party_job_ids
        Returns the id of each new partner job: 1 to 512 characters, none twice. The default is not
        a UUID. Custom jobs always have UUIDs.
    third_party_details_of_ended
        GetThirdPartyJobDetails for a partner job that is Succeeded, Failed or TimedOut, or whose
        action was abandoned or canceled.
        "InvalidJobException": refused. "details": returned, with the nonce of its last offer.
    source_without_version
        What an S3 source action does without a version to read: the object or a bucket is missing,
        or the bucket is not versioned. "ConfigurationError": it fails. "succeed": it succeeds, and
        says in its summary and the log what is missing, so that a worker can be tried without a
        source.
    artifact_credentials_seconds
        How long a job's artifact credentials are valid.
    """

    acknowledge_seconds: float = 60
    nonce_rotates: bool = True
    repeated_acknowledgment: Literal["InvalidNonceException", "status"] = "InvalidNonceException"
    acknowledge_of_ended: Literal["InvalidNonceException", "status"] = "InvalidNonceException"
    result_before_acknowledgment: Literal["InvalidJobStateException", "accept"] = (
        "InvalidJobStateException"
    )
    result_after_abandonment: Literal["accept", "InvalidJobStateException"] = "accept"
    continuation_seconds: float = 30
    batch_cap: int | None = field(default=None, metadata={"minimum": 1})
    default_batch_size: int = field(default=1, metadata={"minimum": 1})
    started_before_queued_seconds: float = 0.3
    event_lag_seconds: float = 0
    events_shuffled: bool = False
    events_seed: int = 0
    events_twice: bool = False
    throttle: int | None = None
    action_timeout_seconds: float = 24 * 60 * 60
    third_party_timeout_seconds: float = 60 * 60
    lambda_timeout_seconds: float = 24 * 60 * 60
    lambda_silence_seconds: float = 20 * 60
    timeout_counts: Literal["action", "job"] = "action"
    update_under_way: Literal["cancel", "leave"] = "cancel"
    third_party_job_ids: Callable[[], str] = new_third_party_job_id
    third_party_details_of_ended: Literal["InvalidJobException", "details"] = "InvalidJobException"
    source_without_version: Literal["ConfigurationError", "succeed"] = "ConfigurationError"
    artifact_credentials_seconds: float = 15 * 60
