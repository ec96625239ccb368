"""The functions' logger: one line of JSON per fact, naming the job that it is about."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

# What a line names of a job's row, by the keys that Powertools' own are written like.
_KEYS = {
    "job_id": "jobId",
    "action_type": "actionType",
    "execution_arn": "execution",
    "pipeline_name": "pipelineName",
    "client_id": "clientId",
}


def as_json(record: dict[str, Any]) -> str:
    """A log record as one line of JSON that can be written whatever text is in it."""
    return json.dumps(record, default=str)


def printable(text: str) -> str:
    """A text without the half characters that JSON can have and UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


def about(row: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keys of a line about a job, from its row: `{job_id, action_type, execution_arn, …}`."""
    return {key: row[name] for key, name in _KEYS.items() if row.get(name)} if row else {}


logger = Logger(json_serializer=as_json)
# Lambda lets lines of all levels pass. Ours at level DEBUG are for invocations that are sampled,
# those of libraries for none: there are secrets in botocore's.
logger.initial_log_level = logging.INFO
logger.refresh_sample_rate_calculation()
logging.getLogger().setLevel(logging.WARNING)
