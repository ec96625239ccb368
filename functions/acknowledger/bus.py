"""Events that the functions put on the JobBus themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from acknowledger.aws import client
from acknowledger.errors import BusUnavailable

# PutEvents takes no more at once.
BATCH_SIZE = 10


def put(bus_name: str, detail_type: str, *details: Mapping[str, Any]) -> None:
    """Put an event for each detail, with our source.

    Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html

    Raises:
        BusUnavailable: worth another try; a part of them may have been put.
    """
    entries = [
        {
            "EventBusName": bus_name,
            "Source": "acknowledger",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
        }
        for detail in details
    ]
    for first in range(0, len(entries), BATCH_SIZE):
        _put(entries[first : first + BATCH_SIZE])


def _put(entries: list[dict[str, str]]) -> None:
    try:
        answer = client("events").put_events(Entries=entries)
    except (BotoCoreError, ClientError) as error:
        raise BusUnavailable(f"JobBus: {error}") from None
    if answer.get("FailedEntryCount"):
        failed = next(entry for entry in answer["Entries"] if "ErrorCode" in entry)
        raise BusUnavailable(f"JobBus: {failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")
