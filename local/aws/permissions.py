"""IAM permissions: records the calls that roles make to AWS, and can enforce their policies.

The callers are functions, the tasks of state machines, and Lambda when it sends a dead letter for a
function. Each call is recorded as IAM sees it, by action and resource. With `enforce`, a call that
the role's policies don't allow gets AccessDeniedException, as on AWS.

Callers with any other credentials may do everything, and their calls are not recorded.

`SERVICES` and `Record` know how IAM sees an operation. A call of any other operation is recorded
with the resource UNKNOWN, which no policy allows, so it is noticed. Policies are read from moto's
IAM at the time of the call. moto's own evaluation is not used: it is for users' access keys, does
not support "?" in a resource, and treats a condition that it can't evaluate as a Deny.

Where AWS differs: only Allow statements count, in a role's inline policies and its attached
policies except AWS managed policies; every Condition counts as fulfilled; there are no permissions
boundaries and no service control policies. Lambda itself writes a function's log and traces, which
are not recorded here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from flask import Request
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

from local.aws import refusal

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

UNKNOWN = "unknown"

#: IAM's names of the services that roles call over HTTP, by the prefix of X-Amz-Target.
SERVICES = {
    "AmazonSQS": "sqs",
    "AmazonSSM": "ssm",
    "AWSEvents": "events",
    "AWSStepFunctions": "states",
    "CodePipeline_20150709": "codepipeline",
    "DynamoDB_20120810": "dynamodb",
}

#: The operations with another name in IAM.
ACTIONS = {("lambda", "Invoke"): "lambda:InvokeFunction"}

#: The actions without resource-level permissions: they are allowed on "*" or not at all.
WITHOUT_RESOURCE = re.compile(
    r"codepipeline:(AcknowledgeJob|GetJobDetails|ListActionTypes|PutJob(Success|Failure)Result"
    r"|\w*ThirdPartyJob\w*)"
)

_ACCESS_KEY = re.compile(r"Credential=(?P<key>ROLE[0-9A-F]{16})/")


@dataclass(frozen=True, order=True)
class Call:
    """One call as IAM sees it.

    role: the ARN of the caller's role.
    action: such as "dynamodb:Query".
    resource: an ARN; "*" for an action without a resource.
    """

    role: str
    action: str
    resource: str


class Grant(Call):
    """One action and one resource of an Allow statement, as they are written."""

    def allows(self, call: Call) -> bool:
        return (
            self.role == call.role
            and _matches(self.action.lower(), call.action.lower())
            and _matches(self.resource, call.resource)
        )


class Record:
    """The calls of one local stack.

    enforce: whether calls that are not allowed are refused.
    """

    def __init__(self, account_id: str, region: str, *, enforce: bool = False) -> None:
        self._enforce = enforce
        self._place = f"{region}:{account_id}"
        self._partition = get_partition(region)
        self._calls: dict[Call, None] = {}
        self._refused: dict[Call, None] = {}
        self._roles: dict[str, str] = {}
        self._machines: dict[str, str] = {}

    @property
    def calls(self) -> list[Call]:
        """The distinct calls, in the order in which they were first made."""
        return list(self._calls)

    @property
    def refused(self) -> list[Call]:
        """The distinct calls that were refused."""
        return list(self._refused)

    # -- Callers ------------------------------------------------------------------------------

    def access_key(self, role: str) -> str:
        """Return an access key id that identifies the calls of a role."""
        key = f"ROLE{hashlib.sha256(role.encode()).hexdigest()[:16].upper()}"
        self._roles[key] = role
        return key

    def role_of(self, authorization: str) -> str | None:
        """Return the role that signed a request, or None."""
        signed = _ACCESS_KEY.search(authorization)
        return self._roles.get(signed["key"]) if signed else None

    def token_made(self, token: str, machine: str) -> None:
        """Remember the state machine of a task token; it is the resource in IAM."""
        self._machines[token] = machine

    # -- Calls --------------------------------------------------------------------------------

    def check(self, role: str, service: str, operation: str, parameters: dict[str, Any]) -> None:
        """Record an operation that a role calls; raises NotAllowedError if it is refused."""
        action = ACTIONS.get((service, operation), f"{service}:{operation}")
        self.check_all(
            [Call(role, action, resource) for resource in self._resources(action, parameters)]
        )

    def check_all(self, calls: list[Call]) -> None:
        """Record the calls of one operation; raises NotAllowedError if any of them is refused."""
        self._calls.update(dict.fromkeys(calls))
        for call in calls if self._enforce else ():
            if not any(grant.allows(call) for grant in grants(call.role)):
                self._refused[call] = None
                raise NotAllowedError(call)

    # -- IAM's view of an operation -----------------------------------------------------------

    def _resources(self, action: str, parameters: dict[str, Any]) -> list[str]:
        """Return the ARNs of the resources of an operation."""
        if WITHOUT_RESOURCE.fullmatch(action):
            return ["*"]
        try:
            return self._named(action.partition(":")[0], parameters)
        except (KeyError, TypeError, AttributeError):
            return [UNKNOWN]

    def _named(self, service: str, given: dict[str, Any]) -> list[str]:
        """Return the resources that a request names. Fails if it names none."""
        match service:
            case "codepipeline":
                kind = given["actionTypeId"]
                parts = (kind[name] for name in ("owner", "category", "provider", "version"))
                found = [self._arn(service, "actiontype:", "/".join(parts))]
            case "dynamodb":
                table = self._arn(service, "table/", given["TableName"])
                found = [f"{table}/index/{given['IndexName']}" if "IndexName" in given else table]
            case "events":
                names = dict.fromkeys(
                    each.get("EventBusName", "default") for each in given["Entries"]
                )
                found = [self._arn(service, "event-bus/", name) for name in names]
            case "lambda":
                found = [self._arn(service, "function:", given["FunctionName"])]
            case "sqs":
                found = [self._arn(service, "", given["QueueUrl"].rpartition("/")[2])]
            case "ssm":
                found = [self._arn(service, "parameter/", given["Name"].removeprefix("/"))]
            case "states" if "taskToken" in given:
                machine = self._machines.get(given["taskToken"])
                # An unknown task token is refused before permissions are checked.
                found = [machine] if machine else []
            case "states":
                found = [given.get("executionArn") or given["stateMachineArn"]]
            case _:
                found = [UNKNOWN]
        return found

    def _arn(self, service: str, kind: str, name: str) -> str:
        """Return the ARN of a resource that a request gives by name or ARN."""
        place = f"arn:{self._partition}:{service}:{self._place}"
        return name if name.startswith("arn:") else f"{place}:{kind}{name}"


class NotAllowedError(Exception):
    """The role's policies don't allow it."""

    def __init__(self, call: Call) -> None:
        role = call.role.rpartition("/")[2]
        super().__init__(
            f"User: {role} is not authorized to perform: {call.action} on resource: "
            f"{call.resource} because no identity-based policy allows the {call.action} action"
        )


# -- Policies -------------------------------------------------------------------------------------


def policies(role: str) -> list[dict[str, Any]]:
    """Return a role's current inline and attached policies."""
    _, partition, _, _, account, _ = role.split(":")
    backend = iam_backends[account][partition]
    found = [one for one in list(backend.roles.values()) if one.arn == role]
    return [
        json.loads(text)
        for one in found
        for text in (
            *one.policies.values(),
            *(
                version.document
                for managed in list(one.managed_policies.values())
                for version in managed.versions
                if version.is_default
            ),
        )
    ]


def grants(role: str) -> list[Grant]:
    """Return all grants of a role's policies."""
    return [
        Grant(role, action, resource)
        for document in policies(role)
        for statement in _listed(document["Statement"])
        if statement["Effect"] == "Allow"
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    ]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _matches(pattern: str, text: str) -> bool:
    """Return whether a text matches an IAM pattern: "*" is any text, "?" any character."""
    parts = ({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


# -- Interception of calls ------------------------------------------------------------------------

#: The record of the running stack. There is one at a time.
record = Record(DEFAULT_ACCOUNT_ID, "us-east-1")

#: The role of the state machine that runs in this thread.
_acting: ContextVar[str | None] = ContextVar("acting", default=None)


def start(account_id: str, region: str, *, enforce: bool = False) -> Record:
    """Start a new record."""
    global record  # noqa: PLW0603 - as global as moto's backends
    record = Record(account_id, region, enforce=enforce)
    return record


@contextmanager
def acting(role: str) -> Iterator[None]:
    """Attribute the calls of watched clients in this thread to a role."""
    token = _acting.set(role)
    try:
        yield
    finally:
        _acting.reset(token)


def watch(client: Any) -> Any:
    """Record a client's calls inside `acting`, and refuse those that are not allowed."""
    client.meta.events.register_first("provide-client-params", _check_parameters)
    return client


def _check_parameters(params: dict[str, Any], model: Any, **_: Any) -> None:
    role = _acting.get()
    if not role:
        return
    service = model.service_model.service_name
    try:
        record.check(role, {"stepfunctions": "states"}.get(service, service), model.name, params)
    except NotAllowedError as error:
        answer: Any = {
            "Error": {"Code": "AccessDeniedException", "Message": str(error)},
            "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "local", "HTTPHeaders": {}},
        }
        raise ClientError(answer, model.name) from None


def may_send(role: str, queue_arn: str) -> bool:
    """Record that Lambda sends a dead letter with a function's role; return whether it may."""
    try:
        record.check_all([Call(role, "sqs:SendMessage", queue_arn)])
    except NotAllowedError:
        return False
    return True


class Watch:
    """A WSGI application in front of another: records the calls of roles, and may refuse them."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        role = record.role_of(environ.get("HTTP_AUTHORIZATION", ""))
        if role:
            request = Request(environ)
            body = request.get_data()
            environ["wsgi.input"] = BytesIO(body)
            prefix, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
            try:
                parameters = json.loads(body)
            except ValueError:
                parameters = {}
            try:
                record.check(role, SERVICES.get(prefix, UNKNOWN), operation, parameters)
            except NotAllowedError as error:
                denied = refusal.refuse("AccessDeniedException", str(error), request=request)
                return denied(environ, start_response)
        return self._application(environ, start_response)
