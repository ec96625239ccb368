"""Facts: what an endpoint does where there is no switch, and the texts of its errors.

Each belongs to a row of docs/behaviour.md, and is found by one function, in words. Ids and names
that differ between runs are replaced in it, so that it can be compared with ``EMULATOR``.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .calls import Answer, UnansweredError
from .place import Place
from .trials import UNKNOWN_JOB, Probe, Trial, claim, error_of, jobs

EMULATOR = Path(__file__).with_name("emulator.toml")
"""The facts about this package's CodePipeline, with the defaults of all switches."""

GROUPS = {
    "texts": ("What do invalid calls return?", "Made invalid calls", "1 min"),
    "structures": (
        "What do invalid structures return?",
        "Updated the pipeline with invalid structures",
        "1 min",
    ),
    "types": (
        "What can be done with action types?",
        "Created, deleted and polled for spare types, and called GetActionType",
        "1 min",
    ),
    "runs": (
        "What happens to actions without what they need, and to jobs nobody waits for?",
        "Ran the pipeline with such actions, and abandoned or canceled others",
        "20 min",
    ),
    "approvals": ("How do approvals end?", "Ran the pipeline with a manual approval", "8 min"),
    "retries": ("Which stages can be retried?", "Retried a stage that can't be retried", "8 min"),
    "partner": (
        "What do invalid calls about partner jobs return?",
        "Made invalid calls about a partner's job",
        "3 min",
    ),
}
"""The groups in which facts are asked: the question, how it is asked, and how long it takes."""

ROWS_NOT_ASKED = {
    "How a partner gets clients": "It is arranged with AWS, outside the API",
    "The accounts in `pollingAccounts`": "It needs a second account",
    "The accounts in `allowedAccounts`": "It needs a second account",
    "More than 1000 pipelines": "It would create 1000 pipelines in your account",
    "When ConflictException": "No call is known to cause it",
}
"""Why a row of docs/behaviour.md that is unknown is not asked about, by how the row begins."""

Ask = Callable[[Probe], str]


@dataclass(frozen=True)
class Fact:
    """``row`` is how its row of docs/behaviour.md begins; ``ask`` may raise UnansweredError."""

    group: str
    row: str
    ask: Ask


FACTS: dict[str, Fact] = {}


def fact(group: str, row: str) -> Callable[[Ask], None]:
    """Register a function that finds the fact of its name."""
    return lambda ask: FACTS.update({ask.__name__: Fact(group, row, ask)})


def told(answer: Answer, member: str = "") -> str:
    """An error, or else a member of the response, or that the call was accepted."""
    return str(answer) if answer.code else str(answer.value.get(member, "accepted"))


def elsewhere(region: str) -> str:
    """Another region."""
    return "us-west-2" if region == "us-east-1" else "us-east-1"


def plain(probe: Probe, text: str) -> str:
    """A text without what differs between runs and accounts."""
    place = probe.place
    names = {place.type_id["provider"]: "TYPE", place.prefix: "PREFIX", place.account: "ACCOUNT"}
    region = place.calls.region
    names |= {
        region: "REGION",
        region.replace("-", "_").upper(): "REGION",
        elsewhere(region): "OTHER",
    }
    for name, instead in names.items():
        text = text.replace(name, f"<{instead}>")
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<ID>", text)


# -- Calls that need nothing but the pipeline and its action type ----------------------------------

VIOLATIONS = "Texts of violations of length"
QUERY = "A poll for a type with a queryable property"
CALLS: dict[str, tuple[str, str, Callable[[Place], dict[str, Any]]]] = {
    "short_text": (VIOLATIONS, "acknowledge_job", lambda _: {"jobId": UNKNOWN_JOB, "nonce": ""}),
    "small_number": (VIOLATIONS, "poll_for_jobs", lambda p: poll_of(p) | {"maxBatchSize": 0}),
    "long_list": (
        VIOLATIONS,
        "create_custom_action_type",
        lambda p: p.type_request(
            configurationProperties=p.type_request()["configurationProperties"] * 4
        ),
    ),
    "large_map": (VIOLATIONS, "poll_for_jobs", lambda p: poll_of(p, One="1", Two="2")),
    "wrong_map_value": (VIOLATIONS, "poll_for_jobs", lambda p: poll_of(p, Trial="?")),
    "number_for_a_text": (VIOLATIONS, "get_job_details", lambda _: {"jobId": 1}),
    "text_for_a_number": (
        VIOLATIONS,
        "poll_for_jobs",
        lambda p: poll_of(p) | {"maxBatchSize": "1"},
    ),
    "unknown_job": (
        "An unknown job: JobNotFoundException",
        "acknowledge_job",
        lambda _: {"jobId": UNKNOWN_JOB, "nonce": "1"},
    ),
    "poll_without_its_query": (QUERY, "poll_for_jobs", lambda p: {"actionTypeId": p.type_id}),
    "poll_with_another_query": (QUERY, "poll_for_jobs", lambda p: poll_of(p, Other="1")),
    "unknown_version": (
        "GetPipeline by `version`",
        "get_pipeline",
        lambda p: {"name": p.pipeline_name, "version": 100_000},
    ),
    "unknown_page": (
        "",
        "list_pipeline_executions",
        lambda p: {"pipelineName": p.pipeline_name, "nextToken": "unknown"},
    ),
    "unknown_stage": (
        "",
        "retry_stage_execution",
        lambda p: retry_of(p, UNKNOWN_JOB) | {"stageName": "Unknown"},
    ),
    "unknown_action": ("", "put_approval_result", lambda p: answer_of(p, UNKNOWN_JOB, "Unknown")),
    "retry_of_no_execution": (
        "A retry of an execution that does not exist",
        "retry_stage_execution",
        lambda p: retry_of(p, UNKNOWN_JOB),
    ),
}


def poll_of(place: Place, **query: str) -> dict[str, Any]:
    return {"actionTypeId": place.type_id, "queryParam": query or {"Trial": "none"}}


def retry_of(place: Place, execution_id: str) -> dict[str, Any]:
    named = {"pipelineName": place.pipeline_name, "pipelineExecutionId": execution_id}
    return named | {"stageName": "Work", "retryMode": "FAILED_ACTIONS"}


def answer_of(place: Place, token: str, action: str = "Work-1") -> dict[str, Any]:
    """A rejection of an approval."""
    named = {"pipelineName": place.pipeline_name, "stageName": "Work", "actionName": action}
    return named | {"token": token, "result": {"summary": "No", "status": "Rejected"}}


def called(operation: str, request: Callable[[Place], dict[str, Any]]) -> Ask:
    return lambda probe: told(probe.ask(operation, **request(probe.place)))


FACTS |= {name: Fact("texts", row, called(call, of)) for name, (row, call, of) in CALLS.items()}


# -- Structures that are refused -------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """Parts of a valid pipeline, to make an invalid one of."""

    source: dict[str, Any]
    work: dict[str, Any]
    store: dict[str, str]
    region: str

    @classmethod
    def of(cls, place: Place) -> "Parts":
        whole = place.pipeline(place.actions("none"))
        [source], [work] = (stage["actions"] for stage in whole["stages"])
        return cls(source, work, whole["artifactStore"], place.calls.region)

    @property
    def elsewhere(self) -> dict[str, str]:
        return {"region": elsewhere(self.region)}

    def stores(self, *regions: str) -> dict[str, Any]:
        return {"artifactStore": None, "artifactStores": dict.fromkeys(regions, self.store)}

    @property
    def both_stores(self) -> dict[str, Any]:
        return self.stores(self.region, elsewhere(self.region))

    def works(self, count: int) -> list[dict[str, Any]]:
        return [self.work | {"name": f"Work-{number}"} for number in range(count)]

    def only(self, **changes: Any) -> dict[str, Any]:
        """The stages with a changed action."""
        return stages([self.source], [self.work | changes])


def stages(*actions: list[dict[str, Any]]) -> dict[str, Any]:
    """Stages of these actions."""
    return {"stages": [{"name": f"Stage-{n}", "actions": each} for n, each in enumerate(actions)]}


INVOKE = {"category": "Invoke", "owner": "AWS", "provider": "Lambda", "version": "1"}
MANUAL = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
SIZE, SIZE_OF_STAGE = "More than 50 stages, or 1000 actions", "A stage without actions"
NAMES, MODES = "A stage name used twice", "The QUEUED and PARALLEL modes in a pipeline of type V1"
STORES, ELSEWHERE = "Both `artifactStore`", "A custom, partner or source action in another region"
OWN_NAMESPACE = "A namespace used twice, or one of AWS's own"
CONFIGURATION = "A configuration property that the type does not have"
STRUCTURES: dict[str, tuple[str, Callable[[Parts], dict[str, Any]]]] = {
    "stages_51": (SIZE, lambda p: stages([p.source], *[[p.work]] * 50)),
    "actions_1001": (SIZE, lambda p: stages([p.source], *[p.works(50)] * 20)),
    "stage_without_actions": (SIZE_OF_STAGE, lambda p: stages([p.source], [])),
    "stage_of_51_actions": (SIZE_OF_STAGE, lambda p: stages([p.source], p.works(51))),
    "source_in_another_stage": (
        "A source action in another stage",
        lambda p: stages([p.source], [p.source | {"outputArtifacts": [{"name": "Other"}]}]),
    ),
    "stage_name_twice": (NAMES, lambda p: {"stages": [*p.only()["stages"], p.only()["stages"][1]]}),
    "action_name_twice": (NAMES, lambda p: stages([p.source], [p.work, p.work])),
    "output_artifact_twice": (
        "An output artifact name used twice",
        lambda p: stages([p.source, p.source | {"name": "Again"}], [p.work]),
    ),
    "namespace_codepipeline": (OWN_NAMESPACE, lambda p: p.only(namespace="codepipeline")),
    "namespace_variables": (OWN_NAMESPACE, lambda p: p.only(namespace="variables")),
    "mode_queued_in_v1": (MODES, lambda _: {"pipelineType": "V1", "executionMode": "QUEUED"}),
    "mode_parallel_in_v1": (MODES, lambda _: {"pipelineType": "V1", "executionMode": "PARALLEL"}),
    "store_and_stores": (STORES, lambda p: {"artifactStores": {p.region: p.store}}),
    "no_store": (STORES, lambda _: {"artifactStore": None}),
    "no_store_for_the_region": (
        STORES,
        lambda p: p.stores(elsewhere(p.region)),
    ),
    "custom_action_elsewhere": (ELSEWHERE, lambda p: p.only(**p.elsewhere) | p.both_stores),
    "source_action_elsewhere": (
        ELSEWHERE,
        lambda p: stages([p.source | p.elsewhere], [p.work]) | p.both_stores,
    ),
    "action_without_a_store_there": (
        ELSEWHERE,
        lambda p: p.only(actionTypeId=INVOKE, configuration={"FunctionName": "x"}, **p.elsewhere),
    ),
    "unknown_configuration": (
        CONFIGURATION,
        lambda p: p.only(configuration={"Trial": "none", "Other": "1"}),
    ),
    "missing_configuration": (CONFIGURATION, lambda p: p.only(configuration={})),
    "mask_without_a_value": (
        "A mask for a secret that has no value yet",
        lambda p: p.only(configuration={"Trial": "none", "Secret": "****"}),
    ),
    "timeout_of_a_custom_action": (
        "`timeoutInMinutes`, except in manual approvals",
        lambda p: p.only(timeoutInMinutes=5),
    ),
}


def updated(changes: Callable[[Parts], dict[str, Any]]) -> Ask:
    def ask(probe: Probe) -> str:
        place = probe.place
        whole = place.pipeline(place.actions("none")) | changes(Parts.of(place))
        kept = {name: each for name, each in whole.items() if each is not None}
        return told(probe.ask("update_pipeline", pipeline=kept))

    return ask


FACTS |= {name: Fact("structures", row, updated(of)) for name, (row, of) in STRUCTURES.items()}


# -- What needs an execution -----------------------------------------------------------------------


@fact("texts", "A poll that finds no jobs")
def empty_poll_body(probe: Probe) -> str:
    with probe.trial() as trial:
        probe.held(trial)
        probe.poll(trial)
        return probe.calls.body


def about_a_job(operation: str, **request: Any) -> Ask:
    """What a call about an acknowledged job returns."""

    def ask(probe: Probe) -> str:
        with probe.trial() as trial:
            return told(probe.ask(operation, jobId=probe.held(trial)["id"], **request))

    return ask


FACTS |= {
    "wrong_nonce": Fact(
        "texts", "Another worker's job, or a wrong nonce", about_a_job("acknowledge_job", nonce="1")
    ),
    "variables_of_122882_bytes": Fact(
        "texts",
        "Output variables of more than 122880 bytes",
        about_a_job("put_job_success_result", outputVariables={"Large": "é" * 61_441}),
    ),
    "summary_of_2048_characters_of_2_bytes": Fact(
        "texts",
        "",
        about_a_job("put_job_success_result", executionDetails={"summary": "é" * 2048}),
    ),
}


def start_with(variables: list[dict[str, str]], declared: list[dict[str, str]]) -> Ask:
    def ask(probe: Probe) -> str:
        place = probe.place
        structure = place.pipeline(place.actions("none"), variables=declared)
        probe.do("update_pipeline", pipeline=structure)
        given: dict[str, Any] = {**probe.start_request(str(uuid.uuid4()))}
        given |= {"variables": variables} if variables else {}
        answer = probe.ask("start_pipeline_execution", **given)
        if not answer.code:
            place.stop(answer.value["pipelineExecutionId"])
        return told(answer)

    return ask


VARIABLES = "When an execution starts, each pipeline variable must have a value"
KNOWN, OTHER = [{"name": "Known"}], [{"name": "Other", "value": "1"}]
FACTS |= {
    "start_without_a_value": Fact("texts", VARIABLES, start_with([], KNOWN)),
    "start_with_an_unknown_variable": Fact("texts", VARIABLES, start_with(OTHER, [])),
}


@fact("texts", "In these two modes no more than 50 executions")
def executions_60(probe: Probe) -> str:
    with probe.trial() as trial:
        started = [trial.execution_id]
        try:
            for _ in range(59):
                request = probe.start_request(str(uuid.uuid4()))
                answer = probe.clean(partial(probe.ask, "start_pipeline_execution", **request))
                if answer.code:
                    return f"after {len(started)}: {told(answer)}"
                started.append(answer.value["pipelineExecutionId"])
            return "60 were in progress"
        finally:
            for each in started[1:]:
                probe.place.stop(each)


# -- Action types ----------------------------------------------------------------------------------


@contextmanager
def spare(probe: Probe) -> Iterator[dict[str, Any]]:
    """The request that has created a spare action type without properties."""
    provider = f"{probe.place.type_id['provider']}-{uuid.uuid4().hex[:4]}"
    request = probe.place.type_request(provider=provider, configurationProperties=[])
    probe.do("create_custom_action_type", "ValidationException", **request)
    yield request
    probe.do("delete_custom_action_type", **named(request))


def named(request: dict[str, Any]) -> dict[str, str]:
    return {name: request[name] for name in ("category", "provider", "version")}


@fact("types", QUERY)
def poll_with_a_needless_query(probe: Probe) -> str:
    with spare(probe) as request:
        kind = named(request) | {"owner": "Custom"}
        answer = probe.ask("poll_for_jobs", actionTypeId=kind, queryParam={"Trial": "1"})
        return told(answer).replace(request["provider"], "<TYPE>")


@fact("types", "")
def type_that_exists(probe: Probe) -> str:
    return told(probe.ask("create_custom_action_type", **probe.place.type_request()))


@fact("types", "")
def deleted_type_again(probe: Probe) -> str:
    return recreated(probe)


@fact("types", "")
def deleted_type_otherwise(probe: Probe) -> str:
    return recreated(probe, outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})


def recreated(probe: Probe, **changes: Any) -> str:
    with spare(probe) as request:
        probe.do("delete_custom_action_type", **named(request))
        answer = probe.ask("create_custom_action_type", **request | changes)
        return told(answer).replace(request["provider"], "<TYPE>")


@fact("types", "This limit is for all jobs of the action together")
def job_timeout_of_the_type(probe: Probe) -> str:
    return job_timeout(probe, probe.place.type_id)


@fact("partner", "An executor's `jobTimeout` applies to each job")
def job_timeout_of_the_partner_type(probe: Probe) -> str:
    return job_timeout(probe, probe.own_partner())


def job_timeout(probe: Probe, kind: dict[str, str]) -> str:
    answer = probe.ask("get_action_type", **kind)
    executor = answer.value.get("actionType", {}).get("executor", {})
    return str(executor.get("jobTimeout", told(answer) if answer.code else "none is shown"))


# -- Runs ------------------------------------------------------------------------------------------


@fact("runs", "The first worker to poll gets the job")
def oldest_job_first(probe: Probe) -> str:
    def once() -> str:
        with probe.trial() as first:
            probe.calls.clock.wait(5)
            with probe.execution(first.value) as second:
                probe.wait_for_jobs()
                found = jobs(probe.poll(first, maxBatchSize=1))
                ids = {first.execution_id: "the older", second.execution_id: "the newer"}
                return " ".join(ids.get(execution_of(job), "another") for job in found)

    return probe.agreed(once)


def execution_of(job: dict[str, Any]) -> str:
    return str(job["data"]["pipelineContext"]["pipelineExecutionId"])


@fact("runs", "The nonce of an offer that was not acknowledged in time")
def late_acknowledgment(probe: Probe) -> str:
    seconds = probe.known.get("acknowledge_seconds")
    if seconds is None:
        raise UnansweredError("It needs the answer acknowledge_seconds")
    with probe.trial() as trial:
        job = probe.offered(trial)
        probe.calls.clock.wait(seconds * 1.1 + 1)
        return told(probe.ask("acknowledge_job", **claim(job)), "status")


@fact("runs", "Later actions can use output variables")
def unknown_output_variable(probe: Probe) -> str:
    with probe.trial(configuration={"Text": "#{Source.Nothing}"}) as trial:
        probe.wait_for_jobs()
        for job in jobs(probe.poll(trial)):
            return str(job["data"]["actionConfiguration"]["configuration"]["Text"])
        return failure(probe, trial)


@fact("runs", "Its bucket must be versioned")
def missing_artifact_bucket(probe: Probe) -> str:
    store = {"type": "S3", "location": f"{probe.place.bucket}-none"}
    with probe.trial(artifactStore=store) as trial:
        return failure(probe, trial, "Source")


@fact("runs", "A Lambda action invokes its function")
def missing_function(probe: Probe) -> str:
    configuration = {"FunctionName": f"{probe.place.prefix}-none"}
    stage = [{"name": "Work-1", "actionTypeId": INVOKE, "configuration": configuration}]
    with probe.trial(stage=stage) as trial:
        return failure(probe, trial)


def failure(probe: Probe, trial: Trial, name: str = "Work-1") -> str:
    """How an action ends, with its error."""
    action = probe.ended(trial, name)
    error = error_of(action)
    return f"{action['status']}: {json.dumps(error)}" if error else str(action["status"])


@fact("runs", "The job of an abandoned action, also one")
def poll_after_abandonment(probe: Probe) -> str:
    with probe.trial() as trial:
        probe.wait_for_jobs()
        abandon(probe, trial)
        return f"jobs: {len(jobs(probe.poll(trial)))}"


@fact("runs", "The acknowledgment of such a job")
def acknowledge_of_abandoned(probe: Probe) -> str:
    with probe.trial() as trial:
        job = probe.offered(trial)
        abandon(probe, trial)
        return told(probe.ask("acknowledge_job", **claim(job)), "status")


@fact("runs", "The details of such a job")
def details_of_abandoned(probe: Probe) -> str:
    with probe.trial() as trial:
        job = probe.held(trial)
        abandon(probe, trial)
        return told(probe.ask("get_job_details", jobId=job["id"]))


def abandon(probe: Probe, trial: Trial) -> None:
    probe.place.stop(trial.execution_id)
    probe.ended(trial, "Work-1")


@fact("runs", "The status of an action that was canceled")
def status_of_canceled(probe: Probe) -> str:
    with canceled(probe) as (trial, _):
        return str(probe.ended(trial, "Work-1")["status"])


@fact("runs", "The job of such an action")
def result_of_canceled(probe: Probe) -> str:
    with canceled(probe) as (_, job):
        return told(probe.ask("put_job_success_result", jobId=job["id"]))


@contextmanager
def canceled(probe: Probe) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """An execution that an update of its pipeline has cancelled, and its acknowledged job."""
    if probe.known.get("update_under_way") != "cancel":
        raise UnansweredError("It needs the answer update_under_way, and that this is cancel")
    with probe.trial() as trial:
        job = probe.held(trial)
        probe.do("update_pipeline", pipeline=probe.place.pipeline(probe.place.actions("updated")))
        probe.calls.clock.wait(60)
        yield trial, job


@fact("runs", "An execution that only waits for a stage")
def stop_of_a_waiting_execution(probe: Probe) -> str:
    with probe.trial(executionMode="QUEUED") as first:
        probe.held(first)
        with probe.execution(first.value) as second:
            probe.ended(second, "Source")
            named = {"pipelineName": probe.place.pipeline_name}
            named["pipelineExecutionId"] = second.execution_id
            answer = probe.ask("stop_pipeline_execution", abandon=True, **named)
            probe.place.stop(first.execution_id)
            if answer.code:
                probe.offered(second)  # now it can be stopped
            return told(answer)


# -- Approvals -------------------------------------------------------------------------------------

ANSWERED = "The token of an approval that was answered"


@contextmanager
def approval(probe: Probe) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """An execution that waits for an approval, and the request that rejects it."""
    place, began = probe.place, probe.calls.clock.now()
    stage = [{"name": "Work-1", "actionTypeId": MANUAL, "timeoutInMinutes": 5}]
    with probe.trial(stage=stage, executionMode="SUPERSEDED") as trial:
        found = None
        while found is None:
            if probe.calls.clock.now() - began > 240:
                raise UnansweredError("No approval has a token")
            probe.calls.clock.wait(1)
            state = probe.do("get_pipeline_state", name=place.pipeline_name).value
            latest = [a.get("latestExecution", {}) for a in state["stageStates"][1]["actionStates"]]
            found = next((each["token"] for each in latest if "token" in each), None)

        yield trial, answer_of(place, found)


@fact("approvals", "It fails when it is rejected")
def rejected_approval(probe: Probe) -> str:
    with approval(probe) as (trial, rejection):
        probe.do("put_approval_result", "ApprovalAlreadyCompletedException", **rejection)
        return failure(probe, trial)


@fact("approvals", "It fails when it is rejected")
def late_approval(probe: Probe) -> str:
    with approval(probe) as (trial, _):
        return failure(probe, trial)


@fact("approvals", ANSWERED)
def approval_answered_twice(probe: Probe) -> str:
    with approval(probe) as (_, rejection):
        probe.do("put_approval_result", "ApprovalAlreadyCompletedException", **rejection)
        return told(probe.ask("put_approval_result", **rejection))


@fact("approvals", ANSWERED)
def approval_with_another_token(probe: Probe) -> str:
    with approval(probe):
        return told(probe.ask("put_approval_result", **answer_of(probe.place, UNKNOWN_JOB)))


# -- Retries ---------------------------------------------------------------------------------------

NOT_RETRYABLE = "A stage without failed actions that was not stopped"


def retry(probe: Probe, trial: Trial) -> str:
    return told(probe.ask("retry_stage_execution", **retry_of(probe.place, trial.execution_id)))


@contextmanager
def failed(probe: Probe) -> Iterator[Trial]:
    """An execution whose job has failed."""
    with probe.trial(executionMode="SUPERSEDED") as trial:
        details = {"type": "JobFailed", "message": "It failed"}
        job = probe.held(trial)
        probe.do("put_job_failure_result", jobId=job["id"], failureDetails=details)
        probe.ended(trial, "Work-1")
        yield trial


@fact("retries", NOT_RETRYABLE)
def retry_in_progress(probe: Probe) -> str:
    with probe.trial(executionMode="SUPERSEDED") as trial:
        probe.held(trial)
        return retry(probe, trial)


@fact("retries", NOT_RETRYABLE)
def retry_after_an_update(probe: Probe) -> str:
    with failed(probe) as trial:
        place = probe.place
        changed = place.pipeline(place.actions("updated"), executionMode="SUPERSEDED")
        probe.do("update_pipeline", pipeline=changed)
        return retry(probe, trial)


@fact("retries", "A retry of a stage whose transition is disabled")
def retry_of_a_disabled_stage(probe: Probe) -> str:
    stage = {"pipelineName": probe.place.pipeline_name, "stageName": "Work"}
    stage["transitionType"] = "Inbound"
    with failed(probe) as trial:
        probe.do("disable_stage_transition", reason="A probe", **stage)
        try:
            answer = retry(probe, trial)
            probe.wait_for_jobs()
            return f"{answer}; then jobs: {len(jobs(probe.poll(trial)))}"
        finally:
            probe.do("enable_stage_transition", **stage)


# -- Partner jobs ----------------------------------------------------------------------------------

WRONG_TOKEN = "A wrong token: InvalidClientTokenException"  # noqa: S105 - a row


def told_of(job: dict[str, str], answer: Answer) -> str:
    """What a call about a partner's job returned; its id is any text."""
    return told(answer, "status").replace(job["jobId"], "<ID>")


@fact("partner", WRONG_TOKEN)
def wrong_client_token(probe: Probe) -> str:
    with probe.partner_job() as (_, job):
        wrong = job | {"clientToken": "wrong"}
        return told_of(job, probe.ask("get_third_party_job_details", **wrong))


@fact("partner", WRONG_TOKEN)
def wrong_client_token_and_nonce(probe: Probe) -> str:
    with probe.partner_job() as (_, job):
        wrong = job | {"clientToken": "wrong", "nonce": "1"}
        return told_of(job, probe.ask("acknowledge_third_party_job", **wrong))


@fact("partner", WRONG_TOKEN)
def wrong_client_token_of_no_job(probe: Probe) -> str:
    probe.own_partner()
    wrong = {"jobId": UNKNOWN_JOB, "clientToken": "wrong"}
    return told(probe.ask("get_third_party_job_details", **wrong))


@fact("partner", "Everything else is as for custom jobs")
def repeated_partner_acknowledgment(probe: Probe) -> str:
    with probe.partner_job() as (_, job):
        details = probe.do("get_third_party_job_details", **job).value["jobDetails"]
        claimed = job | {"nonce": details["nonce"]}
        probe.do("acknowledge_third_party_job", "InvalidNonceException", **claimed)
        return told_of(job, probe.ask("acknowledge_third_party_job", **claimed))
