"""The backend: moto's CodePipeline, with action types, jobs and pipelines that run."""

import json
from copy import deepcopy
from typing import Any, cast

from moto.codepipeline.exceptions import (
    InvalidTagsException,
    PipelineNotFoundException,
    ResourceNotFoundException,
    TooManyTagsException,
)
from moto.codepipeline.models import CodePipeline, CodePipelineBackend, codepipeline_backends
from moto.iam.exceptions import NotFoundException as IAMNotFoundException

from .action_types import ActionType, TypeKey, actions_of, aws_types, keep_secrets
from .exceptions import (
    InvalidStructureError,
    LimitExceededError,
    PipelineNameInUseError,
    ValidationError,
)
from .executions import ExecutionOperations
from .operations import named
from .steps import operation
from .structure import check_structure, say_what_is_idle
from .validation import check

CUSTOM_ACTION_TYPES, PIPELINES, TAGS = 50, 1000, 50
"""Quotas of an account in a region, and of a resource (documented)."""

VERSIONS = 10
"""How many versions of a pipeline GetPipeline returns (reported)."""

SERVICE = "codepipeline.amazonaws.com"


class JobBackend(ExecutionOperations):
    """CodePipeline in one account and region.

    Methods that are named like API operations do the same. They take the parameters or the whole
    request, already checked. Unlike in AWS, a new pipeline is not started.
    """

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._versions: dict[str, dict[int, dict[str, Any]]] = {}

    # Action types

    @operation
    def create_custom_action_type(self, request: dict[str, Any]) -> ActionType:
        """Register a type, or restore a deleted one with an identical request (documented).

        Raises ValidationError, also if the type exists or a deleted one was different, and
        LimitExceededError (both texts are unknown), TooManyTagsException and InvalidTagsException.
        """
        return self._register(ActionType.registered(request, "Custom"))

    @operation
    def delete_custom_action_type(self, category: str, provider: str, version: str) -> None:
        """Mark a type as deleted. A missing type is not an error (the model has none)."""
        self._delete(TypeKey(category, "Custom", provider, version))

    @operation
    def register_third_party_action_type(self, request: dict[str, Any]) -> ActionType:
        """Register a partner's type, or restore a deleted one with an identical request.

        ``request`` is one of CreateCustomActionType, or the ``actionType`` of UpdateActionType, and
        is checked like it. This is not an AWS operation: AWS registers a partner's type on request.
        The quota of 50 does not apply. Raises ValidationError.
        """
        if "executor" in request:
            check("UpdateActionType", {"actionType": request})
            return self._register(ActionType.declared(deepcopy(request)))
        check("CreateCustomActionType", request)
        return self._register(ActionType.registered(deepcopy(request), "ThirdParty"))

    @operation
    def get_action_type(self, type_id: dict[str, str]) -> dict[str, Any]:
        """A partner's ``ActionTypeDeclaration``. Raises ActionTypeNotFoundError."""
        return self._available_type(type_id).declaration()

    @operation
    def update_action_type(self, declaration: dict[str, Any]) -> None:
        """Change a partner's type, also for the pipelines that use it.

        Raises ActionTypeNotFoundError, and ValidationError for a Lambda executor.
        """
        present = self._available_type(declaration["id"])
        changed = ActionType.declared(declaration)
        present.definition, present.more = changed.definition, changed.more

    @operation
    def delete_third_party_action_type(self, category: str, provider: str, version: str) -> None:
        """Mark a partner's type as deleted. A missing type is not an error."""
        self._delete(TypeKey(category, "ThirdParty", provider, version))

    @operation
    def list_action_types(self, owner: str | None = None) -> list[dict[str, Any]]:
        """All types, as the API's ``ActionType``."""
        types = (*aws_types(self.region_name).values(), *self._live_types())
        return [each.shown() for each in types if owner in (None, each.key.owner)]

    def _register(self, action_type: ActionType) -> ActionType:
        known = self.action_types.get(action_type.key)
        if known is not None and not known.deleted:
            raise ValidationError(f"The action type {named(action_type.key)} already exists")
        if known is not None and known.definition != action_type.definition:
            raise ValidationError(
                f"The action type {named(action_type.key)} was deleted, and can only be restored "
                "as it was: use a version that has never been used"
            )
        custom = [each for each in self._live_types() if each.key.owner == "Custom"]
        if action_type.key.owner == "Custom" and len(custom) >= CUSTOM_ACTION_TYPES:
            raise LimitExceededError(
                f"There can be no more than {CUSTOM_ACTION_TYPES} custom actions"
            )
        key = action_type.key
        name = f"{key.owner}/{key.category}/{key.provider}/{key.version}"
        action_type.tags = checked_tags(action_type.tags, name)
        self.action_types[action_type.key] = action_type
        return action_type

    def _delete(self, key: TypeKey) -> None:
        if key in self.action_types:
            self.action_types[key].deleted = True

    def _live_types(self) -> list[ActionType]:
        return [each for each in self.action_types.values() if not each.deleted]

    # Pipelines

    @operation
    def create_pipeline(
        self, pipeline: dict[str, Any], tags: list[dict[str, str]]
    ) -> tuple[dict[str, Any], list[dict[str, str]]]:
        """Create a pipeline, after a check of its structure. Secrets are masked in the response.

        Raises the errors of ``check_structure``, InvalidStructureError for a missing role,
        PipelineNameInUseError and LimitExceededError.
        """
        self._check(pipeline)
        keep_secrets(pipeline, None, self.action_types)
        if pipeline["name"] not in self.pipelines and len(self.pipelines) >= PIPELINES:
            raise LimitExceededError(f"There can be no more than {PIPELINES} pipelines")
        if pipeline["name"] in self.pipelines:
            raise PipelineNameInUseError(pipeline["name"], self.account_id)
        made = CodePipeline(self.account_id, self.region_name, pipeline)
        made.validate_tags(tags or [])
        made.tags.update({tag["key"]: tag["value"] for tag in tags or []})
        self.pipelines[pipeline["name"]] = made
        created = made.pipeline
        self._versions[pipeline["name"]] = {1: deepcopy(created)}
        say_what_is_idle(pipeline)
        self._look_at_sources(pipeline["name"])
        return self._masked(created), sorted(tags or [], key=lambda tag: tag["key"])

    @operation
    def update_pipeline(self, pipeline: dict[str, Any]) -> dict[str, Any]:
        """As in moto, but checks the structure; a masked secret keeps its value (documented).

        Executions in progress are Cancelled, unless ``behaviour`` lets them go on.
        """
        self._check(pipeline)
        present = self.pipelines.get(pipeline["name"])
        if present is not None:
            keep_secrets(pipeline, present.pipeline, self.action_types)
            say_what_is_idle(pipeline, present.pipeline)
        updated = super().update_pipeline(pipeline)
        self._versions.setdefault(pipeline["name"], {})[updated["version"]] = deepcopy(updated)
        if self.behaviour.update_under_way == "cancel":
            self._cancel_executions(pipeline["name"])
        self._look_at_sources(pipeline["name"])
        return self._masked(updated)

    @operation
    def delete_pipeline(self, name: str) -> None:
        """moto's. Executions in progress go on, but can no longer be described."""
        super().delete_pipeline(name)
        for kept in (self._versions, self._traffic, self._seen_versions, self._start_tokens):
            kept.pop(name, None)
        self._look_at_sources(name)

    @operation
    def get_pipeline(
        self, name: str, version: int | None = None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """A pipeline, now or in an earlier version, with secrets masked (documented).

        Raises PipelineNotFoundException, also if it is not one of the last ten (reported).
        """
        pipeline, metadata = super().get_pipeline(name)
        if version is not None and version != pipeline["version"]:
            versions = dict(list(self._versions.get(name, {}).items())[-VERSIONS:])
            if version not in versions:
                raise PipelineNotFoundException(
                    f"Account '{self.account_id}' does not have a pipeline with name '{name}'"
                )
            pipeline = versions[version]
        return self._masked(pipeline), metadata

    def _check(self, pipeline: dict[str, Any]) -> None:
        types = self.action_types.items()
        allowed = {key: each for key, each in types if each.may_be_used_in(self.account_id)}
        check_structure(pipeline, allowed, self.region_name)
        if pipeline.get("variables"):
            pipeline.setdefault("pipelineType", "V2")  # recorded for UpdatePipeline
        if not self._trusts(pipeline["roleArn"]):
            # Recorded.
            raise InvalidStructureError(
                "CodePipeline is not authorized to perform AssumeRole on role "
                + pipeline["roleArn"]
            )

    def _trusts(self, role_arn: str) -> bool:
        """Whether CodePipeline may assume a role."""
        try:
            role = self.iam_backend.get_role_by_arn(role_arn)
        except IAMNotFoundException:
            return False
        trust = json.loads(role.assume_role_policy_document)["Statement"]
        services: list[str] = []
        for each in trust if isinstance(trust, list) else [trust]:
            principal = each.get("Principal", {})
            named = principal.get("Service", []) if isinstance(principal, dict) else principal
            services += [named] if isinstance(named, str) else named
        return bool({SERVICE, "*"} & set(services))

    list_pipelines = operation(CodePipelineBackend.list_pipelines)

    # Tags: of pipelines moto's, and of action types

    @operation
    def list_tags_for_resource(self, arn: str) -> list[dict[str, str]]:
        """moto's, for action types too."""
        if kind := self._tagged_type(arn):
            return sorted(kind.tags, key=lambda tag: tag["key"])
        return super().list_tags_for_resource(arn)

    @operation
    def tag_resource(self, arn: str, tags: list[dict[str, str]]) -> None:
        """moto's, for action types too. Raises TooManyTagsException and InvalidTagsException."""
        if kind := self._tagged_type(arn):
            kind.tags = checked_tags([*kind.tags, *tags], arn)
        else:
            super().tag_resource(arn, tags)

    @operation
    def untag_resource(self, arn: str, tag_keys: list[str]) -> None:
        """moto's, for action types too."""
        if kind := self._tagged_type(arn):
            kind.tags = [tag for tag in kind.tags if tag["key"] not in tag_keys]
        else:
            super().untag_resource(arn, tag_keys)

    def _tagged_type(self, arn: str) -> ActionType | None:
        """The action type that an ARN like ``…:actiontype:Custom/Build/Builder/1`` names."""
        what, _, name = ":".join(arn.split(":")[5:]).partition(":")
        if what.lower() != "actiontype":
            return None
        owner, category, provider, version = (name.split("/") + [""] * 4)[:4]
        kind = self.action_types.get(TypeKey(category, owner, provider, version))
        if kind is None or kind.deleted:
            raise ResourceNotFoundException(
                f"The account with id '{self.account_id}' does not include an action type '{name}'"
            )
        return kind

    def _masked(self, pipeline: dict[str, Any]) -> dict[str, Any]:
        shown = deepcopy(pipeline)
        for _, action in actions_of(shown):
            action_type = self.action_types.get(TypeKey.of(action["actionTypeId"]))
            if action_type is not None and "configuration" in action:
                action["configuration"] = action_type.masked(action["configuration"])
        return shown


def checked_tags(tags: list[dict[str, str]], resource: str) -> list[dict[str, str]]:
    """Tags with the last value of each key. Raises TooManyTagsException, InvalidTagsException."""
    given = {tag["key"]: tag["value"] for tag in tags}
    if reserved := [key for key in given if key.startswith("aws:")]:
        raise InvalidTagsException(f"Not allowed to modify system tags: {reserved[0]}")
    if len(given) > TAGS:
        raise TooManyTagsException(resource)
    return [{"key": key, "value": value} for key, value in given.items()]


def backend(account_id: str, region_name: str) -> JobBackend:
    """The backend of an account and region."""
    return cast(JobBackend, codepipeline_backends[account_id][region_name])


def backends() -> list[JobBackend]:
    """All backends that are in use."""
    present = [each for _, _, each in list(codepipeline_backends.iter_backends())]
    return [each for each in present if isinstance(each, JobBackend)]


def tick_all() -> None:
    """Let everything that is due happen, in all accounts and regions."""
    for each in backends():
        each.tick()
