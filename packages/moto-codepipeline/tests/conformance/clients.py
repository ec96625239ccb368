"""The clients: each takes an operation with its parameters, and returns the response."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from codepipeline_fixtures import client
from conformance import installs

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_PAGER": "",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "HOME": os.devnull,
}


@dataclass
class Answer:
    """A call's response: an output, or an error's code and message.

    ``status`` is the HTTP status, if the client returns it.
    """

    output: dict[str, Any] = field(default_factory=dict)
    code: str | None = None
    message: str = ""
    status: int | None = None


_CLI_ERROR = re.compile(
    r"An error occurred \((\w+)\) when calling the \w+ operation(?: \([^)]*\))?: (.*)"
)

Call = Callable[[str, dict[str, Any]], Answer]


@contextmanager
def boto3_client(endpoint_url: str, region: str) -> Iterator[Call]:
    """boto3, which does not check parameters here, so that the service does."""
    api = client("codepipeline", endpoint_url, region)

    def call(operation: str, params: dict[str, Any]) -> Answer:
        try:
            output = getattr(api, xform_name(operation))(**params)
        except ClientError as error:
            found = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return Answer(code=found["Code"], message=found["Message"], status=status)
        return Answer(output, status=output.pop("ResponseMetadata")["HTTPStatusCode"])

    yield call


@contextmanager
def aws_cli(endpoint_url: str, region: str) -> Iterator[Call]:
    """The AWS CLI, with one option for each parameter. It does not show the HTTP status."""
    python = installs.aws_cli() / "python"
    program = Path(installs.HERE, "awscli", "calls.py")
    environment = cli_environment(region)
    with _lines([str(python), str(program)], environment) as ask:

        def call(operation: str, params: dict[str, Any]) -> Answer:
            answer = ask(cli_arguments(endpoint_url, operation, params))
            return cli_answer(answer["code"], answer["stdout"], answer["stderr"])

        yield call


def cli_environment(region: str) -> dict[str, str]:
    """The AWS CLI's environment. Its configuration turns off its own checks."""
    configuration = {"AWS_CONFIG_FILE": str(Path(installs.HERE, "awscli", "config"))}
    return os.environ | ENVIRONMENT | configuration | {"AWS_DEFAULT_REGION": region}


def cli_arguments(endpoint_url: str, operation: str, params: dict[str, Any]) -> list[str]:
    """The AWS CLI's arguments for a call."""
    arguments = ["codepipeline", xform_name(operation, "-"), "--endpoint-url", endpoint_url]
    for name, value in params.items():
        # --version is the AWS CLI's own.
        option = "action-version" if name == "version" else xform_name(name, "-")
        if isinstance(value, bool):
            arguments.append(f"--{option}" if value else f"--no-{option}")
        else:
            arguments += [f"--{option}", value if isinstance(value, str) else json.dumps(value)]
    return arguments


def cli_answer(code: int, stdout: str, stderr: str) -> Answer:
    """The response in the AWS CLI's output."""
    if code == 0:
        return Answer(json.loads(stdout or "{}"))
    error = _CLI_ERROR.search(stderr)
    assert error, stderr
    return Answer(code=error[1], message=error[2])


@contextmanager
def javascript(endpoint_url: str, region: str) -> Iterator[Call]:
    """The AWS SDK for JavaScript, version 3."""
    node, program = installs.javascript()
    environment = os.environ | {
        "ENDPOINT_URL": endpoint_url,
        "AWS_REGION": region,
        "NODE_NO_WARNINGS": "1",
    }
    with _lines([node, str(program)], environment) as ask:
        yield lambda operation, params: Answer(**ask({"operation": operation, "params": params}))


@contextmanager
def _lines(command: list[str], environment: dict[str, str]) -> Iterator[Callable[[Any], Any]]:
    """A program that answers each JSON line with a JSON line."""
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin
        assert program.stdout
        requests, answers = program.stdin, program.stdout

        def ask(request: Any) -> Any:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            answer = answers.readline()
            assert answer, f"{Path(command[-1]).name} ended"
            return json.loads(answer)

        try:
            yield ask
        finally:
            requests.close()
            program.wait(timeout=300)


CLIENTS = {"boto3": boto3_client, "aws-cli": aws_cli, "javascript": javascript}
