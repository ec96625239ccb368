"""The page's server: requests, responses, and streams that end with their browser."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any
from urllib.request import urlopen

import pytest
from moto.dynamodb.models.dynamo_type import DynamoType
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response

from local.acknowledger import cloud_with_codepipeline
from local.page import PATH, Page
from local.page.server import FILES, FOLDER, change, changes
from local.page.view import MAX_LINE, MAX_TEXT, card, happened, is_whole, text_of
from local.watched import CHARACTERS, Keeping, Watched
from tests.local.fixtures.cloud import ACCOUNT, REGION, SECONDS, running
from tests.support import wait_for


class Served:
    def __init__(self) -> None:
        self.page = Page(Response("the application behind"), ACCOUNT, REGION, {})
        self.client = Client(self.page)

    def ask(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> TestResponse:
        json_body = None if body is None else json.dumps(body)
        return self.client.open(path, method=method, data=json_body, content_type=kind)


@pytest.fixture
def served() -> Served:
    return Served()


# -- Requests -------------------------------------------------------------------------------------


def test_other_paths_go_to_the_application_behind(served):
    for path in ("/", "/bucket/key", "/_local/codepipeline/clock", "/_locals"):
        assert served.ask("GET", path).text == "the application behind"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "no.js", 404),
        ("GET", "../server.py", 404),
        ("POST", "", 405),
        ("POST", "start", 404),
    ],
)
def test_unknown_requests_are_refused(served, method, path, status):
    assert served.ask(method, PATH + path, {}).status_code == status


# -- Responses ------------------------------------------------------------------------------------


def test_the_page_may_load_only_its_own_files(served):
    for name in ("", *FILES):
        answer = served.ask("GET", PATH + name)
        assert answer.status_code == 200
        policy = dict(
            each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; ")
        )
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert not re.search("unsafe|data:|[*]", answer.headers["Content-Security-Policy"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {file.name for file in FOLDER.iterdir() if file.suffix not in (".py", "")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_fetched_from_elsewhere_and_no_text_becomes_markup(name):
    text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(
        r"https?:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text
    )
    assert not re.search(r"\son\w+=|style=|<script(?! type=\"module\" src=)", text)


def test_a_stream_begins_with_everything_and_continues_with_changes():
    looks: Iterator[dict[str, Any]] = iter(
        [{"a": 1, "b": {"c": 1}}, {"a": 1, "b": {"c": 1}}, {"b": {"c": 2}}]
    )
    first, second = (
        json.loads(event.removeprefix(b"data: "))
        for event in islice(changes(lambda: next(looks), threading.Event()), 2)
    )
    assert (first["all"], first["set"], first["gone"]) == (True, {"a": 1, "b": {"c": 1}}, [])
    assert (second["all"], second["set"], second["gone"]) == (False, {"b": {"c": 2}}, ["a"])


def test_the_first_event_is_sent_even_if_it_is_empty():
    assert change(None, {}) is not None
    assert change({}, {}) is None


def test_a_stream_without_changes_sends_comments(monkeypatch):
    monkeypatch.setattr("local.page.server.QUIET_SECONDS", 0)
    monkeypatch.setattr("local.page.server.LOOK_SECONDS", 0.01)
    stopped, looks = threading.Event(), iter(range(3))

    def look() -> dict[str, Any]:
        if next(looks) == 2:
            stopped.set()
        return {}

    assert list(changes(look, stopped))[1:] == [b":\n\n"] * 2


def test_looking_ends_when_the_stream_is_stopped():
    looks: list[int] = []
    stopped = threading.Event()
    stream = changes(lambda: looks.append(1) or {"looks": len(looks)}, stopped)
    next(stream)
    stopped.set()
    assert list(stream) == []
    assert len(looks) == 1


def test_a_jobs_secrets_are_removed_from_texts():
    secret = "AQC-secret"
    value = dict.fromkeys(("taskToken", "clientToken", "artifactCredentials", "nonce"), secret)
    shown = text_of({"job": [{"id": "1", **value}]})
    assert json.loads(shown) == {"job": [{"id": "1"}]}
    assert len(text_of("x" * 2 * MAX_TEXT)) == MAX_TEXT


@pytest.mark.parametrize(
    ("progress", "percent"),
    [({}, None), ({"percentComplete": {"N": "40"}}, 40), ({"summary": {"S": "half"}}, None)],
)
def test_a_card_shows_a_jobs_place_and_progress(progress, percent):
    shown = card(card_row("Queued", progress))
    assert shown.pop("percent", None) == percent
    assert shown == {
        "status": "Queued",
        "pipeline": "demo",
        "stage": "Build",
        "action": "Go",
        "offers": 2,
        "times": {"Created": 1500, "Queued": 2000},
    }


def test_a_row_that_is_being_written_is_not_shown_yet():
    row = card_row("Queued", {})
    assert is_whole(row)
    for name in row:
        part = {each: value for each, value in row.items() if each != name}
        assert not is_whole(part)
        with pytest.raises(KeyError):
            card(part)


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
def test_the_card_of_an_ended_job_has_no_progress(status):
    assert "percent" not in card(card_row(status, {"percentComplete": {"N": "80"}}))


def test_the_card_of_a_failed_job_has_the_reason_in_one_line():
    row = card_row("Failed", {})
    row |= {"error": DynamoType({"S": "JobFailed"}), "cause": DynamoType({"S": "two\n lines"})}
    assert card(row)["why"] == "two lines"
    row["cause"] = DynamoType({"S": "x" * 2 * MAX_LINE})
    assert len(card(row)["why"]) == MAX_LINE


def card_row(status: str, progress: dict[str, Any]) -> dict[str, Any]:
    times = {"Created": {"S": "1970-01-01T00:00:01.500Z"}, "Queued": {"S": "1970-01-01T00:00:02Z"}}
    texts = {"status": status, "pipelineName": "demo", "stageName": "Build", "actionName": "Go"}
    row = {name: DynamoType({"S": text}) for name, text in texts.items()}
    row |= {"times": DynamoType({"M": times}), "offers": DynamoType({"N": "2"})}
    if progress:
        row["progress"] = DynamoType({"M": progress})
    return row


class Kind:
    def __init__(self, value: str) -> None:
        self.value = value


def event(kind: str, **details: Any) -> dict[str, Any]:
    return {"type": Kind(kind), "timestamp": "2026-01-01T00:00:00.000Z", "details": details}


def test_a_history_is_shown_in_words():
    detail = {"jobId": "1", "taskToken": "AQC-secret", "nonce": "7"}
    parameters = {"Entries": [{"DetailType": "Job In Progress", "Detail": detail}]}
    history = [
        event("TaskStateEntered", name="Work"),
        event("TaskScheduled", resourceType="events", parameters=json.dumps(parameters)),
        event("TaskSubmitted", output="{}"),
        event("TaskFailed", error="JobFailed", cause="<b>broken</b>"),
        event("TaskStateEntered", name="ReportFailure"),
        event("TaskScheduled", resourceType="lambda", parameters='{"Payload": {"jobId": "1"}}'),
        event("TaskSucceeded", output='{"Payload": {"status": "Failed"}}'),
        event("ExecutionFailed", error="JobFailed", cause=None),
    ]
    told = [(each["who"], each["what"], each.get("text")) for each in happened(history)]
    assert told == [
        ("Step Functions", "Work", None),
        ("JobBus", "event Job In Progress", None),
        ("Worker", "task failed", "JobFailed: <b>broken</b>"),
        ("Step Functions", "ReportFailure", None),
        ("Report", "was invoked", '{\n "jobId": "1"\n}'),
        ("CodePipeline", "answered Failed", None),
        ("Step Functions", "execution failed", "JobFailed"),
    ]


# -- The worker's log ------------------------------------------------------------------------------


def test_a_jobs_log_has_the_lines_that_name_it_and_their_traceback_until_a_new_worker_begins():
    watched = Watched()
    for line in (
        "2026-01-01 10:00:00,000 INFO job one: Success",
        "2026-01-01 10:00:01,000 WARNING job two",
        "\tTraceback (most recent call last):",
        "\tValueError: broken",
        "2026-01-01 10:00:02,000 INFO job three: a message",
        "\tof several lines",
        "printed by another program",
    ):
        watched.add(line)
    assert watched.log("one") == ["2026-01-01 10:00:00,000 INFO job one: Success"]
    assert watched.log("on") == []
    [trace] = watched.log("two")
    assert trace.endswith("job two\nTraceback (most recent call last):\nValueError: broken")
    assert watched.log("three")[0].endswith("a message\nof several lines")
    watched.ended = "It ended."
    watched.begin("yours")
    assert (watched.kind, watched.ended, watched.log("one")) == ("yours", "", [])


def test_a_message_of_very_many_lines_is_kept_up_to_a_limit():
    watched = Watched()
    watched.add("2026-01-01 10:00:00,000 INFO job one: begins")
    for _ in range(50_000):
        watched.add("\tmore")
    [message] = watched.log("one")
    assert CHARACTERS <= len(message) < CHARACTERS + 10


def test_a_workers_warning_is_kept_and_printed_if_there_is_no_log_handler(monkeypatch, capsys):
    monkeypatch.setattr(logging.root, "handlers", [])
    watched = Watched()
    for level in (logging.INFO, logging.WARNING):
        record = logging.LogRecord("any", level, "", 0, "job %s", ("one",), None)
        Keeping(watched).handle(record)
    assert len(watched.log("one")) == 2
    assert capsys.readouterr().err == "job one\n"


# -- In the local stack ---------------------------------------------------------------------------


def test_an_empty_cloud_has_a_page_and_ends_its_streams():
    with ExitStack() as opened:
        with running(cloud_with_codepipeline) as cloud:
            board = f"{cloud.endpoint_url}{PATH}events"
            urls = (board, f"{board}?job=1")
            streams = [opened.enter_context(urlopen(url)) for url in urls]  # noqa: S310
            shown, job = [json.loads(stream.readline()[len("data: ") :]) for stream in streams]
            assert job["set"] == {"job": None, "log": [], "codepipeline": None}
            assert shown["set"]["stack"] is None
            assert shown["set"]["switches"]["nonce_rotates"] == {
                "value": True,
                "allowed": "true or false",
                "choices": [True, False],
            }
            assert not [name for name in shown["set"] if name.startswith(("job ", "pipeline "))]
            assert len(serving()) == len(streams)
        wait_for(lambda: not serving(), "the streams to end", SECONDS)


def test_looking_ends_when_the_browser_disconnects(monkeypatch):
    monkeypatch.setattr("local.page.server.QUIET_SECONDS", 0)
    monkeypatch.setattr("local.page.server.LOOK_SECONDS", 0.01)
    with running(cloud_with_codepipeline) as cloud:
        with urlopen(f"{cloud.endpoint_url}{PATH}events") as stream:  # noqa: S310
            assert stream.readline()
            assert serving()
        wait_for(lambda: not serving(), "the stream to end", SECONDS)


def serving() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if "process_request_thread" in each.name]
