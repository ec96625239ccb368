"""What an HTTP endpoint has beyond moto's: switches, time, and checks of artifact credentials.

``Endpoint`` goes in front of moto's WSGI application:

    GET   /_local/codepipeline/behaviour   the switches: {"nonce_rotates": true, ...}
    PATCH /_local/codepipeline/behaviour   {"nonce_rotates": false}; returns all of them
    GET   /_local/codepipeline/clock       {"now": 1800000000.0}, in seconds since the epoch
    POST  /_local/codepipeline/clock       {"advance_seconds": 60}; what becomes due happens
    GET   /_local/codepipeline/next-jobs   {"next_jobs": [...]}: what is set up for the next jobs
    POST  /_local/codepipeline/next-jobs   {"configuration": {"Outcome": "Fail"}}, for the next job,
                                           or {"offer_twice": true}

``?region=eu-west-1`` selects a region other than the endpoint's own. A refused request gets HTTP
400 (404, 405) and ``{"message": "..."}``. All other requests go to moto, except those that are
signed with a job's artifact credentials which do not allow them: see ``credentials``. As in moto,
signatures are not checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from threading import Thread
from typing import TYPE_CHECKING, Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from .credentials import CREDENTIAL_MARKS, AccessDeniedError, ExpiredTokenError, S3Request
from .jobs import NextJob
from .models import JobBackend, backend, backends
from .switches import SwitchError, change, values

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/_local/codepipeline/"

_CREDENTIAL = re.compile(r"Credential=(?P<key>[^/,\s]+)/[^/]+/[^/]+/(?P<service>[^/]+)/")
_PRESIGNED = re.compile(r"(?P<key>[^/]+)/[^/]+/[^/]+/(?P<service>[^/]+)/")
_SIGNATURE_2 = re.compile(r"AWS (?P<key>[^:]+):")


class RefusedError(ValueError):
    """The request is invalid."""


class Endpoint:
    """A WSGI application: CodePipeline's switches, clock and credentials in front of moto's.

    ``account_id`` and ``region`` select the backend if a request does not.
    """

    def __init__(self, application: WSGIApplication, account_id: str, region: str) -> None:
        self._application = application
        self._account_id = account_id
        self._region = region

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith(PREFIX):
            return self._answer(Request(environ))(environ, start_response)
        refusal = _refusal(Request(environ, populate_request=False))
        return (refusal or self._application)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        methods = _RESOURCES.get(request.path.removeprefix(PREFIX))
        if methods is None:
            there_are = " and ".join(PREFIX + name for name in _RESOURCES)
            return _json(404, {"message": f"There are {there_are}"})
        if request.method not in methods:
            response = _json(405, {"message": f"{request.path} takes {' and '.join(methods)}"})
            response.headers["Allow"] = ", ".join(methods)
            return response
        try:
            return _json(200, methods[request.method](self._backend(request), request))
        except (RefusedError, SwitchError) as error:
            return _json(400, {"message": str(error)})

    def _backend(self, request: Request) -> JobBackend:
        region = request.args.get("region", self._region)
        try:
            return backend(self._account_id, region)
        except KeyError as error:
            raise RefusedError(f"region: there is no {region!r}") from error


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def serve(region: str, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve all that moto mocks to programs on this machine; yield the endpoint's URL.

    It needs what ``moto-codepipeline[server]`` installs, and is used inside ``mock_aws``. Port 0
    means any free port.
    """
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - an extra
        DomainDispatcherApplication,
        create_backend_app,
    )

    moto = DomainDispatcherApplication(create_backend_app)
    application = Endpoint(moto, DEFAULT_ACCOUNT_ID, region)
    server = make_server(host, port, application, threaded=True, request_handler=_QuietHandler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _body(request: Request) -> dict[str, Any]:
    body = None
    with suppress(ValueError, RecursionError):
        body = json.loads(request.get_data())
    if not isinstance(body, dict):
        raise RefusedError("The body must be a JSON object")
    return body


def _change_behaviour(jobs: JobBackend, request: Request) -> dict[str, Any]:
    with jobs.step():
        change(jobs.behaviour, _body(request))
        return values(jobs.behaviour)


def _advance_clock(jobs: JobBackend, request: Request) -> dict[str, Any]:
    match _body(request):
        case {"advance_seconds": int() | float() as seconds, **others} if (
            not others and not isinstance(seconds, bool) and math.isfinite(seconds) and seconds >= 0
        ):
            with jobs.step():
                jobs.clock.advance(seconds)
            jobs.tick()
            return {"now": jobs.clock.now()}
    raise RefusedError('The body must be {"advance_seconds": a number from 0}')


def _show_next_jobs(jobs: JobBackend, _: Request) -> dict[str, Any]:
    return {"next_jobs": [asdict(wish) for wish in list(jobs.next_jobs)]}


def _want_next_job(jobs: JobBackend, request: Request) -> dict[str, Any]:
    body = _body(request)
    match {"configuration": {}, "offer_twice": False} | body:
        case {"configuration": dict() as wanted, "offer_twice": bool() as twice, **others} if (
            body and not others and all(isinstance(value, str) for value in wanted.values())
        ):
            with jobs.step():
                jobs.next_jobs.append(NextJob(wanted, twice))
            return _show_next_jobs(jobs, request)
    raise RefusedError(
        'The body must have "configuration", an object of strings, or "offer_twice", true or false'
    )


_RESOURCES: dict[str, dict[str, Callable[[JobBackend, Request], dict[str, Any]]]] = {
    "behaviour": {"GET": lambda jobs, _: values(jobs.behaviour), "PATCH": _change_behaviour},
    "clock": {"GET": lambda jobs, _: {"now": jobs.clock.now()}, "POST": _advance_clock},
    "next-jobs": {"GET": _show_next_jobs, "POST": _want_next_job},
}


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body) + "\n", status, mimetype="application/json")


def _refusal(request: Request) -> Response | None:
    """The response to a request whose artifact credentials don't allow it."""
    access_key, service = _signer(request)
    if not access_key.startswith(CREDENTIAL_MARKS[0]):
        return None
    asked = _s3_request(request) if service == "s3" else None
    try:
        for jobs in backends():
            jobs.check_artifact_credentials(access_key, asked)
    except (AccessDeniedError, ExpiredTokenError) as error:
        # If the body is unread when the connection closes, the response is lost.
        while request.stream.read(2**16):
            pass
        return _aws_error(request, error, service)
    return None


def _signer(request: Request) -> tuple[str, str]:
    """A request's access key and service, by header or query; the key is "" if it is unsigned."""
    header, query = request.headers.get("Authorization", ""), request.args
    if found := _CREDENTIAL.search(header) or _PRESIGNED.match(query.get("X-Amz-Credential", "")):
        return found["key"], found["service"].lower()
    if found := _SIGNATURE_2.match(header):
        return found["key"], "s3"
    return query.get("AWSAccessKeyId", ""), "s3"


def _s3_request(request: Request) -> S3Request:
    """A request to S3. The bucket is the first part of the path, or of the host."""
    path = request.path.removeprefix("/")
    bucket, _, key = path.partition("/")
    objects = frozenset({(bucket, key), (request.host.partition(".")[0], path)})
    copies = "x-amz-copy-source" in request.headers
    return S3Request(request.method, objects, frozenset(request.args), copies)


def _aws_error(
    request: Request, error: AccessDeniedError | ExpiredTokenError, service: str
) -> Response:
    """An error in the format of the service."""
    xml = f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
    if service == "s3":
        return Response(xml, error.status, mimetype="application/xml")
    if request.mimetype == "application/x-www-form-urlencoded":
        body = f"<ErrorResponse>{xml}</ErrorResponse>"
        return Response(body, error.status, mimetype="text/xml")
    name = f"{error.code}Exception"
    response = _json(error.status, {"__type": name, "message": error.message})
    response.headers["x-amzn-ErrorType"] = name
    return response
