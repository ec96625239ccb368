"""The AWS tutorial, typed as it is written, at the local endpoint."""

from collections.abc import Iterator

import pytest

from local import acknowledger
from local.aws.server import LocalCloud
from tests.local.fixtures.checkout import Checkout, python_3_13
from tests.local.fixtures.cloud import REGION
from tests.local.fixtures.sam import SAM
from tests.support import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SAM is None, reason="needs the SAM CLI: make .venv-sam/installed"),
    pytest.mark.skipif(not python_3_13(), reason="needs Python 3.13 with pip"),
]


@pytest.fixture
def account() -> Iterator[LocalCloud]:
    """An empty account."""
    with acknowledger.cloud_with_codepipeline(port=0, region=REGION) as cloud:
        yield cloud


def test_the_aws_tutorial_works_as_written(blocks, account, tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("typed"))
    checkout.use(account)
    assert "123456789012" in checkout.run(blocks.take("aws sts"))
    checkout.run(blocks.take("sam build"), answers="y\n")
    checkout.run(blocks.take("outputs()"), answers="y\n")
    checkout.run(blocks.take("aws cloudformation deploy"))
    *_, bucket = checkout.run(blocks.take("BUCKET=") + "echo $BUCKET").split()
    assert (checkout.folder / "app.zip").exists()
    checkout.run(blocks.take("aws codepipeline start-pipeline-execution"))
    ask = blocks.take("aws codepipeline list-action-executions")

    def answered() -> str:
        said = checkout.run(ask)
        return said if "InProgress" not in said else ""

    status, summary, lines = wait_for(answered, "the action to end", seconds=60).split("\t")
    files = (checkout.folder / "functions").rglob("*.py")
    counted = sum(len(path.read_bytes().splitlines()) for path in files)
    assert (status, summary, int(lines)) == ("Succeeded", f"{counted} lines", counted)

    for rest in blocks.take_all():
        checkout.run(rest, BUCKET=bucket)
    cloudformation = account.client("cloudformation")
    left = {each["StackName"] for each in cloudformation.describe_stacks()["Stacks"]}
    assert left == {"aws-sam-cli-managed-default"}
    codepipeline = account.client("codepipeline")
    assert codepipeline.list_action_types(actionOwnerFilter="Custom")["actionTypes"] == []
