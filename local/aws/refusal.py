"""Errors for unsupported operations, in the protocol of the caller.

If moto lacks an operation or does not expect an input, it raises NotImplementedError, answers
nothing, or fails. Its web server turns this into a page with status 500, on which SDKs retry. Here
the caller gets an error as from AWS, with a status on which SDKs don't retry:

- for a missing operation: UnknownOperationException, 400; in the query protocol InvalidAction, 400;
  for S3 NotImplemented, 501;
- for an operation that fails: NotImplemented, 501. The log has the place of the failure.
"""

import json
import logging
import re
import traceback
from collections.abc import Callable
from typing import Any, NoReturn
from xml.sax.saxutils import escape

from flask import Flask, Request, Response, request
from moto.core.exceptions import ServiceException
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.exceptions import HTTPException

logger = logging.getLogger(__name__)

#: The signing names of the services that use REST-XML.
XML = {"cloudfront", "route53", "s3", "s3-object-lambda", "s3express"}
#: The entry for unknown services in moto's dispatcher: a name, and a pattern of hosts.
NOBODY = ("", re.compile(r"https?://.*amazonaws\.com"))

_SCOPE = re.compile(r"Credential=[^/,]+/\d+/[^/]+/(?P<service>[^/]+)/")


def application(backend: Any) -> Flask:
    """moto's application for a service; for an unknown service, one that refuses everything."""
    app = create_backend_app(backend) if backend else Flask(__name__)

    def failed(error: Exception) -> Any:
        if isinstance(error, ServiceException):
            return refuse(error.code, error.message)
        if isinstance(error, HTTPException):
            # moto's own errors are complete; others are from Flask, which found no operation.
            return error if hasattr(error, "error_type") else refuse_operation()
        if isinstance(error, NotImplementedError):
            return refuse_operation()
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        logger.error("%s of %s: %r at %s", operation(), service(), error, where)
        message = f"{operation()} of {service()} is not implemented here for this input"
        return refuse("NotImplemented", message, 501)

    def answered(response: Response) -> Response:
        is_empty = response.status_code >= 400 and not response.get_data()
        return refuse_operation() if is_empty and request.method != "HEAD" else response

    app.register_error_handler(Exception, failed)
    app.after_request(answered)
    return app


def service(request: Request = request) -> str:
    """The service for which a request is signed; S3 if it is not signed."""
    found = _SCOPE.search(request.headers.get("Authorization", ""))
    return found["service"] if found else "s3"


def operation() -> str:
    """The operation of the current request; if it names none, its method and path."""
    if target := request.headers.get("X-Amz-Target"):
        return target.rpartition(".")[2]
    if "Smithy-Protocol" in request.headers:
        return request.path.rpartition("/")[2]
    return request.values.get("Action") or f"{request.method} {request.path}"


def refuse_operation() -> Response:
    message = f"{operation()} of {service()} is not implemented here"
    logger.warning(message)
    if "Action" in request.values:
        return refuse("InvalidAction", message)
    if service() in XML:
        return refuse("NotImplemented", message, 501)
    return refuse("UnknownOperationException", message)


def missing(_: Any) -> NoReturn:
    """Stands for an operation of moto that answers wrongly: it is refused like a missing one."""
    raise NotImplementedError


def refuse(code: str, message: str, status: int = 400, request: Request = request) -> Response:
    """An error in the protocol of a request."""
    if request.headers.get("Smithy-Protocol") == "rpc-v2-cbor":
        members = b"".join(map(cbor, ("__type", code, "message", message)))
        headers = {"Smithy-Protocol": "rpc-v2-cbor"}
        return Response(b"\xa2" + members, status, headers, None, "application/cbor")
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if service(request) == "ec2":
        return xml(f"<Response><Errors>{error}</Errors></Response>", status)
    if "Action" in request.values:
        return xml(f"<ErrorResponse>{error}</ErrorResponse>", status)
    if service(request) in XML:
        return xml(error, status)
    body = json.dumps({"__type": code, "message": message})
    return Response(body, status, {"x-amzn-ErrorType": code}, None, "application/json")


def xml(body: str, status: int) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', status, mimetype="text/xml")


def cbor(text: str) -> bytes:
    """A text of less than 64 KiB in CBOR."""
    data = text.encode()
    return b"\x79" + len(data).to_bytes(2, "big") + data


def named_error(moto_init: Callable[..., None]) -> Callable[..., None]:
    def init(
        self: Any, message: str = "", exception_type: str | None = None, status: int | None = None
    ) -> None:
        moto_init(self, message, exception_type or self.TYPE or type(self).__name__, status)

    return init
