"""A worker: calls its function with a delivered job, and reports the outcome to Step Functions."""

import logging
import math
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from acknowledger_worker import aws, errors
from acknowledger_worker.aws import CLAIM_SECONDS, Claim, JobServices, Task
from acknowledger_worker.errors import JobCancelled, JobFailed, JobHandedBack, JobHeld, WorkerError
from acknowledger_worker.job import Delivery, Job, parse
from acknowledger_worker.masking import masked_log
from acknowledger_worker.outcome import Failure, Outcome, Success, checked, failure

logger = logging.getLogger(__package__)
#: The id of the job whose function runs in this context.
running: ContextVar[str] = ContextVar("running", default="")

Function = Callable[[Job], Outcome | None]

_OUT_OF_TIME = Failure("JobFailed", "The worker's Lambda function is about to time out")


class Worker:
    """Runs jobs with a function. It is also a handler for a Lambda function.

    Returning means success, raising means failure, and returning a `Continuation` asks for another
    job later. Heartbeats are sent automatically while the function works. If the job ends during
    that, it is cancelled: its `cancelled` is set, its methods raise `JobCancelled`, and what the
    function then returns or raises is ignored.

    A repeated delivery of a job is ignored if the job has been answered or runs in this process;
    with the table, also if it runs anywhere else.

    Args:
        function: from a job to its outcome.
        job_table_name: JobTable, for claims; by default the environment's JOB_TABLE_NAME.
        job_bus_name: JobBus, for progress; by default JOB_BUS_NAME.
        client_token_prefix: the path of partners' client tokens in Parameter Store; by default
            CLIENT_TOKEN_PREFIX.
        client: creates the boto3 client of a service.
    """

    def __init__(
        self,
        function: Function,
        *,
        job_table_name: str | None = None,
        job_bus_name: str | None = None,
        client_token_prefix: str | None = None,
        client: aws.Client = aws.client,
    ) -> None:
        self._function = function
        self._job_table_name = job_table_name or os.environ.get("JOB_TABLE_NAME")
        self._job_bus_name = job_bus_name or os.environ.get("JOB_BUS_NAME")
        self._client_token_prefix = client_token_prefix or os.environ.get("CLIENT_TOKEN_PREFIX")
        self._client = client
        self._in_hand: dict[str, Job | None] = {}
        self._handing_back = False
        self._lock = threading.Lock()

    def __call__(self, event: Any, context: Any) -> None:
        """Handle an invocation of a Lambda function that is the target of a rule on JobBus.

        Shortly before the Lambda function's timeout, the job fails and is cancelled.

        Raises:
            as `deliver`; Lambda then tries again.
        """
        seconds = context.get_remaining_time_in_millis() / 1000
        self.deliver(event, deadline=time.monotonic() + seconds - min(5, seconds / 10))

    def deliver(
        self, event: Any, *, deadline: float | None = None, keep: Callable[[], None] | None = None
    ) -> None:
        """Run a job to its end.

        Args:
            event: a `Job In Progress` event.
            deadline: in the time of `time.monotonic()`, when the job fails if it isn't done.
            keep: called as often as the claim is renewed.

        Raises:
            EventInvalid
            JobHeld, JobHandedBack, AWSUnavailable: it should be delivered again.
            PermissionError: not even the job's failure can be reported.
        """
        delivery = parse(event)
        with self._lock:
            if delivery.job_id in self._in_hand:
                raise JobHeld(f"job {delivery.job_id} is being processed by this process")
            self._in_hand[delivery.job_id] = None
        try:
            self._deliver(delivery, deadline, keep)
        except JobCancelled as reason:
            logger.info("job %s: %s", delivery.job_id, reason)
        finally:
            with self._lock:
                del self._in_hand[delivery.job_id]

    def hand_back(self) -> None:
        """Cancel current jobs, so that they are delivered again, and run no more."""
        with self._lock:
            self._handing_back = True
            jobs = list(self._in_hand.values())
        for job in jobs:
            if job:
                job.cancel("the worker stops")

    def _deliver(
        self, delivery: Delivery, deadline: float | None, keep: Callable[[], None] | None
    ) -> None:
        task = Task(delivery, self._client)
        claim = Claim(delivery.job_id, self._client, self._job_table_name)
        task.heartbeat()
        try:
            claim.take()
        except errors.PermissionError as error:
            task.fail(failure(error))
            return
        services = JobServices(
            delivery,
            self._client,
            self._job_bus_name,
            self._client_token_prefix,
            claim.current_job_id,
        )
        with tempfile.TemporaryDirectory(prefix="job-", ignore_cleanup_errors=True) as folder:
            job = Job(delivery, services, Path(folder))
            with self._lock:
                self._in_hand[delivery.job_id] = job
                handing_back = self._handing_back
            if handing_back:
                claim.release()
                raise JobHandedBack(f"job {job.id} is handed back")
            kept = CLAIM_SECONDS / 3
            beats = {
                task.heartbeat: min(delivery.heartbeat_timeout_seconds / 3, kept),
                claim.keep: kept,
                **({keep: kept} if keep else {}),
            }
            with _Heart(job, task, beats, deadline) as heart:
                ended = work(self._function, job)
                if heart.held:
                    raise heart.held
                if self._handing_back and job.cancelled.is_set():
                    claim.release()
                    raise JobHandedBack(f"job {job.id} is handed back")
                job.check()
                if isinstance(ended, Failure):
                    task.fail(ended)
                else:
                    task.succeed(ended)
                logger.info("job %s: %s", job.id, type(ended).__name__)


def work(function: Function, job: Job) -> Outcome | Failure:
    """The outcome of a function for a job."""
    with masked_log(partial(job.mask, where="the log")):
        told = running.set(job.id)
        try:
            outcome = checked(function(job), partial(job.mask, where="its result"))
            _check_outputs(job, outcome)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the job fails with it
            made = failure(error, partial(job.mask, where="its failure"))
            if not job.cancelled.is_set():
                if isinstance(error, JobFailed):
                    logger.info("job %s: %s: %s", job.id, made.type, made.message)
                else:
                    logger.warning("job %s\n%s", job.id, traceback.format_exc())
            return made
        finally:
            running.reset(told)
        return outcome


def _check_outputs(job: Job, outcome: Outcome) -> None:
    # If this job continues another, that one may have uploaded them.
    if job.continuation_token is not None or not isinstance(outcome, Success):
        return
    if job.missing and not outcome.allow_missing_outputs:
        raise JobFailed(f"output artifacts were not uploaded: {', '.join(job.missing)}")


@dataclass(eq=False)
class _Heart:
    """Sends heartbeats while a job runs, and cancels the job when nobody waits for it.

    Args:
        beats: functions and their intervals in seconds. JobCancelled and JobHeld end the job.
        deadline: in the time of `time.monotonic()`, when the job fails.
    """

    job: Job
    task: Task
    beats: Mapping[Callable[[], None], float]
    deadline: float | None
    held: JobHeld | None = field(default=None, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def __enter__(self) -> Self:
        name = f"heart of {self.job.id}"
        threading.Thread(target=self._run, name=name, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def _run(self) -> None:
        now = time.monotonic()
        end = math.inf if self.deadline is None else self.deadline
        due = {beat: now + interval for beat, interval in self.beats.items()}
        while not self.job.cancelled.is_set():
            left = min(end, *due.values()) - time.monotonic()
            if self._stopped.wait(max(0, left)):
                return
            if time.monotonic() >= end:
                self._do(lambda: self.task.fail(_OUT_OF_TIME))
                self.job.cancel(_OUT_OF_TIME.message)
                return
            for beat, at in due.items():
                if at <= time.monotonic():
                    self._do(beat)
                    due[beat] = time.monotonic() + self.beats[beat]

    def _do(self, beat: Callable[[], None]) -> None:
        try:
            beat()
        except JobCancelled as reason:
            self.job.cancel(str(reason))
        except JobHeld as held:
            self.held = held
            self.job.cancel(str(held))
        except WorkerError as error:
            logger.warning("job %s: %s", self.job.id, error)
