"""Runs the real definition, with the table and the bus on moto; all other parts are scripted."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.events.models import EventsBackend

from local.aws import replaced, stepfunctions
from tests.support import ROOT, wait_for

DEFINITION = (ROOT / "statemachine" / "job.asl.json").read_text()
TRUST = {"Version": "2012-10-17", "Statement": []}
SILENT = "no answer"
WORDLESS = "a failure without error or cause"
WAITS_IN_ROW = "updateItem.waitForTaskToken"
ENDS = {f"Execution{how}" for how in ("Succeeded", "Failed", "Aborted", "TimedOut")}


def as_sent(value: Any) -> str:
    """A value as JSON, kept short because of Step Functions' limits."""
    return json.dumps(value, ensure_ascii=False)


@dataclass
class Meddled:
    """An answer with something that happens before it."""

    do: Callable[[], None]
    then: Any


@dataclass
class Script:
    """What the other parts answer, call by call: an answer, an (error, cause), or SILENT.

    `rows` answers the tokens that states write into a row of the table, by the state's name; the
    token of any other state is always answered with {}.
    """

    acknowledge: list[Any] = field(default_factory=lambda: [{"status": "InProgress"}])
    work: list[Any] = field(default_factory=lambda: [{}])
    report: list[Any] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)


#: Limits that never pass in a test, even on a busy machine.
PATIENT = {"AcknowledgeTimeoutSeconds": 60, "HeartbeatTimeoutSeconds": 30, "JobTimeoutSeconds": 60}


def limits(script: Script) -> dict[str, int]:
    """Limits that are short where the script has no answer."""
    acknowledge = {"AcknowledgeTimeoutSeconds": 1} if SILENT in script.acknowledge else {}
    work = {"HeartbeatTimeoutSeconds": 1, "JobTimeoutSeconds": 2} if SILENT in script.work else {}
    return PATIENT | acknowledge | work


@dataclass
class Ended:
    """An execution that has ended, and its traces."""

    path: list[str]
    status: str
    error: str | None
    cause: str | None
    output: dict[str, Any] | None
    row: dict[str, Any] | None
    events: list[tuple[str, dict[str, Any]]]
    reports: list[dict[str, Any]]
    arn: str

    def details(self, detail_type: str) -> list[dict[str, Any]]:
        return [detail for kind, detail in self.events if kind == detail_type]


class Machine:
    """JobStateMachine with the resources that it uses.

    answered: by state, the last token in a row of the table that was answered.
    """

    def __init__(self) -> None:
        self.dynamodb = boto3.client("dynamodb")
        self.step_functions = boto3.client("stepfunctions")
        self._put: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.answered: dict[str, str] = {}
        self._report_answers: list[Any] = []
        self.dynamodb.create_table(
            TableName="JobTable",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
        )
        boto3.client("events").create_event_bus(Name="JobBus")
        role = boto3.client("iam").create_role(
            RoleName="Job", AssumeRolePolicyDocument=json.dumps(TRUST)
        )["Role"]["Arn"]
        report = boto3.client("lambda").create_function(
            FunctionName="Report",
            Role=role,
            Runtime="python3.13",
            Handler="x",
            Code={"ZipFile": b"-"},
        )["FunctionArn"]
        definition = DEFINITION
        for name, value in (
            ("Partition", "aws"),
            ("TableName", "JobTable"),
            ("BusName", "JobBus"),
            ("ReportFunctionArn", report),
        ):
            definition = definition.replace(f"${{{name}}}", value)
        self.arn = self.step_functions.create_state_machine(
            name="Job", definition=definition, roleArn=role
        )["stateMachineArn"]

    def answer_report(self, body: str, response_headers: dict[str, str]) -> bytes:
        """Answer as ReportFunction."""
        event = json.loads(body)
        self.reports.append(event)
        answer = self._report_answers.pop(0) if self._report_answers else None
        if isinstance(answer, tuple):
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": answer[0], "errorMessage": answer[1]}).encode()
        told = answer or {"status": "Succeeded"}
        failure = event["outcome"].get("failure")
        if failure and not answer:
            timed_out = failure["Error"] == "States.Timeout"
            told = {"status": "TimedOut" if timed_out else "Failed"}
            told |= {"error": failure["Error"] or "JobFailed", "cause": failure["Cause"] or "?"}
        return json.dumps(told).encode()

    def set(self, job_id: str, **attributes: dict[str, Any]) -> None:
        """Change or create a row."""
        self.dynamodb.update_item(
            TableName="JobTable",
            Key={"jobId": {"S": job_id}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in attributes),
            ExpressionAttributeNames={f"#{name}": name for name in attributes},
            ExpressionAttributeValues={f":{name}": value for name, value in attributes.items()},
        )

    def row(self, job_id: str) -> dict[str, Any] | None:
        found = self.dynamodb.get_item(TableName="JobTable", Key={"jobId": {"S": job_id}})
        return found.get("Item")

    def start(self, job: dict[str, Any], **changes: Any) -> str:
        start_input = {
            "job": job,
            "actionType": "Custom/Build/Acknowledger/1",
            "offeredAt": "2026-01-01T00:00:00.000Z",
            "timeouts": PATIENT,
        } | changes
        return str(
            self.step_functions.start_execution(
                stateMachineArn=self.arn, name=str(uuid.uuid4()), input=as_sent(start_input)
            )["executionArn"]
        )

    def put(self, entries: list[dict[str, Any]]) -> None:
        """Note the events that were put on JobBus."""
        for entry in entries:
            assert (entry["EventBusName"], entry["Source"]) == ("JobBus", "acknowledger")
        self._put += entries

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """The events on JobBus since the last time."""
        taken = [self._put.pop(0) for _ in range(len(self._put))]
        return [(entry["DetailType"], json.loads(entry["Detail"])) for entry in taken]

    def latest(self, arn: str) -> list[dict[str, Any]]:
        """The end of an execution's history, the latest event first."""
        events: list[dict[str, Any]] = self.step_functions.get_execution_history(
            executionArn=arn, reverseOrder=True, maxResults=3
        )["events"]
        return events

    @staticmethod
    def row_token(events: list[dict[str, Any]]) -> tuple[str, str]:
        """The state that waits with a token in a row of the table, and the token; or "" for both."""
        if events[0].get("taskSubmittedEventDetails", {}).get("resource") != WAITS_IN_ROW:
            return "", ""
        (scheduled,) = (
            event["taskScheduledEventDetails"]["parameters"]
            for event in events
            if "taskScheduledEventDetails" in event
        )
        parameters = json.loads(scheduled)
        state = "WaitForRoom" if "roomToken" in parameters["UpdateExpression"] else "WaitForNextJob"
        return state, parameters["ExpressionAttributeValues"][":token"]["S"]

    def answer(self, task_token: str, answers: list[Any]) -> None:
        """Answer as Acknowledge, the worker, or a function that has read the row."""
        answer = answers.pop(0)
        if isinstance(answer, Meddled):
            answer.do()
            answer = answer.then
        if answer == SILENT:
            return
        if answer == WORDLESS:
            self.step_functions.send_task_failure(taskToken=task_token)
        elif isinstance(answer, tuple):
            self.step_functions.send_task_failure(
                taskToken=task_token, error=answer[0], cause=answer[1]
            )
        else:
            self.step_functions.send_task_success(taskToken=task_token, output=as_sent(answer))

    def run(self, job: dict[str, Any], script: Script, **changes: Any) -> Ended:
        """Start a job and play the other parts until its execution has ended."""
        self.reports.clear()
        self._report_answers = list(script.report)
        self.take_events()
        arn = self.start(job, **{"timeouts": limits(script), **changes})
        events: list[tuple[str, dict[str, Any]]] = []
        answers = {
            "Job Dispatched": list(script.acknowledge),
            "Job In Progress": list(script.work),
        }
        rows = {state: list(answers) for state, answers in script.rows.items()}
        self.answered.clear()
        newest = 0

        def ended() -> Any:
            nonlocal newest
            latest = self.latest(arn)
            # Without a new event in the history there is nothing new to answer.
            if latest[0]["id"] == newest and latest[0]["type"] not in ENDS:
                return None
            newest = latest[0]["id"]
            state, token = self.row_token(latest)
            if token != self.answered.get(state, ""):
                self.answered[state] = token
                self.answer(token, rows.get(state, [{}]))
            for kind, detail in self.take_events():
                events.append((kind, detail))
                if kind in answers:
                    self.answer(detail["taskToken"], answers[kind])
            found = self.step_functions.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        found = wait_for(ended, "the execution to end", seconds=20)
        events += self.take_events()
        output = found.get("output")
        return Ended(
            path=self.path(arn),
            status=found["status"],
            error=found.get("error"),
            cause=found.get("cause"),
            output=json.loads(output) if output else None,
            row=self.row(job["id"]),
            events=events,
            reports=list(self.reports),
            arn=arn,
        )

    def path(self, arn: str) -> list[str]:
        pages = self.step_functions.get_paginator("get_execution_history")
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages.paginate(executionArn=arn)
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    made: list[Machine] = []

    def invoke(
        _backend: Any, _name: str, _qualifier: Any, body: str, _headers: Any, response_headers: Any
    ) -> bytes:
        return made[0].answer_report(body, response_headers)

    def put(backend: EventsBackend, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = put_events(backend, entries)
        made[0].put(entries)
        return answer

    config: Any = {
        "lambda": {"use_docker": False},
        "stepfunctions": {"execute_state_machine": True},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        replaced.install("events", "jsonata", "stepfunctions")
        put_events = EventsBackend.put_events
        patch.setattr(EventsBackend, "put_events", put)
        patch.setattr(stepfunctions, "retry_scale", 0.0001)
        patch.setattr(LambdaSimpleBackend, "invoke", invoke)
        with mock_aws(config=config):
            made.append(Machine())
            yield made[0]
            stepfunctions.stop_all()


CLIENT_ID = "3c9f2f3a-5f0e-4c1b-9d55-0d8d2a1b7c6e"


@pytest.fixture(params=["Custom", "ThirdParty"])
def job(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """Makes a job as Intake passes it on, of a custom action and of a partner action."""
    partner = request.param == "ThirdParty"

    def make(**data: Any) -> dict[str, Any]:
        whose = {"clientId": CLIENT_ID} if partner else {"accountId": "123456789012"}
        return {
            "id": f"customer 7/ünï #{uuid.uuid4()}" if partner else str(uuid.uuid4()),
            "nonce": "3",
            **whose,
            "data": {
                "actionConfiguration": {"configuration": {"Input": 'quotes " \\ and {% $x %}\n'}},
                "pipelineContext": {
                    "pipelineName": "my-pipeline",
                    "stage": {"name": "Build"},
                    "action": {"name": "Compile", "actionExecutionId": "a8748f7a"},
                    **({} if partner else {"pipelineExecutionId": "7f5094f0"}),
                },
                **data,
            },
        }

    return make
