"""The service behind an HTTP endpoint, with a clock that stands still."""

from collections.abc import Iterator
from contextlib import contextmanager

from codepipeline_fixtures import REGION, Service, running_service
from moto_codepipeline.http import serve


@contextmanager
def served_service(owner: str = "Custom") -> Iterator[tuple[Service, str]]:
    """A new service, and the URL of an endpoint that serves it too."""
    with running_service(owner) as service, serve(REGION) as url:
        yield service, url
