"""The service behind an HTTP endpoint, with a clock that stands still."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from codepipeline_fixtures import REGION, Service, running_service
from moto_codepipeline.http import serve


@contextmanager
def served_service(owner: str = "Custom") -> Iterator[tuple[Service, str]]:
    """A new service, and the URL of an endpoint that serves it too."""
    with running_service(owner) as service, serve(REGION) as url:
        yield service, url


def call(url: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
    """The status and the JSON that a request gets."""
    data = None if body is None else body.encode()
    request = Request(url, data=data, method=method)  # noqa: S310 - our own server
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
