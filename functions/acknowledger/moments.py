"""Timestamps as the tables have them: ISO 8601 in UTC with milliseconds, which sort as text."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise


def now() -> str:
    """This moment."""
    return ago(0)


def ago(seconds: float) -> str:
    """The moment so many seconds ago."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def later(seconds: float, since: str | None = None) -> str:
    """The moment so many seconds after another, or after now."""
    return ago(-seconds if since is None else seconds_since(since) - seconds)


def seconds_between(first: str, second: str) -> float:
    """How long after a moment another was."""
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def seconds_since(moment: str) -> float:
    """How long ago a moment was."""
    return seconds_between(moment, now())


def seconds_in_each(times: Mapping[str, str], end: str) -> dict[str, float]:
    """How many seconds a job was in each status, from when it reached each and when it ended."""
    reached = sorted(times.items(), key=lambda each: each[1])
    return {
        status: seconds_between(since, until)
        for (status, since), (_, until) in pairwise([*reached, ("", end)])
    }
