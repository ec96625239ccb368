"""pytest's fixture ``codepipeline``. moto is imported by the first test that asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from moto_codepipeline.testing import CodePipeline


@pytest.fixture
def codepipeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[CodePipeline]:
    """A CodePipeline that runs pipelines and hands out jobs, while moto mocks all of AWS.

    It is in the region AWS_DEFAULT_REGION, or else us-east-1.
    """
    from moto import mock_aws  # noqa: PLC0415

    from moto_codepipeline.testing import CodePipeline  # noqa: PLC0415

    region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    with mock_aws():
        yield CodePipeline(region)
