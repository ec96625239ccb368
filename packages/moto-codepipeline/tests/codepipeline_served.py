"""The service behind an HTTP endpoint, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from codepipeline_fixtures import ACCOUNT, REGION, Service, running_service
from local.aws.server import QuietHandler
from moto_codepipeline.http import Endpoint


@contextmanager
def served_service(owner: str = "Custom") -> Iterator[tuple[Service, str]]:
    """A new service, and the URL of an endpoint that serves it too."""
    with running_service(owner) as service:
        application = Endpoint(DomainDispatcherApplication(create_backend_app), ACCOUNT, REGION)
        server = make_server(
            "127.0.0.1", 0, application, threaded=True, request_handler=QuietHandler
        )
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
