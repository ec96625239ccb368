"""The local cloud behind its endpoint, and clients that use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

import moto_codepipeline  # noqa: F401 - being imported makes the cloud's CodePipeline ours
from codepipeline_role import TRUST
from conformance.clients import CLIENTS, Call
from conformance.installs import NotInstalled
from conformance.service import REGION, Service
from local.aws.server import LocalCloud


# Not for the session: moto's state belongs to the process, and other modules' tests run in it.
@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(port=0, region=REGION) as running:
        running.client("iam").create_role(
            RoleName="pipeline", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        yield running


@pytest.fixture
def service(cloud: LocalCloud) -> Service:
    """CodePipeline as it is in the beginning, with a clock that stands still."""
    return Service.new()


@pytest.fixture(scope="module")
def client(cloud: LocalCloud) -> Iterator[Callable[[str], Call]]:
    """Each client by its name, started once. The test is skipped where it cannot be installed."""
    with ExitStack() as started:

        @cache
        def start(name: str) -> Call:
            return started.enter_context(CLIENTS[name](cloud.endpoint_url, REGION))

        def find(name: str) -> Call:
            try:
                return start(name)
            except NotInstalled as error:
                pytest.skip(f"{name} cannot be installed: {error}")

        yield find
