"""Events that the functions put on JobBus."""

import json
from collections.abc import Mapping
from typing import Any

from acknowledger.aws import client
from acknowledger.config import config
from acknowledger.errors import BusUnavailable, unavailable

# The most that one PutEvents takes.
BATCH_SIZE = 10


def put(detail_type: str, *details: Mapping[str, Any]) -> None:
    """Put an event for each detail, with the source `acknowledger`.

    Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html

    Raises:
        BusUnavailable: worth another try; some of the events may have been put.
    """
    entries = [
        {
            "EventBusName": config().bus_name,
            "Source": "acknowledger",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
        }
        for detail in details
    ]
    for first in range(0, len(entries), BATCH_SIZE):
        with unavailable(BusUnavailable, "JobBus"):
            answer = client("events").put_events(Entries=entries[first : first + BATCH_SIZE])
        for entry in answer.get("Entries", []):
            if "ErrorCode" in entry:
                raise BusUnavailable(f"JobBus: {entry['ErrorCode']}: {entry.get('ErrorMessage')}")
