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
    if isinstance(raised, ClientError):
        code = raised.response["Error"]["Code"]
        assert str(told.value) == ("m" if expected.__name__ == code else f"{code}: m")


def test_a_member_of_the_wrong_type_is_refused_permanently_without_its_value():
    request = {"jobId": "j", "nonce": ["secret"]}
    with pytest.raises(errors.ValidationException) as told, errors.codepipeline_errors():
        client("codepipeline").acknowledge_job(**request)
    assert "secret" not in str(told.value)
    assert "type" in str(told.value)
    assert told.value.__suppress_context__


@pytest.mark.parametrize("name", ["ContinuedElsewhere", "EndedElsewhere"])
def test_errors_about_what_happened_elsewhere_are_not_refusals_of_codepipeline(name):
    error = getattr(errors, name)
    assert issubclass(error, errors.AcknowledgerError)
    assert not issubclass(error, errors.CodePipelineRefused)


def test_every_error_has_its_own_docstring():
    told = [
        value.__doc__
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.AcknowledgerError)
    ]
    assert all(told)
    assert len(set(told)) == len(told) > 20


@pytest.mark.parametrize(
    "operation",
    ["PollForJobs", "AcknowledgeJob", "PutJobSuccessResult", "PutJobFailureResult"],
)
def test_every_error_that_the_api_documents_for_our_calls_has_a_class(operation):
    model = client("codepipeline").meta.service_model.operation_model(operation)
    for shape in model.error_shapes:
        assert issubclass(getattr(errors, shape.name), errors.CodePipelineRefused)
