"""Which execution a job belongs to, and its row: on DynamoDB, with a scripted CodePipeline."""

import pytest

from acknowledger import acknowledgment, errors
from acknowledger.acknowledgment import Claim
from acknowledger.moments import ago, later, seconds_between
from tests.support import load_event

DETAIL = load_event("acknowledge-job-dispatched")["detail"]
OFFER, ARN = DETAIL["offer"], DETAIL["execution"]
JOB_ID = DETAIL["jobId"]
REQUEST = {"jobId": JOB_ID, "nonce": "3"}
OTHER = "arn:of:another"
MINE = {"execution": ARN, "status": "Created", "times": {"Created": ago(5)}}
CALLED = {"an earlier call": "3"}
WORK = "the first job"
NEXT = OFFER | {"continues": {"jobId": WORK, "after": WORK}}


def make_ours(offer=OFFER):
    return acknowledgment.make_ours(Claim(ARN, offer, DETAIL["dispatchedAt"]))


def expect_call(calls, answer):
    if answer.endswith("Exception"):
        calls.expects_error("codepipeline", "acknowledge_job", answer)
    else:
        calls.expects("codepipeline", "acknowledge_job", {"status": answer}, REQUEST)


@pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched"])
def test_a_job_that_is_acknowledged_is_in_progress(status, tables, other_calls):
    tables.put_job(JOB_ID, **MINE | {"status": status})
    expect_call(other_calls, "InProgress")
    answered = make_ours()
    assert (answered.status, answered.assumed, answered.failure) == ("InProgress", False, None)
    row = tables.job(JOB_ID)
    assert (row["status"], row["execution"]) == ("InProgress", ARN)
    assert list(row["times"]) == ["Created", "Dispatched", "InProgress"]
    assert row["times"]["Dispatched"] == DETAIL["dispatchedAt"]
    assert list(row["acknowledgeCalls"].values()) == ["3"]


@pytest.mark.parametrize(("job", "after", "due"), [(3600, 82_800, 3660), (90_000, 82_800, 82_860)])
def test_the_row_is_due_when_the_limit_has_passed_or_the_work_must_be_continued(
    job, after, due, tables, other_calls, monkeypatch
):
    tables.put_job(JOB_ID, **MINE)
    monkeypatch.setenv("CONTINUE_AFTER_SECONDS", str(after))
    expect_call(other_calls, "InProgress")
    make_ours(OFFER | {"timeouts": OFFER["timeouts"] | {"JobTimeoutSeconds": job}})
    assert ago(-due + 10) < tables.job(JOB_ID)["dueAt"] <= ago(-due)


def test_an_acknowledgment_takes_two_writes_of_the_row(tables, other_calls):
    tables.put_job(JOB_ID, **MINE)
    expect_call(other_calls, "InProgress")
    tables.calls.clear()
    make_ours()
    assert tables.calls == ["JobTable UpdateItem"] * 2


def test_repeated_after_the_row_says_in_progress_it_does_not_call_codepipeline(tables, other_calls):
    tables.put_job(JOB_ID, **MINE | {"status": "InProgress"})
    before = tables.job(JOB_ID)
    assert make_ours().status == "InProgress"
    assert tables.job(JOB_ID) == before


def test_repeated_after_its_call_it_assumes_that_the_call_succeeded(tables, other_calls):
    tables.put_job(JOB_ID, **MINE | {"status": "Dispatched", "acknowledgeCalls": CALLED})
    expect_call(other_calls, "InvalidNonceException")
    assert make_ours().assumed
    assert tables.job(JOB_ID)["status"] == "InProgress"


def test_an_assumed_acknowledgment_leaves_the_row_to_a_newer_offer(tables, other_calls):
    newer = {"execution": OTHER, "status": "Created", "acknowledgeCalls": CALLED}
    tables.put_job(JOB_ID, **newer)
    expect_call(other_calls, "InvalidNonceException")
    with pytest.raises(errors.ClaimTakenOver):
        make_ours()
    row = tables.job(JOB_ID)
    assert (row["execution"], row["status"]) == (OTHER, "Created")


@pytest.mark.parametrize(("ended", "left"), [(3600, False), (-3600, True)])
def test_a_job_offered_after_it_was_recorded_as_ended_elsewhere_starts_again(
    ended, left, tables, other_calls
):
    at = later(-ended, OFFER["offeredAt"])
    row = {"execution": OTHER, "status": "Failed", "error": "EndedElsewhere", "updatedAt": at}
    tables.put_job(JOB_ID, **row)
    with pytest.raises(errors.AlreadyEnded):
        make_ours()
    assert bool(tables.job(JOB_ID)) is left


@pytest.mark.parametrize("again", [False, True])
def test_an_action_with_invalid_limits_is_acknowledged_and_failed(again, tables, other_calls):
    tables.put_job(JOB_ID, **MINE | ({"status": "InProgress"} if again else {}))
    if not again:
        expect_call(other_calls, "InProgress")
    failure = make_ours(OFFER | {"configurationError": "JobTimeoutSeconds must be less"}).failure
    assert failure == {"error": "ConfigurationError", "cause": "JobTimeoutSeconds must be less"}
    assert tables.job(JOB_ID)["status"] == "InProgress"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (None, "ClaimTakenOver"),
        (MINE | {"status": "Failed", "error": "E", "cause": "c"}, "EndedElsewhere"),
        (MINE | {"over": {"error": "EndedElsewhere", "cause": "c"}}, "EndedElsewhere"),
        ({"execution": OTHER, "status": "Succeeded"}, "AlreadyEnded"),
        ({"execution": OTHER, "status": "Created"}, "ClaimTakenOver"),
        (
            {"execution": OTHER, "status": "Dispatched", "acknowledgeCalls": {"a call": "4"}},
            "ClaimTakenOver",
        ),
    ],
)
def test_a_job_that_this_execution_may_not_take_is_not_acknowledged(
    row, error, tables, other_calls
):
    if row:
        tables.put_job(JOB_ID, **row)
    before = tables.job(JOB_ID)
    with pytest.raises(getattr(errors, error)):
        make_ours()
    assert tables.job(JOB_ID) == before


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("InProgress", f"Acknowledged again, answered with InProgress; its execution is {OTHER}"),
        ("InvalidNonceException", "Not acknowledged again (InvalidNonceException)"),
        ("JobNotFoundException", "Not acknowledged again (JobNotFoundException)"),
    ],
)
def test_a_job_that_another_execution_works_on_is_acknowledged_again_and_left_to_it(
    answer, cause, tables, other_calls
):
    tables.put_job(JOB_ID, execution=OTHER, status="InProgress", acknowledgeCalls={"c": "2"})
    expect_call(other_calls, answer)
    with pytest.raises(errors.AlreadyInProgress) as stands_down:
        make_ours()
    assert cause in str(stands_down.value)
    row = tables.job(JOB_ID)
    assert (row["status"], row["execution"]) == ("InProgress", OTHER)
    noted = sorted(row["acknowledgeCalls"].values())
    assert noted == (["2", "3"] if answer == "InProgress" else ["2"])


def test_an_execution_whose_call_may_have_succeeded_calls_again_and_takes_its_row_back(
    tables, other_calls
):
    """The row goes to the execution whose acknowledgment succeeds, even if a newer offer has it."""
    tables.put_job(
        JOB_ID, execution=OTHER, status="Dispatched", acknowledgeCalls=CALLED, room="awaited"
    )
    expect_call(other_calls, "InProgress")
    assert make_ours().status == "InProgress"
    row = tables.job(JOB_ID)
    assert (row["status"], row["execution"], row["room"]) == ("InProgress", ARN, "given")
    assert (row["pipelineName"], row["offeredAt"]) == ("my-pipeline", OFFER["offeredAt"])
    assert len(row["acknowledgeCalls"]) == 2


@pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched", None])
def test_a_row_that_goes_to_a_newer_offer_during_the_call_is_taken_back(
    status, tables, other_calls
):
    tables.put_job(JOB_ID, **MINE)
    expect_call(other_calls, "InProgress")

    def taken_over(**_):
        if status:
            tables.put_job(JOB_ID, execution=OTHER, status=status)
        else:
            tables.dynamodb.delete_item(TableName="JobTable", Key={"jobId": {"S": JOB_ID}})

    during_the_call(other_calls, taken_over)
    assert make_ours().status == "InProgress"
    row = tables.job(JOB_ID)
    assert (row["status"], row["execution"]) == ("InProgress", ARN)


@pytest.mark.parametrize("status", ["InProgress", "Failed"])
def test_of_two_executions_that_acknowledge_a_job_only_one_works_on_it(status, tables, other_calls):
    tables.put_job(JOB_ID, **MINE)
    expect_call(other_calls, "InProgress")
    during_the_call(other_calls, lambda **_: tables.put_job(JOB_ID, execution=OTHER, status=status))
    with pytest.raises(errors.StandDown):
        make_ours()
    assert tables.job(JOB_ID)["execution"] == OTHER


def test_a_job_that_ends_during_its_acknowledgment_is_not_worked_on(tables, other_calls):
    tables.put_job(JOB_ID, **MINE)
    expect_call(other_calls, "InProgress")
    over = {"error": "EndedElsewhere", "cause": "ABANDONED"}
    during_the_call(
        other_calls,
        lambda **_: tables.put_job(JOB_ID, **MINE | {"status": "Dispatched", "over": over}),
    )
    with pytest.raises(errors.EndedElsewhere, match="ABANDONED"):
        make_ours()


def during_the_call(calls, act):
    calls.service("codepipeline", retrying=False).client.meta.events.register(
        "before-parameter-build.codepipeline.AcknowledgeJob", act
    )


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
def test_a_job_that_has_ended_elsewhere_is_recorded_so_and_marked_unannounced(
    status, tables, other_calls
):
    tables.put_job(JOB_ID, **MINE)
    expect_call(other_calls, status)
    with pytest.raises(errors.EndedElsewhere, match=status):
        make_ours()
    row = tables.job(JOB_ID)
    assert row["status"] == status
    assert {"unannounced", "dueAt", "expiresAt"} <= row.keys()
    assert row.get("error") == (None if status == "Succeeded" else "EndedElsewhere")


@pytest.mark.parametrize("answer", ["InvalidNonceException", "Queued", "Dispatched"])
def test_a_lost_offer_deletes_its_row(answer, tables, other_calls):
    tables.put_job(JOB_ID, **MINE)
    expect_call(other_calls, answer)
    with pytest.raises(errors.OfferLost):
        make_ours()
    assert tables.job(JOB_ID) == {}


@pytest.mark.parametrize("row", [{"execution": OTHER}, MINE | {"status": "InProgress"}])
def test_a_lost_offer_keeps_the_row_of_another_execution_or_of_a_job_in_progress(
    row, tables, other_calls
):
    tables.put_job(JOB_ID, **MINE)
    expect_call(other_calls, "InvalidNonceException")
    tables.before("DeleteItem", lambda: tables.put_job(JOB_ID, **row))
    with pytest.raises(errors.OfferLost):
        make_ours()
    assert tables.job(JOB_ID)["execution"] == row["execution"]


@pytest.mark.parametrize(
    ("code", "status", "error", "noted"),
    [
        ("JobNotFoundException", 400, errors.JobNotFoundException, 0),
        ("AccessDeniedException", 400, errors.CodePipelineRefused, 0),
        ("ThrottlingException", 400, errors.CodePipelineThrottled, 0),
        ("InternalFailure", 500, errors.CodePipelineUnavailable, 1),
    ],
)
def test_a_call_stays_noted_only_if_it_may_have_succeeded(
    code, status, error, noted, tables, other_calls
):
    tables.put_job(JOB_ID, **MINE)
    other_calls.expects_error("codepipeline", "acknowledge_job", code, "No.", status)
    with pytest.raises(error):
        make_ours()
    row = tables.job(JOB_ID)
    assert (row["status"], len(row["acknowledgeCalls"])) == ("Dispatched", noted)


class TestJoining:
    """A job that continues another."""

    @pytest.fixture(autouse=True)
    def own_row(self, tables):
        tables.put_job(JOB_ID, **MINE)

    def put_work(self, tables, **row):
        began = ago(100)
        row = {"times": {"InProgress": began}, "continuing": {"jobId": WORK, "sent": True}} | row
        tables.put_job(WORK, **row)
        return began

    def test_it_joins_the_work_and_deletes_its_own_row(self, tables, other_calls):
        began = self.put_work(tables, nextJobToken="t")
        expect_call(other_calls, "InProgress")
        told = {"taskToken": "t", "output": "{}"}
        other_calls.expects("stepfunctions", "send_task_success", {}, told)
        with pytest.raises(errors.Joined, match=f"Continues {WORK}, with execution arn:{WORK}"):
            make_ours(NEXT)
        row = tables.job(WORK)
        assert row["currentJobId"] == JOB_ID
        assert "continuing" not in row
        # The limit is that of the work.
        assert seconds_between(began, row["dueAt"]) == pytest.approx(3660, abs=1)
        assert tables.job(JOB_ID) == {}

    @pytest.mark.parametrize("newest", [JOB_ID, "yet another"])
    def test_joining_again_changes_nothing(self, newest, tables, other_calls):
        tables.put_job(WORK, currentJobId=newest)
        expect_call(other_calls, "InProgress")
        with pytest.raises(errors.Joined):
            make_ours(NEXT)
        assert tables.job(WORK)["currentJobId"] == newest
        assert tables.job(JOB_ID) == {}

    @pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
    def test_a_continuing_job_that_has_ended_is_ignored(self, status, tables, other_calls):
        expect_call(other_calls, status)
        with pytest.raises(errors.Joined, match=status):
            make_ours(NEXT)
        assert tables.job(JOB_ID) == {}

    @pytest.mark.parametrize(
        ("work", "failure"),
        [
            (
                {"status": "Failed", "error": "PermissionError", "cause": "stopped"},
                {"error": "PermissionError", "cause": "stopped"},
            ),
            (
                {"status": "Failed", "error": "EndedElsewhere", "cause": "stopped"},
                {"error": "JobFailed", "cause": "stopped"},
            ),
            (
                {"status": "Succeeded"},
                {
                    "error": "JobFailed",
                    "cause": f"The work that this job continues, {WORK}, is over: Succeeded",
                },
            ),
            (
                None,
                {
                    "error": "JobFailed",
                    "cause": f"The work that this job continues, {WORK}, is over: "
                    "nothing is known of it",
                },
            ),
        ],
    )
    def test_a_job_that_continues_ended_work_fails_with_the_reason(
        self, work, failure, tables, other_calls
    ):
        if work:
            self.put_work(tables, **work)
        expect_call(other_calls, "InProgress")
        assert make_ours(NEXT).failure == failure
        assert tables.job(JOB_ID)["status"] == "InProgress"
        # Repeated, it gives the same failure.
        assert make_ours(NEXT).failure == failure

    def test_work_that_ends_while_a_job_joins_it_fails_the_job(self, tables, other_calls):
        self.put_work(tables)
        expect_call(other_calls, "InProgress")
        ends = {"status": "Failed", "error": "JobFailed", "cause": "it ended"}
        tables.dynamodb.meta.events.register(
            "before-parameter-build.dynamodb.UpdateItem",
            lambda params, **_: (
                self.put_work(tables, **ends) if params["Key"]["jobId"]["S"] == WORK else None
            ),
        )
        assert make_ours(NEXT).failure == {"error": "JobFailed", "cause": "it ended"}
        assert "currentJobId" not in tables.job(WORK)


def test_for_a_client_without_a_client_token_no_call_is_noted(tables, other_calls):
    detail = load_event("acknowledge-job-dispatched-partner")["detail"]
    tables.put_job(detail["jobId"], **MINE | {"execution": detail["execution"]})
    other_calls.expects_error("ssm", "get_parameter", "ParameterNotFound")
    with pytest.raises(errors.ClientTokenMissing):
        acknowledgment.make_ours(Claim(detail["execution"], detail["offer"], "now"))
    assert tables.job(detail["jobId"])["acknowledgeCalls"] == {}
