"""The backend: moto's CodePipeline, with action types, jobs and pipelines that really run."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

from moto.codepipeline.models import CodePipelineBackend, codepipeline_backends

from .action_types import AWS_ACTION_TYPES, ActionType, TypeKey, keep_secrets
from .exceptions import LimitExceededError, ValidationError
from .executions import ExecutionOperations
from .operations import named
from .steps import operation
from .structure import check_structure
from .validation import check

CUSTOM_ACTION_TYPES = 50
"""How many custom action types an account may have in a region (documented, 2023)."""


class JobBackend(ExecutionOperations):
    """CodePipeline in one account and region.

    Methods that are named like an API operation do what it does, with its parameters or its request
    as it came in, checked already. Creating a pipeline does not start it, other than in AWS.
    """

    # Action types

    @operation
    def create_custom_action_type(self, request: dict[str, Any]) -> ActionType:
        """Register a type, or restore a deleted one by an identical request (documented).

        Raises ValidationError, also where the type exists or a deleted one was different, and
        LimitExceededError. Both texts are unknown.
        """
        return self._register(ActionType.registered(request, "Custom"))

    @operation
    def delete_custom_action_type(self, category: str, provider: str, version: str) -> None:
        """Mark a type as deleted. A type that is not there is no error (none is modelled)."""
        self._delete(TypeKey(category, "Custom", provider, version))

    @operation
    def register_third_party_action_type(self, request: dict[str, Any]) -> ActionType:
        """Register a partner's type, or restore a deleted one by an identical request.

        ``request`` is one of CreateCustomActionType, and is checked as one is. This is no operation
        of AWS, which does not publish how partners register types; nor does it count towards the
        50. Raises ValidationError.
        """
        check("CreateCustomActionType", request)
        return self._register(ActionType.registered(deepcopy(request), "ThirdParty"))

    @operation
    def delete_third_party_action_type(self, category: str, provider: str, version: str) -> None:
        """Mark a partner's type as deleted. A type that is not there is no error."""
        self._delete(TypeKey(category, "ThirdParty", provider, version))

    @operation
    def list_action_types(self, owner: str | None = None) -> list[dict[str, Any]]:
        """All types, as the API's ``ActionType``."""
        types = AWS_ACTION_TYPES + [each.definition for each in self._live_types()]
        return [each for each in types if owner in (None, each["id"]["owner"])]

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
        """moto's, after the structure is checked. Secrets are masked in the answer."""
        check_structure(pipeline, self.action_types, self.region_name)
        created, shown_tags = super().create_pipeline(pipeline, tags)
        return self._masked(created), shown_tags

    @operation
    def update_pipeline(self, pipeline: dict[str, Any]) -> dict[str, Any]:
        """moto's, after the structure is checked; a masked secret keeps its value (documented).

        Executions under way are Cancelled, unless ``behaviour`` lets them go on.
        """
        check_structure(pipeline, self.action_types, self.region_name)
        present = self.pipelines.get(pipeline["name"])
        if present is not None:
            keep_secrets(pipeline, present.pipeline, self.action_types)
        updated = super().update_pipeline(pipeline)
        if self.behaviour.update_under_way == "cancel":
            self._cancel_executions(pipeline["name"])
        return self._masked(updated)

    @operation
    def delete_pipeline(self, name: str) -> None:
        """moto's. What is under way goes on, and nobody can ask for it any more."""
        super().delete_pipeline(name)
        self._traffic.pop(name, None)

    @operation
    def get_pipeline(self, name: str) -> tuple[dict[str, Any], dict[str, str]]:
        """moto's, with secrets masked (documented)."""
        pipeline, metadata = super().get_pipeline(name)
        return self._masked(pipeline), metadata

    list_pipelines = operation(CodePipelineBackend.list_pipelines)
    list_tags_for_resource = operation(CodePipelineBackend.list_tags_for_resource)
    tag_resource = operation(CodePipelineBackend.tag_resource)
    untag_resource = operation(CodePipelineBackend.untag_resource)

    def _masked(self, pipeline: dict[str, Any]) -> dict[str, Any]:
        shown = deepcopy(pipeline)
        for stage in shown["stages"]:
            for action in stage["actions"]:
                action_type = self.action_types.get(TypeKey.of(action["actionTypeId"]))
                if action_type is not None and "configuration" in action:
                    action["configuration"] = action_type.masked(action["configuration"])
        return shown


def backend(account_id: str, region_name: str) -> JobBackend:
    """The backend of an account and region."""
    return cast(JobBackend, codepipeline_backends[account_id][region_name])


def backends() -> list[JobBackend]:
    """All backends that are in use."""
    present = [each for _, _, each in list(codepipeline_backends.iter_backends())]
    return [each for each in present if isinstance(each, JobBackend)]


def tick_all() -> None:
    """Let everything happen that is due, in all accounts and regions."""
    for each in backends():
        each.tick()
