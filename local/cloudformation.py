"""CloudFormation's stacks as programs deploy them: transforms, change sets, updates, rollbacks.

moto's stacks, its parser of templates and its descriptions stay; what changes a stack is here.
A template goes through SAM's own translator, and then the stack is made to be what it says:
resources whose properties, with all references resolved, differ from before are changed in place
where CloudFormation would, others are replaced, and what is no longer wanted is deleted last.

Where AWS differs: everything is done before an operation answers, one resource after another;
CreateStack and UpdateStack that fail say so in their answer, too (stack and events are as they
would be); the only macro is AWS::Serverless-2016-10-31; there are no nested stacks of transformed
templates, stack policies, drift or imports.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml  # type: ignore[import-untyped]
from moto.cloudformation import models, parsing, responses
from moto.cloudformation.exceptions import (
    AlreadyExistsException,
    CloudFormationError,
    ValidationError,
)
from moto.cloudformation.models import Event, cloudformation_backends
from moto.cloudformation.models import Stack as MotoStack
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import (
    generate_changeset_id,
    generate_stack_id,
    validate_create_change_set,
)
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from local import resources
from local.patch import replace

SERVERLESS = "AWS::Serverless-2016-10-31"

#: What programs know a change set without changes by.
NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)

#: The properties that name an IAM resource.
IAM_NAMES = {
    "GroupName",
    "InstanceProfileName",
    "ManagedPolicyName",
    "PolicyName",
    "RoleName",
    "UserName",
}


class InsufficientCapabilitiesError(CloudFormationError):
    code = "InsufficientCapabilitiesException"


class ChangeSetNotFoundError(CloudFormationError):
    code = "ChangeSetNotFound"


# -- Templates ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    """A template and its parameters, and what transforms make of them."""

    body: str
    parameters: dict[str, str]
    tags: dict[str, str]
    processed: dict[str, Any]


class NoManagedPolicies:
    """SAM asks IAM for the ARNs of AWS's managed policies; the names it has are enough here."""

    @staticmethod
    def load() -> dict[str, str]:
        return {}


def parse(body: str) -> dict[str, Any]:
    try:
        document = yaml_parse(body)
    except yaml.YAMLError as error:
        raise ValidationError(message=f"Template format error: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise ValidationError(
            message="Template format error: At least one Resources member must be defined."
        )
    return document


def transforms(document: dict[str, Any]) -> list[str]:
    named = document.get("Transform", [])
    return named if isinstance(named, list) else [named]


def submit(body: str, given: dict[str, str], tags: dict[str, str]) -> Submission:
    """Check what was submitted, and transform it. Raises what CloudFormation objects to."""
    document = parse(body)
    parameters = all_parameters(document.get("Parameters") or {}, given)
    if unknown := [name for name in transforms(document) if name != SERVERLESS]:
        raise ValidationError(message=f"No transform named {unknown[0]} found.")
    if transforms(document):
        try:
            document = transform(document, dict(parameters), NoManagedPolicies())
        except InvalidDocumentException as error:
            causes = " ".join([error.message, *(cause.message for cause in error.causes)])
            message = f"Transform {SERVERLESS} failed with: {causes}"
            raise ValidationError(message=message) from error
    check_references(document)
    return Submission(body, parameters, tags, json.loads(json.dumps(document, default=str)))


def check_references(document: dict[str, Any]) -> None:
    known = {*document["Resources"], *(document.get("Parameters") or {})}
    for block in ("Resources", "Outputs"):
        named = references(document.get(block) or {})
        if unknown := sorted({n for n in named if n not in known and not n.startswith("AWS::")}):
            raise ValidationError(
                message=f"Template format error: Unresolved resource dependencies "
                f"[{', '.join(unknown)}] in the {block} block of the template"
            )


def all_parameters(declared: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """Return all parameters' values as strings, checked against what is declared."""
    defaults = {
        name: str(parameter["Default"])
        for name, parameter in declared.items()
        if "Default" in parameter
    }
    if unknown := [name for name in given if name not in declared]:
        message = f"Parameters: [{', '.join(unknown)}] do not exist in the template"
        raise ValidationError(message=message)
    values = {**defaults, **given}
    if missing := [name for name in declared if name not in values]:
        raise ValidationError(message=f"Parameters: [{', '.join(missing)}] must have values")
    for name, parameter in declared.items():
        if problem := constraint_problem(parameter, values[name]):
            told = parameter.get("ConstraintDescription", problem)
            raise ValidationError(message=f"Parameter '{name}' {told}")
    return {name: values[name] for name in declared}


def constraint_problem(parameter: dict[str, Any], value: str) -> str | None:
    """Return what is wrong with a parameter's value, if anything is."""
    allowed = [str(one) for one in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"must be one of AllowedValues: [{', '.join(allowed)}]"
    pattern = parameter.get("AllowedPattern")
    # Of a list each value must match.
    values = value.split(",") if parameter.get("Type") == "CommaDelimitedList" else [value]
    if pattern is not None and not all(re.fullmatch(pattern, one.strip()) for one in values):
        return f"failed to satisfy constraint: must match pattern {pattern}"
    if parameter.get("Type") == "Number":
        try:
            number = float(value)
        except ValueError:
            return "must be a number"
        if "MinValue" in parameter and number < float(parameter["MinValue"]):
            return f"must be a number not less than {parameter['MinValue']}"
        if "MaxValue" in parameter and number > float(parameter["MaxValue"]):
            return f"must be a number not greater than {parameter['MaxValue']}"
    return None


def required_capability(processed: dict[str, Any]) -> str | None:
    """Return the capability that the IAM resources of a template need."""
    iam = [
        resource
        for resource in processed["Resources"].values()
        if resource["Type"].startswith("AWS::IAM::")
    ]
    if any(
        resource["Type"] != "AWS::IAM::Policy" and IAM_NAMES & set(resource.get("Properties", {}))
        for resource in iam
    ):
        return "CAPABILITY_NAMED_IAM"
    return "CAPABILITY_IAM" if iam else None


def check_capabilities(submission: Submission, given: list[str]) -> None:
    required = required_capability(submission.processed)
    enough = {required, "CAPABILITY_NAMED_IAM"}
    if required and not enough.intersection(given):
        raise InsufficientCapabilitiesError(f"Requires capabilities : [{required}]")


def template_at(template_url: str, account_id: str, partition: str) -> str:
    """Return the template that is at an S3 address, be it AWS's or this endpoint's.

    The bucket is the first part of the path, or of the host's name.
    """
    address = urlsplit(template_url)
    host, path = address.hostname or "", unquote(address.path).lstrip("/")
    s3 = s3_backends[account_id][partition]
    first, _, rest = path.partition("/")
    in_host = re.match(r"(.+?)\.s3[.-][a-z0-9.-]*amazonaws\.com", host)
    if in_host:
        bucket, key = in_host[1], path
    elif first not in s3.buckets and host.partition(".")[0] in s3.buckets:
        bucket, key = host.partition(".")[0], path
    else:
        bucket, key = first, rest
    [version] = parse_qs(address.query).get("versionId", [None])
    try:
        stored: Any = s3.get_object(bucket, key, version_id=version)
    except S3ClientError as error:
        raise ValidationError(message=f"S3 error: {error.message}") from error
    if stored is None:
        raise ValidationError(message=f"S3 error: The specified key does not exist: {key}")
    return str(stored.value.decode())


# -- What a stack has, and what it should have ----------------------------------------------------


def properties(logical_id: str, having: ResourceMap) -> dict[str, Any]:
    """Return a resource's properties with everything in them resolved."""
    declared = having._resource_json_map[logical_id].get("Properties", {})
    resolved: dict[str, Any] = resources.typed(parsing.clean_json(copy.deepcopy(declared), having))
    return resolved


def in_order(having: ResourceMap) -> list[str]:
    """Return the resources that a template wants, each after those that it refers to."""
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


def references(value: Any) -> Iterator[str]:
    """Yield the names that a part of a template refers to."""
    if isinstance(value, list):
        for member in value:
            yield from references(member)
    elif isinstance(value, dict):
        for name, member in value.items():
            if name == "Ref":
                yield member
            elif name == "Fn::GetAtt":
                yield member[0] if isinstance(member, list) else member.partition(".")[0]
            elif name == "DependsOn":
                yield from [member] if isinstance(member, str) else member
            elif name == "Fn::Sub":
                text, own = member if isinstance(member, list) else (member, {})
                for inner in re.findall(r"\$\{([^!][^}]*)\}", text):
                    if (referred := inner.partition(".")[0]) not in own:
                        yield referred
                yield from references(own)
            else:
                yield from references(member)


class Unmade:
    """Stands for a resource that is yet to be made, where a plan refers to it."""

    def __init__(self, logical_id: str) -> None:
        self.physical_resource_id = f"(not made yet: {logical_id})"

    def get_cfn_attribute(self, name: str) -> str:
        return f"{self.physical_resource_id}.{name}"


@dataclass(frozen=True)
class Made:
    """A resource that a stack has, and what it was made of."""

    resource: Any
    declared: dict[str, Any]
    properties: dict[str, Any]


def made_by(stack: Any) -> dict[str, Made]:
    """Return what a stack has by logical id, in the order of making."""
    if "made" not in vars(stack):
        having = stack.resource_map
        stack.made = {
            logical_id: Made(having._parsed_resources[logical_id], declared, {})
            for logical_id, declared in having._resource_json_map.items()
            if having._parsed_resources.get(logical_id) is not None
        }
    made: dict[str, Made] = stack.made
    return made


def is_replaced(kind: str, old: Made, after: dict[str, Any]) -> bool:
    """Tell whether a change makes another resource, as CloudFormation would."""
    before = old.properties
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    if not resources.can_update(old.resource):
        return True
    return not changed.isdisjoint(resources.FIXED.get(kind, set()))


def plan(stack: Any, wanted: Submission) -> list[dict[str, Any]]:
    """Return the changes that would make a stack what a template says. Changes nothing."""
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
    changes: list[dict[str, Any]] = []

    def change(action: str, logical_id: str, kind: str, **more: str) -> None:
        if logical_id in made:
            more["PhysicalResourceId"] = made[logical_id].resource.physical_resource_id
        about = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind}
        changes.append({**about, **more})

    for logical_id in kept:
        kind = wanted.processed["Resources"][logical_id]["Type"]
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


# -- Making it so ---------------------------------------------------------------------------------


class Deployment:
    """One change of a stack, which can be taken back until it is done."""

    def __init__(self, stack: Any, kind: str) -> None:
        self.stack = stack
        self.kind = kind
        self.having = stack.resource_map
        self.made = made_by(stack)
        self.where = (stack.account_id, stack.region_name)
        self.failed: list[str] = []

    def run(self, wanted: Submission, *, roll_back: bool = True) -> None:
        """Do it; raises what went wrong, after having taken back what was done."""
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
                self.delete_all()
                self.status("ROLLBACK_COMPLETE", reason)
            else:
                self.roll_back(before, reason)
            raise ValidationError(message=failure(error)) from error
        self.stack.submission = wanted
        self.stack.tags = wanted.tags or self.stack.tags
        if self.kind == "CREATE" and not all(
            one.resource.is_created() for one in self.made.values()
        ):
            return  # a custom resource is going to answer
        self.status(f"{self.kind}_COMPLETE")

    def roll_back(self, before: Submission | None, reason: str) -> None:
        self.status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        try:
            if before:
                self.converge(before)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stack's status tells of it
            self.status("UPDATE_ROLLBACK_FAILED", failure(error))
        else:
            self.status("UPDATE_ROLLBACK_COMPLETE", reason)

    def converge(self, wanted: Submission) -> None:
        """Make the stack what a template says; what is no longer needed goes last."""
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
        self.stack.output_map = self.stack._create_output_map()

    def declare(self, wanted: Submission) -> None:
        """Have moto's maps know the template and the parameters."""
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
            self.keep(logical_id, Made(self.new(logical_id, declared), declared, after))

    def change(self, logical_id: str) -> Made | None:
        """Change a resource if it has to be; returns the old one if another stands for it now."""
        declared, old = self.having._resource_json_map[logical_id], self.made[logical_id]
        after = properties(logical_id, self.having)
        if old.properties == after:
            return None
        kind = declared["Type"]
        superseded = None
        with self.reported(logical_id, kind, "UPDATE"):
            if kind != old.declared["Type"]:
                raise ValidationError(message="Update of resource type is not permitted.")
            if not is_replaced(kind, old, after):
                # Should it fail halfway, there is something to take back.
                self.keep(logical_id, Made(old.resource, declared, after))
                resource = resources.update(old.resource, copy.deepcopy(after), *self.where)
                resource.logical_resource_id, resource.cf_resource_type = logical_id, kind
            elif resources.can_update(old.resource):
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
        """Delete the stack's resources, those first that others don't refer to."""
        for logical_id in reversed(list(self.made)):
            if logical_id in (retained or []):
                del self.made[logical_id]
            else:
                self.delete(logical_id)

    def delete(self, logical_id: str, old: Made | None = None) -> None:
        """Delete a resource: one that another stands for now, or the one that the stack has."""
        gone = old or self.made[logical_id]
        kind = gone.declared["Type"]
        if gone.declared.get("DeletionPolicy") == "Retain":
            self.event(logical_id, kind, "DELETE_SKIPPED", gone.resource)
        else:
            with self.reported(logical_id, kind, "DELETE", gone.resource):
                self.having._delete_resource(gone.resource, gone.declared)
        if old is None:
            del self.made[logical_id]
            self.having._parsed_resources.pop(logical_id, None)

    # -- Telling of it ------------------------------------------------------------------------

    def reported(self, logical_id: str, kind: str, what: str, old: Any = None) -> "Reported":
        return Reported(self, logical_id, kind, what, old)

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


@dataclass
class Reported:
    """Tells a stack's events of what is done to a resource inside."""

    deployment: Deployment
    logical_id: str
    kind: str
    what: str
    old: Any

    def __enter__(self) -> None:
        self.tell("IN_PROGRESS")

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.tell("COMPLETE")
        else:
            self.deployment.failed.append(self.logical_id)
            self.tell("FAILED", failure(error))

    def tell(self, how: str, reason: str | None = None) -> None:
        resource = self.old or self.deployment.having._parsed_resources.get(self.logical_id)
        status = f"{self.what}_{how}"
        self.deployment.event(self.logical_id, self.kind, status, resource, reason)


def failure(error: BaseException) -> str:
    return getattr(error, "message", None) or str(error) or type(error).__name__


# -- Change sets ----------------------------------------------------------------------------------


@dataclass
class ChangeSet:
    change_set_id: str
    change_set_name: str
    stack: Any
    change_set_type: str
    description: str | None
    body: str
    submission: Submission | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    status: str = "CREATE_COMPLETE"
    execution_status: str = "AVAILABLE"
    status_reason: str | None = None
    creation_time: datetime = field(default_factory=utcnow)

    def described(self) -> dict[str, Any]:
        submission = self.submission
        return {
            "ChangeSetId": self.change_set_id,
            "ChangeSetName": self.change_set_name,
            "StackId": self.stack.stack_id,
            "StackName": self.stack.name,
            "Description": self.description,
            "CreationTime": self.creation_time,
            "Status": self.status,
            "StatusReason": self.status_reason,
            "ExecutionStatus": self.execution_status,
            "Parameters": submission.parameters if submission else {},
            "Tags": key_values(submission.tags) if submission else [],
        }

    def prepare(self, given: "Request", stack: Any) -> None:
        """Find out what it would change, or what is wrong with it."""
        try:
            self.submission = submit(self.body, given.parameters(stack), given.tags())
            check_capabilities(self.submission, given.capabilities())
            self.changes = plan(stack, self.submission)
        except ServiceException as error:
            self.fail(failure(error))
        else:
            if self.change_set_type == "UPDATE" and not is_change(
                stack, self.submission, self.changes
            ):
                self.fail(NO_CHANGES)

    def fail(self, reason: str) -> None:
        self.status, self.execution_status, self.status_reason = "FAILED", "UNAVAILABLE", reason


def is_change(stack: Any, wanted: Submission, changes: list[dict[str, Any]]) -> bool:
    """Tell whether there is anything to do: resources, outputs or tags."""
    outputs = stack.template_dict.get("Outputs"), wanted.processed.get("Outputs")
    tags = stack.tags, wanted.tags or stack.tags
    return bool(changes) or outputs[0] != outputs[1] or tags[0] != tags[1]


def key_values(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


# -- The operations -------------------------------------------------------------------------------


class Request:
    """A request as moto has parsed it, with what most of them have in common."""

    def __init__(self, response: Any) -> None:
        self.response = response
        backends: Any = cloudformation_backends
        self.backend = backends[response.current_account][response.region]

    def get(self, name: str, default: Any = None) -> Any:
        return self.response._get_param(name, default)

    def flag(self, name: str) -> bool:
        return bool(self.response._get_bool_param(name, False))

    def stack(self) -> Any:
        """Return the stack that is named, or None."""
        name = self.get("StackName")
        stacks = self.backend.stacks
        return stacks.get(name) or next(
            (stack for stack in stacks.values() if stack.name == name), None
        )

    def body(self, stack: Any = None) -> str:
        if url := self.get("TemplateURL"):
            response = self.response
            return template_at(url, response.current_account, response.partition)
        if stack is not None and self.flag("UsePreviousTemplate"):
            return original(stack)
        if body := self.get("TemplateBody"):
            return str(body)
        raise ValidationError(message="Either Template URL or Template Body must be specified.")

    def parameters(self, stack: Any = None) -> dict[str, str]:
        values = {}
        for parameter in self.get("Parameters", []):
            name = parameter["ParameterKey"]
            if not parameter.get("UsePreviousValue"):
                values[name] = parameter.get("ParameterValue", "")
            elif stack is None or name not in stack.parameters:
                message = f"Invalid input for parameter key {name}. It has no previous value"
                raise ValidationError(message=message)
            else:
                values[name] = stack.parameters[name]
        return values

    def tags(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.get("Tags", [])}

    def capabilities(self) -> list[str]:
        return list(self.get("Capabilities", []))

    def new_stack(self, status: str) -> Any:
        """Create an empty stack, to be filled."""
        region, account_id = self.response.region, self.response.current_account
        kind: Any = MotoStack
        stack = kind(
            stack_id=generate_stack_id(self.get("StackName"), region, account_id),
            name=self.get("StackName"),
            template={},
            parameters={},
            account_id=account_id,
            region_name=region,
            notification_arns=self.get("NotificationARNs", []),
            tags=self.tags(),
            role_arn=self.get("RoleARN"),
            cross_stack_resources=self.backend.exports,
            enable_termination_protection=self.flag("EnableTerminationProtection"),
            timeout_in_mins=self.get("TimeoutInMinutes"),
            stack_policy_body=self.get("StackPolicyBody"),
        )
        stack.status = status
        self.backend.stacks[stack.stack_id] = stack
        return stack

    def change_set(self) -> ChangeSet:
        name, stack = self.get("ChangeSetName"), self.stack()
        change_set: ChangeSet
        for change_set in self.backend.change_sets.values():
            if name == change_set.change_set_id or (
                name == change_set.change_set_name and change_set.stack is stack
            ):
                return change_set
        raise ChangeSetNotFoundError(f"ChangeSet [{name}] does not exist")

    def deploy(self, stack: Any, kind: str, wanted: Submission, *, roll_back: bool = True) -> None:
        """Change a stack, and the exports that others may import."""
        exports = self.backend.exports
        try:
            Deployment(stack, kind).run(wanted, roll_back=roll_back)
        finally:
            for name in [name for name, one in exports.items() if is_of(one, stack)]:
                del exports[name]
            exports.update({export.name: export for export in stack.exports})


def is_of(export: Any, stack: Any) -> bool:
    return bool(export.exporting_stack_id == stack.stack_id)


def original(stack: Any) -> str:
    submission = getattr(stack, "submission", None)
    return str(submission.body if submission else stack.template)


def updatable(request: Request) -> Any:
    """Return the stack that a request is to update; raises if there is none that can be."""
    stack = request.stack()
    if stack is None or stack.status == "REVIEW_IN_PROGRESS":
        message = f"Stack [{request.get('StackName')}] does not exist"
        raise ValidationError(message=message)
    if not re.fullmatch(
        r"(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE|.*E_FAILED", stack.status
    ):
        message = f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated."
        raise ValidationError(message=message)
    return stack


def create_stack(response: Any) -> ActionResult:
    request = Request(response)
    if request.stack() is not None:
        name = request.get("StackName")
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    wanted = submit(request.body(), request.parameters(), request.tags())
    check_capabilities(wanted, request.capabilities())
    if transforms(parse(wanted.body)) and "CAPABILITY_AUTO_EXPAND" not in request.capabilities():
        raise InsufficientCapabilitiesError("Requires capabilities : [CAPABILITY_AUTO_EXPAND]")
    stack = request.new_stack("CREATE_IN_PROGRESS")
    try:
        plan(stack, wanted)
    except Exception:
        del request.backend.stacks[stack.stack_id]
        raise
    request.deploy(stack, "CREATE", wanted, roll_back=not request.flag("DisableRollback"))
    return ActionResult({"StackId": stack.stack_id})


def update_stack(response: Any) -> ActionResult:
    request = Request(response)
    stack = updatable(request)
    wanted = submit(request.body(stack), request.parameters(stack), request.tags())
    check_capabilities(wanted, request.capabilities())
    if not is_change(stack, wanted, plan(stack, wanted)):
        raise ValidationError(message="No updates are to be performed.")
    request.deploy(stack, "UPDATE", wanted, roll_back=not request.flag("DisableRollback"))
    return ActionResult({"StackId": stack.stack_id})


def delete_stack(response: Any) -> EmptyResult:
    request = Request(response)
    stack = request.stack()
    if stack is None:
        return EmptyResult()
    if stack.enable_termination_protection:
        message = f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
        raise ValidationError(message=message)
    deletion = Deployment(stack, "DELETE")
    deletion.status("DELETE_IN_PROGRESS", "User Initiated")
    export_names = [export.name for export in stack.exports]
    try:
        deletion.delete_all(request.get("RetainResources", []))
    except Exception as error:  # noqa: BLE001 - whatever it is, the stack's status tells of it
        deletion.status("DELETE_FAILED", failure(error))
        return EmptyResult()
    deletion.status("DELETE_COMPLETE")
    backend = request.backend
    for name in export_names:
        backend.exports.pop(name, None)
    backend.deleted_stacks[stack.stack_id] = backend.stacks.pop(stack.stack_id)
    drop_change_sets(request, stack)
    return EmptyResult()


def drop_change_sets(request: Request, stack: Any, kept: ChangeSet | None = None) -> None:
    sets = request.backend.change_sets
    for change_set in list(sets.values()):
        if change_set.stack is stack and change_set is not kept:
            del sets[change_set.change_set_id]


def create_change_set(response: Any) -> ActionResult:
    request = Request(response)
    name, kind = request.get("ChangeSetName"), request.get("ChangeSetType", "UPDATE")
    validate_create_change_set(name)
    stack = request.stack()
    if kind == "UPDATE":
        stack = updatable(request)
    elif stack is not None and stack.status != "REVIEW_IN_PROGRESS":
        message = f"Stack [{stack.name}] already exists and cannot be created again"
        raise ValidationError(message=f"{message} with the changeSet [{name}].")
    body = request.body(stack)
    sets = request.backend.change_sets
    if any(other.stack is stack and other.change_set_name == name for other in sets.values()):
        raise AlreadyExistsException(f"ChangeSet [{name}] already exists")
    all_parameters(parse(body).get("Parameters") or {}, request.parameters(stack))
    if stack is None:
        stack = request.new_stack("REVIEW_IN_PROGRESS")
        stack._add_stack_event("REVIEW_IN_PROGRESS", resource_status_reason="User Initiated")
    change_set = ChangeSet(
        generate_changeset_id(name, response.region, response.current_account),
        name,
        stack,
        kind,
        request.get("Description"),
        body,
    )
    change_set.prepare(request, stack)
    sets[change_set.change_set_id] = change_set
    return ActionResult({"Id": change_set.change_set_id, "StackId": stack.stack_id})


def describe_change_set(response: Any) -> ActionResult:
    change_set = Request(response).change_set()
    return ActionResult({**change_set.described(), "Changes": change_set.changes})


def list_change_sets(response: Any) -> ActionResult:
    request = Request(response)
    stack = request.stack()
    found = [each for each in request.backend.change_sets.values() if each.stack is stack]
    return ActionResult({"Summaries": [change_set.described() for change_set in found]})


def execute_change_set(response: Any) -> EmptyResult:
    request = Request(response)
    change_set = request.change_set()
    if change_set.execution_status != "AVAILABLE" or change_set.submission is None:
        raise InvalidChangeSetStatusError(
            f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current status of "
            f"[{change_set.status}]"
        )
    drop_change_sets(request, change_set.stack, change_set)
    try:
        request.deploy(
            change_set.stack,
            change_set.change_set_type,
            change_set.submission,
            roll_back=not request.flag("DisableRollback"),
        )
    except CloudFormationError:
        change_set.execution_status = "EXECUTE_FAILED"
    else:
        change_set.execution_status = "EXECUTE_COMPLETE"
    return EmptyResult()


class InvalidChangeSetStatusError(CloudFormationError):
    code = "InvalidChangeSetStatus"


def delete_change_set(response: Any) -> EmptyResult:
    request = Request(response)
    del request.backend.change_sets[request.change_set().change_set_id]
    return EmptyResult()


def get_template(response: Any) -> ActionResult:
    request = Request(response)
    if request.get("ChangeSetName"):
        change_set = request.change_set()
        body, processed = change_set.body, change_set.submission and change_set.submission.processed
    else:
        stack = request.backend.get_stack(request.get("StackName"))
        body, processed = original(stack), stack.template_dict
    if request.get("TemplateStage") == "Processed":
        body = json.dumps(processed or {})
    return ActionResult({"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]})


def validate_template(response: Any) -> ActionResult:
    request = Request(response)
    document = parse(request.body())
    declared = document.get("Parameters") or {}
    defaults = {name: str(each.get("Default", "")) for name, each in declared.items()}
    given = [
        {
            "ParameterKey": name,
            "DefaultValue": defaults[name],
            "NoEcho": bool(each.get("NoEcho", False)),
            "Description": each.get("Description", ""),
        }
        for name, each in declared.items()
    ]
    capability = required_capability(document)
    return ActionResult(
        {
            "Parameters": given,
            "Description": document.get("Description", ""),
            "Capabilities": [capability] if capability else [],
            "DeclaredTransforms": transforms(document),
        }
    )


# -- In moto's place ------------------------------------------------------------------------------

OPERATIONS = (
    create_change_set,
    create_stack,
    delete_change_set,
    delete_stack,
    describe_change_set,
    execute_change_set,
    get_template,
    list_change_sets,
    update_stack,
    validate_template,
)

moto_clean_json = parsing.clean_json


def clean_json(value: Any, having: Any) -> Any:
    cleaned = moto_clean_json(value, having)
    return [one for one in cleaned if one is not None] if isinstance(value, list) else cleaned


def shown_parameters(stack: Any) -> list[dict[str, str]]:
    hidden = getattr(stack.resource_map, "no_echo_parameter_keys", [])
    return [
        {"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
        for name, value in stack.parameters.items()
    ]


def install() -> None:
    """Put this in moto's place. Does nothing the second time."""
    if parsing.clean_json is clean_json:
        return
    # moto knows no transforms, loses the outputs of a stack made by a change set, sees no changes
    # of parameters, makes most resources anew when they change, and never rolls back.
    for operation in OPERATIONS:
        replace(CloudFormationResponse, operation.__name__, operation)
    # moto finds a template by its address on AWS or on "localhost" only.
    for module in (models, responses):
        replace(module, "get_stack_from_s3_url", template_at)
    # moto leaves a null in a list where AWS::NoValue is.
    replace(parsing, "clean_json", clean_json)
    # moto lists resources that a condition leaves out, without names.
    replace(
        MotoStack,
        "stack_resources",
        property(lambda self: [made.resource for made in made_by(self).values()]),
    )
    # moto shows a list among the parameters as Python writes it.
    replace(MotoStack, "parameter_list", property(shown_parameters))
