"""Runs the AWS CLI in this process, many times: starting it takes longer than the call.

One JSON line in is the command's arguments; one line out is {"code", "stdout", "stderr"}.
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

# Each call has a session of its own, which would read the services' models, megabytes of JSON, again.
session = clidriver.botocore.session
session.create_loader = functools.cache(session.create_loader)

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    # A command may also write to /dev/stdout.
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
