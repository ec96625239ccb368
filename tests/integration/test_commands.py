"""The documentation's commands for a running stack, as written."""

from pathlib import Path

import pytest

from local import acknowledger
from tests.documentation import assigned
from tests.integration.conftest import World
from tests.integration.shell import Shell, programs
from tests.local.fixtures.checkout import ENDPOINT

__all__ = ["programs"]

OWN = "Custom/Test/MyTool/1"
PARAMETERS = {"ActionTypes": f"{acknowledger.CUSTOM_ACTION_TYPE},{OWN}"}
#: What a block prints, by a command in it.
PRINTED = {
    "put-events": '"FailedEntryCount": 0',
    "intake-pause": '{"paused": [',
    "sns subscribe": "SubscriptionArn",
}


@pytest.fixture
def shell(world: World, programs: dict[str, str]) -> Shell:
    (Path(programs["CHECKOUT"]) / "token").write_text("a-client-token")
    return Shell(world, programs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    assigned("tests/integration/test_commands.py::test_a_block_of_commands_works_as_written"),
    ids=str,
)
def test_a_block_of_commands_works_as_written(block, shell):
    intake = shell.world.stack.outputs["IntakeFunctionName"]
    seen = shell.run(block.text.replace(ENDPOINT, shell.world.cloud.endpoint_url), INTAKE=intake)
    for command, printed in PRINTED.items():
        if command in block.text:
            assert printed in seen
