"""The commands of the runbook, and of other pages for a running stack, as written."""

import json
import re
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from conformance import clients, installs
from tests.documentation import Blocks, assigned, blocks_of
from tests.integration.conftest import DEAD_LETTERS, World
from tests.local.fixtures.checkout import ENDPOINT, Checkout
from tests.support import ROOT, load_event, wait_for

TEXT = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
(SET_UP,) = (each.text for each in blocks_of("docs/runbook.md") if each.heading == "Runbook")
#: What a block of another page prints, by a command in it.
PRINTED = {
    "put-events": '"FailedEntryCount": 0',
    "sns subscribe": "SubscriptionArn",
}
# Starting the AWS CLI for each command would take most of the time.
SHIM = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as call, call.makefile("rw") as lines:
    call.connect(os.environ["AWS_CLI_SOCKET"])
    print(json.dumps(sys.argv[1:]), file=lines, flush=True)
    answer = json.loads(lines.readline())
sys.stdout.write(answer["stdout"])
sys.stderr.write(answer["stderr"])
sys.exit(answer["code"])
"""
#: Runs blocks of commands after the runbook's first one, with further variables.
Shell = Callable[..., str]


@pytest.fixture(scope="module")
def checkout(running: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout in which one process of the AWS CLI runs all commands."""
    folder = tmp_path_factory.mktemp("typed")
    checkout = Checkout(folder)
    checkout.use(running.cloud)
    with ExitStack() as started:
        inside = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(checkout.folder)]
        program = [str(installs.aws_cli() / "python"), str(installs.HERE / "awscli" / "calls.py")]
        environment = clients.cli_environment(running.cloud.region)
        environment["AWS_ENDPOINT_URL"] = running.cloud.endpoint_url
        ask = started.enter_context(clients._lines([*inside, *program], environment))

        class Call(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                arguments = json.loads(self.rfile.readline())
                self.wfile.write(f"{json.dumps(ask(arguments))}\n".encode())

        socket = checkout.environment["AWS_CLI_SOCKET"] = str(folder / "socket")
        server = started.enter_context(socketserver.UnixStreamServer(socket, Call))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.callback(server.shutdown)
        (folder / "shim.py").write_text(SHIM)
        checkout.put("aws", f'exec "{sys.executable}" -IS "{folder}/shim.py" "$@"')
        yield checkout


@pytest.fixture
def shell(world: World, checkout: Checkout) -> Shell:
    def run(*blocks: str, **variables: Any) -> str:
        return checkout.run("\n".join((SET_UP, *blocks)), **variables)

    return run


def body(section: str) -> str:
    return TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]


def parts(section: str, blocks: Blocks) -> tuple[list[str], list[str]]:
    """A section's blocks: those under Look, and those under Fix."""
    look = body(section).partition("**Fix.**")[0]
    found = blocks.take_all()
    return [b for b in found if b in look], [b for b in found if b not in look]


def a_job_that_times_out(world: World) -> None:
    world.row(world.start({"Outcome": "Hang", "JobTimeoutSeconds": "1"}), "TimedOut")


def a_job_that_hangs(world: World) -> None:
    world.hang(JobTimeoutSeconds="60")


def an_offer_that_is_lost(world: World) -> None:
    world.invoke("Acknowledge", load_event("acknowledge-job-dispatched"))


def an_invalid_event(world: World) -> None:
    world.invoke("Report", load_event("bad/report-outcome"))


def nothing(_: World) -> None:
    """Do nothing: the commands show it anyway."""


#: How to cause each alarm, and what its commands then print, as patterns.
SHOWN: dict[str, tuple[Callable[[World], None], list[str]]] = {
    "NoSweepAlarm": (nothing, [r"ENABLED\trate\(1 minute\)", r'\{"offered": ']),
    "SlowAcknowledgmentsAlarm": (an_offer_that_is_lost, ['"Not acknowledged"']),
    "JobsTimedOutAlarm": (
        a_job_that_times_out,
        [r"\(JobTimeoutSeconds\)", "sample-worker\tENABLED"],
    ),
    "FunctionErrorsAlarm": (an_invalid_event, ['"errorType": "EventInvalid"']),
    "ActionTypesNotServedAlarm": (nothing, ["Acknowledger"]),
    "OldestJobAlarm": (a_job_that_hangs, [r"^20\S+Z\t\S+\tpipeline-\d+\tWork$"]),
    "FunctionThrottlesAlarm": (nothing, ["ConcurrentExecutions"]),
    "ExecutionsThrottledAlarm": (a_job_that_hangs, [r"\A[1-9]\d*\n\Z"]),
}


def test_every_section_is_run_here():
    tested = {"DeadLettersAlarm", *SHOWN, "ExecutionsEndedAlarm", "See what is going on"}
    assert set(SECTIONS) == tested | {"Pause and drain"}


@pytest.mark.parametrize("name", [name for name in SECTIONS if name.endswith("Alarm")])
def test_the_section_of_an_alarm_has_the_same_four_parts(name):
    marks = re.findall(r"^\*\*(.+?)\.\*\*", body(name), re.MULTILINE)
    assert marks == ["What it is", "Why", "Look", "Fix"]


@pytest.mark.slow
@pytest.mark.parametrize(("function", "event"), DEAD_LETTERS.items())
def test_dead_letters_are_listed_and_redriven(function, event, shell, world, blocks):
    world.invoke(function, load_event(event), kind="Event")
    wait_for(lambda: world.letters_left(function) == 1, "the dead letter", seconds=20)
    look, fix = parts("DeadLettersAlarm", blocks)
    listed = re.compile(rf"^{function} +([0-9a-f-]{{36}}) ", re.MULTILINE)
    (message,) = listed.findall(shell(*look))
    assert listed.findall(shell(*fix)) == [message]
    # The event is still invalid, so that it comes back.
    wait_for(lambda: world.letters_left(function) == 1, "the dead letter", seconds=20)
    assert world.written.letters(function)[-1]["MessageId"] != message


@pytest.mark.slow
def test_the_commands_to_see_what_is_going_on_show_a_job(shell, world, blocks):
    assert blocks.take("STACK=") == SET_UP
    row = world.row(world.start({"Outcome": "Fail"}), "Failed")
    world.execution(row["execution"]["S"])
    look, _ = parts("See what is going on", blocks)
    seen = shell("list_jobs Failed", *look, JOB=row["jobId"]["S"])
    for text in (
        row["pipelineName"]["S"],
        row["cause"]["S"],
        "InProgress",
        '"Acknowledged"',
        '"Reported"',
    ):
        assert text in seen


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_the_commands_for_an_alarm_show_its_cause(name, shell, world, blocks):
    happen, texts = SHOWN[name]
    happen(world)
    look, fix = parts(name, blocks)

    def shown() -> bool:
        seen = shell(*look, *fix)
        return all(re.search(text, seen, re.MULTILINE) for text in texts)

    wait_for(shown, f"{texts} to be shown", seconds=20)


@pytest.mark.slow
def test_list_jobs_shows_twenty_jobs_and_says_how_many_more_there_are(shell, world):
    table = world.stack.outputs["JobTableName"]
    jobs = [f"listed-{number:04}" for number in range(1001)]

    def write(kind: str, requests: list[dict[str, Any]]) -> None:
        for at in range(0, len(requests), 25):
            written = [{kind: each} for each in requests[at : at + 25]]
            world.client("dynamodb").batch_write_item(RequestItems={table: written})

    def listed(*ids: str) -> list[str]:
        """What is printed, with these jobs too; nothing else knows their status."""
        rows = []
        for each in ids:
            moment = f"2026-01-01T{each[-4:-2]}:00:{each[-2:]}Z"
            row = {"jobId": each, "status": "Listed", "offeredAt": moment, "dueAt": moment}
            row |= {"pipelineName": "release", "actionName": "Build"}
            rows.append({"Item": {name: {"S": row[name]} for name in row}})
        write("PutRequest", rows)
        return shell("list_jobs Listed").splitlines()

    try:
        twenty = listed(*jobs[:20])
        assert [line.split("\t")[1] for line in twenty] == jobs[19::-1]
        *newest, more = listed(jobs[20])
        assert [line.split("\t")[1] for line in newest] == jobs[20:0:-1]
        assert more == "and 1 more"
        assert listed(*jobs[21:1000])[20:] == ["and 980 more"]
        # More than the command asks for.
        *newest, more = listed(jobs[1000])
        assert [line.split("\t")[1] for line in newest] == jobs[1000:980:-1]
        assert more == "and 980 or more"
    finally:
        write("DeleteRequest", [{"Key": {"jobId": {"S": each}}} for each in jobs])


@pytest.mark.slow
def test_errors_prints_one_message_a_line(shell, world):
    world.invoke("Stop", {"first": 1})
    world.invoke("Stop", {"second": 2})

    def printed() -> list[str]:
        return [line for line in shell("errors stop").splitlines() if line]

    wait_for(lambda: len(printed()) >= 2, "two errors to be printed", seconds=20)
    assert {json.loads(line)["errorType"] for line in printed()} == {"EventInvalid"}


@pytest.mark.slow
def test_an_execution_that_was_stopped_by_hand_is_found(shell, world, blocks):
    _, row = world.hang()
    world.stop(row)
    (executions, who), _ = parts("ExecutionsEndedAlarm", blocks)
    assert row["execution"]["S"].rpartition(":")[2] in shell(executions)
    # There is no CloudTrail here: the AWS CLI understands the command and sends the request.
    assert "when calling the LookupEvents operation" in shell(f"{{ {who.rstrip()}; }} 2>&1 || :")


@pytest.mark.slow
def test_intake_is_paused_and_drained_and_resumed(shell, world, blocks):
    name, row = world.hang()
    look, _ = parts("Pause and drain", blocks)
    pause, running, stop, resume = look
    paused = json.dumps(world.stack.parameters["ActionTypes"].split(","))
    assert f'{{"paused": {paused}}}' in shell(pause)
    execution = row["execution"]["S"].rpartition(":")[2]
    assert execution in shell(running)
    shell(stop, JOB=row["jobId"]["S"])
    ended = world.row(name, "Failed")
    assert "Operator: Maintenance" in ended["cause"]["S"]
    assert execution not in shell(running)
    assert '{"paused": []}' in shell(resume)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    assigned("tests/integration/test_runbook.py::test_a_block_of_another_page_works_as_written"),
    ids=str,
)
def test_a_block_of_another_page_works_as_written(block, shell, world, checkout):
    (checkout.folder / "token").write_text("a-client-token")
    seen = shell(block.text.replace(ENDPOINT, world.cloud.endpoint_url))
    for command, printed in PRINTED.items():
        if command in block.text:
            assert printed in seen
