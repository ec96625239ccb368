from __future__ import annotations

import pytest

from acknowledger import job_table
from acknowledger.errors import TableUnavailable
from acknowledger.moments import ago
from acknowledger.room import AWAITED, GIVEN
from tests.unit.conftest import table_properties


def test_a_row_is_read_as_it_is_now_with_plain_values(tables):
    requests = []
    tables.dynamodb.meta.events.register(
        "before-parameter-build.dynamodb.GetItem", lambda params, **_: requests.append(params)
    )
    row = {"times": {"InProgress": "2026"}, "offers": 2, "shown": {"percentComplete": 1}, "x": True}
    tables.put_job("j", **row)
    found = job_table.find("j")
    assert {name: found[name] for name in row} == row
    assert type(found["shown"]["percentComplete"]) is int
    assert requests[0]["ConsistentRead"] is True


def test_a_job_without_a_row_is_none(tables):
    assert job_table.find("j") is None


def test_jobs_are_found_by_what_codepipelines_events_name(tables):
    index = "ByActionExecution", "actionExecutionId"
    for job_id, value in (("a", "x"), ("b", "x"), ("c", "y")):
        tables.put_job(job_id, actionExecutionId=value)
    assert sorted(job_table.find_by(*index, "x")) == ["a", "b"]
    assert list(job_table.find_by(*index, "z")) == []


def test_a_query_is_read_to_its_last_page_also_through_empty_ones(aws_calls):
    for number, found in enumerate(["", "a", "", "b"]):
        page = {"Items": [{"jobId": {"S": job_id}} for job_id in found]}
        more = {"LastEvaluatedKey": {"jobId": {"S": str(number)}}} if found != "b" else {}
        aws_calls.expects("dynamodb", "query", page | more)
    assert list(job_table.find_by("ByActionExecution", "actionExecutionId", "x")) == ["a", "b"]


def test_long_work_is_found_by_its_newest_jobs_age_and_not_beyond_its_time_limit(tables):
    tables.put_job("young", updatedAt=ago(50))
    tables.put_job("long", updatedAt=ago(150))
    tables.put_job("continued since", times={"InProgress": ago(150)}, updatedAt=ago(50))
    tables.put_job("continued before", times={"InProgress": ago(250)}, updatedAt=ago(150))
    tables.put_job("too long", updatedAt=ago(350))
    tables.put_job("ended", status="Succeeded", updatedAt=ago(150))
    found = job_table.in_progress_since(ago(100), ago(300))
    assert sorted(found) == ["continued before", "long"]


def test_the_template_has_the_indexes_that_are_asked():
    (by_status,) = [
        index
        for index in table_properties()["JobTable"]["GlobalSecondaryIndexes"]
        if index["IndexName"] == "ByStatus"
    ]
    # Its rows are filtered by `times`.
    assert by_status["Projection"] == {"ProjectionType": "ALL"}


def test_a_change_gives_the_whole_row_back(tables):
    tables.put_job("j", execution="e", offers=1)
    row = job_table.update(
        "j",
        "SET #status = :status, #times.#status_name = :now, #error = :error",
        condition="#execution = :execution AND offers = :one",
        values={":status": "Failed", ":now": "2026", ":error": "E", ":execution": "e", ":one": 1},
        names={"#status_name": "Failed"},
    )
    assert row == tables.job("j")
    assert (row["status"], row["times"]["Failed"], row["error"]) == ("Failed", "2026", "E")
    assert row["pipelineExecutionId"] == "pipeline execution of j"


@pytest.mark.parametrize("there", [True, False])
def test_a_change_whose_condition_is_not_met_changes_nothing(tables, there):
    if there:
        tables.put_job("j", execution="another", room=AWAITED)
    before = tables.job("j")
    values = {":given": GIVEN, ":execution": "e"}
    changed = job_table.update(
        "j", "SET room = :given", condition="#execution = :execution", values=values
    )
    assert changed is None
    assert tables.job("j") == before


@pytest.mark.parametrize(("execution", "left"), [("mine", []), ("another's", ["j"])])
def test_a_row_is_released_only_by_whose_it_is(tables, execution, left):
    tables.put_job("j", execution=execution, actionExecutionId="a")
    job_table.release("j", "mine")
    job_table.release("no such job", "mine")
    assert list(job_table.find_by("ByActionExecution", "actionExecutionId", "a")) == left


@pytest.mark.parametrize(
    "act",
    [
        lambda: job_table.find("j"),
        lambda: list(job_table.find_by("ByActionExecution", "actionExecutionId", "x")),
        lambda: list(job_table.in_progress_since("2026", "2025")),
        lambda: job_table.update(
            "j", "SET room = :x", condition="#status = :x", values={":x": "y"}
        ),
        lambda: job_table.release("j", "e"),
    ],
)
def test_a_table_that_does_not_answer_is_worth_another_try(tables, act):
    tables.dynamodb.delete_table(TableName="JobTable")
    with pytest.raises(TableUnavailable, match="JobTable"):
        act()
