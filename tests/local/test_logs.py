"""CloudWatch Logs: filter patterns are words or a phrase, and queries are saved but not run."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.server import LocalCloud


@pytest.fixture(scope="module")
def logs(cloud: LocalCloud) -> Any:
    client = cloud.client("logs")
    client.create_log_group(logGroupName="/app")
    client.create_log_stream(logGroupName="/app", logStreamName="one")
    now = int(time.time() * 1000) - 10_000
    said = ('{"message": "Not taken", "job": "a-1"}', '{"message": "Taken", "job": "b-2"}')
    events = [{"timestamp": now + at, "message": text} for at, text in enumerate(said)]
    client.put_log_events(logGroupName="/app", logStreamName="one", logEvents=events)
    return client


@pytest.mark.parametrize(
    ("pattern", "jobs"),
    [("", "ab"), ("Taken", "b"), ("job message", "ab"), ('"Not taken"', "a"), ('"b-2"', "b")],
)
def test_a_filter_pattern_is_words_or_one_phrase(logs, pattern, jobs):
    found = logs.filter_log_events(logGroupName="/app", filterPattern=pattern)["events"]
    assert "".join(json.loads(event["message"])["job"][0] for event in found) == jobs


@pytest.mark.parametrize(
    "pattern",
    [
        "%a.c%",
        "404",
        "_x",
        "7f3a Taken",
        "[a, b]",
        '{ $.job = "b" }',
        "?Taken ?b",
        "-Taken",
        'Taken "b-2"',
        '"a \\"b\\""',
    ],
)
def test_an_unsupported_filter_pattern_is_refused(logs, pattern):
    with pytest.raises(
        logs.exceptions.InvalidParameterException, match="does not support the filter pattern"
    ):
        logs.filter_log_events(logGroupName="/app", filterPattern=pattern)


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
    with pytest.raises(
        ClientError, match=f"{operation} of logs is not implemented here"
    ) as refused:
        getattr(logs, name)(**request_)
    answer = refused.value.response
    assert answer["Error"]["Code"] == "UnknownOperationException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
