"""Progress that a worker reports."""

import json

import pytest

import report
from acknowledger import errors, outcomes, progress
from acknowledger.config import config
from acknowledger.moments import ago
from acknowledger.offers import continued, token
from tests.support import load_event
from tests.unit.conftest import ENVIRONMENT, SERVICE

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


def put_job(tables, **row):
    tables.put_job(JOB_ID, execution=EXECUTION, **row)


def put_repeated(tables):
    """A job whose continuation may or may not have been sent."""
    continuing = {"jobId": JOB_ID, "executionDetails": DETAILS, "sent": False}
    put_job(tables, progress=DETAILS, shown=DETAILS, progressAt=ago(5), continuing=continuing)


def show(context, at=AT, **told):
    detail = {"jobId": JOB_ID, **told}
    event = {"detail-type": "Job Progress", "time": at, "detail": detail}
    return report.handler(event, context)["shown"]


def keep_alive(context):
    return show(context, keepAlive=True)


def expect_continuation(calls, details=DETAILS, job_id=JOB_ID, answer=None):
    request = {"jobId": job_id, "continuationToken": token(EXECUTION, JOB_ID, job_id)}
    request |= {"executionDetails": details} if details else {}
    calls.expects("codepipeline", PUT, answer or {}, request)


@pytest.fixture
def sent(other_calls):
    """The bodies of the requests that CodePipeline is sent."""
    bodies = []
    other_calls.service("codepipeline").client.meta.events.register_first(
        "before-call.*.*", lambda params, **_: bodies.append(params["body"])
    )
    return bodies


def before_noting(tables, act):
    """Call `act` just before the row notes that a job is about to be continued."""

    def once(params, **_):
        if "continuing = " in params["UpdateExpression"]:
            tables.dynamodb.meta.events.unregister(name, once)
            act()

    name = "before-parameter-build.dynamodb.UpdateItem"
    tables.dynamodb.meta.events.register(name, once)


class TestProgress:
    def test_progress_is_shown_by_ending_the_job_so_that_another_continues_it(
        self, tables, other_calls, context, sent
    ):
        put_job(tables)
        expect_continuation(other_calls)
        assert report.handler(PROGRESS, context) == {"shown": True}
        row = tables.job(JOB_ID)
        assert (row["progress"], row["toldAt"]) == (DETAILS, TOLD_AT[:19])
        assert row["shown"] == DETAILS
        assert row["continuing"] == {"jobId": JOB_ID, "executionDetails": DETAILS, "sent": True}
        assert row["status"] == "InProgress"
        assert ago(60) < row["progressAt"] <= ago(0)
        # Intake polls for the next job even if it takes no other jobs.
        assert list(tables.intake()["awaiting"]) == [JOB_ID]
        # The next event finds the progress shown.
        assert list(tables.intake()["unshown"]) == [JOB_ID]
        assert show(context) is False
        assert list(tables.intake()["awaiting"]) == [JOB_ID]
        assert tables.intake()["unshown"] == {}
        made = json.loads(sent[0])["continuationToken"]
        assert continued(made, MACHINE) == {"jobId": JOB_ID, "after": JOB_ID}

    def test_the_newest_job_of_the_work_is_the_next_to_be_ended(
        self, tables, other_calls, context, sent
    ):
        put_job(tables, currentJobId=SECOND, progress=DETAILS, progressAt=ago(61))
        expect_continuation(other_calls, {**DETAILS, "percentComplete": 50}, SECOND)
        assert show(context, percentComplete=50)
        assert tables.job(JOB_ID)["continuing"]["jobId"] == SECOND
        made = json.loads(sent[0])["continuationToken"]
        assert continued(made, MACHINE) == {"jobId": JOB_ID, "after": SECOND}

    def test_a_partners_job_is_continued_with_its_clients_token(self, tables, other_calls, context):
        tables.put_job("theirs/1", execution=EXECUTION, clientId="c")
        parameter = {"Parameter": {"Name": "n", "Value": "secret"}}
        other_calls.expects("ssm", "get_parameter", parameter)
        request = {
            "jobId": "theirs/1",
            "clientToken": "secret",
            "continuationToken": token(EXECUTION, "theirs/1", "theirs/1"),
            "executionDetails": {"percentComplete": 1},
        }
        other_calls.expects("codepipeline", "put_third_party_job_success_result", {}, request)
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
    def test_a_member_that_is_left_out_keeps_its_value(
        self, tables, other_calls, context, before, told, shown
    ):
        put_job(tables, **({"progress": before} if before else {}))
        expect_continuation(other_calls, shown)
        assert show(context, **told)
        row = tables.job(JOB_ID)
        assert row["progress"] == row["shown"] == shown

    @pytest.mark.parametrize("progress", [{}, {"progress": DETAILS, "shown": DETAILS}])
    def test_without_news_a_job_is_continued_only_to_keep_it_alive(
        self, tables, other_calls, context, progress
    ):
        put_job(tables, **progress)
        before = tables.job(JOB_ID)
        assert show(context) is False
        assert tables.job(JOB_ID) == before
        expect_continuation(other_calls, progress.get("shown", {}))
        assert keep_alive(context)
        assert tables.job(JOB_ID)["shown"] == progress.get("shown", {})
        assert list(tables.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize("continuing", [{"jobId": JOB_ID, "sent": True}, None])
    def test_a_job_that_is_being_continued_or_just_was_is_not_continued_again(
        self, tables, other_calls, context, continuing
    ):
        put_job(
            tables,
            progressAt=ago(500 if continuing else 50),
            **({"continuing": continuing} if continuing else {}),
        )
        before = tables.job(JOB_ID)
        assert keep_alive(context) is False
        assert tables.job(JOB_ID) == before

    def test_keeping_a_job_alive_shows_the_known_progress_and_keeps_its_time(
        self, tables, other_calls, context
    ):
        put_job(tables, progress=DETAILS, toldAt=KEPT_AT)
        expect_continuation(other_calls)
        assert show(context, LATER, keepAlive=True)
        assert (tables.job(JOB_ID)["progress"], tables.job(JOB_ID)["toldAt"]) == (DETAILS, KEPT_AT)

    def test_other_fields_of_the_event_are_ignored(self, tables, other_calls, context):
        put_job(tables)
        expect_continuation(other_calls, {"percentComplete": 5})
        assert show(context, percentComplete=5, phase="link", continuationToken="x")

    @pytest.mark.parametrize(
        ("age", "row"),
        [
            (50, {"currentJobId": SECOND}),
            (50, {}),
            (500, {"continuing": {"jobId": JOB_ID, "sent": True}}),
        ],
    )
    def test_progress_within_the_interval_is_stored_and_shown_later(
        self, tables, other_calls, context, age, row
    ):
        put_job(tables, progress=DETAILS, progressAt=ago(age), **row)
        before = tables.job(JOB_ID)
        assert show(context, percentComplete=50) is False
        kept = {"progress": {**DETAILS, "percentComplete": 50}, "toldAt": KEPT_AT}
        assert tables.job(JOB_ID) == before | kept
        # The sweep reminds Report of it.
        assert list(tables.intake()["unshown"]) == [JOB_ID]
        assert tables.intake()["awaiting"] == {}

    def test_progress_that_is_already_shown_needs_no_reminder(self, tables, other_calls, context):
        put_job(tables, progress=DETAILS, shown=DETAILS, progressAt=ago(5))
        assert show(context, **DETAILS) is False
        assert (tables.job(JOB_ID)["toldAt"], tables.intake()) == (KEPT_AT, {})

    def test_progress_that_is_already_shown_removes_an_older_reminder(
        self, tables, other_calls, context
    ):
        put_job(tables, progress={"summary": "s"}, shown=DETAILS, progressAt=ago(5))
        tables.put_intake(unshown={JOB_ID: ago(40), "other": ago(30)}, awaiting={JOB_ID: ago(5)})
        assert show(context, **DETAILS) is False
        assert tables.job(JOB_ID)["progress"] == DETAILS
        assert list(tables.intake()["unshown"]) == ["other"]
        assert list(tables.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize("told", [{}, DETAILS])
    def test_progress_reported_while_a_reminder_is_being_removed_gets_a_reminder(
        self, tables, other_calls, context, told
    ):
        put_job(tables, progress=DETAILS, shown=DETAILS, progressAt=ago(5))
        tables.put_intake(unshown={JOB_ID: ago(40)})

        def reported_meanwhile(params, **_):
            if "REMOVE unshown" in params["UpdateExpression"]:
                tables.dynamodb.meta.events.unregister(name, reported_meanwhile)
                assert show(context, percentComplete=99) is False

        name = "before-parameter-build.dynamodb.UpdateItem"
        tables.dynamodb.meta.events.register(name, reported_meanwhile)
        assert show(context, **told) is False
        assert tables.job(JOB_ID)["progress"] == {**DETAILS, "percentComplete": 99}
        assert list(tables.intake()["unshown"]) == [JOB_ID]

    def test_progress_that_is_no_longer_shown_when_it_is_stored_gets_a_reminder(
        self, tables, other_calls, context
    ):
        """It was shown when the row was read; by now, other progress is."""
        put_job(tables, progress=DETAILS, shown=DETAILS, progressAt=ago(70))
        other = {**DETAILS, "percentComplete": 1}
        now = {"progress": other, "shown": other, "progressAt": ago(5)}
        tables.before("UpdateItem", lambda: put_job(tables, **now))
        assert show(context, **DETAILS) is False
        assert (tables.job(JOB_ID)["progress"], tables.job(JOB_ID)["shown"]) == (DETAILS, other)
        assert list(tables.intake().get("unshown", {})) == [JOB_ID]

    def test_progress_is_stored_with_a_reminder_before_it_is_shown(
        self, tables, other_calls, context
    ):
        """Then it is shown later if the function dies."""
        put_job(tables)
        seen = []
        before_noting(tables, lambda: seen.extend([tables.job(JOB_ID), tables.intake()]))
        expect_continuation(other_calls)
        assert report.handler(PROGRESS, context) == {"shown": True}
        row, noted = seen
        assert (row["progress"], "shown" in row) == (DETAILS, False)
        assert list(noted["unshown"]) == [JOB_ID]

    def test_an_event_from_a_clock_that_is_ahead_does_not_hide_later_progress(
        self, tables, other_calls, context
    ):
        put_job(tables, progressAt=ago(5))
        before = ago(0)[:19]
        assert show(context, "2999-01-01T00:00:00Z", percentComplete=1) is False
        assert before <= tables.job(JOB_ID)["toldAt"] <= ago(0)[:19]
        assert len(tables.job(JOB_ID)["toldAt"]) == 19
        assert show(context, "2999-01-01T00:00:00Z", percentComplete=2) is False
        assert tables.job(JOB_ID)["progress"] == {"percentComplete": 2}

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
    def test_progress_older_than_the_stored_one_is_ignored(
        self, tables, other_calls, context, at, kept
    ):
        """Events may arrive out of order. Of two with the same second, the last to arrive counts."""
        put_job(tables, progress=DETAILS, toldAt=KEPT_AT, shown=DETAILS, progressAt=ago(5))
        before = tables.job(JOB_ID)
        assert show(context, at, percentComplete=10) is False
        told = {"progress": {**DETAILS, "percentComplete": 10}, "toldAt": at[:19]}
        assert tables.job(JOB_ID) == (before | told if kept else before)
        assert list(tables.intake().get("unshown", {})) == ([JOB_ID] if kept else [])

    def test_older_progress_causes_the_stored_one_to_be_shown_if_it_is_due(
        self, tables, other_calls, context
    ):
        put_job(tables, progress=DETAILS, toldAt=KEPT_AT)
        expect_continuation(other_calls)
        assert show(context, TOLD_AT, percentComplete=10, summary="old")
        assert tables.job(JOB_ID)["progress"] == DETAILS

    def test_a_reminder_does_not_change_the_time_of_the_progress(
        self, tables, other_calls, context
    ):
        put_job(tables, progress=DETAILS, toldAt=KEPT_AT)
        expect_continuation(other_calls)
        assert show(context, LATER)
        assert tables.job(JOB_ID)["toldAt"] == KEPT_AT

    @pytest.mark.parametrize(
        "meanwhile",
        [{"status": "Succeeded"}, {"progress": {"percentComplete": 90}, "toldAt": LATER[:19]}],
    )
    def test_progress_that_becomes_outdated_meanwhile_is_dropped(
        self, tables, other_calls, context, meanwhile
    ):
        put_job(tables, progressAt=ago(5))
        tables.before("UpdateItem", lambda: put_job(tables, progressAt=ago(5), **meanwhile))
        assert show(context, **DETAILS) is False
        assert tables.job(JOB_ID).get("progress") == meanwhile.get("progress")
        assert tables.intake() == {}

    def test_a_reminder_that_comes_too_early_changes_nothing(self, tables, other_calls, context):
        put_job(tables, progress=DETAILS, progressAt=ago(50))
        tables.put_intake(unshown={JOB_ID: ago(40)})
        before = tables.job(JOB_ID), tables.intake()
        assert show(context) is False
        assert (tables.job(JOB_ID), tables.intake()) == before

    def test_a_reminder_shows_the_stored_progress_once(self, tables, other_calls, context):
        put_job(tables, progress=DETAILS, progressAt=ago(70))
        tables.put_intake(unshown={JOB_ID: ago(40)})
        expect_continuation(other_calls)
        assert show(context)
        assert not show(context)
        assert tables.intake()["unshown"] == {}
        assert list(tables.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
    def test_the_reminder_of_a_job_that_is_over_is_removed(
        self, tables, other_calls, context, status
    ):
        put_job(tables, status=status, progress=DETAILS)
        tables.put_intake(unshown={JOB_ID: ago(40), "other": ago(30)})
        assert show(context) is False
        assert list(tables.intake()["unshown"]) == ["other"]

    def test_the_next_job_of_work_that_is_over_stays_awaited(self, tables, other_calls, context):
        put_job(tables, status="Failed", continuing={"jobId": JOB_ID, "sent": True})
        tables.put_intake(awaiting={JOB_ID: ago(40)}, unshown={JOB_ID: ago(30)}, paused=True)
        assert show(context) is False
        assert list(tables.intake()["awaiting"]) == [JOB_ID]

    @pytest.mark.parametrize(("age", "due"), [(59, False), (61, True)])
    def test_the_interval_is_a_setting(self, tables, other_calls, context, monkeypatch, age, due):
        put_job(tables, progressAt=ago(age))
        if due:
            expect_continuation(other_calls)
        assert report.handler(PROGRESS, context) == {"shown": due}
        monkeypatch.setenv("PROGRESS_INTERVAL_SECONDS", "10000")
        config.cache_clear()
        assert progress.show(JOB_ID, {}, AT) is False

    @pytest.mark.parametrize(
        "status", ["Created", "Queued", "Dispatched", "Succeeded", "Failed", "TimedOut", None]
    )
    def test_progress_of_a_job_that_is_not_in_progress_is_not_shown(
        self, tables, other_calls, context, status
    ):
        if status:
            put_job(tables, status=status)
        before = tables.job(JOB_ID)
        assert report.handler(PROGRESS, context) == {"shown": False}
        assert tables.job(JOB_ID) == before

    @pytest.mark.parametrize(
        "meanwhile",
        [
            {"status": "Succeeded"},
            {"currentJobId": SECOND},
            {"progressAt": "2999-01-01T00:00:00.000Z"},
            {"continuing": {"jobId": JOB_ID, "executionDetails": {}, "sent": False}},
        ],
    )
    def test_progress_is_shown_later_if_its_row_changes_in_the_meantime(
        self, tables, other_calls, context, meanwhile
    ):
        put_job(tables)
        before_noting(tables, lambda: tables.put_job(JOB_ID, **(tables.job(JOB_ID) | meanwhile)))
        assert report.handler(PROGRESS, context) == {"shown": False}
        row = tables.job(JOB_ID)
        assert {name: row[name] for name in meanwhile} == meanwhile
        # It is shown the next time.
        assert row["progress"] == DETAILS
        assert list(tables.intake()["unshown"]) == [JOB_ID]

    def test_progress_is_shown_on_the_next_job_if_that_joins_meanwhile(
        self, tables, other_calls, context
    ):
        put_job(tables)
        tables.before("UpdateItem", lambda: put_job(tables, currentJobId=SECOND))
        expect_continuation(other_calls, DETAILS, SECOND)
        assert report.handler(PROGRESS, context) == {"shown": True}
        assert tables.job(JOB_ID)["continuing"]["jobId"] == SECOND

    def test_progress_that_breaks_a_limit_is_refused_before_anything_is_written(
        self, tables, other_calls, context
    ):
        put_job(tables)
        before = tables.job(JOB_ID)
        with pytest.raises(errors.ValidationException) as refused:
            report.handler(load_event("bad/report-job-progress"), context)
        assert "2 validation errors" in str(refused.value)
        for member in ("executionDetails.percentComplete", "executionDetails.summary"):
            assert member in str(refused.value)
        assert (tables.job(JOB_ID), tables.intake()) == (before, {})

    def test_an_event_that_names_no_job_is_refused(self, other_calls, context):
        with pytest.raises(errors.EventInvalid, match=r"detail\.jobId"):
            report.handler(load_event("bad/report-job-progress-job-id"), context)

    @pytest.mark.parametrize(
        ("code", "status", "raised"),
        [
            ("InternalFailure", 500, errors.CodePipelineUnavailable),
            ("ThrottlingException", 400, errors.CodePipelineThrottled),
        ],
    )
    @pytest.mark.parametrize("details", [DETAILS, {}])
    def test_a_call_that_may_have_failed_is_repeated_with_the_same_bytes(
        self, tables, other_calls, context, sent, code, status, raised, details
    ):
        put_job(tables)
        noted = []
        other_calls.service("codepipeline").client.meta.events.register_first(
            "before-call.*.*", lambda **_: noted.append(tables.job(JOB_ID))
        )
        other_calls.expects_error("codepipeline", PUT, code, "No.", status)
        with pytest.raises(raised):
            show(context, **(details or {"keepAlive": True}))
        assert noted[0]["continuing"] == {
            "jobId": JOB_ID,
            "executionDetails": details,
            "sent": False,
        }
        expect_continuation(other_calls, details)
        # New progress doesn't change the repeated call.
        assert show(context, percentComplete=99)
        assert sent[0] == sent[1]
        assert tables.job(JOB_ID)["continuing"]["sent"] is True

    def test_progress_reported_while_an_earlier_call_is_repeated_is_stored(
        self, tables, other_calls, context
    ):
        continuing = {"jobId": JOB_ID, "executionDetails": DETAILS, "sent": False}
        put_job(tables, progress=DETAILS, progressAt=ago(5), continuing=continuing)
        expect_continuation(other_calls)
        show(context, percentComplete=99)
        assert tables.job(JOB_ID)["progress"] == {**DETAILS, "percentComplete": 99}
        assert "shown" not in tables.job(JOB_ID)

    def test_progress_reported_while_an_earlier_call_is_repeated_gets_a_reminder(
        self, tables, other_calls, context
    ):
        put_repeated(tables)
        expect_continuation(other_calls)
        show(context, percentComplete=99)
        assert list(tables.intake()["unshown"]) == [JOB_ID]

    @pytest.mark.parametrize("until", ["awaiting.#job", "continuing.sent"])
    def test_progress_reported_while_other_progress_is_being_shown_gets_a_reminder(
        self, tables, other_calls, context, sent, until
    ):
        put_job(tables)
        # The second invocation can't know whether the first has made its call.
        expect_continuation(other_calls)
        expect_continuation(other_calls)

        def reported_meanwhile(params, **_):
            if until in params["UpdateExpression"]:
                tables.dynamodb.meta.events.unregister(name, reported_meanwhile)
                assert show(context, percentComplete=99)

        name = "before-parameter-build.dynamodb.UpdateItem"
        tables.dynamodb.meta.events.register(name, reported_meanwhile)
        assert report.handler(PROGRESS, context) == {"shown": True}
        assert sent[0] == sent[1]
        assert tables.job(JOB_ID)["progress"] == {**DETAILS, "percentComplete": 99}
        assert tables.job(JOB_ID)["shown"] == DETAILS
        assert list(tables.intake()["unshown"]) == [JOB_ID]
        assert show(context) is False
        assert list(tables.intake()["unshown"]) == [JOB_ID]

    @pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
    @pytest.mark.parametrize("put", [put_job, put_repeated], ids=["first call", "repeated call"])
    def test_a_job_that_codepipeline_has_ended_is_not_continued(
        self, tables, other_calls, context, put, code
    ):
        put(tables)
        other_calls.expects_error("codepipeline", PUT, code)
        assert show(context, **DETAILS) is False
        assert not {"continuing", "shown", "progressAt"} & tables.job(JOB_ID).keys()
        assert tables.intake()["awaiting"] == {}

    @pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
    def test_a_refused_repeat_does_not_prove_that_the_first_call_failed(
        self, tables, other_calls, context, code
    ):
        put_repeated(tables)
        before = tables.job(JOB_ID)
        other_calls.expects_error("codepipeline", PUT, code)
        with pytest.raises(errors.CodePipelineRefused):
            show(context)
        assert tables.job(JOB_ID) == before
        assert list(tables.intake()["awaiting"]) == [JOB_ID]
        expect_continuation(other_calls)
        assert show(context)

    def test_any_other_refusal_of_codepipeline_is_undone_and_raised(
        self, tables, other_calls, context
    ):
        put_job(tables)
        other_calls.expects_error("codepipeline", PUT, "AccessDeniedException")
        with pytest.raises(errors.CodePipelineRefused, match="AccessDenied"):
            report.handler(PROGRESS, context)
        row = tables.job(JOB_ID)
        assert not {"continuing", "shown", "progressAt"} & row.keys()
        assert (row["progress"], row["toldAt"]) == (DETAILS, TOLD_AT[:19])
        assert list(tables.intake()["unshown"]) == [JOB_ID]
        assert tables.intake()["awaiting"] == {}
        # The interval doesn't apply, since nothing was shown.
        expect_continuation(other_calls)
        assert report.handler(PROGRESS, context) == {"shown": True}

    def test_the_next_job_may_join_before_codepipeline_answers(self, tables, other_calls, context):
        put_job(tables)
        expect_continuation(other_calls)

        def next_job_joins(**_):
            put_job(tables, currentJobId=SECOND)

        other_calls.service("codepipeline").client.meta.events.register_first(
            "before-call.*.*", next_job_joins
        )
        assert report.handler(PROGRESS, context) == {"shown": True}
        assert "continuing" not in tables.job(JOB_ID)

    def test_the_number_of_times_that_progress_is_shown_is_counted(
        self, tables, other_calls, context, capsys
    ):
        put_job(tables)
        expect_continuation(other_calls)
        for _ in range(2):
            report.handler(PROGRESS, context)
        counted = [
            json.loads(line)["ProgressShown"]
            for line in capsys.readouterr().out.splitlines()
            if "ProgressShown" in line
        ]
        assert counted == [[1.0], [0.0]]

    def test_the_reason_why_progress_is_not_shown_is_logged_with_the_job(
        self, tables, other_calls, context, log
    ):
        report.handler(PROGRESS, context)
        (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
        assert line["job_id"] == JOB_ID
        assert line["service"] == SERVICE
        assert "not in progress" in line["message"]

    def test_a_job_that_codepipeline_has_ended_is_logged(self, tables, other_calls, context, log):
        put_job(tables)
        other_calls.expects_error("codepipeline", PUT, "InvalidJobStateException", "It is over.")
        report.handler(PROGRESS, context)
        (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
        assert (line["job_id"], line["service"], line["level"]) == (JOB_ID, SERVICE, "WARNING")
        assert line["error"] == "It is over."
