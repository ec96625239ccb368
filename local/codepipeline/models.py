"""The backend: moto's CodePipeline, with action types, jobs and pipelines that really run."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

from moto.codepipeline.exceptions import PipelineExecutionNotFoundException
from moto.codepipeline.models import CodePipeline, CodePipelineBackend, codepipeline_backends

from .action_types import AWS_ACTION_TYPES, ActionType, TypeKey, keep_secrets
from .exceptions import (
    LimitExceededError,
    NotLatestPipelineExecutionError,
    StageNotFoundError,
    StageNotRetryableError,
    ValidationError,
)
from .operations import JobOperations, named
from .runs import FAILED, IN_PROGRESS, PipelineRun, StageRun
from .states import page, stage_states
from .steps import operation
from .structure import check_structure
from .validation import check

CUSTOM_ACTION_TYPES = 50
"""How many custom action types an account may have in a region (documented, 2023)."""


class JobBackend(JobOperations):
    """CodePipeline in one account and region.

    Methods that are named like an API operation do what it does, with its parameters or its request
    as it came in, checked already. Creating a pipeline does not start it, other than in AWS.
    """

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._start_tokens: dict[tuple[str, str], str] = {}

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
        """moto's, after the structure is checked; a masked secret keeps its value (documented)."""
        check_structure(pipeline, self.action_types, self.region_name)
        present = self.pipelines.get(pipeline["name"])
        if present is not None:
            keep_secrets(pipeline, present.pipeline, self.action_types)
        return self._masked(super().update_pipeline(pipeline))

    @operation
    def get_pipeline(self, name: str) -> tuple[dict[str, Any], dict[str, str]]:
        """moto's, with secrets masked (documented)."""
        pipeline, metadata = super().get_pipeline(name)
        return self._masked(pipeline), metadata

    list_pipelines = operation(CodePipelineBackend.list_pipelines)
    delete_pipeline = operation(CodePipelineBackend.delete_pipeline)
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

    # Executions

    @operation
    def start_pipeline_execution(
        self,
        name: str,
        variables: list[dict[str, str]] | None,
        client_request_token: str | None = None,
    ) -> str:
        """Start an execution; the same client request token starts no second one."""
        pipeline = self._pipeline(name)
        token = (name, client_request_token) if client_request_token else None
        if token is not None and token in self._start_tokens:
            return self._start_tokens[token]
        run = PipelineRun(
            pipeline.metadata["pipelineArn"],
            self.region_name,
            pipeline.pipeline,
            variables,
            self._timeline.now(),
        )
        pipeline.executions[run.pipeline_execution_id] = run
        if token is not None:
            self._start_tokens[token] = run.pipeline_execution_id
        self._engine.start(run)
        return run.pipeline_execution_id

    @operation
    def retry_stage_execution(
        self, name: str, stage_name: str, execution_id: str, retry_mode: str
    ) -> str:
        """Retry a failed stage's FAILED_ACTIONS or ALL_ACTIONS; answers the same execution id.

        Documented: failed actions can be retried while others of the stage are in progress, all
        can't; and neither after the structure was changed. Raises PipelineNotFoundException,
        StageNotFoundError, NotLatestPipelineExecutionError, also for an execution that there is not
        (the model has no better error), and StageNotRetryableError.
        """
        pipeline = self._pipeline(name)
        if stage_name not in [each["name"] for each in pipeline.pipeline["stages"]]:
            raise StageNotFoundError(name, stage_name)
        stage = self._latest_in_stage(pipeline, stage_name, execution_id)
        if stage.run.pipeline_version != pipeline.pipeline["version"]:
            raise StageNotRetryableError("The pipeline structure was changed after the execution")
        statuses = [action.status for action in stage.actions]
        if FAILED not in statuses:
            raise StageNotRetryableError(f"Stage '{stage_name}' has no failed actions")
        all_actions = retry_mode == "ALL_ACTIONS"
        if all_actions and IN_PROGRESS in statuses:
            raise StageNotRetryableError(f"Stage '{stage_name}' has actions in progress")
        self._engine.retry(stage, all_actions=all_actions)
        return execution_id

    def _latest_in_stage(self, pipeline: CodePipeline, name: str, execution_id: str) -> StageRun:
        """An execution's stage, unless a later execution has entered it that is not PARALLEL."""
        for run in self._runs(pipeline):
            stage = next((each for each in run.stages if each.name == name), None)
            if run.pipeline_execution_id == execution_id and stage is not None:
                return stage
            if stage is not None and stage.status and run.execution_mode != "PARALLEL":
                break
        raise NotLatestPipelineExecutionError(name, execution_id)

    @operation
    def describe_pipeline_execution(self, name: str, execution_id: str) -> dict[str, Any]:
        """The API's ``PipelineExecution``."""
        return deepcopy(self.get_pipeline_execution(name, execution_id).to_dict())

    @operation
    def summarize_pipeline_executions(
        self, name: str, succeeded_in: str | None, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of the API's ``PipelineExecutionSummary``, newest first."""
        runs = [
            run
            for run in self._runs(self._pipeline(name))
            if succeeded_in is None
            or any(each.name == succeeded_in and each.status == "Succeeded" for each in run.stages)
        ]
        shown, next_token = page(runs, limit, token)
        return [run.to_summary_dict() for run in shown], next_token

    @operation
    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        """The answer of GetPipelineState."""
        pipeline = self._pipeline(name)
        states = stage_states(pipeline.pipeline, self._runs(pipeline), self.action_types)
        return deepcopy(
            {
                "pipelineName": name,
                "pipelineVersion": pipeline.pipeline["version"],
                "stageStates": states,
                "created": pipeline.metadata["created"],
                "updated": pipeline.metadata["updated"],
            }
        )

    @operation
    def list_action_executions(
        self, name: str, execution_id: str | None, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of the API's ``ActionExecutionDetail``, newest first."""
        pipeline = self._pipeline(name)
        if execution_id is not None and execution_id not in pipeline.executions:
            raise PipelineExecutionNotFoundException(
                f"Account '{self.account_id}' does not have an execution with id "
                f"'{execution_id}' for pipeline '{name}'"
            )
        actions = [
            action
            for run in self._runs(pipeline)
            if execution_id in (None, run.pipeline_execution_id)
            for action in reversed(run.begun)
        ]
        actions.sort(key=lambda action: action.started, reverse=True)
        shown, next_token = page(actions, limit, token)
        return deepcopy([action.detail() for action in shown]), next_token

    def _pipeline(self, name: str) -> CodePipeline:
        super().get_pipeline(name)
        return self.pipelines[name]

    @staticmethod
    def _runs(pipeline: CodePipeline) -> list[PipelineRun]:
        runs = reversed(pipeline.executions.values())
        return [run for run in runs if isinstance(run, PipelineRun)]


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
