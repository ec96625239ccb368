"""Registering, listing and deleting action types, and declaring actions of them in pipelines."""

from typing import Any

import pytest

from codepipeline_fixtures import (
    ACCOUNT,
    IDLE,
    REGION,
    TYPE,
    Service,
    action,
    action_type,
    configuration_property,
)


def test_a_created_type_is_returned_and_listed(service: Service) -> None:
    request = action_type(
        settings={"entityUrlTemplate": "https://ci.example/{Config:Project}"},
        configurationProperties=[configuration_property("Project", queryable=True, type="String")],
        tags=[{"key": "team", "value": "tools"}],
    )
    answer = service.api.create_custom_action_type(**request)
    shown = answer["actionType"]["actionConfigurationProperties"]
    assert shown == [configuration_property("Project", queryable=True)]
    assert answer["actionType"]["id"] == TYPE
    assert answer["actionType"]["settings"] == request["settings"]
    assert answer["tags"] == request["tags"]
    listed = service.api.list_action_types(actionOwnerFilter="Custom")["actionTypes"]
    assert listed == [answer["actionType"]]


def test_secrets_are_masked_and_a_mask_keeps_the_value(service: Service) -> None:
    service.register(
        configurationProperties=[
            configuration_property("Project"),
            configuration_property("Password", secret=True),
        ]
    )
    stage = [action("Build", configuration={"Project": "p", "Password": "hidden"})]
    service.create(stage)
    shown = service.api.get_pipeline(name="release")["pipeline"]
    assert shown["stages"][1]["actions"][0]["configuration"] == {"Project": "p", "Password": "****"}
    answer = service.api.update_pipeline(pipeline=shown)
    assert answer["pipeline"]["version"] == 2
    assert "hidden" not in str(answer)
    service.start()
    [job] = service.poll()
    configuration = job["data"]["actionConfiguration"]["configuration"]
    assert configuration == {"Project": "p", "Password": "hidden"}
    [details] = service.action_executions("Build")
    for member in ("configuration", "resolvedConfiguration"):
        assert details["input"][member] == {"Project": "p", "Password": "****"}


@pytest.mark.parametrize("secrets", [(True, False), (False, True)])
def test_a_secret_whose_property_is_given_twice_is_in_no_url(
    service: Service, secrets: tuple[bool, bool]
) -> None:
    url = "https://ci.example/{Config:Token}"
    service.register(
        configurationProperties=[configuration_property("Token", secret=each) for each in secrets],
        settings={"entityUrlTemplate": url, "executionUrlTemplate": url},
    )
    service.begin([action("Build", configuration={"Token": "hidden"})])
    shown = service.stages(), service.api.list_action_executions(pipelineName="release")
    assert "InProgress" in str(shown)
    assert "hidden" not in str(shown)


def test_an_aws_action_that_does_nothing_succeeds_and_says_so(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.create([action("Deploy", IDLE, configuration={"Any": "thing"})])
    assert "Stage2/Deploy (CodeDeploy)" in caplog.text
    assert service.status(service.start()) == "Succeeded"
    assert service.latest()["summary"] == "Succeeded without doing anything"


def test_what_does_nothing_is_logged_once(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    deploy, scan = (
        {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
        for category, provider in (("Deploy", "ECS"), ("Invoke", "InspectorScan"))
    )

    def said(*stages: list[dict[str, Any]]) -> list[str]:
        caplog.clear()
        if not service.api.list_pipelines()["pipelines"]:
            service.create(*stages)
        else:
            service.api.update_pipeline(pipeline=service.structure(*stages))
        return [each.getMessage().partition(": ")[2] for each in caplog.records]

    both = [action("Deploy", deploy), action("Scan", scan)]
    assert said(both) == ["Stage2/Deploy (ECS), Stage2/Scan (InspectorScan)"]
    assert said(both) == []
    assert said([action("Deploy", deploy)]) == []
    assert said(both) == ["Stage2/Scan (InspectorScan)"]


def test_an_action_type_has_tags(service: Service) -> None:
    arn = {
        "resourceArn": f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:actiontype:Custom/Build/Builder/1"
    }
    service.register(tags=[{"key": "b", "value": "1"}])
    service.api.tag_resource(**arn, tags=[{"key": "b", "value": "2"}, {"key": "a", "value": "1"}])
    both = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    assert service.api.list_tags_for_resource(**arn)["tags"] == both
    service.api.untag_resource(**arn, tagKeys=["b"])
    assert service.api.list_tags_for_resource(**arn)["tags"] == both[:1]
