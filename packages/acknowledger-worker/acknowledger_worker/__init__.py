"""Write what an AWS CodePipeline action does, as a function from a job to an outcome."""

from acknowledger_worker.errors import (
    ArtifactInvalid,
    AWSUnavailable,
    ConfigurationError,
    EventInvalid,
    JobCancelled,
    JobFailed,
    JobHandedBack,
    JobHeld,
    PermissionError,  # noqa: A004 - CodePipeline's name
    RevisionOutOfSync,
    RevisionUnavailable,
    SystemUnavailable,
    WorkerError,
)
from acknowledger_worker.job import Job, Pipeline
from acknowledger_worker.outcome import Continuation, Failure, Outcome, Revision, Success
from acknowledger_worker.sqs import Runner
from acknowledger_worker.worker import Worker

__all__ = [
    "AWSUnavailable",
    "ArtifactInvalid",
    "ConfigurationError",
    "Continuation",
    "EventInvalid",
    "Failure",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobHandedBack",
    "JobHeld",
    "Outcome",
    "PermissionError",
    "Pipeline",
    "Revision",
    "RevisionOutOfSync",
    "RevisionUnavailable",
    "Runner",
    "Success",
    "SystemUnavailable",
    "Worker",
    "WorkerError",
]
