"""The sample worker: does what the action's configuration says.

It is a worker as anyone would write one with acknowledger-worker: a function from a job to its
outcome, and a rule on the JobBus that feeds the queue from which it takes jobs.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from acknowledger_worker import ConfigurationError, Job, JobFailed, Runner, Success, Worker
from local import watched
from local.aws.server import one_core

logger = logging.getLogger("acknowledger_worker")

JOBS_AT_ONCE = 32
#: How long the last lines of a worker that has ended are waited for.
LOG_SECONDS = 1
#: A worker that ran this long before it ended is restarted without a longer pause.
STEADY_SECONDS = 60
# A job that is to Hang reaches no worker, so that nobody answers it or gives a sign of life.
NOT_TO_HANG = {"Outcome": [{"anything-but": "Hang"}, {"exists": False}]}
CONFIGURATION_PROPERTIES: list[dict[str, Any]] = [
    {
        "name": name,
        "description": description,
        "required": False,
        "key": not secret,
        "secret": secret,
    }
    for name, description, secret in (
        ("Outcome", "Succeed, Fail or Hang; Succeed if left out", False),
        ("Seconds", "How long the sample worker takes; 0 if left out", False),
        (
            "Progress",
            "How many times the sample worker reports progress; 0 if left out",
            False,
        ),
        ("Input", "Whatever your worker reads; the sample worker needs none", False),
        ("Password", "Something secret; the sample worker needs none", True),
        ("AcknowledgeTimeoutSeconds", "Less than the stack's limit for acknowledging", False),
        ("HeartbeatTimeoutSeconds", "Less than the stack's limit between two heartbeats", False),
        ("JobTimeoutSeconds", "Less than the stack's limit for the whole job", False),
    )
]


def sample(job: Job) -> Success:
    """Take `Seconds`, tell `Progress` so many times, and then Succeed or Fail: the `Outcome`."""
    outcome = job.configuration.get("Outcome", "Succeed")
    seconds = job.configuration.get("Seconds", "0")
    progress = job.configuration.get("Progress", "0")
    if outcome not in ("Succeed", "Fail") or not (seconds + progress).isdigit():
        raise ConfigurationError(
            "Outcome must be Succeed, Fail or Hang; Seconds and Progress whole numbers"
        )
    steps = int(progress) + 1
    for step in range(1, steps + 1):
        job.wait(int(seconds) / steps)
        if step < steps:
            percent = 100 * step // steps
            job.progress(percent, f"The sample worker has done {percent} %", job.id)
    if outcome == "Fail":
        raise JobFailed("Failed because the action's configuration says so")
    return Success(
        summary=f"The sample worker took {seconds} seconds",
        external_execution_id=job.id,
        percent_complete=100,
        # Partner actions have no output variables.
        output_variables={} if job.client_id else {"WorkedBy": "sample-worker"},
        allow_missing_outputs=True,
    )


class SampleWorker:
    """Takes jobs from the JobBus until it is stopped.

    The action's configuration says what becomes of a job: `Outcome` is Succeed, Fail, or Hang,
    which never answers and gives no sign of life; `Seconds` is how long it takes; `Progress` how
    many times it tells meanwhile how far it is.

    Args:
        client: makes a boto3 client of a service.
        bus_name: the JobBus.
    """

    def __init__(self, client: Callable[[str], Any], bus_name: str) -> None:
        self._runner = Runner(
            Worker(sample, job_bus_name=bus_name, client=client),
            client("sqs").create_queue(QueueName="sample-worker")["QueueUrl"],
            jobs_at_once=JOBS_AT_ONCE,
            stop_seconds=0,
            wait_seconds=1,
            client=client,
        )
        self._feed = partial(feed, client, bus_name, "sample-worker", NOT_TO_HANG)
        self._thread = threading.Thread(target=self._runner.run, name="sample-worker", daemon=True)
        self._log = watched.Keeping(watched.worker)

    def start(self) -> None:
        """Make the rule that feeds the queue, and begin to take jobs."""
        self._feed()
        watched.worker.begin("sample")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)
        with one_core():
            self._thread.start()

    def stop(self) -> None:
        """Take no more jobs, and hand back those in hand."""
        self._runner.stop()
        self._thread.join(timeout=10)
        logger.removeHandler(self._log)
        logger.setLevel(logging.NOTSET)


class WorkerProcess:
    """A worker of yours, in a process of its own, which restarts when its code changes.

    It is started again whenever it ends by itself.

    Args:
        worker: where it is, as `module:name`.
        client: makes a boto3 client of a service.
        bus_name: the JobBus.
        environment: what the process has beside this one's.
        say: is told in words that it ended, and that it was started again.
        pauses: seconds before it is started again the first time, the second and so on.
        stop_seconds: how long it has to end once it is to; then it is killed.
    """

    def __init__(
        self,
        worker: str,
        client: Callable[[str], Any],
        bus_name: str,
        environment: Mapping[str, str],
        *,
        say: Callable[[str], object],
        pauses: Sequence[float] = (1, 2, 5, 10, 30),
        stop_seconds: float = 30,
    ) -> None:
        self._worker = worker
        url = client("sqs").create_queue(QueueName="worker")["QueueUrl"]
        self._environment = {**os.environ, "QUEUE_URL": url, "JOB_BUS_NAME": bus_name}
        self._environment |= environment
        self._feed = partial(feed, client, bus_name, "worker", {})
        self._say = say
        self._pauses = pauses
        self._stop_seconds = stop_seconds
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="worker", daemon=True)

    def start(self) -> None:
        """Make the rule that feeds the queue, and start the process."""
        self._feed()
        watched.worker.begin("yours")
        self._keeper.start()

    def stop(self) -> None:
        """Let it finish, or hand back, what it has, for some seconds."""
        with self._lock:
            self._stopped.set()
            if self._process:
                self._process.terminate()
        self._keeper.join(self._stop_seconds)
        if self._process and self._keeper.is_alive():
            self._process.kill()
        self._keeper.join()

    def _keep(self) -> None:
        ended = 0
        while process := self._begin():
            began = time.monotonic()
            watched.worker.ended = ""
            # A program that it has begun may outlive it, and keep its log open.
            copier = threading.Thread(target=self._copy_log, args=(process,), daemon=True)
            copier.start()
            status = process.wait()
            copier.join(LOG_SECONDS)
            if self._stopped.is_set():
                return
            steady = time.monotonic() - began > STEADY_SECONDS
            pause = self._pauses[0 if steady else min(ended, len(self._pauses) - 1)]
            ended = 1 if steady else ended + 1
            how = f"status {status}" if status >= 0 else signal.strsignal(-status)
            told = watched.worker.ended = f"The worker {self._worker} ended ({how})."
            self._say(f"{told} It is started again in {pause} s.")
            if self._stopped.wait(pause):
                return
            self._say(f"{told} It was started again at {time.strftime('%H:%M:%S')}.")

    def _begin(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped.is_set():
                return None
            # Ctrl-C is for us, and we tell it.
            self._process = subprocess.Popen(  # noqa: S603 - whose it is
                [sys.executable, "-m", "acknowledger_worker", self._worker, "--reload"],
                env=self._environment,
                start_new_session=True,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            return self._process

    @staticmethod
    def _copy_log(process: subprocess.Popen[str]) -> None:
        """Print what it logs, and keep it, until it ends."""
        assert process.stderr  # noqa: S101 - as it was begun
        with process.stderr:
            for line in process.stderr:
                sys.stderr.write(line)
                sys.stderr.flush()
                watched.worker.add(line.rstrip("\n"))


def feed(
    client: Callable[[str], Any], bus_name: str, queue: str, configuration: Mapping[str, Any]
) -> None:
    """Make the rule that feeds a queue with jobs.

    Args:
        configuration: a pattern for the action's configuration.
    """
    sqs, events = client("sqs"), client("events")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    pattern: dict[str, Any] = {"source": ["acknowledger"], "detail-type": ["Job In Progress"]}
    if configuration:
        data = {"actionConfiguration": {"configuration": configuration}}
        pattern["detail"] = {"job": {"data": data}}
    events.put_rule(Name=queue, EventBusName=bus_name, EventPattern=json.dumps(pattern))
    targets = [{"Id": "queue", "Arn": answer["Attributes"]["QueueArn"]}]
    events.put_targets(Rule=queue, EventBusName=bus_name, Targets=targets)
