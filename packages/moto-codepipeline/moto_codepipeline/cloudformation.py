"""``AWS::CodePipeline::CustomActionType``, so that a template can register an action type.

Every property but the tags is replaced, not updated (documented). ``Ref`` gives the physical id, a
name like ``custo-MyCus-A1BCDEFGHIJ2`` (documented), which the CodePipeline API does not know.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.common_models import CloudFormationModel

from .action_types import TypeKey
from .exceptions import CodePipelineError
from .models import JobBackend, backend
from .validation import check


class CustomActionTypeResource(CloudFormationModel):
    """A registered custom action type, as a resource of a stack."""

    def __init__(self, name: str, key: TypeKey, properties: dict[str, Any]) -> None:
        self.name = name
        self.key = key
        self.properties = properties

    @property
    def physical_resource_id(self) -> str:
        return self.name

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CodePipeline::CustomActionType"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Id"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        from moto.cloudformation.exceptions import (  # noqa: PLC0415 - it imports all of moto
            UnformattedGetAttTemplateException,
        )

        if attribute_name != "Id":
            raise UnformattedGetAttTemplateException
        return self.name

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
        """Replace the type: the new one is made first, so that it needs another version or name."""
        if cloudformation_json["Properties"] == original_resource.properties:
            return original_resource
        logical_id = original_resource.logical_resource_id  # type: ignore[attr-defined]
        replacement = cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name, LogicalId=logical_id
        )
        original_resource.delete(account_id, region_name)
        return replacement

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,  # noqa: ARG003 - moto's signature
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> None:
        """Delete the type that a template describes."""
        request = _request(cloudformation_json["Properties"])
        key = TypeKey(request["category"], "Custom", request["provider"], request["version"])
        _delete(key, backend(account_id, region_name))

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete the type, with its stack."""
        _delete(self.key, backend(account_id, region_name))

    def is_created(self) -> bool:
        return True


@contextmanager
def _errors_of_the_stack() -> Iterator[None]:
    """Show a refused request as an error of the stack, whose protocol is not CodePipeline's."""
    from moto.cloudformation.exceptions import ValidationError  # noqa: PLC0415 - as above

    try:
        yield
    except CodePipelineError as error:
        raise ValidationError(message=error.message) from error


def _delete(key: TypeKey, where: JobBackend) -> None:
    where.delete_custom_action_type(key.category, key.provider, key.version)


def _physical_name(resource_name: str, logical_id: str) -> str:
    unique = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(12))
    return f"{resource_name[:5]}-{logical_id[:5]}-{unique}"


def _request(properties: dict[str, Any]) -> dict[str, Any]:
    """A CreateCustomActionType request, from properties whose values may all be strings."""
    request: dict[str, Any] = {
        name[0].lower() + name[1:]: text
        for name, text in properties.items()
        if name in ("Category", "Provider", "Version")
    }
    for side in ("InputArtifactDetails", "OutputArtifactDetails"):
        if side in properties:
            counts = {_lowered(name): int(count) for name, count in properties[side].items()}
            request[_lowered(side)] = counts
    if "Settings" in properties:
        settings = {_lowered(name): url for name, url in properties["Settings"].items()}
        request["settings"] = settings
    if "ConfigurationProperties" in properties:
        request["configurationProperties"] = [
            {_lowered(name): _plain(name, value) for name, value in each.items()}
            for each in properties["ConfigurationProperties"]
        ]
    if "Tags" in properties:
        request["tags"] = [
            {_lowered(name): text for name, text in tag.items()} for tag in properties["Tags"]
        ]
    return request


def _lowered(name: str) -> str:
    return name[0].lower() + name[1:]


def _plain(name: str, value: Any) -> Any:
    flags = ("Key", "Queryable", "Required", "Secret")
    return str(value).lower() == "true" if name in flags else value
