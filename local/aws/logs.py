"""CloudWatch Logs: queries can be saved, and most filter patterns are refused.

moto can't save queries. Of filter patterns, it supports words, the first of which begins with a
letter, or one phrase, and lets any other match everything. Here any other is refused.
"""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from moto.core.utils import unix_time_millis, utcnow
from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException

#: The required members of a saved query, and the maximum length of each.
LONGEST = {"name": 255, "queryString": 10_000}
#: The filter patterns that moto supports. There, one that begins with a digit matches everything.
PATTERN = re.compile(r'\s*|[A-Za-z]\w*( \w+)*|"[^"\\]+"')


def definitions(backend: Any) -> dict[str, dict[str, Any]]:
    """Return the saved queries of an account and region, by id."""
    found: dict[str, dict[str, Any]] = vars(backend).setdefault("query_definitions", {})
    return found


def save(backend: Any, definition: dict[str, Any]) -> str:
    """Save a query, or change the query with this id; return its id."""
    for name, most in LONGEST.items():
        if not 1 <= len(definition.get(name) or "") <= most:
            raise InvalidParameterException(f"{name} must have 1 to {most} characters")
    query_id = definition.get("queryDefinitionId") or str(uuid.uuid4())
    if "queryDefinitionId" in definition:
        existing(backend, query_id)
    about = {"queryDefinitionId": query_id, "lastModified": int(unix_time_millis(utcnow()))}
    definitions(backend)[query_id] = {"queryLanguage": "CWLI", **definition, **about}
    return query_id


def existing(backend: Any, query_id: str) -> dict[str, Any]:
    """Return a saved query; raises ResourceNotFoundException."""
    if query_id not in definitions(backend):
        raise ResourceNotFoundException("The specified query definition does not exist.")
    return definitions(backend)[query_id]


def put_query_definition(self: Any) -> str:
    names = ("queryDefinitionId", "name", "queryString", "logGroupNames")
    given = {name: value for name in names if (value := self._get_param(name)) is not None}
    return json.dumps({"queryDefinitionId": save(self.logs_backend, given)})


def describe_query_definitions(self: Any) -> str:
    prefix = self._get_param("queryDefinitionNamePrefix") or ""
    saved = definitions(self.logs_backend).values()
    found = sorted(
        (one for one in saved if one["name"].startswith(prefix)), key=lambda one: str(one["name"])
    )
    return json.dumps({"queryDefinitions": found})


def delete_query_definition(self: Any) -> str:
    saved = existing(self.logs_backend, self._get_param("queryDefinitionId"))
    del definitions(self.logs_backend)[saved["queryDefinitionId"]]
    return json.dumps({"success": True})


def filtering(moto_filter: Callable[[Any], str]) -> Callable[[Any], str]:
    """Wrap moto's FilterLogEvents, which then refuses what it does not support."""

    def filter_log_events(self: Any) -> str:
        pattern = self._get_param("filterPattern") or ""
        if not PATTERN.fullmatch(pattern):
            raise InvalidParameterException(
                f"The local stack does not support the filter pattern {pattern}. Use words, the "
                "first of which begins with a letter, or one phrase in quotation marks."
            )
        return moto_filter(self)

    return filter_log_events
