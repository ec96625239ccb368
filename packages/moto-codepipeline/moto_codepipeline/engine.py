"""Takes executions through their stages. It acts when something happens, and never waits.

A stage's actions run by ``runOrder``, those with the same number in parallel. When an action fails,
the others with its ``runOrder`` run to their end, then the stage and the execution fail. An
execution that is being stopped lets its actions end or abandons them, and starts no others.
``traffic`` decides which execution may enter a stage.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .action_types import LAMBDA, ActionType, TypeKey, aws_types
from .clock import Timeline
from .events import CANCELED, RESUMED, STARTED, action_event, pipeline_event, stage_event, state_of
from .exceptions import ActionTypeNotFoundError
from .runs import (
    ABANDONED,
    CANCELLED,
    FAILED,
    IN_PROGRESS,
    STOPPED,
    STOPPING,
    SUCCEEDED,
    SUPERSEDED,
    UNDER_WAY,
    ActionFailedError,
    ActionRun,
    PipelineRun,
    StageRun,
)
from .traffic import Traffic

OWNERS_WITH_JOBS = ("Custom", "ThirdParty")

OwnAction = Callable[[ActionRun], dict[str, Any] | None]
"""Runs an action of AWS's own: returns a result like a job's, or None while it is in progress.

Raises ActionFailedError."""


NOTHING_DONE = {"executionDetails": {"summary": "Succeeded without doing anything"}}


@dataclass(eq=False)
class Engine:
    """Runs pipelines.

    ``announce`` takes an event's entry; ``open_job`` is called when an action needs a worker, and
    ``withdraw_job`` when it no longer needs one; ``action_types`` are the registered types.
    ``own_actions`` are what AWS's own actions do, by type; others succeed without doing anything.
    """

    timeline: Timeline
    action_types: dict[TypeKey, ActionType]
    announce: Callable[[dict[str, Any]], None]
    open_job: Callable[[ActionRun], None]
    withdraw_job: Callable[[ActionRun], None]
    own_actions: Mapping[TypeKey, OwnAction]

    def start(self, run: PipelineRun) -> None:
        """Begin an execution, and run it until it needs a worker, or fail it (recorded)."""
        self.announce(pipeline_event(run, STARTED, self.timeline.now()))
        if run.missing:
            missing = ", ".join(run.missing)
            run.status_summary = f"Values for required variables haven't been provided: {missing}"
            self._end_run(run, FAILED)
        self._advance(run)

    def retry(self, stage: StageRun, *, all_actions: bool) -> None:
        """Run a stage's failed or abandoned actions again, or all of them, in the same execution.

        Actions in progress go on. Recorded: the execution and the stage are RESUMED, and later
        events have the next attempt; each new run of an action has a new id.
        """
        run, now = stage.run, self.timeline.now()
        failed = (FAILED, ABANDONED)
        again = [each for each in stage.actions if all_actions or each.status in failed]
        run.attempt, run.retried, run.updated = run.attempt + 1, now, now
        stage.retries, stage.retried = stage.retries + 1, now
        run.status = stage.status = IN_PROGRESS
        run.status_summary = run.stopped_for = None
        run.traffic.claim(stage.name, run)
        self.announce(pipeline_event(run, RESUMED, now))
        self.announce(stage_event(stage, RESUMED, now))
        stage.renew(again)
        self._begin(stage.next_actions())
        self._advance(run)

    def stop(self, stage: StageRun, trigger: dict[str, str], *, abandon: bool) -> None:
        """Stop an execution in a stage that has actions in progress: abandon them, or let them end.

        Recorded: it is Stopping until then, and has the reason as its summary once it is Stopped.
        """
        run, now = stage.run, self.timeline.now()
        run.stopped_for, run.updated = trigger, now
        if run.status != STOPPING:
            run.status = stage.status = STOPPING
            self.announce(pipeline_event(run, state_of(STOPPING), now))
            self.announce(stage_event(stage, state_of(STOPPING), now))
        if abandon:
            self._give_up(stage, state_of(ABANDONED))
        self._advance(run)

    def cancel(self, runs: list[PipelineRun]) -> None:
        """End executions whose pipeline was updated, including those that wait for a stage."""
        for run in runs:
            run.traffic.forget(run)
            stage = run.stage
            if stage is not None and stage.status in UNDER_WAY:
                self._give_up(stage, CANCELED)
                self._end_stage(stage, CANCELLED)
            self._end_run(run, CANCELLED)

    def succeed(self, action: ActionRun, result: dict[str, Any]) -> None:
        """End an action by a job's successful result, and go on."""
        self._take(action, result)
        self._advance(action.run)

    def _take(self, action: ActionRun, result: dict[str, Any]) -> None:
        action.take_details(result.get("executionDetails", {}))
        action.output_variables = result.get("outputVariables", {})
        if (revision := result.get("currentRevision")) and action.type_key != LAMBDA:  # recorded
            action.run.take_revision(action, revision, self.timeline.now())
        self._end(action, SUCCEEDED)

    def answer(self, action: ActionRun, summary: str, approved: bool) -> None:
        """End an action that waited for an approval, and go on."""
        action.summary = summary
        self._end(action, SUCCEEDED if approved else FAILED)
        self._advance(action.run)

    def admit(self, traffic: Traffic[PipelineRun]) -> None:
        """Continue the executions that waited for a stage and may now enter it."""
        for run in traffic.admit():
            self._advance(run)

    def fail(self, action: ActionRun, code: str, message: str) -> None:
        """End an action by an error, and go on."""
        self._mark_failed(action, code, message)
        self._advance(action.run)

    def _advance(self, run: PipelineRun) -> None:
        """Run an execution until it waits, then those that waited for a stage that it has left."""
        moving = deque([run])
        while moving:
            run = moving.popleft()
            while run.status in UNDER_WAY and self._step(run):
                pass
            moving.extend(run.traffic.admit())

    def _step(self, run: PipelineRun) -> bool:
        """Do the next step of an execution. False: it waits."""
        stage = run.stage
        if stage is None:
            self._end_run(run, SUCCEEDED)
        elif stage.status is None:
            return self._enter(stage)
        elif stage.in_progress:
            return False
        elif run.status == STOPPING:
            self._end_stage(stage, STOPPED)
            run.status_summary = (run.stopped_for or {}).get("reason")
            self._end_run(run, STOPPED)
        elif any(action.status == FAILED for action in stage.actions):
            self._end_stage(stage, FAILED)
            self._end_run(run, FAILED)
        elif actions := stage.next_actions():
            self._begin(actions)
        else:
            self._end_stage(stage, SUCCEEDED)
        return True

    def _enter(self, stage: StageRun) -> bool:
        """Start a stage. False: its execution waits until another has left it."""
        run = stage.run
        if run.traffic.enter(stage.name, run):
            stage.status, stage.started = IN_PROGRESS, self.timeline.now()
            self.announce(stage_event(stage, STARTED, stage.started))
            return True
        for superseded in run.traffic.wait(stage.name, run):
            self._end_run(superseded, SUPERSEDED)
        return False

    def _begin(self, actions: list[ActionRun]) -> None:
        """Start actions with the same runOrder, all before any can fail: each may end at once."""
        for action in actions:
            self._start(action)
        for action in actions:
            self._work(action)

    def _start(self, action: ActionRun) -> None:
        action.status = IN_PROGRESS
        action.started = action.changed = self.timeline.now()
        action.action_type = (aws_types(action.region) | self.action_types).get(action.type_key)
        action.configuration = action.run.resolve(action.declaration.get("configuration", {}))
        action.run.place_artifacts(action)
        action.run.begun.append(action)
        self.announce(action_event(action, STARTED, action.started))

    def _work(self, action: ActionRun) -> None:
        if action.type_id["owner"] not in OWNERS_WITH_JOBS:
            self._work_own(action)
        elif action.action_type is None or action.action_type.deleted:
            problem = ActionTypeNotFoundError(action.type_id).message
            self._mark_failed(action, "ConfigurationError", problem)
        else:
            self.open_job(action)

    def _work_own(self, action: ActionRun) -> None:
        work = self.own_actions.get(action.type_key)
        try:
            result = work(action) if work else NOTHING_DONE
        except ActionFailedError as error:
            self._mark_failed(action, error.code, error.message)
        else:
            if result is not None:
                self._take(action, result)

    def _mark_failed(self, action: ActionRun, code: str, message: str) -> None:
        # Recorded: a failure's message is the action's external execution summary as well.
        action.error, action.summary = {"code": code, "message": message}, message
        self._end(action, FAILED)

    def _give_up(self, stage: StageRun, state: str) -> None:
        for action in stage.in_progress:
            self.withdraw_job(action)
            self._end(action, ABANDONED, state)

    def _end(self, action: ActionRun, status: str, state: str | None = None) -> None:
        action.status, action.changed = status, self.timeline.now()
        action.run.updated = action.changed
        self.announce(action_event(action, state or state_of(status), action.changed))

    def _end_stage(self, stage: StageRun, status: str) -> None:
        stage.status = status
        stage.run.traffic.leave(stage.name, stage.run)
        self.announce(stage_event(stage, state_of(status), self.timeline.now()))

    def _end_run(self, run: PipelineRun, status: str) -> None:
        run.status, run.updated = status, self.timeline.now()
        self.announce(pipeline_event(run, state_of(status), run.updated))
