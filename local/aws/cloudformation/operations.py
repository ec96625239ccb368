"""The operations of CloudFormation that change stacks, or return templates and change sets."""

import json
import logging
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import (
    AlreadyExistsException,
    CloudFormationError,
    ValidationError,
)
from moto.cloudformation.models import Stack as MotoStack
from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.utils import (
    generate_changeset_id,
    generate_stack_id,
    validate_create_change_set,
)
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.utilities.utils import get_partition

from local.aws.cloudformation.deployment import (
    Deployment,
    check_made,
    failure,
    is_change,
    made_by,
    plan,
)
from local.aws.cloudformation.templates import (
    InsufficientCapabilitiesError,
    Submission,
    all_parameters,
    check_capabilities,
    parse,
    required_capability,
    submit,
    template_at,
    transforms,
)
from local.aws.parameters import text

#: AWS::URLSuffix of partitions that don't use amazonaws.com.
SUFFIXES = {"aws-cn": "amazonaws.com.cn"}
#: Programs recognize a change set without changes by this reason.
NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)


class ChangeSetNotFoundError(CloudFormationError):
    code = "ChangeSetNotFound"


class InvalidChangeSetStatusError(CloudFormationError):
    code = "InvalidChangeSetStatus"


# -- Change sets ----------------------------------------------------------------------------------


#: The maximum size of a template in a request.
INLINE_BYTES = 51_200
TOO_LONG = (
    "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
    f"Member must have length less than or equal to {INLINE_BYTES}"
)


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
        """Find out what the change set would change, or why it fails."""
        try:
            self.submission = submit(self.body, given.parameters(stack), given.tags())
            check_capabilities(self.submission, given.capabilities())
            self.changes = plan(stack, self.submission)
            check_made(stack, self.changes)
        except ServiceException as error:
            self.fail(failure(error))
        else:
            if self.change_set_type == "UPDATE" and not is_change(
                stack, self.submission, self.changes
            ):
                self.fail(NO_CHANGES)

    def fail(self, reason: str) -> None:
        self.status, self.execution_status, self.status_reason = "FAILED", "UNAVAILABLE", reason


def key_values(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


# -- The operations -------------------------------------------------------------------------------


class Request:
    """A request as parsed by moto, with the parameters that most operations share."""

    def __init__(self, response: Any) -> None:
        self.response = response
        backends: Any = cloudformation_backends
        self.backend = backends[response.current_account][response.region]

    def get(self, name: str, default: Any = None) -> Any:
        return self.response._get_param(name, default)

    def flag(self, name: str) -> bool:
        return bool(self.response._get_bool_param(name, False))

    def stack(self) -> Any:
        """Return the stack that the request names, or None."""
        name = self.get("StackName")
        stacks = self.backend.stacks
        return stacks.get(name) or next(
            (stack for stack in stacks.values() if stack.name == name), None
        )

    def body(self, stack: Any = None) -> str:
        given = self.get("TemplateURL"), self.get("TemplateBody")
        if self.flag("UsePreviousTemplate") and given != (None, None):
            raise ValidationError(
                message="You cannot specify both usePreviousTemplate and Template Body/Template "
                "URL."
            )
        if url := self.get("TemplateURL"):
            response = self.response
            return template_at(url, response.current_account, response.partition)
        if stack is not None and self.flag("UsePreviousTemplate"):
            return original(stack)
        if body := self.get("TemplateBody"):
            if len(str(body).encode()) > INLINE_BYTES:
                raise ValidationError(message=TOO_LONG)
            return str(body)
        raise ValidationError(message="Either Template URL or Template Body must be specified.")

    def parameters(self, stack: Any = None) -> dict[str, str]:
        values = {}
        for parameter in self.get("Parameters", []):
            name = parameter["ParameterKey"]
            if parameter.get("UsePreviousValue") and parameter.get("ParameterValue"):
                raise ValidationError(
                    message=f"Invalid input for parameter key {name}. Cannot specify "
                    "usePreviousValue as true and non empty value for a parameter"
                )
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
        """Create an empty stack."""
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
        """Change a stack, and its exports."""
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
    """Return the stack that a request updates; raises if it does not exist or can't be updated."""
    stack = request.stack()
    if stack is None or stack.status == "REVIEW_IN_PROGRESS":
        message = f"Stack [{request.get('StackName')}] does not exist"
        raise ValidationError(message=message)
    if not re.fullmatch(
        r"(CREATE|UPDATE|UPDATE_ROLLBACK)_COMPLETE|(CREATE|UPDATE)_FAILED", stack.status
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
    stack.role_arn = request.get("RoleARN") or stack.role_arn
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
    except Exception as error:  # noqa: BLE001 - the stack's status has the reason
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
    defaults = {name: text(each.get("Default", "")) for name, each in declared.items()}
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


# -- Replacements in moto -------------------------------------------------------------------------

moto_clean_json = parsing.clean_json
moto_resource_map = parsing.ResourceMap.__init__


def resource_map(self: Any, *args: Any, **kwargs: Any) -> None:
    """Set the partition and URL suffix of the region; moto puts all regions into one partition."""
    moto_resource_map(self, *args, **kwargs)
    partition = get_partition(self._parsed_resources["AWS::Region"])
    self._parsed_resources["AWS::Partition"] = partition
    self._parsed_resources["AWS::URLSuffix"] = SUFFIXES.get(partition, "amazonaws.com")


def clean_json(value: Any, having: Any) -> Any:
    cleaned = moto_clean_json(value, having)
    return [one for one in cleaned if one is not None] if isinstance(value, list) else cleaned


def shown_parameters(stack: Any) -> list[dict[str, str]]:
    hidden = getattr(stack.resource_map, "no_echo_parameter_keys", [])
    return [
        {"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
        for name, value in stack.parameters.items()
    ]


stack_resources = property(lambda stack: [made.resource for made in made_by(stack).values()])
parameter_list = property(shown_parameters)

# SAM's translator logs warnings about its metrics, which are not used here.
logging.getLogger("samtranslator.metrics.metrics").setLevel(logging.ERROR)
