"""Events that the functions put on the JobBus themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from acknowledger.aws import client
from acknowledger.errors import BusUnavailable


def put(bus_name: str, detail_type: str, detail: Mapping[str, Any]) -> None:
    """Put one event, with our source.

    Raises:
        BusUnavailable: worth another try.
    """
    entry = {
        "EventBusName": bus_name,
        "Source": "acknowledger",
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
    }
    try:
        answer = client("events").put_events(Entries=[entry])
    except (BotoCoreError, ClientError) as error:
        raise BusUnavailable(f"JobBus: {error}") from None
    if answer.get("FailedEntryCount"):
        failed = answer["Entries"][0]
        raise BusUnavailable(f"JobBus: {failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")
