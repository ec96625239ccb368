"""Progress that a worker reports."""

import json

import pytest

import report
from acknowledger import errors, outcomes, progress
from acknowledger.config import config
from acknowledger.moments import ago
from acknowledger.offers import continued, token
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


def keep_alive():
    return show(keepAlive=True)


def expect_continuation(calls, details=DETAILS, job_id=JOB_ID, answer=None):
    request = {"jobId": job_id, "continuationToken": token(EXECUTION, JOB_ID, job_id)}
    request |= {"executionDetails": details} if details else {}
    calls.expects("codepipeline", PUT, answer or {}, request)


NOTING = "continuing = "
"""Changes the row to say that a job is about to be continued."""


class TestProgress:
    def test_progress_is_shown_by_ending_the_job_so_that_another_continues_it(self, cloud):
        put_job(cloud)
        expect_continuation(cloud)
        assert report.handler(PROGRESS, Context()) == {"shown": True}
        row = cloud.job(JOB_ID)
        assert (row["progress"], row["toldAt"]) == (DETAILS, TOLD_AT[:19])
        assert row["shown"] == DETAILS
        assert row["continuing"] == {"jobId": JOB_ID, "executionDetails": DETAILS, "sent": True}
        assert row["status"] == "InProgress"
        assert ago(60) < row["progressAt"] <= ago(0)
        # Intake polls for the next job even if it takes no other jobs.
        assert list(cloud.intake()["awaiting"]) == [JOB_ID]
        # The next event finds the progress shown.
        assert list(cloud.intake()["unshown"]) == [JOB_ID]
        assert show() is False
        assert list(cloud.intake()["awaiting"]) == [JOB_ID]
        assert cloud.intake()["unshown"] == {}
        made = json.loads(cloud.sent[0])["continuationToken"]
        assert continued(made, MACHINE) == {"jobId": JOB_ID, "after": JOB_ID}

    def test_the_newest_job_of_the_work_is_the_next_to_be_ended(self, cloud):
        put_job(cloud, currentJobId=SECOND, progress=DETAILS, progressAt=ago(61))
        expect_continuation(cloud, {**DETAILS, "percentComplete": 50}, SECOND)
        assert show(percentComplete=50)
        assert cloud.job(JOB_ID)["continuing"]["jobId"] == SECOND
        made = json.loads(cloud.sent[0])["continuationToken"]
        assert continued(made, MACHINE) == {"jobId": JOB_ID, "after": SECOND}

    def test_a_partners_job_is_continued_with_its_clients_token(self, cloud):
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
    def test_a_member_that_is_left_out_keeps_its_value(self, cloud, before, told, shown):
        put_job(cloud, **({"progress": before} if before else {}))
        expect_continuation(cloud, shown)
        assert show(**told)
        row = cloud.job(JOB_ID)
        assert row["progress"] == row["shown"] == shown

    @pytest.mark.parametrize("progress", [{}, {"progress": DETAILS, "shown": DETAILS}])
    def test_without_news_a_job_is_continued_only_to_keep_it_alive(self, cloud, progress):
        put_job(cloud, **progress)
        before = cloud.job(JOB_ID)
        assert show() is False
        assert cloud.job(JOB_ID) == before
        expect_continuation(cloud, progress.get("shown", {}))
        assert keep_alive()
        assert cloud.job(JOB_ID)["shown"] == progress.get("shown", {})
        assert list(cloud.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize("continuing", [{"jobId": JOB_ID, "sent": True}, None])
    def test_a_job_that_is_being_continued_or_just_was_is_not_continued_again(
        self, cloud, continuing
    ):
        shown_at = ago(500 if continuing else 50)
        put_job(cloud, progressAt=shown_at, **({"continuing": continuing} if continuing else {}))
        before = cloud.job(JOB_ID)
        assert keep_alive() is False
        assert cloud.job(JOB_ID) == before

    def test_other_fields_of_the_event_are_ignored(self, cloud):
        put_job(cloud)
        expect_continuation(cloud, {"percentComplete": 5})
        assert show(percentComplete=5, phase="link", continuationToken="x")

    @pytest.mark.parametrize(
        ("age", "row"),
        [
            (50, {"currentJobId": SECOND}),
            (50, {}),
            (500, {"continuing": {"jobId": JOB_ID, "sent": True}}),
        ],
    )
    def test_progress_within_the_interval_is_stored_and_shown_later(self, cloud, age, row):
        put_job(cloud, progress=DETAILS, progressAt=ago(age), **row)
        before = cloud.job(JOB_ID)
        assert show(percentComplete=50) is False
        kept = {"progress": {**DETAILS, "percentComplete": 50}, "toldAt": KEPT_AT}
        assert cloud.job(JOB_ID) == before | kept
        # The sweep reminds Report of it.
        assert list(cloud.intake()["unshown"]) == [JOB_ID]
        assert cloud.intake()["awaiting"] == {}

    def test_progress_that_is_already_shown_needs_no_reminder(self, cloud):
        put_job(cloud, progress=DETAILS, shown=DETAILS, progressAt=ago(5))
        assert show(**DETAILS) is False
        assert (cloud.job(JOB_ID)["toldAt"], cloud.intake()) == (KEPT_AT, {})

    def test_progress_that_is_already_shown_removes_an_older_reminder(self, cloud):
        put_job(cloud, progress={"summary": "s"}, shown=DETAILS, progressAt=ago(5))
        cloud.put_intake(unshown={JOB_ID: ago(40), "other": ago(30)}, awaiting={JOB_ID: ago(5)})
        assert show(**DETAILS) is False
        assert cloud.job(JOB_ID)["progress"] == DETAILS
        assert list(cloud.intake()["unshown"]) == ["other"]
        assert list(cloud.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize("told", [{}, DETAILS])
    def test_progress_reported_while_a_reminder_is_being_removed_gets_a_reminder(self, cloud, told):
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

    def test_progress_that_is_no_longer_shown_when_it_is_stored_gets_a_reminder(self, cloud):
        """It was shown when the row was read; by now, other progress is."""
        put_job(cloud, progress=DETAILS, shown=DETAILS, progressAt=ago(70))
        other = {**DETAILS, "percentComplete": 1}
        now = {"progress": other, "shown": other, "progressAt": ago(5)}
        cloud.before("UpdateItem", lambda: put_job(cloud, **now))
        assert show(**DETAILS) is False
        assert (cloud.job(JOB_ID)["progress"], cloud.job(JOB_ID)["shown"]) == (DETAILS, other)
        assert list(cloud.intake().get("unshown", {})) == [JOB_ID]

    def test_progress_is_stored_with_a_reminder_before_it_is_shown(self, cloud):
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

    def test_an_event_from_a_clock_that_is_ahead_does_not_hide_later_progress(self, cloud):
        put_job(cloud, progressAt=ago(5))
        before = ago(0)[:19]
        assert show("2999-01-01T00:00:00Z", percentComplete=1) is False
        assert before <= cloud.job(JOB_ID)["toldAt"] <= ago(0)[:19]
        assert len(cloud.job(JOB_ID)["toldAt"]) == 19
        assert show("2999-01-01T00:00:00Z", percentComplete=2) is False
        assert cloud.job(JOB_ID)["progress"] == {"percentComplete": 2}

    @pytest.mark.parametrize(
        ("at", "kept"),
        [
            (TOLD_AT, False),
            (AT, True),
            ("2026-09-28T17:35:40.000001Z", True),
            ("2026-09-28T17:35:40.9Z", True),
            (LATER, True),
            ("2026-09-28T17:35:39.9Z", False),
        ],
    )
    def test_progress_older_than_the_stored_one_is_ignored(self, cloud, at, kept):
        """Events may arrive out of order. Of two with the same second, the last to arrive counts."""
        put_job(cloud, progress=DETAILS, toldAt=KEPT_AT, shown=DETAILS, progressAt=ago(5))
        before = cloud.job(JOB_ID)
        assert show(at, percentComplete=10) is False
        told = {"progress": {**DETAILS, "percentComplete": 10}, "toldAt": at[:19]}
        assert cloud.job(JOB_ID) == (before | told if kept else before)
        assert list(cloud.intake().get("unshown", {})) == ([JOB_ID] if kept else [])

    def test_older_progress_causes_the_stored_one_to_be_shown_if_it_is_due(self, cloud):
        put_job(cloud, progress=DETAILS, toldAt=KEPT_AT)
        expect_continuation(cloud)
        assert show(TOLD_AT, percentComplete=10, summary="old")
        assert cloud.job(JOB_ID)["progress"] == DETAILS

    @pytest.mark.parametrize("told", [{}, {"keepAlive": True}])
    def test_a_reminder_shows_the_known_progress_and_keeps_its_time(self, cloud, told):
        put_job(cloud, progress=DETAILS, toldAt=KEPT_AT)
        expect_continuation(cloud)
        assert show(LATER, **told)
        assert (cloud.job(JOB_ID)["progress"], cloud.job(JOB_ID)["toldAt"]) == (DETAILS, KEPT_AT)

    @pytest.mark.parametrize(
        "meanwhile",
        [{"status": "Succeeded"}, {"progress": {"percentComplete": 90}, "toldAt": LATER[:19]}],
    )
    def test_progress_that_becomes_outdated_meanwhile_is_dropped(self, cloud, meanwhile):
        put_job(cloud, progressAt=ago(5))
        cloud.before("UpdateItem", lambda: put_job(cloud, progressAt=ago(5), **meanwhile))
        assert show(**DETAILS) is False
        assert cloud.job(JOB_ID).get("progress") == meanwhile.get("progress")
        assert cloud.intake() == {}

    def test_a_reminder_that_comes_too_early_changes_nothing(self, cloud):
        put_job(cloud, progress=DETAILS, progressAt=ago(50))
        cloud.put_intake(unshown={JOB_ID: ago(40)})
        before = cloud.job(JOB_ID), cloud.intake()
        assert show() is False
        assert (cloud.job(JOB_ID), cloud.intake()) == before

    def test_a_reminder_shows_the_stored_progress_once(self, cloud):
        put_job(cloud, progress=DETAILS, progressAt=ago(70))
        cloud.put_intake(unshown={JOB_ID: ago(40)})
        expect_continuation(cloud)
        assert show()
        assert not show()
        assert cloud.intake()["unshown"] == {}
        assert list(cloud.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
    def test_the_reminder_of_a_job_that_is_over_is_removed(self, cloud, status):
        put_job(cloud, status=status, progress=DETAILS)
        cloud.put_intake(unshown={JOB_ID: ago(40), "other": ago(30)})
        assert show() is False
        assert list(cloud.intake()["unshown"]) == ["other"]

    def test_the_next_job_of_work_that_is_over_stays_awaited(self, cloud):
        put_job(cloud, status="Failed", continuing={"jobId": JOB_ID, "sent": True})
        cloud.put_intake(awaiting={JOB_ID: ago(40)}, unshown={JOB_ID: ago(30)}, paused=True)
        assert show() is False
        assert list(cloud.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize(("age", "due"), [(59, False), (61, True)])
    def test_the_interval_is_a_setting(self, cloud, monkeypatch, age, due):
        put_job(cloud, progressAt=ago(age))
        if due:
            expect_continuation(cloud)
        assert report.handler(PROGRESS, Context()) == {"shown": due}
        monkeypatch.setenv("PROGRESS_INTERVAL_SECONDS", "10000")
        config.cache_clear()
        assert progress.show(JOB_ID, {}, AT) is False

    @pytest.mark.parametrize(
        "status", ["Created", "Queued", "Dispatched", "Succeeded", "Failed", "TimedOut", None]
    )
    def test_progress_of_a_job_that_is_not_in_progress_is_not_shown(self, cloud, status):
        if status:
            put_job(cloud, status=status)
        before = cloud.job(JOB_ID)
        assert report.handler(PROGRESS, Context()) == {"shown": False}
        assert cloud.job(JOB_ID) == before

    @pytest.mark.parametrize(
        "meanwhile",
        [
            {"status": "Succeeded"},
            {"currentJobId": SECOND},
            {"progressAt": "2999-01-01T00:00:00.000Z"},
            {"continuing": {"jobId": JOB_ID, "executionDetails": {}, "sent": False}},
        ],
    )
    def test_progress_is_shown_later_if_its_row_changes_in_the_meantime(self, cloud, meanwhile):
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

    def test_progress_is_shown_on_the_next_job_if_that_joins_meanwhile(self, cloud):
        put_job(cloud)
        cloud.before("UpdateItem", lambda: put_job(cloud, currentJobId=SECOND))
        expect_continuation(cloud, DETAILS, SECOND)
        assert report.handler(PROGRESS, Context()) == {"shown": True}
        assert cloud.job(JOB_ID)["continuing"]["jobId"] == SECOND

    def test_progress_that_breaks_a_limit_is_refused_before_anything_is_written(self, cloud):
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
        self, cloud, code, status, raised, details
    ):
        put_job(cloud)
        noted = []
        cloud.watch(
            "codepipeline", "PutJobSuccessResult", lambda _: noted.append(cloud.job(JOB_ID))
        )
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
        self, cloud, shown
    ):
        put_repeated(cloud, **shown)
        expect_continuation(cloud)
        show(percentComplete=99)
        assert cloud.job(JOB_ID)["progress"] == {**DETAILS, "percentComplete": 99}
        assert cloud.job(JOB_ID).get("shown") == shown.get("shown")
        assert list(cloud.intake()["unshown"]) == [JOB_ID]

    @pytest.mark.parametrize("until", ["awaiting.#job", "continuing.sent"])
    def test_progress_reported_while_other_progress_is_being_shown_gets_a_reminder(
        self, cloud, until
    ):
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
    def test_a_job_that_codepipeline_has_ended_is_not_continued(self, cloud, repeated, code):
        if repeated:
            put_repeated(cloud, shown=DETAILS)
        else:
            put_job(cloud)
        cloud.expects_error("codepipeline", PUT, code)
        assert show(**DETAILS) is False
        assert not {"continuing", "shown", "progressAt"} & cloud.job(JOB_ID).keys()
        assert cloud.intake()["awaiting"] == {}

    @pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
    def test_a_refused_repeat_does_not_prove_that_the_first_call_failed(self, cloud, code):
        put_repeated(cloud, shown=DETAILS)
        before = cloud.job(JOB_ID)
        cloud.expects_error("codepipeline", PUT, code)
        with pytest.raises(errors.CodePipelineRefused):
            show()
        assert cloud.job(JOB_ID) == before
        assert list(cloud.intake()["awaiting"]) == [JOB_ID]
        expect_continuation(cloud)
        assert show()

    def test_any_other_refusal_of_codepipeline_is_undone_and_raised(self, cloud):
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

    def test_the_next_job_may_join_before_codepipeline_answers(self, cloud):
        put_job(cloud)
        expect_continuation(cloud)
        cloud.watch(
            "codepipeline",
            "PutJobSuccessResult",
            lambda _: put_job(cloud, currentJobId=SECOND),
        )
        assert report.handler(PROGRESS, Context()) == {"shown": True}
        assert "continuing" not in cloud.job(JOB_ID)

    def test_the_number_of_times_that_progress_is_shown_is_counted(self, cloud, capsys):
        put_job(cloud)
        expect_continuation(cloud)
        for shown in (1, 0):
            report.handler(PROGRESS, Context())
            assert metrics_in(capsys.readouterr().out)["ProgressShown"] == (shown, "Count")

    def test_the_reason_why_progress_is_not_shown_is_logged_with_the_job(self, cloud, log):
        report.handler(PROGRESS, Context())
        (line,) = log.lines
        assert line["job_id"] == JOB_ID
        assert line["service"] == SERVICE
        assert "not in progress" in line["message"]

    def test_a_job_that_codepipeline_has_ended_is_logged(self, cloud, log):
        put_job(cloud)
        cloud.expects_error("codepipeline", PUT, "InvalidJobStateException", "It is over.")
        report.handler(PROGRESS, Context())
        (line,) = log.lines
        assert (line["job_id"], line["service"], line["level"]) == (JOB_ID, SERVICE, "WARNING")
        assert line["error"] == "It is over."
