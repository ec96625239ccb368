"""The AWS clients, each made once, when first asked for."""

from __future__ import annotations

import functools
from typing import Any

import boto3
from botocore.config import Config

from acknowledger.log import logger

# AcknowledgeJob is never repeated by the SDK: every call is noted in the job's row first,
# so that an InvalidNonceException after a lost answer can be told from a lost offer.
_SINGLE_CALL = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1})
_RETRYING = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=32,
)


@functools.cache
def client(service: str, *, retrying: bool = True) -> Any:
    """The boto3 client of `service`, with the SDK's own retries unless told otherwise."""
    made = boto3.client(service, config=_RETRYING if retrying else _SINGLE_CALL)
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


def input_shape(service: str, operation: str) -> Any:
    """botocore's model of what an operation takes."""
    return client(service).meta.service_model.operation_model(operation).input_shape
