"""Runs the documentation's commands as written, with bash and the AWS CLI."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance import clients, installs
from tests.integration.conftest import World
from tests.support import ROOT

# Starting the AWS CLI for each command would take most of the time.
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
    """The environment variables for a shell with the AWS CLI, in a folder like a checkout.

    The CLI is installed from PyPI at its first use, which needs the internet.
    """
    try:
        python = installs.aws_cli() / "python"
    except installs.NotInstalled as error:
        pytest.skip(f"the AWS CLI cannot be installed: {error}")
    folder = tmp_path_factory.mktemp("bin")
    (folder / "aws").write_text(SHIM)
    (folder / "aws").chmod(0o755)
    checkout = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        (checkout / path.name).symlink_to(path)
    with ExitStack() as started:
        inside = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(checkout)]
        program = [*inside, str(python), str(Path(installs.HERE, "awscli", "calls.py"))]
        environment = clients.cli_environment(running.cloud.region)
        environment["AWS_ENDPOINT_URL"] = running.cloud.endpoint_url
        ask = started.enter_context(clients._lines(program, environment))

        class Call(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                arguments = json.loads(self.rfile.readline())
                self.wfile.write(f"{json.dumps(ask(arguments))}\n".encode())

        socket = str(folder / "socket")
        server = started.enter_context(socketserver.UnixStreamServer(socket, Call))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.callback(server.shutdown)
        yield {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "AWS_CLI_SOCKET": socket,
            "CHECKOUT": str(checkout),
        }


@dataclass
class Shell:
    """Runs blocks of commands, after the setup, in a folder like a checkout."""

    world: World
    programs: dict[str, str]
    set_up: str = ""

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
            ["/bin/bash", "-c", "\n".join(["set -euo pipefail", self.set_up, *blocks])],
            env=environment,
            cwd=self.programs["CHECKOUT"],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout
