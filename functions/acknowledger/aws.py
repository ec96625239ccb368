"""The AWS clients, each made once, when first asked for."""

from __future__ import annotations

import functools
from typing import Any

import boto3
from botocore.config import Config

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
    return boto3.client(service, config=_RETRYING if retrying else _SINGLE_CALL)


def input_shape(service: str, operation: str) -> Any:
    """botocore's model of what an operation takes."""
    return client(service).meta.service_model.operation_model(operation).input_shape
