"""The command line, checked before anything is started.

Each mistake raises a `WrongStartError` whose one sentence says what is wrong and what is allowed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import botocore.session
from samtranslator.yaml_helper import yaml_parse

from local.aws.address import AddressError, listen
from local.aws.isolation import NO_FILES, REGIONS, module
from local.aws.parameters import constraint_problem, split

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "template.yaml"
WORKER_SECONDS = 60
# The environment of a worker that is only imported, to check it. Nothing listens on port 0.
WORKER_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:0",
    "AWS_MAX_ATTEMPTS": "1",
    "QUEUE_URL": "http://127.0.0.1:0/123456789012/worker",
    "JOB_BUS_NAME": "bus",
    "JOB_TABLE_NAME": "table",
    "CLIENT_TOKEN_PREFIX": "/prefix/",
}


class WrongStartError(ValueError):
    """The command line is wrong. The message is for the user."""


@dataclass(frozen=True)
class Serving:
    """What to serve, and where.

    parameters: the template's parameters. behaviour: CodePipeline's switches, each `name=value`,
    which take precedence over those in behaviour_file; neither these nor the origins are checked
    yet. worker: `module:name`, or True for the sample worker.
    """

    host: str = "127.0.0.1"
    port: int = 4566
    origins: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    behaviour: list[str] = field(default_factory=list)
    behaviour_file: str = ""
    empty: bool = False
    allow_not_made: bool = False
    worker: bool | str = True


def ended(run: Callable[[], int]) -> int:
    """The exit status of `run`: 2 for a WrongStartError, which is printed, and 130 for Ctrl-C."""
    try:
        return run()
    except WrongStartError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


class Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        raise WrongStartError(message)


def whole(name: str, text: str, least: int, most: int | None = None) -> int:
    """Parse a whole number. Raises WrongStartError."""
    if re.fullmatch("[0-9]{1,18}", text) and least <= int(text) <= (most or int(text)):
        return int(text)
    limits = f"from {least} to {most}" if most else f"of at least {least}"
    raise WrongStartError(f"{name} must be a whole number {limits}, not '{text}'")


def share(name: str, text: str) -> float:
    """Parse a number from 0 to 1. Raises WrongStartError."""
    if re.fullmatch(r"0?\.[0-9]+|[01](\.0*)?", text):
        return float(text)
    raise WrongStartError(f"{name} must be a number from 0 to 1, not '{text}'")


def check_region() -> None:
    """Raises WrongStartError if the environment names a region that AWS doesn't have."""
    for name in REGIONS:
        if region := os.environ.get(name):
            session = botocore.session.Session()
            partitions = session.get_available_partitions()
            known = (session.get_available_regions("codepipeline", each) for each in partitions)
            if region not in (each for regions in known for each in regions):
                raise WrongStartError(
                    f"{name} must be a region that has CodePipeline, such as us-east-1, "
                    f"not '{region}'"
                )


def settings(name: str, text: str) -> list[str]:
    """Split a text into settings, each `name=value`. Raises WrongStartError."""
    try:
        found = split(text)
    except ValueError as error:
        raise WrongStartError(f"{name} has a quote that is not closed: {text}") from error
    for setting in found:
        if not re.match(r"\w+=", setting):
            raise WrongStartError(f"{name} must be written as Name=value, not '{setting}'")
    return found


def declarations() -> dict[str, dict[str, Any]]:
    """The parameters that the template declares, by name."""
    declared: dict[str, dict[str, Any]] = yaml_parse(TEMPLATE.read_text())["Parameters"]
    return declared


def template_parameters(given: list[str]) -> dict[str, str]:
    """Parameters by name, checked against the template's declarations. Raises WrongStartError."""
    declared = declarations()
    values: dict[str, str] = {}
    for setting in given:
        name, _, value = setting.partition("=")
        if name not in declared:
            raise WrongStartError(
                f"PARAMETERS: the template has no parameter {name}; it has {', '.join(declared)}"
            )
        if name in values:
            raise WrongStartError(f"PARAMETERS: {name} is given twice")
        if problem := constraint_problem(declared[name], value):
            told = declared[name].get("ConstraintDescription", problem)
            raise WrongStartError(f"PARAMETERS: {name} {told}; it is '{value}'")
        values[name] = value
    return values


def check_configuration(given: Mapping[str, str]) -> None:
    """Check parameters as the functions will. Raises WrongStartError.

    The functions have them in environment variables: JobTimeoutSeconds is JOB_TIMEOUT_SECONDS.
    """
    sys.path.append(str(ROOT / "functions"))
    from acknowledger.config import Config  # noqa: PLC0415
    from acknowledger.errors import ConfigurationInvalid  # noqa: PLC0415

    defaults = {name: str(each.get("Default", "")) for name, each in declarations().items()}
    parameters = {**defaults, **given}
    names = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper(): name for name in parameters}
    environ = {variable: parameters[name] for variable, name in names.items()}
    made = ("STATE_MACHINE_ARN", "BUS_NAME", "TABLE_NAME", "INTAKE_TABLE_NAME")
    config = Config(environ | dict.fromkeys(made, "-"))
    try:
        config.check()
    except ConfigurationInvalid as error:
        told = re.sub(r"\b[A-Z_]+\b", lambda found: names.get(found[0], found[0]), str(error))
        raise WrongStartError(f"PARAMETERS: {told}") from error
    # Deployed, only its first sweep would say so.
    for unknown in config.queries.keys() - set(config.action_types):
        raise WrongStartError(f"PARAMETERS: Queries: {unknown} is not in ActionTypes")


def check_worker(worker: str) -> None:
    """Import a worker in a separate process. Raises WrongStartError."""
    command = [*module("acknowledger_worker"), "--check", "--", worker]
    environment = {**os.environ, **NO_FILES, **WORKER_VARIABLES}
    environment.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    try:
        # A file, because a process that the module has started would keep a pipe open.
        with tempfile.TemporaryFile("w+", errors="replace") as errors:
            done = subprocess.run(  # noqa: S603 - our own program; the worker is the user's
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=WORKER_SECONDS,
                check=False,
            )
            errors.seek(0)
            said = errors.read().strip().splitlines()
    except subprocess.TimeoutExpired as error:
        raise WrongStartError(
            f"WORKER: importing {worker} took more than {WORKER_SECONDS} seconds"
        ) from error
    if done.returncode:
        ended = f"{worker} ended its process with status {done.returncode}"
        [*_, told] = said or [ended]
        raise WrongStartError(f"WORKER: {told}")


def parser() -> Parser:
    """The parser of the command line; it leaves every value as text."""
    made = Parser(prog="python -m local", description="Run the stack on this machine.")
    commands = made.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve the local stack until Ctrl-C")
    serving.add_argument("--host", default=Serving.host, help="default: %(default)s")
    serving.add_argument(
        "--port", default=str(Serving.port), help="default: %(default)s; 0 for any free port"
    )
    for name, metavar, told in (
        ("--origins", "TEXT", "web applications that may use the endpoint: http://HOST:PORT …"),
        ("--parameters", "TEXT", "template parameters: Name=value …"),
        ("--worker", "MODULE:NAME", "your worker, instead of the sample worker"),
        (
            "--behaviour",
            "TEXT",
            "CodePipeline's switches (moto-codepipeline's docs/behaviour.md): name=value …",
        ),
        ("--behaviour-file", "FILE", "the switches that make probe wrote"),
    ):
        serving.add_argument(name, default="", metavar=metavar, help=told)
    for name, told in (
        ("--empty", "start with nothing deployed"),
        ("--allow-not-made", "leave out resources that can't be created"),
        ("--no-worker", "run no worker"),
    ):
        serving.add_argument(name, action="store_true", help=told)
    event = commands.add_parser("event", help="create a waiting job and an event to acknowledge it")
    event.add_argument("--port", default=str(Serving.port), help="default: %(default)s")
    commands.add_parser("demo", help="run a pipeline with all three outcomes and check it")
    return made


def serving(given: argparse.Namespace) -> Serving:
    """What to serve. Raises WrongStartError."""
    port = whole("PORT", given.port, 0, 65535)
    parameters = template_parameters(settings("PARAMETERS", given.parameters))
    if given.empty and (parameters or given.worker):
        raise WrongStartError("EMPTY can't be combined with PARAMETERS or WORKER")
    try:
        listen(given.host, port).close()
    except AddressError as error:
        raise WrongStartError(str(error)) from error
    if given.worker:
        check_worker(given.worker)
    return Serving(
        host=given.host,
        port=port,
        origins=given.origins.split(),
        parameters=parameters,
        behaviour=settings("BEHAVIOUR", given.behaviour),
        behaviour_file=given.behaviour_file,
        empty=given.empty,
        allow_not_made=given.allow_not_made,
        worker=given.worker or not given.no_worker,
    )
