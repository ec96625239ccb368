"""Responses about executions: GetPipelineState, and pages of lists."""

from dataclasses import dataclass
from typing import Any, TypeVar

from .action_types import ActionType, TypeKey, aws_types
from .exceptions import InvalidNextTokenError
from .runs import PipelineRun, StageRun, without_none
from .traffic import Traffic

Item = TypeVar("Item")


def page(items: list[Item], limit: int, token: str | None) -> tuple[list[Item], str | None]:
    """One page of ``items``, and the token of the next page if there is one."""
    if token is not None and not (token.isdecimal() and token.isascii()):
        raise InvalidNextTokenError
    begin = int(token or 0)
    end = begin + limit
    return items[begin:end], str(end) if end < len(items) else None


@dataclass
class States:
    """What GetPipelineState shows. ``runs`` are the executions, newest first."""

    region: str
    runs: list[PipelineRun]
    traffic: Traffic
    types: dict[TypeKey, ActionType]

    def of_stage(self, stage: dict[str, Any]) -> dict[str, Any]:
        """The API's ``StageState`` of a declared stage."""
        name = stage["name"]
        entered = (
            each for run in self.runs for each in run.stages if each.name == name and each.status
        )
        latest = next(entered, None)
        inbound = [
            each.execution()
            for run in self.traffic.before(name)
            for each in run.stages
            if each.name == name
        ]
        return without_none(
            stageName=name,
            inboundExecution=inbound[0] if inbound else None,
            inboundExecutions=inbound,
            inboundTransitionState=self.traffic.transition(name),
            actionStates=[self._of_action(latest, action) for action in stage["actions"]],
            latestExecution=latest.execution() if latest else None,
            retryStageMetadata=latest.retry_metadata() if latest else None,
        )

    def _of_action(self, stage: StageRun | None, action: dict[str, Any]) -> dict[str, Any]:
        begun = stage.run.begun if stage else []
        mine = (e for e in reversed(begun) if (e.stage, e.name) == (stage, action["name"]))
        latest = next(mine, None)  # recorded: none of an earlier execution
        known = aws_types(action.get("region", self.region)) | self.types
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
