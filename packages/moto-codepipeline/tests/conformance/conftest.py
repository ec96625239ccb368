"""moto behind an endpoint, and clients that use it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import boto3
import pytest
from moto import mock_aws

from codepipeline_fixtures import REGION, Service
from codepipeline_role import TRUST
from conformance.clients import CLIENTS, Call
from conformance.installs import NotInstalled
from conformance.service import new_service
from moto_codepipeline.http import serve

Client = Callable[[str], Call]


# Not for the session: the process has one state of moto, and other modules' tests run in it.
@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with mock_aws(), serve(REGION) as served:
        boto3.client("iam", region_name=REGION).create_role(
            RoleName="pipeline", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        yield served


@pytest.fixture
def service(url: str) -> Service:
    """An empty CodePipeline, with a clock that stands still."""
    return new_service()


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    """Each client by name, started once. The test is skipped if it can't be installed."""
    with ExitStack() as started:

        @cache
        def start(name: str) -> Call:
            return started.enter_context(CLIENTS[name](url, REGION))

        def find(name: str) -> Call:
            try:
                return start(name)
            except NotInstalled as error:
                pytest.skip(f"{name} cannot be installed: {error}")

        yield find
