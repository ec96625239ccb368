"""Executions: how they are started, stopped, retried and described."""

from collections import defaultdict
from contextlib import suppress
from copy import deepcopy
from typing import Any, TypeVar

from moto.codepipeline.exceptions import (
    PipelineExecutionNotFoundException,
    PipelineNotFoundException,
)
from moto.codepipeline.models import CodePipeline

from .action_types import APPROVAL, TypeKey, actions_of, aws_types
from .clock import Appointment
from .exceptions import (
    ActionNotFoundError,
    ConcurrentPipelineExecutionsLimitExceededError,
    DuplicatedStopRequestError,
    InvalidApprovalTokenError,
    InvalidNextTokenError,
    NotLatestPipelineExecutionError,
    PipelineExecutionNotStoppableError,
    StageNotFoundError,
    StageNotRetryableError,
    ValidationError,
)
from .operations import JobOperations
from .runs import (
    FAILED,
    IN_PROGRESS,
    STOPPED,
    STOPPING,
    SUCCEEDED,
    UNDER_WAY,
    ActionRun,
    PipelineRun,
    StageRun,
    without_none,
)
from .sources import LOOK_SECONDS, VERSION_ID, polls, version_of
from .steps import operation
from .structure import repeated
from .traffic import PARALLEL, SUPERSEDING, Traffic

EXECUTIONS = 50
"""How many can be in progress in a mode other than SUPERSEDED (documented)."""

Item = TypeVar("Item")


class ExecutionOperations(JobOperations):
    """The executions of an account's and region's pipelines."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._start_tokens: dict[str, dict[str | None, str]] = defaultdict(dict)
        self._traffic: dict[str, Traffic[PipelineRun]] = defaultdict(Traffic)
        self._looks: dict[str, Appointment] = {}
        self._seen_versions: dict[str, dict[str, str]] = defaultdict(dict)

    @operation
    def start_pipeline_execution(
        self,
        name: str,
        variables: list[dict[str, str]] | None,
        client_request_token: str | None = None,
        source_revisions: list[dict[str, str]] | None = None,
    ) -> str:
        """Start an execution; the same client request token starts only one.

        One without a value for a variable that has no default fails at once (recorded). Of the
        API's ``SourceRevisionOverride`` only the type S3_OBJECT_VERSION_ID is known here.
        Raises PipelineNotFoundException, ValidationError and
        ConcurrentPipelineExecutionsLimitExceededError.
        """
        pipeline = self._pipeline(name)
        _check_start(pipeline.pipeline, variables or [], source_revisions or [])
        started = self._start_tokens[name]
        if client_request_token and client_request_token in started:
            return started[client_request_token]
        revisions = {each["actionName"]: each["revisionValue"] for each in source_revisions or []}
        execution_id = self._begin(pipeline, variables, source_revisions=revisions)
        started[client_request_token] = execution_id
        return execution_id

    def _begin(
        self, pipeline: CodePipeline, variables: list[dict[str, str]] | None, **more: Any
    ) -> str:
        self._check_number(pipeline)
        run = self._run(pipeline, variables, **more)
        pipeline.executions[run.pipeline_execution_id] = run
        self._engine.start(run)
        return run.pipeline_execution_id

    def _check_number(self, pipeline: CodePipeline, besides: str | None = None) -> None:
        """Raise ConcurrentPipelineExecutionsLimitExceededError if no more can be in progress."""
        if pipeline.pipeline.get("executionMode", SUPERSEDING) == SUPERSEDING:
            return
        runs = [run for run in self._runs(pipeline) if run.status in UNDER_WAY]
        if len([run for run in runs if run.pipeline_execution_id != besides]) >= EXECUTIONS:
            name = pipeline.pipeline["name"]
            raise ConcurrentPipelineExecutionsLimitExceededError(name, EXECUTIONS)

    def _run(
        self, pipeline: CodePipeline, variables: list[dict[str, str]] | None = None, **more: Any
    ) -> PipelineRun:
        started = {"triggerType": "StartPipelineExecution", "triggerDetail": self._somebody}
        return PipelineRun(
            pipeline.metadata["pipelineArn"],
            self.region_name,
            pipeline.pipeline,
            variables,
            self._timeline.now(),
            traffic=self._traffic[pipeline.pipeline["name"]],
            **{"trigger": started} | more,
        )

    def _look_at_sources(self, name: str) -> None:
        """Look for changes in a pipeline's sources that ask for it, now and from now on."""
        if looks := self._looks.pop(name, None):
            looks.cancel()
        pipeline = self.pipelines.get(name)
        actions = [action for _, action in actions_of(pipeline.pipeline)] if pipeline else []
        sources = [action for action in actions if polls(action)]
        if pipeline is None or not sources:
            return
        seen = self._seen_versions[name]
        for source in sources:
            action_name, version = source["name"], version_of(source)
            if version is not None and seen.get(action_name) != version:
                trigger = {"triggerType": "PollForSourceChanges", "triggerDetail": action_name}
                # The next look tries again if there are too many executions now.
                with suppress(ConcurrentPipelineExecutionsLimitExceededError):
                    self._begin(pipeline, None, trigger=trigger)
                    seen[action_name] = version
        self._looks[name] = self._timeline.after(LOOK_SECONDS, lambda: self._look_at_sources(name))

    @operation
    def stop_pipeline_execution(
        self, name: str, execution_id: str, abandon: bool | None = None, reason: str | None = None
    ) -> str:
        """Stop an execution; return its id.

        Its actions in progress run to their end, or are abandoned. While it waits for them, a
        second call can still abandon them (documented). Raises PipelineNotFoundException,
        PipelineExecutionNotStoppableError, also for an execution that only waits for a stage (as
        the recorded text says), and DuplicatedStopRequestError.
        """
        run = self._pipeline(name).executions.get(execution_id)
        stage = run.stage if isinstance(run, PipelineRun) and run.status in UNDER_WAY else None
        if stage is None or not stage.in_progress:
            raise PipelineExecutionNotStoppableError(name, execution_id)
        if stage.run.status == STOPPING and not abandon:
            raise DuplicatedStopRequestError(name, execution_id)
        self._engine.stop(stage, without_none(reason=reason), abandon=bool(abandon))
        return execution_id

    @operation
    def retry_stage_execution(
        self, name: str, stage_name: str, execution_id: str, retry_mode: str
    ) -> str:
        """Retry a failed or stopped stage's FAILED_ACTIONS or ALL_ACTIONS; return the same id.

        Documented: failed actions can be retried while others of the stage are in progress, but
        all actions can't; after a change of the structure neither can. Raises
        PipelineNotFoundException, StageNotFoundError, NotLatestPipelineExecutionError, also if the
        execution does not exist (the model has no better error), StageNotRetryableError and
        ConcurrentPipelineExecutionsLimitExceededError.
        """
        pipeline = self._pipeline(name)
        if stage_name not in [each["name"] for each in pipeline.pipeline["stages"]]:
            raise StageNotFoundError(name, stage_name)
        stage = self._latest_in_stage(pipeline, stage_name, execution_id)
        if stage.run.pipeline_version != pipeline.pipeline["version"]:
            raise StageNotRetryableError("The pipeline structure was changed after the execution")
        statuses = [action.status for action in stage.actions]
        if stage.status == STOPPING:
            raise StageNotRetryableError(f"Stage '{stage_name}' is being stopped")
        if FAILED not in statuses and stage.status != STOPPED:
            raise StageNotRetryableError(f"Stage '{stage_name}' has no failed actions")
        all_actions = retry_mode == "ALL_ACTIONS"
        if all_actions and IN_PROGRESS in statuses:
            raise StageNotRetryableError(f"Stage '{stage_name}' has actions in progress")
        self._check_number(pipeline, execution_id)
        self._engine.retry(stage, all_actions=all_actions)
        return execution_id

    @operation
    def put_approval_result(
        self, name: str, stage: str, action: str, result: dict[str, str], token: str
    ) -> float:
        """Answer an approval; return the time, in seconds since the epoch.

        Raises PipelineNotFoundException, StageNotFoundError, ActionNotFoundError,
        InvalidApprovalTokenError and ApprovalAlreadyCompletedError.
        """
        pipeline = self._pipeline(name)
        self._find_action(pipeline.pipeline, stage, action)
        begun = (each for run in self._runs(pipeline) for each in run.begun)
        asked = (APPROVAL, stage, action, token)
        found = next((e for e in begun if (e.type_key, e.stage.name, e.name, e.id) == asked), None)
        if found is None:
            raise InvalidApprovalTokenError("The approval token is not valid")
        return self._approvals.answer(found, result, self._somebody)

    @operation
    def put_action_revision(
        self, name: str, stage: str, action: str, revision: dict[str, Any]
    ) -> tuple[bool, str]:
        """Report a source's revision; return whether it is new, and the execution's id.

        A new one starts an execution. Raises PipelineNotFoundException, StageNotFoundError,
        ActionNotFoundError and ConcurrentPipelineExecutionsLimitExceededError.
        """
        pipeline = self._pipeline(name)
        self._find_action(pipeline.pipeline, stage, action)
        seen, executions = self._seen_versions[name], list(pipeline.executions)
        if seen.get(action) == revision["revisionId"] and executions:
            return False, executions[-1]
        trigger = {"triggerType": "PutActionRevision", "triggerDetail": action}
        execution_id = self._begin(pipeline, None, trigger=trigger)
        seen[action] = revision["revisionId"]
        return True, execution_id

    @operation
    def set_stage_transition(
        self, name: str, stage: str, transition_type: str, reason: str | None
    ) -> None:
        """Disable a stage's transition with a reason, or enable it without one.

        The outbound transition is the inbound one of the next stage. Raises
        PipelineNotFoundException and StageNotFoundError.
        """
        stages = [each["name"] for each in self._pipeline(name).pipeline["stages"]]
        if stage not in stages:
            raise StageNotFoundError(name, stage)
        index = stages.index(stage) + (transition_type == "Outbound")
        if index == len(stages):
            return
        state = {
            "enabled": reason is None,
            "lastChangedBy": self._somebody,
            "lastChangedAt": round(self._timeline.now(), 3),
        }
        traffic = self._traffic[name]
        traffic.set_transition(stages[index], state | without_none(disabledReason=reason))
        self._engine.admit(traffic)

    def disabled_transitions(self, name: str) -> dict[str, str]:
        """The reasons of the disabled inbound transitions, by stage: not an AWS operation."""
        stages = [each["name"] for each in self._pipeline(name).pipeline["stages"]]
        states = {stage: self._traffic[name].transition(stage) for stage in stages}
        return {s: each["disabledReason"] for s, each in states.items() if not each["enabled"]}

    @property
    def _somebody(self) -> str:
        """The caller of an operation, which is unknown here."""
        return f"arn:{self.partition}:iam::{self.account_id}:root"

    @staticmethod
    def _find_action(pipeline: dict[str, Any], stage: str, action: str) -> None:
        actions = {each["name"]: each["actions"] for each in pipeline["stages"]}
        if stage not in actions:
            raise StageNotFoundError(pipeline["name"], stage)
        if action not in [each["name"] for each in actions[stage]]:
            raise ActionNotFoundError(stage, action)

    def _latest_in_stage(self, pipeline: CodePipeline, name: str, execution_id: str) -> StageRun:
        """An execution's stage, unless a later execution, not a PARALLEL one, has entered it."""
        for run in self._runs(pipeline):
            stage = next((each for each in run.stages if each.name == name), None)
            if run.pipeline_execution_id == execution_id and stage is not None:
                return stage
            if stage is not None and stage.status and run.execution_mode != PARALLEL:
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
            or any(each.name == succeeded_in and each.status == SUCCEEDED for each in run.stages)
        ]
        shown, next_token = _page(runs, limit, token)
        return [run.to_summary_dict() for run in shown], next_token

    @operation
    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        """The answer of GetPipelineState."""
        pipeline = self._pipeline(name)
        stages = [self._stage_state(pipeline, each) for each in pipeline.pipeline["stages"]]
        return deepcopy(
            {
                "pipelineName": name,
                "pipelineVersion": pipeline.pipeline["version"],
                "stageStates": stages,
                "created": pipeline.metadata["created"],
                "updated": pipeline.metadata["updated"],
            }
        )

    def _stage_state(self, pipeline: CodePipeline, declared: dict[str, Any]) -> dict[str, Any]:
        """The API's ``StageState`` of a declared stage."""
        name, traffic = declared["name"], self._traffic[pipeline.pipeline["name"]]
        stages = (each for run in self._runs(pipeline) for each in run.stages)
        latest = next((each for each in stages if each.name == name and each.status), None)
        inbound = [
            each.execution()
            for run in traffic.before(name)
            for each in run.stages
            if each.name == name
        ]
        return without_none(
            stageName=name,
            inboundExecution=inbound[0] if inbound else None,
            inboundExecutions=inbound,
            inboundTransitionState=traffic.transition(name),
            actionStates=[self._action_state(latest, action) for action in declared["actions"]],
            latestExecution=latest.execution() if latest else None,
            retryStageMetadata=latest.retry_metadata() if latest else None,
        )

    def _action_state(self, stage: StageRun | None, action: dict[str, Any]) -> dict[str, Any]:
        """The API's ``ActionState`` of a declared action, in the stage's latest execution."""
        begun = stage.run.begun if stage else []
        mine = (e for e in reversed(begun) if (e.stage, e.name) == (stage, action["name"]))
        latest = next(mine, None)  # recorded: none of an earlier execution
        known = aws_types(action.get("region", self.region_name)) | self.action_types
        action_type = known.get(TypeKey.of(action["actionTypeId"]))
        configuration = latest.configuration if latest else action["configuration"]
        external_id = latest.external_id if latest else None

        def url(template: str) -> str | None:
            return action_type.url(template, configuration, external_id) if action_type else None

        return without_none(
            actionName=action["name"],
            currentRevision=latest.revision if latest else None,
            latestExecution=latest.state() if latest else None,
            entityUrl=url("entityUrlTemplate"),
            revisionUrl=url("revisionUrlTemplate"),
        )

    @operation
    def list_action_executions(
        self, name: str, execution_id: str | None, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of the API's ``ActionExecutionDetail``, newest first."""
        pipeline = self.pipelines.get(name)
        if pipeline is None:
            # Recorded: other operations have another text.
            raise PipelineNotFoundException(
                f"The account with AWS account ID '{self.account_id}' does not include a pipeline "
                f"named '{name}'"
            )
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
        shown, next_token = _page(actions, limit, token)
        return deepcopy([action.detail() for action in shown]), next_token

    @operation
    def overview(self) -> list[dict[str, Any]]:
        """Each pipeline's ``name`` and latest executions: not an AWS operation.

        ``status`` of the latest, ``underWay``, the status of each that is, by id, newest first, or
        None while it only waits for a stage, and ``stages``: ``name``, ``held``, why its transition
        is disabled, and of the latest ``execution`` that reached it, an id, the ``status`` and
        ``actions``: ``name``, ``status``, ``type`` as in an ARN, ``jobId`` and ``jobStatus`` of the
        newest job, ``token`` of a waiting approval, and ``error``; None for what does not exist.
        """
        return [self._latest(name, pipeline) for name, pipeline in self.pipelines.items()]

    def _latest(self, name: str, pipeline: CodePipeline) -> dict[str, Any]:
        runs, held = self._runs(pipeline), self.disabled_transitions(name)
        reached = {each.name: each for run in reversed(runs) for each in run.stages if each.status}
        stages = [
            {"name": stage.name, "status": stage.status, "held": held.get(stage.name)}
            | {"execution": stage.status and stage.run.pipeline_execution_id}
            | {"actions": [self._seen(each) for each in stage.actions]}
            for stage in (reached.get(each.name, each) for each in self._run(pipeline).stages)
        ]
        going = [run for run in runs if run.status in UNDER_WAY]
        busy = [run for run in going if run.stage and run.stage.in_progress]
        under_way = {r.pipeline_execution_id: r.status if r in busy else None for r in going}
        status = runs[0].status if runs else None
        return {"name": name, "status": status, "underWay": under_way, "stages": stages}

    def _seen(self, action: ActionRun) -> dict[str, Any]:
        job = self._board.find(action.job_id) if action.job_id else None
        return {
            "name": action.name,
            "type": "{owner}/{category}/{provider}/{version}".format(**action.type_id),
            "status": action.status,
            "jobId": action.job_id,
            "jobStatus": job.status if job else None,
            "token": action.token,
            "error": action.error["message"] if action.error else None,
        }

    def _cancel_executions(self, name: str) -> None:
        runs = self._runs(self._pipeline(name))
        self._engine.cancel([run for run in reversed(runs) if run.status in UNDER_WAY])

    def _pipeline(self, name: str) -> CodePipeline:
        super().get_pipeline(name)
        return self.pipelines[name]

    @staticmethod
    def _runs(pipeline: CodePipeline) -> list[PipelineRun]:
        runs = reversed(pipeline.executions.values())
        return [run for run in runs if isinstance(run, PipelineRun)]


def _page(items: list[Item], limit: int, token: str | None) -> tuple[list[Item], str | None]:
    """One page of ``items``, and the token of the next page if there is one."""
    if token is not None and not (token.isdecimal() and token.isascii()):
        raise InvalidNextTokenError
    begin = int(token or 0)
    end = begin + limit
    return items[begin:end], str(end) if end < len(items) else None


def _check_start(
    pipeline: dict[str, Any], variables: list[dict[str, str]], revisions: list[dict[str, str]]
) -> None:
    """Raise ValidationError for what StartPipelineExecution refuses (recorded, but for a type)."""
    if name := repeated([each["name"] for each in variables]):
        raise ValidationError(
            f"Variable names must be unique. The following variable name is already in use: {name}"
        )
    actions = [action for _, action in actions_of(pipeline)]
    sources = [each["name"] for each in actions if each["actionTypeId"]["category"] == "Source"]
    for each in revisions:
        if each["actionName"] not in sources:
            raise ValidationError(
                "The action name provided in the source revision is not valid. "
                "The action must be a source action in your pipeline."
            )
        if each["revisionType"] != VERSION_ID:
            raise ValidationError(
                f"This CodePipeline takes source revisions of the type {VERSION_ID} only, "
                f"not {each['revisionType']}"
            )
