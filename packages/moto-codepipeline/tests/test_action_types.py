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
    code_of,
    configuration_property,
    refusal_of,
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


def test_types_of_all_owners_are_listed_without_a_filter(service: Service) -> None:
    service.register()
    ids = [each["id"] for each in service.api.list_action_types()["actionTypes"]]
    assert TYPE in ids
    assert {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"} in ids
    aws = service.api.list_action_types(actionOwnerFilter="AWS")["actionTypes"]
    assert {each["id"]["owner"] for each in aws} == {"AWS"}


BUILD = "Action configuration for action 'Build'"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            action("Build", TYPE | {"version": "2"}, configuration={"Project": "p"}),
            "ActionType (Category: 'Build', Provider: 'Builder', Owner: 'Custom', Version: '2') "
            "in action 'Build' is not available in region 'EU_WEST_1'",
        ),
        (
            action("Build", configuration={"Project": "p", "Colour": "red"}),
            f"{BUILD} contains unknown configuration 'Colour'",
        ),
        (action("Build"), f"{BUILD} is missing required configuration 'Project'"),
        (
            action("Build", configuration={"Project": "p" * 21}),
            f"{BUILD} has a value for the queryable configuration 'Project' that is longer "
            "than 20 characters, or has characters other than letters, digits, '_' and '-'",
        ),
        (
            action("Build", configuration={"Project": "p"}, inputArtifacts=[]),
            "Action Build declares 0 input artifacts which is less than the minimum count (1)",
        ),
        (
            action(
                "Build",
                configuration={"Project": "p"},
                inputArtifacts=["SourceOutput"],
                outputArtifacts=["one", "two"],
            ),
            "Action Build declares 2 output artifacts which is more than the maximum count (1)",
        ),
        (
            action("Build", configuration={"Project": "p"}, inputArtifacts=["Nothing"]),
            "Input Artifact Bundle Nothing in action Build is not declared as Output Artifact "
            "Bundle in any of the preceding actions",
        ),
    ],
)
def test_a_pipeline_with_an_invalid_action_is_refused(
    service: Service, declared: dict[str, Any], message: str
) -> None:
    service.register(
        configurationProperties=[configuration_property("Project", queryable=True)],
        inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
        outputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
    )
    assert refusal_of(service.create, [declared]) == ("InvalidActionDeclarationException", message)
    assert service.api.list_pipelines()["pipelines"] == []


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
    assert shown["stages"][1]["actions"][0]["configuration"] == {
        "Project": "p",
        "Password": "****",
    }
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


class TestTags:
    ARN = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:actiontype:Custom/Build/Builder/1"

    def tags(self, service: Service) -> list[dict[str, str]]:
        return list(service.api.list_tags_for_resource(resourceArn=self.ARN)["tags"])

    @pytest.mark.parametrize(
        ("keys", "code"),
        [
            (["aws:x"], "InvalidTagsException"),
            ([f"key{number}" for number in range(51)], "TooManyTagsException"),
        ],
    )
    def test_a_new_types_tags_are_checked(
        self, service: Service, keys: list[str], code: str
    ) -> None:
        assert code_of(service.register, tags=[{"key": key, "value": ""} for key in keys]) == code
        assert service.api.list_action_types(actionOwnerFilter="Custom")["actionTypes"] == []

    def test_an_action_type_has_tags(self, service: Service) -> None:
        service.register(tags=[{"key": "b", "value": "1"}])
        service.api.tag_resource(
            resourceArn=self.ARN, tags=[{"key": "b", "value": "2"}, {"key": "a", "value": "1"}]
        )
        assert self.tags(service) == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
        service.api.untag_resource(resourceArn=self.ARN, tagKeys=["b"])
        assert self.tags(service) == [{"key": "a", "value": "1"}]
