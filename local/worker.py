"""The sample worker, which does what the action's configuration says, and the user's own worker.

The sample worker is an ordinary worker with acknowledger-worker: a function from a job to its
outcome, and a rule on the JobBus that sends jobs to its queue.
"""

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
from local.aws import isolation
from local.aws.server import one_core

logger = logging.getLogger("acknowledger_worker")

JOBS_AT_ONCE = 32
#: How long to wait for the last log lines of a worker that has ended.
LOG_SECONDS = 1
#: After a worker has run this long, the pause before its restart is the shortest again.
STEADY_SECONDS = 60
# Jobs with the Outcome Hang reach no worker, so they get no result and no heartbeats.
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
        ("Outcome", "Succeed, Fail or Hang; default: Succeed", False),
        ("Seconds", "How many seconds the sample worker takes; default: 0", False),
        (
            "Progress",
            "How many times the sample worker reports progress; default: 0",
            False,
        ),
        ("Input", "Input of your worker; the sample worker ignores it", False),
        ("Password", "A secret of your worker; the sample worker ignores it", True),
        ("AcknowledgeTimeoutSeconds", "A shorter time limit to acknowledge the job", False),
        ("HeartbeatTimeoutSeconds", "A shorter time limit between two heartbeats", False),
        ("JobTimeoutSeconds", "A shorter time limit for the whole job", False),
    )
]


def sample(job: Job) -> Success:
    """Work for `Seconds`, report progress `Progress` times, then end as `Outcome` says."""
    outcome = job.configuration.get("Outcome", "Succeed")
    seconds = job.configuration.get("Seconds", "0")
    progress = job.configuration.get("Progress", "0")
    if outcome not in ("Succeed", "Fail") or not (seconds + progress).isdigit():
        raise ConfigurationError(
            "Outcome must be Succeed, Fail or Hang; Seconds and Progress must be whole numbers"
        )
    steps = int(progress) + 1
    for step in range(1, steps + 1):
        job.wait(int(seconds) / steps)
        if step < steps:
            percent = 100 * step // steps
            job.progress(percent, f"The sample worker is {percent} % done", job.id)
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

    The action's configuration decides what happens to a job: `Outcome` is Succeed, Fail, or Hang,
    which sends neither a result nor heartbeats; `Seconds` is how long the job takes; `Progress` is
    how many times the worker reports progress.

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
        """Create the rule that sends jobs to the queue, and begin to take jobs."""
        self._feed()
        watched.worker.begin("sample")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)
        with one_core():
            self._thread.start()

    def stop(self) -> None:
        """Take no more jobs, and return unfinished ones to the queue."""
        self._runner.stop()
        self._thread.join(timeout=10)
        logger.removeHandler(self._log)
        logger.setLevel(logging.NOTSET)


class WorkerProcess:
    """A user's worker in a separate process, which reloads when the worker's code changes.

    The process is restarted whenever it ends by itself.

    Args:
        worker: the worker, as `module:name`.
        client: makes a boto3 client of a service.
        bus_name: the JobBus.
        environment: variables in addition to those of this process.
        say: is called with a sentence when the worker ends, when it restarts, and when its code
            can't be imported; with "" once the code can be imported again.
        pauses: seconds before the first restart, the second and so on.
        stop_seconds: how long `stop` waits for the worker to end before it kills it.
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
        """Create the rule that sends jobs to the queue, and start the process."""
        self._feed()
        watched.worker.begin("yours")
        self._keeper.start()

    def stop(self) -> None:
        """End the process. It has `stop_seconds` to finish its jobs or to return them."""
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
            # A child process of the worker may outlive it, and keep the log open.
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
            self._say(f"{told} It restarts in {pause} s.")
            if self._stopped.wait(pause):
                return
            self._say(f"{told} It restarted at {time.strftime('%H:%M:%S')}.")

    def _begin(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped.is_set():
                return None
            # In its own session, since Ctrl-C is for this process, which then ends the worker.
            self._process = subprocess.Popen(  # noqa: S603 - the user's own worker
                [*isolation.module("acknowledger_worker"), self._worker, "--reload"],
                env=self._environment,
                start_new_session=True,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            return self._process

    def _copy_log(self, process: subprocess.Popen[str]) -> None:
        """Print and keep the worker's log until it ends."""
        assert process.stderr  # noqa: S101 - it is a pipe
        waits, takes = (f"{self._worker} takes {what}" for what in ("no jobs until ", "jobs\n"))
        with process.stderr:
            for line in process.stderr:
                watched.worker.add(line.rstrip("\n"))
                begins = line.find(waits)
                if begins >= 0:
                    watched.worker.ended = line[begins:].rstrip("\n") + "."
                    self._say(watched.worker.ended)
                    continue
                if watched.worker.ended and line.endswith(takes):
                    watched.worker.ended = ""
                    self._say("")
                sys.stderr.write(line)
                sys.stderr.flush()


def feed(
    client: Callable[[str], Any], bus_name: str, queue: str, configuration: Mapping[str, Any]
) -> None:
    """Create the rule that sends jobs to a queue.

    Args:
        configuration: an event pattern for the action's configuration; {} matches all.
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
