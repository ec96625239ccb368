"""Everything that a run has written anywhere, in order to search it for secrets."""

import json
from collections.abc import Iterator
from typing import Any

from moto.sqs.models import sqs_backends

from local.aws.server import LocalCloud
from local.aws.stack import Stack
from moto_codepipeline import CREDENTIAL_MARKS


class Kept(list[Any]):
    """Keeps a queue's messages without receiving them: moto scans all of them for each new one."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[str] = []

    def append(self, message: Any) -> None:
        self.bodies.append(message.body)


class Written:
    """Reads what was logged, started, sent, stored and dead-lettered since its creation."""

    def __init__(self, cloud: LocalCloud, stack: Stack) -> None:
        self._client = cloud.client
        self._stack = stack
        self._letters: dict[str, list[dict[str, Any]]] = {
            function: [] for function in ("Intake", "Acknowledge", "Report", "Stop")
        }
        self.answers: list[str] = []
        sqs, events = self._client("sqs"), self._client("events")
        sqs.create_queue(QueueName="recorder")
        self._events = Kept()
        sqs_backends[cloud.account_id][cloud.region].queues["recorder"]._messages = self._events
        arn = f"arn:aws:sqs:{cloud.region}:{cloud.account_id}:recorder"
        for bus in events.list_event_buses()["EventBuses"]:
            pattern = json.dumps({"source": [{"prefix": ""}]})
            events.put_rule(Name="recorder", EventBusName=bus["Name"], EventPattern=pattern)
            target = {"Id": "1", "Arn": arn}
            events.put_targets(Rule="recorder", EventBusName=bus["Name"], Targets=[target])

    def everything(self) -> Iterator[tuple[str, str]]:
        """Everything written, as (place, text)."""
        for text in self.logs():
            yield "log", text
        for where, text in self._executions():
            yield where, text
        for text in self.events():
            yield "event", text
        pages = self._client("dynamodb").get_paginator("scan")
        for table in ("JobTableName", "IntakeTableName"):
            for page in pages.paginate(TableName=self._stack.outputs[table]):
                for row in page["Items"]:
                    yield "table", json.dumps(row)
        for function in self._letters:
            for message in self.letters(function):
                yield "dead letter", json.dumps(message, default=str)
        for text in self.answers:
            yield "answer", text
        for text in self._results():
            yield "result", text

    def secrets(self, secrets: list[str]) -> list[str]:
        """The texts with a secret or an artifact credential in them: ["log: …", …]."""
        marks = (*secrets, *CREDENTIAL_MARKS)
        return [
            f"{where}: {text}" for where, text in self.everything() if any(m in text for m in marks)
        ]

    def letters(self, function: str) -> list[dict[str, Any]]:
        """All messages that were ever in a function's dead-letter queue."""
        url = self._stack.outputs[f"{function}DeadLettersUrl"]
        self._letters[function] += self._messages(url)
        return self._letters[function]

    def kinds(self) -> set[str]:
        """The places where anything was written at all."""
        return {where for where, _ in self.everything()}

    def logs(self) -> Iterator[str]:
        logs = self._client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            yield from self.lines(group["logGroupName"])

    def lines(self, log_group: str) -> Iterator[str]:
        pages = self._client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=log_group):
            for event in page["events"]:
                yield event["message"]

    def _executions(self) -> Iterator[tuple[str, str]]:
        step_functions = self._client("stepfunctions")
        machine = self._stack.outputs["JobStateMachineArn"]
        listed = step_functions.get_paginator("list_executions").paginate(stateMachineArn=machine)
        for arn in [item["executionArn"] for page in listed for item in page["executions"]]:
            found = step_functions.describe_execution(executionArn=arn)
            yield "execution", json.dumps(found, default=str)
            pages = step_functions.get_paginator("get_execution_history")
            for page in pages.paginate(executionArn=arn):
                yield "history", json.dumps(page["events"], default=str)

    def _results(self) -> Iterator[str]:
        """The outputs of the pipelines' action executions."""
        codepipeline = self._client("codepipeline")
        listed = codepipeline.get_paginator("list_pipelines").paginate()
        for name in [each["name"] for page in listed for each in page["pipelines"]]:
            pages = codepipeline.get_paginator("list_action_executions").paginate(pipelineName=name)
            for page in pages:
                for action in page["actionExecutionDetails"]:
                    yield json.dumps(action.get("output", {}))

    def events(self) -> list[str]:
        """All events that were put on any bus."""
        return list(self._events.bodies)

    def _messages(self, queue_url: str) -> Iterator[dict[str, Any]]:
        sqs = self._client("sqs")
        while messages := sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            yield from messages
            read = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages)
            ]
            sqs.delete_message_batch(QueueUrl=queue_url, Entries=read)
