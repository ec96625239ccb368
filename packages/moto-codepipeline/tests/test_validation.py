"""Requests that are refused before anything is looked up, with AWS's messages."""

import json
from typing import Any

import pytest

from codepipeline_fixtures import (
    TYPE,
    UNKNOWN_JOB,
    Service,
    action_type,
    code_of,
    configuration_property,
)
from moto_codepipeline.exceptions import CodePipelineError
from moto_codepipeline.validation import read_request


def refusal(operation: str, body: Any) -> tuple[str, str]:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    with pytest.raises(CodePipelineError) as caught:
        read_request(operation, text)
    return caught.value.error_type, caught.value.message


def missing(*paths: str) -> str:
    null = "failed to satisfy constraint: Member must not be null"
    errors = "error" if len(paths) == 1 else "errors"
    said = "; ".join(f"Value at '{path}' {null}" for path in paths)
    return f"{len(paths)} validation {errors} detected: {said}"


SECOND = "configurationProperties.2.member"


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("AcknowledgeJob", {"jobId": UNKNOWN_JOB, "nonce": None}, missing("nonce")),
        ("AcknowledgeJob", {}, missing("jobId", "nonce")),
        ("GetJobDetails", "", missing("jobId")),
        ("AcknowledgeThirdPartyJob", {}, missing("jobId", "nonce", "clientToken")),
        (
            "CreateCustomActionType",
            action_type(configurationProperties=[configuration_property("n"), {"name": "a"}]),
            missing(*(f"{SECOND}.{name}" for name in ("required", "key", "secret"))),
        ),
    ],
)
def test_what_is_missing_is_reported_together(operation: str, request_: Any, message: str) -> None:
    assert refusal(operation, request_) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("GetJobDetails", {"jobId": 7}, "NUMBER_VALUE cannot be converted to String"),
        ("GetJobDetails", {"jobId": True}, "TRUE_VALUE cannot be converted to String"),
        (
            "GetJobDetails",
            {"jobId": {}},
            "Start of structure or map found where not expected.",
        ),
        ("GetJobDetails", {"jobId": []}, "Start of list found where not expected"),
        (
            "PollForJobs",
            {"actionTypeId": TYPE, "maxBatchSize": "5"},
            "STRING_VALUE cannot be converted to Integer",
        ),
        (
            "PollForJobs",
            {"actionTypeId": TYPE, "maxBatchSize": 1.5},
            "NUMBER_VALUE cannot be converted to Integer",
        ),
        ("PollForJobs", {"actionTypeId": "Builder"}, "Expected a structure."),
        ("PollForJobs", {"actionTypeId": TYPE, "queryParam": []}, "Expected a map."),
        ("CreateCustomActionType", action_type(tags={}), "Expected list or null"),
        ("PollForJobs", '{"maxBatchSize": NaN}', "The request body is not valid JSON."),
        ("PollForJobs", '{"maxBatchSize": 1e999}', "NUMBER_VALUE cannot be converted to Integer"),
        ("GetJobDetails", "[]", "The request body is not a JSON object."),
    ],
)
def test_a_wrong_json_type(operation: str, request_: Any, message: str) -> None:
    assert refusal(operation, request_) == ("SerializationException", message)


def test_the_offending_value_is_not_repeated() -> None:
    request = {"jobId": "a-secret-value", "nonce": "x" * 60}
    assert "a-secret-value" not in refusal("AcknowledgeJob", request)[1]


def test_operations_of_moto_are_checked_too(service: Service) -> None:
    assert code_of(service.api.get_pipeline, name="no spaces please") == "ValidationException"
