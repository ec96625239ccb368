import pytest

from acknowledger import job_table
from acknowledger.errors import TableUnavailable
from acknowledger.moments import ago
from acknowledger.room import AWAITED, GIVEN
from tests.unit.conftest import table_properties


def test_a_row_is_read_consistently_and_with_plain_values(cloud):
    requests = []
    cloud.dynamodb.meta.events.register(
        "before-parameter-build.dynamodb.GetItem", lambda params, **_: requests.append(params)
    )
    row = {"times": {"InProgress": "2026"}, "offers": 2, "shown": {"percentComplete": 1}, "x": True}
    cloud.put_job("j", **row)
    found = job_table.find("j")
    assert {name: found[name] for name in row} == row
    assert type(found["shown"]["percentComplete"]) is int
    assert requests[0]["ConsistentRead"] is True


def test_a_job_without_a_row_is_none(cloud):
    assert job_table.find("j") is None


def test_jobs_are_found_by_their_action_execution(cloud):
    for job_id, value in (("a", "x"), ("b", "x"), ("c", "y")):
        cloud.put_job(job_id, actionExecutionId=value)
    assert sorted(job_table.of_action("x")) == ["a", "b"]
    assert list(job_table.of_action("z")) == []


def test_a_query_is_read_to_its_last_page_even_if_some_pages_are_empty(aws_calls):
    for number, found in enumerate(["", "a", "", "b"]):
        page = {"Items": [{"jobId": {"S": job_id}} for job_id in found]}
        more = {"LastEvaluatedKey": {"jobId": {"S": str(number)}}} if found != "b" else {}
        aws_calls.expects("dynamodb", "query", page | more)
    assert list(job_table.of_action("x")) == ["a", "b"]


def test_a_survey_counts_the_jobs_in_flight_and_finds_what_is_due(cloud):
    cloud.put_job("waits", status="Queued", offeredAt=ago(500), dueAt=ago(-60))
    cloud.put_job("overdue", offeredAt=ago(400), dueAt=ago(1))
    cloud.put_job("also", status="Created", offeredAt=ago(300), dueAt=ago(5))
    cloud.put_job("ended", status="Succeeded", offeredAt=ago(900))
    cloud.put_job("unannounced", status="Failed", offeredAt=ago(900), dueAt=ago(1))
    found = job_table.survey()
    assert found.in_flight == 3
    assert ago(510) < found.oldest <= ago(500)
    assert sorted(found.due) == ["also", "overdue", "unannounced"]


def test_of_many_due_jobs_only_the_first_are_read_and_all_are_counted(cloud, monkeypatch):
    monkeypatch.setattr(job_table, "DUE_AT_ONCE", 2)
    for number in range(5):
        cloud.put_job(f"j{number}", dueAt=ago(10 - number))
    found = job_table.survey()
    assert found.in_flight == 5
    assert found.due == ["j0", "j1"]


@pytest.mark.parametrize("compared", [True, False])
def test_the_oldest_job_is_found_unless_there_are_very_many(cloud, monkeypatch, compared):
    """The last pages are only counted."""
    if not compared:
        monkeypatch.setattr(job_table, "PAGES_READ", 0)
    cloud.put_job("old", offeredAt=ago(90_000), dueAt=ago(-70_000))
    for number in range(60):
        cloud.put_job(f"young{number}", offeredAt=ago(60), dueAt=ago(-3_600))
    found = job_table.survey()
    assert (found.in_flight, found.due) == (61, [])
    if compared:
        assert ago(90_010) < found.oldest <= ago(90_000)
    else:
        assert found.oldest > ago(90)


def test_a_survey_of_an_empty_table_takes_seven_queries(cloud):
    cloud.calls.clear()
    found = job_table.survey()
    assert (found.in_flight, found.oldest, found.due) == (0, None, [])
    assert cloud.calls == ["JobTable Query"] * 7


def test_the_index_has_only_the_attributes_that_are_queried():
    """An entry is below 1 KB, and is written only if one of them changes."""
    (by_status,) = [
        index
        for index in table_properties()["JobTable"]["GlobalSecondaryIndexes"]
        if index["IndexName"] == "ByStatus"
    ]
    assert [key["AttributeName"] for key in by_status["KeySchema"]] == ["status", "dueAt"]
    assert by_status["Projection"] == {
        "ProjectionType": "INCLUDE",
        "NonKeyAttributes": ["offeredAt", "pipelineName", "actionName"],
    }


def test_an_update_returns_the_whole_row(cloud):
    cloud.put_job("j", execution="e", offers=1)
    row = job_table.update(
        "j",
        "SET #status = :status, #times.#status_name = :now, #error = :error",
        condition="#execution = :execution AND offers = :one",
        values={":status": "Failed", ":now": "2026", ":error": "E", ":execution": "e", ":one": 1},
        names={"#status_name": "Failed"},
    )
    assert row == cloud.job("j")
    assert (row["status"], row["times"]["Failed"], row["error"]) == ("Failed", "2026", "E")
    assert row["pipelineExecutionId"] == "pipeline execution of j"


@pytest.mark.parametrize("there", [True, False])
def test_an_update_whose_condition_fails_changes_nothing(cloud, there):
    if there:
        cloud.put_job("j", execution="another", room=AWAITED)
    before = cloud.job("j")
    values = {":given": GIVEN, ":execution": "e"}
    changed = job_table.update(
        "j", "SET room = :given", condition="#execution = :execution", values=values
    )
    assert changed is None
    assert cloud.job("j") == before
    # `attempt` returns the row that is there instead.
    assert job_table.attempt(
        "j", "SET room = :given", condition="#execution = :execution", values=values
    ) == (False, before or None)


@pytest.mark.parametrize(
    ("execution", "status", "left"),
    [
        ("mine", "Created", []),
        ("mine", "Dispatched", []),
        ("another's", "Created", ["j"]),
        ("mine", "InProgress", ["j"]),
        ("mine", "Failed", ["j"]),
    ],
)
def test_a_row_is_released_only_by_its_own_execution_and_before_the_acknowledgment(
    cloud, execution, status, left
):
    cloud.put_job("j", execution=execution, status=status, actionExecutionId="a")
    job_table.release("j", "mine")
    job_table.release("no such job", "mine")
    assert list(job_table.of_action("a")) == left


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"status": "Failed", "error": "JobFailed", "cause": "It was ended otherwise"},
        {"execution": "another's"},
        {"currentJobId": "the next job"},
        None,
    ],
)
def test_a_job_is_not_ended_if_its_row_has_changed_since_it_was_read(cloud, meanwhile):
    cloud.put_job("j")
    read = job_table.find("j")
    if meanwhile:
        cloud.put_job("j", **meanwhile)
    before = cloud.job("j")
    ended = job_table.end(read, {"status": "Succeeded"})
    assert (ended is None, cloud.job("j") == before) == (bool(meanwhile),) * 2


@pytest.mark.parametrize(
    "act",
    [
        lambda: job_table.find("j"),
        lambda: list(job_table.of_action("x")),
        job_table.survey,
        lambda: job_table.update(
            "j", "SET room = :x", condition="#status = :x", values={":x": "y"}
        ),
        lambda: job_table.release("j", "e"),
    ],
)
def test_an_error_of_the_job_table_is_raised_as_retryable(cloud, act):
    cloud.dynamodb.delete_table(TableName="JobTable")
    with pytest.raises(TableUnavailable, match="JobTable"):
        act()
