"""Partner actions: client ids, client tokens, and job ids that aren't UUIDs."""

import json
import sys

import pytest

import acknowledge
import intake
import report
from acknowledger import client_tokens, errors, job_api, offers, taking
from acknowledger.client_tokens import client_token
from tests.support import load_event
from tests.unit.conftest import Context, metrics_in, noted

CLIENT_ID = "3c9f2f3a-5f0e-4c1b-9d55-0d8d2a1b7c6e"
PARAMETER = f"/acknowledger/client-tokens/{CLIENT_ID}"
TOKEN = "token-of-the-client"
EVENT = load_event("acknowledge-job-dispatched-partner")
REQUEST = {name: EVENT["detail"][name] for name in ("jobId", "nonce")}
IN_PROGRESS = {"status": "InProgress"}


def expect_token(calls, token=TOKEN):
    answer = {"Parameter": {"Name": PARAMETER, "Type": "SecureString", "Value": token}}
    calls.expects("ssm", "get_parameter", answer, {"Name": PARAMETER, "WithDecryption": True})


def expect_acknowledgment(cloud, token=TOKEN):
    request = {**REQUEST, "clientToken": token}
    cloud.expects("codepipeline", "acknowledge_third_party_job", IN_PROGRESS, request)
    cloud.expects("stepfunctions", "send_task_success", {})


def expect_wrong_token(cloud):
    cloud.expects_error(
        "codepipeline", "acknowledge_third_party_job", "InvalidClientTokenException"
    )


@pytest.fixture
def row(cloud):
    """The job's row, which Acknowledge takes over."""
    detail = EVENT["detail"]
    cloud.put_job(detail["jobId"], execution=detail["execution"], status="Created")


def test_a_partners_job_is_acknowledged_with_its_clients_token(row, cloud):
    expect_token(cloud)
    expect_acknowledgment(cloud)
    assert acknowledge.handler(EVENT, Context()) == IN_PROGRESS


def test_an_acknowledgment_by_hand_gives_the_client_token_itself(aws_calls):
    event = load_event("acknowledge-by-hand-partner")
    aws_calls.expects("dynamodb", "update_item", noted(0, REQUEST["nonce"]))
    aws_calls.expects("codepipeline", "acknowledge_third_party_job", IN_PROGRESS, event)
    assert acknowledge.handler(event, Context()) == IN_PROGRESS


def test_a_client_token_is_cached(aws_calls):
    expect_token(aws_calls)
    assert client_token(CLIENT_ID) == TOKEN
    assert client_token(CLIENT_ID) == TOKEN


def test_the_cache_of_client_tokens_is_bounded(aws_calls, monkeypatch):
    monkeypatch.setattr(client_tokens, "KEPT_AT_MOST", 1)
    for _ in range(2):
        expect_token(aws_calls)
        client_token(CLIENT_ID)


def test_a_rotated_token_is_read_again_once(row, cloud):
    expect_token(cloud, "old")
    client_token(CLIENT_ID)
    expect_wrong_token(cloud)
    expect_token(cloud, "new")
    expect_acknowledgment(cloud, "new")
    assert acknowledge.handler(EVENT, Context()) == IN_PROGRESS


def test_a_wrong_token_that_was_not_rotated_raises_the_error_of_the_api(row, cloud):
    expect_token(cloud)
    expect_wrong_token(cloud)
    expect_token(cloud)
    cloud.expects("stepfunctions", "send_task_failure", {})
    assert acknowledge.handler(EVENT, Context())["error"] == "InvalidClientTokenException"


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        ("ParameterNotFound", errors.ClientTokenMissing, "has no token: put a SecureString at"),
        ("ThrottlingException", errors.ParameterStoreUnavailable, "ThrottlingException"),
        ("InternalServerError", errors.ParameterStoreUnavailable, "InternalServerError"),
        ("AccessDeniedException", errors.ClientTokenMissing, "AccessDeniedException"),
        ("KMSDisabledException", errors.ClientTokenMissing, "KMSDisabledException"),
    ],
)
def test_a_token_that_may_not_be_read_counts_as_missing_and_other_errors_are_retryable(
    aws_calls, code, error, told
):
    aws_calls.expects_error("ssm", "get_parameter", code)
    with pytest.raises(error) as refused:
        client_token(CLIENT_ID)
    assert all(text in str(refused.value) for text in (CLIENT_ID, PARAMETER, told))


def test_a_newline_after_a_token_is_ignored(aws_calls):
    expect_token(aws_calls, f"{TOKEN}\n")
    assert client_token(CLIENT_ID) == TOKEN


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"jobId": ""}, "'jobId'"),
        ({"jobId": "x" * 513}, "'jobId'"),
        ({"nonce": "n" * 51}, "'nonce'"),
        (load_event("bad/acknowledge-client-id"), "'clientId'"),
        ({"clientId": 7}, "'clientId'"),
        ({"clientToken": "both"}, "'clientToken'"),
    ],
)
def test_a_partners_acknowledgment_that_breaks_a_limit_is_refused(aws_calls, change, member):
    with pytest.raises(errors.ValidationException, match=member):
        acknowledge.handler({**REQUEST, "clientId": CLIENT_ID, **change}, Context())


def test_a_client_token_that_breaks_a_limit_is_not_repeated(aws_calls):
    with pytest.raises(errors.ValidationException) as refused:
        acknowledge.handler({**REQUEST, "clientToken": "secret" * 50}, Context())
    assert "'clientToken'" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("event", "operation"),
    [
        ("report-succeeded-partner", "put_third_party_job_success_result"),
        ("report-failed", "put_third_party_job_failure_result"),
    ],
)
def test_a_partners_result_is_reported_with_the_token(cloud, event, operation):
    told = load_event("report-succeeded-partner") | {"outcome": load_event(event)["outcome"]}
    job_id = told["offer"]["job"]["id"]
    cloud.put_job(job_id, execution=told["execution"], clientId=CLIENT_ID)
    expect_token(cloud)
    cloud.expects("codepipeline", operation, {})
    cloud.expects_event()
    report.handler(told, Context())
    request = json.loads(cloud.sent[0])
    assert (request["jobId"], request["clientToken"]) == (job_id, TOKEN)
    assert "clientId" not in request
    assert TOKEN not in json.dumps(cloud.announced)


def test_a_partners_result_with_output_variables_is_refused(cloud):
    told = load_event("bad/report-partner-output-variables")
    cloud.put_job(told["offer"]["job"]["id"], execution=told["execution"])
    expect_token(cloud)
    cloud.expects("codepipeline", "put_third_party_job_failure_result", {})
    cloud.expects_event()
    assert "partner actions have none" in report.handler(told, Context())["cause"]


class TestIntake:
    """Two clients' jobs, offered in one batch."""

    OTHER = "5d1c7c7e-0b7a-4f0c-8f8a-9c2f0a3b4c5d"
    ACTION_TYPE = "ThirdParty/Deploy/Partner/1"

    @pytest.fixture(autouse=True)
    def serves_partners(self, monkeypatch):
        monkeypatch.setenv("ACTION_TYPES", self.ACTION_TYPE)
        monkeypatch.setattr(taking, "STARTS_AT_ONCE", 1)

    def expect_poll(self, cloud, listed):
        cloud.expects_listed(self.ACTION_TYPE if listed else None)
        jobs = [
            {"clientId": self.OTHER, "jobId": "theirs/1"},
            {"clientId": CLIENT_ID, "jobId": "ours/1"},
        ]
        cloud.expects("codepipeline", "poll_for_third_party_jobs", {"jobs": jobs})

    def expect_details(self, cloud):
        configuration = {"configuration": {"Region": "here", "Password": "hunter2"}}
        credentials = dict.fromkeys(("accessKeyId", "secretAccessKey", "sessionToken"), "SECRET")
        data = {"actionConfiguration": configuration, "artifactCredentials": credentials}
        answer = {"jobDetails": {"id": "ours/1", "nonce": "3", "data": data}}
        request = {"jobId": "ours/1", "clientToken": TOKEN}
        cloud.expects("codepipeline", "get_third_party_job_details", answer, request)

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_client_without_a_token_does_not_affect_other_clients(
        self, cloud, capsys, log, listed
    ):
        self.expect_poll(cloud, listed)
        cloud.expects_error("ssm", "get_parameter", "ParameterNotFound")
        expect_token(cloud)
        self.expect_details(cloud)
        cloud.expects("stepfunctions", "start_execution", {"executionArn": "a", "startDate": 0})
        cloud.expects("codepipeline", "poll_for_third_party_jobs", {})
        taken = intake.handler(load_event("intake-schedule"), Context())
        assert taken == {"offered": 2, "taken": 1}
        ((name, started),) = cloud.started.items()
        assert name == offers.execution_name("ours/1", "3")
        job = started["job"]
        assert job["clientId"] == CLIENT_ID
        # For a type that isn't listed, all properties are treated as secret.
        assert job["data"]["actionConfiguration"]["configuration"] == {
            "Region": "here" if listed else "****",
            "Password": "****",
        }
        out = capsys.readouterr().out + log.getvalue()
        assert "ClientTokensRefused" in out
        assert f"client {self.OTHER} has no token" in out
        for secret in (TOKEN, "SECRET", "hunter2"):
            assert secret not in out
            assert secret not in json.dumps(started)

    def test_every_client_refused_at_the_same_time_is_counted(self, cloud, capsys, monkeypatch):
        offered = [{"clientId": f"{number}", "jobId": f"{number}"} for number in range(2000)]
        batches = [offered, []]

        def refuse(_offer):
            raise errors.ClientTokenMissing("there is none")

        monkeypatch.setattr(taking, "STARTS_AT_ONCE", 50)
        monkeypatch.setattr(job_api, "poll", lambda *_: batches.pop(0))
        monkeypatch.setattr(job_api, "details", refuse)
        monkeypatch.setattr(job_api, "properties", lambda _: None)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            intake.handler(load_event("intake-schedule"), Context())
        finally:
            sys.setswitchinterval(interval)
        found = metrics_in(capsys.readouterr().out)
        assert found["ClientTokensRefused"] == (len(offered), "Count")
