"""IAM permissions: records the calls that roles make to AWS, and can enforce their policies.

The callers are functions, the tasks of state machines, and Lambda when it sends a dead letter for a
function. Each call is recorded as IAM sees it, by action and resource. With `enforce`, a call that
the role's policies don't allow gets AccessDeniedException, as on AWS.

Callers with any other credentials may do everything, and their calls are not recorded.

`SERVICES` and `_RESOURCES` say how IAM sees an operation. A call of any other operation is recorded
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
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition
from werkzeug.wrappers import Request, Response

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


@dataclass(frozen=True)
class Grant:
    """One action and one resource of an Allow statement, as they are written.

    role: the ARN of the role.
    """

    role: str
    action: str
    resource: str

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
        self.enforce = enforce
        self.region = region
        self.account_id = account_id
        self._calls: dict[Call, None] = {}
        self._refused: dict[Call, None] = {}
        self._roles: dict[str, str] = {}
        self._machines: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def calls(self) -> list[Call]:
        """The distinct calls, in the order in which they were first made."""
        with self._lock:
            return list(self._calls)

    @property
    def refused(self) -> list[Call]:
        """The distinct calls that were refused."""
        with self._lock:
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
        with self._lock:
            self._calls.update(dict.fromkeys(calls))
        for call in calls if self.enforce else ():
            if not any(grant.allows(call) for grant in grants(call.role)):
                with self._lock:
                    self._refused[call] = None
                raise NotAllowedError(call)

    def _resources(self, action: str, parameters: dict[str, Any]) -> list[str]:
        if WITHOUT_RESOURCE.fullmatch(action):
            return ["*"]
        find = _RESOURCES.get(action.partition(":")[0])
        try:
            found = find(self, parameters) if find else [UNKNOWN]
        except (KeyError, TypeError, AttributeError):
            found = [UNKNOWN]
        return found

    def arn(self, service: str, resource: str) -> str:
        partition = get_partition(self.region)
        return f"arn:{partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def machine_of(self, token: str) -> str | None:
        return self._machines.get(token)


class NotAllowedError(Exception):
    """The role's policies don't allow it."""

    def __init__(self, call: Call) -> None:
        role = call.role.rpartition("/")[2]
        super().__init__(
            f"User: {role} is not authorized to perform: {call.action} on resource: "
            f"{call.resource} because no identity-based policy allows the {call.action} action"
        )


# -- IAM's view of an operation -------------------------------------------------------------------

#: The operations with another name in IAM.
ACTIONS = {("lambda", "Invoke"): "lambda:InvokeFunction"}


def _named(record: Record, service: str, kind: str, name: str) -> str:
    """Return the ARN of a resource that a request gives by name or ARN."""
    return name if name.startswith("arn:") else record.arn(service, f"{kind}{name}")


def _table(record: Record, parameters: dict[str, Any]) -> list[str]:
    table = _named(record, "dynamodb", "table/", parameters["TableName"])
    return [f"{table}/index/{parameters['IndexName']}" if "IndexName" in parameters else table]


def _buses(record: Record, parameters: dict[str, Any]) -> list[str]:
    names = [entry.get("EventBusName", "default") for entry in parameters["Entries"]]
    return [_named(record, "events", "event-bus/", name) for name in dict.fromkeys(names)]


def _machine_or_execution(record: Record, parameters: dict[str, Any]) -> list[str]:
    if "taskToken" in parameters:
        machine = record.machine_of(parameters["taskToken"])
        # An unknown task token is refused before permissions are checked.
        return [machine] if machine else []
    return [parameters.get("executionArn") or parameters["stateMachineArn"]]


def _action_type(record: Record, parameters: dict[str, Any]) -> list[str]:
    kind = parameters["actionTypeId"]
    parts = (kind[name] for name in ("owner", "category", "provider", "version"))
    return [record.arn("codepipeline", f"actiontype:{'/'.join(parts)}")]


def _parameter(record: Record, parameters: dict[str, Any]) -> list[str]:
    name = parameters["Name"]
    return [record.arn("ssm", f"parameter{name}" if name.startswith("/") else f"parameter/{name}")]


def _function(record: Record, parameters: dict[str, Any]) -> list[str]:
    return [_named(record, "lambda", "function:", parameters["FunctionName"])]


def _queue(record: Record, parameters: dict[str, Any]) -> list[str]:
    return [record.arn("sqs", parameters["QueueUrl"].rpartition("/")[2])]


_RESOURCES: dict[str, Callable[[Record, dict[str, Any]], list[str]]] = {
    "codepipeline": _action_type,
    "dynamodb": _table,
    "events": _buses,
    "lambda": _function,
    "sqs": _queue,
    "ssm": _parameter,
    "states": _machine_or_execution,
}


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

#: There is one local stack at a time.
_record: Record | None = None

#: The role of the state machine that runs in this thread.
_acting: ContextVar[str | None] = ContextVar("acting", default=None)


def start(account_id: str, region: str, *, enforce: bool = False) -> Record:
    """Start recording."""
    global _record  # noqa: PLW0603 - as global as moto's backends
    _record = Record(account_id, region, enforce=enforce)
    return _record


def stop() -> None:
    """Stop recording."""
    global _record  # noqa: PLW0603
    _record = None


def access_key(role: str) -> str:
    """Return the access key id for a process that uses a role."""
    return _record.access_key(role) if _record else "local"


def token_made(token: str, machine: str) -> None:
    """Remember the state machine of a task token."""
    if _record:
        _record.token_made(token, machine)


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
    if not role or not _record:
        return
    service = {"stepfunctions": "states"}.get(model.service_model.service_name)
    try:
        _record.check(role, service or model.service_model.service_name, model.name, params)
    except NotAllowedError as error:
        answer: Any = {
            "Error": {"Code": "AccessDeniedException", "Message": str(error)},
            "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "local", "HTTPHeaders": {}},
        }
        raise ClientError(answer, model.name) from None


def may_send(role: str, queue_arn: str) -> bool:
    """Record that Lambda sends a dead letter with a function's role; return whether it may."""
    if not _record:
        return True
    try:
        _record.check_all([Call(role, "sqs:SendMessage", queue_arn)])
    except NotAllowedError:
        return False
    return True


class Watch:
    """A WSGI application in front of another: records the calls of roles, and may refuse them."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        role = _record and _record.role_of(environ.get("HTTP_AUTHORIZATION", ""))
        if role and _record:
            body = Request(environ).get_data()
            environ["wsgi.input"] = BytesIO(body)
            prefix, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
            try:
                parameters = json.loads(body)
            except ValueError:
                parameters = {}
            try:
                _record.check(role, SERVICES.get(prefix, UNKNOWN), operation, parameters)
            except NotAllowedError as error:
                return _denied(error)(environ, start_response)
        return self._application(environ, start_response)


def _denied(error: NotAllowedError) -> Response:
    body = {"__type": "AccessDeniedException", "message": str(error)}
    return Response(
        json.dumps(body),
        400,
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-ErrorType": "AccessDeniedException"},
    )
