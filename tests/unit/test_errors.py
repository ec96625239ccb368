from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from acknowledger import errors
from acknowledger.aws import client


def aws_error(code, status):
    return ClientError(
        {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "AcknowledgeJob",
    )


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (aws_error("InvalidNonceException", 400), errors.InvalidNonceException),
        (aws_error("JobNotFoundException", 400), errors.JobNotFoundException),
        (aws_error("ValidationException", 400), errors.ValidationException),
        (aws_error("AccessDeniedException", 400), errors.CodePipelineRefused),
        (aws_error("ThrottlingException", 400), errors.CodePipelineThrottled),
        (aws_error("InternalFailure", 500), errors.CodePipelineUnavailable),
        (aws_error("ThrottlingException", 503), errors.CodePipelineThrottled),
        (ConnectTimeoutError(endpoint_url="x"), errors.CodePipelineUnreachable),
        (EndpointConnectionError(endpoint_url="x"), errors.CodePipelineUnreachable),
        (NoCredentialsError(), errors.CodePipelineUnreachable),
        (ReadTimeoutError(endpoint_url="x"), errors.CodePipelineUnavailable),
        (ConnectionClosedError(endpoint_url="x"), errors.CodePipelineUnavailable),
    ],
)
def test_codepipelines_errors_become_ours(raised, expected):
    with pytest.raises(errors.AcknowledgerError) as told, errors.codepipeline_errors():
        raise raised
    assert type(told.value) is expected


@pytest.mark.parametrize(
    "operation",
    ["PollForJobs", "AcknowledgeJob", "PutJobSuccessResult", "PutJobFailureResult"],
)
def test_every_error_that_the_api_documents_for_our_calls_has_a_class(operation):
    model = client("codepipeline").meta.service_model.operation_model(operation)
    for shape in model.error_shapes:
        assert issubclass(getattr(errors, shape.name), errors.CodePipelineRefused)
