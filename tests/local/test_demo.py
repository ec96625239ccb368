"""`make demo` and `make local`, as a user runs them."""

import functools
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.acknowledger import CUSTOM_ACTION_TYPE
from local.demo import COLUMNS, STAGES, STATUSES, Comparison, so_far
from moto_codepipeline import CREDENTIAL_MARKS
from tests.local.fixtures import programs
from tests.local.fixtures.checkout import said_until
from tests.local.fixtures.cloud import client_of
from tests.local.fixtures.foreign import REGION, Foreign, foreign
from tests.support import wait_for

client = functools.partial(client_of, region_name=REGION)
WAY = (*STATUSES, "Report", "Reported")


@pytest.fixture(scope="module")
def astray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """An environment whose AWS settings lead to another endpoint, which is never called."""
    with foreign(tmp_path_factory.mktemp("home")) as made:
        yield made
        assert made.requests == []


def typed(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """An environment in which `make` takes everything as installed, and `make test` tests nothing."""
    make = f'"{shutil.which("make")}" --no-print-directory -o .venv/installed'
    dry = 'if [ "$1" = test ]; then set -- --dry-run "$@"; fi'
    programs.put(folder, "make", f'{dry}\nexec {make} "$@"')
    return {**programs.without_make(environment), "PATH": f"{folder}:{environment['PATH']}"}


def as_printed(text: str) -> str:
    """A pattern for an output with other numbers."""
    pattern = re.sub(r"(?<!\d)(?:\\ )*\d+\\\.\d", r" *\\d+\\.\\d", re.escape(text))
    return rf"^{pattern}$"


@pytest.mark.slow
def test_the_demo_succeeds_and_prints_every_status_of_every_job(astray, blocks, tmp_path):
    environment = typed(tmp_path, astray.environment)
    done = programs.run("/bin/sh", "-ec", blocks.take("make demo"), environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "-m pytest" in done.stdout.splitlines()[-1]
    # Nothing is wider than a terminal, and nothing was cut to fit.
    assert max(map(len, done.stdout.splitlines()[:-1])) < 80
    moments = re.findall(r"^ +(\d+\.\d) s  ", done.stdout, re.MULTILINE)
    assert len(moments) >= 3 * 16
    assert moments == sorted(moments, key=float)
    for output in blocks.take_all():
        for part in output.rstrip().split("\n…\n"):
            if part.startswith("✓") or "asked to" in part:
                assert re.search(as_printed(part), done.stdout, re.MULTILINE), part
            else:
                for line in part.splitlines():
                    assert re.search(as_printed(line), done.stdout, re.MULTILINE), line
    assert re.search(r"watch it: http://\S+/_local/page/\n", done.stdout)
    assert "\x1b" not in done.stdout
    for action in [action for stage in STAGES.values() for action in stage]:
        # Only a job that waits for a free place is Queued.
        for status in ("Created", "Dispatched", "InProgress"):
            assert re.search(rf" s +{action['name']} +{status}\n", done.stdout)
    assert "3 Failed, 10 Succeeded, 3 TimedOut" in done.stdout
    assert not [mark for mark in CREDENTIAL_MARKS if mark in done.stdout]


@pytest.mark.parametrize("over", range(17))
def test_the_progress_of_any_sixteen_jobs_fits_a_terminal(over):
    # As many statuses as possible, each of as many jobs as possible.
    rest = 16 - over
    rows = [{"status": {"S": STATUSES[n % len(STATUSES)]}} for n in range(rest)]
    told = so_far(119.9, over, 16, rows)
    assert f"{over} of 16 " in told
    assert len(told) <= COLUMNS


@pytest.mark.parametrize(
    ("asked", "row", "execution", "codepipeline", "way", "objection"),
    [
        ("Succeed", "Succeeded", "SUCCEEDED", "Succeeded", WAY, None),
        (
            "Succeed",
            "Failed",
            "FAILED",
            "Failed",
            WAY,
            "A was asked to Succeed, but the table says ",
        ),
        ("Fail", "Failed", "FAILED", "InProgress", WAY, "CodePipeline InProgress"),
        ("Hang", "TimedOut", "SUCCEEDED", "Failed", WAY, "the execution SUCCEEDED"),
        ("Succeed", "Succeeded", "SUCCEEDED", "Succeeded", ("Created",), "took another path"),
    ],
)
def test_the_demo_reports_disagreements(asked, row, execution, codepipeline, way, objection):
    comparison = Comparison("A", asked, row, execution, codepipeline, (*way, row))
    assert objection in comparison.objection() if objection else comparison.objection() == ""


@pytest.mark.slow
def test_make_local_serves_what_each_command_asks_for(astray, blocks, tmp_path):
    expected: list[dict[str, str]] = [
        {},
        {"ActionTypes": f"{CUSTOM_ACTION_TYPE},Custom/Test/MyTool/1", "MaxJobsInFlight": "3"},
        {"PollSchedule": "rate(5 minutes)", "MaxJobsInFlight": "3"},
    ]
    for command, asked in zip(blocks.take().splitlines(), expected, strict=True):
        environment = {**typed(tmp_path, astray.environment), "PORT": "0"}
        shell = ("/bin/sh", "-c", f"exec {command}")
        with programs.start(*shell, env=environment, start_new_session=True) as process:
            try:
                said = said_until(process, "Ctrl-C")
                (endpoint,) = re.findall(rf"Serving on (\S+) \(\d+, {REGION}\)", said)
                (stack,) = client(endpoint, "cloudformation").describe_stacks()["Stacks"]
                (pipeline,) = client(endpoint, "codepipeline").list_pipelines()["pipelines"]
            finally:
                os.killpg(process.pid, signal.SIGTERM)
        given = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
        assert asked.items() <= given.items()
        assert (stack["StackName"], pipeline["name"]) == ("acknowledger", "sample")
        assert [each for each in stack["Outputs"] if each["OutputValue"] not in said] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [
        lambda make: make.terminate(),
        # make, which a shell starts with SIGINT ignored, does not pass it on.
        lambda make: os.killpg(make.pid, signal.SIGINT),
    ],
    ids=["SIGTERM to make", "SIGINT to its processes"],
)
def test_make_local_in_the_background_has_a_role_for_pipelines_and_leaves_no_server(stop, astray):
    command = ["make", "-o", ".venv/installed", "local", "EMPTY=1", "PORT=0"]
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with programs.start(*command, env=astray.environment, start_new_session=True) as make:
        assert make.stdout
        # A make that another make has started first prints its directory.
        url = re.compile(r"http://([\d.]+):(\d+)")
        found = next(found for line in make.stdout if (found := url.search(line)))
        address = (found[1], int(found[2]))
        assert client(found[0], "cloudformation").describe_stacks()["Stacks"] == []
        assert client(found[0], "iam").get_role(RoleName="pipeline")
        stop(make)
        make.wait(timeout=300)

    def refuses() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(address) != 0

    wait_for(refuses, "the server to end", seconds=60)
