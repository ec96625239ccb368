"""Templates of an action type and of a pipeline, and their stacks."""

import json
from typing import Any

from codepipeline_fixtures import ACCOUNT, TYPE

Template = dict[str, Any] | str


class Stack:
    """A stack that a test creates, updates and deletes, and its only resource."""

    def __init__(self, api: Any, name: str = "stack") -> None:
        self.api, self.name = api, name

    def create(self, template: Template) -> None:
        self.api.create_stack(StackName=self.name, TemplateBody=_text(template))

    def update(self, template: Template) -> None:
        self.api.update_stack(StackName=self.name, TemplateBody=_text(template))

    def delete(self) -> None:
        self.api.delete_stack(StackName=self.name)

    @property
    def outputs(self) -> dict[str, str]:
        [stack] = self.api.describe_stacks(StackName=self.name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    @property
    def physical_id(self) -> str:
        [resource] = self.api.describe_stack_resources(StackName=self.name)["StackResources"]
        return str(resource["PhysicalResourceId"])


def _text(template: Template) -> str:
    return template if isinstance(template, str) else json.dumps(template)


def stack_type(**changes: Any) -> dict[str, Any]:
    """A template of an action type, whose values are strings wherever CloudFormation allows it."""
    queryable = {"Name": "Project", "Key": "true", "Required": "true", "Secret": "false"}
    properties = {
        "Category": "Build",
        "Provider": "Builder",
        "Version": "1",
        "ConfigurationProperties": [queryable | {"Queryable": True, "Type": "String"}],
        "InputArtifactDetails": {"MinimumCount": "0", "MaximumCount": 5},
        "OutputArtifactDetails": {"MinimumCount": 0, "MaximumCount": "5"},
        "Settings": {"EntityUrlTemplate": "https://ci.example/{Config:Project}"},
    } | changes
    kind = {"Type": "AWS::CodePipeline::CustomActionType", "Properties": properties}
    shown = {"Name": {"Ref": "BuilderType"}, "Id": {"Fn::GetAtt": ["BuilderType", "Id"]}}
    return {"Resources": {"BuilderType": kind}, "Outputs": values(shown)}


def stack_pipeline(**changes: Any) -> dict[str, Any]:
    """A template of a pipeline of one custom action, with values of several types for strings."""
    configuration = {"S3Bucket": "code", "S3ObjectKey": "code.zip", "PollForSourceChanges": False}
    fetch = {
        "Name": "Fetch",
        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "S3", "Version": 1},
        "Configuration": configuration,
        "OutputArtifacts": [{"Name": "Code"}],
    }
    build = {
        "Name": "Build",
        "ActionTypeId": {name.capitalize(): text for name, text in TYPE.items()},
        "RunOrder": "1",
        "InputArtifacts": [{"Name": "Code"}],
        "Configuration": {"Project": changes.pop("project", "web")},
    }
    properties = {
        "Name": "release",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/pipeline",
        "ArtifactStore": {"Type": "S3", "Location": "artifacts"},
        "PipelineType": "V2",
        "ExecutionMode": "QUEUED",
        "Tags": [{"Key": "team", "Value": "web"}],
        "Stages": [{"Name": "Source", "Actions": [fetch]}, {"Name": "Stage2", "Actions": [build]}],
    } | changes
    pipeline = {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties}
    shown = {"Name": {"Ref": "Release"}, "Version": {"Fn::GetAtt": ["Release", "Version"]}}
    return {"Resources": {"Release": pipeline}, "Outputs": values(shown)}


def values(outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: {"Value": value} for name, value in outputs.items()}
