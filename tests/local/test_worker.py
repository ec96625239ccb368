"""The user's own worker, in a process that restarts."""

import os
import signal
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from local import watched
from local.worker import WorkerProcess
from tests.support import wait_for

SECONDS = 60


def client(service: str) -> Any:
    answers = MagicMock()
    answers.create_queue.return_value = {"QueueUrl": "http://127.0.0.1:0/queue"}
    answers.get_queue_attributes.return_value = {"Attributes": {"QueueArn": "arn"}}
    return answers


def begin(name: str, source: str, said: list[str], **settings: Any) -> WorkerProcess:
    """Start the worker of a module with this source, which keeps what it says."""
    Path(f"{name}.py").write_text(source)
    worker = WorkerProcess(f"{name}:handler", client, "bus", {}, say=said.append, **settings)
    worker.start()
    return worker


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_worker_that_ends_restarts_after_increasing_pauses(folder):
    said: list[str] = []
    pauses = (0, 0.01, 0.02)
    worker = begin("dying", "import os; os._exit(3)", said, pauses=pauses)
    wait_for(lambda: len(said) >= 8, "the worker to end four times", SECONDS)
    worker.stop()
    told = "The worker dying:handler ended (status 3). It "
    assert said[0:8:2] == [f"{told}restarts in {each} s." for each in (*pauses, 0.02)]
    assert all(each.startswith(f"{told}restarted at ") for each in said[1:8:2])


def test_a_killed_worker_restarts_and_a_stopped_worker_does_not(folder):
    source = "import os, time\nopen(f'{os.getpid()}.pid', 'w').close()\ntime.sleep(600)\n"
    said: list[str] = []
    worker = begin("waiting", source, said, pauses=(0,))
    (first,) = wait_for(lambda: list(folder.glob("*.pid")), "the worker to start", SECONDS)
    os.kill(int(first.stem), signal.SIGKILL)
    wait_for(lambda: len(list(folder.glob("*.pid"))) == 2, "the worker to restart", SECONDS)
    assert said[0].startswith("The worker waiting:handler ended (Killed). ")
    worker.stop()
    assert len(said) == 2


def test_the_log_of_a_worker_is_printed_and_kept(folder, capsys):
    line = "2026-01-01 10:00:00,000 INFO job one: Success"
    source = f"import sys; sys.exit(print({line!r}, file=sys.stderr))"
    worker = begin("saying", source, [], pauses=(600,))
    assert wait_for(lambda: watched.worker.log("one"), "the log", SECONDS) == [line]
    worker.stop()
    assert line in capsys.readouterr().err
    assert watched.worker.kind == "yours"


@pytest.mark.slow
def test_broken_code_of_a_worker_is_reported_until_it_is_fixed(folder):
    whole = "from acknowledger_worker import Worker\nhandler = Worker(print)\n"
    said: list[str] = []
    worker = begin("edited", whole, said)
    wait_for(lambda: watched.worker.log("edited:handler"), "the worker to take jobs", SECONDS)
    (folder / "edited.py").write_text("def (")
    wait_for(lambda: said, "the error to be reported", SECONDS)
    wrong = "edited:handler takes no jobs until the code changes: edited can't be imported: Syntax"
    assert said[0].startswith(wrong)
    assert watched.worker.ended == said[0]
    (folder / "edited.py").write_text(whole)
    wait_for(lambda: said[1:] == [""], "the end of the error to be reported", SECONDS)
    assert watched.worker.ended == ""
    worker.stop()


def test_a_worker_that_ignores_sigterm_is_killed(folder):
    source = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("deaf.pid", "w").close()
time.sleep(600)
"""
    worker = begin("deaf", source, [], stop_seconds=0.1)
    wait_for((folder / "deaf.pid").exists, "the worker to start", SECONDS)
    worker.stop()


def test_the_log_of_a_job_has_what_its_function_logs(folder):
    source = """
import logging, pathlib
from acknowledger_worker import Runner, Worker
from acknowledger_worker.testing import run
def function(job):
    logging.getLogger("mine").info("secret %s", job.secret("Password"))
    pathlib.Path("job").write_text(job.id)
def take(runner):
    run(function, secrets={"Password": "a-password"})
    runner.stop()
Runner._take = take
handler = Worker(function)
"""
    said: list[str] = []
    worker = begin("talking", source, said, pauses=(600,), stop_seconds=0)
    wait_for(lambda: said, "the worker to end", SECONDS)
    worker.stop()
    job_id = (folder / "job").read_text()
    shown = [line.partition(" INFO ")[2] for line in watched.worker.log(job_id)]
    assert f"job {job_id}: secret ****" in shown
