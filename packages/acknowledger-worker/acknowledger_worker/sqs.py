"""Outside Lambda: takes jobs from an SQS queue that is the target of a rule on JobBus."""

import json
import logging
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

from acknowledger_worker import aws
from acknowledger_worker.errors import EventInvalid, JobHandedBack, WorkerError, aws_errors
from acknowledger_worker.worker import Worker

logger = logging.getLogger(__package__)

VISIBILITY_SECONDS = aws.CLAIM_SECONDS
POLITE_SECONDS = 3.0
RETRY_SECONDS = 1.0


class Runner:
    """Takes jobs from a queue, several at a time, until it is stopped.

    A message stays invisible in the queue while its job runs, and is deleted when the job has
    ended. So if the process dies, the job is delivered again two minutes later.

    Args:
        worker: runs the jobs.
        queue_url: a standard queue; its own visibility timeout doesn't matter.
        jobs_at_once: how many jobs run at a time.
        stop_seconds: how long current jobs may go on when the runner is stopped, before they are
            handed back. ECS kills a container 30 seconds after SIGTERM.
        wait_seconds: how long a request waits for a message, 20 at most.
        client: creates the boto3 client of a service.
    """

    def __init__(
        self,
        worker: Worker,
        queue_url: str,
        *,
        jobs_at_once: int = 4,
        stop_seconds: float = 20,
        wait_seconds: int = 5,
        client: aws.Client = aws.client,
    ) -> None:
        self._worker = worker
        self._queue_url = queue_url
        self._jobs_at_once = jobs_at_once
        self._stop_seconds = stop_seconds
        self._wait_seconds = wait_seconds
        self._client = client
        self._in_hand: dict[str, threading.Thread] = {}
        self._changed = threading.Condition()
        self._stopping = False

    def run(self) -> None:
        """Take jobs until SIGTERM, SIGINT or `stop`; then finish current jobs or hand them back."""
        if threading.current_thread() is threading.main_thread():
            for each in (signal.SIGTERM, signal.SIGINT):
                signal.signal(each, self._signalled)
        while not self._stopping:
            try:
                self._take()
            except WorkerError as error:
                logger.warning("%s", error)
                time.sleep(RETRY_SECONDS)
        self._end()

    def stop(self) -> None:
        """Take no more jobs; `run` returns when the current ones are finished or handed back."""
        self._stopping = True

    def _signalled(self, *_: object) -> None:
        # Must take no lock: the interrupted thread may have it.
        self._stopping = True

    def _take(self) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._room() > 0, timeout=1):
                return
            room = self._room()
        with aws_errors("messages could not be received"):
            answer = self._client("sqs").receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=min(10, room),
                VisibilityTimeout=VISIBILITY_SECONDS,
                WaitTimeSeconds=self._wait_seconds,
            )
        for message in answer.get("Messages", []):
            if self._stopping:
                self._see_again(message, 0)
                continue
            handle = message["ReceiptHandle"]
            thread = threading.Thread(
                target=self._work, args=(message,), name=message["MessageId"], daemon=True
            )
            with self._changed:
                self._in_hand[handle] = thread
            thread.start()

    def _room(self) -> int:
        return self._jobs_at_once - len(self._in_hand)

    def _work(self, message: Mapping[str, Any]) -> None:
        handle = message["ReceiptHandle"]
        try:
            self._worker.deliver(
                _event(message), keep=lambda: self._see_again(message, VISIBILITY_SECONDS)
            )
            with aws_errors("a message could not be deleted"):
                self._client("sqs").delete_message(QueueUrl=self._queue_url, ReceiptHandle=handle)
        except WorkerError as error:
            # Stopping during a job is normal and needs no warning.
            level = logging.INFO if isinstance(error, JobHandedBack) else logging.WARNING
            logger.log(level, "message %s: %s", message["MessageId"], error)
            self._hand_over(message)
        except Exception:
            logger.exception("message %s", message["MessageId"])
        finally:
            with self._changed:
                del self._in_hand[handle]
                self._changed.notify_all()

    def _hand_over(self, message: Mapping[str, Any]) -> None:
        """Make a message visible again: at once if we stop, otherwise after a while."""
        try:
            self._see_again(message, 0 if self._stopping else VISIBILITY_SECONDS)
        except WorkerError as error:
            logger.warning("message %s: %s", message["MessageId"], error)

    def _see_again(self, message: Mapping[str, Any], seconds: int) -> None:
        with aws_errors("a message's visibility could not be changed"):
            self._client("sqs").change_message_visibility(
                QueueUrl=self._queue_url,
                ReceiptHandle=message["ReceiptHandle"],
                VisibilityTimeout=seconds,
            )

    def _end(self) -> None:
        if not self._idle(self._stop_seconds):
            self._worker.hand_back()
            if not self._idle(POLITE_SECONDS):
                logger.warning("%s jobs did not stop", len(self._in_hand))

    def _idle(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_hand, timeout=seconds)


def _event(message: Mapping[str, Any]) -> Any:
    try:
        return json.loads(message["Body"])
    except ValueError:
        raise EventInvalid("the message must be a JSON object") from None
