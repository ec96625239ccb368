"""Runs the AWS CLI many times in this process, because starting it takes longer than a call.

Each input line has a command's arguments; each output line is {"code", "stdout", "stderr"}: JSON.
"""

import contextlib
import functools
import io
import json
import os
import sys
import tempfile
from pathlib import Path

from awscli import clidriver

# Each call has its own session, which would read the services' models, megabytes of JSON, again.
session = clidriver.botocore.session
session.create_loader = functools.cache(session.create_loader)

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    # A command can also write to /dev/stdout.
    with (
        tempfile.NamedTemporaryFile("r+") as stdout,
        Path(stdout.name).open("a") as appending,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        os.dup2(appending.fileno(), 1)
        try:
            code = clidriver.create_clidriver().main(json.loads(line))
        except SystemExit as wrong_usage:
            code = wrong_usage.code
        sys.stdout.flush()
        answer = {"code": code, "stdout": stdout.read(), "stderr": stderr.getvalue()}
    print(json.dumps(answer), file=answers, flush=True)
