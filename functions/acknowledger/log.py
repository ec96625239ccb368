"""The functions' logger: one line of JSON per event, which names its job."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

# The keys of a line and the attributes of a job's row that they show.
_KEYS = {
    "job_id": "jobId",
    "action_type": "actionType",
    "execution_arn": "execution",
    "pipeline_name": "pipelineName",
    "client_id": "clientId",
}


def as_json(record: dict[str, Any]) -> str:
    """A log record as one line of JSON in ASCII, so that any text can be written."""
    return json.dumps(record, default=str)


def printable(text: str) -> str:
    """A text without lone surrogates, which JSON can have and UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


def about(row: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keys of a line about a job, from its row: `{job_id, action_type, execution_arn, …}`."""
    return {key: row[name] for key, name in _KEYS.items() if row.get(name)} if row else {}


logger = Logger(json_serializer=as_json)
# Lambda drops no level. Our lines at level DEBUG are written for sampled invocations only; those of
# libraries never are, since botocore's contain secrets.
logger.initial_log_level = logging.INFO
logger.refresh_sample_rate_calculation()
logging.getLogger().setLevel(logging.WARNING)
