"""Facts: what an endpoint does where there is no switch, and the texts of its errors.

``facts.toml`` has a table of each: how it is found, and what it is for this package's CodePipeline.
Its text is that of the last step: an error, a member of a response, or how an action ended, without
ids and names that differ between runs. docs/probe.md has its row of docs/behaviour.md.
"""

import json
import re
import tomllib
import uuid
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from .calls import Answer, UnansweredError
from .trials import UNKNOWN_JOB, Probe, Trial, error_of, jobs

DATA = tomllib.loads(Path(__file__).with_name("facts.toml").read_text())
GROUPS: dict[str, dict[str, str]] = DATA["groups"]
FACTS: dict[str, dict[str, Any]] = {
    name: {"group": group} | DATA["defaults"].get(group, {}) | fact
    for group, facts in DATA["facts"].items()
    for name, fact in facts.items()
}
SWITCHES: dict[str, dict[str, Any]] = DATA["switches"]


def told(answer: Answer, path: str = "status") -> str:
    """An error, or else a member of the response, or that the call was accepted."""
    found: Any = answer.value
    for name in path.split("."):
        found = found.get(name) if found else None
    return str(answer) if answer.code else str(found or "accepted")


def elsewhere(region: str) -> str:
    """Another region."""
    return "us-west-2" if region == "us-east-1" else "us-east-1"


def plain(probe: Probe, text: str) -> str:
    """A text without what differs between runs and accounts."""
    place, region = probe.place, probe.calls.region
    for pattern, name in (
        (place.type_id["provider"] + "(-[0-9a-f]{4})?", "TYPE"),
        (place.name, "PREFIX"),
        (place.account, "ACCOUNT"),
        (f"{region}|{region.replace('-', '_').upper()}", "REGION"),
        (elsewhere(region), "OTHER"),
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    ):
        text = re.sub(pattern, f"<{name}>", text)
    return text


def find(probe: Probe, table: dict[str, Any]) -> str:
    """The text of a table's steps. Raises LostError, UnansweredError and ProbeError."""
    with ExitStack() as stack:
        return Scene(probe, table, stack).play()


class Scene:
    """The steps by which a fact is found: names of methods, or calls with their requests.

    ``names`` has what ``{name}`` stands for in a request; an action or another structure of that
    name can have changed members, ``{as = name, ...}``, and be repeated: ``{times = 2, ...}``.
    """

    def __init__(self, probe: Probe, fact: dict[str, Any], stack: ExitStack) -> None:
        self.probe, self.fact, self.stack = probe, fact, stack
        place = probe.place
        whole = place.pipeline(place.actions("none"))
        kind = f"{place.type_id['provider']}-{uuid.uuid4().hex[:4]}"
        self.names: dict[str, Any] = {
            "source": whole["stages"][0]["actions"][0],
            "work": whole["stages"][1]["actions"][0],
            "whole": whole,
            "store": whole["artifactStore"],
            "bucket": place.bucket,
            "plain_bucket": place.plain_bucket,
            "prefix": place.name,
            "pipeline": place.pipeline_name,
            "region": probe.calls.region,
            "elsewhere": elsewhere(probe.calls.region),
            "unknown": UNKNOWN_JOB,
            "bytes_122882": "é" * 61_441,
            "bytes_4096": "é" * 2048,
            "type": place.type_id,
            "type_request": place.type_request(),
            "spare_type": place.type_name | {"provider": kind},
            "spare_request": place.type_request(provider=kind, configurationProperties=[]),
        }

    def play(self) -> str:
        """Take all steps; the last one's text. All others must succeed."""
        for operation, request in self.fact.get("finally", {}).items():
            self.stack.callback(self.probe.do, operation, **self.fill(request))
        text = ""
        for number, step in enumerate(self.fact["steps"], 1):
            refused = None
            if isinstance(step, str):
                text = getattr(self, step)()
            else:
                [(operation, request)] = step.items()
                text, refused = self.call(operation, request)
            if refused and number < len(self.fact["steps"]):
                raise UnansweredError(f"{operation} was answered {text}")
        return text.replace(self.names.get("job", UNKNOWN_JOB), "<ID>")

    def call(self, operation: str, request: Any) -> tuple[str, bool]:
        """What a call returns, and whether that is an error. ``update`` changes the pipeline."""
        filled = self.fill(request)
        if operation == "update":
            place = self.probe.place
            whole = place.pipeline(place.actions("none")) | filled
            whole["stages"] = [
                each if isinstance(each, dict) else {"name": f"Stage-{number}", "actions": each}
                for number, each in enumerate(whole["stages"])
            ]
            filled = {"pipeline": {name: each for name, each in whole.items() if each != "none"}}
            operation = "update_pipeline"
        answer = self.probe.ask(operation, **filled)
        return told(answer, self.fact.get("member", "status")), answer.code is not None

    def fill(self, value: Any) -> Any:
        """A value with names replaced."""
        if isinstance(value, str):
            whole = re.fullmatch(r"\{(\w+)\}", value)
            return self.names[whole[1]] if whole else re.sub(r"\{(\w+)\}", self.name, value)
        if isinstance(value, list):
            return [each for item in value for each in self.copies(item)]
        if not isinstance(value, dict):
            return value
        members = {self.fill(name): self.fill(each) for name, each in value.items()}
        return self.names[members.pop("as")] | members if "as" in members else members

    def name(self, found: re.Match[str]) -> str:
        return str(self.names[found[1]])

    def copies(self, item: Any) -> list[Any]:
        if not isinstance(item, dict) or "times" not in item:
            return [self.fill(item)]
        one = {name: each for name, each in item.items() if name != "times"}
        made = [self.fill(one.get("list", one)) for _ in range(item["times"])]
        if "list" in one:
            return made
        return [each | {"name": f"{each['name']}-{number}"} for number, each in enumerate(made)]

    # Steps

    def start(self) -> None:
        """Start an execution, of the pipeline with the fact's changes."""
        run = self.fill(self.fact.get("run", {}))
        self.trial: Trial = self.stack.enter_context(self.probe.trial(**run))
        self.names["execution"] = self.trial.execution_id

    def second(self) -> None:
        """Start another execution, and wait for its source."""
        self.stack.callback(self.end_second)
        other = self.stack.enter_context(self.probe.execution(self.trial.value))
        self.names["second"] = other.execution_id
        self.probe.ended(other, "Source")

    def end_second(self) -> None:
        """Stop the second execution, which may only go on when the first one is stopped."""
        self.probe.place.stop(self.trial.execution_id)
        for _ in range(30 if "second" in self.names else 0):
            if self.status(self.names["second"]) != "InProgress":
                return
            self.probe.calls.clock.wait(2)
            self.probe.place.stop(self.names["second"])

    def status(self, execution_id: str) -> str:
        named = {"pipelineName": self.names["pipeline"], "pipelineExecutionId": execution_id}
        found = self.probe.do("get_pipeline_execution", **named).value["pipelineExecution"]
        return str(found["status"])

    def offer(self) -> None:
        job = self.probe.offered(self.trial)
        self.names |= {"job": job["id"], "nonce": job["nonce"]}

    def hold(self) -> None:
        self.names["job"] = self.probe.held(self.trial)["id"]

    def late(self) -> None:
        """Wait until the offer is no longer valid."""
        self.wait_for("acknowledge_seconds")

    def later(self) -> None:
        """Wait until a continued job can be polled."""
        self.wait_for("continuation_seconds")

    def wait_for(self, name: str) -> None:
        if (seconds := self.probe.known.get(name)) is None:
            raise UnansweredError(f"It needs the answer {name}")
        self.probe.calls.clock.wait(seconds * 1.1 + 1)

    def unversioned(self) -> None:
        self.probe.place.make_bucket(self.names["plain_bucket"])

    def canceled(self) -> None:
        """Wait until the pipeline's update has canceled the execution."""
        if self.probe.known.get("update_under_way") != "cancel":
            raise UnansweredError("It needs the answer update_under_way, and that this is cancel")
        self.probe.ended(self.trial, "Work-1")

    def minute(self) -> str:
        """The status of the execution after a minute, or before if it is Cancelled."""
        for _ in range(6):
            if self.status(self.trial.execution_id) == "Cancelled":
                break
            self.probe.calls.clock.wait(10)
        return self.status(self.trial.execution_id)

    def abandon(self) -> None:
        self.probe.place.stop(self.trial.execution_id)
        if (status := self.probe.ended(self.trial, "Work-1")["status"]) != "Abandoned":
            raise UnansweredError(f"The action is {status}")

    def many(self) -> str:
        """Start up to 60 executions."""
        for count in range(1, 60):
            # The token is for a call that is lost: otherwise its execution would not be counted.
            request = {"name": self.names["pipeline"], "clientRequestToken": str(uuid.uuid4())}
            start = partial(self.probe.ask, "start_pipeline_execution", **request)
            answer = self.probe.clean(start)
            if answer.code:
                return f"after {count}: {answer}"
            if "afresh" not in self.fact["steps"]:
                self.stack.callback(self.probe.place.stop, answer.value["pipelineExecutionId"])
        return "60 were in progress"

    def afresh(self) -> None:
        """Replace the pipeline at the end: executions that wait can't be stopped."""
        place = self.probe.place
        self.stack.callback(place.create, place.pipeline(place.actions("none")))
        self.stack.callback(self.probe.do, "delete_pipeline", name=place.pipeline_name)

    def wait(self) -> None:
        self.probe.wait_for_jobs()

    def poll(self) -> str:
        found = jobs(self.probe.poll(self.trial, maxBatchSize=1))
        ids = [job["data"]["pipelineContext"]["pipelineExecutionId"] for job in found]
        return f"jobs: {['second', 'first'][ids == [self.trial.execution_id]] if ids else 'none'}"

    def partner_poll(self) -> str:
        """Whether the partner's job, or another one, is offered."""
        found = self.probe.ask("poll_for_third_party_jobs", actionTypeId=self.probe.own_partner())
        for job in jobs(found):
            return "jobs: the same" if job["jobId"] == self.names["job"] else "jobs: another"
        return str(found) if found.code else "jobs: none"

    def body(self) -> str:
        return self.probe.calls.body

    def configuration(self) -> str:
        """The property Text of the job, or how the action failed."""
        for job in jobs(self.probe.poll(self.trial)):
            return str(job["data"]["actionConfiguration"]["configuration"]["Text"])
        return self.ended()

    def ended(self, name: str = "Work-1") -> str:
        """How an action ends, with its error."""
        action = self.probe.ended(self.trial, name)
        error = error_of(action)
        return f"{action['status']}: {json.dumps(error)}" if error else str(action["status"])

    def source(self) -> str:
        return self.ended("Source")

    def token(self) -> None:
        """Wait for an approval's token."""
        for _ in range(120):
            self.probe.calls.clock.wait(1)
            state = self.probe.do("get_pipeline_state", name=self.names["pipeline"]).value
            for action in state["stageStates"][1]["actionStates"]:
                if token := action.get("latestExecution", {}).get("token"):
                    self.names["token"] = token
                    return
        raise UnansweredError("No approval has a token")

    def partner_type(self) -> None:
        self.names["partner"] = self.probe.own_partner()

    def partner(self) -> None:
        """Wait for a partner's job."""
        self.trial, job = self.stack.enter_context(self.probe.partner_job())
        details = self.probe.do("get_third_party_job_details", **job).value["jobDetails"]
        self.names |= {"job": job["jobId"], "token": job["clientToken"], "nonce": details["nonce"]}
