"""The local cloud in this process: moto, an HTTP endpoint in front of it, background threads."""

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
from flask import Response
from flask.ctx import RequestContext
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_api import recorder
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from local.aws import (
    events,
    functions,
    http,
    isolation,
    metrics,
    permissions,
    refusal,
    replaced,
    stack,
    stepfunctions,
)
from local.aws.address import listen
from local.aws.cloudformation import resources
from local.aws.guard import Guard

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Layer = Callable[[WSGIApplication, "LocalCloud"], WSGIApplication]

logger = logging.getLogger(__name__)

#: Seconds between two calls of the ticks, for services that have no thread of their own.
TICK_SECONDS = 0.2

#: How many objects are made between two searches for unreachable ones. This process keeps half a
#: million objects, and with Python's default, all of them are visited again and again.
GARBAGE_COLLECTION = (100_000, 10, 10)


class Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher, which finds the service of a host, and the view of a JSON request, once.

    moto matches a host with about 300 patterns, and Flask prepares each request for any path; in
    the JSON protocol, there is one. Counted in Python instructions, a PutEvents takes 60 % more
    through Flask.
    """

    def __init__(self) -> None:
        super().__init__(refusal.application)
        self.backend_url_patterns = [*self.backend_url_patterns, refusal.NOBODY]
        self._found: dict[str | None, Any] = {}
        self._views: dict[Any, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        if host not in self._found:
            self._found[host] = super().get_backend_for_host(host)
        return self._found[host]

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        flask: Any = self.get_application(environ)
        by_json = "HTTP_X_AMZ_TARGET" in environ and environ["PATH_INFO"] == "/"
        view = self._view(flask) if by_json and environ["REQUEST_METHOD"] == "POST" else None
        if not view:
            return flask(environ, start_response)
        request = flask.request_class(environ)
        recorder._record_request(request)
        try:
            status, headers, body = view(request, request.raw_url, request.headers)
            response = Response(body, status, headers)
        except Exception as error:  # noqa: BLE001 - Flask's handlers make an answer of it
            with RequestContext(flask, environ, request):  # the body can't be read again
                response = flask.finalize_request(flask.handle_user_exception(error))
        else:
            if response.status_code >= 400:
                with RequestContext(flask, environ, request):
                    response = flask.process_response(response)
        return response(environ, start_response)

    def _view(self, flask: Any) -> Any:
        """A service's view of JSON requests; None if it has none."""
        if flask not in self._views:
            rules = [rule.endpoint for rule in flask.url_map.iter_rules() if rule.rule == "/"]
            views = [flask.view_functions[rule].callback for rule in rules]
            self._views[flask] = next((v for v in views if v.__name__ == "dispatch"), None)
        return self._views[flask]


def restore(variables: dict[str, str | None]) -> None:
    """Give environment variables back the values that they had."""
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@contextmanager
def one_core() -> Iterator[None]:
    """Keep the threads that are started here, and the threads that they start, on one core.

    Python runs one thread of a process at a time; on several cores, switching between threads takes
    a fifth of their time. Sandboxes may use all cores.
    """
    if not hasattr(os, "sched_setaffinity"):  # not on Linux
        yield
        return
    cores = os.sched_getaffinity(0)
    # Stacks of different processes should use different cores.
    os.sched_setaffinity(0, {sorted(cores)[os.getpid() % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@dataclass(kw_only=True, eq=False)
class LocalCloud:
    """The parts of AWS that the stack needs, in this process, behind one HTTP endpoint.

    Any AWS SDK and the AWS CLI can use the endpoint, with any credentials. The account is
    123456789012; the region is `region`, AWS_REGION, AWS_DEFAULT_REGION or us-east-1.

    Use it as a context manager, or call `start` and `stop`. There can be only one at a time, since
    moto's state belongs to the process. It starts empty.

    With `host` "0.0.0.0", containers and anyone else who can reach this machine can connect. Web
    pages can't use the endpoint, except those of `origins`, as `guard.origin` returns them; links
    on any page may open the path `page`.
    `ticks` are called several times a second, for services that have no thread of their own.
    `retry_delays` are the two waits before retries of asynchronous Lambda invocations, in seconds;
    `retry_scale` multiplies the waits of Retry in state machines, and `sleep_scale` the sleeps of
    functions. `layers` go in front of the endpoint, the last one outermost. Each gets a WSGI
    application and the cloud, and returns an application; if this has a `stop`, it is called when
    the cloud stops. `permissions` records the calls of roles; with `enforce_permissions`, calls
    that their policies don't allow are refused. With `allow_not_made`, CloudFormation leaves out
    resources that can't be created here and says so; otherwise, it fails.
    """

    account_id = DEFAULT_ACCOUNT_ID

    host: str = "127.0.0.1"
    port: int = 4566
    origins: Iterable[str] = ()
    page: str = ""
    region: str = field(default_factory=isolation.region)
    ticks: tuple[Callable[[], object], ...] = ()
    retry_delays: tuple[float, float] = (1.0, 2.0)
    retry_scale: float = 1.0
    sleep_scale: float = 1.0
    layers: "tuple[Layer, ...]" = ()
    enforce_permissions: bool = False
    allow_not_made: bool = False

    def __post_init__(self) -> None:
        self.schedule = events.Schedule()
        self.permissions = permissions.Record(self.account_id, self.region)
        self.endpoint_url = ""
        #: Notices for the user, by subject.
        self.notices: dict[str, str] = {}
        self._session = boto3.Session(
            region_name=self.region,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - any will do
        )
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._started = ExitStack()

    # -- Starting and stopping ----------------------------------------------------------------

    def start(self) -> Self:
        """Start everything; raises AddressError if it can't listen on the address."""
        with ExitStack() as started:
            self._start(started)
            self._started = started.pop_all()
        return self

    def stop(self) -> None:
        """Stop everything, in the opposite order, and discard all state."""
        self._started.close()

    def _start(self, started: ExitStack) -> None:
        listener = started.enter_context(listen(self.host, self.port))
        port = listener.getsockname()[1]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        self.endpoint_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._clients.clear()
        self.schedule = events.Schedule()

        started.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(*GARBAGE_COLLECTION)
        replaced.install()
        resources.allow_not_made = self.allow_not_made
        started.callback(restore, {name: os.environ.get(name) for name in isolation.REGIONS})
        os.environ.update(dict.fromkeys(isolation.REGIONS, self.region))
        started.enter_context(mock_aws(config={"stepfunctions": {"execute_state_machine": True}}))
        self.permissions = permissions.start(
            self.account_id, self.region, enforce=self.enforce_permissions
        )
        started.callback(permissions.start, self.account_id, self.region)
        functions.start(
            self.endpoint_url, retry_delays=self.retry_delays, sleep_scale=self.sleep_scale
        )
        started.callback(functions.stop)
        stepfunctions.retry_scale = self.retry_scale
        started.callback(stepfunctions.stop_all)

        application: WSGIApplication = permissions.Watch(Dispatcher())
        for layer in self.layers:
            application = layer(application, self)
            started.callback(getattr(application, "stop", lambda: None))
        server = http.Server(
            self.host,
            port,
            Guard(application, host=self.host, page=self.page, origins=self.origins),
            http.Handler,
            fd=listener.fileno(),
        )
        started.callback(server.server_close)
        endpoint = threading.Thread(
            target=server.serve_forever, args=(0.2,), name="endpoint", daemon=True
        )
        with one_core():
            endpoint.start()
        started.callback(server.shutdown)
        stopped = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(stopped,), name="ticks", daemon=True)
        ticker.start()
        started.callback(ticker.join)
        started.callback(stopped.set)

    def _tick(self, stopped: threading.Event) -> None:
        ticks: tuple[Callable[[], object], ...] = (
            *self.ticks,
            metrics.Sampler(),
            lambda: self.schedule.tick(time.monotonic()),
        )
        while not stopped.wait(TICK_SECONDS):
            for tick in ticks:
                try:
                    tick()
                except Exception:  # a failing tick must not stop the others
                    logger.exception("a tick failed")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- Use ----------------------------------------------------------------------------------

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service, which uses the endpoint like any program."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service, endpoint_url=self.endpoint_url
                )
            return self._clients[service]

    def deploy(
        self,
        template: Path,
        parameters: dict[str, str] | None = None,
        *,
        name: str,
    ) -> stack.Stack:
        """Deploy a SAM template, as `sam deploy` would."""
        return stack.deploy(template, parameters or {}, name=name, region=self.region)
