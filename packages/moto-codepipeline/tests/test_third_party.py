"""What is specific to partner jobs: their ids, clients and tokens, and action types.

The tests of jobs and results and ``conformance`` test what they have in common with custom jobs.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from codepipeline_fixtures import (
    ACCOUNT,
    PARTNER_TYPE,
    SIDE_BY_SIDE,
    UNKNOWN_JOB,
    Service,
    action_type,
    code_of,
    configuration_property,
    context,
    refusal_of,
    running_service,
)
from conformance.cases import DECLARATION
from moto_codepipeline import backend
from moto_codepipeline.exceptions import ValidationError
from moto_codepipeline.validation import read_request

CLIENT, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service("ThirdParty") as running:
        yield running


def queued(service: Service) -> None:
    service.register()
    service.begin(**SIDE_BY_SIDE)


def test_a_queryable_property_selects_nothing(service: Service) -> None:
    service.register(configurationProperties=[configuration_property("Project", queryable=True)])
    projects = ("web", "a project whose name is long")
    service.begin(
        [service.action(f"Build{len(p)}", configuration={"Project": p}) for p in projects]
    )
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
    message = f"Job with id {job_id} has already terminated"
    assert refusal_of(service.fail, job) == ("InvalidJobStateException", message)


@pytest.mark.parametrize(
    "ids", [[""], ["n" * 513], ["same", "same"]], ids=["empty", "long", "repeated"]
)
def test_an_invalid_or_repeated_job_id_raises_value_error(service: Service, ids: list[str]) -> None:
    service.behaviour.third_party_job_ids = partial(next, iter(ids))
    service.register()
    service.create(**SIDE_BY_SIDE)
    for _ in ids[1:]:
        service.start()
    with pytest.raises(ValueError, match="third_party_job_ids"):
        service.start()


# Client tokens


def test_only_the_clients_token_is_accepted_and_no_token_is_shown(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "moto_codepipeline")
    service.backend.put_client(OTHER, "the-token-of-another")
    queued(service)
    [job] = service.poll()
    own = service.backend.client_token(job["clientId"])
    for token in ("the-token-of-another", own + "x", own[:-1], own.upper(), "tökén-é", "t" * 256):
        assert refusal_of(service.worker.details, job | {"clientToken": token}) == (
            "InvalidClientTokenException",
            f"The client token is not valid for the job with id {job['id']}",
        )
        assert token not in caplog.text


def test_a_new_client_token_is_valid_at_once_also_for_a_repeated_result(service: Service) -> None:
    job = service.job()
    before = service.backend.client_token(job["clientId"])
    service.succeed(job)
    service.backend.put_client(job["clientId"], "the-new-token")
    service.succeed(job)
    with_the_old_one = job | {"clientToken": before}
    assert code_of(service.succeed, with_the_old_one) == "InvalidClientTokenException"


# Clients


def test_the_jobs_of_a_removed_client_are_offered_but_refuse_every_token(service: Service) -> None:
    service.backend.put_client(CLIENT, "clients-own")
    service.backend.bind_client(CLIENT, "release")
    queued(service)
    service.backend.remove_client(CLIENT)
    [offer] = service.api.poll_for_third_party_jobs(actionTypeId=PARTNER_TYPE)["jobs"]
    assert offer["clientId"] == CLIENT
    job = {"id": offer["jobId"], "clientId": CLIENT}
    refused = code_of(service.worker.details, job | {"clientToken": "clients-own"})
    assert refused == "InvalidClientTokenException"
    service.backend.put_client(CLIENT, "clients-own")
    assert service.worker.details(job)["nonce"]


def test_an_action_belongs_to_its_client_its_pipelines_or_the_default(service: Service) -> None:
    for client_id, token in ((CLIENT, "one"), (OTHER, "two")):
        service.backend.put_client(client_id, token)
    service.backend.bind_client(CLIENT, "release")
    service.backend.bind_client(OTHER, "release", "Test")
    service.register()
    actions = [service.action("Build"), service.action("Test")]
    for name in ("release", "other"):
        service.create(actions, name=name)
        service.start(name)
    owners = {
        (context(job)["pipelineName"], context(job)["action"]["name"]): job["clientId"]
        for job in service.poll()
    }
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


def listed(service: Service, owner: str = "ThirdParty") -> list[dict[str, Any]]:
    return list(service.api.list_action_types(actionOwnerFilter=owner)["actionTypes"])


def test_registered_types_are_listed_as_third_party(service: Service) -> None:
    request = action_type(settings={"thirdPartyConfigurationUrl": "https://partner.example"})
    registered = service.backend.register_third_party_action_type(request)
    assert listed(service) == [registered.definition]
    assert registered.definition["id"] == PARTNER_TYPE
    assert listed(service, "Custom") == []
    service.unregister()
    assert listed(service) == []


def declared(**changes: Any) -> dict[str, Any]:
    """A declaration without properties, with another executor."""
    return DECLARATION | {"executor": DECLARATION["executor"] | changes, "properties": []}


@pytest.mark.parametrize(
    "request_",
    [
        action_type(provider="no spaces please"),
        action_type(configurationProperties=[{"name": "a"}]),
        action_type(inputArtifactDetails={"minimumCount": 2, "maximumCount": 1}),
        declared(jobTimeout=59),
        declared(type="Lambda"),
    ],
    ids=["provider", "properties", "counts", "timeout", "executor"],
)
def test_a_type_is_checked_like_a_request(service: Service, request_: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        service.backend.register_third_party_action_type(request_)


def test_types_of_partners_do_not_count_as_custom_ones(service: Service) -> None:
    service.register()
    for number in range(50):
        service.api.create_custom_action_type(**action_type(version=str(number)))
    service.register(version="last")
    assert len(listed(service)) == 2


def test_a_declared_type_is_returned_as_declared_and_listed(service: Service) -> None:
    template = {"executionUrlTemplate": "https://partner.example/{ExternalExecutionId}"}
    declaration = DECLARATION | {"urls": DECLARATION["urls"] | template}
    declaration["properties"] = [{"name": "Key", "optional": True, "key": False, "noEcho": True}]
    service.backend.register_third_party_action_type(declaration)
    assert service.api.get_action_type(**PARTNER_TYPE)["actionType"] == declaration
    [shown] = listed(service)
    assert shown["settings"]["thirdPartyConfigurationUrl"] == "https://partner.example"
    [configured] = shown["actionConfigurationProperties"]
    assert configured == {"name": "Key", "required": False, "key": False, "secret": True}


def test_a_type_that_was_not_declared_is_returned_as_a_declaration(service: Service) -> None:
    secret = {"name": "Key", "required": True, "key": False, "secret": True, "type": "String"}
    settings = {"thirdPartyConfigurationUrl": "https://partner.example"}
    service.register(configurationProperties=[secret], settings=settings)
    answered = service.api.get_action_type(**PARTNER_TYPE)["actionType"]
    properties = [{"name": "Key", "optional": False, "key": False, "noEcho": True}]
    assert answered["properties"] == properties
    assert answered["urls"] == {"configurationUrl": "https://partner.example"}
    service.api.update_action_type(actionType=answered | {"description": "Builds"})
    assert service.api.get_action_type(**PARTNER_TYPE)["actionType"]["description"] == "Builds"


def test_an_update_takes_effect_in_existing_pipelines(service: Service) -> None:
    service.register()
    service.create()
    service.api.update_action_type(actionType=declared())
    service.start()
    service.take()
    service.clock.advance(599)
    assert service.action_statuses() == {"Build": "InProgress"}
    service.clock.advance(1)
    assert service.action_statuses() == {"Build": "Failed"}


def test_the_declared_job_timeout_applies_to_each_job(service: Service) -> None:
    service.backend.register_third_party_action_type(declared())
    service.begin()
    for _ in range(9):
        job = service.take()
        service.clock.advance(500)
        service.succeed(job, continuationToken="more")
        service.clock.advance(service.behaviour.continuation_seconds)
    assert service.action_statuses() == {"Build": "InProgress"}


def test_an_account_that_is_not_listed_cannot_poll(service: Service) -> None:
    worker = {"jobWorkerExecutorConfiguration": {"pollingAccounts": ["999999999999"]}}
    service.backend.register_third_party_action_type(declared(configuration=worker))
    assert code_of(service.poll) == "ActionTypeNotFoundException"
    service.api.update_action_type(actionType=declared())
    assert service.poll() == []


def test_an_account_that_is_not_allowed_cannot_use_the_type(service: Service) -> None:
    def allowing(account: str) -> dict[str, Any]:
        return declared() | {"permissions": {"allowedAccounts": [account]}}

    service.backend.register_third_party_action_type(allowing("999999999999"))
    assert code_of(service.create) == "InvalidActionDeclarationException"
    for number, account in enumerate((ACCOUNT, "*")):
        service.api.update_action_type(actionType=allowing(account))
        service.create(name=f"release{number}")


def test_a_pipeline_with_an_unregistered_type_is_refused(service: Service) -> None:
    service.api.create_custom_action_type(**action_type())
    code, message = refusal_of(service.create)
    assert code == "InvalidActionDeclarationException"
    assert "Owner: 'ThirdParty'" in message


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
