"""AWS::CodePipeline::CustomActionType in a template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from codepipeline_fixtures import TYPE, Service, client, running_service


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


def template(**changes: Any) -> str:
    """A template whose values are strings where CloudFormation allows it."""
    properties = {
        "Category": "Build",
        "Provider": "Builder",
        "Version": "1",
        "ConfigurationProperties": [
            {
                "Name": "Project",
                "Key": "true",
                "Required": "true",
                "Secret": "false",
                "Queryable": True,
                "Type": "String",
            }
        ],
        "InputArtifactDetails": {"MinimumCount": "0", "MaximumCount": 5},
        "OutputArtifactDetails": {"MinimumCount": 0, "MaximumCount": "5"},
        "Settings": {"EntityUrlTemplate": "https://ci.example/{Config:Project}"},
    } | changes
    return json.dumps(
        {
            "Resources": {
                "BuilderType": {
                    "Type": "AWS::CodePipeline::CustomActionType",
                    "Properties": properties,
                }
            },
            "Outputs": {"Name": {"Value": {"Ref": "BuilderType"}}},
        }
    )


def registered(service: Service) -> list[dict[str, Any]]:
    types: list[dict[str, Any]] = service.api.list_action_types(actionOwnerFilter="Custom")[
        "actionTypes"
    ]
    return types


def test_a_stack_registers_and_deletes_a_type(service: Service) -> None:
    stacks = client("cloudformation")
    stacks.create_stack(StackName="pipeline-types", TemplateBody=template())
    [found] = registered(service)
    assert found["id"] == TYPE
    assert found["settings"] == {"entityUrlTemplate": "https://ci.example/{Config:Project}"}
    assert found["inputArtifactDetails"] == {"minimumCount": 0, "maximumCount": 5}
    assert found["actionConfigurationProperties"] == [
        {
            "name": "Project",
            "key": True,
            "required": True,
            "secret": False,
            "queryable": True,
            "type": "String",
        }
    ]
    assert service.poll(queryParam={"Project": "web"}) == []
    [stack] = stacks.describe_stacks(StackName="pipeline-types")["Stacks"]
    [output] = stack["Outputs"]
    assert re.fullmatch(r"pipel-Build-[A-Z0-9]{12}", output["OutputValue"])
    [resource] = stacks.describe_stack_resources(StackName="pipeline-types")["StackResources"]
    assert resource["PhysicalResourceId"] == output["OutputValue"]
    stacks.delete_stack(StackName="pipeline-types")
    assert registered(service) == []


def test_an_update_replaces_the_type(service: Service) -> None:
    stacks = client("cloudformation")
    stacks.create_stack(StackName="types", TemplateBody=template())
    stacks.update_stack(StackName="types", TemplateBody=template(Version="2"))
    assert [each["id"]["version"] for each in registered(service)] == ["2"]
    stacks.delete_stack(StackName="types")
    assert registered(service) == []


@pytest.mark.parametrize(
    "changes", [{"Provider": "no spaces"}, {"Category": "Cooking"}, {"Version": "0123456789"}]
)
def test_a_template_is_checked_like_a_request(service: Service, changes: dict[str, str]) -> None:
    with pytest.raises(ClientError) as caught:
        client("cloudformation").create_stack(StackName="types", TemplateBody=template(**changes))
    assert "failed to satisfy constraint" in str(caught.value)
    assert registered(service) == []
