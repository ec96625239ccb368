"""pytest's fixture ``codepipeline``. The first test that uses it imports moto."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from moto_codepipeline.testing import CodePipeline


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("codepipeline_behaviour_file", "switches, as moto_codepipeline.probe wrote them")


@pytest.fixture
def codepipeline(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> Iterator[CodePipeline]:
    """A CodePipeline that runs pipelines and offers jobs to workers, while moto mocks all of AWS.

    Its region is AWS_DEFAULT_REGION, or else us-east-1. pytest's setting
    ``codepipeline_behaviour_file`` names a file of switches, relative to pytest's root.
    """
    from moto import mock_aws  # noqa: PLC0415

    from moto_codepipeline.answers import load  # noqa: PLC0415
    from moto_codepipeline.switches import SwitchError, change  # noqa: PLC0415
    from moto_codepipeline.testing import CodePipeline  # noqa: PLC0415

    region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    with mock_aws():
        made = CodePipeline(region)
        if name := pytestconfig.getini("codepipeline_behaviour_file"):
            try:
                change(made.behaviour, load(pytestconfig.rootpath / name))
            except SwitchError as error:
                pytest.fail(str(error), pytrace=False)
        yield made
