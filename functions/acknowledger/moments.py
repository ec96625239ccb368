"""Moments as the table has them: ISO 8601 in UTC with milliseconds, which sort as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def ago(seconds: float) -> str:
    """The moment so many seconds ago; 0 is now."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds_since(moment: str) -> float:
    """How long ago a moment was."""
    since = datetime.now(UTC) - datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return since / timedelta(milliseconds=1)
