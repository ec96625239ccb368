"""All commands of the AWS tutorial, run against the local stack."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import acknowledger
from tests.integration.shell import Shell, programs
from tests.support import ROOT, wait_for

__all__ = ["programs"]

TYPE = "Custom/Build/CountLines/1"
PAGE = (ROOT / "docs" / "tutorial-aws.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
#: tests/local/test_sam_deploy.py tests the SAM CLI's commands.
WITH_SAM = ("sam build", "outputs()", "sam delete")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What the tutorial's steps with SAM create: the stack, and the worker in a Lambda function."""
    parameters = {"ActionTypes": TYPE, "RegisterActionType": "true"}
    with acknowledger.running(parameters=parameters, worker=False) as (cloud, stack):
        folder = tmp_path_factory.mktemp("built")
        for name in ("lambda_function", "count_lines"):
            shutil.copytree(ROOT / "examples" / name, folder / name)
        # What sam build does with requirements.txt.
        package = ROOT / "packages" / "acknowledger-worker" / "acknowledger_worker"
        shutil.copytree(package, folder / "count_lines" / package.name)
        given = {
            name: stack.outputs[name]
            for name in ("JobBusName", "JobStateMachineArn", "JobTableName")
        }
        template = folder / "lambda_function" / "template.yaml"
        cloud.deploy(template, {"ActionType": TYPE, **given}, name="count-lines")
        yield SimpleNamespace(cloud=cloud, stack=stack)


def test_the_aws_tutorial_works_as_written(running: Any, programs: dict[str, str]) -> None:
    blocks = [block for block in BLOCKS if not block.startswith(WITH_SAM)]
    assert len(BLOCKS) - len(blocks) == 3
    (ask,) = (block for block in blocks if "list-action-executions" in block)
    before, after = blocks[: blocks.index(ask)], blocks[blocks.index(ask) + 1 :]
    checkout = Path(programs["CHECKOUT"])
    shell = Shell(running, programs)
    said = shell.run(*before, "echo $BUCKET")
    assert "123456789012" in said
    assert (checkout / "app.zip").exists()

    answered = wait_for(
        lambda: next(
            (text for text in [shell.run(ask)] if "InProgress" not in text and text), None
        ),
        "the action to end",
        seconds=60,
    )
    status, summary, lines = answered.split("\t")
    files = (ROOT / "functions").rglob("*.py")
    counted = sum(len(path.read_bytes().splitlines()) for path in files)
    assert (status, summary, int(lines)) == ("Succeeded", f"{counted} lines", counted)

    shell.run(*after, BUCKET=said.split()[-1])
    left = running.cloud.client("cloudformation").describe_stacks()["Stacks"]
    assert {one["StackName"] for one in left} == {"acknowledger", "count-lines"}
