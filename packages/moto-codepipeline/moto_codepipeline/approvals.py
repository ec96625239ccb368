"""Manual approvals: an action waits for an answer with its token, or until it times out.

Documented: the notification's message, seven days unless ``timeoutInMinutes`` says otherwise.
Recorded: subject, links and token, the texts for a missing summary and an approval out of date.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .clock import Appointment, Timeline
from .exceptions import ApprovalAlreadyCompletedError, InvalidApprovalTokenError
from .runs import FAILED, IN_PROGRESS, SUCCEEDED, ActionRun

TIMEOUT_MINUTES = 7 * 24 * 60
SUBJECT_CHARACTERS = 100
NAME_CHARACTERS = 24


@dataclass(eq=False)
class Approvals:
    """The approvals of an account and region. Not thread-safe: its owner holds a lock.

    ``end`` is called with an action, its summary and whether it was approved; ``fail`` with an
    action, an error code and a message; ``publish`` with a topic's ARN, a subject and a message.
    """

    timeline: Timeline
    end: Callable[[ActionRun, str, bool], None]
    fail: Callable[[ActionRun, str, str], None]
    publish: Callable[[str, str, str], None]
    _timeouts: dict[ActionRun, Appointment] = field(default_factory=dict)

    def __call__(self, action: ActionRun) -> None:
        """Ask for an approval."""
        seconds = action.declaration.get("timeoutInMinutes", TIMEOUT_MINUTES) * 60
        self._timeouts[action] = self.timeline.after(seconds, lambda: self._time_out(action))
        if topic := action.configuration.get("NotificationArn"):
            name = action.run.pipeline_name
            short = name if len(name) <= NAME_CHARACTERS else f"{name[:NAME_CHARACTERS]}..."
            subject = f"APPROVAL NEEDED: AWS CodePipeline {short} for action {action.name}"
            message = json.dumps(_message(action, self.timeline.now() + seconds))
            self.publish(topic, subject[:SUBJECT_CHARACTERS], message)

    def answer(self, action: ActionRun, result: dict[str, str], by: str) -> float:
        """Take the API's ``ApprovalResult``; return the time. Raises ApprovalAlreadyCompletedError,
        and InvalidApprovalTokenError for an approval that is out of date or needs a summary."""
        if action.status in (SUCCEEDED, FAILED):
            raise ApprovalAlreadyCompletedError
        if action.status != IN_PROGRESS:
            raise InvalidApprovalTokenError(
                f"The pipeline {action.run.pipeline_name} has been updated, and the approval "
                "request you responded to is now out of date."
            )
        required = action.configuration.get("IsSummaryRequired") == "true"
        if required and not result["summary"].strip():
            raise InvalidApprovalTokenError(
                f"Action '{action.name}' in stage '{action.stage.name}' requires a summary. "
                "Provide a summary in the approval result and try again."
            )
        self.withdraw(action)
        action.updated_by = by
        self.end(action, result["summary"], result["status"] == "Approved")
        return round(self.timeline.now(), 3)

    def withdraw(self, action: ActionRun) -> None:
        """Stop waiting for an action's approval."""
        self._timeouts.pop(action).cancel()

    def _time_out(self, action: ActionRun) -> None:
        self.withdraw(action)
        self.fail(action, "JobFailed", "The approval request timed out: nobody answered in time.")


def _message(action: ActionRun, expires: float) -> dict[str, Any]:
    run, stage = action.run, action.stage.name
    site = "https://console.aws.amazon.com/codesuite/codepipeline/pipelines"
    console = f"{site}/{run.pipeline_name}/view?region={run.region}"
    return {
        "region": run.region,
        "consoleLink": console,
        "approval": {
            "pipelineName": run.pipeline_name,
            "stageName": stage,
            "actionName": action.name,
            "token": action.token,
            "expires": f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%dT%H:%MZ}",
            "externalEntityLink": action.configuration.get("ExternalEntityLink"),
            "approvalReviewLink": f"{console}#/{stage}/{action.name}/approve/{action.token}",
            "customData": action.configuration.get("CustomData"),
        },
    }
