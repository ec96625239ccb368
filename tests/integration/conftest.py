"""The whole stack on the local cloud, and pipelines to send through it."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends
from moto.stepfunctions.parser import models

import moto_codepipeline
from acknowledger import executions, table
from acknowledger.moments import now
from acknowledger.offers import execution_name
from local import acknowledger
from local.aws import dynamodb, functions, stepfunctions
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from tests.integration.written import Written
from tests.support import wait_for

CLIENT_TOKEN = "client-token-that-nobody-may-see"
PASSWORD = "password-that-nobody-may-see"
#: For each function, an event that it can't handle.
DEAD_LETTERS = {
    "Intake": "bad/intake-not-ours",
    "Acknowledge": "bad/acknowledge-nonce-missing",
    "Report": "bad/report-outcome",
    "Stop": "bad/stop-action-state",
}

numbers = itertools.count(1)


@dataclass
class World:
    """The cloud and the stack in it, with what the tests do and check there."""

    cloud: LocalCloud
    stack: Stack
    written: Written
    owner: str = "Custom"

    @property
    def emulator(self) -> moto_codepipeline.JobBackend:
        return moto_codepipeline.backend(self.cloud.account_id, self.cloud.region)

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    @property
    def action_type(self) -> str:
        partner = self.owner == "ThirdParty"
        return acknowledger.PARTNER_ACTION_TYPE if partner else acknowledger.CUSTOM_ACTION_TYPE

    def start(
        self,
        configuration: dict[str, str],
        *,
        sweep: bool = True,
        action_type: str = "",
        name: str = "",
        **stages: list[dict[str, Any]],
    ) -> str:
        """Start a new pipeline with one action with this configuration; return the pipeline's name.

        There are no events about partners' jobs, so that they need a sweep.
        """
        name = name or f"pipeline-{next(numbers)}"
        kind = action_type or self.action_type
        if configuration:
            configuration = {"Password": PASSWORD, **configuration}
        stages = stages or {"Build": [{"name": "Work", "configuration": configuration}]}
        acknowledger.create_pipeline(self.cloud, name, kind, stages)
        self.client("codepipeline").start_pipeline_execution(name=name)
        if sweep and kind.startswith("ThirdParty/"):
            self.cloud.schedule.fire()
        return name

    def hang(self, **configuration: str) -> tuple[str, dict[str, Any]]:
        """Start a job that hangs until a test answers for it; return its pipeline and its row."""
        name = self.start({"Outcome": "Hang", **configuration})
        return name, self.row(name, "InProgress")

    def answer(self, row: dict[str, Any], **result: Any) -> None:
        """As the worker, report a job's success."""
        self.client("stepfunctions").send_task_success(
            taskToken=self.task_token(row), output=json.dumps(result)
        )

    def fail(self, row: dict[str, Any], **why: str) -> None:
        """As the worker or an earlier state, report a job's failure."""
        self.client("stepfunctions").send_task_failure(taskToken=self.task_token(row), **why)

    def stop(self, row: dict[str, Any], **why: str) -> None:
        """As an operator, stop a job's execution."""
        self.client("stepfunctions").stop_execution(executionArn=row["execution"]["S"], **why)

    def put_token(self, client_id: str, token: str) -> None:
        """Put a client's token where the stack looks for it."""
        self.client("ssm").put_parameter(
            Name=self.stack.parameters["ClientTokenPrefix"] + client_id,
            Value=token,
            Type="SecureString",
            Overwrite=True,
        )

    def poll(self) -> dict[str, Any]:
        """As another worker, poll the only offer; return the request to acknowledge it."""
        client = self.client("codepipeline")
        kind = acknowledger.action_type_id(self.action_type)
        partner = self.owner == "ThirdParty"
        operation = client.poll_for_third_party_jobs if partner else client.poll_for_jobs
        (job,) = wait_for(lambda: operation(actionTypeId=kind)["jobs"], "an offer", seconds=10)
        if not partner:
            return {"jobId": job["id"], "nonce": job["nonce"]}
        request = {"jobId": job["jobId"], "clientToken": CLIENT_TOKEN}
        details = client.get_third_party_job_details(**request)["jobDetails"]
        return {**request, "nonce": details["nonce"]}

    def acknowledge(self, request: dict[str, Any]) -> str:
        """As another worker, acknowledge a job that was polled."""
        client = self.client("codepipeline")
        partner = self.owner == "ThirdParty"
        operation = client.acknowledge_third_party_job if partner else client.acknowledge_job
        return str(operation(**request)["status"])

    def succeed(self, request: dict[str, Any]) -> None:
        """As another worker, report success."""
        client = self.client("codepipeline")
        if self.owner == "ThirdParty":
            client.put_third_party_job_success_result(
                jobId=request["jobId"], clientToken=request["clientToken"]
            )
        else:
            client.put_job_success_result(jobId=request["jobId"])

    def pipeline_execution(self, name: str) -> dict[str, Any]:
        """The only execution of a pipeline."""
        listed = self.client("codepipeline").list_pipeline_executions(pipelineName=name)
        (summary,) = listed["pipelineExecutionSummaries"]
        return dict(summary)

    def pipeline_status(self, name: str) -> str:
        return str(self.pipeline_execution(name)["status"])

    def action(self, name: str) -> dict[str, Any]:
        """The latest execution of a pipeline's only custom action."""
        state = self.client("codepipeline").get_pipeline_state(name=name)
        return dict(state["stageStates"][1]["actionStates"][0].get("latestExecution", {}))

    def pipeline_ended(self, name: str, seconds: float = 20) -> str:
        def ended() -> str | None:
            status = self.pipeline_status(name)
            return status if status != "InProgress" else None

        return str(wait_for(ended, f"{name} to end", seconds))

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a pipeline's jobs, read from moto itself, since tests poll them most."""
        table = self.stack.outputs["JobTableName"]
        kept = dynamodb_backends[self.cloud.account_id][self.cloud.region].tables[table]
        with dynamodb.lock:
            rows = [item.to_json()["Attributes"] for item in kept.all_items()]
        return [row for row in rows if row.get("pipelineName") == {"S": name}]

    def row(self, name: str, status: str, seconds: float = 20) -> dict[str, Any]:
        """The row of a pipeline's only job, once it has that status."""

        def reached() -> dict[str, Any] | None:
            rows = self.rows(name)
            return rows[0] if rows and rows[0]["status"]["S"] == status else None

        found: dict[str, Any] = wait_for(reached, f"the job of {name} to be {status}", seconds)
        return found

    def execution(self, arn: str, seconds: float = 20) -> dict[str, Any]:
        """An execution, once it has ended."""
        describe = self.client("stepfunctions").describe_execution

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = describe(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        found: dict[str, Any] = wait_for(ended, "the execution to end", seconds)
        return found

    def path(self, arn: str) -> list[str]:
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages.paginate(executionArn=arn)
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]

    def executions(self, job_id: str) -> list[dict[str, Any]]:
        """All executions of a job, the newest first."""
        stem = execution_name(job_id, "").rsplit("-", 1)[0]
        pages = self.client("stepfunctions").get_paginator("list_executions")
        machine = self.stack.outputs["JobStateMachineArn"]
        return [
            execution
            for page in pages.paginate(stateMachineArn=machine)
            for execution in page["executions"]
            if execution["name"].startswith(stem)
        ]

    def invoke(self, function: str, event: Any, kind: str = "RequestResponse") -> dict[str, Any]:
        """Invoke a function through the API; return the payload of the response."""
        answer = self.client("lambda").invoke(
            FunctionName=self.stack.outputs[f"{function}FunctionName"],
            InvocationType=kind,
            Payload=json.dumps(event),
        )
        text = answer["Payload"].read().decode()
        self.written.answers.append(text)
        payload: dict[str, Any] = json.loads(text) if text else {}
        return payload

    def letters(self, function: str, event: Any) -> list[dict[str, Any]]:
        """The dead letters of a function that hold an event."""
        return [
            letter
            for letter in self.written.letters(function)
            if json.loads(letter["Body"]) == event
        ]

    def letters_left(self, function: str) -> int:
        """How many messages are in a function's dead-letter queue, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.client("sqs").get_queue_attributes(
            QueueUrl=self.stack.outputs[f"{function}DeadLettersUrl"], AttributeNames=names
        )["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def rule(self, bus_name: str, text: str) -> str:
        """The name of the stack's rule whose pattern has a text in it."""
        rules = self.client("events").list_rules(EventBusName=bus_name)["Rules"]
        (name,) = [
            rule["Name"]
            for rule in rules
            if text in rule.get("EventPattern", "") and rule["Name"] != "sample-worker"
        ]
        return str(name)

    def intake_row(self) -> dict[str, Any]:
        """The action type's row in IntakeTable: `{holders: {}, waiting: {}, awaiting: {}}`."""
        found = self.client("dynamodb").get_item(
            TableName=self.stack.outputs["IntakeTableName"],
            Key={"actionType": {"S": self.action_type}},
            ConsistentRead=True,
        )
        return table.plain(found.get("Item", {}))

    def expect(self, *jobs: str) -> None:
        """Let Intake expect jobs that continue these: it polls for them even without room."""
        self.client("dynamodb").update_item(
            TableName=self.stack.outputs["IntakeTableName"],
            Key={"actionType": {"S": self.action_type}},
            UpdateExpression="SET awaiting = :jobs",
            ExpressionAttributeValues={":jobs": {"M": {job: {"S": now()} for job in jobs}}},
        )

    def overflow(self, count: int) -> list[str]:
        """Start pipelines with room for one job; return their names, once one works and the others wait.

        All jobs are polled at once, as if several were awaited that continue others.
        """
        self.intake_quiet()
        self.expect("some other job")
        names = [self.start({"Outcome": "Hang"}, sweep=False) for _ in range(count)]
        self.cloud.schedule.fire()

        def settled() -> bool:
            rows = [row["status"]["S"] for name in names for row in self.rows(name)]
            return sorted(rows) == ["InProgress", *["Queued"] * (count - 1)]

        wait_for(settled, "one job to be in progress and the others to wait", seconds=20)
        self.expect()
        return names

    @contextmanager
    def throttled_report(self) -> Iterator[None]:
        """Let Lambda throttle Report, and the state machine's hours of retries pass quickly."""
        name = self.stack.outputs["ReportFunctionName"]
        client = self.client("lambda")
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(stepfunctions, "retry_scale", 0.0001)
                yield
        finally:
            client.delete_function_concurrency(FunctionName=name)

    def intake_quiet(self) -> None:
        """Let no event from CodePipeline start Intake, and wait for the invocations that run."""
        self.client("events").disable_rule(Name=self.rule("default", "STARTED"))
        assert functions.runner().wait_until_idle(120)

    def hold_back_acknowledge(self) -> Callable[[], object]:
        """Keep Job Dispatched events from Acknowledge; returns a function that lets them pass again."""
        bus = self.stack.outputs["JobBusName"]
        about = {"Name": self.rule(bus, "Job Dispatched"), "EventBusName": bus}
        self.client("events").disable_rule(**about)
        return partial(self.client("events").enable_rule, **about)

    def come_to_rest(self) -> None:
        """Stop all executions, and wait until nothing runs that could still emit metrics."""

        backend: Any = models.stepfunctions_parser_backends[self.cloud.account_id][
            self.cloud.region
        ]

        def at_rest() -> bool:
            stepfunctions.stop_all()
            started = list(backend._executions.values())
            # An execution puts its last event after its status has changed.
            assert all(execution._ended.wait(60) for execution in started)
            assert functions.runner().wait_until_idle(120)
            return started == list(backend._executions.values())

        wait_for(at_rest, "nothing to run", seconds=20)

    def task_token(self, row: dict[str, Any]) -> str:
        """The task token that a job's execution waits with, once it has its row's status."""
        arn = row["execution"]["S"]
        before = "Job Dispatched" if row["status"]["S"] == "InProgress" else "\0"
        history = self.client("stepfunctions").get_execution_history

        def token() -> str | None:
            submitted = False
            for event in history(executionArn=arn, reverseOrder=True, maxResults=5)["events"]:
                # Only then has the event been put, or the token been written into the row.
                submitted |= event["type"] == "TaskSubmitted"
                if event["type"] == "TaskScheduled":
                    given = event["taskScheduledEventDetails"]["parameters"]
                    waits = submitted and before not in given
                    return executions.find_token(json.loads(given)) if waits else None
            return None

        return str(wait_for(token, "the execution to wait", seconds=10))

    def tell_progress(self, job_id: str, **progress: Any) -> None:
        """As the worker, report a job's progress."""
        entry = {
            "EventBusName": self.stack.outputs["JobBusName"],
            "Source": "worker",
            "DetailType": "Job Progress",
            "Detail": json.dumps({"jobId": job_id, **progress}),
        }
        self.client("events").put_events(Entries=[entry])

    def bus_events(self, detail_type: str) -> list[dict[str, Any]]:
        """All events of a type that were put on any bus."""
        events = (json.loads(text) for text in self.written.events() if detail_type in text)
        return [event for event in events if event["detail-type"] == detail_type]

    def dispatched(self, job_id: str) -> dict[str, Any]:
        """The Job Dispatched event of a job, once it has been put."""

        def found() -> list[dict[str, Any]]:
            events = self.bus_events("Job Dispatched")
            return [event for event in events if event["detail"]["jobId"] == job_id]

        (event,) = wait_for(found, "the event", seconds=10)
        return dict(event)

    def announced(self, detail_type: str, job_id: str) -> list[dict[str, Any]]:
        """The details of the events of a type that are about a job."""
        details = [event["detail"] for event in self.bus_events(detail_type)]
        return [detail for detail in details if detail["jobId"] == job_id]

    def heard(self, detail_type: str, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The same for the job of a row, once there is such an event."""
        found = partial(self.announced, detail_type, row["jobId"]["S"])
        events: list[dict[str, Any]] = wait_for(found, f"{detail_type}, the event", seconds=20)
        return events

    def action_event(self, pipeline: str, state: str) -> dict[str, Any]:
        """CodePipeline's event that the custom action of a pipeline has a state."""

        def is_it(event: dict[str, Any]) -> bool:
            detail = event["detail"]
            ours = detail["type"]["owner"] != "AWS"
            return ours and (detail["pipeline"], detail["state"]) == (pipeline, state)

        kind = "CodePipeline Action Execution State Change"
        found = wait_for(lambda: [*filter(is_it, self.bus_events(kind))], "the event", seconds=10)
        return dict(found[0])


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[World]:
    """The stack, with the PARAMETERS that a module names, and its functions' SLEEP_SCALE."""
    second = "Custom/Test/Second/2"
    types = f"{acknowledger.CUSTOM_ACTION_TYPE},{second},{acknowledger.PARTNER_ACTION_TYPE}"
    # Every function logs at level DEBUG, so that these lines are searched for secrets, too.
    parameters = {"ActionTypes": types, "DebugSampleRate": "1"} | getattr(
        request.module, "PARAMETERS", {}
    )
    with acknowledger.running(
        parameters=parameters,
        retry_delays=(0.05, 0.05),
        retry_scale=0.05,
        sleep_scale=getattr(request.module, "SLEEP_SCALE", 1.0),
        enforce_permissions=True,
    ) as (cloud, stack):
        acknowledger.register(cloud, stack, second)
        world = World(cloud, stack, Written(cloud, stack))
        world.emulator.put_client(world.emulator.default_client_id, CLIENT_TOKEN)
        world.put_token(world.emulator.default_client_id, CLIENT_TOKEN)
        yield world
        # Whatever the tests have done, no secret may have been written anywhere.
        assert world.written.secrets([CLIENT_TOKEN, PASSWORD]) == []


@pytest.fixture
def world(running: World) -> Iterator[World]:
    """The stack in its initial state: every switch and rule is reset afterwards."""
    # Otherwise a sweep may take what a test holds back.
    running.cloud.schedule.restart()
    # Jobs can be polled at once, so that one sweep finds them.
    running.emulator.behaviour = moto_codepipeline.Behaviour(started_before_queued_seconds=0)
    yield running
    events = running.client("events")
    for bus in events.list_event_buses()["EventBuses"]:
        for rule in events.list_rules(EventBusName=bus["Name"])["Rules"]:
            if rule["State"] == "DISABLED":
                events.enable_rule(Name=rule["Name"], EventBusName=bus["Name"])


@pytest.fixture(params=["Custom", "ThirdParty"])
def owners_world(request: pytest.FixtureRequest, world: World) -> World:
    """The world with custom actions, and with partner actions."""
    return replace(world, owner=request.param)
