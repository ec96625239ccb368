"""pytest's fixture ``codepipeline``. moto is imported by the first test that asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from moto_codepipeline.testing import CodePipeline


BEHAVIOUR_FILE = "codepipeline_behaviour_file"


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "answers of moto_codepipeline.probe, which the fixture codepipeline begins with"
    parser.addini(BEHAVIOUR_FILE, about, default="")


@pytest.fixture
def codepipeline(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> Iterator[CodePipeline]:
    """A CodePipeline that runs pipelines and hands out jobs, while moto mocks all of AWS.

    It is in the region AWS_DEFAULT_REGION, or else us-east-1. The setting
    ``codepipeline_behaviour_file`` of pytest names a file of switches, from where pytest is rooted.
    """
    from moto import mock_aws  # noqa: PLC0415

    from moto_codepipeline.probe.answers import load  # noqa: PLC0415
    from moto_codepipeline.switches import SwitchError, change  # noqa: PLC0415
    from moto_codepipeline.testing import CodePipeline  # noqa: PLC0415

    region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    with mock_aws():
        made = CodePipeline(region)
        if name := pytestconfig.getini(BEHAVIOUR_FILE):
            try:
                change(made.behaviour, load(pytestconfig.rootpath / name))
            except SwitchError as error:
                pytest.fail(f"{BEHAVIOUR_FILE}: {error}", pytrace=False)
        yield made
