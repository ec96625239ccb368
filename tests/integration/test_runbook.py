"""The runbook's commands, run as they are written there, by bash and the AWS CLI."""

from __future__ import annotations

import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance import clients, installs
from tests.integration.alarms import DEAD_LETTERS
from tests.integration.conftest import World
from tests.support import ROOT, load_event, wait_for

TEXT = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    for section in TEXT.split("\n## ")
}
SET_UP = SECTIONS["# Runbook"][0]
#: What can't be run here, with what does it elsewhere.
ELSEWHERE = {
    "aws cloudtrail": "nothing records who calls here",
    "git switch": "tests/integration/test_deployment.py and tests/local/test_sam_deploy.py",
    "sam delete": "tests/local/test_sam_deploy.py",
}
# Starting the AWS CLI anew for each command would take most of the time.
SHIM = f"""#!{sys.executable} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as call, call.makefile("rw") as lines:
    call.connect(os.environ["AWS_CLI_SOCKET"])
    print(json.dumps(sys.argv[1:]), file=lines, flush=True)
    answer = json.loads(lines.readline())
sys.stdout.write(answer["stdout"])
sys.stderr.write(answer["stderr"])
sys.exit(answer["code"])
"""


@pytest.fixture(scope="module")
def programs(running: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which a shell finds the AWS CLI, and a Python that has boto3."""
    try:
        python = installs.aws_cli() / "python"
    except installs.NotInstalled as error:
        pytest.skip(f"the AWS CLI cannot be installed: {error}")
    folder = tmp_path_factory.mktemp("bin")
    (folder / "aws").write_text(SHIM)
    (folder / "aws").chmod(0o755)
    (folder / "python").symlink_to(sys.executable)
    with ExitStack() as started:
        program = [str(python), str(Path(installs.HERE, "awscli", "calls.py"))]
        environment = clients.cli_environment(running.cloud.region)
        environment["AWS_ENDPOINT_URL"] = running.cloud.endpoint_url
        ask = started.enter_context(clients._lines(program, environment))

        class Call(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                arguments = json.loads(self.rfile.readline())
                self.wfile.write(f"{json.dumps(ask(arguments))}\n".encode())

        path = str(folder / "socket")
        server = started.enter_context(socketserver.UnixStreamServer(path, Call))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.callback(server.shutdown)
        yield {"PATH": f"{folder}:{os.environ['PATH']}", "AWS_CLI_SOCKET": path}


@dataclass
class Shell:
    """Runs what stands in the runbook, in one go from the beginning."""

    world: World
    programs: dict[str, str]

    def run(self, *blocks: str, **variables: str) -> str:
        cloud = self.world.cloud
        environment = {
            **clients.ENVIRONMENT,
            "AWS_ENDPOINT_URL": cloud.endpoint_url,
            "AWS_DEFAULT_REGION": cloud.region,
            **self.programs,
            **variables,
        }
        done = subprocess.run(
            ["/bin/bash", "-c", "\n".join(["set -euo pipefail", SET_UP, *blocks])],
            env=environment,
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(world: World, programs: dict[str, str]) -> Shell:
    return Shell(world, programs)


def body(section: str) -> str:
    return TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]


def parts(section: str) -> tuple[list[str], list[str]]:
    """A section's blocks: those to look, and those to mend."""
    blocks = [block for block in SECTIONS[section] if not block.startswith(tuple(ELSEWHERE))]
    look = body(section).partition("**Mend.**")[0]
    return [b for b in blocks if b in look], [b for b in blocks if b not in look]


def messages(world: World, url: str) -> int:
    found = world.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def a_job_that_times_out(world: World) -> None:
    world.row(world.start({"Outcome": "Hang", "JobTimeoutSeconds": "1"}), "TimedOut")


def an_offer_that_is_lost(world: World) -> None:
    world.invoke("Acknowledge", load_event("acknowledge-job-dispatched"))


def an_event_of_nobodys(world: World) -> None:
    world.invoke("Report", load_event("bad/report-outcome"))


def nothing(_: World) -> None:
    """It is shown anyway."""


#: What brings each alarm's matter about, and what its commands show then.
SHOWN: dict[str, tuple[Callable[[World], None], list[str]]] = {
    "NoSweepAlarm": (nothing, ["ENABLED\trate(1 minute)", '{"offered": ']),
    "SlowAcknowledgmentsAlarm": (an_offer_that_is_lost, ['"Not acknowledged"']),
    "JobsTimedOutAlarm": (a_job_that_times_out, ["(JobTimeoutSeconds)", "sample-worker\tENABLED"]),
    "FunctionErrorsAlarm": (an_event_of_nobodys, ['"errorType": "EventInvalid"']),
    "ActionTypesNotServedAlarm": (nothing, ["Acknowledger"]),
    "OldestJobAlarm": (nothing, [""]),
    "FunctionThrottlesAlarm": (nothing, ["ConcurrentExecutions"]),
    "ExecutionsThrottledAlarm": (nothing, ["0"]),
}
ONLY_ELSEWHERE = {"Deploy and roll back", "Remove the stack"}


def test_every_section_is_run_here():
    tested = {"DeadLettersAlarm", *SHOWN, "ExecutionsEndedAlarm", "See what is going on"}
    assert set(SECTIONS) - {"# Runbook"} == tested | {"Pause and drain", *ONLY_ELSEWHERE}
    for name in ONLY_ELSEWHERE:
        assert parts(name) == ([], [])


@pytest.mark.parametrize("name", [name for name in SECTIONS if name.endswith("Alarm")])
def test_a_section_tells_what_it_is_why_it_happens_where_to_look_and_what_mends_it(name):
    marks = re.findall(r"^\*\*(.+?)\.\*\*", body(name), re.MULTILINE)
    assert marks == ["What it is", "Why", "Look", "Mend"]


@pytest.mark.slow
@pytest.mark.parametrize(("function", "event"), DEAD_LETTERS.items())
def test_dead_letters_are_looked_at_and_given_back(function, event, shell):
    shell.world.invoke(function, load_event(event), kind="Event")
    url = shell.world.stack.outputs[f"{function}DeadLettersUrl"]
    wait_for(lambda: messages(shell.world, url) == 1, "the dead letter", seconds=20)
    look, mend = parts("DeadLettersAlarm")
    listed = re.compile(rf"^{function} +([0-9a-f-]{{36}}) ", re.MULTILINE)
    (message,) = listed.findall(shell.run(*look))
    assert listed.findall(shell.run(*mend)) == [message]
    # Which is no event of ours now either.
    wait_for(lambda: messages(shell.world, url) == 1, "the dead letter", seconds=20)
    assert shell.world.written.letters(function)[-1]["MessageId"] != message


@pytest.mark.slow
def test_what_is_going_on_is_seen(shell):
    row = shell.world.row(shell.world.start({"Outcome": "Fail"}), "Failed")
    shell.world.execution(row["execution"]["S"])
    look, _ = parts("See what is going on")
    seen = shell.run("list_jobs Failed", *look, JOB=row["jobId"]["S"])
    for text in (
        row["pipelineName"]["S"],
        row["cause"]["S"],
        "InProgress",
        '"Acknowledged"',
        '"Reported"',
        "SubscriptionArn",
    ):
        assert text in seen


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_an_alarms_commands_show_what_it_is_about(name, shell):
    happen, texts = SHOWN[name]
    happen(shell.world)
    look, mend = parts(name)

    def shown() -> bool:
        seen = shell.run(*look, *mend)
        return all(text in seen for text in texts)

    wait_for(shown, f"{texts} to be shown", seconds=20)


@pytest.mark.slow
def test_a_job_that_somebody_stops_is_found(shell):
    row = shell.world.row(shell.world.start({"Outcome": "Hang"}), "InProgress")
    arn = row["execution"]["S"]
    shell.world.client("stepfunctions").stop_execution(executionArn=arn)
    look, _ = parts("ExecutionsEndedAlarm")
    assert arn.rpartition(":")[2] in shell.run(*look)


@pytest.mark.slow
def test_intake_is_paused_what_is_in_flight_drained_and_resumed(shell):
    row = shell.world.row(shell.world.start({"Outcome": "Hang"}), "InProgress")
    look, _ = parts("Pause and drain")
    pause, running, stop, resume = look
    paused = json.dumps(shell.world.stack.parameters["ActionTypes"].split(","))
    assert f'{{"paused": {paused}}}' in shell.run(pause)
    execution = row["execution"]["S"].rpartition(":")[2]
    assert execution in shell.run(running)
    shell.run(stop, JOB=row["jobId"]["S"])
    ended = shell.world.row(row["pipelineName"]["S"], "Failed")
    assert "Operator: Maintenance" in ended["cause"]["S"]
    assert execution not in shell.run(running)
    assert '{"paused": []}' in shell.run(resume)
