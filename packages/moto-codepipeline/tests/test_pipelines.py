"""Any structure is refused or runs to its end; any sequence of user actions keeps the rules."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from codepipeline_fixtures import (
    ACCOUNT,
    APPROVAL,
    BOUNDED,
    IDLE,
    LAMBDA,
    PARTNER_TYPE,
    REGION,
    SOURCE,
    TYPE,
    Service,
    Worker,
    action,
    action_type,
    client,
    configuration_property,
    context,
    running_service,
    source,
)
from moto_codepipeline.runs import PipelineRun

REFUSALS = {
    "ValidationException",
    "ValidationError",
    *(f"Invalid{what}DeclarationException" for what in ("Action", "Stage")),
    "InvalidStructureException",
}
OVER = {"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"}

names = st.sampled_from(["A", "B", "C"])
texts = st.sampled_from(
    ["t", "****", "", "#{A.x}", "#{variables.A}", "#{codepipeline.PipelineExecutionId}", "#{.}"]
)
artifacts = st.lists(names.map(lambda name: {"name": name}), max_size=2)
kinds = st.sampled_from(
    [
        TYPE,
        TYPE,
        PARTNER_TYPE,
        PARTNER_TYPE,
        APPROVAL,
        LAMBDA,
        IDLE,
        SOURCE,
        TYPE | {"provider": "No"},
    ]
)


def declared(kind: dict[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    """An action of a type, usually a valid one."""
    keys = {"Text": texts} if kind["owner"] != "AWS" else {"FunctionName": texts}
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
    },
    optional={"onFailure": st.sampled_from([{}, {"result": "RETRY"}])},
)
STORE = {"type": "S3", "location": "artifacts"}
members = st.fixed_dictionaries(
    {},
    optional={
        "executionMode": st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL", "OTHER"]),
        "pipelineType": st.sampled_from(["V1", "V2", "V2"]),
        "variables": st.lists(
            st.fixed_dictionaries({"name": names}, optional={"defaultValue": texts}), max_size=2
        ),
        "artifactStores": st.sampled_from([{REGION: STORE}, {REGION: STORE, "us-east-1": STORE}]),
        "triggers": st.just([]),
        "roleArn": st.just(f"arn:aws:iam::{ACCOUNT}:role/other"),
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
    for key in service.backend.action_types:
        worker = Worker(service.api, service.backend, key.owner)
        for job in worker.poll(actionTypeId=key._asdict(), maxBatchSize=100):
            worker.acknowledge(job)
            if pick():
                worker.succeed(job)
            else:
                worker.fail(job, failureDetails={"type": "JobFailed", "message": "m"})
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
    pipeline.pop("triggers", None)
    pipeline["roleArn"] = f"arn:aws:iam::{ACCOUNT}:role/pipeline"
    for number, stage in enumerate(pipeline["stages"][1:]):
        stage["name"] = f"Stage{number}"
        stage.pop("onFailure", None)
        for index, each in enumerate(stage["actions"]):
            each["name"] = f"{each['name']}{index}"
            if each["actionTypeId"] == SOURCE:
                each["actionTypeId"] = TYPE
            in_other_region = {LAMBDA["provider"], IDLE["provider"]}
            if each["actionTypeId"]["provider"] not in in_other_region:
                each.pop("region", None)
            for member in ("namespace", "timeoutInMinutes", "inputArtifacts"):
                each.pop(member, None)
            each["runOrder"] = max(1, each.get("runOrder", 1))
            each["outputArtifacts"] = []
            each["configuration"] = {"FunctionName": "f"} if each["actionTypeId"] == LAMBDA else {}


def properties(declared: Any) -> Any:
    """A declaration as a template's properties."""
    if isinstance(declared, list):
        return [properties(each) for each in declared]
    if not isinstance(declared, dict):
        return declared
    return {
        name[0].upper() + name[1:]: value
        if name == "configuration"
        else [
            {"Region": region, "ArtifactStore": properties(each)} for region, each in value.items()
        ]
        if name == "artifactStores"
        else properties(value)
        for name, value in declared.items()
    }


def put(service: Service, pipeline: dict[str, Any], how: str) -> None:
    """Make a pipeline in one of three ways."""
    if how == "template":
        resource = {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties(pipeline)}
        body = json.dumps({"Resources": {"Release": resource}})
        client("cloudformation").create_stack(StackName="release", TemplateBody=body)
    elif how == "update":
        service.create()
        service.api.update_pipeline(pipeline=pipeline)
    else:
        service.api.create_pipeline(pipeline=pipeline)


@pytest.mark.slow
@given(
    data=st.data(),
    how=st.sampled_from(["create", "update", "template"]),
    first=st.booleans(),
    tidy=st.booleans(),
    rest=st.lists(stages, min_size=1, max_size=3),
    more=members,
)
@settings(BOUNDED, max_examples=60)
def test_any_structure_is_refused_or_runs_to_its_end(
    data: st.DataObject,
    how: str,
    first: bool,
    tidy: bool,
    rest: list[dict[str, Any]],
    more: dict[str, Any],
) -> None:
    with running_service() as service:
        text = configuration_property("Text", required=False, secret=True, key=False)
        service.register(configurationProperties=[text])
        service.backend.register_third_party_action_type(
            action_type(configurationProperties=[text])
        )
        pipeline = service.structure() | more
        if first:
            pipeline["stages"][0]["actions"] = [source(outputArtifacts=["A"])]
        pipeline["stages"] += rest
        if "artifactStores" in pipeline and (tidy or data.draw(st.booleans())):
            del pipeline["artifactStore"]
        if tidy:
            tidy_up(pipeline)
        refused = code_of(lambda: put(service, pipeline, how))
        event(f"{how}: {refused}")
        if refused is not None:
            assert refused in REFUSALS
            assert (refused == "ValidationError") == (how == "template")
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
        assert service.action_executions()


SECRET = "hunter2"
secrets = st.lists(
    st.sampled_from(
        [SECRET, "x" * 50_000, "#{", "}", "*", "\n"]
        + [f"#{{{name}}}" for name in (SECRET, f"No.{SECRET}", f"variables.{SECRET}")]
    ),
    max_size=3,
).map(lambda parts: "".join([*parts, SECRET]))


@given(
    value=secrets,
    how=st.sampled_from(["create", "update", "template"]),
    owner=st.sampled_from(["Custom", "ThirdParty"]),
    more=st.fixed_dictionaries(
        {}, optional={"Plain": secrets.map(lambda t: t.replace(SECRET, ""))}
    ),
    variables=st.sampled_from([None, [{"name": "A"}], [{"name": "A", "defaultValue": "a"}]]),
)
@settings(BOUNDED, max_examples=40)
def test_a_secret_is_in_no_answer_error_event_or_log(
    caplog: pytest.LogCaptureFixture,
    value: str,
    how: str,
    owner: str,
    more: dict[str, str],
    variables: list[dict[str, str]] | None,
) -> None:
    caplog.clear()
    with running_service(owner) as service:
        secret = configuration_property("Text", required=False, secret=True, key=False)
        service.register(
            configurationProperties=[secret, configuration_property("Plain", required=False)],
            settings={"entityUrlTemplate": "https://ci.example/{Config:Text}"},
        )
        build = service.action("Build", configuration={"Text": value, **more})
        pipeline = service.structure([build]) | ({"variables": variables} if variables else {})
        seen: list[object] = []
        try:
            put(service, pipeline, how)
            started = service.start()
            shown = service.api.get_pipeline(name="release")["pipeline"]
            seen += [shown, service.stages(), service.execution(started), service.entries]
            seen.append(service.api.list_action_executions(pipelineName="release"))
            seen.append(service.api.update_pipeline(pipeline=shown))
            seen.append(service.backend.overview())
            run = service.backend.pipelines["release"].executions[started]
            assert isinstance(run, PipelineRun)
            seen += [run, *run.actions]
        except ClientError as error:
            event(f"{how}: {error.response['Error']['Message'][:40]}")
            seen.append(error.response)
        assert SECRET not in repr(seen) + caplog.text


STAGES = {"Source": ["Fetch"], "Stage2": ["First", "Also"], "Stage3": ["Ask"], "Stage4": ["Last"]}
"""The actions of each stage. All are jobs but ``Fetch``, a source, and ``Ask``, an approval."""

DAY = 24 * 3600
TIME_LIMITS = {"First": DAY, "Also": DAY, "Ask": 7 * DAY, "Last": DAY}
NOT_RETRYABLE, NOT_LATEST = "StageNotRetryableException", "NotLatestPipelineExecutionException"
NOT_STOPPABLE = "PipelineExecutionNotStoppableException"


@dataclass(eq=False)
class Attempt:
    """One execution of an action, as it should be."""

    name: str
    since: float
    status: str = "InProgress"


@dataclass(eq=False)
class Execution:
    """An execution of the pipeline, as it should be. A stage has a status once it is entered."""

    id: str
    status: str = "InProgress"
    stages: dict[str, str] = field(default_factory=dict)
    newest: dict[str, Attempt] = field(default_factory=dict)
    attempts: list[tuple[str, Attempt]] = field(default_factory=list)

    @property
    def stage(self) -> str | None:
        """The stage that it is in, or is to enter."""
        return next((each for each in STAGES if self.stages.get(each) != "Succeeded"), None)

    @property
    def under_way(self) -> bool:
        return self.status in ("InProgress", "Stopping")

    def of_stage(self, stage: str) -> list[Attempt]:
        return [self.newest[name] for name in STAGES[stage] if name in self.newest]

    def in_progress(self, stage: str | None) -> list[Attempt]:
        attempts = self.of_stage(stage) if stage else []
        return [each for each in attempts if each.status == "InProgress"]


class Expected:
    """What should become of a pipeline's executions, by the documented rules.

    A stage runs one execution; those that wait enter it in the order of their arrival, once its
    transition is enabled. A newer one supersedes the one that waits in SUPERSEDED mode; none waits
    for another in PARALLEL mode.
    """

    def __init__(self, mode: str, now: float) -> None:
        self.mode = mode
        self.now = now
        self.executions: list[Execution] = []
        self.waiting: dict[str, list[Execution]] = {stage: [] for stage in STAGES}
        self.inside: dict[str, Execution] = {}
        self.disabled: set[str] = set()
        self.jobs: list[tuple[Execution, Attempt]] = []

    def go_on(self, execution: Execution) -> None:
        """Bring an execution to where it waits, then those that waited for what it has left."""
        while execution.under_way and (stage := execution.stage):
            if stage not in execution.stages:
                if not self._may_enter(stage):
                    self._wait(execution, stage)
                    break
                self._enter(execution, stage)
            elif execution.in_progress(stage):
                break
            else:
                self._leave(execution, stage)
        if execution.stage is None:
            execution.status = "Succeeded"
        self.admit()

    def admit(self) -> None:
        """Let those that have waited longest enter the stages that they may enter."""
        for stage, waiting in self.waiting.items():
            while waiting and self._may_enter(stage):
                admitted = waiting.pop(0)
                self._enter(admitted, stage)
                self.go_on(admitted)

    def _may_enter(self, stage: str) -> bool:
        free = self.mode == "PARALLEL" or stage not in self.inside
        return free and stage not in self.disabled

    def _wait(self, execution: Execution, stage: str) -> None:
        if self.mode == "SUPERSEDED":
            for each in self.waiting[stage]:
                each.status = "Superseded"
            self.waiting[stage].clear()
        self.waiting[stage].append(execution)

    def _enter(self, execution: Execution, stage: str) -> None:
        self.inside[stage] = execution
        execution.stages[stage] = "InProgress"
        self.begin(execution, stage, STAGES[stage])

    def _leave(self, execution: Execution, stage: str) -> None:
        failed = "Failed" in [each.status for each in execution.of_stage(stage)]
        status = "Failed" if failed else "Succeeded"
        if execution.status == "Stopping":
            status = "Stopped"
        execution.stages[stage] = status
        if status != "Succeeded":
            execution.status = status
        if self.inside.get(stage) is execution:
            del self.inside[stage]

    def begin(self, execution: Execution, stage: str, names: list[str]) -> None:
        for name in names:
            attempt = Attempt(name, self.now)
            execution.newest[name] = attempt
            execution.attempts.append((stage, attempt))
            if name == "Fetch":
                attempt.status = "Succeeded"
            elif name != "Ask":
                self.jobs.append((execution, attempt))

    def end(self, execution: Execution, attempt: Attempt, status: str) -> None:
        attempt.status = status
        self.jobs = [each for each in self.jobs if each[1] is not attempt]
        self.go_on(execution)

    def let_time_pass(self, seconds: float) -> None:
        """Go from one timeout to the next, since the next execution may begin at each of them."""
        until = self.now + seconds
        while True:
            running = [
                (attempt.since + TIME_LIMITS[attempt.name], execution, attempt)
                for execution in self.executions
                for attempt in execution.in_progress(execution.stage)
            ]
            first = min(running, key=lambda each: each[0], default=None)
            if first is None or first[0] > until:
                self.now = until
                return
            self.now, execution, attempt = first
            self.end(execution, attempt, "Failed")

    def stop(self, execution: Execution, *, abandon: bool) -> str | None:
        """Stop an execution; return the error's code if it is refused."""
        stage = execution.stage
        if not execution.under_way or stage is None or not execution.in_progress(stage):
            return NOT_STOPPABLE
        if execution.status == "Stopping" and not abandon:
            return "DuplicatedStopRequestException"
        execution.status = execution.stages[stage] = "Stopping"
        if abandon:
            for each in execution.in_progress(stage):
                each.status = "Abandoned"
                self.jobs = [job for job in self.jobs if job[1] is not each]
        self.go_on(execution)
        return None

    def retry(self, execution: Execution, stage: str, mode: str) -> str | None:
        """Retry a stage; return the error's code if it is refused."""
        newer = self.executions[self.executions.index(execution) + 1 :]
        if self.mode != "PARALLEL" and any(stage in each.stages for each in newer):
            return NOT_LATEST
        status, attempts = execution.stages.get(stage), execution.of_stage(stage)
        failed = [each for each in attempts if each.status == "Failed"]
        if status == "Stopping" or (status != "Stopped" and not failed):
            return NOT_RETRYABLE
        if mode == "ALL_ACTIONS" and execution.in_progress(stage):
            return NOT_RETRYABLE
        again = [
            each.name
            for each in attempts
            if mode == "ALL_ACTIONS" or each.status in ("Failed", "Abandoned")
        ]
        execution.status = execution.stages[stage] = "InProgress"
        self.inside[stage] = execution
        self.begin(execution, stage, again)
        self.go_on(execution)
        return None

    def newest_in(self, stage: str) -> Execution | None:
        """The newest execution that has entered a stage."""
        return next((each for each in reversed(self.executions) if stage in each.stages), None)


class People(RuleBasedStateMachine):
    """What users do with one pipeline of two jobs, an approval and a job, and what should be."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.service = self.stack.enter_context(running_service())
        self.expected: Expected | None = None
        self.tokens: dict[str, tuple[Execution, Attempt]] = {}

    def teardown(self) -> None:
        self.stack.close()

    @initialize(mode=st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL"]))
    def create(self, mode: str) -> None:
        self.service.register()
        self.service.create(
            [self.service.action("First"), self.service.action("Also")],
            [action("Ask", APPROVAL)],
            [self.service.action("Last")],
            pipelineType="V2",
            executionMode=mode,
        )
        self.expected = Expected(mode, self.service.clock.now())
        self.start()

    @property
    def there(self) -> Expected:
        assert self.expected is not None
        return self.expected

    @precondition(lambda self: len(self.there.executions) < 8)
    @rule()
    def start(self) -> None:
        execution = Execution(self.service.start())
        self.there.executions.append(execution)
        self.there.go_on(execution)

    @rule(results=st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=4))
    def work(self, results: list[bool]) -> None:
        """The oldest job is offered first."""
        for good in results:
            jobs = self.service.poll(limit=1)
            assert len(jobs) == min(1, len(self.there.jobs))
            for job in jobs:
                execution, attempt = self.there.jobs[0]
                assert context(job)["pipelineExecutionId"] == execution.id
                assert context(job)["action"]["name"] == attempt.name
                self.service.acknowledge(job)
                (self.service.succeed if good else self.service.fail)(job)
                self.there.end(execution, attempt, "Succeeded" if good else "Failed")

    @rule(good=st.sampled_from([True, True, False, None]))
    def approve(self, good: bool | None) -> None:
        """The state shows the token of the newest approval, while it waits. None: see it only."""
        shown = self.service.stage("Stage3")["actionStates"][0].get("latestExecution", {})
        newest = self.there.newest_in("Stage3")
        waits = newest is not None and bool(newest.in_progress("Stage3"))
        assert ("token" in shown) == waits
        if newest is not None and waits:
            self.tokens[shown["token"]] = newest, newest.newest["Ask"]
            if good is not None:
                self.answer(shown["token"], good=good)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), good=st.booleans())
    def answer_an_earlier_approval(self, data: st.DataObject, good: bool) -> None:
        self.answer(data.draw(st.sampled_from(sorted(self.tokens))), good=good)

    def answer(self, token: str, *, good: bool) -> None:
        execution, attempt = self.tokens[token]
        refused = code_of(
            lambda: self.service.api.put_approval_result(
                pipelineName="release",
                stageName="Stage3",
                actionName="Ask",
                result={"status": "Approved" if good else "Rejected", "summary": ""},
                token=token,
            )
        )
        ended, out_of_date = "ApprovalAlreadyCompletedException", "InvalidApprovalTokenException"
        codes = {"InProgress": None, "Abandoned": out_of_date}
        assert refused == codes.get(attempt.status, ended)
        if refused is None:
            self.there.end(execution, attempt, "Succeeded" if good else "Failed")

    @rule(stage=st.sampled_from(["Stage2", "Stage3", "Stage4"]), outbound=st.booleans())
    def switch_a_transition(self, stage: str, outbound: bool) -> None:
        """Disable a stage's transition, or enable one that is disabled."""
        place = self.transition(stage, outbound=outbound)
        if stage in self.there.disabled:
            self.service.api.enable_stage_transition(**place)
        else:
            self.service.api.disable_stage_transition(**place, reason="r")
        self.there.disabled ^= {stage}
        self.there.admit()

    def transition(self, stage: str, *, outbound: bool) -> dict[str, str]:
        """The transition to a stage, by either of its names."""
        names = list(STAGES)
        named = names[names.index(stage) - 1] if outbound else stage
        kind = "Outbound" if outbound else "Inbound"
        return {"pipelineName": "release", "stageName": named, "transitionType": kind}

    @rule(
        data=st.data(),
        anyone=st.sampled_from([False, False, True]),
        stage=st.none() | st.sampled_from(sorted(STAGES)),
        mode=st.sampled_from(["FAILED_ACTIONS", "ALL_ACTIONS"]),
    )
    def retry(self, data: st.DataObject, anyone: bool, stage: str | None, mode: str) -> None:
        """Usually of the stage that an execution is in."""
        execution = self.one_of_them(data, "Failed", "Stopped", "InProgress", anyone=anyone)
        self.retry_stage(execution, stage or execution.stage or "Stage2", mode)

    @precondition(lambda self: self.there.jobs and len(self.there.executions) < 8)
    @rule(mode=st.sampled_from(["FAILED_ACTIONS", "ALL_ACTIONS"]))
    def fail_retry_and_start(self, mode: str) -> None:
        """A retried execution is in its stage again when the next one arrives there."""
        execution, _ = self.there.jobs[0]
        while self.there.jobs and execution.status == "InProgress":
            self.work([False])
        if execution.status == "Failed" and execution.stage:
            self.retry_stage(execution, execution.stage, mode)
        self.start()

    def retry_stage(self, execution: Execution, name: str, mode: str) -> None:
        refused = code_of(lambda: self.service.retry(execution.id, mode, stageName=name))
        assert refused == self.there.retry(execution, name, mode)

    @rule(data=st.data(), anyone=st.sampled_from([False, False, True]), abandon=st.booleans())
    def stop(self, data: st.DataObject, anyone: bool, abandon: bool) -> None:
        execution = self.one_of_them(data, "InProgress", "Stopping", anyone=anyone)
        refused = code_of(lambda: self.service.stop(execution.id, abandon=abandon))
        assert refused == self.there.stop(execution, abandon=abandon)

    def one_of_them(self, data: st.DataObject, *statuses: str, anyone: bool) -> Execution:
        """An execution with one of these statuses, or any."""
        every = self.there.executions
        likely = [each for each in every if anyone or each.status in statuses]
        return data.draw(st.sampled_from(likely or every))

    @rule(seconds=st.sampled_from([1, 60, 3600, DAY - 1, DAY, 7 * DAY]))
    def let_time_pass(self, seconds: int) -> None:
        self.service.clock.advance(seconds)
        self.there.let_time_pass(seconds)

    @invariant()
    def everything_is_as_expected(self) -> None:
        if self.expected is None:
            return
        backend = self.service.backend
        summaries, _ = backend.summarize_pipeline_executions("release", None, 10_000, None)
        assert {each["pipelineExecutionId"]: each["status"] for each in summaries} == {
            each.id: each.status for each in self.there.executions
        }
        details, _ = backend.list_action_executions("release", None, 10_000, None)
        names = ("pipelineExecutionId", "stageName", "actionName", "status")
        assert sorted(tuple(each[name] for name in names) for each in details) == sorted(
            (execution.id, stage, attempt.name, attempt.status)
            for execution in self.there.executions
            for stage, attempt in execution.attempts
        )

    @invariant()
    def the_state_shows_what_waits_and_what_runs(self) -> None:
        if self.expected is None:
            return
        for state in self.service.backend.get_pipeline_state("release")["stageStates"]:
            stage = state["stageName"]
            assert state["inboundTransitionState"]["enabled"] == (stage not in self.there.disabled)
            waiting = [
                {"pipelineExecutionId": each.id, "status": "InProgress"}
                for each in self.there.waiting[stage]
            ]
            assert state["inboundExecutions"] == waiting
            assert state.get("inboundExecution") == (waiting[0] if waiting else None)
            newest = self.there.newest_in(stage)
            assert state.get("latestExecution") == (
                {"pipelineExecutionId": newest.id, "status": newest.stages[stage]}
                if newest
                else None
            )


@pytest.mark.parametrize("examples", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_any_sequence_of_what_users_do_keeps_the_rules(examples: int) -> None:
    bounded = settings(BOUNDED, max_examples=examples, stateful_step_count=40)
    run_state_machine_as_test(People, settings=bounded)


def test_executions_that_were_held_up_end_once_the_transition_is_enabled() -> None:
    with running_service() as service:
        service.register()
        service.create(
            [service.action("First")],
            [action("Ask", APPROVAL)],
            [service.action("Last")],
            pipelineType="V2",
            executionMode="QUEUED",
        )
        place = {"pipelineName": "release", "stageName": "Stage3", "transitionType": "Inbound"}
        service.api.disable_stage_transition(**place, reason="r")
        executions = []
        for _ in range(5):
            executions.append(service.start())
            service.succeed(service.take())
        service.api.enable_stage_transition(**place)
        for _ in range(40):
            go_on(service, lambda: True)
        assert {service.status(each) for each in executions} == {"Succeeded"}
