"""AWS's own actions: manual approvals and Lambda functions, and the transitions between stages."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.config import default_user_config

from codepipeline_fixtures import (
    ACCOUNT,
    REGION,
    Service,
    action,
    client,
    error_of,
    running_service,
    source,
)
from moto_codepipeline import JobBackend
from moto_codepipeline.lambdas import check_function
from moto_codepipeline.runs import ActionFailedError

APPROVAL = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
LAMBDA = {"category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1"}


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        running.register()
        yield running


class TestApproval:
    notify: ClassVar = {"NotificationArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:asked"}

    @pytest.fixture
    def sent(self) -> Iterator[list[tuple[str, str]]]:
        """Subject and message of each notification."""
        notices: list[tuple[str, str]] = []

        def publish(account_id: str, region: str, topic: str, subject: str, message: str) -> None:
            assert (account_id, region) == (ACCOUNT, REGION)
            assert topic == self.notify["NotificationArn"]
            notices.append((subject, message))

        with patch.object(JobBackend, "publish_notice", staticmethod(publish)):
            yield notices

    def ask(self, service: Service, **declared: Any) -> str:
        service.create([action("Ask", APPROVAL, **declared)], [service.action("Build")])
        return service.start()

    def state(self, service: Service) -> dict[str, Any]:
        [state] = service.stage("Stage2")["actionStates"]
        latest: dict[str, Any] = state["latestExecution"]
        return latest

    def answer(self, service: Service, status: str = "Approved", **changes: Any) -> Any:
        request = {
            "pipelineName": "release",
            "stageName": "Stage2",
            "actionName": "Ask",
            "result": {"status": status, "summary": "Looked at"},
        }
        return service.api.put_approval_result(**request | changes)

    def test_an_approved_action_succeeds(self, service: Service) -> None:
        self.ask(service)
        answer = self.answer(service, token=self.state(service)["token"])
        assert answer["approvedAt"].timestamp() == service.clock.now()
        state = self.state(service)
        assert (state["status"], state["summary"]) == ("Succeeded", "Looked at")
        assert "token" not in state
        assert state["lastUpdatedBy"] == f"arn:aws:iam::{ACCOUNT}:root"
        assert self.events(service, "SUCCEEDED") == [{"external-execution-summary": "Looked at"}]
        assert service.take()

    def test_an_answer_is_shown_with_its_author(self, service: Service) -> None:
        self.ask(service)

        def shown() -> dict[str, Any]:
            listed = service.api.list_action_executions(pipelineName="release")
            found = [e for e in listed["actionExecutionDetails"] if e["actionName"] == "Ask"]
            return dict(found[0])

        assert "updatedBy" not in shown()
        assert "executionResult" not in shown()["output"]
        self.answer(service, token=self.state(service)["token"])
        detail = shown()
        assert detail["updatedBy"] == f"arn:aws:iam::{ACCOUNT}:root"
        assert detail["output"]["executionResult"] == {
            "externalExecutionId": detail["actionExecutionId"],
            "externalExecutionSummary": "Looked at",
        }
        assert "externalExecutionId" not in self.state(service)

    def test_its_link_is_shown_before_it_begins_and_after_its_answer(
        self, service: Service
    ) -> None:
        def link() -> str:
            [state] = service.stage("Stage2")["actionStates"]
            return str(state["entityUrl"])

        declared = "https://review.example/#{Code.VersionId}"
        ask = action("Ask", APPROVAL, configuration={"ExternalEntityLink": declared})
        fetch = {"name": "Source", "actions": [source(namespace="Code")]}
        service.create(stages=[fetch, {"name": "Stage2", "actions": [ask]}])
        assert link() == declared
        started = service.start()
        [revision] = service.summaries()[started]["sourceRevisions"]
        shown = f"https://review.example/{revision['revisionId']}"
        assert link() == shown
        self.answer(service, token=self.state(service)["token"])
        assert link() == shown

    def test_while_it_waits_its_token_is_its_id_and_no_change_is_shown(
        self, service: Service
    ) -> None:
        self.ask(service)
        waiting = self.state(service)
        assert waiting == {
            "actionExecutionId": waiting["token"],
            "status": "InProgress",
            "token": waiting["token"],
        }
        service.clock.advance(60)
        self.answer(service, token=waiting["token"])
        answered = self.state(service)
        assert answered["actionExecutionId"] == waiting["token"]
        assert answered["lastStatusChange"].timestamp() == service.clock.now()

    def test_the_id_of_another_action_is_no_token(self, service: Service) -> None:
        service.create([service.action("Build"), action("Ask", APPROVAL)])
        service.start()
        states = {s["actionName"]: s for s in service.stage("Stage2")["actionStates"]}
        token = states["Build"]["latestExecution"]["actionExecutionId"]
        for name in ("Build", "Ask"):
            with pytest.raises(ClientError) as caught:
                self.answer(service, token=token, actionName=name)
            assert error_of(caught.value)[0] == "InvalidApprovalTokenException"
        assert "lastStatusChange" in states["Build"]["latestExecution"]

    def test_a_rejected_action_fails(self, service: Service) -> None:
        execution_id = self.ask(service)
        self.answer(service, "Rejected", token=self.state(service)["token"])
        assert service.status(execution_id) == "Failed"
        assert self.state(service)["summary"] == "Looked at"
        assert self.events(service, "FAILED") == [
            {"external-execution-summary": "Looked at"},
        ]

    def events(self, service: Service, state: str) -> list[dict[str, Any]]:
        """The results in the approval's events after STARTED, which all have this state."""
        found = [entry for entry in service.events() if entry[:2] == ("Action", "Ask")]
        assert found == [("Action", "Ask", "STARTED"), ("Action", "Ask", state)]
        details = [each for each in service.details("Action", state) if each["action"] == "Ask"]
        assert {each["type"]["provider"] for each in details} == {"Manual"}
        return [each["execution-result"] for each in details]

    def test_an_approval_times_out_after_seven_days(self, service: Service) -> None:
        execution_id = self.ask(service)
        service.clock.advance(7 * 24 * 3600 - 1)
        assert service.status(execution_id) == "InProgress"
        service.clock.advance(1)
        assert service.status(execution_id) == "Failed"
        message = self.state(service)["errorDetails"]["message"]
        assert "timed out" in message
        assert self.events(service, "FAILED") == [
            {"external-execution-summary": message, "error-code": "JobFailed"}
        ]

    def test_the_timeout_of_an_approval_can_be_set(self, service: Service) -> None:
        execution_id = self.ask(service, timeoutInMinutes=5)
        service.clock.advance(300)
        assert service.status(execution_id) == "Failed"

    def test_a_retry_asks_again_with_another_token(self, service: Service) -> None:
        execution_id = self.ask(service)
        first = self.state(service)["token"]
        self.answer(service, "Rejected", token=first)
        service.retry(execution_id)
        second = self.state(service)["token"]
        assert first != second
        with pytest.raises(ClientError) as caught:
            self.answer(service, token=first)
        assert error_of(caught.value)[0] == "ApprovalAlreadyCompletedException"
        self.answer(service, token=second)
        assert service.take()

    def test_an_abandoned_action_no_longer_waits(self, service: Service) -> None:
        execution_id = self.ask(service)
        token = self.state(service)["token"]
        service.stop(execution_id, abandon=True)
        assert service.status(execution_id) == "Stopped"
        with pytest.raises(ClientError) as caught:
            self.answer(service, token=token)
        assert error_of(caught.value)[0] == "InvalidApprovalTokenException"
        assert service.backend.next_due() is None

    def test_a_summary_may_be_required(self, service: Service) -> None:
        self.ask(service, configuration={"IsSummaryRequired": "true"})
        token = self.state(service)["token"]
        with pytest.raises(ClientError) as caught:
            self.answer(service, token=token, result={"status": "Approved", "summary": " "})
        assert error_of(caught.value) == (
            "InvalidApprovalTokenException",
            "Action 'Ask' in stage 'Stage2' requires a summary. Provide a summary in the approval "
            "result and try again.",
        )
        self.answer(service, token=token)

    def test_a_topic_is_notified(self, service: Service) -> None:
        sns, sqs = client("sns"), client("sqs")
        topic = sns.create_topic(Name="asked")["TopicArn"]
        queue = sqs.create_queue(QueueName="asked")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
        self.ask(service, configuration={"NotificationArn": topic, "CustomData": "Look"})
        [received] = sqs.receive_message(QueueUrl=queue)["Messages"]
        notice = json.loads(received["Body"])
        assert notice["Subject"] == "APPROVAL NEEDED: AWS CodePipeline release for action Ask"
        approval = json.loads(notice["Message"])["approval"]
        assert (approval["actionName"], approval["customData"]) == ("Ask", "Look")
        self.answer(service, token=approval["token"])
        assert service.take()

    def test_the_notification_links_to_the_pipeline_and_to_the_review(
        self, service: Service, sent: list[tuple[str, str]]
    ) -> None:
        self.ask(service, configuration=self.notify)
        [(_, message)] = sent
        notice = json.loads(message)
        site = "https://console.aws.amazon.com/codesuite/codepipeline/pipelines"
        assert notice["consoleLink"] == f"{site}/release/view?region={REGION}"
        approval, token = notice["approval"], self.state(service)["token"]
        review = f"{notice['consoleLink']}#/Stage2/Ask/approve/{token}"
        assert approval["approvalReviewLink"] == review
        assert approval["externalEntityLink"] is None

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
        self, service: Service, sent: list[tuple[str, str]], pipeline: str, ask: str, shown: str
    ) -> None:
        asking = action(ask, APPROVAL, configuration=self.notify)
        service.api.create_pipeline(pipeline=service.structure([asking], name=pipeline))
        service.start(pipeline)
        assert [subject for subject, _ in sent] == [f"APPROVAL NEEDED: AWS CodePipeline {shown}"]


class TestLambda:
    """A function's job. moto's functions are not run: their events are recorded."""

    @pytest.fixture
    def events(self, service: Service) -> Iterator[list[dict[str, Any]]]:
        invoked: list[dict[str, Any]] = []

        def invoke(account_id: str, region: str, name: str, payload: str) -> None:
            assert (account_id, region, name) == (ACCOUNT, REGION, "work")
            # A function calls back from another thread: no lock may be held.
            assert service.backend._depth == 0
            invoked.append(json.loads(payload)["CodePipeline.job"])

        there = patch("moto_codepipeline.operations.check_function")
        with there, patch.object(JobBackend, "invoke_function", staticmethod(invoke)):
            yield invoked

    def invoke(self, service: Service) -> str:
        configuration = {"FunctionName": "work", "UserParameters": "how"}
        sides = {"inputArtifacts": ["SourceOutput"], "outputArtifacts": ["Made"]}
        work = action("Work", LAMBDA, configuration=configuration, **sides)
        service.create([work], [service.action("Build")])
        return service.start()

    def test_a_function_gets_a_job(self, service: Service, events: list[dict[str, Any]]) -> None:
        self.invoke(service)
        [job] = events
        data = job["data"]
        assert job["accountId"] == ACCOUNT
        assert data["actionConfiguration"]["configuration"]["UserParameters"] == "how"
        [read], [made] = data["inputArtifacts"], data["outputArtifacts"]
        assert (read["name"], made["name"]) == ("SourceOutput", "Made")
        assert read["revision"] is not None
        assert made["revision"] is None
        assert set(data["artifactCredentials"]) == {
            "accessKeyId",
            "secretAccessKey",
            "sessionToken",
            "expirationTime",
        }
        assert "pipelineContext" not in data

    def test_motos_functions_without_docker_are_found_and_invoked(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
        self.invoke(service)
        assert service.action_statuses()["Work"] == "InProgress"
        assert "could not be delivered" not in caplog.text

    def test_the_functions_result_ends_the_action(
        self, service: Service, events: list[dict[str, Any]]
    ) -> None:
        self.invoke(service)
        service.api.put_job_success_result(jobId=events[0]["id"], outputVariables={"a": "1"})
        assert service.action_statuses()["Work"] == "Succeeded"
        assert service.take()

    def test_the_functions_failure_fails_the_action(
        self, service: Service, events: list[dict[str, Any]]
    ) -> None:
        execution_id = self.invoke(service)
        details = {"type": "JobFailed", "message": "It broke"}
        service.api.put_job_failure_result(jobId=events[0]["id"], failureDetails=details)
        assert service.status(execution_id) == "Failed"

    def state(self, service: Service) -> dict[str, Any]:
        [state] = service.stage("Stage2")["actionStates"]
        del state["latestExecution"]["actionExecutionId"]
        del state["latestExecution"]["lastStatusChange"]
        return dict(state)

    def result(self, service: Service) -> Any:
        listed = service.api.list_action_executions(pipelineName="release")
        [work] = [e for e in listed["actionExecutionDetails"] if e["actionName"] == "Work"]
        return work["output"].get("executionResult")

    def test_the_function_and_its_log_are_linked_and_its_own_details_are_not_shown(
        self, service: Service, events: list[dict[str, Any]]
    ) -> None:
        execution_id = self.invoke(service)
        site = "https://console.aws.amazon.com"
        log = f"{site}/cloudwatch/home?region={REGION}#logStream:group=%252Faws%252Flambda%252Fwork"
        links = {"externalExecutionId": "work", "externalExecutionUrl": log}
        expected = {
            "actionName": "Work",
            "entityUrl": f"{site}/lambda/home?region={REGION}#/functions/work",
            "latestExecution": links | {"status": "InProgress"},
        }
        assert self.state(service) == expected
        assert self.result(service) is None
        revisions = service.execution(execution_id)["artifactRevisions"]
        service.api.put_job_success_result(
            jobId=events[0]["id"],
            executionDetails={"summary": "s", "externalExecutionId": "e", "percentComplete": 9},
            currentRevision={"revision": "r", "changeIdentifier": "c"},
        )
        expected["latestExecution"] = links | {"status": "Succeeded"}
        assert self.state(service) == expected
        assert service.execution(execution_id)["artifactRevisions"] == revisions
        assert self.result(service) == links

    def test_a_functions_failure_is_shown_as_the_error_and_with_no_other_id(
        self, service: Service, events: list[dict[str, Any]]
    ) -> None:
        self.invoke(service)
        details = {"type": "JobFailed", "message": "It broke", "externalExecutionId": "e"}
        service.api.put_job_failure_result(jobId=events[0]["id"], failureDetails=details)
        latest = self.state(service)["latestExecution"]
        assert latest["externalExecutionId"] == "work"
        assert latest["errorDetails"] == {"code": "JobFailed", "message": "It broke"}
        assert "summary" not in latest

    def test_a_function_is_invoked_again_with_its_token(
        self, service: Service, events: list[dict[str, Any]]
    ) -> None:
        self.invoke(service)
        service.api.put_job_success_result(jobId=events[0]["id"], continuationToken="more")
        service.clock.advance(29)
        service.backend.tick()
        assert len(events) == 1
        service.clock.advance(1)
        service.backend.tick()
        first, second = events
        assert second["data"]["continuationToken"] == "more"
        assert first["id"] != second["id"]

    def test_a_function_has_20_minutes_for_each_result(
        self, service: Service, events: list[dict[str, Any]]
    ) -> None:
        execution_id = self.invoke(service)
        service.clock.advance(1199)
        service.api.put_job_success_result(jobId=events[0]["id"], continuationToken="more")
        service.clock.advance(30)
        assert service.status(execution_id) == "InProgress"
        service.clock.advance(1200)
        assert service.status(execution_id) == "Failed"
        [state] = service.stage("Stage2")["actionStates"]
        assert state["latestExecution"]["errorDetails"]["message"].startswith(
            "The AWS Lambda function work failed to return a result."
        )

    def test_an_action_has_24_hours(self, service: Service, events: list[dict[str, Any]]) -> None:
        service.behaviour.lambda_silence_seconds = 10**6
        execution_id = self.invoke(service)
        service.clock.advance(24 * 3600)
        assert service.status(execution_id) == "Failed"
        assert len(events) == 1

    def test_its_jobs_are_not_offered(self, service: Service, events: list[dict[str, Any]]) -> None:
        self.invoke(service)
        with pytest.raises(ClientError) as caught:
            service.api.poll_for_jobs(actionTypeId=LAMBDA)
        assert error_of(caught.value)[0] == "ValidationException"
        assert service.api.get_job_details(jobId=events[0]["id"])["jobDetails"]["data"]

    def test_a_result_for_an_abandoned_action_is_accepted(
        self, service: Service, events: list[dict[str, Any]]
    ) -> None:
        execution_id = self.invoke(service)
        service.stop(execution_id, abandon=True)
        service.api.put_job_success_result(jobId=events[0]["id"])
        assert service.action_statuses()["Work"] == "Abandoned"

    @pytest.mark.parametrize("there", [True, False])
    def test_a_function_is_invoked_in_the_actions_region(
        self, service: Service, *, there: bool
    ) -> None:
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
        latest = service.stage("Stage2")["actionStates"][0]["latestExecution"]
        assert (regions == ["us-east-1"]) is there
        assert latest.get("errorDetails", {}).get("message") == (
            None if there else "no work in us-east-1"
        )

    def test_a_missing_function_fails_the_action_which_shows_only_the_error(
        self, service: Service
    ) -> None:
        execution_id = self.invoke(service)
        assert service.status(execution_id) == "Failed"
        code, message = "ConfigurationError", "The AWS Lambda function work does not exist."
        assert self.state(service)["latestExecution"] == {
            "status": "Failed",
            "errorDetails": {"code": code, "message": message},
        }
        assert self.result(service) == {
            "externalExecutionSummary": message,
            "errorDetails": {"code": code},
        }
        [failed] = service.details("Action", "FAILED")
        assert failed["execution-result"] == {
            "external-execution-summary": message,
            "error-code": code,
        }


class TestTransition:
    def disable(self, service: Service, stage: str = "Stage3", kind: str = "Inbound") -> None:
        service.api.disable_stage_transition(
            pipelineName="release", stageName=stage, transitionType=kind, reason="Not now"
        )

    def enable(self, service: Service, stage: str = "Stage3", kind: str = "Inbound") -> None:
        service.api.enable_stage_transition(
            pipelineName="release", stageName=stage, transitionType=kind
        )

    @pytest.fixture(params=["SUPERSEDED", "QUEUED", "PARALLEL"])
    def pipeline(self, service: Service, request: pytest.FixtureRequest) -> None:
        mode = {"pipelineType": "V2", "executionMode": request.param}
        service.create([service.action("First")], [service.action("Second")], **mode)

    @pytest.mark.parametrize(("stage", "kind"), [("Stage3", "Inbound"), ("Stage2", "Outbound")])
    @pytest.mark.usefixtures("pipeline")
    def test_no_execution_passes_a_disabled_transition(
        self, service: Service, stage: str, kind: str
    ) -> None:
        self.disable(service, stage, kind)
        execution_id = service.start()
        service.succeed(service.take())
        assert service.poll() == []
        assert service.status(execution_id) == "InProgress"
        state = service.stage("Stage3")
        assert state["inboundExecution"]["pipelineExecutionId"] == execution_id
        transition = state["inboundTransitionState"]
        assert (transition["enabled"], transition["disabledReason"]) == (False, "Not now")
        assert transition["lastChangedBy"] == f"arn:aws:iam::{ACCOUNT}:root"
        self.enable(service, stage, kind)
        service.succeed(service.take())
        assert service.status(execution_id) == "Succeeded"
        assert service.stage("Stage3")["inboundTransitionState"]["enabled"] is True

    def test_the_newest_execution_waits_and_supersedes(self, service: Service) -> None:
        service.create([service.action("First")], [service.action("Second")])
        self.disable(service)
        first, second = service.start(), None
        service.succeed(service.take())
        second = service.start()
        service.succeed(service.take())
        assert service.status(first) == "Superseded"
        self.enable(service)
        service.succeed(service.take())
        assert service.status(second) == "Succeeded"

    def test_a_stage_whose_transition_is_disabled_can_be_retried(self, service: Service) -> None:
        service.create([service.action("First")])
        execution_id = service.start()
        service.fail(service.take())
        self.disable(service, "Stage2")
        service.retry(execution_id)
        service.succeed(service.take())
        assert service.status(execution_id) == "Succeeded"

    def test_the_last_outbound_transition_has_no_effect(self, service: Service) -> None:
        service.create()
        self.disable(service, "Stage2", "Outbound")
        execution_id = service.start()
        service.succeed(service.take())
        assert service.status(execution_id) == "Succeeded"


def test_a_new_revision_starts_an_execution(service: Service) -> None:
    service.create()
    request = {
        "pipelineName": "release",
        "stageName": "Source",
        "actionName": "Fetch",
        "actionRevision": {"revisionId": "r1", "revisionChangeId": "c1", "created": 1_800_000_000},
    }
    first = service.api.put_action_revision(**request)
    assert first["newRevision"] is True
    summary = service.summaries()[first["pipelineExecutionId"]]
    assert summary["trigger"] == {"triggerType": "PutActionRevision", "triggerDetail": "Fetch"}
    again = service.api.put_action_revision(**request)
    assert (again["newRevision"], len(service.summaries())) == (False, 1)


def test_a_function_in_a_region_that_moto_does_not_know_does_not_exist() -> None:
    with mock_aws(), pytest.raises(ActionFailedError, match=r"function no-such does not exist\.$"):
        check_function("123456789012", "us-nowhere-1", "no-such")
