"""Missing operations answer in the caller's protocol, with errors that SDKs don't retry."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

from local import acknowledger
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import client_of, exchange, running

pytestmark = pytest.mark.sampled(4)

#: What the stack, its examples and its documentation use.
SERVICES = (
    *("cloudformation", "cloudwatch", "codebuild", "codepipeline", "dynamodb", "ecs", "events"),
    *("iam", "kms", "lambda", "logs", "s3", "sns", "sqs", "ssm", "stepfunctions", "sts", "xray"),
)
SCALARS = {
    "blob": b"x",
    "boolean": True,
    "double": 1.0,
    "float": 1.0,
    "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with running(acknowledger.cloud_with_codepipeline) as cloud:
        yield cloud


def client(cloud: LocalCloud, service: str) -> Any:
    """A client that does not retry, and does not change host names."""
    config = Config(
        retries={"total_max_attempts": 1},
        inject_host_prefix=False,
        read_timeout=60,
        s3={"addressing_style": "path"},
    )
    return client_of(cloud.endpoint_url, service, config=config)


def minimal(shape: Shape | None) -> Any:
    """The smallest valid value of a shape."""
    least = shape.metadata.get("min", 0) if shape else 0
    match shape:
        case StructureShape():
            members = list(shape.members)[:1] if shape.is_tagged_union else shape.required_members
            return {name: minimal(shape.members[name]) for name in members}
        case ListShape():
            return [minimal(shape.member)] * least
        case MapShape():
            return {minimal(shape.key): minimal(shape.value)} if least else {}
        case StringShape():
            return shape.enum[0] if shape.enum else "x" * (least or 1)
        case None:
            return {}
    return SCALARS.get(shape.type_name, least or 1)


def wrong_answer(client: Any, model: OperationModel) -> str:
    """What is wrong with the answer to an operation, or ""."""
    try:
        client._make_api_call(model.name, minimal(model.input_shape))
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"]["Code"]
        # An answer to HEAD has no body, so botocore uses the status as the code.
        is_named = not code.isdecimal() or model.http["method"] == "HEAD"
        fine = is_named and code and (status < 500 or status == 501)
        return "" if fine else f"{model.name}: {status} {error}"
    except BotoCoreError as error:
        return f"{model.name}: {error!r}"
    return ""


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_answers_in_its_protocol(cloud, service):
    asking = client(cloud, service)
    models = [
        asking.meta.service_model.operation_model(name)
        for name in asking.meta.service_model.operation_names
    ]
    wrong = [said for model in models if (said := wrong_answer(asking, model))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("translate", "UnknownOperationException"),
        ("trustedadvisor", "UnknownOperationException"),
        ("partnercentral-marketing", "UnknownOperationException"),
        ("cloudsearch", "InvalidAction"),
    ],
    ids=["json", "rest-json", "cbor", "query"],
)
def test_a_missing_service_is_refused(cloud, service, code):
    asking = client(cloud, service)
    model = asking.meta.service_model.operation_model(asking.meta.service_model.operation_names[0])
    with pytest.raises(ClientError, match=" is not implemented here") as caught:
        asking._make_api_call(model.name, minimal(model.input_shape))
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


FORM = "application/x-www-form-urlencoded"
NOT_FOR_THIS = (501, "NotImplemented", " for this input")
UNKNOWN = (400, "UnknownOperationException", "")


# No SDK sends such requests.
@pytest.mark.parametrize(
    ("service", "target", "content_type", "expected"),
    [
        ("kms", "TrentService.Encrypt", "application/x-amz-json-1.1", NOT_FOR_THIS),
        ("kms", "TrentService.Encrypt", FORM, NOT_FOR_THIS),
        ("states", "AWSStepFunctions.Nope", FORM, UNKNOWN),
        ("dynamodb", "DynamoDB_20120810.Nope", f"{FORM}; charset=utf-8", NOT_FOR_THIS),
        ("events", "AWSEvents.Nope", "multipart/form-data; boundary=x", UNKNOWN),
    ],
)
def test_a_failure_is_reported_and_not_retried_whatever_the_type_of_the_body(
    cloud, service, target, content_type, expected
):
    scope = f"Credential=x/20260101/us-east-1/{service}/aws4_request, "
    headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}", "X-Amz-Target": target}
    headers["Content-Type"] = content_type
    answered, _, body = exchange(cloud, "POST", "/", headers, "{}")
    said = json.loads(body)
    status, code, words = expected
    assert (answered, said["__type"].rpartition("#")[2]) == (status, code)
    operation = target.partition(".")[2]
    assert said["message"] == f"{operation} of {service} is not implemented here{words}"
