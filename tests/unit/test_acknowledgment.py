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
STOPPED = {"status": "Failed", "cause": "stopped"}
OVER = f"The work that this job continues, {WORK}, is over: "


def make_ours(offer=OFFER):
    return acknowledgment.make_ours(Claim(ARN, offer, DETAIL["dispatchedAt"]))


@pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched"])
def test_a_job_that_is_acknowledged_is_in_progress(status, cloud):
    cloud.put_job(JOB_ID, **MINE | {"status": status})
    cloud.expects_acknowledgment("InProgress", REQUEST)
    cloud.calls.clear()
    answered = make_ours()
    assert cloud.calls == ["JobTable UpdateItem"] * 2
    assert (answered.status, answered.assumed, answered.failure) == ("InProgress", False, None)
    row = cloud.job(JOB_ID)
    assert (row["status"], row["execution"]) == ("InProgress", ARN)
    assert list(row["times"]) == ["Created", "Dispatched", "InProgress"]
    assert row["times"]["Dispatched"] == DETAIL["dispatchedAt"]
    assert list(row["acknowledgeCalls"].values()) == ["3"]


@pytest.mark.parametrize(("job", "after", "due"), [(3600, 82_800, 3660), (90_000, 82_800, 82_860)])
def test_the_row_is_due_when_the_limit_has_passed_or_the_work_must_be_continued(
    job, after, due, cloud, monkeypatch
):
    cloud.put_job(JOB_ID, **MINE)
    monkeypatch.setenv("CONTINUE_AFTER_SECONDS", str(after))
    cloud.expects_acknowledgment("InProgress")
    make_ours(OFFER | {"timeouts": OFFER["timeouts"] | {"JobTimeoutSeconds": job}})
    assert ago(-due + 10) < cloud.job(JOB_ID)["dueAt"] <= ago(-due)


def test_repeated_after_the_row_says_in_progress_it_does_not_call_codepipeline(cloud):
    cloud.put_job(JOB_ID, **MINE | {"status": "InProgress"})
    before = cloud.job(JOB_ID)
    assert make_ours().status == "InProgress"
    assert cloud.job(JOB_ID) == before


def test_repeated_after_its_call_it_assumes_that_the_call_succeeded(cloud):
    cloud.put_job(JOB_ID, **MINE | {"status": "Dispatched", "acknowledgeCalls": CALLED})
    cloud.expects_acknowledgment("InvalidNonceException")
    assert make_ours().assumed
    assert cloud.job(JOB_ID)["status"] == "InProgress"


def test_an_assumed_acknowledgment_leaves_the_row_to_a_newer_offer(cloud):
    newer = {"execution": OTHER, "status": "Created", "acknowledgeCalls": CALLED}
    cloud.put_job(JOB_ID, **newer)
    cloud.expects_acknowledgment("InvalidNonceException")
    with pytest.raises(errors.ClaimTakenOver):
        make_ours()
    row = cloud.job(JOB_ID)
    assert (row["execution"], row["status"]) == (OTHER, "Created")


@pytest.mark.parametrize(("ended", "left"), [(3600, False), (-3600, True)])
def test_a_job_offered_after_it_was_recorded_as_ended_elsewhere_starts_again(ended, left, cloud):
    at = later(-ended, OFFER["offeredAt"])
    row = {"execution": OTHER, "status": "Failed", "error": "EndedElsewhere", "updatedAt": at}
    cloud.put_job(JOB_ID, **row)
    with pytest.raises(errors.AlreadyEnded):
        make_ours()
    assert bool(cloud.job(JOB_ID)) is left


@pytest.mark.parametrize("again", [False, True])
def test_an_action_with_invalid_limits_is_acknowledged_and_failed(again, cloud):
    cloud.put_job(JOB_ID, **MINE | ({"status": "InProgress"} if again else {}))
    if not again:
        cloud.expects_acknowledgment("InProgress")
    failure = make_ours(OFFER | {"configurationError": "JobTimeoutSeconds must be less"}).failure
    assert failure == {"error": "ConfigurationError", "cause": "JobTimeoutSeconds must be less"}
    assert cloud.job(JOB_ID)["status"] == "InProgress"


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
def test_a_job_that_this_execution_may_not_take_is_not_acknowledged(row, error, cloud):
    if row:
        cloud.put_job(JOB_ID, **row)
    before = cloud.job(JOB_ID)
    with pytest.raises(getattr(errors, error)):
        make_ours()
    assert cloud.job(JOB_ID) == before


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("InProgress", f"Acknowledged again, answered with InProgress; its execution is {OTHER}"),
        ("InvalidNonceException", "Not acknowledged again (InvalidNonceException)"),
        ("JobNotFoundException", "Not acknowledged again (JobNotFoundException)"),
    ],
)
def test_a_job_that_another_execution_works_on_is_acknowledged_again_and_left_to_it(
    answer, cause, cloud
):
    cloud.put_job(JOB_ID, execution=OTHER, status="InProgress", acknowledgeCalls={"c": "2"})
    cloud.expects_acknowledgment(answer)
    with pytest.raises(errors.AlreadyInProgress) as stands_down:
        make_ours()
    assert cause in str(stands_down.value)
    row = cloud.job(JOB_ID)
    assert (row["status"], row["execution"]) == ("InProgress", OTHER)
    noted = sorted(row["acknowledgeCalls"].values())
    assert noted == (["2", "3"] if answer == "InProgress" else ["2"])


def test_an_execution_whose_call_may_have_succeeded_calls_again_and_takes_its_row_back(cloud):
    """The row goes to the execution whose acknowledgment succeeds, even if a newer offer has it."""
    cloud.put_job(
        JOB_ID, execution=OTHER, status="Dispatched", acknowledgeCalls=CALLED, room="awaited"
    )
    cloud.expects_acknowledgment("InProgress")
    assert make_ours().status == "InProgress"
    row = cloud.job(JOB_ID)
    assert (row["status"], row["execution"], row["room"]) == ("InProgress", ARN, "given")
    assert (row["pipelineName"], row["offeredAt"]) == ("my-pipeline", OFFER["offeredAt"])
    assert len(row["acknowledgeCalls"]) == 2


@pytest.mark.parametrize("status", ["Created", "Queued", "Dispatched", None])
def test_a_row_that_goes_to_a_newer_offer_during_the_call_is_taken_back(status, cloud):
    cloud.put_job(JOB_ID, **MINE)
    cloud.expects_acknowledgment("InProgress")

    def taken_over(_):
        if status:
            cloud.put_job(JOB_ID, execution=OTHER, status=status)
        else:
            cloud.dynamodb.delete_item(TableName="JobTable", Key={"jobId": {"S": JOB_ID}})

    cloud.watch("codepipeline", "AcknowledgeJob", taken_over)
    assert make_ours().status == "InProgress"
    row = cloud.job(JOB_ID)
    assert (row["status"], row["execution"]) == ("InProgress", ARN)


@pytest.mark.parametrize("status", ["InProgress", "Failed"])
def test_of_two_executions_that_acknowledge_a_job_only_one_works_on_it(status, cloud):
    cloud.put_job(JOB_ID, **MINE)
    cloud.expects_acknowledgment("InProgress")
    other = {"execution": OTHER, "status": status}
    cloud.watch("codepipeline", "AcknowledgeJob", lambda _: cloud.put_job(JOB_ID, **other))
    with pytest.raises(errors.StandDown):
        make_ours()
    assert cloud.job(JOB_ID)["execution"] == OTHER


def test_a_job_that_ends_during_its_acknowledgment_is_not_worked_on(cloud):
    cloud.put_job(JOB_ID, **MINE)
    cloud.expects_acknowledgment("InProgress")
    row = MINE | {"status": "Dispatched", "over": {"error": "E", "cause": "ABANDONED"}}
    cloud.watch("codepipeline", "AcknowledgeJob", lambda _: cloud.put_job(JOB_ID, **row))
    with pytest.raises(errors.EndedElsewhere, match="ABANDONED"):
        make_ours()


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
def test_a_job_that_has_ended_elsewhere_is_recorded_so_and_marked_unannounced(status, cloud):
    cloud.put_job(JOB_ID, **MINE)
    cloud.expects_acknowledgment(status)
    with pytest.raises(errors.EndedElsewhere, match=status):
        make_ours()
    row = cloud.job(JOB_ID)
    assert row["status"] == status
    assert {"unannounced", "dueAt", "expiresAt"} <= row.keys()
    assert row.get("error") == (None if status == "Succeeded" else "EndedElsewhere")


@pytest.mark.parametrize("answer", ["InvalidNonceException", "Queued", "Dispatched"])
def test_a_lost_offer_deletes_its_row(answer, cloud):
    cloud.put_job(JOB_ID, **MINE)
    cloud.expects_acknowledgment(answer)
    with pytest.raises(errors.OfferLost):
        make_ours()
    assert cloud.job(JOB_ID) == {}


@pytest.mark.parametrize("row", [{"execution": OTHER}, MINE | {"status": "InProgress"}])
def test_a_lost_offer_keeps_the_row_of_another_execution_or_of_a_job_in_progress(row, cloud):
    cloud.put_job(JOB_ID, **MINE)
    cloud.expects_acknowledgment("InvalidNonceException")
    cloud.before("DeleteItem", lambda: cloud.put_job(JOB_ID, **row))
    with pytest.raises(errors.OfferLost):
        make_ours()
    assert cloud.job(JOB_ID)["execution"] == row["execution"]


@pytest.mark.parametrize(
    ("code", "status", "error", "noted"),
    [
        ("JobNotFoundException", 400, errors.JobNotFoundException, 0),
        ("AccessDeniedException", 400, errors.CodePipelineRefused, 0),
        ("ThrottlingException", 400, errors.CodePipelineThrottled, 0),
        ("InternalFailure", 500, errors.CodePipelineUnavailable, 1),
    ],
)
def test_a_call_stays_noted_only_if_it_may_have_succeeded(code, status, error, noted, cloud):
    cloud.put_job(JOB_ID, **MINE)
    cloud.expects_error("codepipeline", "acknowledge_job", code, "No.", status)
    with pytest.raises(error):
        make_ours()
    row = cloud.job(JOB_ID)
    assert (row["status"], len(row["acknowledgeCalls"])) == ("Dispatched", noted)


class TestJoining:
    """A job that continues another."""

    @pytest.fixture(autouse=True)
    def own_row(self, cloud):
        cloud.put_job(JOB_ID, **MINE)

    def put_work(self, cloud, **row):
        began = ago(100)
        row = {"times": {"InProgress": began}, "continuing": {"jobId": WORK, "sent": True}} | row
        cloud.put_job(WORK, **row)
        return began

    def test_it_joins_the_work_and_deletes_its_own_row(self, cloud):
        began = self.put_work(cloud, nextJobToken="t")
        cloud.expects_acknowledgment("InProgress")
        told = {"taskToken": "t", "output": "{}"}
        cloud.expects("stepfunctions", "send_task_success", {}, told)
        with pytest.raises(errors.Joined, match=f"Continues {WORK}, with execution arn:{WORK}"):
            make_ours(NEXT)
        row = cloud.job(WORK)
        assert row["currentJobId"] == JOB_ID
        assert "continuing" not in row
        # The limit is that of the work.
        assert seconds_between(began, row["dueAt"]) == pytest.approx(3660, abs=1)
        assert cloud.job(JOB_ID) == {}

    @pytest.mark.parametrize("newest", [JOB_ID, "yet another"])
    def test_joining_again_changes_nothing(self, newest, cloud):
        cloud.put_job(WORK, currentJobId=newest)
        cloud.expects_acknowledgment("InProgress")
        with pytest.raises(errors.Joined):
            make_ours(NEXT)
        assert cloud.job(WORK)["currentJobId"] == newest
        assert cloud.job(JOB_ID) == {}

    @pytest.mark.parametrize("status", ["Succeeded", "Failed", "TimedOut"])
    def test_a_continuing_job_that_has_ended_is_ignored(self, status, cloud):
        cloud.expects_acknowledgment(status)
        with pytest.raises(errors.Joined, match=status):
            make_ours(NEXT)
        assert cloud.job(JOB_ID) == {}

    @pytest.mark.parametrize(
        ("work", "error", "cause"),
        [
            (STOPPED | {"error": "PermissionError"}, "PermissionError", "stopped"),
            (STOPPED | {"error": "EndedElsewhere"}, "JobFailed", "stopped"),
            ({"status": "Succeeded"}, "JobFailed", f"{OVER}Succeeded"),
            (None, "JobFailed", f"{OVER}nothing is known of it"),
        ],
    )
    def test_a_job_that_continues_ended_work_fails_with_the_reason(self, work, error, cause, cloud):
        if work:
            self.put_work(cloud, **work)
        cloud.expects_acknowledgment("InProgress")
        for _ in range(2):
            assert make_ours(NEXT).failure == {"error": error, "cause": cause}
            assert cloud.job(JOB_ID)["status"] == "InProgress"

    def test_work_that_ends_while_a_job_joins_it_fails_the_job(self, cloud):
        self.put_work(cloud)
        cloud.expects_acknowledgment("InProgress")
        ends = {"status": "Failed", "error": "JobFailed", "cause": "it ended"}
        cloud.before("UpdateItem", lambda: self.put_work(cloud, **ends), change="SET currentJobId")
        assert make_ours(NEXT).failure == {"error": "JobFailed", "cause": "it ended"}
        assert "currentJobId" not in cloud.job(WORK)


def test_for_a_client_without_a_client_token_no_call_is_noted(cloud):
    detail = load_event("acknowledge-job-dispatched-partner")["detail"]
    cloud.put_job(detail["jobId"], **MINE | {"execution": detail["execution"]})
    cloud.expects_error("ssm", "get_parameter", "ParameterNotFound")
    with pytest.raises(errors.ClientTokenMissing):
        acknowledgment.make_ours(Claim(detail["execution"], detail["offer"], "now"))
    assert cloud.job(detail["jobId"])["acknowledgeCalls"] == {}
