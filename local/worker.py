"""The sample worker: does what the action's configuration says.

It is a worker as anyone would write one: a rule on the JobBus feeds an SQS queue, the worker takes
jobs from the queue and answers Step Functions with the task token.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

logger = logging.getLogger(__name__)

JOBS_AT_ONCE = 32
CONFIGURATION_PROPERTIES: list[dict[str, Any]] = [
    {
        "name": name,
        "description": description,
        "required": False,
        "key": not secret,
        "secret": secret,
    }
    for name, description, secret in (
        ("Outcome", "Succeed, Fail or Hang; Succeed when left out", False),
        ("Seconds", "How long the sample worker takes; 0 when left out", False),
        (
            "Progress",
            "How many times the sample worker tells how far it is; 0 when left out",
            False,
        ),
        ("Password", "Something secret; the sample worker needs none", True),
        ("AcknowledgeTimeoutSeconds", "Less than the stack's limit for acknowledging", False),
        ("HeartbeatTimeoutSeconds", "Less than the stack's limit between two heartbeats", False),
        ("JobTimeoutSeconds", "Less than the stack's limit for the whole job", False),
    )
]


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
        self._sqs = client("sqs")
        self._events = client("events")
        self._step_functions = client("stepfunctions")
        self._bus_name = bus_name
        self._queue_url = ""
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(JOBS_AT_ONCE, thread_name_prefix="sample-worker")
        self._receiver = threading.Thread(target=self._receive, name="sample-worker", daemon=True)

    def start(self) -> None:
        """Make the queue and the rule that feeds it, and begin to take jobs."""
        self._queue_url = self._sqs.create_queue(QueueName="sample-worker")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        pattern = {"source": ["acknowledger"], "detail-type": ["Job In Progress"]}
        self._events.put_rule(
            Name="sample-worker", EventBusName=self._bus_name, EventPattern=json.dumps(pattern)
        )
        self._events.put_targets(
            Rule="sample-worker",
            EventBusName=self._bus_name,
            Targets=[{"Id": "queue", "Arn": arn}],
        )
        self._receiver.start()

    def stop(self) -> None:
        """Take no more jobs and drop those in hand."""
        self._stopped.set()
        self._receiver.join(timeout=10)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _receive(self) -> None:
        while not self._stopped.is_set():
            answer = self._sqs.receive_message(
                QueueUrl=self._queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            for message in answer.get("Messages", []):
                self._sqs.delete_message(
                    QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
                self._pool.submit(self._work, json.loads(message["Body"])["detail"])

    def _work(self, detail: dict[str, Any]) -> None:
        job_id, task_token = detail["jobId"], detail["taskToken"]
        try:
            self._answer(detail)
        except (
            self._step_functions.exceptions.TaskTimedOut,
            self._step_functions.exceptions.TaskDoesNotExist,
            self._step_functions.exceptions.InvalidToken,
        ):
            logger.info("job %s has ended meanwhile", job_id)
        except Exception as error:
            logger.exception("job %s", job_id)
            self._step_functions.send_task_failure(
                taskToken=task_token, error="JobFailed", cause=str(error)
            )

    def _answer(self, detail: dict[str, Any]) -> None:
        task_token = detail["taskToken"]
        configuration = (
            detail["job"]["data"].get("actionConfiguration", {}).get("configuration", {})
        )
        outcome = configuration.get("Outcome", "Succeed")
        seconds = configuration.get("Seconds", "0")
        progress = configuration.get("Progress", "0")
        if outcome not in ("Succeed", "Fail", "Hang") or not (seconds + progress).isdigit():
            self._step_functions.send_task_failure(
                taskToken=task_token,
                error="ConfigurationError",
                cause="Outcome must be Succeed, Fail or Hang; Seconds and Progress whole numbers",
            )
            return
        if outcome == "Hang":
            return
        steps = int(progress) + 1
        for step in range(1, steps + 1):
            self._take_time(task_token, int(seconds) / steps, detail["heartbeatTimeoutSeconds"] / 3)
            if step < steps:
                self._tell_progress(detail["jobId"], 100 * step // steps)
        if self._stopped.is_set():
            return
        if outcome == "Fail":
            self._step_functions.send_task_failure(
                taskToken=task_token,
                error="JobFailed",
                cause="Failed because the action's configuration says so",
            )
            return
        result: dict[str, Any] = {
            "executionDetails": {
                "summary": f"The sample worker took {seconds} seconds",
                "externalExecutionId": detail["jobId"],
                "percentComplete": 100,
            },
        }
        if "clientId" not in detail["job"]:  # partner actions have no output variables
            result["outputVariables"] = {"WorkedBy": "sample-worker"}
        self._step_functions.send_task_success(taskToken=task_token, output=json.dumps(result))

    def _tell_progress(self, job_id: str, percent: int) -> None:
        detail = {
            "jobId": job_id,
            "percentComplete": percent,
            "summary": f"The sample worker has done {percent} %",
            "externalExecutionId": job_id,
        }
        entry = {
            "EventBusName": self._bus_name,
            "Source": "sample-worker",
            "DetailType": "Job Progress",
            "Detail": json.dumps(detail),
        }
        self._events.put_events(Entries=[entry])

    def _take_time(self, task_token: str, seconds: float, between_heartbeats: float) -> None:
        while seconds > between_heartbeats:
            if self._stopped.wait(between_heartbeats):
                return
            seconds -= between_heartbeats
            self._step_functions.send_task_heartbeat(taskToken=task_token)
        self._stopped.wait(seconds)
