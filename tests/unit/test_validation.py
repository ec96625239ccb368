from typing import Any

import pytest

from acknowledger.aws import operation_model
from acknowledger.errors import ValidationException
from acknowledger.validation import validate

JOB_ID = "f4f4ff82-2d11-11ea-9a5c-0242ac110002"
SUCCESS = "PutJobSuccessResult"
FAILURE = "PutJobFailureResult"
ACKNOWLEDGE = "AcknowledgeJob"
PERCENT, CREATED = "executionDetails.percentComplete", "currentRevision.created"


def violations(operation, request):
    with pytest.raises(ValidationException) as refused:
        validate(operation_model("codepipeline", operation).input_shape, request)
    return str(refused.value)


REVISION: dict[str, Any] = {
    "revision": "r",
    "changeIdentifier": "c",
    "created": "2026-01-01T00:00:00Z",
}
DETAILS = {"type": "JobFailed", "message": "m"}
GOOD: dict[str, dict[str, Any]] = {
    ACKNOWLEDGE: {"jobId": JOB_ID, "nonce": "3"},
    SUCCESS: {"jobId": JOB_ID},
    FAILURE: {"jobId": JOB_ID, "failureDetails": DETAILS},
}


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        *((operation, {}) for operation in GOOD),
        (ACKNOWLEDGE, {"nonce": "n"}),
        (ACKNOWLEDGE, {"nonce": "n" * 50}),
        (SUCCESS, {"continuationToken": None}),
        (SUCCESS, {"currentRevision": REVISION, "outputVariables": {"A-z@9_": ""}}),
        (SUCCESS, {"executionDetails": {"summary": "s", "percentComplete": 0}}),
    ],
)
def test_a_valid_request_passes(operation, change):
    validate(operation_model("codepipeline", operation).input_shape, GOOD[operation] | change)


@pytest.mark.parametrize(
    ("operation", "change", "member", "constraint"),
    [
        (ACKNOWLEDGE, {"jobId": None}, "jobId", "not be null"),
        (ACKNOWLEDGE, {"jobId": "x"}, "jobId", "satisfy regular expression pattern"),
        (ACKNOWLEDGE, {"jobId": JOB_ID + "\n"}, "jobId", "satisfy regular expression pattern"),
        (ACKNOWLEDGE, {"nonce": ""}, "nonce", "have length greater than or equal to 1"),
        (ACKNOWLEDGE, {"nonce": "n" * 51}, "nonce", "have length less than or equal to 50"),
        (ACKNOWLEDGE, {"nonce": 3}, "nonce", "be a string"),
        (ACKNOWLEDGE, {"nonse": "3"}, "nonse", "be one of"),
        (
            SUCCESS,
            {"continuationToken": "c" * 2049},
            "continuationToken",
            "have length less than or equal to 2048",
        ),
        *(
            (SUCCESS, {"executionDetails": {"percentComplete": value}}, PERCENT, constraint)
            for value, constraint in (
                (101, "have value less than or equal to 100"),
                (-1, "have value greater than or equal to 0"),
                (True, "be an integer"),
            )
        ),
        (SUCCESS, {"executionDetails": []}, "executionDetails", "be an object"),
        (SUCCESS, {"outputVariables": {"a b": "x"}}, "outputVariables.a b", "satisfy regular"),
        (SUCCESS, {"outputVariables": {"a": 1}}, "outputVariables.a", "be a string"),
        *(
            (SUCCESS, {"currentRevision": REVISION | {"created": created}}, CREATED, "be a timest")
            for created in (
                *("noon", 1790000000000, "1790000000000", 1e300, float("inf")),
                *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
            )
        ),
        (
            SUCCESS,
            {"currentRevision": REVISION | {"revision": None}},
            "currentRevision.revision",
            "not be null",
        ),
        (
            FAILURE,
            {"failureDetails": DETAILS | {"type": "Bored"}},
            "failureDetails.type",
            "satisfy enum value set",
        ),
        (
            FAILURE,
            {"failureDetails": DETAILS | {"message": ""}},
            "failureDetails.message",
            "have length greater than or equal to 1",
        ),
    ],
)
def test_a_broken_limit_is_named_with_its_member(operation, change, member, constraint):
    told = violations(operation, GOOD[operation] | change)
    assert told.startswith(
        "1 validation error detected: "
        f"Value at '{member}' failed to satisfy constraint: Member must {constraint}"
    )


def test_every_broken_limit_is_named_without_its_value():
    told = violations(ACKNOWLEDGE, {"jobId": "secret-value", "nonce": "secret" * 10})
    assert told.startswith("2 validation errors detected: ")
    assert "'jobId'" in told
    assert "'nonce'" in told
    assert "secret" not in told


@pytest.mark.parametrize("request_", [None, [], "x", 3])
def test_an_invalid_request_is_refused(request_):
    assert "Member must be an object" in violations(ACKNOWLEDGE, request_)
