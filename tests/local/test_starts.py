"""With a wrong setting, a command ends at once, with one line, status 2 and nothing served."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import MagicMock, patch

import pytest
from botocore.exceptions import ClientError

from local import acknowledger, arguments, serve
from local.arguments import Serving, WrongStartError
from local.aws.address import AddressError, listen
from local.aws.parameters import split
from local.aws.server import LocalCloud
from moto_codepipeline import backend
from moto_codepipeline.probe import __main__ as probe
from tests.local.fixtures import programs
from tests.support import ROOT, wait_for
from tools import release, smoke

pytestmark = pytest.mark.sampled(3)

POLLS = "PollSchedule must be one of AllowedValues: [rate(1 minute), rate(5 minutes), "
PORT = "PORT must be a whole number from 0 to 65535, not "
HOST = "HOST must be an address of this machine, not "
WRONG = [
    ("--parameters=Nope=1", "PARAMETERS: the template has no parameter Nope; it has ActionTypes, "),
    ("--parameters=Nope", "PARAMETERS must be written as Name=value, not 'Nope'"),
    ("--parameters==1", "PARAMETERS must be written as Name=value, not '=1'"),
    ("--parameters=Architecture='arm64", "PARAMETERS has a quote that is not closed"),
    (
        "--parameters=ActionTypes=Foo",
        "PARAMETERS: ActionTypes must be Owner/Category/Provider/Version, for example "
        "Custom/Build/MyTool/1; it is 'Foo'",
    ),
    *(
        (
            f"--parameters=JobTimeoutSeconds={value}",
            f"PARAMETERS: JobTimeoutSeconds must be {allowed}; it is '{value}'",
        )
        for value, allowed in (
            *((each, "a number") for each in ("abc", "nan", "")),
            ("0", "a number not less than 1"),
            ("86401", "a number not greater than 86400"),
        )
    ),
    ("--parameters=LogRetentionDays=2", "LogRetentionDays must be one of AllowedValues: [1, 3, 5"),
    ("--parameters=PollSchedule=5 minutes", f"{POLLS}rate(15 minutes), rate(1 hour), rate(1 day)]"),
    ("--parameters=PollSchedule=cron(0 12 * * ?)", f"{POLLS}"),
    (
        "--parameters=MaxJobsInFlight=1 MaxJobsInFlight=2",
        "PARAMETERS: MaxJobsInFlight is given twice",
    ),
    *((f"--port={each}", f"{PORT}'{each}'") for each in ("99999", "abc", "-1", "")),
    ("--host=300.1.1.1", f"{HOST}'300.1.1.1'; 127.0.0.1"),
    *(
        (f"--host={each}", f"{HOST}'{each}'")
        for each in ("192.0.2.1", "", "[::1]", "a..b", "*", "fe80::1%lo")
    ),
    ("--nope", "unrecognized arguments: --nope"),
    ("--empty --parameters=Architecture=arm64", "EMPTY can't be combined with PARAMETERS "),
    ("--empty --worker=hello:handler", "EMPTY can't be combined with PARAMETERS or WORKER"),
]


def asked(command: str) -> Serving:
    """What a command line asks to serve; it is split at the spaces before `--`."""
    words = re.split(r" (?=--)", command)
    return arguments.serving(arguments.parser().parse_args(["serve", *words]))


@pytest.mark.parametrize(("command", "said"), WRONG)
def test_a_wrong_command_line_is_reported_in_one_line(command, said):
    with pytest.raises(WrongStartError) as caught:
        asked(command)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("behaviour_file", "nope.toml", "BEHAVIOUR_FILE: There is no file nope.toml"),
        ("behaviour", ["nope=1"], "BEHAVIOUR: There is no switch 'nope'; there are "),
        (
            *("behaviour", ["acknowledge_seconds=soon"]),
            'BEHAVIOUR: acknowledge_seconds must be a number from 0, not "soon"',
        ),
        (
            *("parameters", {"MaxJobsInFlight": "1,2,3"}),
            "PARAMETERS: MaxJobsInFlight must be one whole number for all action types or one for "
            "each",
        ),
        (
            *("parameters", {"Queries": "Custom/Build/NotServed/1?Project=x"}),
            "PARAMETERS: Queries: Custom/Build/NotServed/1 is not in ActionTypes",
        ),
        (
            *("parameters", {"JobTimeoutSeconds": "1.5"}),
            "PARAMETERS: JobTimeoutSeconds must be a whole number of seconds",
        ),
    ],
)
def test_settings_that_the_parts_refuse_are_reported_before_the_start(setting, value, said):
    with pytest.raises(WrongStartError) as caught:
        serve.main(Serving(port=0, **{setting: value}))
    assert said in str(caught.value)


def test_the_stack_behaves_as_the_file_of_answers_says_unless_told_otherwise(tmp_path, monkeypatch):
    path = tmp_path / "behaviour.toml"
    path.write_text("[switches]\nthrottle = 0\nacknowledge_seconds = 45\nbatch_cap = 7\n")
    found: list[tuple[object, ...]] = []

    def look(cloud: LocalCloud, _: str) -> None:
        behaviour = backend(cloud.account_id, cloud.region).behaviour
        found.append((behaviour.throttle, behaviour.acknowledge_seconds, behaviour.batch_cap))
        with pytest.raises(ClientError, match="ThrottlingException"):
            cloud.client("codepipeline").get_job_details(jobId=str(uuid.uuid4()))

    monkeypatch.setattr(serve, "print_address", look)
    monkeypatch.setattr(serve, "until_interrupted", MagicMock)
    given = {"behaviour_file": str(path), "behaviour": ["batch_cap=8"]}
    assert serve.main(Serving(port=0, empty=True, **given)) == 0  # type: ignore[arg-type]
    assert found == [(0, 45, 8)]


def test_an_error_of_the_services_is_reported_too(monkeypatch):
    def refuse(**_: object) -> None:
        refused = {"Error": {"Code": "ValidationError", "Message": "rate(x) is not valid"}}
        raise ClientError(refused, "CreateStack")

    monkeypatch.setattr(acknowledger, "running", refuse)
    monkeypatch.setattr(serve, "until_interrupted", SimpleQueue)
    message = r"^The stack can't be created: rate\(x\) is not valid$"
    with pytest.raises(WrongStartError, match=message):
        serve.main(Serving(port=0, parameters={"PollSchedule": "rate(x)"}))


@pytest.fixture
def signals() -> Iterator[None]:
    """Restores the signal handlers afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_serving_and_the_next_one_the_process(number):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    over = serve.until_interrupted()
    signal.raise_signal(number)
    assert over.get(timeout=60) == number
    assert signal.getsignal(number) is signal.SIG_DFL


#: The signal comes at each line of Python that the wait runs, or else a moment later.
INTERRUPTED = """
import os, signal, sys, threading
from local import serve

def trace(frame, event, _):
    global lines
    if event == "line" and frame.f_code.co_filename == threading.__file__:
        lines += 1
        if lines == moment:
            signal.raise_signal(signal.SIGTERM)
    return trace

for moment in range(1, 40):
    lines = 0
    over = serve.until_interrupted()
    later = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGTERM])
    later.start()
    sys.settrace(trace)
    WAIT
    sys.settrace(None)
    later.cancel()
    later.join()
"""


def test_a_signal_ends_serving_at_any_moment_of_the_wait():
    wait = re.search(r"^ +(over\.\w+\(\))$", Path(serve.__file__).read_text(), re.MULTILINE)
    assert wait
    program = INTERRUPTED.replace("WAIT", wait[1])
    programs.output_of(sys.executable, "-c", program)


@pytest.mark.usefixtures("signals")
def test_under_nohup_serving_continues_without_a_terminal():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    serve.until_interrupted()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_serving_continues_if_files_for_sam_cannot_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".aws-sam").touch()
    serve.write_sam_environment(MagicMock(endpoint_url="http://127.0.0.1:1"), MagicMock())
    assert capsys.readouterr().out.startswith("  could not write .aws-sam/local-1/env.json (")


def test_a_port_in_use_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WrongStartError, match=f"PORT {port} is in use on 127.0.0.1"):
            asked(f"--port={port}")


def test_a_privileged_port_is_reported(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(AddressError, match="PORT 80 needs root: choose 1024 or higher"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_an_unknown_region_is_reported(name):
    with patch.dict(os.environ, {name: "mars-1"}):
        with pytest.raises(WrongStartError, match=f"{name} must be a region .*, not 'mars-1'"):
            arguments.check_region()
        os.environ[name] = "us-gov-west-1"
        arguments.check_region()


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: arguments.whole("JOBS", "0", 1), "JOBS must be a whole number of at least 1"),
        (lambda: arguments.whole("SEED", "1.5", 0), "SEED must be a whole number"),
        (lambda: arguments.share("RATE", "1.1"), "RATE must be a number from 0 to 1"),
        (lambda: arguments.share("RATE", "often"), "RATE must be a number from 0 to 1"),
    ],
)
def test_a_number_on_the_command_line_is_checked(check, said):
    with pytest.raises(WrongStartError, match=said):
        check()


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1", 1), (".1", 0.1), ("0.25", 0.25)])
def test_a_number_from_0_to_1_is_parsed(text, number):
    assert arguments.share("RATE", text) == number


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", []),
        ("A=1", ["A=1"]),
        (" A=1  B=2\tC= ", ["A=1", "B=2", "C="]),
        ("A=rate(5 minutes) B=3", ["A=rate(5 minutes)", "B=3"]),
        ("A=cron(0 12 * * ? *)", ["A=cron(0 12 * * ? *)"]),
        ("'A=x y=z' B=\"1 2\"", ["A=x y=z", "B=1 2"]),
    ],
)
def test_values_may_have_spaces(text, settings):
    assert split(text) == settings


def test_valid_settings_are_accepted():
    command = "--port=0 --behaviour=batch_cap=3 --parameters=PollSchedule=rate(5 minutes) MaxJobsInFlight=3"
    assert asked(command) == Serving(
        port=0,
        parameters={"PollSchedule": "rate(5 minutes)", "MaxJobsInFlight": "3"},
        behaviour=["batch_cap=3"],
    )


def test_no_worker_can_be_asked_for():
    assert asked("--no-worker").worker is False


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os\nos.write(2, bytes([255, 10]))\nos._exit(1)", "\N{REPLACEMENT CHARACTER}"),
        ("import os\nos._exit(3)", "odd:handler ended its process with status 3"),
    ],
)
def test_a_worker_that_ends_its_process_is_reported(source, said, tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WrongStartError, match=f"^WORKER: .*{said}"):
        arguments.check_worker("odd:handler")


def test_processes_of_a_broken_worker_are_not_waited_for(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    (tmp_path / "odd.py").write_text(
        "import pathlib, subprocess\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(subprocess.Popen(['sleep', '600']).pid))\n"
        "1 / 0\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    try:
        with pytest.raises(WrongStartError, match="division by zero"):
            arguments.check_worker("odd:handler")
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


# -- As the user starts it ------------------------------------------------------------------------


def make(*given: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `make` without installing anything."""
    command = ["make", "--no-print-directory", "-o", ".venv/installed", *given]
    ours = programs.without_make(os.environ)
    return programs.run(*command, environment=ours | environment)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["PARAMETERS=PollSchedule=rate(5 minutes) Nope=1"],
            "PARAMETERS: the template has no parameter Nope",
        ),
        (["BEHAVIOUR=it's"], "BEHAVIOUR has a quote that is not closed: it's"),
        (['HOST=a"b'], "HOST must be an address of this machine, not 'a\"b'"),
        (["BEHAVIOUR_FILE=it's.toml"], "BEHAVIOUR_FILE: There is no file it's.toml"),
        (["WORKER=nothere:handler"], "WORKER: there is no module nothere"),
        (["WORKER=--check"], "WORKER: '--check' must be module:name, such as hello:handler"),
    ],
)
def test_make_local_reports_a_wrong_setting_and_ends(given, said):
    done = make("local", "PORT=0", *given, PYTHONSAFEPATH="1")
    mine, *of_make = done.stderr.splitlines()
    assert mine.startswith(said)
    assert len(of_make) == 1  # make's own report of status 2
    assert "Error 2" in of_make[0]
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "setting", "said"),
    [
        (
            "probe",
            "REGION=nowhere",
            "--region must be a region, such as eu-west-1, not 'nowhere'\n",
        ),
        (
            "smoke",
            "REGION=nowhere",
            "--region must be a region, such as eu-west-1, not 'nowhere'\n",
        ),
        ("chaos", "RATE=2", "RATE must be a number from 0 to 1, not '2'\nmake: "),
        ("bench", "BENCH=nope", "BENCH: nope must be one of cold_start, "),
    ],
)
def test_make_reports_a_wrong_setting(target, setting, said):
    assert make(target, setting).stderr.startswith(said)


PROBE = {
    "region": ("REGION", "eu-west-1"),
    "endpoint_url": ("ENDPOINT", "http://127.0.0.1:9"),
    "output": ("OUTPUT", "my answers.toml"),
    "only": ("ONLY", "texts throttle"),
    "prefix": ("PREFIX", "mine"),
    "partner_type": ("PARTNER_TYPE", "Build/mine-x/1"),
}
SMOKE = {
    "stack": ("STACK", "mine"),
    "region": ("REGION", "eu-west-1"),
    "endpoint_url": ("ENDPOINT", "http://127.0.0.1:9"),
    "action_type": ("ACTION_TYPE", "Custom/Build/Mine/1"),
    "seconds": ("SECONDS", "30.5"),
}


@pytest.mark.parametrize("on", ["0", "1"])
@pytest.mark.parametrize(
    ("target", "command", "texts", "switches"),
    [
        ("probe", probe.parser(), PROBE, ("long", "again", "clean", "yes")),
        ("smoke", smoke.parser(), SMOKE, ("yes",)),
    ],
    ids=["probe", "smoke"],
)
def test_make_takes_every_option_of_the_command(target, command, texts, switches, on):
    given = [f"{name}={value}" for name, value in texts.values()]
    given += [f"{each.upper()}={on}" for each in switches]
    done = make(target, "--dry-run", *given)
    _, _, after = done.stdout.replace("\\\n", " ").partition(" -m ")
    options = vars(command.parse_args(shlex.split(after)[1:]))
    wanted = {name: value for name, (_, value) in texts.items()}
    wanted |= dict.fromkeys(switches, str(on == "1"))
    assert {name: str(value) for name, value in options.items()} == wanted


@pytest.mark.parametrize(
    "phase", ["settings", "imports", pytest.param("stack", marks=pytest.mark.slow)]
)
def test_ctrl_c_during_the_start_ends_it_without_a_traceback(phase):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-X", "importtime", "-m", "local", "serve", f"--port={port}"]
    with programs.start(*command, stderr=subprocess.PIPE) as process:
        assert process.stderr
        module = {"settings": "botocore.loaders", "imports": "moto.core", "stack": "local.serve"}
        while module[phase] not in (line := process.stderr.readline()):
            assert line, "it ended by itself"
        if phase == "stack":
            wait_for(lambda: listens(port), "it to listen", 60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=180)
    assert "Traceback" not in said
    assert process.returncode in ((0, 130) if phase == "stack" else (-signal.SIGINT, 130, 0))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_ctrl_c_ends_the_demo_without_a_traceback():
    demo = (sys.executable, "-u", "-m", "local", "demo")
    with programs.start(*demo, stderr=subprocess.PIPE) as process:
        assert process.stdout
        while "Dispatched" not in (line := process.stdout.readline()):
            assert line, "it ended by itself"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=180)
    assert (process.returncode, said) == (130, "")


def test_only_the_first_run_installs_and_it_first_says_what_and_for_how_long(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    packages = [f"packages/{name}/pyproject.toml" for name in release.PACKAGES]
    for name in ("requirements/local.txt", "requirements/dev.txt", *packages):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho "python $*"\n'
        'case "$*" in "-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; esac\n'
    )
    python.chmod(0o755)
    command = ["make", "--no-print-directory", f"PYTHON={python}", "demo"]
    ours = programs.without_make(os.environ)
    first, second = (
        programs.output_of(*command, folder=tmp_path, environment=ours) for _ in range(2)
    )
    _, told, *rest = first.splitlines()
    assert told == (
        "Installing what the local stack and the tests need into .venv, which takes about a minute …"
    )
    [installed] = (line for line in rest if "requirements" in line)
    assert "-m pip" in installed
    assert installed.endswith(" -r requirements/local.txt -r requirements/dev.txt")
    assert rest[-1] == second.rstrip() == "python -m local demo"


def test_help_fits_the_terminal_and_has_every_target():
    said = make("help").stdout
    assert max(map(len, said.splitlines())) <= 80
    (phony,) = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^  ([\w-]+)", said, re.MULTILINE)) == {*phony.split()} - {"help"}
    users, contributors = said.split("To work on it:")
    assert "\n  local " in users
    assert "\n  test " in contributors
