"""Text that can be written whatever is in it."""

from __future__ import annotations

import json
from typing import Any


def as_json(record: dict[str, Any]) -> str:
    """A log record as one line of JSON that can be written whatever text is in it."""
    return json.dumps(record, default=str)


def printable(text: str) -> str:
    """A text without the half characters that JSON can have and UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()
