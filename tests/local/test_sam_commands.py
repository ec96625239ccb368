"""The documentation's commands with the SAM CLI, as a reader types them, at the local endpoint."""

import json
import re
import shutil
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from local import acknowledger
from local.arguments import TEMPLATE
from local.aws.server import LocalCloud
from local.aws.stack import Stack, described
from tests.documentation import blocks_of, pages
from tests.local.fixtures import programs
from tests.local.fixtures.checkout import ENDPOINT, Checkout, python_3_13, said_until
from tests.local.fixtures.cloud import REGION
from tests.local.fixtures.sam import SAM, processed
from tests.support import ROOT, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SAM is None, reason="needs the SAM CLI: make .venv-sam/installed, or have sam on the PATH"
    ),
]

#: The answer to a confirmation.
YES = "y\n"
#: How sam says that there is no Docker, after it has read the template, the event and the settings.
NO_DOCKER = re.compile(r"Docker|container runtime")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("typed"))


@pytest.fixture
def cloud(checkout: Checkout) -> Iterator[LocalCloud]:
    """An empty endpoint, which the checkout's commands use."""
    with acknowledger.empty(port=0, region=REGION) as cloud:
        checkout.use(cloud)
        yield cloud


@pytest.fixture
def account() -> Iterator[LocalCloud]:
    """An empty account."""
    with acknowledger.cloud_with_codepipeline(port=0, region=REGION) as cloud:
        yield cloud


def stack(cloud: LocalCloud, name: str = "acknowledger") -> Stack:
    return described(cloud.client("cloudformation"), name)


def code(cloud: LocalCloud) -> str:
    """The hash of Intake's code."""
    name = stack(cloud).outputs["IntakeFunctionName"]
    return str(
        cloud.client("lambda").get_function(FunctionName=name)["Configuration"]["CodeSha256"]
    )


def test_the_stack_is_deployed_changed_upgraded_rolled_back_and_removed(blocks, checkout, cloud):
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=Reader", "-c", "user.email=you@example.com")
        programs.output_of("git", *who, *arguments, folder=checkout.folder)

    git("init", "--quiet")
    git("add", "functions")
    git("commit", "--quiet", "--message=Before")
    git("tag", "v0")
    git("remote", "add", "origin", ".")

    (deploy,) = {*blocks.take_all("sam build && sam deploy --parameter-overrides ")}
    said = checkout.run(deploy, answers=YES)
    assert "Build Succeeded" in said
    assert "Successfully created/updated stack - acknowledger" in said
    assert stack(cloud).parameters["RegisterActionType"] == "true"
    (registered,) = cloud.client("codepipeline").list_action_types(actionOwnerFilter="Custom")[
        "actionTypes"
    ]
    assert registered["id"]["provider"] == "MyTool"
    assert "JobBusName" in checkout.run(blocks.take("aws cloudformation describe-stacks"))

    checkout.run(blocks.take("sam deploy", "docs/deployment.md"), answers=YES)
    assert stack(cloud).parameters["Queries"].count("?ProjectName=") == 2

    before = code(cloud)
    with (checkout.folder / "functions" / "intake.py").open("a") as source:
        source.write("# Another version\n")
    git("commit", "--quiet", "--all", "--message=After")
    git("tag", "v1")
    git("switch", "--quiet", "--detach", "v0")
    upgrade = blocks.take("git fetch", "docs/upgrading.md")
    checkout.run(upgrade.replace("VERSION", "v1"), answers=YES)
    assert code(cloud) != before
    roll_back = blocks.take("git switch", "docs/upgrading.md")
    checkout.run(roll_back.replace("VERSION", "v0"), answers=YES)
    assert code(cloud) == before
    assert stack(cloud).parameters["Queries"].count("?ProjectName=") == 2

    checkout.run(blocks.take("sam delete", "docs/upgrading.md"), answers=YES * 3)
    with pytest.raises(ClientError, match="does not exist"):
        stack(cloud)

    checkout.run(blocks.take("sam deploy", "docs/partners.md"), answers=YES)
    assert stack(cloud).parameters["ActionTypes"] == "ThirdParty/Deploy/MyProduct/1"


def test_the_stack_is_deployed_to_the_local_endpoint(blocks, checkout, cloud):
    script = blocks.take()
    assert ENDPOINT in script
    said = checkout.run(script.replace(ENDPOINT, cloud.endpoint_url))
    assert said.count("Successfully created/updated stack - acknowledger") == 2
    assert "Deleted successfully" in said


def test_the_stack_is_deployed_without_sam_from_a_packaged_template(blocks, checkout, cloud):
    cloud.client("s3").create_bucket(Bucket="code")
    checkout.run(blocks.take().replace("BUCKET", "code"))
    # CloudFormation would not take it inline.
    assert (checkout.folder / "packaged.yaml").stat().st_size > 51_200
    packaged = stack(cloud)
    assert packaged.not_made == []
    other = cloud.deploy(TEMPLATE, {}, name="by-itself")
    assert processed(cloud, packaged) == processed(cloud, other)


@pytest.mark.parametrize("page", pages())
def test_the_options_of_sam_named_in_the_text_exist(page):
    found = re.findall(r"`sam (\w+) (--[^`]+)`", (ROOT / page).read_text())
    assert found or page != "docs/deployment.md"
    for command, options in found:
        assert SAM
        shown = programs.output_of(SAM, command, "--help")
        for option in re.findall(r"--[\w-]+", options):
            assert re.search(rf"^ *{option}\b", shown, re.MULTILINE), option


def test_notifications_are_deployed(blocks, checkout, cloud):
    cloud.deploy(TEMPLATE, {}, name="acknowledger")
    checkout.run(blocks.take(), answers=YES)
    assert stack(cloud, "job-failures").parameters["Email"] == "you@example.com"


def with_action_type(cloud: LocalCloud) -> None:
    cloud.deploy(TEMPLATE, {"ActionTypes": "Custom/Build/MyTool/1"}, name="acknowledger")


@pytest.mark.skipif(not python_3_13(), reason="needs Python 3.13 with pip")
def test_the_examples_are_deployed(blocks, checkout, cloud):
    with_action_type(cloud)
    # There is no Docker: what it is asked to build is read.
    checkout.put("docker", 'test "$1 $2" = "build -f" && test -f "$3" && echo "built $3"')
    outputs = blocks.take("outputs()")
    for example in blocks.take_all():
        (name,) = re.findall(r"--stack-name (\S+)", example)
        said = checkout.run(
            outputs + example.replace("subnet-…", "subnet-1").replace("=…", "=arn:aws:any"),
            answers=YES,
        )
        assert ("docker" in example) == ("built examples/container/Dockerfile" in said)
        given = stack(cloud, name).parameters
        assert given["ActionType"] == "Custom/Build/MyTool/1"
        assert given["JobBusName"] == "acknowledger-jobs"
        cloud.client("cloudformation").delete_stack(StackName=name)


def test_an_example_that_cannot_be_built_is_not_deployed(checkout, cloud, tmp_path):
    with_action_type(cloud)
    for name in ("aws", "sam"):
        shutil.copy(checkout.programs / name, tmp_path)
    outputs, example, *_ = (block.text for block in blocks_of("examples/README.md"))
    said = checkout.run(outputs + example, answers=YES, fails=True, PATH=str(tmp_path))
    assert re.search(r"^Error: PythonPipBuilder:.+ runtime: python3\.13 ", said, re.MULTILINE)
    with pytest.raises(ClientError, match="does not exist"):
        stack(cloud, "count-lines")


def test_sam_local_invoke_takes_the_events_and_the_settings_of_make_local(blocks, checkout):
    """Docker is needed to run the functions: everything before is done, and then sam says so."""
    with checkout.start("make local", PORT="0") as server:
        said = said_until(server, "Ctrl-C")
        (port,) = re.findall(r"Serving on http://127\.0\.0\.1:(\d+)", said)
        for block in blocks.take_all():
            text = block.replace("local-4566", f"local-{port}")
            answer = checkout.run(text, fails=True, PORT=port)
            assert "Build Succeeded" in answer
            assert NO_DOCKER.search(answer.splitlines()[-1]), answer
        folder = checkout.folder / ".aws-sam" / f"local-{port}"
        assert {"jobId", "nonce"} == set(json.loads((folder / "acknowledge.json").read_text()))


@pytest.mark.skipif(not python_3_13(), reason="needs Python 3.13 with pip")
def test_the_aws_tutorial_works_as_written(blocks, checkout, account):
    checkout.use(account)
    assert "123456789012" in checkout.run(blocks.take("aws sts"))
    checkout.run(blocks.take("sam build"), answers=YES)
    checkout.run(blocks.take("outputs()"), answers=YES)
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
