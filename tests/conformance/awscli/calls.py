"""Runs the AWS CLI in this process, over and over: starting it anew takes longer than the call.

One JSON line in is the command's arguments; one line out is {"code", "stdout", "stderr"}.
"""

import contextlib
import functools
import io
import json
import sys

from awscli import clidriver

# Each call has a session of its own, which would read the services' models, megabytes of JSON, anew.
session = clidriver.botocore.session
session.create_loader = functools.cache(session.create_loader)

answers = sys.stdout
for line in sys.stdin:
    with (
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        try:
            code = clidriver.create_clidriver().main(json.loads(line))
        except SystemExit as wrong_usage:
            code = wrong_usage.code
    answer = {"code": code, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}
    print(json.dumps(answer), file=answers, flush=True)
