#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["boto3"]
# ///
# ruff: noqa: T201 - a command prints its result
"""Redrive the messages in a stack's dead-letter queues.

    .venv/bin/python tools/redrive.py --list
    .venv/bin/python tools/redrive.py Intake --stack acknowledger --wait
    .venv/bin/python tools/redrive.py --message 0b9e…

Each message is an event that a function failed to handle, or that EventBridge could not deliver.
The function is invoked with the event again, asynchronously as the first time, and the message is
deleted from the queue. If the event fails again, it comes back with a new reason; with --wait, the
command waits for that and prints it. With --list nothing is changed. What each message is about,
and since when and why it is in the queue, is always printed.

Handling an event that has been handled in the meantime does nothing, so that it is safe to redrive
all messages, and to do so twice. An event with a task token is redriven only while an execution
waits for it: later, no execution would work on the acknowledged job. The message is then dropped,
since the job has ended or CodePipeline offers it again.

SQS's own redrive (StartMessageMoveTask, "Start DLQ redrive" in the console) can't do this: it
supports only the dead-letter queues of other SQS queues.

Only boto3 is required. Credentials, region and AWS_ENDPOINT_URL (for the local stack) are found as
by any program with an AWS SDK. The caller needs cloudformation:DescribeStacks on the stack;
sqs:ReceiveMessage, sqs:ChangeMessageVisibility, sqs:DeleteMessage and sqs:GetQueueAttributes on the
queues; lambda:InvokeFunction on the functions; states:SendTaskHeartbeat on the state machine. The
exit status is 1 if a message could not be redriven, or an event failed again during the wait.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

try:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    sys.exit("This Python has no boto3: run make .venv/installed, and use .venv/bin/python")

FUNCTIONS = ("Intake", "Acknowledge", "Report", "Stop")
#: How long a received message is invisible to others.
HIDDEN_SECONDS = 120
#: A long poll queries all of SQS's servers; a short one may miss messages.
WAIT_SECONDS = 1
#: Lambda retries an event after one minute and after two more.
FAILS_AGAIN_WITHIN_SECONDS = 300
LOOK_EVERY_SECONDS = 5


@dataclass(frozen=True)
class Letter:
    """A message in a dead-letter queue.

    reason: why it is there, as Lambda or EventBridge wrote it.
    about: the job, or what is known of it.
    """

    id: str
    receipt: str
    body: str
    sent: float
    reason: str
    about: str

    @classmethod
    def of(cls, message: dict[str, Any]) -> "Letter":
        """A message as SQS's ReceiveMessage returns it."""
        given = message.get("MessageAttributes", {})
        attributes = {name: str(value.get("StringValue", "")) for name, value in given.items()}
        return cls(
            id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            sent=int(message["Attributes"]["SentTimestamp"]) / 1000,
            reason=reason(attributes),
            about=about(message["Body"]),
        )


def reason(attributes: dict[str, str]) -> str:
    """Why a message is in the queue.

    Lambda writes ErrorMessage, ErrorCode (200: the function failed; 4xx: it never ran) and
    RequestID, which finds the invocation in the function's log. EventBridge writes ERROR_CODE,
    ERROR_MESSAGE, RULE_ARN, TARGET_ARN, and EXHAUSTED_RETRY_CONDITION if it had retried.
    """
    if "ERROR_CODE" in attributes or "RULE_ARN" in attributes:
        rule = attributes.get("RULE_ARN", "").rpartition("/")[2]
        parts = [attributes.get("ERROR_CODE"), attributes.get("ERROR_MESSAGE")]
        exhausted = attributes.get("EXHAUSTED_RETRY_CONDITION")
        return (
            f"EventBridge's rule {rule} could not deliver it: "
            + ": ".join(part for part in parts if part)
            + (f" ({exhausted})" if exhausted else "")
        )
    code, request = attributes.get("ErrorCode", ""), attributes.get("RequestID", "")
    said = attributes.get("ErrorMessage") or "no reason given"
    return (
        said
        + (f" (not run: {code})" if code not in ("", "200") else "")
        + (f" [request {request}]" if request else "")
    )


def about(body: str) -> str:
    """Which job an event is about, and what else it names."""
    try:
        event = json.loads(body)
    except ValueError:
        return "not JSON"
    if not isinstance(event, dict):
        return "not an event"
    detail = event.get("detail", event)
    detail = detail if isinstance(detail, dict) else {}
    job_id = detail.get("jobId")
    with suppress(KeyError, TypeError, ValueError):
        job_id = job_id or json.loads(detail["input"])["job"]["id"]
    named = [
        f"{label} {value}"
        for label, value in (
            ("job", job_id),
            ("execution", detail.get("name")),
            ("pipeline", detail.get("pipeline")),
            ("pipeline execution", detail.get("execution-id")),
            ("action", detail.get("action")),
            ("action execution", detail.get("action-execution-id")),
            ("state", detail.get("state") or detail.get("status")),
        )
        if value
    ]
    kind = event.get("detail-type", "a request")
    return f"{kind}: {', '.join(named)}" if named else str(kind)


def task_token(body: str) -> str | None:
    """The task token in an event, if an execution waits for the answer to it."""
    try:
        event = json.loads(body)
        token = event.get("detail", event).get("taskToken")
    except (ValueError, AttributeError):
        return None
    return token if isinstance(token, str) and token else None


def shown(text: str) -> str:
    """A text on one line with control characters escaped, since it comes from elsewhere."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


class Queue:
    """The dead-letter queue of one of the stack's functions."""

    def __init__(self, session: Any, url: str, function: str) -> None:
        self._sqs = session.client("sqs")
        self._lambda = session.client("lambda")
        self._step_functions = session.client("stepfunctions")
        self._url = url
        self._function = function

    def letters(self) -> Iterator[Letter]:
        """All messages that were in the queue at the start, each once.

        An event that fails again may be back before the last message has been received.
        """
        answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        # The time by SQS's clock, which may differ from ours, in whole seconds.
        date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        began = parsedate_to_datetime(date).timestamp()
        seen: set[str] = set()
        later = []
        try:
            while received := self._receive():
                for letter in received:
                    # Within that second, a message with a body seen before is one that came back.
                    back = letter.sent >= began and letter.body in seen
                    if letter.sent < began + 1 and letter.id not in seen and not back:
                        seen |= {letter.id, letter.body}
                        yield letter
                    else:
                        later.append(letter)
        finally:
            # Not earlier, or they would be received again and again.
            for letter in later:
                self.put_back(letter)

    def _receive(self) -> list[Letter]:
        received = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=HIDDEN_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            AttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        return [Letter.of(message) for message in received.get("Messages", [])]

    def redrive(self, letter: Letter) -> bool:
        """Invoke the function with an event again; False if the message was dropped instead.

        A failure between invoking and deleting leads to two invocations, but loses nothing.
        """
        token = task_token(letter.body)
        given = token is None or self._is_awaited(token)
        if given:
            self._lambda.invoke(
                FunctionName=self._function, InvocationType="Event", Payload=letter.body
            )
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)
        return given

    def _is_awaited(self, token: str) -> bool:
        exceptions = self._step_functions.exceptions
        try:
            self._step_functions.send_task_heartbeat(taskToken=token)
        except (exceptions.InvalidToken, exceptions.TaskDoesNotExist, exceptions.TaskTimedOut):
            return False
        return True

    def failed_again(self, given: set[str]) -> list[Letter]:
        """The messages in the queue whose bodies are among those given."""
        here = list(self.letters())
        for letter in here:
            self.put_back(letter)
        return [letter for letter in here if letter.body in given]

    def put_back(self, letter: Letter) -> None:
        """Make a message visible again."""
        self._sqs.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=letter.receipt, VisibilityTimeout=0
        )


def queues(session: Any, stack: str, functions: list[str]) -> dict[str, Queue]:
    """The dead-letter queues of a stack, by the names of their functions."""
    answer = session.client("cloudformation").describe_stacks(StackName=stack)
    (described,) = answer["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    return {
        name: Queue(session, outputs[f"{name}DeadLettersUrl"], outputs[f"{name}FunctionName"])
        for name in functions
    }


def described(function: str, letter: Letter) -> str:
    """The text to print for a message."""
    since = datetime.fromtimestamp(letter.sent, UTC)
    return (
        f"{function}  {letter.id}  since {since:%Y-%m-%d %H:%M:%S} UTC\n"
        f"  {shown(letter.about)}\n  {shown(letter.reason)}"
    )


def handle(name: str, queue: Queue, counts: Counter[str], asked: argparse.Namespace) -> set[str]:
    """Print and count the messages of a queue, redrive them, and return their bodies."""
    given = set()
    held = []
    for letter in queue.letters():
        wanted = not asked.message or letter.id in asked.message
        if wanted:
            counts["found"] += 1
            print(described(name, letter))
        if asked.list or not wanted:
            held.append(letter)
            continue
        try:
            if queue.redrive(letter):
                counts["redriven"] += 1
                given.add(letter.body)
                print("  redriven")
            else:
                counts["dropped"] += 1
                print("  dropped: no execution waits for it any more")
        except (BotoCoreError, ClientError) as error:
            counts["not redriven"] += 1
            held.append(letter)
            print(f"  NOT REDRIVEN: {error}")
    for letter in held:
        queue.put_back(letter)
    return given


def wait(found: dict[str, Queue], given: dict[str, set[str]], seconds: float) -> int:
    """Wait for events that fail again, and print them; return their number."""
    again: dict[str, str] = {}
    over = time.monotonic() + seconds
    while len(again) < sum(map(len, given.values())) and time.monotonic() < over:
        time.sleep(min(LOOK_EVERY_SECONDS, seconds))
        for name, bodies in given.items():
            for letter in found[name].failed_again(bodies - again.keys()):
                again[letter.body] = letter.id
                print(f"Failed again: {described(name, letter)}")
    return len(again)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n    ")[0],
        epilog="Redriving an event that has been handled in the meantime does nothing.",
    )
    parser.add_argument(
        "queue", nargs="*", metavar="QUEUE", help=f"{', '.join(FUNCTIONS)}; default: all"
    )
    parser.add_argument(
        "--stack", default="acknowledger", help="the stack's name (default: %(default)s)"
    )
    parser.add_argument(
        "--list", action="store_true", help="only print the messages and their reasons"
    )
    parser.add_argument(
        "--message", action="append", default=[], metavar="ID", help="only this message; repeatable"
    )
    parser.add_argument(
        "--wait",
        nargs="?",
        type=float,
        default=0,
        const=FAILS_AGAIN_WITHIN_SECONDS,
        metavar="SECONDS",
        help="report events that fail again within this many seconds (default: %(const)s)",
    )
    parser.add_argument("--region", help="default: the region in your AWS configuration")
    parser.add_argument("--profile", help="a profile in your AWS configuration")
    asked = parser.parse_args(arguments)
    for name in asked.queue:
        if name not in FUNCTIONS:
            parser.error(f"QUEUE must be one of {', '.join(FUNCTIONS)}, not {name}")
    counts, again = Counter[str](), 0
    try:
        session = boto3.Session(region_name=asked.region, profile_name=asked.profile)
        found = queues(session, asked.stack, asked.queue or list(FUNCTIONS))
        given = {
            name: bodies
            for name, queue in found.items()
            if (bodies := handle(name, queue, counts, asked))
        }
        if asked.wait:
            again = wait(found, given, asked.wait)
    except KeyError as error:
        print(f"The stack {asked.stack} has no output {error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    if asked.list:
        print(f"Messages in the dead-letter queues: {counts['found']}")
        return 0
    told = [f"{counts[what]} {what}" for what in ("redriven", "dropped", "not redriven")]
    print(", ".join([*told, f"{again} failed again"] if asked.wait else told))
    return 1 if counts["not redriven"] or again else 0


if __name__ == "__main__":
    sys.exit(main())
