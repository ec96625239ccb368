"""AWS's own actions: manual approvals and Lambda functions, and the transitions between stages."""

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from moto import mock_aws
from moto.core.config import default_user_config

from codepipeline_fixtures import (
    ACCOUNT,
    APPROVAL,
    LAMBDA,
    REGION,
    Service,
    action,
    client,
    code_of,
    refusal_of,
    running_service,
    source,
)
from moto_codepipeline import JobBackend
from moto_codepipeline.lambdas import check_function
from moto_codepipeline.runs import ActionFailedError


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        running.register()
        yield running


# Approvals

NOTIFY = {"NotificationArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:asked"}
SOMEBODY = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.fixture
def sent() -> Iterator[list[tuple[str, str]]]:
    """Subject and message of each notification."""
    notices: list[tuple[str, str]] = []

    def publish(account_id: str, region: str, topic: str, subject: str, message: str) -> None:
        assert (account_id, region) == (ACCOUNT, REGION)
        assert topic == NOTIFY["NotificationArn"]
        notices.append((subject, message))

    with patch.object(JobBackend, "publish_notice", staticmethod(publish)):
        yield notices


def ask(service: Service, **declared: Any) -> str:
    return service.begin([action("Ask", APPROVAL, **declared)], [service.action("Build")])


def answer(service: Service, status: str = "Approved", **changes: Any) -> Any:
    """Answer the approval, by the token that its state shows unless another is given."""
    request = {
        "pipelineName": "release",
        "stageName": "Stage2",
        "actionName": "Ask",
        "result": {"status": status, "summary": "Looked at"},
    }
    token = changes.get("token") or service.latest()["token"]
    return service.api.put_approval_result(**request | {"token": token} | changes)


def results(service: Service, state: str) -> list[dict[str, Any]]:
    """The results in the approval's events after STARTED, which all have this state."""
    found = [entry for entry in service.events() if entry[:2] == ("Action", "Ask")]
    assert found == [("Action", "Ask", "STARTED"), ("Action", "Ask", state)]
    details = [each for each in service.details("Action", state) if each["action"] == "Ask"]
    assert {each["type"]["provider"] for each in details} == {"Manual"}
    return [each["execution-result"] for each in details]


def test_while_it_waits_its_token_is_its_id_and_no_change_is_shown(service: Service) -> None:
    ask(service)
    waiting = service.latest()
    token = waiting["token"]
    assert waiting == {"actionExecutionId": token, "status": "InProgress", "token": token}
    [shown] = service.action_executions("Ask")
    assert "updatedBy" not in shown
    assert "executionResult" not in shown["output"]


@pytest.mark.parametrize(("status", "ended"), [("Approved", "Succeeded"), ("Rejected", "Failed")])
def test_an_answer_ends_the_action_and_is_shown_with_its_author(
    service: Service, status: str, ended: str
) -> None:
    execution_id = ask(service)
    token = service.latest()["token"]
    service.clock.advance(60)
    answered = answer(service, status)
    assert answered["approvedAt"].timestamp() == service.clock.now()
    state = service.latest()
    assert state.pop("lastStatusChange").timestamp() == service.clock.now()
    assert state == {
        "actionExecutionId": token,
        "status": ended,
        "summary": "Looked at",
        "lastUpdatedBy": SOMEBODY,
    }
    [detail] = service.action_executions("Ask")
    assert detail["updatedBy"] == SOMEBODY
    assert detail["output"]["executionResult"] == {
        "externalExecutionId": token,
        "externalExecutionSummary": "Looked at",
    }
    assert results(service, ended.upper()) == [{"external-execution-summary": "Looked at"}]
    assert service.status(execution_id) == ("Failed" if ended == "Failed" else "InProgress")
    assert len(service.poll()) == (ended == "Succeeded")


def test_its_link_is_shown_before_it_begins_and_after_its_answer(service: Service) -> None:
    declared = "https://review.example/#{Code.VersionId}"
    asking = action("Ask", APPROVAL, configuration={"ExternalEntityLink": declared})
    fetch = {"name": "Source", "actions": [source(namespace="Code")]}
    service.create(stages=[fetch, {"name": "Stage2", "actions": [asking]}])
    assert service.state()["entityUrl"] == declared
    started = service.start()
    [revision] = service.summaries()[started]["sourceRevisions"]
    shown = f"https://review.example/{revision['revisionId']}"
    assert service.state()["entityUrl"] == shown
    answer(service)
    assert service.state()["entityUrl"] == shown


def test_the_id_of_another_action_is_no_token(service: Service) -> None:
    service.begin([service.action("Build"), action("Ask", APPROVAL)])
    build = service.latest()
    for name in ("Build", "Ask"):
        code = code_of(answer, service, token=build["actionExecutionId"], actionName=name)
        assert code == "InvalidApprovalTokenException"
    assert "lastStatusChange" in build


@pytest.mark.parametrize(
    ("declared", "limit"), [({}, 7 * 24 * 3600), ({"timeoutInMinutes": 5}, 300)]
)
def test_an_approval_times_out_after_seven_days_or_as_declared(
    service: Service, declared: dict[str, int], limit: int
) -> None:
    execution_id = ask(service, **declared)
    service.clock.advance(limit - 1)
    assert service.status(execution_id) == "InProgress"
    service.clock.advance(1)
    assert service.status(execution_id) == "Failed"
    message = service.latest()["errorDetails"]["message"]
    assert "timed out" in message
    result = {"external-execution-summary": message, "error-code": "JobFailed"}
    assert results(service, "FAILED") == [result]


def test_an_abandoned_approval_no_longer_waits(service: Service) -> None:
    execution_id = ask(service)
    token = service.latest()["token"]
    service.stop(execution_id, abandon=True)
    assert code_of(answer, service, token=token) == "InvalidApprovalTokenException"
    assert service.backend.next_due() is None


def test_a_summary_may_be_required(service: Service) -> None:
    ask(service, configuration={"IsSummaryRequired": "true"})
    assert refusal_of(answer, service, result={"status": "Approved", "summary": " "}) == (
        "InvalidApprovalTokenException",
        "Action 'Ask' in stage 'Stage2' requires a summary. Provide a summary in the approval "
        "result and try again.",
    )
    answer(service)


def test_a_topic_is_notified_with_links_to_the_pipeline_and_to_the_review(service: Service) -> None:
    sns, sqs = client("sns"), client("sqs")
    topic = sns.create_topic(Name="asked")["TopicArn"]
    queue = sqs.create_queue(QueueName="asked")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    ask(service, configuration={"NotificationArn": topic, "CustomData": "Look"})
    [received] = sqs.receive_message(QueueUrl=queue)["Messages"]
    notice = json.loads(received["Body"])
    assert notice["Subject"] == "APPROVAL NEEDED: AWS CodePipeline release for action Ask"
    message = json.loads(notice["Message"])
    site = "https://console.aws.amazon.com/codesuite/codepipeline/pipelines"
    assert message["consoleLink"] == f"{site}/release/view?region={REGION}"
    approval, token = message["approval"], service.latest()["token"]
    assert (approval["actionName"], approval["customData"]) == ("Ask", "Look")
    assert approval["approvalReviewLink"] == f"{message['consoleLink']}#/Stage2/Ask/approve/{token}"
    assert approval["externalEntityLink"] is None
    answer(service, token=approval["token"])
    assert service.take()


@pytest.mark.parametrize(
    ("pipeline", "ask", "shown"),
    [
        ("stackd-approval-b929cab0", "Ask", "stackd-approval-b929cab0 for action Ask"),
        ("stackd-approval-b929cab0d", "Ask", "stackd-approval-b929cab0... for action Ask"),
        ("p" * 100, "a" * 100, f"{'p' * 24}... for action {'a' * 27}"),
    ],
    ids=["24 characters", "25 characters", "the longest names"],
)
def test_long_names_are_cut_in_the_notifications_subject(
    service: Service, sent: list[tuple[str, str]], pipeline: str, ask: str, shown: str
) -> None:
    asking = action(ask, APPROVAL, configuration=NOTIFY)
    service.api.create_pipeline(pipeline=service.structure([asking], name=pipeline))
    service.start(pipeline)
    assert [subject for subject, _ in sent] == [f"APPROVAL NEEDED: AWS CodePipeline {shown}"]


# Lambda functions


class Function:
    """The function ``work``. moto's functions are not run: their events are recorded."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.jobs: list[dict[str, Any]] = []

    def invoke(self, account_id: str, region: str, name: str, payload: str) -> None:
        assert (account_id, region, name) == (ACCOUNT, REGION, "work")
        # A function calls back from another thread: no lock may be held.
        assert self.service.backend._depth == 0
        self.jobs.append(json.loads(payload)["CodePipeline.job"])

    def succeed(self, **result: Any) -> None:
        self.service.api.put_job_success_result(jobId=self.jobs[0]["id"], **result)

    def fail(self, **details: str) -> None:
        details = {"type": "JobFailed", "message": "It broke"} | details
        self.service.api.put_job_failure_result(jobId=self.jobs[0]["id"], failureDetails=details)


@pytest.fixture
def function(service: Service) -> Iterator[Function]:
    there = patch("moto_codepipeline.operations.check_function")
    made = Function(service)
    with there, patch.object(JobBackend, "invoke_function", staticmethod(made.invoke)):
        yield made


def start(service: Service) -> str:
    configuration = {"FunctionName": "work", "UserParameters": "how"}
    sides = {"inputArtifacts": ["SourceOutput"], "outputArtifacts": ["Made"]}
    work = action("Work", LAMBDA, configuration=configuration, **sides)
    return service.begin([work], [service.action("Build")])


def shown(service: Service) -> dict[str, Any]:
    """The latest execution of the action, without its id and time."""
    return {
        name: member
        for name, member in service.latest().items()
        if name not in ("actionExecutionId", "lastStatusChange")
    }


def result(service: Service) -> Any:
    [work] = service.action_executions("Work")
    return work["output"].get("executionResult")


def test_a_function_gets_a_job(service: Service, function: Function) -> None:
    start(service)
    [job] = function.jobs
    data = job["data"]
    assert job["accountId"] == ACCOUNT
    assert data["actionConfiguration"]["configuration"]["UserParameters"] == "how"
    [read], [made] = data["inputArtifacts"], data["outputArtifacts"]
    assert (read["name"], made["name"]) == ("SourceOutput", "Made")
    assert read["revision"] is not None
    assert made["revision"] is None
    keys = {"accessKeyId", "secretAccessKey", "sessionToken", "expirationTime"}
    assert set(data["artifactCredentials"]) == keys
    assert "pipelineContext" not in data


def test_motos_functions_without_docker_are_found_and_invoked(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(default_user_config, "lambda", {"use_docker": False})
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = client("iam").create_role(RoleName="work", AssumeRolePolicyDocument=policy)
    client("lambda").create_function(
        FunctionName="work",
        Runtime="python3.13",
        Handler="work.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": b"any"},
    )
    start(service)
    assert service.action_statuses()["Work"] == "InProgress"
    assert "could not be delivered" not in caplog.text


def test_the_function_and_its_log_are_linked_and_its_own_details_are_not_shown(
    service: Service, function: Function
) -> None:
    execution_id = start(service)
    site = "https://console.aws.amazon.com"
    log = f"{site}/cloudwatch/home?region={REGION}#logStream:group=%252Faws%252Flambda%252Fwork"
    links = {"externalExecutionId": "work", "externalExecutionUrl": log}
    assert service.state()["entityUrl"] == f"{site}/lambda/home?region={REGION}#/functions/work"
    assert shown(service) == links | {"status": "InProgress"}
    assert result(service) is None
    revisions = service.execution(execution_id)["artifactRevisions"]
    function.succeed(
        executionDetails={"summary": "s", "externalExecutionId": "e", "percentComplete": 9},
        currentRevision={"revision": "r", "changeIdentifier": "c"},
        outputVariables={"a": "1"},
    )
    assert shown(service) == links | {"status": "Succeeded"}
    assert "currentRevision" not in service.state()
    assert service.execution(execution_id)["artifactRevisions"] == revisions
    assert result(service) == links
    assert service.take()


def test_a_functions_failure_is_shown_as_the_error_and_with_no_other_id(
    service: Service, function: Function
) -> None:
    execution_id = start(service)
    function.fail(externalExecutionId="e")
    latest = shown(service)
    assert latest["externalExecutionId"] == "work"
    assert latest["errorDetails"] == {"code": "JobFailed", "message": "It broke"}
    assert "summary" not in latest
    assert service.status(execution_id) == "Failed"


def test_a_function_is_invoked_again_with_its_token(service: Service, function: Function) -> None:
    start(service)
    function.succeed(continuationToken="more")
    service.clock.advance(29)
    service.backend.tick()
    assert len(function.jobs) == 1
    service.clock.advance(1)
    service.backend.tick()
    first, second = function.jobs
    assert second["data"]["continuationToken"] == "more"
    assert first["id"] != second["id"]


def test_a_function_has_20_minutes_for_each_result(service: Service, function: Function) -> None:
    execution_id = start(service)
    service.clock.advance(1199)
    function.succeed(continuationToken="more")
    service.clock.advance(30)
    assert service.status(execution_id) == "InProgress"
    service.clock.advance(1200)
    assert service.status(execution_id) == "Failed"
    said = "The AWS Lambda function work failed to return a result."
    assert service.latest()["errorDetails"]["message"].startswith(said)


def test_an_action_has_24_hours(service: Service, function: Function) -> None:
    service.behaviour.lambda_silence_seconds = 10**6
    execution_id = start(service)
    service.clock.advance(24 * 3600)
    assert service.status(execution_id) == "Failed"
    assert len(function.jobs) == 1


def test_its_jobs_are_not_offered(service: Service, function: Function) -> None:
    start(service)
    assert code_of(service.api.poll_for_jobs, actionTypeId=LAMBDA) == "ValidationException"
    assert service.api.get_job_details(jobId=function.jobs[0]["id"])["jobDetails"]["data"]


@pytest.mark.parametrize("there", [True, False])
def test_a_function_is_invoked_in_the_actions_region(service: Service, *, there: bool) -> None:
    def check(_: str, region: str, name: str) -> None:
        if not there:
            raise ActionFailedError("ConfigurationError", f"no {name} in {region}")

    configuration = {"FunctionName": "work"}
    work = action("Work", LAMBDA, configuration=configuration, region="us-east-1")
    pipeline = service.structure([work])
    store = pipeline.pop("artifactStore")
    pipeline["artifactStores"] = {REGION: store, "us-east-1": store}
    service.api.create_pipeline(pipeline=pipeline)
    regions: list[str] = []
    with (
        patch("moto_codepipeline.operations.check_function", check),
        patch.object(JobBackend, "invoke_function", lambda *place: regions.append(place[1])),
    ):
        service.start()
    error = service.latest().get("errorDetails", {}).get("message")
    assert (regions == ["us-east-1"]) is there
    assert error == (None if there else "no work in us-east-1")


def test_a_missing_function_fails_the_action_which_shows_only_the_error(service: Service) -> None:
    execution_id = start(service)
    assert service.status(execution_id) == "Failed"
    code, message = "ConfigurationError", "The AWS Lambda function work does not exist."
    assert shown(service) == {
        "status": "Failed",
        "errorDetails": {"code": code, "message": message},
    }
    assert result(service) == {"externalExecutionSummary": message, "errorDetails": {"code": code}}
    [failed] = service.details("Action", "FAILED")
    told = {"external-execution-summary": message, "error-code": code}
    assert failed["execution-result"] == told


def test_a_function_in_a_region_that_moto_does_not_know_does_not_exist() -> None:
    with mock_aws(), pytest.raises(ActionFailedError, match=r"function no-such does not exist\.$"):
        check_function("123456789012", "us-nowhere-1", "no-such")


# Transitions, and revisions


def transition(service: Service, stage: str, kind: str, reason: str | None = None) -> None:
    """Disable a transition with a reason, or enable it without one."""
    place = {"pipelineName": "release", "stageName": stage, "transitionType": kind}
    if reason:
        service.api.disable_stage_transition(**place, reason=reason)
    else:
        service.api.enable_stage_transition(**place)


@pytest.mark.parametrize(("stage", "kind"), [("Stage3", "Inbound"), ("Stage2", "Outbound")])
def test_no_execution_passes_a_disabled_transition(service: Service, stage: str, kind: str) -> None:
    service.create([service.action("First")], [service.action("Second")])
    transition(service, stage, kind, "Not now")
    execution_id = service.start()
    service.succeed(service.take())
    assert service.poll() == []
    assert service.status(execution_id) == "InProgress"
    state = service.stage("Stage3")["inboundTransitionState"]
    assert (state["enabled"], state["disabledReason"]) == (False, "Not now")
    assert state["lastChangedBy"] == SOMEBODY
    transition(service, stage, kind)
    service.succeed(service.take())
    assert service.status(execution_id) == "Succeeded"
    assert service.stage("Stage3")["inboundTransitionState"]["enabled"] is True


def test_the_last_outbound_transition_has_no_effect(service: Service) -> None:
    service.create()
    transition(service, "Stage2", "Outbound", "Not now")
    execution_id = service.start()
    service.succeed(service.take())
    assert service.status(execution_id) == "Succeeded"


def test_a_new_revision_starts_an_execution(service: Service) -> None:
    service.create()
    place = {"pipelineName": "release", "stageName": "Source", "actionName": "Fetch"}
    revision = {"revisionId": "r1", "revisionChangeId": "c1", "created": 1_800_000_000}
    request = place | {"actionRevision": revision}
    first = service.api.put_action_revision(**request)
    assert first["newRevision"] is True
    summary = service.summaries()[first["pipelineExecutionId"]]
    assert summary["trigger"] == {"triggerType": "PutActionRevision", "triggerDetail": "Fetch"}
    again = service.api.put_action_revision(**request)
    assert (again["newRevision"], len(service.summaries())) == (False, 1)
