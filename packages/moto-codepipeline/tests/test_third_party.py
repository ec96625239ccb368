"""What is specific to partner jobs: their ids, clients and tokens, details, and action types.

The tests of jobs, results and behavior test what they have in common with custom jobs.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.codepipeline.exceptions import InvalidTagsException

from codepipeline_fixtures import (
    ACCOUNT,
    SIDE_BY_SIDE,
    TYPE,
    UNKNOWN_JOB,
    Service,
    action,
    action_type,
    configuration_property,
    error_of,
    running_service,
)
from moto_codepipeline import backend
from moto_codepipeline.exceptions import CodePipelineError
from moto_codepipeline.validation import read_request

PARTNER_TYPE = TYPE | {"owner": "ThirdParty"}
CLIENT, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
FAILURE = {"failureDetails": {"type": "JobFailed", "message": "no"}}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

CALLS: dict[str, dict[str, Any]] = {
    "get_third_party_job_details": {},
    "acknowledge_third_party_job": {"nonce": "1"},
    "put_third_party_job_success_result": {},
    "put_third_party_job_failure_result": FAILURE,
}
each_call = pytest.mark.parametrize("method", CALLS)


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service("ThirdParty") as running:
        yield running


def queued(service: Service) -> None:
    service.register()
    service.create(**SIDE_BY_SIDE)
    service.start()


def refusal(service: Service, method: str, job_id: str, token: str, **more: Any) -> tuple[str, str]:
    request = {"jobId": job_id, "clientToken": token} | CALLS[method] | more
    with pytest.raises(ClientError) as caught:
        getattr(service.api, method)(**request)
    assert token not in str(caught.value)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error_of(caught.value)


# Polling and details


def test_details_have_everything_that_the_worker_needs(service: Service) -> None:
    properties = [configuration_property("Project"), configuration_property("Key", secret=True)]
    service.register(configurationProperties=properties)
    configuration = {"Project": "web", "Key": "k-1"}
    key = {"id": "arn:aws:kms:eu-west-1:123456789012:key/1", "type": "KMS"}
    service.create(
        [
            service.action(
                "Build",
                configuration=configuration,
                inputArtifacts=["SourceOutput"],
                outputArtifacts=["Package"],
            )
        ],
        artifactStore={"type": "S3", "location": "artifacts", "encryptionKey": key},
    )
    service.start()
    [job] = service.poll()
    details = service.worker.details(job)
    assert set(details) == {"id", "data", "nonce"}
    assert details["id"] == job["id"]
    data = details["data"]
    [state] = service.stage("Stage2")["actionStates"]
    assert data["pipelineContext"] == {
        "pipelineName": "release",
        "stage": {"name": "Stage2"},
        "action": {
            "name": "Build",
            "actionExecutionId": state["latestExecution"]["actionExecutionId"],
        },
    }
    assert data["actionTypeId"] == PARTNER_TYPE
    assert data["actionConfiguration"] == {"configuration": configuration}
    assert [each["name"] for each in data["inputArtifacts"]] == ["SourceOutput"]
    assert [each["name"] for each in data["outputArtifacts"]] == ["Package"]
    assert data["encryptionKey"] == key
    shown = service.api.get_pipeline(name="release")["pipeline"]["stages"][1]["actions"][0]
    assert shown["configuration"] == {"Project": "web", "Key": "****"}


def test_the_nonce_changes_with_each_offer_but_not_with_the_details(service: Service) -> None:
    queued(service)
    [first] = service.poll()
    assert service.worker.details(first)["nonce"] == first["nonce"]
    service.clock.advance(60)
    assert service.worker.details(first)["nonce"] == first["nonce"]
    [second] = service.poll()
    assert service.worker.details(first)["nonce"] == second["nonce"] != first["nonce"]
    service.acknowledge(second)
    assert service.worker.details(second)["nonce"] == second["nonce"]


def test_a_job_that_was_never_offered_has_no_details(service: Service) -> None:
    service.behaviour.third_party_job_ids = lambda: "known before"
    service.behaviour.started_before_queued_seconds = 5
    queued(service)
    job = {"id": "known before"}
    for status in ("Created", "Queued"):
        with pytest.raises(ClientError) as caught:
            service.worker.details(job)
        assert error_of(caught.value) == (
            "InvalidJobException",
            f"The job with id known before is not available, its status is {status}",
        )
        service.clock.advance(5)
    service.poll()
    assert service.worker.details(job)["id"] == "known before"


def test_a_queryable_property_selects_nothing(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project", queryable=True)])
    projects = ("web", "a project whose name is long")
    service.create(
        [service.action(f"Build{len(p)}", configuration={"Project": p}) for p in projects]
    )
    service.start()
    assert len(service.poll()) == 2


def test_there_are_no_output_variables() -> None:
    request = {"jobId": "j", "clientToken": "t", "outputVariables": {"a": "1"}}
    read = read_request("PutThirdPartyJobSuccessResult", json.dumps(request))
    assert read == {"jobId": "j", "clientToken": "t"}


# Job ids


def test_a_job_id_is_not_a_uuid_unless_a_test_sets_one(service: Service) -> None:
    queued(service)
    [job] = service.poll()
    assert not re.fullmatch(UUID, job["id"])
    service.behaviour.third_party_job_ids = lambda: UNKNOWN_JOB
    service.start()
    assert [job["id"] for job in service.poll()] == [UNKNOWN_JOB]


@pytest.mark.parametrize(
    "job_id",
    ["a/b c", "jöb №1 🚀", '"quoted" \\ {braces}', "x", "n" * 512, " ", "\n", "arn:aws:x:::y/*"],
    ids=["slash", "unicode", "quotes", "short", "long", "space", "newline", "arn"],
)
def test_a_job_may_have_any_id(service: Service, job_id: str) -> None:
    service.behaviour.third_party_job_ids = lambda: job_id
    queued(service)
    [job] = service.poll()
    assert job["id"] == job_id
    assert service.acknowledge(job) == "InProgress"
    service.succeed(job)
    assert service.action_statuses() == {"Build": "Succeeded"}
    with pytest.raises(ClientError) as caught:
        service.fail(job)
    message = f"Job with id {job_id} has already terminated"
    assert error_of(caught.value) == ("InvalidJobStateException", message)


@pytest.mark.parametrize("job_id", ["", "n" * 513])
def test_an_invalid_job_id_raises_value_error(service: Service, job_id: str) -> None:
    service.behaviour.third_party_job_ids = lambda: job_id
    with pytest.raises(ValueError, match="third_party_job_ids"):
        queued(service)


def test_a_repeated_job_id_raises_value_error(service: Service) -> None:
    service.behaviour.third_party_job_ids = lambda: "same"
    queued(service)
    with pytest.raises(ValueError, match="third_party_job_ids"):
        service.start()


# Client tokens


@each_call
def test_a_wrong_client_token_is_refused_and_changes_nothing(
    service: Service, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "moto_codepipeline")
    service.backend.put_client(OTHER, "the-token-of-another")
    queued(service)
    [job] = service.poll()
    own = service.backend.client_token(job["clientId"])
    expected = (
        "InvalidClientTokenException",
        f"The client token is not valid for the job with id {job['id']}",
    )
    for token in ("the-token-of-another", own + "x", own[:-1], own.upper(), "tökén-é", "t" * 256):
        found = refusal(service, method, job["id"], token, **_nonce(method, job))
        assert found == expected
        assert own not in found[1]
        assert token not in caplog.text
    service.acknowledge(job)
    service.succeed(job)
    assert service.action_statuses() == {"Build": "Succeeded"}


def _nonce(method: str, job: dict[str, Any]) -> dict[str, str]:
    return {"nonce": job["nonce"]} if method == "acknowledge_third_party_job" else {}


@each_call
def test_the_order_of_checks(service: Service, method: str) -> None:
    job = service.job()
    service.succeed(job)
    own = service.backend.client_token(job["clientId"])
    errors = [
        refusal(service, method, "unknown", "t" * 257)[0],
        refusal(service, method, "unknown", "wrong")[0],
        refusal(service, method, job["id"], "wrong")[0],
    ]
    assert errors == [
        "ValidationException",
        "JobNotFoundException",
        "InvalidClientTokenException",
    ]
    last = {
        "get_third_party_job_details": "InvalidJobException",
        "acknowledge_third_party_job": "InvalidNonceException",
        "put_third_party_job_failure_result": "InvalidJobStateException",
    }
    if method in last:
        assert refusal(service, method, job["id"], own)[0] == last[method]


def test_a_new_client_token_is_valid_at_once_also_for_a_repeated_result(service: Service) -> None:
    job = service.job()
    before = service.backend.client_token(job["clientId"])
    service.succeed(job)
    service.backend.put_client(job["clientId"], "the-new-token")
    service.succeed(job)
    found = refusal(service, "put_third_party_job_success_result", job["id"], before)
    assert found[0] == "InvalidClientTokenException"


# Clients


def test_the_jobs_of_a_removed_client_are_offered_but_refuse_every_token(service: Service) -> None:
    service.backend.put_client(CLIENT, "clients-own")
    service.backend.bind_client(CLIENT, "release")
    queued(service)
    service.backend.remove_client(CLIENT)
    [job] = service.api.poll_for_third_party_jobs(actionTypeId=PARTNER_TYPE)["jobs"]
    assert job["clientId"] == CLIENT
    found = refusal(service, "get_third_party_job_details", job["jobId"], "clients-own")
    assert found[0] == "InvalidClientTokenException"
    service.backend.put_client(CLIENT, "clients-own")
    assert service.worker.details({"id": job["jobId"], "clientId": CLIENT})["nonce"]


def test_an_action_belongs_to_its_client_its_pipelines_or_the_default(service: Service) -> None:
    for client_id, token in ((CLIENT, "one"), (OTHER, "two")):
        service.backend.put_client(client_id, token)
    service.backend.bind_client(CLIENT, "release")
    service.backend.bind_client(OTHER, "release", "Test")
    service.register()
    actions = [service.action("Build"), service.action("Test")]
    service.create(actions)
    service.create(actions, name="other")
    for name in ("release", "other"):
        service.start(name)
    owners = {}
    for job in service.poll():
        context = job["data"]["pipelineContext"]
        owners[context["pipelineName"], context["action"]["name"]] = job["clientId"]
    default = service.backend.default_client_id
    assert owners == {
        ("release", "Build"): CLIENT,
        ("release", "Test"): OTHER,
        ("other", "Build"): default,
        ("other", "Test"): default,
    }


def test_an_action_that_has_begun_keeps_its_client(service: Service) -> None:
    job = service.job(**SIDE_BY_SIDE)
    service.backend.put_client(CLIENT, "token")
    service.backend.bind_client(CLIENT, "release")
    service.succeed(job, continuationToken="t")
    service.clock.advance(30)
    [continued] = service.poll()
    assert continued["clientId"] == job["clientId"] == service.backend.default_client_id
    service.start()
    assert [each["clientId"] for each in service.poll()] == [CLIENT]


def test_an_account_has_its_own_default_client(service: Service) -> None:
    default = service.backend.default_client_id
    assert re.fullmatch(UUID, default)
    assert backend(ACCOUNT, "us-east-1").default_client_id == default
    assert backend("111122223333", "eu-west-1").default_client_id != default


@pytest.mark.parametrize(
    ("client_id", "token"),
    [("me", "t"), (CLIENT.replace("1", "A"), "t"), (CLIENT, ""), (CLIENT, "secret" * 50)],
)
def test_an_invalid_client_is_refused(service: Service, client_id: str, token: str) -> None:
    with pytest.raises(ValueError, match=r"^A client (id|token) must ") as caught:
        service.backend.put_client(client_id, token)
    assert "secret" not in str(caught.value)


def test_an_unknown_client(service: Service) -> None:
    for use in (
        service.backend.remove_client,
        service.backend.client_token,
        lambda unknown: service.backend.bind_client(unknown, "release"),
    ):
        with pytest.raises(LookupError, match=f"There is no client {CLIENT}"):
            use(CLIENT)


# Action types, pipelines and events


def test_registered_types_are_listed_as_third_party(service: Service) -> None:
    request = action_type(settings={"thirdPartyConfigurationUrl": "https://partner.example"})
    registered = service.backend.register_third_party_action_type(request)
    listed = service.api.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"]
    assert listed == [registered.definition]
    assert listed[0]["id"] == PARTNER_TYPE
    assert service.api.list_action_types(actionOwnerFilter="Custom")["actionTypes"] == []
    service.unregister()
    assert service.api.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "no spaces please"},
        {"configurationProperties": [{"name": "a"}]},
        {"inputArtifactDetails": {"minimumCount": 2, "maximumCount": 1}},
    ],
)
def test_a_type_is_checked_like_a_custom_one(service: Service, changes: dict[str, Any]) -> None:
    with pytest.raises(CodePipelineError) as caught:
        service.register(**changes)
    assert caught.value.error_type == "ValidationException"


def test_a_type_is_registered_once_and_restored_as_it_was(service: Service) -> None:
    service.register()
    with pytest.raises(CodePipelineError):
        service.register()
    service.unregister()
    with pytest.raises(CodePipelineError):
        service.register(settings={"entityUrlTemplate": "https://other.example"})
    service.register()
    assert service.poll() == []


def test_types_of_partners_do_not_count_as_custom_ones(service: Service) -> None:
    service.register()
    for number in range(50):
        service.api.create_custom_action_type(**action_type(version=str(number)))
    service.register(version="last")
    assert len(service.api.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"]) == 2


DECLARATION: dict[str, Any] = {
    "id": PARTNER_TYPE,
    "description": "Builds",
    "executor": {
        "type": "JobWorker",
        "configuration": {"jobWorkerExecutorConfiguration": {"pollingAccounts": ["123456789012"]}},
        "jobTimeout": 600,
    },
    "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
    "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
    "permissions": {"allowedAccounts": ["123456789012"]},
    "properties": [{"name": "Key", "optional": True, "key": False, "noEcho": True}],
    "urls": {
        "configurationUrl": "https://partner.example",
        "executionUrlTemplate": "https://partner.example/{ExternalExecutionId}",
    },
}


def declared(**changes: Any) -> dict[str, Any]:
    """The declaration, with another executor."""
    return DECLARATION | {"executor": DECLARATION["executor"] | changes}


def test_a_declared_type_is_returned_as_declared_and_listed(service: Service) -> None:
    service.backend.register_third_party_action_type(DECLARATION)
    assert service.api.get_action_type(**PARTNER_TYPE)["actionType"] == DECLARATION
    [listed] = service.api.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"]
    assert listed["settings"]["thirdPartyConfigurationUrl"] == "https://partner.example"
    [listed_property] = listed["actionConfigurationProperties"]
    assert listed_property == {"name": "Key", "required": False, "key": False, "secret": True}


def test_a_type_that_was_not_declared_is_returned_as_a_declaration(service: Service) -> None:
    secret = {"name": "Key", "required": True, "key": False, "secret": True, "type": "String"}
    settings = {"thirdPartyConfigurationUrl": "https://partner.example"}
    service.register(configurationProperties=[secret], settings=settings)
    answered = service.api.get_action_type(**PARTNER_TYPE)["actionType"]
    assert answered["properties"] == [
        {"name": "Key", "optional": False, "key": False, "noEcho": True}
    ]
    assert answered["urls"] == {"configurationUrl": "https://partner.example"}
    service.api.update_action_type(actionType=answered | {"description": "Builds"})
    assert service.api.get_action_type(**PARTNER_TYPE)["actionType"]["description"] == "Builds"


def test_an_update_takes_effect_in_existing_pipelines(service: Service) -> None:
    service.register()
    service.create()
    service.api.update_action_type(actionType=DECLARATION)
    service.start()
    service.take()
    service.clock.advance(599)
    assert service.action_statuses() == {"Build": "InProgress"}
    service.clock.advance(1)
    assert service.action_statuses() == {"Build": "Failed"}


def test_the_declared_job_timeout_applies_to_each_job(service: Service) -> None:
    service.backend.register_third_party_action_type(DECLARATION)
    service.create()
    service.start()
    for _ in range(9):
        job = service.take()
        service.clock.advance(500)
        service.succeed(job, continuationToken="more")
        service.clock.advance(service.behaviour.continuation_seconds)
    assert service.action_statuses() == {"Build": "InProgress"}


def test_an_account_that_is_not_listed_cannot_poll(service: Service) -> None:
    worker = {"jobWorkerExecutorConfiguration": {"pollingAccounts": ["999999999999"]}}
    service.backend.register_third_party_action_type(declared(configuration=worker))
    with pytest.raises(ClientError) as caught:
        service.poll()
    assert error_of(caught.value)[0] == "ActionTypeNotFoundException"
    service.api.update_action_type(actionType=DECLARATION)
    assert service.poll() == []


def test_an_account_that_is_not_allowed_cannot_use_the_type(service: Service) -> None:
    allowed = {"allowedAccounts": ["999999999999"]}
    service.backend.register_third_party_action_type(DECLARATION | {"permissions": allowed})
    with pytest.raises(ClientError) as caught:
        service.create()
    assert error_of(caught.value)[0] == "InvalidActionDeclarationException"
    service.api.update_action_type(
        actionType=DECLARATION | {"permissions": {"allowedAccounts": ["*"]}}
    )
    service.create()


def test_a_declaration_is_checked_like_an_update(service: Service) -> None:
    for wrong in (declared(jobTimeout=59), declared(type="Lambda")):
        with pytest.raises(CodePipelineError) as caught:
            service.backend.register_third_party_action_type(wrong)
        assert caught.value.error_type == "ValidationException"


def test_a_pipeline_with_an_unregistered_type_is_refused(service: Service) -> None:
    service.api.create_custom_action_type(**action_type())
    with pytest.raises(ClientError) as caught:
        service.create()
    code, message = error_of(caught.value)
    assert code == "InvalidActionDeclarationException"
    assert "Owner: 'ThirdParty'" in message


def test_a_stage_may_mix_partner_and_custom_actions(service: Service) -> None:
    service.register()
    service.api.create_custom_action_type(**action_type())
    service.create([service.action("Partner"), action("Own")])
    execution_id = service.start()
    [own] = service.api.poll_for_jobs(actionTypeId=TYPE, maxBatchSize=10)["jobs"]
    assert re.fullmatch(UUID, own["id"])
    assert own["data"]["pipelineContext"]["pipelineExecutionId"] == execution_id
    service.api.acknowledge_job(jobId=own["id"], nonce=own["nonce"])
    service.api.put_job_success_result(jobId=own["id"])
    assert service.action_statuses() == {"Partner": "InProgress", "Own": "Succeeded"}
    service.succeed(service.take())
    assert service.status(execution_id) == "Succeeded"


def test_events_of_partner_actions_are_put_and_have_no_client(service: Service) -> None:
    job = service.job()
    service.succeed(job)
    states = [("Action", "Build", "STARTED"), ("Action", "Build", "SUCCEEDED")]
    assert [each for each in service.events() if each[:2] == ("Action", "Build")] == states
    [ended] = [e for e in service.details("Action", "SUCCEEDED") if e["action"] == "Build"]
    assert ended["type"] == PARTNER_TYPE
    token = service.backend.client_token(job["clientId"])
    for secret in (job["id"], job["clientId"], token):
        assert secret not in str(service.entries)


def test_a_partners_types_tags_are_checked_like_a_custom_types(service: Service) -> None:
    with pytest.raises(InvalidTagsException):
        service.register(tags=[{"key": "aws:x", "value": ""}])
