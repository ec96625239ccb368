"""`python -m acknowledger_worker`: if a worker can't be loaded, one line says why."""

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import acknowledger_worker
from acknowledger_worker.__main__ import load, main
from acknowledger_worker.worker import Worker
from doubles import wait_for

MODULE = """
from acknowledger_worker import Worker
def function(job): ...
handler = Worker(function)
"""
README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = re.findall(r"^```sh\n(python .*?)^```", README, re.DOTALL | re.MULTILINE)
_names = (f"a_worker_{number}" for number in itertools.count())


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source):
        name = next(_names)
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return make


def environment():
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(acknowledger_worker.__file__).parents[1]),
        "QUEUE_URL": "url",
    }


def run(place, folder, **variables):
    """The command for a worker in this folder, at its end; None removes a variable."""
    return subprocess.run(
        [sys.executable, "-m", "acknowledger_worker", place],
        cwd=folder,
        env={name: text for name, text in (environment() | variables).items() if text is not None},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_worker_is_found(module):
    name = module(MODULE)
    assert isinstance(load(f"{name}:handler"), Worker)
    main([f"{name}:handler", "--check"])


@pytest.mark.parametrize(
    ("place", "said"),
    [(place, "must be module:name") for place in ("", "hello", "hello:", ":handler", ".a:handler")]
    + [
        ("nothere:handler", "^there is no module nothere$"),
        ("nothere.either:handler", "^there is no module nothere$"),
        ("json.nothere:handler", r"^there is no module json\.nothere$"),
    ],
)
def test_the_place_must_be_a_name_in_a_module(place, said):
    with pytest.raises(LookupError, match=said):
        load(place)


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        (MODULE, "nothing", "MODULE has no nothing"),
        (MODULE, "function", r"MODULE:function is not a Worker: write function = Worker\("),
        ("\n1 / 0", "handler", r"ZeroDivisionError: division by zero \(.*MODULE.py, line 2\)$"),
        ("import nothere", "handler", "MODULE can't be imported: ModuleNotFoundError: No module n"),
        ("import os; os.nothing", "handler", "MODULE can't be imported: AttributeError: module 'o"),
        ("\n\ndef (", "handler", r"imported: SyntaxError: .* \(.*MODULE.py, line 3\)$"),
        ("raise SystemExit(3)", "handler", r"MODULE can't be imported: SystemExit: 3 \("),
        ("raise ValueError('no\\nway')", "handler", "MODULE can't be imported: ValueError: no way"),
    ],
)
def test_a_problem_is_reported_in_one_line_with_its_place(module, source, name, said, capsys):
    found = module(source)
    with pytest.raises(SystemExit) as ended:
        main([f"{found}:{name}", "--check"])
    assert ended.value.code == 2
    output, errors = capsys.readouterr()
    assert re.search(said.replace("MODULE", found), errors)
    assert (output, errors.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nope:nope", "there is no module nope\n"),
        ("good:handler", "--queue-url or QUEUE_URL is needed\n"),
    ],
)
def test_the_command_without_a_queue_reports_the_workers_problem_first(tmp_path, place, said):
    (tmp_path / "good.py").write_text(MODULE)
    done = run(place, tmp_path, QUEUE_URL=None)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


RUNNING = """
import pathlib
from acknowledger_worker import Runner
Runner._take = lambda runner: pathlib.Path("started").write_text("{}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_the_readmes_command_runs_a_worker_until_sigterm(command, tmp_path):
    started = tmp_path / "started"
    (tmp_path / "module.py").write_text(RUNNING.format("it") + MODULE + "worker = handler\n")
    python, *arguments = shlex.split(command)
    assert python == "python"
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
    ) as process:
        wait_for(started.exists, "a start", seconds=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.slow
def test_a_worker_restarts_when_its_code_changes(tmp_path):
    started, code = tmp_path / "started", tmp_path / "hello.py"
    code.write_text(RUNNING.format("first") + MODULE)
    command = [sys.executable, "-m", "acknowledger_worker", "hello:handler", "--reload"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: started.exists() and started.read_text() == "first", "a start", seconds=60)
        code.write_text("def (")
        assert process.stderr
        assert process.stderr.readline().endswith(" INFO hello:handler takes jobs\n")
        waits = (
            "hello:handler takes no jobs until the code changes: hello can't be imported: Syntax"
        )
        assert waits in process.stderr.readline()
        code.write_text(RUNNING.format("second") + MODULE)
        wait_for(lambda: started.read_text() == "second", "another start", seconds=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


LOGGING = """
import logging
from acknowledger_worker import Runner, Worker
from acknowledger_worker.testing import run

def function(job):
    logging.getLogger("mine").info("the password is %s", job.secret("Password"))
    logging.getLogger("mine").info("job %s: named already", job.id)
    try:
        1 / 0
    except ArithmeticError:
        logging.getLogger("mine").exception("broken")

def take(runner):
    run(function, secrets={"Password": "a-password-to-hide"})
    logging.getLogger("mine").info("no job")
    runner.stop()

Runner._take = take
handler = Worker(function)
"""


def test_what_a_function_logs_names_its_job_and_hides_its_secrets(tmp_path):
    (tmp_path / "logs.py").write_text(LOGGING)
    done = run("logs:handler", tmp_path)
    assert done.returncode == 0, done.stderr
    first, _, trace = done.stderr.partition("\tTraceback ")
    said = [line.split(" ", 2)[2] for line in first.splitlines()]
    [job_id] = {text for line in said for text in re.findall(r"job ([0-9a-f-]{36})", line)}
    assert said == [
        "INFO logs:handler takes jobs",
        f"WARNING job {job_id}: a secret is masked in the log",
        f"INFO job {job_id}: the password is ****",
        f"INFO job {job_id}: named already",
        f"ERROR job {job_id}: broken",
    ]
    assert trace.splitlines()[-2] == "\tZeroDivisionError: division by zero"
    assert trace.endswith(" INFO no job\n")
