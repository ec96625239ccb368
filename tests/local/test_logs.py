"""CloudWatch Logs: filter patterns match as AWS documents, and queries are saved but not run."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.logs.exceptions import InvalidParameterException

from local.aws.filter_patterns import FilterPattern
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import running

LINES: list[Any] = [
    {"message": "Taken", "job_id": "a", "ms": 5, "job": {"tags": ["x", "y"], "is-new": True}},
    {"message": "Taken", "job_id": "b", "ms": 40, "size": "12"},
    {"message": "Reported", "job_id": "a", "status": "Failed", "cause": 'it\'s "broken"'},
    {"message": "Reported", "job_id": "b", "status": "Succeeded", "@x": "own"},
    "START no JSON",
    {"message": "Taken", "job_id": "c", "ms": 300, "empty": None},
]


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        (None, "abcdef"),
        ("", "abcdef"),
        ("Taken", "abf"),
        ("Taken 300", "f"),
        ('"START no"', "e"),
        ("?START ?Succeeded", "de"),
        ("-message", "e"),
        ('{ $.job_id = "a" }', "ac"),
        ('{ $.message = "Re*" && $.status != "Failed" }', "d"),
        ("{ ($.ms > 5 && $.ms <= 40) || $.status = Failed }", "bc"),
        ('{ $.job.tags[1] = "y" }', "a"),
        ("{ $.job.is-new IS TRUE }", "a"),
        ("{ $.empty IS NULL }", "f"),
        ("{ $.job_id NOT EXISTS }", ""),
        ("{ $.ms NOT EXISTS }", "cd"),
    ],
)
def test_a_filter_pattern_matches(pattern, matching):
    messages = [line if isinstance(line, str) else json.dumps(line) for line in LINES]
    wanted = FilterPattern(pattern)
    found = [
        letter
        for letter, message in zip("abcdef", messages, strict=True)
        if wanted.matches(message)
    ]
    assert "".join(found) == matching


@pytest.mark.parametrize(
    "pattern",
    [
        "%a.c%",
        "[a, b]",
        "{ $.a }",
        "{ $.a ~ 1 }",
        "{ $.a > b }",
        "{ ($.a = 1 }",
        "{ $.a = 1 ) }",
        "{ $.a = 1",
    ],
)
def test_an_unsupported_filter_pattern_is_refused(pattern):
    with pytest.raises(InvalidParameterException):
        FilterPattern(pattern)


@pytest.fixture(scope="module")
def logs() -> Iterator[Any]:
    with running() as cloud:
        yield filled(cloud)


def filled(cloud: LocalCloud) -> Any:
    client = cloud.client("logs")
    client.create_log_group(logGroupName="/app")
    client.create_log_stream(logGroupName="/app", logStreamName="one")
    now = int(time.time() * 1000) - 10_000
    events = [
        {"timestamp": now + number, "message": line if isinstance(line, str) else json.dumps(line)}
        for number, line in enumerate(LINES)
    ]
    client.put_log_events(logGroupName="/app", logStreamName="one", logEvents=events)
    return client


def test_a_filter_pattern_filters_at_the_endpoint(logs):
    found = logs.filter_log_events(logGroupName="/app", filterPattern='{ $.job_id = "b" }')
    assert [json.loads(event["message"])["message"] for event in found["events"]] == [
        "Taken",
        "Reported",
    ]
    with pytest.raises(logs.exceptions.InvalidParameterException, match="Invalid or unsupported"):
        logs.filter_log_events(logGroupName="/app", filterPattern="%a%")


def test_a_saved_query_is_changed_found_and_deleted(logs):
    about = {"name": "a/b", "queryString": "fields ms", "logGroupNames": ["/app"]}
    one = logs.put_query_definition(**about)["queryDefinitionId"]
    other = logs.put_query_definition(name="c", queryString="fields ms")["queryDefinitionId"]
    changed = about | {"queryString": "fields job_id"}
    assert logs.put_query_definition(**changed, queryDefinitionId=one)["queryDefinitionId"] == one
    [found] = logs.describe_query_definitions(queryDefinitionNamePrefix="a/")["queryDefinitions"]
    assert changed.items() <= found.items()
    assert logs.delete_query_definition(queryDefinitionId=one)["success"] is True
    left = logs.describe_query_definitions()["queryDefinitions"]
    assert [each["queryDefinitionId"] for each in left] == [other]
    for unknown in (
        lambda: logs.delete_query_definition(queryDefinitionId=one),
        lambda: logs.put_query_definition(**changed, queryDefinitionId=one),
    ):
        with pytest.raises(ClientError, match="does not exist"):
            unknown()


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("StartQuery", {"queryString": "fields ms", "startTime": 0, "endTime": 1}),
        ("GetQueryResults", {"queryId": "a"}),
        ("DescribeQueries", {}),
        ("StopQuery", {"queryId": "a"}),
    ],
)
def test_running_a_query_is_refused(logs, operation, request_):
    method = logs.meta.method_to_api_mapping
    (name,) = [name for name, its in method.items() if its == operation]
    with pytest.raises(ClientError, match=f"has no {operation}") as refused:
        getattr(logs, name)(**request_)
    answer = refused.value.response
    assert answer["Error"]["Code"] == "UnknownOperationException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
