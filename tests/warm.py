"""Runs a program again and again, in forks of a process that has imported its modules.

Importing them takes longer than running it (seconds for the SAM CLI). Run as a script, this is that
process: each line of standard input is a program with its arguments, and each line of output is its
result: exit status, standard output and standard error.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 300

Run = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def warm(
    python: str | Path, modules: list[str], environment: dict[str, str], folder: Path
) -> Iterator[Run]:
    """A function that runs a Python program, by its path, with arguments."""
    process = subprocess.Popen(
        [str(python), __file__, *modules],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        assert process.stdin
        assert process.stdout
        timer = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            print(json.dumps(command), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        finally:
            timer.cancel()
        assert answer, f"{command} did not end within {SECONDS} seconds"
        return subprocess.CompletedProcess(command, *json.loads(answer))

    with process:
        yield run


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    answers = sys.stdout
    for line in sys.stdin:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            if not (pid := os.fork()):
                with Path(os.devnull).open() as nothing:
                    for number, file in enumerate((nothing, output, errors)):
                        os.dup2(file.fileno(), number)
                sys.argv = json.loads(line)
                runpy.run_path(sys.argv[0], run_name="__main__")
                sys.exit()
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            said = []
            for file in (output, errors):
                file.seek(0)
                said.append(file.read().decode())
            print(json.dumps((status, *said)), file=answers, flush=True)


if __name__ == "__main__":
    main()
