from typing import Any

import pytest

from acknowledger.aws import operation_model
from acknowledger.errors import ValidationException
from acknowledger.validation import validate

JOB_ID = "f4f4ff82-2d11-11ea-9a5c-0242ac110002"
SUCCESS = "PutJobSuccessResult"
FAILURE = "PutJobFailureResult"
ACKNOWLEDGE = "AcknowledgeJob"


def violations(operation, request):
    with pytest.raises(ValidationException) as refused:
        validate(operation_model("codepipeline", operation).input_shape, request)
    return str(refused.value)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        (ACKNOWLEDGE, {"jobId": JOB_ID, "nonce": "n"}),
        (ACKNOWLEDGE, {"jobId": JOB_ID, "nonce": "n" * 50}),
        (SUCCESS, {"jobId": JOB_ID}),
        (SUCCESS, {"jobId": JOB_ID, "continuationToken": None}),
        (
            SUCCESS,
            {
                "jobId": JOB_ID,
                "currentRevision": {
                    "revision": "r",
                    "changeIdentifier": "c",
                    "created": "2026-01-01T00:00:00Z",
                },
                "executionDetails": {"summary": "s", "percentComplete": 0},
                "outputVariables": {"A-z@9_": ""},
            },
        ),
        (FAILURE, {"jobId": JOB_ID, "failureDetails": {"type": "JobFailed", "message": "m"}}),
    ],
)
def test_a_valid_request_passes(operation, request_):
    validate(operation_model("codepipeline", operation).input_shape, request_)


@pytest.mark.parametrize(
    ("operation", "change", "constraint"),
    [
        (
            ACKNOWLEDGE,
            {"jobId": None},
            "'jobId' failed to satisfy constraint: Member must not be null",
        ),
        (
            ACKNOWLEDGE,
            {"jobId": "x"},
            "'jobId' failed to satisfy constraint: Member must satisfy reg",
        ),
        (
            ACKNOWLEDGE,
            {"jobId": JOB_ID + "\n"},
            "'jobId' failed to satisfy constraint: Member must",
        ),
        (
            ACKNOWLEDGE,
            {"nonce": ""},
            "'nonce' failed to satisfy constraint: Member must have length gr",
        ),
        (ACKNOWLEDGE, {"nonce": "n" * 51}, "Member must have length less than or equal to 50"),
        (
            ACKNOWLEDGE,
            {"nonce": 3},
            "'nonce' failed to satisfy constraint: Member must be a string",
        ),
        (
            ACKNOWLEDGE,
            {"nonse": "3"},
            "'nonse' failed to satisfy constraint: Member must be one of",
        ),
        (SUCCESS, {"continuationToken": "c" * 2049}, "less than or equal to 2048"),
        (
            SUCCESS,
            {"executionDetails": {"percentComplete": 101}},
            "'executionDetails.percentComplete'",
        ),
        (
            SUCCESS,
            {"executionDetails": {"percentComplete": -1}},
            "value greater than or equal to 0",
        ),
        (SUCCESS, {"executionDetails": {"percentComplete": True}}, "Member must be an integer"),
        (
            SUCCESS,
            {"executionDetails": []},
            "'executionDetails' failed to satisfy constraint: Member",
        ),
        (SUCCESS, {"outputVariables": {"a b": "x"}}, "'outputVariables.a b'"),
        (SUCCESS, {"outputVariables": {"a": 1}}, "'outputVariables.a'"),
        (
            SUCCESS,
            {"currentRevision": {"revision": "r", "changeIdentifier": "c", "created": "noon"}},
            "'currentRevision.created' failed to satisfy constraint: Member must be a timestamp",
        ),
        *(
            (
                SUCCESS,
                {"currentRevision": {"revision": "r", "changeIdentifier": "c", "created": created}},
                "Member must be a timestamp",
            )
            for created in (1790000000000, "1790000000000", 1e300, float("inf"))
        ),
        (SUCCESS, {"currentRevision": {"revision": "r"}}, "'currentRevision.changeIdentifier'"),
        (
            FAILURE,
            {"failureDetails": {"type": "Bored", "message": "m"}},
            "'failureDetails.type' failed to satisfy constraint: Member must satisfy enum value set",
        ),
        (
            FAILURE,
            {"failureDetails": {"type": "JobFailed", "message": ""}},
            "'failureDetails.message'",
        ),
    ],
)
def test_a_broken_limit_is_named_with_its_member(operation, change, constraint):
    good: dict[str, Any] = (
        {"jobId": JOB_ID, "nonce": "3"} if operation == ACKNOWLEDGE else {"jobId": JOB_ID}
    )
    if operation == FAILURE:
        good["failureDetails"] = {"type": "JobFailed", "message": "m"}
    told = violations(operation, good | change)
    assert told.startswith("1 validation error detected: ")
    assert constraint in told


def test_every_broken_limit_is_named_without_its_value():
    told = violations(ACKNOWLEDGE, {"jobId": "secret-value", "nonce": "secret" * 10})
    assert told.startswith("2 validation errors detected: ")
    assert "'jobId'" in told
    assert "'nonce'" in told
    assert "secret" not in told


@pytest.mark.parametrize("request_", [None, [], "x", 3])
def test_an_invalid_request_is_refused(request_):
    assert "Member must be an object" in violations(ACKNOWLEDGE, request_)
