"""The rules for a pipeline's structure, across its stages and actions.

docs/behaviour.md has the evidence for each rule, and whether its text is known.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .action_types import APPROVAL, IDLE_TYPES, ActionType, TypeKey, actions_of, aws_types
from .exceptions import (
    InvalidActionDeclarationError,
    InvalidStageDeclarationError,
    InvalidStructureError,
)
from .runs import REFERENCE, VARIABLE

STAGES, ACTIONS_IN_STAGE, ACTIONS, VARIABLES = 50, 50, 1000, 50
"""Quotas of a pipeline (documented)."""

REFERENCES = (
    "Valid format for a pipeline execution variable reference is a namespace and a key separated "
    "by a period (.). The following pipeline execution variables are"
)
UNSERVED = {
    "beforeEntry": "conditions",
    "onSuccess": "conditions",
    "onFailure": "automatic retry, rollback and conditions",
    "blockers": "blockers",
}
"""Members of a stage that are refused here, and what they configure."""

logger = logging.getLogger(__name__)


def check_structure(
    pipeline: dict[str, Any], action_types: dict[TypeKey, ActionType], region: str
) -> None:
    """Raise an Invalid...Error if the pipeline, a stage or an action is invalid."""
    _check_pipeline(pipeline)
    _check_stores(pipeline, region)
    _check_stages(pipeline)
    known = aws_types(region) | action_types
    for _, action in actions_of(pipeline):
        _check_action(action, known, region)
        _check_region(action, pipeline, region)
    _check_artifacts(pipeline)
    _check_namespaces(pipeline, known)


def say_what_is_idle(pipeline: dict[str, Any], before: dict[str, Any] | None = None) -> None:
    """Log which actions succeed without doing anything, except those that the pipeline had."""
    known = _idle(before) if before else []
    if idle := [each for each in _idle(pipeline) if each not in known]:
        logger.warning(
            "In the pipeline %s these actions succeed without doing anything: %s",
            pipeline["name"],
            ", ".join(idle),
        )


def _idle(pipeline: dict[str, Any]) -> list[str]:
    return [
        f"{stage}/{action['name']} ({action['actionTypeId']['provider']})"
        for stage, action in actions_of(pipeline)
        if TypeKey.of(action["actionTypeId"]) in IDLE_TYPES
    ]


def _check_pipeline(pipeline: dict[str, Any]) -> None:
    first_version = pipeline.get("pipelineType") == "V1"
    mode = pipeline.get("executionMode", "SUPERSEDED")
    if first_version and mode != "SUPERSEDED":
        raise InvalidStructureError(f"The execution mode {mode} needs a pipeline of type V2")
    variables = [each["name"] for each in pipeline.get("variables", [])]
    if first_version and variables:
        raise InvalidStructureError("Pipeline variable can only be used with V2 pipelines")
    if name := repeated(variables):
        raise InvalidStructureError(
            f"Variable names must be unique. The following variable name is already in use: {name}"
        )
    if len(variables) > VARIABLES:
        raise InvalidStructureError(f"A pipeline can have no more than {VARIABLES} variables")
    if "triggers" in pipeline:
        raise InvalidStructureError("This CodePipeline has no triggers: start executions yourself")


def _check_stores(pipeline: dict[str, Any], region: str) -> None:
    store, stores = pipeline.get("artifactStore"), pipeline.get("artifactStores")
    if (store is None) == (stores is None):
        raise InvalidStructureError(
            "A pipeline must have either an artifactStore or artifactStores, and not both"
        )
    if stores is not None and region not in stores:
        raise InvalidStructureError(
            f"The artifactStores of a pipeline must have one for its own region {region}"
        )


def _check_stages(pipeline: dict[str, Any]) -> None:
    stages = pipeline["stages"]
    if len(stages) < 2:
        raise InvalidStructureError(
            f"Pipeline has only {len(stages)} stage(s). "
            "There should be a minimum of 2 stages in a pipeline"
        )
    if len(stages) > STAGES:
        raise InvalidStructureError(f"A pipeline can have no more than {STAGES} stages")
    if sum(len(stage["actions"]) for stage in stages) > ACTIONS:
        raise InvalidStructureError(f"A pipeline can have no more than {ACTIONS} actions")
    if name := repeated([stage["name"] for stage in stages]):
        raise InvalidStageDeclarationError(f"More than one stage has the name {name}")
    for stage in stages:
        _check_stage(stage)
    categories = [{a["actionTypeId"]["category"] for a in stage["actions"]} for stage in stages]
    if categories[0] != {"Source"}:
        raise InvalidStructureError(
            "Pipeline should start with a stage that only contains source actions"
        )
    for stage, found in zip(stages[1:], categories[1:], strict=True):
        if "Source" in found:
            raise InvalidStructureError(
                f"Stage {stage['name']} has a source action: only the first stage can have any"
            )


def _check_stage(stage: dict[str, Any]) -> None:
    names = [action["name"] for action in stage["actions"]]
    if not 1 <= len(names) <= ACTIONS_IN_STAGE:
        raise InvalidStageDeclarationError(
            f"Stage {stage['name']} has {len(names)} actions: it must have 1 to {ACTIONS_IN_STAGE}"
        )
    if name := repeated(names):
        raise InvalidStageDeclarationError(
            f"More than one action in stage {stage['name']} has the name {name}"
        )
    for member, what in UNSERVED.items():
        if stage.get(member, []) != []:
            raise InvalidStageDeclarationError(
                f"Stage {stage['name']} has {member}: this CodePipeline has no {what}"
            )


def _check_action(action: dict[str, Any], known: dict[TypeKey, ActionType], region: str) -> None:
    type_id, name = action["actionTypeId"], action["name"]
    key = TypeKey.of(type_id)
    action_type = known.get(key)
    if action_type is not None and not action_type.deleted:
        action_type.check(action)
    elif key not in IDLE_TYPES:
        raise InvalidActionDeclarationError(
            f"ActionType (Category: '{type_id['category']}', "
            f"Provider: '{type_id['provider']}', Owner: '{type_id['owner']}', "
            f"Version: '{type_id['version']}') in action '{name}' is not available "
            f"in region '{region.replace('-', '_').upper()}'"
        )
    if "timeoutInMinutes" in action and key != APPROVAL:
        raise InvalidActionDeclarationError(
            f"Action {name} has timeoutInMinutes, which only manual approvals can have"
        )
    for member in ("commands", "environmentVariables", "outputVariables"):
        if action.get(member):
            raise InvalidActionDeclarationError(
                f"Action {name} has {member}: this CodePipeline runs no commands"
            )
    if key == APPROVAL:
        _check_notification(action, region)


def _check_notification(action: dict[str, Any], region: str) -> None:
    topic = action.get("configuration", {}).get("NotificationArn")
    if topic is None or VARIABLE.search(topic):
        return
    parts = topic.split(":", 5)
    sent = f"has been specified for sending notifications for the approval action {action['name']}"
    if len(parts) < 6 or parts[0] != "arn" or not all((parts[1], parts[4], parts[5])):
        raise InvalidActionDeclarationError(
            f"The ARN {topic} you specified for sending notifications for the approval action "
            f"{action['name']} contains a format error."
        )
    if parts[2] != "sns":
        raise InvalidActionDeclarationError(
            f"The ARN {topic} {sent}, but the AWS service for this ARN cannot be used to send "
            "approval requests."
        )
    if parts[3] != region:
        raise InvalidActionDeclarationError(
            f"The ARN {topic} {sent}, but the ARN is not in the same region as the pipeline."
        )


def _check_region(action: dict[str, Any], pipeline: dict[str, Any], region: str) -> None:
    own, type_id = action.get("region", region), action["actionTypeId"]
    if own == region:
        return
    if type_id["owner"] != "AWS" or type_id["category"] == "Source":
        raise InvalidActionDeclarationError(
            f"Action {action['name']} is in the region {own}: "
            "custom, third-party and source actions can't be cross-region"
        )
    if own not in pipeline.get("artifactStores", {}):
        raise InvalidActionDeclarationError(
            f"Action {action['name']} is in the region {own}, which has no artifact store"
        )


def _check_artifacts(pipeline: dict[str, Any]) -> None:
    outputs = [
        each["name"]
        for _, action in actions_of(pipeline)
        for each in action.get("outputArtifacts", [])
    ]
    if name := repeated(outputs):
        raise InvalidActionDeclarationError(
            f"More than one output artifact of the pipeline has the name {name}"
        )
    for (_, action), earlier in _with_earlier(pipeline):
        known = {each["name"] for other in earlier for each in other.get("outputArtifacts", [])}
        for each in action.get("inputArtifacts", []):
            if each["name"] not in known:
                raise InvalidActionDeclarationError(
                    f"Input Artifact Bundle {each['name']} in action {action['name']} is not "
                    "declared as Output Artifact Bundle in any of the preceding actions"
                )


def _check_namespaces(pipeline: dict[str, Any], types: dict[TypeKey, ActionType]) -> None:
    variables = {each["name"] for each in pipeline.get("variables", [])}
    seen = {"codepipeline"}
    for stage, action in actions_of(pipeline):
        namespace = action.get("namespace")
        if namespace == "variables" and variables:
            raise InvalidStructureError(
                "One or more of the chosen namespaces is reserved. "
                "Note that there is a namespace for variables at the pipeline level.\n"
            )
        if namespace in seen:
            raise InvalidActionDeclarationError(
                "Namespaces must be unique across the pipeline definition. The following occur "
                f"more than once in the pipeline. StageName=[{stage}], "
                f"ActionName=[{action['name']}], Namespace=[{namespace}]"
            )
        if namespace is not None:
            seen.add(namespace)
    for (stage, action), earlier in _with_earlier(pipeline):
        known = {other.get("namespace") for other in earlier} | {"codepipeline"}
        configuration = action.get("configuration", {})
        action_type = types.get(TypeKey.of(action["actionTypeId"]))
        masked = action_type.masked(configuration) if action_type else configuration
        for key, text in configuration.items():
            for reference in REFERENCE.findall(text):
                shown = reference if masked[key] == text else masked[key]
                where = (
                    f"StageName=[{stage}], ActionName=[{action['name']}], "
                    f"ActionConfigurationKey=[{key}], VariableReferenceText=[{shown}]"
                )
                if not (found := VARIABLE.fullmatch(f"#{{{reference}}}")):
                    raise InvalidActionDeclarationError(f"{REFERENCES} not of this form.\n{where}")
                namespace, name = found.groups()
                if namespace == "variables" and variables:
                    if action["actionTypeId"]["category"] == "Source":
                        raise InvalidStructureError(
                            "Variables at the pipeline level cannot be used in source actions.\n"
                            + where
                        )
                    if name not in variables:
                        raise InvalidStructureError(
                            "The referenced variables haven't been declared.\n"
                        )
                elif namespace not in known:
                    raise InvalidActionDeclarationError(
                        f"{REFERENCES} referencing a namespace that does not exist.\n{where}"
                    )


def _with_earlier(
    pipeline: dict[str, Any],
) -> Iterator[tuple[tuple[str, dict[str, Any]], list[dict[str, Any]]]]:
    """Each action, with its stage's name, and the actions that end before it begins."""
    before: list[dict[str, Any]] = []
    for stage in pipeline["stages"]:
        for action in stage["actions"]:
            order = action.get("runOrder", 1)
            own = [other for other in stage["actions"] if other.get("runOrder", 1) < order]
            yield (stage["name"], action), before + own
        before = before + stage["actions"]


def repeated(names: list[str]) -> str | None:
    """The first name that occurs more than once."""
    return next((name for name, count in Counter(names).items() if count > 1), None)
