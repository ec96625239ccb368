from collections.abc import Iterator

import pytest

from local.aws.server import LocalCloud
from tests.local.fixtures.cloud import running


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """An empty local cloud for all tests of a module."""
    with running() as cloud:
        yield cloud
