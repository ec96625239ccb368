"""The AWS clients, each created once, when first needed or while Lambda starts the function.

They are botocore's: boto3 would only make cold starts longer.
"""

import functools
import gc
import logging
import threading
from typing import Any

import botocore
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session, get_session

from acknowledger import STARTING
from acknowledger.log import logger

SERVICES = ("codepipeline", "dynamodb", "events", "ssm", "stepfunctions")
_COMMON = Config(
    connect_timeout=3,
    read_timeout=10,
    max_pool_connections=50,
    # botocore's longer one takes an eighth of a call's time to build.
    user_agent=f"acknowledger Botocore/{botocore.__version__}",
)
# The SDK must never repeat AcknowledgeJob: every call is noted in the job's row first, so that
# an InvalidNonceException after a lost response can be distinguished from a lost offer.
_SINGLE_CALL = _COMMON.merge(Config(retries={"total_max_attempts": 1}))
_RETRYING = _COMMON.merge(Config(retries={"mode": "standard", "total_max_attempts": 4}))
# A session is not thread-safe.
_lock = threading.Lock()


class _Loader(Loader):  # type: ignore[misc]
    """botocore's loader without its two searches through the folders of all 400 services."""

    def list_available_services(self, type_name: str = "service-2") -> list[str]:  # noqa: ARG002
        return list(SERVICES)


def client(service: str, *, retrying: bool = True) -> Any:
    """The client of `service`, by default with the SDK's retries."""
    with _lock:
        return _made(service, retrying)


def prepare(*services: str, single_call: tuple[str, ...] = ()) -> None:
    """Create the clients that a function always needs, while it starts with a full vCPU."""
    if STARTING:
        for service in services:
            client(service)
        for service in single_call:
            client(service, retrying=False)
        gc.freeze()
        gc.enable()


@functools.cache
def operation_model(service: str, operation: str) -> Any:
    """botocore's model of an operation, with its `input_shape` and `output_shape`."""
    return _session().get_service_model(service).operation_model(operation)


@functools.cache
def _made(service: str, retrying: bool) -> Any:
    made = _session().create_client(service, config=_RETRYING if retrying else _SINGLE_CALL)
    made.meta.events.register("after-call", _log_call)
    made.meta.events.register("after-call-error", _log_call)
    return made


def _log_call(
    event_name: str,
    http_response: Any = None,
    parsed: Any = None,
    exception: Exception | None = None,
    **_: Any,
) -> None:
    """For sampled invocations, log how AWS answered, but nothing of the content."""
    if logger.log_level > logging.DEBUG:
        return
    service, operation = event_name.split(".")[-2:]
    answer = parsed or {}
    metadata = answer.get("ResponseMetadata", {})
    logger.debug(
        "AWS called",
        aws_service=service,
        operation=operation,
        http_status=getattr(http_response, "status_code", None),
        error=answer.get("Error", {}).get("Code") or (exception and type(exception).__name__),
        retries=metadata.get("RetryAttempts"),
        aws_request_id=metadata.get("RequestId"),
    )


@functools.cache
def _session() -> Session:
    session = get_session()
    session.register_component("data_loader", _Loader())
    return session
