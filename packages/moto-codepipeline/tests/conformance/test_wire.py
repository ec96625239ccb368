"""The wire format, without an SDK."""

import json
import re
from typing import Any

import pytest

from codepipeline_fixtures import UNKNOWN_JOB, Service, action_type
from conformance.cases import KINDS, Kind
from conformance.constraints import good_request, model, served
from conformance.service import FAILURE, QUERYABLE, RELEASE, claimed, idle, new_service, succeeded
from conformance.wire import JSON, post

NOT_SERVED = sorted(set(model().operation_names) - set(served()))
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type_id["owner"])


def test_an_error_has_its_code_and_a_message_in_the_body(url: str, service: Service) -> None:
    reply = post(url, "GetJobDetails", json.dumps({"jobId": UNKNOWN_JOB}))
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (400, "JobNotFoundException")
    assert json.loads(reply.body) == {
        "__type": "JobNotFoundException",
        "message": f"Job with id '{UNKNOWN_JOB}' does not exist",
    }
    assert reply.headers.get_all("Content-Type") == [JSON]
    assert reply.headers["x-amzn-RequestId"]


@each_kind
def test_an_output_is_json_1_1(url: str, kind: Kind) -> None:
    idle(new_service(kind.type_id["owner"]))
    reply = post(url, kind.poll, json.dumps({"actionTypeId": kind.type_id}))
    assert (reply.status, json.loads(reply.body)) == (200, {"jobs": []})
    assert reply.headers.get_all("Content-Type") == [JSON]
    assert reply.headers["x-amzn-RequestId"]


def test_timestamps_are_numbers(url: str, service: Service) -> None:
    succeeded(service)
    for operation, request in (
        ("ListPipelines", {}),
        ("GetPipeline", {"name": "release"}),
        ("GetPipelineState", {"name": "release"}),
        ("ListPipelineExecutions", RELEASE),
        ("ListActionExecutions", RELEASE),
    ):
        reply = post(url, operation, json.dumps(request))
        assert reply.status == 200
        assert not re.search(r'"\d{4}-\d\d-\d\dT', reply.body), reply.body


def test_every_response_has_its_own_request_id(url: str, service: Service) -> None:
    replies = [post(url, "ListPipelines", "{}") for _ in range(3)]
    assert len({reply.headers["x-amzn-RequestId"] for reply in replies}) == 3


@each_kind
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_result_is_accepted_with_an_empty_body(url: str, kind: Kind, outcome: str) -> None:
    job = claimed(new_service(kind.type_id["owner"]))
    request = job.named | (FAILURE if outcome == "failure" else {})
    for _ in ("first", "repeat"):
        reply = post(url, getattr(kind, outcome), json.dumps(request))
        assert (reply.status, reply.raw) == (200, b"")
        assert reply.headers["Content-Length"] == "0"
        assert reply.headers["x-amzn-RequestId"]


NOT_JSON = "The request body is not valid JSON."
NO_OBJECT = "The request body is not a JSON object."


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{", NOT_JSON),
        ("[]", NO_OBJECT),
        ('"text"', NO_OBJECT),
        (b"\xff\xfe", NOT_JSON),
        ("[" * 50_000, NOT_JSON),
        ('{"jobId": NaN}', NOT_JSON),
        ('{"jobId": true}', "TRUE_VALUE cannot be converted to String"),
        ('{"jobId": 7}', "NUMBER_VALUE cannot be converted to String"),
        ('{"jobId": []}', "Start of list found where not expected"),
    ],
    ids=range(9),
)
def test_an_invalid_body_is_refused(url: str, service: Service, body: Any, text: str) -> None:
    reply = post(url, "GetJobDetails", body)
    assert (reply.status, reply.error) == (400, "SerializationException")
    assert json.loads(reply.body)["message"] == text


@pytest.mark.parametrize("number", ["1.5", "1e999"])
def test_a_number_that_is_not_whole_is_refused(url: str, service: Service, number: str) -> None:
    reply = post(url, "PollForJobs", f'{{"maxBatchSize": {number}}}')
    text = "NUMBER_VALUE cannot be converted to Integer"
    assert json.loads(reply.body) == {"__type": "SerializationException", "message": text}


def test_a_request_without_a_body_is_an_empty_one(url: str, service: Service) -> None:
    assert post(url, "ListPipelines", "").status == 200


@pytest.mark.parametrize(
    ("operation", "request_", "paths"),
    [
        ("AcknowledgeThirdPartyJob", None, ["jobId", "nonce", "clientToken"]),
        ("AcknowledgeJob", {"jobId": UNKNOWN_JOB, "nonce": None}, ["nonce"]),
        (
            "CreateCustomActionType",
            action_type(configurationProperties=[QUERYABLE, {"name": "a"}]),
            [f"configurationProperties.2.member.{name}" for name in ("required", "key", "secret")],
        ),
    ],
)
def test_what_is_missing_is_reported_together(
    url: str, service: Service, operation: str, request_: Any, paths: list[str]
) -> None:
    reply = post(url, operation, json.dumps(request_) if request_ else "")
    null = "failed to satisfy constraint: Member must not be null"
    errors = "error" if len(paths) == 1 else "errors"
    said = "; ".join(f"Value at '{path}' {null}" for path in paths)
    text = f"{len(paths)} validation {errors} detected: {said}"
    assert json.loads(reply.body) == {"__type": "ValidationException", "message": text}


def test_unknown_members_and_nulls_are_ignored(url: str, service: Service) -> None:
    request = {"actionOwnerFilter": None, "colour": "red"}
    reply = post(url, "ListActionTypes", json.dumps(request))
    assert reply.status == 200


@pytest.mark.parametrize("operation", ["Dance", "", None, *NOT_SERVED])
def test_an_operation_that_is_unknown_or_not_emulated_is_an_error(
    url: str, service: Service, operation: str | None
) -> None:
    known = operation in NOT_SERVED
    reply = post(url, operation, json.dumps(good_request(str(operation)) if known else {}))
    assert (reply.status, reply.error) == (400, "UnknownOperationException")
    assert reply.headers.get_all("Content-Type") == [JSON]
    if known:
        assert str(operation) in reply.body


def test_a_client_that_speaks_cbor_is_refused_in_cbor(url: str, service: Service) -> None:
    reply = post(
        url,
        None,
        b"\xa0",
        path="/service/CodePipeline_20150709/operation/PollForJobs",
        Content_Type="application/cbor",
        Accept="application/cbor",
        smithy_protocol="rpc-v2-cbor",
    )
    assert reply.status == 400
    assert reply.headers.get_all("Content-Type") == ["application/cbor"]
    assert reply.headers["smithy-protocol"] == "rpc-v2-cbor"
    # A map with two members.
    assert reply.raw[:1] == b"\xa2"
    assert b"__type" in reply.raw
    assert b"JSON 1.1 only" in reply.raw


def test_the_cbor_path_without_the_protocol_is_an_error(url: str, service: Service) -> None:
    path = "/service/CodePipeline_20150709/operation/PollForJobs"
    reply = post(url, None, "{}", path=path)
    assert reply.status == 400
    assert b"<html" not in reply.raw
