"""AWS::CodePipeline::CustomActionType and ::Pipeline in a template."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import event, given, settings
from hypothesis import strategies as st

from codepipeline_fixtures import (
    ACCOUNT,
    BOUNDED,
    REGION,
    TYPE,
    Service,
    client,
    error_of,
    running_service,
)
from codepipeline_fixtures import configuration_property as configured


def template(**changes: Any) -> str:
    """A template whose values are strings wherever CloudFormation allows it."""
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
            "Outputs": {
                "Name": {"Value": {"Ref": "BuilderType"}},
                "Id": {"Value": {"Fn::GetAtt": ["BuilderType", "Id"]}},
            },
        }
    )


def outputs(stacks: Any, name: str) -> dict[str, str]:
    [stack] = stacks.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def physical_id(stacks: Any, name: str) -> str:
    [resource] = stacks.describe_stack_resources(StackName=name)["StackResources"]
    return str(resource["PhysicalResourceId"])


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
        }
    ]
    assert service.poll(queryParam={"Project": "web"}) == []
    name = physical_id(stacks, "pipeline-types")
    assert re.fullmatch(r"pipel-Build-[A-Z0-9]{12}", name)
    assert outputs(stacks, "pipeline-types") == {"Name": name, "Id": name}
    stacks.delete_stack(StackName="pipeline-types")
    assert registered(service) == []


def test_an_update_replaces_the_type(service: Service) -> None:
    stacks = client("cloudformation")
    stacks.create_stack(StackName="types", TemplateBody=template())
    before = physical_id(stacks, "types")
    stacks.update_stack(StackName="types", TemplateBody=template(Version="2"))
    assert [each["id"]["version"] for each in registered(service)] == ["2"]
    after = physical_id(stacks, "types")
    assert after != before
    assert outputs(stacks, "types") == {"Name": after, "Id": after}
    stacks.delete_stack(StackName="types")
    assert registered(service) == []


def test_an_update_of_its_tags_changes_the_type_in_place(service: Service) -> None:
    stacks = client("cloudformation")
    stacks.create_stack(StackName="types", TemplateBody=template(Tags=[{"Key": "a", "Value": "1"}]))
    before = physical_id(stacks, "types")
    stacks.update_stack(StackName="types", TemplateBody=template(Tags=[{"Key": "b", "Value": "2"}]))
    assert outputs(stacks, "types") == {"Name": before, "Id": before}
    [found] = registered(service)
    arn = f"arn:aws:codepipeline:us-east-1:123456789012:actiontype:Custom/Build/{found['id']['provider']}/1"
    assert service.api.list_tags_for_resource(resourceArn=arn)["tags"] == [
        {"key": "b", "value": "2"}
    ]
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


#: What neither a type nor a pipeline can have.
REFUSED_TAGS: list[dict[str, str]] = [
    {"aws:x": "1"},
    {f"k{number}": "" for number in range(51)},
    {"k" * 129: ""},
    {"": "v"},
    {"k": "v" * 257},
]


@pytest.mark.parametrize("tags", REFUSED_TAGS)
def test_tags_that_a_type_can_not_have_are_refused(service: Service, tags: dict[str, str]) -> None:
    stacks = client("cloudformation")
    refused = template(Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    with pytest.raises(ClientError, match=r"(?i)tag"):
        stacks.create_stack(StackName="types", TemplateBody=refused)
    assert registered(service) == []
    stacks.create_stack(StackName="others", TemplateBody=template(Tags=[{"Key": "a", "Value": ""}]))
    with pytest.raises(ClientError, match=r"(?i)tag"):
        stacks.update_stack(StackName="others", TemplateBody=refused)
    [kind] = service.backend.action_types.values()
    assert kind.tags == [{"key": "a", "value": ""}]


@pytest.mark.parametrize("properties", [[], ["Name"], "", "Name", 0, 1, 1.5, True])
@pytest.mark.parametrize("kind", ["CustomActionType", "Pipeline"])
def test_properties_that_are_no_object_are_refused(
    service: Service, kind: str, properties: Any
) -> None:
    stacks = client("cloudformation")
    service.register(configurationProperties=[configured("Project")])
    body = TestPipeline().template() if kind == "Pipeline" else template(Version="2")
    refused = json.loads(body)
    [resource] = refused["Resources"].values()
    resource["Properties"] = properties
    said = "Template format error: Any Properties member must be an object"
    with pytest.raises(ClientError, match=said):
        stacks.create_stack(StackName="refused", TemplateBody=json.dumps(refused))
    stacks.create_stack(StackName="there", TemplateBody=body)
    with pytest.raises(ClientError, match=said):
        stacks.update_stack(StackName="there", TemplateBody=json.dumps(refused))


@pytest.mark.parametrize("kind", ["CustomActionType", "Pipeline"])
def test_the_type_of_a_resource_can_not_be_changed(service: Service, kind: str) -> None:
    stacks = client("cloudformation")
    queue = json.dumps({"Resources": {"Thing": {"Type": "AWS::SQS::Queue"}}})
    stacks.create_stack(StackName="things", TemplateBody=queue)
    with pytest.raises(ClientError, match=r"modifies resource type of .* \[Thing\]"):
        stacks.update_stack(
            StackName="things", TemplateBody=queue.replace("SQS::Queue", f"CodePipeline::{kind}")
        )


def test_a_resource_can_have_a_number_as_its_name(service: Service) -> None:
    document = json.loads(template())
    del document["Outputs"]  # moto does not find a resource with a number as its name
    body = json.dumps(document).replace('"BuilderType"', "1")
    stacks = client("cloudformation")
    stacks.create_stack(StackName="types", TemplateBody=body)
    assert re.fullmatch(r"types-1-[A-Z0-9]{12}", physical_id(stacks, "types"))
    stacks.update_stack(
        StackName="types", TemplateBody=body.replace('"Version": "1"', "Version: 2")
    )
    assert [each["id"]["version"] for each in registered(service)] == ["2"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value in ``value``, and its own."""
    members = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else members
    return [path, *(each for key, item in items for each in places(item, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """``value`` with ``new`` at ``path``."""
    if not path:
        return new
    changed = value.copy()
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3).filter("Ref".__ne__), inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Name", "Key", "Value", "Stages", "Actions", "Required"]), inner
        )
    ),
    max_leaves=6,
)
"""What a template can have in a place, but for CloudFormation's functions."""


@given(
    data=st.data(),
    kind=st.sampled_from(["CustomActionType", "Pipeline"]),
    shapes=st.lists(SHAPES, min_size=1, max_size=3),
)
@settings(BOUNDED, max_examples=30)
def test_properties_of_any_shape_are_taken_or_refused_with_an_error(
    data: st.DataObject, kind: str, shapes: list[Any]
) -> None:
    with running_service() as service:
        service.register(configurationProperties=[configured("Project")])
        held = [{"StageName": "Stage2", "Reason": "r"}]
        pipeline = TestPipeline().template(DisableInboundStageTransitions=held)
        good = pipeline if kind == "Pipeline" else template(Version="2", Tags=[])
        document = json.loads(good)
        [resource] = document["Resources"].values()
        for shape in shapes:
            changed = data.draw(st.sampled_from(places(resource["Properties"])[1:] or [()]))
            resource["Properties"] = put(resource["Properties"], changed, shape)
        bad, codes = json.dumps(document), set()
        stacks = client("cloudformation")
        for how, name, body in (
            ("create_stack", "bad", {"TemplateBody": bad}),
            ("delete_stack", "bad", {}),
            ("create_stack", "good", {"TemplateBody": good}),
            ("update_stack", "good", {"TemplateBody": bad}),
        ):
            try:
                getattr(stacks, how)(StackName=name, **body)
            except ClientError as error:
                code, message = error_of(error)
                codes.add(code)
                event(f"{kind}: {message[:40]}")
        assert codes <= {"ValidationError"}


def test_a_webhook_is_refused_by_name(service: Service) -> None:
    webhook = {"Type": "AWS::CodePipeline::Webhook", "Properties": {"Name": "hook"}}
    with pytest.raises(ClientError, match="no AWS::CodePipeline::Webhook"):
        client("cloudformation").create_stack(
            StackName="hooks", TemplateBody=json.dumps({"Resources": {"Hook": webhook}})
        )


@pytest.mark.parametrize(
    "kind", ["CodePipeline::CustomActionType", "CodePipeline::Pipeline", "SQS"]
)
def test_a_resource_can_not_become_a_webhook(service: Service, kind: str) -> None:
    stacks = client("cloudformation")
    if kind == "CodePipeline::Pipeline":
        service.register(configurationProperties=[configured("Project")])
        body = TestPipeline().template()
    elif kind == "SQS":
        body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    else:
        body = template()
    [name] = json.loads(body)["Resources"]
    hook = {"Resources": {name: {"Type": "AWS::CodePipeline::Webhook"}}}
    before = [registered(service), service.api.list_pipelines()["pipelines"]]
    stacks.create_stack(StackName="hooks", TemplateBody=body)
    there = physical_id(stacks, "hooks")
    with pytest.raises(ClientError, match=r"no AWS::CodePipeline::Webhook|modifies resource type"):
        stacks.update_stack(StackName="hooks", TemplateBody=json.dumps(hook))
    assert physical_id(stacks, "hooks") == there
    stacks.delete_stack(StackName="hooks")
    assert [registered(service), service.api.list_pipelines()["pipelines"]] == before


class TestPipeline:
    def template(self, **changes: Any) -> str:
        """A pipeline of one custom action, with values of several types for strings."""
        source = {
            "Name": "Fetch",
            "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "S3", "Version": 1},
            "Configuration": {
                "S3Bucket": "code",
                "S3ObjectKey": "code.zip",
                "PollForSourceChanges": False,
            },
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
            "Stages": [
                {"Name": "Source", "Actions": [source]},
                {"Name": "Stage2", "Actions": [build]},
            ],
        } | changes
        pipeline = {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties}
        return json.dumps(
            {
                "Resources": {"Release": pipeline},
                "Outputs": {
                    "Name": {"Value": {"Ref": "Release"}},
                    "Version": {"Value": {"Fn::GetAtt": ["Release", "Version"]}},
                },
            }
        )

    @pytest.fixture
    def stacks(self, service: Service) -> Any:
        service.register(configurationProperties=[configured("Project")])
        return client("cloudformation")

    def project(self, service: Service) -> str:
        service.start()
        job = service.take()
        service.succeed(job)
        return str(job["data"]["actionConfiguration"]["configuration"]["Project"])

    def test_a_stack_creates_a_pipeline_that_runs(self, service: Service, stacks: Any) -> None:
        stacks.create_stack(StackName="release", TemplateBody=self.template())
        pipeline = service.api.get_pipeline(name="release")["pipeline"]
        assert (pipeline["pipelineType"], pipeline["executionMode"]) == ("V2", "QUEUED")
        configuration = pipeline["stages"][0]["actions"][0]["configuration"]
        assert configuration["PollForSourceChanges"] == "false"
        arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:release"
        tags = service.api.list_tags_for_resource(resourceArn=arn)["tags"]
        assert tags == [{"key": "team", "value": "web"}]
        assert outputs(stacks, "release") == {"Name": "release", "Version": "1"}
        assert self.project(service) == "web"

    def test_an_update_is_made_in_place(self, service: Service, stacks: Any) -> None:
        stacks.create_stack(StackName="release", TemplateBody=self.template())
        assert self.project(service) == "web"
        changed = self.template(project="shop", Tags=[{"Key": "team", "Value": "shop"}])
        stacks.update_stack(StackName="release", TemplateBody=changed)
        assert service.api.get_pipeline(name="release")["pipeline"]["version"] == 2
        assert outputs(stacks, "release") == {"Name": "release", "Version": "2"}
        assert physical_id(stacks, "release") == "release"
        tags = service.api.list_tags_for_resource(
            resourceArn=f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:release"
        )
        assert tags["tags"] == [{"key": "team", "value": "shop"}]
        assert self.project(service) == "shop"
        assert len(service.summaries()) == 2

    def test_an_update_can_start_an_execution(self, service: Service, stacks: Any) -> None:
        stacks.create_stack(StackName="release", TemplateBody=self.template())
        changed = self.template(project="shop", RestartExecutionOnUpdate=True)
        stacks.update_stack(StackName="release", TemplateBody=changed)
        assert len(service.summaries()) == 1

    def test_a_new_name_replaces_the_pipeline(self, service: Service, stacks: Any) -> None:
        stacks.create_stack(StackName="release", TemplateBody=self.template())
        stacks.update_stack(StackName="release", TemplateBody=self.template(Name="other"))
        names = [each["name"] for each in service.api.list_pipelines()["pipelines"]]
        assert names == ["other"]
        assert outputs(stacks, "release") == {"Name": "other", "Version": "1"}

    def test_a_name_is_made_for_a_pipeline_without_one_and_kept(
        self, service: Service, stacks: Any
    ) -> None:
        for project in ("web", "shop"):
            body = json.loads(self.template(project=project))
            del body["Resources"]["Release"]["Properties"]["Name"]
            change = stacks.create_stack if project == "web" else stacks.update_stack
            change(StackName="web", TemplateBody=json.dumps(body))
        name = physical_id(stacks, "web")
        assert name.startswith("web-Release-")
        [pipeline] = service.api.list_pipelines()["pipelines"]
        assert (pipeline["name"], pipeline["version"]) == (name, 2)

    def test_numbers_and_dates_without_quotes_are_strings(
        self, service: Service, stacks: Any
    ) -> None:
        held = [{"StageName": "Stage2", "Reason": "for lunch"}]
        body = self.template(Name=123, DisableInboundStageTransitions=held, project=1)
        body = body.replace('"Project":', "1: 2, Project:").replace('"code.zip"', "2024-01-01")
        with pytest.raises(ClientError, match=r"Action configuration.*1"):
            stacks.create_stack(StackName="refused", TemplateBody=body)
        body = body.replace("1: 2, ", "")
        stacks.create_stack(StackName="release", TemplateBody=body)
        pipeline = service.api.get_pipeline(name="123")["pipeline"]
        source = pipeline["stages"][0]["actions"][0]
        assert source["configuration"]["S3ObjectKey"] == "2024-01-01"
        assert service.backend.disabled_transitions("123") == {"Stage2": "for lunch"}
        stacks.update_stack(StackName="release", TemplateBody=body.replace("lunch", "tea"))
        assert service.api.get_pipeline(name="123")["pipeline"]["version"] == 2
        assert service.backend.disabled_transitions("123") == {"Stage2": "for tea"}

    @pytest.mark.parametrize("attribute", ["Arn", "Id"])
    def test_an_attribute_that_it_does_not_have_is_refused(
        self, service: Service, stacks: Any, attribute: str
    ) -> None:
        body = json.loads(self.template())
        body["Outputs"]["Version"]["Value"]["Fn::GetAtt"][1] = attribute
        with pytest.raises(ClientError, match=attribute):
            stacks.create_stack(StackName="release", TemplateBody=json.dumps(body))
        assert service.api.list_pipelines()["pipelines"] == []

    def test_a_transition_is_disabled_while_the_template_says_so(
        self, service: Service, stacks: Any
    ) -> None:
        disabled = [{"StageName": "Stage2", "Reason": "Not now"}]
        body = self.template(DisableInboundStageTransitions=disabled)
        stacks.create_stack(StackName="release", TemplateBody=body)
        assert service.stage("Stage2")["inboundTransitionState"]["disabledReason"] == "Not now"
        stacks.update_stack(StackName="release", TemplateBody=self.template())
        assert service.stage("Stage2")["inboundTransitionState"]["enabled"] is True

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"Colour": "red"}, "unsupported property /Colour"),
            ({"Version": 2}, "unsupported property /Version"),
            ({"Stages": "Source"}, "/Stages must be a list"),
            ({"ArtifactStores": {REGION: {}}}, "/ArtifactStores must be a list"),
            (
                {"ArtifactStores": [{"ArtifactStore": {"Type": "S3", "Location": "a"}}]},
                "/ArtifactStores/0/Region is required",
            ),
            (
                {"DisableInboundStageTransitions": [{"StageName": "Stage2"}]},
                "/DisableInboundStageTransitions/0/Reason is required",
            ),
            (
                {"DisableInboundStageTransitions": [{"StageName": "Stage9", "Reason": "r"}]},
                "does not have a stage with name 'Stage9'",
            ),
            (
                {"DisableInboundStageTransitions": [{"StageName": "Stage2", "Reason": "r" * 301}]},
                "Value at 'reason' failed to satisfy constraint",
            ),
            ({"RestartExecutionOnUpdate": "often"}, "OnUpdate must be true or false"),
            *(
                ({"Tags": [{"Key": key, "Value": tags[key]} for key in tags]}, "(?i)tag")
                for tags in REFUSED_TAGS
            ),
        ],
    )
    def test_a_refused_property_is_named_and_changes_nothing(
        self, service: Service, stacks: Any, changes: dict[str, Any], said: str
    ) -> None:
        refused = self.template(**changes)
        with pytest.raises(ClientError, match=said):
            stacks.create_stack(StackName="refused", TemplateBody=refused)
        assert service.api.list_pipelines()["pipelines"] == []
        stacks.create_stack(StackName="release", TemplateBody=self.template())
        with pytest.raises(ClientError, match=said):
            stacks.update_stack(StackName="release", TemplateBody=refused)
        assert service.api.get_pipeline(name="release")["pipeline"]["version"] == 1
        assert service.backend.pipelines["release"].tags == {"team": "web"}

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"RunOrder": "abc"}, "Actions/0/RunOrder must be a whole number"),
            ({"RunOrder": True}, "Actions/0/RunOrder must be a whole number"),
            ({"RunOrder": "9" * 5000}, "Actions/0/RunOrder must be a whole number"),
            ({"Configuration": ["a"]}, "Actions/0/Configuration must be an object"),
            ({"Configuration": "a"}, "Actions/0/Configuration must be an object"),
            ({"Configuration": {"Project": {}}}, "Configuration/Project must be a string"),
            ({"Runorder": 1}, "unsupported property /Stages/1/Actions/0/Runorder"),
        ],
    )
    def test_a_refused_property_of_an_action_is_named(
        self, service: Service, stacks: Any, changes: dict[str, Any], said: str
    ) -> None:
        body = json.loads(self.template())
        body["Resources"]["Release"]["Properties"]["Stages"][1]["Actions"][0] |= changes
        with pytest.raises(ClientError, match=said):
            stacks.create_stack(StackName="release", TemplateBody=json.dumps(body))
        assert service.api.list_pipelines()["pipelines"] == []

    def test_a_pipeline_without_properties_is_refused(self, service: Service, stacks: Any) -> None:
        body = json.dumps({"Resources": {"Release": {"Type": "AWS::CodePipeline::Pipeline"}}})
        with pytest.raises(ClientError, match="is required"):
            stacks.create_stack(StackName="release", TemplateBody=body)

    def test_artifact_stores_can_be_by_region(self, service: Service, stacks: Any) -> None:
        store = {"Type": "S3", "Location": "artifacts"}
        body = json.loads(
            self.template(ArtifactStores=[{"Region": REGION, "ArtifactStore": store}])
        )
        del body["Resources"]["Release"]["Properties"]["ArtifactStore"]
        stacks.create_stack(StackName="release", TemplateBody=json.dumps(body))
        assert self.project(service) == "web"

    def test_a_pipeline_is_deleted_with_its_stack(self, service: Service, stacks: Any) -> None:
        stacks.create_stack(StackName="release", TemplateBody=self.template())
        stacks.delete_stack(StackName="release")
        assert service.api.list_pipelines()["pipelines"] == []

    def test_a_refused_pipeline_is_a_stack_error(self, service: Service, stacks: Any) -> None:
        with pytest.raises(ClientError) as caught:
            stacks.create_stack(
                StackName="release",
                TemplateBody=self.template(PipelineType="V1"),
            )
        assert "QUEUED needs a pipeline of type V2" in str(caught.value)
        assert service.api.list_pipelines()["pipelines"] == []
