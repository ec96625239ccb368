"""Lets programs on this machine use an HTTP endpoint, but not web pages of other sites.

Any page that is open in the user's browser can send requests to an endpoint on this machine, and
this endpoint runs what it gets as code. ``Guard`` goes in front of a WSGI application and refuses
the requests of such pages, for every method and path, with 403 and ``{"message": "..."}``, or the
same in AWS's XML:

- The ``Host`` must be an address, ``localhost`` or a subdomain of it (as buckets have), this
  machine's name, the name on which the endpoint listens, or Docker's name for this machine. A web
  site can point its own name at this machine, but it can't have one of these names.
- ``Origin`` and ``Sec-Fetch-Site`` must not say that the request comes from another site. Browsers
  send ``Sec-Fetch-Site`` to loopback addresses only; to other addresses, ``Origin`` or ``Referer``
  must say that the request comes from the endpoint's own page. Programs other than browsers need
  none of these headers.
- A link from any site may open ``page``.

The named origins may do what a program may, with CORS. No other origin gets a CORS header, even if
the application sets one. A response that is opened in a browser, such as an object in a bucket,
runs no script, unless the application sets its own Content-Security-Policy.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DOCKER = "host.docker.internal"
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
#: Seconds for which a browser need not repeat a preflight.
PREFLIGHT_SECONDS = 600

_HOST = re.compile(r"(?P<name>[a-z0-9_.-]+|\[(?P<ipv6>[0-9a-f:.]+)\])(:(?P<port>[1-9][0-9]{0,4}))?")
_ORIGIN = re.compile(rf"(?P<scheme>https?)://{_HOST.pattern}")
_USUAL_PORTS = {"http": "80", "https": "443"}
#: The User-Agent of a browser. PowerShell's begins in the same way.
_BROWSER = re.compile(r"Mozilla/(?!.*PowerShell)")


class OriginError(ValueError):
    """The text is not an origin of a web application."""


def origin(text: str) -> str:
    """Check that a text is an origin as browsers send it; raises OriginError."""
    found = _ORIGIN.fullmatch(text)
    port = found and found["port"]
    if not found or (port and (int(port) >= 2**16 or port == _USUAL_PORTS[found["scheme"]])):
        raise OriginError(
            f"ORIGINS: {text!r} must be an origin as a browser sends it, such as "
            "http://localhost:3000: in lower case, without a path or a wildcard, and without the "
            "port if it is the usual one"
        )
    return text


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """A WSGI application that lets programs through to another, but not pages of other sites.

    Args:
        application: the application behind it.
        host: the address or name on which the endpoint listens.
        page: the only path that links of other sites may open.
        origins: the origins of web applications that may use it too, as ``origin`` returns them.
    """

    def __init__(
        self, application: WSGIApplication, *, host: str, page: str, origins: Iterable[str] = ()
    ) -> None:
        self._application = application
        self._names = {"localhost", DOCKER, socket.gethostname().lower(), host.lower()}
        self._page = page
        self._origins = frozenset(origins)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if problem := self._refusal(environ):
            return _refuse(environ, problem)(environ, start_response)
        cors = self._cors(environ)
        if cors and environ["REQUEST_METHOD"] == "OPTIONS":
            return Response(status=204, headers=cors)(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            kept = [each for each in headers if not each[0].lower().startswith("access-control-")]
            if not any(name.lower() == "content-security-policy" for name, _ in kept):
                kept.append(("Content-Security-Policy", "sandbox"))
            return start_response(status, [*kept, *cors.items()], *failure)

        return self._application(environ, start)

    def _refusal(self, environ: WSGIEnvironment) -> str:
        """The reason why a request is refused; "" if it is allowed."""
        host = environ.get("HTTP_HOST", "").lower()
        if not self._is_here(host):
            return f"Host: {host!r} is not a name of this machine; use its address"
        sent, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
        asker = _asker(environ)
        if asker in self._origins or self._opens_page(environ):
            return ""
        if sent not in (None, f"http://{host}"):
            return (
                f"Origin: web pages of {sent} may not use this endpoint, "
                "unless ORIGINS names that origin"
            )
        if site not in (None, "same-origin", "none"):
            return f"Sec-Fetch-Site: web pages of other sites ({site}) may not use this endpoint"
        is_browser = _BROWSER.match(environ.get("HTTP_USER_AGENT", ""))
        if is_browser and site is None and asker != f"http://{host}":
            return (
                "Sec-Fetch-Site: this browser does not say which web page sent the request; "
                "use http://127.0.0.1, where it does"
            )
        return ""

    def _is_here(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if not found:
            return False
        name = found["ipv6"] or found["name"]
        if name in self._names or name.endswith(".localhost"):
            return True
        try:  # any address: no site can make one point here, and ports may be forwarded
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _opens_page(self, environ: WSGIEnvironment) -> bool:
        """Whether the user opens the page by a link or by its address."""
        return (
            environ["REQUEST_METHOD"] in ("GET", "HEAD")
            and environ.get("PATH_INFO") == self._page
            and "HTTP_ORIGIN" not in environ
            and (
                "HTTP_SEC_FETCH_SITE" not in environ
                or environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
            )
            and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document"
        )

    def _cors(self, environ: WSGIEnvironment) -> dict[str, str]:
        """The headers that let a named origin read the response."""
        sent = environ.get("HTTP_ORIGIN")
        if sent not in self._origins:
            return {}
        headers = {"Access-Control-Allow-Origin": sent, "Vary": "Origin"}
        if environ["REQUEST_METHOD"] == "OPTIONS":
            asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
            return headers | {
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": asked,
                "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            }
        return headers | {"Access-Control-Expose-Headers": "*"}


def _asker(environ: WSGIEnvironment) -> str | None:
    """The origin of the page that sent the request, if the browser says it."""
    if "HTTP_ORIGIN" in environ:
        return str(environ["HTTP_ORIGIN"])
    try:
        referer = urlsplit(environ.get("HTTP_REFERER", ""))
    except ValueError:
        return None
    return f"{referer.scheme}://{referer.netloc}"


def _refuse(environ: WSGIEnvironment, problem: str) -> Response:
    request = Request(environ, populate_request=False)
    # If the connection is closed before the body is read, the client loses the response. OSError:
    # the body is malformed.
    with suppress(ClientDisconnected, OSError):
        while request.stream.read(2**16):
            pass
    body, kind = json.dumps({"message": problem}), "application/json"
    if request.mimetype == "application/x-www-form-urlencoded":  # AWS's older APIs answer in XML
        error = f"<Error><Code>AccessDenied</Code><Message>{escape(problem)}</Message></Error>"
        body, kind = f"<ErrorResponse>{error}</ErrorResponse>", "text/xml"
    return Response(f"{body}\n", 403, {"X-Content-Type-Options": "nosniff"}, mimetype=kind)
