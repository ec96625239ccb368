"""`make local`: serves the local cloud, with the stack or empty, until Ctrl-C."""

import json
import signal
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

import moto_codepipeline
from local import acknowledger, arguments, by_hand, page
from local.aws import guard
from local.aws.address import AddressError
from local.aws.isolation import reach_directly
from local.aws.server import LocalCloud
from local.aws.stack import Stack
from moto_codepipeline import answers, switches

EXPORTS = (
    "  export AWS_ENDPOINT_URL={cloud.endpoint_url} AWS_DEFAULT_REGION={cloud.region}\n"
    "  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local"
)


def write_sam_environment(cloud: LocalCloud, stack: Stack) -> Path:
    """Write the environment variables that `sam local invoke` needs; return the file's path."""
    port = urlsplit(cloud.endpoint_url).port or 0
    path = by_hand.files(port) / "env.json"
    variables = {
        "AWS_ENDPOINT_URL": f"http://host.docker.internal:{port}",
        "STATE_MACHINE_ARN": stack.outputs["JobStateMachineArn"],
        "TABLE_NAME": stack.outputs["JobTableName"],
        "INTAKE_TABLE_NAME": stack.outputs["IntakeTableName"],
        "BUS_NAME": stack.outputs["JobBusName"],
        "ACTION_TYPES": stack.parameters["ActionTypes"],
        "QUERIES": stack.parameters.get("Queries", ""),
        "CLIENT_TOKEN_PREFIX": stack.parameters["ClientTokenPrefix"],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"Parameters": variables}, indent=2) + "\n")
    except OSError as error:  # the folder may belong to another user, such as root after sudo
        print(f"  could not write {path} ({error.strerror})")
    return path


def until_interrupted() -> SimpleQueue[int]:
    """A queue that gets the signal of Ctrl-C, SIGTERM or the end of the terminal."""
    # An event would need a lock, which the interrupted thread may have.
    over: SimpleQueue[int] = SimpleQueue()

    def end(number: int, _: object) -> None:
        over.put(number)
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, end)
    return over


def print_address(cloud: LocalCloud, host: str) -> None:
    """Print the cloud's address, and a warning if other machines can reach it."""
    print(f"Serving on {cloud.endpoint_url} ({cloud.account_id}, {cloud.region})")
    print(f"Watch it: {cloud.endpoint_url}{page.PATH}")
    if not guard.is_loopback(host):
        port = urlsplit(cloud.endpoint_url).port
        print(
            f"Listening on {host}: anyone who can reach port {port} of this machine can run "
            "programs on it as you."
        )


def serve_empty(**settings: Any) -> int:
    """Serve an empty cloud until Ctrl-C, for `sam deploy`."""
    over = until_interrupted()
    with acknowledger.empty(**settings) as cloud:
        if not over.empty():
            return 130
        print_address(cloud, settings["host"])
        print("\nIt is empty. Deploy the stack from another terminal:")
        print(EXPORTS.format(cloud=cloud))
        print("  sam build && sam deploy --no-confirm-changeset", flush=True)
        over.get()
    return 0


def serve(parameters: dict[str, str], *, worker: bool | str, **settings: Any) -> int:
    """Serve the stack until Ctrl-C."""
    over = until_interrupted()
    with acknowledger.running(parameters=parameters, worker=worker, **settings) as (cloud, stack):
        if not over.empty():
            return 130
        first, *more = acknowledger.action_types(stack)
        print_address(cloud, settings["host"])
        print(f"\nThe stack {stack.name} serves {first}, which is registered here.")
        for action_type in more:
            partner = action_type.startswith("ThirdParty/")
            registered = "which is registered here" if partner else "once you have registered it"
            print(f"It also serves {action_type}, {registered}.")
        if worker is True:
            print(
                "A sample worker does what an action's configuration says: Outcome = Succeed, Fail "
                "or Hang; Seconds; Progress."
            )
        by_sample_worker = worker is True and not acknowledger.is_registered_by_template(stack)
        acknowledger.create_sample_pipeline(cloud, first, sample_worker=by_sample_worker)
        print(f"The pipeline {acknowledger.SAMPLE_PIPELINE} is ready to start.")
        print(f"The role for pipelines is {acknowledger.pipeline_role(cloud)}.")
        if any(action_type.startswith("ThirdParty/") for action_type in (first, *more)):
            prefix = stack.parameters["ClientTokenPrefix"]
            client_id = moto_codepipeline.backend(cloud.account_id, cloud.region).default_client_id
            print(f"Partner actions belong to a client; its token is at {prefix}{client_id}.")
        print()
        for name, value in sorted(stack.outputs.items()):
            print(f"  {name:28} {value}")
        for what in stack.not_made:
            print(f"  not made locally: {what}")
        environment = write_sam_environment(cloud, stack)
        print(
            f"\nTry it:\n{EXPORTS.format(cloud=cloud)}\n"
            f"  aws codepipeline start-pipeline-execution --name {acknowledger.SAMPLE_PIPELINE}\n"
            "\nWith HOST=0.0.0.0, sam local invoke reaches the stack from its container with\n"
            f"  --env-vars {environment} --add-host host.docker.internal:host-gateway\n"
            "\nCtrl-C stops it and deletes everything in it.",
            flush=True,
        )
        over.get()
    return 0


def main(asked: arguments.Serving) -> int:
    """Serve the stack or an empty cloud; return the exit status.

    Raises:
        WrongStartError: a setting is wrong, or the stack can't be created.
    """
    try:
        path = asked.behaviour_file
        answered = answers.load(Path(path)) if path else {}
    except switches.SwitchError as error:
        raise arguments.WrongStartError(f"BEHAVIOUR_FILE: {error}") from error
    try:
        behaviour = answered | switches.read(asked.behaviour)
        switches.change(moto_codepipeline.Behaviour(), behaviour)
    except switches.SwitchError as error:
        raise arguments.WrongStartError(f"BEHAVIOUR: {error}") from error
    try:
        origins = [guard.origin(each) for each in asked.origins]
    except guard.OriginError as error:
        raise arguments.WrongStartError(str(error)) from error
    where: dict[str, Any] = {
        "host": asked.host,
        "port": asked.port,
        "origins": origins,
        "behaviour": behaviour,
        "allow_not_made": asked.allow_not_made,
    }
    reach_directly(asked.host)
    try:
        if asked.empty:
            return serve_empty(**where)
        arguments.check_configuration(acknowledger.PARAMETERS | asked.parameters)
        return serve(asked.parameters, worker=asked.worker, **where)
    except AddressError as error:
        raise arguments.WrongStartError(str(error)) from error
    except ClientError as error:
        told = error.response["Error"]["Message"]
        raise arguments.WrongStartError(f"The stack can't be created: {told}") from error
