"""What nobody outside CodePipeline knows about it, as switches.

Every field is a question that neither AWS's documentation nor any recording answers. A worker has
to be right in both worlds, so tests run it in both. The default is the world that is harder on it;
what limits a number of calls or jobs is off, since any number would be made up.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


def new_third_party_job_id() -> str:
    """An id for a partner's job that is not a UUID, nor a name that other services would take."""
    return f"partner-job/{secrets.token_hex(12)}"


@dataclass
class Behaviour:
    """How this CodePipeline behaves where the real one's behaviour is unknown.

    It is an attribute of the backend and may be changed while jobs are under way; a delay that has
    begun keeps its length.

    acknowledge_seconds
        How long an offered job waits for its acknowledgment before it is offered again. That it is
        offered again is known from AWS's own worker, the time is not: 60 is a choice.
    nonce_rotates
        True: every offer of a job has a new nonce, so that a slow worker loses the job to a quick
        one. False: a job keeps its nonce, so that two workers hold the same.
    repeated_acknowledgment
        The same nonce a second time, as when the first answer got lost.
        "InvalidNonceException": refused. "status": answered with ``InProgress`` again.
    acknowledge_of_ended
        The acknowledgment of a job that is Succeeded, Failed or TimedOut, or whose action was
        abandoned or canceled. "InvalidNonceException": refused. "status": answered with that
        status, or with Failed for a job that lost its action, if the nonce is right.
    result_before_acknowledgment
        A result for a job that nobody acknowledged. "InvalidJobStateException": refused, and the
        job is offered again. "accept": taken.
    result_after_abandonment
        The first result for a job whose action was abandoned or canceled. "accept": answered as
        always, and the action stays as it is, as was recorded for a Lambda action.
        "InvalidJobStateException": refused.
    continuation_seconds
        How long after a result with a continuation token the next job can be polled. 30 is
        documented for Lambda actions (27.85 were measured), nothing is known for custom actions.
    batch_cap
        The largest number of jobs in one answer. None: as many as were asked for.
    default_batch_size
        How many jobs one answer has if ``maxBatchSize`` is not given.
    started_before_queued_seconds
        How long an action's job stays Created, not to be polled, after the action's STARTED event.
        0: the job is there when the event arrives. More: a worker that polls at the event finds
        nothing. That there is such a time is what AWS's samples expect; how long is a choice.
    event_lag_seconds
        How long events are under way. 2 to 11 were recorded.
    events_shuffled
        True: each event is under way for a time of its own, at random up to ``event_lag_seconds``,
        so that a later one may come first, as was recorded. False: for exactly that time.
    events_seed
        Which random times these are. They start again when the seed changes: the same events with
        the same seed come in the same order.
    events_twice
        True: every event is delivered twice, as at-least-once delivery allows. Shuffled ones have a
        time for each delivery.
    throttle
        Calls of each job operation that are answered in a second; the others get
        ThrottlingException. None: all are answered. The real quotas are unknown.
    action_timeout_seconds
        How long a custom action may wait for its job. 24 hours are documented (2023).
    third_party_timeout_seconds
        How long a partner action may wait for its job. That page names no partner actions; "all
        other actions" have one hour.
    lambda_timeout_seconds
        How long a Lambda action may wait for a result, over all its jobs. 24 hours are documented.
    lambda_silence_seconds
        How long each invocation of a Lambda action may take to put a result. 20 minutes are
        documented.
    timeout_counts
        What those two limits are for. "action": all jobs of an action together. "job": each of
        them, from when it is made.
    update_under_way
        What UpdatePipeline does to executions under way. "cancel": all are Cancelled, and their
        actions in progress are CANCELED, as is documented; which executions that concerns is not.
        "leave": they go on by the structure that they began with.
    third_party_job_ids
        Makes the id of each partner job: 1 to 512 characters, none twice. The service model
        contradicts itself: every request takes any 1 to 512 characters, but the answer of
        PollForThirdPartyJobs has a UUID. The default is no UUID. Custom jobs always have UUIDs.
    third_party_details_of_ended
        GetThirdPartyJobDetails for a partner job that is Succeeded, Failed or TimedOut, or whose
        action was abandoned or canceled.
        "InvalidJobException": refused. "details": answered, with the nonce of its last offer.
    source_without_version
        What an S3 source action does without a version to read: the object or a bucket is missing,
        or the bucket is not versioned. "ConfigurationError": it fails, as was recorded of a missing
        object. "succeed": it succeeds with what there is, and says so in its summary and the log,
        so that a worker can be tried without a source.
    artifact_credentials_seconds
        How long a job's artifact credentials are good for. AWS's Jenkins plugin counts on 15
        minutes, and 896 seconds were recorded for Lambda actions.
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
