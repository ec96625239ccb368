"""The examples as a person deploys them, on the local stack, with artifacts in S3."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hcl2
import pytest
from mypy import api as mypy
from samtranslator.yaml_helper import yaml_parse

import moto_codepipeline
from acknowledger_worker import Success
from acknowledger_worker.testing import run
from conformance.installs import NotInstalled, aws_cli, python_programs
from examples.count_lines.worker import count_lines
from local import acknowledger
from local.aws import functions, isolation
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from tests.documentation import texts_of
from tests.local.fixtures import programs
from tests.local.fixtures.cloud import Queue, ended, make_rule
from tests.support import ROOT, wait_for

EXAMPLES = ROOT / "examples"
REPORT = "      2 a.py\n      1 lib/b.py\n"
SOURCE = {"a.py": "1\n2\n", "lib/b.py": "1\n", "README": "text\n"}
LAMBDA, CONTAINER, CODEBUILD, ECS, STATES, GITHUB = TYPES = [
    f"Custom/Test/{name}/1"
    for name in ("Lambda", "Container", "CodeBuild", "Ecs", "States", "GitHub")
]


@dataclass
class World:
    """The stack, with an action type for each example and without a worker."""

    cloud: LocalCloud
    stack: Stack
    folder: Path

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def deploy(self, example: str, **parameters: str) -> Stack:
        template = self.folder / "examples" / example / "template.yaml"
        takes = yaml_parse(template.read_text())["Parameters"]
        given = {name: self.stack.outputs[name] for name in takes if name in self.stack.outputs}
        return self.cloud.deploy(template, given | parameters, name=example.replace("_", "-"))

    def place(self, deployed: Stack, rule: str = "JobInProgress") -> dict[str, str]:
        """The parameters that name one of a stack's rules."""
        return {
            "EventBusName": self.stack.outputs["JobBusName"],
            "Rule": deployed.resources[rule].rpartition("|")[2],
        }

    def overhear(self, deployed: Stack, rule: str = "JobInProgress") -> Callable[[], Any]:
        """A function that returns the next input of a rule's target, without running the target."""
        queue, events = Queue(self.cloud, deployed.name), self.client("events")
        place = self.place(deployed, rule)
        target, *_ = events.list_targets_by_rule(**place)["Targets"]
        told = {"Id": "overheard", "Arn": queue.arn}
        told |= {name: how for name, how in target.items() if name == "InputTransformer"}
        events.put_targets(**place, Targets=[told])
        return queue.body

    def start(self, action_type: str, body: bytes) -> moto_codepipeline.jobs.Job:
        """Start a pipeline with one action on an artifact; return the job that it creates."""
        name = f"{action_type.split('/')[2]}-{os.urandom(4).hex()}"
        action = {
            "name": "Count",
            "inputArtifacts": [{"name": "App"}],
            "outputArtifacts": [{"name": "Report"}],
            "configuration": {},
        }
        acknowledger.create_pipeline(self.cloud, name, action_type, {"Test": [action]})
        # A sweep must not take the job before its input is there.
        self.cloud.schedule.restart()
        self.client("codepipeline").start_pipeline_execution(name=name)
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

    def stop(self, job: moto_codepipeline.jobs.Job) -> dict[str, Any]:
        """Abandon a job's action; return its row, once the job has ended."""
        run = job.action.run
        self.client("codepipeline").stop_pipeline_execution(
            pipelineName=run.pipeline_name,
            pipelineExecutionId=run.pipeline_execution_id,
            abandon=True,
        )
        return self.row(job, "Failed")

    def report(self, job: moto_codepipeline.jobs.Job) -> dict[str, str]:
        """The files in the output artifact, by name."""
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
    types = [acknowledger.CUSTOM_ACTION_TYPE, *TYPES]
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
        s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
        # The input is uploaded after its job is created, so that events must not start Intake.
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


def test_the_tutorials_worker_is_the_example():
    (worker, *_) = texts_of("docs/tutorial-laptop.md", "python")
    assert worker == (EXAMPLES / "count_lines" / "worker.py").read_text()


# -- In a Lambda function -------------------------------------------------------------------------


def test_a_lambda_function_works_on_a_job_once_if_it_is_delivered_twice(world):
    deployed = world.deploy("lambda_function", ActionType=LAMBDA)
    assert deployed.not_made == []
    name = deployed.outputs["WorkerFunctionName"]
    arn = world.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    pattern = {"detail-type": ["Job In Progress"], "detail": {"actionType": [LAMBDA]}}
    bus = world.stack.outputs["JobBusName"]
    make_rule(world.cloud, "again", pattern, {"Arn": arn}, bus=bus)
    job = world.start(LAMBDA, zipped(SOURCE))
    world.row(job, "Succeeded")
    assert functions.runner().wait_until_idle(120)
    assert world.report(job) == {"report.txt": REPORT}
    assert job.action.summary == "3 lines"
    assert job.action.output_variables == {"Lines": "3"}
    place = job.action.outputs[0]
    puts = world.client("s3").list_object_versions(Bucket=place.bucket, Prefix=place.key)
    assert len(puts["Versions"]) == 1


# -- Without the package --------------------------------------------------------------------------


def test_a_rule_and_its_event_are_as_documented(world, blocks):
    pattern, documented = (json.loads(text) for text in blocks.take_all())
    assert pattern["detail"]["actionType"] == [documented["actionType"]]
    pattern["detail"]["actionType"] = [acknowledger.CUSTOM_ACTION_TYPE]
    queue = Queue(world.cloud, "documented")
    bus = world.stack.outputs["JobBusName"]
    make_rule(world.cloud, "documented", pattern, {"Arn": queue.arn}, bus=bus)
    job = world.start(acknowledger.CUSTOM_ACTION_TYPE, b"")
    event = queue.body()
    world.stop(job)
    assert differences(documented, event["detail"]) == []


def differences(documented: Any, real: Any, at: str = "detail") -> list[str]:
    """Where a real value lacks a member, or a member has another type. "…" stands for anything."""
    if not isinstance(real, type(documented)):
        return [at]
    # The members of an action's configuration are its own.
    if not isinstance(documented, dict) or at.endswith(".configuration"):
        return []
    return [
        found
        for name, value in documented.items()
        if name != "…"
        for found in differences(value, real.get(name), f"{at}.{name}")
    ]


# -- In a process ---------------------------------------------------------------------------------


@contextmanager
def process(world: World, command: str, queue_url: str) -> Iterator[subprocess.Popen[str]]:
    """The command of the page, which leaves out where queue and table are, and the interpreter."""
    for left_out, given in {
        "QUEUE_URL=https://…": f"QUEUE_URL={queue_url}",
        "JOB_TABLE_NAME=…": f"JOB_TABLE_NAME={world.stack.outputs['JobTableName']}",
        " python ": f" {sys.executable} ",
    }.items():
        assert left_out in command
        command = command.replace(left_out, given)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "packages" / "acknowledger-worker"),
        **isolation.NO_HOME,
        **credentials(world),
    }
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec env {command}"],
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


@pytest.mark.slow
def test_a_process_works_on_jobs_from_its_queue_and_stops_on_sigterm(world, blocks):
    deployed = world.deploy("container", ActionType=CONTAINER)
    command = blocks.take()
    # The container's command is the same.
    dockerfile = (EXAMPLES / "container/Dockerfile").read_text()
    (words,) = re.findall(r"ENTRYPOINT (\[.*\])", dockerfile)
    assert command.split()[-4:] == json.loads(words)
    with process(world, command, deployed.outputs["QueueUrl"]) as running:
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


# -- In a shell, with the AWS CLI ------------------------------------------------------------------


@dataclass
class Shell:
    """Runs an example's commands as they are started where they belong."""

    folder: Path
    environment: dict[str, str]

    @contextmanager
    def start(self, script: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start commands; processes that they leave running end with them."""
        with (self.folder / "said").open("wb") as said:
            running = subprocess.Popen(
                ["bash", "-e", "-c", script],  # noqa: S607 - the one on the PATH
                cwd=self.folder,
                env=self.environment | more,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()

    def run(self, script: str, **more: str) -> tuple[int, str]:
        """Run commands to their end; return the exit status and the output."""
        with self.start(script, **more) as running:
            status = running.wait(300)
        return status, (self.folder / "said").read_text()

    def having(self, **more: str) -> "Shell":
        return replace(self, environment=self.environment | more)


@pytest.fixture
def shell(world: World, tmp_path: Path) -> Shell:
    try:
        cli = aws_cli()
    except NotInstalled as error:
        pytest.skip(f"the AWS CLI cannot be installed: {error}")
    if missing := [
        name for name in ("bash", "jq", "make", "unzip", "zip") if not shutil.which(name)
    ]:
        pytest.skip(f"the examples need programs that are not installed: {', '.join(missing)}")
    # The minute between heartbeats is shortened, and the calls of the AWS CLI are recorded.
    programs.put(tmp_path / "bin", "sleep", f"exec {shutil.which('sleep')} 0.2")
    programs.put(tmp_path / "bin", "aws", f'echo "$*" >> "{tmp_path}/asked"; exec {cli}/aws "$@"')
    environment = {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        **isolation.NO_FILES,
        "HOME": str(tmp_path),
        "JOB_TABLE_NAME": world.stack.outputs["JobTableName"],
        **credentials(world),
    }
    return Shell(tmp_path, environment)


def asked(shell: Shell) -> str:
    """The calls of the AWS CLI."""
    return (shell.folder / "asked").read_text()


def heartbeats(shell: Shell) -> int:
    return asked(shell).count("send-task-heartbeat")


def variables(environment: list[dict[str, str]]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in environment}


def resources(example: str) -> Any:
    return yaml_parse((EXAMPLES / example / "template.yaml").read_text())["Resources"]


@pytest.mark.slow
def test_a_codebuild_project_works_on_a_job(world, shell):
    deployed = world.deploy("codebuild", ActionType=CODEBUILD)
    assert deployed.not_made == []
    take = world.overhear(deployed)
    phases = yaml_parse(resources("codebuild")["Project"]["Properties"]["Source"]["BuildSpec"])

    def run(where: Shell, phase: str, **more: str) -> tuple[int, str]:
        return where.run("\n".join(phases["phases"][phase]["commands"]), **more)

    def build(body: bytes) -> tuple[moto_codepipeline.jobs.Job, Shell]:
        job = world.start(CODEBUILD, body)
        told = variables(take()["environmentVariablesOverride"])
        return job, shell.having(CODEBUILD_BUILD_ID="project:1", **told)

    job, first = build(zipped(SOURCE))
    for phase in ("pre_build", "build", "post_build"):
        if phase == "build":
            status, said = run(first, "pre_build", CODEBUILD_BUILD_ID="project:2")
            assert status != 0
            assert "ConditionalCheckFailedException" in said
        status, said = run(first, phase, CODEBUILD_BUILD_SUCCEEDING="1")
        assert status == 0, f"{phase}: {said}"
    world.row(job, "Succeeded")
    assert world.report(job) == {"lines": "3\n"}
    assert job.action.output_variables == {"Lines": "3"}
    assert (job.action.summary, job.action.external_id) == ("3 lines", "project:1")

    job, failing = build(b"")
    assert run(failing, "post_build", CODEBUILD_BUILD_SUCCEEDING="0")[0] == 0
    assert world.row(job, "Failed")["cause"]["S"] == "Build project:1 failed"

    # A job that ends during the build: the build is stopped.
    programs.put(shell.folder / "bin", "unzip", "exec tail -f /dev/null")
    for made in ("app", "report"):
        shutil.rmtree(shell.folder / made)
    job, endless = build(b"")
    before = heartbeats(shell)
    with endless.start("\n".join(phases["phases"]["build"]["commands"])):
        wait_for(lambda: heartbeats(shell) > before + 2, "heartbeats", seconds=60)
        assert "stop-build" not in asked(shell)
        row = world.stop(job)
        stopped = "codebuild stop-build --id project:1"
        wait_for(lambda: stopped in asked(shell), "the build to be stopped", seconds=60)
    assert world.row(job, "Failed")["cause"] == row["cause"]


@pytest.mark.slow
def test_an_ecs_task_works_on_a_job(world, shell):
    take = world.overhear(world.deploy("ecs_task", ActionType=ECS, Subnets="subnet-1"))
    (container,) = resources("ecs_task")["Task"]["Properties"]["ContainerDefinitions"]

    def task(command: str) -> tuple[moto_codepipeline.jobs.Job, Shell]:
        job = world.start(ECS, b"")
        (override,) = take()["containerOverrides"]
        assert override["name"] == container["Name"]
        return job, shell.having(COMMAND=command, **variables(override["environment"]))

    (script,) = container["Command"]
    job, good = task("test -n $JOB_ID")
    status, said = good.run(script)
    assert status == 0, said
    world.row(job, "Succeeded")
    assert good.run(script)[0] != 0

    # Between the result and the end of a task there is no heartbeat.
    aws = shell.folder / "bin" / "aws"
    late = f'"{aws}.soon" "$@" || exit; case $2 in *failure) {shutil.which("sleep")} 5;; esac'
    aws.rename(f"{aws}.soon")
    programs.put(shell.folder / "bin", "aws", late)
    job, bad = task("echo no such release; exit 3")
    assert bad.run(script)[0] == 0
    assert world.row(job, "Failed")["cause"]["S"] == "no such release"

    # A job that ends during the task: the task stops, and reports nothing.
    job, endless = task("tail -f /dev/null")
    before = heartbeats(endless)
    with endless.start(script) as running:
        wait_for(lambda: heartbeats(endless) > before + 2, "heartbeats", seconds=60)
        row = world.stop(job)
        assert running.wait(60) != 0
    assert world.row(job, "Failed")["cause"] == row["cause"]


@pytest.mark.slow
def test_a_github_actions_workflow_works_on_a_job(world, shell):
    take = world.overhear(
        world.deploy(
            "github_actions",
            ActionType=GITHUB,
            Repository="me/mine",
            GitHubToken="secret",
            OidcProviderArn="arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
        )
    )
    workflow = yaml_parse((EXAMPLES / "github_actions/worker.yml").read_text())
    steps = [step for step in workflow["jobs"]["work"]["steps"] if "run" in step]
    assert [step["name"] for step in steps] == ["Take the job", "Work", "Succeed", "Fail"]

    def dispatched() -> tuple[moto_codepipeline.jobs.Job, Shell]:
        job = world.start(GITHUB, b"")
        event = take()
        # True is how YAML 1.1 reads `on`.
        assert event["event_type"] in workflow[True]["repository_dispatch"]["types"]
        (shell.folder / "event.json").write_text(json.dumps(event))
        return job, shell.having(
            GITHUB_EVENT_PATH="event.json",
            GITHUB_ENV="variables",
            GITHUB_RUN_ID="17",
            GITHUB_REPOSITORY="me/mine",
        )

    def run(where: Shell, meanwhile: Callable[[], bool] = bool) -> dict[str, str]:
        """Run the steps as a runner does. If `meanwhile`, called during Work, is true, cancel the run."""
        told, outcomes, cancelled = where.folder / "variables", dict[str, str](), False
        told.write_text("")
        for step in steps:
            failed = "failure" in outcomes.values()
            if not is_due(step.get("if", "success()"), outcomes.get("take"), failed, cancelled):
                continue
            variables = dict(line.split("=", 1) for line in told.read_text().splitlines())
            with where.start(step["run"], **variables) as running:
                if step["name"] == "Work" and meanwhile():
                    cancelled = True
                    os.killpg(running.pid, signal.SIGINT)
                status = running.wait(300)
            outcomes[step.get("id", step["name"])] = "failure" if status else "success"
        return outcomes

    makefile = shell.folder / "Makefile"
    makefile.write_text("all:\n\ttouch built\n")
    job, runner = dispatched()
    done = {"take": "success", "Work": "success", "Succeed": "success"}
    assert run(runner) == done, (shell.folder / "said").read_text()
    world.row(job, "Succeeded")
    assert (shell.folder / "built").exists()
    assert job.action.external_id == "17"
    # The same job is dispatched again.
    assert run(runner) == {"take": "failure"}

    makefile.write_text("all:\n\tfalse\n")
    job, runner = dispatched()
    assert run(runner) == {"take": "success", "Work": "failure", "Fail": "success"}
    cause = "Run 17 of me/mine failed or was cancelled"
    assert world.row(job, "Failed")["cause"]["S"] == cause

    makefile.write_text("all:\n\ttail -f /dev/null\n")
    job, runner = dispatched()

    def after_heartbeats() -> bool:
        before = heartbeats(shell)
        return bool(wait_for(lambda: heartbeats(shell) > before + 2, "heartbeats", seconds=60))

    assert run(runner, after_heartbeats) == {
        "take": "success",
        "Work": "failure",
        "Fail": "success",
    }
    assert world.row(job, "Failed")["cause"]["S"] == cause

    # A job that ends during the run: the run stops, and its report changes nothing.
    job, runner = dispatched()
    rows = []

    def ended() -> bool:
        rows.append(world.stop(job))
        return False

    assert run(runner, ended) == {"take": "success", "Work": "failure", "Fail": "failure"}
    assert world.row(job, "Failed")["cause"] == rows[0]["cause"]


def is_due(condition: str, take: str | None, failed: bool, cancelled: bool) -> bool:
    """Whether a workflow's step runs, by its `if`."""
    known = {
        "success": lambda: not failed and not cancelled,
        "failure": lambda: failed,
        "cancelled": lambda: cancelled,
        "steps": SimpleNamespace(take=SimpleNamespace(outcome=take)),
    }
    python = condition.replace("&&", "and").replace("||", "or")
    return bool(eval(python, known))  # noqa: S307 - the example's own


# -- In Step Functions ----------------------------------------------------------------------------


def test_a_state_machine_works_on_a_job_without_code(world):
    assert world.deploy("step_functions", ActionType=STATES).not_made == []
    job = world.start(STATES, b"")
    world.row(job, "Succeeded")
    name = job.action.run.pipeline_name
    released = world.client("ssm").get_parameter(Name=f"/released/{name}")["Parameter"]
    (execution,) = world.client("codepipeline").list_pipeline_executions(pipelineName=name)[
        "pipelineExecutionSummaries"
    ]
    assert released["Value"] == execution["pipelineExecutionId"]
    assert job.action.summary == "Release 1"
    assert job.action.output_variables == {"Version": "1"}


def test_a_state_machine_whose_work_fails_fails_the_job(world):
    deployed = world.deploy("step_functions", ActionType=STATES)
    role = deployed.resources["ReleaseRole"]
    policy = {"RoleName": role, "PolicyName": "worker"}
    iam = world.client("iam")
    document = iam.get_role_policy(**policy)["PolicyDocument"]
    allowed = {"Version": document["Version"], "Statement": document["Statement"][:1]}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps(allowed))
    try:
        job = world.start(STATES, b"")
        row = world.row(job, "Failed")
    finally:
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))
    assert row["error"]["S"] == "JobFailed"
    assert "ssm:PutParameter" in row["cause"]["S"]


def test_a_state_machine_does_not_work_on_a_job_that_is_over(world):
    deployed = world.deploy("step_functions", ActionType=STATES)
    take = world.overhear(deployed)
    events, place = world.client("events"), world.place(deployed)
    [target] = [
        each for each in events.list_targets_by_rule(**place)["Targets"] if each["Id"] == "Release"
    ]
    events.remove_targets(**place, Ids=["Release"])
    job = world.start(STATES, b"")
    event = take()
    events.put_targets(**place, Targets=[target])
    row = world.stop(job)

    step_functions = world.client("stepfunctions")
    machine = deployed.resources["Release"]
    started = step_functions.start_execution(stateMachineArn=machine, input=json.dumps(event))
    late = ended(step_functions, started["executionArn"])
    assert (late["status"], late["error"]) == ("FAILED", "Sfn.TaskTimedOutException")
    with pytest.raises(world.client("ssm").exceptions.ParameterNotFound):
        world.client("ssm").get_parameter(Name=f"/released/{job.action.run.pipeline_name}")
    assert world.row(job, "Failed")["cause"] == row["cause"]


# -- Notifications --------------------------------------------------------------------------------


def test_messages_are_sent_for_a_job_that_fails_or_times_out_and_for_no_other(world):
    topic = world.deploy("notify", Email="you@example.com").outputs["TopicArn"]
    queue = Queue(world.cloud, "subscribed")
    world.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    webhook = world.deploy("notify_webhook", WebhookUrl="https://hooks.example.com/1")
    take = world.overhear(webhook, "Rule")
    take_job = world.overhear(world.deploy("ecs_task", ActionType=ECS, Subnets="subnet-1"))

    def taken() -> tuple[moto_codepipeline.jobs.Job, str]:
        job = world.start(ECS, b"")
        (override,) = take_job()["containerOverrides"]
        return job, variables(override["environment"])["TASK_TOKEN"]

    step_functions = world.client("stepfunctions")
    job, token = taken()
    step_functions.send_task_success(taskToken=token, output="{}")
    world.row(job, "Succeeded")
    for error, what in (("ConfigurationError", "Job Failed"), ("States.Timeout", "Job Timed Out")):
        job, token = taken()
        step_functions.send_task_failure(taskToken=token, error=error, cause="It broke")
        row = world.row(job, "Failed", "TimedOut")
        pipeline = job.action.run.pipeline_name
        said = f"{what}: Count of {pipeline} ({row['error']['S']}): {row['cause']['S']}"
        assert json.loads(queue.body()["Message"]) == f"{said} [job {job.id}]"
        assert take() == {"text": said}


# -- Other ways to deploy --------------------------------------------------------------------------


# The required and optional arguments and the further attributes of these resources, from the AWS
# provider's documentation, so that the test needs no Terraform:
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs
TERRAFORM_TAKES = {
    "aws_s3_object": (
        {"bucket", "key"},
        "acl bucket_key_enabled cache_control content content_base64 content_disposition content_encoding "
        "content_language content_type etag force_destroy kms_key_id metadata "
        "object_lock_legal_hold_status object_lock_mode object_lock_retain_until_date "
        "server_side_encryption source source_hash storage_class tags website_redirect",
        "id tags_all version_id",
    ),
    "aws_cloudformation_stack": (
        {"name"},
        "capabilities disable_rollback iam_role_arn notification_arns on_failure parameters policy_body "
        "policy_url tags template_body template_url timeout_in_minutes",
        "id outputs tags_all",
    ),
}


@pytest.fixture
def terraform() -> Any:
    with (EXAMPLES / "terraform/main.tf").open() as source:
        return hcl2.load(source)


def resources_of(configuration: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, name and arguments of each resource. The parser keeps the quotes."""
    for block in configuration["resource"]:
        for kind, named in block.items():
            for name, arguments in named.items():
                given = {each for each in arguments if not each.startswith("__")}
                yield kind.strip('"'), name.strip('"'), {each: arguments[each] for each in given}


def test_terraform_uses_parameters_and_outputs_that_the_template_has(terraform):
    (stack,) = (
        arguments
        for kind, _, arguments in resources_of(terraform)
        if kind == "aws_cloudformation_stack"
    )
    template = yaml_parse((ROOT / "template.yaml").read_text())
    assert set(stack["parameters"]) <= set(template["Parameters"])
    # The capability that sam deploy is given, and the one for a template with a transform.
    given = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]
    needed = {given["capabilities"], "CAPABILITY_AUTO_EXPAND"}
    assert {each.strip('"') for each in stack["capabilities"]} == needed
    asked = re.findall(r'\.outputs\[\\?"(\w+)\\?"\]', json.dumps(terraform["output"]))
    assert set(asked) <= set(template["Outputs"])
    assert asked


def test_terraforms_resources_have_valid_arguments_and_references(terraform):
    has: dict[str, set[str]] = {}
    for kind, name, arguments in resources_of(terraform):
        required, optional, more = TERRAFORM_TAKES[kind]
        assert required <= set(arguments) <= required | set(optional.split()), kind
        has[f"{kind}.{name}"] = {*required, *optional.split(), *more.split()}
    assert len(has) == 2
    said = json.dumps(terraform)
    for reference, attribute in re.findall(r"\b(aws_\w+\.\w+)\.(\w+)", said):
        assert attribute in has[reference], reference
    variables = {name.strip('"') for block in terraform["variable"] for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", said)) == variables


@pytest.fixture
def cdk() -> Path:
    """The folder with the programs of an environment that has CDK."""
    if not shutil.which("node"):
        pytest.skip("CDK needs Node.js, which is not installed")
    try:
        return python_programs(EXAMPLES / "cdk/requirements.txt", ROOT / ".venv-cdk")
    except NotInstalled as error:
        pytest.skip(f"CDK cannot be installed: {error}")


@pytest.mark.slow
def test_a_cdk_application_is_typed(cdk):
    """mypy doesn't check it otherwise, since CDK isn't in the tests' environment."""
    where = ("--config-file", str(ROOT / "pyproject.toml"), "--python-executable")
    said, _, status = mypy.run([*where, str(cdk / "python"), str(EXAMPLES / "cdk/app.py")])
    assert status == 0, said


@pytest.mark.slow
def test_a_cdk_application_has_a_pipeline_with_the_custom_action(cdk, tmp_path):
    command = json.loads((EXAMPLES / "cdk/cdk.json").read_text())["app"].split()
    environment = {
        "PATH": f"{cdk}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CDK_OUTDIR": str(tmp_path / "out"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run(command, cwd=EXAMPLES / "cdk", env=environment, check=True, timeout=300)
    template = json.loads((tmp_path / "out/release.template.json").read_text())
    made = {each["Type"]: each for each in template["Resources"].values()}
    registered = made["AWS::CodePipeline::CustomActionType"]["Properties"]
    pipeline = made["AWS::CodePipeline::Pipeline"]
    (action,) = pipeline["Properties"]["Stages"][1]["Actions"]
    kind = {name: registered[name] for name in ("Category", "Provider", "Version")}
    assert action["ActionTypeId"] == kind | {"Owner": "Custom"}
    assert action["Configuration"] == {"Input": "*.py"}
    assert set(action["Configuration"]) <= {
        each["Name"] for each in registered["ConfigurationProperties"]
    }
    assert "RoleArn" not in action
    depends = {template["Resources"][name]["Type"] for name in pipeline["DependsOn"]}
    assert "AWS::CodePipeline::CustomActionType" in depends


def test_each_example_begins_with_a_description():
    first_lines = {
        path.relative_to(EXAMPLES): path.read_text().splitlines()[0]
        for path in EXAMPLES.glob("*/*")
        if path.name
        in ("template.yaml", "Dockerfile", "worker.py", "worker.yml", "app.py", "main.tf")
    }
    assert len(first_lines) == 14
    for path, line in first_lines.items():
        assert re.match(r'(Description: |# |""")[A-Z]\w* .{20,}', line), path
