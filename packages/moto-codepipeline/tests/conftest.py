from collections.abc import Iterator

import pytest

from codepipeline_fixtures import Service, running_service


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A new service for actions of the owner that ``each_owner`` gives, or else custom actions."""
    with running_service(getattr(request, "param", "Custom")) as running:
        yield running
