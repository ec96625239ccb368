"""Takes executions through their stages. It moves when something happens, and never waits.

A stage's actions run by ``runOrder``, those of the same order side by side. An action that fails
lets the others of its order end, then fails its stage and the execution. Executions of a pipeline
run side by side, whatever its execution mode: none waits for a stage, or is superseded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .action_types import ActionType, TypeKey
from .clock import Timeline
from .events import RESUMED, STARTED, action_event, pipeline_event, stage_event
from .exceptions import ActionTypeNotFoundError
from .runs import FAILED, IN_PROGRESS, SUCCEEDED, ActionRun, PipelineRun, StageRun

OWNERS_WITH_JOBS = ("Custom", "ThirdParty")


class Engine:
    """Runs pipelines.

    ``announce`` takes an event's entry; ``open_job`` is called when an action needs a worker;
    ``action_types`` are the types that are registered.
    """

    def __init__(
        self,
        timeline: Timeline,
        action_types: dict[TypeKey, ActionType],
        announce: Callable[[dict[str, Any]], None],
        open_job: Callable[[ActionRun], None],
    ) -> None:
        self._timeline = timeline
        self._action_types = action_types
        self._announce = announce
        self._open_job = open_job

    def start(self, run: PipelineRun) -> None:
        """Begin an execution, and take it as far as it goes without a worker."""
        self._announce(pipeline_event(run, STARTED, self._timeline.now()))
        self._advance(run)

    def retry(self, stage: StageRun, *, all_actions: bool) -> None:
        """Run a stage's failed actions again, or all of them, in the same execution.

        What is in progress goes on. Recorded: the execution and the stage are RESUMED, and the
        events that follow have the next attempt; each new run of an action has a new id.
        """
        run, now = stage.run, self._timeline.now()
        again = [each for each in stage.actions if all_actions or each.status == FAILED]
        run.attempt, run.retried, run.updated = run.attempt + 1, now, now
        stage.retries, stage.retried = stage.retries + 1, now
        run.status = stage.status = IN_PROGRESS
        self._announce(pipeline_event(run, RESUMED, now))
        self._announce(stage_event(stage, RESUMED, now))
        stage.renew(again)
        self._begin(stage.next_actions())
        self._advance(run)

    def succeed(self, action: ActionRun, result: dict[str, Any]) -> None:
        """End an action by a job's successful result, and go on."""
        action.take_details(result.get("executionDetails", {}))
        action.output_variables = result.get("outputVariables", {})
        if revision := result.get("currentRevision"):
            action.run.take_revision(action, revision, self._timeline.now())
        self._end(action, SUCCEEDED)
        self._advance(action.run)

    def fail(self, action: ActionRun, code: str, message: str) -> None:
        """End an action by an error, and go on."""
        self._mark_failed(action, code, message)
        self._advance(action.run)

    def _advance(self, run: PipelineRun) -> None:
        while run.status == IN_PROGRESS:
            stage = next((each for each in run.stages if each.status != SUCCEEDED), None)
            if stage is None:
                self._end_run(run, SUCCEEDED)
            elif stage.status is None:
                self._start_stage(stage)
            elif any(action.status == IN_PROGRESS for action in stage.actions):
                return
            elif any(action.status == FAILED for action in stage.actions):
                self._end_stage(stage, FAILED)
                self._end_run(run, FAILED)
            elif actions := stage.next_actions():
                self._begin(actions)
            else:
                self._end_stage(stage, SUCCEEDED)

    def _start_stage(self, stage: StageRun) -> None:
        stage.status, stage.started = IN_PROGRESS, self._timeline.now()
        self._announce(stage_event(stage, STARTED, stage.started))

    def _begin(self, actions: list[ActionRun]) -> None:
        """Start actions of one order, all before any can fail, since each may end at once."""
        for action in actions:
            self._start(action)
        for action in actions:
            self._work(action)

    def _start(self, action: ActionRun) -> None:
        action.status = IN_PROGRESS
        action.started = action.changed = self._timeline.now()
        action.action_type = self._action_types.get(action.type_key)
        action.configuration = action.run.resolve(action.declaration.get("configuration", {}))
        action.run.place_artifacts(action)
        action.run.begun.append(action)
        self._announce(action_event(action, STARTED, action.started))

    def _work(self, action: ActionRun) -> None:
        if action.type_id["owner"] not in OWNERS_WITH_JOBS:
            self._end(action, SUCCEEDED)
        elif action.action_type is None or action.action_type.deleted:
            problem = ActionTypeNotFoundError(action.type_id).message
            self._mark_failed(action, "ConfigurationError", problem)
        else:
            self._open_job(action)

    def _mark_failed(self, action: ActionRun, code: str, message: str) -> None:
        # Recorded: a failure's message is the action's external execution summary as well.
        action.error, action.summary = {"code": code, "message": message}, message
        self._end(action, FAILED)

    def _end(self, action: ActionRun, status: str) -> None:
        action.status, action.changed = status, self._timeline.now()
        action.run.updated = action.changed
        self._announce(action_event(action, status.upper(), action.changed))

    def _end_stage(self, stage: StageRun, status: str) -> None:
        stage.status = status
        self._announce(stage_event(stage, status.upper(), self._timeline.now()))

    def _end_run(self, run: PipelineRun, status: str) -> None:
        run.status, run.updated = status, self._timeline.now()
        self._announce(pipeline_event(run, status.upper(), run.updated))
