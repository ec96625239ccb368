"""Queries of CloudWatch Logs Insights, which are saved and not run.

moto saves none, and runs those it is given as if they had nothing but `fields`, `sort` and `limit`:
here StartQuery and what goes with it get UnknownOperationException.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.utils import unix_time_millis, utcnow
from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException

#: The members that a saved query must have, and how long each may be.
LONGEST = {"name": 255, "queryString": 10_000}


def definitions(backend: Any) -> dict[str, dict[str, Any]]:
    """Return the saved queries of an account and region, by their ids."""
    found: dict[str, dict[str, Any]] = vars(backend).setdefault("query_definitions", {})
    return found


def save(backend: Any, definition: dict[str, Any]) -> str:
    """Save a query, or change the one that has this id; its id."""
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


def refusal(operation: str) -> Callable[[Any], str]:
    """Make what answers an operation of queries that run."""

    def refuse(_: Any) -> str:
        said = f"The local stack runs no Logs Insights queries, and has no {operation}."
        raise JsonRESTError("UnknownOperationException", said)

    return refuse


start_query = refusal("StartQuery")
stop_query = refusal("StopQuery")
get_query_results = refusal("GetQueryResults")
describe_queries = refusal("DescribeQueries")
