"""How jobs ended, from every point of view, for tests that inject faults.

`Witness` reads the state inside the local stack without requests, so that it has no side effects.
`CarefulWorker` is a worker that does no job twice: it remembers, by the job's id, what it has done.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends
from moto.stepfunctions.parser import models as stepfunctions_models

import moto_codepipeline
from local import acknowledger
from local.aws import dynamodb, functions
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from moto_codepipeline.jobs import Job
from tests.support import wait_for

IN_FLIGHT = ("Created", "Queued", "Dispatched", "InProgress")
FUNCTIONS = ("Intake", "Acknowledge", "Report", "Stop")

_ID = re.compile(r"partner-job/[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Execution:
    """One execution of the state machine.

    path: the names of the states that it entered.
    waits: whether it waits with a task token.
    """

    name: str
    status: str
    error: str | None
    cause: str | None
    output: Any
    path: list[str]
    job_id: str
    waits: bool = False


@dataclass
class Work:
    """What a worker knows of one job.

    tokens: the task tokens that came with it, one for each time that it was sent to the worker.
    times: how often the worker has worked on it.
    answer: "Succeed", "Fail" or "Hang".
    accepted: whether Step Functions accepted the answer.
    """

    tokens: list[str] = field(default_factory=list)
    times: int = 0
    answer: str = ""
    accepted: bool = False


class CarefulWorker:
    """Works on each job once, however often it is sent, and answers every task token.

    `Outcome` in the action's configuration decides how it ends, as with the sample worker. The
    answers contain the job's id.
    """

    def __init__(self, cloud: LocalCloud, stack: Stack) -> None:
        self.jobs: dict[str, Work] = defaultdict(Work)
        self._step_functions = cloud.client("stepfunctions")
        self._sqs = sqs_backends[cloud.account_id][cloud.region]
        self._queue = self._sqs.create_queue("careful-worker", {})
        events, bus = cloud.client("events"), stack.outputs["JobBusName"]
        pattern = {"source": ["acknowledger"], "detail-type": ["Job In Progress"]}
        events.put_rule(Name="careful-worker", EventBusName=bus, EventPattern=json.dumps(pattern))
        targets = [{"Id": "queue", "Arn": self._queue.queue_arn}]
        events.put_targets(Rule="careful-worker", EventBusName=bus, Targets=targets)
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="careful-worker")
        self._stopped = threading.Event()
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def stop(self) -> None:
        """Stop taking jobs."""
        self._stopped.set()
        self._receiver.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _receive(self) -> None:
        while not self._stopped.wait(0.01):
            for message in self._sqs.receive_message("careful-worker", 10, 0, 30, ["All"]):
                self._sqs.delete_message("careful-worker", message.receipt_handle or "")
                self._pool.submit(self._work, json.loads(message.body)["detail"])

    def _work(self, detail: dict[str, Any]) -> None:
        job_id, token = detail["jobId"], detail["taskToken"]
        configuration = detail["job"]["data"].get("actionConfiguration", {})
        with self._lock:
            work = self.jobs[job_id]
            work.tokens.append(token)
            if not work.answer:
                work.times += 1
                work.answer = configuration.get("configuration", {}).get("Outcome", "Succeed")
        self._answer(job_id, work, token)

    def succeed(self, job_id: str) -> None:
        """End a job that hangs."""
        work = self.jobs[job_id]
        if work.answer == "Hang":
            work.answer = "Succeed"
            for token in work.tokens:
                self._answer(job_id, work, token)
            if not work.accepted:
                work.answer = "Hang"

    def _answer(self, job_id: str, work: Work, token: str) -> None:
        errors = self._step_functions.exceptions
        with suppress(errors.TaskTimedOut, errors.TaskDoesNotExist, errors.InvalidToken):
            if work.answer == "Succeed":
                result = {"executionDetails": {"externalExecutionId": job_id}}
                self._step_functions.send_task_success(taskToken=token, output=json.dumps(result))
                work.accepted = True
            elif work.answer == "Fail":
                self._step_functions.send_task_failure(
                    taskToken=token, error="JobFailed", cause=f"{job_id} could not be done"
                )
                work.accepted = True


def ids_in(text: str) -> list[str]:
    """Everything in a text that could be the id of a job or of a CodePipeline execution."""
    return _ID.findall(text)


class Witness:
    """Reads what the stack, CodePipeline and Step Functions know about every job."""

    def __init__(self, cloud: LocalCloud, stack: Stack) -> None:
        self.cloud = cloud
        self.stack = stack
        self.emulator = moto_codepipeline.backend(cloud.account_id, cloud.region)

    def start(self, pipeline: str, action_type: str, actions: list[dict[str, Any]]) -> None:
        """Create a pipeline with these actions, by default of this type, and start it."""
        role = f"arn:aws:iam::{self.cloud.account_id}:role/{acknowledger.PIPELINE_ROLE}"
        structure = acknowledger.pipeline(pipeline, action_type, {"Build": actions}, role)
        client = self.cloud.client("codepipeline")
        client.create_pipeline(pipeline=structure)
        client.start_pipeline_execution(name=pipeline)

    def jobs(self) -> list[Job]:
        """All jobs that CodePipeline has ever created."""
        with self.emulator.step():
            return list(self.emulator._board._jobs.values())

    def job_of(self, pipeline: str) -> Job:
        """The newest job of a pipeline."""
        found = [job for job in self.jobs() if job.action.run.pipeline_name == pipeline]
        return found[-1]

    def rows(self) -> dict[str, dict[str, Any]]:
        """JobTable by job id, as plain values."""
        backend = dynamodb_backends[self.cloud.account_id][self.cloud.region]
        table = backend.tables[self.stack.outputs["JobTableName"]]
        with dynamodb.lock:
            items = [item.to_json()["Attributes"] for item in table.all_items()]
        return {item["jobId"]["S"]: item for item in items}

    def make_due(self) -> None:
        """Make the jobs in flight due, so that the next sweep checks them."""
        client = self.cloud.client("dynamodb")
        for job_id, row in self.rows().items():
            if row["status"]["S"] in IN_FLIGHT or "unannounced" in row:
                with suppress(client.exceptions.ConditionalCheckFailedException):
                    client.update_item(
                        TableName=self.stack.outputs["JobTableName"],
                        Key={"jobId": {"S": job_id}},
                        UpdateExpression="SET dueAt = :now",
                        ConditionExpression="dueAt = :then",
                        ExpressionAttributeValues={":now": {"S": "2000"}, ":then": row["dueAt"]},
                    )

    def in_flight(self) -> int:
        """How many rows are in flight, or ended and not announced yet."""
        rows = self.rows().values()
        return sum(row["status"]["S"] in IN_FLIGHT or "unannounced" in row for row in rows)

    def executions(self) -> dict[str, list[Execution]]:
        """The executions of each job, the oldest first."""
        found = defaultdict(list)
        for execution in self.executions_in_order():
            found[execution.job_id].append(execution)
        return dict(found)

    def executions_in_order(self, of: str = "") -> list[Execution]:
        """All executions, or those whose input contains a text, the oldest first."""
        return [told(one) for one in self._executions() if of in one.execution_input]

    def running(self) -> list[Any]:
        """Moto's executions that run, or have ended without having put their event yet."""
        return [execution for execution in self._executions() if not execution._ended.is_set()]

    def running_executions(self) -> list[Execution]:
        """The same as `Execution`s."""
        return list(map(told, self.running()))

    def _executions(self) -> list[Any]:
        backends = stepfunctions_models.stepfunctions_parser_backends
        backend: Any = backends[self.cloud.account_id][self.cloud.region]
        return list(backend._executions.values())

    def letters(self) -> dict[str, list[tuple[str, str]]]:
        """The messages in the functions' dead-letter queues: event and reason."""
        sqs = sqs_backends[self.cloud.account_id][self.cloud.region]
        letters: dict[str, list[tuple[str, str]]] = {name: [] for name in FUNCTIONS}
        for function, found in letters.items():
            queue = sqs.get_queue(
                self.stack.outputs[f"{function}DeadLettersUrl"].rpartition("/")[2]
            )
            # Receiving them takes moto quadratic time.
            for message in list(queue._messages):
                why = message.message_attributes
                reason = why.get("ErrorMessage", why.get("ERROR_MESSAGE", {}))
                found.append((message.body, str(reason.get("string_value", ""))))
        return letters

    def idle(self) -> bool:
        """Whether no function runs or has an event waiting."""
        return functions.runner().wait_until_idle(0)

    def settle(self, seconds: float, waiting: int = 0) -> None:
        """Wait until nothing changes any more; `waiting` executions may still run."""

        def quiet() -> bool:
            return self.idle() and len(self.running()) <= waiting and self.idle()

        wait_for(quiet, "all activity to end", seconds)


def told(execution: Any) -> Execution:
    """An execution from moto's."""
    history = execution.to_history_output()["events"]
    return Execution(
        name=execution.name,
        status=str(execution.status),
        error=execution.error,
        cause=execution.cause,
        output=execution.output,
        path=[
            event["stateEnteredEventDetails"]["name"]
            for event in history
            if "stateEnteredEventDetails" in event
        ],
        job_id=json.loads(execution.execution_input)["job"]["id"],
        waits=bool(history) and history[-1]["type"] == "TaskSubmitted",
    )


def names(path: list[str]) -> Iterator[str]:
    """A path without immediate repetitions of a state."""
    before = ""
    for name in path:
        if name != before:
            yield name
        before = name
