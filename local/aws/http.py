"""An HTTP server that keeps connections open, as AWS's endpoints do.

werkzeug's closes each one after its response: fifteen requests would need as many connections
and threads.
"""

import logging
import socket
from collections.abc import Iterable
from contextlib import closing, suppress
from http import HTTPStatus
from typing import Any, cast

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ClientDisconnected, InternalServerError
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import ClosingIterator, LimitedStream, get_content_length

logger = logging.getLogger(__name__)

#: How long a client may take to send the rest of a body that was not read.
REST_SECONDS = 1


class Server(ThreadedWSGIServer):
    """Serves each connection in a thread."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*args, **settings)
        self.is_open = True

    def server_close(self) -> None:
        """Accept no more connections and requests."""
        self.is_open = False
        super().server_close()
        for connection in list(self.connections):
            with suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RD)


class Handler(MotoRequestHandler):
    """Answers the requests of one connection. It logs failures, but no requests."""

    server: Server
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def run_wsgi(self) -> None:
        """Answer one request, and close the connection if the end of either is not certain."""
        if not self.server.is_open:
            self.close_connection = True
            return
        if self.request_version == "HTTP/0.9":  # a request without a version
            self.send_error(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            return
        environ = self.make_environ()
        length, *more = self.headers.get_all("Content-Length", ["0"])
        is_length = length.isascii() and length.isdecimal() and not more
        # Defects: a malformed line, for example, hides the headers after it.
        if "HTTP_TRANSFER_ENCODING" in environ or not is_length or self.headers.defects:
            self.close_connection = True
        if "wsgi.input_terminated" not in environ:
            environ["wsgi.input"] = LimitedStream(
                cast(Any, self.rfile), get_content_length(environ) or 0
            )
        try:
            result, status, headers = run_wsgi_app(self.server.app, environ)
        except ConnectionError:  # `handle` closes the connection
            raise
        except Exception:
            logger.exception("%s %s failed", self.command, self.path)
            result, status, headers = run_wsgi_app(InternalServerError(), environ)
        with closing(ClosingIterator(result)) as parts:
            self._send(status, headers, parts)
        self._read_rest(environ["wsgi.input"])

    def _send(self, status: str, headers: Headers, parts: Iterable[bytes]) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        has_end = "Content-Length" in headers or code in ("204", "304")
        if self.close_connection or not has_end:
            self.send_header("Connection", "close")
        # With the headers: each write is a packet.
        first = next(iter(parts), b"")
        cast(Any, self)._headers_buffer += [b"\r\n", first]
        self.flush_headers()
        sent = len(first)
        for part in parts:
            self.wfile.write(part)
            sent += len(part)
        if self.command != "HEAD" and sent != headers.get("Content-Length", sent, type=int):
            self.close_connection = True

    def _read_rest(self, body: Any) -> None:
        """Read the rest of a body: a client may not see the response before all of it is sent."""
        if getattr(body, "is_exhausted", False):
            return
        self.connection.settimeout(REST_SECONDS)
        try:
            while body.read(2**16):
                pass
            self.connection.settimeout(None)
        except (OSError, ClientDisconnected):
            self.close_connection = True
