"""What is refused without an operation's own error is told in the protocol of who asks.

moto raises NotImplementedError, answers nothing, or fails, where it lacks an operation or has not
thought of an input. A web server makes pages of that with status 500, for which SDKs ask again.
`install` makes of it an error as AWS has them, with a status for which they don't:

- an operation that is not there: UnknownOperationException, 400; in the query protocol
  InvalidAction, 400; of S3 NotImplemented, 501;
- an operation that fails: NotImplemented, 501. The log says where.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from flask import Flask, Response, request
from moto.core.exceptions import ServiceException
from werkzeug.exceptions import HTTPException

logger = logging.getLogger(__name__)

#: The services whose REST is XML.
XML = {"cloudfront", "route53", "s3", "s3bucket_path", "s3control"}


def install(app: Flask, service: str) -> Flask:
    """Let an application of moto's, for one service, refuse in that service's protocol."""

    def failed(error: Exception) -> Any:
        if isinstance(error, ServiceException):
            return refuse(service, error.code, error.message)
        if isinstance(error, HTTPException):
            # One of moto's own says it all; others are of the web server, which found no operation.
            return error if hasattr(error, "error_type") else refuse_operation(service)
        if isinstance(error, NotImplementedError):
            logger.warning("%s: %s", service, error)
            return refuse_operation(service)
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        logger.error("%s %s: %r at %s", service, operation(), error, where)
        message = f"{operation() or 'This request'} with this input is not implemented here"
        return refuse(service, "NotImplemented", message, 501)

    def answered(response: Response) -> Response:
        empty = response.status_code >= 400 and not response.get_data()
        return refuse_operation(service) if empty and request.method != "HEAD" else response

    app.register_error_handler(Exception, failed)
    app.after_request(answered)
    return app


def operation() -> str:
    """The operation that is asked for, as far as the request names it."""
    if target := request.headers.get("X-Amz-Target"):
        return target.rpartition(".")[2]
    if "Smithy-Protocol" in request.headers:
        return request.path.rpartition("/")[2]
    return request.values.get("Action") or f"{request.method} {request.path}"


def refuse_operation(service: str) -> Response:
    message = f"{operation()} of {service} is not implemented here"
    if service in XML:
        return refuse(service, "NotImplemented", message, 501)
    code = "InvalidAction" if "Action" in request.values else "UnknownOperationException"
    return refuse(service, code, message)


def refuse(service: str, code: str, message: str, status: int = 400) -> Response:
    """An error in the protocol of the running request."""
    if request.headers.get("Smithy-Protocol") == "rpc-v2-cbor":
        body = b"\xa2" + b"".join(map(cbor, ("__type", code, "message", message)))
        return Response(body, status, {"Smithy-Protocol": "rpc-v2-cbor"}, None, "application/cbor")
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if service == "ec2":
        return xml(f"<Response><Errors>{error}</Errors></Response>", status)
    if "Action" in request.values:
        return xml(f"<ErrorResponse>{error}</ErrorResponse>", status)
    if service in XML:
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
