"""``AWS::CodePipeline::Pipeline`` and ``::CustomActionType``, in moto's CloudFormation.

A change of any property of a type but its tags replaces the type (documented). ``Ref`` returns its
physical id, a name like ``custo-MyCus-A1BCDEFGHIJ2`` (documented), which the CodePipeline API does
not use. A pipeline is updated in place unless its name changes; ``Ref`` is its name.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from moto.core.common_models import CloudFormationModel

from .action_types import TypeKey
from .exceptions import CodePipelineError
from .models import JobBackend, backend
from .validation import check

_NUMBERS = {"RunOrder", "TimeoutInMinutes", "MinimumCount", "MaximumCount"}
_FLAGS = {"Key", "Queryable", "Required", "Secret"}
_PIPELINE = (
    *("Name", "RoleArn", "ArtifactStore", "ArtifactStores", "Stages", "ExecutionMode"),
    *("PipelineType", "Variables", "Triggers"),
)


class _Resource:
    """What both have: ``name`` is the physical id, and ``value`` that of the only attribute.

    moto finds only classes whose own base is CloudFormationModel, so this one does not have it.
    """

    attribute: ClassVar[str]

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    @property
    def physical_resource_id(self) -> str:
        return self.name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == cls.attribute

    def get_cfn_attribute(self, attribute_name: str) -> str:
        from moto.cloudformation.exceptions import (  # noqa: PLC0415 - it imports all of moto
            UnformattedGetAttTemplateException,
        )

        if attribute_name != self.attribute:
            raise UnformattedGetAttTemplateException
        return self.value

    def is_created(self) -> bool:
        return True


class CustomActionTypeResource(_Resource, CloudFormationModel):
    """A registered custom action type."""

    attribute = "Id"

    def __init__(self, name: str, key: TypeKey, properties: dict[str, Any]) -> None:
        super().__init__(name, name)
        self.key = key
        self.properties = properties

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CodePipeline::CustomActionType"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> CustomActionTypeResource:
        """Register the type that a template describes."""
        properties = cloudformation_json["Properties"]
        with _errors_of_the_stack():
            request = _request(properties)
            check("CreateCustomActionType", request)
            action_type = backend(account_id, region_name).create_custom_action_type(request)
        name = _physical_name(resource_name, kwargs.get("LogicalId", ""))
        return cls(name, action_type.key, properties)

    @classmethod
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
        properties = cloudformation_json["Properties"]
        if {**properties, "Tags": None} == {**original_resource.properties, "Tags": None}:
            kind = backend(account_id, region_name).action_types[original_resource.key]
            kind.tags = _request(properties).get("tags", [])
            original_resource.properties = properties
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

    attribute = "Version"

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Name"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CodePipeline::Pipeline"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> PipelineResource:
        """Create the pipeline that a template describes. It is not started."""
        properties = cloudformation_json["Properties"]
        where = backend(account_id, region_name)
        with _errors_of_the_stack():
            request = {
                "pipeline": _pipeline(properties, resource_name),
                "tags": _request(properties).get("tags", []),
            }
            check("CreatePipeline", request)
            created, _tags = where.create_pipeline(**request)
            _disable(where, resource_name, properties)
        return cls(resource_name, str(created["version"]))

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: PipelineResource,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> PipelineResource:
        """Update the pipeline, or replace it if its name changes."""
        properties, name = cloudformation_json["Properties"], original_resource.name
        where = backend(account_id, region_name)
        if properties.get("Name", name) != name:
            replacement = cls.create_from_cloudformation_json(
                new_resource_name, cloudformation_json, account_id, region_name
            )
            where.delete_pipeline(name)
            return replacement
        with _errors_of_the_stack():
            request = {"pipeline": _pipeline(properties, name)}
            check("UpdatePipeline", request)
            updated = where.update_pipeline(request["pipeline"])
            original_resource.value = str(updated["version"])
            arn = where.pipelines[name].metadata["pipelineArn"]
            where.untag_resource(arn, list(where.pipelines[name].tags))
            where.tag_resource(arn, _request(properties).get("tags", []))
            _disable(where, name, properties)
            if str(properties.get("RestartExecutionOnUpdate")).lower() == "true":
                where.start_pipeline_execution(name, None)
        return original_resource

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete the pipeline, with its stack."""
        backend(account_id, region_name).delete_pipeline(self.name)


@contextmanager
def _errors_of_the_stack() -> Iterator[None]:
    """Raise a refused request as an error of CloudFormation, which has another protocol."""
    from moto.cloudformation.exceptions import (  # noqa: PLC0415 - as above
        ValidationError,
    )

    try:
        yield
    except CodePipelineError as error:
        raise ValidationError(message=error.message) from error


def _disable(where: JobBackend, name: str, properties: dict[str, Any]) -> None:
    """Disable the pipeline's transitions that a template lists, and enable the others."""
    wanted = {
        each["StageName"]: each["Reason"]
        for each in properties.get("DisableInboundStageTransitions", [])
    }
    for stage in {**where.disabled_transitions(name), **wanted}:
        reason = wanted.get(stage)
        where.set_stage_transition(name, stage, "Inbound", reason=reason)


def _physical_name(resource_name: str, logical_id: str) -> str:
    unique = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(12))
    return f"{resource_name[:5]}-{logical_id[:5]}-{unique}"


def _pipeline(properties: dict[str, Any], name: str) -> dict[str, Any]:
    """A pipeline's declaration, from a resource's properties."""
    given = {each: properties[each] for each in _PIPELINE if each in properties}
    declared = _request(given | {"Name": name})
    if "artifactStores" in declared:
        stores = declared["artifactStores"]
        declared["artifactStores"] = {each["region"]: each["artifactStore"] for each in stores}
    return declared


def _request(properties: dict[str, Any]) -> dict[str, Any]:
    """A request's members, from properties whose values may be strings."""
    # Tags have a member called Key too, which is not a flag.
    flags = _FLAGS & properties.keys() if "Required" in properties else set[str]()
    return {
        name[0].lower() + name[1:]: str(each).lower() == "true"
        if name in flags
        else _plain(name, each)
        for name, each in properties.items()
    }


def _plain(name: str, value: Any) -> Any:
    if name == "Configuration":
        return {key: _plain("", each) for key, each in value.items()}
    if isinstance(value, dict):
        return _request(value)
    if isinstance(value, list):
        return [_plain(name, each) for each in value]
    if name in _NUMBERS:
        return int(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
