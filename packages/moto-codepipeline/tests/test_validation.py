"""Requests that are refused before anything is looked up, with AWS's messages."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import (
    TYPE,
    UNKNOWN_JOB,
    Service,
    action_type,
    configuration_property,
    error_of,
)
from moto_codepipeline.exceptions import CodePipelineError
from moto_codepipeline.validation import read_request

JOB_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def refusal(operation: str, body: Any) -> tuple[str, str]:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    with pytest.raises(CodePipelineError) as caught:
        read_request(operation, text)
    return caught.value.error_type, caught.value.message


def one(path: str, constraint: str) -> str:
    return (
        f"1 validation error detected: Value at '{path}' failed to satisfy constraint: {constraint}"
    )


PATTERN = f"Member must satisfy regular expression pattern: {JOB_ID}"
NULL = "Member must not be null"
TYPE_PATTERN = "Member must satisfy regular expression pattern: [0-9A-Za-z_-]+"


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("AcknowledgeJob", {"jobId": "nope", "nonce": "1"}, one("jobId", PATTERN)),
        ("AcknowledgeJob", {"jobId": UNKNOWN_JOB + "\n", "nonce": "1"}, one("jobId", PATTERN)),
        ("AcknowledgeJob", {"jobId": UNKNOWN_JOB}, one("nonce", NULL)),
        ("AcknowledgeJob", {"jobId": UNKNOWN_JOB, "nonce": None}, one("nonce", NULL)),
        (
            "AcknowledgeJob",
            {"jobId": UNKNOWN_JOB, "nonce": ""},
            one("nonce", "Member must have length greater than or equal to 1"),
        ),
        (
            "AcknowledgeJob",
            {"jobId": UNKNOWN_JOB, "nonce": "n" * 51},
            one("nonce", "Member must have length less than or equal to 50"),
        ),
        (
            "AcknowledgeJob",
            {},
            f"2 validation errors detected: Value at 'jobId' failed to satisfy constraint: {NULL}; "
            f"Value at 'nonce' failed to satisfy constraint: {NULL}",
        ),
        ("GetJobDetails", "", one("jobId", NULL)),
        (
            "PollForJobs",
            {"actionTypeId": TYPE, "maxBatchSize": 0},
            one("maxBatchSize", "Member must have value greater than or equal to 1"),
        ),
        (
            "PollForJobs",
            {"actionTypeId": TYPE | {"provider": None}},
            one("actionTypeId.provider", NULL),
        ),
        (
            "PollForJobs",
            {"actionTypeId": TYPE | {"owner": "Me"}},
            one(
                "actionTypeId.owner",
                "Member must satisfy enum value set: [AWS, Custom, ThirdParty]",
            ),
        ),
        (
            "PollForJobs",
            {"actionTypeId": TYPE | {"version": "1.0"}},
            one("actionTypeId.version", TYPE_PATTERN),
        ),
        (
            "PollForJobs",
            {"actionTypeId": TYPE, "queryParam": {"a": "1", "b": "2"}},
            one("queryParam", "Member must have length less than or equal to 1"),
        ),
        (
            "PollForJobs",
            {"actionTypeId": TYPE, "queryParam": {"a": "no spaces"}},
            one(
                "queryParam",
                "Map value must satisfy constraint: [Member must have length less than or equal "
                "to 50, Member must have length greater than or equal to 1, Member must satisfy "
                "regular expression pattern: [a-zA-Z0-9_-]+]",
            ),
        ),
        (
            "PutJobSuccessResult",
            {"jobId": UNKNOWN_JOB, "outputVariables": {"a b": "1"}},
            one(
                "outputVariables",
                "Map keys must satisfy constraint: [Member must satisfy regular expression "
                "pattern: [A-Za-z0-9@\\-_]+]",
            ),
        ),
        (
            "PutJobSuccessResult",
            {"jobId": UNKNOWN_JOB, "executionDetails": {"percentComplete": 101}},
            one(
                "executionDetails.percentComplete",
                "Member must have value less than or equal to 100",
            ),
        ),
        (
            "PutJobFailureResult",
            {"jobId": UNKNOWN_JOB, "failureDetails": {"type": "Bad", "message": "m"}},
            one(
                "failureDetails.type",
                "Member must satisfy enum value set: [ConfigurationError, JobFailed, "
                "PermissionError, RevisionOutOfSync, RevisionUnavailable, SystemUnavailable]",
            ),
        ),
        (
            "AcknowledgeThirdPartyJob",
            {},
            "3 validation errors detected: "
            + "; ".join(
                f"Value at '{name}' failed to satisfy constraint: {NULL}"
                for name in ("jobId", "nonce", "clientToken")
            ),
        ),
        (
            "AcknowledgeThirdPartyJob",
            {"jobId": "j" * 513, "nonce": "1", "clientToken": "t"},
            one("jobId", "Member must have length less than or equal to 512"),
        ),
        (
            "GetThirdPartyJobDetails",
            {"jobId": "", "clientToken": "t"},
            one("jobId", "Member must have length greater than or equal to 1"),
        ),
        (
            "PollForThirdPartyJobs",
            {"actionTypeId": TYPE, "maxBatchSize": 0},
            one("maxBatchSize", "Member must have value greater than or equal to 1"),
        ),
        (
            "PutThirdPartyJobFailureResult",
            {"jobId": "j", "clientToken": "t"},
            one("failureDetails", NULL),
        ),
        (
            "CreateCustomActionType",
            action_type(configurationProperties=[configuration_property("n"), {"name": "a"}]),
            "3 validation errors detected: "
            + "; ".join(
                f"Value at 'configurationProperties.2.member.{name}' failed to satisfy "
                f"constraint: {NULL}"
                for name in ("required", "key", "secret")
            ),
        ),
        (
            "CreateCustomActionType",
            action_type(configurationProperties=[configuration_property("n")] * 11),
            one("configurationProperties", "Member must have length less than or equal to 10"),
        ),
        (
            "UntagResource",
            {"resourceArn": "arn:aws:codepipeline:eu-west-1:123456789012:p", "tagKeys": ["", "ok"]},
            one(
                "tagKeys",
                "Member must satisfy constraint: [Member must have length less than or equal to "
                "128, Member must have length greater than or equal to 1]",
            ),
        ),
    ],
)
def test_a_broken_constraint_is_refused(operation: str, request_: Any, message: str) -> None:
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
    with pytest.raises(ClientError) as caught:
        service.api.get_pipeline(name="no spaces please")
    assert error_of(caught.value)[0] == "ValidationException"
