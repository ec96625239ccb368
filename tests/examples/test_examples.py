"""The examples as a person deploys them, on the local stack, with artifacts in S3."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

import moto_codepipeline
from acknowledger_worker import Success
from acknowledger_worker.testing import run
from conformance.installs import NotInstalled, aws_cli
from examples.count_lines.worker import count_lines
from local import acknowledger
from local.aws import functions, isolation
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from tests.support import ROOT, wait_for

EXAMPLES = ROOT / "examples"
REPORT = "      2 a.py\n      1 lib/b.py\n"
SOURCE = {"a.py": "1\n2\n", "lib/b.py": "1\n", "README": "text\n"}
LAMBDA, CONTAINER, CODEBUILD = (
    f"Custom/Test/{name}/1" for name in ("Lambda", "Container", "CodeBuild")
)


@dataclass
class World:
    """The stack, with three action types and nobody who works them."""

    cloud: LocalCloud
    stack: Stack
    folder: Path

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def deploy(self, example: str, action_type: str) -> Stack:
        parameters = {name: self.stack.outputs[name] for name in self.outputs}
        template = self.folder / "examples" / example / "template.yaml"
        name = example.replace("_", "-")
        return self.cloud.deploy(template, parameters | {"ActionType": action_type}, name=name)

    outputs = ("JobBusName", "JobStateMachineArn", "JobTableName")

    def start(self, action_type: str, body: bytes) -> moto_codepipeline.jobs.Job:
        """Start a pipeline of one action on an artifact; the job that it makes."""
        name = f"{action_type.split('/')[2]}-{os.urandom(4).hex()}"
        action = {
            "name": "Count",
            "inputArtifacts": [{"name": "App"}],
            "outputArtifacts": [{"name": "Report"}],
            "configuration": {},
        }
        role = self.client("iam").get_role(RoleName=acknowledger.PIPELINE_ROLE)["Role"]["Arn"]
        service = self.client("codepipeline")
        service.create_pipeline(
            pipeline=acknowledger.pipeline(name, action_type, {"Test": [action]}, role)
        )
        service.start_pipeline_execution(name=name)
        board = moto_codepipeline.backend(self.cloud.account_id, self.cloud.region)._board

        def made() -> Any:
            jobs = list(board._jobs.values())
            return next((job for job in jobs if job.action.run.pipeline_name == name), None)

        job: moto_codepipeline.jobs.Job = wait_for(made, "the job", seconds=10)
        self.client("s3").put_object(
            Bucket=job.action.inputs[0].bucket, Key=job.action.inputs[0].key, Body=body
        )
        self.cloud.schedule.fire()
        return job

    def row(self, job: moto_codepipeline.jobs.Job, *statuses: str) -> dict[str, Any]:
        """A job's row, once it has one of these statuses."""

        def reached() -> Any:
            found = self.client("dynamodb").get_item(
                TableName=self.stack.outputs["JobTableName"], Key={"jobId": {"S": job.id}}
            )
            row = found.get("Item", {})
            return row if row.get("status", {}).get("S") in statuses else None

        found: dict[str, Any] = wait_for(reached, f"the job to be {statuses}", seconds=40)
        return found

    def report(self, job: moto_codepipeline.jobs.Job) -> dict[str, str]:
        """What is in the output artifact."""
        place = job.action.outputs[0]
        body = self.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            return {
                name: opened.read(name).decode()
                for name in opened.namelist()
                if not name.endswith("/")
            }


def zipped(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return made.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("built")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=ignored)
    # What sam build does with requirements.txt.
    package = ROOT / "packages" / "acknowledger-worker" / "acknowledger_worker"
    shutil.copytree(package, folder / "examples/count_lines" / package.name, ignore=ignored)
    types = [acknowledger.CUSTOM_ACTION_TYPE, LAMBDA, CONTAINER, CODEBUILD]
    with acknowledger.running(
        parameters={"ActionTypes": ",".join(types)},
        worker=False,
        port=0,
        enforce_permissions=True,
        behaviour={"started_before_queued_seconds": 0},
    ) as (cloud, stack):
        for action_type in types[1:]:
            acknowledger.register(cloud, stack, action_type)
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="artifacts")
        s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
        # A job is there before its input is, so that no event may tell of it.
        events = cloud.client("events")
        for rule in events.list_rules()["Rules"]:
            if "STARTED" in rule.get("EventPattern", ""):
                events.disable_rule(Name=rule["Name"])
        yield World(cloud, stack, folder)


# -- The function by itself -----------------------------------------------------------------------


def test_lines_are_counted(tmp_path):
    ended = run(count_lines, inputs={"App": SOURCE}, outputs=["Report"], folder=tmp_path)
    assert ended.outcome == Success(summary="3 lines", output_variables={"Lines": "3"})
    assert (ended.outputs["Report"] / "report.txt").read_text() == REPORT


def test_the_readmes_worker_is_the_example():
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("## Write a worker\n")[2].partition("\n## ")[0]
    (block, *_) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert block == (EXAMPLES / "count_lines" / "worker.py").read_text()


# -- In a Lambda function -------------------------------------------------------------------------


def test_a_lambda_function_works_a_job_once_though_it_is_delivered_twice(world):
    deployed = world.deploy("lambda_function", LAMBDA)
    assert deployed.not_made == []
    name = deployed.outputs["WorkerFunctionName"]
    arn = world.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    listen(world, "again", {"actionType": [LAMBDA]}, arn)
    job = world.start(LAMBDA, zipped(SOURCE))
    world.row(job, "Succeeded")
    assert functions.runner().wait_until_idle(30)
    assert world.report(job) == {"report.txt": REPORT}
    assert job.action.summary == "3 lines"
    assert job.action.output_variables == {"Lines": "3"}
    place = job.action.outputs[0]
    puts = world.client("s3").list_object_versions(Bucket=place.bucket, Prefix=place.key)
    assert len(puts["Versions"]) == 1


def listen(world: World, name: str, detail: dict[str, Any], arn: str, **target: Any) -> None:
    """Have a further target told what a worker of these jobs is told."""
    events, bus = world.client("events"), world.stack.outputs["JobBusName"]
    pattern = {"detail-type": ["Job In Progress"], "detail": detail}
    events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
    targets = [{"Id": name, "Arn": arn, **target}]
    events.put_targets(Rule=name, EventBusName=bus, Targets=targets)


def taken(sqs: Any, url: str) -> list[Any]:
    messages = sqs.receive_message(QueueUrl=url).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]


# -- In a process ---------------------------------------------------------------------------------


@contextmanager
def process(world: World, queue_url: str) -> Iterator[subprocess.Popen[str]]:
    """The command of the Dockerfile."""
    (words,) = re.findall(r"ENTRYPOINT (\[.*\])", (EXAMPLES / "container/Dockerfile").read_text())
    command = [sys.executable, *json.loads(words)[1:]]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "packages" / "acknowledger-worker"),
        **isolation.NO_HOME,
        "QUEUE_URL": queue_url,
        "JOB_TABLE_NAME": world.stack.outputs["JobTableName"],
        **credentials(world),
    }
    with subprocess.Popen(
        command,
        cwd=EXAMPLES / "count_lines",
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        yield running
        running.kill()


def credentials(world: World) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": world.cloud.endpoint_url,
        "AWS_DEFAULT_REGION": world.cloud.region,
        "AWS_ACCESS_KEY_ID": "worker",
        "AWS_SECRET_ACCESS_KEY": "worker",
    }


def test_a_process_works_jobs_from_its_queue_and_stops_on_sigterm(world):
    deployed = world.deploy("container", CONTAINER)
    with process(world, deployed.outputs["QueueUrl"]) as running:
        good = world.start(CONTAINER, zipped(SOURCE))
        bad = world.start(CONTAINER, zipped({"../out": ""}))
        world.row(good, "Succeeded")
        row = world.row(bad, "Failed")
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
        assert running.stderr
        said = running.stderr.read()
    assert world.report(good) == {"report.txt": REPORT}
    assert row["cause"]["S"] == "input artifact App: '../out' leaves the folder"
    assert f"job {good.id}: Success\n" in said
    assert "Traceback" not in said
    assert not any(mark in said for mark in moto_codepipeline.CREDENTIAL_MARKS)


def test_the_local_stack_runs_a_worker_of_yours(world, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'packages' / 'acknowledger-worker'}")
    yours = acknowledger.worker_of(world.cloud, world.stack, "examples.count_lines.worker:handler")
    yours.start()
    try:
        job = world.start(acknowledger.CUSTOM_ACTION_TYPE, zipped(SOURCE))
        assert world.row(job, "Succeeded")["worker"]["S"]
        assert world.report(job) == {"report.txt": REPORT}
    finally:
        yours.stop()


# -- In CodeBuild ---------------------------------------------------------------------------------


@dataclass
class Build:
    """A build of the project, as its rule starts it, with its commands run here."""

    template: dict[str, Any]
    folder: Path
    environment: dict[str, str]

    def phase(self, name: str, **more: str) -> subprocess.CompletedProcess[str]:
        source = self.template["Resources"]["Project"]["Properties"]["Source"]
        commands = yaml_parse(source["BuildSpec"])["phases"][name]["commands"]
        return subprocess.run(
            ["bash", "-e", "-c", "\n".join(commands)],  # noqa: S607 - whose is on the PATH
            cwd=self.folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def build(world: World, tmp_path: Path) -> Build:
    try:
        programs = aws_cli()
    except NotInstalled as error:
        pytest.skip(f"the AWS CLI cannot be installed: {error}")
    if missing := [name for name in ("bash", "zip", "unzip") if not shutil.which(name)]:
        pytest.skip(f"CodeBuild has what is not here: {', '.join(missing)}")
    template = yaml_parse((EXAMPLES / "codebuild/template.yaml").read_text())
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        **isolation.NO_FILES,
        "HOME": str(tmp_path),
        "JOB_TABLE_NAME": world.stack.outputs["JobTableName"],
        "CODEBUILD_BUILD_ID": "project:1",
        **credentials(world),
    }
    return Build(template, tmp_path, environment)


@pytest.mark.slow
def test_codebuild_works_a_job_with_a_shell_and_the_aws_cli(world, build):
    sqs = world.client("sqs")
    url = sqs.create_queue(QueueName="builds")["QueueUrl"]
    target = build.template["Resources"]["JobInProgress"]["Properties"]["Targets"][0]
    transformer = target["InputTransformer"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = answer["Attributes"]["QueueArn"]
    listen(world, "builds", {"actionType": [CODEBUILD]}, arn, InputTransformer=transformer)

    def offered(body: bytes) -> tuple[moto_codepipeline.jobs.Job, Build]:
        job = world.start(CODEBUILD, body)
        (started,) = wait_for(lambda: taken(sqs, url), "the build to start", seconds=20)
        variables = {
            each["name"]: each["value"] for each in started["environmentVariablesOverride"]
        }
        return job, replace(build, environment=build.environment | variables)

    job, first = offered(zipped(SOURCE))
    for phase in ("pre_build", "build", "post_build"):
        if phase == "build":
            again = first.phase("pre_build", CODEBUILD_BUILD_ID="project:2")
            assert again.returncode != 0
            assert "ConditionalCheckFailedException" in again.stderr
        done = first.phase(phase, CODEBUILD_BUILD_SUCCEEDING="1")
        assert done.returncode == 0, f"{phase}: {done.stdout}{done.stderr}"
    world.row(job, "Succeeded")
    assert world.report(job) == {"lines": "3\n"}
    assert job.action.output_variables == {"Lines": "3"}
    assert (job.action.summary, job.action.external_id) == ("3 lines", "project:1")

    job, failing = offered(b"")
    assert failing.phase("post_build", CODEBUILD_BUILD_SUCCEEDING="0").returncode == 0
    assert world.row(job, "Failed")["cause"]["S"] == "Build project:1 failed"
