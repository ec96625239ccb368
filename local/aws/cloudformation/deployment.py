"""Changes a stack's resources to those of a template."""

import copy
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Event
from moto.cloudformation.parsing import ResourceMap
from moto.core.exceptions import ServiceException
from werkzeug.exceptions import HTTPException

from local.aws.cloudformation import resources
from local.aws.cloudformation.templates import Submission, references

logger = logging.getLogger(__name__)

#: The output that names the resources which were not created.
NOT_MADE = "NotMadeLocally"


def properties(logical_id: str, having: ResourceMap) -> dict[str, Any]:
    """Return a resource's properties with all references and functions resolved."""
    declared = having._resource_json_map[logical_id]
    cleaned = parsing.clean_json(copy.deepcopy(declared.get("Properties", {})), having)
    resolved: dict[str, Any] = resources.typed(cleaned, declared["Type"])
    return resolved


def in_order(having: ResourceMap) -> list[str]:
    """Return the resources of a template, each after those to which it refers."""
    declared = having._resource_json_map
    ordered: dict[str, None] = {}

    def visit(logical_id: str, above: tuple[str, ...] = ()) -> None:
        if logical_id in above:
            circle = ", ".join(above[above.index(logical_id) :])
            message = f"Circular dependency between resources: [{circle}]"
            raise ValidationError(message=message)
        if logical_id in ordered or not is_wanted(declared[logical_id], having):
            return
        for name in references(declared[logical_id]):
            if name in declared:
                visit(name, (*above, logical_id))
        ordered[logical_id] = None

    for logical_id in declared:
        visit(logical_id)
    return list(ordered)


def is_wanted(declared: dict[str, Any], having: ResourceMap) -> bool:
    condition = declared.get("Condition")
    return not condition or bool(having.lazy_condition_map[condition])


class Unmade:
    """Stands for a resource that is not created yet, when a plan refers to it."""

    def __init__(self, logical_id: str) -> None:
        self.physical_resource_id = f"(not created yet: {logical_id})"

    def get_cfn_attribute(self, name: str) -> str:
        return f"{self.physical_resource_id}.{name}"


@dataclass(frozen=True)
class Made:
    """A resource of a stack, with its declaration and resolved properties."""

    resource: Any
    declared: dict[str, Any]
    properties: dict[str, Any]


def made_by(stack: Any) -> dict[str, Made]:
    """Return a stack's resources by logical id, in the order of their creation."""
    if "made" not in vars(stack):
        having = stack.resource_map
        stack.made = {
            logical_id: Made(having._parsed_resources[logical_id], declared, {})
            for logical_id, declared in having._resource_json_map.items()
            if having._parsed_resources.get(logical_id) is not None
        }
    made: dict[str, Made] = stack.made
    return made


def is_retained(made: Made, policy: str) -> bool:
    """Return whether a resource is retained when it is removed from the stack."""
    return bool(made.declared.get(policy) == "Retain")


def is_replaced(kind: str, old: Made, after: dict[str, Any]) -> bool:
    """Return whether a change replaces the resource, as in CloudFormation."""
    before = old.properties
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    if not resources.can_update(old.resource):
        return True
    return not changed.isdisjoint(resources.FIXED.get(kind, set()))


def plan(stack: Any, wanted: Submission) -> list[dict[str, Any]]:
    """Return the changes that a template would make to a stack, without making them."""
    then = ResourceMap(
        stack.stack_id,
        stack.name,
        wanted.parameters,
        wanted.tags,
        account_id=stack.account_id,
        region_name=stack.region_name,
        template=wanted.processed,
        cross_stack_resources=stack.cross_stack_resources,
    )
    then.load()
    made, kept = made_by(stack), in_order(then)
    kinds = {logical_id: wanted.processed["Resources"][logical_id]["Type"] for logical_id in kept}
    both = [each for each in kept if each in made]
    if other := [each for each in both if kinds[each] != made[each].declared["Type"]]:
        raise ValidationError(
            message="Update of resource type is not permitted. The new template modifies resource "
            f"type of the following resources: [{', '.join(other)}]"
        )
    changes: list[dict[str, Any]] = []

    def change(action: str, logical_id: str, kind: str, **more: str) -> None:
        if logical_id in made:
            more["PhysicalResourceId"] = made[logical_id].resource.physical_resource_id
        about = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind}
        changes.append({**about, **more})

    for logical_id in kept:
        kind = kinds[logical_id]
        then._parsed_resources[logical_id] = Unmade(logical_id)
        if logical_id not in made:
            change("Add", logical_id, kind)
            continue
        old, after = made[logical_id], properties(logical_id, then)
        if old.properties == after or not is_replaced(kind, old, after):
            then._parsed_resources[logical_id] = old.resource
        if old.properties != after:
            replaced = then._parsed_resources[logical_id] is not old.resource
            change("Modify", logical_id, kind, Replacement=str(replaced))
    for logical_id, old in made.items():
        if logical_id not in kept:
            change("Remove", logical_id, old.declared["Type"])
    return changes


# -- Deployment -----------------------------------------------------------------------------------


class Deployment:
    """One change of a stack, which is rolled back if it fails."""

    def __init__(self, stack: Any, kind: str) -> None:
        self.stack = stack
        self.kind = kind
        self.having = stack.resource_map
        self.made = made_by(stack)
        self.where = (stack.account_id, stack.region_name)
        self.failed: list[str] = []

    def run(self, wanted: Submission, *, roll_back: bool = True) -> None:
        """Make the change; if it fails, roll it back and raise the error."""
        before: Submission | None = getattr(self.stack, "submission", None)
        self.status(f"{self.kind}_IN_PROGRESS", "User Initiated")
        try:
            self.converge(wanted)
        except Exception as error:
            reason = (
                f"The following resource(s) failed to {self.kind.lower()}: "
                f"[{', '.join(self.failed)}]. "
            )
            if not roll_back:
                self.status(f"{self.kind}_FAILED", reason)
            elif self.kind == "CREATE":
                self.status("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
                self.roll_back("ROLLBACK", self.delete_all, reason)
            else:
                self.status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
                undo = partial(self.converge, before) if before else list
                self.roll_back("UPDATE_ROLLBACK", undo, reason)
            raise ValidationError(message=failure(error)) from error
        self.stack.submission = wanted
        self.stack.tags = wanted.tags or self.stack.tags
        if self.kind == "CREATE" and not all(
            one.resource.is_created() for one in self.made.values()
        ):
            return  # a custom resource will answer later
        self.status(f"{self.kind}_COMPLETE")

    def roll_back(self, what: str, undo: Callable[[], object], reason: str) -> None:
        try:
            undo()
        except Exception as error:  # noqa: BLE001 - the stack's status has the reason
            self.status(f"{what}_FAILED", failure(error))
        else:
            self.status(f"{what}_COMPLETE", reason)

    def converge(self, wanted: Submission) -> None:
        """Change the stack's resources to those of a template; deletions come last."""
        self.declare(wanted)
        kept = in_order(self.having)
        superseded: dict[str, Made] = {}
        try:
            for logical_id in kept:
                if logical_id not in self.made:
                    self.create(logical_id)
                elif old := self.change(logical_id):
                    superseded[logical_id] = old
        except Exception:
            for logical_id, old in superseded.items():
                self.delete(logical_id)
                self.keep(logical_id, old)
            raise
        for logical_id, old in superseded.items():
            self.delete(logical_id, old)
        for logical_id in reversed(list(self.made)):
            if logical_id not in kept:
                self.delete(logical_id)
        self.stack.made = self.made = {logical_id: self.made[logical_id] for logical_id in kept}
        self.stack.output_map = outputs = self.stack._create_output_map()
        if lacking := resources.lacking(self.made):
            outputs._output_json_map = {
                **(outputs._output_json_map or {}),
                NOT_MADE: {"Value": ", ".join(lacking), "Description": "Not created here"},
            }

    def declare(self, wanted: Submission) -> None:
        """Put the template and the parameters into moto's maps."""
        having, stack = self.having, self.stack
        stack.template = json.dumps(wanted.processed)
        stack.template_dict = having._template = wanted.processed
        stack.description = wanted.processed.get("Description")
        stack.parameters = having.input_parameters = wanted.parameters
        having.resolved_parameters = {}
        having._resource_json_map = wanted.processed["Resources"]
        having.load()

    def create(self, logical_id: str) -> None:
        declared = self.having._resource_json_map[logical_id]
        with self.reported(logical_id, declared["Type"], "CREATE"):
            after = properties(logical_id, self.having)
            made = self.new(logical_id, declared)
            self.keep(logical_id, Made(made, declared, after))
            resources.tag(made, {}, after, *self.where)

    def change(self, logical_id: str) -> Made | None:
        """Change a resource if its properties differ; returns the old one if it was replaced."""
        declared, old = self.having._resource_json_map[logical_id], self.made[logical_id]
        after = properties(logical_id, self.having)
        if old.properties == after:
            return None
        kind = declared["Type"]
        superseded = None
        with self.reported(logical_id, kind, "UPDATE"):
            if not is_replaced(kind, old, after):
                # Keep it first, so that an update that fails halfway is rolled back.
                self.keep(logical_id, Made(old.resource, declared, after))
                resource = resources.update(old.resource, copy.deepcopy(after), *self.where)
                resource.logical_resource_id, resource.cf_resource_type = logical_id, kind
            elif resources.can_update(old.resource) or is_retained(old, "UpdateReplacePolicy"):
                self.check_name(kind, old, after)
                resource, superseded = self.new(logical_id, declared), old
            else:
                resource = parsing.parse_and_update_resource(
                    logical_id, copy.deepcopy(declared), self.having, *self.where
                )
                if resource is None:
                    self.check_name(kind, old, after)
                    resource, superseded = self.new(logical_id, declared), old
            self.keep(logical_id, Made(resource, declared, after))
            before = {} if superseded else old.properties
            resources.tag(resource, before, after, *self.where)
        return superseded

    @staticmethod
    def check_name(kind: str, old: Made, after: dict[str, Any]) -> None:
        name = parsing.resource_name_property_from_type(kind)
        if name and name in after and after[name] == old.properties.get(name):
            raise ValidationError(
                message="CloudFormation cannot update a stack when a custom-named resource "
                f"requires replacing. Rename {after[name]} and update the stack again."
            )

    def new(self, logical_id: str, declared: dict[str, Any]) -> Any:
        return parsing.parse_and_create_resource(
            logical_id, copy.deepcopy(declared), self.having, *self.where
        )

    def keep(self, logical_id: str, made: Made) -> None:
        self.made[logical_id] = made
        self.having._parsed_resources[logical_id] = made.resource

    def delete_all(self, retained: list[str] | None = None) -> None:
        """Delete the stack's resources, each before those to which it refers."""
        for logical_id in reversed(list(self.made)):
            if logical_id in (retained or []):
                del self.made[logical_id]
            else:
                self.delete(logical_id)

    def delete(self, logical_id: str, old: Made | None = None) -> None:
        """Delete a resource of the stack, or `old`, which was replaced."""
        gone = old or self.made[logical_id]
        kind = gone.declared["Type"]
        if is_retained(gone, "UpdateReplacePolicy" if old else "DeletionPolicy"):
            self.event(logical_id, kind, "DELETE_SKIPPED", gone.resource)
        else:
            with self.reported(logical_id, kind, "DELETE", gone.resource):
                self.having._delete_resource(gone.resource, gone.declared)
        if old is None:
            del self.made[logical_id]
            self.having._parsed_resources.pop(logical_id, None)

    # -- Status and events --------------------------------------------------------------------

    @contextmanager
    def reported(self, logical_id: str, kind: str, what: str, old: Any = None) -> Iterator[None]:
        """Add stack events about a change of a resource; raises ValidationError if it fails."""

        def tell(how: str, reason: str | None = None) -> None:
            resource = old or self.having._parsed_resources.get(logical_id)
            if isinstance(resource, resources.Placeholder) and how == "COMPLETE":
                reason = f"Not created: the local stack has no {kind}"
            self.event(logical_id, kind, f"{what}_{how}", resource, reason)

        tell("IN_PROGRESS")
        try:
            yield
        except Exception as error:
            self.failed.append(logical_id)
            reason = failure(error)
            if reason == INTERNAL_FAILURE:
                declared = self.having._resource_json_map.get(logical_id, {})
                reason = resources.missing(logical_id, declared) or reason
            tell("FAILED", reason)
            raise ValidationError(message=reason) from error
        tell("COMPLETE")

    def status(self, status: str, reason: str | None = None) -> None:
        self.stack.status = status
        self.stack.status_reason = reason
        self.stack._add_stack_event(status, resource_status_reason=reason)

    def event(
        self, logical_id: str, kind: str, status: str, resource: Any, reason: str | None = None
    ) -> None:
        self.stack.events.append(
            Event(
                stack_id=self.stack.stack_id,
                stack_name=self.stack.name,
                logical_resource_id=logical_id,
                physical_resource_id=getattr(resource, "physical_resource_id", ""),
                resource_type=kind,
                resource_status=status,
                resource_status_reason=reason,
                resource_properties=None,
            )
        )


INTERNAL_FAILURE = "Internal Failure"


def failure(error: BaseException) -> str:
    """Return the message of an AWS error; any other error is logged, as an internal failure."""
    if isinstance(error, ServiceException | HTTPException | ClientError):
        told = getattr(error, "message", None) or getattr(error, "description", None)
        return str(told or error)
    logger.error("%r", error, exc_info=error)
    return INTERNAL_FAILURE


def check_made(stack: Any, changes: list[dict[str, Any]]) -> None:
    """Refuse changes with resources that can't be created here, and add stack events about them."""
    lacking = {
        change["LogicalResourceId"]: change["ResourceType"]
        for change in changes
        if change["Action"] == "Add" and resources.is_refused(change["ResourceType"])
    }
    for logical_id, kind in lacking.items():
        Deployment(stack, "CREATE").event(
            logical_id, kind, "CREATE_FAILED", None, resources.refusal(kind)
        )
    if lacking:
        raise ValidationError(message=resources.refusal(*lacking.values()))


def is_change(stack: Any, wanted: Submission, changes: list[dict[str, Any]]) -> bool:
    """Return whether resources, outputs or tags would change."""
    outputs = stack.template_dict.get("Outputs"), wanted.processed.get("Outputs")
    tags = stack.tags, wanted.tags or stack.tags
    return bool(changes) or outputs[0] != outputs[1] or tags[0] != tags[1]
