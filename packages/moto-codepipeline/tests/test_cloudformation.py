"""AWS::CodePipeline::CustomActionType and ::Pipeline in a template."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from functools import partial
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
    refusal_of,
    running_service,
)
from codepipeline_fixtures import configuration_property as configured
from codepipeline_stacks import Stack, Template, stack_pipeline, stack_type
from moto_codepipeline.http import serve

KINDS = ["CustomActionType", "Pipeline"]


@pytest.fixture
def stack(service: Service) -> Stack:
    """A stack. A pipeline in it can have actions of the usual type, which exists."""
    service.register(configurationProperties=[configured("Project")])
    return Stack(client("cloudformation"))


@pytest.fixture
def types(service: Service) -> Stack:
    """A stack, where there is no action type yet."""
    return Stack(client("cloudformation"))


def registered(service: Service) -> list[dict[str, Any]]:
    return list(service.api.list_action_types(actionOwnerFilter="Custom")["actionTypes"])


def names(service: Service) -> list[str]:
    """The names of all pipelines."""
    return [each["name"] for each in service.api.list_pipelines()["pipelines"]]


def refused(change: Callable[[Template], None], template: Template) -> str:
    """The message of the error, which a refused template always gets."""
    code, message = refusal_of(change, template)
    assert code == "ValidationError"
    return message


def test_a_stack_registers_and_deletes_a_type(service: Service) -> None:
    types = Stack(client("cloudformation"), "pipeline-types")
    types.create(stack_type())
    [found] = registered(service)
    assert found["id"] == TYPE
    assert found["settings"] == {"entityUrlTemplate": "https://ci.example/{Config:Project}"}
    assert found["inputArtifactDetails"] == {"minimumCount": 0, "maximumCount": 5}
    assert found["actionConfigurationProperties"] == [configured("Project", queryable=True)]
    assert service.poll(queryParam={"Project": "web"}) == []
    name = types.physical_id
    assert re.fullmatch(r"pipel-Build-[A-Z0-9]{12}", name)
    assert types.outputs == {"Name": name, "Id": name}
    types.delete()
    assert registered(service) == []


def test_an_update_replaces_the_type(service: Service, types: Stack) -> None:
    types.create(stack_type())
    before = types.physical_id
    types.update(stack_type(Version="2"))
    assert [each["id"]["version"] for each in registered(service)] == ["2"]
    after = types.physical_id
    assert after != before
    assert types.outputs == {"Name": after, "Id": after}
    types.delete()
    assert registered(service) == []


def tagged(tags: dict[str, str]) -> dict[str, Any]:
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def test_an_update_of_its_tags_changes_the_type_in_place(service: Service, types: Stack) -> None:
    types.create(stack_type(**tagged({"a": "1"})))
    before = types.physical_id
    types.update(stack_type(**tagged({"b": "2"})))
    assert types.outputs == {"Name": before, "Id": before}
    [kind] = service.backend.action_types.values()
    assert kind.tags == [{"key": "b", "value": "2"}]
    types.delete()
    assert registered(service) == []


@pytest.mark.parametrize("properties", [[], ["Name"], "", "Name", 0, 1, 1.5, True])
@pytest.mark.parametrize("kind", KINDS)
def test_properties_that_are_no_object_are_refused(
    stack: Stack, kind: str, properties: Any
) -> None:
    good = stack_pipeline() if kind == "Pipeline" else stack_type(Version="2")
    [(name, resource)] = good["Resources"].items()
    bad = good | {"Resources": {name: resource | {"Properties": properties}}}
    said = "Template format error: Any Properties member must be an object"
    assert said in refused(Stack(stack.api, "refused").create, bad)
    stack.create(good)
    assert said in refused(stack.update, bad)


def only(name: str, kind: str) -> dict[str, Any]:
    """A template of one resource without properties."""
    return {"Resources": {name: {"Type": f"AWS::{kind}"}}}


@pytest.mark.parametrize("kind", KINDS)
def test_the_type_of_a_resource_can_not_be_changed(types: Stack, kind: str) -> None:
    types.create(only("Thing", "SQS::Queue"))
    told = refused(types.update, only("Thing", f"CodePipeline::{kind}"))
    assert re.search(r"modifies resource type of .* \[Thing\]", told)


def test_a_resource_can_have_a_number_as_its_name(service: Service, types: Stack) -> None:
    # moto does not find a resource with a number as its name
    document = stack_type() | {"Outputs": {}}
    body = json.dumps(document).replace('"BuilderType"', "1")
    types.create(body)
    assert re.fullmatch(r"stack-1-[A-Z0-9]{12}", types.physical_id)
    types.update(body.replace('"Version": "1"', "Version: 2"))
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
        pipeline = stack_pipeline(DisableInboundStageTransitions=held)
        good = pipeline if kind == "Pipeline" else stack_type(Version="2", Tags=[])
        bad = deepcopy(good)
        [resource] = bad["Resources"].values()
        for shape in shapes:
            changed = data.draw(st.sampled_from(places(resource["Properties"])[1:] or [()]))
            resource["Properties"] = put(resource["Properties"], changed, shape)
        one, other = Stack(client("cloudformation"), "bad"), Stack(client("cloudformation"), "good")
        for change in (
            partial(one.create, bad),
            one.delete,
            partial(other.create, good),
            partial(other.update, bad),
        ):
            try:
                change()
            except ClientError as error:
                code, message = error_of(error)
                event(f"{kind}: {message[:40]}")
                assert code == "ValidationError"


def test_a_webhook_is_refused_by_name(types: Stack) -> None:
    told = refused(types.create, only("Hook", "CodePipeline::Webhook"))
    assert "no AWS::CodePipeline::Webhook" in told


@pytest.mark.parametrize("kind", [*KINDS, "Queue"])
def test_a_resource_can_not_become_a_webhook(service: Service, stack: Stack, kind: str) -> None:
    there = {"CustomActionType": stack_type(Version="2"), "Pipeline": stack_pipeline()}
    template = there.get(kind) or only("Queue", "SQS::Queue")
    [name] = template["Resources"]
    before = [registered(service), names(service)]
    stack.create(template)
    made = stack.physical_id
    told = refused(stack.update, only(name, "CodePipeline::Webhook"))
    assert re.search(r"no AWS::CodePipeline::Webhook|modifies resource type", told)
    assert stack.physical_id == made
    stack.delete()
    assert [registered(service), names(service)] == before


# Pipelines


def built(service: Service) -> str:
    """Run the pipeline; return the project of its job."""
    service.start()
    job = service.take()
    service.succeed(job)
    return str(job["data"]["actionConfiguration"]["configuration"]["Project"])


def test_a_stack_creates_a_pipeline_that_runs(service: Service, stack: Stack) -> None:
    stack.create(stack_pipeline())
    pipeline = service.api.get_pipeline(name="release")["pipeline"]
    assert (pipeline["pipelineType"], pipeline["executionMode"]) == ("V2", "QUEUED")
    configuration = pipeline["stages"][0]["actions"][0]["configuration"]
    assert configuration["PollForSourceChanges"] == "false"
    arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:release"
    tags = service.api.list_tags_for_resource(resourceArn=arn)["tags"]
    assert tags == [{"key": "team", "value": "web"}]
    assert stack.outputs == {"Name": "release", "Version": "1"}
    assert built(service) == "web"


def test_an_update_is_made_in_place(service: Service, stack: Stack) -> None:
    stack.create(stack_pipeline())
    assert built(service) == "web"
    stack.update(stack_pipeline(project="shop", **tagged({"team": "shop"})))
    assert service.api.get_pipeline(name="release")["pipeline"]["version"] == 2
    assert stack.outputs == {"Name": "release", "Version": "2"}
    assert stack.physical_id == "release"
    assert service.backend.pipelines["release"].tags == {"team": "shop"}
    assert built(service) == "shop"
    assert len(service.summaries()) == 2


def test_an_update_can_start_an_execution(service: Service, stack: Stack) -> None:
    stack.create(stack_pipeline())
    stack.update(stack_pipeline(project="shop", RestartExecutionOnUpdate=True))
    assert len(service.summaries()) == 1


def test_a_new_name_replaces_the_pipeline(service: Service, stack: Stack) -> None:
    stack.create(stack_pipeline())
    stack.update(stack_pipeline(Name="other"))
    assert names(service) == ["other"]
    assert stack.outputs == {"Name": "other", "Version": "1"}


def test_a_name_is_made_for_a_pipeline_without_one_and_kept(service: Service, stack: Stack) -> None:
    for change, project in ((stack.create, "web"), (stack.update, "shop")):
        body = stack_pipeline(project=project)
        del body["Resources"]["Release"]["Properties"]["Name"]
        change(body)
    name = stack.physical_id
    assert name.startswith("stack-Release-")
    [pipeline] = service.api.list_pipelines()["pipelines"]
    assert (pipeline["name"], pipeline["version"]) == (name, 2)


def test_numbers_and_dates_without_quotes_are_strings(service: Service, stack: Stack) -> None:
    held = [{"StageName": "Stage2", "Reason": "for lunch"}]
    declared = stack_pipeline(Name=123, DisableInboundStageTransitions=held, project=1)
    body = json.dumps(declared).replace('"code.zip"', "2024-01-01")
    bad = body.replace('"Project":', "1: 2, Project:")
    assert re.search("Action configuration.*1", refused(Stack(stack.api, "bad").create, bad))
    stack.create(body)
    pipeline = service.api.get_pipeline(name="123")["pipeline"]
    source = pipeline["stages"][0]["actions"][0]
    assert source["configuration"]["S3ObjectKey"] == "2024-01-01"
    assert service.backend.disabled_transitions("123") == {"Stage2": "for lunch"}
    stack.update(body.replace("lunch", "tea"))
    assert service.api.get_pipeline(name="123")["pipeline"]["version"] == 2
    assert service.backend.disabled_transitions("123") == {"Stage2": "for tea"}


@pytest.mark.parametrize("attribute", ["Arn", "Id"])
def test_an_attribute_that_it_does_not_have_is_refused(
    service: Service, stack: Stack, attribute: str
) -> None:
    body = stack_pipeline()
    body["Outputs"]["Version"]["Value"]["Fn::GetAtt"][1] = attribute
    assert attribute in refused(stack.create, body)
    assert names(service) == []


def test_a_transition_is_disabled_while_the_template_says_so(
    service: Service, stack: Stack
) -> None:
    disabled = [{"StageName": "Stage2", "Reason": "Not now"}]
    stack.create(stack_pipeline(DisableInboundStageTransitions=disabled))
    assert service.stage("Stage2")["inboundTransitionState"]["disabledReason"] == "Not now"
    stack.update(stack_pipeline())
    assert service.stage("Stage2")["inboundTransitionState"]["enabled"] is True


def test_artifact_stores_can_be_by_region(service: Service, stack: Stack) -> None:
    store = {"Type": "S3", "Location": "artifacts"}
    body = stack_pipeline(ArtifactStores=[{"Region": REGION, "ArtifactStore": store}])
    del body["Resources"]["Release"]["Properties"]["ArtifactStore"]
    stack.create(body)
    assert built(service) == "web"


def test_a_pipeline_is_deleted_with_its_stack(service: Service, stack: Stack) -> None:
    stack.create(stack_pipeline())
    stack.delete()
    assert names(service) == []


# Both


def test_a_type_and_its_pipeline_are_updated_together_over_http(service: Service) -> None:
    def template(version: str) -> dict[str, Any]:
        kind, pipeline = stack_type(Version=version), stack_pipeline()
        [declared] = pipeline["Resources"].values()
        declared["DependsOn"] = "BuilderType"
        declared["Properties"]["Stages"][1]["Actions"][0]["ActionTypeId"]["Version"] = version
        return {name: kind[name] | pipeline[name] for name in kind}

    with serve(REGION) as url:
        stack = Stack(client("cloudformation", url))
        stack.create(template("2"))
        first = stack.outputs["Id"]
        assert stack.outputs["Version"] == "1"
        stack.update(template("3"))
        assert stack.outputs["Id"] != first
        assert stack.outputs["Version"] == "2"
        assert service.api.get_pipeline(name="release")["pipeline"]["version"] == 2
        stack.delete()
    assert names(service) == []


def of_action(**changes: Any) -> dict[str, Any]:
    """A template of a pipeline, with a changed action."""
    template = stack_pipeline()
    template["Resources"]["Release"]["Properties"]["Stages"][1]["Actions"][0] |= changes
    return template


def holding(**transition: str) -> dict[str, Any]:
    """A template of a pipeline with a disabled transition."""
    return stack_pipeline(DisableInboundStageTransitions=[transition])


REFUSED_TAGS: list[dict[str, str]] = [
    {"aws:x": "1"},
    {f"k{number}": "" for number in range(51)},
    {"k" * 129: ""},
    {"": "v"},
    {"k": "v" * 257},
]
NOT_WHOLE = "Actions/0/RunOrder must be a whole number"
WITHOUT_REGION = {"ArtifactStore": {"Type": "S3", "Location": "a"}}
REFUSED = [
    (stack_type(Provider="no spaces"), "failed to satisfy constraint"),
    (stack_type(Category="Cooking"), "failed to satisfy constraint"),
    (stack_type(Version="0123456789"), "failed to satisfy constraint"),
    *((stack_type(Version="2", **tagged(tags)), r"(?i)\btags?\b") for tags in REFUSED_TAGS),
    *((stack_pipeline(**tagged(tags)), r"(?i)\btags?\b") for tags in REFUSED_TAGS),
    (only("Release", "CodePipeline::Pipeline"), "is required"),
    (stack_pipeline(PipelineType="V1"), "QUEUED needs a pipeline of type V2"),
    (stack_pipeline(Colour="red"), "unsupported property /Colour"),
    (stack_pipeline(Version=2), "unsupported property /Version"),
    (stack_pipeline(Stages="Source"), "/Stages must be a list"),
    (stack_pipeline(ArtifactStores={REGION: {}}), "/ArtifactStores must be a list"),
    (stack_pipeline(ArtifactStores=[WITHOUT_REGION]), "/ArtifactStores/0/Region is required"),
    (stack_pipeline(RestartExecutionOnUpdate="often"), "OnUpdate must be true or false"),
    (holding(StageName="Stage2"), "/DisableInboundStageTransitions/0/Reason is required"),
    (holding(StageName="Stage9", Reason="r"), "does not have a stage with name 'Stage9'"),
    (holding(StageName="Stage2", Reason="r" * 301), "Value at 'reason' failed to satisfy"),
    (of_action(RunOrder="abc"), NOT_WHOLE),
    (of_action(RunOrder=True), NOT_WHOLE),
    (of_action(RunOrder="9" * 5000), NOT_WHOLE),
    (of_action(Configuration=["a"]), "Actions/0/Configuration must be an object"),
    (of_action(Configuration="a"), "Actions/0/Configuration must be an object"),
    (of_action(Configuration={"Project": {}}), "Configuration/Project must be a string"),
    (of_action(Runorder=1), "unsupported property /Stages/1/Actions/0/Runorder"),
]


def everything(service: Service) -> str:
    """All types and pipelines, with their tags."""
    types = [(each.definition, each.tags) for each in service.backend.action_types.values()]
    return repr([types, *(vars(each) for each in service.backend.pipelines.values())])


@pytest.mark.parametrize(("bad", "said"), REFUSED, ids=range(len(REFUSED)))
def test_a_refused_template_is_explained_and_changes_nothing(
    service: Service, stack: Stack, bad: dict[str, Any], said: str
) -> None:
    before = everything(service)
    assert re.search(said, refused(Stack(stack.api, "refused").create, bad))
    assert everything(service) == before
    of_pipeline = "Release" in bad["Resources"]
    stack.create(stack_pipeline() if of_pipeline else stack_type(Version="2", Tags=[]))
    before = everything(service)
    assert re.search(said, refused(stack.update, bad))
    assert everything(service) == before
