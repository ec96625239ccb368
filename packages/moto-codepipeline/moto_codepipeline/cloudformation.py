"""``AWS::CodePipeline::Pipeline`` and ``::CustomActionType``, in moto's CloudFormation.

A change of any property of a type but its tags replaces the type (documented). ``Ref`` returns its
physical id, a name like ``custo-MyCus-A1BCDEFGHIJ2`` (documented), which the CodePipeline API does
not use. A pipeline is updated in place unless its name changes; ``Ref`` is its name.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import lru_cache
from typing import Any, ClassVar

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, Shape, ShapeResolver, StructureShape
from moto.core.common_models import CloudFormationModel
from moto.core.exceptions import JsonRESTError

from .action_types import TypeKey
from .exceptions import StageNotFoundError, ValidationError
from .models import JobBackend, backend, checked_tags
from .validation import check


def _structure(**members: str) -> dict[str, Any]:
    shapes = {name: {"shape": shape} for name, shape in members.items()}
    return {"type": "structure", "required": list(members), "members": shapes}


_MORE_SHAPES = {
    "StackStores": {"type": "list", "member": {"shape": "StackStore"}},
    "StackStore": _structure(region="AWSRegionName", artifactStore="ArtifactStore"),
    "StackTransitions": {"type": "list", "member": {"shape": "StackTransition"}},
    "StackTransition": _structure(stageName="StageName", reason="DisabledReason"),
}
_MORE_PROPERTIES = {
    "artifactStores": {"shape": "StackStores"},
    "disableInboundStageTransitions": {"shape": "StackTransitions"},
    "restartExecutionOnUpdate": {"shape": "Boolean"},
    "tags": {"shape": "TagList"},
}
"""The properties of a pipeline that its declaration in the API has not, or has as a map."""

_KINDS: dict[str, tuple[str, Any]] = {
    "structure": ("an object", dict),
    "map": ("an object", dict),
    "list": ("a list", list),
    "string": ("a string", str | bool | float | int | date),
    "integer": ("a whole number", str | int),
    "boolean": ("true or false", str | bool),
}


@contextmanager
def _errors_of_the_stack() -> Iterator[None]:
    """Raise a refused request as an error of CloudFormation, which has another protocol."""
    from moto.cloudformation import exceptions  # noqa: PLC0415 - it imports all of moto

    try:
        yield
    except JsonRESTError as error:
        raise exceptions.ValidationError(message=error.message) from error


class _Resource:
    """What both have: ``name`` is the physical id, and ``value`` that of the only attribute.

    moto finds only classes whose own base is CloudFormationModel, so this one does not have it.
    They have no ``cloudformation_name_type``: moto would look for it in properties of any shape.
    """

    kind: ClassVar[str]
    attribute: ClassVar[str] = ""

    def __init__(self, name: str, value: str) -> None:
        self.name = self.physical_resource_id = name
        self.value = value

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == cls.attribute

    def get_cfn_attribute(self, attribute_name: str) -> str:
        from moto.cloudformation import exceptions  # noqa: PLC0415 - as above

        if attribute_name != self.attribute:
            raise exceptions.UnformattedGetAttTemplateException
        return self.value

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.kind

    @classmethod
    def check_kind(cls, original: Any) -> None:
        """Raise ValidationError, with CloudFormation's text, if an update changes the type."""
        if not isinstance(original, cls):
            problem = "Update of resource type is not permitted. The new template modifies resource"
            changed = original.logical_resource_id
            raise ValidationError(f"{problem} type of the following resources: [{changed}]")


class CustomActionTypeResource(_Resource, CloudFormationModel):
    """A registered custom action type."""

    kind, attribute = "AWS::CodePipeline::CustomActionType", "Id"

    def __init__(self, name: str, key: TypeKey, request: dict[str, Any]) -> None:
        super().__init__(name, name)
        self.key = key
        self.request = request

    @classmethod
    @_errors_of_the_stack()
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], *where: str, **kwargs: Any
    ) -> CustomActionTypeResource:
        """Register the type that a template describes."""
        request = _type(cloudformation_json)
        action_type = backend(*where).create_custom_action_type(request)
        return cls(_physical_name(resource_name, kwargs["LogicalId"]), action_type.key, request)

    @classmethod
    @_errors_of_the_stack()
    def update_from_cloudformation_json(
        cls,
        original_resource: CustomActionTypeResource,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> CustomActionTypeResource:
        """Replace the type: the new one is created first, so it needs another version or name.

        Only its tags are changed in place.
        """
        cls.check_kind(original_resource)
        request = _type(cloudformation_json)
        if request | {"tags": None} == original_resource.request | {"tags": None}:
            kind = backend(account_id, region_name).action_types[original_resource.key]
            kind.tags = checked_tags(request.get("tags", []), original_resource.name)
            original_resource.request = request
            return original_resource
        logical_id = original_resource.logical_resource_id  # type: ignore[attr-defined]
        replacement = cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name, LogicalId=logical_id
        )
        original_resource.delete(account_id, region_name)
        return replacement

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete the type, with its stack."""
        where = backend(account_id, region_name)
        where.delete_custom_action_type(self.key.category, self.key.provider, self.key.version)


class PipelineResource(_Resource, CloudFormationModel):
    """A pipeline."""

    kind, attribute = "AWS::CodePipeline::Pipeline", "Version"

    @classmethod
    @_errors_of_the_stack()
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], *where: str, **_: Any
    ) -> PipelineResource:
        """Create the pipeline that a template describes. It is not started."""
        pipeline, more = _pipeline(cloudformation_json, resource_name)
        created, _tags = backend(*where).create_pipeline(pipeline, more["tags"])
        _disable(backend(*where), pipeline["name"], more)
        return cls(pipeline["name"], str(created["version"]))

    @classmethod
    @_errors_of_the_stack()
    def update_from_cloudformation_json(
        cls,
        original_resource: PipelineResource,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> PipelineResource:
        """Update the pipeline, or replace it if its name changes."""
        cls.check_kind(original_resource)
        where, name = backend(account_id, region_name), original_resource.name
        pipeline, more = _pipeline(cloudformation_json, name)
        if pipeline["name"] != name:
            replacement = cls.create_from_cloudformation_json(
                new_resource_name, cloudformation_json, account_id, region_name
            )
            where.delete_pipeline(name)
            return replacement
        original_resource.value = str(where.update_pipeline(pipeline)["version"])
        where.pipelines[name].tags = {tag["key"]: tag["value"] for tag in more["tags"]}
        _disable(where, name, more)
        if more.get("restartExecutionOnUpdate"):
            where.start_pipeline_execution(name, None)
        return original_resource

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete the pipeline, with its stack."""
        backend(account_id, region_name).delete_pipeline(self.name)


class WebhookResource(_Resource, CloudFormationModel):
    """A webhook, which is refused: moto would ignore a type that it does not know."""

    kind = "AWS::CodePipeline::Webhook"

    @classmethod
    @_errors_of_the_stack()
    def create_from_cloudformation_json(cls, *_: Any, **__: Any) -> WebhookResource:
        """Refuse the webhook."""
        raise ValidationError("This CodePipeline has no AWS::CodePipeline::Webhook")

    update_from_cloudformation_json = create_from_cloudformation_json


def _disable(where: JobBackend, name: str, properties: dict[str, Any]) -> None:
    """Disable the pipeline's transitions that a template lists, and enable the others."""
    listed = properties.get("disableInboundStageTransitions", [])
    wanted = {each["stageName"]: each["reason"] for each in listed}
    for stage in {**where.disabled_transitions(name), **wanted}:
        reason = wanted.get(stage)
        where.set_stage_transition(name, stage, "Inbound", reason=reason)


def _physical_name(resource_name: str, logical_id: Any) -> str:
    """``logical_id`` is a number where YAML has one."""
    unique = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(12))
    return f"{resource_name[:5]}-{str(logical_id)[:5]}-{unique}"


def _type(resource: dict[str, Any]) -> dict[str, Any]:
    """A CreateCustomActionType request."""
    request: dict[str, Any] = _read(_shapes()["type"], resource.get("Properties", {}))
    check("CreateCustomActionType", request)
    return request


def _pipeline(resource: dict[str, Any], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pipeline's declaration, and its other properties, with names as in the API."""
    declared = {"name": name} | _read(_shapes()["pipeline"], resource.get("Properties", {}))
    if "artifactStores" in declared:
        stores = declared["artifactStores"]
        declared["artifactStores"] = {each["region"]: each["artifactStore"] for each in stores}
    names = set(_MORE_PROPERTIES) - {"artifactStores"}
    more = {"tags": []} | {each: declared.pop(each) for each in names & set(declared)}
    check("CreatePipeline", {"pipeline": declared, "tags": more["tags"]})
    checked_tags(more["tags"], declared["name"])
    stages = [each["name"] for each in declared["stages"]]
    for each in more.get("disableInboundStageTransitions", []):
        where = {"pipelineName": declared["name"], "transitionType": "Inbound"}
        check("DisableStageTransition", where | each)
        if each["stageName"] not in stages:
            raise StageNotFoundError(declared["name"], each["stageName"])
    return declared, more


@lru_cache(maxsize=1)
def _shapes() -> dict[str, Shape]:
    """The shapes of both resources' properties, but for the case of the names."""
    shapes = Loader().load_service_model("codepipeline", "service-2")["shapes"]
    members = shapes["PipelineDeclaration"]["members"] | _MORE_PROPERTIES
    del members["version"]
    required = ["roleArn", "stages"]
    declaration = shapes["PipelineDeclaration"] | {"members": members, "required": required}
    resolver = ShapeResolver(shapes | _MORE_SHAPES | {"StackPipeline": declaration})
    names = {"type": "CreateCustomActionTypeInput", "pipeline": "StackPipeline"}
    return {name: resolver.get_shape_by_name(shape) for name, shape in names.items()}


def _read(shape: Shape, value: Any, path: str = "") -> Any:
    """A request's member, from a property. Strings can stand for numbers and booleans.

    Raises ValidationError that names the property.
    """
    what, kind = _KINDS[shape.type_name]
    whole = "Template format error: Any Properties member must be an object."
    problem = ValidationError(f"The property {path} must be {what}" if path else whole)
    if not isinstance(value, kind):
        raise problem
    if isinstance(shape, StructureShape):
        return _members(shape, value, path)
    if isinstance(shape, MapShape):
        return {str(key): _read(shape.value, each, f"{path}/{key}") for key, each in value.items()}
    if isinstance(shape, ListShape):
        return [_read(shape.member, each, f"{path}/{at}") for at, each in enumerate(value)]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if shape.type_name == "string":
        return text
    pattern = r"-?\d{1,18}" if shape.type_name == "integer" else "(?i)true|false"
    if not re.fullmatch(pattern, text):
        raise problem
    return int(text) if shape.type_name == "integer" else text.lower() == "true"


def _members(shape: StructureShape, value: dict[str, Any], path: str) -> dict[str, Any]:
    names = {name[0].upper() + name[1:]: name for name in shape.members}
    for each, name in names.items():
        if name in shape.required_members and each not in value:
            raise ValidationError(f"The property {path}/{each} is required")
    for each in value:
        if each not in names:
            raise ValidationError(f"Encountered unsupported property {path}/{each}")
    return {
        names[each]: _read(shape.members[names[each]], member, f"{path}/{each}")
        for each, member in value.items()
    }
