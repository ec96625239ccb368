"""Any structure is refused or runs to its end; any sequence of user actions keeps the rules."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from codepipeline_fixtures import (
    BOUNDED,
    REGION,
    TYPE,
    Service,
    action,
    configuration_property,
    running_service,
    source,
)

REFUSALS = {
    "ValidationException",
    *(f"Invalid{what}DeclarationException" for what in ("Action", "Stage")),
    "InvalidStructureException",
}
OVER = {"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"}
APPROVAL = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
LAMBDA = {"category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1"}
DEPLOY = {"category": "Deploy", "owner": "AWS", "provider": "CodeDeploy", "version": "1"}

names = st.sampled_from(["A", "B", "C"])
texts = st.sampled_from(
    ["t", "****", "", "#{A.x}", "#{variables.A}", "#{codepipeline.PipelineExecutionId}", "#{.}"]
)
artifacts = st.lists(names.map(lambda name: {"name": name}), max_size=2)
kinds = st.sampled_from([TYPE, TYPE, TYPE, APPROVAL, LAMBDA, DEPLOY, TYPE | {"provider": "No"}])


def declared(kind: dict[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    """An action of a type, usually a valid one."""
    keys = {"Text": texts} if kind["owner"] == "Custom" else {"FunctionName": texts}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "runOrder": st.integers(0, 3),
        "inputArtifacts": artifacts,
        "outputArtifacts": artifacts,
        "configuration": st.fixed_dictionaries({}, optional=keys),
        "namespace": names,
        "region": st.sampled_from([REGION, REGION, "us-east-1"]),
        "timeoutInMinutes": st.integers(4, 6),
    }
    fixed = {"name": names, "actionTypeId": st.just(kind)}
    return st.fixed_dictionaries(fixed, optional=optional)


stages = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["Source", "S2", "S3", "S4"]),
        "actions": st.lists(kinds.flatmap(declared), min_size=1, max_size=3),
    }
)
members = st.fixed_dictionaries(
    {},
    optional={
        "executionMode": st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL", "OTHER"]),
        "pipelineType": st.sampled_from(["V1", "V2", "V2"]),
        "variables": st.lists(
            st.fixed_dictionaries({"name": names}, optional={"defaultValue": texts}), max_size=2
        ),
        "artifactStores": st.just({REGION: {"type": "S3", "location": "artifacts"}}),
    },
)


def code_of(call: Callable[[], Any]) -> str | None:
    """The code of the error that a call raises."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


def go_on(service: Service, pick: Callable[[], bool]) -> None:
    """Answer all jobs and approvals that an execution waits for."""
    for job in service.poll():
        service.acknowledge(job)
        (service.succeed if pick() else service.fail)(job)
    for stage in service.stages():
        for state in stage["actionStates"]:
            token = state.get("latestExecution", {}).get("token")
            if token:
                status = "Approved" if pick() else "Rejected"
                service.api.put_approval_result(
                    pipelineName="release",
                    stageName=stage["stageName"],
                    actionName=state["actionName"],
                    result={"status": status, "summary": "s"},
                    token=token,
                )


def tidy_up(pipeline: dict[str, Any]) -> None:
    """Remove what is refused most often, so that more pipelines run."""
    for number, stage in enumerate(pipeline["stages"][1:]):
        stage["name"] = f"Stage{number}"
        for index, each in enumerate(stage["actions"]):
            each["name"] = f"{each['name']}{index}"
            for member in ("namespace", "region", "timeoutInMinutes", "inputArtifacts"):
                each.pop(member, None)
            each["runOrder"] = max(1, each.get("runOrder", 1))
            each["outputArtifacts"] = []
            each["configuration"] = {"FunctionName": "f"} if each["actionTypeId"] == LAMBDA else {}


@pytest.mark.slow
@given(
    data=st.data(),
    first=st.booleans(),
    tidy=st.booleans(),
    rest=st.lists(stages, min_size=1, max_size=3),
    more=members,
)
@settings(BOUNDED, max_examples=60)
def test_any_structure_is_refused_or_runs_to_its_end(
    data: st.DataObject,
    first: bool,
    tidy: bool,
    rest: list[dict[str, Any]],
    more: dict[str, Any],
) -> None:
    with running_service() as service:
        service.register(
            configurationProperties=[
                configuration_property("Text", required=False, secret=True, key=False)
            ]
        )
        pipeline = service.structure() | more
        if first:
            pipeline["stages"][0]["actions"] = [source(outputArtifacts=["A"])]
        pipeline["stages"] += rest
        if tidy:
            tidy_up(pipeline)
        refused = code_of(lambda: service.api.create_pipeline(pipeline=pipeline))
        event(str(refused))
        if refused is not None:
            assert refused in REFUSALS
            return
        values = [{"name": each["name"], "value": "v"} for each in more.get("variables", [])]
        with_values = {"variables": values} if values else {}
        started = service.api.start_pipeline_execution(name="release", **with_values)
        execution_id = started["pipelineExecutionId"]
        for _ in range(30):
            if service.status(execution_id) in OVER:
                break
            go_on(service, lambda: data.draw(st.booleans()))
        assert service.status(execution_id) in OVER
        assert service.api.list_action_executions(pipelineName="release")["actionExecutionDetails"]


class People(RuleBasedStateMachine):
    """What users do with one pipeline of three stages: a job, an approval and a job."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.service = self.stack.enter_context(running_service())
        self.executions: list[str] = []
        self.closed: set[str] = set()

    def teardown(self) -> None:
        self.stack.close()

    @initialize(mode=st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL"]))
    def create(self, mode: str) -> None:
        self.mode = mode
        self.service.register()
        self.service.create(
            [self.service.action("First")],
            [action("Ask", APPROVAL)],
            [self.service.action("Last")],
            pipelineType="V2",
            executionMode=mode,
        )

    @rule()
    def start(self) -> None:
        if len(self.executions) < 8:
            self.executions.append(self.service.start())

    @rule(good=st.booleans())
    def work(self, good: bool) -> None:
        for job in self.service.poll(limit=1):
            self.service.acknowledge(job)
            (self.service.succeed if good else self.service.fail)(job)

    @rule(good=st.booleans())
    def approve(self, good: bool) -> None:
        go_on_with = self.service.stage("Stage3")["actionStates"][0].get("latestExecution", {})
        if "token" in go_on_with:
            self.service.api.put_approval_result(
                pipelineName="release",
                stageName="Stage3",
                actionName="Ask",
                result={"status": "Approved" if good else "Rejected", "summary": ""},
                token=go_on_with["token"],
            )

    @rule(stage=st.sampled_from(["Stage2", "Stage3", "Stage4"]))
    def disable(self, stage: str) -> None:
        self.service.api.disable_stage_transition(
            pipelineName="release", stageName=stage, transitionType="Inbound", reason="r"
        )
        self.closed.add(stage)

    @rule(stage=st.sampled_from(["Stage2", "Stage3", "Stage4"]))
    def enable(self, stage: str) -> None:
        self.service.api.enable_stage_transition(
            pipelineName="release", stageName=stage, transitionType="Inbound"
        )
        self.closed.discard(stage)

    @rule(data=st.data(), stage=st.sampled_from(["Source", "Stage2", "Stage3", "Stage4"]))
    def retry(self, data: st.DataObject, stage: str) -> None:
        if self.executions:
            execution_id = data.draw(st.sampled_from(self.executions))
            refused = code_of(lambda: self.service.retry(execution_id, stageName=stage))
            assert refused in (
                None,
                "StageNotRetryableException",
                "NotLatestPipelineExecutionException",
            )

    @rule(data=st.data(), abandon=st.booleans())
    def stop(self, data: st.DataObject, abandon: bool) -> None:
        if self.executions:
            execution_id = data.draw(st.sampled_from(self.executions))
            refused = code_of(lambda: self.service.stop(execution_id, abandon=abandon))
            assert refused in (
                None,
                "PipelineExecutionNotStoppableException",
                "DuplicatedStopRequestException",
            )

    @rule(seconds=st.sampled_from([1, 60, 3600, 24 * 3600]))
    def let_time_pass(self, seconds: int) -> None:
        self.service.clock.advance(seconds)

    @invariant()
    def a_stage_runs_one_execution(self) -> None:
        if not self.executions or self.mode == "PARALLEL":
            return
        runs = self.service.backend._runs(self.service.backend.pipelines["release"])
        for name in ("Source", "Stage2", "Stage3", "Stage4"):
            inside = [stage for run in runs for stage in run.stages if stage.name == name]
            assert sum(bool(stage.in_progress) for stage in inside) <= 1

    @invariant()
    def an_execution_that_waits_has_not_begun(self) -> None:
        if not self.executions:
            return
        for stage in self.service.stages():
            for waiting in stage.get("inboundExecutions", []):
                status = self.service.status(waiting["pipelineExecutionId"])
                assert status == "InProgress"
            name = stage["stageName"]
            assert stage["inboundTransitionState"]["enabled"] == (name not in self.closed)


@pytest.mark.parametrize("examples", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_any_sequence_of_what_users_do_keeps_the_rules(examples: int) -> None:
    bounded = settings(BOUNDED, max_examples=examples, stateful_step_count=30)
    run_state_machine_as_test(People, settings=bounded)


def test_executions_that_were_held_up_end_once_all_transitions_are_enabled() -> None:
    machine = People()
    machine.create("QUEUED")
    machine.disable("Stage3")
    for _ in range(5):
        machine.start()
        machine.work(good=True)
    machine.enable("Stage3")
    for _ in range(40):
        go_on(machine.service, lambda: True)
    assert {machine.service.status(each) for each in machine.executions} == {"Succeeded"}
    machine.teardown()
