"""Faults in the AWS calls of functions and state machines: of networks, services and processes.

A `Faults` object in the local stack sees every such call, and asks a function of yours which fault,
if any, to inject:

    dies before     the function's process is killed, and the call has no effect
    dies after      the call takes effect, and the function's process is killed before the answer
    error           an internal error of the service, without effect
    answer lost     the call takes effect, and the connection is cut before the answer
    throttled       the service throttles the call
    swallowed       PutEvents succeeds, and the event is never delivered

A state machine's process can't die. It sees the results of its calls as Step Functions reports
them: a lost answer is an error, `SdkClientException`.

A retry by the SDK is the same call: it gives the same `Call`, with `attempt` 2.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

from botocore.awsrequest import AWSResponse
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response

from local.aws import functions, stepfunctions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Fault = Literal["dies before", "dies after", "error", "answer lost", "throttled", "swallowed"]

#: The faults of a state machine's call.
WITHOUT_PROCESS: tuple[Fault, ...] = ("error", "answer lost", "throttled")

_FUNCTION = re.compile(r"(?P<name>[A-Za-z]+)Function-")
_TABLE = re.compile(r"(?P<name>[A-Za-z]+Table)\b")


@dataclass(frozen=True)
class Call:
    """One call on its way to AWS.

    caller: a function by its name in the template, without "Function"; or a state, with "state"
        after its name.
    name: the operation, with the table if it is one of DynamoDB's, and "#2" for the second such
        call in an invocation: "UpdateItem JobTable #2".
    attempt: the number of the SDK's try, from 1.
    body: the request.
    event: the event that the function was invoked with; "" for a state machine.
    """

    caller: str
    name: str
    attempt: int
    body: str
    event: str

    @property
    def of_function(self) -> bool:
        """Whether a function makes it, rather than a state machine."""
        return bool(self.event)


Choose = Callable[[Call], Fault | None]


class Faults:
    """Asks `choose` about every call, and injects the fault that it returns.

    It is a layer in front of the local cloud's endpoint, and intercepts a state machine's clients
    with `before` and `after`. `choose` is called in the caller's thread.
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._counts: dict[str, dict[str, list[str]]] = defaultdict(dict)
        self._lock = threading.Lock()

    # -- Functions ----------------------------------------------------------------------------

    def layer(self, application: WSGIApplication, _: object) -> Faults:
        """Put this layer in front of the endpoint, and intercept the clients of state machines."""
        self._application = application
        stepfunctions.watcher = self
        return self

    def stop(self) -> None:
        """Stop intercepting the clients of state machines."""
        stepfunctions.watcher = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        session = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
        if "/" not in session:  # a call of the tests themselves
            return self._application(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:  # a request cut off because its process was killed
            return cut(environ)
        environ["wsgi.input"] = BytesIO(body)
        sandbox = functions.sandbox(session)
        if sandbox is None:
            return self._application(environ, start_response)
        call = self._call(environ, sandbox, body.decode(errors="replace"))
        fault = self._choose(call)
        if fault == "dies before":
            sandbox.kill()
            cut(environ)
        if fault in ("error", "throttled"):
            service = environ.get("HTTP_X_AMZ_TARGET", "").partition("_")[0]
            status, code = refusal(fault)
            if service.startswith("DynamoDB") and fault == "error":
                code = "InternalServerError"
            body = json.dumps({"__type": code, "message": f"A fault: {fault}"})
            answer = Response(body, status, content_type="application/x-amz-json-1.1")
            return answer(environ, start_response)
        if fault is None:
            return self._application(environ, start_response)
        run_wsgi_app(self._application, environ, buffered=True)
        if fault == "dies after":
            sandbox.kill()
        return cut(environ)

    def _call(self, environ: WSGIEnvironment, sandbox: functions.Sandbox, text: str) -> Call:
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        name = named(operation, text)
        identity = environ.get("HTTP_AMZ_SDK_INVOCATION_ID", "")
        with self._lock:
            # All tries of the same call have the same id.
            invocation = f"{sandbox.session} {sandbox.invocations}"
            attempts = self._counts[invocation].setdefault(name, [])
            if identity not in attempts:
                attempts.append(identity)
            number = attempts.index(identity) + 1
        tries = re.search(r"attempt=(\d+)", environ.get("HTTP_AMZ_SDK_REQUEST", ""))
        found = _FUNCTION.search(sandbox.function_name)
        return Call(
            caller=found["name"] if found else sandbox.function_name,
            name=name if number == 1 else f"{name} #{number}",
            attempt=int(tries[1]) if tries else 1,
            body=text,
            event=sandbox.event,
        )

    # -- State machines -----------------------------------------------------------------------

    def before(
        self, state: str, operation: str, request: dict[str, Any], context: dict[str, Any]
    ) -> Any:
        """The answer for botocore to use instead of making the call; None to make it.

        A fault after the call is noted in the context.
        """
        body = request["body"]
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        fault = self._choose(Call(f"{state} state", named(operation, text), 1, text, ""))
        if fault in ("error", "throttled"):
            status, code = refusal(fault)
            return parsed(status, {"Error": {"Code": code, "Message": f"A fault: {fault}"}})
        if fault == "swallowed":
            count = len(json.loads(text)["Entries"])
            return parsed(200, {"FailedEntryCount": 0, "Entries": [{"EventId": "-"}] * count})
        context["fault"] = fault
        return None

    def after(self, context: dict[str, Any], response: Any, answer: dict[str, Any]) -> None:
        """Turn a lost answer into the error that Step Functions reports."""
        if context.get("fault") is not None and response.status_code < 300:
            response.status_code = 500
            answer["Error"] = {"Code": "SdkClientException", "Message": "The answer was lost"}
            answer["ResponseMetadata"]["HTTPStatusCode"] = 500


def named(operation: str, body: str) -> str:
    """An operation, with its table if it has one."""
    try:
        table = json.loads(body).get("TableName", "") if "TableName" in body else ""
    except ValueError:
        table = ""
    found = _TABLE.search(table)
    return f"{operation} {found['name']}" if found else operation


def refusal(fault: Fault) -> tuple[int, str]:
    """The status and error code of a service that fails or throttles."""
    return (400, "ThrottlingException") if fault == "throttled" else (500, "InternalException")


def parsed(status: int, answer: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A response as botocore parses it."""
    told = {"HTTPStatusCode": status, "RequestId": "local", "HTTPHeaders": {}}
    return AWSResponse("", status, {}, None), {**answer, "ResponseMetadata": told}


def cut(environ: WSGIEnvironment) -> Iterable[bytes]:
    """Close the connection of a request without a response."""
    with suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError
