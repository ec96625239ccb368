"""`make smoke` with a stack that sam has deployed to an empty endpoint."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import acknowledger
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from moto_codepipeline import CREDENTIAL_MARKS
from tests.local.fixtures import programs
from tests.local.fixtures.cloud import REGION, zipped
from tests.local.fixtures.sam import SAM, Project
from tests.support import PATIENCE, ROOT, wait_for

PREFIX = "acknowledger-smoke"


@dataclass
class Deployed:
    cloud: LocalCloud
    stack: Stack

    def smoke(self, *more: str, seconds: int = 60 * PATIENCE) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tools.smoke", f"--region={REGION}", *more]
        command += [f"--endpoint-url={self.cloud.endpoint_url}", f"--seconds={seconds}"]
        return programs.run(*command, seconds=900)

    def left(self) -> list[str]:
        """The resources that the smoke test has left behind."""
        client = self.cloud.client
        names = [each["Name"] for each in client("s3").list_buckets()["Buckets"]]
        names += [each["name"] for each in client("codepipeline").list_pipelines()["pipelines"]]
        names += [each["RoleName"] for each in client("iam").list_roles()["Roles"]]
        names += client("sqs").list_queues().get("QueueUrls", [])
        bus = self.stack.outputs["JobBusName"]
        names += [each["Name"] for each in client("events").list_rules(EventBusName=bus)["Rules"]]
        return [name for name in names if PREFIX in name]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with acknowledger.empty(port=0, region=REGION) as cloud:
        yield Deployed(cloud, Project(tmp_path_factory.mktemp("project"), cloud).deploy())


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SAM is None, reason="needs the SAM CLI: make .venv-sam/installed"),
]


def test_a_deployed_stack_passes(blocks, deployed):
    command = blocks.take().replace("eu-west-1", REGION).split()
    command[1:1] = ["--no-print-directory", "-o", ".venv/installed"]
    answered = {"ENDPOINT": deployed.cloud.endpoint_url, "YES": "1"}
    environment = programs.without_make(os.environ) | answered
    done = programs.run(*command, environment=environment, seconds=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 Failed, 8 Succeeded" in done.stdout
    assert "✓ 12 jobs: the table, the executions and CodePipeline agree" in done.stdout
    assert done.stderr == ""
    assert not [mark for mark in CREDENTIAL_MARKS if mark in done.stdout]
    assert deployed.left() == []


@pytest.mark.parametrize("function", ["Intake", "Acknowledge", "Report", "Stop"])
def test_a_broken_function_is_named(function, deployed, tmp_path):
    name = deployed.stack.outputs[f"{function}FunctionName"]
    functions = deployed.cloud.client("lambda")
    broken = "def handler(event, context):\n    raise RuntimeError('broken on purpose')\n"
    functions.update_function_code(FunctionName=name, ZipFile=zipped(broken, function.lower()))
    try:
        done = deployed.smoke(seconds=60)
    finally:
        whole = shutil.make_archive(str(tmp_path / "functions"), "zip", ROOT / "functions")
        functions.update_function_code(FunctionName=name, ZipFile=Path(whole).read_bytes())
    assert (done.returncode, done.stderr) == (1, "")
    told = [line for line in done.stdout.splitlines() if line.startswith("✗")]
    assert [line.partition(":")[0] for line in told] == [f"✗ {function}"]
    assert deployed.left() == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_test_leaves_nothing(how, deployed):
    command = [sys.executable, "-m", "tools.smoke", f"--region={REGION}"]
    command.append(f"--endpoint-url={deployed.cloud.endpoint_url}")
    with programs.start(*command, stderr=subprocess.PIPE) as running:
        wait_for(lambda: len(deployed.left()) == 5, "everything to be created", 60)
        running.send_signal(how)
        _, err = running.communicate(timeout=60 * PATIENCE)
    assert (running.returncode, err) == (
        130,
        "Interrupted. The next run removes what is left.\n",
    )
    assert deployed.left() == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--stack=other"], "Stack with id other does not exist"),
        (["--action-type=Custom/Build/Other/1"], "--action-type must be one of the stack's: "),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(more, told, deployed):
    done = deployed.smoke(*more)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
