"""What a pipeline's structure must be: its types exist, its artifacts come from somewhere."""

from __future__ import annotations

from typing import Any

from .action_types import ActionType, TypeKey, actions_of
from .engine import OWNERS_WITH_JOBS
from .exceptions import InvalidActionDeclarationError


def check_structure(
    pipeline: dict[str, Any], action_types: dict[TypeKey, ActionType], region: str
) -> None:
    """Raise InvalidActionDeclarationError if an action can't be.

    Texts for missing types and undeclared artifacts are reported by users. AWS's own actions have
    only their artifacts checked.
    """
    for _, action in actions_of(pipeline):
        type_id = action["actionTypeId"]
        if type_id["owner"] not in OWNERS_WITH_JOBS:
            continue
        action_type = action_types.get(TypeKey.of(type_id))
        if action_type is None or action_type.deleted:
            raise InvalidActionDeclarationError(
                f"ActionType (Category: '{type_id['category']}', "
                f"Provider: '{type_id['provider']}', Owner: '{type_id['owner']}', "
                f"Version: '{type_id['version']}') in action '{action['name']}' is not available "
                f"in region '{region.replace('-', '_').upper()}'"
            )
        action_type.check(action)
    _check_artifacts(pipeline)


def _check_artifacts(pipeline: dict[str, Any]) -> None:
    declared: set[str] = set()
    for stage in pipeline["stages"]:
        by_order = sorted(stage["actions"], key=lambda action: action.get("runOrder", 1))
        produced = {
            (action.get("runOrder", 1), each["name"])
            for action in by_order
            for each in action.get("outputArtifacts", [])
        }
        for action in by_order:
            order = action.get("runOrder", 1)
            known = declared | {name for run_order, name in produced if run_order < order}
            for each in action.get("inputArtifacts", []):
                if each["name"] not in known:
                    raise InvalidActionDeclarationError(
                        f"Input Artifact Bundle {each['name']} in action {action['name']} is not "
                        "declared as Output Artifact Bundle in any of the preceding actions"
                    )
        declared |= {name for _, name in produced}
