from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.stub import Stubber

import acknowledge
import intake
import report
from acknowledger import acknowledgment, aws, client_tokens, job_api

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_METRICS_NAMESPACE": "acknowledger",
    "ACTION_TYPES": "Build/Custom/Acknowledger/1,Test/Custom/Other/2",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:Job",
    "TABLE_NAME": "JobTable",
    "CLIENT_TOKEN_PREFIX": "/acknowledger/client-tokens/",
    "ACKNOWLEDGE_TIMEOUT_SECONDS": "60",
    "HEARTBEAT_TIMEOUT_SECONDS": "900",
    "JOB_TIMEOUT_SECONDS": "3600",
}


@dataclass
class Context:
    """Lambda's context object, as far as the functions and Powertools read it."""

    function_name: str = "function"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"
    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that the template gives, and nothing kept from the test before."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for cached in (
        aws.client,
        intake.config,
        acknowledgment.table_name,
        job_api.secret_properties,
        client_tokens._prefix,
        client_tokens._provider,
    ):
        cached.cache_clear()


class Aws:
    """botocore stubs of the clients that a test expects calls of; every expected call must come."""

    def __init__(self) -> None:
        self._stubs: dict[tuple[str, bool], Stubber] = {}

    def service(self, name: str, *, retrying: bool = True) -> Stubber:
        key = (name, retrying)
        if key not in self._stubs:
            client = aws.client(name) if retrying else aws.client(name, retrying=False)
            self._stubs[key] = Stubber(client)
            self._stubs[key].activate()
        return self._stubs[key]

    def expects(
        self, service: str, operation: str, answer: dict[str, Any], request: Any = None
    ) -> None:
        retrying = not operation.startswith("acknowledge_")
        self.service(service, retrying=retrying).add_response(operation, answer, request)

    def expects_error(
        self, service: str, operation: str, code: str, message: str = "No.", status: int = 400
    ) -> None:
        retrying = not operation.startswith("acknowledge_")
        self.service(service, retrying=retrying).add_client_error(
            operation, code, message, http_status_code=status
        )

    def assert_all_called(self) -> None:
        for stub in self._stubs.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """All that the functions log."""
    stream = io.StringIO()
    for module in (intake, acknowledge, report):
        monkeypatch.setattr(module.logger.registered_handler, "stream", stream)
    return stream


@pytest.fixture
def aws_calls() -> Iterator[Aws]:
    calls = Aws()
    for service in ("codepipeline", "dynamodb", "stepfunctions", "ssm"):
        calls.service(service)
    calls.service("codepipeline", retrying=False)
    yield calls
    calls.assert_all_called()
