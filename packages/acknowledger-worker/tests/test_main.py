"""`python -m acknowledger_worker`, as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import acknowledger_worker
from tests.support import wait_for

PACKAGE = str(Path(acknowledger_worker.__file__).parents[1])
MODULES = {
    "good.py": "from acknowledger_worker import Worker\nhandler = Worker(print)\nother = 1\n",
    "broken.py": "import good\n\nx = nothing\n",
    "no_python.py": "def f(:\n",
    "leaves.py": "import sys\nsys.exit(3)\n",
}


def start(folder, *arguments):
    for name, content in MODULES.items():
        (folder / name).write_text(content)
    return subprocess.Popen(
        [sys.executable, "-m", "acknowledger_worker", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": PACKAGE},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["nope:nope"],
            "module nope can't be imported: ModuleNotFoundError: No module named 'nope'",
        ),
        (["nope"], "'nope' must be module:name"),
        (["good:nope"], "good:nope is not there"),
        (["good:other"], "good:other is no Worker"),
        (["good:handler"], "--queue-url or QUEUE_URL is needed"),
        (
            ["good:handler", "--jobs-at-once", "x"],
            "argument --jobs-at-once: invalid int value: 'x'",
        ),
        ([], "the following arguments are required: worker"),
        (
            ["broken:handler"],
            "module broken can't be imported: NameError: name 'nothing' is not defined ({folder}/broken.py, line 3)",
        ),
        (
            ["no_python:handler"],
            "module no_python can't be imported: SyntaxError: invalid syntax (no_python.py, line 1)",
        ),
        (
            ["leaves:handler"],
            "module leaves can't be imported: SystemExit: 3 ({folder}/leaves.py, line 2)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, arguments, words):
    with start(tmp_path, *arguments) as process:
        assert (
            process.communicate(timeout=60)[1]
            == f"acknowledger_worker: {words.format(folder=tmp_path)}\n"
        )
    assert process.returncode == 2


def test_a_worker_is_started_anew_when_its_code_changes(tmp_path):
    started = tmp_path / "started"
    code = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
        "pathlib.Path('started').write_text('{}')\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "mine.py").write_text(code.format("first"))
    with start(tmp_path, "mine:handler", "--reload") as process:
        wait_for(lambda: started.exists() and started.read_text() == "first", "a start", seconds=30)
        (tmp_path / "mine.py").write_text("oh no")
        assert process.stderr
        assert re.search("mine can't be imported: SyntaxError", process.stderr.readline())
        (tmp_path / "mine.py").write_text(code.format("second"))
        wait_for(lambda: started.read_text() == "second", "another start", seconds=30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
