"""Progress that a worker reports."""

from typing import Any

import pytest

import report
from acknowledger import errors, outcomes, progress
from acknowledger.config import config
from acknowledger.moments import ago, now
from acknowledger.offers import token
from tests.support import load_event
from tests.unit.conftest import ENVIRONMENT, SERVICE, Context, metrics_in

PROGRESS = load_event("report-job-progress")
JOB_ID, DETAILS, TOLD_AT = outcomes.parse_progress(PROGRESS)
# After the time of the sample event.
AT, LATER = "2026-09-28T17:35:40Z", "2026-09-28T17:35:41Z"
# As stored: to the second.
KEPT_AT = "2026-09-28T17:35:40"
SECOND = "11111111-2222-3333-4444-555555555555"
MACHINE = ENVIRONMENT["STATE_MACHINE_ARN"]
EXECUTION = f"{MACHINE.replace('stateMachine', 'execution')}:name"
PUT = "put_job_success_result"


def put_job(cloud, **row):
    cloud.put_job(JOB_ID, execution=EXECUTION, **row)


def put_repeated(cloud, **row):
    """A job whose continuation may or may not have been sent."""
    continuing = {"jobId": JOB_ID, "executionDetails": DETAILS, "sent": False}
    put_job(cloud, progress=DETAILS, progressAt=ago(5), continuing=continuing, **row)


def show(at=AT, **told):
    detail = {"jobId": JOB_ID, **told}
    event = {"detail-type": "Job Progress", "time": at, "detail": detail}
    return report.handler(event, Context())["shown"]


def expect_continuation(calls, details=DETAILS, job_id=JOB_ID, answer=None):
    request = {"jobId": job_id, "continuationToken": token(EXECUTION, JOB_ID, job_id)}
    request |= {"executionDetails": details} if details else {}
    calls.expects("codepipeline", PUT, answer or {}, request)


NOTING = "continuing = "
"""Changes the row to say that a job is about to be continued."""


def test_progress_is_shown_by_ending_the_job_so_that_another_continues_it(cloud):
    put_job(cloud)
    expect_continuation(cloud)
    assert report.handler(PROGRESS, Context()) == {"shown": True}
    row = cloud.job(JOB_ID)
    assert (row["progress"], row["toldAt"]) == (DETAILS, TOLD_AT[:19])
    assert row["shown"] == DETAILS
    assert row["continuing"] == {"jobId": JOB_ID, "executionDetails": DETAILS, "sent": True}
    assert row["status"] == "InProgress"
    assert ago(60) < row["progressAt"] <= now()
    # Intake polls for the next job even if it takes no other jobs.
    assert list(cloud.intake()["awaiting"]) == [JOB_ID]
    # The next event finds the progress shown.
    assert list(cloud.intake()["unshown"]) == [JOB_ID]
    assert show() is False
    assert list(cloud.intake()["awaiting"]) == [JOB_ID]
    assert cloud.intake()["unshown"] == {}


def test_the_newest_job_of_the_work_is_the_next_to_be_ended(cloud):
    put_job(cloud, currentJobId=SECOND, progress=DETAILS, progressAt=ago(61))
    expect_continuation(cloud, {**DETAILS, "percentComplete": 50}, SECOND)
    assert show(percentComplete=50)
    assert cloud.job(JOB_ID)["continuing"]["jobId"] == SECOND


def test_a_partners_job_is_continued_with_its_clients_token(cloud):
    cloud.put_job("theirs/1", execution=EXECUTION, clientId="c")
    parameter = {"Parameter": {"Name": "n", "Value": "secret"}}
    cloud.expects("ssm", "get_parameter", parameter)
    request = {
        "jobId": "theirs/1",
        "clientToken": "secret",
        "continuationToken": token(EXECUTION, "theirs/1", "theirs/1"),
        "executionDetails": {"percentComplete": 1},
    }
    cloud.expects("codepipeline", "put_third_party_job_success_result", {}, request)
    assert progress.show("theirs/1", {"percentComplete": 1}, AT)


@pytest.mark.parametrize(
    ("before", "told", "shown"),
    [
        ({}, {"summary": "s"}, {"summary": "s"}),
        ({"summary": "s"}, {"percentComplete": 2}, {"summary": "s", "percentComplete": 2}),
        ({"summary": "s"}, {"summary": "t"}, {"summary": "t"}),
        ({"percentComplete": 2}, {}, {"percentComplete": 2}),
        ({"percentComplete": 2}, {"percentComplete": 0}, {"percentComplete": 0}),
    ],
)
def test_a_member_that_is_left_out_keeps_its_value(cloud, before, told, shown):
    put_job(cloud, **({"progress": before} if before else {}))
    expect_continuation(cloud, shown)
    assert show(**told)
    row = cloud.job(JOB_ID)
    assert row["progress"] == row["shown"] == shown


@pytest.mark.parametrize("progress", [{}, {"progress": DETAILS, "shown": DETAILS}])
def test_without_news_a_job_is_continued_only_to_keep_it_alive(cloud, progress):
    put_job(cloud, **progress)
    before = cloud.job(JOB_ID)
    assert show() is False
    assert cloud.job(JOB_ID) == before
    expect_continuation(cloud, progress.get("shown", {}))
    assert show(keepAlive=True)
    assert cloud.job(JOB_ID)["shown"] == progress.get("shown", {})
    assert list(cloud.intake()["awaiting"]) == [JOB_ID]


OTHER = {**DETAILS, "percentComplete": 50}
SHOWN = {"progress": DETAILS, "shown": DETAILS, "progressAt": 5, "toldAt": KEPT_AT}
CONTINUING = {"continuing": {"jobId": JOB_ID, "sent": True}}
KEEP_ALIVE = {"keepAlive": True}
BOTH = [JOB_ID, "other"]
NOT_SHOWN: list[Any] = [
    # Soon after other progress, or while the next job is awaited: the sweep reminds Report of it.
    *(
        (
            {"progress": DETAILS, "progressAt": age, **row},
            [],
            {"percentComplete": 50},
            {"progress": OTHER, "toldAt": KEPT_AT},
            [JOB_ID],
        )
        for age, row in ((50, {}), (50, {"currentJobId": SECOND}), (500, CONTINUING))
    ),
    ({"progressAt": 50}, [], KEEP_ALIVE, {}, []),
    ({"progressAt": 500, **CONTINUING}, [], KEEP_ALIVE, {}, []),
    # A reminder that comes too early.
    ({"progress": DETAILS, "progressAt": 50}, [JOB_ID], {}, {}, [JOB_ID]),
    # What is already shown needs no reminder, and removes an older one.
    (SHOWN, [], DETAILS, {}, []),
    (SHOWN | {"progress": {"summary": "s"}}, BOTH, DETAILS, {"progress": DETAILS}, ["other"]),
    # Events may arrive out of order. Of two with the same second, the last to arrive counts.
    *(
        (SHOWN, [], {"at": at, **OTHER}, {"progress": OTHER, "toldAt": at[:19]}, [JOB_ID])
        for at in (AT, "2026-09-28T17:35:40.000001Z", "2026-09-28T17:35:40.9Z", LATER)
    ),
    *((SHOWN, [], {"at": at, **OTHER}, {}, []) for at in (TOLD_AT, "2026-09-28T17:35:39.9Z")),
    # The job is not in progress. If it is over, the next job of its work stays awaited.
    (None, [], DETAILS, {}, []),
    *(({"status": status}, [], DETAILS, {}, []) for status in ("Created", "Queued", "Dispatched")),
    *(
        ({"status": status, **CONTINUING}, BOTH, told, {}, ["other"])
        for status in ("Succeeded", "Failed", "TimedOut")
        for told in (DETAILS, {})
    ),
]


@pytest.mark.parametrize(("row", "unshown", "told", "changes", "left"), NOT_SHOWN)
def test_progress_that_is_not_shown_is_kept_with_a_reminder_or_ignored(
    cloud, row, unshown, told, changes, left
):
    """Given: the job's row, the jobs with reminders, the event; how the two change.

    In the row, progressAt is so many seconds ago.
    """
    if row is not None:
        row = row | {name: ago(row[name]) for name in ("progressAt",) if name in row}
        put_job(cloud, **row)
    if unshown:
        cloud.put_intake(unshown=dict.fromkeys(unshown, ago(40)), awaiting={JOB_ID: ago(5)})
    before, awaiting = cloud.job(JOB_ID), cloud.intake().get("awaiting", {})
    assert show(**told) is False
    assert cloud.job(JOB_ID) == before | changes
    intake = cloud.intake()
    assert bool(intake) is bool(unshown or left)
    assert (sorted(intake.get("unshown", {})), intake.get("awaiting", {})) == (left, awaiting)


OLD = {"at": TOLD_AT, "percentComplete": 10, "summary": "old"}


@pytest.mark.parametrize("told", [{"at": LATER}, KEEP_ALIVE | {"at": LATER}, OLD])
def test_a_reminder_or_older_progress_shows_what_is_stored_if_it_is_due(cloud, told):
    put_job(cloud, progress=DETAILS, toldAt=KEPT_AT)
    expect_continuation(cloud)
    assert show(**told)
    assert (cloud.job(JOB_ID)["progress"], cloud.job(JOB_ID)["toldAt"]) == (DETAILS, KEPT_AT)


@pytest.mark.parametrize("told", [{}, DETAILS])
def test_progress_reported_while_a_reminder_is_being_removed_gets_a_reminder(cloud, told):
    put_job(cloud, progress=DETAILS, shown=DETAILS, progressAt=ago(5))
    cloud.put_intake(unshown={JOB_ID: ago(40)})
    answers = []
    cloud.before(
        "UpdateItem",
        lambda: answers.append(show(percentComplete=99)),
        change="REMOVE unshown",
    )
    assert show(**told) is False
    assert answers == [False]
    assert cloud.job(JOB_ID)["progress"] == {**DETAILS, "percentComplete": 99}
    assert list(cloud.intake()["unshown"]) == [JOB_ID]


def test_progress_that_is_no_longer_shown_when_it_is_stored_gets_a_reminder(cloud):
    """It was shown when the row was read; by now, other progress is."""
    put_job(cloud, progress=DETAILS, shown=DETAILS, progressAt=ago(70))
    other = {**DETAILS, "percentComplete": 1}
    now = {"progress": other, "shown": other, "progressAt": ago(5)}
    cloud.before("UpdateItem", lambda: put_job(cloud, **now))
    assert show(**DETAILS) is False
    assert (cloud.job(JOB_ID)["progress"], cloud.job(JOB_ID)["shown"]) == (DETAILS, other)
    assert list(cloud.intake().get("unshown", {})) == [JOB_ID]


def test_progress_is_stored_with_a_reminder_before_it_is_shown(cloud):
    """Then it is shown later if the function dies."""
    put_job(cloud)
    seen = []
    cloud.before(
        "UpdateItem", lambda: seen.extend([cloud.job(JOB_ID), cloud.intake()]), change=NOTING
    )
    expect_continuation(cloud)
    assert report.handler(PROGRESS, Context()) == {"shown": True}
    row, noted = seen
    assert (row["progress"], "shown" in row) == (DETAILS, False)
    assert list(noted["unshown"]) == [JOB_ID]


def test_an_event_from_a_clock_that_is_ahead_does_not_hide_later_progress(cloud):
    put_job(cloud, progressAt=ago(5))
    before = now()[:19]
    assert show("2999-01-01T00:00:00Z", percentComplete=1) is False
    assert before <= cloud.job(JOB_ID)["toldAt"] <= now()[:19]
    assert len(cloud.job(JOB_ID)["toldAt"]) == 19
    assert show("2999-01-01T00:00:00Z", percentComplete=2) is False
    assert cloud.job(JOB_ID)["progress"] == {"percentComplete": 2}


@pytest.mark.parametrize(
    "meanwhile",
    [{"status": "Succeeded"}, {"progress": {"percentComplete": 90}, "toldAt": LATER[:19]}],
)
def test_progress_that_becomes_outdated_meanwhile_is_dropped(cloud, meanwhile):
    put_job(cloud, progressAt=ago(5))
    cloud.before("UpdateItem", lambda: put_job(cloud, progressAt=ago(5), **meanwhile))
    assert show(**DETAILS) is False
    assert cloud.job(JOB_ID).get("progress") == meanwhile.get("progress")
    assert cloud.intake() == {}


def test_a_reminder_shows_the_stored_progress_once(cloud):
    put_job(cloud, progress=DETAILS, progressAt=ago(70))
    cloud.put_intake(unshown={JOB_ID: ago(40)})
    expect_continuation(cloud)
    assert show()
    assert not show()
    assert cloud.intake()["unshown"] == {}
    assert list(cloud.intake()["awaiting"]) == [JOB_ID]


@pytest.mark.parametrize(("age", "due"), [(59, False), (61, True)])
def test_the_interval_is_a_setting(cloud, monkeypatch, age, due):
    put_job(cloud, progressAt=ago(age))
    if due:
        expect_continuation(cloud)
    assert report.handler(PROGRESS, Context()) == {"shown": due}
    monkeypatch.setenv("PROGRESS_INTERVAL_SECONDS", "10000")
    config.cache_clear()
    assert progress.show(JOB_ID, {}, AT) is False


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"status": "Succeeded"},
        {"currentJobId": SECOND},
        {"progressAt": "2999-01-01T00:00:00.000Z"},
        {"continuing": {"jobId": JOB_ID, "executionDetails": {}, "sent": False}},
    ],
)
def test_progress_is_shown_later_if_its_row_changes_in_the_meantime(cloud, meanwhile):
    put_job(cloud)
    cloud.before(
        "UpdateItem",
        lambda: cloud.put_job(JOB_ID, **(cloud.job(JOB_ID) | meanwhile)),
        change=NOTING,
    )
    assert report.handler(PROGRESS, Context()) == {"shown": False}
    row = cloud.job(JOB_ID)
    assert {name: row[name] for name in meanwhile} == meanwhile
    # It is shown the next time.
    assert row["progress"] == DETAILS
    assert list(cloud.intake()["unshown"]) == [JOB_ID]


def test_progress_is_shown_on_the_next_job_if_that_joins_meanwhile(cloud):
    put_job(cloud)
    cloud.before("UpdateItem", lambda: put_job(cloud, currentJobId=SECOND))
    expect_continuation(cloud, DETAILS, SECOND)
    assert report.handler(PROGRESS, Context()) == {"shown": True}
    assert cloud.job(JOB_ID)["continuing"]["jobId"] == SECOND


def test_progress_that_breaks_a_limit_is_refused_before_anything_is_written(cloud):
    put_job(cloud)
    before = cloud.job(JOB_ID)
    with pytest.raises(errors.ValidationException) as refused:
        report.handler(load_event("bad/report-job-progress"), Context())
    assert "2 validation errors" in str(refused.value)
    for member in ("executionDetails.percentComplete", "executionDetails.summary"):
        assert member in str(refused.value)
    assert (cloud.job(JOB_ID), cloud.intake()) == (before, {})


@pytest.mark.parametrize(
    ("code", "status", "raised"),
    [
        ("InternalFailure", 500, errors.CodePipelineUnavailable),
        ("ThrottlingException", 400, errors.CodePipelineThrottled),
    ],
)
@pytest.mark.parametrize("details", [DETAILS, {}])
def test_a_call_that_may_have_failed_is_repeated_with_the_same_bytes(
    cloud, code, status, raised, details
):
    put_job(cloud)
    noted = []
    cloud.watch("codepipeline", "PutJobSuccessResult", lambda _: noted.append(cloud.job(JOB_ID)))
    cloud.expects_error("codepipeline", PUT, code, "No.", status)
    with pytest.raises(raised):
        show(**(details or {"keepAlive": True}))
    continuing = {"jobId": JOB_ID, "executionDetails": details, "sent": False}
    assert noted[0]["continuing"] == continuing
    expect_continuation(cloud, details)
    # New progress doesn't change the repeated call.
    assert show(percentComplete=99)
    assert cloud.sent[0] == cloud.sent[1]
    assert cloud.job(JOB_ID)["continuing"]["sent"] is True


@pytest.mark.parametrize("shown", [{}, {"shown": DETAILS}])
def test_progress_reported_while_an_earlier_call_is_repeated_is_stored_with_a_reminder(
    cloud, shown
):
    put_repeated(cloud, **shown)
    expect_continuation(cloud)
    show(percentComplete=99)
    assert cloud.job(JOB_ID)["progress"] == {**DETAILS, "percentComplete": 99}
    assert cloud.job(JOB_ID).get("shown") == shown.get("shown")
    assert list(cloud.intake()["unshown"]) == [JOB_ID]


@pytest.mark.parametrize("until", ["awaiting.#job", "continuing.sent"])
def test_progress_reported_while_other_progress_is_being_shown_gets_a_reminder(cloud, until):
    put_job(cloud)
    # The second invocation can't know whether the first has made its call.
    expect_continuation(cloud)
    expect_continuation(cloud)
    answers = []
    cloud.before("UpdateItem", lambda: answers.append(show(percentComplete=99)), change=until)
    assert report.handler(PROGRESS, Context()) == {"shown": True}
    assert answers == [True]
    assert cloud.sent[0] == cloud.sent[1]
    assert cloud.job(JOB_ID)["progress"] == {**DETAILS, "percentComplete": 99}
    assert cloud.job(JOB_ID)["shown"] == DETAILS
    assert list(cloud.intake()["unshown"]) == [JOB_ID]
    assert show() is False
    assert list(cloud.intake()["unshown"]) == [JOB_ID]


@pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
@pytest.mark.parametrize("repeated", [False, True])
def test_a_job_that_codepipeline_has_ended_is_not_continued(cloud, repeated, code, log):
    if repeated:
        put_repeated(cloud, shown=DETAILS)
    else:
        put_job(cloud)
    cloud.expects_error("codepipeline", PUT, code, "It is over.")
    assert show(**DETAILS) is False
    assert not {"continuing", "shown", "progressAt"} & cloud.job(JOB_ID).keys()
    assert cloud.intake()["awaiting"] == {}
    (line,) = log.lines
    assert (line["job_id"], line["service"], line["level"]) == (JOB_ID, SERVICE, "WARNING")
    assert line["error"] == "It is over."


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
def test_a_refused_repeat_does_not_prove_that_the_first_call_failed(cloud, code):
    put_repeated(cloud, shown=DETAILS)
    before = cloud.job(JOB_ID)
    cloud.expects_error("codepipeline", PUT, code)
    with pytest.raises(errors.CodePipelineRefused):
        show()
    assert cloud.job(JOB_ID) == before
    assert list(cloud.intake()["awaiting"]) == [JOB_ID]
    expect_continuation(cloud)
    assert show()


def test_any_other_refusal_of_codepipeline_is_undone_and_raised(cloud):
    put_job(cloud)
    cloud.expects_error("codepipeline", PUT, "AccessDeniedException")
    with pytest.raises(errors.CodePipelineRefused, match="AccessDenied"):
        report.handler(PROGRESS, Context())
    row = cloud.job(JOB_ID)
    assert not {"continuing", "shown", "progressAt"} & row.keys()
    assert (row["progress"], row["toldAt"]) == (DETAILS, TOLD_AT[:19])
    assert list(cloud.intake()["unshown"]) == [JOB_ID]
    assert cloud.intake()["awaiting"] == {}
    # The interval doesn't apply, since nothing was shown.
    expect_continuation(cloud)
    assert report.handler(PROGRESS, Context()) == {"shown": True}


def test_the_next_job_may_join_before_codepipeline_answers(cloud):
    put_job(cloud)
    expect_continuation(cloud)
    cloud.watch(
        "codepipeline",
        "PutJobSuccessResult",
        lambda _: put_job(cloud, currentJobId=SECOND),
    )
    assert report.handler(PROGRESS, Context()) == {"shown": True}
    assert "continuing" not in cloud.job(JOB_ID)


def test_the_number_of_times_that_progress_is_shown_is_counted(cloud, capsys):
    put_job(cloud)
    expect_continuation(cloud)
    for shown in (1, 0):
        report.handler(PROGRESS, Context())
        assert metrics_in(capsys.readouterr().out)["ProgressShown"] == (shown, "Count")


def test_the_reason_why_progress_is_not_shown_is_logged_with_the_job(cloud, log):
    report.handler(PROGRESS, Context())
    (line,) = log.lines
    assert line["job_id"] == JOB_ID
    assert line["service"] == SERVICE
    assert "not in progress" in line["message"]
