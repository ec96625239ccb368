"""`python -m local serve` and `demo`: what `make local` and `make demo` call."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import moto_codepipeline
from local import acknowledger, demo, page
from local.aws.server import AddressInUseError, LocalCloud
from local.aws.stack import Stack
from moto_codepipeline import switches

EXPORTS = (
    "  export AWS_ENDPOINT_URL={cloud.endpoint_url} AWS_DEFAULT_REGION={cloud.region}\n"
    "  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local"
)
SAM_ENVIRONMENT = Path(".aws-sam") / "local-env.json"


def write_sam_environment(cloud: LocalCloud, stack: Stack) -> None:
    """What sam local invoke can't know: the names made here, and the way out of its container."""
    port = urlsplit(cloud.endpoint_url).port
    variables = {
        "AWS_ENDPOINT_URL": f"http://host.docker.internal:{port}",
        "STATE_MACHINE_ARN": stack.outputs["JobStateMachineArn"],
        "TABLE_NAME": stack.outputs["JobTableName"],
        "INTAKE_TABLE_NAME": stack.outputs["IntakeTableName"],
        "BUS_NAME": stack.outputs["JobBusName"],
        "ACTION_TYPES": stack.parameters["ActionTypes"],
        "CLIENT_TOKEN_PREFIX": stack.parameters["ClientTokenPrefix"],
    }
    SAM_ENVIRONMENT.parent.mkdir(exist_ok=True)
    SAM_ENVIRONMENT.write_text(json.dumps({"Parameters": variables}, indent=2) + "\n")


def until_interrupted() -> threading.Event:
    """An event that Ctrl-C, or a polite kill, sets."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    return over


def serve_empty(**settings: Any) -> int:
    """Serve a cloud without the stack until Ctrl-C, for `sam deploy`."""
    over = until_interrupted()
    with acknowledger.empty(**settings) as cloud:
        print(f"Serving on {cloud.endpoint_url} ({cloud.account_id}, {cloud.region})")
        print(f"Watch it: {cloud.endpoint_url}{page.PATH}")
        print("\nThere is nothing in it yet. Deploy the stack, in another terminal:")
        print(EXPORTS.format(cloud=cloud))
        print("  sam build && sam deploy --no-confirm-changeset", flush=True)
        over.wait()
    return 0


def parameters_of(given: list[str]) -> dict[str, str]:
    """The template's parameters as they stand on the command line, each NAME=VALUE.

    Raises:
        argparse.ArgumentTypeError: one isn't of that form.
    """
    pairs = [pair.partition("=") for pair in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise argparse.ArgumentTypeError(f"'{name}' must be a parameter as NAME=VALUE")
    return {name: value for name, _, value in pairs}


def serve(parameters: dict[str, str], *, worker: bool | str, **settings: Any) -> int:
    """Serve the stack until Ctrl-C."""
    over = until_interrupted()
    with acknowledger.running(parameters=parameters, worker=worker, **settings) as (cloud, stack):
        first, *more = acknowledger.action_types(stack)
        print(f"Serving on {cloud.endpoint_url} ({cloud.account_id}, {cloud.region})")
        print(f"Watch it: {cloud.endpoint_url}{page.PATH}")
        print(f"\nThe stack {stack.name} serves {first}, which is registered here.")
        for action_type in more:
            partner = "/ThirdParty/" in action_type
            registered = "registered here" if partner else "once you have registered it"
            print(f"It serves {action_type} too, {registered}.")
        if worker is True:
            print(
                "A sample worker does what an action's configuration says: Outcome = Succeed, Fail "
                "or Hang; Seconds; Progress."
            )
        acknowledger.create_sample_pipeline(cloud, first)
        print(f"The pipeline {acknowledger.SAMPLE_PIPELINE} is there, to be started.")
        role = f"arn:aws:iam::{cloud.account_id}:role/{acknowledger.PIPELINE_ROLE}"
        print(f"A pipeline may have the role {role}.")
        if any("/ThirdParty/" in action_type for action_type in (first, *more)):
            prefix = stack.parameters["ClientTokenPrefix"]
            client_id = moto_codepipeline.backend(cloud.account_id, cloud.region).default_client_id
            print(f"Partner actions belong to a client, whose token is at {prefix}{client_id}.")
        print()
        for name, value in sorted(stack.outputs.items()):
            print(f"  {name:28} {value}")
        for what in stack.not_made:
            print(f"  not made locally: {what}")
        write_sam_environment(cloud, stack)
        print(
            f"\nTry it:\n{EXPORTS.format(cloud=cloud)}\n"
            f"  aws codepipeline start-pipeline-execution --name {acknowledger.SAMPLE_PIPELINE}\n"
            "\nWith HOST=0.0.0.0, sam local invoke finds the stack from inside its container by\n"
            f"  --env-vars {SAM_ENVIRONMENT} --add-host host.docker.internal:host-gateway\n"
            "\nCtrl-C ends it, and all that is in it.",
            flush=True,
        )
        over.wait()
    return 0


def main() -> int:
    """Parse the command line and do it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve the local stack until Ctrl-C")
    serving.add_argument("--host", default="127.0.0.1")
    serving.add_argument("--port", type=int, default=4566)
    serving.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the template; may be repeated",
    )
    serving.add_argument("--empty", action="store_true", help="leave the stack out")
    serving.add_argument("--no-worker", action="store_true", help="leave the sample worker out")
    serving.add_argument(
        "--worker", metavar="MODULE:NAME", help="a worker of yours in place of the sample worker"
    )
    serving.add_argument(
        "--behaviour",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a switch of CodePipeline's (moto-codepipeline's docs/behaviour.md); may be repeated",
    )
    commands.add_parser("demo", help="run a pipeline with all three outcomes and check it")
    arguments = parser.parse_args()
    try:
        if arguments.command == "demo":
            return demo.main()
        settings: dict[str, Any] = {
            "host": arguments.host,
            "port": arguments.port,
            "behaviour": switches.read(arguments.behaviour),
        }
        if arguments.empty:
            return serve_empty(**settings)
        parameters = parameters_of(arguments.parameter)
        worker = arguments.worker or not arguments.no_worker
        return serve(parameters, worker=worker, **settings)
    except (AddressInUseError, argparse.ArgumentTypeError, switches.SwitchError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
