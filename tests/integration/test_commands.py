"""The documentation's commands: each block is run as written, or another test covers what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local import acknowledger
from tests.integration.conftest import World
from tests.integration.shell import Shell, programs
from tests.support import ROOT

__all__ = ["programs"]

OWN = "Custom/Test/MyTool/1"
PARAMETERS = {"ActionTypes": f"{acknowledger.CUSTOM_ACTION_TYPE},{OWN}"}
#: The test that runs a block, by the beginning of the block.
ELSEWHERE = {
    "make demo": "tests/local/test_demo.py",
    "make local": "tests/local/test_starts.py",
    "make event": "tests/local/test_first_worker.py",
    "make smoke": "tests/local/test_smoke.py",
    "python -m moto_codepipeline.probe": "packages/moto-codepipeline/tests/test_probe.py",
    "sam build": "tests/local/test_sam_deploy.py",
    "sam deploy": "tests/local/test_sam_deploy.py",
    "sam delete": "tests/local/test_sam_deploy.py",
    "git switch": "tests/integration/test_deployment.py",
    "export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1\n"
    "export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local\n"
    "sam": "tests/local/test_sam_deploy.py",
    "QUEUE_URL=": "tests/examples/test_examples.py",
    "python -m acknowledger_worker": "tests/release/test_release.py",
    "pip install": "tests/release/test_release.py",
    "outputs()": "tests/examples/test_examples.py",
    "aws cloudformation deploy": "tests/examples/test_examples.py",
    "cd examples/": "tests/examples/test_examples.py",
    "curl": "packages/moto-codepipeline/tests/test_http.py",
}


def blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def pages() -> list[str]:
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "events", "examples", "packages"):
        found += (ROOT / folder).rglob("*.md")
    named = [path.relative_to(ROOT) for path in found]
    return sorted(str(p) for p in named if not re.search(r"(^|/)(\.|node_modules)", str(p)))


COMMANDS = {
    (page, number): block
    for page in pages()
    # test_runbook.py and test_tutorial.py run the blocks of these pages.
    if page not in ("docs/runbook.md", "docs/tutorial-aws.md")
    for number, block in enumerate(blocks(page))
}
HERE = {
    f"{page}-{number}": block
    for (page, number), block in COMMANDS.items()
    if not block.startswith(tuple(ELSEWHERE))
}
#: What a block prints, by a command in it.
PRINTED = {
    "list-action-executions": "outputVariables",
    "put-events": '"FailedEntryCount": 0',
    "intake-pause": '{"paused": [',
}


@pytest.fixture
def shell(world: World, programs: dict[str, str]) -> Shell:
    (Path(programs["CHECKOUT"]) / "token").write_text("a-client-token")
    return Shell(world, programs)


@pytest.fixture(scope="module", autouse=True)
def sample(running: World) -> None:
    """The sample pipeline and worker of `make local`."""
    first = acknowledger.CUSTOM_ACTION_TYPE
    acknowledger.create_sample_pipeline(running.cloud, first, sample_worker=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_a_block_of_commands_works_as_written(name: str, shell: Shell) -> None:
    intake = shell.world.stack.outputs["IntakeFunctionName"]
    block = HERE[name].replace("http://127.0.0.1:4566", shell.world.cloud.endpoint_url)
    seen = shell.run(block, INTAKE=intake)
    for command, printed in PRINTED.items():
        if command in block:
            assert printed in seen


def test_the_tests_that_run_other_blocks_exist() -> None:
    for beginning, test in ELSEWHERE.items():
        assert (ROOT / test).exists(), test
        assert any(block.startswith(beginning) for block in COMMANDS.values()), beginning


@pytest.mark.parametrize("page", pages())
def test_a_payload_suits_both_versions_of_the_aws_cli(page: str) -> None:
    for block in blocks(page):
        assert "--cli-binary-format" not in block
        assert re.findall(r"--payload (?!fileb://)", block) == []
