"""The AWS clients, each made once, when first asked for or while Lambda starts the function.

They are botocore's own: boto3 adds nothing to them but its time at a cold start.
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
    # botocore's own, which tells of much more, takes an eighth of a call's time to compose.
    user_agent=f"acknowledger Botocore/{botocore.__version__}",
)
# AcknowledgeJob is never repeated by the SDK: every call is noted in the job's row first,
# so that an InvalidNonceException after a lost answer can be told from a lost offer.
_SINGLE_CALL = _COMMON.merge(Config(retries={"total_max_attempts": 1}))
_RETRYING = _COMMON.merge(Config(retries={"mode": "standard", "total_max_attempts": 4}))
# A session makes clients in one thread at a time.
_lock = threading.Lock()


class _Loader(Loader):  # type: ignore[misc]
    """botocore's, which else looks through the folders of all services, four hundred, twice."""

    def list_available_services(self, type_name: str = "service-2") -> list[str]:  # noqa: ARG002
        return list(SERVICES)


def client(service: str, *, retrying: bool = True) -> Any:
    """The client of `service`, with the SDK's own retries unless told otherwise."""
    with _lock:
        return _made(service, retrying)


def prepare(*services: str, single_call: tuple[str, ...] = ()) -> None:
    """End a function's start: make the clients it always needs, while it has a whole processor."""
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
    """Log, for the invocations that are sampled, how AWS answered, but nothing of what was said."""
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
