import functools
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.session import get_session
from botocore.stub import Stubber
from cfnlint.decode import cfn_yaml
from moto import mock_aws

from acknowledger import acknowledgment, aws, client_tokens, job_api, job_table, table
from acknowledger.config import ActionType, config
from acknowledger.log import logger
from acknowledger.moments import ago, now
from acknowledger.room import GIVEN
from local.aws import replaced
from tests.support import FUNCTIONS_ENVIRONMENT, ROOT, load_event

SERVICE = os.environ["POWERTOOLS_SERVICE_NAME"]
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_METRICS_NAMESPACE": "acknowledger",
    **FUNCTIONS_ENVIRONMENT,
}

# moto computes much anew for every request; the local stack keeps it.
replaced.install("once", "dynamodb")


@dataclass
class Context:
    """Lambda's context object, with what the functions and Powertools read of it."""

    function_name: str = "function"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"
    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


class Clients:
    """The SDK's session: clients are created once; handlers that a test registers are removed."""

    def __init__(self) -> None:
        self._clients: dict[Any, Any] = {}
        self._registered: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def get_service_model(self, service: str) -> Any:
        return get_session().get_service_model(service)

    def create_client(self, service: str, *, config: Any) -> Any:
        key = (service, id(config))
        if key not in self._clients:
            self._clients[key] = get_session().create_client(service, config=config)
            for name in ("register", "register_first", "register_last"):
                self._watch(self._clients[key].meta.events, name)
        return self._clients[key]

    def _watch(self, events: Any, name: str) -> None:
        register = getattr(events, name)

        def registering(*args: Any, **kwargs: Any) -> None:
            register(*args, **kwargs)
            self._registered.append((events, args, kwargs))

        setattr(events, name, registering)

    def take_back(self) -> None:
        while self._registered:
            events, args, kwargs = self._registered.pop()
            events.unregister(*args, **kwargs)


CLIENTS = Clients()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment that the template sets, with all caches cleared."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "_session", lambda: CLIENTS)
    monkeypatch.setattr(acknowledgment, "TAKEN_BACK_AFTER_SECONDS", (0, 0))
    for cached in (aws._made, config, job_api.properties, client_tokens._provider):
        cached.cache_clear()
    job_api._largest_batch.clear()
    yield
    CLIENTS.take_back()


class Aws:
    """botocore stubs of the clients that a test expects to be called; every such call must come.

    sent: the bodies of the requests to CodePipeline.
    events: the events put on JobBus, `(detail-type, detail)`.
    started: the inputs of the executions that are started, by name.
    """

    def __init__(self, *services: str) -> None:
        self._stubs: dict[tuple[str, bool], Stubber] = {}
        self.sent: list[bytes] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.started: dict[str, dict[str, Any]] = {}
        for service in ("codepipeline", "stepfunctions", "ssm", "events", *services):
            self.service(service)
        self.service("codepipeline", retrying=False)
        self.service("codepipeline").client.meta.events.register_first(
            "before-call.*.*", lambda params, **_: self.sent.append(params["body"])
        )
        self.watch("events", "PutEvents", self._note_events)
        self.watch("stepfunctions", "StartExecution", self._note_start)

    @property
    def announced(self) -> list[dict[str, Any]]:
        """The details of the events."""
        return [detail for _, detail in self.events]

    def service(self, name: str, *, retrying: bool = True) -> Stubber:
        key = (name, retrying)
        if key not in self._stubs:
            self._stubs[key] = Stubber(aws.client(name, retrying=retrying))
            self._stubs[key].activate()
        return self._stubs[key]

    def watch(self, service: str, operation: str, act: Callable[[dict[str, Any]], object]) -> None:
        """Call `act` with the parameters of an operation before each call."""
        client = self.service(service, retrying=not operation.startswith("Acknowledge")).client
        client.meta.events.register(
            f"before-parameter-build.{service}.{operation}", lambda params, **_: act(params)
        )

    def expects(
        self, service: str, operation: str, answer: dict[str, Any], request: Any = None
    ) -> None:
        self._stub(service, operation).add_response(operation, answer, request)

    def expects_error(
        self, service: str, operation: str, code: str, message: str = "No.", status: int = 400
    ) -> None:
        self._stub(service, operation).add_client_error(
            operation, code, message, http_status_code=status
        )

    def expects_event(self) -> None:
        """One event is put on JobBus."""
        self.expects("events", "put_events", {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]})

    def expects_acknowledgment(self, answer: str, request: Any = None) -> None:
        """CodePipeline answers AcknowledgeJob with a status or an error."""
        if answer.endswith("Exception"):
            self.expects_error("codepipeline", "acknowledge_job", answer)
        else:
            self.expects("codepipeline", "acknowledge_job", {"status": answer}, request)

    def expects_listed(self, action_type: str | None, *queryable: str) -> None:
        """CodePipeline lists one action type, or none, with a secret property and further ones."""
        known = {"required": True, "key": True}
        secret: dict[str, Any] = {"name": "Password", "secret": True, **known}
        more = [{"name": n, "secret": False, "queryable": True, **known} for n in queryable]
        count = {"minimumCount": 0, "maximumCount": 5}
        listed = [
            {
                "id": ActionType.parse(action_type).as_id(),
                "inputArtifactDetails": count,
                "outputArtifactDetails": count,
                "actionConfigurationProperties": [secret, *more],
            }
            for action_type in filter(None, [action_type])
        ]
        self.expects("codepipeline", "list_action_types", {"actionTypes": listed})

    def expects_described(self, arn: str, status: str | None, **more: Any) -> None:
        """An execution is described; without a status, there is none of that name."""
        if status is None:
            self.expects_error("stepfunctions", "describe_execution", "ExecutionDoesNotExist")
            return
        answer = execution(arn, status) | more
        self.expects("stepfunctions", "describe_execution", answer, {"executionArn": arn})

    def assert_all_called(self) -> None:
        for stub in self._stubs.values():
            stub.assert_no_pending_responses()

    def _stub(self, service: str, operation: str) -> Stubber:
        return self.service(service, retrying=not operation.startswith("acknowledge_"))

    def _note_events(self, request: dict[str, Any]) -> None:
        for entry in request["Entries"]:
            assert (entry["EventBusName"], entry["Source"]) == ("JobBus", "acknowledger")
            kind, detail = entry["DetailType"], json.loads(entry["Detail"])
            if ended := detail.get("status"):
                assert kind == f"Job {ended.replace('TimedOut', 'Timed Out')}"
            self.events.append((kind, detail))

    def _note_start(self, request: dict[str, Any]) -> None:
        self.started[request["name"]] = json.loads(request["input"])


def offered(configuration: dict[str, str], **data: Any) -> dict[str, Any]:
    """The job of the sample events as CodePipeline offers it, with another configuration."""
    job: dict[str, Any] = load_event("acknowledge-job-dispatched")["detail"]["offer"]["job"]
    keys = dict.fromkeys(("accessKeyId", "secretAccessKey", "sessionToken"), "SECRET")
    secrets = {"actionConfiguration": {"configuration": configuration}, "artifactCredentials": keys}
    return {**job, "data": {**job["data"], **secrets, **data}}


def execution(arn: str, status: str = "RUNNING") -> dict[str, Any]:
    """An execution as Step Functions returns it."""
    machine, _, name = arn.replace("execution", "stateMachine").rpartition(":")
    known = {"executionArn": arn, "stateMachineArn": machine, "name": name}
    return {**known, "status": status, "startDate": 0}


class Log(io.StringIO):
    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Everything that the functions log."""
    stream = Log()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


@pytest.fixture
def aws_calls() -> Iterator[Aws]:
    """Every service is a stub."""
    calls = Aws("dynamodb")
    yield calls
    calls.assert_all_called()


def metrics_in(text: str) -> dict[str, tuple[Any, str]]:
    """The metrics that were printed, by name: `(value, unit)`; all in the stack's namespace."""
    found = {}
    for line in text.splitlines():
        if '"_aws"' in line:
            document = json.loads(line)
            (directive,) = document["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == ENVIRONMENT["POWERTOOLS_METRICS_NAMESPACE"]
            assert directive["Dimensions"] == [["service"]]
            for metric in directive["Metrics"]:
                (value,) = document[metric["Name"]]
                found[metric["Name"]] = (value, metric["Unit"])
    return found


def happened(number: int, kind: str, **details: Any) -> dict[str, Any]:
    """An event in the history of an execution."""
    return {"timestamp": 0, "type": kind, "id": number, **details}


def scheduled(number: int, resource: str, parameters: Any, kind: str = "events") -> dict[str, Any]:
    """The event that a task was scheduled."""
    details = {
        "resourceType": kind,
        "resource": resource,
        "region": "us-east-1",
        "parameters": json.dumps(parameters),
    }
    return happened(number, "TaskScheduled", taskScheduledEventDetails=details)


def noted(others: int, nonce: str = "3") -> dict[str, Any]:
    """DynamoDB's response if the job's row has this many other calls for the offer noted."""
    calls = {f"call-{number}": {"S": nonce} for number in range(others)}
    return {"Attributes": {"acknowledgeCalls": {"M": calls | {"of-another-offer": {"S": "?"}}}}}


class Cloud(Aws):
    """JobTable and IntakeTable as the template has them, in moto's DynamoDB; stubs of the others.

    calls: the calls of DynamoDB, as `JobTable GetItem`.
    """

    ACTION_TYPE = "Custom/Build/Acknowledger/1"

    def __init__(self) -> None:
        super().__init__()
        self.dynamodb = aws.client("dynamodb")
        self.calls: list[str] = []
        for name, properties in table_properties().items():
            self.dynamodb.create_table(TableName=name, **properties)
        self.dynamodb.meta.events.register_first(
            "before-parameter-build.dynamodb.*",
            lambda params, model, **_: self.calls.append(f"{params['TableName']} {model.name}"),
        )

    def put_job(self, job_id: str, **row: Any) -> None:
        """Put a job's row, by default in progress since now."""
        moment = row.get("updatedAt", now())
        ended = row.get("status") in job_table.ENDED
        row = {
            "jobId": job_id,
            "status": "InProgress",
            "execution": f"arn:{job_id}",
            "times": {"InProgress": moment},
            "updatedAt": moment,
            "actionType": self.ACTION_TYPE,
            "clientId": "",
            "offeredAt": moment,
            "room": GIVEN,
            "actionExecutionId": f"action of {job_id}",
            "pipelineExecutionId": f"pipeline execution of {job_id}",
            "acknowledgeCalls": {},
            "dueAt": ago(-15_552_000 if ended else -3660),
        } | row
        self.dynamodb.put_item(TableName="JobTable", Item=table.typed(row))

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's row, {} if there is none."""
        answer = self.dynamodb.get_item(TableName="JobTable", Key={"jobId": {"S": job_id}})
        return table.plain(answer.get("Item", {}))

    def put_intake(self, **row: Any) -> None:
        """Put the row of an action type, by default with empty maps."""
        maps: Mapping[str, Any] = {"holders": {}, "waiting": {}, "awaiting": {}, "unshown": {}}
        row = {"actionType": self.ACTION_TYPE, **maps} | row
        self.dynamodb.put_item(TableName="IntakeTable", Item=table.typed(row))

    def intake(self, action_type: str = ACTION_TYPE) -> dict[str, Any]:
        """The row of an action type, {} if there is none."""
        key = {"actionType": {"S": action_type}}
        answer = self.dynamodb.get_item(TableName="IntakeTable", Key=key)
        return table.plain(answer.get("Item", {}))

    def before(self, operation: str, act: Callable[[], object], *, change: str = "") -> None:
        """Call `act` once, just before the next call of an operation, or the next such change."""
        event = f"before-parameter-build.dynamodb.{operation}"

        def once(params: dict[str, Any], **_: Any) -> None:
            if change in params.get("UpdateExpression", ""):
                self.dynamodb.meta.events.unregister(event, once)
                act()

        self.dynamodb.meta.events.register(event, once)


@functools.cache
def table_properties() -> dict[str, dict[str, Any]]:
    """The tables' properties in the template, as CreateTable takes them."""
    resources = cfn_yaml.load(str(ROOT / "template.yaml"))["Resources"]
    later = ("PointInTimeRecoverySpecification", "SSESpecification", "TimeToLiveSpecification")
    tables = {name: resources[name]["Properties"] for name in ("JobTable", "IntakeTable")}
    # As ordinary dicts and strings instead of cfn-lint's nodes.
    plain: dict[str, dict[str, Any]] = json.loads(json.dumps(tables))
    return {
        table: {name: value for name, value in properties.items() if name not in later}
        for table, properties in plain.items()
    }


@pytest.fixture
def cloud(environment: None) -> Iterator[Cloud]:
    """The tables, and stubs of all other services."""
    with mock_aws():
        made = Cloud()
        yield made
        made.assert_all_called()
        aws._made.cache_clear()
