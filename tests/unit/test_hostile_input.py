"""Hostile events, offers and results: each is refused with a named error or handled.

Every service is simulated at the HTTP level: it records its requests, and refuses those that break
the limits of its API, as the real one would.
"""

import bisect
import contextlib
import functools
import io
import itertools
import json
import logging
import math
import re
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from hypothesis import assume, example, given
from hypothesis import strategies as st

import acknowledge
import intake
import report
import stop
from acknowledger import aws, offers, stopping, table, taking
from acknowledger import events as shapes
from acknowledger.config import ActionType
from acknowledger.errors import AcknowledgerError, EventInvalid, IntakeIncomplete
from acknowledger.log import logger, printable
from acknowledger.validation import violations
from tests.hostile import VICTIM, fits, mutated, settled, texts, values
from tests.support import ROOT, load_event
from tests.unit.conftest import Context, offered

SECRET = "secret-that-nobody-may-see"
CUSTOM, PARTNER, OTHER = (
    "Custom/Build/Acknowledger/1",
    "ThirdParty/Deploy/Product/1",
    "Custom/Test/Other/2",
)
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:Job"
CLIENT_ID = load_event("acknowledge-job-dispatched-partner")["detail"]["clientId"]
TASK_TOKEN = "token of the execution that waits"
# The longest cause that Step Functions takes for a failed task and shows for a failed function.
MOST_CAUSE = 32_768
CHECKED = ("codepipeline", "stepfunctions", "ssm")
CHANGES = re.compile("Put|Acknowledge|Update|Delete|Send|Start")


def samples(prefix: str) -> list[Any]:
    """The sample events of a function, good and bad, with the input of an execution as JSON."""
    paths = sorted((ROOT / "events").glob(f"**/{prefix}-*.json"))
    found = [json.loads(path.read_text()) for path in paths]
    for event in found:
        if "clientToken" in event:
            event["clientToken"] = SECRET
        detail = event.get("detail", {})
        if isinstance(detail.get("input"), str):
            detail["input"] = json.loads(detail["input"])
    return found


def packed(event: Any, *, pack: bool = True) -> Any:
    """An event with the input of its execution as a string again."""
    if pack and isinstance(event, dict) and isinstance(event.get("detail"), dict):
        given_input = event["detail"].get("input")
        if isinstance(given_input, (dict, list)):
            detail = {**event["detail"], "input": json.dumps(given_input)}
            return {**event, "detail": detail}
    return event


INTAKE, ACKNOWLEDGE, REPORT, STOP = map(samples, ("intake", "acknowledge", "report", "stop"))
EVERYBODYS = [*INTAKE, *ACKNOWLEDGE, *REPORT, *STOP]
SUCCEEDED, PARTNERS = load_event("report-succeeded"), load_event("report-succeeded-partner")
JOB_ID, PARTNERS_JOB_ID = SUCCEEDED["offer"]["job"]["id"], PARTNERS["offer"]["job"]["id"]
ARN = SUCCEEDED["execution"]
STOP_ACTION = load_event("stop-action-failed")
ACTION = STOP_ACTION["detail"]["action-execution-id"]


def events(*of: Any, keep: tuple[str, ...] = ("clientToken",)) -> st.SearchStrategy[Any]:
    """Any JSON, changed samples, and now and then an event for another function."""
    changed = mutated(*of, keep=keep)
    anything = st.one_of(changed, changed, changed, mutated(*EVERYBODYS, keep=keep), values())
    return st.builds(packed, anything, pack=st.sampled_from([True, True, True, False])).filter(fits)


class Raw(io.BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.getvalue()


def answered(answer: Any, status: int = 200) -> AWSResponse:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return AWSResponse("https://aws", status, {}, Raw(body))


def refused(code: str, message: str = "No.") -> AWSResponse:
    return answered({"__type": code, "message": message}, 400)


@dataclass
class Said:
    """The result of a call: an answer or a named error, and everything written meanwhile."""

    answer: Any = None
    error: AcknowledgerError | None = None
    written: str = ""
    requests: list[tuple[str, Any]] = field(default_factory=list)

    def asked(self, operation: str) -> list[Any]:
        return [request for name, request in self.requests if name == operation]


def log_handler() -> logging.StreamHandler[Any]:
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    return handler


class Cloud:
    """Every service, each call recorded."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.offers: dict[str, Any] = {}
        self.jobs: dict[str, Any] = {}
        self.clients = [
            aws.client("codepipeline"),
            aws.client("codepipeline", retrying=False),
            *map(aws.client, ("dynamodb", "stepfunctions", "events", "ssm")),
        ]
        for client in self.clients:
            client.meta.events.register_first(
                "before-send", functools.partial(self._answer, client.meta.service_model)
            )

    def clear(self) -> None:
        self.requests = []
        self.offers, self.jobs = {}, {}
        rows: dict[str, dict[str, Any]] = {
            JOB_ID: {"execution": ARN, "action": ACTION},
            PARTNERS_JOB_ID: {"execution": PARTNERS["execution"], "clientId": CLIENT_ID},
            VICTIM: {"execution": "arn:of:the:execution:of:the:victim"},
        }
        maps: dict[str, Any] = {"times": {}, "acknowledgeCalls": {}}
        known = {"actionType": CUSTOM, "status": "InProgress", "action": "another", **maps}
        self.rows = {job_id: {"jobId": job_id, **known, **row} for job_id, row in rows.items()}

    def call(self, module: ModuleType, event: Any) -> Said:
        """Invoke a function with an event, as Lambda does; raises all errors but our own."""
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        said = Said(requests=self.requests)
        log_handler().stream = out
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                said.answer = module.handler(event, Context())
            except AcknowledgerError as error:
                said.error = error
        said.written = out.buffer.getvalue().decode()
        return said

    def _answer(
        self, service: Any, request: Any, event_name: str = "", **_: Any
    ) -> AWSResponse | None:
        operation = event_name.rsplit(".", 1)[-1]
        asked = json.loads(request.body)
        self.requests.append((operation, asked))
        shape = service.operation_model(operation).input_shape
        broken = list(violations(shape, asked, "")) if service.service_name in CHECKED else []
        keys = {**asked.get("Key", {}), **asked.get("ExpressionAttributeValues", {})}
        for name in ("jobId", ":action"):
            if name in keys and not 1 <= len(keys[name]["S"].encode("utf-8", "replace")) <= 2048:
                broken.append((name, "a key must have 1 to 2048 bytes"))
        if broken:
            return refused("ValidationException", f"{broken}")
        return getattr(self, f"_{operation}", lambda _: answered({}))(asked)

    # CodePipeline

    def _PollForJobs(self, asked: Any) -> AWSResponse:  # noqa: N802
        kind = "/".join(
            asked["actionTypeId"][name] for name in ("owner", "category", "provider", "version")
        )
        found = self.offers.pop(kind, [])
        return answered(found if isinstance(found, bytes) else {"jobs": found})

    _PollForThirdPartyJobs = _PollForJobs

    def _GetThirdPartyJobDetails(self, asked: Any) -> AWSResponse:  # noqa: N802
        if asked["jobId"] not in self.jobs:
            return refused("JobNotFoundException")
        return answered({"jobDetails": self.jobs[asked["jobId"]]})

    def _AcknowledgeJob(self, _: Any) -> AWSResponse:  # noqa: N802
        return answered({"status": "InProgress"})

    _AcknowledgeThirdPartyJob = _AcknowledgeJob

    def _ListActionTypes(self, _: Any) -> AWSResponse:  # noqa: N802
        secret = {"name": "Password", "required": True, "key": False, "secret": True}
        kinds = [
            {"id": ActionType.parse(name).as_id(), "actionConfigurationProperties": [secret]}
            for name in (CUSTOM, PARTNER, OTHER)
        ]
        return answered({"actionTypes": kinds})

    # Parameter Store

    def _GetParameter(self, asked: Any) -> AWSResponse:  # noqa: N802
        if not asked["Name"].endswith(f"/{CLIENT_ID}"):
            return refused("ParameterNotFound")
        return answered({"Parameter": {"Name": asked["Name"], "Value": SECRET}})

    # Step Functions

    def _StartExecution(self, asked: Any) -> AWSResponse:  # noqa: N802
        if len(asked["input"].encode()) > 262_144:
            return refused("InvalidExecutionInput")
        arn = f"{MACHINE.replace('stateMachine', 'execution')}:{asked['name']}"
        return answered({"executionArn": arn, "startDate": 0})

    def _DescribeExecution(self, _: Any) -> AWSResponse:  # noqa: N802
        return refused("ExecutionDoesNotExist")

    def _GetExecutionHistory(self, _: Any) -> AWSResponse:  # noqa: N802
        scheduled = {
            "resourceType": "events",
            "resource": "putEvents.waitForTaskToken",
            "region": "us-east-1",
            "parameters": json.dumps({"Entries": [{"Detail": {"taskToken": TASK_TOKEN}}]}),
        }
        event = {"timestamp": 0, "type": "TaskScheduled", "id": 2}
        return answered({"events": [{**event, "taskScheduledEventDetails": scheduled}]})

    # DynamoDB

    def _GetItem(self, asked: Any) -> AWSResponse:  # noqa: N802
        if "jobId" not in asked["Key"]:
            maps: dict[str, Any] = {"holders": {}, "waiting": {}, "awaiting": {}}
            return answered({"Item": table.typed({"actionType": CUSTOM, **maps})})
        row = self.rows.get(asked["Key"]["jobId"]["S"])
        return answered({"Item": table.typed(row)} if row else {})

    def _UpdateItem(self, asked: Any) -> AWSResponse:  # noqa: N802
        if "jobId" not in asked["Key"]:
            return answered({})
        row = self.rows.get(asked["Key"]["jobId"]["S"])
        if row is None:
            return refused("ConditionalCheckFailedException")
        names = asked.get("ExpressionAttributeNames", {})
        calls = {names["#call"]: "?"} if "#call" in names else {}
        return answered({"Attributes": table.typed({**row, "acknowledgeCalls": calls})})

    def _Query(self, asked: Any) -> AWSResponse:  # noqa: N802
        action = asked["ExpressionAttributeValues"].get(":action", {}).get("S")
        found = [{"jobId": {"S": i}} for i, row in self.rows.items() if row["action"] == action]
        return answered({"Items": found, "Count": len(found)})


@pytest.fixture
def cloud(environment: None, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("ACTION_TYPES", f"{CUSTOM},{PARTNER},{OTHER}")
    monkeypatch.setenv("MAX_JOBS_IN_FLIGHT", "5,0,5")
    for module in (taking, stopping):
        monkeypatch.setattr(module.time, "sleep", lambda _: None)
    monkeypatch.setattr(log_handler(), "stream", log_handler().stream)
    return Cloud()


def check(said: Said, allowed: set[Any], *, executions: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Check what must hold for every input.

    Args:
        allowed: the ids of the jobs that may appear in requests.
    """
    _check_written(said)
    for operation, asked in said.requests:
        for job_id in _jobs_of(operation, asked):
            assert job_id in allowed, f"{operation} for {job_id!r:.200}"
        for name, expression in asked.items():
            if name.endswith("Expression"):
                assert re.fullmatch(r"[\w#:., ()<>=]{1,700}", expression), (operation, name)
        if operation.startswith(("Update", "Get", "Delete", "Put", "Start", "Query", "Send")) and (
            "clientToken" not in asked
        ):
            assert SECRET not in json.dumps(asked), operation


def _check_written(said: Said) -> None:
    for line in said.written.split("\n")[:-1]:
        # NaN and Infinity are not JSON.
        found = json.loads(line, parse_constant=pytest.fail)
        assert isinstance(found, dict)
        assert len(line.encode()) <= 1024 * 1024
    assert said.written[-1:] in ("", "\n")
    told = str(said.error or "")
    told.encode()
    answer = json.dumps(said.answer, ensure_ascii=False, allow_nan=False)
    answer.encode()
    for text in (said.written, told, answer):
        assert SECRET not in text
    assert said.error is None or told, "an error without a message"


def _jobs_of(operation: str, asked: Any) -> list[Any]:
    if operation == "StartExecution":
        return [json.loads(asked["input"])["job"]["id"]]
    if operation == "PutEvents":
        details = [json.loads(entry["Detail"]) for entry in asked["Entries"]]
        return [detail["jobId"] for detail in details]
    if "jobId" in asked.get("Key", {}):
        return [asked["Key"]["jobId"]["S"]]
    return [asked["jobId"]] if "jobId" in asked else []


def detail_in(event: Any) -> dict[str, Any]:
    if isinstance(event, dict) and ("detail" in event or "detail-type" in event):
        event = event.get("detail")
    return event if isinstance(event, dict) else {}


# Acknowledge


@st.composite
def acknowledge_events(draw: st.DrawFn) -> Any:
    event = draw(events(*ACKNOWLEDGE))
    if isinstance(event, dict) and "clientToken" in event:
        odd = [SECRET, [SECRET], {SECRET: SECRET}, SECRET * 100, f"{SECRET}\n\0", f"{SECRET}\ud800"]
        event = {**event, "clientToken": draw(st.sampled_from(odd))}
    return event


@settled(40)
@given(event=acknowledge_events())
def test_acknowledge_answers_each_task_once_or_refuses_the_event(cloud, event):
    cloud.clear()
    said = cloud.call(acknowledge, event)
    request = detail_in(event)
    token = request.get("taskToken")
    check(said, {request["jobId"]} if isinstance(request.get("jobId"), str) else set())
    told = said.asked("SendTaskSuccess") + said.asked("SendTaskFailure")
    if said.error is None and token is not None:
        assert [one["taskToken"] for one in told] == [token]
    elif said.error is None:
        assert said.asked("AcknowledgeJob") + said.asked("AcknowledgeThirdPartyJob")
    if token is None:
        assert not told


# Report


def told_codepipeline(said: Said) -> list[Any]:
    """The results that CodePipeline was sent."""
    return [
        asked for operation, asked in said.requests if re.match("Put(ThirdParty)?Job", operation)
    ]


@settled(40)
@given(event=events(*REPORT))
def test_report_puts_one_result_if_the_job_has_ended(cloud, event):
    cloud.clear()
    said = cloud.call(report, event)
    allowed = {detail_in(event).get("jobId")}
    with contextlib.suppress(TypeError, KeyError):
        allowed = {event["offer"]["job"]["id"]}
        allowed.add(event["offer"]["continues"]["jobId"])
    check(said, {job_id for job_id in allowed if isinstance(job_id, str)})
    puts = told_codepipeline(said)
    if said.error is None and said.answer not in ({"shown": False}, {"shown": True}):
        assert len(puts) == int(said.answer["status"] in ("Succeeded", "Failed", "TimedOut"))


def results() -> st.SearchStrategy[Any]:
    """What a worker may return: changed outputs, and any JSON."""
    whole = SUCCEEDED["outcome"]["result"]
    dated = {**whole, "currentRevision": {**whole["currentRevision"], "created": 1790616877}}
    text = json.loads(json.dumps(dated).replace("1790616877", '"2026-09-28T17:34:37Z"'))
    return st.one_of(mutated({"result": whole}, {"result": dated}, {"result": text}), values())


@settled(40)
@given(result=results(), partner=st.booleans())
def test_a_workers_result_through_report(cloud, result, partner):
    """It is sent to CodePipeline unchanged, or the job is failed with the reason."""
    cloud.clear()
    result = result["result"] if isinstance(result, dict) and "result" in result else result
    event = {**(PARTNERS if partner else SUCCEEDED), "outcome": {"result": result}}
    assume(fits(event))
    said = cloud.call(report, event)
    check(said, {event["offer"]["job"]["id"]})
    assert said.error is None
    assert len(told_codepipeline(said)) == 1
    kind = "PutThirdPartyJob" if partner else "PutJob"
    if said.answer["status"] == "Succeeded":
        assert said.asked(f"{kind}SuccessResult")
    else:
        (told,) = said.asked(f"{kind}FailureResult")
        assert told["failureDetails"]["message"].startswith("The worker's result was not accepted")


@settled(30)
@given(error=texts(), cause=texts(), partner=st.booleans())
def test_a_workers_failure_through_report(cloud, error, cause, partner):
    cloud.clear()
    event = failed(error, cause, PARTNERS if partner else SUCCEEDED)
    said = cloud.call(report, event)
    check(said, {event["offer"]["job"]["id"]})
    assert said.error is None
    kind = "PutThirdPartyJobFailureResult" if partner else "PutJobFailureResult"
    (told,) = said.asked(kind)
    details = told["failureDetails"]
    assert 1 <= len(details["message"]) <= 5000
    if cause.strip() and len(error) + len(cause) < 4000 and not error.startswith("States."):
        assert printable(cause) in details["message"]


def failed(error: str, cause: str, event: Any = SUCCEEDED) -> Any:
    words = {"Error": error, "Cause": cause}
    return {**event, "outcome": {"state": "InProgress", "failure": words, "milliseconds": 1}}


# Stop


@settled(40)
@example(event=STOP_ACTION)
@given(event=events(*STOP))
def test_stop_changes_only_the_jobs_of_the_stopped_execution(cloud, event):
    """It may read the row of any job in the event, but changes only those of the execution."""
    cloud.clear()
    said = cloud.call(stop, event)
    detail = detail_in(event)
    named, arn = {JOB_ID, PARTNERS_JOB_ID}, detail.get("executionArn")
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        given_input = json.loads(detail["input"])
        named.add(given_input["job"]["id"])
        named.add(given_input["continues"]["jobId"])
    check(said, named)
    for operation, asked in said.requests:
        for job_id in _jobs_of(operation, asked) if CHANGES.match(operation) else ():
            row = cloud.rows[job_id]
            assert row["execution"] == arn or row["action"] == detail.get("action-execution-id")
    for asked in said.asked("SendTaskFailure"):
        assert asked["taskToken"] == TASK_TOKEN
        assert detail["action-execution-id"] == ACTION
    if said.error is None and said.answer["ended"]:
        assert said.asked("SendTaskFailure") or said.asked("PutJobFailureResult")


# Intake


def offer(number: int = 1) -> dict[str, Any]:
    """A job as PollForJobs returns it, with every member that it may have."""
    place = {"type": "S3", "s3Location": {"bucketName": "b", "objectKey": "k"}}
    context = SUCCEEDED["offer"]["job"]["data"]["pipelineContext"]
    job = offered(
        {"Password": SECRET, "Input": "x", "JobTimeoutSeconds": "60"},
        pipelineContext=context | {"action": {"name": "Compile", "actionExecutionId": "another"}},
        inputArtifacts=[{"name": "Source", "revision": "1", "location": place}],
        artifactCredentials=dict.fromkeys(
            ("accessKeyId", "secretAccessKey", "sessionToken"), SECRET
        ),
        continuationToken="the worker's own",
        encryptionKey={"id": "key", "type": "KMS"},
    )
    return job | {"id": f"00000000-0000-0000-0000-{number:012}"}


@settled(40)
@given(event=events(*INTAKE))
def test_intake(cloud, event):
    cloud.clear()
    cloud.offers = {CUSTOM: [offer(1)], OTHER: [offer(2)]}
    said = cloud.call(intake, event)
    check(said, {offer(1)["id"], offer(2)["id"]})
    kind = event.get("detail-type") if isinstance(event, dict) else None
    if said.error is None and "refused" in said.answer:
        assert kind in intake.PAUSED
        assert not said.requests
    elif said.error is None and "paused" not in said.answer:
        assert kind in shapes.SHAPES["Intake"]
        assert said.asked("PollForJobs") or "Step Functions" in kind
    elif isinstance(said.error, EventInvalid):
        assert not said.requests


SECRETS = ("artifactCredentials", "Password")
STARTED = load_event("intake-action-started")


def started(said: Said) -> list[Any]:
    return [json.loads(asked["input"])["job"]["id"] for asked in said.asked("StartExecution")]


def parsed(operation: str, answer: Any) -> bool:
    """Whether botocore can read an answer."""
    from botocore.parsers import create_parser  # noqa: PLC0415

    client = aws.client("codepipeline")
    shape = client.meta.service_model.operation_model(operation).output_shape
    body = {"body": json.dumps(answer).encode(), "headers": {}, "status_code": 200}
    try:
        create_parser("json").parse(body, shape)
    except Exception:  # noqa: BLE001
        return False
    return True


@st.composite
def odd_offers(draw: st.DrawFn) -> tuple[str, Any, Any]:
    """The kind of a malformed offer, the offer, and a partner's job as its details have it."""
    if draw(st.booleans()):
        some = st.dictionaries(texts(), values(), max_size=3)
        return CUSTOM, draw(st.one_of(mutated(offer(9), keep=SECRETS), some)), None
    whole = {"clientId": CLIENT_ID, "jobId": "odd", "details": offer(9)}
    odd = draw(mutated(whole, keep=SECRETS).filter(lambda one: isinstance(one, dict)))
    details = odd.pop("details", None)
    return PARTNER, odd, details


@pytest.mark.slow
@settled(70)
@example(made=(CUSTOM, {"id": "\ud800", "data": {}}, None), event=load_event("intake-schedule"))
@given(made=odd_offers(), event=st.sampled_from([load_event("intake-schedule"), STARTED]))
def test_a_malformed_offer_does_not_affect_the_others(cloud, made, event):
    cloud.clear()
    kind, odd, details = made
    event = event if kind == CUSTOM else load_event("intake-schedule")
    operation = "PollForJobs" if kind == CUSTOM else "PollForThirdPartyJobs"
    assume(fits([odd, details]) and parsed(operation, {"jobs": [odd]}))
    cloud.jobs = {"good": offer(3)}
    named = [odd.get(name) for name in ("id", "jobId")]
    if isinstance(odd.get("jobId"), str):
        cloud.jobs[odd["jobId"]] = details
        named.append(details.get("id") if isinstance(details, dict) else None)
    last = offer(3) if kind == CUSTOM else {"clientId": CLIENT_ID, "jobId": "good"}
    cloud.offers = {CUSTOM: [offer(1)], OTHER: [offer(2)]}
    cloud.offers[kind] = [*cloud.offers.get(kind, []), odd, last]
    said = cloud.call(intake, event)
    good = {offer(number)["id"] for number in (1, 2, 3)}
    check(said, good | {"good", *(job_id for job_id in named if isinstance(job_id, str))})
    taken = started(said)
    assert set(taken) >= good - ({offer(2)["id"]} if event is STARTED else set())
    if said.error is None:
        assert len(taken) == 4 - (event is STARTED) or "Client token refused" in said.written
    else:
        assert isinstance(said.error, IntakeIncomplete)
        assert printable(f"starting job {offers.job_id(odd)}") in str(said.error)


# Inputs that the generated tests have found


def expect_named(cloud: Cloud, module: ModuleType, event: Any) -> Said:
    cloud.clear()
    said = cloud.call(module, event)
    check(said, {JOB_ID})
    return said


def test_a_lone_surrogate_can_be_logged(cloud):
    assert expect_named(cloud, report, failed("JobFailed", "a\ud800b")).error is None


@pytest.mark.parametrize("name", ["message", "args", "name", "exc_info", "asctime"])
@pytest.mark.parametrize("value", ["x", math.inf])
def test_an_operators_detail_may_have_any_member(cloud, name, value):
    said = expect_named(cloud, intake, {"detail-type": "Pause Intake", "detail": {name: value}})
    assert said.error is None or isinstance(said.error, EventInvalid)


def test_a_cause_is_no_longer_than_the_state_machine_takes(cloud):
    """A longer one would end the execution without any report."""
    many: dict[str, Any] = {f"member {number}": 1 for number in range(10_000)}
    said = expect_named(cloud, report, {**SUCCEEDED, "outcome": {"result": many}})
    assert len(said.answer["cause"]) <= MOST_CAUSE


@pytest.mark.parametrize("levels", [20, 3])
@pytest.mark.parametrize(
    ("module", "event"),
    [
        (acknowledge, {"jobId": None, "nonce": "3"}),
        (report, {**SUCCEEDED, "outcome": {"result": {"continuationToken": None}}}),
        (intake, {"detail-type": "Pause Intake", "detail": {"a": None}}),
        (stop, STOP_ACTION | {"detail": STOP_ACTION["detail"] | {"execution-result": [None]}}),
    ],
    ids=["acknowledge", "report", "intake", "stop"],
)
def test_the_deepest_event_that_python_can_read_is_refused_or_handled(cloud, module, event, levels):
    """Lambda's runtime reads the event a few calls above the handler."""
    deepest = bisect.bisect_left(range(1, 5000), True, key=lambda n: not _readable(n))
    text = json.dumps(event).replace("null", "[" * (deepest - levels) + "]" * (deepest - levels))
    expect_named(cloud, module, json.loads(text))


def _readable(levels: int) -> bool:
    try:
        json.loads("[" * levels + "]" * levels)
    except RecursionError:
        return False
    return True


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"jobs": null}',
        b'{"jobs": [7]}',
        b'{"jobs": 7}',
        b'{"jobs": "abc"}',
        b'{"jobs": [{"id": "x", "nonce": "3", "data": []}]}',
        b'{"jobs": [{"id": "x", "nonce": "3", "data": {"pipelineContext": "x"}}]}',
        b'{"jobs": [{"data": {"actionConfiguration": {"configuration": ["x"]}}}]}',
        b"[]",
        b"\xff",
    ],
)
def test_an_unreadable_response_affects_only_its_action_type(cloud, answer):
    cloud.clear()
    cloud.offers = {CUSTOM: answer, OTHER: [offer(2)]}
    said = cloud.call(intake, load_event("intake-schedule"))
    check(said, {offer(2)["id"]})
    assert started(said) == [offer(2)["id"]]
    assert said.error is None or f"polling {CUSTOM}" in str(said.error)


def test_an_action_type_with_endless_offers_does_not_affect_the_others(cloud):
    """For example because an offer that cannot be taken is offered again at once."""
    cloud.clear()
    cloud.offers = {OTHER: [offer(2)]}
    left = itertools.count(40, -1)
    context = Context()
    context.get_remaining_time_in_millis = lambda: 1000 * next(left)  # type: ignore[method-assign]
    poll = cloud._PollForJobs
    odd = answered({"jobs": [{"id": "odd"}]})

    def endless(asked: Any) -> AWSResponse:
        custom = asked["actionTypeId"] == ActionType.parse(CUSTOM).as_id()
        return odd if custom else poll(asked)

    cloud._PollForJobs = endless
    with pytest.raises(IntakeIncomplete):
        intake.handler(load_event("intake-schedule"), context)
    assert started(Said(requests=cloud.requests)) == [offer(2)["id"]]
