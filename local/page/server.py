"""Serves the page, in front of the endpoint's other applications.

    GET  /_local/page/                the page; its style and scripts are beside it
    GET  /_local/page/events          server-sent events: the pipelines and jobs, as they change
    GET  /_local/page/events?job=ID   server-sent events: everything about one job

The buttons send their requests to the services, as any program would.

No AWS service uses this path: a bucket's name can't begin with an underscore.

Each event is ``{"all": bool, "now": milliseconds since the epoch, "set": {name: value},
"gone": [names]}``; the first event has everything (``all``), later events have what changed.
"""

from __future__ import annotations

import json
import mimetypes
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from .view import View

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/_local/page/"

#: The least and the most seconds between two looks. If possible, looking takes no more than
#: LOOKING_PART of the time.
LOOK_SECONDS = 0.25
MOST_SECONDS = 2.0
LOOKING_PART = 0.05
#: Seconds after which a stream without changes checks whether the browser is still connected.
QUIET_SECONDS = 2.0

FOLDER = Path(__file__).parent
SCRIPTS = tuple(sorted(each.name for each in FOLDER.glob("*.js")))
FILES = ("index.html", "page.css", "icon.svg", *SCRIPTS)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Page:
    """A WSGI application: the page, in front of another application."""

    def __init__(
        self,
        application: WSGIApplication,
        account_id: str,
        region: str,
        notices: Mapping[str, str],
    ) -> None:
        self._application = application
        self._view = View(account_id, region, notices)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End all streams."""
        self._stopped.set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith(PATH):
            return self._application(environ, start_response)
        response = self._answer(Request(environ))
        response.headers.extend(HEADERS)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        name = request.path.removeprefix(PATH) or "index.html"
        if name not in (*FILES, "events"):
            return message(404, f"There is no {request.path}")
        if request.method != "GET":
            return message(405, f"{request.path} supports GET only")
        if name == "events":
            return self._events(request.args.get("job"))
        kind = mimetypes.guess_type(name)[0]
        return Response((FOLDER / name).read_bytes(), mimetype=kind)

    def _events(self, job_id: str | None) -> Response:
        look = self._view.board if job_id is None else lambda: self._view.way(job_id)
        return Response(changes(look, self._stopped), mimetype="text/event-stream")


def changes(look: Callable[[], dict[str, Any]], stopped: threading.Event) -> Iterator[bytes]:
    """The result of `look`, and then its changes, as server-sent events."""
    before: dict[str, Any] | None = None
    told = time.monotonic()
    pause = 0.0
    while not stopped.wait(pause):
        began = time.thread_time()
        seen = look()
        event = change(before, seen)
        before = seen
        if event:
            told = time.monotonic()
            yield f"data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
        elif time.monotonic() - told > QUIET_SECONDS:
            told = time.monotonic()
            yield b":\n\n"
        took = time.thread_time() - began
        pause = min(max(LOOK_SECONDS, took / LOOKING_PART), MOST_SECONDS)


def change(before: dict[str, Any] | None, seen: dict[str, Any]) -> dict[str, Any] | None:
    """The event with the difference between two looks; None if there is no difference."""
    known = before or {}
    new = {name: value for name, value in seen.items() if name not in known or known[name] != value}
    gone = [name for name in known if name not in seen]
    if before is not None and not new and not gone:
        return None
    return {
        "all": before is None,
        "now": round(time.time() * 1000),
        "set": new,
        "gone": gone,
    }


def message(status: int, text: str) -> Response:
    return Response(json.dumps({"message": text}) + "\n", status, mimetype="application/json")
