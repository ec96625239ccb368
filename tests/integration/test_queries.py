"""Each saved query gives what its name promises, of what jobs have left in the logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

import moto_codepipeline
from local.aws.insights import Query
from tests.integration.conftest import World
from tests.support import load_event, wait_for

NAMES = {
    "A job by its id",
    "The slowest acknowledgments",
    "Jobs that failed by cause",
    "Functions that failed by error",
    "What a pipeline or a client got",
}
BROKEN = "bad/report-status"


class Asked:
    """What jobs have been worked, and the saved queries to ask of them."""

    def __init__(self, world: World) -> None:
        self._logs = world.client("logs")
        self.failed_pipeline = world.start({"Outcome": "Fail"})
        self.failed = world.row(self.failed_pipeline, "Failed")["jobId"]["S"]
        self.succeeded_pipeline = world.start({"Outcome": "Succeed"})
        self.succeeded = world.row(self.succeeded_pipeline, "Succeeded")["jobId"]["S"]
        partners = replace(world, owner="ThirdParty")
        self.partners = partners.row(partners.start({"Outcome": "Succeed"}), "Succeeded")
        assert "errorType" in world.invoke("Report", load_event(BROKEN))
        self.queries = {
            one["name"].partition("/")[2]: one
            for one in self._logs.describe_query_definitions(
                queryDefinitionNamePrefix=f"{world.stack.name}/"
            )["queryDefinitions"]
        }
        # A function's lines are there once its invocation has ended.
        for job_id, *facts in (
            (self.failed, "Reported", "ExecutionFailed"),
            (self.succeeded, "Reported", "ExecutionSucceeded"),
            (self.partners["jobId"]["S"], "Reported"),
        ):
            told = partial(self.is_told, job_id, facts)
            wait_for(told, "the job's end in the logs", seconds=20)

    def is_told(self, job_id: str, facts: list[str]) -> bool:
        return set(facts) <= {row["what"] for row in self.ask("A job by its id", JOB_ID=job_id)}

    def ask(self, name: str, **values: str) -> list[dict[str, str]]:
        """The rows of a saved query, with its placeholders filled in."""
        text = self.queries[name]["queryString"]
        for placeholder, value in values.items():
            assert placeholder in text
            text = text.replace(placeholder, value)
        return self._run(name, text)

    def has(self, name: str, field: str) -> bool:
        """Whether any line of the log groups of a saved query has a field."""
        return bool(self._run(name, f"filter ispresent(`{field}`) | limit 1"))

    def _run(self, name: str, text: str) -> list[dict[str, str]]:
        now = int(time.time())
        query_id = self._logs.start_query(
            logGroupNames=self.queries[name]["logGroupNames"],
            startTime=now - 3600,
            endTime=now + 60,
            queryString=text,
        )["queryId"]
        answer = self._logs.get_query_results(queryId=query_id)
        assert answer["status"] == "Complete"
        return [
            {one["field"]: one["value"] for one in row if one["field"] != "@ptr"}
            for row in answer["results"]
        ]


@pytest.fixture(scope="module")
def asked(running: World) -> Iterator[Asked]:
    running.emulator.behaviour = moto_codepipeline.Behaviour(started_before_queued_seconds=0)
    return Asked(running)


def test_these_are_the_saved_queries(asked):
    assert set(asked.queries) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_field_that_a_query_names_is_in_some_line_of_its_log_groups(name, asked):
    fields = Query(asked.queries[name]["queryString"]).fields
    assert fields
    assert {field for field in fields if not asked.has(name, field)} == set()


def test_the_story_of_a_job_is_told_by_all_who_had_it_in_the_order_of_time(asked):
    rows = asked.ask("A job by its id", JOB_ID=asked.failed)
    assert {row["who"] for row in rows} == {"Intake", "Acknowledge", "Report", "JobStateMachine"}
    told = [row["what"] for row in rows if row.get("level") == "INFO"]
    assert told == ["Offer taken", "Acknowledged", "Reported"]
    told = [row["what"] for row in rows if row["who"] == "JobStateMachine"]
    assert (told[0], told[-1]) == ("ExecutionStarted", "ExecutionFailed")
    assert [row["@timestamp"] for row in rows] == sorted(row["@timestamp"] for row in rows)
    asked_aws = {row["operation"] for row in rows if row.get("level") == "DEBUG"}
    assert asked_aws >= {"AcknowledgeJob", "PutJobFailureResult"}
    [reported] = [row for row in rows if row["what"] == "Reported"]
    assert (reported["status"], reported["error"]) == ("Failed", "JobFailed")
    assert "configuration says so" in reported["cause"]


def test_the_slowest_acknowledgments_come_first(asked):
    rows = asked.ask("The slowest acknowledgments")
    assert {asked.failed, asked.succeeded} <= {row["job_id"] for row in rows}
    waits = [int(row["milliseconds"]) for row in rows]
    assert waits == sorted(waits, reverse=True)
    [row] = [row for row in rows if row["job_id"] == asked.succeeded]
    assert row["pipeline_name"] == asked.succeeded_pipeline


def test_failed_jobs_are_counted_by_cause(asked):
    [row] = asked.ask("Jobs that failed by cause")
    assert (row["status"], row["error"], row["jobs"]) == ("Failed", "JobFailed", "1")
    assert row["last_job"] == asked.failed


def test_failed_functions_are_counted_by_error(asked):
    [row] = asked.ask("Functions that failed by error")
    assert row["@log"].endswith(":/aws/lambda/acknowledger-report")
    assert (row["errorType"], row["failures"]) == ("EventInvalid", "1")
    assert "status must be" in row["errorMessage"]


def test_a_pipeline_s_and_a_client_s_jobs_are_found(asked):
    query = "What a pipeline or a client got"
    client = asked.partners["clientId"]["S"]
    rows = asked.ask(query, PIPELINE_NAME=asked.failed_pipeline, CLIENT_ID="nobody")
    assert [(row["message"], row["job_id"]) for row in rows] == [
        ("Reported", asked.failed),
        ("Offer taken", asked.failed),
    ]
    rows = asked.ask(query, PIPELINE_NAME="none", CLIENT_ID=client)
    assert {row["job_id"] for row in rows} == {asked.partners["jobId"]["S"]}
    assert [row["message"] for row in rows] == ["Reported", "Offer taken"]
