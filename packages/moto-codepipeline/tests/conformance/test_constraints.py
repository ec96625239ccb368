"""Every constraint of the service model is checked, for every emulated operation.

The service is empty when these requests arrive, so each is refused before the service looks up a
resource.
"""

import json
from typing import Any

import pytest

from conformance.clients import Answer
from conformance.conftest import Client
from conformance.constraints import (
    MARK,
    Bad,
    bad_requests,
    good_request,
    limits,
    served,
    wrong_types,
)
from conformance.service import new_service
from conformance.wire import post

BAD = [bad for operation in served() for bad in bad_requests(operation)]
FIRST = {(bad.operation, bad.kind): bad for bad in reversed(BAD)}
"""One request for each operation and kind of constraint."""

LIMITS = [(operation, *limit) for operation in served() for limit in limits(operation)]
WRONG = [(operation, *wrong) for operation in served() for wrong in wrong_types(operation)]


def test_the_service_model_is_not_empty() -> None:
    assert len(BAD) > 1000
    assert min(len(LIMITS), len(WRONG)) > 100


@pytest.fixture(scope="module", autouse=True)
def empty(url: str) -> None:
    new_service()


def check_refusal(answer: Answer, bad: Bad) -> None:
    assert (answer.code, answer.message) == ("ValidationException", bad.message)
    assert answer.status == 400
    assert MARK not in answer.message.replace(bad.path, "")


@pytest.mark.sampled(8)
@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_broken_constraint_is_reported(client: Client, bad: Bad) -> None:
    check_refusal(client("boto3")(bad.operation, bad.request), bad)


@pytest.mark.slow
@pytest.mark.parametrize("bad", FIRST.values(), ids=str)
def test_a_broken_constraint_is_reported_to_javascript(client: Client, bad: Bad) -> None:
    check_refusal(client("javascript")(bad.operation, bad.request), bad)


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("operation", "where", "request_"), LIMITS, ids=str)
def test_a_member_may_be_at_its_limit(url: str, operation: str, where: str, request_: Any) -> None:
    answer = post(url, operation, json.dumps(request_))
    assert answer.status in (200, 400)
    assert "detected" not in answer.body


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("operation", "where", "text", "request_"), WRONG, ids=str)
def test_a_member_of_the_wrong_json_type_is_reported(
    url: str, operation: str, where: str, text: str, request_: Any
) -> None:
    answer = post(url, operation, json.dumps(request_))
    assert answer.status == 400
    assert json.loads(answer.body) == {"__type": "SerializationException", "message": text}


@pytest.mark.parametrize("operation", served())
def test_a_request_with_every_member_is_valid(url: str, operation: str) -> None:
    answer = post(url, operation, json.dumps(good_request(operation)))
    assert answer.status in (200, 400)
    assert "detected" not in answer.body
    assert answer.error != "SerializationException"
