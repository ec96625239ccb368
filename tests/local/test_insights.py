"""Logs Insights QL, saved queries and filter patterns do on the local stack what they say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.logs.exceptions import InvalidParameterException

from local.aws.filter_patterns import FilterPattern
from local.aws.insights import MalformedQueryError, Query, row_of
from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import running

#: One a second, from the first second of 2026 on.
BEGIN = 1_767_225_600_000
LINES: list[Any] = [
    {"message": "Taken", "job_id": "a", "ms": 5, "job": {"tags": ["x", "y"], "is-new": True}},
    {"message": "Taken", "job_id": "b", "ms": 40, "size": "12"},
    {"message": "Reported", "job_id": "a", "status": "Failed", "cause": 'it\'s "broken"'},
    {"message": "Reported", "job_id": "b", "status": "Succeeded", "@x": "own"},
    "START no JSON",
    {"message": "Taken", "job_id": "c", "ms": 300, "empty": None},
]
GROUP = SimpleNamespace(name="/app", account_id="123456789012")
STREAM = SimpleNamespace(log_stream_name="one")


def rows() -> list[dict[str, Any]]:
    return [
        row_of(
            SimpleNamespace(
                timestamp=BEGIN + 1000 * number,
                ingestion_time=BEGIN + 1000 * number,
                message=line if isinstance(line, str) else json.dumps(line),
                event_id=number,
            ),
            STREAM,
            GROUP,
        )
        for number, line in enumerate(LINES)
    ]


def ran(query: str) -> list[list[str]]:
    """What a query gives of LINES: the values of each row, but for @ptr."""
    found = Query(query).run(rows())
    return [[value for name, value in row.items() if name != "@ptr"] for row in found]


RUNS = {
    # fields and what is in a line
    "fields @timestamp | filter ms = 5": [["2026-01-01 00:00:00.000"]],
    "fields @log, @logStream, @message | filter @message like 'START'": [
        ["123456789012:/app", "one", "START no JSON"]
    ],
    "fields job.tags.1, `job.is-new` | filter ms = 5": [["y", "1"]],
    "fields `@@x` | filter ispresent(`@@x`)": [["own"]],
    "fields ms | fields job_id | limit 1": [["300", "c"]],
    "fields ms, job_id | display job_id | limit 1": [["c"]],
    "fields ms * 2 + 1 as more, ms / 8 as less | filter ms = 5": [["11", "0.625"]],
    "fields -1 as a, ms % 3 as b, (ms + 1) * 2 as c | filter ms = 5": [["-1", "2", "12"]],
    "fields ms / 0 as none, message | filter ms = 5": [["Taken"]],
    "fields coalesce(status, size, 'none') as it | sort @timestamp asc": [
        [one] for one in ("none", "12", "Failed", "Succeeded", "none", "none")
    ],
    "fields concat(message, '-', job_id), toupper(message) | filter ms = 5": [["Taken-a", "TAKEN"]],
    "fields substr(message, 2, 3) as s, strlen(message) as n, abs(-2) as a | filter ms = 5": [
        ["ken", "5", "2"]
    ],
    # filter
    "fields job_id | filter message = 'Taken' and ms > 5": [["c"], ["b"]],
    "fields job_id | filter ms >= 40 and ms < 300 or status != 'Failed'": [["b"], ["b"]],
    "fields job_id | filter (ms = 5 or ms = 40) and not job_id = 'a'": [["b"]],
    "fields job_id | filter size = 12 and size < 13": [["b"]],
    "fields job_id | filter status in ['Failed', 'TimedOut']": [["a"]],
    "fields job_id | filter ms not in [5, 40]": [["c"]],
    "fields job_id | filter cause like \"it's\" or cause = 'it\\'s \"broken\"'": [["a"]],
    "fields job_id | filter message like /^Rep.*d$/ and status not like /ail/": [["b"]],
    "fields job_id | filter message =~ /(?i)^TAKEN/ | limit 1": [["c"]],
    "fields job_id | filter not ispresent(message)": [[]],
    "filter ispresent(empty)": [],
    # A comparison with what is not there is open, and so is its opposite.
    "filter nothing = 1 or nothing != 1 or not nothing = 1": [],
    "fields job_id | filter strcontains(cause, 'broken') # a remark": [["a"]],
    # sort
    "fields job_id, ms | filter ispresent(ms) | sort message desc, ms asc": [
        ["a", "5"],
        ["b", "40"],
        ["c", "300"],
    ],
    "fields ms | sort ms desc | limit 4": [["300"], ["40"], ["5"], []],
    "fields job_id | filter ispresent(job_id) | dedup job_id": [["c"], ["b"], ["a"]],
    # stats
    "stats count(*) as n, count(ms), sum(ms), avg(ms), min(ms), max(ms), pct(ms, 50)": [
        ["6", "3", "345", "115", "5", "300", "40"]
    ],
    "filter ispresent(message) | stats count(*) as n, latest(job_id), earliest(ms) by message | sort n desc": [
        ["Taken", "3", "c", "5"],
        ["Reported", "2", "b"],
    ],
    "stats count(*) as n by bin(3s) as t | sort t asc": [
        ["2026-01-01 00:00:00.000", "3"],
        ["2026-01-01 00:00:03.000", "3"],
    ],
    "stats count_distinct(job_id) as jobs, latest(@timestamp) as at": [
        ["3", "2026-01-01 00:00:05.000"]
    ],
    "stats sum(ms) as total by message | filter total > 0 | fields total / 5 as fifth": [
        ["Taken", "345", "69"]
    ],
    "filter ms = 1 | stats count(*) as n by message": [],
    "filter ms = 1 | stats count(*) as n": [["0"]],
}


@pytest.mark.parametrize("query", RUNS)
def test_a_query_gives(query: str) -> None:
    assert ran(query) == RUNS[query]


def test_a_query_without_fields_gives_time_and_message_the_latest_first() -> None:
    found = Query("filter ms > 5").run(rows())
    assert [list(row) for row in found] == [["@timestamp", "@message", "@ptr"]] * 2
    assert [row["@timestamp"][-6:] for row in found] == ["05.000", "01.000"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "expected a command"),
        ("parse @message 'a*' as b", "expected a command, one of fields"),
        ("fields ms | pattern @message", "expected a command"),
        ("fields ms,", "expected a name or quoted"),
        ("fields ms |", "expected a command"),
        ("fields ms ms", "expected |"),
        ("fields upper(ms)", "upper is none of the functions"),
        ("fields abs(ms, 2)", "abs takes 1"),
        ("fields @requestId", "@requestId is not known here"),
        ("filter ms = 'a", "unexpected symbol '"),
        ("filter ms like ms", "expected a 'text'"),
        ("filter ms like /(/", "no regular expression"),
        ("filter (ms = 1", "expected )"),
        ("filter ms not 1", "expected like or in"),
        ("filter ms in []", "expected a number"),
        ("sort ms", "expected asc or desc"),
        ("limit 10001", "limit must be a whole number from 1 to 10000"),
        ("stats median2(ms)", "median2 is none of the functions"),
        ("stats pct(ms)", "expected ,"),
        ("stats count(*) | stats count(*)", "more than one stats"),
        ("stats count(*) by bin(0m)", "a period of 0"),
    ],
)
def test_what_is_not_known_is_refused_and_named(query: str, said: str) -> None:
    with pytest.raises(MalformedQueryError) as error:
        Query(query)
    assert said in str(error.value.description)


# -- Filter patterns ------------------------------------------------------------------------------


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
def test_a_filter_pattern_matches(pattern: str | None, matching: str) -> None:
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
def test_a_filter_pattern_that_is_not_known_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameterException):
        FilterPattern(pattern)


# -- The API --------------------------------------------------------------------------------------


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


def started(logs: Any, query: str, **settings: Any) -> Any:
    now = int(time.time())
    about = {"logGroupNames": ["/app"], "startTime": now - 60, "endTime": now, **settings}
    query_id = logs.start_query(queryString=query, **about)["queryId"]
    return logs.get_query_results(queryId=query_id)


def test_the_results_of_a_query_have_the_form_of_aws(logs: Any) -> None:
    answer = started(logs, "fields job_id, ms | filter ms > 5 | sort ms asc", limit=1)
    assert answer["status"] == "Complete"
    [[job, ms, pointer]] = answer["results"]
    assert job == {"field": "job_id", "value": "b"}
    assert ms == {"field": "ms", "value": "40"}
    assert pointer["field"] == "@ptr"
    figures = answer["statistics"]
    assert (figures["recordsMatched"], figures["recordsScanned"]) == (2, 6)
    assert figures["bytesScanned"] > 100


def test_a_query_reads_only_its_time_and_groups(logs: Any) -> None:
    now = int(time.time())
    for start, end in ((now - 120, now - 60), (now + 60, now + 120)):
        assert started(logs, "fields ms", startTime=start, endTime=end)["results"] == []
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        started(logs, "fields ms", logGroupNames=["/none"])
    with pytest.raises(logs.exceptions.MalformedQueryException, match="expected a command"):
        started(logs, "unknown")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_query_results(queryId="none")


def test_a_saved_query_is_changed_found_and_deleted(logs: Any) -> None:
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


def test_a_filter_pattern_filters_at_the_endpoint(logs: Any) -> None:
    found = logs.filter_log_events(logGroupName="/app", filterPattern='{ $.job_id = "b" }')
    assert [json.loads(event["message"])["message"] for event in found["events"]] == [
        "Taken",
        "Reported",
    ]
    with pytest.raises(logs.exceptions.InvalidParameterException, match="not known here"):
        logs.filter_log_events(logGroupName="/app", filterPattern="%a%")
