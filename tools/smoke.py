# ruff: noqa: T201 - a command prints its result
"""Run a dozen jobs through a deployed stack, and check how each of them ends: `make smoke`.

    .venv/bin/python -m tools.smoke --stack acknowledger --region eu-west-1

It creates its own pipeline with twelve actions of an action type that the stack serves, lets eight
of their jobs succeed and four fail, and compares what the stack's table, Step Functions and
CodePipeline say about each. Then it abandons a thirteenth job. If a job makes no progress, it names
the function that should have acted. It removes what it creates, at the latest in the next run
with this stack.

The action type must have no other worker, which would also get these jobs, and no required
properties. The caller needs the permissions to deploy the stack.
"""

import argparse
import functools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local import demo
from local.acknowledger import action_type_id
from local.worker import CONFIGURATION_PROPERTIES
from moto_codepipeline.probe.calls import Calls, ProbeError, Time
from moto_codepipeline.probe.console import confirmed, interruptible
from moto_codepipeline.probe.place import Place

PREFIX = "acknowledger-smoke"
OUTCOMES = {
    f"{o}-{n}": o for o, count in (("Succeed", 8), ("Fail", 4)) for n in range(1, count + 1)
}
STOPPED = "Abandoned"
APPROVAL = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
#: The function that should act next, by the status of a job that makes no progress.
TURNS = {"Created": "Acknowledge", "Queued": "Acknowledge", "Dispatched": "Acknowledge"}


class Smoke:
    """A deployed stack and its test pipeline. Raises ProbeError if the stack can't be tested."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.calls = Calls(given.region, given.endpoint_url, Time(), lambda _: None)
        self.seconds = given.seconds
        self.outputs, parameters = self._stack(given.stack)
        served = [each.strip() for each in parameters["ActionTypes"].split(",")]
        custom = [each for each in served if each.startswith("Custom/")]
        self.action_type = given.action_type or (custom or [""])[0]
        if self.action_type not in custom:
            raise ProbeError(f"--action-type must be one of the stack's: {', '.join(custom)}")
        self.place = Place(self.calls, PREFIX, self.outputs["JobBusName"])
        self.answered: set[str] = set()

    @functools.cache  # noqa: B019 - there is one instance, which lives as long as the program
    def client(self, service: str) -> Any:
        """The client of a service."""
        where = {"region_name": self.calls.region, "endpoint_url": self.calls.endpoint_url}
        return self.calls.session.client(service, **where)

    def _stack(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        """Outputs and parameters of a stack."""
        told = self.calls.do("cloudformation", "describe_stacks", StackName=name)
        [stack] = told.value["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        if "JobBusName" not in outputs:
            raise ProbeError(f"The stack {name} is {stack['StackStatus']}, and has no JobBus")
        named = stack.get("Parameters", [])
        return outputs, {each["ParameterKey"]: each["ParameterValue"] for each in named}

    def make(self) -> None:
        """Create the worker's queue and the pipeline."""
        for each in self.place.remove():
            print(f"Removed what an earlier run left behind: {each}")
        self._check_type()
        own = {"pipelineContext": {"pipelineName": [self.place.pipeline_name]}}
        detail = {"job": {"data": own}}
        pattern = {"source": ["acknowledger"], "detail-type": ["Job In Progress"], "detail": detail}
        self.place.make_queue(pattern)
        self.place.make_source()
        # AWS starts a created pipeline itself: that execution must have no jobs.
        self.place.create(self.place.pipeline([{"name": "Wait", "actionTypeId": APPROVAL}]))
        self.update([*OUTCOMES])

    def _check_type(self) -> None:
        kind = action_type_id(self.action_type)
        types = self.client("codepipeline").list_action_types(actionOwnerFilter="Custom")
        found = [each for each in types["actionTypes"] if each["id"] == kind]
        if not found and self.calls.endpoint_url:
            self.register(kind)
        elif not found:
            raise ProbeError(
                f"{self.action_type} is not registered: deploy with RegisterActionType=true, or "
                "create it with aws codepipeline create-custom-action-type"
            )
        for each in found:
            if named := [p["name"] for p in each["actionConfigurationProperties"] if p["required"]]:
                raise ProbeError(f"{self.action_type} requires {', '.join(named)}: try another one")

    def register(self, kind: dict[str, str]) -> None:
        """Register the action type at an endpoint that is not AWS, and leave it registered."""
        request = {name: text for name, text in kind.items() if name != "owner"}
        details = {"minimumCount": 0, "maximumCount": 5}
        self.client("codepipeline").create_custom_action_type(
            **request,
            configurationProperties=CONFIGURATION_PROPERTIES,
            inputArtifactDetails=details,
            outputArtifactDetails=details,
        )

    def structure(self, names: list[str]) -> dict[str, Any]:
        """The pipeline with these actions."""
        kind = {"actionTypeId": action_type_id(self.action_type)}
        source = {"inputArtifacts": [{"name": "Source"}]}
        return self.place.pipeline([{"name": name, **kind, **source} for name in names])

    def update(self, names: list[str]) -> None:
        """Give the pipeline these actions."""
        self.calls.do("codepipeline", "update_pipeline", pipeline=self.structure(names))

    def start(self) -> str:
        """Start the pipeline; return the id of its execution."""
        answer = self.client("codepipeline").start_pipeline_execution(name=self.place.pipeline_name)
        return str(answer["pipelineExecutionId"])

    def work(self) -> None:
        """End the jobs that have come as their actions' names say, except the one to be stopped."""
        request = {"QueueUrl": self.place.queue_url, "MaxNumberOfMessages": 10}
        for message in self.client("sqs").receive_message(**request).get("Messages", []):
            detail = json.loads(message["Body"])["detail"]
            name = detail["job"]["data"]["pipelineContext"]["action"]["name"]
            # An event can arrive twice.
            if name != STOPPED and name not in self.answered:
                self._answer(name, detail["taskToken"])
                self.answered.add(name)

    def _answer(self, name: str, token: str) -> None:
        step_functions = self.client("stepfunctions")
        if OUTCOMES.get(name) == "Fail":
            told = {"error": "JobFailed", "cause": "The smoke test lets this job fail"}
            step_functions.send_task_failure(taskToken=token, **told)
            return
        details = {"summary": "Done by the smoke test", "percentComplete": 100}
        output = {"executionDetails": details, "outputVariables": {"DoneBy": "smoke"}}
        step_functions.send_task_success(taskToken=token, output=json.dumps(output))

    def objections(self) -> Iterator[str]:
        """Run the twelve jobs, then the one that is stopped; return what is wrong, in sentences."""
        execution_id, table = self.start(), self.outputs["JobTableName"]
        pipeline, count = self.place.pipeline_name, len(OUTCOMES)
        rows = demo.watch(
            self.client,
            table,
            pipeline,
            execution_id,
            count,
            step=self.work,
            seconds=self.seconds,
        )
        stuck = list(self.standing(rows))
        if stuck:
            yield from stuck
            return
        witnesses = [
            demo.compare(self.client, pipeline, execution_id, rows, name=name, asked=outcome)
            for name, outcome in OUTCOMES.items()
        ]
        demo.show(rows, witnesses)
        yield from filter(None, (witness.objection() for witness in witnesses))
        status = demo.pipeline_status(self.client, pipeline, execution_id)
        if status != "Failed":
            yield f"CodePipeline says that the pipeline is {status}, not Failed"
        yield from self.stopped()

    def standing(self, rows: dict[str, Any]) -> Iterator[str]:
        """For each function that should have acted, the jobs that have made no progress."""
        waiting: dict[str, list[str]] = {}
        for name in OUTCOMES:
            status = rows[name]["status"]["S"] if name in rows else "nothing"
            if status in demo.STATUSES or name not in rows:
                turn = TURNS.get(status, "Report" if name in self.answered else "the JobBus")
                told = waiting.setdefault("Intake" if name not in rows else turn, [])
                told.append(f"{name} ({status})")
        for turn, told in waiting.items():
            log = self.outputs.get(f"{turn}FunctionName")
            where = f"; see the log of {log}" if log else ""
            stuck = (
                f"{len(told)} jobs made no progress within {self.seconds:g} s, such as {told[0]}"
            )
            yield f"{turn}: {stuck}{where}"

    def stopped(self) -> Iterator[str]:
        """Abandon a job in progress; return what is wrong with its end, in sentences."""
        self.update([STOPPED])
        execution_id = self.start()
        rows = demo.scanner(self.client, self.outputs["JobTableName"])
        end, abandoned = time.monotonic() + self.seconds, False
        while time.monotonic() < end:
            own = [r for r in rows() if r["pipelineExecutionId"]["S"] == execution_id]
            status = own[0]["status"]["S"] if own else ""
            if status == "InProgress" and not abandoned:
                self.place.stop(execution_id)
                abandoned = True
            if own and status not in demo.STATUSES:
                error = own[0].get("error", {}).get("S")
                if (status, error) != ("Failed", "EndedElsewhere"):
                    yield f"The abandoned job is {status}, with error {error}, not EndedElsewhere"
                return
            time.sleep(0.2)
        yield (
            f"Stop: an abandoned job has not ended within {self.seconds:g} s; see the log of "
            f"{self.outputs['StopFunctionName']}"
        )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tools.smoke", description="Test a deployed stack."
    )
    made.add_argument("--stack", default="acknowledger", help="the name of the stack")
    made.add_argument("--region", required=True)
    made.add_argument("--endpoint-url", help="the URL of the local stack")
    made.add_argument(
        "--action-type", help="Custom/CATEGORY/PROVIDER/VERSION (default: the stack's first)"
    )
    made.add_argument(
        "--seconds", type=float, default=300, help="the time limit (default: %(default)g)"
    )
    made.add_argument("--yes", action="store_true", help="start without asking")
    return made


def run(given: argparse.Namespace) -> int:
    """Test a stack; return the exit status. Raises ProbeError, and boto3's errors."""
    smoke = Smoke(given)
    print(
        f"In account {smoke.place.account}, Region {given.region}, this runs 13 jobs of "
        f"{smoke.action_type} through the stack {given.stack}.\n"
        f"It creates, and removes again: the bucket {smoke.place.bucket}, the pipeline "
        f"{smoke.place.pipeline_name}, and by the name {smoke.place.name} a role, a queue and its "
        "rule on the stack's bus. It costs a few cents at most."
    )
    if not confirmed(given.yes or bool(given.endpoint_url), "Begin?"):
        return 1
    with smoke.place.temporary():
        smoke.make()
        objections = list(smoke.objections())
    for words in objections:
        demo.say(f"✗ {words}", 2)
    if not objections:
        demo.say(
            f"✓ {len(OUTCOMES)} jobs: the table, the executions and CodePipeline agree, and each "
            "job ended as expected; an abandoned job ended, too.",
            2,
        )
    return 1 if objections else 0


def main() -> int:
    """Run the command; return the exit status."""
    interruptible()
    try:
        return run(parser().parse_args())
    except (ProbeError, ClientError, BotoCoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. The next run removes what is left.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
